"""Every method on one small question each: what a local and a remote model must answer alike."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import polars as pl
import torch

import interp_widgets as iw
from interp_widgets.lab.biographies import toy_biographies
from interp_widgets.methods.atom_activations import run_atoms
from interp_widgets.methods.atom_effects import run_atom_ablation
from interp_widgets.methods.attention_run import layer_triangles, run_attention
from interp_widgets.methods.direct_weights import measure_direct_weights
from interp_widgets.progress import silent

TEXT = "when mary and john went to the store , john gave a drink to"
PAIR: dict[str, Any] = {
    "clean": TEXT,
    "corrupt": "when mary and john went to the store , mary gave a drink to",
    "answer": "mary",
    "foil": "john",
}
UNEVEN: dict[str, Any] = {**PAIR, "clean": "when mary and john went to the old store , john gave a drink to"}
TEXTS = [TEXT, PAIR["corrupt"], "the boys near the girl laugh", "the boy near the girls laughs", "the keys are here",
         "the key is here", "anna and tom went home", "tom gave a book to anna"]  # fmt: skip
TWO = [TEXT, "tom gave a book to anna"]
STREAM, INSIDE = "toy-grammar/resid_post.2", "toy-grammar/mlp_out.1"
SOME = {"resid_post.2": STREAM, "mlp_out.1": INSIDE}

Case = Callable[[iw.Session], pl.DataFrame]


def _sae(name: str = STREAM) -> Any:
    return iw.load_sae(name)


def _pairs() -> pl.DataFrame:
    names = ["mary", "john", "anna", "tom"]
    rows = []
    for a, b in zip(names, names[1:] + names[:1], strict=True):
        start = f"when {a} and {b} went to the store ,"
        rows.append((f"{start} {b} gave a drink to", f"{start} {a} gave a drink to", a, b))
    return pl.DataFrame(rows, schema=["clean", "corrupt", "answer", "foil"], orient="row")


@lru_cache
def _nodes() -> pl.DataFrame:
    """Ranked here, so that both models keep the same."""
    return m.circuit(iw.load("toy-grammar"), **PAIR, dictionaries=SOME)


def _columns(pairs: pl.DataFrame) -> dict[str, list[str]]:
    return {name: pairs[name].to_list() for name in pairs.columns}


def _edges(model: iw.Session) -> pl.DataFrame:
    """Edges into and out of the nodes of largest effect, errors too, in the order of their names."""
    saes = [STREAM, INSIDE, "toy-grammar/attn_out.2"]
    nodes = m.circuit(model, **PAIR, dictionaries=saes)
    return m.circuit_edges(model, **PAIR, dictionaries=saes, nodes=nodes.head(20)).sort("source", "target")


def _checked(model: iw.Session) -> pl.DataFrame:
    """Estimates beside exact effects."""
    nodes = m.circuit(model, **PAIR, dictionaries=[STREAM, INSIDE])
    return m.circuit_check(model, nodes, **PAIR, dictionaries=[STREAM, INSIDE], top=12).nodes


def _shift() -> dict[str, Any]:
    """Few texts, and dictionaries on the way to the probe."""
    dictionaries = [_sae("toy-grammar/mlp_out.0"), _sae("toy-grammar/resid_post.1")]
    return {"data": toy_biographies(train=20, test=20), "site": "resid_post.1", "dictionaries": dictionaries}


def _probe(model: iw.Session) -> pl.DataFrame:
    given = _shift()
    probe = m.shift_probe(model, given["data"], site=given["site"])
    return pl.DataFrame({"entry": torch.cat([probe.weights, probe.bias.reshape(1)]).tolist()})


def _corpus(model: iw.Session) -> pl.DataFrame:
    """The statistics of every atom, and the events of the one that fires most."""
    found = iw.corpus(model, TEXTS * 4, sae=_sae(), batch=3, tokens=150)
    events = found.activations(int(found.atoms["fired"].arg_max())).select("activation", "position").cast(pl.Float64)
    atoms = found.atoms.select("fired", "maximum").cast(pl.Float64)
    return pl.concat(
        [atoms.rename({"fired": "a", "maximum": "b"}), events.rename({"activation": "a", "position": "b"})]
    )


def _trained(model: iw.Session) -> pl.DataFrame:
    sae = iw.train_sae(
        model,
        TEXTS * 8,
        site="resid_post.1",
        width=16,
        tokens=192,
        k=4,
        held_out=64,
        batch=64,
        buffer=128,
        progress=silent,
    )
    return pl.DataFrame({"entry": sae.W_dec.flatten().tolist()})


def _run_atoms(model: iw.Session) -> pl.DataFrame:
    run = run_atoms(model, TEXT, sae=_sae())
    return pl.DataFrame(
        {"masked": str(run.masked), "explained": run.explained_variance, "bias": run.bias_share.tolist()}
    )


def _ablated(model: iw.Session) -> pl.DataFrame:
    found = run_atom_ablation(model, TEXT, sae=_sae(), atom=int(run_atoms(model, TEXT, sae=_sae()).atom[-1]))
    return pl.DataFrame({"agreement": found.agreement, "effect": found.effect, "kl": found.kl.tolist()})


def _heads(model: iw.Session) -> pl.DataFrame:
    """What the panel of attention shows: triangles of a layer, also of values, and thumbnails."""
    run = run_attention(model, TEXT)
    values = layer_triangles(model, run.ids, 2, value_weighted=True)
    numbers = torch.cat([run.triangles[1].bytes.flatten(), values.bytes.flatten(), run.thumbnails.flatten()]).double()
    return pl.DataFrame({"number": torch.cat([numbers, values.top.double(), values.peak.double()]).tolist()})


def _json(model: iw.Session) -> pl.DataFrame:
    """The direct logit weights as Neuronpedia's viewer gets them."""
    found = measure_direct_weights(model, _sae(), 5)
    return pl.DataFrame({"height": [float(height) for height in found.heights], "edge": found.edges[1:]})


