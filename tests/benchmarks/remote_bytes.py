"""What one call sends to a server and gets back, at texts of 10, 50 and 200 tokens on SmolLM2.

`python -m tests.benchmarks.remote_bytes http://HOST:PORT [part of a name ...]`. The server has to see the same folder of the model,
as one started by `tests/remote` does. Figures are of what travels, after compression; a request brings the source of the functions
that it needs, and a dictionary its weights.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import partial
from typing import Any

import tests.benchmarks.measure as measure

LENGTHS = (10, 50, 200)
TEXTS = 32
"""Texts of the calls that read many."""
TOKENS = 8
"""New tokens of a steered text, and of a continuation."""


def calls(model: Any, tokens: int, sae: Any) -> dict[str, Callable[[], Any]]:
    """One call of each kind on a text of so many tokens, by name."""
    import polars as pl

    import interp_widgets as iw
    from interp_widgets.methods.attention_run import layer_triangles, run_attention
    from interp_widgets.progress import silent

    m = iw.methods
    ids = model.encode(measure.text_of(model, tokens))
    other = [*ids[: tokens // 2], ids[1], *ids[tokens // 2 + 1 :]]
    pair: dict[str, Any] = {"clean": ids, "corrupt": other, "answer": " the", "foil": " a"}
    at = sorted({1, tokens // 4, tokens // 2, 3 * tokens // 4, tokens - 1})
    words = measure.ENGLISH.split()
    many = [" ".join((words[i:] + words * 3)[: round(0.8 * tokens)]) for i in range(TEXTS)]
    text = "".join(model.text_of(i) for i in ids)
    pairs = pl.DataFrame(
        {
            "clean": [f"{name} said: {text}" for name in ("John", "Mary", "Tom", "Anna")],
            "corrupt": [f"{name} said: {text}" for name in ("Mary", "John", "Anna", "Tom")],
            "answer": [" the"] * 4,
            "foil": [" a"] * 4,
        }
    )
    half = TEXTS // 2
    steer = partial(m.steer, model, ids, direction=(sae, 5), tokens=TOKENS)
    return {
        "logit_lens, 30 layers": lambda: m.logit_lens(model, ids, track=" the"),
        "lens_lines": lambda: m.lens_lines(model, ids, tokens - 1, [1, 2]),
        "run_attention (the panel)": lambda: run_attention(model, ids),
        "layer_triangles": lambda: layer_triangles(model, ids, 12, value_weighted=True),
        "attention of one head": lambda: m.attention(model, ids, layers=[12], heads=[3]),
        "head_scores": lambda: m.head_scores(model, ids),
        "head_scores, effects of 3 layers": lambda: m.head_scores(model, ids, layers=[0, 15, 29], answer=" the"),
        "atom_activations": lambda: m.atom_activations(model, ids, sae=sae),
        "atom_effects": lambda: m.atom_effects(model, ids, sae=sae),
        "ablate_atom": lambda: m.ablate_atom(model, ids, sae=sae, atom=5),
        "direct_logits": lambda: m.direct_logits(model, sae, 5),
        "search_atoms, two texts": lambda: m.search_atoms(model, ids, sae=sae, other=other),
        "activation_patching, 5 positions": lambda: m.activation_patching(model, **pair, positions=at),
        "attribution_patching": lambda: m.attribution_patching(model, **pair),
        "atom_patching, 8 atoms": lambda: m.atom_patching(model, sae, **pair, top=8, positions=at[2:]),
        "ablation, 5 positions": lambda: m.ablation(
            model, ids, answer=" the", foil=" a", sites=["resid_post"], reference=many[:4], positions=at
        ),
        "path_patching": lambda: m.path_patching(model, **pair, receivers=["mlp_out.20"], positions=[tokens - 1]),
        "single_patch": lambda: m.single_patch(
            model, **pair, source=("resid_post.10", tokens // 2), target=("resid_post.11", tokens // 2)
        ),
        f"continuations, {TOKENS} tokens": lambda: m.continuations(
            model, clean=ids, corrupt=other, source=("resid_post.10", tokens - 1), tokens=TOKENS
        ),
        "patching_pairs, 4 pairs": lambda: m.patching_pairs(model, pairs, positions=[-1], sites=["resid_post"]),
        f"steer, add, {TOKENS} tokens": steer,
        f"steer, ablate, {TOKENS} tokens": lambda: steer(mode="ablate"),
        f"mean_difference, {TEXTS} texts": lambda: m.mean_difference(model, many[:half], many[half:], site="resid_post.15"),
        f"concept_directions, {TEXTS} texts": lambda: m.concept_directions(
            model, many, [i % 2 == 0 for i in range(TEXTS)], site="resid_post.15", k=2
        ),
        "error_effect": lambda: m.error_effect(model, ids, sae=sae),
        f"effect_over_contexts, {TEXTS} texts": lambda: m.effect_over_contexts(
            model, many, sae=sae, atom=5, strength=3.0, random=1
        ),
        f"audit, {TEXTS} texts": lambda: m.audit(model, many, sae=sae, loss_tokens=512),
        f"corpus, {TEXTS} texts": lambda: iw.corpus(model, many, sae=sae),
        f"splitting, {TEXTS} texts": lambda: m.splitting(sae, sae, model=model, texts=many, atoms=[5, 6]),
        f"train_sae, {TEXTS} texts": lambda: iw.train_sae(
            model, many, site="resid_post.15", width=64, tokens=4 * tokens, held_out=64, batch=16, k=4, progress=silent
        ),
    }  # fmt: skip


def main() -> None:
    import interp_widgets as iw
    from interp_widgets.session import known

    host, *only = sys.argv[1:]
    measure.one_thread()
    model = iw.load(str(known.cached("smollm2-135m")), remote=host)
    sae = iw.load_sae("smollm2-135m/15-resid-4096")
    print(measure.machine())
    for tokens in LENGTHS:
        rows = []
        for name, call in calls(model, tokens, sae).items():
            if only and not any(part in name for part in only):
                continue
            before = len(model.jobs)
            call()
            jobs = model.jobs[before:]
            up, down = (sum(getattr(job, way) for job in jobs) for way in ("up", "down"))
            rows.append((name, len(jobs), f"{up / 1e3:,.0f}", f"{down / 1e3:,.0f}"))
        measure.report(f"{tokens} tokens", ["call", "requests", "kB up", "kB down"], rows)


if __name__ == "__main__":
    main()
