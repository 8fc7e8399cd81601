"""Text out of the files of packages: a reader for each format.

A reader takes the bytes of one file and yields `(title, text)`, paragraphs separated by an empty line. Nothing here runs what it
reads: markup, R data and Python source are parsed as data.
"""

from __future__ import annotations

import gzip
import json
import re
import zlib
from collections.abc import Callable, Iterator
from html import unescape
from html.parser import HTMLParser
from zlib import crc32

from .text_cleaning import Unit, unwrap, without_contents, without_gutenberg

Reader = Callable[[bytes], Iterator[Unit]]


def plain(data: bytes) -> Iterator[Unit]:
    """One hard-wrapped text."""
    yield "", unwrap(without_contents(without_gutenberg(decode(data))))


def verse(data: bytes) -> Iterator[Unit]:
    """One text whose line ends mean something: a play or a poem."""
    yield "", without_gutenberg(decode(data))


def source_code(data: bytes) -> Iterator[Unit]:
    """One file of program text, without the comment on copyright that may stand at its head."""
    yield "", re.sub(r"\A(?=.*copyright)((//|#).*\n)+\n", "", decode(data), flags=re.I)


def html(data: bytes) -> Iterator[Unit]:
    """One page of HTML, or of Mallard (GNOME's help): the main part, without navigation, scripts and tables."""
    page = _Page(decode(data))
    yield page.title, page.text()


def dictd(data: bytes) -> Iterator[Unit]:
    """The entries of a gzipped dictd dictionary: headwords at the margin, what they mean indented."""
    for entry in re.split(r"\n(?=\S)", decode(gzip.decompress(data))):
        head, _, body = re.sub(r"\n (?=\S)", ", ", entry, count=1).partition(
            "\n"
        )  # its part of speech, indented by one
        if body.strip() and not head.startswith("00-"):
            yield head.partition(",")[0], head + "\n\n" + re.sub(r"\{ *([^}]*?)\}", r"\1", unwrap(body))


def wordnet(data: bytes) -> Iterator[Unit]:
    """WordNet's glosses: `word: meaning; "example"`, thirty to a text, in an order that mixes the alphabet."""
    glosses = []
    for line in decode(data).splitlines():
        head, bar, gloss = line.partition("|")
        if bar and not line.startswith("  "):
            word = re.sub(r"\(\w+\)$", "", head.split()[4]).replace("_", " ")
            glosses.append(f"{word}: {gloss.strip()}")
    glosses.sort(key=lambda gloss: crc32(gloss.encode()))
    for i in range(0, len(glosses), 30):
        yield "", "\n".join(glosses[i : i + 30])


def r_strings(data: bytes) -> Iterator[Unit]:
    """The vectors of strings in R's package data: blocks of a length, then zlib; inside, strings of flags, a length and bytes."""
    while len(data) > 4:
        block = zlib.decompressobj()
        content, data = block.decompress(data[4:]), block.unused_data
        lines, at = [], 0
        while (at := content.find(b"\x00\x04\x00\x09", at)) >= 0:
            size = int.from_bytes(content[at + 4 : at + 8])
            lines.append(content[at + 8 : at + 8 + size].decode("utf-8", "replace"))
            at += 8 + size
        yield next(filter(None, lines), "").title(), unwrap(without_contents("\n".join(lines)))


def quoted(data: bytes) -> Iterator[Unit]:
    """The long string of a Python file (a Bible of pythonbible); its verses run on."""
    for text in re.findall(r'"""(.*?)"""', decode(data), re.S):
        for part in re.split(r"\s{4,}", text.replace("`", "’")):
            yield "", part


def factbook(data: bytes) -> Iterator[Unit]:
    """One country of the World Factbook: those fields that are sentences, each under its name."""
    country, said = json.loads(data), []
    for fields in country.values():
        for name, field in fields.items():
            for part in _strings(field):
                part = " ".join(unescape(re.sub(r"<[^>]*>", " ", part)).split())
                if len(part) > 80 and re.search(r"[a-z]\w*[.;]", part):
                    said.append(f"{name}: {part}")
    name = next(_strings(country.get("Government", {}).get("Country name", {}).get("conventional short form", {})), "")
    yield name, "\n\n".join([name, *said])


