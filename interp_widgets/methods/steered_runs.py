"""Runs that go on from one prompt, each row of a batch steered by its own vector with its own strength.

A change moves an activation x along a vector u by an amount that the mode says: x + amount(x) u. With v the direction and
c(x) = x . v / |v|^2 the coordinate of x along it, the amounts for a strength s are

    add          s                 Turner et al. arXiv:2308.10248, Rimsky et al. arXiv:2312.06681
    project_out  -s c(x)           Arditi et al. arXiv:2406.11717; s = 1 takes out all of it
    clamp        s - c(x)          the coordinate becomes s, whatever it was (after Templeton et al. 2024)
    ablate       -s a(x)           a is the activation of an atom, and v its decoder row; the dictionary's other atoms and its
                                   error stay as they are (Marks et al. arXiv:2403.19647)

and u = v. A random control has another u of the same length and the same amount, so that the change is as large.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch

from ..errors import TextError
from ..session import cache
from ..session.runner import Runner
from ..session.session import Session
from ..session.sites import Site
from .directions import Direction

MODES = ("add", "project_out", "clamp", "ablate")

Pick = Callable[[torch.Tensor], torch.Tensor]
"""From logits [rows, vocabulary] to the next token of each row."""


@dataclass(frozen=True, eq=False)
class Change:
    """What is done to a run: how, along what, and where."""

    mode: str
    direction: Direction
    sites: list[Site]
    positions: list[int]
    """Steered positions of the prompt."""
    generated: bool
    """Whether new tokens are steered as well."""

    def coordinate(self, x: torch.Tensor) -> torch.Tensor:
        """What the amount depends on besides the strength: x [..., width] float32 -> [...], c(x) or a(x), zero for "add"."""
        if self.mode == "add":
            return x.new_zeros(x.shape[:-1])
        if self.mode == "ablate":
            assert self.direction.dictionary is not None
            return self.direction.dictionary.encode(x)[..., self.direction.atom].to(x)
        vector = self.direction.vector.to(x)
        return x @ vector / vector.dot(vector)

    def amount(self, coordinate: torch.Tensor, strength: torch.Tensor) -> torch.Tensor:
        """How far each activation goes, in lengths of the vector: strength that fits `coordinate` [...] -> [...]."""
        if self.mode == "add":
            return strength.expand(coordinate.shape)
        return strength - coordinate if self.mode == "clamp" else -strength * coordinate

    def sent(self) -> Change:
        """The same without a dictionary that the mode does not need."""
        return self if self.mode == "ablate" else replace(self, direction=replace(self.direction, dictionary=None))

    def edits(self, vectors: torch.Tensor, strengths: torch.Tensor, steered: torch.Tensor) -> dict[str, Any]:
        """The edits of a batch: the last rows go along `vectors` [rows, width], at positions where `steered` [tokens] is true."""
        if not steered.any():
            return {}

        def edit(x: torch.Tensor) -> torch.Tensor:
            x = x.clone()
            part = x[-len(vectors) :, steered].float()
            amount = self.amount(self.coordinate(part), strengths.to(part)[:, None])
            moved = part + amount[..., None] * vectors.to(part)[:, None]
            x[-len(vectors) :, steered] = moved.to(x)
            return x

        return {str(site): edit for site in self.sites}


@dataclass(frozen=True)
class Said:
    """What one run says, up to the end of text, which counts."""

    token_ids: list[int]
    probabilities: list[float]


def go_on(
    model: Runner,
    ids: Sequence[int],
    change: Change,
    vectors: torch.Tensor,
    strengths: torch.Tensor,
    *,
    tokens: int,
    ends: Sequence[int],
    pick: Pick,
    plain: int = 0,
    step: Callable[[int], None] = lambda _: None,
) -> tuple[list[Said], torch.Tensor]:
    """What each run says, and its logits after the prompt, [rows, vocabulary] float32 on the CPU.

    Args:
        vectors, strengths: [rows, width] and [rows], one a steered run.
        tokens: how many each says at most.
        ends: tokens that end a text.
        pick: chooses the next tokens.
        plain: so many runs that are not steered come before the others.
        step: called with the number of tokens said so far.

    Raises:
        TextError: strengths so large that numbers overflow.
    """
    keeps, past = model.takes_cache, cache.empty()
    rows = plain + len(vectors)
    whole = torch.tensor(ids).expand(rows, -1)
    steered = torch.zeros(len(ids) + tokens, dtype=torch.bool)
    steered[change.positions] = True
    steered[len(ids) :] = change.generated
    probabilities, finished, after_prompt = [], torch.zeros(rows, dtype=torch.bool), torch.empty(0)
    for said in range(tokens):
        step(said)
        read = whole.shape[1] - 1 if keeps and past.get_seq_length() else 0  # so many are in the cache
        inputs: dict[str, Any] = {}
        if keeps:
            ones = torch.ones(whole.shape, dtype=torch.long, device=model.device)
            inputs = {"use_cache": True, "past_key_values": past, "attention_mask": ones}
        edits = change.edits(vectors, strengths, steered[read : whole.shape[1]])
        found = model.run(whole[:, read:].tolist(), ["logits"], edit=edits, logits_to_keep=1, inputs=inputs)
        logits = found["logits"][:, -1].float().cpu()
        if not said:
            after_prompt = logits
        total = logits.logsumexp(-1)
        if not total.isfinite().all():
            raise TextError("At these strengths the model's numbers overflow, so it says nothing. Give smaller ones.")
        chosen = pick(logits)
        probabilities.append((logits.gather(1, chosen[:, None])[:, 0] - total).double().exp())
        whole = torch.cat([whole, chosen[:, None]], 1)
        finished |= torch.isin(chosen, torch.tensor(ends))
        if finished.all():
            break
    table = torch.stack(probabilities, 1).tolist()
    runs = []
    for row, chances in zip(whole[:, len(ids) :].tolist(), table, strict=True):
        length = next((i + 1 for i, token in enumerate(row) if token in ends), len(row))
        runs.append(Said(row[:length], chances[:length]))
    return runs, after_prompt


def fluency(model: Runner, ids: Sequence[int], continuations: Sequence[Sequence[int]]) -> list[float]:
    """Mean log-probability of each continuation of a prompt under the model as it is, nats a token."""
    longest = max(map(len, continuations))
    texts = [
        [*ids, *said, *[said[-1]] * (longest - len(said))] for said in continuations
    ]  # what follows changes nothing

    def measure(values: dict[str, torch.Tensor]) -> list[float]:
        out = []
        for normed, said in zip(values["final_norm"], continuations, strict=True):  # one row of logits at a time
            logits = model.head(normed[len(ids) - 1 : len(ids) - 1 + len(said)]).float()
            chosen = logits.gather(1, torch.tensor(said, device=logits.device)[:, None])[:, 0]
            out.append(float((chosen - logits.logsumexp(-1)).mean()))
        return out

    return model.run([text[:-1] for text in texts], ["final_norm"], then=measure)


def greedy(logits: torch.Tensor) -> torch.Tensor:
    """The likeliest token of each row."""
    return logits.argmax(-1)


def sampler(temperature: float, seed: int) -> Pick:
    """Tokens drawn at a temperature, all rows with the same random numbers at each step, so that equal rows stay equal."""
    generator = torch.Generator().manual_seed(seed)

    def pick(logits: torch.Tensor) -> torch.Tensor:
        noise = -(-torch.rand(logits.shape[-1], generator=generator).log()).log()  # Gumbel's: its argmax is a draw
        return (logits / temperature + noise).argmax(-1)

    return pick


def end_tokens(model: Session) -> list[int]:
    """Tokens that end a text, as the model's own generation takes them."""
    ends = model.end_ids
    if ends is None:
        ends = model.tokenizer.eos_token_id
    return [] if ends is None else [ends] if isinstance(ends, int) else list(ends)
