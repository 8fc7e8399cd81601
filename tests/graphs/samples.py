"""Graphs and files of graphs, made by other means than the package's: a seed says which."""

from __future__ import annotations

import contextlib
import random
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import polars as pl
import torch

from interp_widgets import frames
from interp_widgets.graphs.graph import Graph

TEXTS = [
    "plural nouns",
    "</script><img src=x onerror=alert(1)>",
    "{{x}} ${y}",
    "名詞 ⏎ é́",
    "a\n\tb",
    '"quoted" \\ back',
    " ",
    "#2@3/4",
]
TOKENS = ["<bos>", "The", " cats", "\n", " </s>", " ☃", "ĠĊ", '"']


def cantor(layer: int, index: int) -> int:
    """Counts the diagonals, instead of the closed form."""
    return sum(range(layer + index + 1)) + index


def tracer(seed: int, n_tokens: int = 5, layers: int = 4) -> dict[str, Any]:
    """The JSON that circuit-tracer writes, with pins, supernodes and keys that nobody knows."""
    rng = random.Random(seed)
    tokens = [rng.choice(TOKENS) for _ in range(n_tokens)]
    nodes = [_tracer_token(position, rng) for position in range(n_tokens)]
    places = {(rng.randrange(layers), rng.randrange(100, 16384), rng.randrange(n_tokens)) for _ in range(20)}
    nodes += [_tracer_feature(*place, rng) for place in sorted(places)]
    nodes += [_tracer_error(layer, rng.randrange(n_tokens), rng) for layer in range(layers)]
    nodes += [_tracer_logit(vocabulary, n_tokens - 1, layers, rng) for vocabulary in (11, 12)]
    ids = [node["node_id"] for node in nodes]
    links = [
        {"source": ids[source], "target": ids[target], "weight": rng.gauss(0, 3)}
        for source in range(len(ids))
        for target in range(source + 1, len(ids))
        if rng.random() < 0.1
    ]
    links[0]["unknown"] = {"a": [1, None]}
    return {
        "metadata": {
            "slug": f"g{seed}",
            "scan": "gemma-2-2b",
            "transcoder_list": [],
            "prompt_tokens": tokens,
            "prompt": "".join(tokens),
            "node_threshold": 0.8,
            "schema_version": 1,
            "feature_details": {"neuronpedia_source_set": "gemmascope-transcoder-16k"},
            "unknown": ["kept", 1.5],
        },
        "qParams": {
            "pinnedIds": rng.sample(ids, 3),
            "supernodes": [["grp", *rng.sample(ids, 2)], ["grp", ids[5]], [rng.choice(TEXTS), ids[6], ids[7]]],
            "linkType": "both",
            "clickedId": ids[0],
            "sg_pos": "1 2",
        },
        "nodes": nodes,
        "links": links,
        "unknown": {"deep": [{"er": True}]},
    }


def _tracer_node(
    node_id: str, feature: int | None, layer: str, position: int, kind: str, **more: Any
) -> dict[str, Any]:
    said = {"token_prob": 0.0, "is_target_logit": False, "run_idx": 0, "reverse_ctx_idx": 0}
    return {
        "node_id": node_id,
        "feature": feature,
        "layer": layer,
        "ctx_idx": position,
        "feature_type": kind,
        **said,
    } | {
        "jsNodeId": node_id,
        "clerp": "",
        "influence": None,
        "activation": None,
        **more,
    }


def _tracer_token(position: int, rng: random.Random) -> dict[str, Any]:
    return _tracer_node(
        f"E_{rng.randrange(9999)}_{position}", position, "E", position, "embedding", influence=rng.random()
    )


def _tracer_feature(layer: int, index: int, position: int, rng: random.Random) -> dict[str, Any]:
    return _tracer_node(
        f"{layer}_{index}_{position}",
        cantor(layer, index),
        str(layer),
        position,
        "cross layer transcoder",
        clerp=rng.choice([*TEXTS, "", "", ""]),
        influence=rng.random() * 0.8,
        activation=rng.random() * 9,
    )


def _tracer_error(layer: int, position: int, rng: random.Random) -> dict[str, Any]:
    return _tracer_node(
        f"0_{layer}_{position}", -1, str(layer), position, "mlp reconstruction error", influence=rng.random() * 0.8
    )


def _tracer_logit(vocabulary: int, position: int, layers: int, rng: random.Random) -> dict[str, Any]:
    share = rng.random()
    return _tracer_node(
        f"{layers + 1}_{vocabulary}_{position}",
        vocabulary,
        str(layers + 1),
        position,
        "logit",
        token_prob=share,
        is_target_logit=vocabulary == 11,
        clerp=f'Output " t{vocabulary}" (p={share:.3f})',
    )


SITES = [("embed", None)] + [
    (f"{kind}.{layer}{unit}", layer)
    for layer in range(3)
    for kind, unit in (("attn_out", ""), ("mlp_out", ""), ("resid_post", ""), ("head_out", ".1"), ("mlp_act", ""))
]
PAPER = [site for site in SITES if site[0] == "embed" or site[0].startswith(("attn_out", "mlp_out", "resid_post"))]
SIZE = 50


ASKED: list[dict[str, Any]] = [
    {},
    {"clean": "the keys", "corrupt": "the key", "answer": "are", "foil": ["is", 7]},
    {"clean": [[1, 5], [1, 6]], "corrupt": ["a ☃", "b"], "answer": [["x", 3], ["y"]], "foil": ["z", "z"]},
]


