"""JupyterLab's stop button, while a panel works in the background.

An idle kernel ignores SIGINT, so the button would do nothing while a panel computes. In a kernel, a handler of ours stands
there instead: it stops the panels' jobs. While a cell runs, the kernel puts its own handler in place, as ever.
"""

from __future__ import annotations

import asyncio
import signal
import sys
from typing import TYPE_CHECKING, Any
from weakref import WeakSet

if TYPE_CHECKING:
    from .panel import Panel

_panels: WeakSet[Panel] = WeakSet()
_installed = False


def watch(panel: Panel) -> None:
    """Let the stop button reach this panel."""
    _panels.add(panel)


def install() -> None:
    """Put the handler in place, once, if this is a kernel. Not inside a cell: after it the kernel restores its own."""
    global _installed
    if _installed or not _in_kernel():
        return
    _installed = True
    asyncio.get_running_loop().call_soon(_set)


def _in_kernel() -> bool:
    shell = sys.modules.get("IPython") and sys.modules["IPython"].get_ipython()
    if not getattr(shell, "kernel", None):
        return False
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


def _set() -> None:
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, _stop)
    else:  # a cell is still running
        asyncio.get_running_loop().call_later(0.5, _set)


def _stop(number: int, frame: Any) -> None:
    for panel in list(_panels):
        panel._interrupt()
