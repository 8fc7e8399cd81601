"""Panels from a page, a notebook or an output: live again, with nothing computed and no model loaded."""

from __future__ import annotations

import json
import re
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import traitlets as t

from ..errors import KeptError
from ..widgets.base import Widget
from . import circuit_alone
from .asleep import SleepingExplorer, SleepingPanel, constructed
from .kept import unpack, unpack_frame
from .resume import CLASSES
from .source import Source

if TYPE_CHECKING:
    from ..session.session import Session

_PANELS = {**CLASSES, "Agreement": "agreement", "Explorer": "explorer", "Examples": "examples"}
_STATE = re.compile(r'<script type="application/x-interp-widget\+json"[^>]*>(.*?)</script>', re.S)
_REFERENCE = "anywidget:"
_KEYS = {"id": str, "state": dict, "texts": dict, "buffers": dict, "kept": dict}


def reopen(source: str | Path | dict[str, Any] | list[dict[str, Any]], model: Session | None = None) -> Any:
    """Panels of a saved page or notebook, live in this kernel. Nothing is computed, and no model is loaded until one needs it.

    `frame`, `selection`, `chart`, `code()`, `provenance` and exports answer from what is stored. The first click or call that needs
    more loads the model, computes the result again in the background, and then does what was asked. Nothing in the file is run.

    Args:
        source: the path of a page from `to_html` or of a notebook, the text of either, or what such a page holds of its panels.
        model: the model of the panels. Default: the one that they name, if it is on this machine.

    Returns:
        The panel, or a list of them where there are several.

    Raises:
        KeptError: there is no panel, or one that is damaged or that this version does not know.
    """
    panels = from_specs(_specs(source), Source(model))
    return panels[0] if len(panels) == 1 else panels


def from_specs(found: list[Any], source: Source) -> list[Any]:
    """The panels of what a page or an output holds, with their model from `source`. Raises KeptError."""
    specs = {spec["id"]: spec for spec in _checked(found)}
    reader = Reader(specs, source)
    panels = [reader.panel(spec) for spec in specs.values() if spec.get("shown", True)]
    if not panels:
        raise KeptError(
            "There is no panel in it. Give a page from panel.to_html, or a notebook that was saved with panels."
        )
    return panels


def _checked(specs: list[Any]) -> list[dict[str, Any]]:
    for spec in specs:
        if not isinstance(spec, dict) or not all(isinstance(spec.get(key), kind) for key, kind in _KEYS.items()):
            raise KeptError(
                "What was kept of a panel is not complete: pages and notebooks of earlier versions show their panels, but "
                "these cannot be made live again. Run the code that made them."
            )
    return specs


def _specs(source: Any) -> list[Any]:
    """What is kept in a source, still unchecked."""
    if isinstance(source, dict):
        return [source]
    if isinstance(source, list):
        return source
    text = str(source)
    if isinstance(source, Path) or ("<" not in text and "{" not in text):
        try:
            text = Path(source).read_text(encoding="utf-8")
        except (OSError, ValueError) as error:
            raise KeptError(f"{source} cannot be read: {error}. Give the path of a page or a notebook.") from error
    try:
        if text.lstrip().startswith("{"):
            text = "\n".join(_htmls(json.loads(text)))
        return [json.loads(each) for each in _STATE.findall(text)]
    except (ValueError, RecursionError) as error:
        raise KeptError(f"What was kept of a panel is damaged: {error}.") from error


def _htmls(notebook: Any) -> list[str]:
    """The HTML of all outputs of a notebook."""
    found = []
    for cell in notebook.get("cells", []) if isinstance(notebook, dict) else []:
        for output in cell.get("outputs", []):
            html = output.get("data", {}).get("text/html", "")
            found.append(html if isinstance(html, str) else "".join(map(str, html)))
    return found


