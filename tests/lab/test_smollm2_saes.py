"""The recipe of the bundled dictionaries: what is read in which order, and what training draws from the disk."""

from __future__ import annotations

from collections import Counter
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import torch

from interp_widgets.errors import DictionaryError
from interp_widgets.lab import smollm2_saes as recipe


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    sources = {"austen": 60, "python-docs": 60, "britannica": 3}
    texts = [(source, f"{source} {i}") for source, count in sources.items() for i in range(count)]
    monkeypatch.setattr(recipe, "texts", lambda folder=None: iter(texts))
    monkeypatch.setattr(recipe, "PIECE", 7)


def test_prose_gives_two_documents_in_turn_and_nothing_is_in_both_parts() -> None:
    fit, held = list(recipe.documents(held=False)), list(recipe.documents(held=True))
    assert len(fit) + len(held) == 123
    assert not set(fit) & set(held)
    assert all(recipe.held_out(text) for _, text in held)
    assert [source for source, _ in fit[:5]] == ["austen"] * 2 + ["britannica"] * 2 + ["python-docs"]
    first = Counter(source for source, _ in fit[:45])
    assert first["austen"] == pytest.approx(2 * first["python-docs"], abs=2)


def test_each_time_round_draws_every_row_once_in_another_order(tmp_path: Path) -> None:
    rows = np.arange(30, dtype=np.float16)[:, None].repeat(2, 1)
    rows.tofile(tmp_path / "resid_post.15.f16")
    pieces = list(islice(recipe.Stored(tmp_path, "resid_post.15", 2).pieces(), 10))
    assert {len(piece) for piece in pieces} == {7, 2}
    first, second = torch.cat(pieces[:5])[:, 0], torch.cat(pieces[5:])[:, 0]
    assert not torch.equal(first, second)
    assert sorted(first.tolist()) == sorted(second.tolist()) == list(range(30))


@pytest.mark.parametrize("given", [3, 5, 8])
def test_a_broken_off_round_goes_on(tmp_path: Path, given: int) -> None:
    rows = np.arange(30, dtype=np.float16)[:, None].repeat(2, 1)
    rows.tofile(tmp_path / "resid_post.15.f16")
    whole = list(islice(recipe.Stored(tmp_path, "resid_post.15", 2).pieces(), 10))
    later = recipe.Stored(tmp_path, "resid_post.15", 2)
    later.restore({"given": given})
    assert later.state() == {"given": given}
    assert all(torch.equal(a, b) for a, b in zip(later.pieces(), whole[given:], strict=False))


