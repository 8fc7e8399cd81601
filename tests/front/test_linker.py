"""The linker joins what it can join truly, and refuses the rest by name."""

from __future__ import annotations

from pathlib import Path

import pytest

from interp_widgets.widgets import front

ENTRIES = sorted(file.name for file in front.FRONT.glob("*.js") if "export default" in file.read_text(encoding="utf-8"))


def write(folder: Path, **files: str) -> Path:
    for name, text in files.items():
        (folder / f"{name}.js").write_text(text, encoding="utf-8")
    return folder


def test_each_shared_file_comes_once_and_before_its_users(tmp_path):
    write(
        tmp_path,
        a='import { b } from "./b.js";\nimport {\n  c,\n} from "./c.js";\nexport default { b, c };\n',
        b='import { c } from "./c.js";\nexport const b = () => c;\n',
        c="export function c() {}\n",
    )
    linked = front.link(tmp_path, "a.js")
    assert linked.count("function c()") == 1
    assert linked.index("// c.js") < linked.index("// b.js") < linked.index("// a.js")
    assert "import " not in linked
    assert linked.count("export") == 1


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ('import b from "./b.js";', "cannot link"),
        ('import * as b from "./b.js";', "cannot link"),
        ('import "./b.js";', "cannot link"),
        ('import { b } from "somewhere";', "cannot link"),
        ('import { b as d } from "./b.js";', "cannot import"),
        ('import { missing } from "./b.js";', "cannot import"),
        ('import { b } from "./nowhere.js";', "not in"),
        ('const d = () => import("./b.js");', "cannot link"),
        ("const d = await import( './b.js' );", "cannot link"),
        ("const { d } = {};", "cannot link"),
        ("export { b };", "cannot link"),
    ],
)
def test_what_it_cannot_join_is_refused(tmp_path, line, why):
    write(tmp_path, a=f"{line}\nexport default {{}};\n", b="export const b = 1;\n")
    with pytest.raises(front.LinkError, match=why):
        front.link(tmp_path, "a.js")


def test_imports_that_the_browser_can_resolve_are_left_alone(tmp_path):
    text = (
        '/** @param {import("./b.js").B} b */\nconst f = (b) => b;\n// import("./b.js")\n'
        "const load = (url) => import(url);\nexport default { f, load };\n"
    )
    assert front.link(write(tmp_path, a=text), "a.js") == f"// a.js\n{text.split(chr(10), 1)[1]}"


def test_comments_above_a_part_stay_behind_and_what_only_looks_like_one_goes_along(tmp_path):
    text = (
        "/** Above.\n * Two lines. */\nconst a = '/** a */';\n  /** indented */\n  const b = /** @type {any} */ (a);\n"
        "const c = a; /** behind */\nexport default { a, b, c };\n"
    )
    linked = front.link(write(tmp_path, a=text), "a.js")
    assert linked == (
        "// a.js\nconst a = '/** a */';\n  const b = /** @type {any} */ (a);\n"
        "const c = a; /** behind */\nexport default { a, b, c };\n"
    )


def test_a_default_export_in_a_dependency_is_refused(tmp_path):
    write(tmp_path, a='import { b } from "./b.js";\nexport default b;\n', b="export const b = 1;\nexport default b;\n")
    with pytest.raises(front.LinkError, match="cannot link"):
        front.link(tmp_path, "a.js")


def test_two_files_may_not_define_the_same_name(tmp_path):
    write(
        tmp_path,
        a='import { b } from "./b.js";\nconst hidden = 2;\nexport default b;\n',
        b="const hidden = 1;\nexport const b = hidden;\n",
    )
    with pytest.raises(front.LinkError, match="both define hidden"):
        front.link(tmp_path, "a.js")


def test_a_cycle_is_refused(tmp_path):
    write(
        tmp_path,
        a='import { b } from "./b.js";\nexport const a = 1;\n',
        b='import { a } from "./a.js";\nexport const b = 1;\n',
    )
    with pytest.raises(front.LinkError, match="cycle"):
        front.link(tmp_path, "a.js")


@pytest.mark.parametrize("name", ENTRIES)
def test_our_panels_link(name):
    assert len(ENTRIES) >= 10
    linked = front.module(name)
    assert linked.rstrip().endswith("export default { render };")
    most = 125_000 if name == "circuit.js" else 80_000  # a graph on a canvas, and around it a card, a curve and a table
    assert len(linked) < most, "every instance carries its module: keep it small"


def test_files_stay_readable():
    for path in front.FRONT.glob("*.js"):
        assert len(path.read_text(encoding="utf-8").splitlines()) <= 270, path.name


def test_the_stylesheet_touches_only_our_panels():
    for line in front.stylesheet().splitlines():
        if line.endswith("{") or ("{" in line and line.startswith((".", "["))):
            selectors = line.split("{")[0]
            assert ".iw" in selectors or line.startswith(("@", "  ")), line


def test_a_live_widget_and_those_to_come_follow_their_file(tmp_path, monkeypatch):
    from interp_widgets.widgets.lens import LensWidget

    widget = LensWidget()
    write(tmp_path, lens="export default { render() {} };\n")
    (tmp_path / "interp.css").write_text(".iw {}\n", encoding="utf-8")
    monkeypatch.setattr(front, "FRONT", tmp_path)
    try:
        front.refresh()  # a widget of another test that is still alive, and not in this folder, must not stop it
        assert widget._esm == "// lens.js\nexport default { render() {} };\n"
        assert widget._css == LensWidget()._css == ".iw {}\n"
        assert LensWidget()._esm == widget._esm
    finally:
        monkeypatch.undo()
        front.refresh()
    assert LensWidget()._esm == widget._esm == front.module("lens.js")
