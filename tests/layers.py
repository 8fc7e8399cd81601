"""The layers of the package, and the two ways to find a breach of them. test_layers.py applies them.

    errors <- frames <- session, sae <- methods, lab      torch world    (no altair, no ipywidgets)
                     <- graphs                            files          (torch inside functions only)
                     <- views                             altair world   (no torch, no ipywidgets)
                     <- widgets (+ front)                 browser world  (no torch, no nnsight, no altair)
                              all of these <- panels <- export, __init__ <- sphinx

`written` reads the source, imports inside functions included. `run` starts a fresh interpreter in which the forbidden packages
do not exist and imports the layer there; this also catches what comes in through a module of ours two steps away.
"""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

PACKAGE = "interp_widgets"
TORCH = {"torch", "transformers", "nnsight"}
BROWSER = {"ipywidgets", "anywidget"}
ALTAIR = {"altair", "vl_convert"}  # vl_convert alone is only the Vega library as text: widgets hand it to the browser


@dataclass(frozen=True)
class Layer:
    """What a layer may import of ours, and which packages it must not need."""

    ours: set[str]
    forbidden: set[str]


_BASE = {"errors", "frames", "importing", "progress", "writing"}
_TORCH_WORLD = _BASE | {"session", "sae", "methods", "lab"}
LAYERS = {
    "errors": Layer(set(), TORCH | BROWSER | ALTAIR | {"polars"}),
    "frames": Layer({"errors"}, TORCH | BROWSER | ALTAIR),
    "progress": Layer(set(), TORCH | BROWSER | ALTAIR | {"polars"}),
    "writing": Layer(set(), TORCH | BROWSER | ALTAIR | {"polars"}),
    "importing": Layer(set(), TORCH | BROWSER | ALTAIR | {"polars"}),
    "graphs": Layer(_BASE, {"transformers", "nnsight"} | BROWSER | ALTAIR),
    "session": Layer(_BASE, BROWSER | ALTAIR),
    "sae": Layer(_BASE | {"session"}, BROWSER | ALTAIR),
    "methods": Layer(_BASE | {"session", "sae"}, BROWSER | ALTAIR),
    "lab": Layer(_TORCH_WORLD, BROWSER | ALTAIR),
    "views": Layer(_BASE, TORCH | BROWSER),
    "widgets": Layer(_BASE | {"front"}, TORCH | {"altair"}),
    "panels": Layer({*_TORCH_WORLD, "graphs", "views", "widgets", "front"}, set()),
    "export": Layer({*_TORCH_WORLD, "graphs", "views", "widgets", "front", "panels"}, set()),
    "sphinx": Layer({"export"}, TORCH | ALTAIR),
}
NNSIGHT_ONLY_IN = "session"
EXCEPTIONS = {
    # The class of the bundled model: `iw.load("modadd-59")` needs it as it needs transformers for the others.
    ("session/load.py", "lab.modadd"),
    # The same model recorded: its tokenizer is of a class of ours, too.
    ("session/recorded/facts.py", "lab.modadd"),
    # `panel.to_html(path)` and its sisters are methods of the contract; the writers are imported when they are called.
    ("panels/sharing.py", "export.html.to_html"),
    ("panels/sharing.py", "export.html.fragment"),
    ("panels/sharing.py", "export.figure.save"),
    # What a panel puts into a notebook's output; imported when it is displayed.
    ("panels/sharing.py", "export.output.display"),
    # What a recording keeps of a panel is what a page would hold.
    ("panels/recording.py", "export.html.spec"),
}


def modules(root: Path, layer: str) -> dict[str, Path]:
    """Dotted name to file for each Python file of a layer of the package below `root`."""
    home = root / PACKAGE
    files = [home / f"{layer}.py"] if (home / f"{layer}.py").exists() else sorted((home / layer).rglob("*.py"))
    return {_dotted(root, file): file for file in files}


def written(root: Path, layer: str) -> list[str]:
    """Breaches in the source of a layer, one sentence each."""
    rule, found = LAYERS[layer], []
    for name, file in modules(root, layer).items():
        short = file.relative_to(root / PACKAGE).as_posix()
        for target in imports(file, name):
            top, _, rest = target.partition(".")
            if top == PACKAGE:
                part = rest.partition(".")[0]
                legal = not part or part == layer or part in rule.ours or part not in LAYERS
                if not legal and (short, rest) not in EXCEPTIONS:
                    found.append(f"{short} imports {PACKAGE}.{rest}")
            elif top in rule.forbidden or (top == "nnsight" and layer != NNSIGHT_ONLY_IN):
                found.append(f"{short} imports {top}")
    return found


def run(root: Path, layer: str) -> str:
    """The traceback of importing a layer where its forbidden packages do not exist; empty when all is well."""
    script = f"""
import importlib, sys
forbidden = {LAYERS[layer].forbidden!r}
class Without:
    def __init__(self, finder):
        self.finder = finder
    def find_spec(self, name, path=None, target=None):
        return None if name.partition(".")[0] in forbidden else self.finder.find_spec(name, path, target)
    def __getattr__(self, name):
        return getattr(self.finder, name)
sys.meta_path[:] = map(Without, sys.meta_path)
sys.path.insert(0, {str(root)!r})
for name in {sorted(modules(root, layer))!r}:
    importlib.import_module(name)
"""
    return fresh(script)


def fresh(script: str) -> str:
    """Run a script in a new interpreter; its standard error when it failed, else an empty string."""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=240)
    return done.stderr or f"exit {done.returncode}" if done.returncode else ""


def imports(file: Path, name: str) -> Iterator[str]:
    """Every module that a file imports, as an absolute dotted name; not what only a type checker reads."""
    tree = ast.parse(file.read_text(encoding="utf-8"))
    package = name.split(".") if file.name == "__init__.py" else name.split(".")[:-1]
    for node in _outside_type_checking(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            stem = ".".join([*base, *([node.module] if node.module else [])])
            yield from (f"{stem}.{alias.name}" if stem.startswith(PACKAGE) else stem for alias in node.names)


def _outside_type_checking(node: ast.AST) -> Iterator[ast.AST]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test):
            continue
        yield child
        yield from _outside_type_checking(child)


def _dotted(root: Path, file: Path) -> str:
    return ".".join(file.relative_to(root).with_suffix("").parts).removesuffix(".__init__")
