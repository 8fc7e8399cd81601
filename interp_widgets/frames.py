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

ATOM = Column(pl.Int32, "index in the dictionary")
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
