"""`iw.open_corpus`: a corpus folder, asked anything about any atom, also while it is being made."""

from __future__ import annotations

import shutil
import time
import weakref
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import polars as pl

from ... import frames
from ...errors import CorpusError, DictionaryError
from ...progress import Progress, silent
from ..dictionary import Dictionary
from . import examples, slim
from . import folder as files
from .view import View, view

Answer = TypeVar("Answer")
COUNT, CONTEXT, INTERVALS = 10, (8, 7), 10
"""Of examples, unless asked for otherwise: how many a list, tokens before and after, and ranges of activation."""

PAUSES = (0, 0, 0.01, 0.02, 0.05, 0.1, 0.2, 0.4)
"""Seconds to wait before each new attempt, when a file went while it was about to be read."""


def open_corpus(folder: str | Path) -> Corpus:
    """A corpus that `iw.corpus` or `Corpus.save` wrote; no model is needed. One that is being made can be opened too.

    Raises:
        CorpusError: no corpus there, or a damaged one.
    """
    return Corpus(Path(folder).expanduser())


class Corpus:
    """Where the atoms of a dictionary fired. Every number is exact, up to the last commit (see docs/corpus.md).

    Made by `iw.corpus` and `iw.open_corpus`. Answers come from the folder each time, so they follow a corpus that is being made.
    """

    def __init__(self, folder: Path, *, temporary: bool = False) -> None:
        self.folder = folder
        """Where it lies; gone with this object if it is temporary."""
        if temporary:
            weakref.finalize(self, shutil.rmtree, folder, ignore_errors=True)
        self._seen: tuple[Any, View] | None = None
        self._view()

    def __repr__(self) -> str:
        state = "" if self.complete else ", not complete"
        return f"Corpus({self.sae_name!r}, {self.width} atoms, {self.tokens:,} tokens of {self._view().about['model']}{state})"

    @property
    def width(self) -> int:
        """Number of atoms."""
        return self._view().about["width"]

    @property
    def site(self) -> str:
        """Where in the model the dictionary reads."""
        return self._view().about["site"]

    @property
    def sae_name(self) -> str:
        """Name of the dictionary."""
        return self._view().about["sae"]

    @property
    def tokens(self) -> int:
        """Tokens that count, so far: text that is not masked."""
        return self._view().tokens

    @property
    def total(self) -> int | None:
        """Tokens that it will have: what was asked for, if the texts are enough; None if that is not known."""
        return self.tokens if self.complete else self._view().about.get("asked")

    @property
    def complete(self) -> bool:
        """Whether it came to its end."""
        return self._view().about["complete"]

    @property
    def limits(self) -> dict[str, Any] | None:
        """Of a slim copy: kinds, count, context, intervals and seed of the examples that it holds. None: no limits."""
        return self._view().about.get("slim")

    @property
    def provenance(self) -> dict[str, Any]:
        """What it rests on: model, dictionary and texts with their sha256, context, sources, versions, what was masked."""
        about = self._view().about
        return {name: value for name, value in about.items() if name not in ("format", "version", "atoms_per_file")}

    def check_is_of(self, sae: Dictionary) -> None:
        """Raises CorpusError unless the corpus was made with this dictionary."""
        if self.provenance.get("sae_sha256") != sae.sha256():
            same = " with other weights" if self.sae_name == sae.name else ""
            raise CorpusError(
                f"The corpus {self.folder} was made with the dictionary {self.sae_name}{same}; this is {sae.name}. "
                "Give the corpus of this dictionary, or make it with iw.corpus."
            )

    @property
    def atoms(self) -> pl.DataFrame:
        """Statistics of every atom (see `frames.CORPUS_ATOMS`)."""
        return self._view().atoms

    def histogram(self, atom: int, bins: int = 40) -> pl.DataFrame:
        """How strongly an atom fires, in equal bins from 0 to its maximum (see `frames.ATOM_HISTOGRAM`); empty if it never fired.

        Where not all events are kept, counts below the strongest half of them are estimated from a uniform sample.
        """
        if bins < 1:
            raise CorpusError(f"A histogram has 1 bin or more, not {bins}.")
        return self._asked(atom, lambda found: slim.histogram(found, atom, bins))

    def examples(
        self,
        atom: int,
        kind: str = "top",
        count: int | None = None,
        *,
        context: tuple[int, int] | None = None,
        intervals: int | None = None,
        interval: int | None = None,
        seed: int = 0,
    ) -> pl.DataFrame:
        """Where an atom fires, in context (see `frames.ATOM_EXAMPLES`).

        Of events with the same context only the first of a list is shown; `repeats` says how many others there are.

        Args:
            atom: its index.
            kind: "top": the strongest. "random": drawn from all. "interval": drawn from each of `intervals` equal ranges of
                activation from 0 to the maximum. "quantile": drawn from each of `intervals` equal shares of the events.
            count: examples a list; of interval and quantile, of each of them. Default 10, or as many as a slim copy holds.
            context: tokens shown before and after, as far as the document goes; default (8, 7), or what a slim copy holds.
            intervals: default 10, or those of a slim copy.
            interval: only this one, 0 is the weakest; default: all.
            seed: of the draws; default 0.

        Raises:
            DictionaryError: no such atom.
            CorpusError: a damaged folder, arguments that make no sense, or examples that a slim copy does not hold.
        """

        def asked(found: View) -> pl.DataFrame:
            held = found.about.get("slim") or {"count": COUNT, "context": CONTEXT, "intervals": INTERVALS}
            around: tuple[int, int] = tuple(held["context"]) if context is None else context
            wanted = held["count"] if count is None else count
            ranges = held["intervals"] if intervals is None else intervals
            pool = examples.pool(found, atom)
            choose = examples.choose if found.lists is None else slim.stored
            return examples.render(pool, choose(pool, kind, wanted, around, ranges, interval, seed), around)

        return self._asked(atom, asked)

    def activations(self, atom: int) -> pl.DataFrame:
        """All tokens that an atom fired on and are kept, strongest first (see `frames.ATOM_EVENTS`)."""

        def all_of(found: View) -> pl.DataFrame:
            slim.refuse(found, "the events of an atom")
            pool = examples.pool(found, atom)
            order = np.lexsort((pool.key, -pool.activation))
            columns = {"atom": [atom] * len(order), "activation": pool.activation[order]}
            return frames.build(frames.ATOM_EVENTS, columns | examples.places_of(found, pool.row[order]))

        return self._asked(atom, all_of)

    def top_atoms_for_token(self, token_id: int, count: int = 20) -> pl.DataFrame:
        """The atoms that fire most on a token, by the sum of their activations there (see `frames.TOKEN_ATOMS`).

        What is stored is counted: of atoms that do not keep all events what is kept, and in a slim copy only the contexts of its
        examples. One pass over all events.
        """
        return self._retried(lambda found: _token_atoms(found, token_id, count))

    def examples_frame(
        self,
        atoms: Iterable[int] | None = None,
        kinds: Iterable[str] = ("top", "interval"),
        *,
        progress: Progress = silent,
        **options: Any,
    ) -> pl.DataFrame:
        """Examples of several atoms, all unless given, in one table (see `frames.ATOM_EXAMPLES`). Options as `examples`."""
        wanted, kinds, parts = list(range(self.width) if atoms is None else atoms), list(kinds), []
        for done, atom in enumerate(wanted):
            parts += [self.examples(atom, kind, **options) for kind in kinds]
            progress(done + 1, len(wanted), f"{done + 1} of {len(wanted)} atoms")
        return pl.concat(parts) if parts else frames.build(frames.ATOM_EXAMPLES, {n: [] for n in frames.ATOM_EXAMPLES})

    def to_parquet(self, path: str | Path, atoms: Iterable[int] | None = None, **options: Any) -> None:
        """Writes `examples_frame` as Parquet; `iw.read_examples` reads it."""
        self.examples_frame(atoms, **options).write_parquet(Path(path).expanduser())

    def save(
        self,
        path: str | Path,
        examples: int | None = None,
        *,
        kinds: Iterable[str] = ("top", "interval"),
        context: tuple[int, int] = CONTEXT,
        intervals: int = INTERVALS,
        seed: int = 0,
        progress: Progress = silent,
    ) -> Corpus:
        """Writes a copy into the empty folder `path` and opens it.

        Args:
            path: a folder, made if it does not exist.
            examples: None: everything. A number: a slim copy with that many examples a list, which is small enough to ship.
                Statistics and a histogram of 40 bins are there for every atom; what is not there says so.
            kinds, context, intervals, seed: of the examples of a slim copy, as in `examples`.

        Raises:
            CorpusError: the corpus is not complete, or the folder is not empty.
        """
        target = Path(path).expanduser()
        wanted = {
            "kinds": list(kinds),
            "count": examples,
            "context": list(context),
            "intervals": intervals,
            "seed": seed,
        }
        self._retried(lambda found: slim.write(found, target, wanted if examples is not None else None, progress))
        return Corpus(target)

    def _asked(self, atom: int, ask: Callable[[View], Answer]) -> Answer:
        if not 0 <= atom < self.width:
            raise DictionaryError(f"Atom {atom} does not exist: {self.sae_name} has atoms 0 to {self.width - 1}.")
        return self._retried(ask)

    def _retried(self, ask: Callable[[View], Answer]) -> Answer:
        """An answer from the folder as it is; if it changed meanwhile, from the folder as it is then."""
        for pause in PAUSES:
            try:
                return ask(self._view())
            except FileNotFoundError:
                self._seen = None
                time.sleep(pause)
        raise files.damaged(self.folder, "files that it speaks of are missing")

    def _view(self) -> View:
        seen = self._seen
        if seen is not None and (seen[0] is None or seen[0] == _stamp(self.folder)):
            return seen[1]
        for pause in PAUSES:
            try:
                stamp = _stamp(self.folder)
                found = view(self.folder)
            except FileNotFoundError:
                time.sleep(pause)
                continue
            self._seen = (None if found.about["complete"] else stamp, found)
            return found
        raise files.damaged(self.folder, "files that it speaks of are missing")


def _stamp(folder: Path) -> list[tuple[int, int, int]]:
    """What changes with each commit."""
    found = []
    for file in (files.making(folder) / "state.safetensors", folder / "corpus.json"):
        if file.exists():
            said = file.stat()
            found.append((said.st_mtime_ns, said.st_size, said.st_ino))
    return found


def _token_atoms(found: View, token_id: int, count: int) -> pl.DataFrame:
    width = found.about["width"]
    atom, activation, events = found.events_on(found.ids == token_id)
    on_token = np.bincount(atom, minlength=width)
    total = np.bincount(atom, activation.astype(np.float64), width)
    order = np.lexsort((np.arange(width), -total))[:count]
    order = order[on_token[order] > 0]
    columns = {
        "atom": order,
        "token_id": [token_id] * len(order),
        "token": [found.vocabulary.get(token_id, "")] * len(order),
        "count": on_token[order],
        "total": total[order],
        "mean": total[order] / on_token[order],
        "share": on_token[order] / events[order],
    }
    return frames.build(frames.TOKEN_ATOMS, columns)
