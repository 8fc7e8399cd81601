"""Panels of a recording where torch is not installed: the same classes, with states that were recorded in place of computing.

A panel of this kind looks up the state of its arguments. A choice or a request that was recorded brings the state that it led to;
any other leaves what is there and says that it was not recorded.
"""

from __future__ import annotations

import inspect
from typing import Any, ClassVar

import polars as pl
import traitlets as t

from ..errors import NotRecorded
from ..graphs.graph import Graph
from ..session.recorded.places import local
from ..session.recorded.shown import Shown
from ..widgets.base import Widget
from .agreement import Agreement as _Agreement
from .asleep import SleepingPanel, constructed
from .atoms import Atoms as _Atoms
from .attention import Attention as _Attention
from .audit import Audit as _Audit
from .circuit import Circuit as _Circuit
from .explorer import Explorer as _Explorer
from .followed import CONTEXT, FOLLOWED, Answer
from .lens import Lens as _Lens
from .pairs import PatchingPairs as _PatchingPairs
from .patching import Patching as _Patching
from .recipe import PROMPTS, Stand, plain, typed
from .recording import TEXTS, canonical
from .reopen import Reader
from .shift import Shift as _Shift
from .steering import Steering as _Steering


class Recalled(SleepingPanel):
    """Goes before the class of a panel, as in `class Lens(Recalled, Lens)`."""

    session: Any
    _states: list[dict[str, Any]]
    """Of the present arguments."""
    _now: dict[str, Any]
    """The one of them whose result is shown."""
    _taking = False
    """Whether traits are set from a state, so that no choice is to be answered."""

    def __init__(self, model: Shown, *args: Any, **more: Any) -> None:
        panel: Any = self
        cls = panel._awake_class
        given = inspect.signature(cls.__init__).bind(self, model, *args, **more).arguments
        panel._set_up()
        panel._session, panel._source, panel._todo, panel._as_kept = model, None, [], {}
        panel._made_of, panel._kept, panel._states, panel._now = given, {}, [NOTHING], NOTHING
        panel.sae = next((value for value in given.values() if isinstance(value, Stand)), None)
        texts = {trait: given[name] for name, trait in {**PROMPTS, **LOOKS}.items() if isinstance(given.get(name), str)}
        known = {name: value for name, value in texts.items() if panel.has_trait(name)}
        Widget.__init__(panel, model_name=model.name, recorded=model.recorded, **known)
        panel._quiet = False
        panel.on_msg(panel._on_message)
        if cls.__name__ in WITHOUT_TEXT or any(getattr(panel, name, "") or given.get(name) for name in TEXTS):
            self._recall()

    # results

    def _recall(self: Any, again: bool = False) -> None:
        """Show the result of the present arguments.

        Raises:
            NotRecorded: there is none; what is shown stays.
        """
        given = {name: value for name, value in self._made_of.items() if name not in ("self", "model")}
        asked = canonical(
            self._awake_class, {name: plain(value) for name, value in {**given, **typed(self, given)}.items()}
        )
        for at, row in enumerate(self._session.panels):
            if row.get("class") == self._awake_class.__name__ and _same(row.get("arguments"), asked):
                results = [state for state in self._session.states(at) if state["message"] is None]
                first = next((state for state in results if not again or self._in_context("run", state)), None)
                if first is not None:
                    self._states, self._now = self._session.states(at), first
                    self._take(first)
                    return
        about = next((repr(getattr(self, name)) for name in TEXTS if getattr(self, name, "")), "these arguments")
        self._session.missing(f"{self._awake_class.__name__} on {about}")

    def _take(self: Any, state: dict[str, Any], names: Any = None) -> None:
        """Show a state, or some traits of it."""
        values = Reader({}, self._source).traits(self._awake_class, state)
        chosen = {name: values[name] for name in values if (names is None or name in names) and self.has_trait(name)}
        self._taking = True
        try:
            with self.hold_sync(), self.hold_trait_notifications():
                self.set_traits({**chosen, "error": "", "live": True, "recorded": self._session.recorded})
        finally:
            self._taking = False

    def _holds(self: Any, what: str, traits: tuple[str, ...]) -> bool:
        """Whether something was kept of what is shown now. What is found is the present `_kept`."""
        for state in [self._now, *self._alike()]:
            shown = state["state"]
            if state["kept"].get(what) and all(
                shown.get(name) == getattr(self, name) for name in traits if name in shown
            ):
                self._kept = state["kept"]
                return True
        return False

    def _alike(self: Any) -> list[dict[str, Any]]:
        """States of the same result: those between two requests."""
        at, states = self._states.index(self._now), self._states
        asked = [i for i, state in enumerate(states) if state["message"] is not None]
        first = max((i for i in asked if i <= at), default=0)
        last = min((i for i in asked if i > at), default=len(states))
        return list(states[first:last])

    @property
    def chart(self) -> Any:
        self._as_kept = self._now["state"]
        return super().chart

    def code(self) -> str:
        return str(local(super().code()))

    @property
    def provenance(self) -> dict[str, Any]:
        said = self._now["kept"].get("provenance") or self._session.provenance()
        return {**local(said), **self._session.mark(said)}

    def _to_keep(self: Any) -> dict[str, Any]:
        given = {name: plain(value) for name, value in self._made_of.items() if name not in ("self", "model")}
        return {"class": self._awake_class.__name__, "arguments": {**given, **typed(self, given)}, **self._now["kept"]}

    @property
    def asleep(self) -> bool:
        return False

    def _awake(self) -> None:
        self.session.missing(f"this part of what {type(self).__name__} can show")

    def _begin(self: Any) -> Any:
        """Show the result of the present texts; what is missing is told in the panel, as by a job."""
        with self._showing_errors():
            self._recall()
        return _Done()

    _start = _begin

    def run(self: Any) -> None:
        self._recall()

    def cancel(self) -> None:
        """Nothing runs."""

    # requests

    def _on_message(self: Any, widget: Any, content: dict[str, Any], buffers: Any) -> None:
        with self._showing_errors():
            if content.get("type") in ("run", "turn"):  # other arguments
                self._run_again({name: value for name, value in content.items() if name != "type"})
            elif content.get("type") not in ("cancel", None):
                self._answer(content)

    def _run_again(self: Any, texts: dict[str, str]) -> None:
        before = {name: getattr(self, name) for name in texts if self.has_trait(name)}
        self.set_traits({name: value for name, value in texts.items() if name in before})
        try:
            self._recall(again=True)
        except NotRecorded:
            self.set_traits(before)
            raise

    def _answer(self: Any, message: dict[str, Any]) -> None:
        for before, state in zip(self._states, self._states[1:], strict=False):
            if state["message"] == message and self._in_context(message["type"], state):
                parts = [{**each["state"], **each["texts"], **each["buffers"]} for each in (before, state)]
                self._now = state
                changed = [name for name, value in parts[1].items() if parts[0].get(name) != value]
                self._take(state, [name for name in changed if name not in CHOSEN])
                return
        shown = ", ".join(f"{name} {value!r}" for name, value in message.items() if name != "type")
        self._session.missing(f"{message['type']} with {shown}" if shown else str(message["type"]))

    def _in_context(self: Any, request: str, state: dict[str, Any]) -> bool:
        names = CONTEXT.get((self._awake_class.__name__, request), ())
        return all(state["state"].get(name) == getattr(self, name) for name in names)

    # choices

    def _follow(self: Any, observer: str, change: Any) -> None:
        """The state that was recorded for a choice fills what is computed for it."""
        for answer in FOLLOWED[self._awake_class.__name__][observer]:
            state = self._state_for(answer)
            if state is not None:
                self._take(state, answer.filled)
            elif "cell" in answer.asked:  # a cell has numbers of its own, which are there
                self.set_traits({name: {} for name in answer.filled})
                if self.cell:
                    self._say(
                        f"what the patched run of {self.cell[0]}.{self.cell[1]} at position {self.cell[2]} says next"
                    )
            elif "selected" in answer.asked:  # a node is looked at without its card
                self.set_traits({name: {} for name in answer.filled})
            elif answer.filled == ("stale",):
                self.stale = True
            else:
                self._take_back(change)
                return

    def _state_for(self: Any, answer: Answer) -> dict[str, Any] | None:
        wanted = answer.of(lambda name: getattr(self, name))
        return next((state for state in self._states if answer.by(state["state"].get) == wanted), None)

    def _take_back(self: Any, change: Any) -> None:
        self._taking = True
        self.set_trait(change["name"], change["old"])
        self._taking = False
        self._say(f"{change['name'].replace('_', ' ')} {change['new']}")

    def _say(self: Any, what: str) -> None:
        with self._showing_errors():
            self._session.missing(what)


