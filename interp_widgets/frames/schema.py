"""What a schema is, the columns that several share, and the check that every frame must pass."""

from __future__ import annotations

from typing import Any, NamedTuple

import polars as pl

from ..errors import FrameError


class Column(NamedTuple):
    """One column: its polars type, what it holds, and whether it may be null."""

    dtype: Any
    doc: str
    nullable: bool = False


Schema = dict[str, Column]

POSITION = Column(pl.Int32, "index of the token in the prompt, from 0")
TOKEN_ID = Column(pl.Int32, "vocabulary id")
TOKEN = Column(pl.String, "exact text of the token")
LAYER = Column(pl.Int32, "layer, from 0")
SITE = Column(pl.String, "site, such as resid_post.15")
PROBABILITY = Column(pl.Float64, "probability of the token")
LOGIT = Column(pl.Float64, "logit of the token, after any soft cap")
HEAD = Column(pl.Int32, "head, from 0")
ATOM = Column(pl.Int32, "index in the dictionary")

TOKENS: Schema = {"position": POSITION, "token_id": TOKEN_ID, "token": TOKEN}
"""A tokenised prompt: one row a token."""


def check(frame: pl.DataFrame, schema: Schema) -> pl.DataFrame:
    """The same frame, if it has exactly the columns of `schema`, in order, with their types and no stray nulls.

    Raises:
        FrameError: naming every column that is missing, unexpected, of another type, or null where it may not be.
    """
    faults = [f"{name} is missing" for name in schema if name not in frame.columns]
    faults += [f"{name} is not expected" for name in frame.columns if name not in schema]
    for name, column in schema.items():
        if name not in frame.columns:
            continue
        if frame.schema[name] != column.dtype:
            faults.append(f"{name} is {frame.schema[name]}, expected {column.dtype}")
        elif not column.nullable and frame[name].null_count():
            faults.append(f"{name} has {frame[name].null_count()} nulls")
    if not faults and frame.columns != list(schema):
        faults.append(f"the columns are in the order {frame.columns}, expected {list(schema)}")
    if faults:
        raise FrameError("This frame does not fit its schema: " + "; ".join(faults) + ".")
    return frame


def build(schema: Schema, columns: dict[str, Any]) -> pl.DataFrame:
    """A checked frame from a dict of columns (lists, arrays or series), cast to the schema's types."""
    data = {name: columns.get(name) for name in schema if name in columns}
    frame = pl.DataFrame(data).with_columns(
        pl.col(name).cast(column.dtype) for name, column in schema.items() if name in data
    )
    return check(frame, schema)
