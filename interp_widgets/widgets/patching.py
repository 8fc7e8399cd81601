"""Activation patching as the browser sees it: two aligned prompts and a grid of effects per kind of site."""

from __future__ import annotations

from typing import Any

import traitlets as t

from . import front
from .base import Widget

METRICS = ("logit_difference", "probability", "recovery")
DIRECTIONS = ("denoise", "noise")


class PatchingWidget(Widget):
    """Layers x positions of patching effects. `S` kinds of site, `L` layers, `P` positions of the patched prompt, `K` tokens
    a cell."""

    _esm = front.module("patching.js")

    clean = t.Unicode("").tag(sync=True)
    """The clean prompt as typed."""

    corrupt = t.Unicode("").tag(sync=True)
    """The corrupt prompt as typed."""

    answer = t.Unicode("").tag(sync=True)
    """The answer as typed; must be one token."""

    foil = t.Unicode("").tag(sync=True)
    """The foil as typed; must be one token."""

    clean_tokens = t.List(t.Unicode()).tag(sync=True)
    """Exact text of every clean token."""

    corrupt_tokens = t.List(t.Unicode()).tag(sync=True)
    """Exact text of every corrupt token; the grid has one column for each."""

    clean_ids = t.List(t.Int()).tag(sync=True)
    """Vocabulary ids of the clean tokens."""

    corrupt_ids = t.List(t.Int()).tag(sync=True)
    """Vocabulary ids of the corrupt tokens."""

    alignment = t.List(t.List(t.Int())).tag(sync=True)
    """Pairs `[clean position, corrupt position]`, both ascending. A corrupt position in no pair is not patched."""

    alignment_note = t.Unicode("").tag(sync=True)
    """Why the prompts do not line up one to one, and what to do; empty when they do."""

    sites = t.List(t.Unicode()).tag(sync=True)
    """Kinds of site, e.g. resid_post, attn_out, mlp_out: one grid each."""

    site = t.Unicode("").tag(sync=True)
    """The kind of site that is shown."""

    layers = t.List(t.Int()).tag(sync=True)
    """Layer of each grid row, top to bottom."""

    metric = t.Enum(METRICS, "logit_difference").tag(sync=True)
    """What the grid shows: the effect on the logit difference, the effect on the answer's probability, or the recovery."""

    logit_difference = t.Bytes(b"").tag(sync=True)
    """float32 [S, L, P]: patched minus corrupt logit(answer) - logit(foil); NaN where not computed (yet)."""

    estimate = t.Bytes(b"").tag(sync=True)
    """float32 [S, L, P]: first-order estimate of `logit_difference` where it is not computed yet, else NaN; empty without one."""

    probability = t.Bytes(b"").tag(sync=True)
    """float32 [S, L, P]: patched minus corrupt probability of the answer; NaN where not computed (yet)."""

    recovery = t.Bytes(b"").tag(sync=True)
    """float32 [S, L, P]: (patched - corrupt) / (clean - corrupt) of the logit difference; NaN where undefined or not computed."""

    scales = t.Dict().tag(sync=True)
    """Per metric the largest magnitude over all grids, and at least the tolerance: the colour scale runs from minus that to
    plus that."""

    vocabulary = t.List(t.Unicode()).tag(sync=True)
    """Texts that `top_index` refers to."""

    vocabulary_ids = t.List(t.Int()).tag(sync=True)
    """Vocabulary id of each entry of `vocabulary`."""

    top_k = t.Int(0).tag(sync=True)
    """`K`."""

    top_index = t.Bytes(b"").tag(sync=True)
    """int32 [S, L, P, K]: the likeliest next tokens of the patched run, index into `vocabulary`, -1 where not computed."""

    top_probability = t.Bytes(b"").tag(sync=True)
    """float32 [S, L, P, K]."""

    baselines = t.Dict().tag(sync=True)
    """`clean` and `corrupt`, each `{logit_difference, probability, top: [{token_id, token, probability}]}`; empty before a run."""

    unaffected = t.List(t.Int()).tag(sync=True)
    """Positions of the patched prompt before the first difference: zero by causality, not computed."""

    checks = t.List(t.Dict()).tag(sync=True)
    """What shows that the patches did what they say: `{name, passed, text}` each; empty before a run."""

    direction = t.Enum(DIRECTIONS, "denoise").tag(sync=True)
    """denoise: the corrupt prompt is patched with clean activations; noise: the other way round. The grid's columns are the
    tokens of the prompt that is patched."""

    history = t.List(t.Unicode()).tag(sync=True)
    """Names of the results that can be shown again, in the order in which they were asked for."""

    history_at = t.Int(-1).tag(sync=True)
    """Which of them is shown."""

    frozen = t.List(t.Int()).tag(sync=True)
    """Positions of the patched prompt that are held as they were when one cell is patched; the grid is without it."""

    origin: t.List[Any] = t.List().tag(sync=True)
    """The cell `[site, layer, position]` whose source activation goes into the selected cell; empty: its own."""

    patch = t.Dict().tag(sync=True)
    """The selected cell's run: `{place: {cell, origin, frozen}, pending, failed, effect, top, said}`; `effect` and `top` only if
    it is moved or positions are frozen; `said` has for clean, corrupt and patched the tokens that follow."""

    cell: t.List[Any] = t.List().tag(sync=True)
    """Selected cell `[site, layer, position]`, or empty."""

    positions = t.List(t.Int()).tag(sync=True)
    """Selected positions of the patched prompt, ascending. Link this between panels."""
