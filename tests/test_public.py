"""The contents page: what it promises is there, and nothing else is promised."""

from __future__ import annotations

import tomllib
from importlib.metadata import version
from pathlib import Path

import pytest

import interp_widgets as iw

CONTENTS = [
    "Agreement",
    "Architecture",
    "Atoms",
    "Attention",
    "Audit",
    "Circuit",
    "Examples",
    "Explorer",
    "Graph",
    "Lens",
    "Patching",
    "PatchingPairs",
    "Session",
    "Shift",
    "Steering",
    "audit",
    "corpus",
    "errors",
    "frames",
    "jobs",
    "load",
    "load_sae",
    "methods",
    "models",
    "open_corpus",
    "read_examples",
    "read_graph",
    "read_neuronpedia",
    "record",
    "reopen",
    "replay",
    "resume",
    "to_html",
    "to_neuronpedia",
    "train_sae",
]


def test_the_contents_are_these_in_order() -> None:
    assert iw.__all__ == CONTENTS == sorted(CONTENTS)
    assert set(dir(iw)) == {*CONTENTS, "__version__"}
    assert list(iw._CONTENTS) == CONTENTS


@pytest.mark.parametrize("name", CONTENTS)
def test_each_name_is_there_and_explained(name) -> None:
    value = getattr(iw, name)
    assert value.__doc__
    assert value is getattr(iw, name)
    assert getattr(value, "__name__", "").rpartition(".")[2] == name


def test_everything_can_be_imported_at_once() -> None:
    namespace: dict[str, object] = {}
    exec("from interp_widgets import *", namespace)
    assert set(CONTENTS) <= set(namespace)


def test_a_name_that_is_not_there_is_answered_with_those_that_are() -> None:
    with pytest.raises(AttributeError, match=r"interp_widgets has no 'Lense'; it has Agreement, .*, train_sae\."):
        _ = iw.Lense  # type: ignore[attr-defined]


def test_the_version_is_the_one_that_was_installed() -> None:
    project = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert iw.__version__ == project["version"] == version("interp_widgets")