class RecalledAtoms(Recalled):
    """Cards were recorded one by one, and are shown in any company."""

    def _follow(self: Any, observer: str, change: Any) -> None:
        wanted, found = self._wanted(), []
        for atom in wanted:
            state = next((each for each in self._states if atom in each["state"].get("pinned", [])), None)
            if state is None:
                self._take_back(change)
                return
            found.append(self._one(state, atom))
        with self.hold_sync():
            self.error, self.pinned = "", wanted
            self.pinned_activation = b"".join(row for row, _, _ in found)
            self.pinned_scale = [scale for _, scale, _ in found]
            self.cards = {str(atom): card for atom, (_, _, card) in zip(wanted, found, strict=True)}

    def _one(self: Any, state: dict[str, Any], atom: int) -> tuple[bytes, float, dict[str, Any]]:
        """What a state shows of an atom: its activations, the end of their scale, its card."""
        values = Reader({}, self._source).traits(self._awake_class, state)
        at, rows = values["pinned"].index(atom), values["pinned_activation"]
        size = len(rows) // len(values["pinned"])
        return rows[at * size : (at + 1) * size], values["pinned_scale"][at], values["cards"][str(atom)]


class RecalledCircuit(Recalled):
    """A graph needs no model, so it is shown by the panel itself."""

    def __new__(cls, model: Any = None, *args: Any, **more: Any) -> Any:
        return super().__new__(cls) if not isinstance(model, Graph) else _Circuit(model, *args, **more)


