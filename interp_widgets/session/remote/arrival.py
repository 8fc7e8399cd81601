"""What a server does with work that arrives. These functions travel by their source and use nothing that a server lacks."""

from __future__ import annotations

import dataclasses
import io
import pickle
from typing import Any

import torch


def arrive(model: Any, work: bytes, tensors: dict[str, torch.Tensor]) -> Any:
    """Unpacks work, does it, and makes what it gives back plain. `model` is nnsight's, `tensors` what was packed beside."""
    device = next(model._module.parameters()).device

    class Unpacker(pickle.Unpickler):
        def persistent_load(self, pid: Any) -> Any:
            if pid == "model":
                return model
            tensor = tensors[pid]
            return tensor.detach().to(device).requires_grad_(tensor.requires_grad)

    function, args, more = Unpacker(io.BytesIO(work)).load()
    weights = next(model._module.parameters())
    facts = {"dtype": str(weights.dtype).removeprefix("torch."), "device": str(weights.device)}
    return {"value": plain(function(*args, **more)), **facts}


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
