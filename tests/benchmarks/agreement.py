"""How far sessions on SmolLM2-135M differ that should not: rounding, and nothing else. And what an agreement costs.

    python -m tests.benchmarks.agreement

The figures of docs/panels/agreement.md: four texts, 3,600 cells that are not masked.
"""

from __future__ import annotations

import time
from typing import Any

import polars as pl
import torch
from transformers import AutoModelForCausalLM

import interp_widgets as iw
from interp_widgets.session import known
from tests.methods.test_agreement import Away

TEXTS = [
    "The Eiffel Tower is in the city of Paris, and the Colosseum is in Rome. When Mary and John went to the store, John gave a "
    "drink to Mary.",
    "In 1905 Albert Einstein published four papers that changed physics. One of them explained the photoelectric effect, for "
    "which he later received the Nobel Prize.",
    'def add(a, b):\n    """Add two numbers."""\n    return a + b\n\nprint(add(2, 3))\n',
    "She opened the door slowly, listened to the rain for a while, and then decided that nobody would come tonight after all.",
]
MEASURES = ("total_variation", "residual_difference", "logit_difference")


def variant(dtype: torch.dtype, attention: str, tokenizer: Any, to: torch.dtype | None = None) -> iw.Session:
    """SmolLM2 loaded by transformers in a dtype, and computed in another one if asked."""
    folder = known.resolve("smollm2-135m")
    module = AutoModelForCausalLM.from_pretrained(folder, dtype=dtype, attn_implementation=attention)
    return iw.load(module.to(to or dtype).eval(), tokenizer=tokenizer)


def row(name: str, model: iw.Session, other: iw.Session) -> str:
    """One row of the table."""
    frames = [iw.methods.agreement(model, other, text).filter(~pl.col("masked")) for text in TEXTS]
    frame = pl.concat(frames)
    output = frame.filter(pl.col("layer") == model.num_layers - 1)
    said = [f"{frame[m].median():.2g} / {frame[m].quantile(0.99):.2g} / {frame[m].max():.2g}" for m in MEASURES]
    counts = f"{frame['agrees'].mean():.1%} of {len(frame):,}, {frame['near_tie'].sum()} near ties"
    outputs = f"{output['agrees'].sum()} of {len(output)}, {output['total_variation'].max():.2g}"
    return f"| {name} | {counts} | {' | '.join(said)} | {outputs} |"


def main() -> None:
    """Print the table, then seconds and bytes for 50 tokens."""
    torch.set_num_threads(1)
    model = iw.load("smollm2-135m")
    half = iw.load("smollm2-135m", dtype="bfloat16")
    tokenizer = model.tokenizer
    print("| pair | top-1 | total variation (median / 99% / worst) | residual | logit | output: top-1, worst |")
    print(row("float32, sdpa attention", model, variant(torch.float32, "sdpa", tokenizer)))
    print(row("float64", model, variant(torch.float64, "eager", tokenizer)))
    print(row("float16", model, iw.load("smollm2-135m", dtype="float16")))
    print(
        row(
            "weights of bfloat16, computed in float32",
            model,
            variant(torch.bfloat16, "eager", tokenizer, torch.float32),
        )
    )
    print(row("bfloat16", model, half))
    print(row("bfloat16: eager and sdpa", half, variant(torch.bfloat16, "sdpa", tokenizer)))

    ids = (model.encode(" ".join(TEXTS)) * 2)[:50]
    for sampled in (False, True):
        began = time.perf_counter()
        iw.methods.agreement(model, half, ids, sampled=sampled)
        print(f"50 tokens, sampled={sampled}: {time.perf_counter() - began:.1f} s")
    here, away = Away(model), Away(half)
    here.torch_module = model.torch_module
    iw.methods.agreement(here, away, ids)
    logits = model.num_layers * len(ids) * model.vocabulary_size * 4
    print(
        f"to the server {here.sent / 1e6:.1f} MB, back {away.sent / 1e6:.2f} MB; all logits are {logits / 1e6:.0f} MB"
    )


if __name__ == "__main__":
    main()
