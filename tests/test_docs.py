"""The documentation is true: its code runs, its links lead somewhere, and every panel has its page and picture."""

from __future__ import annotations

import ast
import re
import textwrap
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
PANELS = sorted(path.stem for path in (ROOT / "docs" / "panels").glob("*.md"))

NOT_RUN = "<!-- not run -->"
"""Stands on the line above a fence that cannot run in a test, with a reason after it if it is not plain."""

_FENCE = re.compile(r"^(?P<indent> *)```(?P<language>[^\n`]*)\n(?P<code>.*?)^(?P=indent)```[ \t]*$", re.M | re.S)
_LINK = re.compile(
    r"!?\[[^\]]*\]\((?P<target>[^)\s]+)(?:\s+\"[^\"]*\")?\)|<(?:img|a)\b[^>]*\b(?:src|href)=\"(?P<html>[^\"]+)\""
)
_SRCSET = re.compile(r"\bsrcset=\"([^\"\s]+)\"")


def name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def fences(text: str) -> list[str]:
    """The Python fences of a page that run, with blank lines before them so that a traceback names the line of the page."""
    found = []
    for match in _FENCE.finditer(text):
        before = text[: match.start()].rstrip().rpartition("\n")[2].strip()
        if match["language"].strip() == "python" and not before.startswith(NOT_RUN.removesuffix(" -->")):
            found.append("\n" * (text[: match.start("code")].count("\n")) + textwrap.dedent(match["code"]))
    return found


def links(text: str) -> list[str]:
    """Targets of links and images outside code."""
    prose = re.sub(r"`[^`\n]*`", "", _FENCE.sub("", text))
    return [m["target"] or m["html"] for m in _LINK.finditer(prose)] + _SRCSET.findall(prose)


def anchors(text: str) -> set[str]:
    """The anchors that GitHub gives the headings of a page."""
    headings = re.findall(r"^#{1,6} (.+)$", _FENCE.sub("", text), re.M)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def _pages_with_code() -> list:
    out = []
    for path in PAGES:
        if code := fences(path.read_text(encoding="utf-8")):
            real = any("smollm2" in block for block in code)
            out.append(pytest.param(path, id=name(path), marks=[pytest.mark.smollm2, pytest.mark.slow] if real else []))
    return out


@pytest.mark.parametrize("path", _pages_with_code())
def test_the_code_of_a_page_runs(path, request, tmp_path, monkeypatch) -> None:
    """One namespace for a page, from top to bottom, in a folder of its own."""
    import torch

    code = fences(path.read_text(encoding="utf-8"))
    if any("smollm2" in block for block in code):
        request.getfixturevalue("smollm2")
    torch.set_num_threads(1)
    monkeypatch.chdir(tmp_path)
    namespace: dict[str, object] = {"__name__": "__main__"}
    for block in code:
        exec(compile(block, name(path), "exec"), namespace)
    for value in namespace.values():  # what a page starts in the background must end well, too
        if hasattr(value, "_launch") and getattr(value, "_job", None) is not None:
            value._job.wait()
            assert value.error == ""


@pytest.mark.parametrize("path", PAGES, ids=name)
def test_the_links_of_a_page_lead_somewhere(path) -> None:
    broken = []
    for target in links(path.read_text(encoding="utf-8")):
        if re.match(r"[a-z][a-z0-9+.-]*:", target):
            continue
        file, _, anchor = target.partition("#")
        there = (path.parent / file).resolve() if file else path
        if not there.exists():
            broken.append(target)
        elif not there.is_relative_to(ROOT):
            broken.append(f"{target} (outside the repository)")
        elif anchor and there.suffix == ".md" and anchor not in anchors(there.read_text(encoding="utf-8")):
            broken.append(f"{target} (no such heading)")
    assert broken == []


def test_every_panel_has_a_page() -> None:
    import inspect

    import interp_widgets as iw
    from interp_widgets.widgets.base import Widget

    shown = {n for n in iw.__all__ if inspect.isclass(getattr(iw, n)) and issubclass(getattr(iw, n), Widget)}
    assert {n.lower() for n in shown} == set(PANELS)


def test_the_first_page_of_the_site_lists_every_panel() -> None:
    tree = ast.parse((ROOT / "docs" / "site" / "build.py").read_text(encoding="utf-8"))
    [listed] = [
        each.value for each in tree.body if isinstance(each, ast.Assign) and ast.unparse(each.targets[0]) == "PANELS"
    ]
    assert set(ast.literal_eval(listed)) == set(PANELS)


@pytest.mark.parametrize("panel", PANELS)
def test_the_page_of_a_panel_has_a_picture(panel) -> None:
    page = ROOT / "docs" / "panels" / f"{panel}.md"
    pictures = [x for x in links(page.read_text(encoding="utf-8")) if x.endswith(".png")]
    assert pictures, f"{name(page)} shows no picture"
    assert list((ROOT / "docs" / "images").glob(f"{panel}*.png")), "no screenshot in docs/images"


def test_every_decision_is_in_the_index() -> None:
    folder = ROOT / "docs" / "decisions"
    index = folder / "README.md"
    assert index.is_file()
    listed = {target for target in links(index.read_text(encoding="utf-8")) if target.endswith(".md")}
    assert listed == {path.name for path in folder.glob("*.md")} - {"README.md"}


def test_the_columns_in_the_pages_are_those_of_the_schemas() -> None:
    from docs.site.columns import written

    pages = [path for path in PAGES if "<!-- columns: " in path.read_text(encoding="utf-8")]
    stale = [
        name(path) for path in pages if written(path.read_text(encoding="utf-8")) != path.read_text(encoding="utf-8")
    ]
    assert stale == [], "python docs/site/columns.py writes them again"
    assert {path.stem for path in pages} >= set(PANELS) - {"explorer"}


@pytest.mark.parametrize("page", ["internals.md", "performance.md", "changelog.md"])
def test_a_page_is_there(page) -> None:
    assert (ROOT / "docs" / page).is_file()


CDN = re.compile(
    r"cdn\.|jsdelivr|unpkg|esm\.sh|skypack|cdnjs|googleapis|gstatic|"
    r"(?:import|src|href|url)\s*[=(]?\s*[\"'(]\s*(?:https?:)?//",
)


def test_nothing_in_the_package_is_loaded_from_the_network() -> None:
    found = []
    for path in sorted((ROOT / "interp_widgets").rglob("*")):
        if path.suffix in {".py", ".js", ".css", ".html", ".txt"}:
            for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
                if CDN.search(line):
                    found.append(f"{name(path)}:{number}: {line.strip()[:100]}")
    assert found == []


# That these checks can fail.


def test_a_fence_is_found_and_one_marked_is_not() -> None:
    page = f"a\n```python\nx = 1\n```\n{NOT_RUN}\n```python\nx = 2\n```\n```sh\nls\n```\n- b\n  ```python\n  x = 3\n  ```\n"
    assert [block.strip() for block in fences(page)] == ["x = 1", "x = 3"]
    assert fences(page)[1].count("\n") == page[: page.index("x = 3")].count("\n") + 1


def test_links_and_pictures_are_found_but_not_in_code() -> None:
    page = '[a](b.md#c) ![d](e.png) `[f](g)` <img src="h.png">\n```\n[i](j)\n```\n'
    assert links(page) == ["b.md#c", "e.png", "h.png"]
    assert anchors("# One `two`: three\n") == {"one-two-three"}


@pytest.mark.parametrize(
    "line", ['import x from "https://esm.sh/vega";', "url(//fonts.example)", '<script src="https://a/b.js">']
)
def test_an_address_is_found(line) -> None:
    assert CDN.search(line)
