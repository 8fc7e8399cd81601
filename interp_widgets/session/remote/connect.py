"""From a name, a directory or a hub id to a session on a server: the structure and the tokenizer are read here, no weights."""

from __future__ import annotations

from contextlib import suppress
from copy import copy
from pathlib import Path
from typing import Any

import nnsight
from nnsight.modeling import huggingface
from transformers import AutoTokenizer, GenerationConfig

from ...errors import ModelError, ModelUnavailable
from .. import architectures, known
from ..architectures import Architecture
from .session import RemoteSession


def connect(
    where: str,
    remote: bool | str,
    *,
    tokenizer: Any = None,
    architecture: Architecture | None = None,
    name: str | None = None,
) -> RemoteSession:
    """A session on the model `where` (a hub id, a known name, or a directory that the server sees too) on a server.

    Args:
        remote: the server's address, or True for the one that nnsight is set up for (NDIF).

    Raises:
        ModelError: an address that is none.
        ModelUnavailable: the model's configuration or tokenizer is not here and cannot be fetched.
        UnknownArchitecture: the layers of this family are not known.
    """
    remote = True if remote is True else host_of(remote)
    label, folder = name or (Path(where).name if Path(where).is_dir() else where), where
    if where in known.KNOWN:
        folder = str(known.cached(where) or known.KNOWN[where].hub)
    elif Path(where).is_dir():
        folder = str(Path(where).resolve())
    served = known.KNOWN[where].hub if where in known.KNOWN else folder
    try:
        tokenizer = tokenizer or AutoTokenizer.from_pretrained(folder)
        model = nnsight.TransformersModel(
            folder, task="text-generation", tokenizer=copy(tokenizer), attn_implementation="eager"
        )
    except (OSError, ValueError) as error:
        raise ModelUnavailable(
            f"{where!r} cannot be used on a server, since its configuration and tokenizer are not here and could not be fetched: "
            f"{str(error).strip().splitlines()[0]} Check the name and the connection; iw.models(remote=...) lists what is served."
        ) from error
    with suppress(OSError):  # without one, texts end as the configuration says
        model._module.generation_config = GenerationConfig.from_pretrained(folder)
    if served != folder or Path(folder).is_dir():
        huggingface._ID_CACHE[folder] = served  # else nnsight asks the hub what a directory is called there
    row = architecture or architectures.of(model._module)
    return RemoteSession(label, model, tokenizer, row, remote=remote, source=served, sink=where in known.KNOWN)


def name_of(source: str) -> str:
    """The name by which `iw.load` finds, also offline, what a server knows as `source`."""
    return next((name for name, row in known.KNOWN.items() if row.hub == source), source)


def host_of(remote: bool | str) -> str:
    """The address that is meant, True for that of nnsight's configuration.

    Raises:
        ModelError: an address that is none.
    """
    if remote is True:
        return str(nnsight.CONFIG.API.HOST)
    if not isinstance(remote, str) or not remote.startswith(("http://", "https://")):
        raise ModelError(f"{remote!r} is no address of a server. Give remote=True for NDIF, or 'http://host:port'.")
    return remote.rstrip("/")
