"""The buffer draws everything, as often as it should, in an order that forgets where it came from."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch

from interp_widgets.sae.shuffle import Shuffle


def numbered(count: int, size: int, start: int = 0) -> Iterator[torch.Tensor]:
    """Rows whose only entry is their number."""
    for at in range(start, count, size):
        yield torch.arange(at, min(at + size, count)).float()[:, None]


def everything(shuffle: Shuffle, batch: int) -> list[int]:
    found: list[int] = []
    while len(x := shuffle.draw(batch)):
        found += x[:, 0].int().tolist()
    return found


@pytest.mark.parametrize("reuse", [1, 3])
@pytest.mark.parametrize("size", [64, 250, 5000])
def test_each_activation_is_drawn_just_as_often_as_asked(size: int, reuse: int) -> None:
    shuffle = Shuffle(numbered(1000, 37), size, 1, 1000, reuse, seed=0)
    found = everything(shuffle, 16)
    assert shuffle.drawn == shuffle.total == 1000 * reuse
    assert sorted(found) == sorted(list(range(1000)) * reuse)


def test_no_more_is_taken_than_asked_for() -> None:
    shuffle = Shuffle(numbered(1000, 37), 64, 1, 500, 1, seed=0)
    assert sorted(everything(shuffle, 16)) == list(range(500))
    assert shuffle.taken == 500


def test_a_stream_that_ends_early_shortens_the_total() -> None:
    shuffle = Shuffle(numbered(300, 37), 64, 1, 1000, 2, seed=0)
    assert shuffle.total == 2000
    assert len(everything(shuffle, 16)) == shuffle.total == 600


def test_batches_mix_what_was_far_apart() -> None:
    shuffle = Shuffle(numbered(2000, 37), 500, 1, 2000, 1, seed=0)
    first = shuffle.draw(100)[:, 0]
    assert first.std() > 100  # 100 rows in a line have 29, 500 uniform ones 144


def test_memory_is_bounded_by_the_buffer() -> None:
    shuffle = Shuffle(numbered(100_000, 50), 200, 1, 100_000, 1, seed=0)
    shuffle.draw(20)
    assert shuffle.taken <= 200 + 50
    assert shuffle.bytes == 200 * 2


def test_a_restored_buffer_goes_on_as_if_nothing_had_been() -> None:
    whole = everything(Shuffle(numbered(1000, 37), 128, 1, 1000, 2, seed=5), 16)
    first = Shuffle(numbered(1000, 37), 128, 1, 1000, 2, seed=5)
    before = [i for _ in range(30) for i in first.draw(16)[:, 0].int().tolist()]
    kept = {name: tensor.clone() for name, tensor in first.state().items()}
    later = Shuffle(numbered(1000, 37, start=first.taken), 128, 1, 1000, 2, seed=0)
    later.restore(kept)
    assert before + everything(later, 16) == whole
