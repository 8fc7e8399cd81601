"""Work travels as source: it is done by a Python without this package, and what it packs holds no compiled code and no secret."""

from __future__ import annotations

import dataclasses
import pickletools
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import nnsight
import numpy as np
import polars as pl
import pytest
import torch

import interp_widgets as iw
from interp_widgets.errors import RemoteError
from interp_widgets.methods.attention_run import Triangles
from interp_widgets.methods.steered_runs import Change, Said
from interp_widgets.methods.steering_run import Outcome
from interp_widgets.session.remote import arrival, packing, session
from interp_widgets.session.runner import Runner
from tests.remote.cases import CASES
from tests.session.elsewhere import Elsewhere

KEY = "a-key-that-must-not-travel"
TOY = Path(iw.__file__).parent / "assets" / "toy-grammar"
ROOTS = {*sys.stdlib_module_names, "cloudpickle", "nnsight", "numpy", "torch", "transformers"} - {"marshal"}
"""Packages that packed work may name; what is needed of others goes by its source."""
COMPILED = {"CodeType", "_make_function", "_make_skeleton_func"}
"""Names by which compiled code would be packed."""


@pytest.fixture(scope="module")
def elsewhere(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Elsewhere]:
    other = Elsewhere(TOY, tmp_path_factory.mktemp("elsewhere"))
    yield other
    other.close()


@pytest.fixture(scope="module")
def both(elsewhere: Elsewhere) -> Iterator[tuple[iw.Session, iw.Session]]:
    """The toy model here and elsewhere. No test of this file opens a connection: there is nothing at that address."""
    nnsight.register(__name__)  # as its user would do with a module that the server lacks
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NDIF_API_KEY", KEY)
        patch.setattr(nnsight.CONFIG.API, "APIKEY", KEY)
        patch.setattr(session, "send", elsewhere.send)
        yield iw.load("toy-grammar"), iw.load("toy-grammar", remote="http://127.0.0.1:9")


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_every_method_is_worked_out_without_this_package(both, elsewhere, case: Callable[..., pl.DataFrame]) -> None:
    here, there = both
    before, sent = len(there.jobs), len(elsewhere.sent)
    found = case(there)
    for work in elsewhere.sent[sent:]:
        check_payload(work)
    assert same(found, case(here)) <= 1e-5
    assert len(there.jobs) > before or "similar" in case.__name__


def same(one: pl.DataFrame, other: pl.DataFrame) -> float:
    """The largest difference of two frames; everything but floats must be equal."""
    assert (one.shape, one.schema) == (other.shape, other.schema)
    worst = 0.0
    for name in one.columns:
        if one[name].dtype.is_float():
            x, y = (frame[name].cast(pl.Float64).to_numpy() for frame in (one, other))
            np.testing.assert_array_equal(np.isnan(x), np.isnan(y))
            worst = max([worst, *np.abs(x - y)[~np.isnan(x)]])
        else:
            assert one[name].to_list() == other[name].to_list(), name
    return worst


def named_in(work: bytes) -> Iterator[tuple[str, str]]:
    """Module and name of every class and function that packed work names, read without doing it."""
    memo: list[str] = []
    pushed: list[str] = [""]
    for code, given, _ in pickletools.genops(work):
        if "UNICODE" in code.name:
            pushed.append(str(given))
        elif code.name == "MEMOIZE":
            memo.append(pushed[-1])
        elif code.name in ("BINGET", "LONG_BINGET"):
            pushed.append(memo[int(str(given))])
        elif code.name == "FRAME":  # may stand between the two names
            continue
        elif code.name == "STACK_GLOBAL":
            yield pushed[-2], pushed[-1]
        else:
            assert "GLOBAL" not in code.name
            assert "EXT" not in code.name
            pushed.append("")


def check_payload(work: bytes) -> None:
    """No compiled code, no package that a server lacks, no tokenizer, no key."""
    assert KEY.encode() not in work
    assert not COMPILED & {given for _, given, _ in pickletools.genops(work) if isinstance(given, str)}
    for module, name in named_in(work):
        assert module.partition(".")[0] in ROOTS, (module, name)
        assert "token" not in module, (module, name)


@dataclasses.dataclass
class Foreign:
    """A class that is not of the package."""

    number: int


def returned(model: Runner, *values: Any) -> Any:
    return values


def test_what_comes_back_is_what_it_was(both) -> None:
    """Dataclasses and named tuples of the package there and back, also as keys and inside of others."""
    _, there = both
    said = Said([1, 2], [0.5, 0.25])
    given = (
        Outcome(said, 1.5, 0.5, 0.0, -2.0),
        Triangles(torch.arange(6, dtype=torch.uint8).view(2, 3), torch.ones(2), torch.zeros(2)),
        {("a", 1): [None, True, {"b": (said,)}]},
        torch.tensor([1.0, float("nan")]),
    )
    outcome, triangles, table, numbers = there.work(returned, *given)
    assert outcome == given[0]
    assert type(triangles) is Triangles
    assert all(torch.equal(one, other) for one, other in zip(triangles, given[1], strict=True))
    assert triangles.bytes.dtype is torch.uint8
    assert table == given[2]
    assert torch.allclose(numbers, given[3], equal_nan=True)


def test_methods_of_classes_travel_with_them(both, toy_change: Change) -> None:
    here, there = both
    x = torch.randn(3, here.width, generator=torch.Generator().manual_seed(0))
    moved = there.work(moved_by, toy_change, x)
    assert torch.allclose(moved, moved_by(here, toy_change, x), atol=1e-6)


@pytest.fixture
def toy_change() -> Change:
    direction = iw.methods.atom_direction(iw.load_sae("toy-grammar/resid_post.2"), 5)
    return Change("clamp", direction, [iw.load("toy-grammar").site("resid_post.2")], [1], generated=True)


def moved_by(model: Runner, change: Change, x: torch.Tensor) -> torch.Tensor:
    return change.amount(change.coordinate(x), torch.tensor(2.0)) + len(change.sites) + change.direction.norm


def test_a_view_travels_alone_and_equal_tensors_once() -> None:
    whole = torch.randn(1000, 8)
    tensors = packing.pack(returned, (whole[3], whole[3].clone()), {}).tensors
    [sent] = tensors.values()
    assert torch.equal(sent, whole[3])
    assert sent.untyped_storage().nbytes() == 32
    came = arrival.plain(whole[3])
    assert torch.equal(came, whole[3])
    assert came.untyped_storage().nbytes() == 32


def test_what_cannot_be_sent_says_so(tmp_path: Path) -> None:
    with (tmp_path / "file").open("w") as file:
        for thing in (threading.Lock(), file, (i for i in range(3))):
            with pytest.raises(RemoteError, match=r"cannot be sent to a server.*plain values"):
                packing.pack(returned, (thing,), {})


def test_what_an_answer_cannot_hold_says_so() -> None:
    with pytest.raises(TypeError, match="not Session"):
        arrival.plain({"model": iw.load("toy-grammar")})


@pytest.mark.parametrize(
    "named",
    ["os:system", "builtins:dict", "subprocess:Popen", f"{__name__}:Foreign", "interp_widgets.session.session:Session",
     "interp_widgets.sae.hub:nothing", "interp_widgetsx:Said"],
)  # fmt: skip
def test_an_answer_names_nothing_but_our_dataclasses(named: str) -> None:
    with pytest.raises(RemoteError, match="which no answer has"):
        packing.restore({"object": named, "fields": {}})
    with pytest.raises(RemoteError, match="which no answer has"):
        packing.restore({"list": [{"object": named, "fields": {}}]})
