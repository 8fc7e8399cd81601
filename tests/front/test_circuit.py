"""The circuit panel in a browser: what is shown at a threshold, what is done to nodes, and how smoothly it moves."""

from __future__ import annotations

import numpy as np
import pytest

from interp_widgets.widgets import wire
from interp_widgets.widgets.circuit import CURVE, CircuitWidget
from tests.front import circuits, states
from tests.front.keys import graph, in_sight, middle, node, zoom_in
from tests.front.pages import arrive, settle
from tests.front.test_axe import RUNNING

pytestmark = pytest.mark.browser


def get(page, name: str):
    return page.evaluate("(name) => model.get(name)", name)


def sent(page) -> list[dict]:
    return page.evaluate("model.sent")


def floats(data: bytes) -> np.ndarray:
    return np.frombuffer(data, "<f4")


def listed(page) -> list[str]:
    return page.locator(".iw-node-list tbody th button").all_text_contents()


def slide(page, name: str, to: int) -> None:
    page.get_by_role("slider", name=name, exact=True).fill(str(to))
    settle(page)


def carried(page) -> list[str]:
    return page.locator(".iw-carried dd").all_text_contents()


def hidden(page) -> str:
    return page.locator(".iw-hidden-nodes p").text_content()


def press(page, name: str) -> None:
    page.get_by_role("button", name=name, exact=True).click()
    settle(page)


# thresholds


def test_a_threshold_redraws_and_asks_nothing(stage):
    widget = circuits.circuit(40, 90, listed=True)
    page = stage.show(widget)
    counts = np.frombuffer(widget.curve_nodes, "<i4").reshape(3, -1)[0]
    curve = floats(widget.curve).reshape(len(CURVE), 3, -1)[:, 0]
    for k in (len(counts) - 1, 6, 1, 0):
        slide(page, "Nodes", k)
        assert get(page, "size") == counts[k]
        assert len(listed(page)) == counts[k] + 1, "the answer is always there"
        value, low, high, rest = (f"{curve[i, k] + 0:.2f}".replace("-", "−") for i in (1, 2, 3, 4))
        assert carried(page)[0] == f"{value} [{low}, {high}]"
        assert carried(page)[1].startswith(rest)
        assert hidden(page).startswith(f"Hidden: {120 - counts[k]} nodes ({120 - counts[k]} below the threshold).")
        assert page.locator(".iw-curve-hit[aria-selected=true]").get_attribute("data-nodes") == str(counts[k])
    assert sent(page) == []


def test_the_list_is_the_strongest_nodes_in_order(stage):
    widget = circuits.circuit(40, 90, listed=True, size=9)
    page = stage.show(widget)
    atoms = np.frombuffer(widget.atom, "<i4")
    expected = [f"#{a}" if a >= 0 else "error" for a in atoms[1:]]
    assert listed(page)[:-1] == expected[: len(listed(page)) - 1]
    assert page.locator(".iw-node-list tbody td").nth(2).text_content() == "+1.2"


def test_edges_have_a_threshold_of_their_own(stage):
    widget = circuits.circuit(40, 90)
    page = stage.show(widget)
    weights = abs(floats(widget.weight))
    label = page.locator(".iw-threshold").nth(1)
    assert label.locator(".iw-amount").text_content() == "90 of 90"
    slide(page, "Edges", 40)
    shown = int((weights >= get(page, "edge_threshold")).sum())
    assert 0 < shown < 90
    assert label.locator(".iw-amount").text_content() == f"{shown} of 90"
    assert graph(page).get_attribute("aria-label").startswith(f"Graph of 41 nodes and {shown} edges")
    slide(page, "Edges", 60)
    assert label.locator(".iw-amount").text_content() == "1 of 90", "the heaviest can be shown alone"


def test_pressing_the_curve_shows_that_circuit(stage):
    page = stage.show(circuits.circuit(40, 90, listed=True))
    page.locator(".iw-curve-hit[data-nodes='2']").click()
    settle(page)
    assert get(page, "size") == 2
    assert len(listed(page)) == 3
    assert (
        page.get_by_role("slider", name="Nodes")
        .get_attribute("aria-valuetext")
        .startswith("2 nodes: faithfulness 0.20")
    )


