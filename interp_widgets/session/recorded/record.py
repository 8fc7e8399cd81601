"""`iw.record`: a session that works as ever, and keeps every answer in a file."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Callable, Sequence
from contextvars import ContextVar
from copy import copy
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self, TypeVar

import torch

from ...errors import ModelError
from ...progress import silent
from ..remote.arrival import plain
from ..runner import Runner
from ..session import Session
from . import answers
from .book import Book
from .facts import facts, write_tokenizer
from .file import Writer
from .keys import key_of
from .places import portable

T = TypeVar("T")

_inside: ContextVar[bool] = ContextVar("inside", default=False)
"""Whether a question is being answered: what it asks on the way is part of it."""
SHOWN = 80
"""Characters of a text in the list of what a recording holds."""


class Recorder(Session):
    """A session whose answers are kept. `close()`, or the end of a `with` block, writes the file.

    What methods get is what a replay will give them: answers are on the CPU, and nothing stays beside the model between questions,
    as with a model on a server.
    """

    apart = True
    _writer: Writer
    _asked: dict[str, dict[str, Any]]
    book: Book

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        if error is None:
            self.close()
        else:
            self._writer.drop()

    def close(self) -> Path:
        """Write the file in its place; returns its path. The session still answers, but nothing more is kept."""
        if self._writer.open:
            write_tokenizer(self.tokenizer, self._writer)
            panels = [
                {**row, "part": name, "bytes": self._writer.add(name, data)} for row, name, data in self.book.parts()
            ]
            index = {
                "made": datetime.now(UTC).isoformat(timespec="seconds"),
                "facts": facts(self),
                "provenance": portable(self.provenance()),
                "answers": self._asked,
                "panels": panels,
            }
            self._writer.finish(index)
        return self._writer.path

    def __repr__(self) -> str:
        state = f"{len(self._asked)} answers so far" if self._writer.open else "closed"
        return f"Recording of {super().__repr__()} in {self._writer.path}, {state}"

    def work(self, function: Callable[..., T], *args: Any, **more: Any) -> T:
        """`function(model, *args, **more)`, see `Runner.work`; its answer is kept, unless it raises or is stopped."""
        if _inside.get() or not self._writer.open:
            return super().work(function, *args, **more)
        progress = more.get("progress", silent)
        progress(0, 0, "")  # or hear that it was cancelled
        if "progress" not in inspect.signature(function).parameters and self.torch_module is not None:
            more = {
                name: value for name, value in more.items() if name != "progress"
            }  # made for a server, where nobody looks
        key = key_of(self, function, args, more)  # before it runs: work may change what it is given
        mark = _inside.set(True)
        try:
            found = super().work(function, *args, **more)
        finally:
            _inside.reset(mark)
        return self._keep(key, function, (args, more), found)

    def _keep(self, key: str | None, function: Callable[..., T], asked: Any, found: T) -> T:
        name = function.__qualname__.rpartition(".")[2].strip("_")
        try:
            text, tensors = answers.parts(plain(found))
        except TypeError as error:
            text, why = b"", str(error)
        else:
            why = "" if key else "Something in the question has no contents that a name could be made of."
        if why:
            warnings.warn(f"{name} was answered, but is not in the recording. {why}", stacklevel=3)
            return found
        assert key is not None
        size = self._writer.add(f"answers/{key}.json", text)
        if tensors:
            size += self._writer.add(f"answers/{key}.safetensors", tensors)
        self._asked.setdefault(key, {"work": name, "text": self._text_in(asked), "bytes": size})
        made: T = answers.answer(text, tensors)
        return made

    def _text_in(self, asked: Any) -> str:
        """The beginning of the first text in a question, for the list of what there is."""
        ids = [i for i in _ids_in(asked)[:SHOWN] if not self.is_special(i)]
        return str(self.tokenizer.decode(ids))[:SHOWN]

    def run(self, *args: Any, **more: Any) -> Any:
        """One forward pass, see `Runner.run`; what it gives back is kept."""
        return self.work(Runner.run, *args, **more)

    def logits_of(self, normed: torch.Tensor, token_ids: Sequence[int]) -> torch.Tensor:
        return self.work(Runner.logits_of, normed, list(token_ids))


def _ids_in(value: Any, depth: int = 0) -> list[int]:
    """The first list of token ids in a question."""
    if isinstance(value, (list, tuple)) and len(value) > 1 and all(type(item) is int for item in value):
        return list(value)
    if isinstance(value, torch.Tensor) or depth > 6:
        return []
    inner = value.values() if isinstance(value, dict) else getattr(value, "__dict__", {}).values()
    for item in value if isinstance(value, (list, tuple)) else inner:
        if found := _ids_in(item, depth + 1):
            return found
    return []


def record(model: Session, path: str | Path) -> Recorder:
    """A session like `model` whose answers are kept in one file, so that `iw.replay(path)` can give them with no model.

    >>> with iw.record(model, "eiffel.recording") as recorded:
    ...     iw.Lens(recorded, "The Eiffel Tower is in the city of").run()

    Without `with`, call `recorded.close()`. The file is written beside its place and put there at the end; a block that raises
    leaves what was there.

    Args:
        model: a session from `iw.load`, here or on a server.
        path: where the recording goes; one that is there is replaced.

    Raises:
        ModelError: the session is itself a recording, or one that records.
        RecordingError: nothing can be written there.
    """
    if model.recorded or isinstance(model, Recorder):
        raise ModelError(f"{model!r} cannot be recorded again. Record the session that iw.load gave.")
    out = copy(model)
    out.__class__ = type(f"Recording{type(model).__name__}", (Recorder, type(model)), {})
    assert isinstance(out, Recorder)
    out._writer, out._asked, out.book = Writer(path), {}, Book()
    return out
