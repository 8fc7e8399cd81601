"""The model of toy-grammar: one schedule, from scratch, on sentences drawn as they are needed.

A small Llama learns to say what comes next. Answers weigh more than other words. Two things change on the way: claims about truth
are easy at first (without that they stay at chance for thousands of steps), and weight decay grows (little of it lets attention
form early, much of it makes the arithmetic of weekdays and months general).
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from random import Random
from typing import Any

import torch
from torch.nn.functional import cross_entropy
from transformers import LlamaConfig, LlamaForCausalLM

from ...sae import checkpoint
from . import grammar
from .measuring import accuracies
from .tokens import PAD, START, STOP, encode, tokenizer

MIX = {
    **{"truth": 24, "weekdays": 22, "months": 18, "agreement": 12, "indirect object": 10},
    **{"capitals": 5, "biography": 4, "pronouns": 4, "filler": 4},
}
"""Sentences of each kind in a hundred or so."""
POOL = 8000
"""Sentences that are drawn at once, to be sorted by length."""
Say = Callable[[str], object]


@dataclass(frozen=True)
class Recipe:
    """What a training is, besides its seed."""

    steps: int = 14_000
    tokens: int = 900
    """In a batch, about."""
    answer_weight: float = 4.0
    """Of an answer in the loss; other words weigh 1."""
    rate: float = 2e-3
    """Learning rate after the warm-up; falls by a cosine to a twentieth."""
    warmup: int = 200
    decay: tuple[float, float] = (0.1, 0.5)
    """Weight decay of matrices before and after `turn`."""
    turn: float = 0.3
    """The share of the steps after which weight decay grows."""
    easy: float = 0.4
    """The share of the steps in which claims about truth are easy."""
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
        tasks = {**grammar.TASKS, "filler": grammar.filler}
        if step < recipe.easy * recipe.steps:
            tasks["truth"] = grammar.easy_truth
        rows = [encode(grammar.draw(rng, tasks[task])) for task in rng.choices(list(MIX), list(MIX.values()), k=POOL)]
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


def _schedule(recipe: Recipe, step: int) -> tuple[float, float]:
    """(learning rate, weight decay) of a step."""
    done = step / recipe.steps
    rate = recipe.rate * min(1, step / recipe.warmup) * (0.05 + 0.475 * (1 + math.cos(math.pi * done)))
    return rate, recipe.decay[done > recipe.turn]


def train(folder: Path, seed: int, recipe: Recipe, say: Say) -> LlamaForCausalLM:
    """The trained model, float32; also written into `folder`, with its curve (curve.json).

    A training that was broken off goes on from its last checkpoint, and ends as it would have.
    """
    model = new_model(seed)
    groups = [[p for p in model.parameters() if (p.ndim > 1) == matrix] for matrix in (True, False)]
    optimiser = torch.optim.AdamW(
        [{"params": groups[0]}, {"params": groups[1], "weight_decay": 0.0}],
        lr=recipe.rate,
        betas=(0.9, 0.98),
        fused=True,
    )
    facts: dict[str, Any] = {"seed": seed, **asdict(recipe)}
    first, curve, before = _resume(folder, facts, model, optimiser)
    model.train()
    losses: list[float] = []
    start = time.monotonic()
    for step, (ids, weight) in enumerate(batches(recipe, seed), 1):
        if step <= first:  # drawn again, so that what follows is the same
            continue
        if step > recipe.steps:
            break
        optimiser.param_groups[0]["lr"], optimiser.param_groups[0]["weight_decay"] = _schedule(recipe, step)
        optimiser.param_groups[1]["lr"] = optimiser.param_groups[0]["lr"]
        logits = model(input_ids=ids[:, :-1], use_cache=False).logits
        each = cross_entropy(logits.flatten(0, 1), ids[:, 1:].flatten(), reduction="none")
        loss = (each * weight.flatten()).sum() / weight.sum()
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        losses.append(loss.item())
        if step % recipe.every == 0 or step == recipe.steps:
            found = {f"{task}, {held}": right for (task, held), (right, _) in accuracies(model, 200).items()}
            seconds = before + time.monotonic() - start
            curve.append({"step": step, "seconds": seconds, "loss": sum(losses) / len(losses), **found})
            losses = []
            say(_line(curve[-1]))
            _save(folder, facts, model, optimiser, step, curve)
            model.train()
    return model.eval()


def _line(row: dict[str, float]) -> str:
    short = {name: value for name, value in row.items() if name not in ("step", "seconds", "loss")}
    cells = "  ".join(f"{name.replace(', combination', '')} {value:.2f}" for name, value in short.items())
    return f"{row['step']:>6.0f} {row['seconds']:>6.0f} s  loss {row['loss']:.3f}  {cells}\n"


def _save(
    folder: Path, facts: dict[str, Any], model: Any, optimiser: Any, step: int, curve: list[dict[str, float]]
) -> None:
    """The model as transformers keeps it, and a checkpoint to go on from."""
    model.save_pretrained(folder)
    tokenizer().save_pretrained(folder)
    (folder / "curve.json").write_text(json.dumps({"recipe": facts, "curve": curve}, indent=1), encoding="utf-8")
    tensors = {f"model.{name}": value for name, value in model.state_dict().items()}
    for number, state in optimiser.state_dict()["state"].items():
        tensors |= {f"optimiser.{number}.{name}": value for name, value in state.items()}
    checkpoint.save(folder, tensors, {"facts": json.loads(json.dumps(facts)), "step": step, "curve": curve})


def _resume(
    folder: Path, facts: dict[str, Any], model: Any, optimiser: Any
) -> tuple[int, list[dict[str, float]], float]:
    """(steps done, curve, seconds) of the checkpoint in `folder`, if it is of this training; it is put into model and optimiser."""
    found = checkpoint.load(folder)
    if found is None or found[1]["facts"] != json.loads(json.dumps(facts)):
        return 0, [], 0.0
    tensors, said = found
    model.load_state_dict(checkpoint.part(tensors, "model."))
    state: dict[int, dict[str, torch.Tensor]] = {}
    for name, value in checkpoint.part(tensors, "optimiser.").items():
        number, _, kind = name.partition(".")
        state.setdefault(int(number), {})[kind] = value
    optimiser.load_state_dict({"state": state, "param_groups": optimiser.state_dict()["param_groups"]})
    return said["step"], said["curve"], said["curve"][-1]["seconds"]
