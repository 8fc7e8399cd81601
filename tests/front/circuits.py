"""Circuits with a made-up but consistent state; see states.py."""

from __future__ import annotations

import numpy as np

from interp_widgets.widgets import wire
from interp_widgets.widgets.circuit import CURVE, WAYS, CircuitWidget
from tests.front.states import EVIL, card

AGREEING = ["The", " boys", " that", " the", " girl", " near", " the", " tree", " sees", EVIL[0]]


def circuit(
    nodes: int = 40,
    edges: int = 90,
    tokens: list[str] = AGREEING,
    layers: int = 4,
    size: int = -1,
    summed: bool = False,
    **traits,
) -> CircuitWidget:
    """A graph whose effects fall off with the rank; every third node hurts, every seventh is an error. Edges go upwards, to the
    same or a later token. 40 nodes carry nearly all of it."""
    rng = np.random.default_rng(5)
    tokens = [""] if summed else tokens
    sites = [
        (f"{kind}.{layer}", f"{kind.split('_')[0]} {layer}", layer)
        for layer in range(layers)
        for kind in ("attn_out", "mlp_out", "resid_post")
    ]
    rows = [
        {"site": site, "text": text, "layer": layer}
        for site, text, layer in [("embed", "embed", None), *sites, ("answer", "answer", None)]
    ]
    every = np.arange(nodes)
    row = rng.integers(0, len(rows) - 1, nodes)
    column = np.minimum(len(tokens) - 1, rng.beta(1.6, 1.2, nodes) * len(tokens)).astype(int)
    kind = (every % 7 == 6).astype(int)
    atom = np.where(kind == 0, rng.permutation(max(4096, nodes))[:nodes], -1)
    effect = 1.2 / (1 + every) ** 0.8 * np.where(every % 3 == 2, -1, 1)
    names = [
        f"{rows[r]['site']}/{a if k == 0 else f'error{i}'}" + ("" if summed else f"@{c}")
        for i, (r, a, k, c) in enumerate(zip(row, atom, kind, column, strict=True))
    ]
    names = ["answer", *names]
    row, column = np.r_[len(rows) - 1, row], np.r_[len(tokens) - 1, column]
    pairs = [
        (s, t)
        for s, t in rng.integers(0, nodes + 1, (60 * edges + 200, 2))
        if row[s] < row[t] and column[s] <= column[t]
    ]
    pairs = list(dict.fromkeys((int(s), int(t)) for s, t in pairs))[:edges]
    weight = np.array([1.1 / (1 + s + t) ** 0.7 * (-1 if (s + t) % 4 == 3 else 1) for s, t in pairs])
    order = np.argsort(-abs(weight), kind="stable")
    source, target = np.array(pairs, int).reshape(-1, 2)[order].T
    counts = sorted({0, *[int(c) for c in np.geomspace(1, nodes, 14) if nodes], nodes})
    kept = np.array([1 - np.exp(-4.5 * count / 40) for count in counts]) / (1 - np.exp(-4.5 * max(nodes, 40) / 40))
    curve = np.full((len(CURVE), len(WAYS), len(counts)), np.nan)
    for way, scale in enumerate((1, 1, 0.7)):
        value, rest = scale * kept, 1 - scale * kept**1.3
        threshold = [abs(effect[c - 1]) if c else np.nan for c in counts]
        curve[:, way] = threshold, value, value - 0.06, value + 0.04, rest, rest - 0.05, rest + 0.05
    strip = np.zeros((len(rows) - 1, len(tokens)))
    np.add.at(strip, (row[1:], column[1:]), abs(effect))
    f32, i32 = wire.float32, wire.int32
    baselines = {"MLP neurons": kept**3, "coordinates": kept**5}
    state = {
        "model_name": "toy-grammar", "dictionaries": "13 dictionaries", "metric": "logit( see) − logit( sees)", "prompts": 24,
        "clean": "".join(tokens), "corrupt": "".join(tokens).replace("boys", "boy"), "answer": " see", "foil": " sees",
        "methods": ["attribution", "integrated_gradients", "exact"], "method": "attribution",
        "ends": {"model": 4.2, "nothing": -3.1}, "tokens": tokens, "token_ids": [] if summed else list(range(len(tokens))),
        "corrupt_tokens": [] if summed else [token.replace("boys", "boy") for token in tokens],
        "summed": summed, "rows": rows, "strip": f32(strip), "names": names,
        "kind": wire.uint8(np.r_[3, kind]), "row": i32(row), "column": i32(column), "atom": i32(np.r_[-1, atom]),
        "effect": f32(np.r_[np.nan, effect]), "low": f32(np.r_[np.nan, effect - 0.05]), "high": f32(np.r_[np.nan, effect + 0.05]),
        "activation": f32(np.r_[np.nan, rng.gamma(2, 1, nodes)]),
        "corrupt_activation": f32(np.r_[np.nan, rng.gamma(2, 0.4, nodes)]),
        "prompt_texts": {f"{side} {row}": f"{''.join(tokens).replace('boys', word)} {row}" for side, word in
                         (("clean", "boys"), ("corrupt", "boy")) for row in range(24)},
        "total": 3 * nodes, "source": i32(source), "target": i32(target), "weight": f32(weight[order]),
        "weight_low": f32(weight[order] - 0.02), "weight_high": f32(weight[order] + 0.02),
        "total_edges": len(pairs), "edged": nodes + 1, "ways": list(WAYS), "way": "nodes", "curve_nodes": i32([counts] * 3),
        "curve_prefix": i32([[1 + c for c in counts]] * 3), "curve": f32(curve), "size": size,
        "baselines": [{"name": name, "nodes": counts, "faithfulness": list(value), "low": list(value - 0.08),
                       "high": list(value + 0.08)} for name, value in baselines.items()],
        "summary": "40 nodes of 13 dictionaries carry 99% of logit( see) − logit( sees); completeness 0.02.",
        "notes": ["Mean ablation by position over 24 corrupt prompts."],
        "status": {"state": "done", "message": "", "done": 0, "total": 0, "seconds": 1.4},
    }  # fmt: skip
    return CircuitWidget(**state | traits)


