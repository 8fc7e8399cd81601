"""What a session knows of its model, as plain values: enough to stand in for one whose weights are not here."""

from __future__ import annotations

import dataclasses
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
from transformers import AutoTokenizer

from ...errors import RecordingError, SiteError
from .. import known
from ..architectures import Architecture, Tap
from ..layout import Layout
from ..session import Session
from .file import TOKENIZER, File, Writer
from .places import local, portable

PLAIN = ("name", "sink", "num_layers", "num_heads", "width", "vocabulary_size", "max_positions", "softcap", "window", "dtype",
         "takes_cache", "model_type", "end_ids")  # fmt: skip
SIZES = ("head_width", "kv_heads", "neurons", "output_is_linear")


def facts(model: Session) -> dict[str, Any]:
    """All that `replay` needs to know."""
    return {
        **{name: getattr(model, name) for name in PLAIN},
        "device": str(model.device) if not model.host else "cpu",
        "special_ids": sorted(model.special_ids),
        "source": portable(model.source),
        "weights_sha256": model.weights_hash,
        "sizes": {name: _size(model.layout, name) for name in SIZES},
        "architecture": {
            field.name: _plain_row(getattr(model.architecture, field.name))
            for field in dataclasses.fields(Architecture)
            if field.init
        },
        "classes": {"tokenizer": type(model.tokenizer).__name__},
    }


def _plain_row(value: Any) -> Any:
    return dataclasses.asdict(value) if isinstance(value, Tap) else list(value) if isinstance(value, tuple) else value


def _size(layout: Layout, name: str) -> Any:
    try:
        return getattr(layout, name)
    except (SiteError, AttributeError):
        return None


def local_source(source: Any) -> str | None:
    """Where the model is found on this machine: a known one in the cache, else as on the hub."""
    for name, row in known.KNOWN.items():
        if source == row.hub and (folder := known.cached(name)):
            return str(folder)
    return None if source is None else str(local(source))


def architecture(said: dict[str, Any]) -> Architecture:
    """The row of the table that was recorded."""

    def value(name: str, each: Any) -> Any:
        if name == "qkv" and isinstance(each, list):
            return tuple(each)
        return Tap(**each) if isinstance(each, dict) else each

    return Architecture(**{name: value(name, each) for name, each in said.items()})


class KnownLayout(Layout):
    """Sizes of layers that were read off a module before."""

    def __init__(self, arch: Architecture, heads: int, sizes: dict[str, Any]) -> None:
        self._arch, self.heads, self._sizes = arch, heads, sizes

    def _known(self, name: str) -> int:
        if self._sizes.get(name) is None:
            raise SiteError("Heads and neurons cannot be told apart here: the recorded model does not say their sizes.")
        return int(self._sizes[name])

    @property
    def head_width(self) -> int:
        return self._known("head_width")

    @property
    def kv_heads(self) -> int:
        return self._known("kv_heads")

    @property
    def neurons(self) -> int:
        return self._known("neurons")

    @property
    def output_is_linear(self) -> bool:
        return bool(self._known("output_is_linear"))


def write_tokenizer(tokenizer: Any, to: Writer) -> None:
    """The tokenizer's files."""
    with tempfile.TemporaryDirectory() as folder:
        tokenizer.save_pretrained(folder)
        for name in TOKENIZER:
            with suppress(FileNotFoundError):
                to.add(f"tokenizer/{name}", (Path(folder) / name).read_bytes())


def read_tokenizer(file: File) -> Any:
    """The tokenizer of a recording.

    Raises:
        RecordingError: its files are damaged.
    """
    if file.facts.get("model_type") == "modadd":
        from ...lab import modadd

        return modadd.tokenizer(file.facts["vocabulary_size"] - 1)
    try:
        with tempfile.TemporaryDirectory() as folder:
            file.tokenizer(folder)
            return AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    except RecordingError:
        raise
    except Exception as error:
        first = next(iter(str(error).strip().splitlines()), type(error).__name__)
        raise RecordingError(f"The tokenizer in {file.path} cannot be read: {first} Record again.") from error


def dtype_of(name: Any) -> torch.dtype:
    """A dtype by its name; float32 where it is not known."""
    found = getattr(torch, str(name), None)
    return found if isinstance(found, torch.dtype) else torch.float32
