"""What a server has: its own answer to `GET /status`, as a frame."""

from __future__ import annotations

import json
from typing import Any

import httpx
import polars as pl
from transformers import AutoConfig

from ... import frames
from ..architectures import TABLE
from . import failures
from .connect import host_of

_LEVELS, _STATES = ("HOT", "WARM", "COLD"), ("RUNNING", "DEPLOYING", "NOT_STARTED", "UNHEALTHY")
TIMEOUT = httpx.Timeout(10.0, read=90.0)
"""A server that has not been asked lately looks around first, for up to a minute."""


def models(remote: bool | str = True) -> pl.DataFrame:
    """The models of a server that `iw.load(model, remote=...)` can be asked for (see `frames.SERVED_MODELS`).

    Args:
        remote: the server's address, or True for the one that nnsight is set up for (NDIF).

    Raises:
        ModelError: an address that is none.
        ServerUnavailable: no answer, or none that an NDIF server gives.
    """
    host = host_of(remote)
    with failures.in_words(host):
        answer = httpx.get(f"{host}/status", timeout=TIMEOUT)
        answer.raise_for_status()
        said = answer.json()
        if not isinstance(said, dict):
            raise ValueError("no list of deployments")
        deployments: dict[str, dict[str, Any]] = said["deployments"]
        rows = [_row(group) for group in _groups(deployments)]
    rows.sort(key=lambda row: (_LEVELS.index(row["level"]), row["model"]))
    return frames.build(frames.SERVED_MODELS, {name: [row[name] for row in rows] for name in frames.SERVED_MODELS})


def _groups(deployments: dict[str, dict[str, Any]]) -> list[list[dict[str, Any]]]:
    """Replicas of one model together, the best first."""
    groups: dict[str, list[dict[str, Any]]] = {}
    for name, said in deployments.items():
        if said.get("deployment_level") in _LEVELS:
            groups.setdefault(said.get("model_key") or name, []).append({"repo_id": name, **said})
    return [sorted(group, key=_rank) for group in groups.values()]


def _rank(said: dict[str, Any]) -> tuple[int, int]:
    state = said.get("application_state")
    return _LEVELS.index(said["deployment_level"]), _STATES.index(state) if state in _STATES else len(_STATES)


def _row(group: list[dict[str, Any]]) -> dict[str, Any]:
    best = group[0]
    config = json.loads(best.get("config") or "{}")
    layers, width = _sizes(config)
    return {
        "model": str(best["repo_id"]),
        "revision": best.get("revision") or "main",
        "task": best.get("task"),
        "level": best["deployment_level"],
        "state": best.get("application_state"),
        "replicas": sum(said["deployment_level"] == "HOT" for said in group),
        "dtype": best.get("dtype") and str(best["dtype"]).removeprefix("torch."),
        "parameters": best.get("n_params"),
        "bytes": best.get("size_bytes"),
        "layers": layers,
        "width": width,
        "model_type": config.get("model_type"),
        "known": config.get("model_type") in TABLE,
    }


def _sizes(config: dict[str, Any]) -> tuple[int | None, int | None]:
    """Layers and width, by the names that each family has for them; None where transformers does not know the family."""
    try:
        made = AutoConfig.for_model(**config).get_text_config()
        return made.num_hidden_layers, made.hidden_size
    except (ValueError, TypeError, KeyError, AttributeError):
        return None, None