def test_what_is_gathered_is_what_the_model_gives(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import interp_widgets as iw

    model, site, sites = iw.load("toy-grammar"), "resid_post.1", ["attn_out.0", "mlp_act.0", "resid_post.1"]
    monkeypatch.setattr(recipe, "CONTEXT", 16)
    texts = [("b", "the boy walks to the store ."), ("a", "the keys are on the table .")] * 5
    said = recipe.gather(model, iter(texts), sites, tmp_path, 40, lambda text: None)
    assert said["kept"] == 40
    assert said["names"] == ["a", "b"]
    found = recipe.Stored(tmp_path, site, model.width).rows
    alone = torch.cat([model.read(text, [site])[site][1:] for _, text in texts[:2]])
    nearest = (torch.from_numpy(np.array(found)).float()[:, None] - alone).norm(dim=-1).amin(1)
    assert nearest.max() < 0.05
    assert recipe.Stored(tmp_path, "mlp_act.0", model.size("mlp_act.0")).rows.shape == (40, 384)
    assert recipe.gather(model, iter([]), sites[1:], tmp_path, 40, lambda text: None) == said
    for other in ({"tokens": 39, "sites": sites}, {"tokens": 40, "sites": ["resid_post.2"]}):
        with pytest.raises(DictionaryError, match="holds 40 tokens at attn_out"):
            recipe.gather(model, iter([]), other["sites"], tmp_path, other["tokens"], lambda text: None)
    assert len(np.load(tmp_path / "source.npy")) == 40


def test_each_source_is_measured_alone(tmp_path: Path) -> None:
    from interp_widgets.sae.dictionary import ReLU

    eye = torch.cat([torch.eye(2), -torch.eye(2)])
    exact = ReLU("exact", "resid_post.15", eye.T.contiguous(), torch.zeros(4), eye, torch.zeros(2))
    rows = torch.randn(50, 2, generator=torch.Generator().manual_seed(0)).half()
    rows.numpy().tofile(tmp_path / "resid_post.15.f16")
    np.save(tmp_path / "source.npy", np.array([0] * 20 + [1] * 30, np.uint8))
    half = ReLU("half", "resid_post.15", eye.T.contiguous(), torch.zeros(4), eye / 2, torch.zeros(2))
    for dictionary, left in ((exact, 0.0), (half, 0.25)):
        found = list(recipe.measure(dictionary, tmp_path, "resid_post.15", ["a", "b"]))
        assert [(name, count) for name, count, *_ in found] == [("a", 20), ("b", 30)]
        for (_, _, explained, active), part in zip(found, (rows[:20], rows[20:]), strict=True):
            x = part.float()
            expected = 1 - left * x.square().sum() / (x - x.mean(0)).square().sum()
            assert explained == pytest.approx(expected.item(), abs=1e-5)
            assert active == 2


def test_too_little_text_is_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import interp_widgets as iw
    from interp_widgets.errors import TextError

    monkeypatch.setattr(recipe, "CONTEXT", 16)
    with pytest.raises(TextError, match="not 1000"):
        recipe.gather(
            iw.load("toy-grammar"),
            iter([("a", "the boy walks .")]),
            ["resid_post.1"],
            tmp_path,
            1000,
            lambda text: None,
        )


def test_one_command_trains_a_dictionary_a_site_which_circuits_take(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import interp_widgets as iw

    model = iw.load("toy-grammar")
    texts = [("a", f"the {who} near the {what} {does} .") for who in ("boy", "girls") for what in ("key", "store", "table")
             for does in ("laughs", "walks", "is here")] * 12  # fmt: skip
    monkeypatch.setattr(recipe, "load", lambda name, dtype: model)
    monkeypatch.setattr(recipe, "texts", lambda folder=None: iter(texts))
    monkeypatch.setattr(recipe, "held_out", lambda text: "store" in text)
    monkeypatch.setattr(recipe, "BATCH", 64)
    monkeypatch.setattr(recipe, "CONTEXT", 16)
    said: list[str] = []
    command = [
        str(tmp_path),
        "--sites",
        "resid_post.1,embed",
        "--tokens",
        "600",
        "--width",
        "24",
        "--k",
        "3",
        "--epochs",
        "2",
    ]
    assert recipe.main(command, said.append) == 0
    assert "resid_post.1: source" in "".join(said)
    found = recipe.trained(tmp_path)
    assert found == {"embed": str(tmp_path / "embed-24"), "resid_post.1": str(tmp_path / "1-resid-24")}
    pair = {"clean": "the boy near the keys", "corrupt": "the boys near the keys", "answer": "is", "foil": "are"}
    nodes = iw.methods.circuit(model, **pair, dictionaries=found)
    assert set(nodes["site"]) == set(found)
    before = Path(found["embed"], "cfg.json").stat().st_mtime_ns
    assert recipe.main(command, said.append) == 0, "what is finished is kept"
    assert Path(found["embed"], "cfg.json").stat().st_mtime_ns == before
    assert recipe.main([*command[:6], "32", *command[7:]], said.append) == 0
    assert recipe.trained(tmp_path)["embed"].endswith("embed-32"), "the widest"
    assert recipe.trained(tmp_path / "nothing") == {}
