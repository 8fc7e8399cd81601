"""Two frames that should say the same."""

from __future__ import annotations

import polars as pl
from polars.testing import assert_frame_equal

TOLERANCE = 1e-4


def assert_same(found: pl.DataFrame, expected: pl.DataFrame, tolerance: float = TOLERANCE) -> None:
    """Equal but for floats, which may differ by the tolerance, absolutely or relatively."""
    assert len(expected)
    assert_frame_equal(found, expected, check_exact=False, abs_tol=tolerance, rel_tol=tolerance)
