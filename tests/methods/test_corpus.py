"""`iw.corpus` on a model: a planted dictionary, reading each window alone, stopping and going on, and what is refused."""

from __future__ import annotations

import gc
import json
import random
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import torch

import interp_widgets as iw
from interp_widgets.errors import Cancelled, CorpusError, DictionaryError, SiteError, TextError
from interp_widgets.sae import JumpReLU
from interp_widgets.sae.baselines import identity
from interp_widgets.sae.corpus import store
from interp_widgets.session.harvest import windows
from interp_widgets.session.masking import sinks
from tests.sae.events import contents

WORDS = ["the", "boy", "girl", "cabinet", "keys", "to", "on", "table", "."]
PLANTED = ["boy", "cabinet", "."]


@pytest.fixture(scope="module")
def model() -> iw.Session:
    return iw.load("toy-grammar")


@pytest.fixture(scope="module")
def sae() -> Any:
    return iw.load_sae("toy-grammar/resid_post.2")


def some_texts(count: int, longest: int = 60, seed: int = 0) -> list[str]:
    rng = random.Random(seed)
    return [" ".join(rng.choices(WORDS, k=rng.randint(1, longest))) for _ in range(count)]


@pytest.fixture
def every_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "COMMIT_SECONDS", -1.0)


@pytest.fixture(scope="module")
def planted(model: iw.Session) -> JumpReLU:
    """Reads embeddings; atom i fires on the word PLANTED[i] and nothing else."""
    e = model.torch_module.get_input_embeddings().weight.detach()
    ids = [model.single_token(word) for word in PLANTED]
    directions = torch.linalg.solve(e.T @ e + 0.01 * torch.eye(e.shape[1]), e[ids].T)  # close to e[i].x = 1, others 0
    h = e @ directions
    assert [(column > 0.12).nonzero().flatten().tolist() for column in h.T] == [[i] for i in ids]
    return JumpReLU(
        name="planted",
        site="resid_pre.0",
        W_enc=directions.contiguous(),
        b_enc=torch.zeros(3),
        W_dec=e[ids].clone(),
        b_dec=torch.zeros(e.shape[1]),
        subtract=False,
        threshold=torch.full((3,), 0.12),
    )


def test_planted_atoms_fire_on_their_words_and_nowhere_else(model: iw.Session, planted: JumpReLU) -> None:
    texts = some_texts(50)
    corpus = iw.corpus(model, texts, sae=planted, context=32, batch=4)
    words = Counter(word for text in texts for word in text.split())
    for atom, word in enumerate(PLANTED):
        found = corpus.activations(atom)
        assert set(found["token"]) == {word}
        at = {(n, p) for n, text in enumerate(texts) for p, w in enumerate(text.split()) if w == word}
        assert set(found.select("text", "position").iter_rows()) <= at
        assert corpus.atoms["fired"][atom] == len(found) <= words[word]
        assert len(found) >= 0.95 * words[word]  # what is masked is little
        value = (planted.encode(model.torch_module.get_input_embeddings().weight.detach()[model.single_token(word)]))[
            atom
        ]
        assert corpus.atoms["maximum"][atom] == pytest.approx(value.item(), rel=1e-5)
        top = corpus.top_atoms_for_token(model.single_token(word))
        assert top["atom"].to_list() == [atom]
        assert top["share"].to_list() == [1.0]
        for example in corpus.examples(atom, "random", 20).iter_rows(named=True):
            text = texts[example["text"]].split()
            low = example["position"] - example["at"]
            assert example["tokens"] == text[low : low + len(example["tokens"])]
            assert [value is None or value > 0 for value in example["activations"]] == [
                value is None or token == word
                for value, token in zip(example["activations"], example["tokens"], strict=True)
            ]
    assert corpus.top_atoms_for_token(model.single_token("girl")).height == 0


