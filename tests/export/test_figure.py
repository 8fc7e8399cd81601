"""Figures and tables of every panel: what is in the files, what they carry, and what is refused."""

from __future__ import annotations

import json
import re
import struct
import xml.etree.ElementTree as ET
import zlib
from collections.abc import Iterator
from pathlib import Path

import polars as pl
import pytest

import interp_widgets as iw
from interp_widgets.errors import InterpError, SaveError
from interp_widgets.export.carried import Carried, in_pdf
from interp_widgets.lab.biographies import toy_biographies
from interp_widgets.views import publication
from tests.methods.conftest import some_pairs
from tests.panels.conftest import CIRCUIT, CIRCUIT_CORRUPT, IOI, IOI_CORRUPT, SENTENCES, STEERED, TEXT
from tests.panels.conftest import toy as toy
from tests.panels.conftest import toy_half as toy_half
from tests.panels.conftest import toy_sae as toy_sae
from tests.views.test_views import SHOWN, examples_frame, lens_frame

SVG = "{http://www.w3.org/2000/svg}"
NAMES = ("lens", "atoms", "attention", "audit", "patching", "pairs", "steering", "agreement", "circuit", "shift", "explorer",
         "examples")  # fmt: skip


@pytest.fixture(scope="module")
def panels(toy, toy_half, toy_sae) -> dict:
    """Every instrument, computed once; no test changes one."""
    made = {
        "lens": iw.Lens(toy, IOI),
        "atoms": iw.Atoms(toy, TEXT, sae=toy_sae),
        "attention": iw.Attention(toy, IOI),
        "audit": iw.Audit(toy, {"one": SENTENCES[:8], "two": SENTENCES[8:]}, sae=toy_sae),
        "patching": iw.Patching(toy, IOI, IOI_CORRUPT, answer="mary", foil="john"),
        "pairs": iw.PatchingPairs(toy, some_pairs(), positions=[10, -1]),
        "steering": iw.Steering(toy, STEERED, direction=(toy_sae, 122), tokens=3, answer="she", foil="he"),
        "agreement": iw.Agreement(toy, toy_half, IOI),
        "circuit": iw.Circuit(
            toy,
            CIRCUIT,
            CIRCUIT_CORRUPT,
            answer="are",
            foil="is",
            dictionaries=["toy-grammar/embed", toy_sae],
            edges=20,
        ),
        "shift": iw.Shift(
            toy,
            toy_biographies(train=20, test=20),
            site="resid_post.2",
            dictionaries=[toy_sae],
            texts=8,
            steps=1,
            draws=1,
        ),
        "explorer": iw.Explorer(toy, IOI, sae=toy_sae, view="attention"),
    }
    for panel in made.values():
        panel.run()
    made["shift"].strike(made["shift"].listed[0]["node"])
    made["shift"].compare()
    return {**made, "examples": iw.Examples(examples_frame("top", "interval"), name="toy")}


@pytest.fixture
def hostile(toy) -> iw.Lens:
    """A panel whose tokens would like to be something else than text."""
    panel = iw.Lens(toy, IOI)
    panel.run()
    panel._frame = lens_frame().with_columns(
        pl.col("prompt_token").replace({" the": "&amp;\x1b"}), pl.col("token").replace({"\t": "]]></text><script>"})
    )
    return panel


def texts(svg: Path) -> list[str]:
    return [" ".join(each.itertext()) for each in ET.parse(svg).iter(f"{SVG}text")]


def pdf_streams(pdf: bytes) -> Iterator[bytes]:
    for found in re.finditer(rb"stream\r?\n(.*?)\r?\nendstream", pdf, re.DOTALL):
        try:
            yield zlib.decompress(found[1])
        except zlib.error:
            yield found[1]


def png_chunks(png: bytes) -> list[tuple[bytes, bytes]]:
    at, found = 8, []
    while at < len(png):
        (length,) = struct.unpack(">I", png[at : at + 4])
        kind, content = png[at + 4 : at + 8], png[at + 8 : at + 8 + length]
        assert struct.unpack(">I", png[at + 8 + length : at + 12 + length]) == (zlib.crc32(kind + content),)
        found.append((kind, content))
        at += 12 + length
    return found