def recipes(data: bytes) -> Iterator[Unit]:
    """Recipes in English: name, steps, tips."""
    for dishes in json.loads(data).values():
        for dish in dishes:
            name, steps, tips = (dish.get(key, {}).get("en", "") for key in ("name", "recipe", "tips"))
            yield name, re.sub(r" (?=Step \d+\.)", "\n", f"{name}\n\n{steps}\n\n{tips}")


def conversations(data: bytes) -> Iterator[Unit]:
    """ChatterBot's YAML of dialogues: `- - line` begins one, `  - line` goes on."""
    for talk in re.split(r"^- - ", decode(data), flags=re.M)[1:]:
        lines = [line.strip().strip("'\"") for line in re.split(r"^  - ", talk, flags=re.M)]
        yield "", "\n".join(f"{'AB'[i % 2]}: {' '.join(line.split())}" for i, line in enumerate(lines))


READERS: dict[str, Reader] = {
    reader.__name__: reader
    for reader in (
        plain,
        verse,
        source_code,
        html,
        dictd,
        wordnet,
        r_strings,
        quoted,
        factbook,
        recipes,
        conversations,
    )
}


def decode(data: bytes) -> str:
    """UTF-8, else Latin-1; one kind of line end, no control characters."""
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        text = data.decode("latin-1")
    return re.sub(r"[\x00-\x08\x0b-\x1f\ufeff\u00ad]", "", re.sub(r"\r\n?", "\n", text))


def _strings(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for part in value.values() if isinstance(value, dict) else value:
            yield from _strings(part)


_SKIPPED = {
    "head", "script", "style", "nav", "footer", "header", "svg", "table", "form", "button", "info", "select", "aside",
    "comment",
}  # fmt: skip
_BLOCKS = {
    "p", "div", "li", "dt", "dd", "h1", "h2", "h3", "h4", "h5", "h6", "pre", "blockquote", "section", "title", "item",
    "ul", "ol", "dl", "main", "article", "note", "media", "screen", "listing", "steps", "desc",
}  # fmt: skip
_VOID = {
    "br", "img", "hr", "input", "meta", "link", "col", "wbr", "area", "base", "source",
}  # fmt: skip
_CHROME = re.compile(
    r"\b(sphinxsidebar\w*|related|headerlink|nav\w*|toc\w*|footer|sidebar|menu|breadcrumbs?|copyright|hidden|search|"
    r"picker|path|langs?|toplang|bottomlang|mobile|mark|api_metadata|skip-link|prev-next-\w+)\b"
)


class _Page(HTMLParser):
    """Collects the text of a page by blocks. `pre` keeps its lines; skipped elements and everything in them are left out."""

    def __init__(self, source: str) -> None:
        super().__init__(convert_charrefs=True)
        self.blocks: list[str] = [""]
        self.stack: list[tuple[str, bool]] = []
        self.title = ""
        self.root = "main" if "<main" in source else "article" if "<article" in source else ""
        self.feed(source)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in _VOID:
            if tag == "br":
                self._add("\n")
            return
        marks = " ".join(value or "" for name, value in attrs if name in ("class", "id", "role"))
        chrome = tag not in ("body", "html", "main", "article") and bool(_CHROME.search(marks))
        self.stack.append((tag, tag in _SKIPPED or chrome))
        if tag in _BLOCKS:
            self.blocks.append("")

    def handle_endtag(self, tag: str) -> None:
        if any(open_tag == tag for open_tag, _ in self.stack):
            while self.stack.pop()[0] != tag:
                pass
            if tag in _BLOCKS:
                self.blocks.append("")

    def handle_data(self, data: str) -> None:
        if self.stack and self.stack[-1][0] == "title" and not self.title:
            self.title = " ".join(data.split())
        self._add(data)

    def _add(self, data: str) -> None:
        tags = [tag for tag, _ in self.stack]
        if any(skipped for _, skipped in self.stack) or (self.root and self.root not in tags):
            return
        if "pre" not in tags:
            data = "\n" if data == "\n" else re.sub(r"\s+", " ", data)
            data = data if self.blocks[-1] else data.lstrip(" ")
        self.blocks[-1] += data

    def text(self) -> str:
        return "\n\n".join(block.strip("\n").rstrip() for block in self.blocks if block.strip())
