"""axe-core finds no violation: every panel, in the states that matter, on light and on dark pages."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from tests.browser import skip_or_fail
from tests.front import circuits, states
from tests.front.live import Stage

pytestmark = pytest.mark.browser

ROOT = Path(__file__).parent.parent.parent
WCAG = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
# No other rule can tell the themes apart.
RULES = {
    "light": {"type": "tag", "values": WCAG},
    "dark": {"type": "rule", "values": ["color-contrast", "link-in-text-block"]},
}
# Of pages as a whole, of which a panel is a part.
NOT_OURS = ["landmark-one-main", "page-has-heading-one", "region", "bypass", "heading-order"]

RUN = """
async ([only, off]) => {
  const rules = only.type === "tag" ? Object.fromEntries(off.map((id) => [id, { enabled: false }])) : {};
  const found = await axe.run(document.body, { runOnly: only, resultTypes: ["violations"], rules });
  const why = ({ any, all, none }) => [...any, ...all, ...none].map((check) => check.message).join("; ").slice(0, 200);
  const node = (each) => `    ${each.html.slice(0, 160)} ${why(each)}`;
  const violation = ({ id, help, nodes }) => [`${id}: ${help}`, ...nodes.slice(0, 4).map(node)].join("\\n");
  return [found.violations.map(violation), found.passes.length];
}
"""

RUNNING = {"state": "running", "message": "resid_post.12", "done": 31, "total": 90, "seconds": 4.2, "remote": None}
FAILED = {"state": "error", "message": "", "done": 0, "total": 0, "seconds": 1.0, "remote": None}
ERROR = "The text has 9 tokens and this panel shows at most 4."


def axe_source() -> str:
    named = os.environ.get("IW_AXE")
    path = Path(named) if named else ROOT / ".build/node/node_modules/axe-core/axe.min.js"
    return (
        path.read_text("utf-8") if path.exists() else skip_or_fail(f"no axe-core at {path}: `make types` installs it")
    )


def everything() -> dict[str, Any]:
    """A function for each state of each panel."""
    every: dict[str, Any] = {
        "lens": lambda **t: states.lens(layers=6, **t),
        "lens selected": lambda: states.lens(
            layers=6, cell=[3, 4], positions=[4], pins=[[7, 1003]], summary="A sentence."
        ),
        "lens of a part": lambda: states.lens([f"t{i}" for i in range(40)], layers=4, width=16, start=8),
        "lens far": lambda: states.lens(layers=3, **states.FAR, status=states.waiting()),
        "atoms": lambda **t: states.atoms(**t),
        "atoms unchosen": lambda: states.atoms(atom=-1, atoms=[], positions=[]),
        "attention": lambda **t: states.attention(**t),
        "attention selected": lambda: states.attention(positions=[4, 5], key_positions=[2], sort="induction"),
        "patching": lambda **t: states.patching(layers=6, extra=True, **t),
        "patching selected": lambda: states.patching(layers=6, cell=["resid_post", 3, 9], positions=[9], frozen=[4]),
        "patching half": lambda: states.patching(layers=6, done=2, status=RUNNING),
        "pairs": lambda **t: states.pairs(layers=6, **t),
        "pairs selected": lambda: states.pairs(layers=6, cell=["resid_post", 3, 9], positions=[9], pair=2),
        "steering": lambda **t: states.steering(**t),
        "steering stale": lambda: states.steering(stale=True, positions=[2]),
        "audit": lambda **t: states.audit(**t),
        "audit selected": lambda: states.audit(bin=9, listed=[3, 5], context=1, quantity="loss"),
        "shift": lambda **t: states.shift(**t),
        "agreement": lambda **t: states.agreement(layers=6, **t),
        "agreement selected": lambda: states.agreement(layers=6, cell=[3, 3], positions=[3]),
        "circuit": lambda **t: circuits.circuit(12, 20, **t),
        "circuit selected": circuits.chosen_circuit,
        "circuit listed": lambda: circuits.circuit(12, 20, listed=True, has_model=False, ways=[], methods=[]),
        "explorer": lambda **t: states.explorer(**t),
        "explorer beside": lambda: states.explorer(beside="attention", positions=[4]),
        "explorer patching": lambda: states.explorer(view="patching"),
        "examples": lambda **t: states.examples(**t),
        "examples none": lambda: states.examples(atoms=[], atom=-1, stored={}),
    }
    for name in [name for name in every if " " not in name]:
        if name != "explorer":  # which has parts
            every[f"{name} empty"] = lambda make=every[name]: type(make())(model_name="SmolLM2-135M")
        if name in ("lens", "patching", "steering", "explorer"):  # whose frame, grid, texts and tabs show it
            every[f"{name} running"] = lambda make=every[name]: make(status=RUNNING)
        every[f"{name} failed, saved"] = lambda make=every[name]: fail(make(status=FAILED, live=False))
    return every


def fail(widget: Any) -> Any:
    widget.error = ERROR
    return widget


def test_no_violation(open_page):
    """On a light page all rules; then the same panel on a dark page, where only colours can be wrong that were right before."""
    source, stage, wrong = axe_source(), Stage(open_page()), []
    for name, make in everything().items():
        page = stage.show(make(), lambda page: page.evaluate(source))
        page.add_style_tag(content=".iw, .iw * { transition: none !important; animation: none !important; }")
        for theme, rules in RULES.items():
            page.evaluate("(theme) => { document.body.dataset.theme = theme; }", theme)
            page.evaluate("(theme) => { document.body.style.background = theme === 'dark' ? '#111' : '#fff'; }", theme)
            violations, passes = page.evaluate(RUN, [rules, NOT_OURS])
            assert passes
            wrong += [f"{name}, {theme}: {violation}" for violation in violations]
    assert not wrong, "\n".join(wrong)


def test_axe_would_find_something(open_page):
    """A check that cannot fail says nothing."""
    source = axe_source()

    def spoil(page) -> None:
        page.evaluate(source)
        page.add_style_tag(content=".iw .iw-row-head { color: #ccc !important; }")

    page = Stage(open_page()).show(states.lens(), spoil)
    page.evaluate("document.querySelector('.iw-strip').removeAttribute('aria-label')")
    violations, _ = page.evaluate(RUN, [RULES["light"], NOT_OURS])
    found = {violation.split(":")[0] for violation in violations}
    assert {"color-contrast", "aria-input-field-name"} <= found
