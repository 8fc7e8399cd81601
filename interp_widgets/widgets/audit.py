"""An audit as the browser sees it: a table of numbers with intervals, and three small plots."""

from __future__ import annotations

import traitlets as t

from . import front
from .base import Widget


class AuditWidget(Widget):
    """`D` dictionaries, `S` sources of text, `Q` quantities, `C` columns of the table, `B` columns of the histogram."""

    _esm = front.module("audit.js")

    text = t.Unicode("").tag(sync=True)
    """The text that is looked at by itself; empty for none."""

    dictionaries = t.List(t.Dict()).tag(sync=True)
    """`{name, site, width, k, done, total}` of each: `k` numbers a token in its baselines, windows done of `total`."""

    dictionary = t.Int(0).tag(sync=True)
    """Index of the one that is shown."""

    sources = t.List(t.Unicode()).tag(sync=True)
    """Sources of text: "all", their names, and "this text" if there is one."""

    source = t.Unicode("all").tag(sync=True)
    """The source whose baselines are shown."""

    quantities = t.List(t.Dict()).tag(sync=True)
    """`{name, label, format, definition}` of each row; `format` is share, number, count or small."""

    quantity = t.Unicode("explained_variance").tag(sync=True)
    """The selected row."""

    columns = t.List(t.Unicode()).tag(sync=True)
    """sae, pca, random, identity, and for the loss model, mean and zero."""

    values = t.Bytes(b"").tag(sync=True)
    """float32 [D, S, Q, C, 3]: value and the two ends of its interval; NaN where there is none."""

    counts = t.Bytes(b"").tag(sync=True)
    """int32 [D, S, Q]: tokens or predictions that each row is measured on; -1 where it is not measured."""

    edges = t.List(t.Float()).tag(sync=True)
    """[B - 1]: upper end of each column of the histogram but the first, which is of atoms that never fire."""

    histogram = t.Bytes(b"").tag(sync=True)
    """int32 [D, S, B]: atoms by density."""

    bin = t.Int(-1).tag(sync=True)
    """Selected column of the histogram, -1 for none."""

    listed = t.List(t.Int()).tag(sync=True)
    """Atoms of that column, the densest first; at most 60."""

    curves = t.List(t.Dict()).tag(sync=True)
    """[D]: what atoms and errors do to an answer: `{answer, foil, model, nothing, share, kept, with_errors, without_errors, low,
    high}`; empty without a text."""

    atom = t.Int(-1).tag(sync=True)
    """Atom whose effect over contexts is shown, -1 for none."""

    spread = t.Dict().tag(sync=True)
    """That effect: `{dictionary, atom, strength, token, summary, values, random, random_token, contexts, low, high, from, to}`.

    Where a wider dictionary was given, also `split`, its set there: `{wider, rows of (atom, cosine, together), explained, n}`."""

    context = t.Int(-1).tag(sync=True)
    """Selected one of these contexts, -1 for none."""
