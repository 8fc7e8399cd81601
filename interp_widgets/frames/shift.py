"""SHIFT: labelled texts, what atoms do to a probe, and how often the probe is right in each group."""

from __future__ import annotations

import polars as pl

from .schema import SITE, Column, Schema

SHIFT_TEXTS: Schema = {
    "split": Column(pl.String, "ambiguous, balanced, validation or test"),
    "document": Column(pl.String, "the text"),
    "label": Column(pl.String, "what the probe is meant to tell; two values"),
    "spurious": Column(pl.String, "what coincides with it in the ambiguous split; two values"),
}
"""Texts with two labels that coincide in the split `ambiguous` alone: one row a text."""

SHIFT_EFFECTS: Schema = {
    "node": Column(pl.String, "name of the node: site/atom, or site/error"),
    "site": SITE,
    "atom": Column(
        pl.Int32, "index in the dictionary; null for what it misses, all directions together", nullable=True
    ),
    "effect": Column(
        pl.Float64, "how much of the probe's logit for the right class goes with the node, mean over texts"
    ),
    "low": Column(pl.Float64, "lower end of the 95 % interval of the mean over texts"),
    "high": Column(pl.Float64, "upper end of it"),
    "active_share": Column(pl.Float64, "share of the texts in which it is active at a token that counts"),
    "texts": Column(pl.Int32, "number of texts"),
}
"""What the nodes of dictionaries do to a probe: one row per node that is active in some text, the largest effect first."""

SHIFT_ACCURACY: Schema = {
    "condition": Column(
        pl.String,
        "original; struck (the chosen atoms are zero); random, by label, neurons (as many others are); balanced (nothing is, the "
        "probe is trained on the balanced split)",
    ),
    "retrained": Column(pl.Boolean, "whether the probe was trained again on the changed activations"),
    "draw": Column(pl.Int32, "which of several draws of random atoms; null where there is one", nullable=True),
    "nodes": Column(pl.Int32, "number of atoms or neurons that are zero"),
    "group": Column(
        pl.String,
        "label or spurious: all test texts, scored by that column; or one group of them, as in `nurse, he`, scored by label; or "
        "worst: the group with the lowest accuracy",
    ),
    "n": Column(pl.Int64, "number of test texts"),
    "accuracy": Column(pl.Float64, "share of them that the probe says right"),
    "low": Column(pl.Float64, "lower end of its 95 % interval (Wilson)"),
    "high": Column(pl.Float64, "upper end of it"),
}
"""How often a probe is right, per group and condition: one row each."""