def test_errors_can_be_removed_and_are_counted(stage):
    page = stage.show(circuits.circuit(40, 90, listed=True))
    before = carried(page)
    assert "error" in listed(page)
    page.get_by_role("radio", name="are removed").check()
    settle(page)
    assert "error" not in listed(page)
    assert "5 errors, which are removed" in hidden(page)
    assert carried(page) != before
    assert get(page, "way") == "removed"
    assert sent(page) == []


def test_the_points_of_the_curve_lie_where_their_numbers_are(stage):
    widget = circuits.circuit(40, 90)
    page = stage.show(widget)
    curve = floats(widget.curve).reshape(len(CURVE), 3, -1)[:, 0]
    line = page.locator(".iw-circuit-curve .iw-line-0 .iw-line").get_attribute("points").split()
    ys = np.array([float(point.split(",")[1]) for point in line])
    fit = np.polyfit(curve[1], ys, 1)
    assert fit[0] < 0, "upwards"
    assert abs(np.polyval(fit, curve[1]) - ys).max() < 0.1
    nodes = np.frombuffer(widget.curve_nodes, "<i4").reshape(3, -1)[0]
    xs = np.array([float(point.split(",")[0]) for point in line])
    assert np.corrcoef(np.log1p(nodes), xs)[0, 1] > 0.99999
    assert page.locator(".iw-circuit-curve .iw-circuit-band").count() == 4, "each line has its intervals"
    assert page.locator(".iw-circuit-curve").get_by_role("option").count() == len(nodes)


def test_the_whole_model_is_said_to_be_more_than_what_is_drawn(stage):
    widget = circuits.circuit(12, 20)
    counts = np.frombuffer(widget.curve_nodes, "<i4").reshape(3, -1).copy()
    counts[:, -1] = 25_025
    page = stage.show(widget)
    arrive(page, curve_nodes=wire.int32(counts))
    assert page.locator(".iw-threshold .iw-amount").first.text_content() == "25,025, 36 with an effect"
    assert hidden(page).startswith("Hidden: 24 nodes")


def test_a_column_names_its_other_tokens(stage):
    page = stage.show(circuits.circuit(12, 20, variants={"1": [" boys", " keys"], "4": [" girl", " car", " man"]}))
    columns = page.locator(".iw-graph-columns span")
    assert columns.nth(1).get_attribute("title") == '1: " boys"; corrupt " boy"; in other prompts " keys"'
    assert columns.nth(1).locator("[data-changed]").text_content() == "·boy"
    assert columns.nth(4).locator("small").text_content() == "or ·car …"


def test_without_a_curve_nodes_are_counted_and_nothing_is_claimed(stage):
    none = {"ways": [], "baselines": [], "curve": b"", "curve_nodes": b"", "curve_prefix": b""}
    page = stage.show(circuits.circuit(40, 90, **none, measure="influence", has_model=False, methods=[], listed=True))
    assert page.locator(".iw-carried").is_hidden()
    assert page.locator(".iw-circuit-curve").is_hidden()
    slide(page, "Nodes", 3)
    assert get(page, "size") == 4
    assert len(listed(page)) == 5
    assert page.get_by_role("button", name="Run", exact=True).count() == 0
    assert page.get_by_text("No model here has these nodes: nothing can be switched.").is_visible()
    assert "|influence| ≥" in page.locator(".iw-threshold").first.text_content()


def test_edges_that_are_not_known_are_asked_for(stage):
    page = stage.show(circuits.circuit(40, 90, edged=21, size=20))
    more = page.locator(".iw-hidden-nodes button").last
    assert more.is_hidden()
    arrive(page, size=-1)
    assert more.text_content() == "Edges are of the first 20 nodes: compute those of all 40"
    more.click()
    assert sent(page) == [{"type": "edges", "nodes": 41}]


# the graph


@pytest.mark.parametrize(("nodes", "layers"), [(40, 4), (150, 3)], ids=["boxes", "dots"])
def test_every_node_has_a_place_of_its_own(stage, nodes, layers):
    """Each is found by a pointer somewhere, so none covers another."""
    widget = circuits.circuit(nodes, 60, layers=layers)
    page = stage.show(widget)
    found = page.evaluate("""() => {
      const graph = document.querySelector(".iw-graph");
      const box = graph.getBoundingClientRect();
      const found = new Set();
      for (let y = 3; y < box.height; y += 4) for (let x = 72; x < box.width; x += 4) {
        graph.dispatchEvent(new PointerEvent("pointermove", { clientX: box.left + x, clientY: box.top + y }));
        if (graph.hasAttribute("data-pointing")) found.add(document.querySelector(".iw-node h3").textContent);
      }
      return [...found];
    }""")
    row, column, atom = (np.frombuffer(getattr(widget, name), "<i4") for name in ("row", "column", "atom"))
    kinds = [
        f"{widget.rows[r]['site']} {f'#{a}' if a >= 0 else 'error'} at {c} "
        for r, c, a in zip(row[1:], column[1:], atom[1:], strict=True)
    ]
    missing = [each for each in kinds if not any(text.startswith(each) for text in found)]
    assert missing == []


