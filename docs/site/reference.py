"""The pages of the reference, written from what the package has: every public name is on one of them."""

from __future__ import annotations

import inspect

import interp_widgets as iw
from interp_widgets.frames import Schema

GROUPS = {
    "models": ("Models", ["load", "Session", "Architecture", "models", "jobs", "resume"]),
    "panels": (
        "Panels",
        ["Lens", "Atoms", "Attention", "Patching", "PatchingPairs", "Steering", "Audit", "Shift", "Agreement", "Explorer",
         "Examples"],
    ),
    "dictionaries": (
        "Dictionaries and corpora",
        ["load_sae", "sae.dictionary.Dictionary", "train_sae", "corpus", "open_corpus", "sae.corpus.reader.Corpus",
         "audit", "read_examples", "to_neuronpedia", "read_neuronpedia"],
    ),
    "graphs": ("Circuit graphs", ["Graph", "read_graph"]),
    "sharing": ("Sharing", ["to_html", "export.fragment"]),
}  # fmt: skip
"""By page: its title and the names on it. A public name that is in no group is added to the page `more`."""

ABOUT = {
    "models": "What opens a model, and what it is once it is open.",
    "panels": "Each panel has a page on how to read it and on the columns of its frame; here are its calls.",
    "dictionaries": "Sparse autoencoders, where their atoms fire, and how they are trained, measured and passed on.",
    "graphs": "A circuit as it is shown, and its files. See :doc:`/graphs`.",
    "sharing": "One file or fragment of panels and charts. See :doc:`/embedding`.",
}
CONTRACT = "What every panel has"


def pages() -> dict[str, str]:
    """File name to text."""
    grouped = {name for _, names in GROUPS.values() for name in names}
    more = [name for name in iw.__all__ if name not in {*grouped, "errors", "frames", "methods"}]
    groups = GROUPS | ({"more": ("More", more)} if more else {})
    written = {f"{page}.rst": _group(page, title, names) for page, (title, names) in groups.items()}
    written |= {"methods.rst": _methods(), "frames.rst": _frames(), "errors.rst": _errors()}
    order = [
        "models",
        "panels",
        "methods",
        "dictionaries",
        "graphs",
        "sharing",
        "frames",
        "errors",
        *(["more"] if more else []),
    ]
    return written | {"index.rst": _index(order)}


def _index(order: list[str]) -> str:
    return _title("Reference") + (
        "Every public name, from its docstring. ``import interp_widgets as iw`` loads none of it until it is used.\n\n"
        ".. toctree::\n   :maxdepth: 1\n\n" + "".join(f"   {page}\n" for page in order)
    )


def _group(page: str, title: str, names: list[str]) -> str:
    text = _title(title) + ABOUT.get(page, "") + "\n\n"
    if page == "panels":
        text += (
            _title(CONTRACT, "-")
            + ".. autoclass:: interp_widgets.panels.panel::Instrument\n   :members:\n   :exclude-members: __init__, movable\n\n"
        )
    return text + "".join(_entry(name) for name in names)


def _entry(name: str) -> str:
    value: object = iw
    for part in name.split("."):
        value = getattr(value, part, None) or __import__(f"interp_widgets.{name.rpartition('.')[0]}", fromlist=["_"])
    path = f"interp_widgets.{name}"
    module, _, last = path.rpartition(".")
    if not inspect.isclass(value):
        return f".. autofunction:: {module}::{last}\n\n"
    return f".. autoclass:: {module}::{last}\n   :members:\n   :special-members: __init__\n\n"


def _methods() -> str:
    names = [
        name
        for name, value in sorted(vars(iw.methods).items())
        if not name.startswith("_") and inspect.isfunction(value)
    ]
    classes = [
        name for name, value in sorted(vars(iw.methods).items()) if inspect.isclass(value) and not name.startswith("_")
    ]
    text = _title("Methods") + "``iw.methods``: a session goes in, a checked frame comes out.\n\n"
    return text + "".join(_entry(f"methods.{name}") for name in [*names, *classes])


def _frames() -> str:
    text = _title("Frames") + (
        "``iw.frames``: the columns of every frame. A column has one name and one type everywhere.\n\n"
    )
    for name, schema in vars(iw.frames).items():
        if name.isupper() and isinstance(schema, dict):
            text += f".. _frame-{name}:\n\n" + _title(name, "-") + _table(schema)
    return text


def _table(schema: Schema) -> str:
    rows = "".join(
        f"   * - ``{name}``\n     - {column.dtype}\n     - {_literal(column.doc)}{' (may be null)' if column.nullable else ''}\n"
        for name, column in schema.items()
    )
    return f".. list-table::\n   :header-rows: 1\n   :widths: 20 15 65\n\n   * - column\n     - type\n     - what\n{rows}\n"


def _literal(text: str) -> str:
    return text.replace("||", "‖").replace("*", r"\*").replace("|", r"\|").replace("`", "``")


def _errors() -> str:
    return _title("Errors") + (
        "``iw.errors``: what the package raises on purpose. A message says what was wrong, and what to do next.\n\n"
        ".. automodule:: interp_widgets.errors\n   :members:\n   :undoc-members:\n   :show-inheritance:\n"
    )


def _title(text: str, line: str = "=") -> str:
    return f"{text}\n{line * len(text)}\n\n"
