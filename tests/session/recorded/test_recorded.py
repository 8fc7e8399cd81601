"""A recording gives what the model gave, says what it does not hold, and is never trusted."""

from __future__ import annotations

import gc
import json
import subprocess
import sys
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import torch
from polars.testing import assert_frame_equal

import interp_widgets as iw
from interp_widgets.errors import Cancelled, ModelError, NotRecorded, RecordingError, TextError
from interp_widgets.session.recorded import file as recorded_file
from interp_widgets.session.recorded.keys import key_of
from tests import layers
from tests.remote.cases import CASES, PAIR, PANELS, TEXT

SAMPLED = {"agreement, here and there", "agreement_tokens", "agreement, the other way"}
"""Where whole distributions would have to be kept, tokens are drawn, as for a model on a server."""


@pytest.fixture(scope="module")
def model() -> iw.Session:
    return iw.load("toy-grammar")


@pytest.fixture(scope="module")
def made(model: iw.Session, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, pl.DataFrame]]:
    """A recording of every case and every panel, and what they gave while it was made."""
    path = tmp_path_factory.mktemp("recorded") / "toy.recording"
    found = {}
    with iw.record(model, path) as recorded:
        for name, case in CASES.items():
            found[name] = case(recorded)
        for name, panel in PANELS.items():
            shown = panel(recorded)
            shown.run()
            found[name] = shown.frame
    return path, found


@pytest.fixture(scope="module")
def replay(made: tuple[Path, Any]) -> Any:
    return iw.replay(made[0])


@pytest.mark.parametrize("case", CASES)
def test_a_method_gives_the_same_bits(model: iw.Session, replay: Any, made: Any, case: str) -> None:
    kept = CASES[case](replay)
    assert_frame_equal(kept, made[1][case], check_exact=True)
    if case not in SAMPLED:
        assert_frame_equal(kept, CASES[case](model), check_exact=True)


@pytest.mark.parametrize("name", PANELS)
def test_a_panel_gives_the_same_bits_and_says_that_it_is_recorded(replay: Any, made: Any, name: str) -> None:
    panel = PANELS[name](replay)
    panel.run()
    assert not panel.error
    assert_frame_equal(panel.frame, made[1][name], check_exact=True)
    assert panel.recorded == replay.recorded > "2026"
    assert panel.provenance["backend"] == "recorded"
    assert "nnsight" in panel.code()


def test_no_weights_are_here(model: iw.Session, replay: Any) -> None:
    assert replay.torch_module is None
    assert replay.remote is False
    assert (replay.name, replay.num_layers, replay.width, replay.dtype, replay.sites()) == (
        model.name, model.num_layers, model.width, model.dtype, model.sites()
    )  # fmt: skip
    assert replay.weights_hash == model.weights_hash
    assert replay.tokens(TEXT).equals(model.tokens(TEXT))
    assert (replay.head_width, replay.num_kv_heads, replay.size("mlp_act.0")) == (
        model.head_width, model.num_kv_heads, model.size("mlp_act.0")
    )  # fmt: skip


def test_provenance_says_what_answered(model: iw.Session, replay: Any, made: Any) -> None:
    said, own = replay.provenance(), model.provenance()
    assert {name: said[name] for name in ("model", "source", "weights_sha256", "versions", "dtype")} == {
        name: own[name] for name in ("model", "source", "weights_sha256", "versions", "dtype")
    }
    assert said["backend"] == "recorded"
    assert said["recording"]["backend"] == "local"
    assert len(said["recording"]["sha256"]) == 64
    assert said["recording"]["made"] == replay.recorded


def test_the_file_names_no_folder_of_this_machine(made: Any) -> None:
    with zipfile.ZipFile(made[0]) as file:
        everything = b"".join(file.read(name) for name in file.namelist())
    assert str(Path(iw.__file__).parent).encode() not in everything
    assert str(Path.home()).encode() not in everything


def test_what_was_not_recorded_is_said(replay: Any) -> None:
    with pytest.raises(NotRecorded, match=r"was not recorded: toy.recording has no answer .*iw.load\('toy-grammar'\)"):
        iw.methods.logit_lens(replay, "the dog runs")
    with pytest.raises(TextError):  # what needs no model is as ever
        replay.encode("")
    panel = iw.Lens(replay, TEXT)
    panel.run()
    before = panel.frame
    panel._on_message(None, {"type": "run", "text": "the dog runs"}, [])
    assert panel._job is not None
    panel._job.wait()
    assert "was not recorded" in panel.error
    assert panel._frame is before


def test_a_list_says_what_there_is(replay: Any) -> None:
    held = replay.holds
    assert held.schema == {name: column.dtype for name, column in iw.frames.RECORDED.items()}
    assert "when mary and john went" in repr(replay)
    assert held["bytes"].min() > 0


def _captured(scale: float) -> Any:
    return lambda read: next(iter(read.values())) * scale


