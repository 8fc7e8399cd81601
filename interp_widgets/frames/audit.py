"""How far a dictionary, an atom or a direction can be trusted, and how a dictionary was trained."""

from __future__ import annotations

import polars as pl

from .schema import SITE, TOKEN, Column, Schema

AUDIT: Schema = {
    "site": SITE,
    "dictionary": Column(
        pl.String, "the dictionary, pca, random or identity; for the loss also model (nothing replaced), mean and zero"
    ),
    "source": Column(pl.String, "source of text: all, its name, or this text"),
    "quantity": Column(pl.String, "what is measured, such as explained_variance"),
    "value": Column(pl.Float64, "its value; null where it is undefined", nullable=True),
    "low": Column(pl.Float64, "lower end of the 95% bootstrap interval over windows; null without one", nullable=True),
    "high": Column(pl.Float64, "upper end of it", nullable=True),
    "n": Column(pl.Int64, "tokens, or for losses predictions, that it is measured on"),
    "definition": Column(pl.String, "what the quantity means"),
}
"""An audit of a dictionary: one row per quantity, dictionary and source of text."""

FAITHFULNESS: Schema = {
    "site": SITE,
    "dictionary": Column(pl.String, "name of the dictionary"),
    "atoms": Column(
        pl.Int32, "atoms kept, counted at each position anew: those of largest effect; the others are removed"
    ),
    "errors": Column(pl.Boolean, "whether the reconstruction errors are kept"),
    "metric": Column(pl.Float64, "the metric of that run"),
    "faithfulness": Column(
        pl.Float64, "(metric - nothing kept) / (model - nothing kept); null where the two are equal", nullable=True
    ),
}
"""How much of an answer some of the atoms carry, with the errors and without: one row per number of atoms and choice of errors."""

SPLITTING: Schema = {
    "atom": Column(pl.Int32, "index in the dictionary"),
    "rank": Column(pl.Int32, "1 is the first of the set"),
    "wider_atom": Column(pl.Int32, "index in the wider dictionary"),
    "cosine": Column(pl.Float64, "cosine of the two directions"),
    "together": Column(
        pl.Float64,
        "of the tokens at which the atom fires, the share at which the wider one does; null without texts",
        nullable=True,
    ),
    "back": Column(
        pl.Float64,
        "of the tokens at which the wider atom fires, the share at which the atom does; null without texts",
        nullable=True,
    ),
    "explained": Column(
        pl.Float64,
        "R^2 of the atom's activation from those of the set up to this rank; null without texts",
        nullable=True,
    ),
    "n": Column(pl.Int64, "tokens at which the atom fires; null without texts", nullable=True),
}
"""What becomes of atoms in a wider dictionary: one row per atom and member of its set."""

CONTEXT_EFFECTS: Schema = {
    "context": Column(pl.Int32, "index of the text"),
    "direction": Column(pl.String, "atom, or random 0, random 1, ..."),
    "token_id": Column(pl.Int32, "vocabulary id of the token whose logit is measured"),
    "token": TOKEN,
    "activation": Column(pl.Float64, "activation of the atom at the text's last token"),
    "metric": Column(pl.Float64, "the metric of the text as it is"),
    "effect": Column(pl.Float64, "metric with the direction less metric without it"),
}
"""One direction in many contexts: one row per context and direction."""

CONTEXT_SUMMARY: Schema = {
    "direction": CONTEXT_EFFECTS["direction"],
    "contexts": Column(pl.Int32, "number of contexts"),
    "mean": Column(pl.Float64, "mean effect"),
    "sd": Column(pl.Float64, "standard deviation over contexts; null for one context", nullable=True),
    "flips": Column(pl.Float64, "share of contexts whose effect has another sign than the mean"),
    "low": Column(pl.Float64, "lower end of the 95% Wilson interval of that share"),
    "high": Column(pl.Float64, "upper end of it"),
}
"""How much a direction's effect depends on the context: one row a direction."""

CONCEPT_DIRECTIONS: Schema = {
    "directions": Column(pl.Int32, "number of directions, k"),
    "accuracy": Column(
        pl.Float64, "held-out accuracy of the k-th probe, fitted after the directions before it were removed"
    ),
    "low": Column(pl.Float64, "lower end of its 95% Wilson interval"),
    "high": Column(pl.Float64, "upper end of it"),
    "joint": Column(pl.Float64, "held-out accuracy of one probe on the first k directions together"),
    "joint_low": Column(pl.Float64, "lower end of its 95% Wilson interval"),
    "joint_high": Column(pl.Float64, "upper end of it"),
    "chance": Column(pl.Float64, "held-out accuracy of always saying the commoner class"),
    "n": Column(pl.Int64, "number of held-out examples"),
}
"""How many directions a concept takes: one row per number of directions."""
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
