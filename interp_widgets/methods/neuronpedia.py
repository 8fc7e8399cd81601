"""An atom as the JSON that Neuronpedia's viewer reads; docs/decisions/neuronpedia-json.md says what its fields mean."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from ..errors import CorpusError
from ..sae.corpus.reader import Corpus
from ..sae.corpus.several import several
from ..sae.dictionary import Dictionary
from ..sae.neuronpedia import DASHBOARD, TOP
from ..session.session import Session
from ..session.sites import parse
from .atom_search import similar_atoms
from .direct_weights import measure_direct_weights, writes_stream

FORMS = ("feature", "dashboard")
KINDS = {"top": 20, "interval": 5}
"""Kinds of examples, and how many of each; of intervals, in each. As SAEDashboard does."""
CONTEXT = (64, 63)
"""Tokens before and after, as far as the document goes."""
LOGITS, LOGIT_BARS, SIMILAR = 10, 50, 20
CREATOR = "interp_widgets"
"""In place of the user there whom an activation belongs to, which the schema asks for."""


def to_neuronpedia(
    corpus: Corpus,
    sae: Dictionary,
    atom: int,
    *,
    model: Session | None = None,
    path: str | Path | None = None,
    name: str | None = None,
    form: str = "feature",
) -> dict[str, Any]:
    """One atom as JSON for Neuronpedia: statistics, histograms, similar atoms, and examples with their activations.

    What was not computed is left empty, as the viewer expects: without a model the logits; always the tables of correlated and
    aligned neurons. An activation that the corpus does not know (of a token that does not count, or that is not kept) becomes 0,
    since the format has no other word for it.

    Args:
        corpus: from `iw.corpus`; a slim copy gives the examples that it holds.
        sae: the dictionary of that corpus.
        atom: its index.
        model: for the direct logit weights, if the dictionary writes into the residual stream. Default None: without them.
        path: also write the JSON there. Default None: do not.
        name: the dictionary's name at Neuronpedia, as model/source, such as "gpt2-small/8-res-jb". Default: what the dictionary
            says of itself, else one made from the names of the model, the layer and the dictionary.
        form: "feature", what Neuronpedia answers at /api/feature (the default); or "dashboard", a feature of a batch of
            SAEDashboard, which Neuronpedia's manual dashboard shows and its converters read.

    Raises:
        DictionaryError: no such atom.
        CorpusError: a corpus of another dictionary, one without tokens, or a form or name that is none.
    """
    corpus.check_is_of(sae)
    sae.check_atom(atom)
    if form not in FORMS:
        raise CorpusError(f"There is no form {form!r}; the forms are {' and '.join(FORMS)}.")
    if not corpus.tokens:
        raise CorpusError(f"The corpus {corpus.folder} has no tokens yet, so there is nothing to write of atom {atom}.")
    model_id, layer, family = _names(corpus, sae, name)
    row = corpus.atoms.row(atom, named=True)
    found = {
        "modelId": model_id,
        "layer": f"{layer}-{family}",
        "index": str(atom),
        "sourceSetName": family.split("__")[0],
        **_NEVER,
        "createdAt": datetime.now(UTC).isoformat(timespec="seconds"),
        "maxActApprox": row["maximum"],
        "frac_nonzero": row["density"],
        **_histogram(corpus, atom),
        **_similar(sae, atom),
        **_logits(model, sae, atom),
        "activations": _activations(corpus, atom, f"{model_id}/{layer}-{family}", row["fired"]),
        "explanations": [],
    }
    if form == "dashboard":
        found = _dashboard(found, corpus, layer)
    if path is not None:
        Path(path).expanduser().write_text(json.dumps(found, allow_nan=False), encoding="utf-8")
    return found


_NEVER: dict[str, Any] = {
    "creatorId": None,
    "hasVector": False,
    "vector": [],
    "vectorLabel": None,
    "vectorDefaultSteerStrength": None,
    "hookName": None,
    **{f"neuron_alignment_{part}": [] for part in ("indices", "values", "l1")},
    **{f"correlated_{of}_{part}": [] for of in ("neurons", "features") for part in ("indices", "pearson", "l1")},
    "decoder_weights_dist": [],
    **dict.fromkeys(("umap_cluster", "umap_log_feature_sparsity", "umap_x", "umap_y")),
}
"""Fields that the schema asks for and that are not computed here."""


def _names(corpus: Corpus, sae: Dictionary, name: str | None) -> tuple[str, str, str]:
    """(model, layer, family) at Neuronpedia: a source there is called layer-family."""
    name = name or sae.origin.get("neuronpedia")
    if name is None:
        site = parse(sae.site)
        layer = "e" if site.kind == "embed" else str(site.layer or 0)  # the embedding is called so there
        return _plain(corpus.provenance["model"]), layer, _plain(sae.name)
    parts = re.fullmatch(r"([\w.-]+)/(\d+|e)-([\w.-]+)", name, re.ASCII)
    if parts is None:
        raise CorpusError(
            f"{name!r} is no name of a dictionary at Neuronpedia; expected is model/layer-family, such as gpt2-small/8-res-jb."
        )
    return parts[1], parts[2], parts[3]


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9.]+", "-", name.lower()).strip("-") or "unnamed"


def _histogram(corpus: Corpus, atom: int) -> dict[str, Any]:
    """Bars stand at the middle of their bins."""
    bins = corpus.histogram(atom)
    return {
        "freq_hist_data_bar_values": ((bins["low"] + bins["high"]) / 2).to_list(),
        "freq_hist_data_bar_heights": bins["count"].to_list(),
    }


def _similar(sae: Dictionary, atom: int) -> dict[str, Any]:
    """The viewer expects the atom itself first."""
    found = similar_atoms(sae, atom, count=SIMILAR)
    return {
        "topkCosSimIndices": [atom, *found["atom"].to_list()],
        "topkCosSimValues": [1.0, *found["cosine"].to_list()],
    }


def _logits(model: Session | None, sae: Dictionary, atom: int) -> dict[str, Any]:
    """Tokens at both ends, each from its end inwards, and a histogram over the whole vocabulary."""
    ends: list[tuple[str, float]] = []
    heights, edges = [], np.zeros(1)
    if model is not None and writes_stream(model, sae):
        found = measure_direct_weights(model, sae, atom, count=LOGITS, bars=LOGIT_BARS)
        ends = [(model.text_of(i), weight) for i, weight in zip(found.token_ids, found.weights, strict=True)]
        heights, edges = found.heights, np.array(found.edges)
    half = len(ends) // 2
    pos, neg = ends[:half], ends[half:][::-1]
    return {
        **{f"{name}_str": [text for text, _ in end] for name, end in (("pos", pos), ("neg", neg))},
        **{f"{name}_values": [weight for _, weight in end] for name, end in (("pos", pos), ("neg", neg))},
        "logits_hist_data_bar_values": ((edges[:-1] + edges[1:]) / 2).tolist(),
        "logits_hist_data_bar_heights": heights,
    }


def _activations(corpus: Corpus, atom: int, source: str, fired: int) -> list[dict[str, Any]]:
    """The strongest examples, then the intervals from the strongest on."""
    found, sizes = several(corpus, atom, KINDS, CONTEXT)
    found = found.sort(pl.col("kind") != "top", "interval", "rank", descending=[False, True, False])
    bounds = {"top": (TOP, corpus.atoms["maximum"][atom], TOP)}
    out = []
    for row in found.iter_rows(named=True):
        low, high, share = bounds.get(row["kind"]) or (row["low"], row["high"], None)
        if share is None and sizes is not None:
            # Of all tokens; the lowest interval begins at 0 and has those on which the atom is silent.
            silent = corpus.tokens - fired if row["interval"] == 0 else 0
            share = (sizes[row["interval"]] + silent) / corpus.tokens
        values = [value or 0.0 for value in row["activations"]]
        place = f"{row['text']}:{row['position']}"
        key = f"{source}/{atom}/{row['kind']}/{row['interval']}/{row['rank']}/{place}"
        out.append(
            {
                "id": f"c{hashlib.sha256(key.encode()).hexdigest()[:24]}",
                "tokens": row["tokens"],
                "values": values,
                "maxValue": max(values),
                "maxValueTokenIndex": values.index(max(values)),
                "minValue": min(values),
                "qualifyingTokenIndex": row["at"],
                "binMin": low,
                "binMax": high,
                "binContains": share,
                "modelId": source.split("/")[0],
                "layer": source.split("/")[1],
                "index": str(atom),
                "dataSource": row["source"] or None,
                "dataIndex": place,
                "creatorId": CREATOR,
                "createdAt": datetime.now(UTC).isoformat(timespec="seconds"),
                **{name: [] for name in ("dfaValues", "zQIndices", "zKIndices", "zValues", "lossValues")},
                **dict.fromkeys(("dfaTargetIndex", "dfaMaxValue", "logitContributions")),
            }
        )
    return out


_SAME = ("pos_str", "pos_values", "neg_str", "neg_values", "frac_nonzero", "decoder_weights_dist")


def _dashboard(found: Mapping[str, Any], corpus: Corpus, layer: str) -> dict[str, Any]:
    """The same in SAEDashboard's words."""
    family = found["layer"].split("-", 1)[1]
    kept = {
        name: value
        for name, value in found.items()
        if name in _SAME or name.startswith(("neuron_alignment", "correlated", "freq_hist", "logits_hist"))
    }
    fields = {**DASHBOARD, "tokens": "tokens", "values": "values"}
    return {
        "feature_index": int(found["index"]),
        "model_id": found["modelId"],
        "layer": int(layer) if layer.isdecimal() else layer,
        "sae_set": family,
        **kept,
        "vector": [],
        "n_prompts_total": corpus.provenance["texts"],
        "n_tokens_in_prompt": corpus.provenance["context"] or 0,  # 0: whole documents
        "dataset": ", ".join(corpus.provenance["sources"]),
        "activations": [{theirs: each[ours] for theirs, ours in fields.items()} for each in found["activations"]],
    }