def test_a_closure_goes_by_what_it_captured(model: iw.Session, tmp_path: Path) -> None:
    ids = [model.encode(TEXT)]
    with iw.record(model, tmp_path / "a") as recorded:
        one = recorded.run(ids, ["resid_post.0"], then=_captured(2.0))
    replay = iw.replay(tmp_path / "a")
    assert torch.equal(replay.run(ids, ["resid_post.0"], then=_captured(2.0)), one)
    with pytest.raises(NotRecorded):
        replay.run(ids, ["resid_post.0"], then=_captured(3.0))
    first, second = (lambda x: x["resid_post.0"] + 1), (lambda x: x["resid_post.0"] - 1)  # one line, other code
    assert len({key_of(model, type(model).run, (ids, ["resid_post.0"]), {"then": f}) for f in (first, second)}) == 2


def test_a_key_is_the_same_in_another_process(model: iw.Session) -> None:
    script = """
import interp_widgets as iw
from interp_widgets.session.recorded.keys import key_of
edit = {"resid_post.0": iw.load_sae("toy-grammar/resid_post.2").encode}
print(key_of(iw.load("toy-grammar"), iw.Session.run, ([[1, 2, 3]], {"resid_post.0"}), {"edit": edit}))
"""
    edit = {"resid_post.0": iw.load_sae("toy-grammar/resid_post.2").encode}
    here = key_of(model, iw.Session.run, ([[1, 2, 3]], {"resid_post.0"}), {"edit": edit})
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=120)
    assert done.stdout.strip() == here, done.stderr


def test_a_dictionary_goes_by_its_weights(model: iw.Session, replay: Any) -> None:
    sae = iw.load_sae("toy-grammar/resid_post.2")
    other = replace(sae, W_enc=sae.W_enc * 1.5)
    with pytest.raises(NotRecorded):
        iw.methods.atom_activations(replay, TEXT, sae=other)
    assert len(iw.methods.atom_activations(replay, TEXT, sae=replace(sae, origin={"file": "elsewhere"})))


def test_cancelled_or_failed_work_is_not_kept(model: iw.Session, tmp_path: Path) -> None:
    def stop(done: int, total: int, message: str = "", partial: Any = None) -> None:
        raise Cancelled("Stopped.")

    with iw.record(model, tmp_path / "a") as recorded:
        with pytest.raises(Cancelled):
            iw.methods.activation_patching(recorded, **PAIR, progress=stop)
        with pytest.raises(ZeroDivisionError):
            recorded.run([[1, 2]], ["resid_post.0"], then=lambda read: 1 / 0)
        kept = iw.methods.logit_lens(recorded, TEXT)
    assert iw.replay(tmp_path / "a").holds["name"].to_list() == [
        "begin",
        "lens",
    ]  # both prompts were read before it was stopped
    assert_frame_equal(iw.methods.logit_lens(iw.replay(tmp_path / "a"), TEXT), kept)


def test_an_interrupted_block_keeps_what_there_was(model: iw.Session, tmp_path: Path) -> None:
    path = tmp_path / "a"
    with iw.record(model, path) as recorded:
        iw.methods.logit_lens(recorded, TEXT)
    before = path.read_bytes()
    with pytest.raises(ZeroDivisionError), iw.record(model, path) as recorded:
        len(iw.methods.logit_lens(recorded, "the dog")) / 0
    assert path.read_bytes() == before
    recorded = iw.record(model, path)
    iw.methods.logit_lens(recorded, "the dog")
    assert [each.name for each in tmp_path.iterdir() if each.name != "a"]  # it grows beside
    del recorded
    gc.collect()
    assert [each.name for each in tmp_path.iterdir()] == ["a"]


def test_what_no_file_can_hold_is_answered_and_warned_of(model: iw.Session, tmp_path: Path) -> None:
    with iw.record(model, tmp_path / "a") as recorded:
        with pytest.warns(UserWarning, match="is not in the recording"):
            found = recorded.run([[1, 2]], ["resid_post.0"], then=lambda read: object())
        assert type(found) is object
    assert not len(iw.replay(tmp_path / "a").holds)


def test_a_recording_is_not_recorded_again(model: iw.Session, replay: Any, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="cannot be recorded again"):
        iw.record(replay, tmp_path / "b")
    with pytest.raises(RecordingError, match="Choose a folder"):
        iw.record(model, tmp_path / "nowhere" / "b")


def test_modadd_and_odd_types(tmp_path: Path) -> None:
    model = iw.load("modadd-59", dtype="float64")
    with iw.record(model, tmp_path / "a") as recorded:
        kept = iw.methods.logit_lens(recorded, "12 30 =")
        wide = recorded.run(
            [[1, 2]], ["resid_post.0"], then=lambda read: (read["resid_post.0"].bfloat16(), float("nan"))
        )
    replay = iw.replay(tmp_path / "a")
    assert_frame_equal(iw.methods.logit_lens(replay, "12 30 ="), kept)
    assert replay.dtype == "float64"
    assert wide[0].dtype == torch.bfloat16


# files that are not what they should be


def _changed(path: Path, to: Path, change: Any) -> Path:
    """A copy of a recording with parts changed: `change(parts)` on a dict of bytes."""
    with zipfile.ZipFile(path) as file:
        parts = {name: file.read(name) for name in file.namelist()}
    change(parts)
    with zipfile.ZipFile(to, "w", zipfile.ZIP_DEFLATED) as file:
        for name, data in parts.items():
            file.writestr(name, data)
    return to