def test_pointing_lists_the_edges_strongest_first(show_live):
    widget = circuits.circuit(40, 90)
    page = show_live(widget)  # on a page rewritten under the pointer, Chromium forgets to say that it left
    source, target = (np.frombuffer(getattr(widget, name), "<i4") for name in ("source", "target"))
    into = floats(widget.weight)[target == 0]
    page.mouse.move(*node(page, "answer"))
    settle(page)
    ends = page.locator(".iw-ends").first
    assert ends.locator("h4").text_content() == f"From ({len(into)} edges shown)"
    numbers = ends.locator(".iw-number").all_text_contents()
    assert [float(each.replace("−", "-")) for each in numbers] == pytest.approx(into[:8], rel=0.1)
    first = source[target == 0][0]
    assert str(np.frombuffer(widget.atom, "<i4")[first]) in ends.get_by_role("button").first.text_content()
    assert ends.get_by_role("button").first.get_attribute("title").endswith(": weight +0.68 [0.66, 0.7]")
    page.mouse.move(2, 2)
    page.locator(".iw-node").wait_for(state="hidden")
    assert sent(page) == []


def test_pressing_selects_and_shift_adds(stage):
    widget = circuits.circuit(5, 8)
    page = stage.show(widget)
    page.mouse.click(*node(page, "mlp_out.2 #1557"))
    settle(page)
    assert get(page, "selected") == ["mlp_out.2/1557@6"]
    assert get(page, "positions") == [6]
    with_shift = node(page, "embed #1910")
    page.keyboard.down("Shift")
    page.mouse.click(*with_shift)
    page.keyboard.up("Shift")
    settle(page)
    assert get(page, "selected") == ["mlp_out.2/1557@6", "embed/1910@0"]
    assert page.locator(".iw-node h3").text_content() == 'embed #1910 at 0 "The"'
    page.keyboard.press("Escape")
    settle(page)
    assert get(page, "selected") == []


def test_the_keys_name_each_node_they_reach(stage):
    page = stage.show(circuits.circuit(5, 8))
    graph(page).focus()
    said = []
    for key in ("ArrowDown", "ArrowLeft", "ArrowLeft"):
        page.keyboard.press(key)
        active = graph(page).get_attribute("aria-activedescendant")
        said.append((active, page.locator(f"#{active}").get_attribute("aria-label")))
    assert [text.split(" at ")[0] for _, text in said] == ["attn_out.3 #2445", "attn_out.3 #2901", "attn_out.3 #2901"]
    assert said[0][1].endswith("effect +0.4 [0.35, 0.45]")
    assert said[0][0] != said[1][0], "the active option must change, or nothing is read out"


def test_the_overview_frames_what_is_in_sight(stage):
    page = stage.show(circuits.circuit(150, 300, layers=2))
    frame = page.locator(".iw-heat-frame")
    assert frame.is_hidden(), "all is in sight"
    zoom_in(page)
    assert frame.is_visible()
    before = in_sight(page)
    x, y = middle(graph(page))
    page.mouse.move(x, y)
    page.mouse.wheel(150, 0)
    settle(page)
    assert in_sight(page) != before
    press(page, "Fit")
    assert frame.is_hidden()
    page.mouse.wheel(0, 100)
    settle(page)
    assert page.evaluate("scrollY") > 0, "a graph that is seen whole leaves the wheel to the page"


def test_a_cell_of_the_overview_is_brought_into_sight(stage):
    page = stage.show(circuits.circuit(2000, 100, tokens=[f" t{i}" for i in range(60)], layers=10))
    box = page.locator(".iw-heat-field").bounding_box()
    page.mouse.click(box["x"] + 10.5 / 60 * box["width"], box["y"] + (31 - 4.5) / 31 * box["height"])
    settle(page)
    assert get(page, "positions") == [10]
    left, width, bottom, height = (float(each) for each in in_sight(page).split())
    assert left < 10 / 60 * 100 < left + width
    assert bottom < 4.5 / 31 * 100 < bottom + height


