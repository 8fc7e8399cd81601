"""What a mouse can do in each panel, and the keys that do the same: the table of docs/accessibility.md, as code that runs both."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tests.front import circuits, states
from tests.front.pages import settle

Do = Callable[[Any], Any]
SMALL = {"layers": 6}


def cell(page: Any, row: int, column: int) -> Any:
    return page.locator(".iw-scroll").first.locator(".iw-row").nth(row + 1).get_by_role("gridcell").nth(column)


def options(page: Any, name: str = "") -> Any:
    return page.get_by_role("listbox", name=name).get_by_role("option") if name else page.get_by_role("option")


def press(locator: Callable[[Any], Any], *keys: str) -> Do:
    """Focus something as Tab would, then press keys."""

    def run(page: Any) -> None:
        page.keyboard.press("Shift")  # the page is used by keyboard: `:focus-visible`
        locator(page).focus()
        for key in keys:
            page.keyboard.press(key)

    return run


def in_turn(*steps: Do) -> Do:
    def run(page: Any) -> None:
        for step in steps:
            step(page)

    return run


def entry_cell(page: Any) -> Any:
    """The cell of a grid that Tab reaches."""
    return page.locator(".iw-scroll [role=gridcell][tabindex='0']").first


@dataclass(frozen=True)
class Row:
    """One thing that can be done: in words for the mouse and for the keyboard, and as code."""

    panel: str
    what: str
    mouse: str
    keys: str
    show: Callable[[], Any]
    by_mouse: Do
    by_keys: Do
    reads: str = ""
    """Selector of what is read out instead of done."""


def strip_token(page: Any) -> Any:
    return page.locator(".iw-strip").first.locator("[role=option]")


def grid_rows(panel: str, show: Callable[[], Any], column: int = 5) -> list[Row]:
    return [
        Row(panel, "select a cell", "press it", "arrow keys, Home, End, Page Up, Page Down; Enter or Space", show,
            lambda page: cell(page, 2, column).click(),
            press(lambda page: cell(page, 0, column), "ArrowDown", "ArrowDown", "Enter")),
        Row(panel, "read a cell", "point at it", "go to it with the arrow keys", show,
            lambda page: cell(page, 2, column).hover(),
            press(lambda page: cell(page, 0, column), "ArrowDown", "ArrowDown"), ".iw-readout"),
    ]  # fmt: skip


def strip_rows(panel: str, show: Callable[[], Any]) -> list[Row]:
    return [
        Row(panel, "select a token", "press it", "arrow keys, Home, End; Enter or Space", show,
            lambda page: strip_token(page).nth(2).click(),
            press(lambda page: strip_token(page).nth(0), "ArrowRight", "ArrowRight", "Enter")),
        Row(panel, "select a span of tokens", "Shift and press its other end", "Shift and arrow keys", show,
            in_turn(lambda page: strip_token(page).nth(2).click(), lambda page: strip_token(page).nth(4).click(modifiers=["Shift"])),
            press(lambda page: strip_token(page).nth(2), "Enter", "Shift+ArrowRight", "Shift+ArrowRight")),
    ]  # fmt: skip


def drag(page: Any) -> None:
    page.mouse.move(*middle(cell(page, 3, 1)))
    page.mouse.down()
    page.mouse.move(*middle(cell(page, 2, 2)), steps=3)
    page.mouse.up()


def middle(locator: Any) -> tuple[float, float]:
    locator.scroll_into_view_if_needed()
    box = locator.bounding_box()
    return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2


def pattern_cell(page: Any, query: int, key: int) -> tuple[float, float]:
    box = page.locator(".iw-pattern-field").bounding_box()
    return box["x"] + (key + 0.5) * box["width"] / 10, box["y"] + (query + 0.5) * box["height"] / 10


def heat_cell(page: Any, row: int, column: int) -> tuple[float, float]:
    """Of 13 rows, the first on top, and 10 columns."""
    box = page.locator(".iw-heat-field").bounding_box()
    return box["x"] + (column + 0.5) * box["width"] / 10, box["y"] + (row + 0.5) * box["height"] / 13


def lens() -> Any:
    return states.lens(**SMALL)


def chosen_patch() -> Any:
    return states.patching(cell=["resid_post", 3, 9], positions=[9], **SMALL)


def dots() -> Any:
    return states.pairs(cell=["resid_post", 3, 9], positions=[9], **SMALL)


def pattern(page: Any) -> Any:
    return page.locator(".iw-pattern-scroll")


def few() -> Any:
    return circuits.circuit(5, 8)


def many() -> Any:
    return circuits.circuit(150, 300, layers=2)


def graph(page: Any) -> Any:
    return page.locator(".iw-graph")


FIND = """(name) => {
  const graph = document.querySelector(".iw-graph");
  const box = graph.getBoundingClientRect();
  const point = (x, y) => graph.dispatchEvent(new PointerEvent("pointermove", { clientX: box.left + x, clientY: box.top + y }));
  const found = () => document.querySelector(".iw-node h3").textContent.startsWith(name);
  for (let y = 6; y < box.height; y += 6) for (let x = 6; x < box.width; x += 6) {
    point(x, y);
    if (!found()) continue;
    graph.dispatchEvent(new PointerEvent("pointerleave"));
    return [x + 3, y + 3];
  }
}"""


def node(page: Any, name: str) -> tuple[float, float]:
    """Where a node of the graph is drawn, on a page scrolled to it."""
    page.mouse.move(2, 2)
    settle(page)
    graph(page).scroll_into_view_if_needed()
    found, box = page.evaluate(FIND, name), graph(page).bounding_box()
    return box["x"] + found[0], box["y"] + found[1]


def in_sight(page: Any) -> str:
    """Which part of the graph is seen: the frame in the overview, to a tenth of a per cent."""
    style = page.locator(".iw-heat-frame").get_attribute("style")
    return " ".join(f"{float(each.split('%')[0].split(':')[1]):.1f}" for each in style.split(";") if "%" in each)


def seen_after(*steps: Do) -> Do:
    def run(page: Any) -> str:
        in_turn(*steps)(page)
        settle(page)
        return in_sight(page)

    return run


def zoom_in(page: Any) -> None:
    for _ in range(3):
        page.get_by_role("button", name="Zoom in").click()
    settle(page)


def drag_graph(page: Any) -> None:
    x, y = middle(graph(page))
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x + 30, y)
    page.mouse.move(x + 60, y)
    page.mouse.up()


TIP = ".iw-tip"

ROWS = [
    Row("every panel", "run", "press Run", "Ctrl+Enter or Cmd+Enter in a prompt", lens,
        lambda page: page.get_by_role("button", name="Run", exact=True).click(),
        press(lambda page: page.get_by_label("Prompt", exact=True), "Control+Enter")),
    Row("every panel", "choose another model of the server", "press its name, then one in the list",
        "Enter on the name; arrow keys and Enter in the list, Escape closes it", lambda: states.lens(**SMALL, **states.FAR),
        in_turn(lambda page: page.locator(".iw-models-open").click(), lambda page: options(page, "Models of this server").nth(1).click()),
        press(lambda page: page.locator(".iw-models-open"), "Enter", "ArrowDown", "Enter")),
    *strip_rows("Lens", lens),
    *grid_rows("Lens", lens),
    Row("Lens", "keep a token's line", "press the token in the list", "Tab to it, Enter", lambda: states.lens(cell=[3, 4], positions=[4], **SMALL),
        lambda page: page.locator(".iw-entry").first.click(), press(lambda page: page.locator(".iw-entry").first, "Enter")),
    *strip_rows("Atoms", states.atoms),
    Row("Atoms", "colour the text by an atom and open its card", "press it in the list", "Tab to it, Enter", states.atoms,
        lambda page: page.locator(".iw-atoms .iw-entry").nth(1).click(), press(lambda page: page.locator(".iw-atoms .iw-entry").nth(1), "Enter")),
    Row("Atoms", "select a cell of the pinned atoms", "press it", "arrow keys, Enter", states.atoms,
        lambda page: cell(page, 1, 3).click(), press(lambda page: cell(page, 0, 2), "ArrowDown", "ArrowRight", "Enter")),
    Row("Atoms", "read a bar of the histogram", "rest on it", "Tab to the histogram, left and right arrow", states.atoms,
        lambda page: page.locator(".iw-bars rect title").nth(2).text_content(),
        press(lambda page: page.locator(".iw-bars rect").first, "ArrowRight", "ArrowRight"), TIP),
    Row("Atoms", "read a token of an example", "rest on it", "Tab to the examples, arrow keys", states.atoms,
        lambda page: page.locator(".iw-examples [title]").nth(1).get_attribute("title"),
        press(lambda page: page.locator(".iw-examples"), "ArrowRight", "ArrowRight"), TIP),
    Row("Attention", "show a head", "press it", "arrow keys, Home, End; Enter or Space", states.attention,
        lambda page: options(page, "Heads").nth(11).click(), press(lambda page: options(page, "Heads").nth(9), "ArrowRight", "ArrowRight", "Enter")),
    *strip_rows("Attention", states.attention),
    Row("Attention", "select a query and a key", "press the cell of the pattern", "Tab to the pattern; arrow keys, Home, End, Page Up, Page Down; Enter or Space",
        states.attention, lambda page: page.mouse.click(*pattern_cell(page, 8, 2)), press(pattern, "ArrowUp", "ArrowRight", "ArrowRight", "Enter")),
    Row("Attention", "read a weight", "point at the cell of the pattern", "go to it with the arrow keys", states.attention,
        lambda page: page.mouse.move(*pattern_cell(page, 8, 1)), press(pattern, "ArrowUp", "ArrowRight"), ".iw-readout"),
    *grid_rows("Patching", lambda: states.patching(**SMALL), 3),
    Row("Patching", "put a cell's activation elsewhere", "drag it onto another cell",
        "Put it elsewhere…, then the arrow keys and Enter; Escape gives up", chosen_patch, drag,
        in_turn(press(lambda page: page.get_by_role("button", name="Put it elsewhere…"), "Enter"),
                press(lambda page: cell(page, 3, 1), "ArrowUp", "ArrowRight", "Enter"))),
    Row("Patching", "pair two tokens by hand", "press one of each prompt", "arrow keys; Enter on one of each prompt; Escape gives up",
        lambda: states.patching(extra=True, **SMALL),
        in_turn(lambda page: options(page, "Clean tokens").nth(3).click(), lambda page: options(page, "Corrupt tokens").nth(4).click()),
        in_turn(press(lambda page: options(page, "Clean tokens").nth(3), "Enter"), press(lambda page: options(page, "Corrupt tokens").nth(3), "ArrowRight", "Enter"))),
    Row("Patching", "read a token of how a run goes on", "rest on it", "Tab to the runs, arrow keys",
        lambda: states.patching(cell=["resid_post", 3, 9], positions=[9], patch={"place": {"cell": ["resid_post", 3, 9], "origin": ["resid_post", 3, 9], "frozen": []}, "said": {"clean": [{"token": " a", "token_id": 5, "probability": 0.5}] * 2}}, **SMALL),
        lambda page: page.locator(".iw-said [title]").nth(1).get_attribute("title"),
        press(lambda page: page.locator("[data-walk]").nth(1), "ArrowRight", "ArrowRight"), TIP),
    *grid_rows("Patching pairs", lambda: states.pairs(**SMALL), 2),
    Row("Patching pairs", "keep a pair", "press its dot", "Tab to the dots, arrow keys, Enter", dots,
        lambda page: page.locator("[data-pair='2']").click(force=True), press(lambda page: page.locator("[data-pair='0']"), "ArrowRight", "ArrowRight", "Enter")),
    Row("Patching pairs", "read a dot of the random pairs", "rest on it", "End in the dots, or arrow keys", dots,
        lambda page: page.locator(".iw-dot title").last.text_content(), press(lambda page: page.locator("[data-pair='0']"), "End"), TIP),
    *strip_rows("Steering", states.steering),
    Row("Steering", "show a strength", "press it in the curve, or move the slider", "Tab to the curve or the slider, arrow keys", states.steering,
        lambda page: page.locator(".iw-curve-hit").nth(4).click(), press(lambda page: page.locator(".iw-curve-hit[tabindex='0']"), "ArrowRight")),
    Row("Steering", "read a token of a text", "rest on it", "Tab to the texts, arrow keys", states.steering,
        lambda page: page.locator(".iw-steered-body [title]").nth(1).get_attribute("title"),
        press(lambda page: page.locator(".iw-steered-texts"), "ArrowRight", "ArrowRight"), TIP),
    Row("Audit", "read a row", "press it", "Tab to its name, Enter", states.audit,
        lambda page: page.locator("tr[data-quantity='loss'] td").first.click(), press(lambda page: page.locator("button[data-quantity='loss']"), "Enter")),
    Row("Audit", "list the atoms of a column", "press it in the histogram", "Tab to the histogram, left and right arrow, Enter", states.audit,
        lambda page: page.locator("[data-bin='2']").click(), press(lambda page: page.locator("[data-bin='0']"), "ArrowRight", "ArrowRight", "Enter")),
    Row("Audit", "keep a context", "press its dot", "Tab to the dots, arrow keys, Enter", states.audit,
        lambda page: page.locator("[data-pair='1']").click(force=True), press(lambda page: page.locator("[data-pair='0']"), "ArrowRight", "Enter")),
    Row("Shift", "show an atom", "press it", "Tab to it, Enter; arrow keys go on", states.shift,
        lambda page: page.locator(".iw-shift-list li").nth(3).click(), press(lambda page: page.locator(".iw-shift-list button").nth(2), "ArrowDown")),
    Row("Shift", "strike an atom out", "press its box", "Tab to its box, Space", states.shift,
        lambda page: page.locator(".iw-shift-list input").nth(3).click(), press(lambda page: page.locator(".iw-shift-list input").nth(3), "Space")),
    Row("Shift", "read a token of a text", "rest on it", "Tab to the texts, arrow keys", states.shift,
        lambda page: page.locator(".iw-shift-texts .iw-snippet [title]").nth(1).get_attribute("title"), press(lambda page: page.locator(".iw-shift-texts"), "ArrowRight", "ArrowRight"), TIP),
    *strip_rows("Agreement", lambda: states.agreement(**SMALL)),
    *grid_rows("Agreement", lambda: states.agreement(**SMALL)),
    Row("Agreement", "read a probability in full", "rest on it", "Tab to the lists, arrow keys", lambda: states.agreement(**SMALL),
        lambda page: page.locator(".iw-both [title]").nth(1).get_attribute("title"), press(lambda page: page.locator(".iw-both"), "ArrowRight", "ArrowRight"), TIP),
    Row("Circuit", "select a node", "press it in the graph or in the list", "Tab to the graph, arrow keys, Enter; Escape selects none", few,
        lambda page: page.mouse.click(*node(page, "mlp_out.2 #1557")), press(graph, "ArrowDown", "ArrowDown", "Enter")),
    Row("Circuit", "select several nodes", "Shift and press", "Shift and Enter", few,
        in_turn(lambda page: page.mouse.click(*node(page, "answer")), lambda page: page.keyboard.down("Shift"),
                lambda page: page.mouse.click(*node(page, "mlp_out.2 #1557")), lambda page: page.keyboard.up("Shift")),
        press(graph, "Enter", "ArrowDown", "ArrowDown", "Shift+Enter")),
    Row("Circuit", "read a node and its edges", "point at it", "go to it with the arrow keys", few,
        lambda page: page.mouse.move(*node(page, "mlp_out.2 #1557")), press(graph, "ArrowDown", "ArrowDown"), ".iw-node"),
    Row("Circuit", "move the graph", "drag it, or the wheel", "Shift and arrow keys", many, seen_after(zoom_in, drag_graph), seen_after(zoom_in, press(graph, "Shift+ArrowLeft"))),
    Row("Circuit", "make the graph larger or smaller", "press + or −, pinch, or Ctrl and the wheel; Fit shows all of it", "+ and −; 0 shows all of it", many,
        seen_after(zoom_in), seen_after(press(graph, "+", "+", "+"))),
    Row("Circuit", "show a circuit of the curve", "press it, or move the slider", "Tab to the curve or the slider, arrow keys", few,
        lambda page: page.locator(".iw-curve-hit").nth(2).click(), press(lambda page: page.locator(".iw-curve-hit").nth(5), "Home", "ArrowRight", "ArrowRight")),
    Row("Circuit", "go to a cell of the overview", "press it", "Tab to the overview, arrow keys, Enter", few,
        lambda page: page.mouse.click(*heat_cell(page, 1, 2)), press(lambda page: page.locator(".iw-heat"), "ArrowDown", "ArrowRight", "ArrowRight", "Enter")),
    Row("Circuit", "read a cell of the overview", "point at it", "go to it with the arrow keys", few,
        lambda page: page.mouse.move(*heat_cell(page, 1, 2)), press(lambda page: page.locator(".iw-heat"), "ArrowDown", "ArrowRight", "ArrowRight"), ".iw-heat-readout"),
    *strip_rows("Explorer", states.explorer),
    Row("Explorer", "open a panel", "press its tab", "arrow keys in the tabs", states.explorer,
        lambda page: page.get_by_role("tab", name="Atoms").first.click(), press(lambda page: page.get_by_role("tab", name="Lens").first, "ArrowRight")),
    Row("Examples", "choose which examples", "press a tab", "arrow keys in the tabs", states.examples,
        lambda page: page.get_by_role("tab").nth(1).click(), press(lambda page: page.get_by_role("tab").first, "ArrowRight"), "[role=tabpanel]"),
]  # fmt: skip

# Where a pointer is listened to, and what the keyboard has there. A test finds every listener: a new one needs its line.
LISTENERS = {
    "click iw-button": "a button", "click iw-close": "a button", "click iw-strip": "select a token", "mousedown iw-strip": "select a span of tokens",
    "click iw-scroll": "select a cell", "mouseover iw-scroll": "read a cell", "mouseleave iw-scroll": "read a cell",
    "mouseover iw-strip": "select a token", "mouseleave iw-strip": "select a token",
    "pointerdown iw-scroll": "put a cell's activation elsewhere", "pointerup iw-scroll": "put a cell's activation elsewhere",
    "click iw-top": "keep a token's line", "click iw-pins": "a button", "click iw-tabs": "open a panel",
    "click iw-atoms": "colour the text by an atom and open its card", "click iw-pinned": "a button", "click iw-part": "a button",
    "click iw-chips": "a button", "click iw-heads": "show a head", "mouseover iw-heads": "show a head",
    "pointermove iw-pattern-field": "read a weight", "pointerleave iw-pattern-field": "read a weight", "click iw-pattern-field": "select a query and a key",
    "click iw-pair": "pair two tokens by hand", "click iw-dots": "keep a pair", "mouseover iw-dots": "keep a pair", "mouseleave iw-dots": "keep a pair",
    "click iw-curve": "show a strength", "click tbody": "read a row", "mouseover tbody": "read a row", "mouseleave tbody": "read a row",
    "click iw-density": "list the atoms of a column", "click iw-audit-atoms": "a button", "click iw-worst": "a button",
    "pointerdown iw-graph": "move the graph", "pointermove iw-graph": "read a node and its edges", "pointerup iw-graph": "select a node",
    "pointercancel iw-graph": "move the graph", "pointerleave iw-graph": "read a node and its edges", "wheel iw-graph": "move the graph",
    "touchmove iw-graph": "make the graph larger or smaller",
    "pointermove iw-heat-field": "read a cell of the overview", "pointerleave iw-heat-field": "read a cell of the overview",
    "click iw-heat-field": "go to a cell of the overview",
    "click iw-shift-list": "show an atom",
    "click iw-models-list": "choose another model of the server",
}  # fmt: skip
