"""Steering as the browser sees it: a prompt, what is done to it, curves over strengths, and the texts side by side."""

from __future__ import annotations

import traitlets as t

from . import front
from .base import Widget

METRICS = ("logit_difference", "probability", "kl", "fluency")
MODES = ("add", "project_out", "clamp", "ablate")
WHERE = ("all", "prompt", "new")


class SteeringWidget(Widget):
    """A dose-response curve and its texts. `S` strengths, `M` metrics (4, in the order of `METRICS`)."""

    _esm = front.module("steering.js")

    text = t.Unicode("").tag(sync=True)
    """The prompt as typed."""

    site = t.Unicode("").tag(sync=True)
    """Where it is steered, as typed: one site, several joined by "+", or a range of layers as in `resid_post.12-17`."""

    answer = t.Unicode("").tag(sync=True)
    """The token whose probability is shown, as typed; empty: the likeliest one."""

    foil = t.Unicode("").tag(sync=True)
    """What its logit is compared with; empty: the second likeliest."""

    mode = t.Enum(MODES, "add").tag(sync=True)
    """How: see `methods.steered_runs`. Takes effect with the next run, as do `where`, `positions` and `atom`."""

    where = t.Enum(WHERE, "all").tag(sync=True)
    """all: tokens of the prompt and new ones; prompt, new: only these."""

    positions = t.List(t.Int()).tag(sync=True)
    """Selected positions of the prompt, ascending: those that are steered; empty: all but masked ones."""

    atom = t.Int(-1).tag(sync=True)
    """The atom that steers, where the direction is one of a dictionary; else -1."""

    atoms = t.Int(0).tag(sync=True)
    """Number of atoms of that dictionary; 0 without one."""

    direction = t.Dict().tag(sync=True)
    """Of what is shown: `{name, made, norm}`: the direction's name, how it was made, its length."""

    stale = t.Bool(False).tag(sync=True)
    """Whether a setting was changed since the run that is shown."""

    tokens = t.List(t.Unicode()).tag(sync=True)
    """Exact text of every token of the prompt."""

    token_ids = t.List(t.Int()).tag(sync=True)
    """Vocabulary id of each."""

    masked = t.List(t.Int()).tag(sync=True)
    """Positions that are not steered unless they are selected: attention sinks, `<s>`."""

    measured = t.List(t.Unicode()).tag(sync=True)
    """Answer and foil that the shown metrics are of, as tokens."""

    strengths = t.List(t.Float()).tag(sync=True)
    """The `S` strengths, ascending."""

    norm_ratio = t.List(t.Float()).tag(sync=True)
    """Per strength the median of |change| / |activation|."""

    strength = t.Float(0.0).tag(sync=True)
    """The strength whose text is shown: one of `strengths`."""

    metric = t.Enum(METRICS, "logit_difference").tag(sync=True)
    """What the curve shows."""

    given = t.Bytes(b"").tag(sync=True)
    """float32 [M, S]: the given direction; NaN where not run yet."""

    random = t.Bytes(b"").tag(sync=True)
    """float32 [R, M, S], R = 3: mean, least and largest of the random directions; NaN where not run yet."""

    seeds = t.List(t.Int()).tag(sync=True)
    """Seeds of the random directions."""

    baseline = t.List(t.Float()).tag(sync=True)
    """The unsteered run: one number a metric; empty before the first run."""

    levels = t.List(t.List(t.Float())).tag(sync=True)
    """Per metric the round numbers that get a line, ascending: from below the least value shown to above the largest."""

    said = t.Dict().tag(sync=True)
    """What the runs say: `baseline`, a list of tokens, and `given` and `random` (of the first seed), one entry a strength or null:
    `{tokens, differs, baseline_differs, first, shared}`. A token is `{token, token_id, probability}`; `differs` says of each
    whether it lies outside what both texts share, `first` is the index of the first that does or null, `shared` how many do not.
    `gap` stands before each token: a space where tokens are whole words."""

    checks = t.List(t.Dict()).tag(sync=True)
    """What shows that steering did what it says: `{name, passed, text}` each."""
