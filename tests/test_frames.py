"""Schemas: a frame fits exactly, or every fault is named."""

from __future__ import annotations

import polars as pl
import pytest

from interp_widgets import frames
from interp_widgets.errors import FrameError

SCHEMAS = {name: value for name, value in vars(frames).items() if name.isupper() and isinstance(value, dict)}
FRAME = frames.build(frames.LENS_LINES, {
    "position": [0], "token_id": [5], "token": [" a"], "layer": [2], "logit": [1.0], "probability": [0.5],
})  # fmt: skip


def faults(frame: pl.DataFrame) -> str:
    with pytest.raises(FrameError) as caught:
        frames.check(frame, frames.LENS_LINES)
    return str(caught.value)


def test_a_frame_that_fits_comes_back_itself() -> None:
    assert frames.check(FRAME, frames.LENS_LINES) is FRAME


def test_a_frame_without_rows_fits() -> None:
    assert frames.check(FRAME.clear(), frames.LENS_LINES).height == 0


def test_a_missing_column_is_named() -> None:
    assert faults(FRAME.drop("token")) == "This frame does not fit its schema: token is missing."


def test_an_extra_column_is_named() -> None:
    assert "head is not expected" in faults(FRAME.with_columns(head=pl.lit(1)))


def test_a_wrong_type_is_named_with_both_types() -> None:
    assert "logit is Float32, expected Float64" in faults(FRAME.with_columns(pl.col("logit").cast(pl.Float32)))


def test_a_null_is_counted() -> None:
    assert "token has 1 nulls" in faults(FRAME.with_columns(token=pl.lit(None, pl.String)))


def test_a_null_may_stand_where_the_schema_allows_it() -> None:
    nullable = {"tracked_rank": frames.LENS["tracked_rank"]}
    frames.check(pl.DataFrame({"tracked_rank": [None]}, schema={"tracked_rank": pl.Int32}), nullable)


def test_a_wrong_order_is_shown_with_the_right_one() -> None:
    message = faults(FRAME.select("token", "token_id", "position", "layer", "logit", "probability"))
    assert "the columns are in the order ['token', 'token_id'" in message
    assert "expected ['position', 'token_id'" in message


def test_all_faults_are_named_at_once() -> None:
    bad = FRAME.drop("position").with_columns(head=pl.lit(1), token=pl.lit(None, pl.String), logit=pl.lit(1))
    message = faults(bad)
    for fault in (
        "position is missing",
        "head is not expected",
        "token has 1 nulls",
        "logit is Int32, expected Float64",
    ):
        assert fault in message


def test_build_casts_and_orders() -> None:
    columns = {"probability": [1], "logit": [2], "layer": [3], "token": ["x"], "token_id": [4], "position": range(1)}
    made = frames.build(frames.LENS_LINES, columns)
    assert made.columns == list(frames.LENS_LINES)
    assert made.schema == {name: column.dtype for name, column in frames.LENS_LINES.items()}


def test_build_names_what_is_missing() -> None:
    with pytest.raises(FrameError, match=r"token_id is missing.*probability is missing"):
        frames.build(frames.LENS_LINES, {"position": [0], "token": ["x"], "layer": [0], "logit": [0.0]})


def test_build_refuses_a_value_that_does_not_fit_its_type() -> None:
    with pytest.raises((FrameError, pl.exceptions.PolarsError)):
        frames.build(frames.TOKENS, {"position": [0], "token_id": [2**40], "token": ["x"]})


@pytest.mark.parametrize("name", SCHEMAS)
def test_every_column_says_what_it_holds(name) -> None:
    assert all(column.doc for column in SCHEMAS[name].values())
    assert frames.build(SCHEMAS[name], {column: [] for column in SCHEMAS[name]}).height == 0


def test_a_column_has_one_type_everywhere() -> None:
    types: dict[str, set] = {}
    for schema in SCHEMAS.values():
        for column, definition in schema.items():
            types.setdefault(column, set()).add(definition.dtype)
    assert {column for column, found in types.items() if len(found) > 1} == set()
