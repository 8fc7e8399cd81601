"""What runs predict next, as a frame."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from .. import frames
from ..errors import SiteError
from ..session.session import Session
from .patching_run import PatchingRun
from .prediction import Prediction


def predictions(model: Session, run: PatchingRun, cells: Sequence[tuple[str, int]] = ()) -> pl.DataFrame:
    """What the clean run, the corrupt run and some patched cells `(site, position)` predict next (see `frames.PREDICTIONS`)."""
    shown = [("clean", run.clean_prediction[0]), ("corrupt", run.corrupt_prediction[0])]
    for site, position in cells:
        if site not in run.labels or (position,) not in run.columns:
            raise SiteError(f"{site} at position {position} is no cell of this grid.")
        shown.append((f"{site}@{position}", run.cells[run.labels.index(site), run.columns.index((position,))]))
    return prediction_frame(model, shown)


def prediction_frame(model: Session, shown: Sequence[tuple[str, Prediction]]) -> pl.DataFrame:
    """Named predictions of one run each (see `frames.PREDICTIONS`)."""
    rows: list[tuple[object, ...]] = []
    for name, one in shown:
        listed = zip(one.top_ids.tolist(), one.top_probabilities.tolist(), strict=True)
        rows += [(name, rank, i, model.text_of(i), p) for rank, (i, p) in enumerate(listed, 1) if i >= 0]
    columns = dict(zip(frames.PREDICTIONS, zip(*rows, strict=True), strict=True)) if rows else {}
    return frames.build(frames.PREDICTIONS, columns)
