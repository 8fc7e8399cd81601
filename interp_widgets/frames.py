"""The columns: one polars schema per kind of result, in this one place.

Every method returns a checked frame. A column has one name everywhere; tokens are keyed by position and id, never by
their text, since two ids may have equal text.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import polars as pl

from .errors import FrameError


class Column(NamedTuple):
    """One column: its polars type, what it holds, and whether it may be null."""

    dtype: Any
    doc: str
    nullable: bool = False


Schema = dict[str, Column]

POSITION = Column(pl.Int32, "index of the token in the prompt, from 0")
TOKEN_ID = Column(pl.Int32, "vocabulary id")
TOKEN = Column(pl.String, "exact text of the token")
LAYER = Column(pl.Int32, "layer, from 0")
SITE = Column(pl.String, "site, such as resid_post.15")
PROBABILITY = Column(pl.Float64, "probability of the token")
LOGIT = Column(pl.Float64, "logit of the token, after any soft cap")

TOKENS: Schema = {"position": POSITION, "token_id": TOKEN_ID, "token": TOKEN}
"""A tokenised prompt: one row a token."""

LENS: Schema = {
    "layer": LAYER,
    "position": POSITION,
    "prompt_token_id": Column(pl.Int32, "vocabulary id of the prompt's token at this position"),
    "prompt_token": Column(pl.String, "exact text of the prompt's token at this position"),
    "rank": Column(pl.Int32, "rank of the predicted token in this cell, 1 is most likely"),
    "token_id": Column(pl.Int32, "vocabulary id of the predicted token"),
    "token": Column(pl.String, "exact text of the predicted token"),
    "logit": LOGIT,
    "probability": PROBABILITY,
    "entropy": Column(pl.Float64, "entropy of the cell's distribution, nats"),
    "kl": Column(pl.Float64, "KL(output || this layer), nats"),
    "tracked_rank": Column(pl.Int32, "rank in this cell of the token asked for with `track`", nullable=True),
}
"""The logit lens: one row per layer, position and listed token."""

LENS_LINES: Schema = {
    "position": POSITION,
    "token_id": TOKEN_ID,
    "token": TOKEN,
    "layer": LAYER,
    "logit": LOGIT,
    "probability": PROBABILITY,
}
"""A token's way through the layers: one row per position, token and layer."""

ATOMS: Schema = {
    "position": POSITION,
    "token_id": TOKEN_ID,
    "token": TOKEN,
    "site": SITE,
    "atom": Column(pl.Int32, "index in the dictionary"),
    "activation": Column(pl.Float64, "activation a_i, in the dictionary's units"),
    "share": Column(pl.Float64, "a_i d_i.x / |x|^2: share of the squared norm; atoms, bias and error add to 1"),
}
"""Active atoms: one row per position and active atom, strongest first."""

RECONSTRUCTION: Schema = {
    "position": POSITION,
    "token_id": TOKEN_ID,
    "token": TOKEN,
    "site": SITE,
    "active": Column(pl.Int32, "number of active atoms (L0)"),
    "norm": Column(pl.Float64, "|x|"),
    "error_norm": Column(pl.Float64, "|x - decode(encode(x))| / |x|"),
    "error_share": Column(pl.Float64, "e.x / |x|^2: share of the squared norm that the dictionary leaves unexplained"),
    "bias_share": Column(pl.Float64, "share of the squared norm in the decoder's bias"),
    "masked": Column(pl.Boolean, "left out of scales and sums: an attention sink or a marker such as <s>"),
}
"""How well a dictionary explains each token: one row a position."""

