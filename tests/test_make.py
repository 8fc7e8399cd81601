"""What a first `make lab` says: large downloads by name and size, and a failure of pip is a failure of make."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
PIP = """Collecting torch==2.13.0
  Downloading torch-2.13.0-cp311-cp311-manylinux_2_28_x86_64.whl.metadata (29 kB)
Downloading torch-2.13.0-cp311-cp311-manylinux_2_28_x86_64.whl (526.6 MB)
Using cached polars_runtime_32-2.1.0-cp310-abi3-manylinux_2_17_x86_64.whl (54.0 MB)
Downloading six-1.17.0-py2.py3-none-any.whl (11 kB)
Installing collected packages: torch, polars-runtime-32, six
Successfully installed six-1.17.0
"""


def test_what_is_large_is_named() -> None:
    done = subprocess.run(
        [sys.executable, ROOT / ".ci" / "pip_lines.py"], input=PIP, capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines() == [
        "setup:   torch, 527 MB",
        "setup:   polars_runtime_32, 54 MB",
        "setup: 581 MB are here; unpacking 3 packages (half a minute).",
    ]


def test_every_target_is_listed_and_can_be_planned() -> None:
    said = subprocess.run(["make", "help"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for target in ("lab", "test", "test-hosts", "binder", "badge", "demo"):
        assert f"make {target} — " in said
        subprocess.run(["make", "--dry-run", target], cwd=ROOT, capture_output=True, check=True)


def test_a_pipe_fails_when_its_first_part_does(tmp_path) -> None:
    head = (ROOT / "Makefile").read_text().split(".DEFAULT_GOAL")[0]
    (tmp_path / "Makefile").write_text(f"{head}\nfails:\n\t@false | cat\n")
    assert subprocess.run(["make", "fails"], cwd=tmp_path, capture_output=True).returncode != 0
