"""What a screen reader gets (Chromium's accessibility tree), and the page when it is zoomed, still, in few colours or in any script."""

from __future__ import annotations

import pytest

from interp_widgets.widgets.lens import LensWidget
from tests.front import states
from tests.front.keys import cell
from tests.front.live import Stage
from tests.front.pages import arrive, settle
from tests.front.test_axe import RUNNING, everything

pytestmark = pytest.mark.browser


def tree(page) -> list[dict]:
    """The nodes that a screen reader is told of: role, name, description, properties."""
    found = page.context.new_cdp_session(page).send("Accessibility.getFullAXTree")["nodes"]

    def plain(node: dict) -> dict:
        properties = {each["name"]: each["value"].get("value") for each in node.get("properties", [])}
        words = {key: node.get(key, {}).get("value", "") for key in ("role", "name", "description")}
        return words | {"properties": properties}

    return [plain(node) for node in found if not node["ignored"]]


def named(nodes: list[dict], role: str) -> list[str]:
    return [node["name"] for node in nodes if node["role"] == role]


# the tree


def test_a_grid_has_names_and_values(stage):
    page = stage.show(states.lens(layers=6, cell=[3, 4], positions=[4]))
    nodes = tree(page)
    assert named(nodes, "grid") == ["Most likely token at each layer and position"]
    cells = [node for node in nodes if node["role"] == "gridcell"]
    assert len(cells) == 6 * 8
    assert cells[3 * 8 + 4]["name"].endswith(', layer 3, 4: " in"')
    assert cells[3 * 8 + 4]["properties"]["selected"] is True
    assert cells[-1]["name"] == '·Paris 52%, layer 5 out, 7: " of"'
    assert named(nodes, "rowheader") == ["0", "1", "2", "3", "4", "5 out"]
    assert named(nodes, "columnheader")[:3] == ["layer", "The", "·Eiffel"]
    assert page.locator(".iw-grid").get_attribute("aria-rowcount") == "7"
    assert page.locator(".iw-grid").get_attribute("aria-colcount") == "9"


def test_the_focused_cell_tells_the_rest_once(stage):
    page = stage.show(states.lens(layers=6))
    cell(page, 3, 4).focus()
    page.keyboard.press("ArrowRight")
    settle(page)
    [focused] = [node for node in tree(page) if node["properties"].get("focused") and node["role"] == "gridcell"]
    assert focused["name"].endswith(', layer 3, 5: " the"')
    assert focused["description"].startswith("layer 3, position 5 · ")
    assert focused["name"] not in focused["description"]


@pytest.mark.parametrize(
    ("name", "role", "label", "says"),
    [
        ("atoms", "listbox", "Text tokens", ['token 4: " cabinet", #2779 1.01']),
        ("atoms", "listbox", "Activations in the corpus: active on 1,234 of 250,000 tokens. Most in one bin 400; 1.01 at the selected token", ["0.5 to 0.75: 200"]),
        ("atoms", "grid", "Activation of the pinned atoms at each token", ['10, atom #2779, 2: " to"']),
        ("attention", "listbox", "Heads", ["L2 H1"]),
        ("attention", "grid", "Attention of layer 2, head 1. Arrow keys move, Enter selects.", ['Query 9 "<img src=x onerror=window.pwned=2>" → key 0 "The": ']),
        ("patching", "grid", "Effect of patching each layer and position", []),
        ("pairs selected", "listbox", "Effect of each pair", ["pair 2: ", "from a random pair: pair 2: "]),
        ("steering", "listbox", "Strengths", ["strength 20, norm ratio 0.12: +1.00, random −1.00 [−1.25, −0.75]"]),
        ("audit", "listbox", "Atoms by the share of tokens at which they fire", ["7 atoms never fire"]),
        ("circuit", "listbox", "Graph of 13 nodes and 20 edges. Arrow keys go from node to node, Enter selects; plus, minus and 0 zoom, Shift and arrow keys move it.", ["answer"]),
        ("circuit", "listbox", "Circuits of 0 to 12 nodes, by what they carry", ["1 node: faithfulness 0.11 [0.05, 0.15], completeness 0.9"]),
        ("circuit", "grid", "Sum of |effect| by token and site. Arrow keys move, Enter shows the cell in the graph.", ['resid_post.3, token 0 "The": sum of |effect| 0']),
        ("agreement", "grid", "Agreement at each layer and position", ['·the 1.0e−7, layer 0, 0: "The"']),
    ],
)  # fmt: skip
def test_what_is_drawn_has_a_list_or_a_grid(stage, name, role, label, says):
    nodes = tree(stage.show(everything()[name]()))
    assert label in named(nodes, role)
    inside = named(nodes, {"listbox": "option", "grid": "gridcell"}[role])
    for said in says:
        assert any(each.startswith(said) for each in inside), (said, inside[:8])
    assert all(inside), "something has no name"


