"""What VS Code, Colab and other hosts ask of a widget's module, as far as it can be read off the module.

They load it from a blob or data address, in a frame of its own, with no CDN that they share: so it must be whole, name no
address, and reach for nothing of a notebook around it. docs/hosts.md says which host was really run.
"""

from __future__ import annotations

import re

import pytest

from interp_widgets.widgets import front
from tests.hosts.modules import MODULES

NAMESPACE = "http://www.w3.org/2000/svg"
"""The one address that may stand in a module: a name, nothing is fetched from it."""

BREACHES = {
    "a static import": re.compile(r"^\s*import\b(?!\s*\()", re.M),
    "an import by address": re.compile(r"\bimport\s*\(\s*[\"'`]"),
    "an address": re.compile(r"(?:https?|wss?)://|[\"'`(]//\w"),
    "a request": re.compile(r"\bfetch\s*\(|XMLHttpRequest|EventSource|WebSocket|sendBeacon|importScripts"),
    "the notebook around it": re.compile(
        r"\bwindow\s*\.\s*(?:Jupyter|IPython|jupyterapp|parent|top)\b|\bgoogle\.colab\b|acquireVsCodeApi"
    ),
    "another module system": re.compile(r"\brequire\s*\(|\bdefine\s*\(|\bmodule\.exports\b|\bprocess\.env\b"),
    "what a frame of another origin refuses": re.compile(r"\b(?:localStorage|sessionStorage|indexedDB|document\.cookie)\b"),
    "code from text": re.compile(r"\beval\s*\(|new Function\s*\(|\.innerHTML\b|\.outerHTML\b|insertAdjacentHTML|document\.write"),
    "anywidget's experimental part": re.compile(r"\bexperimental\b"),
}  # fmt: skip


def breaches(module: str) -> list[str]:
    text = re.sub(r"/\*.*?\*/|(?<![:\"'])//[^\n]*", "", module.replace(NAMESPACE, ""), flags=re.S)
    return [what for what, pattern in BREACHES.items() if pattern.search(text)]


def test_every_module_of_the_front_end_is_here() -> None:
    entries = [file.name for file in front.FRONT.glob("*.js") if "export default {" in file.read_text(encoding="utf-8")]
    assert {front.module(name) for name in entries} == {text for name, text in MODULES.items() if name != "library"}


@pytest.mark.parametrize("name", MODULES)
def test_a_module_is_whole_and_asks_for_nothing(name) -> None:
    assert breaches(MODULES[name]) == []
    assert len(re.findall(r"^export default \{", MODULES[name], re.M)) == 1
    assert len(re.findall(r"^export\b", MODULES[name], re.M)) == 1, (
        "a named export is an older form, which hosts warn of"
    )


def test_the_stylesheet_asks_for_nothing() -> None:
    css = re.sub(r"/\*.*?\*/", "", front.stylesheet(), flags=re.S)
    assert not re.search(r"@import|url\s*\((?!\s*[\"']?data:)|//", css)


@pytest.mark.parametrize(
    ("line", "what"),
    [
        ('import { a } from "./a.js";', "a static import"),
        ('const a = await import("https://a.example/a.js");', "an import by address"),
        ('const a = "https://a.example/a.js";', "an address"),
        ('await fetch(place);', "a request"),
        ("window.Jupyter.notebook;", "the notebook around it"),
        ('require("a");', "another module system"),
        ('localStorage.getItem("a");', "what a frame of another origin refuses"),
        ('el.innerHTML = "a";', "code from text"),
        ("experimental.invoke(1);", "anywidget's experimental part"),
    ],
)  # fmt: skip
def test_a_breach_is_found(line, what) -> None:
    assert what in breaches(f"{line}\nexport default {{ render() {{}} }};\n")
