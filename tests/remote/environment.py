"""The Python environment of the server: what `requirements.txt` names, laid over the one that runs this.

The server's own packages come first on its path and the development environment's follow, so that torch, numpy and nnsight
are not installed a second time. `.pth` files of the latter are not read: a package installed in editable form, such as
interp_widgets, is not there for the server, as it is not on a server elsewhere.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

HERE = Path(__file__).parent
REQUIREMENTS = HERE / "requirements.txt"
SIZE = "about 110 MB to download, 560 MB on disk"


class ServerError(Exception):
    """The server could not be installed, started or stopped."""


def folder() -> Path:
    """Where the environment, the logs and the notes of a running server lie: $IW_NDIF, or .build/ndif in this checkout."""
    return Path(os.environ.get("IW_NDIF") or HERE.parents[1] / ".build" / "ndif").resolve()


def scripts() -> Path:
    """The folder of the environment's programs."""
    return folder() / "venv" / "bin"


def installed() -> bool:
    """Whether the environment is complete, and made for this Python and these requirements."""
    stamp = folder() / "venv" / "installed"
    return stamp.is_file() and stamp.read_text() == _stamp()


def install() -> None:
    """Make the environment anew."""
    venv = folder() / "venv"
    shutil.rmtree(venv, ignore_errors=True)
    _run(sys.executable, "-m", "venv", "--without-pip", venv)
    python = scripts() / "python"
    library = Path(_run(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))").strip())
    (library / "development.pth").write_text(sysconfig.get_path("purelib") + "\n")
    pip = (sys.executable, "-m", "pip", "--disable-pip-version-check", "--python", python)
    _run(*pip, "install", "--quiet", "--no-deps", "--ignore-requires-python", "-r", REQUIREMENTS)
    _run(python, "-c", "import boto3, fastapi, moto, ndif, nnsight, ray, redis, torch, transformers, websockets")
    (venv / "installed").write_text(_stamp())


def _stamp() -> str:
    return f"{sys.version}\n{sysconfig.get_path('purelib')}\n{REQUIREMENTS.read_text()}"


def _run(*command: str | Path) -> str:
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    if done.returncode:
        raise ServerError(f"`{' '.join(map(str, command))}` failed:\n{last_lines(done.stdout + done.stderr)}")
    return done.stdout


def last_lines(text: str, count: int = 20) -> str:
    """The end of a log."""
    return "\n".join(text.splitlines()[-count:])