def test_the_pattern_follows_the_keys(stage):
    page = stage.show(states.attention())
    page.locator(".iw-pattern-scroll").focus()
    said = []
    for key in ("ArrowUp", "ArrowRight", "Home"):
        page.keyboard.press(key)
        active = page.locator(".iw-pattern-scroll").get_attribute("aria-activedescendant")
        said.append((active, page.locator(f"#{active}").get_attribute("aria-label")))
    assert [label.split(":")[0] for _, label in said] == [
        f'Query 8 "{states.EVIL[0]}" → key {key}' for key in ('0 "The"', '1 " Eiffel"', '0 "The"')
    ]
    assert said[0][0] != said[1][0], "the active cell must change, or nothing is read out"
    assert page.locator(".iw-pattern-scroll [role=row]:not([hidden])").get_attribute("aria-rowindex") == "9"


# the sentence on the result


def test_the_sentence_is_read_out_once_when_the_work_has_ended(stage):
    page = stage.show(LensWidget(model_name="m", status=RUNNING))
    summary = page.locator(".iw-summary")
    page.evaluate("""() => {
      window.spoken = [];
      const summary = document.querySelector(".iw-summary");
      new MutationObserver(() => { if (summary.getAttribute("aria-live") !== "off") window.spoken.push(summary.textContent); }).observe(summary, { childList: true });
    }""")
    assert summary.get_attribute("role") == "status"
    for i in range(3):
        arrive(page, summary=f"{i} so far.")
    assert summary.text_content() == "2 so far."
    assert page.evaluate("spoken") == []
    arrive(page, summary="All of it.")
    arrive(page, status={**RUNNING, "state": "done", "message": ""})
    settle(page)
    assert page.evaluate("spoken") == ["All of it."]
    arrive(page, error="It failed.", status={**RUNNING, "state": "error"})
    assert page.evaluate("spoken") == ["All of it."]
    assert page.locator(".iw-message").text_content() != summary.text_content()


def test_the_explorer_has_one_sentence(stage):
    page = stage.show(states.explorer(beside="attention"))
    shown = [each for each in page.locator(".iw-summary").all() if each.is_visible()]
    assert [each.text_content()[:24] for each in shown] == ['SmolLM2-135M predicts " ']
    said = [node for node in tree(page) if node["role"] == "status" and "SmolLM2" in node["name"]]
    assert len(said) <= 1


# zoom, motion, few colours

OVERFLOW = """() => {
  const wide = document.documentElement;
  const out = [];
  if (wide.scrollWidth > wide.clientWidth) out.push(`the page is ${wide.scrollWidth} of ${wide.clientWidth} wide`);
  const scrolls = (each) => each.closest(".iw-scroll, .iw-pattern-scroll, .iw-heads, .iw-pair-scroll, .iw-audit-scroll, .iw-strip, .iw-examples, select, .iw-explorer-part, .iw-graph, .iw-node-list, .iw-heat");
  const edge = document.querySelector(".iw").getBoundingClientRect().right + 1;
  for (const each of document.querySelectorAll(".iw *")) {
    if (!each.checkVisibility() || each.closest(".iw-unseen, svg, .iw-tip") || scrolls(each.parentElement)) continue;
    const box = each.getBoundingClientRect();
    if (box.width && box.right > edge) out.push(`sticks out: ${each.outerHTML.slice(0, 90)}`);
  }
  const controls = [...document.querySelectorAll(".iw :is(button, input, select, textarea, h3, legend)")]
    .filter((each) => each.checkVisibility() && !scrolls(each) && !each.matches(".iw-choice input") && !each.closest(".iw-prompts .iw-grow"));
  controls.forEach((a, i) => controls.slice(i + 1).forEach((b) => {
    const [x, y] = [a.getBoundingClientRect(), b.getBoundingClientRect()];
    const across = Math.min(x.right, y.right) - Math.max(x.left, y.left);
    const down = Math.min(x.bottom, y.bottom) - Math.max(x.top, y.top);
    if (across > 2 && down > 2 && !a.contains(b) && !b.contains(a)) out.push(`${a.outerHTML.slice(0, 60)} lies on ${b.outerHTML.slice(0, 60)}`);
  }));
  return out;
}"""

