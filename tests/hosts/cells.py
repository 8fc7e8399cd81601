"""One cell for each panel, and the same cells as a notebook and as a marimo application."""

from __future__ import annotations

import textwrap
from pathlib import Path

import nbformat
from nbformat.v4 import new_code_cell, new_notebook

SET_UP = """
import os
os.environ["OMP_NUM_THREADS"] = "1"
import polars as pl
import interp_widgets as iw
from interp_widgets.lab.biographies import toy_biographies
model = iw.load("toy-grammar")
sae = iw.load_sae("toy-grammar/resid_post.2")
text = "the keys to the cabinet are on the table ."
clean = "when mary and john went to the store , john gave a drink to"
corrupt = "when mary and john went to the store , mary gave a drink to"
texts = toy_biographies(train=20, test=20)
pairs = pl.DataFrame({"clean": [clean, corrupt], "corrupt": [corrupt, clean], "answer": ["mary", "john"], "foil": ["john", "mary"]})
"""

PANELS = {
    "lens": "lens = iw.Lens(model, text)\nlens",
    "atoms": "iw.Atoms(model, text, sae=sae)",
    "attention": "iw.Attention(model, text)",
    "patching": 'iw.Patching(model, clean=clean, corrupt=corrupt, answer="mary", foil="john")',
    "pairs": "iw.PatchingPairs(model, pairs, positions=[10, -1])",
    "steering": 'iw.Steering(model, "the keys to the", direction=sae.direction(7), site="resid_post.2", strengths=[4], tokens=3)',
    "circuit": 'iw.Circuit(model, "the keys to the", "the key to the", answer="cabinet", foil="cabinets", edges=5)',
    "shift": 'iw.Shift(model, texts, site="resid_post.2", dictionaries=[sae], texts=8, steps=1)',
    "agreement": "iw.Agreement(model, model, text)",
    "audit": "iw.Audit(model, [text] * 8, sae=sae, tokens=80, loss_tokens=40, baselines=False)",
    "explorer": "iw.Explorer(model, text, sae=sae)",
    "chart": "lens.run()\nlens.chart",
}
"""What ends each cell is shown."""


def notebook(folder: Path, name: str = "panels") -> Path:
    """A notebook with every panel, not run."""
    written = new_notebook(cells=[new_code_cell(code.strip()) for code in (SET_UP, *PANELS.values())])
    written.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
    path = folder / f"{name}.ipynb"
    nbformat.write(written, path)
    return path


def marimo(folder: Path) -> Path:
    """A marimo application with every panel: the lens in `mo.ui.anywidget`, so that another cell hears of it; the rest bare."""
    names = "clean, corrupt, iw, model, pairs, sae, text, texts"

    def cell(arguments: str, code: str, gives: str = "") -> str:
        body = textwrap.indent(code.strip(), "    ")
        return f"@app.cell\ndef _({arguments}):\n{body}\n    return {f'({gives},)' if gives else ''}\n\n"

    lens = "lens = mo.ui.anywidget(iw.Lens(model, text))\nlens"
    hears = "mo.md(f\"positions heard: {lens.value.get('positions')}\")"
    chart = "lens.widget.run()\nlens.widget.chart"
    rest = [cell(names, code) for name, code in PANELS.items() if name not in {"lens", "chart"}]
    text = (
        'import marimo\n\napp = marimo.App(width="medium")\n\n\n'
        + cell("", f"{SET_UP}\nimport marimo as mo", f"{names}, mo")
        + cell("iw, mo, model, text", lens, "lens")
        + cell("lens, mo", hears)
        + "".join(rest)
        + cell("lens", chart)
    )
    path = folder / "panels.py"
    path.write_text(text, encoding="utf-8")
    return path
