"""Widgets with a made-up but consistent state, through the real classes and the real wire: no model is needed."""

from __future__ import annotations

import numpy as np

from interp_widgets.widgets import wire
from interp_widgets.widgets.agreement import AgreementWidget
from interp_widgets.widgets.atoms import AtomsWidget
from interp_widgets.widgets.attention import AttentionWidget
from interp_widgets.widgets.audit import AuditWidget
from interp_widgets.widgets.examples import ExamplesWidget
from interp_widgets.widgets.explorer import ExplorerWidget
from interp_widgets.widgets.lens import LensWidget
from interp_widgets.widgets.pairs import PairsWidget
from interp_widgets.widgets.patching import PatchingWidget
from interp_widgets.widgets.shift import ShiftWidget
from interp_widgets.widgets.steering import SteeringWidget

EVIL = ["</script><script>window.pwned = 1</script>", "<img src=x onerror=window.pwned=2>"]
PROMPT = ["The", " Eiffel", " Tower", " is", " in", " the", " city", " of"]
HARMFUL = [*PROMPT, *EVIL]
SCRIPTS = [
    "The", " مدينة", " باريس", " של", " עברית", "12", " क्षि", "\u0941", " ที่", " tiê\u0301ng", "\u0301", "👩\u200d🔬",
    " 👍🏽", "❤️", "\\xf0\\x9f",
    "\u202eevil", "\u2067", "\u200b", "\ufeff", "a\u200db", "می\u200cخواهم", "\n\n", "\t", "", "    ", "_" * 60, "\xad", "末尾",
]  # fmt: skip
"""From right to left, marks that combine, joined emoji, bytes, controls of direction, what is invisible, what is very long."""


