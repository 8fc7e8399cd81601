"""What a panel is made of, as plain values, and a panel made of it again: so that a job survives the kernel that sent it."""

from __future__ import annotations

import inspect
import json
import uuid
from collections.abc import Callable
from dataclasses import replace
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl

from ..errors import AnswerGone
from ..graphs.graph import Graph

if TYPE_CHECKING:
    from ..sae.dictionary import Dictionary

PROMPTS = {"text": "text", "prompt": "text", "clean": "clean", "corrupt": "corrupt", "answer": "answer", "foil": "foil",
          "direction": "direction"}  # fmt: skip
"""Arguments that a person types over or chooses again -> the traits that hold them now."""
MOST = 200_000
"""Characters of one argument beyond which it is not kept."""


def remembering(init: Callable[..., None]) -> Callable[..., None]:
    """A constructor of a panel that notes what it was given."""

    @wraps(init)
    def remember(self: Any, *args: Any, **more: Any) -> None:
        if not hasattr(self, "_made_of"):  # a subclass has more to say
            self._made_of = inspect.signature(init).bind(self, *args, **more).arguments
        init(self, *args, **more)

    return remember


def recipe(panel: Any) -> dict[str, Any]:
    """The class and the arguments of a panel but for its model, with its present texts; and an id of this result."""
    given = {name: value for name, value in panel._made_of.items() if name not in ("self", "model")}
    arguments = given | typed(panel, given)
    return {
        "class": type(panel).__name__,
        "arguments": {name: _bounded(name, plain(value)) for name, value in arguments.items()},
        "result": uuid.uuid4().hex,
    }


def typed(panel: Any, given: dict[str, Any]) -> dict[str, str]:
    """The arguments that are texts, as they are now; an id of a token that was given stays one."""
    made = getattr(panel, "_awake_class", type(panel))
    known = set(inspect.signature(made.__init__).parameters)  # a class may be asked for its __new__ instead
    now = {name: getattr(panel, trait) for name, trait in PROMPTS.items() if name in known and panel.has_trait(trait)}
    texts = {name: text for name, text in now.items() if isinstance(text, str)}
    return {name: text for name, text in texts.items() if isinstance(given.get(name, text if text else None), str)}


def _bounded(name: str, value: Any) -> Any:
    """A plain value, unless it is too large for a ticket."""
    try:
        size = len(json.dumps(value))
    except (TypeError, ValueError):  # dates in a frame, and the like
        return {"kind": "lost", "what": f"{name} that no file can hold"}
    return value if size <= MOST else {"kind": "lost", "what": f"{name} of more than {MOST:,} characters"}


def plain(value: Any) -> Any:
    """A value as JSON has it; of what is only in memory, a note that it is lost."""
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, list):
        return [plain(item) for item in value]
    if isinstance(value, (tuple, range)):
        return {"kind": "tuple", "items": [plain(item) for item in value]}
    if isinstance(value, dict) and all(isinstance(key, str) for key in value):
        return {"kind": "dict", "items": {key: plain(item) for key, item in value.items()}}
    if isinstance(value, Graph):
        from . import circuit_alone

        return {"kind": "graph", **circuit_alone.plain(value)}
    if isinstance(value, pl.DataFrame):
        return {"kind": "frame", "items": value.to_dict(as_series=False)}
    if isinstance(value, Stand):
        return value.plain()
    return _of_torch(value)


class Stand:
    """Stands for a model or a dictionary where torch is not installed (see `session.recorded.shown`)."""

    def plain(self) -> dict[str, Any]:
        """What `plain` makes of what it stands for."""
        raise NotImplementedError


def _of_torch(value: Any) -> dict[str, Any]:
    from ..sae.dictionary import Dictionary
    from ..session.session import Session

    if isinstance(value, Dictionary):
        return _place(value)
    if isinstance(value, Session):
        said = json.loads(json.dumps(value.provenance(), default=str))
        return {"kind": "session", "what": f"a second session, on {value.name}", "provenance": said}
    return {"kind": "lost", "what": f"a {type(value).__name__} in memory"}


def again(value: Any) -> Any:
    """What `plain` has made plain.

    Raises:
        AnswerGone: it was only in memory, or its file is another one now.
        KeptError: a graph that is damaged, or was too large to be kept.
    """
    if isinstance(value, list):
        return [again(item) for item in value]
    if not isinstance(value, dict):
        return value
    kind = value.get("kind")
    if kind == "tuple":
        return tuple(again(item) for item in value["items"])
    if kind == "dict":
        return {key: again(item) for key, item in value["items"].items()}
    if kind == "frame":
        return pl.DataFrame(value["items"])
    if kind == "sae":
        return _dictionary(value)
    if kind == "graph":
        from . import circuit_alone

        return circuit_alone.again(value)
    raise AnswerGone(f"This panel cannot be made again: it was made of {value.get('what', 'what is not known')}.")


def _place(sae: Dictionary) -> dict[str, Any]:
    """Where a dictionary is found again."""
    from ..sae.load import bundled

    path, weights = sae.name, sae.origin.get("weights")
    if sae.name not in bundled():
        if not (weights and sae.reading and Path(weights).is_file()):
            return {"kind": "lost", "what": f"the dictionary {sae.name}, which is in no file"}
        path = str(Path(weights).resolve())
    return {
        "kind": "sae",
        "name": sae.name,
        "path": path,
        "site": sae.site,
        "site_out": sae.writes,
        "sha256": sae.origin.get("sha256"),
    }


def _dictionary(said: dict[str, Any]) -> Dictionary:
    from ..sae.load import bundled, load_sae

    bundles = said["path"] in bundled()
    sae = load_sae(said["path"], **({} if bundles else {"site": said["site"], "site_out": said["site_out"] or None}))
    if sae.origin.get("sha256") != said["sha256"]:
        raise AnswerGone(
            f"The file {said['path']} holds another dictionary than when the job was sent. Make a new panel."
        )
    return replace(sae, name=said["name"])  # one from the hub is known by its place there
