"""The environment of the hosts that are not the project's own: what `requirements.txt` names, over the one that runs this.

python -m tests.hosts.environment        installs it, once, into .build/hosts
"""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
REQUIREMENTS = HERE / "requirements.txt"


def folder() -> Path:
    """$IW_HOSTS, or .build/hosts in this checkout."""
    return Path(os.environ.get("IW_HOSTS") or ROOT / ".build" / "hosts").resolve()


def python() -> Path:
    return folder() / "bin" / "python"


def installed() -> bool:
    stamp = folder() / "installed"
    return stamp.is_file() and stamp.read_text() == REQUIREMENTS.read_text()


def install() -> None:
    """Make the environment; what the project has itself is not installed a second time."""
    subprocess.run([sys.executable, "-m", "venv", folder()], check=True)
    code = "import sysconfig; print(sysconfig.get_path('purelib'))"
    library = Path(subprocess.run([python(), "-c", code], capture_output=True, text=True, check=True).stdout.strip())
    (library / "development.pth").write_text(sysconfig.get_path("purelib") + "\n")
    constraints = ROOT / ".ci" / "constraints.txt"
    pip = [python(), "-m", "pip", "install", "--quiet", "-c", constraints, "-r", REQUIREMENTS]
    subprocess.run(pip, check=True)
    # Those that bring files for a browser, or templates: servers look for them beside their own Python.
    front_ends = ["nbconvert", "jupyterlab", "jupyterlab_widgets", "widgetsnbextension", "anywidget"]
    subprocess.run([*pip[:5], "--ignore-installed", "--no-deps", "-c", constraints, *front_ends], check=True)
    (folder() / "installed").write_text(REQUIREMENTS.read_text())


def variables() -> dict[str, str]:
    """For a server of a host: the package of this checkout, one thread, no hub."""
    return os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}


if __name__ == "__main__":
    if not installed():
        print("hosts: installing marimo, Notebook 7 and Voila into .build/hosts (about 70 MB to download, a minute).")  # noqa: T201
        install()
