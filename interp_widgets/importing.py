"""Modules of the torch world, loaded whole by one thread at a time.

Two threads that begin to import modules of one package from different ends wait for each other; Python then gives one of them a
module that is only half there. So what loads on first use, a name of the contents page or the work of a job, loads under one lock.
"""

from __future__ import annotations

import threading
from importlib import import_module
from importlib.util import find_spec

LOCK = threading.RLock()


def has_torch() -> bool:
    """Whether torch is installed; it is not loaded."""
    try:
        return find_spec("torch") is not None
    except ValueError:  # something stands in its place that is no module
        return False


def torch_world() -> None:
    """Load all that computes, if it can be. Afterwards a thread's imports find everything there."""
    if not has_torch():
        return
    with LOCK:
        for package in ("session.load", "sae.load", "methods"):
            import_module(f"interp_widgets.{package}")
