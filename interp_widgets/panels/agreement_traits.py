"""An agreement as traits: numbers to bytes, results and expectations to sentences."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import polars as pl

from ..frames.agreement import SCALES
from ..widgets import wire
from .lens import unknown_words

if TYPE_CHECKING:
    from ..methods.agreement_run import AgreementRun
    from ..session.session import Session

WORST = 8
"""Cells that are offered to look at first."""

MEASURED = {
    "bfloat16": (8, 0.011, 0.16, "97.5%"),
    "float16": (11, 0.0015, 0.016, "99.6%"),
    "float32": (24, 1e-6, 8e-6, "100%"),
}
"""Bits that a dtype keeps of a number, coarsest first; and what its rounding alone did on SmolLM2-135M, in 3,600 cells against
float32 (float32: against sdpa attention and float64): median and worst total variation, cells whose top token agreed. From
docs/panels/agreement.md, which says how it was measured."""


def sides(model: Session, other: Session) -> list[str]:
    """What to call the two sessions beside each other: name and dtype, and where they are if that tells them apart."""
    both = (model, other)
    said = [f"{session.name} {session.dtype}" for session in both]
    where = [_where(session) for session in both]
    places = where if where[0] != where[1] else [str(session.device) for session in both]
    if places[0] != places[1]:
        return [f"{name}, {place}" for name, place in zip(said, places, strict=True)]
    return said if said[0] != said[1] else [f"{said[0]} (first)", f"{said[1]} (second)"]


def _where(session: Session) -> str:
    if session.recorded:
        return "recorded"
    return "here" if session.torch_module is not None else "on a server"


def run_traits(model: Session, other: Session, run: AgreementRun, frame: pl.DataFrame) -> dict[str, Any]:
    """All that is shown of a run; `frame` is its frame."""
    ids = sorted(set(run.top_ids.flatten().tolist()))
    index = {token_id: i for i, token_id in enumerate(ids)}
    return {
        "sides": sides(model, other),
        "tokens": run.tokens["token"].to_list(),
        "token_ids": run.tokens["token_id"].to_list(),
        "masked": run.masked,
        "window": [run.positions[0], run.positions[-1] + 1],
        "layers": run.layers,
        "vocabulary": [(model if i < model.vocabulary_size else other).text_of(i) for i in ids],
        "vocabulary_ids": ids,
        "top_k": run.top_ids.shape[-1],
        "top_index": wire.int32([index[i] for i in run.top_ids.flatten().tolist()]),
        "top_probability": wire.float32(run.top_probabilities),
        "probability_there": wire.float32(run.there),
        "verdict": wire.uint8(_verdicts(frame)),
        "total_variation": wire.float32(run.total_variation),
        "total_variation_error": wire.float32(run.error),
        "logit_difference": wire.float32(run.logit_difference),
        "residual_difference": wire.float32(run.residual_difference),
        "scales": {name: list(ends) for name, ends in SCALES.items()},
        "sentences": [*_sentences(frame), *_baseline(model, other)],
        "worst": _worst(frame),
        "notes": _notes(model, other, run, frame),
    }


def _verdicts(frame: pl.DataFrame) -> list[int]:
    finite = pl.col("total_variation").is_not_null()
    verdict = pl.when(~finite).then(3).when("agrees").then(0).when("near_tie").then(1).otherwise(2)
    return frame.select(verdict.alias("verdict"))["verdict"].to_list()


def _sentences(frame: pl.DataFrame) -> list[str]:
    """One sentence for all cells, one for the output."""
    from ..methods.agreement import agreement_summary

    said = []
    for row in agreement_summary(frame).iter_rows(named=True):
        if not row["cells"]:
            return ["Every cell shown is masked, so there is nothing to sum up."]
        where = "In the models' output" if row["part"] == "output" else f"Over {frame['layer'].n_unique()} layers"
        count = f"{row['agreeing']:,} of {row['cells']:,} cells ({_percent(row['share'])})"
        sentence = f"{where}, the top token agrees in {count}{_ties(row['cells'] - row['agreeing'], row['near_ties'])}."
        if row["worst"] is not None:
            sentence += (
                f" Total variation: median {_number(row['median'])}, worst {_number(row['worst'])} at layer {row['worst_layer']}, "
                f"position {row['worst_position']}."
            )
        said.append(sentence)
    return said if frame["layer"].n_unique() > 1 else said[1:]


def _ties(others: int, ties: int) -> str:
    """How many of the cells that do not agree are near ties."""
    if others == 1:
        return f"; the other one is {'a' if ties else 'no'} near tie"
    if others and ties in (0, others):
        return f"; {'all' if ties else 'none of the'} {others:,} others are near ties"
    return f"; {ties:,} of the {others:,} others are near ties" if others else ""


def _number(value: float) -> str:
    """Two digits that count, as the browser writes them."""
    return f"{value:.2g}".replace("e-0", "e-").replace("-", "−")


def _percent(share: float) -> str:
    """As a percentage that says 100 only of all."""
    return "100%" if share == 1 else f"{min(100 * share, 99.9):.1f}%"


def _worst(frame: pl.DataFrame) -> list[list[int]]:
    cells = frame.filter(~pl.col("masked") & (~pl.col("agrees") | (pl.col("total_variation") > 0)))
    apart = ~pl.col("agrees") & ~pl.col("near_tie")
    order = cells.sort(apart, "total_variation", descending=True, nulls_last=False, maintain_order=True)
    return [[layer, position] for layer, position in order.select("layer", "position").head(WORST).rows()]


def _notes(model: Session, other: Session, run: AgreementRun, frame: pl.DataFrame) -> list[str]:
    from ..methods.agreement import TIE, differences

    notes = differences(model, other)
    if run.compared is not None:
        notes.append(
            f"Of each cell {run.compared} tokens are compared, so that whole distributions need not travel: the likeliest of one "
            "session and some that it draws from the rest. The standard error of the total variation is given with it; the "
            "largest logit difference is that of these tokens."
        )
    broken = int((~run.total_variation.isfinite()).sum())
    if broken:
        notes.append(
            f"In {broken} cells a logit is not a finite number in one session: they count as not agreeing. float16 overflows "
            "beyond 65,504; try bfloat16."
        )
    shown, count = run.positions, len(run.tokens)
    if len(shown) < count:
        notes.append(
            f"Positions {shown[0]} to {shown[-1]} of {count} are shown and summed up; press a token outside to move there."
        )
    if any(p in shown for p in run.masked):
        at = ", ".join(str(p) for p in run.masked)
        notes.append(f"Position {at} is left out of the summary: an attention sink or a start marker, not text.")
    if frame["near_tie"].any():
        notes.append(
            f"≈ marks a near tie: each session gives the other's token at least {TIE:.0%} of the probability of its own."
        )
    return notes + unknown_words(model, run.tokens)


def _baseline(model: Session, other: Session) -> list[str]:
    """How large a difference rounding alone makes, for the coarser of the two dtypes."""
    for dtype, (bits, median, worst, agreeing) in MEASURED.items():
        if dtype in (model.dtype, other.dtype):
            return [
                f"For comparison: {dtype} keeps {bits} bits of a number. On SmolLM2-135M that rounding alone gave a total "
                f"variation of {_number(median)} in the median and {_number(worst)} in the worst of 3,600 cells, and the same "
                f"top token in {agreeing}."
            ]
    return []
