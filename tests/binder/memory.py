"""The memory of a process and all below it, while something runs."""

from __future__ import annotations

import contextlib
import threading
from pathlib import Path

import psutil

SECONDS = 0.1
"""Between two looks."""


def megabytes(count: float) -> float:
    return count / 1e6


def family(pid: int) -> list[psutil.Process]:
    """A process and all that it started."""
    with contextlib.suppress(psutil.NoSuchProcess):
        head = psutil.Process(pid)
        return [head, *head.children(recursive=True)]
    return []


def used(pid: int) -> int:
    """Bytes of memory of the family: private pages, and its part of those that are shared (PSS)."""
    total = 0
    for each in family(pid):
        with contextlib.suppress(psutil.NoSuchProcess):
            total += each.memory_full_info().pss
    return total


def loads(pid: int, library: str) -> bool:
    """Whether any process of the family has mapped a library whose name begins so."""
    maps = []
    for each in family(pid):
        with contextlib.suppress(OSError):
            maps.append(Path(f"/proc/{each.pid}/maps").read_text())
    return any(f"/{library}" in text for text in maps)


class Watch:
    """Looks at a family again and again; `peak` is the most it had."""

    def __init__(self, pid: int) -> None:
        self.pid, self.peak = pid, 0
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)

    def _look(self) -> None:
        while not self._over.wait(SECONDS):
            self.peak = max(self.peak, used(self.pid))

    def __enter__(self) -> Watch:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()
