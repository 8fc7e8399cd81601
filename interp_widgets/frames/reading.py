"""What a model predicts and where it looks: lens, attention, predictions, continuations."""

from __future__ import annotations

import polars as pl

from .schema import HEAD, LAYER, LOGIT, POSITION, PROBABILITY, TOKEN, TOKEN_ID, Column, Schema

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

CONTINUATIONS: Schema = {
    "run": Column(pl.String, "clean, corrupt, or patched"),
    "step": Column(pl.Int32, "token after the prompt, from 0"),
    "token_id": TOKEN_ID,
    "token": TOKEN,
    "probability": PROBABILITY,
}
"""What runs say next, token by token, the likeliest each time: one row per run and step."""