class RecalledShift(Recalled):
    """What is struck, and whether it was compared, decides all that is shown, whichever way it came about."""

    def run(self: Any) -> None:
        self._recall(again=True)  # what is struck stays

    def compare(self: Any) -> pl.DataFrame:
        self._answer({"type": "compare"})
        return self.frame  # type: ignore[no-any-return]

    def _answer(self: Any, message: dict[str, Any]) -> None:
        alike = (each for each in self._states if each["state"].get("struck") == self.struck)
        state = next((each for each in alike if each["state"].get("compared")), None)
        if message["type"] != "compare" or state is None:
            self._session.missing(f"{message['type']} with {', '.join(self.struck) or 'nothing'} struck out")
        self._take(state, ("accuracy", "compared", "summary"))

    def _take(self: Any, state: dict[str, Any], names: Any = None) -> None:
        super()._take(state, names)
        self._now = state

    def _check(self, nodes: Any) -> None:
        """Names are not looked up: any that was not recorded is told of."""


class _Done:
    """A job that has ended: what is recorded is there at once."""

    running, error = False, None

    def wait(self, timeout: float | None = None) -> bool:
        return True


NOTHING: dict[str, Any] = {"message": None, "state": {}, "texts": {}, "buffers": {}, "kept": {}}
"""The state of a panel that was given no text."""
CHOSEN = ("status", "positions", "cell", "pins", "key_positions", "selected", "labels", "pinned", "hidden", "size", "way",
          "edge_threshold")  # fmt: skip
"""What a person chooses besides a request; it stays as it is."""
LOOKS = {"color": "color", "metric": "metric", "direction": "direction"}
"""Arguments that say how a result is shown, or which way a patch goes -> their traits."""
WITHOUT_TEXT = ("PatchingPairs", "Audit", "Shift")
"""Panels that have a result without a text of their own."""


def _same(recorded: Any, asked: Any) -> bool:
    """Whether arguments are the recorded ones; what could not be written down is any."""
    if {"kind": "any"} in (recorded, asked):
        return True
    if isinstance(recorded, dict) and isinstance(asked, dict):
        return recorded.keys() == asked.keys() and all(_same(recorded[key], asked[key]) for key in recorded)
    if isinstance(recorded, list) and isinstance(asked, list):
        return len(recorded) == len(asked) and all(map(_same, recorded, asked))
    return bool(recorded == asked)


def _recalled(cls: Any, base: Any = Recalled) -> Any:
    """The class of panels that are recalled in place of `cls`."""

    def following(observer: str) -> Any:
        def follow(self: Any, change: Any = None) -> None:
            if not self._taking:
                self._follow(observer, change)

        return t.observe(*getattr(cls, observer).trait_names)(follow)

    observers = {name: following(name) for name in FOLLOWED.get(cls.__name__, {})}
    made = {"_awake_class": cls, "_constructed": constructed(cls), "__module__": cls.__module__, "__doc__": cls.__doc__}
    return type(cls.__name__, (base, cls), {**made, **observers})


Agreement, Attention, Audit, Lens = _recalled(_Agreement), _recalled(_Attention), _recalled(_Audit), _recalled(_Lens)
Patching, PatchingPairs, Steering = _recalled(_Patching), _recalled(_PatchingPairs), _recalled(_Steering)
Atoms, Circuit = _recalled(_Atoms, RecalledAtoms), _recalled(_Circuit, RecalledCircuit)
Shift = _recalled(_Shift, RecalledShift)


class Explorer(_Explorer):
    """The explorer, of panels that are recalled."""

    _classes: ClassVar[dict[str, Any]] = {"lens": Lens, "atoms": Atoms, "attention": Attention, "patching": Patching}