def test_a_corpus_equals_reading_each_window_alone(model: iw.Session, sae: Any) -> None:
    texts = {"a": some_texts(6, 100), "b": [[5, 6, 70], some_texts(1, 90, 1)[0]]}
    corpus = iw.corpus(model, texts, sae=sae, context=20, batch=3)
    expected: dict[tuple[int, int], torch.Tensor] = {}
    tokens, sources = 0, {}
    for window in windows(model, texts, context=20):
        x = model.read(window.ids, [sae.site])[sae.site]
        front = len(window.ids) - len(window.ids[1:]) if window.ids[0] == 1 else 0
        masked = sinks(model, window.ids, x.norm(dim=-1))
        sources[window.text] = window.source
        for place, activations in enumerate(sae.encode(x)):
            if place >= front and place not in masked:
                tokens += 1
                expected[window.text, window.start + place - front] = activations
    assert corpus.tokens == tokens == corpus.total
    dense = torch.stack(list(expected.values()))
    assert corpus.atoms["fired"].to_list() == (dense > 0).sum(0).tolist()
    for atom in (dense > 0).sum(0).topk(12).indices.tolist():
        found = corpus.activations(atom)
        assert {(t, p) for t, p in found.select("text", "position").iter_rows()} == {
            place for place, a in expected.items() if a[atom] > 0
        }
        for text, position, source, activation in found.select("text", "position", "source", "activation").iter_rows():
            assert activation == pytest.approx(expected[text, position][atom].item(), abs=1e-4)
            assert source == sources[text]


def test_a_context_goes_beyond_its_window_but_not_beyond_its_document(model: iw.Session, sae: Any) -> None:
    texts = some_texts(8, 60)
    corpus = iw.corpus(model, texts, sae=sae, context=10, batch=3)
    atom = corpus.atoms["fired"].arg_max()
    for example in corpus.examples(atom, "top", 50, context=(1000, 1000)).iter_rows(named=True):
        whole = model.tokenizer(texts[example["text"]], add_special_tokens=False)["input_ids"]
        assert example["token_ids"] == whole
        assert example["at"] == example["position"]


def test_it_stops_at_the_number_of_tokens_asked_for(model: iw.Session, sae: Any) -> None:
    said = []
    corpus = iw.corpus(model, some_texts(60), sae=sae, tokens=333, batch=4, progress=lambda *now, **_: said.append(now))
    assert (corpus.tokens, corpus.total) == (333, 333)
    assert [done for done, _, _, _ in said] == sorted({done for done, _, _, _ in said})
    assert said[-1][:3] == (333, 333, "333 of 333 tokens")
    few = iw.corpus(model, ["the boy walks ."], sae=sae, tokens=10**6)
    assert few.complete
    assert few.total == few.tokens < 10


def test_broken_off_after_every_batch_it_ends_with_the_same_bytes(
    model: iw.Session, sae: Any, tmp_path: Path, every_batch: None
) -> None:
    def run(folder: str, progress: Any = lambda *_, **__: None) -> Any:
        return iw.corpus(
            model,
            (t for t in some_texts(40)),
            sae=sae,
            folder=tmp_path / folder,
            context=16,
            batch=6,
            progress=progress,
        )

    whole, times, seen = run("whole"), 0, 0

    def stop_after_one(done: int, total: int, message: str = "", partial: Any = None) -> None:
        nonlocal seen
        if "finding" not in message:
            seen = partial.tokens
            raise Cancelled("enough")

    while True:
        try:
            broken = run("broken", stop_after_one)
            break
        except Cancelled:
            times += 1
            half = iw.open_corpus(tmp_path / "broken")
            assert not half.complete
            assert half.tokens >= seen
            assert half.total is None
    assert times > 10
    assert contents(broken.folder) == contents(whole.folder)


