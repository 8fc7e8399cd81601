"""`iw.replay` where torch is not installed: the panels of a recording, and the sentence that says what else would be needed."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NoReturn

import polars as pl

from ... import frames
from ...errors import NotRecorded
from .book import entry
from .file import File
from .holds import holds, listed, loading
from .places import local

WHY = "torch is not installed here, so nothing is computed"


class Shown:
    """A recording whose panels can be shown. Made by `iw.replay` where torch is not installed.

    It has what a panel asks of a session: names, tokens of recorded texts, provenance. `torch_module` is None.
    """

    remote = False
    host = ""
    book = None
    torch_module = None

    def __init__(self, file: File) -> None:
        self._file = file
        self._read: dict[int, list[dict[str, Any]]] = {}
        self.name, self.recorded = str(file.facts.get("name")), file.made
        self.source = None

    def __repr__(self) -> str:
        return f"Replay({self.name!r}, recorded {self.recorded[:10]}, panels alone: {WHY}; {listed(self._file)})"

    @property
    def holds(self) -> pl.DataFrame:
        """What the recording holds (see `frames.RECORDED`); without torch, panels alone can be shown."""
        return holds(self._file)

    @property
    def panels(self) -> list[dict[str, Any]]:
        """Class, arguments and first text of each recorded panel."""
        rows: list[dict[str, Any]] = self._file.index["panels"]
        return rows

    def states(self, at: int) -> list[dict[str, Any]]:
        """The states of one of `panels`."""
        if at not in self._read:
            self._read[at] = entry(self._file, self.panels[at])
        return self._read[at]

    def tokens(self, text: str) -> pl.DataFrame:
        """The tokens of a text that some recorded panel shows (see `frames.TOKENS`)."""
        for at in range(len(self.panels)):
            for state in self.states(at):
                shown = state["state"]
                for prompt, tokens, ids in (("text", "tokens", "token_ids"), ("clean", "clean_tokens", "clean_ids")):
                    if shown.get(prompt) == text and shown.get(ids):
                        columns = {"position": range(len(shown[ids])), "token_id": shown[ids], "token": shown[tokens]}
                        return frames.build(frames.TOKENS, columns)
        self.missing(f"the text {text!r}")

    def provenance(self) -> dict[str, Any]:
        """What a recorded result rests on."""
        said: dict[str, Any] = local(self._file.index["provenance"])
        return {**said, **self.mark(said)}

    def mark(self, said: dict[str, Any]) -> dict[str, Any]:
        """What is added to a provenance: that it was recorded, and where."""
        return {"backend": "recorded", "recording": self._file.mark(said)}

    def missing(self, what: str) -> NoReturn:
        """Raises NotRecorded: the recording does not hold it."""
        raise NotRecorded(
            f"{what[:1].upper()}{what[1:]} was not recorded. {self._file.path.name} holds {listed(self._file)}. "
            f"To compute something else, install torch and load the model: {loading(self._file)}."
        )

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        self.missing(f"{name} of a session")


def replay(path: str | Path) -> Shown:
    """The panels of a recording, where torch is not installed: `iw.Lens(model, text)` and the others show what was recorded.

    Raises:
        RecordingError: there is no such file, or it is no recording, or a damaged one.
    """
    return Shown(File(path))
