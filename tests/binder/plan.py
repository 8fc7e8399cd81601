"""What repo2docker would do with this repository: the Dockerfile that it prints, without Docker."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
TOOLS = ROOT / ".build" / "binder"
REPO2DOCKER = "jupyter-repo2docker==2026.4.0"
USER = ("--user-id=1000", "--user-name=jovyan")
"""As Binder calls it: nothing of the repository belongs to root, and postBuild does not run as root."""

_PACKAGE = re.compile(r"/(?P<name>[\w.-]+)-(?P<version>[^-/]+)-[^-/]+\.(?:conda|tar\.bz2)")


def tool() -> Path:
    """The Python that has repo2docker; installed once, into an environment of its own (20 s)."""
    python = TOOLS / "venv" / "bin" / "python"
    stamp = TOOLS / "venv" / "installed"
    if not stamp.is_file() or stamp.read_text() != REPO2DOCKER:
        subprocess.run([sys.executable, "-m", "venv", "--clear", TOOLS / "venv"], check=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", REPO2DOCKER], check=True)
        stamp.write_text(REPO2DOCKER)
    return python


def dockerfile(repository: Path = ROOT) -> str:
    """The Dockerfile for a folder."""
    command = [tool(), "-m", "repo2docker", "--no-build", "--debug", *USER, repository]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    if done.returncode:
        raise RuntimeError(f"repo2docker refused {repository}:\n{done.stdout}{done.stderr}")
    said = done.stdout + done.stderr
    return said[said.index("FROM ") :]


def steps(text: str) -> list[tuple[str, str]]:
    """The instructions of a Dockerfile in order, each with the user that it runs as."""
    user, found = "root", []
    for line in re.sub(r"\\\n", " ", re.sub(r"^\s*#.*\n", "", text, flags=re.M)).splitlines():
        if line.startswith("USER "):
            user = line.removeprefix("USER ").strip()
        elif line.strip():
            found.append((user, " ".join(line.split())))
    return found


def check(text: str) -> None:
    """Raises AssertionError unless the plan is the one that `rehearse` goes through."""
    plan = steps(text)

    def at(pattern: str, user: str) -> int:
        places = [i for i, (who, what) in enumerate(plan) if who == user and re.search(pattern, what)]
        assert len(places) == 1, f"{pattern!r} by {user}: {len(places)} times in the plan"
        return places[0]

    order = [
        at(r"env update .*--file \"binder/environment\.yml\"", "${NB_USER}"),
        at(r"^COPY --chown=1000:1000 src/ \$\{REPO_DIR\}/$", "root"),
        at(r"^RUN \./binder/postBuild$", "${NB_USER}"),
        at(r"^ENV R2D_ENTRYPOINT=\"\$\{REPO_DIR\}/binder/start\"$", "${NB_USER}"),
        at(r"^CMD \[\"jupyter\", \"notebook\"", "${NB_USER}"),
    ]
    assert order == sorted(order), f"the steps are in another order: {order}"
    assert not any("requirements.txt" in what or "pip install" in what for _, what in plan), "another file is picked up"


def image_versions() -> dict[str, str]:
    """What the image has before the repository comes: names and versions of repo2docker's lock file for Python 3.11."""
    code = "import repo2docker, pathlib; print(pathlib.Path(repo2docker.__file__).parent / 'buildpacks' / 'conda')"
    folder = Path(subprocess.run([tool(), "-c", code], capture_output=True, text=True, check=True).stdout.strip())
    lock = (folder / "environment.py-3.11-linux-64.lock").read_text()
    return {match["name"]: match["version"] for match in _PACKAGE.finditer(lock)}
