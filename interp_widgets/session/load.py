"""From a name, a directory, a hub id or a module in memory to a session."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors import SafetensorError
from transformers import AutoModelForCausalLM, AutoTokenizer
from transformers.utils import logging

from ..errors import ModelError, ModelUnavailable
from . import architectures, known, trace
from .session import Session

if TYPE_CHECKING:
    from .architectures import Architecture

ASSETS = Path(__file__).parents[1] / "assets"
BUNDLED = ("toy-grammar", "modadd-59")


def load(
    source: str | Path | torch.nn.Module | Any,
    *,
    tokenizer: Any = None,
    dtype: str | torch.dtype = "float32",
    device: str | torch.device = "cpu",
    architecture: Architecture | None = None,
    name: str | None = None,
    remote: bool | str = False,
) -> Session:
    """A session on a model, here or on a server.

    Args:
        source: a bundled name ("toy-grammar", "modadd-59"), a known name ("smollm2-135m", fetched once), a local directory,
            a Hugging Face id, a loaded transformers module, or an nnsight model.
        tokenizer: the tokenizer of a module in memory; otherwise the one that comes with the model.
        dtype: "float32" (default; what the package's figures are measured in), "bfloat16", "float16", or "auto" for the
            checkpoint's own. Modules in memory are left as they are.
        device: "cpu" (default), "cuda", "cuda:1", "mps". Modules in memory are left where they are.
        architecture: where the layers are, for a family that the table does not know.
        name: what panels call the model.
        remote: True for the NDIF server that nnsight is set up for, or a server's address, "http://host:port". `source` is then a
            name or a hub id, or a directory that the server sees too; no weights are loaded here, and dtype and device are the
            server's. No request is made yet.

    Raises:
        ModelUnavailable: not here, and it could not be fetched.
        UnknownArchitecture: the layers of this family are not known.
        ModelError: a module without a tokenizer, or in training mode; an unknown dtype; a device that is not there.
    """
    if remote:
        if isinstance(source, torch.nn.Module) or trace.is_nnsight(source):
            raise ModelError("A model in memory is not on a server. Give iw.load its name or hub id beside remote=.")
        from .remote.connect import connect

        where = str(ASSETS / source) if source in BUNDLED else str(source)
        return connect(where, remote, tokenizer=tokenizer, architecture=architecture, name=name)
    if trace.is_nnsight(source):
        model: Any = source
        source, tokenizer = model._module, tokenizer or getattr(model, "tokenizer", None)
    if isinstance(source, torch.nn.Module):
        return _in_memory(source, tokenizer, architecture, name)
    dtype, device = _dtype(dtype), _device(device)
    label = name or (Path(source).name if Path(source).is_dir() else str(source))
    origin: dict[str, Any] = {}
    if source == "modadd-59":
        from ..lab import modadd

        module, tokenizer = modadd.load(ASSETS / source)
        where = str(ASSETS / source)
        module = module if dtype == "auto" else module.to(dtype)
    else:
        where = str(ASSETS / source) if source in BUNDLED else str(source)
        if source in known.KNOWN:
            where = str(known.resolve(source))
            origin = json.loads((Path(where) / "source.json").read_text())
        module, tokenizer = _pretrained(where, dtype, tokenizer)
    module = module.to(device).eval().requires_grad_(False)
    row = architecture or architectures.of(module)
    return Session(label, module, tokenizer, row, source=where, origin=origin, sink=source in known.KNOWN)


def _in_memory(module: torch.nn.Module, tokenizer: Any, architecture: Architecture | None, name: str | None) -> Session:
    if tokenizer is None:
        raise ModelError(f"{type(module).__name__} needs its tokenizer: iw.load(module, tokenizer=tokenizer).")
    if module.training:
        raise ModelError(
            "The module is in training mode, so dropout would make every result random. Call module.eval() first."
        )
    row = architecture or architectures.of(module)
    return Session(name or type(module).__name__, module, tokenizer, row)


def _pretrained(where: str, dtype: torch.dtype | str, tokenizer: Any) -> tuple[torch.nn.Module, Any]:
    local = Path(where).is_dir()
    if not local and (Path(where).is_absolute() or where.startswith((".", "~")) or where.count("/") > 1):
        raise ModelUnavailable(
            f"There is no directory {where}. Give a directory with config.json and safetensors, or a model id."
        )
    try:
        tokenizer = tokenizer or AutoTokenizer.from_pretrained(where, local_files_only=local)
        with _no_bars() if local else nullcontext():
            module = AutoModelForCausalLM.from_pretrained(
                where, dtype=dtype, attn_implementation="eager", local_files_only=local, use_safetensors=True
            )
    except (OSError, ValueError, SafetensorError) as error:
        reason = str(error).strip().splitlines()[0]
        if local:
            raise ModelUnavailable(
                f"The directory {where} does not hold a model that transformers can load: {reason}"
            ) from error
        raise ModelUnavailable(
            f"{where!r} is not a bundled or known model ({', '.join((*BUNDLED, *known.KNOWN))}), not a directory, and could not "
            f"be fetched from the Hugging Face hub: {reason} Check the name and the connection, or give a local directory."
        ) from error
    return module, tokenizer


@contextmanager
def _no_bars() -> Iterator[None]:
    """No bar of transformers for a second's work: in a notebook it is a widget, of which a saved notebook keeps an error."""
    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            logging.enable_progress_bar()


def _dtype(dtype: str | torch.dtype) -> torch.dtype | str:
    if isinstance(dtype, str) and dtype == "auto":
        return dtype
    found = dtype if isinstance(dtype, torch.dtype) else getattr(torch, str(dtype), None)
    if not isinstance(found, torch.dtype) or not found.is_floating_point:
        raise ModelError(f"{dtype!r} is not a dtype for weights. Use float32, bfloat16, float16 or auto.")
    return found


def _device(device: str | torch.device) -> torch.device:
    try:
        wanted = torch.device(device)
    except RuntimeError as error:
        raise ModelError(f"{device!r} is not a device. Use cpu, cuda, cuda:1 or mps.") from error
    there = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if not there.get(wanted.type, False):
        ready = ", ".join(kind for kind, ok in there.items() if ok)
        raise ModelError(f"There is no {wanted.type} device for torch on this machine; there is: {ready}.")
    return wanted
