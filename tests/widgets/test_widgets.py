"""Widgets and their JavaScript agree: what one side has, the other side knows."""

from __future__ import annotations

import re

import pytest

from interp_widgets.widgets import base, chart, front
from interp_widgets.widgets.agreement import AgreementWidget
from interp_widgets.widgets.atoms import AtomsWidget
from interp_widgets.widgets.attention import SORTS, AttentionWidget
from interp_widgets.widgets.examples import ExamplesWidget
from interp_widgets.widgets.explorer import VIEWS, ExplorerWidget
from interp_widgets.widgets.lens import COLORS, LensWidget
from interp_widgets.widgets.patching import METRICS, PatchingWidget
from interp_widgets.widgets.steering import SteeringWidget

WIDGETS = (
    LensWidget,
    AtomsWidget,
    AttentionWidget,
    PatchingWidget,
    SteeringWidget,
    ExplorerWidget,
    AgreementWidget,
)
ENTRY = {
    AgreementWidget: "agreement.js",
    LensWidget: "lens.js",
    AtomsWidget: "atoms.js",
    AttentionWidget: "attention.js",
    PatchingWidget: "patching.js",
    SteeringWidget: "steering.js",
    ExplorerWidget: "explorer.js",
    ExamplesWidget: "examples.js",
    chart.ChartWidget: "chart.js",
}
SHARED = {"status", "error", "notes", "model_name", "live"}

FOREIGN = {"layout", "tabbable", "tooltip", "comm", "log", "keys"}
"""Traits of ipywidgets and anywidget, which draw nothing of ours."""


def own_traits(widget: type) -> set[str]:
    """Traits that we sync with the browser."""
    return {name for name in widget.class_trait_names(sync=True) if not name.startswith("_")} - FOREIGN


def source(widget: type) -> str:
    """The JavaScript of a widget without its comments."""
    text = re.sub(r"/\*.*?\*/", "", front.module(ENTRY[widget]), flags=re.S)
    return re.sub(r"(?m)^\s*//.*$|(?<=[;{}]) //.*$", "", text)


def balanced(text: str, opening: str) -> list[str]:
    """The arguments of every call that starts with `opening`, which ends in a parenthesis."""
    found = []
    for match in re.finditer(re.escape(opening), text):
        depth, end = 1, match.end()
        while depth:
            depth += {"(": 1, ")": -1}.get(text[end], 0)
            end += 1
        found.append(text[match.end() : end - 1])
    return found


def read_names(text: str) -> set[str]:
    """Names in `model.get("x")`, in ``model.get(`${side}_x`)``, and those a panel's head reads (`trait: "x"`)."""
    names = set(re.findall(r'model\.get\("(\w+)"\)', text)) | set(re.findall(r'\btrait: "(\w+)"', text))
    return names | {
        f"{side}_{end}" for end in re.findall(r"model\.get\(`\$\{\w+\}_(\w+)`\)", text) for side in ("clean", "corrupt")
    }


def set_names(text: str) -> set[str]:
    """Names in `model.set("x", ...)` and keys of the objects in `save(model, { x: ... })`."""
    names = set(re.findall(r'model\.set\("(\w+)"', text))
    for call in balanced(text, "save(model, "):
        flat = call
        while (shorter := re.sub(r"\[[^\[\]]*\]|\([^()]*\)", "0", flat)) != flat:
            flat = shorter
        names |= set(re.findall(r"[{,]\s*(\w+)\s*(?=[:,}])", flat))
    return names


def followed_names(text: str) -> set[str]:
    """Names of traits that a redraw listens to: lists of strings in `follow(...)` and in `DATA`, and `change:x`."""
    lists = [
        part for call in balanced(text, "follow(model, signal, ") for part in re.findall(r"\[([^\[\]()]*)\]\]", call)
    ]
    lists += re.findall(r"(?:DATA|TRAITS) = \[([^\]]*)\]", text)
    return {name for part in lists for name in re.findall(r'"(\w+)"', part)} | set(re.findall(r'"change:(\w+)"', text))


@pytest.mark.parametrize("widget", WIDGETS)
def test_the_browser_reads_every_trait(widget) -> None:
    text = source(widget)
    read = read_names(text)
    if re.search(r"METRICS\.map\(\(\[metric\]\) => \[metric, floats\(model\.get\(metric\)\)\]\)", text):
        read |= set(METRICS)
    if re.search(r"NAMES\.map\(async \(\[name, label\]\) => \{\s+const reference = model\.get\(name\);", text):
        read |= set(VIEWS)
    assert own_traits(widget) - read == set()


@pytest.mark.parametrize("widget", ENTRY)
def test_the_browser_reads_nothing_that_is_not_a_trait(widget) -> None:
    read = read_names(source(widget))
    assert read
    assert read - own_traits(widget) == set()