def test_an_interrupt_in_the_middle_of_a_batch_loses_no_more_than_that(
    model: iw.Session, sae: Any, tmp_path: Path, every_batch: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments: dict[str, Any] = {"sae": sae, "context": 16, "batch": 6}
    whole = iw.corpus(model, some_texts(40), folder=tmp_path / "whole", **arguments)
    count = 0

    def interrupted(self: Any, x: torch.Tensor) -> torch.Tensor:
        nonlocal count
        count += 1
        if count == 5:
            raise KeyboardInterrupt
        return encode(self, x)

    encode = type(sae).encode
    monkeypatch.setattr(type(sae), "encode", interrupted)
    with pytest.raises(KeyboardInterrupt):
        iw.corpus(model, some_texts(40), folder=tmp_path / "c", **arguments)
    monkeypatch.undo()
    assert json.loads((tmp_path / "c" / "corpus.json").read_text())["complete"] is False
    assert 0 < iw.open_corpus(tmp_path / "c").tokens < whole.tokens
    again = iw.corpus(model, some_texts(40), folder=tmp_path / "c", **arguments)
    assert contents(again.folder) == contents(whole.folder)


def test_other_texts_are_noticed(model: iw.Session, sae: Any, tmp_path: Path, every_batch: None) -> None:
    texts = some_texts(300, 20)
    arguments: dict[str, Any] = {"sae": sae, "folder": tmp_path / "c", "batch": 100}

    def stop(done: int, total: int, message: str = "", partial: Any = None) -> None:
        raise Cancelled("enough")

    with pytest.raises(Cancelled):
        iw.corpus(model, texts, progress=stop, **arguments)
    longest = max(range(300), key=lambda number: len(texts[number]))  # which is read first
    for others in (texts[:50], [*texts[:longest], "the boy", *texts[longest + 1 :]], texts[::-1], []):
        with pytest.raises(CorpusError, match="was begun with other texts"):
            iw.corpus(model, others, **arguments)
    done = iw.corpus(model, texts, **arguments)
    assert iw.corpus(model, texts, **arguments).tokens == done.tokens  # opened, not run
    for others in ([*texts, "the boy"], texts[:-1]):
        with pytest.raises(CorpusError, match="was begun with other texts"):
            iw.corpus(model, others, **arguments)


def test_another_model_or_dictionary_is_refused(model: iw.Session, sae: Any, tmp_path: Path) -> None:
    iw.corpus(model, ["the boy walks ."], sae=sae, folder=tmp_path / "c")
    with pytest.raises(CorpusError, match=r"the dictionary toy-grammar/resid_post.2; this is identity"):
        iw.corpus(model, ["the boy walks ."], sae=identity(model, "resid_post.2"), folder=tmp_path / "c")
    with pytest.raises(SiteError, match="modadd-59"):
        iw.corpus(iw.load("modadd-59"), [[1, 2]], sae=sae)


def test_more_events_than_are_kept(model: iw.Session) -> None:
    dense = identity(model, "resid_post.2")  # every other atom fires on every token
    whole = iw.corpus(model, some_texts(40), sae=dense)
    part = iw.corpus(model, some_texts(40), sae=dense, most=100)
    assert part.atoms.drop("kept").equals(whole.atoms.drop("kept"))
    often = whole.atoms["fired"] > 100
    assert often.sum() > 100
    assert part.atoms["kept"].filter(often).max() < 1 == part.atoms["kept"].filter(~often).min()
    atom = part.atoms["fired"].arg_max()
    assert part.examples(atom, "top", 5)["activation"].equals(whole.examples(atom, "top", 5)["activation"])


def test_without_a_folder_it_lasts_as_long_as_the_object(model: iw.Session, sae: Any) -> None:
    corpus = iw.corpus(model, ["the boy walks ."], sae=sae)
    folder = corpus.folder
    assert folder.exists()
    del corpus
    gc.collect()
    assert not folder.exists()


def test_what_it_rests_on(model: iw.Session, sae: Any) -> None:
    said = iw.corpus(model, {"a": ["the boy ."], "b": ["the keys ."]}, sae=sae).provenance
    assert said["weights_sha256"] == model.weights_hash
    assert (said["model"], said["sae"], said["site"]) == ("toy-grammar", "toy-grammar/resid_post.2", "resid_post.2")
    assert len(said["sae_sha256"]) == len(said["texts_sha256"]) == 64
    assert (said["sources"], said["texts"]) == (["a", "b"], 2)
    assert "attention sinks" in said["masked"]
    assert said["seconds"] > 0


def test_activations_that_are_no_numbers_are_refused(model: iw.Session, planted: JumpReLU) -> None:
    class Broken(JumpReLU):
        def _activate(self, h: torch.Tensor) -> torch.Tensor:
            return torch.full_like(h, torch.nan)

    with pytest.raises(DictionaryError, match="not finite"):
        iw.corpus(model, ["the boy ."], sae=Broken(**vars(planted)))


@pytest.mark.parametrize("options", [{"batch": 0}, {"tokens": 0}, {"most": 0}, {"context": 1}])
def test_numbers_that_make_no_sense(model: iw.Session, sae: Any, options: dict[str, int]) -> None:
    with pytest.raises(TextError):
        iw.corpus(model, ["the boy ."], sae=sae, **options)


def test_one_text_is_not_several(model: iw.Session, sae: Any, tmp_path: Path) -> None:
    with pytest.raises(TextError, match="Put it in a list"):
        iw.corpus(model, "the boy .", sae=sae, folder=tmp_path / "c")
