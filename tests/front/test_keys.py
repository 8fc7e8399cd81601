"""Every mouse action has a key, the focus is never lost, and what a pointer reads by resting can be read without one."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.front import circuits, states
from tests.front.keys import LISTENERS, ROWS
from tests.front.pages import settle
from tests.front.test_axe import everything

pytestmark = pytest.mark.browser

DOCS = Path(__file__).parent.parent.parent / "docs/accessibility.md"

RECORD = """(selector) => ({
  sent: [model, ...Object.values(parts)].flatMap((each) => each.sent),
  saved: [model, ...Object.values(parts)].map((each) => Object.fromEntries([...new Set(each.saved)].sort().map((name) => [name, each.get(name)]))),
  read: selector ? [...document.querySelectorAll(selector)].filter((each) => each.checkVisibility()).map((each) => each.textContent)[0] ?? "" : "",
  focus: document.activeElement?.closest(".iw") ? "in" : "lost",
})"""

LISTEN = """() => {
  const kinds = /^(click|dblclick|contextmenu|wheel|mouse|pointer|drag|drop|touch)/;
  const add = EventTarget.prototype.addEventListener;
  window.heard = new Set();
  EventTarget.prototype.addEventListener = function (type, ...rest) {
    if (this instanceof Element && kinds.test(type)) window.heard.add(`${type} ${this.getAttribute("class")?.split(" ")[0] || this.tagName.toLowerCase()}`);
    return add.call(this, type, ...rest);
  };
}"""

REDRAW = """async () => {
  const frame = () => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)));
  const focusable = () => [...document.querySelectorAll(".iw :is(button, input, select, textarea, a[href], [tabindex='0'])")]
    .filter((each) => !each.disabled && each.checkVisibility() && getComputedStyle(each).visibility === "visible");
  const name = (each) => `${each.tagName} ${each.getAttribute("class")} ${each.getAttribute("aria-label") ?? each.textContent.slice(0, 30)}`;
  const lost = [];
  for (let i = 0, all = focusable(); i < all.length; i++) {
    all = focusable();
    all[i]?.focus();
    if (!all[i] || document.activeElement !== all[i]) continue;
    const before = name(all[i]);
    for (const each of [model, ...Object.values(parts)]) for (const trait of each.traits()) each.fire(trait);
    await frame();
    if (name(document.activeElement) !== before) lost.push(`${before} -> ${name(document.activeElement)}`);
  }
  return lost;
}"""

HIDDEN = """() => [...document.querySelectorAll(".iw [title]")].filter((each) => {
  const said = each.getAttribute("title");
  const text = document.querySelector(".iw").textContent;
  return each.checkVisibility() && !each.closest("[aria-hidden=true], [data-walk]") && !each.matches(":disabled, :has(:disabled), [tabindex], button, input, select, textarea, a")
    && !each.matches("[role=columnheader], [role=rowheader]") && !text.includes(said);
}).map((each) => each.outerHTML.slice(0, 120))"""


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row.panel}: {row.what}")
def test_the_keys_do_what_the_mouse_does(stage, row):
    found = []
    for act in (row.by_mouse, row.by_keys):
        page = stage.show(row.show())
        page.mouse.move(0, 0)
        said = act(page)
        settle(page)
        settle(page)
        record = page.evaluate(RECORD, row.reads)
        found.append({**record, "read": said or record["read"]})
    mouse, keys = found
    assert mouse["sent"] or any(mouse["saved"]) or mouse["read"], "the mouse does nothing here"
    assert (keys["sent"], keys["saved"], keys["read"]) == (mouse["sent"], mouse["saved"], mouse["read"])
    assert keys["focus"] == "in"


def test_no_pointer_is_listened_to_without_a_key(stage):
    known = {row.what for row in ROWS} | {"a button"}
    assert set(LISTENERS.values()) <= known
    heard = set()
    for show in (states.lens, states.atoms, states.attention, states.patching, states.pairs, states.steering, states.audit,
                 states.agreement, circuits.circuit, states.explorer, states.examples, states.shift):  # fmt: skip
        page = stage.show(show(), lambda page: page.evaluate(LISTEN))
        heard |= set(page.evaluate("[...window.heard]"))
    assert heard - set(LISTENERS) == set()
    assert set(LISTENERS) - heard == set(), "no longer listened to"


def test_nothing_is_told_to_a_resting_pointer_alone(stage):
    wrong = {}
    for name, make in everything().items():
        if "running" in name or "empty" in name:
            continue
        if hidden := stage.show(make()).evaluate(HIDDEN):
            wrong[name] = hidden
    assert wrong == {}


@pytest.mark.parametrize("name", ["lens selected", "atoms", "attention selected", "patching selected", "pairs selected", "steering", "audit selected", "agreement selected", "circuit selected", "shift", "explorer"])  # fmt: skip
def test_a_redraw_does_not_take_the_focus(stage, name):
    page = stage.show(everything()[name]())
    assert page.evaluate(REDRAW) == []


@pytest.mark.parametrize("name", ["lens selected", "attention", "patching selected", "circuit selected", "explorer"])
def test_tab_goes_through_in_order_and_out(stage, name):
    """Every stop once, from top to bottom as the document has them, and then what follows in the page: no trap."""
    page = stage.show(everything()[name]())
    page.evaluate(
        "document.body.append(Object.assign(document.createElement('button'), { id: 'after', textContent: 'after' }))"
    )
    order = "() => [...document.querySelectorAll('*')].indexOf(document.activeElement)"
    page.evaluate("document.activeElement.blur()")
    stops = []
    for _ in range(120):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.id === 'after'"):
            break
        stops.append(page.evaluate(order))
        outline = page.evaluate(
            "(({ outlineStyle, stroke }) => outlineStyle !== 'none' || stroke !== 'none')(getComputedStyle(document.activeElement))"
        )
        ringed = outline or page.evaluate(
            "getComputedStyle(document.activeElement.nextElementSibling ?? document.body).outlineStyle !== 'none'"
        )
        assert ringed, page.evaluate("document.activeElement.outerHTML.slice(0, 150)")
    else:
        pytest.fail("Tab never leaves the panel")
    assert len(stops) > 8
    assert stops == sorted(set(stops))


def test_the_tip_shows_on_focus_and_escape_hides_it(stage):
    page = stage.show(states.attention())
    button = page.get_by_role("button", name="Value-weighted")
    page.keyboard.press("Tab")
    button.focus()
    settle(page)
    assert page.locator(".iw-tip").text_content() == button.get_attribute("title")
    box, at = page.locator(".iw-tip").bounding_box(), button.bounding_box()
    assert 0 <= box["y"] - (at["y"] + at["height"]) < 12
    page.keyboard.press("Escape")
    assert page.locator(".iw-tip").is_hidden()


def test_the_documentation_has_this_table():
    text = DOCS.read_text("utf-8")
    for row in ROWS:
        assert f"| {row.what} | {row.mouse} | {row.keys} |" in text, (
            f"{row.panel}: | {row.what} | {row.mouse} | {row.keys} |"
        )
