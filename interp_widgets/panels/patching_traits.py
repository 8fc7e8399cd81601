"""A patching run as the traits of its panel: numbers to bytes, checks and remarks to sentences."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..widgets import wire
from .lens import unknown_words

if TYPE_CHECKING:
    from ..methods.patching_run import PatchingRun
    from ..methods.prediction import Prediction
    from ..session.session import Session

SMALL = 0.5
"""Logits: a difference between the prompts below this makes every recovery a division by nearly nothing."""


def prompt_traits(run: PatchingRun, model: Session) -> dict[str, Any]:
    """Everything about a run that no cell changes."""
    from ..methods.alignment import explain

    clean, corrupt = (run.source, run.prompt) if run.direction == "denoise" else (run.prompt, run.source)
    pairs = list(run.pairs) if run.direction == "denoise" else [(j, i) for i, j in run.pairs]
    tokens = clean["token"].to_list(), corrupt["token"].to_list()
    return {
        "direction": run.direction,
        "clean_tokens": tokens[0],
        "clean_ids": clean["token_id"].to_list(),
        "corrupt_tokens": tokens[1],
        "corrupt_ids": corrupt["token_id"].to_list(),
        "alignment": [list(p) for p in pairs],
        "alignment_note": explain(*tokens, pairs),
        "layers": list(range(model.num_layers)),
        "unaffected": run.unaffected,
        "answer": model.text_of(run.answer),
        "foil": model.text_of(run.foil),
        "baselines": {
            "clean": _baseline(run.clean_prediction, model),
            "corrupt": _baseline(run.corrupt_prediction, model),
        },
        "notes": _notes(run, model),
    }


def grid_traits(run: PatchingRun, model: Session) -> dict[str, Any]:
    """The cells, as far as they are known."""
    import torch

    grids = {
        "logit_difference": run.effect("logit_difference"),
        "probability": run.effect("probability"),
        "recovery": run.recovery("logit_difference"),
    }
    left = run.estimate_left()
    shown = {name: [grid] for name, grid in grids.items()}
    shown["logit_difference"] += [] if left is None else [left]
    ids = sorted(set(run.cells.top_ids.flatten().tolist()) - {-1})
    index = torch.full((model.vocabulary_size + 1,), -1)  # the last entry is for "not computed"
    index[torch.tensor(ids, dtype=torch.long)] = torch.arange(len(ids))
    return {
        **{name: wire.float32(grid) for name, grid in grids.items()},
        "estimate": b"" if left is None else wire.float32(left),
        # Rounding must not look like an effect, so the scale ends no lower than what the identity check forgives.
        "scales": {
            name: max(run.tolerance, *(float(grid.abs().nan_to_num(0).max()) for grid in all_))
            for name, all_ in shown.items()
        },
        "vocabulary": [model.text_of(i) for i in ids],
        "vocabulary_ids": ids,
        "top_k": run.cells.top_ids.shape[-1],
        "top_index": wire.int32(index[run.cells.top_ids]),
        "top_probability": wire.float32(run.cells.top_probabilities),
        "checks": checks(run),
    }


def checks(run: PatchingRun) -> list[dict[str, Any]]:
    """What shows that the patches did what they say: `{name, passed, text}` each."""
    out: list[dict[str, Any]] = []
    if run.identity:
        worst, passed = run.largest_identity, run.largest_identity <= run.tolerance
        said = (
            f"identity: the largest change is {worst:.1g} over {len(run.identity)} cells (tolerance {run.tolerance:g})"
            if passed
            else f"Patching a run with its own activations changed the result by {worst:.2g} (tolerance {run.tolerance:g}): "
            "do not trust this grid."
        )
        out.append({"name": "identity", "passed": passed, "text": said})
    if run.whole is not None:
        reached, wanted = (float(x.logit_difference[0]) for x in (run.whole, run.source_prediction))
        gap, passed = run.gap("logit_difference"), abs(reached - wanted) <= run.tolerance
        share = "" if gap != gap else f", {1 - (wanted - reached) / gap:.1%} of the effect"
        said = f"whole stream of a middle layer patched: {reached:.2f}, the other run {wanted:.2f}{share}".replace(
            "-", "−"
        )
        out.append(
            {"name": "whole", "passed": passed, "text": said if passed else f"{said}: these patches do not arrive."}
        )
    causal = run.done[:, run.causal].sum() if run.causal else 0
    cells = int(run.done.sum() - causal)
    if cells:
        passed = run.patched >= cells
        said = f"{cells:,} patched cells, {run.patched:,} patched runs came back"
        out.append({"name": "runs", "passed": passed, "text": said})
    return out


def prediction_list(prediction: Prediction, model: Session) -> list[dict[str, Any]]:
    """The likeliest next tokens of one run."""
    listed = zip(prediction.top_ids.tolist(), prediction.top_probabilities.tolist(), strict=True)
    return [{"token_id": i, "token": model.text_of(i), "probability": p} for i, p in listed if i >= 0]


def _baseline(prediction: Prediction, model: Session) -> dict[str, Any]:
    return {
        "logit_difference": float(prediction.logit_difference[0]),
        "probability": float(prediction.probability[0]),
        "top": prediction_list(prediction[0], model),
    }


def _notes(run: PatchingRun, model: Session) -> list[str]:
    notes = []
    difference = abs(float(run.source_prediction.logit_difference[0] - run.prompt_prediction.logit_difference[0]))
    if run.same_prompt:
        notes.append("Clean and corrupt are the same text, so every effect must be 0: this run is a check of the tool.")
    elif len(run.unaffected) == len(run.prompt):
        notes.append("One prompt begins the other, so there is no position at which a patch could change anything.")
    elif run.unaffected:
        notes.append(
            f"The first {len(run.unaffected)} tokens are the same in both prompts. A causal model has equal activations there, "
            "so those columns are 0 and were not computed."
        )
    if not run.same_prompt and run.gap("logit_difference") != run.gap("logit_difference"):
        notes.append(
            "Clean and corrupt give the same logit difference, so recovery, which divides by their difference, is undefined. "
            "Choose an answer and a foil that the prompts tell apart, or read the effect."
        )
    elif not run.same_prompt and difference < SMALL:
        notes.append(
            f"Clean and corrupt differ by only {difference:.2g} in logit difference. Recovery divides by that, so small effects "
            "look large: read the effect."
        )
    return notes + unknown_words(model, run.prompt)
