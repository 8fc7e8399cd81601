"""How a long fetch tells what it does: sentences and bars, in a notebook or a terminal."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any, Protocol

from ..progress import Progress as Report

Step = Callable[[int, int], None]
"""Called with (done, total) as work proceeds."""


class Progress(Protocol):
    """What `known.resolve` needs to report; a panel can pass its own."""

    def say(self, sentence: str) -> None:
        """Tell the person one sentence."""

    def bar(self, title: str, unit: str) -> AbstractContextManager[Step]:
        """A bar for one step; the value of the `with` is called with (done, total)."""


class Bars:
    """Sentences on standard output and tqdm bars: widgets in a notebook, text elsewhere."""

    def say(self, sentence: str) -> None:
        sys.stdout.write(sentence + "\n")
        sys.stdout.flush()

    @contextmanager
    def bar(self, title: str, unit: str) -> Iterator[Step]:
        from tqdm.auto import tqdm

        with tqdm(desc=title, unit=unit, unit_scale=unit == "B") as bar:

            def step(done: int, total: int) -> None:
                bar.total = total
                bar.update(done - bar.n)

            yield step


@contextmanager
def live(title: str, unit: str) -> Iterator[Report]:
    """A bar for a method's `progress` (see `interp_widgets.progress`), with its message behind it."""
    from tqdm.auto import tqdm

    with tqdm(desc=title, unit=unit, unit_scale=True) as bar:

        def report(done: int, total: int, message: str = "", partial: Any = None) -> None:
            bar.total = total
            bar.set_postfix_str(message, refresh=False)
            bar.update(done - bar.n)

        yield report


class Silent:
    """No output at all, for tests and scripts."""

    def say(self, sentence: str) -> None:
        pass

    @contextmanager
    def bar(self, title: str, unit: str) -> Iterator[Step]:
        yield lambda done, total: None
