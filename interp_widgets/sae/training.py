"""Training a dictionary on a stream of activations, wherever they come from: the loop, its history and its checkpoints."""

from __future__ import annotations

import math
import signal
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

import polars as pl
import torch

from .. import frames
from ..errors import Cancelled, DictionaryError, TextError
from ..progress import Progress, silent
from . import checkpoint
from .shuffle import Shuffle
from .trainer import Settings, Trainer

FIRST = 16_384
"""Activations, at most, that mean, scale and first directions are taken from."""
EVERY = 60.0
"""Seconds from one checkpoint to the next, or twenty times what writing one takes."""


class Stream(Protocol):
    """Activations that can be had again from the start."""

    def pieces(self) -> Iterator[torch.Tensor]:
        """The tensors [n, d_in] that have not been handed out yet."""

    def state(self) -> dict[str, Any]:
        """JSON that says how much was handed out."""

    def restore(self, state: dict[str, Any]) -> None:
        """Go on where `state` was, from the start. Raises TextError where what comes before is not the same."""


@dataclass(frozen=True)
class Fitted:
    """What training made."""

    tensors: dict[str, torch.Tensor]
    """As `Trainer.folded`."""
    history: pl.DataFrame
    """See `frames.TRAINING`."""
    tokens: int
    """Distinct activations that were trained on."""


def fit(
    stream: Stream,
    held_out: Callable[[], torch.Tensor],
    settings: Settings,
    *,
    tokens: int,
    buffer: int,
    reuse: int,
    device: torch.device | str = "cpu",
    folder: Path | None = None,
    facts: dict[str, Any] | None = None,
    progress: Progress = silent,
) -> Fitted:
    """A dictionary trained on the first `tokens` activations of `stream`, each drawn `reuse` times from a buffer.

    Args:
        held_out: called once, before anything is taken from `stream`: raw activations [n, d_in] that are only measured.
        buffer: activations that the buffer has room for.
        folder: where checkpoints go; a checkpoint there is gone on with, and the end is the same as without the break.
        facts: what the checkpoint must agree on besides the arguments.

    Raises:
        DictionaryError: the folder's checkpoint is of another training, or the loss is not a number any more.
        TextError: less than a batch of activations.
    """
    run = _Run(stream, settings, tokens, buffer, reuse, device, folder, facts or {})
    if not run.resume():
        run.begin(held_out())
    try:
        with _deferred_interrupt() as interrupted:
            while run.step():
                progress(run.shuffle.drawn, run.shuffle.total, run.message, run.row)
                if interrupted.is_set():
                    raise KeyboardInterrupt
                if time.monotonic() > run.due:
                    run.save()
    except (KeyboardInterrupt, Cancelled) as stop:
        if folder is not None and run.whole:
            run.save()
            stop.add_note(
                f"Training stopped after {run.trainer.steps} steps and is kept in {folder}. "
                "Call again with the same arguments to go on."
            )
        raise
    return Fitted(run.trainer.folded(), frames.build(frames.TRAINING, _columns(run.history)), run.shuffle.taken)


