"""What lies in a corpus folder, and how it is written so that a crash at any moment leaves a whole one.

docs/corpus.md describes the finished folder. While it is being made, `making/` holds files that only grow, and a state file
that says how much of each counts: what lies beyond was written after the last commit. The state is replaced at once.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from ...errors import CorpusError
from ...writing import replacing

FORMAT, VERSION = "interp_widgets corpus", 1
EVENT = np.dtype([("atom", "<i4"), ("token", "<i4"), ("activation", "<f4")])
"""An atom that fired on a token: `token` counts tokens in the order in which they were read."""
TOKEN = np.dtype([("id", "<i4"), ("counts", "?")])
WINDOW = np.dtype([("text", "<i4"), ("source", "<i4"), ("start", "<i4"), ("length", "<i4")])
"""A piece of a text: tokens `start` to `start + length` of text `text`; its tokens follow each other in the file of tokens."""
STATISTICS = {"fired": np.int64, "total": np.float64, "maximum": np.float32, "stored": np.int64}
"""Of each atom: events, sum and maximum of their activations, and how many of the events are kept."""

_FILES = 256
"""Most files that the events are split into."""
_SMALLEST = 16
"""Fewest atoms of a file."""


def atoms_per_file(width: int) -> int:
    """Atoms whose events lie in one file."""
    return max(_SMALLEST, -(-width // _FILES))


@dataclass
class State:
    """How far a corpus that is being made has come, at its last commit."""

    statistics: dict[str, np.ndarray]
    events: np.ndarray
    """[files] events in each file"""
    generation: np.ndarray
    """[files] how often each file was written anew, which is part of its name"""
    batches: int = 0
    tokens: int = 0
    """Tokens that count."""
    rows: int = 0
    """Tokens stored; those that do not count are context for the others."""
    windows: int = 0
    digest: str = ""
    """sha256 over all tokens read and how they were cut."""
    sources: list[str] = field(default_factory=list)
    seconds: float = 0.0
    ended: bool = False
    """All text is read; what is left is sorting."""


_COUNTED = ("batches", "tokens", "rows", "windows", "digest", "sources", "seconds", "ended")


def fresh(width: int) -> State:
    """The state of a corpus that has read nothing."""
    files = -(-width // atoms_per_file(width))
    statistics = {name: np.zeros(width, dtype) for name, dtype in STATISTICS.items()}
    return State(statistics, np.zeros(files, np.int64), np.zeros(files, np.int64))


def write_state(folder: Path, state: State) -> None:
    """Replaces the state file at once: what it says is committed."""
    arrays = {**state.statistics, "events": state.events, "generation": state.generation}
    said = {"state": json.dumps({name: getattr(state, name) for name in _COUNTED})}
    replace(making(folder) / "state.safetensors", lambda file: save_file(arrays, file, said))


def read_state(folder: Path, width: int) -> State:
    """The last commit.

    Raises:
        CorpusError: a damaged state file.
        FileNotFoundError: there is none; the corpus is finished, or nobody began it.
    """
    file, state = making(folder) / "state.safetensors", fresh(width)
    if not file.exists():
        raise FileNotFoundError(file)
    try:
        with safe_open(file, "numpy") as opened:
            said = json.loads(opened.metadata()["state"])
            arrays = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118
    except (SafetensorError, OSError, KeyError, TypeError, ValueError) as error:
        raise damaged(file, str(error)) from error
    ours = {**state.statistics, "events": state.events, "generation": state.generation}
    if {k: (v.dtype, v.shape) for k, v in arrays.items()} != {k: (v.dtype, v.shape) for k, v in ours.items()}:
        raise damaged(file, "its arrays do not fit the corpus")
    kinds = {name: type(getattr(state, name)) for name in _COUNTED}
    if set(said) != set(kinds) or any(type(said[name]) is not kind for name, kind in kinds.items()):
        raise damaged(file, "its entries are not those of a state")
    statistics = {name: arrays[name] for name in STATISTICS}
    return State(statistics, arrays["events"], arrays["generation"], **said)


def write_about(folder: Path, about: dict[str, Any]) -> None:
    """Replaces corpus.json at once."""
    replace(folder / "corpus.json", lambda file: file.write_text(json.dumps(about, indent=1) + "\n", encoding="utf-8"))


def read_about(folder: Path) -> dict[str, Any]:
    """What corpus.json says.

    Raises:
        CorpusError: no corpus there, a damaged or a newer one.
    """
    file = folder / "corpus.json"
    try:
        about = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise CorpusError(f"{folder} is no corpus: it has no corpus.json. iw.corpus(..., folder=) makes one.") from None
    except (OSError, ValueError, RecursionError) as error:
        raise damaged(file, str(error)) from error
    if not isinstance(about, dict) or about.get("format") != FORMAT:
        raise damaged(file, f"its format is not {FORMAT!r}")
    if about.get("version") != VERSION:
        raise CorpusError(
            f"{folder} has version {about.get('version')!r} of the format; this interp_widgets reads {VERSION}. Update it."
        )
    kinds = {"width": int, "atoms_per_file": int, "most": int, "complete": bool, "model": str, "sae": str, "site": str}
    if bad := [name for name, kind in kinds.items() if type(about.get(name)) is not kind]:
        raise damaged(file, f"{', '.join(bad)} is missing or of another type")
    if min(about["width"], about["atoms_per_file"], about["most"]) < 1:
        raise damaged(file, "width, atoms_per_file and most must be above 0")
    if about.get("slim") is not None and not _is_slim(about["slim"]):
        raise damaged(file, "what it says of a slim copy is not whole")
    return about


def _is_slim(said: Any) -> bool:
    """Whether this says which examples a slim copy holds."""
    numbers = ("count", "intervals", "seed")
    return (
        isinstance(said, dict)
        and all(type(said.get(name)) is int for name in numbers)
        and all(isinstance(said.get(name), list) for name in ("kinds", "context"))
        and [type(entry) for entry in said["context"]] == [int, int]
        and all(isinstance(kind, str) for kind in said["kinds"])
    )


def making(folder: Path) -> Path:
    """Where the files of an unfinished corpus are."""
    return folder / "making"


def raw_events(folder: Path, number: int, generation: int) -> Path:
    """Events in the order in which they were seen, as `EVENT` records."""
    return making(folder) / f"events-{number:03d}.{generation}.raw"


def sorted_events(folder: Path, number: int) -> Path:
    """Events by atom and token."""
    return folder / "events" / f"{number:03d}.safetensors"


def read_raw(file: Path, dtype: np.dtype, count: int) -> np.ndarray:
    """The first `count` records of a growing file.

    Raises:
        CorpusError: it has fewer.
        FileNotFoundError: it has been replaced by a newer file.
    """
    if count == 0:
        return np.zeros(0, dtype)
    found = np.fromfile(file, dtype, count)
    if len(found) < count:
        raise damaged(file, f"it has {len(found)} records of {count}")
    return found


def replace(file: Path, write: Callable[[Path], Any]) -> None:
    """Writes a file beside `file` and puts it in its place, so that nobody ever sees half of it."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with replacing(file) as beside:
        write(beside)


