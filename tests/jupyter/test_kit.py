"""The kit that drives JupyterLab does what it says."""

import json

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook

from tests import jupyterlab

pytestmark = [pytest.mark.browser, pytest.mark.slow]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Two notebooks: one with a widget, one whose second cell fails."""
    root = tmp_path_factory.mktemp("notebooks")
    button = (
        "import ipywidgets as w\n"
        "button, label = w.Button(description='press'), w.Label('waiting')\n"
        "button.on_click(lambda _: setattr(label, 'value', 'pressed'))\n"
        "w.VBox([button, label])"
    )
    for name, cells in {"good": ["40 + 2", button], "bad": ["1", "raise ValueError('as planned')", "3"]}.items():
        notebook = new_notebook(cells=[new_code_cell(cell) for cell in cells])
        notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
        nbformat.write(notebook, root / f"{name}.ipynb")
    return root


def test_a_notebook_runs_a_widget_answers_and_the_file_is_saved(lab_url, lab_page, folder):
    jupyterlab.open_notebook(lab_page, lab_url(folder), "good.ipynb")
    jupyterlab.run_all(lab_page)
    lab_page.get_by_role("button", name="press").click()
    lab_page.get_by_text("pressed", exact=True).wait_for()
    for dark in (True, False):
        jupyterlab.set_theme(lab_page, dark=dark)
    jupyterlab.save(lab_page)
    saved = json.loads((folder / "good.ipynb").read_text())
    assert saved["cells"][0]["outputs"][0]["data"]["text/plain"] == ["42"]


def test_a_cell_that_fails_fails_the_run(lab_url, lab_page, folder):
    jupyterlab.open_notebook(lab_page, lab_url(folder), "bad.ipynb")
    with pytest.raises(AssertionError, match="as planned"):
        jupyterlab.run_all(lab_page)
