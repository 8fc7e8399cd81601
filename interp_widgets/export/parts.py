"""What several fragments have in common, taken out of them, so that a site can keep it in files of its own."""

from __future__ import annotations

import hashlib
import json
import re
from typing import NamedTuple

from ..panels.kept import unpack
from .html import script_text

LONG = 100_000
"""Characters of a packed text from which on it becomes a file: the chart library has 370,000."""

_STYLE = re.compile(r'<(style|script type="application/zlib") data-iw-style="(\w+)">(.*?)</(?:style|script)>\n?', re.S)
_MODULE = re.compile(r'<script type="application/(json|zlib)" data-iw-module="(\w+)">(.*?)</script>\n?', re.S)
_HOST = re.compile(r'<script type="module" data-iw-host="(\w+)">(.*?)</script>\n?', re.S)
_SPEC = re.compile(r'(<script type="application/x-interp-widget\+json">)(.*?)(</script>)', re.S)
_MAIN = re.compile(r"<main>\n(.*)\n</main>", re.S)

_DRAWN = ("id", "module", "shown", "state", "texts", "buffers")
"""What `host.js` reads of a widget."""


class Parts(NamedTuple):
    """A fragment without what it shares with others, and that by file name."""

    html: str
    files: dict[str, str]


def is_fragment(text: str) -> bool:
    """Whether a text holds what `fragment()` or `to_html` wrote, not yet taken apart."""
    return _HOST.search(text) is not None


def take_apart(text: str) -> Parts:
    """The parts of what `fragment()` or `to_html` wrote.

    The scripts among the files are plain ones, since from `file://` a browser loads no modules that are files. The one whose
    name ends in `-host.js` comes last in a page.
    """
    found = _MAIN.search(text)
    html = found[1] if found else text
    files = {f"{key}.css": css if kind == "style" else unpack(css).decode() for kind, key, css in _STYLE.findall(html)}
    files |= {
        f"{key}.js": _registered(key, source if kind == "json" else json.dumps(unpack(source).decode()))
        for kind, key, source in _MODULE.findall(html)
    }
    files |= {f"{key}-host.js": f"(() => {{{source}}})();\n" for key, source in _HOST.findall(html)}
    html = _HOST.sub("", _MODULE.sub("", _STYLE.sub("", html)))

    def apart(match: re.Match[str]) -> str:
        given = json.loads(match[2])
        spec = {name: given[name] for name in _DRAWN}
        for kind in ("texts", "buffers"):
            for name, packed in spec[kind].items():
                if len(packed) >= LONG:
                    key = hashlib.sha256(packed.encode()).hexdigest()[:12]
                    files[f"{key}.js"] = _registered(key, json.dumps(packed))
                    spec[kind][name] = f"file:{key}"
        return match[1] + script_text(spec) + match[3]

    return Parts(_SPEC.sub(apart, html), files)


def _registered(key: str, source: str) -> str:
    """A script that says what `key` stands for. `source`: JSON of a text. See `host.js`."""
    return f'(globalThis[Symbol.for("interp_widgets.files")] ??= {{}})["{key}"] = {source};\n'