class _Run:
    """One training: its parts, and what is said about it."""

    def __init__(
        self,
        stream: Stream,
        settings: Settings,
        tokens: int,
        buffer: int,
        reuse: int,
        device: torch.device | str,
        folder: Path | None,
        facts: dict[str, Any],
    ) -> None:
        self.stream, self.settings, self.device, self.folder = stream, settings, device, folder
        self.tokens, self.buffer, self.reuse = tokens, buffer, reuse
        self.facts = {**asdict(settings), "tokens": tokens, "buffer": buffer, "reuse": reuse, **facts}
        self.history: list[dict[str, float]] = []
        self.losses: list[float] = []
        self.message, self.before = "", 0.0
        self.whole = True  # False within a step, whose half is not worth keeping
        self.started = time.monotonic()
        self.due = self.started + EVERY if folder is not None else math.inf
        planned = tokens * reuse // settings.batch
        self.every = max(25, planned // 50)

    @property
    def row(self) -> dict[str, float] | None:
        """The last measurement."""
        return self.history[-1] if self.history else None

    def begin(self, held_out: torch.Tensor) -> None:
        pieces = self.stream.pieces()
        first: list[torch.Tensor] = []
        while sum(map(len, first)) < min(FIRST, self.tokens) and (piece := next(pieces, None)) is not None:
            first.append(piece)
        count = sum(map(len, first))
        if count < max(2, min(self.settings.batch, self.tokens)):
            raise TextError(
                f"The texts hold {count} tokens to train on beside those held out, but one step takes {self.settings.batch}. "
                "Give more text, or a smaller batch."
            )
        self.trainer = Trainer(self.settings, torch.cat(first), self.device)
        self._connect(first, pieces, held_out)

    def resume(self) -> bool:
        """Whether there was a checkpoint to go on from."""
        found = checkpoint.load(self.folder) if self.folder is not None else None
        if found is None:
            return False
        tensors, said = found
        if other := checkpoint.differences(said["facts"], self.facts):
            raise DictionaryError(
                f"{self.folder} holds a training that was broken off, but of another kind: {', '.join(other)}. "
                "Give the same arguments to go on with it, or another folder."
            )
        self.stream.restore(said["stream"])
        held_out = tensors["held_out"]
        self.trainer = Trainer(self.settings, held_out, self.device)
        self.trainer.restore(checkpoint.part(tensors, "trainer."), said["steps"])
        self._connect([tensors["pending"]], self.stream.pieces(), held_out)
        self.shuffle.restore(checkpoint.part(tensors, "shuffle."))
        self.history, self.losses, self.before = said["history"], said["losses"], said["seconds"]
        return True

    def _connect(self, pending: list[torch.Tensor], pieces: Iterator[torch.Tensor], held_out: torch.Tensor) -> None:
        """`pending`: what was taken from the stream already and is to be trained on."""
        self.held_out, self.pending = held_out, deque(pending)

        def scaled() -> Iterator[torch.Tensor]:
            while self.pending:
                yield self.trainer.usable(self.pending.popleft())
            for piece in pieces:
                yield self.trainer.usable(piece)

        self.shuffle = Shuffle(scaled(), self.buffer, held_out.shape[1], self.tokens, self.reuse, self.settings.seed)

    def step(self) -> bool:
        """One step, and a measurement where one is due; False when all activations have been used."""
        self.whole = False
        x = self.shuffle.draw(self.settings.batch)
        if not len(x):
            self.whole = True
            return False
        total = -(-self.shuffle.total // self.settings.batch)
        loss, rate = self.trainer.step(self.trainer.on_device(x), total)
        if not math.isfinite(loss):
            raise DictionaryError(
                f"The loss is no number any more after {self.trainer.steps} steps. Try a smaller learning rate than "
                f"{self.settings.learning_rate:g}."
            )
        self.losses.append(loss)
        if self.trainer.steps % self.every == 0 or self.shuffle.drawn == self.shuffle.total:
            self._measure(rate, total)
        self.whole = True
        return True

    def _measure(self, rate: float, total: int) -> None:
        metrics = self.trainer.measure(self.trainer.scaled(self.held_out))
        row = {
            "step": self.trainer.steps,
            "seen": self.shuffle.drawn,
            "loss": sum(self.losses) / len(self.losses),
            "explained_variance": metrics.explained_variance,
            "mean_active": metrics.active,
            "dead_share": self.trainer.dead_share(total),
            "learning_rate": rate,
            "seconds": self.seconds,
        }
        self.history.append(row)
        self.losses = []
        self.message = (
            f"loss {row['loss']:.3f}, explained variance {row['explained_variance']:.3f}, "
            f"dead {100 * row['dead_share']:.1f} %, {row['mean_active']:.1f} active"
        )

    @property
    def seconds(self) -> float:
        return self.before + time.monotonic() - self.started

    def save(self) -> None:
        """Writes the checkpoint."""
        assert self.folder is not None
        at = time.monotonic()
        tensors = {f"trainer.{key}": value for key, value in self.trainer.state().items()}
        tensors |= {f"shuffle.{key}": value for key, value in self.shuffle.state().items()}
        said = {
            "facts": self.facts,
            "stream": self.stream.state(),
            "steps": self.trainer.steps,
            "history": self.history,
            "losses": self.losses,
            "seconds": self.seconds,
        }
        tensors["held_out"] = self.held_out
        tensors["pending"] = torch.cat([*self.pending, self.held_out[:0]])
        checkpoint.save(self.folder, tensors, said)
        now = time.monotonic()
        self.due = now + max(EVERY, 20 * (now - at))


@contextmanager
def _deferred_interrupt() -> Iterator[threading.Event]:
    """Ctrl-C sets the event, so that no step is torn apart; a second one interrupts at once. Only where signals arrive."""
    pressed = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield pressed
        return
    former = signal.getsignal(signal.SIGINT) or signal.SIG_DFL

    def note(number: int, frame: Any) -> None:
        if pressed.is_set():
            raise KeyboardInterrupt
        pressed.set()

    signal.signal(signal.SIGINT, note)
    try:
        yield pressed
    finally:
        signal.signal(signal.SIGINT, former)


def _columns(rows: list[dict[str, float]]) -> dict[str, list[float]]:
    return {name: [row[name] for row in rows] for name in frames.TRAINING}