def _index(change: Any) -> Any:
    def apply(parts: dict[str, bytes]) -> None:
        index = json.loads(parts["recording.json"])
        change(index)
        parts["recording.json"] = json.dumps(index).encode()

    return apply


HOSTILE = {
    "a path that escapes": lambda parts: parts.update({"../evil.json": b"{}"}),
    "an absolute path": lambda parts: parts.update({"/tmp/evil": b"{}"}),
    "another tokenizer file": lambda parts: parts.update({"tokenizer/evil.py.txt": b"{}"}),
    "no index": lambda parts: parts.pop("recording.json"),
    "an index that is no JSON": lambda parts: parts.update({"recording.json": b"{"}),
    "an index of another kind": lambda parts: parts.update({"recording.json": b"[]"}),
    "an index nested too deep": lambda parts: parts.update({"recording.json": b"[" * 100_000 + b"]" * 100_000}),
    "a later format": _index(lambda index: index.update(version=2)),
    "no facts": _index(lambda index: index.pop("facts")),
    "a damaged architecture": _index(lambda index: index["facts"].update(architecture={"evil": 1})),
    "layers that are none": _index(lambda index: index["facts"].update(num_layers="many")),
    "a tokenizer that is none": lambda parts: parts.update({"tokenizer/tokenizer.json": b"{}"}),
}


@pytest.mark.parametrize("how", HOSTILE)
def test_a_hostile_file_is_refused_with_a_sentence(made: Any, tmp_path: Path, how: str) -> None:
    with pytest.raises(RecordingError, match=r"^[A-Z].*\.$"):
        iw.replay(_changed(made[0], tmp_path / "bad.recording", HOSTILE[how]))


def _as(text: str) -> Any:
    def apply(parts: dict[str, bytes]) -> None:
        for name in parts:
            if name.startswith("answers/") and name.endswith(".json"):
                parts[name] = text.encode()

    return apply


ANSWERS = {
    "a class of another package": _as('{"object": "subprocess:Popen", "fields": {"args": "ls"}}'),
    "a function of ours": _as('{"object": "interp_widgets.session.load:load", "fields": {"source": "x"}}'),
    "a class that is no answer": _as('{"object": "interp_widgets.session.session:Session", "fields": {}}'),
    "fields that are others": _as('{"object": "interp_widgets.session.sites:Site", "fields": {"evil": 1}}'),
    "a kind that is none": _as('{"set": [1]}'),
    "a tensor that is not there": _as('{"tensor": 77}'),
    "no JSON": _as("{"),
    "too deep": _as('{"list": [' * 200 + "]}" * 200),
    "tensors cut off": lambda parts: parts.update({n: d[:-4] for n, d in parts.items() if n.endswith(".safetensors")}),
    "tensors that are none": lambda parts: parts.update({n: b"\xff" * 64 for n in parts if n.endswith(".safetensors")}),
}


@pytest.mark.parametrize("how", ANSWERS)
def test_a_hostile_answer_is_refused_with_a_sentence(made: Any, tmp_path: Path, how: str) -> None:
    replay = iw.replay(_changed(made[0], tmp_path / "bad.recording", ANSWERS[how]))
    with pytest.raises(RecordingError, match=r"(?s)^[A-Z].*again\.$|another version"):
        iw.methods.logit_lens(replay, TEXT, track="mary")


def test_a_bomb_is_not_unpacked(made: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recorded_file, "MOST", 1_000_000)
    path = _changed(
        made[0], tmp_path / "a", lambda parts: parts.update({"answers/" + "0" * 32 + ".json": b" " * 2_000_000})
    )
    with pytest.raises(RecordingError, match="would unpack to 2,000,000 bytes"):
        iw.replay(path)
    monkeypatch.setattr(recorded_file, "MOST_PARTS", 3)
    with pytest.raises(RecordingError, match="at most 3"):
        iw.replay(made[0])


def test_damage_is_found(made: Any, tmp_path: Path) -> None:
    data = made[0].read_bytes()
    for cut in (data[:1000], data[:-100], b"", data[: len(data) // 2]):
        (tmp_path / "cut").write_bytes(cut)
        with pytest.raises(RecordingError):
            iw.replay(tmp_path / "cut")
    turned = bytearray(data)
    turned[60] ^= 0xFF  # in the first answer
    (tmp_path / "turned").write_bytes(turned)
    with pytest.raises(RecordingError, match="Get it again"):
        iw.methods.logit_lens(iw.replay(tmp_path / "turned"), TEXT, track="mary")
    with pytest.raises(RecordingError, match="There is no recording"):
        iw.replay(tmp_path / "nowhere")


def test_reading_the_file_needs_no_torch(made: Any) -> None:
    forbidden = sorted(layers.TORCH)
    script = f"""
import sys
for name in {forbidden!r}:
    sys.modules[name] = None
from interp_widgets.session.recorded.file import File
from interp_widgets.session.recorded.holds import holds
assert len(holds(File({str(made[0])!r}))) > 50
"""
    assert layers.fresh(script) == ""