def test_a_change_of_theme_is_drawn(stage):
    page = stage.show(circuits.circuit(5, 8))
    look = (
        "() => { const c = document.querySelector('.iw-graph canvas').toDataURL(); return c.length + c.slice(-400); }"
    )
    light = page.evaluate(look)
    page.evaluate("document.body.dataset.theme = 'dark'")
    page.wait_for_function(f"(before) => ({look})() !== before", arg=light)
    page.evaluate("document.body.dataset.theme = 'light'")
    page.wait_for_function(f"(before) => ({look})() === before", arg=light)


DRAG = """async () => {
  const graph = document.querySelector(".iw-graph");
  graph.setPointerCapture = () => {};
  const { left, top } = graph.getBoundingClientRect();
  const at = (x, y) => ({ clientX: left + x, clientY: top + y, button: 0, pointerId: 1 });
  graph.dispatchEvent(new PointerEvent("pointerdown", at(400, 300)));
  const times = [];
  for (let i = 0; i < 120; i++) {
    times.push(await new Promise(requestAnimationFrame));
    graph.dispatchEvent(new PointerEvent("pointermove", at(400 + 600 * Math.sin(i / 8), 300 + 250 * Math.cos(i / 8))));
  }
  graph.dispatchEvent(new PointerEvent("pointerup", at(400, 300)));
  return times;
}"""


def test_two_thousand_nodes_move_thirty_times_a_second(stage, record_testsuite_property):
    """Dragged to and fro for 120 frames, so far that new parts come into sight again and again; the best of up to four drags, as
    other work of the machine can only slow one down."""
    page = stage.show(circuits.circuit(2000, 6000, layers=6))
    zoom_in(page)
    best = (np.inf, np.inf)
    for _ in range(4):
        page.wait_for_timeout(400)
        before = in_sight(page)
        frames = np.diff(page.evaluate(DRAG))
        assert in_sight(page) != before
        best = min(best, tuple(np.quantile(frames, [0.5, 0.95])))
        if best[0] <= 33.5:
            break
    record_testsuite_property(
        "panning 2,000 nodes and 6,000 edges, ms a frame", f"median {best[0]:.1f}, 95 % {best[1]:.1f}"
    )
    assert best[0] <= 33.5


def heading(page) -> str:
    return page.locator(".iw-node h3").text_content()


def scale_of_page(page) -> list[float]:
    return page.evaluate("[visualViewport.scale, devicePixelRatio, scrollX, scrollY]")


def width_in_sight(page) -> float:
    return float(in_sight(page).split()[1])


@pytest.fixture
def touch(stage):
    """Puts fingers on the page as a touch screen does: `touch("Start", (x, y), ...)`; no finger: the last is lifted."""
    session = stage.page.context.new_cdp_session(stage.page)
    session.send("Emulation.setTouchEmulationEnabled", {"enabled": True, "maxTouchPoints": 2})

    def send(kind: str, *fingers: tuple[float, float]) -> None:
        points = [{"x": x, "y": y, "id": i} for i, (x, y) in enumerate(fingers)]
        session.send("Input.dispatchTouchEvent", {"type": f"touch{kind}", "touchPoints": points})

    yield send
    session.send("Emulation.setTouchEmulationEnabled", {"enabled": False})
    session.detach()


