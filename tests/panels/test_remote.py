"""Panels on a model that is on a server: every stage is told, stopping is immediate, and the kernel is free meanwhile."""

from __future__ import annotations

import pickle
import time

import pytest

import interp_widgets as iw
from interp_widgets.panels.jobs import Job
from interp_widgets.progress import heard, silent
from interp_widgets.session.remote.state import JobState, in_line, ordinal
from tests.panels.conftest import TEXT, click
from tests.session.far import HOST, SEEN
from tests.session.far import far as far
from tests.session.far import far_toy as far_toy


def kept(panel) -> list[dict]:
    """Every status that the panel has shown, from now on."""
    seen: list[dict] = []
    panel.observe(lambda change: seen.append(change.new), "status")
    return seen


def until(condition, seconds: float = 10) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


@pytest.mark.parametrize(
    ("stage", "words", "position"),
    [
        ("received", "received", None),
        ("queued", "3rd in the queue", 3),
        ("deploying", "the server is loading the model", None),
        ("dispatched", "handed to the model", None),
        ("running", "running on the server", None),
    ],
)
def test_each_stage_is_shown_and_can_be_left(far, far_toy, toy, stage, words, position) -> None:
    lens = iw.Lens(far_toy, TEXT)
    before, tokens = lens.frame, lens.tokens
    assert before.equals(iw.Lens(toy, TEXT).frame)
    far.stages, far.hold = SEEN, stage
    click(lens, "run", text="the cat")
    assert far.reached.wait(10)
    until(lambda: (lens.status["remote"] or {}).get("stage") == stage, 5)
    said = lens.status["remote"]
    assert (said["words"], said["position"], said["id"], said["host"]) == (words, position, far.sent[-1]["id"], HOST)
    assert said["up"] == said["size"] > 0
    assert lens.status["state"] == "running"
    assert lens.tokens == tokens  # the former result stays
    click(lens, "cancel")
    assert lens._job.wait(1)
    assert lens.status["state"] == "cancelled"
    assert "ends what it has begun; iw.resume('job-" in lens.status["message"]
    assert lens.status["remote"]["stage"] == "left"
    assert lens.frame.equals(before)
    far.go.set()
    lens.text = TEXT
    lens.run()
    assert lens.status["state"] == "done"


def test_time_goes_on_while_nothing_else_changes(far, far_toy) -> None:
    far.stages, far.hold = SEEN, "queued"
    lens = iw.Lens(far_toy)
    seen = kept(lens)
    click(lens, "run", text=TEXT)
    far.reached.wait(10)
    time.sleep(2.6)
    waits = [status["remote"]["seconds"] for status in seen if (status["remote"] or {}).get("stage") == "queued"]
    assert waits == sorted(waits)
    assert 2 <= len(waits) <= 6  # about one a second: not a message for each look at the clock
    assert len({status["remote"]["words"] for status in seen if (status["remote"] or {}).get("stage") == "queued"}) == 1
    far.go.set()
    lens.run()


def test_a_finished_job_tells_what_it_cost(far, far_toy, toy_sae) -> None:
    panel = iw.Atoms(far_toy, TEXT, sae=toy_sae)
    panel.run()
    said = panel.status["remote"]
    jobs = far_toy.jobs
    assert said["requests"] >= 2
    assert said["stage"] == "completed"
    assert said["up"] == sum(job.up for job in jobs[: said["requests"]])
    assert said["down"] == 1234 * said["requests"]


def test_a_panel_on_a_model_that_is_here_says_nothing_of_servers(toy) -> None:
    lens = iw.Lens(toy, TEXT)
    lens.run()
    assert (lens.status["remote"], lens.host, lens.model_source) == (None, "", "")


def test_a_remote_panel_says_where_its_model_is(far_toy) -> None:
    lens = iw.Lens(far_toy)
    assert (lens.host, lens.model_name) == (HOST, "toy-grammar")
    assert lens.model_source.endswith("toy-grammar")


