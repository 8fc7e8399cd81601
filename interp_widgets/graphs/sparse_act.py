"""The one class in files of Sparse Feature Circuits, as plain data: nothing of that code is imported or run.

A file names the class `activation_utils.SparseAct`. The class here goes by that name: torch's reader of weights makes it where the
file asks for theirs, and the writer leaves the name in the file, so that their code makes its own.
"""

from __future__ import annotations

import pickle
import threading
import zipfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from ..errors import GraphError


class SparseAct:
    """Effects of atoms (`act`) and of the error (`resc`: one number, `res`: one per dimension); each a tensor or None."""

    act: Any = None
    res: Any = None
    resc: Any = None


SparseAct.__module__ = "activation_utils"
_LOCK = threading.Lock()


def load(file: Path) -> Any:
    """What torch.save wrote: tensors, numbers, texts, containers and SparseAct; objects of any other class are never made.

    Raises:
        GraphError: damaged, packed, code in it, or a graph of circuit-tracer in tensors.
    """
    import torch
    from torch.serialization import add_safe_globals, clear_safe_globals, get_safe_globals

    _refuse_packed(file)
    with _LOCK:
        before = get_safe_globals()
        add_safe_globals([SparseAct])
        try:
            return torch.load(file, map_location="cpu", weights_only=True)
        except Exception as error:  # a damaged pickle can raise anything
            said = str(error)
            if "circuit_tracer" in said:
                raise GraphError(
                    f"{file} holds a graph of circuit-tracer with objects of its code, which are not made here. Write it as JSON "
                    "with circuit_tracer.utils.create_graph_files, and read that."
                ) from error
            raise GraphError(
                f"{file} cannot be read as a saved circuit ({said.splitlines()[0] if said else type(error).__name__}). It is "
                "damaged, or holds more than tensors, texts and SparseAct; code in a file is never run."
            ) from error
        finally:
            clear_safe_globals()
            add_safe_globals(before)


def dump(content: Any, file: Path) -> None:
    """torch.save, with SparseAct written under the name of their class."""
    import torch

    with file.open("wb") as stream:
        torch.save(content, stream, pickle_module=SimpleNamespace(Pickler=_Pickler, __name__="pickle"))


class _Pickler(pickle._Pickler):  # the one in Python: that in C asks for the module
    """Writes the name of the class without looking for the module, which is theirs and not here."""

    def save_global(self, obj: Any, name: str | None = None) -> None:
        if obj is SparseAct:
            self.write(b"cactivation_utils\nSparseAct\n")  # type: ignore[attr-defined]
            self.memoize(obj)  # type: ignore[attr-defined]
        else:
            super().save_global(obj, name)  # type: ignore[misc]


def _refuse_packed(file: Path) -> None:
    """torch.save packs nothing and puts its parts side by side; a file that does otherwise can unfold to any size."""
    if not zipfile.is_zipfile(file):
        raise GraphError(f"{file} is no file of torch.save as it has been since torch 1.6 (a zip archive of tensors).")
    try:
        with zipfile.ZipFile(file) as archive:
            parts = archive.infolist()
    except (zipfile.BadZipFile, OSError, ValueError) as error:
        raise GraphError(f"{file} is damaged: {error}.") from error
    if (
        any(part.compress_type != zipfile.ZIP_STORED for part in parts)
        or sum(p.file_size for p in parts) > file.stat().st_size
    ):
        raise GraphError(f"{file} is packed, which no file of torch.save is; it is not read.")
