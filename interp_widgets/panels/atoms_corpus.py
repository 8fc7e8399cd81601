"""A corpus that is read while the panel is in use: started, paused, gone on with, and shown as it grows."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from .jobs import Job

if TYPE_CHECKING:
    from ..sae.corpus.reader import Corpus
    from ..sae.dictionary import Dictionary
    from ..session.harvest import Texts
    from ..session.session import Session


class Reading:
    """One corpus in the making. Forward passes of other work come in between its batches."""

    def __init__(
        self,
        model: Session,
        sae: Dictionary,
        texts: Texts,
        folder: str | Path | None,
        tokens: int | None,
        tell: Callable[[Corpus | None, dict[str, Any], str], None],
    ) -> None:
        from ..methods.corpus import TEMPORARY

        self.model, self.sae, self.texts, self.tokens, self._tell = model, sae, texts, tokens, tell
        self._temporary = None if folder else TemporaryDirectory(prefix=TEMPORARY)
        self.folder = Path(folder or self._temporary.name)  # type: ignore[union-attr]
        self._job: Job | None = None
        self._running = False
        self._found: Corpus | None = None

    def start(self) -> None:
        """Begin, or go on where it was paused."""
        if not self._running:
            before, self._running = self._job, True
            self._job = Job(lambda progress: self._read(before, progress), self._report)
            self._job.start()

    def pause(self, because: BaseException | None = None) -> None:
        """Stop after the present batch; what was read is kept."""
        if self._job is not None:
            self._job.cancel(because)

    def wait(self) -> None:
        """Wait for the end of the reading, or of the pause; raises what it raised."""
        if self._job is not None:
            self._job.wait()
            if self._job.error is not None:
                raise self._job.error

    def _read(self, before: Job | None, progress: Job) -> None:
        from ..methods.corpus import corpus

        if before is not None:
            before.wait()  # it has told its end, and may still be on its way out of the folder
        self._found = corpus(
            self.model, self.texts, sae=self.sae, folder=self.folder, tokens=self.tokens, progress=progress
        )

    def _report(self, job: Job, status: dict[str, Any], error: str) -> None:
        if job is self._job:
            self._running = status["state"] == "running"
            self._found = status.pop("partial", None) or self._found
            self._tell(self._found, status, error)
