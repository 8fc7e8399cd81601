"""What docs/embedding.md promises: a site of someone else's, made with Sphinx, with MkDocs and by hand."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

import interp_widgets as iw
from interp_widgets.export import fragment
from tests.docs_site.conftest import ready, run
from tests.panels.conftest import TEXT
from tests.panels.conftest import lens as lens
from tests.panels.conftest import patching as patching
from tests.panels.conftest import toy as toy

COUNTING = """
  window.loaded = 0;
  const create = URL.createObjectURL;
  URL.createObjectURL = (blob) => { window.loaded += 1; return create.call(URL, blob); };
"""
CONF = 'extensions = ["myst_parser", "interp_widgets.sphinx"]\nmyst_enable_extensions = ["colon_fence"]\n'
PAGE = """# A page

```{interp-panel} lens.html
:alt: Each layer's best guess.
```

```{interp-panel} /files/patching.html
```

````{eval-rst}
.. interp-panel:: charts.html
````

```{raw} html
:file: pasted.html
```
"""


@pytest.fixture(scope="module")
def theirs(tmp_path_factory, toy) -> Path:
    """The sources of a small site: two pages, five panels, three charts."""
    folder = tmp_path_factory.mktemp("theirs")
    first, second = iw.Lens(toy, TEXT), iw.Lens(toy, "the cat saw the dog .")
    other = iw.Patching(toy, "the capital of france is", "the capital of spain is", answer="paris", foil="madrid")
    for panel in (first, second, other):
        panel.run()
    (folder / "files").mkdir()
    (folder / "conf.py").write_text(CONF, encoding="utf-8")
    (folder / "index.md").write_text(PAGE + "\n```{toctree}\nmore\n```\n", encoding="utf-8")
    (folder / "more.md").write_text("# More\n\n```{interp-panel} more.html\n```\n", encoding="utf-8")
    first.to_html(folder / "lens.html")
    other.to_html(folder / "files" / "patching.html")
    iw.to_html(folder / "charts.html", first.chart, second.chart)
    iw.to_html(folder / "more.html", second, other.chart)
    (folder / "pasted.html").write_text(second.fragment(), encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def built(theirs) -> Path:
    pytest.importorskip("myst_parser", reason="the docs group is not installed")
    run(sys.executable, "-m", "sphinx", "-W", "--keep-going", "-q", theirs, theirs / "out")
    return theirs / "out"


@pytest.mark.slow
def test_a_site_has_each_shared_part_once(built) -> None:
    shared = sorted((built / "_static" / "interp-widgets").iterdir())
    kinds = [path.suffix for path in shared]
    assert kinds.count(".css") == 1
    assert len([path for path in shared if path.name.endswith("-host.js")]) == 1
    large = [path for path in shared if path.stat().st_size > 200_000]
    assert len(large) == 1, "one chart library for all pages"
    page = (built / "index.html").read_text(encoding="utf-8")
    assert large[0].name in page
    assert (
        page.count("interp-widgets/")
        == len(shared)
        == len({line for line in page.split() if "interp-widgets/" in line})
    )
    assert len(page) < 150_000, "a page has the results alone"
    assert "data-iw-style" not in page


@pytest.mark.slow
@pytest.mark.browser
@pytest.mark.parametrize("over", ["http", "file"])
def test_the_panels_of_a_sphinx_site_answer(built, serve, visit, over) -> None:
    page = visit((serve(built) if over == "http" else built.as_uri() + "/") + "index.html")
    ready(page)
    assert page.locator("section.iw").count() == 3
    assert page.locator(".iw-vega svg").count() == 2
    page.get_by_role("gridcell").first.click()
    page.locator("[role=gridcell][aria-selected=true]").first.wait_for()


@pytest.mark.slow
def test_where_nothing_can_be_drawn_the_words_stand(theirs, built) -> None:
    run(sys.executable, "-m", "sphinx", "-q", "-b", "text", theirs, theirs / "text")
    assert "Each layer's best guess." in (theirs / "text" / "index.txt").read_text(encoding="utf-8")
    assert "<noscript><p>Each layer's best guess.</p></noscript>" in (built / "index.html").read_text(encoding="utf-8")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("text", "said"),
    [(None, r"cannot be read.*Write it with panel\.to_html"), ("<p>hello</p>", "holds no panel.*write it again")],
)
def test_a_file_that_is_no_panel_stops_the_build_and_says_so(tmp_path, text, said) -> None:
    pytest.importorskip("myst_parser", reason="the docs group is not installed")
    (tmp_path / "conf.py").write_text(CONF, encoding="utf-8")
    (tmp_path / "index.md").write_text("# A\n\n```{interp-panel} it.html\n```\n", encoding="utf-8")
    if text:
        (tmp_path / "it.html").write_text(text, encoding="utf-8")
    with pytest.raises(AssertionError, match=f"(?s)it.html.*{said}"):
        run(sys.executable, "-m", "sphinx", "-W", "-q", tmp_path, tmp_path / "out")


@pytest.mark.slow
@pytest.mark.browser
@pytest.mark.parametrize(("theme", "dark"), [("mkdocs", "data-bs-theme"), ("material", "data-md-color-scheme")])
def test_a_fragment_in_mkdocs(theirs, tmp_path, serve, visit, theme, dark) -> None:
    pytest.importorskip("mkdocs", reason="the docs group is not installed")
    docs = tmp_path / "docs"
    docs.mkdir()
    (docs / "lens.fragment.html").write_text((theirs / "pasted.html").read_text(encoding="utf-8"), encoding="utf-8")
    pasted = (theirs / "lens.html").read_text(encoding="utf-8").partition("<main>\n")[2].partition("\n</main>")[0]
    (docs / "index.md").write_text(
        f'# A\n\nBefore.\n\n--8<-- "lens.fragment.html"\n\nBetween.\n\n{pasted}\n\n*After.*\n'
    )
    (tmp_path / "mkdocs.yml").write_text(
        f"site_name: theirs\ntheme:\n  name: {theme}\n" + ("  font: false\n" if theme == "material" else "  highlightjs: false\n")
        + "markdown_extensions:\n  - pymdownx.snippets:\n      base_path: [docs]\n"
    )  # fmt: skip
    run(sys.executable, "-W", "ignore", "-m", "mkdocs", "build", "--strict", "-q", cwd=tmp_path)
    page = visit(serve(tmp_path / "site"))
    ready(page)
    assert page.locator("section.iw").count() == 2
    assert page.locator("em", has_text="After.").count() == 1, "Markdown goes on after it"
    page.get_by_role("gridcell").first.click()
    page.locator("[role=gridcell][aria-selected=true]").first.wait_for()
    mark = {"data-bs-theme": "dark", "data-md-color-scheme": "slate"}[dark]
    page.evaluate("([name, value]) => document.body.setAttribute(name, value)", [dark, mark])
    assert page.locator("section.iw").first.evaluate("e => getComputedStyle(e).colorScheme") == "dark"


@pytest.mark.browser
def test_charts_of_several_fragments_load_one_library_and_follow_the_theme(lens, patching, tmp_path, visit) -> None:
    body = fragment(lens.chart) + "<h2>And</h2>" + fragment(lens.chart, patching.chart) + lens.fragment()
    path = tmp_path / "page.html"
    path.write_text(
        f"<!doctype html><html lang=en data-theme=auto><meta charset=utf-8><title>x</title>{body}", encoding="utf-8"
    )
    page = visit(path.as_uri(), scheme="dark", script=COUNTING)
    ready(page)
    assert page.locator(".iw-vega svg").count() == 3
    ink = "e => e.getAttribute('fill')"
    label = page.locator(".iw-vega svg .role-axis-label text").first
    before = label.evaluate(ink)
    page.emulate_media(color_scheme="light")
    page.wait_for_function(
        "b => document.querySelector('.iw-vega svg .role-axis-label text')?.getAttribute('fill') !== b", arg=before
    )
    loaded = page.evaluate("window.loaded")
    assert loaded == 4, "the modules of lens, charts and library, and one Vega for three charts"