def test_a_request_that_fails_keeps_the_result_and_says_so(far, far_toy) -> None:
    lens = iw.Lens(far_toy, TEXT)
    before = lens.frame
    far.fail = lambda: iw.errors.ServerUnavailable("There is no server at http://far.test.")
    click(lens, "run", text="the cat")
    lens._job.wait(10)
    assert lens.status["state"] == "error"
    assert lens.error == "There is no server at http://far.test."
    assert lens.status["remote"]["stage"] == "error"
    assert lens.frame.equals(before)


def test_the_kernel_is_free_while_a_job_is_queued(far, far_toy, toy) -> None:
    far.stages, far.hold = SEEN, "queued"
    lens = iw.Lens(far_toy, TEXT)
    assert far.reached.wait(10)
    began = time.monotonic()
    assert iw.methods.logit_lens(toy, TEXT).height  # another cell
    lens.color = "entropy"  # and the panel answers
    assert time.monotonic() - began < 5
    assert lens.status["state"] == "running"
    far.go.set()
    assert lens.frame.height


def test_a_method_that_takes_no_progress_is_heard_and_can_be_stopped(far, far_toy) -> None:
    far.stages, far.hold = SEEN, "running"
    reports: list[dict] = []
    job = Job(lambda progress: far_toy.run([[3, 4]], ["embed"]), lambda _, status, __: reports.append(status)).start()
    assert far.reached.wait(10)
    job.cancel()
    assert job.wait(1)
    assert isinstance(job.error, iw.errors.Cancelled)
    assert reports[-1]["remote"]["stage"] == "left"
    assert heard.get() is None  # here nobody listens


def test_plain_calls_tell_their_progress(far, far_toy) -> None:
    far.stages = SEEN
    told: list[str] = []
    far_toy.work(_ids, progress=lambda done, total, message="", partial=None: told.append(message))
    assert "ids, 3rd in the queue, 0 s" in told
    assert told[-1] == "ids, done, 0 s" or told[-1].startswith("ids, done, ")


def _ids(model) -> list[int]:
    return sorted(model.special_ids)


def test_a_job_that_travels_arrives_as_nobody() -> None:
    job = Job(lambda progress: None, lambda *_: None)
    assert pickle.loads(pickle.dumps(job)) is silent


def test_what_a_large_request_costs_is_said_beforehand_and_only_where_it_was_measured() -> None:
    small = JobState("read", size=4_999_999)
    assert (small.estimate, small.words) == ("", "sending")
    large = JobState("read", size=9_400_000, dictionary=9_437_184, expected=12.4)
    assert large.words == "sending 9.4 MB"
    assert large.estimate == ("sends 9.4 MB (a dictionary of 9.4 MB); about 12 s, as before")
    assert JobState("read", expected=9.9).estimate == ""
    assert in_line(large).startswith("read, sending 9.4 MB, sends")


def test_time_is_expected_from_what_the_server_measured_for_the_same_work(far, far_toy) -> None:
    assert far_toy._expected("ids") is None
    far_toy.work(_ids)
    assert far_toy._expected("ids") == 0.25
    assert far_toy._expected("run") is None
    for job, seconds in zip(far_toy.jobs * 3, (30.0, 10.0, 20.0), strict=True):
        job.server_seconds = seconds
    assert far_toy._expected("ids") == 20.0


def test_numbers_of_a_queue() -> None:
    assert [ordinal(n) for n in (1, 2, 3, 4, 11, 12, 13, 21, 102, 111)] == [
        "1st", "2nd", "3rd", "4th", "11th", "12th", "13th", "21st", "102nd", "111th",
    ]  # fmt: skip


def test_the_explorer_shows_the_request_of_its_part(far, far_toy) -> None:
    far.stages, far.hold = SEEN, "queued"
    explorer = iw.Explorer(far_toy, TEXT)
    assert far.reached.wait(10)
    until(lambda: (explorer.status["remote"] or {}).get("position") == 3)
    assert explorer.host == HOST
    explorer.cancel()
    explorer.lens._job.wait(2)
    assert explorer.status["state"] == "cancelled"
