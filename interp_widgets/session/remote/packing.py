"""Work as bytes for another Python, and its answer back.

nnsight sends functions by their source, so the two Pythons need not be of one version. What a class decorator has generated has
no source; so dataclasses and named tuples go as what they were declared as, and are made again on the other side. No payload
holds compiled code (a test looks). Tensors go beside the work, named by their contents, so that a large one is sent once.
"""

from __future__ import annotations

import dataclasses
import inspect
import io
import types
from collections.abc import Callable
from contextlib import suppress
from importlib import import_module
from typing import Any, NamedTuple

import polars as pl
import torch
from nnsight.intervention.serialization import CustomCloudPickler, _fill, _load_function, code_reduce
from nnsight.ndif import pull_env

from ...errors import RemoteError
from ..runner import Runner
from ..session import Session
from ..stays import Stays
from .arrival import fingerprint_tensor

PACKAGE = __name__.partition(".")[0]


class Packer(CustomCloudPickler):
    """Pickles work: a session as the runner that it is where the model runs, tensors beside, generated code not at all."""

    def __init__(self, file: io.BytesIO) -> None:
        super().__init__(file, protocol=4)
        self.tensors: dict[str, torch.Tensor] = {}
        self.of_dictionaries: set[str] = set()
        self.names: dict[int, str] = {}
        self._seen: list[torch.Tensor] = []

    def persistent_id(self, obj: Any) -> Any:
        if isinstance(obj, torch.Tensor) and type(obj) in (torch.Tensor, torch.nn.Parameter):
            return self._name(obj)
        return "model" if obj is MODEL else super().persistent_id(obj)

    def _name(self, tensor: torch.Tensor) -> str:
        """The name that a tensor goes by; looked at once, however often it comes."""
        if id(tensor) not in self.names:
            name = self.names[id(tensor)] = fingerprint_tensor(tensor)
            part = tensor.untyped_storage().nbytes() > tensor.nbytes
            self.tensors.setdefault(name, _alone(tensor) if part else tensor)
            self._seen.append(tensor)  # so that no other tensor gets its id meanwhile
        return self.names[id(tensor)]

    def reducer_override(self, obj: Any) -> Any:
        if type(obj).__module__.startswith(f"{PACKAGE}.sae."):
            self.of_dictionaries |= {self._name(x) for x in vars(obj).values() if type(x) is torch.Tensor}
        if isinstance(obj, Session):
            return Runner, (MODEL, obj.architecture, obj.name, obj.special_ids, obj.sink)
        if isinstance(obj, pl.DataFrame):
            return type(None), ()  # a frame is for people, and servers need not have polars
        if isinstance(obj, type) and (obj.__module__ or "").partition(".")[0] == PACKAGE:
            if dataclasses.is_dataclass(obj):
                return _reduce_dataclass(obj)
            if issubclass(obj, tuple) and hasattr(obj, "_fields"):
                return _reduce_named_tuple(obj)
        return super().reducer_override(obj)

    def _dynamic_function_reduce(self, func: types.FunctionType) -> tuple[Any, ...]:
        """As nnsight does it, which looks a function's source up in its file: once for each function, not each time it goes."""
        code = func.__code__
        key = code.co_filename, code.co_firstlineno, code
        if key not in _sources:
            reduced = super()._dynamic_function_reduce(func)
            if reduced[0] is _load_function:
                _sources[key] = reduced[1][0], reduced[1][-1]
            return reduced
        source, line = _sources[key]
        closure = {}
        for name, cell in zip(code.co_freevars, func.__closure__ or (), strict=True):
            with suppress(ValueError):  # not bound yet
                closure[name] = cell.cell_contents
        source, used, enclosed = code_reduce(source, func.__globals__, closure, function=True)
        said = func.__defaults__, func.__kwdefaults__, func.__annotations__, code.co_filename, line
        return _load_function, (source, func.__name__, *said), {**used, **enclosed}, None, None, _fill


_sources: dict[Any, tuple[str, int]] = {}
"""Source and first line of the functions that have been sent."""


class _Model:
    """Stands for the model on the server."""


MODEL = _Model()


class Packed(NamedTuple):
    """A call as bytes, its tensors by name, which of them are weights of dictionaries, and the names by ids in memory."""

    work: bytes
    tensors: dict[str, torch.Tensor]
    of_dictionaries: set[str]
    names: dict[int, str]


