"""Patched, ablated and steered runs."""

from __future__ import annotations

import polars as pl

from .schema import LAYER, PROBABILITY, SITE, TOKEN, TOKEN_ID, Column, Schema

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

STEERING: Schema = {
    "direction": Column(pl.String, "baseline (not steered), given, or random (of the same norm)"),
    "seed": Column(pl.Int32, "seed of a random direction; null for the others", nullable=True),
    "strength": Column(pl.Float64, "in units of the direction's vector; 0 for the baseline"),
    "norm_ratio": Column(pl.Float64, "median over steered tokens and sites of |change| / |activation|"),
    "logit_difference": Column(pl.Float64, "logit(answer) - logit(foil) after the prompt"),
    "probability": Column(pl.Float64, "probability of the answer after the prompt"),
    "kl": Column(pl.Float64, "KL(baseline || this run) of the token after the prompt, nats"),
    "fluency": Column(
        pl.Float64, "mean log-probability of the run's new tokens under the unsteered model, nats a token"
    ),
}
"""Steering: one row per direction and strength, and the baseline first."""

STEERED_TEXT: Schema = {
    "direction": STEERING["direction"],
    "seed": STEERING["seed"],
    "strength": STEERING["strength"],
    "step": Column(pl.Int32, "token after the prompt, from 0"),
    "token_id": TOKEN_ID,
    "token": TOKEN,
    "probability": PROBABILITY,
}
"""What steered runs say, up to the end of text: one row per run and new token."""

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
