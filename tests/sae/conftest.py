"""A Hugging Face hub that is a folder."""

from __future__ import annotations

import fnmatch
import shutil
from pathlib import Path

import huggingface_hub
import pytest

from interp_widgets.errors import ModelUnavailable
from interp_widgets.sae import releases
from interp_widgets.session import fetch

SHA = "0123abcd" * 5


class Hub:
    """Repositories that are folders, with the two questions that are asked of the client. Notes what was fetched."""

    def __init__(self, root: Path):
        self.root, self.cache = root / "hub", root / "cache"
        self.fetched: list[str] = []
        self.revisions: list[str | None] = []
        self.online = True

    def add(self, repo: str, folder: str, source: Path) -> None:
        shutil.copytree(source, self.root / repo / folder, dirs_exist_ok=True)

    def revision(self, repo: str) -> str:
        if not self.online:
            raise ModelUnavailable("the Hugging Face hub cannot be reached (no route)")
        if not (self.root / repo).is_dir():
            raise ModelUnavailable(f"the Hugging Face hub cannot be reached (404: no repository {repo})")
        return SHA

    def download(self, repo, *, revision=None, allow_patterns=(), local_files_only=False):
        to = (
            self.cache
            / f"models--{repo.replace('/', '--')}"
            / "snapshots"
            / (revision if len(revision or "") == 40 else SHA)
        )
        if local_files_only:
            if not to.is_dir():
                raise FileNotFoundError("no snapshot")
            return str(to)
        self.revisions.append(revision)
        to.mkdir(parents=True, exist_ok=True)
        for file in self.files(repo):
            if any(fnmatch.fnmatch(file, pattern) for pattern in allow_patterns):
                self.fetched.append(file)
                (to / file).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(self.root / repo / file, to / file)
        return str(to)

    def files(self, repo, *, revision=None):
        home = self.root / repo
        return sorted(file.relative_to(home).as_posix() for file in home.rglob("*") if file.is_file())


@pytest.fixture
def there(tmp_path, monkeypatch):
    made = Hub(tmp_path)
    monkeypatch.setattr(fetch, "hub_revision", made.revision)
    monkeypatch.setattr(huggingface_hub, "snapshot_download", made.download)
    monkeypatch.setattr(huggingface_hub, "list_repo_files", made.files)
    monkeypatch.setattr(releases, "find_spec", lambda name: None)  # whether or not SAELens is installed here
    return made
