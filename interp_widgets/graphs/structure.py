"""What a graph file of circuit-tracer must look like: the rules of the schema that Neuronpedia publishes for such files, restated.

The schema is draft 07 and lets unknown keys pass; so does this check. What it cannot say is left to the reader: that an id is there
once, that a link leads somewhere.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

from ..errors import GraphError

LARGEST = 2**31 - 1
SHOWN = 3
"""So many faults are told; of the others only their number."""


class _Rule(NamedTuple):
    holds: Callable[[Any], bool]
    words: str
    needed: bool = False


def whole(value: Any) -> bool:
    """An integer as JSON Schema counts it: 5.0 is one, true is none."""
    return type(value) is int or (type(value) is float and value.is_integer())


def number(value: Any) -> bool:
    try:
        return type(value) in (int, float) and math.isfinite(value)
    except OverflowError:  # an integer beyond any float
        return False


def _text(value: Any) -> bool:
    return isinstance(value, str)


def _texts(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(each, str) for each in value)


def _or_null(holds: Callable[[Any], bool]) -> Callable[[Any], bool]:
    return lambda value: value is None or holds(value)


def _position(value: Any) -> bool:
    return whole(value) and 0 <= value <= LARGEST


TEXT = _Rule(_text, "a text", needed=True)
METADATA = {
    "slug": TEXT,
    "scan": TEXT,
    "prompt_tokens": _Rule(_texts, "a list of texts", needed=True),
    "prompt": TEXT,
    "feature_details": _Rule(lambda value: isinstance(value, dict), "an object"),
    "node_threshold": _Rule(_or_null(number), "a finite number"),  # circuit-tracer writes null
    "info": _Rule(lambda value: isinstance(value, dict), "an object"),
    "generation_settings": _Rule(lambda value: isinstance(value, dict), "an object"),
    "pruning_settings": _Rule(lambda value: isinstance(value, dict), "an object"),
}
PARAMETERS = {
    "pinnedIds": _Rule(_texts, "a list of texts"),
    "supernodes": _Rule(
        lambda value: isinstance(value, list) and all(_texts(each) and each for each in value),
        "a list of lists of texts, each a name and the ids of its nodes",
    ),
    "linkType": _Rule(_text, "a text"),
    "clickedId": _Rule(_text, "a text"),
    "sg_pos": _Rule(_text, "a text"),
}
NODE = {
    "node_id": TEXT,
    "feature": _Rule(_or_null(whole), "a whole number or null", needed=True),
    "layer": _Rule(lambda value: _text(value) or whole(value), "a text or a whole number", needed=True),
    "ctx_idx": _Rule(_position, "the index of a token", needed=True),
    "feature_type": TEXT,
    "jsNodeId": TEXT,
    "clerp": TEXT,
    "influence": _Rule(_or_null(number), "a finite number or null"),
    "activation": _Rule(_or_null(number), "a finite number or null"),
    "token_prob": _Rule(_or_null(number), "a finite number or null"),
}
LINK = {"source": TEXT, "target": TEXT, "weight": _Rule(number, "a finite number", needed=True)}


def check_structure(content: Any, where: str) -> Mapping[str, Any]:
    """The same content, if it is a graph as circuit-tracer and Neuronpedia write it.

    Raises:
        GraphError: naming the first faults, each with its place, and how many there are.
    """
    faults = list(_faults(content))
    if faults:
        more = f"; and {len(faults) - SHOWN:,} more" if len(faults) > SHOWN else ""
        raise GraphError(f"{where} is no circuit-tracer graph: {'; '.join(faults[:SHOWN])}{more}.")
    return content  # type: ignore[no-any-return]


def _faults(content: Any) -> Iterator[str]:
    if not isinstance(content, Mapping):
        yield f"it is {kind_of(content)}, but must be an object with metadata, qParams, nodes and links"
        return
    for name, rules in (("metadata", METADATA), ("qParams", PARAMETERS)):
        yield from _of(content.get(name), rules, name) if name in content else (f"it has no {name}",)
    for name, rules in (("nodes", NODE), ("links", LINK)):
        rows = content.get(name)
        if not isinstance(rows, list):
            yield f"{name} is {kind_of(rows)}, but must be a list" if name in content else f"it has no {name}"
            continue
        for i, row in enumerate(rows):
            if not _fits(row, rules):
                yield from _of(row, rules, f"{name}[{i}]")


def _fits(row: Any, rules: Mapping[str, _Rule]) -> bool:
    """Whether `_of` finds nothing, without its sentences: a file has hundreds of thousands of links."""
    if not isinstance(row, Mapping):
        return False
    return all(rule.holds(row[name]) if name in row else not rule.needed for name, rule in rules.items())


def _of(found: Any, rules: Mapping[str, _Rule], place: str) -> Iterator[str]:
    if not isinstance(found, Mapping):
        yield f"{place} is {kind_of(found)}, but must be an object"
        return
    for name, rule in rules.items():
        if name not in found:
            if rule.needed:
                yield f"{place} has no {name}"
        elif not rule.holds(found[name]):
            yield f"{place}.{name} is {kind_of(found[name])}, but must be {rule.words}"


def clean(text: str) -> str:
    """JSON can hold half a character, which no frame can: it becomes U+FFFD."""
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def kind_of(value: Any) -> str:
    """What a JSON value is, in words."""
    if value is None or isinstance(value, bool):
        return {True: "true", False: "false", None: "null"}[value]
    if isinstance(value, str):
        return f"the text {value[:20]!r}"
    if isinstance(value, int | float):
        return f"the number {value:.6g}" if number(value) else "a number that is not finite"
    return "a list" if isinstance(value, list) else "an object" if isinstance(value, Mapping) else "no JSON"
