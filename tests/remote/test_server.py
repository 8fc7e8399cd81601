"""The server itself, asked with plain nnsight: it computes what the model computes here, and fails as a real one fails."""

from __future__ import annotations

import os
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers

from interp_widgets.session import trace  # before nnsight, since it imports it with care
from tests.remote import processes
from tests.remote.environment import ServerError, scripts
from tests.remote.proxy import Fault, Proxy, answer
from tests.remote.server import MARK, Server, start

import nnsight  # isort: skip
from nnsight.intervention.backends.remote import RemoteBackend, RemoteError  # isort: skip
from nnsight.modeling import huggingface  # isort: skip

TEXTS = {"tiny": "w3 w14 w15 w92 w6", "toy-grammar": "the cat sees", "smollm2": "The Eiffel Tower is in the city of"}

pytestmark = pytest.mark.slow
del trace


@pytest.fixture(autouse=True)
def quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nnsight.CONFIG.APP, "REMOTE_LOGGING", False)


def remote_model(folder: Path) -> Any:
    """The model without its weights, as a client of a server has it."""
    huggingface._ID_CACHE[str(folder)] = str(folder)  # else the hub is asked for the id of a local folder
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    return nnsight.TransformersModel(str(folder), task="text-generation", tokenizer=tokenizer)


def remote_logits(model: Any, text: str, host: str) -> torch.Tensor:
    with model.trace(text, remote=host):
        logits = model.lm_head.output.save()
    return logits


def local_logits(folder: Path, text: str) -> torch.Tensor:
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    module = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    with torch.no_grad():
        return module(**tokenizer(text, return_tensors="pt")).logits


def submitted(model: Any, text: str, host: str) -> RemoteBackend:
    with model.trace(text, remote=host, blocking=False) as tracer:
        logits = model.lm_head.output.save()  # noqa: F841  its name is the key of the result
    return tracer.backend


def awaited(backend: RemoteBackend, seconds: float = 60) -> dict[str, Any]:
    deadline = time.monotonic() + seconds
    while (result := backend()) is None:
        assert time.monotonic() < deadline, f"still {backend.status} after {seconds} seconds"
        time.sleep(0.05)
    return result


def test_an_upload_above_a_megabyte_arrives(server: Server, models: dict[str, Path], proxy: Proxy) -> None:
    model, added = remote_model(models["tiny"]), torch.randn(1 << 20)
    with model.trace(TEXTS["tiny"], remote=proxy.url):
        total = added.sum().save()
    assert torch.allclose(total, added.sum(), atol=0.1)
    assert proxy.up > 1 << 20


def test_an_error_in_the_block_comes_back_as_a_remote_error(server: Server, models: dict[str, Path]) -> None:
    model = remote_model(models["tiny"])
    with (
        pytest.raises(RemoteError, match="mat1 and mat2 shapes cannot be multiplied"),
        model.trace(TEXTS["tiny"], remote=server.host),
    ):
        (model.lm_head.output[0] @ torch.ones(3, 3)).save()


def test_this_package_is_not_on_the_server(server: Server) -> None:
    program = "import torch, nnsight, ndif, interp_widgets"
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        [scripts() / "python", "-c", program], capture_output=True, text=True, env=environment, cwd="/"
    )
    assert "No module named 'interp_widgets'" in done.stderr


def test_a_job_is_submitted_and_polled(server: Server, models: dict[str, Path], proxy: Proxy) -> None:
    backend = submitted(remote_model(models["tiny"]), TEXTS["tiny"], proxy.url)
    assert backend.job_id
    result = awaited(backend)
    assert torch.allclose(result["logits"], local_logits(models["tiny"], TEXTS["tiny"]), atol=1e-4)
    assert proxy.requests[0] == "POST /request"
    assert set(proxy.requests[1:]) == {f"GET /response/{backend.job_id}"}


def test_a_submit_whose_answer_is_lost_still_runs(server: Server, models: dict[str, Path], proxy: Proxy) -> None:
    model = remote_model(models["tiny"])
    proxy.fail("POST /request", Fault.LOST)
    with pytest.raises(RemoteError, match="Failed to send request"):
        submitted(model, TEXTS["tiny"], proxy.url)
    assert proxy.requests == ["POST /request"]
    assert proxy.down == 0


def test_a_poll_that_is_cut_can_be_made_again(server: Server, models: dict[str, Path], proxy: Proxy) -> None:
    import httpx

    backend = submitted(remote_model(models["tiny"]), TEXTS["tiny"], proxy.url)
    proxy.fail("GET /response", Fault.REFUSED, times=1)
    with pytest.raises(httpx.HTTPError):
        backend()
    assert awaited(backend)["logits"].shape == (1, 5, 100)


def test_an_answer_of_garbage_reaches_the_client(server: Server, models: dict[str, Path], proxy: Proxy) -> None:
    proxy.fail("POST /request", answer(b"<html>the wifi of a hotel</html>"))
    with pytest.raises(ValueError, match="Invalid JSON"):
        submitted(remote_model(models["tiny"]), TEXTS["tiny"], proxy.url)


def test_without_the_api_a_client_cannot_connect_and_afterwards_it_can(server: Server, models: dict[str, Path]) -> None:
    model = remote_model(models["tiny"])
    server.stop_api()
    try:
        with pytest.raises(RemoteError, match="Connection refused"):
            submitted(model, TEXTS["tiny"], server.host)
    finally:
        server.start_api()
    assert awaited(submitted(model, TEXTS["tiny"], server.host))["logits"].shape == (1, 5, 100)


def test_a_model_actor_that_was_killed_comes_back(server: Server, models: dict[str, Path]) -> None:
    model = remote_model(models["tiny"])
    remote_logits(model, TEXTS["tiny"], server.host)
    server.kill_model_actor()
    with pytest.raises(RemoteError, match="Please try again later"):
        remote_logits(model, TEXTS["tiny"], server.host)
    assert remote_logits(model, TEXTS["tiny"], server.host).shape == (1, 5, 100)


def test_a_second_server_is_refused(server: Server) -> None:
    with pytest.raises(ServerError, match=f"up at {server.host} already"):
        start()


def test_nothing_listens_beyond_this_machine(server: Server) -> None:
    ours = processes.carrying(**{MARK: server.mark})
    heard = {c.laddr.ip for process in ours for c in process.net_connections("tcp") if c.status == "LISTEN"}
    assert heard
    assert heard <= {"127.0.0.1", "::ffff:127.0.0.1"}


# Last, since they deploy more models, and each model actor that was killed above is loaded again.


@pytest.mark.parametrize("name", TEXTS)
def test_logits_are_those_of_the_model_here(server: Server, models: dict[str, Path], name: str) -> None:
    remote = remote_logits(remote_model(models[name]), TEXTS[name], server.host)
    assert torch.allclose(remote, local_logits(models[name], TEXTS[name]), atol=1e-4)


def test_a_result_too_large_for_the_socket_comes_from_the_store(
    server: Server, models: dict[str, Path], results: Proxy
) -> None:
    text = " ".join(["The Eiffel Tower is in the city of Paris."] * 20)  # 200 tokens, 39 MB of logits
    remote = remote_logits(remote_model(models["smollm2"]), text, server.host)
    assert results.down > remote.nbytes / 2  # compressed
    assert results.requests
    assert torch.allclose(remote, local_logits(models["smollm2"], text), atol=1e-3)
