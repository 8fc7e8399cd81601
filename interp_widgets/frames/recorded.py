"""What a recording holds."""

from __future__ import annotations

import polars as pl

from .schema import Column, Schema

RECORDED: Schema = {
    "kind": Column(pl.String, "panel, or answer: one question to the model"),
    "name": Column(pl.String, "class of the panel, or the name of the work"),
    "about": Column(pl.String, "beginning of its text; empty where it has none"),
    "bytes": Column(pl.Int64, "what it takes in the file"),
}  # fmt: skip
"""Contents of a recording: one row a panel or answer."""
