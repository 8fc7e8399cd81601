"""The linker: plain ES modules in `front/` become the one module that anywidget wants.

anywidget loads `_esm` from a blob URL, where `import "./x.js"` cannot resolve. So the files an entry imports
are concatenated in dependency order, each once, without their import lines and `export` keywords. That is only
the same program while every import is by plain name and no two files define the same top-level name:
anything else is refused here, when the class is defined, and not in somebody's browser.
"""

from __future__ import annotations

import os
import re
import threading
from functools import cache
from pathlib import Path
from typing import Any

FRONT = Path(__file__).parent.parent / "front"

_IMPORT = re.compile(r'^import\s*\{(?P<names>[^}]*)\}\s*from\s*"\./(?P<file>[\w-]+\.js)";[ \t]*\n', re.M)
_ANY_IMPORT = re.compile(r"^\s*import\b(?!\.).*", re.M)
_LITERAL_IMPORT = re.compile(r"""\bimport\s*\(\s*["'`][^)\n]*""")
_ABOVE = re.compile(r"^[ \t]*/\*\*(?:[^*]|\*(?!/))*\*/[ \t]*\n", re.M)
"""A JSDoc comment with lines of its own: types and explanations, a quarter of what each widget would carry."""
_COMMENT = re.compile(r"/\*.*?\*/|^\s*//.*", re.M | re.S)
_EXPORT = re.compile(r"^export (?=(?:async function|function|const|let|class)\b)", re.M)
_ANY_EXPORT = re.compile(r"^export\b.*", re.M)
_NAME = re.compile(r"^(?P<export>export )?(?:async function|function|const|let|class)\*? +(?P<name>[\w$]+)", re.M)
_UNNAMED = re.compile(r"^(?:export )?(?:var\b|(?:const|let) *[\[{]).*", re.M)


class LinkError(ValueError):
    """A front-end file is written in a way that the linker cannot join; says which file and which line."""


@cache
def module(name: str) -> str:
    """The text of `front/<name>` with everything it imports, as one self-contained ES module."""
    return link(FRONT, name)


@cache
def stylesheet() -> str:
    """The one stylesheet of all widgets."""
    return (FRONT / "interp.css").read_text(encoding="utf-8")


def link(folder: Path, name: str) -> str:
    """Join `folder/name` and the files it imports, dependencies first."""
    sources = _sources(folder, name)
    owner: dict[str, str] = {}
    for file, source in sources.items():
        for match in _NAME.finditer(source):
            if (first := owner.setdefault(match["name"], file)) != file:
                raise LinkError(
                    f"{first} and {file} both define {match['name']}: rename one, linked files share a scope."
                )
    return "\n".join(f"// {file}\n{_body(file, source, file == name)}" for file, source in sources.items())


def _sources(folder: Path, name: str) -> dict[str, str]:
    """Text of every file needed, in the order in which they must run."""
    done: dict[str, str] = {}

    def visit(file: str, path: tuple[str, ...]) -> None:
        if file in path:
            raise LinkError(f"import cycle: {' -> '.join([*path, file])}")
        if file in done:
            return
        if not (folder / file).is_file():
            raise LinkError(f"{path[-1] if path else 'the linker'} asks for {file}, which is not in {folder.name}/")
        source = (folder / file).read_text(encoding="utf-8")
        for match in _IMPORT.finditer(source):
            visit(match["file"], (*path, file))
            _check_names(file, match, done[match["file"]])
        done[file] = source

    visit(name, ())
    return done


def _check_names(file: str, match: re.Match[str], dependency: str) -> None:
    exported = {m["name"] for m in _NAME.finditer(dependency) if m["export"]}
    for name in filter(None, (n.strip() for n in match["names"].split(","))):
        if name not in exported:
            raise LinkError(f'{file}: cannot import "{name}" from {match["file"]}: it exports {sorted(exported)}')


def _body(file: str, source: str, is_entry: bool) -> str:
    """A file without its import lines and without the comments above its parts; a dependency also without `export`."""
    source = _ABOVE.sub("", _IMPORT.sub("", source))
    code = _COMMENT.sub("", source)  # types in comments may import
    if bad := _ANY_IMPORT.search(code) or _LITERAL_IMPORT.search(code) or _UNNAMED.search(code):
        advice = 'write import { a, b } from "./file.js"; and name each top-level value'
        raise LinkError(f'{file}: cannot link "{bad[0].strip()}": {advice}')
    source = _EXPORT.sub("", source)
    if (bad := _ANY_EXPORT.search(source)) and not (is_entry and bad[0].startswith("export default ")):
        raise LinkError(
            f'{file}: cannot link "{bad[0].strip()}": export functions, classes and constants where they are defined'
        )
    return source


def watch() -> threading.Thread:
    """For development: when a file in `front/` changes, give every live widget the new text; the views redraw themselves.

    Needs `watchfiles`. Setting the environment variable IW_WATCH=1 before the import does the same.
    """
    from watchfiles import watch as changes

    def follow() -> None:
        for _ in changes(FRONT):
            refresh()

    thread = threading.Thread(target=follow, name="interp-widgets-front", daemon=True)
    thread.start()
    return thread


def refresh() -> None:
    """Link again and give the result to every live widget and to the classes of those to come.

    A file that cannot be linked keeps its former text; a panel says what is wrong with it.
    """
    import ipywidgets

    module.cache_clear()
    stylesheet.cache_clear()
    live = list(ipywidgets.widgets.widget._instances.values())
    for one in [*_classes(ipywidgets.DOMWidget), *live]:
        if name := entry(vars(one).get("_esm") if isinstance(one, type) else getattr(one, "_esm", None)):
            try:
                one._esm, one._css = module(name), stylesheet()
            except LinkError as error:
                if hasattr(one, "error"):
                    one.error = str(error)


def _classes(base: Any) -> list[Any]:
    """All classes below a class."""
    found = []
    for cls in base.__subclasses__():
        found += [cls, *_classes(cls)]
    return found


def entry(text: object) -> str | None:
    """The file of ours that a linked module was made for: it comes last. None for any other text."""
    names = re.findall(r"^// ([\w-]+\.js)$", text, re.M) if isinstance(text, str) else []
    return names[-1] if names and (FRONT / names[-1]).exists() else None


if os.environ.get("IW_WATCH"):
    watch()
