"""Files that are whole or not there: each is written beside its place, and takes it at once."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def replacing(file: Path) -> Iterator[Path]:
    """A new file beside `file` to write to. It takes the place of `file` at the end of the block; a block that raises leaves
    what was there, and nothing beside it. The folder must be there.
    """
    beside = file.with_name(f".{file.name}.{secrets.token_hex(4)}.part")
    try:
        yield beside
        beside.replace(file)
    finally:
        beside.unlink(missing_ok=True)
