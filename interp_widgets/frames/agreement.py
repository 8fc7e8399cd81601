"""How far two sessions agree: cells, listed tokens, and the summary."""

from __future__ import annotations

import polars as pl

from .schema import LAYER, POSITION, PROBABILITY, TOKEN, TOKEN_ID, Column, Schema

AGREEMENT: Schema = {
    "layer": LAYER,
    "position": POSITION,
    "prompt_token_id": Column(pl.Int32, "vocabulary id of the prompt's token at this position"),
    "prompt_token": Column(pl.String, "exact text of the prompt's token at this position"),
    "token_id": Column(pl.Int32, "vocabulary id of the likeliest token in `model`"),
    "token": Column(pl.String, "exact text of that token"),
    "probability": Column(pl.Float64, "its probability in `model`; null where a logit is not finite", nullable=True),
    "margin": Column(pl.Float64, "probability less that of the second token in `model`", nullable=True),
    "other_token_id": Column(pl.Int32, "vocabulary id of the likeliest token in `other`"),
    "other_token": Column(pl.String, "exact text of that token"),
    "other_probability": Column(
        pl.Float64, "its probability in `other`; null where a logit is not finite", nullable=True
    ),
    "other_margin": Column(pl.Float64, "other_probability less that of the second token in `other`", nullable=True),
    "agrees": Column(pl.Boolean, "both have the same likeliest token, and finite logits"),
    "near_tie": Column(
        pl.Boolean,
        "they disagree, and in each the other's token has at least 3/4 of the probability of its own",
    ),
    "total_variation": Column(
        pl.Float64,
        "half the sum of |p - q| over the vocabulary, 0 to 1; null where a logit is not finite",
        nullable=True,
    ),
    "total_variation_error": Column(
        pl.Float64, "standard error of total_variation where it rests on a sample; 0 where it is exact", nullable=True
    ),
    "logit_difference": Column(
        pl.Float64, "largest |difference of logits| over the compared tokens; null where not finite", nullable=True
    ),
    "residual_difference": Column(
        pl.Float64, "|h - h'| / |h| of the residual streams; null where their widths differ", nullable=True
    ),
    "masked": Column(pl.Boolean, "left out of summaries: an attention sink or a marker such as <s>"),
}
"""Two sessions on one text: one row per layer and position."""

AGREEMENT_TOKENS: Schema = {
    "layer": LAYER,
    "position": POSITION,
    "session": Column(pl.String, "model or other"),
    "rank": Column(pl.Int32, "rank of the token in this cell of this session, 1 is most likely"),
    "token_id": TOKEN_ID,
    "token": TOKEN,
    "probability": PROBABILITY,
    "probability_there": Column(
        pl.Float64, "what the other session gives the same token; null where that was not compared", nullable=True
    ),
}
"""What both sessions predict: one row per layer, position, session and listed token."""

AGREEMENT_SUMMARY: Schema = {
    "part": Column(pl.String, "all (every cell) or output (the last layer alone)"),
    "cells": Column(pl.Int32, "cells that are not masked"),
    "agreeing": Column(pl.Int32, "those whose likeliest token is the same"),
    "near_ties": Column(pl.Int32, "those that disagree by a near tie"),
    "share": Column(pl.Float64, "agreeing / cells; null without cells", nullable=True),
    "median": Column(pl.Float64, "median total variation; null without cells", nullable=True),
    "worst": Column(pl.Float64, "largest total variation; null without cells", nullable=True),
    "worst_layer": Column(pl.Int32, "layer of the largest", nullable=True),
    "worst_position": Column(pl.Int32, "position of the largest", nullable=True),
    "residual": Column(pl.Float64, "median relative difference of the residual streams", nullable=True),
}
"""An agreement in two rows: all cells, and the model's output."""

SCALES = {"total_variation": (1e-4, 1.0), "logit_difference": (1e-2, 10.0), "residual_difference": (1e-4, 1.0)}
"""Ends of the logarithmic scale on which each quantity is drawn. They are fixed, so that the colours of two results compare:
what float32 rounds away lies below the low end, what bfloat16 rounds away about the middle."""
