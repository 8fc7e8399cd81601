"""Patching over many pairs as the browser sees it: means with intervals, and the pairs behind a cell."""

from __future__ import annotations

from typing import Any

import traitlets as t

from . import front
from .base import Widget
from .patching import METRICS


class PairsWidget(Widget):
    """Layers x positions of mean effects over `N` pairs. `S` kinds of site, `L` layers, `C` columns."""

    _esm = front.module("pairs.js")

    pairs = t.List(t.Dict()).tag(sync=True)
    """`{clean, corrupt, answer, foil}` of each pair, as texts."""

    columns = t.List(t.Dict()).tag(sync=True)
    """One a grid column: `{position, last, token, varies}`: the span that is patched, the text there in the first pair, and
    whether it is another one in other pairs."""

    done = t.Int(0).tag(sync=True)
    """Pairs that are patched so far."""

    right = t.Dict().tag(sync=True)
    """`{clean, corrupt}`: of the pairs done, how many clean prompts prefer the answer and how many corrupt ones the foil."""

    direction = t.Unicode("denoise").tag(sync=True)
    """denoise: clean activations go into corrupt prompts; noise: the other way round."""

    sites = t.List(t.Unicode()).tag(sync=True)
    """Kinds of site: one grid each."""

    site = t.Unicode("").tag(sync=True)
    """The kind of site that is shown."""

    layers = t.List(t.Int()).tag(sync=True)
    """Layer of each grid row, top to bottom."""

    metric = t.Enum(METRICS, "recovery").tag(sync=True)
    """What the grid shows the mean of."""

    mean = t.Bytes(b"").tag(sync=True)
    """float32 [S, L, C]: mean over pairs of the metric shown; NaN where not computed or undefined."""

    low = t.Bytes(b"").tag(sync=True)
    """float32 [S, L, C]: lower end of the 95% bootstrap interval."""

    high = t.Bytes(b"").tag(sync=True)
    """float32 [S, L, C]: upper end of it."""

    p = t.Bytes(b"").tag(sync=True)
    """float32 [S, L, C]: sign-flip test."""

    q = t.Bytes(b"").tag(sync=True)
    """float32 [S, L, C]: p, corrected for the number of cells."""

    level = t.Float(0.05).tag(sync=True)
    """Cells with a larger q are hatched: they may be zero."""

    baseline = t.Bytes(b"").tag(sync=True)
    """float32 [S, L, C]: mean of patching from a random other pair; empty if not asked for."""

    scale = t.Float(0.0).tag(sync=True)
    """The colours run from minus this to plus this."""

    checks = t.List(t.Dict()).tag(sync=True)
    """What shows that the patches did what they say: `{name, passed, text}` each."""

    cell: t.List[Any] = t.List().tag(sync=True)
    """Selected cell `[site, layer, position]`, or empty."""

    positions = t.List(t.Int()).tag(sync=True)
    """Positions of the selected column, ascending. Link this between panels."""

    dots = t.Dict().tag(sync=True)
    """The selected cell pair by pair: `{values: [N], baseline: [N], low, high}`, null where unknown, and the ends of the axis."""

    pair = t.Int(-1).tag(sync=True)
    """Selected pair, -1 for none."""
