"""The file of a recording: a zip with an index, answers and panels. Written beside its place and put there at once; read with
no trust in it: fixed names, bounded sizes, nothing executed.

    recording.json               what it is: format, time, the model's facts, and a list of all that follows
    tokenizer/...                the tokenizer's own files
    answers/KEY.json             the answer to one question (see answers.py); KEY.safetensors are its tensors
    panels/NAME.json              states of a panel, as they were shown (see book.py)
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import tempfile
import threading
import weakref
import zipfile
from functools import cached_property
from pathlib import Path
from typing import Any

from ...errors import RecordingError

FORMAT = "interp_widgets recording"
VERSION = 1
INDEX = "recording.json"
MOST = 1_000_000_000
"""Bytes of one part at most, unpacked."""
MOST_INDEX = 64_000_000
MOST_PARTS = 200_000
TOKENIZER = ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json", "vocab.json",
             "merges.txt", "vocab.txt", "tokenizer.model", "spiece.model", "chat_template.jinja")  # fmt: skip
"""Files that a tokenizer may consist of."""
_NAME = "[0-9a-f]{32}"
_PART = re.compile(
    rf"recording\.json|tokenizer/[a-z_]+\.[a-z]+|answers/{_NAME}\.(json|safetensors)|panels/{_NAME}\.json"
)


class Writer:
    """Parts of a recording as they come, into a file beside `path` that takes its place at the end."""

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path).expanduser()
        self._lock = threading.Lock()
        try:
            handle, name = tempfile.mkstemp(prefix=f".{self.path.name}.", suffix=".part", dir=self.path.parent)
            os.close(handle)
            self._zip = zipfile.ZipFile(name, "w", zipfile.ZIP_DEFLATED, compresslevel=6)
        except OSError as error:
            raise RecordingError(
                f"Nothing can be recorded in {self.path}: {error.strerror or error}. Choose a folder that can be written."
            ) from error
        self._part = Path(name)
        self._end = weakref.finalize(self, _leave, self._zip, self._part)

    @property
    def open(self) -> bool:
        """Whether parts are still taken."""
        return self._end.alive

    def add(self, name: str, data: bytes) -> int:
        """One part; how many bytes it takes. A part that is there already stays. Nothing happens once the file is closed."""
        with self._lock:
            if not self.open or name in self._zip.NameToInfo:
                return 0
            if len(data) > MOST:
                raise RecordingError(f"{name} has {len(data):,} bytes; a recording takes parts of at most {MOST:,}.")
            before = self._part.stat().st_size
            try:
                self._zip.writestr(zipfile.ZipInfo(name, (2020, 1, 1, 0, 0, 0)), data, zipfile.ZIP_DEFLATED)
            except OSError as error:
                raise RecordingError(f"The file {self.path} cannot be written: {error.strerror or error}.") from error
            return self._zip.NameToInfo[name].compress_size or self._part.stat().st_size - before

    def finish(self, index: dict[str, Any]) -> None:
        """Write the index and put the file in its place."""
        self.add(INDEX, json.dumps({"format": FORMAT, "version": VERSION, **index}).encode())
        with self._lock:
            self._zip.close()
            self._part.chmod(0o644)  # as any file, not as one that is temporary
            self._part.replace(self.path)
            self._end.detach()

    def drop(self) -> None:
        """Give up: what was at `path` before stays."""
        with self._lock:
            self._end()


def _leave(file: zipfile.ZipFile, part: Path) -> None:
    file.close()
    part.unlink(missing_ok=True)


class File:
    """A recording that is read: its index, and parts on demand."""

    def __init__(self, path: str | Path) -> None:
        """Raises RecordingError: there is no such file, or it is no recording, damaged, or not to be trusted."""
        self.path = Path(path).expanduser()
        try:
            self._zip = zipfile.ZipFile(self.path)
            self._parts = {info.filename: info for info in self._zip.infolist()}
        except FileNotFoundError:
            raise RecordingError(f"There is no recording {self.path}. `iw.record(model, path)` makes one.") from None
        except (OSError, zipfile.BadZipFile, ValueError, NotImplementedError) as error:
            raise self._damaged(str(error)) from error
        self._check_parts()
        index = self.json(INDEX, MOST_INDEX)
        if not isinstance(index, dict) or index.get("format") != FORMAT:
            raise RecordingError(f"The file {self.path} is no recording: {INDEX} in it says nothing of that kind.")
        if index.get("version") != VERSION:
            raise RecordingError(
                f"The file {self.path} is a recording of format {index.get('version')!r}, and this version reads {VERSION}. "
                "Install a newer interp_widgets, or record again."
            )
        kinds = {"made": str, "facts": dict, "answers": dict, "panels": list, "provenance": dict}
        for name, kind in kinds.items():
            if not isinstance(index.get(name), kind):
                raise self._damaged(f"{INDEX} has no {name}")
        self.index: dict[str, Any] = index

    def _check_parts(self) -> None:
        if len(self._parts) > MOST_PARTS:
            raise RecordingError(
                f"The file {self.path} has {len(self._parts):,} parts; a recording has at most {MOST_PARTS:,}."
            )
        for name, info in self._parts.items():
            if not _PART.fullmatch(name):
                raise RecordingError(
                    f"The file {self.path} has a part {name!r}, which no recording has. It was not opened."
                )
            if info.file_size > MOST or info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                raise RecordingError(
                    f"The file {self.path} has a part {name} that would unpack to {info.file_size:,} bytes; {MOST:,} are allowed, "
                    "stored or deflated. It was not opened."
                )

    def __contains__(self, name: str) -> bool:
        return name in self._parts

    @cached_property
    def sha256(self) -> str:
        """Of the whole file."""
        with self.path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()

    def mark(self, said: dict[str, Any]) -> dict[str, Any]:
        """What the provenance of an answer says of this recording. `said`: the provenance that was recorded."""
        return {"file": self.path.name, "sha256": self.sha256, "made": self.made, "backend": said.get("backend")}

    @property
    def facts(self) -> dict[str, Any]:
        """What is known of the model."""
        facts: dict[str, Any] = self.index["facts"]
        return facts

    @property
    def made(self) -> str:
        """Time of the recording, ISO 8601."""
        return str(self.index["made"])

    def read(self, name: str, most: int = MOST) -> bytes:
        """One part.

        Raises:
            RecordingError: it is not there, damaged or too large.
        """
        info = self._parts.get(name)
        if info is None:
            raise self._damaged(f"{name} is missing")
        if info.file_size > most:
            raise self._damaged(f"{name} has {info.file_size:,} bytes, more than {most:,}")
        try:
            return self._zip.read(info)  # never more than it said: zipfile stops there, and checks the sum
        except Exception as error:  # zlib.error, BadZipFile, EOFError, RuntimeError for an encrypted part ...
            raise self._damaged(f"{name} cannot be unpacked ({error})") from error

    def json(self, name: str, most: int = MOST) -> Any:
        """One part that is JSON."""
        try:
            return json.loads(self.read(name, most))
        except (ValueError, RecursionError) as error:
            raise self._damaged(f"{name} is no JSON ({error})") from error

    def tokenizer(self, folder: str | Path) -> None:
        """The tokenizer's files, by their known names, into a folder."""
        for name in TOKENIZER:
            if f"tokenizer/{name}" in self:
                (Path(folder) / name).write_bytes(self.read(f"tokenizer/{name}"))

    def _damaged(self, why: str) -> RecordingError:
        return RecordingError(
            f"The file {self.path} is no recording, or a damaged one: {why}. Get it again, or record again."
        )