def test_a_pinch_on_a_trackpad_zooms_the_graph_and_not_the_page(stage):
    page = stage.show(circuits.circuit(150, 300, layers=2))
    x, y = node(page, "attn_out.1 #")
    before, whole = scale_of_page(page), width_in_sight(page)
    page.mouse.move(x, y)
    settle(page)
    name = heading(page)
    page.evaluate("window.left = []; addEventListener('wheel', (event) => left.push(event.defaultPrevented))")
    page.keyboard.down("Control")
    try:
        for _ in range(20):
            page.mouse.wheel(0, -4)
        settle(page)
        large = width_in_sight(page)
        assert whole / large == pytest.approx(np.exp(0.8), rel=0.2), "twice as large after 80 of a pinch"
        page.mouse.move(x + 1, y)
        settle(page)
        assert heading(page) == name, "what is under the pointer stays there"
        page.mouse.wheel(0, 100)
        settle(page)
        assert large < width_in_sight(page) < 1.6 * large, "a notch of a wheel is no leap"
        for _ in range(40):
            page.mouse.wheel(0, 30)
    finally:
        page.keyboard.up("Control")
    settle(page)
    assert width_in_sight(page) == pytest.approx(whole, abs=0.2), "no gap at the sides"
    assert scale_of_page(page) == before
    assert page.evaluate("left.length > 50 && left.every(Boolean)")
    graph(page).focus()
    seen = {}
    for key in ("0", "+", "+", "-", "0"):
        page.keyboard.press(key)
        settle(page)
        seen.setdefault(key, []).append(width_in_sight(page))
    assert seen["0"] == [whole, whole]
    assert seen["-"] == [pytest.approx(seen["+"][0], abs=0.2)]
    assert whole > seen["+"][0] > seen["+"][1]


def test_two_fingers_zoom_and_move_the_graph_and_not_the_page(stage, touch):
    page = stage.show(circuits.circuit(150, 300, layers=2))
    graph(page).scroll_into_view_if_needed()
    before, whole = scale_of_page(page), width_in_sight(page)
    x, y = middle(graph(page))
    touch("Start", (x - 40, y))
    touch("Start", (x - 40, y), (x + 40, y))
    for apart in range(40, 85, 5):
        touch("Move", (x - apart, y), (x + apart, y))
    settle(page)
    assert whole / width_in_sight(page) == pytest.approx(2, rel=0.15)
    seen = [float(each) for each in in_sight(page).split()]
    for by in range(0, 65, 5):
        touch("Move", (x - 80 + by, y + by), (x + 80 + by, y + by))
    settle(page)
    now = [float(each) for each in in_sight(page).split()]
    assert now[0] < seen[0], "both go right, and the graph with them"
    assert now[1] == pytest.approx(seen[1], rel=0.15)
    touch("End", (x - 20, y + 60))
    for by in range(0, 45, 5):
        touch("Move", (x - 20 - by, y + 60))
    settle(page)
    assert float(in_sight(page).split()[0]) > now[0], "the finger that stays drags"
    touch("End")
    settle(page)
    assert scale_of_page(page) == before
    assert get(page, "selected") == []
    press(page, "Fit")
    x, y = node(page, "attn_out.1 #")
    touch("Start", (x, y))
    touch("End")
    settle(page)
    assert len(get(page, "selected")) == 1, "a finger still selects"


PINCH = """async () => {
  const graph = document.querySelector(".iw-graph");
  graph.setPointerCapture = () => {};
  const { left, top } = graph.getBoundingClientRect();
  const finger = (pointerId, x) => ({ clientX: left + x, clientY: top + 250, button: 0, pointerId, pointerType: "touch" });
  for (const id of [11, 12]) graph.dispatchEvent(new PointerEvent("pointerdown", finger(id, id === 11 ? 380 : 420)));
  const times = [];
  for (let i = 0; i < 120; i++) {
    times.push(await new Promise(requestAnimationFrame));
    const apart = 20 * Math.exp(1.2 - 1.2 * Math.cos(i / 12));
    for (const id of [11, 12]) graph.dispatchEvent(new PointerEvent("pointermove", finger(id, 400 + (id === 11 ? -apart : apart))));
  }
  for (const id of [11, 12]) graph.dispatchEvent(new PointerEvent("pointerup", finger(id, 400)));
  return times;
}"""


def test_two_thousand_nodes_are_pinched_thirty_times_a_second(stage, record_testsuite_property):
    """To eleven times the size and back for 120 frames, the best of up to four, as other work can only slow one down."""
    page = stage.show(circuits.circuit(2000, 6000, layers=6))
    best = (np.inf, np.inf)
    for _ in range(4):
        page.wait_for_timeout(400)
        frames = np.diff(page.evaluate(PINCH))
        best = min(best, tuple(np.quantile(frames, [0.5, 0.95])))
        if best[0] <= 33.5:
            break
    record_testsuite_property(
        "pinching 2,000 nodes and 6,000 edges, ms a frame", f"median {best[0]:.1f}, 95 % {best[1]:.1f}"
    )
    assert best[0] <= 33.5


# what is done to nodes


