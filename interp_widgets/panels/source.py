"""Where the model of kept panels comes from: given by the caller, or found again when the first of them needs it."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import InterpError, KeptError

if TYPE_CHECKING:
    from ..session.session import Session


class Source:
    """The sessions of panels that are made again together: one for each model, loaded once."""

    def __init__(self, given: Session | None = None) -> None:
        self._given = given
        self._loaded: dict[tuple[str, ...], Session] = {}
        self._lock = threading.Lock()

    def session(self, provenance: dict[str, Any]) -> Session:
        """The session that a result rests on.

        Raises:
            KeptError: the model is not to be found, or is another one now; says how to give it.
        """
        return self._given or self.other(provenance)

    def other(self, provenance: dict[str, Any]) -> Session:
        """The same for a second session of a panel, which nobody gives."""
        said = {name: str(provenance.get(name)) for name in ("model", "source", "dtype", "device", "backend")}
        with self._lock:
            key = tuple(said.values())
            if key not in self._loaded:
                self._loaded[key] = _load(said, provenance.get("weights_sha256"))
            return self._loaded[key]


def _load(said: dict[str, str], weights: Any) -> Session:
    """A model on this machine, found by its name. A file from elsewhere may not say which server is to be asked: it gets a key."""
    from ..session import known
    from ..session.load import BUNDLED, load

    name, source = said["model"], said["source"]
    if said["backend"] != "local":
        raise _missing(name, f"its model is on a server ({said['backend']})", "remote=True or the server's address")
    if not source or source == "a module in memory":
        raise _missing(name, "its model was only in memory", "tokenizer=... where it needs one")
    by_name = name if name in (*BUNDLED, *known.KNOWN) and Path(source).is_absolute() else source
    device = said["device"]
    for where in dict.fromkeys((device, "cpu")):  # made on a machine that had an accelerator
        try:
            session = load(by_name, name=name, dtype=said["dtype"].removeprefix("torch."), device=where)
            break
        except InterpError as error:
            if where == "cpu" or device == "cpu":
                raise _missing(name, f"its model could not be loaded: {error}", "its place on this machine") from error
    if weights and session.weights_hash != weights:
        raise _missing(
            name, "the model of that name has other weights here", "the place of the right one, or of this one"
        )
    return session


def _missing(name: str, why: str, what: str) -> KeptError:
    return KeptError(
        f"This result of {name} is shown as it was saved, and nothing new can be computed: {why}. "
        f"Give it: iw.reopen(..., model=iw.load(...)), with {what}."
    )