def pack(function: Callable[..., Any], args: tuple[Any, ...], more: dict[str, Any]) -> Packed:
    """A call, ready to be sent.

    Raises:
        RemoteError: something in it cannot be sent.
    """
    pull_env()  # functions of a person's own modules, which are not installed, go by their source too
    file = io.BytesIO()
    packer = Packer(file)
    try:
        packer.dump((function, args, more))
    except Exception as error:
        raise RemoteError(
            f"This cannot be sent to a server: {str(error).strip().splitlines()[0]} Pass plain values, tensors and functions of "
            "modules to what is run there."
        ) from error
    return Packed(file.getvalue(), packer.tensors, packer.of_dictionaries, packer.names)


def _alone(tensor: torch.Tensor) -> torch.Tensor:
    """A copy: a view would be sent with all that it is a view of."""
    return tensor.detach().clone().requires_grad_(tensor.requires_grad)


def restore(answer: Any) -> Any:
    """What `arrival.plain` has made plain, as it was: of objects only dataclasses and named tuples of this package.

    Raises:
        RemoteError: anything else.
    """
    if not isinstance(answer, dict):
        return answer
    if "object" in answer:
        module, _, name = str(answer["object"]).partition(":")
        found: Any = getattr(import_module(module), name, None) if module.partition(".")[0] == PACKAGE else None
        if not (found is Stays or dataclasses.is_dataclass(found) or hasattr(found, "_fields")):
            raise RemoteError(
                f"The server's answer names {answer['object']!r}, which no answer has. Is it an NDIF server?"
            )
        return found(**{key: restore(value) for key, value in answer["fields"].items()})
    [(kind, items)] = answer.items()
    if kind == "dict":
        return {restore(key): restore(value) for key, value in items}
    return {"list": list, "tuple": tuple}[kind](restore(item) for item in items)


# Classes. Made in two steps, so that their functions may name them.


def _reduce_dataclass(cls: type) -> tuple[Any, ...]:
    said = ("default", "default_factory", "init", "compare", "kw_only")
    fields = [
        (field.name, {key: value for key in said if (value := getattr(field, key)) is not dataclasses.MISSING})
        for field in dataclasses.fields(cls)
    ]
    own = {name: value for name, value in vars(cls).items() if _declared(cls, name, value)}
    options = {key: getattr(cls.__dataclass_params__, key) for key in ("eq", "frozen", "order")}  # type: ignore[attr-defined]
    made = cls.__name__, cls.__bases__, cls.__module__, cls.__qualname__
    return _empty_class, made, (own, fields, options), None, None, _fill_dataclass


def _reduce_named_tuple(cls: type) -> tuple[Any, ...]:
    own = {name: value for name, value in vars(cls).items() if not name.startswith("_") and _declared(cls, name, value)}
    fields, defaults = cls._fields, cls._field_defaults  # type: ignore[attr-defined]
    made = cls.__name__, fields, [defaults[name] for name in fields if name in defaults], cls.__module__
    return _named_tuple, made, own, None, None, _fill_class


def _declared(cls: type, name: str, value: Any) -> bool:
    """Whether a class says this itself: what decorators generate is written in no file, or in another one."""
    function = getattr(value, "fget", None) or getattr(value, "__func__", value)
    if isinstance(function, types.FunctionType):
        return function.__code__.co_filename == inspect.getfile(cls)
    return not name.startswith(("__", "_abc_")) and not inspect.isdatadescriptor(value)


def _empty_class(name: str, bases: tuple[type, ...], module: str, qualname: str) -> type:
    return types.new_class(name, bases, {}, lambda space: space.update(__module__=module, __qualname__=qualname))


def _fill_dataclass(cls: type, state: tuple[dict[str, Any], list[Any], dict[str, bool]]) -> None:
    own, fields, options = state
    for name, value in own.items():
        setattr(cls, name, value)
    cls.__annotations__ = {name: object for name, _ in fields}
    for name, said in fields:
        setattr(cls, name, dataclasses.field(**said))
    dataclasses.dataclass(**options)(cls)


def _named_tuple(name: str, fields: tuple[str, ...], defaults: list[Any], module: str) -> type:
    import collections

    return collections.namedtuple(name, fields, defaults=defaults, module=module)  # type: ignore[misc]


def _fill_class(cls: type, own: dict[str, Any]) -> None:
    for name, value in own.items():
        setattr(cls, name, value)
