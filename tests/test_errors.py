"""The tree in the docstring of errors.py is the tree of the classes."""

from __future__ import annotations

import inspect
import re

import pytest

from interp_widgets import errors

CLASSES = {n: c for n, c in vars(errors).items() if inspect.isclass(c) and c.__module__ == errors.__name__}


def drawn() -> dict[str, tuple[str, str]]:
    """From the docstring: the name of each class, its parent, and what is said of it."""
    found: dict[str, tuple[str, str]] = {}
    ancestors: list[str] = []
    for line in (errors.__doc__ or "").splitlines():
        if match := re.fullmatch(r"    (?P<bars>[ │├└─]*)(?P<name>[A-Z]\w+)(?: {2,}(?P<said>.+))?", line):
            depth = len(match["bars"]) // 4
            del ancestors[depth:]
            found[match["name"]] = (ancestors[-1] if ancestors else "Exception", match["said"] or "")
            ancestors.append(match["name"])
    return found


def test_the_drawing_is_the_truth() -> None:
    parents = {name: parent for name, (parent, _) in drawn().items()}
    assert parents == {name: cls.__base__.__name__ for name, cls in CLASSES.items()}


def test_each_error_is_explained() -> None:
    assert [name for name, (_, said) in drawn().items() if not said] == ["InterpError"]
    assert all(cls.__doc__ for cls in CLASSES.values())


@pytest.mark.parametrize("name", CLASSES)
def test_one_except_clause_catches_all(name) -> None:
    with pytest.raises(errors.InterpError, match="a sentence"):
        raise CLASSES[name]("a sentence")
