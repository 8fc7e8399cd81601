"""What a server does with work that arrives. These functions travel by their source and use nothing that a server lacks."""

from __future__ import annotations

import dataclasses
import hashlib
import io
import pickle
import sys
import types
from typing import Any

import torch

LARGE = 1_000_000
"""Bytes from which on a tensor is kept for the next request."""
ROOM = 1_000_000_000
"""Bytes of kept tensors at most, of all who use this model; what was used longest ago goes first."""
STORE = "interp_widgets_kept"
"""Name of the store among the modules of the server's process. It ends with the process."""


def arrive(model: Any, work: bytes, tensors: dict[str, torch.Tensor], absent: list[str]) -> Any:
    """Unpacks work, does it, and makes what it gives back plain. `model` is nnsight's, `tensors` what was packed beside.

    Tensors named in `absent` were not sent, since an earlier request left them here. Where they are here no more, nothing is done
    and the answer says which are `missing`. Otherwise it says what is `kept` from now on.
    """
    there, missing = recall(absent)
    if missing:
        return {"missing": missing}
    kept = keep(tensors)
    weights = next(model._module.parameters())

    class Unpacker(pickle.Unpickler):
        def persistent_load(self, pid: Any) -> Any:
            if pid == "model":
                return model
            tensor = tensors[pid] if pid in tensors else there[pid]
            return tensor.detach().to(weights.device).requires_grad_(tensor.requires_grad)

    function, args, more = Unpacker(io.BytesIO(work)).load()
    facts = {"dtype": str(weights.dtype).removeprefix("torch."), "device": str(weights.device)}
    return {"value": plain(function(*args, **more)), "kept": kept, **facts}


def recall(names: list[str]) -> tuple[dict[str, torch.Tensor], list[str]]:
    """Kept tensors by name, and the names that are not there. One that was changed meanwhile is not there."""
    store = sys.modules.get(STORE)
    found: dict[str, torch.Tensor] = getattr(store, "tensors", {})
    there = {}
    for name in names:
        tensor = found.pop(name, None)
        if tensor is not None and fingerprint_tensor(tensor) == name:
            there[name] = found[name] = tensor  # now the last of all
    return there, [name for name in names if name not in there]


def keep(tensors: dict[str, torch.Tensor]) -> list[str]:
    """Keep large tensors for later requests; the names of those that there is room for."""
    store = sys.modules.setdefault(STORE, types.ModuleType(STORE))
    held: dict[str, torch.Tensor] = store.__dict__.setdefault("tensors", {})
    large = {name: tensor for name, tensor in tensors.items() if LARGE <= tensor.nbytes <= ROOM}
    for name, tensor in large.items():
        held.pop(name, None)
        held[name] = tensor.detach().cpu().requires_grad_(tensor.requires_grad)
    while sum(tensor.nbytes for tensor in held.values()) > ROOM:
        del held[next(iter(held))]
    return [name for name in large if name in held]


def fingerprint_tensor(tensor: torch.Tensor) -> str:
    """A name for the contents of a tensor."""
    data = tensor.detach().cpu().contiguous()
    digest = hashlib.blake2b(f"{data.dtype}{tuple(data.shape)}{tensor.requires_grad}".encode(), digest_size=16)
    digest.update(data.view(-1).view(torch.uint8).numpy())
    return digest.hexdigest()


def plain(value: Any) -> Any:
    """Tensors on the CPU and values of Python's own, with a note where an object of ours was (see `packing.restore`)."""
    if isinstance(value, torch.Tensor):
        here = value.detach().cpu()
        return (
            here.clone() if here.untyped_storage().nbytes() > here.nbytes else here
        )  # a view would go with all it is of
    if isinstance(value, dict):
        return {"dict": [(plain(key), plain(item)) for key, item in value.items()]}
    if type(value) in (list, tuple):
        return {type(value).__name__: [plain(item) for item in value]}
    if hasattr(value, "_fields"):
        return {"object": where(value), "fields": {name: plain(getattr(value, name)) for name in value._fields}}
    if type(value).__name__ == "Stays":
        return {"object": where(value), "fields": {}}
    if dataclasses.is_dataclass(value):
        fields = {field.name: plain(getattr(value, field.name)) for field in dataclasses.fields(value) if field.init}
        return {"object": where(value), "fields": fields}
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    raise TypeError(f"An answer holds tensors and plain values, not {type(value).__name__}.")


def where(value: Any) -> str:
    """Where the class of an object is found."""
    return f"{type(value).__module__}:{type(value).__qualname__}"