PANELS = [
    "lens selected",
    "atoms",
    "attention selected",
    "patching selected",
    "pairs selected",
    "steering",
    "audit",
    "agreement",
    "circuit selected",
    "circuit listed",
    "explorer",
    "examples",
    "shift",
]


def test_zoom_of_two_hundred_per_cent(browser):
    """640 CSS pixels, two device pixels each: a window of 1280 at 200 %. Inner grids may scroll, the page may not."""
    context = browser.new_context(viewport={"width": 640, "height": 450}, device_scale_factor=2)
    stage = Stage(context.new_page())
    wrong = {name: found for name in PANELS if (found := stage.show(everything()[name]()).evaluate(OVERFLOW))}
    context.close()
    assert wrong == {}


DOUBLE = """() => {
  const all = [...document.querySelectorAll(".iw *")];
  const sizes = all.map((each) => parseFloat(getComputedStyle(each).fontSize));
  all.forEach((each, i) => { each.style.fontSize = `${2 * sizes[i]}px`; });
}"""
CLIPPED = """() => [...document.querySelectorAll(".iw *")].filter((each) => {
  const style = getComputedStyle(each);
  const text = [...each.childNodes].some((node) => node.nodeType === 3 && node.data.trim());
  return text && each.checkVisibility() && !each.closest("svg, .iw-unseen, .iw-pattern, .iw-head-card, select, textarea") && style.overflowY === "hidden"
    && each.scrollHeight > each.clientHeight + 3;
}).map((each) => `${each.getAttribute("class")} ${each.parentElement.getAttribute("class")}: ${each.textContent.slice(0, 30)} ${each.scrollHeight}/${each.clientHeight}`)"""


def test_text_alone_at_two_hundred_per_cent(stage):
    """WCAG 1.4.4 by size of the text alone: lines are no lower than their text, and the page does not scroll sideways."""
    wrong = {}
    for name in PANELS:
        page = stage.show(everything()[name]())
        page.evaluate(DOUBLE)
        settle(page)
        if found := page.evaluate(CLIPPED) + page.evaluate(OVERFLOW):
            wrong[name] = found[:6]
    assert wrong == {}


def test_nothing_moves_for_who_asks_for_stillness(browser):
    context = browser.new_context(reduced_motion="reduce")
    stage = Stage(context.new_page())
    for widget in (LensWidget(status=RUNNING), states.lens(status=RUNNING), states.attention()):
        page = stage.show(widget)
        moving = page.evaluate("""[...document.querySelectorAll(".iw, .iw *")].filter((each) => {
          const style = getComputedStyle(each);
          return style.animationName !== "none" || style.scrollBehavior === "smooth" || style.transitionDuration.split(", ").some((time) => parseFloat(time));
        }).length""")
        assert moving == 0
    context.close()


def test_selection_and_focus_show_in_forced_colours(browser):
    context = browser.new_context(forced_colors="active")
    stage = Stage(context.new_page())
    outline = "(each) => getComputedStyle(each).outlineStyle"
    for name, selector in {
        "lens selected": ".iw-cell[aria-selected=true]", "atoms": ".iw-token[aria-selected=true]", "attention selected": ".iw-head-card[aria-selected=true]",
        "patching": ".iw-tab[aria-selected=true]", "explorer": ".iw-tab[aria-selected=true]", "pairs selected": ".iw-dot[aria-selected=true]",
        "audit selected": ".iw-density-column[aria-selected=true]", "steering": ".iw-curve-hit[aria-selected=true]", "lens": ".iw-choice input:checked + span",
        "agreement selected": ".iw-column-head[data-selected]",
    }.items():  # fmt: skip
        page = stage.show(everything()[name]())
        assert page.locator(selector).first.evaluate(outline) != "none", selector
    page = stage.show(states.lens(layers=6))
    page.keyboard.press("Tab")
    for target in (
        page.get_by_role("button", name="Run", exact=True),
        cell(page, 2, 2),
        page.get_by_role("option").first,
    ):
        target.focus()
        assert target.evaluate(outline) != "none"
    context.close()


