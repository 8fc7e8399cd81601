"""The JavaScript is typed: strict `tsc` over JSDoc finds nothing to say."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.browser import skip_or_fail

ROOT = Path(__file__).parent.parent.parent

pytestmark = pytest.mark.browser


def compiler() -> str:
    local = ROOT / ".build/node/node_modules/.bin/tsc"
    found = os.environ.get("IW_TSC") or shutil.which("tsc") or (str(local) if local.exists() else None)
    return found or skip_or_fail("no tsc found: npm install --prefix .build/node typescript @anywidget/types")


def test_types_are_strict_and_right():
    command = [compiler(), "-p", str(ROOT / "tests/front/tsconfig.json")]
    result = subprocess.run(command, capture_output=True, text=True, timeout=240)
    assert result.returncode == 0, result.stdout