# Every panel


@pytest.mark.parametrize("name", NAMES)
def test_an_svg_stands_alone_and_its_text_is_text(panels, name, tmp_path) -> None:
    panel = panels[name]
    path = panel.save(tmp_path / "figure.svg")
    assert path == tmp_path / "figure.svg"
    assert [each.name for each in tmp_path.iterdir()] == ["figure.svg"], "nothing is left beside it"
    root = ET.parse(path).getroot()
    tags = {each.tag.removeprefix(SVG) for each in root.iter()}
    assert tags <= {
        "svg",
        "title",
        "desc",
        "metadata",
        "g",
        "path",
        "rect",
        "line",
        "text",
        "tspan",
        "defs",
        "linearGradient",
        "stop",
    }
    text = path.read_text()
    assert not re.search(r"href|@import|@font-face|<script|foreignObject|javascript:", text)
    assert re.findall(r"https?://[^\"' ]*", text.partition("<metadata>")[0]) == ["http://www.w3.org/2000/svg"]
    fonts = {each.get("font-family") for each in root.iter(f"{SVG}text")}
    assert fonts == {publication.FONT}
    said = json.loads(root.findtext(f"{SVG}metadata"))
    assert said["panel"] == type(panel).__name__
    assert root.findtext(f"{SVG}title") == root.get("aria-label") == f"{type(panel).__name__}: {panel.model_name}"
    for note in panel.notes:
        assert note in root.findtext(f"{SVG}desc")
    assert root.get("width").endswith("in")
    title = panel.chart.to_dict()["title"]
    headline = title if isinstance(title, str) else title["text"]
    assert headline in " ".join(texts(path))


@pytest.mark.parametrize("name", [name for name in NAMES if name != "examples"])
def test_a_table_is_the_frame_and_carries_its_provenance(panels, name, tmp_path) -> None:
    panel = panels[name]
    parquet = panel.save(tmp_path / "table.parquet")
    assert pl.read_parquet(parquet).equals(panel.frame)
    said = json.loads(pl.read_parquet_metadata(parquet)["interp_widgets"])
    assert said["weights_sha256"] == panel.provenance["weights_sha256"]
    assert said["source"] == "toy-grammar", "no folder of this machine"
    csv = panel.save(tmp_path / "TABLE.CSV")
    assert pl.read_csv(csv, schema=panel.frame.schema).equals(panel.frame)


def test_lists_of_examples_are_json_in_a_csv_and_lists_in_parquet(panels, tmp_path) -> None:
    panel = panels["examples"]
    rows = pl.read_csv(panel.save(tmp_path / "examples.csv"))
    assert [json.loads(each) for each in rows["tokens"]] == panel.frame["tokens"].to_list()
    assert [json.loads(each) for each in rows["activations"]] == panel.frame["activations"].to_list()
    assert pl.read_parquet(panel.save(tmp_path / "examples.parquet")).equals(panel.frame)


@pytest.mark.parametrize("name", NAMES)
def test_a_pdf_has_its_size_and_its_letters(panels, name, tmp_path) -> None:
    panel = panels[name]
    pdf = panel.save(tmp_path / "figure.pdf", width=5.5).read_bytes()
    box = [float(each) for each in re.search(rb"/MediaBox ?\[([^]]*)\]", pdf)[1].split()]
    assert box[2] == pytest.approx(5.5 * 72)
    assert b"LiberationSans" in pdf, "the font of the layout is in the file"
    maps = b"".join(each for each in pdf_streams(pdf) if b"beginbfchar" in each or b"beginbfrange" in each)
    title = panel.chart.to_dict()["title"]
    letters = set((title if isinstance(title, str) else title["text"]).replace(" ", ""))
    assert {each for each in letters if b"%04X" % ord(each) not in maps.upper()} == set(), "letters, not outlines"
    assert (chr(0xFEFF) + type(panel).__name__).encode("utf-16-be").hex().encode() in pdf


# What files hold


