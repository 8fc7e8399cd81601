"""A training that can be gone on with: one safetensors file, replaced as a whole, so that it is never half written."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from ..errors import DictionaryError
from ..writing import replacing

NAME = "checkpoint.safetensors"


def save(folder: Path, tensors: dict[str, torch.Tensor], facts: dict[str, Any]) -> None:
    """`facts`: JSON that is kept in the header."""
    folder.mkdir(parents=True, exist_ok=True)
    plain = {key: value.detach().cpu().contiguous() for key, value in tensors.items()}
    with replacing(folder / NAME) as beside:
        save_file(plain, beside, {"facts": json.dumps(facts)})


def load(folder: Path) -> tuple[dict[str, torch.Tensor], dict[str, Any]] | None:
    """Tensors and facts, or None where there is no checkpoint.

    Raises:
        DictionaryError: it is damaged.
    """
    file = folder / NAME
    if not file.is_file():
        return None
    try:
        with safe_open(file, framework="pt") as opened:
            facts = json.loads((opened.metadata() or {})["facts"])
            return {key: opened.get_tensor(key) for key in list(opened.keys())}, facts
    except (SafetensorError, OSError, KeyError, json.JSONDecodeError) as error:
        raise DictionaryError(f"{file} cannot be read as a checkpoint ({error}). Delete it to begin anew.") from error


def part(tensors: dict[str, torch.Tensor], prefix: str) -> dict[str, torch.Tensor]:
    """Those whose names begin with `prefix`, without it."""
    return {key.removeprefix(prefix): value for key, value in tensors.items() if key.startswith(prefix)}


def differences(before: dict[str, Any], now: dict[str, Any]) -> list[str]:
    """What is not the same, as `name (was 1, is 2)`."""
    return [
        f"{key} (was {before.get(key)}, is {now.get(key)})"
        for key in sorted({*before, *now})
        if before.get(key) != now.get(key)
    ]