# any script


def test_tokens_stand_in_the_order_of_their_positions(stage):
    """From left to right whatever their script is, also on a page that runs from right to left."""
    for direction in ("ltr", "rtl"):
        page = stage.show(
            states.lens(states.SCRIPTS, layers=4),
            lambda page, to=direction: page.evaluate(f"document.documentElement.dir = '{to}'"),
        )
        boxes = page.evaluate(
            "[...document.querySelectorAll('.iw-strip [role=option]')].map((each) => each.getBoundingClientRect()).map(({ left, top }) => [Math.round(top), left])"
        )
        lines: dict[int, list[float]] = {}
        for top, left in boxes:
            lines.setdefault(next((line for line in lines if abs(line - top) < 12), top), []).append(left)
        assert all(lefts == sorted(lefts) for lefts in lines.values())
        columns = page.evaluate(
            "[...document.querySelectorAll('.iw-column-head')].map((each) => each.getBoundingClientRect().left)"
        )
        assert columns == sorted(columns)


CONTROLS = """() => {
  const odd = /[\\u200b\\u200e\\u200f\\u202a-\\u202e\\u2067\\u00ad\\ufeff]/;
  const walk = document.createTreeWalker(document.querySelector(".iw"), NodeFilter.SHOW_TEXT);
  const out = [];
  for (let node = walk.nextNode(); node; node = walk.nextNode()) if (odd.test(node.data)) out.push(node.data);
  for (const each of document.querySelectorAll(".iw *")) for (const { name, value } of each.attributes) if (odd.test(value) && name !== "data-value") out.push(`${name}: ${value}`);
  return out;
}"""


@pytest.mark.parametrize("make", [
    lambda tokens: states.lens(tokens, layers=4), states.atoms, states.attention, states.steering,
    lambda tokens: states.agreement(tokens, layers=4),
], ids=["lens", "atoms", "attention", "steering", "agreement"])  # fmt: skip
def test_no_token_hides_or_turns_anything(stage, make):
    page = stage.show(make(states.SCRIPTS))
    assert page.evaluate(CONTROLS) == [], "what turns text or cannot be seen is written by its code"
    strip = page.locator(".iw-strip").first
    assert "\\u202eevil" in strip.text_content()
    assert "👩\u200d🔬" in strip.text_content(), "an emoji stays whole"
    assert "◌\u0301" in strip.text_content(), "a mark alone has something to stand on"
    assert page.evaluate(OVERFLOW) == []
    isolated = page.evaluate(
        "[...document.querySelectorAll('.iw-token')].every((each) => getComputedStyle(each).unicodeBidi === 'plaintext')"
    )
    assert isolated


def test_a_sentence_keeps_its_order_around_an_arabic_token(stage):
    page = stage.show(states.lens(states.SCRIPTS, layers=4))
    cell(page, 2, 1).hover()
    option = page.get_by_role("option").nth(1)
    assert option.get_attribute("title") == '1: \u2068" مدينة"\u2069, id 101'
    assert option.get_attribute("aria-label") == 'token 1: \u2068" مدينة"\u2069'
    box = page.evaluate("""() => {
      const line = document.querySelector(".iw").appendChild(document.createElement("p"));
      line.textContent = document.querySelectorAll(".iw-strip [role=option]")[1].title;
      const range = document.createRange();
      const at = (from, to) => { range.setStart(line.firstChild, from); range.setEnd(line.firstChild, to); return range.getBoundingClientRect().left; };
      return [at(0, 1), at(5, 9), at(line.textContent.length - 3, line.textContent.length)];
    }""")
    assert box == sorted(box), "position, token, id: from left to right"