def test_the_tokens_of_an_svg_are_exact_and_in_order(panels, tmp_path) -> None:
    lens = panels["lens"]
    said = texts(lens.save(tmp_path / "lens.svg"))
    labels = [f"{i} {token}" for i, token in enumerate(lens.tokens)]
    assert [each for each in said if each in labels] == labels
    assert " ".join(said).count("Grey: position 0 (attention sink or start marker)") == 1
    assert {"layer", "position", "probability of the top token"} <= set(said)


def test_hostile_tokens_stay_text(hostile, tmp_path) -> None:
    for look in publication.THEMES:
        path = hostile.save(tmp_path / "figure.svg", theme=look)
        said = texts(path)
        assert "0 &amp;␛" in said
        assert "]]></text><script>" in said or any(each.startswith("]]></te") for each in said)
        assert not list(ET.parse(path).iter(f"{SVG}script"))
        assert "<script" not in path.read_text()
    assert any(each.startswith("4 </script><img·") for each in said), SHOWN[4]
    hostile.model_name = "</title><script>alert(1)</script>\x00"
    root = ET.parse(hostile.save(tmp_path / "figure.svg")).getroot()
    assert root.findtext(f"{SVG}title") == "Lens: </title><script>alert(1)</script>�"
    back = pl.read_csv(hostile.save(tmp_path / "t.csv"))
    assert back["prompt_token"].to_list() == hostile.frame["prompt_token"].to_list()


def test_a_theme_changes_the_colours_and_nothing_that_is_said(panels, tmp_path) -> None:
    light, dark = (panels["lens"].save(tmp_path / f"{look}.svg", theme=look) for look in publication.THEMES)
    assert texts(light) == texts(dark)
    pages = [ET.parse(path).getroot().find(f"{SVG}rect").get("fill") for path in (light, dark)]
    assert pages == ["#ffffff", "#111317"]
    fills = [{each.get("fill") for each in ET.parse(path).iter(f"{SVG}path")} - {None} for path in (light, dark)]
    assert not fills[0] & fills[1]


def test_a_png_has_the_dots_that_were_asked_for(panels, tmp_path) -> None:
    png = panels["patching"].save(tmp_path / "figure.png", width=3, dpi=200).read_bytes()
    chunks = png_chunks(png)
    assert struct.unpack(">I", chunks[0][1][:4]) == (600,)
    assert struct.unpack(">II", dict(chunks)[b"pHYs"][:8]) == (7874, 7874), "dots a metre"
    said = dict(each[1].split(b"\0\0\0\0\0") for each in chunks if each[0] == b"iTXt")
    assert said[b"Title"] == b"Patching: toy-grammar"
    assert json.loads(said[b"interp_widgets"])["answer_id"] == panels["patching"].provenance["answer_id"]


def test_what_is_appended_to_a_pdf_can_be_found_by_its_table(panels, tmp_path) -> None:
    pdf = panels["lens"].save(tmp_path / "figure.pdf").read_bytes()
    table = int(re.search(rb"startxref\s+(\d+)\s+%%EOF\s*$", pdf)[1])
    number, offset = re.match(rb"xref\n(\d+) 1\n(\d{10}) 00000 n \n", pdf[table:]).groups()
    assert pdf[int(offset) :].startswith(number + b" 0 obj\n")
    assert re.search(rb"/Info " + number + rb" 0 R", pdf[table:])
    former = int(re.search(rb"/Prev (\d+)", pdf[table:])[1])
    assert pdf[former:].startswith(b"xref")
    assert in_pdf(b"%PDF with another end", Carried("t", "d", "{}")) == b"%PDF with another end"


def test_two_figures_in_one_page_do_not_share_ids(panels, tmp_path) -> None:
    ids = []
    for name in ("lens", "patching"):
        svg = panels[name].save(tmp_path / f"{name}.svg").read_text()
        own = re.findall(r' id="([^"]+)"', svg)
        assert own
        assert set(re.findall(r"url\(#([^)]+)\)", svg)) <= set(own)
        ids += own
    assert len(ids) == len(set(ids))


def test_the_explorer_saves_the_part_that_is_shown(panels, tmp_path) -> None:
    explorer = panels["explorer"]
    said = " ".join(texts(explorer.save(tmp_path / "e.svg")))
    layer, head = explorer.attention.head
    assert f"Attention of layer {layer}, head {head}" in said