def _direction(direction: Any) -> pl.DataFrame:
    return pl.DataFrame({"entry": direction.vector.tolist()})


m = iw.methods
CASES: dict[str, Case] = {
    "logit_lens": lambda model: m.logit_lens(model, TEXT, track="mary"),
    "lens_lines": lambda model: m.lens_lines(model, TEXT, 4, [7, 8]),
    "logit_lens, some": lambda model: m.logit_lens(model, TEXT, layers=[0, 2], positions=[3, 14], top_k=2),
    "attention": lambda model: m.attention(model, TEXT),
    "attention, values": lambda model: m.attention(model, TEXT, value_weighted=True),
    "head_scores": lambda model: m.head_scores(model, TEXT),
    "head_scores, effect": lambda model: m.head_scores(model, TEXT, answer="mary", foil="john"),
    "attention, a part": lambda model: m.attention(model, TEXT, layers=[1], heads=[0, 2], queries=[5, 14], keys=[2, 3, 5]),
    "run_attention": _heads,
    "head_scores, own answer": lambda model: m.head_scores(model, TEXT, layers=[1, 3], answer="mary"),
    "atom_activations": lambda model: m.atom_activations(model, TEXT, sae=_sae()),
    "reconstruction": lambda model: m.reconstruction(model, TEXT, sae=_sae()),
    "atom_effects": lambda model: m.atom_effects(model, TEXT, sae=_sae()),
    "ablate_atom": lambda model: m.ablate_atom(model, TEXT, sae=_sae(), atom=5),
    "run_atoms": _run_atoms,
    "ablate_atom, agreement": _ablated,
    "measure_direct_weights": _json,
    "direct_logits": lambda model: m.direct_logits(model, _sae(), 5),
    "search_atoms": lambda model: m.search_atoms(model, TEXT, sae=_sae(), positions=[11], other=PAIR["corrupt"]),
    "atom_patching": lambda model: m.atom_patching(model, _sae(), **PAIR, top=4, positions=[11, -1]),
    "activation_patching": lambda model: m.activation_patching(model, **PAIR),
    "activation_patching, inside": lambda model: m.activation_patching(
        model, **PAIR, sites=["attn_out", "mlp_out", "head_out.1.*", "q.2", "k.2", "v.2", "resid_pre.0"], positions=[11, -1]
    ),
    "activation_patching, noise": lambda model: m.activation_patching(model, **UNEVEN, direction="noise", positions=[-1, (1, 3)]),
    "attribution_patching": lambda model: m.attribution_patching(model, **PAIR, sites=["resid_post", "head_out.*.*"]),
    "attribution_patching, groups": lambda model: m.attribution_patching(
        model, **PAIR, sites=["resid_post.0+attn_out.2"], positions=[11, -1]
    ),
    "attribution_patching, integrated": lambda model: m.attribution_patching(model, **PAIR, steps=3),
    "ablation": lambda model: m.ablation(model, TEXT, answer="mary", foil="john", reference=TEXTS[:3], positions=[11, -1]),
    "path_patching": lambda model: m.path_patching(model, **PAIR, receivers=["q.2", "mlp_out.3"], positions=[11, -1]),
    "single_patch": lambda model: m.single_patch(
        model, **PAIR, source=("resid_post.1", 11), target=("resid_post.2", 12), frozen=[13]
    ),
    "continuations": lambda model: m.continuations(
        model, clean=TEXT, corrupt=PAIR["corrupt"], source=("resid_post.1", 11), tokens=4
    ),
    "patching_pairs": lambda model: m.patching_pairs(model, _pairs(), positions=[-1, 11], baseline=True),
    "steer, vector": lambda model: m.steer(model, TEXT, direction=(_sae(), 5), strengths=[0, 4.0], tokens=4, randoms=1),
    "steer, ablate": lambda model: m.steer(
        model, TEXT, direction=(_sae(), 5), mode="ablate", strengths=[0, 1.0], tokens=3, randoms=1
    ),
    "steer, project_out": lambda model: m.steer(
        model, TEXT, direction=(_sae(), 5), mode="project_out", site="attn_out.1", tokens=3, randoms=1
    ),
    "steer, clamp": lambda model: m.steer(
        model, TEXT, direction=(_sae(), 5), mode="clamp", layers=[1, 2], strengths=[-2, 2.0], positions=[(1, 3), -1], tokens=3
    ),
    "steered_text": lambda model: m.steered_text(
        model, TEXT, direction=(_sae(), 5), strengths=[0, 4.0], tokens=4, temperature=0.7
    ),
    "mean_difference": lambda model: _direction(m.mean_difference(model, TEXTS[:4], TEXTS[4:], site="resid_post.2")),
    "probe_direction": lambda model: _direction(m.probe_direction(model, TEXTS[:4], TEXTS[4:], site="resid_post.2")),
    "concept_directions": lambda model: m.concept_directions(
        model, TEXTS * 2, [True, True, False, False] * 4, site="resid_post.2", k=2
    ),
    "audit": lambda model: m.audit(model, {"some": TEXTS * 4}, sae=_sae(), loss_tokens=60),
    "error_effect": lambda model: m.error_effect(model, TEXT, sae=_sae()),
    "error_effect, other": lambda model: m.error_effect(model, TEXT, sae=_sae(), other=PAIR["corrupt"], answer="mary"),
    "effect_over_contexts": lambda model: m.effect_over_contexts(model, TEXTS, sae=_sae(), atom=5, strength=3.0, random=1),
    "effect_over_contexts, removed": lambda model: m.effect_over_contexts(
        model, [*TEXTS, *(f"the {word} near the girl" for word in ("boy", "teacher", "dog", "cat"))], sae=_sae(), atom=207,
        how="remove", answer="is", foil="are",
    ),
    "audit, text": lambda model: m.audit(model, {"a": TEXTS * 2, "b": TWO}, sae=_sae(), text=TEXT, outliers=True, batch=3),
    "corpus": _corpus,
    "train_sae": _trained,
    "agreement, here and there": lambda model: m.agreement(model, iw.load("toy-grammar"), TEXT),
    "agreement_tokens": lambda model: m.agreement_tokens(model, iw.load("toy-grammar"), TEXT),
    "agreement, the other way": lambda model: m.agreement(iw.load("toy-grammar"), model, TEXT),
    "circuit_faithfulness": lambda model: m.circuit_faithfulness(model, nodes=_nodes(), **PAIR, dictionaries=SOME, sizes=[9]),
    "circuit_faithfulness, errors": lambda model: m.circuit_faithfulness(
        model, nodes=_nodes(), **PAIR, dictionaries=SOME, sizes=[5, 20], errors="removed", order="turns", intact=2, means=[TEXT]
    ),
    "circuit_prediction": lambda model: m.circuit_prediction(
        model, text=TEXT, scales={"resid_post.2/5": 0, "mlp_out.1/error@3": 2}, dictionaries=SOME, answer="mary"
    ),
    "circuit_change": lambda model: m.circuit_change(
        model, **_columns(_pairs()), scales={"resid_post.2/5": 0, "mlp_out.1/error@3": 2}, dictionaries=SOME, batch=2
    ),
    "circuit": lambda model: m.circuit(model, **PAIR),
    "circuit, pairs": lambda model: m.circuit(model, **_columns(_pairs()), dictionaries="neurons", positions="summed", batch=2),
    "circuit, integrated": lambda model: m.circuit(
        model, **PAIR, dictionaries=[STREAM, INSIDE], method="integrated_gradients", steps=3
    ),
    "circuit, exact": lambda model: m.circuit(model, clean=TEXT, dictionaries=[INSIDE], answer="mary", foil="john", method="exact"),
    "circuit_check": _checked,
    "circuit_edges": _edges,
    "shift_probe": _probe,
    "shift_effects": lambda model: m.shift_effects(model, **_shift(), texts=8, steps=2).sort("node"),
    "shift": lambda model: m.shift(
        model, **_shift(), struck=["resid_post.1/183", "mlp_out.0/5"], draws=1, texts=8, steps=2
    ),
    "splitting": lambda model: m.splitting(_sae(), _sae(), model=model, texts=TEXTS, atoms=[5, 6]),
}  # fmt: skip


PANELS: dict[str, Callable[[iw.Session], Any]] = {
    "Lens": lambda model: iw.Lens(model, TEXT),
    "Attention": lambda model: iw.Attention(model, TEXT),
    "Atoms": lambda model: iw.Atoms(model, TEXT, sae=_sae()),
    "Patching": lambda model: iw.Patching(model, **PAIR),
    "PatchingPairs": lambda model: iw.PatchingPairs(model, _pairs(), positions=[11]),
    "Steering": lambda model: iw.Steering(model, TEXT, direction=(_sae(), 5), strengths=[0.0, 4.0], tokens=4),
    "Audit": lambda model: iw.Audit(model, {"some": TEXTS * 4}, sae=_sae(), loss_tokens=60),
    "Agreement": lambda model: iw.Agreement(model, iw.load("toy-grammar"), TEXT),
    "Circuit": lambda model: iw.Circuit(model, **PAIR, dictionaries=SOME),
    "Shift": lambda model: iw.Shift(model, **_shift(), texts=8, steps=2, draws=1),
    "Explorer": lambda model: iw.Explorer(model, sae=_sae(), text=TEXT),
}
"""Every panel that runs a model, on the same questions."""