PATCHING: Schema = {
    "site": Column(pl.String, "site, such as resid_post.15; sites patched together are joined by +"),
    "layer": Column(pl.Int32, "layer, from 0; the lowest of sites patched together"),
    "position": Column(pl.Int32, "position in the patched prompt; the first one of a span"),
    "last_position": Column(pl.Int32, "last position of a span patched together; else as position"),
    "token_id": Column(pl.Int32, "vocabulary id of the patched prompt's token at position"),
    "token": Column(pl.String, "exact text of the patched prompt's tokens there"),
    "source_position": Column(pl.Int32, "position in the other prompt whose activation was put at position"),
    "method": Column(pl.String, "exact, zero, mean, or causal (zero because the prompts agree up to here)"),
    "metric": Column(pl.Float64, "the metric of the patched run"),
    "effect": Column(pl.Float64, "patched minus unpatched prompt; to denoise: patched minus corrupt"),
    "recovery": Column(
        pl.Float64, "effect / (source - prompt), to denoise (clean - corrupt); null where they are equal", nullable=True
    ),
    "logit_difference": Column(pl.Float64, "logit(answer) - logit(foil) of the patched run"),
    "probability": Column(pl.Float64, "probability of the answer in the patched run"),
}
"""Activation patching and ablation: one row per cell."""

ATOM_PATCHING: Schema = {
    "atom": Column(pl.Int32, "index in the dictionary"),
    **PATCHING,
    "source_activation": Column(pl.Float64, "activation of the atom in the other prompt, which was put in"),
    "activation": Column(pl.Float64, "activation of the atom in the patched prompt, which was replaced"),
}
"""Patching of single atoms of a dictionary: one row per atom and position."""

PATH_PATCHING: Schema = {"receiver": Column(pl.String, "sites that the effect went through, joined by +"), **PATCHING}
"""Path patching: one row per sender (`site`) and position."""

PAIR_EFFECTS: Schema = {
    "pair": Column(pl.Int32, "index of the pair of prompts"),
    "site": SITE,
    "layer": LAYER,
    "position": Column(pl.Int32, "position in the patched prompt; the first one of a span"),
    "last_position": Column(pl.Int32, "last position of a span patched together; else as position"),
    "metric": Column(pl.Float64, "the metric of the patched run"),
    "effect": Column(pl.Float64, "patched minus unpatched prompt"),
    "recovery": Column(pl.Float64, "effect / (source - prompt); null where they are equal", nullable=True),
    "baseline": Column(
        pl.Float64, "effect of patching from another, random pair; null if not asked for", nullable=True
    ),
    "baseline_recovery": Column(pl.Float64, "the same over (source - prompt); null if not asked for", nullable=True),
}
"""Patching over many pairs of prompts: one row per pair and cell."""

PAIR_SUMMARY: Schema = {
    "site": SITE,
    "layer": LAYER,
    "position": PAIR_EFFECTS["position"],
    "last_position": PAIR_EFFECTS["last_position"],
    "pairs": Column(pl.Int32, "number of pairs with a value"),
    "mean": Column(pl.Float64, "mean over pairs"),
    "low": Column(pl.Float64, "lower end of the 95% bootstrap interval of the mean"),
    "high": Column(pl.Float64, "upper end of it"),
    "p": Column(pl.Float64, "two-sided sign-flip test that the mean is zero"),
    "q": Column(pl.Float64, "p corrected for the number of cells (Benjamini and Hochberg)"),
    "baseline": Column(
        pl.Float64, "mean of patching from a random pair, in the unit of mean; null if not asked for", nullable=True
    ),
}
"""A cell over many pairs: one row a cell."""

CONTINUATIONS: Schema = {
    "run": Column(pl.String, "clean, corrupt, or patched"),
    "step": Column(pl.Int32, "token after the prompt, from 0"),
    "token_id": TOKEN_ID,
    "token": TOKEN,
    "probability": PROBABILITY,
}
"""What runs say next, token by token, the likeliest each time: one row per run and step."""

ATTRIBUTION: Schema = {
    **{name: column for name, column in PATCHING.items() if name not in ("method", "logit_difference", "probability")},
    "method": Column(
        pl.String, "attribution, integrated_gradients, or causal (zero because the prompts agree up to here)"
    ),
    "residual": Column(
        pl.Float64,
        "effect of patching all positions of the site at once, less the sum of its effects here; null without steps",
        nullable=True,
    ),
}
"""Attribution patching: one row per cell, every effect a linear estimate."""

HEAD = Column(pl.Int32, "head, from 0")

