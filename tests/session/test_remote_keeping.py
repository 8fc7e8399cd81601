"""What a server keeps between two requests: by content, within bounds, and never relied on."""

from __future__ import annotations

import sys
from dataclasses import replace

import pytest
import torch

import interp_widgets as iw
from interp_widgets.session.remote import arrival
from interp_widgets.session.remote.arrival import fingerprint_tensor, keep, recall
from interp_widgets.session.remote.packing import pack
from tests.methods.conftest import toy as toy
from tests.methods.conftest import toy_sae as toy_sae
from tests.session.far import far as far
from tests.session.far import far_toy as far_toy

TEXT = "the keys to the cabinet are on the table ."


@pytest.fixture(autouse=True)
def empty_store():
    sys.modules.pop(arrival.STORE, None)
    yield
    sys.modules.pop(arrival.STORE, None)


@pytest.fixture(scope="module")
def wide(toy_sae):
    """A dictionary of 8 MB, two tensors of 4."""
    g = torch.Generator().manual_seed(0)
    weights = {"W_enc": torch.randn(128, 8192, generator=g) / 10, "W_dec": torch.randn(8192, 128, generator=g) / 10}
    return replace(toy_sae, name="wide", b_enc=torch.zeros(8192), **weights)


def named(*tensors: torch.Tensor) -> dict[str, torch.Tensor]:
    return {fingerprint_tensor(tensor): tensor for tensor in tensors}


def large(value: float) -> torch.Tensor:
    return torch.full((250_000,), float(value))


def test_large_tensors_are_kept_and_small_ones_are_not() -> None:
    [big], [small] = named(large(1)), named(torch.ones(249_999))
    assert keep({**named(large(1)), **named(torch.ones(249_999))}) == [big]
    there, missing = recall([big, small])
    assert missing == [small]
    assert torch.equal(there[big], large(1))


def test_what_was_used_longest_ago_goes_first(monkeypatch) -> None:
    monkeypatch.setattr(arrival, "ROOM", 2_000_000)
    first, second, third = (named(large(value)) for value in (1, 2, 3))
    assert keep(first) == list(first)
    assert keep(second) == list(second)
    recall(list(first))  # used
    assert keep(third) == list(third)
    assert recall([*first, *second, *third])[1] == list(second)
    held = sys.modules[arrival.STORE].tensors.values()
    assert sum(tensor.nbytes for tensor in held) <= 2_000_000


def test_a_tensor_larger_than_the_room_is_not_kept(monkeypatch) -> None:
    monkeypatch.setattr(arrival, "ROOM", 900_000)
    assert keep(named(large(1))) == []


def test_a_tensor_that_somebody_changed_is_not_there() -> None:
    [name] = keep(named(large(1)))
    sys.modules[arrival.STORE].tensors[name][7] = 5
    assert recall([name]) == ({}, [name])


def test_the_name_says_contents_shape_type_and_whether_it_wants_a_gradient() -> None:
    x = torch.arange(6.0)
    others = [x.reshape(2, 3), x.double(), x.clone().requires_grad_(), x + 1e-7, x.int()]
    assert len({fingerprint_tensor(each) for each in (x, *others)}) == 6
    assert fingerprint_tensor(torch.arange(12.0)[::2] / 2) == fingerprint_tensor(x)


def test_a_dictionary_is_sent_once(far, far_toy, toy, wide) -> None:
    expected = iw.methods.atom_activations(toy, TEXT, sae=wide)
    found = [iw.methods.atom_activations(far_toy, TEXT, sae=wide) for _ in range(3)]
    assert all(frame.equals(expected) for frame in found)
    weights = set(named(wide.W_enc, wide.W_dec))
    assert weights <= far.sent[0]["names"]
    assert [set(each["absent"]) for each in far.sent] == [set(), weights, weights]
    assert all(not weights & each["names"] for each in far.sent[1:])
    assert [job.size > 8_000_000 for job in far_toy.jobs] == [True, False, False]
    assert far_toy.jobs[0].dictionary > 8_000_000 > far_toy.jobs[1].dictionary


def test_a_server_that_lost_it_gets_everything_again_once(far, far_toy, toy, wide) -> None:
    expected = iw.methods.atom_activations(toy, TEXT, sae=wide)
    iw.methods.atom_activations(far_toy, TEXT, sae=wide)
    sys.modules.pop(arrival.STORE)  # as after a restart
    assert iw.methods.atom_activations(far_toy, TEXT, sae=wide).equals(expected)
    assert [bool(each["absent"]) for each in far.sent] == [False, True, False]
    assert "value" not in far.sent[1]["answer"]  # nothing was computed without the weights
    iw.methods.atom_activations(far_toy, TEXT, sae=wide)
    assert far.sent[-1]["absent"]  # and it is believed once more


def test_a_server_with_a_fresh_process_for_each_request_is_soon_sent_everything(far, far_toy, toy, wide) -> None:
    far.before = lambda: sys.modules.pop(arrival.STORE, None)
    expected = iw.methods.atom_activations(toy, TEXT, sae=wide)
    for _ in range(6):
        assert iw.methods.atom_activations(far_toy, TEXT, sae=wide).equals(expected)
    assert [bool(each["absent"]) for each in far.sent] == [False, True, False, True, False, False, False, False]


def test_only_part_of_it_lost_is_all_sent_again(far, far_toy, toy, wide) -> None:
    iw.methods.atom_activations(far_toy, TEXT, sae=wide)
    [name] = named(wide.W_dec)
    del sys.modules[arrival.STORE].tensors[name]
    assert iw.methods.atom_activations(far_toy, TEXT, sae=wide).equals(iw.methods.atom_activations(toy, TEXT, sae=wide))
    assert far.sent[1]["answer"] == {"missing": [name]}


def test_a_tensor_that_comes_twice_is_looked_at_once(monkeypatch) -> None:
    from interp_widgets.session.remote import packing

    looked: list[torch.Tensor] = []
    monkeypatch.setattr(packing, "fingerprint_tensor", lambda x: looked.append(x) or fingerprint_tensor(x))
    x = torch.ones(3)
    packed = pack(max, (x, [x, x]), {"key": x})
    assert len(looked) == 1
    assert list(packed.tensors) == [fingerprint_tensor(x)]