def test_label_pin_and_hide(stage):
    widget = circuits.circuit(12, 20)
    page = stage.show(widget)
    name = widget.names[1]
    arrive(page, selected=[name])
    label = page.get_by_label("Label", exact=True)
    label.fill("plural noun")
    label.press("Tab")
    press(page, "Pin")
    assert (get(page, "labels"), get(page, "pinned")) == ({name: "plural noun"}, [name])
    slide(page, "Nodes", 0)
    press(page, "As a list")
    assert listed(page) == ["plural noun", "answer"], "what is pinned stays"
    press(page, "Hide")
    assert listed(page) == ["answer"]
    assert hidden(page).startswith("Hidden: 36 nodes (35 below the threshold, 1 by hand).")
    press(page, "Show all")
    assert get(page, "hidden") == []
    assert len(listed(page)) == 13
    assert "(24 below the threshold)" in hidden(page)
    label.fill("")
    label.press("Tab")
    assert get(page, "labels") == {}
    assert sent(page) == []


def test_a_node_is_switched_and_the_prediction_follows(stage):
    widget = circuits.circuit(12, 20)
    page = stage.show(widget)
    name = widget.names[1]
    assert page.get_by_text("Switch a node off or scale it").is_visible()
    arrive(page, selected=[name])
    press(page, "Switch off")
    assert get(page, "switches") == {name: 0}
    section = page.get_by_role("region", name="Prediction")
    assert section.get_attribute("aria-busy") == "true"
    state = circuits.chosen_circuit().prediction | {"of": {name: 0}}
    arrive(page, prediction=state)
    assert section.get_attribute("aria-busy") == "false"
    assert values(section) == {"clean 0": "4.71 → 0.20 (−4.51)"}
    assert section.locator("tbody tr").first.locator("td").all_text_contents() == ["81%", "12%"]
    typed = page.get_by_role("spinbutton", name="Scale as a number")
    typed.fill("1.5")
    typed.press("Tab")
    settle(page)
    assert get(page, "switches") == {name: 1.5}
    assert "12%" not in section.text_content(), "what is of another switch is not shown"
    arrive(page, prediction={**state, "failed": "The server is gone."})
    assert section.get_by_role("alert").text_content() == "The server is gone."
    press(page, "All as they are")
    assert get(page, "switches") == {}
    assert sent(page) == []


def values(section) -> dict[str, str]:
    """What is said of the metric, row by row, as far as it is shown."""
    rows = zip(section.locator("dt").all(), section.locator("dd").all(), strict=True)
    return {name.text_content(): value.text_content() for name, value in rows if name.is_visible()}


def test_the_mean_over_prompts_comes_is_stopped_and_is_asked_for(stage):
    widget = circuits.chosen_circuit()
    page, done = stage.show(widget), widget.mean_change
    section = page.get_by_role("region", name="Prediction")
    assert values(section) == {
        "mean of 24 clean prompts": "4.20 → −0.31 (−4.51 [−4.9, −4.1])",
        "clean 0": "4.71 → 0.20 (−4.51)",
    }
    assert section.get_by_text("logit( see) − logit( sees)").is_visible()
    assert not section.get_by_role("button", name="Measure", exact=True).is_visible()

    none = {"of": widget.switches, "total": 24, "prompts": 0, "pending": True, "failed": ""}
    arrive(page, mean_change=none)
    assert values(section)["mean of 24 clean prompts"] == "…"
    assert section.get_attribute("aria-busy") == "true"
    arrive(page, mean_change={**done, "prompts": 8, "pending": True})
    assert values(section)["mean of 8 of 24 clean prompts"].startswith("4.20 → −0.31")
    stop = section.get_by_role("button", name="Stop", exact=True)
    stop.focus()
    page.keyboard.press("Enter")
    assert sent(page) == [{"type": "stop"}]
    arrive(page, mean_change={**done, "prompts": 8})
    assert "mean of 8 of 24 clean prompts" in values(section)
    press(page, "Measure")
    assert sent(page)[1:] == [{"type": "measure"}]
    arrive(page, mean_change={**none, "pending": False})
    assert values(section)["mean of 24 clean prompts"] == "not measured"
    arrive(page, mean_change={**none, "pending": False, "failed": "The server is gone."})
    assert section.get_by_role("alert").text_content() == "The server is gone."

    arrive(page, mean_change={**done, "of": {widget.names[3]: 0}})
    assert values(section)["mean of 24 clean prompts"] == "…", "what is of another switch is not shown"
    arrive(page, mean_change={})
    assert list(values(section)) == ["clean 0"]
    arrive(page, mean_change=done, switches={})
    assert values(section) == {"clean 0": "4.71"}