def damaged(file: Path, why: str) -> CorpusError:
    """The sentence about a file that cannot be what was written."""
    return CorpusError(f"{file} is damaged ({why}). Delete the corpus folder and make it again.")


def keys(text: np.ndarray, position: np.ndarray) -> np.ndarray:
    """One int64 for each token: larger for later texts, and for later positions of a text."""
    return (text.astype(np.int64) << 32) | position.astype(np.int64)


def shuffled(keys: np.ndarray, salt: int = 0) -> np.ndarray:
    """A pseudo-random uint64 for each key, the same each time (splitmix64, Steele, Lea and Flood 2014)."""
    with np.errstate(over="ignore"):
        z = keys.astype(np.uint64) + np.uint64((salt + 1) * 0x9E3779B97F4A7C15 % 2**64)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return z ^ (z >> np.uint64(31))


def bounded(activation: np.ndarray, key: np.ndarray, most: int) -> tuple[np.ndarray, np.ndarray]:
    """Which events of one atom to keep where there are more than `most`: (indices of the strongest, of a uniform sample).

    Half each; the two overlap. Choosing again from what was chosen and later events equals choosing from all events.
    """
    strongest = np.lexsort((key, -activation))[: most // 2]
    return strongest, np.lexsort((key, shuffled(key)))[: most - most // 2]
