"""Steering: a direction put into the residual stream, what the model then says, and how that depends on the strength.

One strength shows little, so a whole range is run, as rows of one batch: a dose-response curve. Beside it go random directions of
the same length, because any large push changes what a model says; and the fluency of the text under the unsteered model, because
a text that fell apart is no sign of a concept. Definitions of the modes and their papers: `steered_runs`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import polars as pl
import torch

from ..errors import DictionaryError, SiteError, TextError
from ..progress import Progress, silent
from ..session.masking import sinks
from ..session.runner import Runner
from ..session.session import Session, Text
from ..session.sites import Site
from ..session.stays import Stays
from .choices import check_tokens, layers_of
from .directions import direction_of
from .steered_runs import MODES, Change, Said, end_tokens, fluency, go_on, greedy, sampler
from .steering_run import Outcome, SteeringRun, steering_frame, text_frame

ROWS = 32
"""Runs that share a batch at most."""
_STEPS = 4
"""Strengths on each side of zero, where none are given; the last one changes an activation by about 0.8 of its norm."""


def steer(
    model: Session,
    prompt: Text,
    *,
    direction: Any,
    site: str | None = None,
    layers: Sequence[int] | None = None,
    mode: str = "add",
    strengths: float | Sequence[float] | None = None,
    positions: Sequence[int | Sequence[int]] | None = None,
    generated: bool = True,
    tokens: int = 30,
    answer: str | int | None = None,
    foil: str | int | None = None,
    temperature: float = 0.0,
    randoms: int = 3,
    seed: int = 0,
    progress: Progress = silent,
) -> pl.DataFrame:
    """The metrics of steered runs, strength by strength, beside random directions (see `frames.STEERING`).

    Args:
        model: a session.
        prompt: a text, or token ids.
        direction: a `Direction`, (dictionary, atom), or a vector of numbers. See `directions` for their units.
        site: where to steer: one site, several joined by "+", or a range of layers as in "resid_post.12-17"; default where the
            direction was made.
        layers: the site's kind at each of these layers instead.
        mode: "add" (x + s v), "project_out" (x - s c v), "clamp" (x + (s - c) v) or "ablate" (x - s a v, atoms only), with v the
            vector, s the strength, c = x.v / |v|^2 and a the atom's activation. Strength 0 changes nothing, but for "clamp", which
            then takes out the coordinate.
        strengths: in units of the vector; default nine from -4 to 4 steps, a step being a round number that changes an activation
            by about 0.2 of its norm; 0, 0.25, ..., 1 where the strength is a share (project_out, ablate).
        positions: positions of the prompt, or spans (first, last), negative ones from the end; default all but attention sinks and
            start markers, which hold no text. An empty list steers new tokens only, as does a prompt with nothing else.
        generated: whether new tokens are steered as well.
        tokens: how many new tokens at most; a text that ends is not gone on with.
        answer, foil: one token each, as text or id, for the logit difference and the probability after the prompt; default the
            two likeliest of the unsteered model.
        temperature: 0 takes the likeliest token each time; else tokens are drawn, all runs with the same random numbers.
        randoms: how many random directions; they have the same length and go as far, token by token.
        seed: of the draws; the random directions have the seeds `seed`, `seed` + 1, and so on.
        progress: see `progress.Progress`; `partial` is a `SteeringRun`.

    Raises:
        TextError: a prompt, position, answer or number that cannot be; nothing to steer.
        SiteError, DictionaryError: a site or direction that does not fit the model, the mode or each other.
    """
    run = prepare_steering(
        model, prompt, direction=direction, site=site, layers=layers, mode=mode, strengths=strengths, positions=positions,
        generated=generated, tokens=tokens, answer=answer, foil=foil, temperature=temperature, randoms=randoms, seed=seed,
    )  # fmt: skip
    fill_steering(model, run, progress=progress)
    return steering_frame(run)


def steered_text(model: Session, prompt: Text, **arguments: Any) -> pl.DataFrame:
    """What the same runs say (see `frames.STEERED_TEXT`). Arguments and errors as `steer`."""
    progress = arguments.pop("progress", silent)
    run = prepare_steering(model, prompt, **arguments)
    fill_steering(model, run, progress=progress)
    return text_frame(model, run)


def prepare_steering(
    model: Session,
    prompt: Text,
    *,
    direction: Any,
    site: str | None = None,
    layers: Sequence[int] | None = None,
    mode: str = "add",
    strengths: float | Sequence[float] | None = None,
    positions: Sequence[int | Sequence[int]] | None = None,
    generated: bool = True,
    tokens: int = 30,
    answer: str | int | None = None,
    foil: str | int | None = None,
    temperature: float = 0.0,
    randoms: int = 3,
    seed: int = 0,
) -> SteeringRun:
    """Everything checked, and one pass over the unsteered prompt; see `steer`."""
    found = direction_of(direction)
    sites = sites_of(model, site or found.site, layers)
    ids = model.encode(prompt)
    _check(model, mode, found, sites, len(ids), tokens, temperature, randoms)
    read = model.work(_unsteered, ids, Change(mode, found, sites, [], generated).sent())
    free = [p for p in range(len(ids)) if p not in read.masked]
    steered = free if positions is None else _positions(positions, len(ids))
    if not steered and not generated:
        raise TextError(
            "There is nothing to steer: no new token, and no position of the prompt that is not an attention sink or a start "
            "marker. Name positions, or steer new tokens."
        )
    change = Change(mode, found, sites, steered, generated)
    first = model.single_token(answer, "answer") if answer not in (None, "") else read.likeliest[0]
    other = next(i for i in read.likeliest if i != first)
    second = model.single_token(foil, "foil") if foil not in (None, "") else other
    check_tokens(model, first, second)
    at = steered or free or range(len(ids))
    run = SteeringRun(
        tokens=model.tokens(ids),
        masked=read.masked,
        change=change,
        norms=read.norms[:, at],
        coordinates=read.coordinates[:, at],
        after_prompt=read.after_prompt,
        answer=first,
        foil=second,
        length=tokens,
        ends=end_tokens(model),
        temperature=temperature,
        seed=seed,
        seeds=list(range(seed, seed + randoms)),
        strengths=[],
    )
    run.strengths = _strengths(strengths, run)
    return run


def fill_steering(model: Session, run: SteeringRun, progress: Progress = silent) -> None:
    """Run what is not known yet: the given direction at every strength, then the random ones."""
    ids = run.tokens["token_id"].to_list()
    batches: list[list[tuple[int | None, float]]] = []
    for seeds in ([None], run.seeds):  # the given direction comes first, so that it can be shown
        missing = [(seed, s) for seed in seeds for s in run.strengths if (seed, s) not in run.outcomes]
        batches += [missing[i : i + ROWS] for i in range(0, len(missing), ROWS)]
    for done, batch in enumerate(batches):
        who = "given direction" if batch[0][0] is None else "random directions"

        def report(said: int, _: int, message: str = "", partial: Any = None, done: int = done, who: str = who) -> None:
            total = len(batches) * run.length
            progress(done * run.length + said, total, f"{who}, {message}", run if run.baseline else None)

        asked = replace(run, change=run.change.sent(), outcomes={})
        found = model.work(_steered, ids, asked, batch, progress=report)
        if run.baseline is None:
            run.baseline = found.pop(0)
        run.outcomes |= zip(batch, found, strict=True)


def _steered(
    model: Runner,
    ids: list[int],
    run: SteeringRun,
    batch: list[tuple[int | None, float]],
    progress: Progress = silent,
) -> list[Outcome]:
    """The outcomes of a batch of (seed, strength), after that of the unsteered run if it is not known yet."""
    said, logits = go_on(
        model,
        ids,
        run.change,
        torch.stack([_vector(run, seed) for seed, _ in batch]),
        torch.tensor([strength for _, strength in batch]),
        tokens=run.length,
        ends=run.ends,
        pick=sampler(run.temperature, run.seed) if run.temperature else greedy,
        plain=int(run.baseline is None),
        step=lambda said: progress(said, run.length, f"token {said + 1}"),
    )
    return _measure(model, run, ids, said, logits)


def sites_of(model: Session, site: str | None, layers: Sequence[int] | None = None) -> list[Site]:
    """The sites that `site` and `layers` of `steer` mean, in the order of the forward pass.

    Raises:
        SiteError: none, or one that does not exist or cannot be steered.
    """
    if not site:
        raise SiteError(f"Say where to steer, as in site='resid_post.{model.num_layers // 2}'.")
    found: list[Site] = []
    for name in str(site).replace(" ", "").split("+"):
        span = re.fullmatch(r"(\w+)\.(\d+)-(\d+)", name)
        names = [f"{span[1]}.{i}" for i in range(int(span[2]), int(span[3]) + 1)] if span else [name]
        found += map(model.site, names)
    if layers is not None:
        kinds = dict.fromkeys(one.kind for one in found)
        found = [model.site(f"{kind}.{layer}") for layer in layers_of(model, layers) for kind in kinds]
    if not found:
        raise SiteError(f"{site} names no layer: write the lower one first, as in resid_post.12-17.")
    if wrong := [one for one in found if one.kind in ("pattern", "logits")]:
        raise SiteError(f"{wrong[0]} cannot be steered; use a site such as resid_post.{model.num_layers // 2}.")
    return sorted(set(found), key=lambda one: one.order)


def _check(
    model: Session, mode: str, found: Any, sites: list[Site], prompt: int, tokens: int, temperature: float, randoms: int
) -> None:
    if mode not in MODES:
        raise TextError(f"{mode!r} is no way to steer; choose one of {', '.join(MODES)}.")
    if tokens < 1 or randoms < 0 or not 0 <= temperature < math.inf:
        raise TextError(
            f"Steering needs one new token or more, a temperature of 0 or more and no negative number of random directions, "
            f"not {tokens}, {temperature} and {randoms}."
        )
    if model.max_positions and prompt + tokens - 1 > model.max_positions:  # the last token is said and not read
        raise TextError(
            f"{prompt} tokens and {tokens} new ones are more than the {model.max_positions} that {model.name} reads. "
            f"Shorten the prompt, or ask for fewer."
        )
    if mode == "ablate" and (found.dictionary is None or [str(one) for one in sites] != [found.site]):
        raise DictionaryError(
            "ablate removes what an atom adds, so it needs an atom, as in direction=(sae, 1213), and the site of its "
            "dictionary. For any other direction, project_out removes its share of the stream."
        )
    if mode == "ablate" and (found.dictionary.transcodes or found.dictionary.needs_input):
        raise DictionaryError(
            f"{found.dictionary.name} reads another site than it writes, or norms its inputs, so what an atom adds cannot be told "
            "from the steered activation. Use project_out, or iw.methods.ablate_atom for one prompt."
        )


class _Unsteered(NamedTuple):
    """What the unsteered prompt shows; fields as in `SteeringRun`, but for all tokens."""

    norms: torch.Tensor
    coordinates: torch.Tensor
    masked: list[int]
    likeliest: list[int]
    """Tokens after the prompt, the likeliest first."""
    after_prompt: Stays


def _unsteered(model: Runner, ids: list[int], change: Change) -> _Unsteered:
    """One pass over the unsteered prompt."""
    seen = model.run([ids], [*map(str, change.sites), "logits"], logits_to_keep=1)
    x, size = [seen[str(site)][0].float().cpu() for site in change.sites], len(change.direction.vector)
    for site, one in zip(change.sites, x, strict=True):
        if one.dim() != 2 or one.shape[-1] != size:
            raise SiteError(
                f"The direction has {size} numbers and {site} of {model.name} has {list(one.shape[1:])} at each token. Use a "
                "direction that was made at a site of that width."
            )
    together, logits = torch.stack(x), seen["logits"][0, -1].float().cpu()
    norms = together.norm(dim=-1)
    return _Unsteered(
        norms,
        change.coordinate(together),
        sinks(model, ids, norms),
        [int(logits.argmax()), *logits.topk(2).indices.tolist()],
        Stays(logits.double().log_softmax(-1)),
    )


def _positions(positions: Sequence[int | Sequence[int]], length: int) -> list[int]:
    out: set[int] = set()
    for wanted in positions:
        ends = [p + length if p < 0 else p for p in ([wanted] if isinstance(wanted, int) else wanted)]
        if len(ends) not in (1, 2) or not all(0 <= p < length for p in ends) or ends[0] > ends[-1]:
            raise TextError(
                f"{wanted} is no position of the prompt: it has positions 0 to {length - 1}, and a span is (first, last)."
            )
        out |= set(range(ends[0], ends[-1] + 1))
    return sorted(out)


def _strengths(wanted: float | Sequence[float] | None, run: SteeringRun) -> list[float]:
    if wanted is not None:
        given = [float(s) for s in (wanted if isinstance(wanted, Sequence) else np.atleast_1d(wanted))]
        if not given or not all(map(math.isfinite, given)):
            raise TextError(f"Strengths are one or more finite numbers, not {given}.")
        return sorted({s + 0.0 for s in given})
    if run.change.mode in ("project_out", "ablate"):
        return [0.0, 0.25, 0.5, 0.75, 1.0]
    step = round_number(0.2 * float(np.median(run.norms)) / run.change.direction.norm)
    return [float(f"{step * k:.6g}") + 0.0 for k in range(-_STEPS, _STEPS + 1)]


def round_number(x: float) -> float:
    """The nearest of 1, 2, 2.5, 5 times a power of ten."""
    power = 10.0 ** math.floor(math.log10(max(x, 1e-30)))
    return min((m * power for m in (1, 2, 2.5, 5, 10)), key=lambda near: abs(math.log(near / max(x, 1e-30))))


def _vector(run: SteeringRun, seed: int | None) -> torch.Tensor:
    """The given direction [width], or a random one of its length."""
    vector = run.change.direction.vector.cpu()
    if seed is None:
        return vector
    random = torch.randn(len(vector), generator=torch.Generator().manual_seed(seed))
    return random * (vector.norm() / random.norm())


def _measure(model: Runner, run: SteeringRun, ids: list[int], said: list[Said], logits: torch.Tensor) -> list[Outcome]:
    log_p, after = logits.double().log_softmax(-1), run.after_prompt.value
    if after is None:  # it stayed on a server, where nothing outlives its request
        again = model.run([ids], ["logits"], logits_to_keep=1)["logits"][0, -1]
        after = again.float().cpu().double().log_softmax(-1)
    kl = (after.exp() * (after - log_p)).sum(-1).clamp(min=0)
    difference = logits[:, run.answer].double() - logits[:, run.foil].double()
    fluencies = fluency(model, ids, [one.token_ids for one in said])
    return [
        Outcome(one, *numbers)
        for one, *numbers in zip(
            said, difference.tolist(), log_p[:, run.answer].exp().tolist(), kl.tolist(), fluencies, strict=True
        )
    ]
