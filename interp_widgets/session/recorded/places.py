"""Places on a disk, in words that hold on another machine too. Needs no torch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from .. import known

PACKAGE = Path(__file__).parents[2]
_HERE = "{interp_widgets}"


def portable(value: Any) -> Any:
    """A plain value in which the package's folder has a name, and a known model is called as on the hub."""
    folders = [(str(known.cache_dir() / name), row.hub) for name, row in known.KNOWN.items()]
    return _replaced(value, [(str(PACKAGE), _HERE), *folders])


def local(value: Any) -> Any:
    """The same on this machine."""
    return _replaced(value, [(_HERE, str(PACKAGE))])


def _replaced(value: Any, names: list[tuple[str, str]]) -> Any:
    if isinstance(value, str):
        for old, new in names:
            value = value.replace(old, new)
        return value
    if isinstance(value, dict):
        return {key: _replaced(each, names) for key, each in value.items()}
    return [_replaced(each, names) for each in value] if isinstance(value, (list, tuple)) else value
