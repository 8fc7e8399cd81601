"""A name for a call: the same in every process that makes the same call, whatever its memory and its hash seed are like."""

from __future__ import annotations

import dataclasses
import hashlib
import inspect
import types
from collections.abc import Callable, Iterable
from importlib.metadata import version
from typing import Any

import torch

from ..session import Session
from .arrival import fingerprint_tensor

PACKAGE = __name__.partition(".")[0]
WHENCE = ("origin", "reading")
"""Fields that say where an object came from, not what it is."""


def fingerprint(
    function: Callable[..., Any], args: tuple[Any, ...], more: dict[str, Any], names: dict[int, str] | None = None
) -> str | None:
    """A name for what a call computes: its function with code, defaults and closure, its arguments, and our version.

    None where something in it has no contents that could be looked at. `names`: known names of tensors, by their ids
    in memory.
    """
    writer = Writer(names or {})
    try:
        writer.write((version(PACKAGE), function, args, more))
    except Exception:  # an object that cannot be taken apart: any error of its own
        return None
    return writer.digest.hexdigest()


class Writer:
    """Takes values apart into bytes, in one order."""

    def __init__(self, names: dict[int, str], within: dict[int, int] | None = None) -> None:
        self.digest = hashlib.blake2b(digest_size=16)
        self._names = names
        self._within = dict(within or {})  # what is being taken apart just now, by its depth

    def write(self, value: Any) -> None:
        if value is None or isinstance(value, (bool, int, str, bytes, torch.dtype, torch.device)):
            self._say(type(value).__name__, repr(value))
        elif isinstance(value, float):
            self._say("float", value.hex())
        elif isinstance(value, torch.Tensor):
            self._say("tensor", self._names.get(id(value)) or fingerprint_tensor(value))
        elif isinstance(value, (type, types.ModuleType, types.BuiltinFunctionType)):
            self._say("name", f"{getattr(value, '__module__', '')}:{getattr(value, '__qualname__', value.__name__)}")
        elif id(value) in self._within:  # it refers to itself
            self._say("again", str(self._within[id(value)]))
        else:
            self._within[id(value)] = len(self._within)
            self._take_apart(value)
            del self._within[id(value)]

    def _take_apart(self, value: Any) -> None:
        if isinstance(value, Session):
            self._each("model", (value.source, value.architecture))
        elif isinstance(value, (list, tuple, range)):
            self._each(type(value).__name__, value)
        elif isinstance(value, dict):
            self._sorted("dict", value.items())
        elif isinstance(value, (set, frozenset)):
            self._sorted("set", value)
        elif isinstance(value, types.CodeType):  # not its source, which two lambdas of a line share
            self._each("code", (value.co_code, value.co_names, value.co_freevars, value.co_consts))
        elif isinstance(value, types.FunctionType):
            self._function(value)
        elif dataclasses.is_dataclass(value):
            names = [field.name for field in dataclasses.fields(value) if field.name not in WHENCE]
            fields = [(name, getattr(value, name)) for name in names]
            self._each("object", (type(value), fields))
        else:
            self._each("reduced", value.__reduce_ex__(4)[:3])

    def _function(self, function: types.FunctionType) -> None:
        closure = inspect.getclosurevars(function)
        ours = (function.__module__ or "").partition(".")[0] == PACKAGE
        names = {} if ours else dict(closure.globals)  # ours go with the version
        parts = (function.__code__, function.__defaults__, function.__kwdefaults__, dict(closure.nonlocals), names)
        self._each(f"function {function.__module__}:{function.__qualname__}", parts)

    def _each(self, kind: str, values: Iterable[Any]) -> None:
        values = list(values)
        self._say(kind, str(len(values)))
        for value in values:
            self.write(value)

    def _sorted(self, kind: str, values: Iterable[Any]) -> None:
        """Values in an order that is theirs and not the process's."""
        found = []
        for value in values:
            part = self._apart()
            part.write(value)
            found.append(part.digest.hexdigest())
        self._say(kind, " ".join(sorted(found)))

    def _apart(self) -> Writer:
        """A writer of a part of what is being taken apart."""
        return Writer(self._names, self._within)

    def _say(self, kind: str, what: str) -> None:
        self.digest.update(f"{kind} {len(what)} {what}\n".encode())
