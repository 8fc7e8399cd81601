"""Atoms of a dictionary on a text: which are active, what they do, how they are found."""

from __future__ import annotations

import polars as pl

from .schema import POSITION, SITE, TOKEN, TOKEN_ID, Column, Schema

ATOMS: Schema = {
    "position": POSITION,
    "token_id": TOKEN_ID,
    "token": TOKEN,
    "site": SITE,
    "atom": Column(pl.Int32, "index in the dictionary"),
    "activation": Column(pl.Float64, "activation a_i, in the dictionary's units"),
    "share": Column(pl.Float64, "a_i d_i.x / |x|^2: share of the squared norm; atoms, bias, skip and error add to 1"),
}
"""Active atoms: one row per position and active atom, strongest first. `site` is what the dictionary reads; x is the activation
that it explains, of a transcoder that at another site."""

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
    "skip_share": Column(pl.Float64, "share of the squared norm in a transcoder's skip connection; 0 without one"),
    "masked": Column(pl.Boolean, "left out of scales and sums: an attention sink or a marker such as <s>"),
}
"""How well a dictionary explains each token: one row a position. `site` is what it explains, of a transcoder what it writes."""

ATOM_EFFECTS: Schema = {
    "position": POSITION,
    "token_id": TOKEN_ID,
    "token": TOKEN,
    "site": SITE,
    "atom": Column(pl.Int32, "index in the dictionary; null for the dictionary's error at this token", nullable=True),
    "effect": Column(pl.Float64, "first-order change of the answer's log-probability, nats, if it were removed"),
    "share": Column(
        pl.Float64, "|effect| over the sum of all |effect| at unmasked tokens; null at masked ones", nullable=True
    ),
}
"""What removing each active atom would do to a prediction: one row per position and atom, and one a position for the error."""

STRONGEST_EFFECTS: Schema = {
    "atom": Column(pl.Int32, "index in the dictionary"),
    "effect": Column(pl.Float64, "sum of its first-order effects over the text"),
    "share": Column(pl.Float64, "sum of its |effect| over that of all atoms and errors"),
}
"""The atoms that carry a prediction: one row an atom."""

ATOM_ABLATION: Schema = {
    "atom": Column(pl.Int32, "index in the dictionary"),
    "position": POSITION,
    "prompt_token_id": Column(pl.Int32, "vocabulary id of the prompt's token at this position"),
    "prompt_token": Column(pl.String, "exact text of the prompt's token at this position"),
    "activation": Column(pl.Float64, "activation of the atom here, which was taken away"),
    "kl": Column(pl.Float64, "KL(with the atom || without), nats, of the prediction after this token"),
    "token_id": Column(pl.Int32, "vocabulary id of a predicted token whose probability changed much"),
    "token": Column(pl.String, "exact text of it"),
    "probability": Column(pl.Float64, "its probability with the atom"),
    "ablated_probability": Column(pl.Float64, "its probability without"),
}
"""A model without one atom: one row per position and listed token."""

DIRECT_LOGITS: Schema = {
    "atom": Column(pl.Int32, "index in the dictionary"),
    "rank": Column(pl.Int32, "1 is what the atom adds to most"),
    "token_id": TOKEN_ID,
    "token": TOKEN,
    "weight": Column(pl.Float64, "what one unit of the atom adds to the logit on the direct way, less the mean"),
}
"""The direct logit weights of an atom: one row per listed token."""

ATOM_SEARCH: Schema = {
    "atom": Column(pl.Int32, "index in the dictionary"),
    "score": Column(pl.Float64, "what the list is sorted by: contribution here less contribution there"),
    "here": Column(pl.Float64, "mean activation over the tokens searched, zeros included"),
    "there": Column(pl.Float64, "mean activation over the tokens compared with, zeros included"),
    "fires_here": Column(pl.Float64, "share of the tokens searched on which it is active"),
    "fires_there": Column(pl.Float64, "share of the tokens compared with on which it is active"),
}
"""Atoms that fire in one place and not in another: one row an atom."""

SIMILAR_ATOMS: Schema = {
    "atom": Column(pl.Int32, "index in the dictionary"),
    "rank": Column(pl.Int32, "1 is most similar"),
    "cosine": Column(pl.Float64, "cosine of the two decoder directions"),
}
"""Atoms whose directions are most like a given one: one row an atom."""
