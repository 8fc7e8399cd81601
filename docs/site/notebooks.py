"""The notebooks with their outputs on SmolLM2, executed once for each state of notebook and package.

tests/test_notebooks.py executes all of them anyway and leaves them here; `make docs` executes those that it does not find.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from pathlib import Path

import nbformat

ROOT = Path(__file__).parents[2]
BUILD = ROOT / ".build" / "docs"
EXECUTED = BUILD / "executed"
SECONDS = 600
"""For one cell."""


def fingerprint(*paths: Path) -> str:
    """A name for the content of files and of everything in folders, without the bundled weights."""
    digest = hashlib.sha256()
    for path in paths:
        for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
            if file.is_file() and not {"__pycache__", "assets"} & set(file.parts):
                digest.update(file.relative_to(ROOT).as_posix().encode() + b"\0" + file.read_bytes())
    return digest.hexdigest()[:12]


def state(*paths: Path) -> str:
    """A name for results that rest on these files and on the model that is there."""
    from interp_widgets.session import known

    return fingerprint(*paths) + ("-smollm2" if known.cached("smollm2-135m") else "-toy")


def place(path: Path) -> Path:
    """Where the executed copy of a notebook is, or would be, in the present state of everything."""
    of = state(path, ROOT / "interp_widgets", Path(__file__).with_name("startup.py"))
    return EXECUTED / f"{path.stem}-{of}.ipynb"


def prepare(ipython: Path) -> None:
    """Give the kernels that are started with this IPYTHONDIR what lets them show charts as HTML."""
    folder = ipython / "profile_default" / "startup"
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copy(Path(__file__).with_name("startup.py"), folder)


def keep(notebook: nbformat.NotebookNode, path: Path) -> None:
    """Keep an executed notebook, without the state of its widgets, in place of an older copy."""
    EXECUTED.mkdir(parents=True, exist_ok=True)
    for older in EXECUTED.glob(f"{path.stem}-*.ipynb"):
        older.unlink()
    notebook.metadata.pop("widgets", None)
    nbformat.write(notebook, place(path))


def execute(path: Path) -> None:
    """Run a notebook in a fresh kernel and keep it."""
    from nbclient import NotebookClient

    ipython = BUILD / "ipython"
    prepare(ipython)
    os.environ |= {"IPYTHONDIR": str(ipython), "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    notebook = nbformat.read(path, as_version=4)
    folder = BUILD / "run"
    folder.mkdir(parents=True, exist_ok=True)
    resources = {"metadata": {"path": str(folder)}}
    NotebookClient(notebook, timeout=SECONDS, kernel_name="python3", resources=resources).execute()
    keep(notebook, path)


def executed(path: Path, *, any_state: bool = False) -> nbformat.NotebookNode:
    """The notebook with its outputs. `any_state`: take an older copy rather than execute."""
    older = sorted(EXECUTED.glob(f"{path.stem}-*.ipynb")) if any_state else []
    if not place(path).exists() and not older:
        print(f"docs: executing {path.name}", flush=True)
        execute(path)
    notebook = nbformat.read(older[0] if older else place(path), as_version=4)
    notebook.metadata["hide-toc"] = True  # for the theme: room for the panels
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs = [output for output in cell.outputs if _is_for_readers(output)]
    return notebook


def _is_for_readers(output: nbformat.NotebookNode) -> bool:
    """Takes the forms of a live widget away, so that the saved one is left; a progress bar was nothing else."""
    data = output.get("data", {})
    data.pop("application/vnd.interp-widgets+json", None)
    live = data.pop("application/vnd.jupyter.widget-view+json", None)
    return live is None or "text/html" in data
