"""Reading .npz files that may be hostile: no objects, and nothing is unpacked before its size is known to be honest."""

from __future__ import annotations

import math
import zipfile
import zlib
from pathlib import Path
from typing import IO

import numpy as np
import torch
from numpy.lib import format as npy

from ..errors import DictionaryError
from .files import Tensors

_RATIO = 20
"""Weights shrink by a few percent; what says that it grows more than so many times is no weights."""

_ALLOWANCE = 2**20
"""Bytes that may come on top: small files of zeros shrink a lot."""


def read(file: Path, keys: tuple[str, ...]) -> Tensors:
    """Those of these arrays that are there, on the CPU.

    Raises:
        DictionaryError: damaged, an array of something else than numbers, or more data than so small a file can hold.
    """
    limit = _RATIO * file.stat().st_size + _ALLOWANCE
    try:
        with zipfile.ZipFile(file) as archive:
            members = {key: info for info in archive.infolist() if (key := info.filename.removesuffix(".npy")) in keys}
            said = 0
            for key, info in members.items():
                with archive.open(info) as stream:
                    size = _bytes(stream, file, key)
                if size > info.file_size:
                    raise DictionaryError(
                        f"{file}: {key} says that it has {size} bytes, but {info.file_size} are there; the file is damaged."
                    )
                said += size
            if said > limit:
                raise DictionaryError(
                    f"{file} has {file.stat().st_size} bytes, but its arrays say that they have {said}. No weights shrink that "
                    "much, so it was not unpacked; get the file again from where it was published."
                )
            return {key: _array(archive, info) for key, info in members.items()}
    except (zipfile.BadZipFile, zlib.error, OSError, EOFError, ValueError, RuntimeError, NotImplementedError) as error:
        raise DictionaryError(f"{file} cannot be read as npz ({error}); the file may be cut off.") from error


def _array(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> torch.Tensor:
    with archive.open(info) as stream:
        return torch.from_numpy(np.array(npy.read_array(stream, allow_pickle=False), dtype=np.float32))


def _bytes(stream: IO[bytes], file: Path, key: str) -> int:
    """The size of the data that an array's header announces."""
    version = npy.read_magic(stream)
    header = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
    shape, _, dtype = header(stream)
    if dtype.kind not in "fiu":
        raise DictionaryError(
            f"{file}: {key} holds {dtype}, not numbers. Only arrays of numbers are read, never objects."
        )
    return math.prod(shape) * dtype.itemsize
