"""A Binder image without Docker: the steps of its Dockerfile in a clean folder, then its notebooks, with their memory.

    python -m tests.binder.rehearse          everything (`make binder`)
    python -m tests.binder.rehearse plan     only what repo2docker would do

What stands in for what: a new environment with torch and the image's own Jupyter packages from pip for the one that conda makes,
since no conda is needed then; this machine for the container. As root, the steps run as user 1000, as on Binder.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.binder import plan
from tests.binder.memory import Watch, loads, megabytes

ROOT = plan.ROOT
UID = 1000
LIMITS = {"start.ipynb": 2000, "recorded.ipynb": 1000}
"""MB of memory, server and kernel together, that a notebook may take."""
SERVER = ("jupyterlab", "notebook", "jupyter_server", "jupyter_client", "jupyterhub", "ipykernel", "ipython", "ipywidgets",
          "tornado", "traitlets", "anyio", "jupyter-resource-usage")  # fmt: skip
"""Of the image's packages, those that have to do with ours."""
REPLACED = {"ipykernel", "jupyter_client", "tornado"}
"""What postBuild may replace: ipykernel 7.0 cannot be worked with (docs/decisions/dependencies.md), and the next one asks for newer
versions of the other two. `pip check` follows."""

say = print


class Image:
    """A folder with what a container would hold: the user's home, which is also the repository, and the environment."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.home, self.environment = folder / "home" / "jovyan", folder / "srv" / "notebook"
        self.python = self.environment / "bin" / "python"
        for each in (self.home.parent, self.environment.parent, folder / "tmp"):
            each.mkdir(parents=True, exist_ok=True)
        self._as_user: dict = {"user": UID, "group": UID, "extra_groups": []} if os.geteuid() == 0 else {}
        self._variables = {name: value for name, value in os.environ.items() if name.startswith(("PIP_", "SSL_"))} | {
            "HOME": str(self.home),
            "PATH": f"{self.python.parent}:/usr/bin:/bin",
            "LANG": "C.UTF-8",
            "TMPDIR": str(folder / "tmp"),
            "PYTHONUNBUFFERED": "1",
            "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        }

    def own(self, *folders: Path) -> None:
        """Give folders to the user, as COPY --chown does."""
        if self._as_user:
            subprocess.run(["chown", "-R", f"{UID}:{UID}", *folders], check=True)

    def start(self, *command: str | Path, **options) -> subprocess.Popen:
        """Start a command as the user, in the repository."""
        return subprocess.Popen([*map(str, command)], cwd=self.home, env=self._variables, **self._as_user, **options)

    def run(self, *command: str | Path) -> str:
        """The same, and wait; what it printed. Raises RuntimeError with that when it failed."""
        process = self.start(*command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        said, _ = process.communicate(timeout=1800)
        if process.returncode:
            raise RuntimeError(f"{' '.join(map(str, command))} failed:\n{said[-4000:]}")
        return said


def base_python() -> str:
    """A Python 3.11 that any user can run: the one of this project may lie in a home that is closed to others."""
    found = [path for path in ("/usr/bin/python3.11", shutil.which("python3.11"), sys.executable) if path]
    return next(path for path in found if Path(path).exists())


def build(image: Image) -> None:
    """The steps of the Dockerfile that depend on the repository."""
    versions = {**plan.image_versions()}
    versions["jupyterhub"] = versions["jupyterhub-base"]
    tested = dict(line.split("==") for line in (ROOT / ".ci/constraints.txt").read_text().splitlines() if "==" in line)
    stand_ins = [f"{name}=={versions[name]}" for name in SERVER] + [f"torch=={tested['torch']}"]
    say(f"environment: {' '.join(stand_ins)}")
    subprocess.run([base_python(), "-m", "venv", image.environment], check=True)
    commit = (
        subprocess.run(["git", "stash", "create"], cwd=ROOT, capture_output=True, text=True).stdout.strip() or "HEAD"
    )
    archive = subprocess.run(["git", "archive", commit], cwd=ROOT, capture_output=True, check=True).stdout
    image.home.mkdir()
    subprocess.run(["tar", "-x", "-C", image.home], input=archive, check=True)
    image.own(image.home.parent, image.environment.parent, image.folder / "tmp")
    image.run(image.python, "-m", "pip", "install", "--quiet", "--upgrade", "pip>=25.1")
    image.run(image.python, "-m", "pip", "install", "--quiet", "--no-cache-dir", *stand_ins)
    before = image.run(image.python, "-m", "pip", "freeze")
    started = time.monotonic()
    say(image.run("./binder/postBuild").strip())
    say(f"postBuild: {time.monotonic() - started:.0f} s")
    after = image.run(image.python, "-m", "pip", "freeze")
    changed = sorted(set(before.splitlines()) - set(after.splitlines()))
    say(f"replaced by postBuild: {changed}")
    assert {each.partition("==")[0] for each in changed} <= REPLACED, "postBuild replaced more than it should"
    say(image.run(image.python, "-m", "pip", "check").strip())
    left = image.run("find", ".", "-maxdepth", "1", "-newer", "binder/postBuild", "!", "-name", ".*").split()
    say(f"new in the user's folder: {left}")


def run_notebooks(image: Image, names: list[str]) -> list[tuple[str, float, float, bool, float]]:
    """Each notebook in a server of its own and a real browser: name, MB of the server alone, MB at most, torch, seconds."""
    from playwright.sync_api import sync_playwright

    from tests import jupyterlab
    from tests.browser import ARGUMENTS, chromium
    from tests.jupyter.notebooks import wait_for_panels

    rows = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium(), args=ARGUMENTS)
        for name in names:
            port = jupyterlab._free_port()
            log = image.folder / f"{name}.log"
            with log.open("w") as stream:
                server = image.start(
                    "binder/start", "jupyter", "notebook", "--ip=127.0.0.1", f"--port={port}", "--no-browser",
                    "--IdentityProvider.token=", "--ServerApp.password=", "--LabApp.expose_app_in_browser=True",
                    stdout=stream, stderr=subprocess.STDOUT,
                )  # fmt: skip
                try:
                    url = f"http://127.0.0.1:{port}"
                    jupyterlab._wait_until_up(url, server, log)
                    with Watch(server.pid) as watch:
                        page = browser.new_page(viewport={"width": 1300, "height": 950})
                        time.sleep(1)
                        alone = watch.peak
                        started = time.monotonic()
                        jupyterlab.open_notebook(page, url, f"notebooks/{name}")
                        jupyterlab.run_all(page, 300)
                        wait_for_panels(page, 300)
                        seconds = time.monotonic() - started
                        page.close()
                    rows.append((name, megabytes(alone), megabytes(watch.peak), loads(server.pid, "libtorch"), seconds))
                finally:
                    jupyterlab._stop(server)
        browser.close()
    return rows


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", nargs="?", default="all", choices=["plan", "all"])
    parser.add_argument("--keep", action="store_true", help="leave the folder of the image")
    chosen = parser.parse_args()

    plan.check(plan.dockerfile())
    say("plan: repo2docker takes binder/ and nothing else, and runs what is rehearsed here.")
    if chosen.part == "plan":
        return 0
    folder = Path(tempfile.mkdtemp(prefix="iw-binder-"))
    folder.chmod(0o755)
    say(f"image: {folder}")
    try:
        image = Image(folder)
        build(image)
        assert "model.safetensors" in image.run("ls", ".cache/interp_widgets/smollm2-135m"), (
            "SmolLM2 is not in the home"
        )
        names = [name for name in LIMITS if (image.home / "notebooks" / name).is_file()]
        rows = run_notebooks(image, names)
    finally:
        if not chosen.keep:
            shutil.rmtree(folder, ignore_errors=True)
    for name, alone, peak, torch, seconds in rows:
        say(f"{name}: server alone {alone:.0f} MB, with its kernel at most {peak:.0f} MB of {LIMITS[name]}, "
            f"{'torch loaded' if torch else 'no torch'}, {seconds:.0f} s")  # fmt: skip
        assert peak < LIMITS[name], f"{name} needs more memory than it may"
    return 0


if __name__ == "__main__":
    sys.exit(main())
