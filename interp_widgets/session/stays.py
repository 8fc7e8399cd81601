"""What work keeps where the model is."""

from __future__ import annotations

from typing import Any


class Stays:
    """Something that work gives back on this machine; from a server it comes back with `value` None."""

    def __init__(self, value: Any = None) -> None:
        self.value = value
