"""The lens as the browser sees it: a grid of layers x positions, a chart of lines, a list of tokens."""

from __future__ import annotations

import traitlets as t

from . import front
from .base import Widget

COLORS = ("probability", "entropy", "kl", "rank")


class LensWidget(Widget):
    """Layers x positions of predicted tokens. `L` layers, `W` positions shown, `K` tokens a cell, `M` lines a position."""

    _esm = front.module("lens.js")

    text = t.Unicode("").tag(sync=True)
    """The prompt as typed."""

    tokens = t.List(t.Unicode()).tag(sync=True)
    """Exact text of every prompt token, all positions."""

    token_ids = t.List(t.Int()).tag(sync=True)
    """Vocabulary id of every prompt token."""

    masked = t.List(t.Int()).tag(sync=True)
    """Positions left out of colour scales (attention sinks); marked in the strip."""

    window = t.List(t.Int(), [0, 0]).tag(sync=True)
    """`[start, stop)`: the positions that the grid shows, `W = stop - start`."""

    layers = t.List(t.Int()).tag(sync=True)
    """Layer of each grid row, top to bottom; the last row is the model's output."""

    vocabulary = t.List(t.Unicode()).tag(sync=True)
    """Texts that the tables below refer to by index. Two ids with equal text are two entries."""

    vocabulary_ids = t.List(t.Int()).tag(sync=True)
    """Vocabulary id of each entry of `vocabulary`."""

    top_k = t.Int(0).tag(sync=True)
    """`K`."""

    top_index = t.Bytes(b"").tag(sync=True)
    """int32 [L, W, K]: index into `vocabulary`, most likely first."""

    top_probability = t.Bytes(b"").tag(sync=True)
    """float32 [L, W, K]."""

    entropy = t.Bytes(b"").tag(sync=True)
    """float32 [L, W], nats."""

    kl = t.Bytes(b"").tag(sync=True)
    """float32 [L, W], KL(final layer || this layer), nats."""

    rank = t.Bytes(b"").tag(sync=True)
    """float32 [L, W]: rank of the token `tracked`, 1 is most likely."""

    tracked = t.Dict({"token_id": -1, "token": ""}).tag(sync=True)
    """The token whose rank colours the grid: `token_id`, `token`."""

    scales = t.Dict().tag(sync=True)
    """Per colour `[low, high]`, masked positions left out. `rank` is drawn on a log scale."""

    lines_index = t.Bytes(b"").tag(sync=True)
    """int32 [W, M]: index into `vocabulary` of the tokens with a stored line, -1 for none."""

    lines = t.Bytes(b"").tag(sync=True)
    """unit16 [W, M, L]: probability of those tokens at each layer, to 1/131,070."""

    extra_lines = t.List(t.Dict()).tag(sync=True)
    """Lines asked for beside the stored ones: `{position, token_id, token, probability: [L numbers]}`."""

    color = t.Enum(COLORS, "probability").tag(sync=True)
    """What the cells are coloured by."""

    positions = t.List(t.Int()).tag(sync=True)
    """Selected token positions, ascending; a span has several. Link this between panels."""

    cell = t.List(t.Int()).tag(sync=True)
    """Selected grid cell `[layer, position]`, or empty."""

    pins = t.List(t.List(t.Int())).tag(sync=True)
    """Pinned lines `[position, token_id]`, in the order they were pinned."""
