"""What the benchmarks share: one torch thread, rounds that take turns, and Markdown tables.

Two things are compared by running them in turn in one process (A B A B), so that a busy machine slows both. `best` is the
smallest of the rounds, the figure least touched by other work; `median` says what a person would see on this machine.
"""

from __future__ import annotations

import os
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

IOI = "When Mary and John went to the store, John gave a drink to"
IOI_CORRUPT = "When Mary and John went to the store, Mary gave a drink to"

ENGLISH = (
    "The old library stood at the end of the street, between the river and the park. In the morning the doors were open and "
    "people came in to read the papers. A woman sat by the window and wrote a long letter to her son. He had moved to the "
    "city in the spring, and she had not heard from him since then. On the table was a cup of tea and a small box of keys. "
    "The keys to the cabinet were not among them, so she asked the man at the desk. He said that the cabinet had been sold "
    "last year, when the house next door was empty. She laughed, put the letter away, and went out into the rain. The rain "
    "had been falling for three days, and the water in the river was high. Children ran along the wall and threw stones. "
    "Nobody knew when the bridge would be safe again, but the boats were still going over to the other side every hour. "
)
GRAMMAR = (
    "when mary and john went to the store , john gave a drink to mary . the keys to the cabinet are on the table . "
    "the capital of france is paris . "
)


class Times(NamedTuple):
    """Seconds of one contestant over all rounds."""

    rounds: list[float]

    @property
    def best(self) -> float:
        return min(self.rounds)

    @property
    def median(self) -> float:
        return statistics.median(self.rounds)


def one_thread() -> None:
    """Torch on one thread: with more threads than free cores, timings mean nothing."""
    import torch

    torch.set_num_threads(1)


def in_turn(
    contestants: dict[str, Callable[[], object]],
    rounds: int,
    clock: Callable[[], float] = time.perf_counter,
    warm: bool = False,
) -> dict[str, Times]:
    """Run all contestants once, unless they are `warm`, then `rounds` times one after the other."""
    for run in () if warm else contestants.values():
        run()
    times: dict[str, list[float]] = {name: [] for name in contestants}
    for _ in range(rounds):
        for name, run in contestants.items():
            begin = clock()
            run()
            times[name].append(clock() - begin)
    return {name: Times(seconds) for name, seconds in times.items()}


def ratio(a: Times, b: Times) -> Times:
    """Round by round, a over b: both saw the same machine."""
    return Times([x / y for x, y in zip(a.rounds, b.rounds, strict=True)])


def text_of(model, tokens: int, words: str = ENGLISH) -> str:
    """A text of exactly so many tokens."""
    text = ""
    for word in (words * 20).split():
        longer = f"{text} {word}".strip()
        if len(model.encode(longer)) <= tokens:
            text = longer
        if len(model.encode(text)) == tokens:
            return text
    raise ValueError(f"no text of {tokens} tokens out of these words")


def command() -> str:
    """How this benchmark is run."""
    spec = sys.modules["__main__"].__spec__
    return f"python -m {spec.name}" if spec else "python"


def report(title: str, header: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Print a Markdown table under its title."""
    print(f"\n**{title}**\n")
    print("| " + " | ".join(header) + " |")
    print("| --- |" + " ---: |" * (len(header) - 1))
    for row in rows:
        print("| " + " | ".join(str(x) for x in row) + " |")
    sys.stdout.flush()


def machine() -> str:
    """One line on where the figures come from; no names, no paths."""
    import platform

    import torch

    return (
        f"`{command()}` · Python {platform.python_version()}, torch {torch.__version__.split('+')[0]}, {platform.machine()}, "
        f"{torch.get_num_threads()} torch thread, load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores"
    )


def ms(seconds: float) -> str:
    return f"{seconds * 1e3:.0f} ms" if seconds >= 0.01 else f"{seconds * 1e3:.2f} ms"


def kb(size: float) -> str:
    return f"{size / 1000:.1f} KB"
