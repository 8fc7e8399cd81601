"""SHIFT as the browser sees it: a list of atoms to strike out, texts that they fire in, and a table of accuracies."""

from __future__ import annotations

import traitlets as t

from . import front
from .base import Widget


class ShiftWidget(Widget):
    """All of it is small and travels as JSON."""

    _esm = front.module("shift.js")

    site = t.Unicode("").tag(sync=True)
    """What the probe reads."""

    labels = t.List(t.Unicode()).tag(sync=True)
    """The two labels."""

    spurious = t.List(t.Unicode()).tag(sync=True)
    """What goes with each of them in the ambiguous split."""

    listed = t.List(t.Dict()).tag(sync=True)
    """The atoms of largest effect, and those that are struck, the largest effect first: `{node, site, atom, effect, low, high,
    active}`; `active` is the share of texts in which it fires."""

    node = t.Unicode("").tag(sync=True)
    """Name of the selected one; empty for none."""

    struck = t.List(t.Unicode()).tag(sync=True)
    """Names of those that are struck out. Setting it computes the accuracies anew."""

    words = t.List(t.Unicode()).tag(sync=True)
    """Texts of tokens."""

    texts = t.List(t.Dict()).tag(sync=True)
    """Texts that are shown: `{tokens, label, spurious}`, the tokens as indices into `words`. Those that are not of the
    ambiguous split have the label "elsewhere" and nothing that goes with it."""

    examples = t.Dict().tag(sync=True)
    """Of each atom listed, by its name: `{maximum, shown}`. `shown` has up to four texts of each label, of each the strongest
    first: `[text, mean, [[position, activation], ...]]`, with the mean over the tokens that count."""

    groups = t.List(t.List(t.Unicode())).tag(sync=True)
    """Columns of the table: the name of the group in the frame, and what it is called."""

    accuracy = t.List(t.Dict()).tag(sync=True)
    """Rows of the table: `{condition, name, nodes, draws, cells}`, a cell `{accuracy, low, high, n}` for each of `groups`. Where
    there are several draws they are the mean, the least and the most."""

    compared = t.Bool(False).tag(sync=True)
    """Whether the table has what the strike is compared with."""
