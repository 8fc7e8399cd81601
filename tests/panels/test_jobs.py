"""Work in the background: progress, cancel, the newest wins, and every failure ends in a sentence."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import polars as pl
import pytest
import torch

import interp_widgets as iw
from interp_widgets.errors import Cancelled
from interp_widgets.panels.jobs import Job, sentence
from tests.methods.conftest import IOI, IOI_CORRUPT, some_pairs

from .conftest import TEXT, click, request_of

ROOT = Path(__file__).parents[2]


def reports() -> tuple[list, object]:
    seen: list = []
    return seen, lambda job, status, error: seen.append((status["state"], error))


def test_a_job_tells_that_it_runs_and_that_it_is_done() -> None:
    seen, report = reports()
    job = Job(lambda progress: progress(1, 1), report).start()
    assert job.wait(5)
    assert [state for state, _ in seen] == ["running", "done"]
    assert job.error is None


def test_a_cancelled_job_stops_at_its_next_report() -> None:
    seen, report = reports()
    begun = threading.Event()

    def work(progress) -> None:
        for i in range(1000):
            progress(i, 1000)
            begun.set()
            time.sleep(0.01)

    job = Job(work, report).start()
    begun.wait(5)
    job.cancel()
    assert job.wait(2)
    assert isinstance(job.error, Cancelled)
    assert seen[-1] == ("cancelled", "")


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (iw.errors.TextError("The text is empty."), "The text is empty."),
        (KeyboardInterrupt(), "interrupted"),
        (MemoryError(), "not enough memory"),
        (torch.OutOfMemoryError("CUDA out of memory."), "not enough memory"),
        (
            RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"),
            "not enough memory",
        ),
        (
            RuntimeError("mat1 and mat2 shapes cannot be multiplied\nmore"),
            "RuntimeError: mat1 and mat2 shapes cannot be multiplied What",
        ),
    ],
)
def test_every_error_has_a_sentence(error: BaseException, said: str) -> None:
    assert said in sentence(error)
    seen, report = reports()

    def work(progress) -> None:
        raise error

    Job(work, report).start().wait(5)
    assert seen[-1][0] == "error"
    assert said in seen[-1][1]


@pytest.mark.parametrize(
    "error", [MemoryError(), KeyboardInterrupt(), RuntimeError("boom"), iw.errors.TextError("Bad text.")]
)
def test_a_failing_click_shows_its_sentence_ends_the_busy_mark_and_keeps_the_result(panel, monkeypatch, error) -> None:
    before, tokens = panel.frame, list(panel.get_state().get("tokens", []))

    def fail(*_, **__):
        raise error

    monkeypatch.setattr(panel.session, "run", fail)
    request = request_of(panel, IOI if isinstance(panel, iw.Patching) else "the cat")
    click(panel, "run", **request)
    panel._job.wait(5)
    assert panel.status["state"] == "error"
    assert panel.error == sentence(error)
    assert list(panel.get_state().get("tokens", [])) == tokens
    monkeypatch.undo()
    assert panel.frame.equals(before)
    panel.run()
    assert panel.error == ""
    assert panel.status["state"] == "done"


def test_the_same_failure_in_the_foreground_is_raised(panel, monkeypatch) -> None:
    monkeypatch.setattr(panel.session, "run", lambda *_, **__: (_ for _ in ()).throw(RuntimeError("boom")))
    with pytest.raises(RuntimeError, match="boom"):
        panel.run()


def test_bad_text_from_the_browser_is_a_sentence_and_no_exception(panel) -> None:
    if isinstance(panel, iw.PatchingPairs):
        panel._pairs = some_pairs().with_columns(clean=pl.lit(""))
        panel._run = None
    click(panel, "run", **request_of(panel, ""))
    panel._job.wait(30)
    if isinstance(panel, iw.Audit):  # it looks at no text of its own then
        assert (panel.error, panel.status["state"]) == ("", "done")
        return
    assert "The text is empty" in panel.error
    assert panel.status["state"] == "error"


def test_a_handler_that_raises_shows_it(lens, patching) -> None:
    click(lens, "track", text="mary john")
    assert "exactly one token" in lens.error
    click(patching, "align", clean=99, corrupt=0)
    assert "no pair of positions 99 and 0" in patching.error
    click(lens, "no such request")


def test_the_newest_request_wins(lens, toy) -> None:
    with toy._lock:  # all of them have to wait
        for text in ("the cat", "the dogs", TEXT):
            click(lens, "run", text=text)
    lens.run()
    assert lens.text == TEXT
    assert lens.tokens == toy.tokens(TEXT)["token"].to_list()
    time.sleep(0.2)  # older jobs may still end; they must not be heard
    assert lens.tokens == toy.tokens(TEXT)["token"].to_list()
    assert lens.status["state"] == "done"


def test_run_waits_for_the_same_request_and_not_for_another(toy) -> None:
    with toy._lock:
        panel = iw.Lens(toy, TEXT)
        job = panel._job
        thread = threading.Thread(target=panel.run)
        thread.start()
        time.sleep(0.3)
        assert panel._job is job
    thread.join(5)
    with toy._lock:
        click(panel, "run", text="the cat")
        panel.text = "the dogs"
        thread = threading.Thread(target=panel.run)
        thread.start()
        time.sleep(0.3)
    thread.join(5)
    assert panel.tokens == ["<s>", "the", "dogs"]


def test_a_click_never_waits_for_a_running_job(panel, toy) -> None:
    request = request_of(panel, IOI if isinstance(panel, iw.Patching) else "the cat")
    with toy._lock:
        click(panel, "run", **request)
        began = time.monotonic()
        click(panel, "line", position=1, token_id=5)
        click(panel, "track", token_id=5)
        click(panel, "window", start=0)
        click(panel, "align", clean=2, corrupt=2)
        click(panel, "unalign", corrupt=2)
        panel.set_state({"positions": [1]})
        assert time.monotonic() - began < 1
    panel._job.wait(10)


def test_cancel_keeps_what_is_done(toy, monkeypatch) -> None:
    panel = iw.Patching(toy, IOI, IOI_CORRUPT, answer="mary", foil="john")
    panel.run()
    way = __import__("importlib").import_module("interp_widgets.methods.sweep")._Way
    original, calls = way.fill, []

    def slow(*arguments):
        original(*arguments)
        calls.append(1)
        if len(calls) == 2:
            click(panel, "cancel")

    monkeypatch.setattr(way, "fill", slow)
    click(panel, "run", clean=IOI, corrupt=IOI_CORRUPT, answer="mary", foil="john")
    panel._job.wait(10)
    monkeypatch.undo()
    assert panel.status["state"] == "cancelled"
    assert panel.error == ""
    done = panel.frame.filter(method="exact")["site"].n_unique()
    assert done == 8, "two of three kinds, all layers of each"
    assert "over 18 cells" in panel.checks[0]["text"]
    panel.run()
    assert panel.frame.filter(method="exact")["site"].n_unique() == 12


def test_a_sweep_that_fails_half_way_gives_back_the_former_result(toy, monkeypatch) -> None:
    panel = iw.Patching(toy, IOI, IOI_CORRUPT, answer="mary", foil="john")
    panel.run()
    before, calls, run = panel.frame, [], toy.run

    def fail(*arguments, **options):
        calls.append(1)
        if len(calls) > 6:
            raise MemoryError
        return run(*arguments, **options)

    monkeypatch.setattr(toy, "run", fail)
    with pytest.raises(MemoryError):
        panel.run()
    assert "not enough memory" in panel.error
    assert panel.frame.equals(before)


def test_an_interrupt_while_waiting_stops_the_job(toy, monkeypatch) -> None:
    panel = iw.Lens(toy, TEXT)
    panel.run()
    with toy._lock:
        monkeypatch.setattr(Job, "wait", lambda self, timeout=None: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            panel.run()
        monkeypatch.undo()
        assert "interrupted" in panel.error
        assert panel.status["state"] == "error"
    panel._job.wait(5)
    assert len(panel.frame)


def test_progress_reaches_the_panel(toy, monkeypatch) -> None:
    monkeypatch.setattr("interp_widgets.panels.jobs.QUIET", 0)
    panel = iw.Patching(toy, IOI, IOI_CORRUPT, answer="mary", foil="john")
    panel.run()
    seen = []
    panel.observe(
        lambda change: seen.append((change.new["done"], change.new["total"], change.new["message"])), "status"
    )
    panel.run()
    assert (1, 3, "attn_out, positions 10 to 14") in seen
    assert (2, 3, "mlp_out, layer 2") in seen
    assert {total for done, total, _ in seen if done} == {3}


def test_nothing_is_left_running_or_growing_after_many_clicks(lens) -> None:
    import gc

    import psutil

    process = psutil.Process()

    def clicks(count: int) -> None:
        for i in range(count):
            click(lens, "run", text=("the cat", TEXT)[i % 2])
            lens._job.wait(10)

    clicks(30)
    gc.collect()
    threads, memory = threading.active_count(), process.memory_info().rss
    clicks(60)
    gc.collect()
    assert threading.active_count() <= threads
    assert process.memory_info().rss - memory < 20_000_000


@pytest.mark.smollm2
@pytest.mark.slow
def test_a_script_may_end_while_a_panel_works(smollm2, tmp_path) -> None:
    """On a model of some size: the bundled one is seldom caught inside a product."""
    script = tmp_path / "short.py"
    script.write_text(
        "import time, torch\ntorch.set_num_threads(1)\nimport interp_widgets as iw\nmodel = iw.load('smollm2-135m')\n"
        "start = 'When Mary and John went to the store, '\n"
        "panel = iw.Patching(model, start + 'John gave a drink to', start + 'Mary gave a drink to', ' Mary', ' John')\n"
        "time.sleep(0.5)\nprint(panel._job.running)\n",
        encoding="utf-8",
    )
    environment = {**os.environ, "IW_CACHE": str(smollm2.parent), "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, str(script)], capture_output=True, text=True, timeout=120, env=environment, check=False
    )
    assert (done.returncode, done.stdout) == (0, "True\n"), done.stderr
