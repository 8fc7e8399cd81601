"""The Python of docs/remote.md, on a server."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.remote.server import Server

pytestmark = pytest.mark.slow
PAGE = Path(__file__).parents[2] / "docs" / "remote.md"


def test_what_the_page_shows_works(server: Server, models: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """With the server of the tests in the place of NDIF, and SmolLM2's folder in the place of the hub's models."""
    fences = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert len(fences) == 4
    space: dict[str, object] = {}
    for fence in fences:
        code = re.sub(r'"(meta-llama/[^"]*|smollm2-135m)"', repr(str(models["smollm2"])), fence)
        code = code.replace("remote=True", f"remote={server.host!r}")
        exec(compile(code, PAGE.name, "exec"), space)
        for panel in [value for value in space.values() if hasattr(value, "run") and hasattr(value, "frame")]:
            panel.run()  # type: ignore[attr-defined]
            assert not panel.error  # type: ignore[attr-defined]
    assert space["lens"].frame["layer"].n_unique() == 30  # type: ignore[attr-defined]
