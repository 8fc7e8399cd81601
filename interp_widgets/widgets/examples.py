"""Examples of where atoms fire as the browser sees them: those of one atom at a time."""

from __future__ import annotations

import traitlets as t

from . import front
from .base import Widget


class ExamplesWidget(Widget):
    """A table of examples, atom by atom."""

    _esm = front.module("examples.js")

    atoms = t.List(t.Int()).tag(sync=True)
    """The atoms that the table has examples of, in its order."""

    atom = t.Int(-1).tag(sync=True)
    """The atom shown; -1 for an empty table."""

    stored = t.Dict().tag(sync=True)
    """Atom (as text) -> its examples; see `panels/atoms_examples.py`. Of a large table, those that have been looked at."""
