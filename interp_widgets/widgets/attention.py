"""Attention as the browser sees it: a thumbnail and scores of every head, and the whole patterns of one layer."""

from __future__ import annotations

import traitlets as t

from . import front
from .base import Widget

SCORES = ("induction", "previous_token", "duplicate_token", "first_token", "entropy", "effect")
SORTS = ("layer", *SCORES)


class AttentionWidget(Widget):
    """Heads to choose from and one to read. `L` layers, `H` heads a layer, `S` scores, `N` cells of a triangle.

    A triangle of n rows is sent row by row, n (n + 1) / 2 cells: row q has the keys 0 to q. Its bytes are 255 times the square root
    of a share, so that small weights keep some precision.
    """

    _esm = front.module("attention.js")

    text = t.Unicode("").tag(sync=True)
    """The text as typed."""

    tokens = t.List(t.Unicode()).tag(sync=True)
    """Exact text of every token."""

    token_ids = t.List(t.Int()).tag(sync=True)
    """Vocabulary id of every token."""

    layers = t.List(t.Int()).tag(sync=True)
    """The layers, lowest first."""

    head_count = t.Int(0).tag(sync=True)
    """`H`."""

    scores = t.Bytes(b"").tag(sync=True)
    """float32 [S, L, H]: `SCORES` in their order; NaN where undefined or not measured."""

    effect_of = t.Unicode("").tag(sync=True)
    """What the score `effect` is the effect on, in words; empty when none was measured."""

    thumbnail = t.Int(0).tag(sync=True)
    """Rows of a thumbnail."""

    thumbnails = t.Bytes(b"").tag(sync=True)
    """uint8 [L, H, N]: pooled weights without key 0; N of `thumbnail` rows."""

    loaded = t.Int(-1).tag(sync=True)
    """The layer that `patterns` is of; -1 for none."""

    patterns = t.Bytes(b"").tag(sync=True)
    """uint8 [H, N]: weights of that layer's heads, 255 for 1; N of as many rows as there are tokens."""

    peaks = t.Bytes(b"").tag(sync=True)
    """float32 [H]: each head's largest weight beside query 0 and key 0, where its colour scale ends."""

    valued = t.Int(-1).tag(sync=True)
    """The layer that `values` is of; -1 for none."""

    values = t.Bytes(b"").tag(sync=True)
    """uint8 [H, N]: value-weighted weights of that layer's heads, 255 for `value_tops`."""

    value_tops = t.Bytes(b"").tag(sync=True)
    """float32 [H]: each head's largest value-weighted weight."""

    value_peaks = t.Bytes(b"").tag(sync=True)
    """float32 [H]: the same beside query 0 and key 0."""

    head = t.List(t.Int()).tag(sync=True)
    """The head shown, `[layer, head]`, or empty."""

    sort = t.Enum(SORTS, "layer").tag(sync=True)
    """The order of the heads: by layer, or largest score first (`effect`: largest in size)."""

    value_weighted = t.Bool(False).tag(sync=True)
    """Whether weights are multiplied by the length of what the value adds."""

    leave_first = t.Bool(True).tag(sync=True)
    """Whether key 0, the usual sink, is left out of the colour scale."""

    query_range = t.List(t.Int()).tag(sync=True)
    """`[start, stop)` of the queries shown; empty for all."""

    key_range = t.List(t.Int()).tag(sync=True)
    """`[start, stop)` of the keys shown; empty for all."""

    positions = t.List(t.Int()).tag(sync=True)
    """Selected queries, ascending. Link this between panels."""

    key_positions = t.List(t.Int()).tag(sync=True)
    """The selected key, or none."""

    answer = t.Unicode("").tag(sync=True)
    """The token whose effect is measured; empty for what the model predicts."""

    foil = t.Unicode("").tag(sync=True)
    """The token it is compared with; empty for none."""
