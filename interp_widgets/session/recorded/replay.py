"""`iw.replay`: a session that answers from a recording, with no model."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from importlib.metadata import version
from pathlib import Path
from typing import Any, TypeVar

import polars as pl
import torch

from ...errors import NotRecorded, RecordingError
from ..runner import Runner
from ..session import Session
from ..tokens import TokenTexts
from . import answers
from .facts import KnownLayout, architecture, dtype_of, local_source, read_tokenizer
from .file import File
from .holds import holds, listed, loading
from .keys import key_of
from .places import local

T = TypeVar("T")


class Replay(Session):
    """A recording in place of a model. Made by `iw.replay`.

    It answers what was asked while it was made, and says so when something else is asked. `torch_module` is None.
    """

    apart = True

    def __init__(self, file: File) -> None:
        self._file = file
        facts = file.facts
        try:
            self._open_facts(facts)
        except RecordingError:
            raise
        except Exception as error:
            raise RecordingError(
                f"The file {file.path} says of its model what cannot be ({error!r}). It is damaged; record again."
            ) from error
        self.tokenizer = read_tokenizer(file)
        self.texts = TokenTexts(self.tokenizer)
        self.recorded = file.made

    def _open_facts(self, facts: dict[str, Any]) -> None:
        self._model = self._module = None
        self._lock = nullcontext()
        self.architecture = architecture(facts["architecture"])
        self.name, self.sink = str(facts["name"]), bool(facts["sink"])
        self.special_ids = frozenset(map(int, facts["special_ids"]))
        self.num_layers, self.num_heads = int(facts["num_layers"]), int(facts["num_heads"])
        self.layout = KnownLayout(self.architecture, self.num_heads, dict(facts["sizes"]))
        self.width, self.vocabulary_size = int(facts["width"]), int(facts["vocabulary_size"])
        self.max_positions, self.softcap = facts["max_positions"], facts["softcap"]
        self.source = local_source(facts["source"])
        self.origin = dict(self._file.index["provenance"].get("origin") or {})

    # what is known without a model

    @property
    def torch_module(self) -> torch.nn.Module | None:
        """None: the weights are not here."""
        return None

    @property
    def weights_hash(self) -> str | None:  # type: ignore[override]
        """That of the recorded model."""
        return self._file.facts["weights_sha256"]

    @property
    def window(self) -> int | None:
        return self._file.facts["window"]

    @property
    def device(self) -> torch.device:
        """Where the weights were."""
        return torch.device(self._file.facts["device"])

    @property
    def torch_dtype(self) -> torch.dtype:
        return dtype_of(self.dtype)

    @property
    def dtype(self) -> str:
        return str(self._file.facts["dtype"])

    @property
    def takes_cache(self) -> bool:
        return bool(self._file.facts["takes_cache"])

    @property
    def model_type(self) -> str:
        return str(self._file.facts["model_type"])

    @property
    def end_ids(self) -> list[int] | int | None:
        return self._file.facts["end_ids"]

    @property
    def holds(self) -> pl.DataFrame:
        """What the recording holds (see `frames.RECORDED`): panels first, then single questions."""
        return holds(self._file)

    def __repr__(self) -> str:
        return f"Replay({self.name!r}, recorded {self.recorded[:10]}, {listed(self._file)})"

    # answers

    def work(self, function: Callable[..., T], *args: Any, **more: Any) -> T:
        """What `function(model, *args, **more)` gave back when it was recorded.

        Raises:
            NotRecorded: it was not asked then; says what was.
            RecordingError: the answer is damaged.
        """
        key = key_of(self, function, args, more)
        part = f"answers/{key}.json"
        if key is None or part not in self._file:
            name = function.__qualname__.rpartition(".")[2].strip("_")
            raise NotRecorded(
                f"This was not recorded: {self._file.path.name} has no answer to this question ({name}). It holds "
                f"{listed(self._file)}. To compute something else, load the model: {loading(self._file)}."
            )
        beside = f"answers/{key}.safetensors"
        made: T = answers.answer(self._file.read(part), self._file.read(beside) if beside in self._file else b"")
        return made

    def run(self, *args: Any, **more: Any) -> Any:
        return self.work(Runner.run, *args, **more)

    def logits_of(self, normed: torch.Tensor, token_ids: Sequence[int]) -> torch.Tensor:
        return self.work(Runner.logits_of, normed, list(token_ids))

    def _envoy(self, path: str) -> Any:
        raise NotRecorded(f"{path} is a part of the model, which is not here. Load it: {loading(self._file)}.")

    def provenance(self) -> dict[str, Any]:
        """What a recorded result rests on: that of the session that was recorded, and which recording this is."""
        said: dict[str, Any] = local(self._file.index["provenance"])
        return {
            **said,
            "source": self.source or "a module in memory",
            "backend": "recorded",
            "access": "answers that were recorded; no weights are here",
            "recording": {**self._file.mark(said), "read_with": version("interp_widgets")},
        }


def replay(path: str | Path) -> Replay:
    """A session that answers from a recording of `iw.record`, with no model. Panels and methods take it as any other.

    Raises:
        RecordingError: there is no such file, or it is no recording, or a damaged one.
    """
    return Replay(File(path))
