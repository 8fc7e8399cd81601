"""Answers as parts of a file: JSON, and beside it the tensors as safetensors.

`arrival.plain` has made them plain, as for the way from a server. Of objects there are only dataclasses and named tuples of this
package, which are named and made again from their fields.
"""

from __future__ import annotations

import dataclasses
import json
from importlib import import_module
from typing import Any

import torch
from safetensors.torch import load, save

from ...errors import RecordingError
from ..remote.packing import PACKAGE
from ..stays import Stays

_HOMES = tuple(f"{PACKAGE}.{part}." for part in ("methods", "sae", "session"))
DEEPEST = 100


def parts(answer: Any) -> tuple[bytes, bytes]:
    """A plain answer as JSON and as safetensors (empty without tensors).

    Raises:
        TypeError: it holds something else.
    """
    tensors: list[torch.Tensor] = []

    def written(value: Any) -> Any:
        if isinstance(value, torch.Tensor):
            tensors.append(value)
            return {"tensor": len(tensors) - 1}
        if not isinstance(value, dict):
            return value
        if "object" in value:
            return {"object": value["object"], "fields": {key: written(each) for key, each in value["fields"].items()}}
        [(kind, items)] = value.items()
        if kind == "dict":
            return {"dict": [[written(key), written(each)] for key, each in items]}
        return {kind: [written(each) for each in items]}

    text = json.dumps(written(answer)).encode()
    named = {str(i): tensor.detach().contiguous().clone() for i, tensor in enumerate(tensors)}
    return text, save(named) if named else b""


def answer(text: bytes, tensors: bytes) -> Any:
    """What `parts` was given, with objects made again.

    Raises:
        RecordingError: it is damaged, or names something that is no answer.
    """
    try:
        found = load(tensors) if tensors else {}
        return _made(json.loads(text), found, 0)
    except RecordingError:
        raise
    except Exception as error:  # safetensors, JSON, a class whose fields are others: the file is not what it should be
        said = str(error).strip() or type(error).__name__
        raise RecordingError(
            f"An answer in the recording cannot be read ({said}). It is damaged, or of a version of interp_widgets whose answers "
            "looked otherwise. Record again."
        ) from error


def _made(value: Any, tensors: dict[str, torch.Tensor], depth: int) -> Any:
    if depth > DEEPEST:
        raise RecordingError(
            f"An answer in the recording is nested deeper than {DEEPEST}, which none is. It is damaged; record again."
        )
    if not isinstance(value, dict):
        if isinstance(value, list):
            raise ValueError("a list that does not say what it is")
        return value
    if "object" in value:
        kind = class_of(str(value["object"]))
        return kind(**{str(key): _made(each, tensors, depth + 1) for key, each in value["fields"].items()})
    [(kind, items)] = value.items()
    if kind == "tensor":
        return tensors[str(int(items))]
    if kind == "dict":
        return {_made(key, tensors, depth + 1): _made(each, tensors, depth + 1) for key, each in items}
    return {"list": list, "tuple": tuple}[kind](_made(each, tensors, depth + 1) for each in items)


def class_of(name: str) -> Any:
    """The dataclass or named tuple that an answer names.

    Raises:
        RecordingError: no answer has one of that name.
    """
    module, _, qualname = name.partition(":")
    found: Any = None
    if module.startswith(_HOMES) and all(part.isidentifier() for part in module.split(".")):
        try:
            found = getattr(import_module(module), qualname, None)
        except ImportError:
            found = None
    known = found is Stays or dataclasses.is_dataclass(found) or hasattr(found, "_fields")
    if not (isinstance(found, type) and known and found.__module__ == module):
        raise RecordingError(
            f"An answer in the recording names {name!r}, which no answer has. It is damaged, or made by another version."
        )
    return found