def chosen_circuit(**traits) -> CircuitWidget:
    """Two nodes switched, one of them selected, named and pinned, and one hidden; three more are a group."""
    widget = circuit(12, 20)
    names = widget.names
    row, column = np.frombuffer(widget.row, "<i4"), np.frombuffer(widget.column, "<i4")
    group = {
        "name": "number", "nodes": names[6:9], "row": int(row[6]), "column": int(column[6]), "effect": 0.31, "low": 0.2, "high": 0.4
    }  # fmt: skip
    switches = {names[1]: 0.0, names[2]: -1.5}
    shown = card(1213, len(AGREEING))
    del shown["removed"]
    change = {"before": 4.2, "after": -0.31, "change": -4.51}
    top = [(" see", 5, 0.81, 0.12), (" sees", 6, 0.02, 0.61), (EVIL[0], 7, 0.02, 0.02)]
    state = {
        "selected": [names[1]], "positions": [int(column[1])], "labels": {names[1]: "plural noun"}, "pinned": [names[1]],
        "hidden": [names[5]], "switches": switches, "cards": {names[1]: shown},
        "groups": [group], "group_source": wire.int32([13, 2]), "group_target": wire.int32([0, 13]),
        "group_weight": wire.float32([0.4, -0.2]),
        "corpus_state": {"name": "speeches", "tokens": 250_000, "total": 1_000_000, "complete": True, "running": False,
                         "more": False},
        "prediction": {
            "of": switches, "prompt": "clean 0", "pending": False, "failed": "",
            "metric": {"before": 4.71, "after": 0.2, "change": -4.51},
            "top": [dict(zip(("token", "token_id", "before", "after"), each, strict=True)) for each in top],
        },
        "mean_change": {"of": switches, "total": 24, "prompts": 24, "pending": False, "failed": "", "low": -4.9, "high": -4.1,
                        **change},
    }  # fmt: skip
    widget.set_traits(state | traits)
    return widget
