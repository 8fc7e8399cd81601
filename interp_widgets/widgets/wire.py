"""Numbers on the wire: the only place that knows bytes.

A numeric trait is one little-endian buffer in row-major order; its shape is fixed by the traits
beside it and written in the trait's docstring. The browser reads it with `numbers.js`.
Text never travels here: it goes as JSON strings, so that the browser can only ever show it as text.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike


def float32(values: ArrayLike) -> bytes:
    """Little-endian float32, row-major. NaN stands for "not computed"."""
    return np.ascontiguousarray(values, dtype="<f4").tobytes()


def unit16(values: ArrayLike) -> bytes:
    """Numbers in [0, 1] as little-endian uint16, row-major: value times 65,535, rounded. For what is only drawn as a line."""
    return np.ascontiguousarray(np.rint(np.clip(np.asarray(values), 0, 1) * 65535), dtype="<u2").tobytes()


def uint8(values: ArrayLike) -> bytes:
    """One byte each, row-major, as they are: whole numbers from 0 to 255. What 255 stands for is said at the trait."""
    return np.ascontiguousarray(values, dtype="u1").tobytes()


def int32(values: ArrayLike) -> bytes:
    """Little-endian int32, row-major. -1 stands for "nothing here"."""
    return np.ascontiguousarray(values, dtype="<i4").tobytes()
