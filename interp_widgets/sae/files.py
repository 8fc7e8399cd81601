"""Reading files that may be cut off or hostile: one sentence instead of a traceback, and never code that lies in a file."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from ..errors import DictionaryError, SiteError
from ..session.sites import parse

Tensors = dict[str, torch.Tensor]


@dataclass(frozen=True)
class Told:
    """What the caller, or a table of releases, says of a dictionary; it wins over what its files say."""

    site: str | None = None
    site_out: str | None = None
    config: Mapping[str, Any] = field(default_factory=dict)
    """Entries of a configuration."""
    factor: float | None = None
    """What activations are multiplied with, where the configuration says that their average norm was scaled."""


def read_config(file: Path, purpose: str) -> dict[str, Any]:
    """The object in a JSON file. `purpose` ends the sentence about a file that is missing.

    Raises:
        DictionaryError: missing, no JSON, or no object.
    """
    try:
        config = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise DictionaryError(f"{file.parent} has no {file.name}; {purpose}.") from None
    except (json.JSONDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise DictionaryError(f"{file} is not valid JSON: {error}.") from error
    if not isinstance(config, dict):
        raise DictionaryError(f"{file} must hold an object, not {type(config).__name__}.")
    return config


def read_safetensors(file: Path) -> Tensors:
    """The tensors of a safetensors file, float32 on the CPU."""
    try:
        return {key: value.float() for key, value in load_file(file).items()}
    except (SafetensorError, OSError) as error:
        raise DictionaryError(f"{file} cannot be read as safetensors ({error}); the file may be cut off.") from error


def load_pickle(file: Path) -> dict[Any, Any]:
    """What torch.save wrote, on the CPU: tensors, numbers, texts and containers; objects of any other kind are never made.

    Raises:
        DictionaryError: damaged, or code in it.
    """
    try:
        found = torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged pickle can raise anything
        raise DictionaryError(
            f"{file} cannot be read as weights ({str(error).splitlines()[0] if str(error) else type(error).__name__}). It is "
            "damaged, or holds more than tensors; code in a file is never run. Save its state_dict() with torch.save."
        ) from error
    return found if isinstance(found, dict) else {None: found}


def only_tensors(found: dict[Any, Any], file: Path) -> Tensors:
    """What `load_pickle` found, by its names.

    Raises:
        DictionaryError: something else than tensors, or tensors that say they are larger than the file.
    """
    if not all(isinstance(tensor, torch.Tensor) for tensor in found.values()) or None in found:
        raise DictionaryError(f"{file} must hold tensors by name. Save the dictionary's state_dict() with torch.save.")
    size = file.stat().st_size
    if large := [str(key) for key, t in found.items() if t.numel() * t.element_size() > size]:
        raise DictionaryError(f"{file} has {size} bytes, but says that {', '.join(large)} is larger; it is damaged.")
    return {str(key): value for key, value in found.items()}


def taken(tensors: Tensors, key: str) -> torch.Tensor:
    """A tensor by its key; with .T at the end of the key, the matrix the other way round."""
    tensor = tensors[key.removesuffix(".T")]
    return tensor.T if key.endswith(".T") and tensor.dim() == 2 else tensor


def reading_pickle(file: Path, table: Mapping[str, str]) -> tuple[str, ...]:
    """Lines of a script that read a state dict; `table`: our name -> key for `taken`."""
    return (f'found = torch.load({str(file)!r}, map_location="cpu", weights_only=True)', *renaming(table))


def renaming(table: Mapping[str, str]) -> tuple[str, ...]:
    """Lines of a script that make `sae` out of `found`; `table`: our name -> key for `taken`."""
    rows = (
        f'    "{our}": found["{key.removesuffix(".T")}"].float()' + (".T," if key.endswith(".T") else ",")
        for our, key in table.items()
    )
    return ("sae = {", *rows, "}")


def require(tensors: Tensors, keys: tuple[str, ...], kind: str, file: Path) -> None:
    """Raises DictionaryError unless all these tensors are there."""
    if missing := [key for key in keys if key not in tensors]:
        raise DictionaryError(
            f"{file} lacks {', '.join(missing)}, which a {kind} dictionary needs; it has {sorted(tensors)}."
        )


def check_sizes(said: tuple[Any, Any], encoder: torch.Tensor, config: Path) -> None:
    """Raises DictionaryError where a configuration says another (d_in, width) than `encoder` [d_in, width] has; None: not said."""
    found = tuple(encoder.shape)
    if len(found) == 2 and any(a not in (None, b) for a, b in zip(said, found, strict=True)):
        raise DictionaryError(f"{config} says (d_in, d_sae) = {said}, but W_enc has shape {found}.")


def positive(value: Any, what: str, where: Path) -> int:
    """A whole number above zero, such as k.

    Raises:
        DictionaryError: it is something else.
    """
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise DictionaryError(f"{where} gives no {what} (it says {value!r}, but a whole number above 0 is needed).")
    return value


def sites(told: Told, said: Callable[[], tuple[Any, Any]], transcodes: bool, where: Path) -> dict[str, str]:
    """`site` and `writes` of a dictionary. `said`: both as its files say them, asked only if the caller leaves one open.

    Raises:
        DictionaryError: they are no sites, or one and the same for a transcoder, or two for a dictionary that is none.
    """
    reads, writes = told.site, told.site_out if transcodes else told.site_out or told.site
    if reads is None or writes is None:
        found = said()
        reads, writes = reads or found[0], writes or found[1]
    reads, writes = own_site(reads, where), own_site(writes, where)
    if transcodes == (reads == writes):
        what = "a transcoder, which writes another site than it reads" if transcodes else "no transcoder"
        raise DictionaryError(
            f"{where} is {what}, but it is said to read {reads} and to write {writes}. Pass site= and site_out=."
        )
    return {"site": reads, "writes": writes if transcodes else ""}


def own_site(name: Any, where: Path) -> str:
    """A site as this package writes it, from what a file or the caller says.

    Raises:
        DictionaryError: it is no site.
    """
    try:
        return str(parse(str(name)))
    except SiteError as error:
        raise DictionaryError(f"{where} is said to belong at {name!r}: {error}") from error


def provenance(file: Path, form: str, architecture: str, model: Any, neuronpedia: Any = None) -> dict[str, Any]:
    """What `Dictionary.origin` says of a file. `neuronpedia`: the id under which that site shows it."""
    with file.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    return {
        "format": form,
        "weights": str(file),
        "sha256": digest,
        "architecture": architecture,
        "model": model,
        "neuronpedia": neuronpedia,
    }
