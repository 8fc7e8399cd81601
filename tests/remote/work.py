"""Work for a server that goes wrong, or takes its time."""

from __future__ import annotations

import time
from typing import Any

import torch


def wait(model: Any, seconds: float) -> float:
    time.sleep(seconds)
    return seconds


def add_one(model: Any, x: torch.Tensor) -> torch.Tensor:
    return x + 1


def divide_by_nothing(model: Any) -> float:
    return _share(3, 0)


def _share(whole: int, parts: int) -> float:
    return whole / parts
