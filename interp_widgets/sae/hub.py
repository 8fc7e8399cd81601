"""Dictionaries on the Hugging Face hub: only the files that one of them needs, into the hub's own cache."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..errors import DictionaryError, ModelUnavailable
from ..session import fetch as session_fetch


@dataclass(frozen=True)
class Place:
    """A folder (or a .pt file) of a repository, and what is known of the dictionary in it beside its files."""

    repo: str
    folder: str
    revision: str | None = None
    release: str | None = None
    """The name under which SAELens has it, with its id."""
    neuronpedia: str | None = None
    config: Mapping[str, Any] = field(default_factory=dict)
    factor: float | None = None
    """See `files.Told`."""

    @classmethod
    def parse(cls, name: str) -> Place | None:
        """owner/name, with or without a folder below it; None for what cannot be one."""
        parts = name.removesuffix("/").split("/")
        plain = all(re.fullmatch(r"\w[\w.-]*", part) for part in parts[:2])
        if len(parts) < 2 or not plain or not all(re.fullmatch(r"[\w-][\w.=,:+-]*", part) for part in parts[2:]):
            return None
        return cls("/".join(parts[:2]), "/".join(parts[2:]))

    def __str__(self) -> str:
        return f"{self.repo}/{self.folder}".rstrip("/")


def fetch(place: Place, names: Iterable[str]) -> tuple[Path, dict[str, Any]]:
    """Where the files of these names are, after a download if need be, and what `Dictionary.origin` says of the place.

    Without an answer from the hub, what its cache has is used.

    Raises:
        DictionaryError: no such repository, folder or revision, or no answer and nothing in the cache.
    """
    at = f"{place.folder}/" if place.folder else ""
    patterns = [*(f"{at}{name}" for name in names), *([place.folder] if place.folder.endswith(".pt") else [])]
    why = ""
    snapshot: Path | None
    try:
        main = session_fetch.hub_revision(place.repo)
        snapshot = _download(place, place.revision or main, patterns)
    except ModelUnavailable as error:
        why = str(error)
        snapshot = _cached(place, patterns)
    if snapshot is None:
        raise DictionaryError(
            f"{str(place)!r} is neither here nor bundled, and {place.repo} could not be fetched: {why}. Check the name and the "
            "connection, or give a local folder."
        )
    found = snapshot / place.folder
    if not (found.is_file() or any((found / name).is_file() for name in names)):
        there = f"; in the cache it has not, and {why}" if why else _others(place.repo, snapshot.name, names)
        raise DictionaryError(
            f"{place.repo} has no dictionary in a known format at {place.folder or 'its top'}{there}. Known are folders with "
            f"{', '.join(name for name in names if not name.endswith('.json'))}, and OpenAI's numbered .pt files."
        )
    origin = {"repo": place.repo, "folder": place.folder, "revision": snapshot.name}
    origin |= {"release": place.release} if place.release else {}
    return found, origin | ({"neuronpedia": place.neuronpedia} if place.neuronpedia else {})


def _download(place: Place, revision: str, patterns: list[str]) -> Path:
    from huggingface_hub import snapshot_download

    try:
        return Path(snapshot_download(place.repo, revision=revision, allow_patterns=patterns))
    except Exception as error:  # the hub's client raises its own, its HTTP library's and the system's errors
        raise ModelUnavailable(f"the download broke off ({session_fetch.one_line(error)})") from error


def _cached(place: Place, patterns: list[str]) -> Path | None:
    from huggingface_hub import snapshot_download

    try:
        return Path(
            snapshot_download(place.repo, revision=place.revision, allow_patterns=patterns, local_files_only=True)
        )
    except Exception:  # not there, in any of the ways in which the client says so
        return None


def _others(repo: str, revision: str, names: Iterable[str]) -> str:
    """The folders of a repository that hold dictionaries, as the end of a sentence; "" if it does not say."""
    from huggingface_hub import list_repo_files

    try:
        files = [Path(file) for file in list_repo_files(repo, revision=revision)]
    except Exception:  # the sentence does without
        return ""
    weights = [name for name in names if not name.endswith(".json")]
    folders = sorted({file.parent.as_posix() for file in files if file.name in weights})
    return f"; there are {', '.join(folders[:8])}{' and more' if len(folders) > 8 else ''}" if folders else ""
