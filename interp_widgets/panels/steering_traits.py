"""A steering run as the traits of its panel: bytes, texts with their differences, checks and notes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ..widgets import wire
from .lens import unknown_words

if TYPE_CHECKING:
    from ..methods.steered_runs import Said
    from ..methods.steering_run import SteeringRun
    from ..session.session import Session


def run_traits(model: Session, run: SteeringRun) -> dict[str, Any]:
    """All that the browser gets of a run, by the names of the traits."""
    from ..methods.steering_run import METRICS

    given = np.array([run.values(metric) for metric in METRICS])
    random = np.stack([run.random_range(metric) for metric in METRICS], 1)
    baseline = [] if run.baseline is None else [getattr(run.baseline, metric) for metric in METRICS]
    direction = run.change.direction
    return {
        "direction": {"name": direction.name, "made": direction.made, "norm": direction.norm},
        "tokens": run.tokens["token"].to_list(),
        "token_ids": run.tokens["token_id"].to_list(),
        "masked": run.masked,
        "measured": [model.text_of(run.answer), model.text_of(run.foil)],
        "strengths": run.strengths,
        "norm_ratio": [run.norm_ratio(strength) for strength in run.strengths],
        "given": wire.float32(given),
        "random": wire.float32(random),
        "seeds": run.seeds,
        "baseline": baseline,
        "levels": [_levels([*given[m], *random[:, m].ravel(), *baseline[m : m + 1]]) for m in range(len(METRICS))],
        "said": _texts(model, run),
        "checks": _checks(run),
        "notes": _notes(model, run),
    }


def start_strength(run: SteeringRun) -> float:
    """What is shown first: half of the largest strength, or a whole share."""
    shares = run.change.mode in ("project_out", "ablate")
    largest = run.strengths[-1]
    return largest if shares else min(run.strengths, key=lambda s: abs(s - largest / 2))


def _levels(values: list[float]) -> list[float]:
    """Round numbers that cover the values; at most seven."""
    from ..methods.steering import round_number

    known = [value for value in values if np.isfinite(value)]
    if not known:
        return []
    low, high = min(known), max(known)
    step = round_number(max((high - low) / 4, 1e-6))
    first, last = np.floor(low / step + 1e-9), np.ceil(high / step - 1e-9)
    return [float(f"{k * step:.6g}") + 0.0 for k in np.arange(first, max(last, first + 1) + 1)]


def _texts(model: Session, run: SteeringRun) -> dict[str, Any]:
    if run.baseline is None:
        return {}
    base = run.baseline.said

    def listed(seed: int | None) -> list[dict[str, Any] | None]:
        found = [run.outcomes.get((seed, strength)) for strength in run.strengths]
        return [None if one is None else _beside(model, base, one.said) for one in found]

    return {
        "baseline": _tokens(model, base),
        "given": listed(None),
        "random": listed(run.seeds[0]) if run.seeds else [],
        "gap": " " if model.texts.style == "words" else "",
    }


def _beside(model: Session, base: Said, said: Said) -> dict[str, Any]:
    from ..methods.text_diff import differing

    there, here = differing(base.token_ids, said.token_ids)
    return {
        "tokens": _tokens(model, said),
        "differs": here,
        "baseline_differs": there,
        "first": here.index(True) if any(here) else None,
        "shared": here.count(False),
    }


def _tokens(model: Session, said: Said) -> list[dict[str, Any]]:
    pairs = zip(said.token_ids, said.probabilities, strict=True)
    return [{"token": model.text_of(i), "token_id": i, "probability": p} for i, p in pairs]


def _checks(run: SteeringRun) -> list[dict[str, Any]]:
    zero = run.outcomes.get((None, 0.0))
    if run.baseline is None or zero is None or run.change.mode == "clamp":
        return []
    passed = zero.said.token_ids == run.baseline.said.token_ids
    count = len(run.baseline.said.token_ids)
    said = (
        f"strength 0 says the {count} tokens of the baseline"
        if passed
        else "strength 0 does not say what the baseline says"
    )
    return [{"name": "zero", "passed": passed, "text": f"{said}, KL {zero.kl:.1g}"}]


def _notes(model: Session, run: SteeringRun) -> list[str]:
    notes = [
        "A direction that steers need not be one that the model uses, and a large push changes what any model says: compare with "
        "random directions, and read the text. Fluency does not see repetition: a loop is fluent."
    ]
    if run.change.mode == "clamp":
        notes.append("Clamp at strength 0 takes the coordinate out: it is not the baseline.")
    if unsteered := [p for p in run.masked if p not in run.change.positions]:
        at = ", ".join(map(str, unsteered))
        notes.append(
            f"Position {at} is not steered: an attention sink or a start marker. Select it to steer it all the same."
        )
    if not run.change.positions:
        notes.append(
            "No token of the prompt is steered, so the token after it is the baseline's; only fluency and texts can differ."
        )
    if run.temperature:
        notes.append(
            f"Tokens are drawn at temperature {run.temperature:g} with seed {run.seed}, all runs with the same random numbers."
        )
    return notes + unknown_words(model, run.tokens)
