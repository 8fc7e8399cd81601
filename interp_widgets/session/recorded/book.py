"""What a recording keeps of panels: for each class and arguments the states that were seen, every value once. Needs no torch."""

from __future__ import annotations

import hashlib
import json
import threading
from typing import Any

from ...errors import RecordingError
from .file import File


class Book:
    """Panels of a recording: for each class and arguments the states that were seen, every value once."""

    def __init__(self) -> None:
        self.entries: dict[str, dict[str, Any]] = {}
        self._lock = threading.Lock()

    def keep(
        self, kind: str, arguments: dict[str, Any], about: str, message: dict[str, Any] | None, spec: dict[str, Any]
    ) -> None:
        """One state of a panel. `message`: the request that led from the state before; None for a result, or a choice in it."""
        name = hashlib.blake2b(json.dumps([kind, arguments], sort_keys=True).encode(), digest_size=16).hexdigest()
        with self._lock:
            entry = self.entries.setdefault(
                name, {"class": kind, "arguments": arguments, "about": about, "values": {}, "states": []}
            )
            state = {part: {key: _kept(entry["values"], value) for key, value in spec[part].items()} for part in spec}
            message = (
                message if entry["states"] else None
            )  # what a request led to is a result where its arguments are new
            if (made := {"message": message, **state}) not in entry["states"]:
                entry["states"].append(made)

    def parts(self) -> list[tuple[dict[str, Any], str, bytes]]:
        """For each panel its line in the list, and its part of the file."""
        with self._lock:
            return [
                (
                    {"class": e["class"], "about": e["about"], "arguments": e["arguments"]},
                    f"panels/{name}.json",
                    _body(e),
                )
                for name, e in self.entries.items()
            ]


def _body(entry: dict[str, Any]) -> bytes:
    return json.dumps({"values": entry["values"], "states": entry["states"]}).encode()


def _kept(values: dict[str, Any], value: Any) -> str:
    """The name under which a value is kept."""
    name = hashlib.blake2b(json.dumps(value, sort_keys=True).encode(), digest_size=6).hexdigest()
    values.setdefault(name, value)
    return name


def entry(file: File, row: dict[str, Any]) -> list[dict[str, Any]]:
    """The states of one panel of a recording, the first one its result: `message` and the parts that `Book.keep` was given.

    Raises:
        RecordingError: they are damaged.
    """
    body = file.json(str(row.get("part")))
    try:
        values = body["values"]
        return [
            {
                "message": state["message"],
                **{
                    part: {name: values[key] for name, key in state[part].items()}
                    for part in ("state", "texts", "buffers", "kept")
                },
            }
            for state in body["states"]
        ]
    except (KeyError, TypeError, AttributeError) as error:
        raise RecordingError(
            f"A panel in {file.path} cannot be read ({error!r}). It is damaged; record again."
        ) from error
