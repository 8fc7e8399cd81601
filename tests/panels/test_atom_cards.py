"""What the atoms panel knows of one atom, how atoms are found, and a corpus that is read beside it; no browser."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator

import numpy as np
import pytest

import interp_widgets as iw
from interp_widgets.errors import CorpusError, TextError
from interp_widgets.methods.atom_effects import run_atom_ablation
from interp_widgets.panels import atoms_card
from interp_widgets.sae.corpus.reader import Corpus

from .conftest import TEXT, click

TEXTS = [
    "the keys to the cabinet are on the table .",
    "the boy near the houses is here .",
    "the key is on the table .",
    "mary and john went to the store .",
] * 12


@pytest.fixture(scope="module")
def corpus(tmp_path_factory) -> Corpus:
    folder = tmp_path_factory.mktemp("corpora") / "sentences"
    sae = iw.load_sae("toy-grammar/resid_post.2")
    return iw.corpus(iw.load("toy-grammar"), {"sentences": TEXTS}, sae=sae, folder=folder)


@pytest.fixture
def atoms(toy, toy_sae, corpus) -> iw.Atoms:
    panel = iw.Atoms(toy, TEXT, sae=toy_sae, corpus=corpus, answer="are")
    panel.run()
    return panel


def until(true: Callable[[], object], seconds: float = 20) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.02)


def card(panel: iw.Atoms, atom: int) -> dict:
    until(lambda: panel.cards[str(atom)]["removed"])
    return panel.cards[str(atom)]


def strongest(panel: iw.Atoms, position: int = 2) -> int:
    return panel.frame.filter(panel.frame["position"] == position)["atom"][0]


def test_effects_are_those_of_the_method(atoms, toy, toy_sae) -> None:
    frame = iw.methods.atom_effects(toy, TEXT, sae=toy_sae, answer="are")
    assert atoms.effects.equals(frame)
    assert atoms.answered == "are"
    shown = np.frombuffer(atoms.top_effect, "<f4").reshape(len(atoms.tokens), atoms.top_k)
    listed = np.frombuffer(atoms.top_atom, "<i4").reshape(shown.shape)
    for position, atom, effect in frame.drop_nulls("atom").select("position", "atom", "effect").iter_rows():
        [place] = np.flatnonzero(listed[position] == atom)
        assert shown[position, place] == pytest.approx(effect, abs=1e-5)
    errors = frame.filter(frame["atom"].is_null())["effect"].to_list()
    assert np.frombuffer(atoms.error_effect, "<f4").tolist() == pytest.approx(errors, abs=1e-5)


def test_a_wrong_answer_is_said_and_the_atoms_stay(toy, toy_sae) -> None:
    panel = iw.Atoms(toy, TEXT, sae=toy_sae, answer="are is")
    with pytest.raises(TextError, match="answer"):
        panel.run()
    assert "exactly one token" in panel.error
    assert len(panel.frame) > 20
    with pytest.raises(TextError):
        _ = panel.effects


def test_a_card_holds_what_the_corpus_says(atoms, corpus) -> None:
    atom = strongest(atoms)
    atoms.atom = atom
    found = card(atoms, atom)
    row = corpus.atoms.row(atom, named=True)
    assert found["stats"] == {"tokens": corpus.tokens, **{n: row[n] for n in ("fired", "density", "mean", "maximum")}}
    assert sum(found["histogram"]["counts"]) == row["fired"]
    kinds = found["examples"]["kinds"]
    assert set(kinds) == {"interval", "top", "random"}
    first = kinds["top"][0]["examples"][0]
    assert first["activation"] == pytest.approx(row["maximum"], rel=1e-3)
    frame = corpus.examples(atom, "top", 1)
    words = [found["examples"]["words"][i] for i in first["tokens"]]
    assert words[first["at"]] == frame["token"][0]
    lows = [float(group["title"].split(" to ")[0]) for group in kinds["interval"]]
    assert lows == sorted(lows, reverse=True)
    assert len(lows) > 1, "the whole range is there, and not only its top"


def test_a_card_says_what_removing_the_atom_does(atoms, toy, toy_sae) -> None:
    atom = strongest(atoms)
    atoms.atoms = [atom]
    removed = card(atoms, atom)["removed"]
    run = run_atom_ablation(toy, TEXT, sae=toy_sae, atom=atom, answer="are")
    assert removed["effect"] == pytest.approx(run.effect)
    effects = atoms.effects.filter((atoms.effects["atom"] == atom) & ~atoms.effects["share"].is_null())
    assert removed["estimate"] == pytest.approx(effects["effect"].sum(), abs=1e-5)
    assert removed["share"] == pytest.approx(effects["share"].sum(), abs=1e-5)
    assert removed["agreement"] == pytest.approx(run.agreement)
    assert len(removed["changes"]) == len(atoms.tokens)
    assert [token for token, _ in removed["up"]] == iw.methods.direct_logits(toy, toy_sae, atom)["token"].head(
        10
    ).to_list()


def test_a_new_text_measures_anew(atoms) -> None:
    atom = strongest(atoms)
    atoms.atom = atom
    first = card(atoms, atom)["removed"]
    click(atoms, "run", text="the keys are", answer="")
    atoms.run()
    until(lambda: atoms.cards[str(atom)]["removed"] not in (None, first))
    assert len(atoms.cards[str(atom)]["removed"]["kl"]) == len(atoms.tokens)


def test_a_card_is_looked_up_once_for_a_state_of_the_corpus(atoms, corpus, monkeypatch) -> None:
    looked = []
    look = atoms_card.card
    monkeypatch.setattr(atoms_card, "card", lambda atom, *rest: looked.append(atom) or look(atom, *rest))
    first, second = strongest(atoms), strongest(atoms, 4)
    atoms.select(2, first)
    atoms.atoms = [first, second]
    atoms.text = "the boy is here ."
    atoms.run()
    assert looked == [first, second]
    atoms.corpus = None
    assert looked == [first, second] * 2
    assert "no corpus has been read" in card(atoms, first)["corpus"]
    atoms.corpus = corpus
    assert card(atoms, first)["stats"]["tokens"] == corpus.tokens


def test_without_a_corpus_a_card_says_how_to_get_one(toy, toy_sae) -> None:
    panel = iw.Atoms(toy, TEXT, sae=toy_sae)
    panel.run()
    panel.atom = strongest(panel)
    found = card(panel, panel.atom)
    assert "corpus=iw.corpus" in found["corpus"]
    assert found["stats"] is None
    assert found["neighbours"]
    assert panel.corpus_state == {}


def test_a_silent_atom_has_a_card(atoms, corpus) -> None:
    silent = corpus.atoms.filter(corpus.atoms["fired"] == 0)["atom"][0]
    atoms.atom = silent
    found = card(atoms, silent)
    assert "never fired" in found["corpus"]
    assert found["removed"]["active"] is False


@pytest.mark.parametrize(
    ("how", "query"), [("effect", ""), ("here", ""), ("contrast", "the key is"), ("token", "keys"), ("similar", "")]
)
def test_a_search_shows_what_its_method_finds(atoms, how, query) -> None:
    atoms.select(position=2, atom=strongest(atoms))
    click(atoms, "find", how=how, query=query)
    until(lambda: atoms.found.get("how") == how)
    rows, frame = atoms.found["rows"], atoms.find(how, query)
    assert [row["atom"] for row in rows] == frame["atom"].to_list()
    assert len(rows) > 2
    assert all(np.isfinite(row["value"]) for row in rows)


def test_a_search_that_lacks_something_says_what(toy, toy_sae) -> None:
    panel = iw.Atoms(toy, TEXT, sae=toy_sae)
    panel.run()
    for how, query, says in (
        ("here", "", "No token is selected"),
        ("contrast", "", "no text to compare"),
        ("token", "keys", "no corpus"),
        ("similar", "", "No atom is chosen"),
        ("luck", "", "no way"),
    ):
        with pytest.raises(TextError, match=says):
            panel.find(how, query)
        click(panel, "find", how=how, query=query)
        until(lambda says=says: says in panel.error)


def test_a_corpus_of_another_dictionary_is_refused(toy, corpus) -> None:
    with pytest.raises(CorpusError, match=r"made with the dictionary toy-grammar/resid_post\.2; this is"):
        iw.Atoms(toy, sae=iw.load_sae("toy-grammar/resid_post.1"), corpus=corpus)


def test_a_corpus_is_opened_from_its_folder(toy, toy_sae, corpus) -> None:
    panel = iw.Atoms(toy, sae=toy_sae, corpus=corpus.folder)
    assert panel.corpus.tokens == corpus.tokens
    assert panel.corpus_state["name"] == "sentences"
    assert panel.corpus_state["complete"]


class Slow(list):
    """Texts that wait before each one from the second batch on, until they are let go."""

    def __init__(self, texts, gate: threading.Event) -> None:
        super().__init__(texts)
        self.gate = gate

    def __iter__(self) -> Iterator[str]:
        for number, text in enumerate(super().__iter__()):
            if number >= 300:
                self.gate.wait(20)
            yield text


def test_reading_a_corpus_shows_growth_pauses_and_goes_on(toy, toy_sae, monkeypatch) -> None:
    monkeypatch.setattr("interp_widgets.panels.jobs.QUIET", 0)  # a quick machine is at the gate before it would be told
    gate = threading.Event()
    panel = iw.Atoms(toy, TEXT, sae=toy_sae)
    panel.run()
    panel.atom = strongest(panel)
    panel.read_corpus(Slow(TEXTS * 10, gate))
    until(lambda: panel.corpus_state.get("tokens"))
    assert panel.corpus_state["running"]
    assert panel.frame is not None, "the text is not held up by the corpus"
    click(panel, "pause")
    gate.set()
    until(lambda: not panel.corpus_state["running"])
    paused = panel.corpus_state
    assert paused["more"]
    assert not paused["complete"]
    assert 0 < paused["tokens"] < 8 * len(TEXTS) * 10
    click(panel, "read_on")
    until(lambda: panel.corpus_state["complete"])
    assert panel.error == ""
    assert panel.corpus.tokens > paused["tokens"]
    until(lambda: panel.cards[str(panel.atom)]["stats"]["tokens"] == panel.corpus.tokens)


def test_a_reading_that_fails_says_why(toy, toy_sae) -> None:
    panel = iw.Atoms(toy, TEXT, sae=toy_sae)
    panel.run()
    panel.read_corpus([TEXT, [10**6]])
    until(lambda: "1000000" in panel.error)
    assert not panel.corpus_state.get("running")


def test_provenance_names_the_corpus(atoms, corpus) -> None:
    assert atoms.provenance["corpus"]["sae_sha256"] == corpus.provenance["sae_sha256"]
