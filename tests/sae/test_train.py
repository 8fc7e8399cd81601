"""Training finds planted dictionaries, beats principal components, can be broken off, and says what it did."""

from __future__ import annotations

import json
import os
import random
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import torch

import interp_widgets as iw
from interp_widgets import frames
from interp_widgets.errors import Cancelled, DictionaryError, SiteError, TextError
from interp_widgets.progress import silent
from interp_widgets.sae import baselines, objectives, training
from interp_widgets.sae.trainer import Settings, Trainer, schedule
from interp_widgets.session.session import Session

WORDS = (
    "the boy keys cabinet table mary john store drink gave went walks to a and , . is on are capital france paris of"
)
SMALL: dict[str, Any] = {
    "site": "resid_post.2",
    "width": 128,
    "k": 6,
    "tokens": 6000,
    "held_out": 1000,
    "batch": 128,
    "buffer": 1024,
    "reuse": 2,
}


@pytest.fixture(scope="module")
def model() -> Session:
    return iw.load("toy-grammar")


def texts(count: int = 400, seed: int = 0) -> list[str]:
    chance = random.Random(seed)
    return [" ".join(chance.choices(WORDS.split(), k=chance.randint(30, 60))) for _ in range(count)]


def stop_at(step: int, stop: Any) -> Any:
    """A progress that counts its calls and does something at one of them."""
    calls = []

    def progress(done: int, total: int, message: str = "", partial: Any = None) -> None:
        calls.append(done)
        if len(calls) == step:
            stop()

    return progress


def cancel() -> None:
    raise Cancelled("stopped by a test")


class Planted:
    """Activations that are sums of three of `directions`, each of its own strength, off centre and in units of their own."""

    def __init__(self, width: int = 64, d_in: int = 32) -> None:
        generator = torch.Generator().manual_seed(11)
        self.directions = torch.nn.functional.normalize(torch.randn(width, d_in, generator=generator), dim=1)
        self.given = 0

    def some(self, count: int, seed: int) -> torch.Tensor:
        generator = torch.Generator().manual_seed(seed)
        width = len(self.directions)
        on = torch.rand(count, width, generator=generator).topk(3).indices
        strength = torch.zeros(count, width).scatter(1, on, 1 + torch.rand(count, 3, generator=generator))
        return 30 * strength @ self.directions + 50

    def pieces(self) -> Iterator[torch.Tensor]:
        while True:
            self.given += 1
            yield self.some(1000, self.given)

    def state(self) -> dict[str, Any]:
        return {"given": self.given}

    def restore(self, state: dict[str, Any]) -> None:
        self.given = state["given"]


@pytest.mark.parametrize("activation", ["topk", "jumprelu"])
def test_a_planted_dictionary_is_found(activation: str) -> None:
    planted = Planted()
    settings = Settings(64, 3, activation, 3e-3, 256, 0, low=False)
    found = training.fit(planted, lambda: planted.some(2000, 0), settings, tokens=100_000, buffer=10_000, reuse=3)
    cosine = (planted.directions @ found.tensors["W_dec"].T).amax(1)
    assert cosine.mean() > 0.95
    last = found.history.row(-1, named=True)
    assert last["explained_variance"] > 0.9
    assert last["mean_active"] == pytest.approx(3, abs=0.3)


def test_dead_atoms_are_revived(monkeypatch: pytest.MonkeyPatch) -> None:
    """Half of the atoms are pushed below zero at the start: with the auxiliary loss they come back, without it they do not."""

    def silent_after(weight: float) -> float:
        monkeypatch.setattr(objectives, "AUX_WEIGHT", weight)
        planted = Planted()
        trainer = Trainer(Settings(64, 3, "topk", 5e-3, 256, 0, False), planted.some(4000, 1), "cpu")
        with torch.no_grad():
            trainer.weights["bias"][:32] -= 3.0
        for step in range(400):
            trainer.step(trainer.scaled(planted.some(256, step + 10)), 400)
        return trainer.measure(trainer.scaled(planted.some(4000, 5))).silent

    assert silent_after(0.0) > 0.4
    assert silent_after(1 / 32) < 0.25