class Reader:
    """Makes the panels of one source; those within another are made once."""

    def __init__(self, specs: dict[str, dict[str, Any]], source: Source) -> None:
        self._specs, self._source = specs, source

    def panel(self, spec: dict[str, Any]) -> Widget:
        kept = spec["kept"]
        name = kept.get("class")
        if not isinstance(name, str) or name not in _PANELS:
            raise KeptError(f"This version has no panel {name!r}; it has {', '.join(sorted(_PANELS))}.")
        cls = getattr(import_module(f".{_PANELS[name]}", __package__), name)
        traits = self.traits(cls, spec)
        try:
            if name == "Examples":
                return self._examples(cls, kept, traits)
            if name == "Circuit" and traits.get("has_model") is False:
                return self._graph(cls, kept, traits)
            return self._asleep(cls, kept, traits)
        except t.TraitError as error:
            raise KeptError(f"What was kept of {_origin(kept)} does not fit this version: {error}") from error

    def traits(self, cls: Any, spec: dict[str, Any]) -> dict[str, Any]:
        """The values of a panel's traits; only those that the browser sees as well."""
        known = {name: trait for name, trait in cls.class_traits(sync=True).items() if not name.startswith("_")}
        values = {
            **{name: self._value(known.get(name), value) for name, value in spec["state"].items()},
            **{name: unpack(value).decode(errors="replace") for name, value in spec["texts"].items()},
            **{name: unpack(value) for name, value in spec["buffers"].items()},
        }
        if unknown := sorted(set(values) - set(known)):
            raise KeptError(
                f"What was kept of {_origin(spec['kept'])} has {', '.join(unknown)}, which this version does not know. "
                "Install the version that wrote it, or run the code that made it."
            )
        return values | ({"live": True} if "live" in known else {})

    def _value(self, trait: Any, value: Any) -> Any:
        if isinstance(value, str) and value.startswith(_REFERENCE) and type(trait).__name__ == "WidgetTrait":
            part = self._specs.get(value.removeprefix(_REFERENCE))
            if part is None or part["kept"].get("class") == "Explorer":
                raise KeptError("What was kept of a panel refers to another one that is not there.")
            return self.panel(part)
        return _number(trait, value)

    def _asleep(self, cls: Any, kept: dict[str, Any], traits: dict[str, Any]) -> Widget:
        if not (isinstance(kept.get("arguments"), dict) and isinstance(kept.get("provenance"), dict)):
            raise KeptError(f"What was kept of {_origin(kept)} does not say what it was made of.")
        sleeper = SleepingExplorer if cls.__name__ == "Explorer" else SleepingPanel
        made = {
            "_awake_class": cls,
            "_constructed": constructed(cls),
            "__module__": cls.__module__,
            "__doc__": cls.__doc__,
        }
        sleeping = type(cls.__name__, (sleeper, cls), made)
        panel: Any = sleeping.__new__(sleeping)  # type: ignore[call-overload]
        panel._set_up()
        panel._kept, panel._source, panel._todo, panel._as_kept = kept, self._source, [], dict(traits)
        for leave in ("status", "error", "live"):
            panel._as_kept.pop(leave, None)
        Widget.__init__(panel, **traits)
        panel._quiet = False
        if sleeper is SleepingExplorer:
            panel._link()
        panel.on_msg(panel._on_message)
        return panel

    def _examples(self, cls: Any, kept: dict[str, Any], traits: dict[str, Any]) -> Widget:
        if not kept.get("frame"):
            raise KeptError(
                "The table of these examples was too large to be kept. Make the panel again from its table."
            )
        return cls(unpack_frame(kept["frame"]), atom=traits.get("atom"), name=traits.get("model_name", ""))

    def _graph(self, cls: Any, kept: dict[str, Any], traits: dict[str, Any]) -> Widget:
        panel: Widget = cls(circuit_alone.again(kept.get("graph")))
        panel.set_traits({name: value for name, value in traits.items() if name not in ("status", "error", "live")})
        return panel


def _number(trait: Any, value: Any) -> Any:
    """JSON has no NaN: where a number must be, null is one."""
    if isinstance(trait, t.Float):
        return float("nan") if value is None else value
    if isinstance(trait, t.List) and isinstance(value, list):
        return [_number(trait._trait, each) for each in value]
    return value


def _origin(kept: dict[str, Any]) -> str:
    return f"{kept.get('class')} by version {kept.get('version')}"
