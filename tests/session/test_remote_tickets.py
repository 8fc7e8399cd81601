"""The name of a call, and the small file that is left of a request."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import pytest
import torch

import interp_widgets as iw
from interp_widgets.errors import AnswerGone
from interp_widgets.session.remote import tickets
from interp_widgets.session.remote.fingerprint import fingerprint
from interp_widgets.session.remote.tickets import Ticket, find
from interp_widgets.session.sites import Site
from tests.methods.conftest import toy as toy
from tests.session.far import HOST
from tests.session.far import far as far
from tests.session.far import far_toy as far_toy


def work(model, *given, **more):
    return given


def named(*args, function=work, **more) -> str:
    found = fingerprint(function, args, more)
    assert found is not None
    return found


@dataclass
class Pair:
    left: float
    right: float


def scaled(by):
    def scale(x):
        return x * by

    return scale


IN_ANOTHER_PROCESS = """
import sys, torch
sys.path.insert(0, {root!r})
import interp_widgets as iw
from tests.session.test_remote_tickets import several
print(several(iw.load("toy-grammar", remote="http://far.test")))
"""


def several(model) -> str:
    """One call with something of every kind."""
    x = torch.arange(12.0).reshape(3, 4).T
    things = [
        None,
        True,
        3,
        2.5,
        float("nan"),
        "text",
        b"bytes",
        (1, [2]),
        {"b": 1, "a": {"z", "y", "x"}},
        frozenset("abcdef"),
        x,
    ]
    more = {
        "edit": {"resid_post.2": scaled(3)},
        "then": lambda values: values["embed"] * x,
        "site": Site("embed", None),
    }
    return named(
        model,
        things,
        Pair(1.0, 2.0),
        torch.float32,
        partial(work, 1, key=x),
        more,
        dictionary=iw.load_sae("toy-grammar/mlp_out.1"),
    )


@pytest.mark.parametrize("seed", ["0", "4242"])
def test_a_call_has_one_name_in_every_process(far_toy, seed) -> None:
    script = IN_ANOTHER_PROCESS.format(root=str(Path(__file__).parents[2]))
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", script], capture_output=True, text=True,
        env={**os.environ, "PYTHONHASHSEED": seed}, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.strip() == several(far_toy)


def test_another_call_has_another_name(far_toy, toy) -> None:
    x = torch.arange(4.0)
    calls = [
        named(), named(1), named(1.0), named("1"), named(True), named([1]), named((1,)), named(b"1"), named({1}),
        named({1: 1}),        named([[1], 2]), named([1, [2]]), named(key=1), named(other=1), named(x),
        named(x + 1), named(x.double()), named(x.reshape(2, 2)),
        named(Pair(1, 2)), named(Pair(2, 1)), named(scaled(2)), named(scaled(3)), named(lambda y: y), named(lambda y: -y),
        named(function=named), named(Site("embed", None)), named(Site("resid_post", 1)), named("a", "b"),
        named("ab", ""), named(toy.run),
    ]  # fmt: skip
    assert len(set(calls)) == len(calls)


def test_the_same_contents_have_the_same_name_however_they_are_shared() -> None:
    one = [1, 2]
    assert named([one, one]) == named([[1, 2], [1, 2]])
    assert named(torch.arange(6.0).reshape(2, 3).T) == named(torch.arange(6.0).reshape(2, 3).T.clone().contiguous())
    assert named({"a": 1, "b": 2}) == named({"b": 2, "a": 1})
    loop: list = []
    loop.append(loop)
    assert named(loop) == named(loop)


def test_a_function_of_the_user_is_known_with_what_it_refers_to(monkeypatch) -> None:
    monkeypatch.setitem(globals(), "FACTOR", 2)
    before = named(lambda_of_factor)
    monkeypatch.setitem(globals(), "FACTOR", 3)
    assert named(lambda_of_factor) != before


FACTOR = 1


def lambda_of_factor(x):
    return x * FACTOR


def test_what_cannot_be_taken_apart_has_no_name() -> None:
    assert fingerprint(work, (threading.Lock(),), {}) is None
    assert fingerprint(work, ((i for i in range(3)),), {}) is None


# tickets


def ticket(job: str, **changes) -> Ticket:
    return Ticket(
        **{"job": job, "host": HOST, "model": "org/small", "name": "small", "work": "run", "call": "f" * 32, **changes}
    )


@pytest.fixture
def folder(monkeypatch, tmp_path):
    monkeypatch.setattr(tickets, "folder", lambda: tmp_path / "jobs")
    return tmp_path / "jobs"


def test_a_request_leaves_a_ticket_and_never_a_key(far, far_toy, monkeypatch) -> None:
    import nnsight

    monkeypatch.setattr(nnsight.CONFIG.API, "APIKEY", "secret-of-mine")
    iw.methods.logit_lens(far_toy, "the cat")
    [path] = tickets.folder().glob("*.json")
    text = path.read_text()
    assert "secret" not in text
    said = json.loads(text)
    assert (said["job"], said["host"], said["work"], said["state"]) == (far.sent[0]["id"], HOST, "lens", "completed")
    assert (said["panel"], said["seconds"], said["down"]) == (None, 0.25, 1234)
    [row] = iw.jobs().rows(named=True)
    assert (row["job"], row["model"], row["panel"], row["state"]) == (
        far.sent[0]["id"],
        "toy-grammar",
        None,
        "completed",
    )
    iw.frames.check(iw.jobs(), iw.frames.REMOTE_JOBS)


def test_without_a_ticket_there_is_an_empty_frame(folder) -> None:
    iw.frames.check(iw.jobs(), iw.frames.REMOTE_JOBS)
    assert iw.jobs().is_empty()


def test_a_job_is_found_by_the_beginning_of_its_id(folder) -> None:
    for job in ("abcdef01", "abcdef02", "12345678"):
        ticket(job).write()
    assert find("1234").job == "12345678"
    assert find("abcdef02").job == "abcdef02"
    with pytest.raises(AnswerGone, match=r"2 jobs are known whose id begins with 'abc'.*iw\.jobs\(\)"):
        find("abc")
    for wrong in ("9", ""):
        with pytest.raises(AnswerGone, match="No job is known"):
            find(wrong)


def test_a_ticket_of_another_version_is_refused(folder) -> None:
    ticket("abcdef01", version="0.0.7").write()
    with pytest.raises(AnswerGone, match=r"sent by interp_widgets 0\.0\.7 and this is"):
        find("abcdef01")


def test_old_tickets_go_and_the_newest_stay(folder, monkeypatch) -> None:
    monkeypatch.setattr(tickets, "MOST", 3)
    old = datetime.now(UTC) - timedelta(days=8)
    ticket("old", time=old.isoformat()).write()
    for i in range(5):
        ticket(f"job{i}", time=(datetime.now(UTC) - timedelta(minutes=9 - i)).isoformat()).write()
    assert iw.jobs()["job"].to_list() == ["job4", "job3", "job2"]


def test_a_server_cannot_name_a_file_elsewhere(folder) -> None:
    for job in ("../escaped", "a/b", "", "x" * 200):
        ticket(job).write()
    assert list(folder.parent.rglob("*.json")) == []


def test_a_damaged_ticket_is_passed_over(folder) -> None:
    ticket("good").write()
    (folder / "bad.json").write_text("{")
    (folder / "odd.json").write_text('{"job": 3}')
    (folder / "list.json").write_text("[]")
    assert iw.jobs()["job"].to_list() == ["good"]


def test_a_folder_that_cannot_be_written_costs_nothing_but_the_ticket(far, far_toy, monkeypatch, tmp_path) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setattr(tickets, "folder", lambda: tmp_path / "file" / "jobs")
    assert iw.methods.logit_lens(far_toy, "the cat").height
