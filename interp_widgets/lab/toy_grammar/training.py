"""The model of toy-grammar: one schedule, from scratch, on sentences drawn as they are needed.

A small Llama learns to say what comes next; answers weigh more than other words. The schedule has four stages, since it is hard to
find what the truth of a claim rests on, and easy to memorise arithmetic. First there are weekdays only: a week has so few facts
that beside anything else they are learnt by heart. Then most claims are about eight countries, without which their truth stays at
chance, and weight decay is small, so that attention to names forms early. Then claims are about all countries, some more often
than others, and weight decay is large, so that what was memorised gives way to what is general. Last claims are as they are, and
there are more weekdays and months.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from itertools import islice
from pathlib import Path
from random import Random
from typing import Any

import torch
from torch.nn.functional import cross_entropy, dropout
from transformers import LlamaConfig, LlamaForCausalLM

from ...errors import ModelError
from ...sae import checkpoint
from ...sae.trainer import fast_bfloat16
from . import grammar
from .measuring import accuracies
from .tokens import PAD, START, STOP, encode


@dataclass(frozen=True)
class Stage:
    """A part of the schedule."""

    until: float
    """The share of all steps at which it ends."""
    decay: float
    """Weight decay of matrices."""
    claims: str
    """Which claims: a function of `grammar`."""
    mix: dict[str, int]
    """How many sentences of a hundred are of each kind."""


STAGES = (
    Stage(0.06, 0.5, "truth", {"weekdays": 100}),
    Stage(0.30, 0.1, "truth_of_few", {
        **{"truth": 24, "indirect object": 18, "agreement": 12, "months": 12, "capitals": 12, "weekdays": 8, "biography": 5},
        **{"pronouns": 5, "filler": 4},
    }),
    Stage(0.48, 0.5, "easy_truth", {
        **{"truth": 30, "months": 16, "weekdays": 14, "agreement": 14, "indirect object": 8, "capitals": 6, "biography": 4},
        **{"pronouns": 4, "filler": 4},
    }),
    Stage(1.0, 0.5, "truth", {
        **{"weekdays": 28, "months": 22, "truth": 20, "agreement": 10, "indirect object": 8, "capitals": 5, "biography": 3},
        **{"pronouns": 2, "filler": 2},
    }),
)  # fmt: skip
POOL = 8000
"""Sentences that are drawn at once, to be sorted by length."""
Say = Callable[[str], object]


@dataclass(frozen=True)
class Recipe:
    """What a training is, besides its seed."""

    steps: int = 13_000
    tokens: int = 1200
    """In a batch, about."""
    answer_weight: float = 8.0
    """Of an answer in the loss; other words weigh 1. Most of those are drawn at random, and their loss is noise."""
    rate: float = 2e-3
    """Learning rate after the warm-up."""
    warmup: int = 200
    cooling: float = 0.7
    """The last share of the steps, in which the learning rate falls in a line to a thirtieth: from the third stage on."""
    dropout: float = 0.2
    """Share of what is read of the embeddings that is left out: what is learnt by heart suffers more from it than a rule."""
    stages: tuple[Stage, ...] = STAGES
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
            attn_implementation="eager",  # the fused one goes back slowly in bfloat16, and sentences are short
        )
    )


Batch = tuple[torch.Tensor, torch.Tensor]


def batches(recipe: Recipe, seed: int) -> Iterator[Batch]:
    """(ids [sentences, words], weight of each id but the first as a target), sentences of like length together."""
    rng, step = Random(seed), 0
    while True:
        stage = _stage(recipe, step)
        tasks = {**grammar.TASKS, "filler": grammar.filler, "truth": getattr(grammar, stage.claims)}
        kinds = rng.choices(list(stage.mix), list(stage.mix.values()), k=POOL)
        rows = [encode(grammar.draw(rng, tasks[kind])) for kind in kinds]
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


def _stage(recipe: Recipe, step: int) -> Stage:
    return next(stage for stage in recipe.stages if step < stage.until * recipe.steps or stage is recipe.stages[-1])


def _rate(recipe: Recipe, step: int) -> float:
    left = (recipe.steps - step) / (recipe.cooling * recipe.steps)
    return recipe.rate * min(1, step / recipe.warmup, max(1 / 30, left))


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
    for group, decay in zip(optimiser.param_groups, (_stage(recipe, step).decay, 0.0), strict=True):
        group["lr"], group["weight_decay"] = _rate(recipe, step), decay
    torch.manual_seed(step)  # of the dropout: a training that goes on from a checkpoint ends the same
    with torch.autocast("cpu", torch.bfloat16, enabled=recipe.low):
        embedded = dropout(model.get_input_embeddings()(ids[:, :-1]), recipe.dropout)
        logits = model(inputs_embeds=embedded, use_cache=False).logits
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
