"""A name for a question: the same for every session on the recorded model, in every process and on every Python.

Functions of this package go by their names; those inside of others, and a person's own, by their source and what they have
captured. Tensors go by their contents.
"""

from __future__ import annotations

import inspect
import types
from collections.abc import Callable
from typing import Any
from weakref import ref

import numpy as np
import polars as pl
import torch

from ..remote.arrival import fingerprint_tensor
from ..remote.fingerprint import PACKAGE, Writer
from ..session import Session

LARGE = 100_000
"""Bytes from which on the name of a tensor is remembered: the weights of a dictionary are asked with again and again."""


def key_of(model: Session, function: Callable[..., Any], args: tuple[Any, ...], more: dict[str, Any]) -> str | None:
    """A name for `function(model, *args, **more)`; None where something in it has no contents that could be looked at."""
    writer = _Key(model)
    try:
        more = {name: value for name, value in more.items() if name != "progress"}
        bound = inspect.signature(function).bind(model, *args, **more)
        bound.apply_defaults()
        asked = {name: value for name, value in bound.arguments.items() if name != "progress"}
        writer.write((f"{function.__module__}:{function.__qualname__}", function, asked))
    except Exception:  # an object that cannot be taken apart: any error of its own
        return None
    return writer.digest.hexdigest()


class _Key(Writer):
    def __init__(self, own: Session, within: dict[int, int] | None = None) -> None:
        super().__init__({}, within)
        self._own = own

    def _apart(self) -> Writer:
        return _Key(self._own, self._within)

    def write(self, value: Any) -> None:
        if isinstance(value, torch.Tensor):
            self._say("tensor", _name(value))
        elif isinstance(value, np.generic):
            super().write(value.item())
        else:
            super().write(value)

    def _take_apart(self, value: Any) -> None:
        if isinstance(value, Session):
            self._say("model", "" if value is self._own else value.name)
        elif isinstance(value, pl.DataFrame):
            self._each("frame", [(name, value[name].to_list()) for name in value.columns])
        elif isinstance(value, np.ndarray):
            self._each("array", (value.dtype.str, value.shape, value.tobytes()))
        else:
            super()._take_apart(value)

    def _function(self, function: types.FunctionType) -> None:
        ours = (function.__module__ or "").partition(".")[0] == PACKAGE
        self._say("function", f"{function.__module__}:{function.__qualname__}")
        if ours and "<" not in function.__qualname__:
            return
        code, closure = function.__code__, inspect.getclosurevars(function)
        self._each("captured", (dict(closure.nonlocals), function.__defaults__, function.__kwdefaults__))
        self._each("names", (code.co_names, code.co_varnames, code.co_freevars))  # two lambdas of one line
        self._each("source", inspect.getsource(code).split())
        if not ours:  # two lambdas of a line may differ in nothing but what they compute
            self._each("own", (code, dict(closure.globals)))


_known: dict[int, tuple[ref[torch.Tensor], int, str]] = {}


def _name(tensor: torch.Tensor) -> str:
    """The name of a tensor's contents; of a large one looked at once, as long as it lives and is not changed in place."""
    if tensor.nbytes < LARGE or tensor.is_inference():
        return fingerprint_tensor(tensor)
    at, version = id(tensor), tensor._version
    there = _known.get(at)
    if there is not None and there[0]() is tensor and there[1] == version:
        return there[2]
    name = fingerprint_tensor(tensor)
    _known[at] = ref(tensor, lambda _: _known.pop(at, None)), version, name
    return name
