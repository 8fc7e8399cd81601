"""The model of toy-grammar: one schedule, from scratch, on sentences drawn as they are needed.

A small Llama learns to say what comes next; answers weigh more than other words. The schedule has one turn. Before it, claims about
truth are easy (without that they stay at chance for thousands of steps) and weight decay is small, so that attention forms early.
After it, claims are as they are, there are more weekdays and months, and weight decay is large, which makes arithmetic general.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from itertools import islice
from pathlib import Path
from random import Random
from typing import Any

import torch
from torch.nn.functional import cross_entropy
from transformers import LlamaConfig, LlamaForCausalLM

from ...errors import ModelError
from ...sae import checkpoint
from ...sae.trainer import fast_bfloat16
from . import grammar
from .measuring import accuracies
from .tokens import PAD, START, STOP, encode

EARLY = {
    **{"truth": 26, "indirect object": 16, "agreement": 14, "months": 12, "capitals": 9, "weekdays": 8},
    **{"biography": 5, "pronouns": 5, "filler": 5},
}
"""Sentences of each kind in a hundred, before the turn."""
LATE = {
    **{"truth": 24, "weekdays": 22, "months": 20, "agreement": 10, "indirect object": 8, "capitals": 5},
    **{"biography": 4, "pronouns": 4, "filler": 3},
}
"""After it."""
POOL = 8000
"""Sentences that are drawn at once, to be sorted by length."""
Say = Callable[[str], object]


@dataclass(frozen=True)
class Recipe:
    """What a training is, besides its seed."""

    steps: int = 14_000
    tokens: int = 1100
    """In a batch, about."""
    answer_weight: float = 5.0
    """Of an answer in the loss; other words weigh 1."""
    rate: float = 2e-3
    """Learning rate after the warm-up; falls by a cosine to a twentieth."""
    warmup: int = 200
    turn: float = 0.4
    """The share of the steps before the turn."""
    decay: tuple[float, float] = (0.1, 0.5)
    """Weight decay of matrices before and after the turn."""
    low: bool = field(default_factory=lambda: fast_bfloat16("cpu"))
    """Whether products are made in bfloat16: a third less time on processors that have it. Weights stay float32."""
    every: int = 500
    """Steps from one measurement, and checkpoint, to the next."""


def new_model(seed: int) -> LlamaForCausalLM:
    """One million parameters: 4 layers of width 128, 4 heads."""
    torch.manual_seed(seed)
    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=len(grammar.vocabulary()),
            hidden_size=128,
            intermediate_size=384,
            num_hidden_layers=4,
            num_attention_heads=4,
            num_key_value_heads=4,
            max_position_embeddings=64,
            tie_word_embeddings=False,
            pad_token_id=PAD,
            bos_token_id=START,
            eos_token_id=STOP,
        )
    )


Batch = tuple[torch.Tensor, torch.Tensor]


def batches(recipe: Recipe, seed: int) -> Iterator[Batch]:
    """(ids [sentences, words], weight of each id but the first as a target), sentences of like length together."""
    rng, step = Random(seed), 0
    while True:
        early = step < recipe.turn * recipe.steps
        mix, tasks = EARLY if early else LATE, {**grammar.TASKS, "filler": grammar.filler}
        if early:
            tasks["truth"] = grammar.easy_truth
        rows = [encode(grammar.draw(rng, tasks[task])) for task in rng.choices(list(mix), list(mix.values()), k=POOL)]
        rows.sort(key=lambda row: len(row[0]))
        pool = []
        while rows:
            count = max(1, recipe.tokens // len(rows[-1][0]))
            pool.append(_padded(rows[-count:], recipe.answer_weight))
            del rows[-count:]
        rng.shuffle(pool)
        yield from pool
        step += len(pool)


def _padded(rows: list[tuple[list[int], list[int]]], answer_weight: float) -> Batch:
    width = max(len(ids) for ids, _ in rows)
    weights = [[1.0] * (len(ids) - 1) + [0.0] * (width - len(ids)) for ids, _ in rows]
    for weight, (_, answers) in zip(weights, rows, strict=True):
        for answer in answers:
            weight[answer - 1] = answer_weight
    return torch.tensor([ids + [PAD] * (width - len(ids)) for ids, _ in rows]), torch.tensor(weights)


def _rate(recipe: Recipe, step: int) -> float:
    return recipe.rate * min(1, step / recipe.warmup) * (0.05 + 0.475 * (1 + math.cos(math.pi * step / recipe.steps)))


def _decay(recipe: Recipe, step: int) -> float:
    return recipe.decay[step > recipe.turn * recipe.steps]


def train(folder: Path, seed: int, recipe: Recipe, say: Say) -> LlamaForCausalLM:
    """The trained model, float32, in evaluation mode; its curve goes to curve.json in `folder`.

    A training that was broken off goes on from its checkpoint there, and ends as it would have.

    Raises:
        ModelError: the checkpoint in `folder` is of another seed or recipe.
    """
    model = new_model(seed)
    groups = [[p for p in model.parameters() if (p.ndim > 1) == matrix] for matrix in (True, False)]
    optimiser = torch.optim.AdamW(
        [{"params": groups[0]}, {"params": groups[1], "weight_decay": 0.0}],
        lr=recipe.rate,
        betas=(0.9, 0.98),
        fused=True,
    )
    facts = json.loads(json.dumps({"seed": seed, **asdict(recipe)}))
    curve = _resume(folder, facts, model, optimiser)
    first, before = (curve[-1]["step"], curve[-1]["seconds"]) if curve else (0, 0.0)
    start = time.monotonic()
    losses: list[float] = []
    # What was drawn before the checkpoint is drawn again, so that what follows is the same.
    steps = enumerate(islice(batches(recipe, seed), int(first), recipe.steps), int(first) + 1)
    for step, batch in steps if first < recipe.steps else ():
        losses.append(_step(model, optimiser, batch, recipe, step))
        if step % recipe.every == 0 or step == recipe.steps:
            found = {f"{task}, {held}": right for (task, held), (right, _) in accuracies(model, 100).items()}
            seconds = before + time.monotonic() - start
            curve.append({"step": step, "seconds": seconds, "loss": sum(losses) / len(losses), **found})
            losses = []
            say(_line(curve[-1]))
            _save(folder, facts, model, optimiser, curve)
    return model.eval()


def _step(model: LlamaForCausalLM, optimiser: torch.optim.Optimizer, batch: Batch, recipe: Recipe, step: int) -> float:
    """One step of the optimiser; the loss before it."""
    ids, weight = batch
    model.train()
    for group, decay in zip(optimiser.param_groups, (_decay(recipe, step), 0.0), strict=True):
        group["lr"], group["weight_decay"] = _rate(recipe, step), decay
    with torch.autocast("cpu", torch.bfloat16, enabled=recipe.low):
        logits = model(input_ids=ids[:, :-1], use_cache=False).logits
    each = cross_entropy(logits.float().flatten(0, 1), ids[:, 1:].flatten(), reduction="none")
    loss = (each * weight.flatten()).sum() / weight.sum()
    optimiser.zero_grad(set_to_none=True)
    loss.backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimiser.step()
    return loss.item()


def _line(row: dict[str, float]) -> str:
    short = {name: value for name, value in row.items() if name not in ("step", "seconds", "loss")}
    cells = "  ".join(f"{name.replace(', combination', '')} {value:.2f}" for name, value in short.items())
    return f"{row['step']:>6.0f} {row['seconds']:>6.0f} s  loss {row['loss']:.3f}  {cells}\n"


def _save(folder: Path, facts: dict[str, Any], model: Any, optimiser: Any, curve: list[dict[str, float]]) -> None:
    tensors = {f"model.{name}": value for name, value in model.state_dict().items()}
    for number, state in optimiser.state_dict()["state"].items():
        tensors |= {f"optimiser.{number}.{name}": value for name, value in state.items()}
    checkpoint.save(folder, tensors, {"facts": facts, "curve": curve})
    (folder / "curve.json").write_text(json.dumps({"recipe": facts, "curve": curve}, indent=1), encoding="utf-8")


def _resume(folder: Path, facts: dict[str, Any], model: Any, optimiser: Any) -> list[dict[str, float]]:
    """The curve so far of the checkpoint in `folder`, which is put into model and optimiser; empty if there is none."""
    found = checkpoint.load(folder)
    if found is None:
        return []
    tensors, said = found
    if other := checkpoint.differences(said["facts"], facts):
        raise ModelError(
            f"{folder} holds a training that was broken off, but of another kind: {', '.join(other)}. "
            "Ask for the same to go on with it, or give another folder."
        )
    model.load_state_dict(checkpoint.part(tensors, "model."))
    state: dict[int, dict[str, torch.Tensor]] = {}
    for name, value in checkpoint.part(tensors, "optimiser.").items():
        number, _, kind = name.partition(".")
        state.setdefault(int(number), {})[kind] = value
    optimiser.load_state_dict({"state": state, "param_groups": optimiser.state_dict()["param_groups"]})
    return list(said["curve"])