# What is refused


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("f.jpg", {}, r"'f.jpg' ends in '.jpg'.*End it in .svg, .pdf, .png, .csv, .parquet, or use .to_html"),
        ("f", {}, r"'f' has no suffix"),
        ("nowhere/f.svg", {}, r"There is no folder '.*nowhere' to write 'f.svg' to"),
        ("folder.svg", {}, r"is a folder. Give the name of a file"),
        ("f.svg", {"theme": "sepia"}, r"There is no theme 'sepia'; a figure is 'light' or 'dark'"),
        ("f.svg", {"width": 300}, r"300 inches wide cannot be drawn. Give a width from 3 to 40 inches"),
        ("f.png", {"dpi": 0}, r"0 dots an inch cannot be drawn. Give dpi from 36 to 1200"),
    ],
)
def test_what_cannot_be_written_gets_a_sentence(panels, tmp_path, name, options, message) -> None:
    (tmp_path / "folder.svg").mkdir()
    for panel in (panels["lens"], panels["examples"]):
        with pytest.raises(SaveError, match=message):
            panel.save(tmp_path / name, **options)
    assert [each.name for each in tmp_path.iterdir()] == ["folder.svg"]


@pytest.mark.parametrize("suffix", ["svg", "csv"])
def test_a_panel_without_a_result_says_so_and_keeps_the_former_file(toy, tmp_path, suffix) -> None:
    path = tmp_path / f"f.{suffix}"
    path.write_text("former")
    with pytest.raises(InterpError, match=r"There is no result yet"):
        iw.Lens(toy).save(path)
    assert path.read_text() == "former"


def test_a_disk_that_fails_leaves_the_former_file_whole(panels, tmp_path, monkeypatch) -> None:
    path = tmp_path / "f.csv"
    path.write_text("former")

    def fail(self: Path, content: bytes) -> int:
        self.touch()
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", fail)
    with pytest.raises(SaveError, match=r"could not be written: No space left on device"):
        panels["lens"].save(path)
    assert path.read_text() == "former"
    assert [each.name for each in tmp_path.iterdir()] == ["f.csv"]


# In a browser

CUT_OR_COVERED = """
() => {
  const page = document.documentElement.getBoundingClientRect();
  const labels = [...document.querySelectorAll("text")].map((each) =>
    ({ said: each.textContent, ...each.getBoundingClientRect().toJSON() }));
  const across = (a, b) => Math.min(a.right, b.right) - Math.max(a.left, b.left);
  const down = (a, b) => Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top);
  const inside = (a) => across(a, page) > a.width - 1 && down(a, page) > a.height - 1;
  const meet = (a, b) => across(a, b) > 1.5 && down(a, b) > 2.5;
  const covered = labels.flatMap((a, i) => labels.slice(i + 1).filter((b) => meet(a, b)).map((b) => [a.said, b.said]));
  return { cut: labels.filter((each) => !inside(each)).map((each) => each.said), covered, count: labels.length };
}
"""


@pytest.mark.browser
def test_figures_draw_in_a_browser_with_no_label_cut_or_covered_and_no_request(browser, panels, toy, tmp_path) -> None:
    context = browser.new_context(offline=True, viewport={"width": 1000, "height": 900})
    page, asked = context.new_page(), []
    page.on("request", lambda request: asked.append(request.url))
    long = iw.Lens(toy, " ".join([IOI] * 4))
    long.run()
    paths = [
        panel.save(tmp_path / f"{name}-{width}.svg", width=width, theme=theme)
        for name, panel in {**panels, "long": long}.items()
        for width, theme in ((None, "light"), (3, "dark"))
    ]
    for path in paths:
        page.goto(path.as_uri())
        found = page.evaluate(CUT_OR_COVERED)
        assert (found["cut"], found["covered"]) == ([], []), path.name
        assert found["count"] == len(texts(path)) > 3
    page.evaluate("getSelection().selectAllChildren(document.documentElement)")
    assert "probability of the top token" in page.evaluate("String(getSelection())")
    assert asked == [path.as_uri() for path in paths]
    context.close()