def test_a_prompt_is_chosen_with_the_keys(stage):
    widget = circuits.chosen_circuit(
        prompt_texts={"clean 0": "The boys see", "clean 1": "<b>The dogs</b>", "corrupt 0": "The boy see"}
    )
    page = stage.show(widget)
    section = page.get_by_role("region", name="Prediction")
    select = section.get_by_role("combobox", name="Prompt")
    assert select.locator("option").all_text_contents() == [
        "clean 0: The boys see",
        "clean 1: <b>The dogs</b>",
        "corrupt 0: The boy see",
    ]
    select.focus()
    page.keyboard.press("ArrowDown")
    settle(page)
    assert get(page, "prompt") == "clean 1"
    assert values(section)["clean 1"] == "… → …", "all of it was of the former prompt"
    assert section.locator("tbody tr").first.locator("td").all_text_contents() == ["…", "…"]
    assert section.get_attribute("aria-busy") == "true"
    arrive(page, prediction={**widget.prediction, "prompt": "clean 1"})
    assert section.get_attribute("aria-busy") == "false"
    assert select.get_attribute("title") == "<b>The dogs</b>"
    arrive(page, live=False)
    assert select.is_disabled()
    arrive(page, prompt_texts={"clean 0": "The boys see"}, prompt="clean 0")
    assert not select.is_visible(), "there is nothing to choose"


def test_groups_are_python_s_sums(stage):
    widget = circuits.circuit(12, 20, listed=True)
    page = stage.show(widget)
    chosen = circuits.chosen_circuit()
    members = chosen.groups[0]["nodes"]
    arrive(page, selected=members)
    name = page.get_by_label("Group", exact=True)
    name.fill("number")
    press(page, "Group")
    assert sent(page) == [{"type": "group", "name": "number", "nodes": members}]
    arrive(
        page,
        groups=chosen.groups,
        group_source=chosen.group_source,
        group_target=chosen.group_target,
        group_weight=chosen.group_weight,
    )
    assert len(listed(page)) == 13 - 3 + 1
    row = page.locator(".iw-node-list tr", has=page.get_by_role("button", name="number", exact=True))
    assert row.locator("td").all_text_contents()[0] == "group"
    assert "+0.31" in row.text_content()
    assert "+0.4 answer" in row.text_content()
    assert page.locator(".iw-node h3").text_content() == 'group "number" of 3'
    name.fill("grammatical number")
    name.press("Tab")
    press(page, "Ungroup")
    assert sent(page)[1:] == [
        {"type": "group", "name": "grammatical number", "nodes": members},
        {"type": "ungroup", "name": "number"},
    ]
    press(page, "Switch off")
    assert get(page, "switches") == dict.fromkeys(members, 0)
    outside = len(
        [
            1
            for s, t in zip(*(np.frombuffer(getattr(widget, n), "<i4") for n in ("source", "target")), strict=True)
            if not {s, t} & {6, 7, 8}
        ]
    )
    assert page.locator(".iw-threshold .iw-amount").nth(1).text_content() == f"{outside + 2} of 20"


def test_the_card_of_an_atom_is_that_of_the_atoms_panel(stage):
    page = stage.show(circuits.chosen_circuit())
    card = page.get_by_role("region", name="Atom card")
    assert card.locator("h3").text_content() == page.locator(".iw-node h3").text_content()
    assert card.locator(".iw-examples li").count() > 10
    assert "corpus speeches: 250,000 of 1,000,000 tokens" in card.text_content()
    assert "Being measured" not in card.text_content()
    assert card.locator(".iw-chip").first.is_disabled(), "an atom that is not in the graph"
    arrive(page, selected=[get(page, "names")[7]])
    assert card.is_hidden(), "an error has none"
    arrive(page, selected=[get(page, "names")[2]])
    assert "Looking it up." in card.text_content()


def test_another_method_is_asked_for(stage):
    page = stage.show(circuits.circuit(5, 8))
    page.locator(".iw-choice label", has_text="exact").click()
    assert sent(page) == [{"type": "method", "method": "exact"}]
    assert page.get_by_role("radio", name="attribution", exact=True).is_checked(), "until Python has it"