def lens(
    tokens: list[str] = PROMPT,
    layers: int = 30,
    width: int | None = None,
    start: int = 0,
    top_k: int = 5,
    lines: int = 8,
    **traits,
) -> LensWidget:
    """A lens whose top token at the last layers is the token ` Paris`, more and more surely."""
    rng = np.random.default_rng(0)
    width = width or len(tokens)
    words = [" the", " a", " city", " Paris", " London", " France", ",", ".", " same", " Paris", "\n", "\t", *EVIL]
    words += [f" word{i}" for i in range(60)]
    index = rng.integers(4, len(words), (layers, width, top_k))
    sure = np.linspace(0.02, 0.75, layers)[:, None] * rng.uniform(0.6, 1.0, (1, width))
    probability = np.sort(rng.dirichlet(np.ones(top_k + 3), (layers, width))[..., :top_k], -1)[..., ::-1] * (
        1 - sure[..., None]
    )
    probability[..., 0] = np.maximum(sure, probability[..., 0])
    index[layers // 2 :, :, 0] = 3  # " Paris"; entry 9 is another id with the same text
    index[:, :, 1] = 9
    line_index = np.stack(
        [np.r_[3, rng.choice(np.arange(10, len(words)), lines - 1, replace=False)] for _ in range(width)]
    )
    line = np.empty((width, lines, layers))
    line[:, 0] = sure.T
    line[:, 1:] = rng.uniform(0, 0.2, (width, lines - 1, 1)) * np.sin(np.linspace(0, 3, layers)) ** 2
    state = {
        "summary": 'SmolLM2-135M predicts " Paris" (65%) after 8 tokens; it is the top token from layer 15 on.',
        "model_name": "SmolLM2-135M",
        "text": "".join(tokens),
        "tokens": tokens,
        "token_ids": list(range(100, 100 + len(tokens))),
        "masked": [0],
        "window": [start, start + width],
        "layers": list(range(layers)),
        "vocabulary": words,
        "vocabulary_ids": [1000 + i for i in range(len(words))],
        "top_k": top_k,
        "top_index": wire.int32(index),
        "top_probability": wire.float32(probability),
        "entropy": wire.float32(6 * (1 - sure)),
        "kl": wire.float32(3 * (sure[-1] - sure)),
        "rank": wire.float32(np.round(5000 ** (1 - sure / sure.max()))),
        "tracked": {"token_id": 1003, "token": " Paris"},
        "scales": {"probability": [0.0, 0.75], "entropy": [0.0, 6.0], "kl": [0.0, 2.2], "rank": [1.0, 5000.0]},
        "lines_index": wire.int32(line_index),
        "lines": wire.unit16(line),
        "notes": ["Position 0 is an attention sink (residual norm 140 times the median): left out of scales."],
        "status": {"state": "done", "message": "", "done": 0, "total": 0, "seconds": 0.4},
    }
    return LensWidget(**state | traits)


def remote(**changes) -> dict:
    """`status.remote` of a request that waits in a queue."""
    said = {
        "stage": "queued", "words": "3rd in the queue", "position": 3, "id": "0f3c9a17be2d4c5f8e61d2a7c4b9f013",
        "host": "http://far.test:8011", "size": 41_994, "up": 41_994, "down": 0, "seconds": 12.0, "estimate": "", "requests": 1,
    }  # fmt: skip
    return said | changes


def waiting(**changes) -> dict:
    """A panel's status while that request is waited for."""
    return {"state": "running", "message": "", "done": 0, "total": 0, "seconds": 12.3, "remote": remote(**changes)}


SERVED = {
    "state": "there",
    "models": [
        {"id": "org/small-135M", "about": "30 layers, width 576, float32, running", "fits": True},
        {"id": "org/large-8B", "about": "32 layers, width 4096, bfloat16, running", "fits": True},
        {"id": "org/mamba", "about": "its layers are not known (mamba)", "fits": False},
    ],
    "error": "",
}
FAR = {
    "host": "http://far.test:8011",
    "model_name": "org/small-135M",
    "model_source": "org/small-135M",
    "served": SERVED,
}

TEXT = ["The", " keys", " to", " the", " cabinet", " are", " on", " the", " table", ".", "\n", *EVIL]


def card(atom: int, tokens: int, **parts) -> dict:
    """A card whose example number i fires on its word number i % 5 + 40, with strength 10 - i."""
    words = [f" word{i}" for i in range(50)] + ["\n", *EVIL]

    def example(i: int) -> dict:
        at = 40 + i % 5
        return {
            "tokens": [*range(i, 50), 50, 51, 52],
            "at": at - i,
            "active": [[at - i, 10.0 - i], [at - i + 1, 2.5]],
            "activation": 10.0 - i,
            "source": "speeches",
            "text": i,
            "position": at,
            "repeats": i % 3,
        }

    groups = [
        {
            "title": f"{9 - i} to {10 - i}",
            "about": f"{40 * i + 3} activations, {i}.0% of all",
            "examples": [example(i)] * 3,
        }
        for i in range(8)
    ]
    changes = [[["are", 0.62, 0.31], [" is", 0.1, 0.42], [EVIL[0], 0.01, 0.0004]]] * tokens
    return {
        "atom": atom,
        "corpus": "",
        "link": "",
        "stats": {"tokens": 250_000, "fired": 1234, "density": 0.0049, "mean": 3.3, "maximum": 10.0},
        "histogram": {"low": 0.0, "high": 10.0, "counts": [400, 300, 200, 100, 50, 25, 12, 6, 3, 0] * 4},
        "examples": {
            "words": words,
            "maximum": 10.0,
            "notes": ["Of examples with the same context one is shown."],
            "kinds": {
                "interval": groups,
                "top": [{"title": "Strongest", "about": "", "examples": [example(i) for i in range(10)]}],
                "random": [
                    {"title": "Drawn at random from all", "about": "", "examples": [example(i) for i in (7, 2, 9)]}
                ],
            },
        },
        "neighbours": [[2790, 0.61], [17, 0.3]],
        "removed": {
            "active": True,
            "answer": " are",
            "effect": -0.71,
            "estimate": -0.65,
            "share": 0.12,
            "kl": [0.02] * tokens,
            "changes": changes,
            "agreement": 0.08,
            "up": [[" are", 0.5], [" were", 0.4]],
            "down": [[" is", -0.6]],
        },
        **parts,
    }


def atoms(tokens: list[str] = TEXT, top_k: int = 24, **traits) -> AtomsWidget:
    """Shares of atoms, bias and error add to one; one atom has a negative share."""
    rng = np.random.default_rng(1)
    count = len(tokens)
    top_atom = np.stack([rng.choice(np.arange(2770, 2830), top_k, replace=False) for _ in range(count)])
    top_atom[2::3, 0] = 2779
    top_atom[:, -3:] = -1
    activation = np.sort(rng.gamma(1.0, 3.0, (count, top_k)), -1)[:, ::-1]
    share = activation / activation.sum(-1, keepdims=True) * 0.8
    share[:, 3] *= -0.5
    error_share = rng.uniform(0.05, 0.2, count)
    pinned = [2779, 2790]
    rows = np.array([[activation[t][top_atom[t] == a].sum() for t in range(count)] for a in pinned])
    state = {
        "model_name": "SmolLM2-135M",
        "sae_name": "15-resid-4096 (resid_post.15, 4096 atoms)",
        "text": "".join(tokens),
        "tokens": tokens,
        "token_ids": list(range(200, 200 + count)),
        "masked": [0],
        "top_k": top_k,
        "top_atom": wire.int32(top_atom),
        "top_activation": wire.float32(activation),
        "top_share": wire.float32(share),
        "active": [top_k - 3] * count,
        "norm": wire.float32(rng.uniform(40, 60, count)),
        "error_norm": wire.float32(np.sqrt(error_share)),
        "error_share": wire.float32(error_share),
        "bias_share": wire.float32(1 - error_share - np.where(top_atom >= 0, share, 0).sum(-1)),
        "summary": "15-resid-4096: 21 atoms are active at a token on average, explained variance 83%, over 12 tokens.",
        "positions": [4],
        "atoms": pinned,
        "atom": 2779,
        "pinned": pinned,
        "pinned_activation": wire.float32(rows),
        "pinned_scale": [float(row[1:].max()) for row in rows],
        "answered": " are",
        "top_effect": wire.float32(share * np.where(top_atom % 2, 1.2, -0.7)),
        "error_effect": wire.float32(-error_share),
        "corpus_state": {
            "name": "speeches, stories",
            "tokens": 250_000,
            "total": 1_000_000,
            "complete": False,
            "running": False,
            "more": True,
        },
        "cards": {
            "2779": card(2779, count),
            "2790": card(
                2790, count, examples=None, stats=None, histogram=None, removed=None, corpus="No corpus has been read."
            ),
        },
        "notes": ["The dictionary was trained without position 0."],
        "status": {"state": "done", "message": "", "done": 0, "total": 0, "seconds": 0.2},
    }
    return AtomsWidget(**state | traits)


def attention(
    tokens: list[str] = HARMFUL, layers: int = 6, heads: int = 4, head: tuple[int, int] = (2, 1), **traits
) -> AttentionWidget:
    """Head 0 looks at position 0, head 1 at the token before, the others at many; the score of head h at layer l is known."""
    rng = np.random.default_rng(3)
    count, size = len(tokens), min(24, len(tokens))
    weights = rng.dirichlet(np.ones(count), (heads, count)) * np.tri(count)
    weights[0, :, 0] += 5
    weights[1:2] += 20 * np.eye(count, k=-1) + 1e-9 * np.tri(count)
    weights /= weights.sum(-1, keepdims=True)
    beside = [float(each[1:, 1:].max()) if count > 1 else 1.0 for each in weights]
    values = weights * np.linspace(1, 3, count)
    tops = values.max((1, 2))
    rows, columns = np.tril_indices(count)
    small = np.tril_indices(size)
    scores = np.empty((6, layers, heads))
    scores[:] = (np.arange(layers)[:, None] * heads + np.arange(heads)) / (layers * heads)
    scores[1] = 1 - scores[1]
    scores[5] = np.nan

    def eight(share):
        return wire.uint8(np.rint(255 * np.sqrt(share)))

    state = {
        "summary": "10 tokens in 6 layers of 4 heads; layer 5, head 3 has the highest induction score, 0.958.",
        "model_name": "SmolLM2-135M",
        "text": "".join(tokens),
        "tokens": tokens, "token_ids": list(range(100, 100 + count)),
        "layers": list(range(layers)), "head_count": heads,
        "scores": wire.float32(scores),
        "thumbnail": size,
        "thumbnails": eight(np.tile(weights[:, small[0], small[1]], (layers, 1, 1))),
        "loaded": head[0], "patterns": eight(weights[:, rows, columns]), "peaks": wire.float32(beside),
        "valued": -1, "values": eight(values[:, rows, columns] / tops[:, None]),
        "value_tops": wire.float32(tops), "value_peaks": wire.float32(tops),
        "head": list(head),
        "notes": ["Position 0 takes 55% of the attention of the other tokens, mean over all heads."],
        "status": {"state": "done", "message": "", "done": 0, "total": 0, "seconds": 0.2},
    }  # fmt: skip
    return AttentionWidget(**state | traits)


CLEAN = [
    "When",
    " Mary",
    " and",
    " John",
    " went",
    " to",
    " the",
    " store",
    ",",
    " John",
    " gave",
    " a",
    " drink",
    " to",
]
CORRUPT = [*CLEAN[:9], " Mary", *CLEAN[10:]]


def patching(layers: int = 30, done: int | None = None, extra: bool = False, **traits) -> PatchingWidget:
    """Three grids filled up to layer `done`; with `extra` the corrupt prompt has a token that nothing pairs with."""
    rng = np.random.default_rng(2)
    clean = CLEAN
    corrupt = [*CORRUPT[:11], " really", *CORRUPT[11:]] if extra else CORRUPT
    pairs = [[i, i if not extra or i < 11 else i + 1] for i in range(len(clean))]
    sites, top_k = ["resid_post", "attn_out", "mlp_out"], 4
    shape = (len(sites), layers, len(corrupt))
    place = np.exp(-((np.arange(layers)[:, None] - 10) ** 2) / 60)
    effect = rng.normal(0, 0.15, shape)
    effect[:, :, 9] += 4 * place[:, 0]
    effect[:, :, -1] += 4 * (1 - place[:, 0]) * np.linspace(0, 1, layers)
    effect[:, :, :9] = np.nan
    if extra:
        effect[:, :, 11] = np.nan
    if done is not None:
        effect[1:] = np.nan
        effect[0, done:] = np.nan
    words = [" Mary", " John", " the", *EVIL, " them"]
    index = rng.integers(0, len(words), (*shape, top_k))
    index[np.isnan(effect)] = -1
    tops = [{"token_id": i, "token": word, "probability": 0.5 / (i + 1)} for i, word in enumerate(words[:4])]
    state = {
        "summary": 'Patching clean into corrupt moves " Mary" over " John" most at resid_post.10: +4.4.',
        "model_name": "SmolLM2-135M",
        "clean": "".join(clean), "corrupt": "".join(corrupt), "answer": " Mary", "foil": " John",
        "clean_tokens": clean, "corrupt_tokens": corrupt,
        "clean_ids": [sum(map(ord, token)) for token in clean], "corrupt_ids": [sum(map(ord, token)) for token in corrupt],
        "alignment": pairs,
        "alignment_note": "The corrupt prompt has one token more: position 11 has no partner and is not patched." if extra else "",
        "sites": sites, "site": "resid_post", "layers": list(range(layers)),
        "logit_difference": wire.float32(effect),
        "probability": wire.float32(effect / 9),
        "recovery": wire.float32(effect / 4.5),
        "scales": {"logit_difference": 4.4, "probability": 0.49, "recovery": 0.98},
        "vocabulary": words, "vocabulary_ids": list(range(len(words))), "top_k": top_k,
        "top_index": wire.int32(index),
        "top_probability": wire.float32(np.sort(rng.dirichlet(np.ones(top_k), shape), -1)[..., ::-1]),
        "baselines": {
            "clean": {"logit_difference": 2.6, "probability": 0.62, "top": tops},
            "corrupt": {"logit_difference": -1.9, "probability": 0.07, "top": tops[::-1]},
        },
        "unaffected": list(range(9)),
        "checks": [
            {"name": "identity", "passed": True, "text": "identity: the largest change is 2e-06 over 9 cells"},
            {"name": "runs", "passed": True, "text": "450 patched cells, 450 patched runs came back"},
        ],
        "history": [" Mary or John", "names swapped"], "history_at": 1,
        "status": {"state": "done", "message": "", "done": 0, "total": 0, "seconds": 6.1},
    }  # fmt: skip
    return PatchingWidget(**state | traits)


def pairs(count: int = 12, layers: int = 30, baseline: bool = True, **traits) -> PairsWidget:
    """Two grids of means over pairs; the cells of the second column may be zero."""
    rng = np.random.default_rng(3)
    shape = (2, layers, 3)
    mean = np.zeros(shape)
    mean[:, :, 0] = np.linspace(1, 0, layers)
    mean[:, :, 2] = np.linspace(0, 1, layers)
    q = np.where(np.arange(3) == 1, 0.7, 0.0004) * np.ones(shape)
    values = rng.normal(0.8, 0.1, count).round(3).tolist()
    names = [f" name{i}" for i in range(count)]
    state = {
        "summary": "Over 12 pairs the mean recovery is largest at resid_post.0, position 9: 1, 95% interval 0.95 to 1.05.",
        "model_name": "SmolLM2-135M",
        "pairs": [
            {"clean": f"When{name} and{EVIL[i % 2]}", "corrupt": f"When{name}", "answer": name, "foil": " x"}
            for i, name in enumerate(names)
        ],
        "columns": [
            {"position": 9, "last": 9, "token": " Mary", "varies": True},
            {"position": 10, "last": 12, "token": " gave a drink", "varies": False},
            {"position": 13, "last": 13, "token": EVIL[0], "varies": False},
        ],
        "done": count, "right": {"clean": count, "corrupt": count - 1},
        "sites": ["resid_post", "attn_out"], "site": "resid_post", "layers": list(range(layers)),
        "mean": wire.float32(mean), "low": wire.float32(mean - 0.05), "high": wire.float32(mean + 0.05),
        "p": wire.float32(q / 2), "q": wire.float32(q), "scale": 1.0,
        "baseline": wire.float32(mean / 5) if baseline else b"",
        "checks": [{"name": "identity", "passed": True, "text": "identity: the largest change is 2e-06 over 12 pairs"}],
        "dots": {"values": [*values[:-1], None], "baseline": [v / 5 for v in values] if baseline else [], "low": 0.0, "high": 1.1},
        "status": {"state": "done", "message": "", "done": 0, "total": 0, "seconds": 6.1},
    }  # fmt: skip
    return PairsWidget(**state | traits)


def steering(
    tokens: list[str] = HARMFUL, strengths: tuple[float, ...] = (-40, -20, 0, 20, 40), randoms: int = 3, **traits
) -> SteeringWidget:
    """The given direction raises the logit difference by 0.1 a unit of strength; random ones lie around the baseline."""
    count = len(strengths)
    s = np.array(strengths, dtype=float)
    given = np.stack([-1 + 0.1 * s, 1 / (1 + np.exp(1 - 0.1 * s)), (s / 40) ** 2, -1 - np.abs(s) / 20])
    spread = np.stack([np.abs(s) / 80, np.abs(s) / 400, np.abs(s) / 100, np.abs(s) / 40])
    mean = np.repeat(given[:, [int(np.argmin(np.abs(s)))]], count, 1)
    random = np.stack([mean, mean - spread, mean + spread])
    words = [" Paris", ".", "\n", " It", " is", EVIL[0]]
    other = [" Rome", ".", " And", " it", " is", EVIL[1]]

    def listed(texts):
        return [{"token": token, "token_id": 300 + i, "probability": 0.5 - i / 20} for i, token in enumerate(texts)]

    same = {
        "tokens": listed(words),
        "differs": [False] * 6,
        "baseline_differs": [False] * 6,
        "first": None,
        "shared": 6,
    }
    differs = [True, False, True, True, False, True]
    changed = {"tokens": listed(other), "differs": differs, "baseline_differs": differs, "first": 0, "shared": 2}
    state = {
        "summary": "Adding #2779 at resid_post.15, strength 20 takes \" Paris\" over \" Rome\" from −1 to 1.",
        "model_name": "SmolLM2-135M", "text": "".join(tokens), "site": "resid_post.15", "answer": " Paris", "foil": " Rome",
        "atom": 2779, "atoms": 4096,
        "direction": {"name": "15-resid-4096 #2779", "made": "its decoder row", "norm": 1.0},
        "tokens": tokens, "token_ids": list(range(100, 100 + len(tokens))), "masked": [0],
        "measured": [" Paris", " Rome"],
        "strengths": list(map(float, strengths)), "norm_ratio": [abs(x) / 170 for x in strengths],
        "strength": float(strengths[-2 if count > 1 else 0]),
        "given": wire.float32(given), "random": wire.float32(random if randoms else random * np.nan), "seeds": list(range(randoms)),
        "baseline": [-1.0, 0.27, 0.0, -1.0], "levels": [[-6, -4, -2, 0, 2, 4], [0, 0.5, 1], [0, 0.5, 1, 1.5], [-4, -3, -2, -1, 0]],
        "said": {
            "baseline": listed(words), "given": [same if x == 0 else changed for x in strengths],
            "random": [same] * count if randoms else [], "gap": "",
        },
        "checks": [{"name": "zero", "passed": True, "text": "strength 0 says the 6 tokens of the baseline, KL 1e-12"}],
        "notes": ["Position 0 is not steered: an attention sink or a start marker."],
        "status": {"state": "done", "message": "", "done": 0, "total": 0, "seconds": 4.2},
    }  # fmt: skip
    return SteeringWidget(**state | traits)


def audit(text: bool = True, dictionaries: int = 2, **traits) -> AuditWidget:
    """Two dictionaries on three sources; row q of column c of source s has the value 0.9 - q/20 - c/10 - s/100."""
    columns = ["sae", "pca", "random", "identity", "model", "mean", "zero"]
    formats = {
        "explained_variance": "share",
        "loss": "number",
        "active": "count",
        "error_share": "share",
        "density_low": "small",
    }
    names = list(formats)
    sources = ["all", EVIL[1], *(["this text"] if text else [])]
    shape = (dictionaries, len(sources), len(names), len(columns))
    values = np.full((*shape, 3), np.nan)
    d, s, q, c = np.indices(shape)
    values[..., 0] = 0.9 - q / 20 - c / 10 - s / 100 - d / 1000
    values[..., 1], values[..., 2] = values[..., 0] - 0.02, values[..., 0] + 0.02
    values[:, :, [0, 2, 3, 4], 4:] = np.nan
    values[:, :, 4, :, 1:] = np.nan
    values[:, :2, 3] = np.nan
    counts = np.full(shape[:3], 4000)
    counts[:, :2, 3] = -1
    if text:
        values[:, 2, :, :, 1:] = np.nan
        counts[:, 2] = 9
    edges = (10.0 ** (np.arange(-19, 1) / 4)).tolist()
    bins = np.tile(np.r_[7, np.zeros(7), np.arange(13)].astype(int), (dictionaries, len(sources), 1))
    effects = [1.5, -0.5, 2.0, 3.0]
    summary = [
        {"direction": "atom", "contexts": 4, "mean": 1.5, "sd": 1.47, "flips": 0.25, "low": 0.05, "high": 0.7},
        {"direction": "random 0", "contexts": 4, "mean": 0.1, "sd": None, "flips": 0.5, "low": 0.15, "high": 0.85},
    ]
    curve = {
        "answer": EVIL[0], "foil": "", "model": 12.5, "nothing": 0.25, "share": 0.206, "kept": [0, 1, 2, 4, 7],
        "with_errors": [0.4, 0.8, 0.9, 1.0, 1.0], "without_errors": [0.0, 0.6, 0.7, None, 0.9], "low": 0.0, "high": 1.0,
    }  # fmt: skip
    state = {
        "summary": "Dictionary 1 of 2, dictionary 0 at resid_post.0: explained variance 90%, on 30 windows of text.",
        "model_name": "SmolLM2-135M", "text": "the cat" if text else "",
        "dictionaries": [
            {"name": f"dictionary {i}", "site": f"resid_post.{i}", "width": 97, "k": 8, "done": 30, "total": 30}
            for i in range(dictionaries)
        ],
        "sources": sources, "columns": columns,
        "quantities": [
            {"name": name, "label": name.replace("_", " "), "format": written, "definition": f"definition of {name}"}
            for name, written in formats.items()
        ],
        "values": wire.float32(values), "counts": wire.int32(counts), "edges": edges, "histogram": wire.int32(bins),
        "curves": [curve if text else {}] * dictionaries,
        "atom": 5,
        "spread": {
            "dictionary": "dictionary 0", "atom": 5, "strength": 2.5, "token": EVIL[0], "random_token": " x", "summary": summary,
            "values": effects, "random": [0.1, 0.2, -0.3, 0.0], "contexts": [f"context {EVIL[i % 2]}" for i in range(4)],
            "low": 0.03, "high": 2.97, "from": -0.5, "to": 3.0,
            "split": {"wider": "dictionary w", "rows": [[31, 0.83, 0.92], [7, 0.4, None]], "explained": 0.875, "n": 40},
        },
        "notes": ["Intervals are 95 % by bootstrap over windows of text."],
        "status": {"state": "done", "message": "", "done": 0, "total": 0, "seconds": 9.1},
    }  # fmt: skip
    return AuditWidget(**state | traits)


def shift(atoms: int = 6, **traits) -> ShiftWidget:
    """A probe for two professions; two atoms are struck out, and nothing is compared yet."""
    groups = [["label", "nurse or professor"], ["spurious", "she or he"], ["worst", "worst group"], ["nurse, she", "nurse, she"],
              ["nurse, he", "nurse, he"], ["professor, she", "professor, she"], ["professor, he", "professor, he"]]  # fmt: skip
    listed = [
        {"node": f"resid_post.{i % 3}/{100 + i}", "site": f"resid_post.{i % 3}", "atom": 100 + i, "effect": 0.8 - 0.2 * i,
         "low": 0.7 - 0.2 * i, "high": 0.9 - 0.2 * i, "active": 0.5}
        for i in range(atoms)
    ]  # fmt: skip
    words = ["<s>", "mary", "lives", "in", "<img src=x onerror=window.pwned=3>", ".", "she", "is", "a", "john", "he"]
    texts = [{"tokens": [0, 1, 2, 3, 4, 5, 6, 7, 8], "label": "nurse", "spurious": "she"},
             {"tokens": [0, 9, 2, 3, 4, 5, 10, 7, 8], "label": "professor", "spurious": "he"}]  # fmt: skip
    shown = [[0, 0.4, [[1, 1.5], [6, 2.0]]], [1, 0.1, [[6, 0.5]]]]

    def row(condition: str, name: str, nodes: int, shares: list[float]) -> dict:
        cells = [{"accuracy": x, "low": max(0.0, x - 0.1), "high": min(1.0, x + 0.1), "n": 40} for x in shares]
        return {"condition": condition, "name": name, "nodes": nodes, "draws": 1, "cells": cells}

    state = {
        "model_name": "toy-grammar",
        "site": "resid_post.2",
        "labels": ["nurse", "professor"],
        "spurious": ["she", "he"],
        "listed": listed,
        "node": listed[0]["node"] if listed else "",
        "struck": [row["node"] for row in listed[1:3]],
        "words": words,
        "texts": texts,
        "examples": {row["node"]: {"maximum": 2.0, "shown": shown} for row in listed},
        "groups": groups,
        "accuracy": [
            row("original", "original probe", 0, [0.55, 0.95, 0.02, 1, 0.02, 0.1, 1]),
            row("struck", "struck out", 2, [0.8, 0.6, 0.5, 0.9, 0.5, 0.8, 1]),
            row("struck retrained", "struck out, probe retrained", 2, [0.95, 0.5, 0.9, 1, 0.9, 0.9, 1]),
        ] if listed else [],
        "notes": ["Intervals are 95 % (Wilson)."],
        "status": {"state": "done", "message": "", "done": 0, "total": 0, "seconds": 3.2},
    }  # fmt: skip
    return ShiftWidget(**state | traits)


def explorer(
    parts: dict[str, dict] | None = None, dictionary: bool = True, extra: bool = False, **traits
) -> ExplorerWidget:
    """All panels on the clean prompt of `patching`; `parts` has traits for some of them."""
    parts = {"lens": {}, "atoms": {}, "attention": {}, "patching": {}, **(parts or {})}
    ids = [sum(map(ord, token)) for token in CLEAN]
    own = {"token_ids": ids, "positions": []}
    state = {
        "model_name": "SmolLM2-135M",
        "sae_name": "15-resid-4096 (resid_post.15, 4096 atoms)" if dictionary else "",
        "text": "".join(CLEAN), "tokens": CLEAN, "token_ids": ids, "masked": [0],
        "lens": lens(CLEAN, **own | parts["lens"]),
        "atoms": atoms(CLEAN, **own | parts["atoms"]) if dictionary else None,
        "attention": attention(CLEAN, **own | parts["attention"]),
        "patching": patching(extra=extra, **parts["patching"]),
        "status": {"state": "done", "message": "", "done": 0, "total": 0, "seconds": 0.4},
    }  # fmt: skip
    return ExplorerWidget(**state | traits)


def examples(**traits) -> ExamplesWidget:
    """Two atoms: one with examples of every kind, one with the strongest alone; a third is not stored."""
    every = card(2779, 1)["examples"]
    few = every | {"kinds": {"top": every["kinds"]["top"]}, "notes": []}
    state = {"atoms": [2779, 12, 3], "atom": 2779, "stored": {"2779": every, "12": few}, "model_name": "speeches"}
    return ExamplesWidget(**state | traits)


def agreement(
    tokens: list[str] = HARMFUL,
    layers: int = 30,
    width: int | None = None,
    start: int = 0,
    error: float = 0.0,
    **traits,
) -> AgreementWidget:
    """Column c has total variation 1e-7 * 10**c; column 2 is a near tie, column 3 differs, column 4 is not finite."""
    width = width or len(tokens)
    words = [" the", " Paris", " a", "\n", *EVIL]
    index = np.zeros((2, layers, width, 3), int) + np.arange(3)
    index[1, :, 2:4] = [1, 0, 4]
    probability = np.broadcast_to([0.5, 0.25, 0.00012], index.shape)
    there = np.broadcast_to([0.49, 0.26, np.nan], index.shape)
    value = np.broadcast_to(10.0 ** (np.arange(width) - 7).clip(max=0), (layers, width)).copy()
    verdict = np.zeros((layers, width), int)
    for column, kind in ((2, 1), (3, 2), (4, 3)):
        verdict[:, column : column + 1] = kind
    value[:, 4:5] = np.nan
    state = {
        "summary": "SmolLM2-135M float32, here and SmolLM2-135M bfloat16, on a… have the same top token in 90% of 270 cells.",
        "model_name": "SmolLM2-135M",
        "sides": ["SmolLM2-135M float32, here", "SmolLM2-135M bfloat16, on a server"],
        "text": "".join(tokens), "tokens": tokens, "token_ids": list(range(100, 100 + len(tokens))), "masked": [0],
        "window": [start, start + width], "layers": list(range(layers)),
        "vocabulary": words, "vocabulary_ids": [1000 + i for i in range(len(words))], "top_k": 3,
        "top_index": wire.int32(index), "top_probability": wire.float32(probability), "probability_there": wire.float32(there),
        "verdict": wire.uint8(verdict), "total_variation": wire.float32(value),
        "total_variation_error": wire.float32(np.full((layers, width), error)),
        "logit_difference": wire.float32(10 * value), "residual_difference": wire.float32(value / 2),
        "scales": {"total_variation": [1e-4, 1.0], "logit_difference": [1e-2, 10.0], "residual_difference": [1e-4, 1.0]},
        "sentences": ["Over 30 layers, the top token agrees in 9 of 10 cells (90.0%).", "In the models' output, in 1 of 1."],
        "worst": [[20, 3], [5, 3], [20, 2], [20, 7]],
        "notes": ["Position 0 is left out of the summary."],
        "status": {"state": "done", "message": "", "done": 0, "total": 0, "seconds": 0.4},
    }  # fmt: skip
    return AgreementWidget(**state | traits)