def circuit(seed: int, sites: list[tuple[str, int | None]] | None = None, summed: bool | None = None) -> Graph:
    """A circuit of ours, all that a person can have done to it included."""
    rng = random.Random(seed)
    summed = seed % 3 == 0 if summed is None else summed
    tokens = [] if summed else [rng.choice(TOKENS) for _ in range(rng.randrange(2, 7))]
    known = set()
    for _ in range(30):
        place = rng.choice(sites or SITES)
        known.add(
            (
                *place,
                None if rng.random() < 0.3 else rng.randrange(SIZE),
                None if summed else rng.randrange(len(tokens)),
            )
        )
    rows = [_circuit_row(*each, tokens, rng) for each in sorted(known, key=str)]
    nodes = frames.build(frames.CIRCUIT_NODES, {name: [row[name] for row in rows] for name in frames.CIRCUIT_NODES})
    names = nodes["node"].to_list()
    pairs = sorted({(rng.choice(names), rng.choice([*names, "answer"])) for _ in range(40)})
    weights = [rng.gauss(0, 1) for _ in pairs]
    edges = frames.build(frames.CIRCUIT_EDGES, {
        "source": [source for source, _ in pairs],
        "target": [target for _, target in pairs],
        "weight": weights,
        "low": [None if seed % 2 else weight - 0.1 for weight in weights],
        "high": [None if seed % 2 else weight + 0.1 for weight in weights],
    })  # fmt: skip
    everyone = [*names, "answer"]
    return Graph.of(
        nodes,
        edges,
        tokens=tuple(tokens),
        prompt="".join(tokens),
        model=rng.choice(["toy-grammar", "org/a model", ""]),
        dictionaries=("toy-grammar/resid_post.2",),
        sizes={site: SIZE for site, _ in sites or SITES},
        metric=rng.choice(["logit( is) - logit( are)", ""]),
        labels={
            node: rng.choice([*TEXTS, "answer", names[0].partition("@")[0], "x (p=0.3)"])
            for node in rng.sample(everyone, 12)
        },
        groups={text: tuple(rng.sample(names, 3)) for text in rng.sample(TEXTS, 3)},
        pinned=tuple(rng.sample(everyone, 4)),
        hidden=tuple(name for name in everyone if rng.random() < 0.1),
        asked=rng.choice(ASKED),
    )


def _circuit_row(
    site: str, layer: int | None, atom: int | None, position: int | None, tokens: list[str], rng: random.Random
) -> dict[str, Any]:
    at = "" if position is None else f"@{position}"
    return {
        "node": f"{site}/{'error' if atom is None else atom}{at}",
        "site": site,
        "layer": layer,
        "position": position,
        "token": None if position is None or rng.random() < 0.2 else tokens[position],
        "kind": "error" if atom is None else "atom",
        "atom": atom,
        "activation": rng.random(),
        "corrupt_activation": rng.random() * 1e-9,
        "effect": rng.gauss(0, 1) or 1.0,
        "low": None if rng.random() < 0.5 else -1 / 3,
        "high": None if rng.random() < 0.5 else 1e300,
        "prompts": 3,
        "method": "exact",
    }


@contextlib.contextmanager
def their_code() -> Iterator[type]:
    """A module `activation_utils` with a class SparseAct, as the code of Sparse Feature Circuits has; it is gone at the end."""
    module = ModuleType("activation_utils")
    source = """
class SparseAct:
    def __init__(self, act, res=None, resc=None):
        self.act, self.res, self.resc = act, res, resc
"""
    exec(source, module.__dict__)
    sys.modules["activation_utils"] = module
    try:
        yield module.SparseAct
    finally:
        del sys.modules["activation_utils"]


def save_circuit(
    file: Path, positions: int | None, atoms: int = 7, seed: int = 0, dtype: torch.dtype = torch.float32
) -> dict[str, Any]:
    """What circuit.py saves for two layers; what it was made of comes back, dense, with [.., atoms + 1] per submodule."""
    generator = torch.Generator().manual_seed(seed)
    lead = () if positions is None else (positions,)

    def some(shape: tuple[int, ...], share: float) -> torch.Tensor:
        values = torch.randn(shape, generator=generator).to(dtype)
        return values * (torch.rand(shape, generator=generator) < share)

    names = ["embed", *(f"{kind}_{layer}" for layer in range(2) for kind in ("attn", "mlp", "resid"))]
    effects = {name: some((*lead, atoms + 1), 0.4) for name in names}
    pairs = [
        ("embed", "attn_0"),
        ("attn_0", "mlp_0"),
        ("mlp_0", "resid_0"),
        ("resid_0", "resid_1"),
        ("mlp_1", "resid_1"),
    ]
    weights = {pair: some((*lead, atoms + 1) * 2, 0.03) for pair in pairs}
    weights["resid_1", "y"] = effects["resid_1"]
    edges: dict[str, dict[str, torch.Tensor]] = {}
    for (upstream, downstream), weight in weights.items():
        edges.setdefault(upstream, {})[downstream] = weight.to_sparse()
    examples = [
        {
            "clean_prefix": "The managers",
            "clean_answer": " swim",
            "patch_prefix": "The manager",
            "patch_answer": " swims",
        },
        {"clean_prefix": "The farmers", "clean_answer": " run", "patch_prefix": "The farmer", "patch_answer": " runs"},
    ]
    with their_code() as sparse_act:
        nodes = {
            name: sparse_act(effect[..., :-1].clone(), resc=effect[..., -1:].clone())
            for name, effect in effects.items()
        }
        torch.save({"examples": examples, "nodes": nodes, "edges": edges}, file)
    return {"effects": effects, "weights": weights, "examples": examples}


def row(frame: pl.DataFrame, node: str) -> dict[str, Any]:
    [found] = frame.filter(pl.col("node") == node).to_dicts()
    return found