@pytest.mark.parametrize("widget", WIDGETS)
def test_the_browser_sets_nothing_that_is_not_a_trait(widget) -> None:
    names = set_names(source(widget))
    assert names
    assert names - own_traits(widget) == set()


@pytest.mark.parametrize("widget", ENTRY)
def test_the_browser_listens_to_nothing_that_is_not_a_trait(widget) -> None:
    names = followed_names(source(widget))
    assert names
    assert names - own_traits(widget) == set()


def test_these_checks_find_what_they_look_for() -> None:
    text = """
    model.get("a"); model.get(`${side}_tokens`); [{ trait: "text" }]
    save(model, again ? { b: [] } : { c, d: [x, y, z] }); model.set("e", f(1, 2));
    follow(model, signal, [
      [() => draw(model.get("g")), ["h", "i"]],
      [other, [...DATA, "j"]],
    ]);
    const DATA = ["k"]; model.on("change:l", f);
    """
    assert read_names(text) == {"a", "g", "text", "clean_tokens", "corrupt_tokens"}
    assert set_names(text) == {"b", "c", "d", "e"}
    assert followed_names(text) == {"h", "i", "j", "k", "l"}


@pytest.mark.parametrize("widget", WIDGETS)
def test_a_new_widget_is_idle_empty_and_alive(widget) -> None:
    state = widget().get_state()
    assert state["status"] == {"state": "idle", "message": "", "done": 0, "total": 0, "seconds": 0.0, "remote": None}
    assert (state["error"], state["notes"], state["live"]) == ("", [], True)
    assert own_traits(widget) >= SHARED
    assert not any(isinstance(value, bytes) and value for value in state.values()), "no numbers before a result"
    assert state["positions"] == []


def test_the_choices_of_the_enums() -> None:
    assert (LensWidget().color, PatchingWidget().metric) == ("probability", "logit_difference")
    assert set(LensWidget.color.values) == set(COLORS)
    assert set(PatchingWidget.metric.values) == set(METRICS)
    assert set(AttentionWidget.sort.values) == set(SORTS)


def test_the_colours_of_an_agreement_are_the_same_everywhere() -> None:
    from interp_widgets.frames.agreement import SCALES
    from interp_widgets.views.agreement import TITLES
    from interp_widgets.widgets import agreement

    text = re.search(r"const COLORS = \[(.*?)\];", front.module("agreement.js"), re.S)
    assert text
    browser = tuple(re.findall(r'\["(\w+)"', text[1]))
    assert browser == agreement.COLORS == tuple(SCALES) == tuple(TITLES)


def test_the_scores_have_one_order_in_python_and_in_the_browser() -> None:
    from interp_widgets import frames
    from interp_widgets.methods.head_scores import SCORES
    from interp_widgets.views import attention as view

    text = re.search(r"const SCORES = \[(.*?)\];", front.module("attention.js"), re.S)
    assert text
    browser = tuple(re.findall(r'\["(\w+)"', text[1]))
    assert browser == SORTS[1:] == (*SCORES, "effect") == view.SCORES
    assert tuple(frames.HEADS)[2:] == browser


@pytest.mark.parametrize("widget", WIDGETS)
def test_two_widgets_share_no_state(widget) -> None:
    one, two = widget(), widget()
    one.status = {**one.status, "state": "running"}
    one.positions = [1]
    assert two.status["state"] == "idle"
    assert two.positions == []


@pytest.mark.parametrize("widget", WIDGETS)
def test_a_misspelt_name_is_refused_with_the_right_ones(widget) -> None:
    with pytest.raises(TypeError, match=rf"{widget.__name__} has no trait named postions; it has: .*positions"):
        widget(postions=[1])


@pytest.mark.parametrize("widget", WIDGETS)
def test_every_trait_has_a_sentence_about_it(widget) -> None:
    """A sentence in the class body under each trait; buffers say their type and shape."""
    import ast
    import inspect

    for cls in (widget, base.Widget):
        (body,) = ast.parse(inspect.getsource(cls)).body
        for statement, after in zip(body.body, body.body[1:], strict=False):
            target = getattr(statement, "targets", [getattr(statement, "target", None)])[0]
            if not isinstance(target, ast.Name) or target.id.startswith("_"):
                continue
            text = after.value.value if isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant) else ""
            assert text, f"{cls.__name__}.{target.id} has no docstring"
            if "t.Bytes" in ast.unparse(statement.value):
                assert re.match(r"(float32|int32|uint8|unit16) \[[A-Z](, [A-Z])*\]", text), (
                    f"{cls.__name__}.{target.id} says no shape"
                )


@pytest.mark.parametrize("widget", WIDGETS)
def test_the_module_and_the_stylesheet_are_one_text_for_all_instances(widget) -> None:
    one = widget()
    assert one._esm == front.module(ENTRY[widget])
    assert one._css == front.stylesheet()
    assert "export default" in one._esm
