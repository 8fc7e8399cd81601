"""The traces themselves: short leaf functions, since nnsight rewrites the function that holds a `with` block.

Nothing else in the package opens a trace. A body uses plain local names only.
"""

# ruff: noqa: E402

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from copy import copy
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

# nnsight gives every object a `.save`, which breaks anyio classes defined later: define them first, and where nnsight
# was imported before us, tell anyio that `save` is no attribute of its own.
import anyio

anyio.TypedAttributeSet.__annotations__ = {"save": Any, **anyio.TypedAttributeSet.__annotations__}

import anyio._backends._asyncio
import anyio.abc
import anyio.from_thread
import anyio.to_thread
import nnsight
import torch

from .places import Place

Edit = Callable[[torch.Tensor], torch.Tensor]

# pytest -v and other tools' -v switch on nnsight's debugging output, since it reads sys.argv.
nnsight.CONFIG.APP.DEBUG = False

_LOCKS: WeakKeyDictionary[torch.nn.Module, threading.RLock] = WeakKeyDictionary()
_LOCKS_GUARD = threading.Lock()


def lock_of(module: torch.nn.Module) -> threading.RLock:
    """The one lock of a module: traces of the same module from two threads corrupt each other."""
    with _LOCKS_GUARD:
        return _LOCKS.setdefault(module, threading.RLock())


def wrap(module: torch.nn.Module, tokenizer: Any) -> Any:
    """The nnsight model around a loaded transformers module. nnsight sets its tokenizer's padding, so it gets a copy."""
    return nnsight.TransformersModel(module, tokenizer=copy(tokenizer), task="text-generation")


def is_nnsight(model: Any) -> bool:
    return isinstance(model, nnsight.Envoy)


class Step(NamedTuple):
    """One thing to do as the forward pass goes by: read a place under a name, or edit it."""

    name: str
    place: Place
    edit: Edit | None = None


def forward(
    model: Any,
    inputs: dict[str, Any],
    steps: Sequence[Step],
    then: Callable[[dict[str, torch.Tensor]], Any],
    skipped: Sequence[Any],
    skip_value: Any,
    stop: bool,
    options: dict[str, Any],
    grad: bool = False,
) -> Any:
    """One forward pass: `skipped` layers return `skip_value` unrun, `steps` run in order, `then` reduces what was read."""
    with torch.set_grad_enabled(grad), model.trace(inputs, **options) as tracer:
        for layer in skipped:
            layer.skip(skip_value)
        values = {}
        for step in steps:
            if step.edit is None:
                values[step.name] = step.place.get()
            else:
                step.place.set(step.edit(step.place.get()))
        result = nnsight.save(then(values))
        if stop:
            tracer.stop()
    return result