ATTENTION: Schema = {
    "layer": LAYER,
    "head": HEAD,
    "position": Column(pl.Int32, "position of the query: the token that looks"),
    "token_id": Column(pl.Int32, "vocabulary id of the query's token"),
    "token": Column(pl.String, "exact text of the query's token"),
    "key_position": Column(pl.Int32, "position of the key: the token looked at, at most the query's"),
    "key_token_id": Column(pl.Int32, "vocabulary id of the key's token"),
    "key_token": Column(pl.String, "exact text of the key's token"),
    "weight": Column(pl.Float64, "attention weight; those of one query add to 1 over all its keys"),
    "value_weight": Column(
        pl.Float64,
        "weight times |v W_O|: the length of what this key adds to the stream through this head; null unless asked for",
        nullable=True,
    ),
}
"""Attention patterns: one row per layer, head, query and key."""

HEADS: Schema = {
    "layer": LAYER,
    "head": HEAD,
    "induction": Column(
        pl.Float64,
        "mean weight on tokens that follow an earlier copy of the query's token; null where nothing repeats",
        nullable=True,
    ),
    "previous_token": Column(pl.Float64, "mean weight on the token before; null for one token", nullable=True),
    "duplicate_token": Column(
        pl.Float64, "mean weight on earlier copies of the query's token; null where nothing repeats", nullable=True
    ),
    "first_token": Column(pl.Float64, "mean weight on position 0, the usual sink; null for one token", nullable=True),
    "entropy": Column(pl.Float64, "mean entropy of a query's weights, nats; null for one token", nullable=True),
    "effect": Column(
        pl.Float64, "what becomes of the answer without the head, less what was; null where not measured", nullable=True
    ),
}
"""Heads and their scores: one row a head."""

PREDICTIONS: Schema = {
    "run": Column(pl.String, "clean, corrupt, or the patched cell as site@position"),
    "rank": Column(pl.Int32, "1 is most likely"),
    "token_id": TOKEN_ID,
    "token": TOKEN,
    "probability": PROBABILITY,
}
"""What a run predicts next: one row per run and listed token."""

TRAINING: Schema = {
    "step": Column(pl.Int32, "steps taken"),
    "seen": Column(pl.Int64, "activations that the steps saw; one that was drawn twice counts twice"),
    "loss": Column(pl.Float64, "share of variance left over on training batches, mean since the row before"),
    "explained_variance": Column(pl.Float64, "1 - squared error / variance, on tokens that are held out"),
    "mean_active": Column(pl.Float64, "mean number of active atoms, on tokens that are held out"),
    "dead_share": Column(pl.Float64, "share of atoms that have not been active for long in training"),
    "learning_rate": Column(pl.Float64, "learning rate of the last step"),
    "seconds": Column(pl.Float64, "time since the start, without breaks"),
}
"""How the training of a dictionary went: one row a measurement."""


def check(frame: pl.DataFrame, schema: Schema) -> pl.DataFrame:
    """The same frame, if it has exactly the columns of `schema`, in order, with their types and no stray nulls.

    Raises:
        FrameError: naming every column that is missing, unexpected, of another type, or null where it may not be.
    """
    faults = [f"{name} is missing" for name in schema if name not in frame.columns]
    faults += [f"{name} is not expected" for name in frame.columns if name not in schema]
    for name, column in schema.items():
        if name not in frame.columns:
            continue
        if frame.schema[name] != column.dtype:
            faults.append(f"{name} is {frame.schema[name]}, expected {column.dtype}")
        elif not column.nullable and frame[name].null_count():
            faults.append(f"{name} has {frame[name].null_count()} nulls")
    if not faults and frame.columns != list(schema):
        faults.append(f"the columns are in the order {frame.columns}, expected {list(schema)}")
    if faults:
        raise FrameError("This frame does not fit its schema: " + "; ".join(faults) + ".")
    return frame


def build(schema: Schema, columns: dict[str, Any]) -> pl.DataFrame:
    """A checked frame from a dict of columns (lists, arrays or series), cast to the schema's types."""
    data = {name: columns.get(name) for name in schema if name in columns}
    frame = pl.DataFrame(data).with_columns(
        pl.col(name).cast(column.dtype) for name, column in schema.items() if name in data
    )
    return check(frame, schema)
