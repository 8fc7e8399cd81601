"""Made-up corpora whose activations are known as one dense array, and choices among them written as plainly as can be."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from interp_widgets.sae.corpus.folder import WINDOW
from interp_widgets.sae.corpus.store import Store

WINDOW_SIZE = 7


def about(width: int, **other: Any) -> dict[str, Any]:
    """What a store must know, of no model at all."""
    names = {
        "model": "a model",
        "weights_sha256": "1",
        "sae": "a dictionary",
        "sae_sha256": "2",
        "site": "resid_post.0",
    }
    return {**names, "width": width, "context": 8, "batch": 4, "asked": None, "most": 10**6, **other}


@dataclass
class Truth:
    """A corpus in the order of its documents: everything about it, densely."""

    ids: np.ndarray
    counts: np.ndarray
    text: np.ndarray
    position: np.ndarray
    a: np.ndarray
    """[tokens, atoms] float32; 0 where a token does not count"""
    batch: np.ndarray
    """[tokens] in which batch each is read"""

    def batches(self) -> Iterator[tuple[Any, ...]]:
        """What `Store.append` gets, batch by batch; within a batch the windows are in another order than in their documents."""
        for number in range(self.batch.max() + 1 if len(self.batch) else 0):
            rows = np.flatnonzero(self.batch == number)
            windows = [rows[self._window(rows) == w] for w in np.unique(self._window(rows))][::-1]
            order = np.concatenate(windows)
            said = [(self.text[w[0]], 0, self.position[w[0]], len(w)) for w in windows]
            sources = ["even" if self.text[w[0]] % 2 == 0 else "odd" for w in windows]
            token, atom = self.a[order].nonzero()
            activation = self.a[order][token, atom]
            yield np.array(said, WINDOW), sources, self.ids[order], self.counts[order], token, atom, activation

    def first(self, batches: int) -> Truth:
        """What is known after some batches."""
        seen = self.batch < batches
        fields = (self.ids, self.counts, self.text, self.position, self.a, self.batch)
        return Truth(*(field[seen] for field in fields))

    def context(self, row: int, before: int, after: int) -> range:
        """Rows around one that follow each other in its document."""
        low = high = row
        while low > row - before and low > 0 and self._follows(low - 1):
            low -= 1
        while high < row + after and high + 1 < len(self.ids) and self._follows(high):
            high += 1
        return range(low, high + 1)

    def events(self, atom: int) -> list[int]:
        """Rows that an atom fired on, strongest first, earlier first among equals."""
        rows = np.flatnonzero(self.a[:, atom]).tolist()
        return sorted(rows, key=lambda row: (-self.a[row, atom], row))

    def _follows(self, row: int) -> bool:
        return self.text[row] == self.text[row + 1] and self.position[row] + 1 == self.position[row + 1]

    def _window(self, rows: np.ndarray) -> np.ndarray:
        return self.text[rows].astype(np.int64) * 10_000 + self.position[rows] // WINDOW_SIZE


def random_truth(seed: int, texts: int = 40, width: int = 40, vocabulary: int = 6) -> Truth:
    """Short documents of few words, so contexts repeat; few values, so activations tie; some tokens masked, some atoms silent."""
    rng = np.random.default_rng(seed)
    lengths = rng.integers(1, 30, texts)
    text = np.repeat(np.arange(texts), lengths)
    position = np.concatenate([np.arange(length) for length in lengths])
    ids, counts = rng.integers(0, vocabulary, len(text)), rng.random(len(text)) > 0.1
    a = np.round(rng.exponential(1, (len(text), width)), 1) * (rng.random((len(text), width)) < rng.random(width) ** 2)
    a[:, rng.integers(0, width, 4)] = 0
    a *= counts[:, None]
    window = text * 10_000 + position // WINDOW_SIZE
    numbers = {w: i for i, w in enumerate(rng.permutation(np.unique(window)).tolist())}
    batch = np.array([numbers[w] // 4 for w in window.tolist()])
    return Truth(ids.astype(np.int32), counts, text, position, a.astype(np.float32), batch)


def written(folder: Any, truth: Truth, **other: Any) -> None:
    """The corpus as a finished folder."""
    with Store(folder, about(truth.a.shape[1], **other), word) as store:
        for batch in truth.batches():
            store.append(*batch)
        store.finish()


def word(token_id: int) -> str:
    """Exact text of a made-up token."""
    return f" w{token_id}"


def contents(folder: Path) -> dict[str, bytes]:
    """Every file but what tells the time."""
    found = {str(f.relative_to(folder)): f.read_bytes() for f in sorted(folder.rglob("*")) if f.is_file()}
    said = json.loads(found.pop("corpus.json"))
    return found | {"corpus.json": json.dumps({**said, "seconds": None}).encode()}