# states


def test_the_curve_may_come_after_the_graph(stage):
    widget = circuits.circuit(40, 90)
    parts = ("ways", "curve_nodes", "curve_prefix", "curve", "baselines")
    later = {name: getattr(widget, name) for name in parts}
    widget.set_traits({name: type(value)() for name, value in later.items()})
    page = stage.show(widget)
    ways = page.get_by_role("group", name="Errors")
    assert ways.is_hidden()
    assert page.locator(".iw-carried").is_hidden()
    arrive(page, **later)
    assert ways.get_by_role("radio").count() == 3
    assert carried(page)[0] == "1.00 [0.94, 1.04]"
    arrive(page, ways=["nodes", "kept"])
    assert ways.get_by_role("radio").count() == 2


def test_empty_loading_and_nothing_left(stage):
    page = stage.show(CircuitWidget(model_name="m"))
    assert page.get_by_text("Type a clean and a corrupt prompt").is_visible()
    arrive(page, status=RUNNING)
    assert page.locator(".iw-empty[data-loading]").is_visible()
    page = stage.show(CircuitWidget(model_name="m", has_model=False))
    assert page.get_by_text("The graph has no nodes.").is_visible()
    widget = circuits.circuit(5, 8)
    page = stage.show(widget)
    arrive(page, hidden=widget.names)
    assert page.get_by_text("No node is shown at these thresholds.").is_visible()


def test_tokens_of_strangers_stay_text(stage):
    page = stage.show(circuits.circuit(30, 60, tokens=states.SCRIPTS + states.EVIL, labels={}))
    arrive(page, labels={get(page, "names")[1]: states.EVIL[0]}, selected=[get(page, "names")[1]])
    assert page.evaluate("window.pwned") is None
    assert states.EVIL[0] in page.locator(".iw-node h3").text_content()


def test_a_very_long_prompt_scrolls_inside(stage):
    page = stage.show(circuits.circuit(600, 900, tokens=[f" word{i}" for i in range(200)], layers=30))
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert page.locator(".iw-heat-frame").is_visible()
    assert page.locator(".iw-heat-rows span").count() < 40, "names do not lie on each other"
    before = in_sight(page)
    graph(page).press("Shift+ArrowRight")
    settle(page)
    assert in_sight(page) == before, "it starts at the end with the answer"
    graph(page).press("Shift+ArrowLeft")
    settle(page)
    assert in_sight(page) != before


def test_summed_positions_lie_side_by_side(stage):
    page = stage.show(circuits.circuit(40, 90, summed=True))
    assert page.locator(".iw-graph-columns").text_content() == "all positions"
    page.mouse.click(*node(page, "mlp_out.2 #3942"))
    settle(page)
    assert get(page, "selected") == ["mlp_out.2/3942"]
    assert get(page, "positions") == [], "there are none"
    assert page.locator(".iw-node h3").text_content() == "mlp_out.2 #3942"


def test_a_saved_page_answers_what_it_stores(show_saved):
    page = show_saved(circuits.chosen_circuit())
    page.get_by_role("slider", name="Nodes").fill("3")
    page.get_by_text("3 of 36").wait_for()
    assert carried(page)[0] == "0.29 [0.23, 0.33]"
    for name in ("Run", "Switch off", "All as they are"):
        assert page.get_by_role("button", name=name, exact=True).is_disabled()
    press(page, "Hide")
    assert "by hand" in hidden(page)
    page.mouse.move(*node(page, "answer"))


def test_curves_of_neurons_are_asked_for_until_they_are_there(stage):
    state = circuits.circuit(40, 90)
    there = state.baselines
    page = stage.show(circuits.circuit(40, 90, baselines=[]))
    page.get_by_role("button", name="Compare with MLP neurons").click()
    assert sent(page) == [{"type": "compare", "name": "neurons"}]
    arrive(page, baselines=[each for each in there if each["name"] == "MLP neurons"])
    assert page.get_by_role("button", name="Compare with MLP neurons").count() == 0
    assert page.get_by_role("button", name="Compare with coordinates").is_enabled()
    arrive(page, live=False)
    assert page.get_by_role("button", name="Compare with coordinates").is_disabled()
    arrive(page, baselines=there)
    assert page.get_by_role("button", name="Compare").count() == 0
