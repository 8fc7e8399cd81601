"""What goes over the wire, and what is told of it meanwhile; on a server that answers from a script."""

from __future__ import annotations

import json
import time

import pytest
import torch

import interp_widgets as iw
from interp_widgets.errors import Cancelled, KeyRefused, ModelError, ServerUnavailable
from interp_widgets.progress import heard
from interp_widgets.session.remote import tickets
from tests.session.wire import serving


@pytest.fixture
def wire(monkeypatch, tmp_path):
    monkeypatch.setattr(tickets, "folder", lambda: tmp_path / "jobs")
    with serving() as server:
        yield server


@pytest.fixture
def model(wire) -> iw.Session:
    return iw.load("toy-grammar", remote=wire.url)


def listen(model, *args, stop_at: str = "") -> tuple[list[tuple], object]:
    """Stages, places and bytes as they were told, without repeats; and what came back."""
    told: list[tuple] = []

    def hear(state) -> None:
        entry = (state.stage, state.position, state.up, state.down)
        if told[-1:] != [entry]:
            told.append(entry)
        if state.stage == stop_at:
            raise Cancelled("Stopped.")

    token = heard.set(hear)
    try:
        return told, model.work(_nothing, *args)
    except Cancelled as error:
        return told, error
    finally:
        heard.reset(token)


def _nothing(model, *given) -> list[int]:
    return [1, 2]


def test_every_stage_is_told_in_its_order(wire, model) -> None:
    wire.states = [
        None,
        {"status": "QUEUED", "description": "Added to Queue at position 4."},
        {"status": "QUEUED", "description": "Moved to position 3 in Queue."},
        {"status": "PROVISIONING", "description": "Model Provisioning..."},
        {"status": "DEPLOYING", "description": "Model Deploying..."},
        {"status": "DISPATCHED"},
        {"status": "RUNNING"},
    ]
    told, answer = listen(model)
    assert answer == [1, 2]
    stages = list(dict.fromkeys((stage, position) for stage, position, _, _ in told))
    assert stages == [
        ("sending", None), ("received", None), ("queued", 4), ("queued", 3), ("provisioning", None), ("deploying", None),
        ("dispatched", None), ("running", None), ("fetching", None), ("completed", None),
    ]  # fmt: skip
    [job] = model.jobs
    assert (job.id, job.server_seconds, job.down) == ("abc123", 3.5, len(wire.result()))
    assert 0 < job.size == job.up < wire.received[0]
    assert wire.keys == [""]


def test_the_size_is_known_before_the_first_byte_and_bytes_are_counted_as_they_go(wire, model) -> None:
    told, _ = listen(model, torch.rand(500_000, generator=torch.Generator().manual_seed(0)))
    [job] = model.jobs
    sent = [up for stage, _, up, _ in told if stage == "sending"]
    assert sent[0] == 0
    assert sent == sorted(sent)
    assert len(sent) > 5
    assert sent[-1] == job.size > 1_500_000


def test_sending_can_be_stopped_and_nothing_more_is_sent(wire, model) -> None:
    told, error = listen(model, torch.rand(500_000), stop_at="sending")
    assert isinstance(error, Cancelled)
    assert told == [("sending", None, 0, 0)]
    assert wire.asked == 0
    assert model.work(_nothing) == [1, 2]  # the session is usable


def test_waiting_can_be_stopped_at_once(wire, model) -> None:
    wire.states = [{"status": "QUEUED", "description": "Added to Queue at position 4."}] * 1000
    began = time.monotonic()
    _, error = listen(model, stop_at="queued")
    assert isinstance(error, Cancelled)
    assert time.monotonic() - began < 2


def test_a_link_that_breaks_is_asked_again(wire, model) -> None:
    wire.breaks = 3
    told, answer = listen(model)
    assert answer == [1, 2]
    assert "unreachable" in [stage for stage, *_ in told]
    assert told[-1][0] == "completed"


def test_a_refused_key_is_said(wire, model) -> None:
    wire.refuse = 401
    with pytest.raises(KeyRefused, match="wants an API key"):
        model.work(_nothing)
    assert model.jobs[-1].stage == "error"


# iw.models

CONFIG = {"model_type": "llama", "num_hidden_layers": 30, "hidden_size": 576, "_name_or_path": "org/small"}
HOT = {
    "application_state": "RUNNING", "deployment_level": "HOT", "model_key": "k1", "repo_id": "org/small", "task": "text-generation",
    "revision": "main", "dtype": "torch.bfloat16", "n_params": 134_515_008, "size_bytes": 269_030_016, "config": json.dumps(CONFIG),
}  # fmt: skip
GPT = {**HOT, "deployment_level": "WARM", "model_key": "k2", "repo_id": "org/gpt", "dtype": None, "size_bytes": None,
       "config": json.dumps({"model_type": "gpt2", "n_layer": 12, "n_embd": 768})}  # fmt: skip
MAMBA = {**HOT, "model_key": "k3", "repo_id": "org/mamba", "config": json.dumps({"model_type": "nobody_knows"})}


def test_what_a_server_has_is_a_frame(wire) -> None:
    second = {**HOT, "application_state": "DEPLOYING"}
    cold = {"deployment_level": "COLD", "model_key": "k4", "repo_id": "org/cold"}
    orphan = {"application_state": "UNHEALTHY"}
    wire.status = {"deployments": {"a": second, "b": HOT, "c": GPT, "d": MAMBA, "e": cold, "f": orphan}, "cluster": {}}
    found = iw.models(wire.url)
    iw.frames.check(found, iw.frames.SERVED_MODELS)
    assert found.select("model", "level", "state", "replicas", "layers", "width", "model_type", "known").rows() == [
        ("org/mamba", "HOT", "RUNNING", 1, None, None, "nobody_knows", False),
        ("org/small", "HOT", "RUNNING", 2, 30, 576, "llama", True),
        ("org/gpt", "WARM", "RUNNING", 0, 12, 768, "gpt2", True),
        ("org/cold", "COLD", None, 0, None, None, None, False),
    ]
    assert found.filter(model="org/small")["dtype"].item() == "bfloat16"


def test_a_server_without_models_is_an_empty_frame(wire) -> None:
    assert iw.models(wire.url).is_empty()


@pytest.mark.parametrize(
    "said", [b"<html>", b"[]", b"{}", b'{"deployments": {"a": {"deployment_level": "HOT", "config": "?"}}}']
)
def test_another_server_is_said_to_be_none(wire, said) -> None:
    wire.status = said
    with pytest.raises(ServerUnavailable, match="answered what no NDIF server says"):
        iw.models(wire.url)


def test_no_server_and_no_address_are_sentences() -> None:
    with pytest.raises(ServerUnavailable, match="There is no server at"):
        iw.models("http://127.0.0.1:9")
    with pytest.raises(ModelError, match="no address"):
        iw.models("far.test")


def test_a_server_that_is_not_ready_says_so(wire) -> None:
    wire.refuse = 503
    with pytest.raises(ServerUnavailable, match="not reachable just now"):
        iw.models(wire.url)
