"""Activations in random order out of a buffer of bounded size: the neighbours in a text are far apart in training."""

from __future__ import annotations

from collections.abc import Iterator

import torch

DTYPE = torch.float16
"""Of what is kept: scaled activations are of size 1, where it is finer than bfloat16."""


class Shuffle:
    """Draws every activation of a stream `reuse` times, in random order.

    The slots of the buffer are filled from the stream. A round draws half of them at random; those that have been drawn `reuse`
    times are then filled anew. When the stream has ended, rounds go on until nothing is left.
    """

    def __init__(
        self, pieces: Iterator[torch.Tensor], size: int, width: int, limit: int, reuse: int, seed: int
    ) -> None:
        """`pieces`: tensors [n, width], of which the first `limit` rows are used; `size`: slots."""
        self._pieces, self._limit, self._reuse = pieces, limit, reuse
        self._generator = torch.Generator().manual_seed(seed)
        self._slots = torch.zeros(min(size, limit), width, dtype=DTYPE)
        self._left = torch.zeros(len(self._slots), dtype=torch.int32)  # how often each slot is still to be drawn
        self._rest = torch.zeros(0, width, dtype=DTYPE)  # of the last piece, for which there was no room
        self._order = torch.zeros(0, dtype=torch.long)
        self.taken = 0
        """Rows taken from the stream so far."""
        self.drawn = 0
        self.ended = False
        """Whether nothing more comes from the stream."""

    @property
    def total(self) -> int:
        """How many draws there are in all: as far as is known, until the stream has ended."""
        return (self.taken if self.ended else self._limit) * self._reuse

    @property
    def bytes(self) -> int:
        """Memory of the slots."""
        return self._slots.numel() * self._slots.element_size()

    def draw(self, count: int) -> torch.Tensor:
        """[count, width], or fewer when that is all that is left."""
        parts: list[torch.Tensor] = []
        while (missing := count - sum(map(len, parts))) > 0:
            if not len(self._order) and not self._round():
                break
            chosen, self._order = self._order[:missing], self._order[missing:]
            parts.append(self._slots[chosen])
            self._left[chosen] -= 1
            self.drawn += len(chosen)
        return torch.cat(parts) if parts else self._slots[:0]

    def _round(self) -> bool:
        """Fills the empty slots and lays down the order of the next draws; False when nothing is left."""
        self._fill()
        full = self._left.nonzero().flatten()
        half = (len(full) + 1) // 2
        self._order = full[torch.randperm(len(full), generator=self._generator)[:half]]
        return len(full) > 0

    def _fill(self) -> None:
        empty = (self._left == 0).nonzero().flatten()
        while len(empty) and not self.ended:
            if not len(self._rest):
                piece = next(self._pieces, None) if self.taken < self._limit else None
                if piece is None:
                    self.ended = True
                    return
                self._rest = piece[: self._limit - self.taken].to(DTYPE).cpu()
                self.taken += len(self._rest)
            now, empty = empty[: len(self._rest)], empty[len(self._rest) :]
            self._slots[now] = self._rest[: len(now)]
            self._left[now] = self._reuse
            self._rest = self._rest[len(now) :]

    def state(self) -> dict[str, torch.Tensor]:
        """Everything that the next draw depends on but the stream itself, by name."""
        numbers = torch.tensor([self.taken, self.drawn, int(self.ended)])
        return {
            "slots": self._slots,
            "left": self._left,
            "rest": self._rest.contiguous(),
            "order": self._order.contiguous(),
            "numbers": numbers,
            "generator": self._generator.get_state(),
        }

    def restore(self, tensors: dict[str, torch.Tensor]) -> None:
        """The inverse of `state`, for a buffer whose stream begins after the pieces that were taken."""
        self._slots, self._left = tensors["slots"], tensors["left"]
        self._rest, self._order = tensors["rest"], tensors["order"]
        self.taken, self.drawn, ended = tensors["numbers"].tolist()
        self.ended = bool(ended)
        self._generator.set_state(tensors["generator"])