def test_an_outlier_that_nobody_masked_is_not_trained_on() -> None:
    planted = Planted()

    class Spoilt(Planted):
        def pieces(self) -> Iterator[torch.Tensor]:
            for piece in super().pieces():
                piece[7] *= 1000
                yield piece

    settings = Settings(64, 3, "topk", 5e-3, 256, 0, low=False)
    explained = [
        training.fit(stream, lambda: planted.some(2000, 0), settings, tokens=20_000, buffer=5000, reuse=1)
        .history["explained_variance"]
        .to_list()[-1]
        for stream in (Planted(), Spoilt())
    ]
    assert explained[0] > 0.6
    assert explained[1] == pytest.approx(explained[0], abs=0.1)


def test_it_beats_as_many_principal_components(model: Session, tmp_path: Path) -> None:
    sae = iw.train_sae(
        model, texts(), folder=tmp_path / "sae", learning_rate=3e-3, progress=silent, **{**SMALL, "reuse": 6}
    )
    fresh = torch.cat([model.read(text, [SMALL["site"]])[SMALL["site"]][1:] for text in texts(20, seed=9)])
    known = torch.cat([model.read(text, [SMALL["site"]])[SMALL["site"]][1:] for text in texts(60, seed=1)])

    def explained(dictionary: Any) -> float:
        error = (fresh - dictionary.decode(dictionary.encode(fresh))).square().sum()
        return 1 - (error / (fresh - fresh.mean(0)).square().sum()).item()

    components = explained(baselines.pca(known, SMALL["site"], components=SMALL["k"]))
    assert explained(sae) > components + 0.1
    history = pl.read_parquet(tmp_path / "sae" / "training.parquet")
    frames.check(history, frames.TRAINING)
    assert history["explained_variance"][-1] == pytest.approx(explained(sae), abs=0.05)
    assert history["step"][-1] == -(-SMALL["tokens"] * 6 // SMALL["batch"])


@pytest.mark.parametrize("activation", ["topk", "jumprelu"])
@pytest.mark.parametrize("step", [1, 40, 77])
def test_a_training_that_was_broken_off_ends_the_same(
    model: Session, tmp_path: Path, activation: str, step: int
) -> None:
    options = {**SMALL, "activation": activation, "progress": silent}
    whole = iw.train_sae(model, texts(), folder=tmp_path / "whole", **options)
    folder = tmp_path / "broken"
    with pytest.raises(Cancelled) as stopped:
        iw.train_sae(model, texts(), folder=folder, **{**options, "progress": stop_at(step, cancel)})
    assert f"after {step} steps" in stopped.value.__notes__[0]
    assert [file.name for file in folder.iterdir()] == ["checkpoint.safetensors"]
    again = iw.train_sae(model, iter(texts()), folder=folder, **options)
    for name in ("W_enc", "b_enc", "W_dec", "b_dec"):
        assert torch.equal(getattr(whole, name), getattr(again, name)), name
    told = [pl.read_parquet(tmp_path / name / "training.parquet").drop("seconds") for name in ("whole", "broken")]
    assert told[0].equals(told[1])
    assert not (folder / "checkpoint.safetensors").exists()


def test_after_a_crash_the_last_checkpoint_is_gone_on_with(
    model: Session, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = iw.train_sae(model, texts(), progress=silent, **SMALL)
    monkeypatch.setattr(training, "EVERY", 0.0)

    def crash() -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        iw.train_sae(model, texts(), folder=tmp_path, progress=stop_at(60, crash), **SMALL)
    again = iw.train_sae(model, texts(), folder=tmp_path, progress=silent, **SMALL)
    assert torch.equal(whole.W_dec, again.W_dec)


def test_ctrl_c_ends_the_step_keeps_the_checkpoint_and_says_how_to_go_on(model: Session, tmp_path: Path) -> None:
    handler = signal.getsignal(signal.SIGINT)
    press = stop_at(9, lambda: os.kill(os.getpid(), signal.SIGINT))
    with pytest.raises(KeyboardInterrupt) as stopped:
        iw.train_sae(model, texts(), folder=tmp_path, progress=press, **SMALL)
    assert "9 steps" in stopped.value.__notes__[0]
    assert "Call again" in stopped.value.__notes__[0]
    assert (tmp_path / "checkpoint.safetensors").exists()
    assert signal.getsignal(signal.SIGINT) is handler


def test_a_step_that_was_torn_apart_is_not_kept(
    model: Session, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As by a second Ctrl-C: the weights of half a step are no place to go on from."""
    whole, step = iw.train_sae(model, texts(), progress=silent, **SMALL), Trainer.step

    def torn(self: Trainer, x: torch.Tensor, total: int) -> tuple[float, float]:
        if self.steps == 6:
            raise KeyboardInterrupt
        return step(self, x, total)

    with pytest.raises(Cancelled):
        iw.train_sae(model, texts(), folder=tmp_path, progress=stop_at(4, cancel), **SMALL)
    monkeypatch.setattr(Trainer, "step", torn)
    before = (tmp_path / "checkpoint.safetensors").read_bytes()
    with pytest.raises(KeyboardInterrupt):
        iw.train_sae(model, texts(), folder=tmp_path, progress=silent, **SMALL)
    assert (tmp_path / "checkpoint.safetensors").read_bytes() == before
    monkeypatch.setattr(Trainer, "step", step)
    again = iw.train_sae(model, texts(), folder=tmp_path, progress=silent, **SMALL)
    assert torch.equal(whole.W_dec, again.W_dec)


@pytest.mark.parametrize(
    ("other", "words"),
    [({"k": 5}, r"k \(was 6, is 5\)"), ({"seed": 4}, r"seed \(was 0, is 4\)"), ({"site": "resid_post.1"}, "site")],
)
def test_another_training_does_not_go_on_here(
    model: Session, tmp_path: Path, other: dict[str, Any], words: str
) -> None:
    with pytest.raises(Cancelled):
        iw.train_sae(model, texts(), folder=tmp_path, progress=stop_at(5, cancel), **SMALL)
    with pytest.raises(DictionaryError, match=words):
        iw.train_sae(model, texts(), folder=tmp_path, progress=silent, **{**SMALL, **other})
    with pytest.raises(TextError, match="not the ones"):
        iw.train_sae(model, texts(seed=1), folder=tmp_path, progress=silent, **SMALL)


def test_a_damaged_checkpoint_is_one_sentence(model: Session, tmp_path: Path) -> None:
    (tmp_path / "checkpoint.safetensors").write_bytes(b"no header")
    with pytest.raises(DictionaryError, match="cannot be read as a checkpoint"):
        iw.train_sae(model, texts(), folder=tmp_path, progress=silent, **SMALL)


@pytest.mark.parametrize("activation", ["topk", "jumprelu"])
def test_what_is_written_is_what_is_returned(model: Session, tmp_path: Path, activation: str) -> None:
    sources = {"a": texts(60), "b": texts(60, seed=1)}
    sae = iw.train_sae(
        model, sources, folder=tmp_path / "mine", activation=activation, progress=silent, **{**SMALL, "tokens": 2000}
    )
    again = iw.load_sae(tmp_path / "mine")
    in_memory = iw.train_sae(model, sources, activation=activation, progress=silent, **{**SMALL, "tokens": 2000})
    x = model.read(texts(1)[0], [SMALL["site"]])[SMALL["site"]][1:]
    for other in (again, in_memory):
        assert type(other) is type(sae)
        assert other.site == "resid_post.2"
        assert torch.equal(sae.encode(x), other.encode(x))
    assert (sae.encode(x) > 0).any()
    config = json.loads((tmp_path / "mine" / "cfg.json").read_text())
    said = config["metadata"]
    assert (config["architecture"], config["d_in"], config["d_sae"]) == (activation, model.width, 128)
    assert said["hook_name"] == "blocks.2.hook_resid_post"
    assert said["model"]["weights_sha256"] == model.weights_hash
    assert set(said["texts"]["tokens_by_source"]) == {"a", "b"}
    assert said["tokens"] == 2000
    assert "position 0" in said["rule"]
    assert said["training"]["steps"] == -(-2000 * 2 // 128)
    last = pl.read_parquet(tmp_path / "mine" / "training.parquet").row(-1, named=True)
    assert said["held_out_metrics"]["explained_variance"] == last["explained_variance"]


def test_a_finished_folder_is_not_trained_over(model: Session, tmp_path: Path) -> None:
    (tmp_path / "cfg.json").write_text("{}")
    with pytest.raises(DictionaryError, match="finished dictionary"):
        iw.train_sae(model, texts(), folder=tmp_path, progress=silent, **SMALL)


def test_texts_that_end_early_are_said_and_the_rate_still_falls_to_nothing(model: Session, tmp_path: Path) -> None:
    with pytest.warns(UserWarning, match=r"ended after \d+ of the 20000 tokens"):
        iw.train_sae(model, texts(200), folder=tmp_path / "sae", progress=silent, **{**SMALL, "tokens": 20_000})
    history = pl.read_parquet(tmp_path / "sae" / "training.parquet")
    assert history["learning_rate"].max() > 5e-4
    assert history["learning_rate"][-1] < 1e-4


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"site": "pattern.1"}, DictionaryError, "cannot have a dictionary"),
        ({"site": "q.1"}, DictionaryError, "cannot have a dictionary"),
        ({"site": "logits"}, DictionaryError, "cannot have a dictionary"),
        ({"site": "mlp_act.1.3"}, DictionaryError, "cannot have a dictionary"),
        ({"site": "resid_post.99"}, SiteError, "has layers"),
        ({"site": "nonsense"}, SiteError, "not a site"),
        ({"width": 4}, DictionaryError, "larger width or a smaller k"),
        ({"width": 0}, DictionaryError, "whole number above 0"),
        ({"reuse": 1.5}, DictionaryError, "reuse must be a whole number"),
        ({"buffer": 100}, DictionaryError, "cannot mix"),
        ({"activation": "relu"}, DictionaryError, "topk and jumprelu"),
        ({"learning_rate": 0}, DictionaryError, "above 0"),
        ({"learning_rate": 1e30}, DictionaryError, "smaller learning rate"),
    ],
)
def test_what_cannot_be_trained_is_a_sentence(
    model: Session, options: dict[str, Any], error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        iw.train_sae(model, texts(), progress=silent, **{**SMALL, **options})


def test_too_little_text_is_a_sentence(model: Session) -> None:
    with pytest.raises(TextError, match="not even the 1000"):
        iw.train_sae(model, texts(2), progress=silent, **SMALL)
    with pytest.raises(TextError, match="one step takes 4000"):
        iw.train_sae(model, texts(40), progress=silent, **{**SMALL, "batch": 4000, "buffer": 8000})


@pytest.mark.parametrize(
    "site", ["embed", "attn_out.1", "mlp_out.1", "mlp_act.1", "final_norm", "blocks.1.hook_resid_mid"]
)
def test_any_site_will_do(model: Session, tmp_path: Path, site: str) -> None:
    options = {**SMALL, "site": site, "tokens": 600, "held_out": 200}
    sae = iw.train_sae(model, texts(60), folder=tmp_path / "sae", progress=silent, **options)
    own = str(model.site(site))
    assert sae.site == own
    assert sae.d_in == model.read("the boy walks .", [own])[own].shape[-1]


def test_progress_is_live_and_a_bar_by_default(model: Session, capsys: pytest.CaptureFixture[str]) -> None:
    heard: list[tuple[int, int, str, Any]] = []
    iw.train_sae(model, texts(), progress=lambda *all_: heard.append(all_), **SMALL)
    assert [done for done, *_ in heard] == [min(128 * (i + 1), 12_000) for i in range(94)]
    assert {total for _, total, *_ in heard} == {12_000}
    assert set(heard[-1][3]) == set(frames.TRAINING)
    assert "explained variance 0." in heard[-1][2]
    iw.train_sae(model, texts(), **SMALL)
    assert "explained variance 0." in capsys.readouterr().err


def test_the_learning_rate_rises_stays_and_falls() -> None:
    rates = [schedule(step, 1000) for step in range(1000)]
    assert rates[0] == pytest.approx(0.05)
    assert rates[20:700] == [1.0] * 680
    assert rates[850] == pytest.approx(0.5)
    assert 0 < rates[999] < 0.01
