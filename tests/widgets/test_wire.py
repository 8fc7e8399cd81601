"""Numbers as bytes: little-endian, row-major, NaN and -1 kept."""

from __future__ import annotations

import math
import struct

import numpy as np
import polars as pl
import pytest
import torch

from interp_widgets.widgets import wire


def test_a_byte_is_itself() -> None:
    assert wire.uint8([0, 1, 255]) == b"\x00\x01\xff"
    assert wire.uint8(torch.tensor([[0, 7], [8, 255]], dtype=torch.uint8)) == bytes([0, 7, 8, 255])


def test_a_float_is_four_bytes_with_the_smallest_first() -> None:
    assert wire.float32([1.0]) == b"\x00\x00\x80\x3f"


def test_an_int_is_four_bytes_with_the_smallest_first() -> None:
    assert wire.int32([258, -1]) == b"\x02\x01\x00\x00\xff\xff\xff\xff"


@pytest.mark.parametrize(
    "values",
    [
        [1.5, -2.0],
        (1.5, -2.0),
        np.array([1.5, -2.0]),
        np.array([1.5, -2.0], dtype=">f8"),
        torch.tensor([1.5, -2.0]),
        torch.tensor([1.5, -2.0], dtype=torch.float64),
        pl.Series([1.5, -2.0]),
    ],
    ids=["list", "tuple", "numpy", "big-endian", "torch", "torch float64", "polars"],
)
def test_every_kind_of_array_gives_the_same_bytes(values) -> None:
    assert wire.float32(values) == struct.pack("<2f", 1.5, -2.0)


@pytest.mark.parametrize(
    "values",
    [
        [3, -1],
        np.array([3, -1]),
        np.array([3, -1], dtype=">i8"),
        torch.tensor([3, -1]),
        pl.Series([3, -1], dtype=pl.Int64),
    ],
    ids=["list", "numpy", "big-endian", "torch", "polars"],
)
def test_every_kind_of_integer_array_gives_the_same_bytes(values) -> None:
    assert wire.int32(values) == struct.pack("<2i", 3, -1)


def test_rows_come_one_after_the_other() -> None:
    grid = np.arange(6, dtype=float).reshape(2, 3)
    assert wire.float32(grid) == struct.pack("<6f", 0, 1, 2, 3, 4, 5)
    assert wire.float32(grid.T) == struct.pack("<6f", 0, 3, 1, 4, 2, 5), "as indexed, not as stored"
    assert wire.int32(torch.arange(6).reshape(2, 3).T) == struct.pack("<6i", 0, 3, 1, 4, 2, 5)


def test_nan_and_infinity_arrive() -> None:
    back = struct.unpack("<3f", wire.float32([math.nan, math.inf, -math.inf]))
    assert math.isnan(back[0])
    assert back[1:] == (math.inf, -math.inf)


@pytest.mark.parametrize("empty", [[], np.zeros((0, 5)), torch.zeros(3, 0)])
def test_nothing_is_no_bytes(empty) -> None:
    assert wire.float32(empty) == b""
    assert wire.int32(empty) == b""


def test_one_number_is_one_number() -> None:
    assert wire.float32(2.0) == struct.pack("<f", 2.0)


def test_shapes_multiply() -> None:
    assert len(wire.float32(np.zeros((2, 3, 4)))) == 2 * 3 * 4 * 4
    assert len(wire.int32(np.zeros((2, 3, 4), dtype=int))) == 2 * 3 * 4 * 4


def test_a_unit_is_two_bytes_and_never_leaves_its_range() -> None:
    assert wire.unit16([0.0, 1.0, 1 / 65535]) == struct.pack("<3H", 0, 65535, 1)
    assert wire.unit16([-1e-7, 1 + 1e-6]) == struct.pack("<2H", 0, 65535), "rounding of float32 goes a little beyond"
    back = np.frombuffer(wire.unit16(torch.linspace(0, 1, 777)), "<u2") / 65535
    assert np.abs(back - np.linspace(0, 1, 777)).max() <= 0.5 / 65535 + 1e-7
