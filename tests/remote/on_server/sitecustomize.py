"""Runs first in each Python process of the server: defines anyio's classes before nnsight gives every object a `.save`.

Classes of anyio that are defined afterwards raise a TypeError, and then every upload above one megabyte is refused with
"There was an error parsing the body".
"""

import contextlib
import importlib

for module in ("abc", "from_thread", "to_thread", "_core._sockets", "_backends._asyncio"):
    with contextlib.suppress(ImportError):  # a helper process of Ray that has no site-packages
        importlib.import_module(f"anyio.{module}")
