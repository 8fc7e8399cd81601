"""On a real server: what a panel tells of its request, what is sent twice, what outlives a kernel, and what else the server has."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from dataclasses import replace

import pytest
import torch

import interp_widgets as iw

pytestmark = pytest.mark.slow

TEXT = "the keys to the cabinet are on the table ."
RANK = {"sending": 0, "received": 1, "queued": 2, "provisioning": 2, "deploying": 2, "dispatched": 3, "running": 4, "fetching": 5,
        "completed": 6}  # fmt: skip
"""Stages in their order; a server that has to load the model queues a request before or after."""


@pytest.fixture(autouse=True)
def cache(monkeypatch, tmp_path):
    """Tickets of a test are its own."""
    monkeypatch.setenv("IW_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def far(server, models) -> iw.Session:
    return iw.load(models["toy-grammar"], remote=server.host)


@pytest.fixture(scope="module")
def here() -> iw.Session:
    torch.set_num_threads(1)
    return iw.load("toy-grammar")


@pytest.fixture(scope="module")
def wide():
    """A dictionary of 8 MB."""
    sae, g = iw.load_sae("toy-grammar/resid_post.2"), torch.Generator().manual_seed(0)
    weights = {"W_enc": torch.randn(128, 8192, generator=g) / 10, "W_dec": torch.randn(8192, 128, generator=g) / 10}
    return replace(sae, name="wide", b_enc=torch.zeros(8192), **weights)


def test_a_panel_tells_every_stage_and_what_it_cost(far, here) -> None:
    lens, seen = iw.Lens(far), []
    lens.observe(lambda change: seen.append(change.new["remote"]), "status")
    lens.text = TEXT
    lens.run()
    stages = list(dict.fromkeys(said["stage"] for said in seen if said))
    assert [RANK[stage] for stage in stages] == sorted(RANK[stage] for stage in stages)
    assert stages[-1] == "completed"
    said = lens.status["remote"]
    [job] = far.jobs
    assert (said["id"], said["host"], said["up"], said["down"]) == (job.id, far.host, job.up, job.down)
    assert job.up > 1000
    assert job.down > 1000
    assert 0 < job.server_seconds < 600
    assert lens.frame.drop("probability", "logit", "entropy", "kl", strict=False).equals(
        iw.Lens(here, TEXT).frame.drop("probability", "logit", "entropy", "kl", strict=False)
    )
    assert iw.jobs()["job"].to_list() == [job.id]


def test_a_dictionary_is_sent_once(far, here, wide) -> None:
    expected = iw.methods.atom_activations(here, TEXT, sae=wide)
    for _ in range(3):
        found = iw.methods.atom_activations(far, TEXT, sae=wide)
        assert found.select("position", "atom").equals(expected.select("position", "atom"))
        assert (found["activation"] - expected["activation"]).abs().max() < 1e-4
    sizes = [job.size for job in far.jobs]
    assert sizes[0] > 5_000_000
    assert max(sizes[1:]) < 500_000


def test_a_job_that_is_no_longer_waited_for_can_be_asked_for(far, here) -> None:
    lens = iw.Lens(far)

    def leave(change) -> None:
        said = change.new["remote"]
        if said and said["id"] and change.new["state"] == "running":
            lens.cancel()

    lens.observe(leave, "status")
    lens.text = TEXT
    lens._start().wait(60)
    assert lens.status["state"] == "cancelled"
    again = iw.resume(far.jobs[-1].id)
    again.run()
    assert (len(again.session.jobs), again.session.jobs[0].up) == (1, 0)
    assert again.frame.height == iw.Lens(here, TEXT).frame.height


LOST = """
import os, sys, time
import interp_widgets as iw
model = iw.load(sys.argv[1], remote=sys.argv[2])
panel = iw.Atoms(model, sys.argv[3], sae=iw.load_sae("toy-grammar/resid_post.2"))
while panel.status["state"] == "running" and not iw.jobs().height:
    time.sleep(0.01)
os._exit(9 if iw.jobs().height else 1)
"""


def test_a_panel_outlives_its_kernel(server, models, here, cache) -> None:
    asked = [sys.executable, "-W", "ignore", "-c", LOST, str(models["toy-grammar"]), server.host, TEXT]
    done = subprocess.run(asked, env={**os.environ, "PYTHONHASHSEED": "77"}, check=False, timeout=300)
    assert done.returncode == 9
    [job] = iw.jobs()["job"]
    panel = iw.resume(job)
    panel.run()
    first = panel.session.jobs[0]
    assert (first.id, first.up) == (job, 0)  # not sent again
    expected = iw.methods.atom_activations(here, TEXT, sae=iw.load_sae("toy-grammar/resid_post.2"))
    assert panel.frame.select("position", "atom").equals(expected.select("position", "atom"))


def test_what_the_server_has_is_listed_and_a_panel_moves_to_another_model(far, server, models) -> None:
    lens = iw.Lens(far, "w3 w14 w15")
    lens.run()
    folder = str(models["tiny"])
    lens._handle_custom_msg({"type": "model", "name": folder}, [])
    assert lens._job.wait(300)
    assert lens.error == ""
    assert lens.session.source == folder
    assert lens.frame.equals(iw.Lens(lens.session, "w3 w14 w15").frame)
    served, end = {}, time.monotonic() + 120
    while not {folder, str(models["toy-grammar"])} <= served.keys():  # the server says for a while what it said last
        assert time.monotonic() < end
        found = iw.models(server.host)
        iw.frames.check(found, iw.frames.SERVED_MODELS)
        served = {row["model"]: row for row in found.iter_rows(named=True)}
    toy = served[str(models["toy-grammar"])]
    assert (toy["layers"], toy["width"], toy["model_type"], toy["known"]) == (4, 128, "llama", True)
