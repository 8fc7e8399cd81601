"""A job outlives its kernel: the panel is made again and waits for what was sent, instead of sending it."""

from __future__ import annotations

import threading

import polars as pl
import pytest

import interp_widgets as iw
from interp_widgets.errors import AnswerGone, DictionaryError
from interp_widgets.panels.recipe import again, plain, recipe
from interp_widgets.session.remote import tickets
from tests.methods.conftest import IOI
from tests.panels.conftest import TEXT, click
from tests.session.far import far as far
from tests.session.far import far_toy as far_toy


def lose(far, make):
    """Start a panel, and lose it while its first request runs, as a kernel does that is restarted. The id of the job."""
    far.hold = "running"
    panel = make()
    assert far.reached.wait(20)
    job = far.sent[-1]["id"]
    panel._job.cancel()
    panel._job.wait(5)
    far.go.set()
    return job


def test_a_lens_comes_back_with_its_result_and_nothing_is_sent_again(far, far_toy, toy) -> None:
    job = lose(far, lambda: iw.Lens(far_toy, IOI, top_k=3, color="entropy"))
    assert iw.jobs().select("panel", "prompt", "state").rows() == [
        ("Lens", IOI[:59] + "…" if len(IOI) > 60 else IOI, "left")
    ]
    lens = iw.resume(job)
    assert isinstance(lens, iw.Lens)
    assert (lens.text, lens.top_k, lens.color) == (IOI, 3, "entropy")
    assert lens.frame.equals(iw.Lens(toy, IOI, top_k=3).frame)
    assert (len(far.sent), far.asked) == (1, [job])
    assert lens.status["remote"]["id"] == job
    lens.run()  # once more: as usual
    assert len(far.sent) == 2


def test_what_had_not_been_sent_is_sent(far, far_toy, toy, toy_sae) -> None:
    job = lose(far, lambda: iw.Atoms(far_toy, TEXT, sae=toy_sae))
    atoms = iw.resume(job[:12])
    atoms.run()
    assert far.asked == [job]
    assert len(far.sent) == 2  # the effects
    assert atoms.frame.equals(iw.methods.atom_activations(toy, TEXT, sae=toy_sae))
    assert atoms.sae.name == toy_sae.name


def test_every_request_of_a_finished_panel_is_answered_by_its_job(far, far_toy, toy_sae) -> None:
    first = iw.Atoms(far_toy, TEXT, sae=toy_sae)
    first.run()
    count = len(far.sent)
    second = iw.resume(far.sent[0]["id"])
    second.run()
    assert second.effects.equals(first.effects)
    assert len(far.sent) == count
    assert far.asked == [entry["id"] for entry in far.sent]


def test_the_text_that_was_typed_comes_back(far, far_toy) -> None:
    lens = iw.Lens(far_toy, IOI)
    lens.run()
    click(lens, "run", text="the cat")
    lens.run()
    found = iw.resume(far.sent[-1]["id"])
    found.run()
    assert found.text == "the cat"
    assert far.asked == [far.sent[-1]["id"]]


def test_another_question_is_not_answered_by_an_old_job(far, far_toy) -> None:
    lens = iw.Lens(far_toy, IOI)
    lens.run()
    found = iw.resume(far.sent[-1]["id"])
    found.run()
    click(found, "run", text="the cat")
    found.run()
    assert len(far.sent) == 2
    assert found.tokens[-1] == "cat"


def test_a_plain_call_gives_back_what_it_gave(far, far_toy) -> None:
    given = far_toy.run([far_toy.encode("the cat")], ["resid_post.1"])
    found = iw.resume(far.sent[-1]["id"])
    assert found["resid_post.1"].equal(given["resid_post.1"])


def test_an_answer_that_is_gone_is_said_in_the_panel_which_can_run_again(far, far_toy) -> None:
    lens = iw.Lens(far_toy, "the cat")
    lens.run()
    job = far.sent.pop()["id"]
    found = iw.resume(job)
    found._job.wait(10)
    assert found.status["state"] == "error"
    assert job in found.error
    found.run()
    assert found.frame.equals(lens.frame)


def test_a_job_that_nobody_knows_is_said(far) -> None:
    with pytest.raises(AnswerGone, match="No job is known"):
        iw.resume("nothing")


def test_a_dictionary_that_is_only_in_memory_is_said(far, far_toy, toy_sae) -> None:
    from dataclasses import replace

    mine = replace(toy_sae, name="mine", origin={}, reading=())
    iw.Atoms(far_toy, TEXT, sae=mine).run()
    with pytest.raises(AnswerGone, match="the dictionary mine, which is in no file"):
        iw.resume(far.sent[0]["id"])


def test_a_dictionary_whose_file_has_changed_or_gone_is_said(far, far_toy, toy_sae, tmp_path) -> None:
    import shutil
    from pathlib import Path

    folder = tmp_path / "sae"
    shutil.copytree(Path(toy_sae.origin["weights"]).parent, folder)
    sae = iw.load_sae(folder, site="resid_post.2")
    iw.Atoms(far_toy, TEXT, sae=sae).run()
    job = far.sent[0]["id"]
    assert iw.resume(job).sae.origin["sha256"] == sae.origin["sha256"]
    other = iw.load_sae("toy-grammar/resid_post.1")
    shutil.copy(other.origin["weights"], folder / Path(sae.origin["weights"]).name)
    with pytest.raises(AnswerGone, match="holds another dictionary"):
        iw.resume(job)
    shutil.rmtree(folder)
    with pytest.raises(DictionaryError):
        iw.resume(job)


def test_a_dictionary_from_the_hub_is_found_in_its_cache(far, far_toy, toy_sae) -> None:
    from dataclasses import replace

    place = {**toy_sae.origin, "repository": "owner/name"}
    sae = replace(toy_sae, name="owner/name/layers.2", origin=place, reading=("sae = ...",))
    iw.Atoms(far_toy, TEXT, sae=sae).run()
    count = len(far.sent)
    found = iw.resume(far.sent[0]["id"])
    found.run()
    assert len(far.sent) == count
    assert found.sae.name == "owner/name/layers.2"


def test_a_panel_on_a_model_that_is_here_leaves_nothing(toy, far) -> None:
    lens = iw.Lens(toy, TEXT)
    lens.run()
    assert (lens._job._asks, lens._job._requests) == (None, [])
    assert TEXT not in iw.jobs()["prompt"].to_list()


def test_values_come_back_as_they_were_and_what_was_in_memory_is_said() -> None:
    frame = pl.DataFrame({"clean": ["a"], "n": [1]})
    value = {"sites": ("a", "b"), "positions": [1, [2, 3]], "x": 1.5, "none": None, "texts": {"one": ["t"]}}
    assert again(plain(value)) == value
    assert again(plain(frame)).equals(frame)
    with pytest.raises(AnswerGone, match="a lock in memory"):
        again(plain(threading.Lock()))


def test_a_very_long_argument_is_not_kept(toy) -> None:
    lens = iw.Lens(toy)
    lens.text = "a" * 300_000
    assert recipe(lens)["arguments"]["text"]["kind"] == "lost"


def test_the_signature_of_a_panel_is_still_its_own() -> None:
    import inspect

    assert list(inspect.signature(iw.Lens).parameters) == ["model", "text", "top_k", "track", "color"]
    assert tickets.folder().name == "jobs"
