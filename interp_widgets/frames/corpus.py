"""Where atoms fire in any amount of text."""

from __future__ import annotations

import polars as pl

from .schema import ATOM, TOKEN, TOKEN_ID, Column, Schema

_TEXT = Column(pl.Int32, "number of the document, from 0")
_IN_TEXT = Column(pl.Int32, "index of the token in its document, from 0")
_SOURCE = Column(pl.String, "name of the document's source; empty without one")

CORPUS_ATOMS: Schema = {
    "atom": ATOM,
    "fired": Column(pl.Int64, "tokens that it fired on"),
    "density": Column(pl.Float64, "fired / all tokens that count; null for an empty corpus", nullable=True),
    "mean": Column(pl.Float64, "mean activation over the tokens that it fired on; null if none", nullable=True),
    "maximum": Column(pl.Float64, "largest activation; 0 if it never fired"),
    "kept": Column(pl.Float64, "share of its events that are stored; 1 unless there are more than the bound"),
}
"""A corpus: one row an atom."""

CORPUS_TOKENS: Schema = {
    "text": _TEXT,
    "position": _IN_TEXT,
    "token_id": TOKEN_ID,
    "counts": Column(pl.Boolean, "false: masked or beyond the number asked for; it has no events and is in no number"),
}
"""The tokens of a corpus in the order of its documents; events refer to them by row."""

CORPUS_TEXTS: Schema = {"text": _TEXT, "source": _SOURCE, "length": Column(pl.Int32, "tokens stored")}
"""The documents of a corpus."""

CORPUS_VOCABULARY: Schema = {"token_id": TOKEN_ID, "token": TOKEN}
"""The exact texts of the tokens that occur in a corpus."""

ATOM_HISTOGRAM: Schema = {
    "atom": ATOM,
    "low": Column(pl.Float64, "lower end of the bin, which is not in it"),
    "high": Column(pl.Float64, "upper end of the bin, which is in it"),
    "count": Column(pl.Int64, "events with an activation in the bin; estimated where not all events are kept"),
}
"""How strongly an atom fires: one row a bin."""

_EVENT: Schema = {"text": _TEXT, "source": _SOURCE, "position": _IN_TEXT, "token_id": TOKEN_ID, "token": TOKEN}
_ACTIVATION = Column(pl.Float64, "activation of the atom, in the dictionary's units")

ATOM_EVENTS: Schema = {"atom": ATOM, "activation": _ACTIVATION, **_EVENT}
"""The tokens that an atom fired on, strongest first."""

ATOM_EXAMPLES: Schema = {
    "atom": ATOM,
    "kind": Column(pl.String, "top, random, interval (of activation) or quantile (equal shares of the events)"),
    "interval": Column(pl.Int32, "which interval or quantile, 0 is the weakest; null for others", nullable=True),
    "low": Column(
        pl.Float64, "lower end of the interval, or weakest event of the quantile; null for others", nullable=True
    ),
    "high": Column(
        pl.Float64, "upper end of the interval, or strongest event of the quantile; null for others", nullable=True
    ),
    "rank": Column(pl.Int32, "place in its list, from 1: by activation for top, in the order of the draw for others"),
    "activation": _ACTIVATION,
    **_EVENT,
    "repeats": Column(pl.Int32, "further events of the same list with the same context, left out"),
    "tokens": Column(pl.List(pl.String), "exact texts of the tokens of the context, this one included"),
    "token_ids": Column(pl.List(pl.Int32), "their vocabulary ids"),
    "activations": Column(
        pl.List(pl.Float64),
        "activation of the atom on each; null where not known: the token does not count, or is not kept",
    ),
    "at": Column(pl.Int32, "index of the token in its context"),
}
"""Examples of where an atom fires, in context: one row an example."""

CORPUS_LISTS: Schema = {
    **{name: ATOM_EXAMPLES[name] for name in ("atom", "kind", "interval", "low", "high", "rank")},
    "row": Column(pl.Int32, "row of the token among the tokens of the corpus"),
    "repeats": ATOM_EXAMPLES["repeats"],
}
"""The examples that a slim copy of a corpus holds."""

TOKEN_ATOMS: Schema = {
    "atom": ATOM,
    "token_id": TOKEN_ID,
    "token": TOKEN,
    "count": Column(pl.Int64, "stored events of the atom on this token"),
    "total": Column(pl.Float64, "sum of its activations there"),
    "mean": Column(pl.Float64, "mean of them"),
    "share": Column(pl.Float64, "count / all stored events of the atom: 1 means that it fires on nothing else"),
}
"""Atoms that fire on a token: one row an atom."""
