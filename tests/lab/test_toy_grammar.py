"""The recipe of toy-grammar: its sentences and hold-outs, a training too short to learn, and what is measured of it."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from itertools import islice
from pathlib import Path
from random import Random

import numpy as np
import polars as pl
import pytest
import torch

import interp_widgets as iw
from interp_widgets.errors import ModelError, TextError
from interp_widgets.lab.toy_grammar import __main__ as recipe
from interp_widgets.lab.toy_grammar import concepts, dictionaries, grammar, insides, measuring, pairs, report, training
from interp_widgets.lab.toy_grammar import words as w
from interp_widgets.lab.toy_grammar.tokens import encode, ids, tokenizer
from interp_widgets.sae.trainer import Settings, Trainer

TINY = training.Recipe(steps=6, tokens=120, every=3)


@pytest.fixture(scope="module")
def toy() -> iw.Session:
    return iw.load("toy-grammar")


def test_the_words_are_those_of_the_bundled_model(toy: iw.Session) -> None:
    assert grammar.vocabulary() == toy.tokenizer.convert_ids_to_tokens(range(573))
    text = "When Mary and John's keys met, they waited."
    assert tokenizer()(text).input_ids == toy.tokenizer(text).input_ids


@pytest.mark.parametrize("task", [*grammar.TASKS, "truth_of_few", "easy_truth", "filler"])
def test_sentences_are_made_of_known_words(task: str) -> None:
    make = getattr(grammar, task, None) or grammar.TASKS[task]
    rng = Random(0)
    for held in ("", *grammar.HELD.get(task, ())):
        for _ in range(300):
            text = grammar.draw(rng, make, held)
            words, answers = grammar.parse(text)
            assert set(words) <= set(ids())
            assert bool(answers) == (task != "filler")
            assert [encode(text)[0][answer] for answer in encode(text)[1]] == [ids()[words[i]] for i in answers]


def test_hold_outs_are_about_15_percent_and_the_same_in_every_run() -> None:
    rng = Random(1)
    shares = {
        task: sum(bool(make(rng).held) for _ in range(4000)) / 4000
        for task, make in grammar.TASKS.items()
        if task not in ("capitals", "weekdays", "months")
    }
    assert all(0.11 < share < 0.19 for share in shares.values()), shares
    assert [grammar.hashed(50, "a", i) for i in range(8)] == [False, True, False, False, False, False, True, True]


@pytest.mark.parametrize("cycle", [w.DAYS, w.MONTHS])
def test_whole_pairs_of_the_calendar_are_held_out(cycle: tuple[str, ...]) -> None:
    """A remainder and a start that are held out are never trained on, with no number and in no direction."""
    kinds = {
        (steps, back, start): grammar.calendar_held(cycle, steps, back, start)
        for steps in range(1, 21)
        for back in (False, True)
        for start in cycle
    }
    siblings: dict[tuple[int, str], set[str]] = {}
    for (steps, _, start), kind in kinds.items():
        siblings.setdefault((steps % len(cycle), start), set()).add(kind)
    pairs_held = [found for found in siblings.values() if "pair" in found]
    assert all(found == {"pair"} for found in pairs_held)
    assert len(pairs_held) >= 6
    assert sum(kind == "combination" for kind in kinds.values()) > 10
    assert all(not kinds[1, back, start] for back in (False, True) for start in cycle)
    rng, make = Random(2), grammar.TASKS["weekdays" if cycle is w.DAYS else "months"]
    trained = {grammar.draw(rng, make) for _ in range(4000)}
    for held in ("pair", "combination"):
        assert not trained & set(report.calendar_set(cycle, held))


def test_the_calendar_counts_right() -> None:
    assert grammar.calendar_texts(w.DAYS, 9, False, "monday")[0] == "nine days after monday is [wednesday] ."
    assert (
        grammar.calendar_texts(w.MONTHS, 2, True, "january")[1]
        == "if it is january , then two months ago it was [november] ."
    )


def test_a_country_and_its_capital_have_one_phrasing_held_out_each_way() -> None:
    rng, held = Random(3), set()
    for _ in range(6000):
        sentence = grammar.capitals(rng)
        if sentence.held:
            held.add(sentence.text)
    assert len(held) == 2 * len(w.COUNTRIES)


def test_claims_of_the_start_are_about_few_countries() -> None:
    rng = Random(4)
    few, easy, hard = (
        [make(rng).text for _ in range(2000)] for make in (grammar.truth_of_few, grammar.easy_truth, grammar.truth)
    )
    first = [sum(bool({*w.COUNTRIES[:8]} & {*text.split()}) for text in texts) for texts in (few, easy, hard)]
    assert first[0] > 1.2 * first[1] > 1.8 * first[2]
    negated = [sum("not" in text.split() for text in texts) for texts in (few, easy, hard)]
    assert max(negated[:2]) < negated[2] / 3
    for texts in (few, easy, hard):
        plain = [text for text in texts if "not" not in text.split()]
        assert 0.45 < sum("[true]" in text for text in plain) / len(plain) < 0.55


@pytest.mark.parametrize("kind", pairs.PAIR_KINDS)
def test_agreement_pairs(toy: iw.Session, kind: str) -> None:
    found = pairs.agreement_pairs(24, kind)
    assert found.equals(pairs.agreement_pairs(24, kind))
    assert not found.equals(pairs.agreement_pairs(24, kind, seed=1))
    assert found["clean"].n_unique() == 24
    assert {len(toy.encode(text)) for side in ("clean", "corrupt") for text in found[side]} == {
        {"pp": 6, "pp2": 9, "rc_obj": 7}[kind]
    }
    for row in found.iter_rows(named=True):
        clean, corrupt = row["clean"].split(), row["corrupt"].split()
        assert [i for i in range(len(clean)) if clean[i] != corrupt[i]] == [1]
        plural = clean[1] in w.PLURALS.values()
        assert row["answer"] == [verb.form(plural) for verb in w.COPULAS]
        assert row["foil"] == [verb.form(not plural) for verb in w.COPULAS]
    assert sum("are" in answer for answer in found["answer"]) == 12
    trained = pairs.agreement_pairs(24, kind, held_out=False)
    assert not set(trained["clean"]) & set(found["clean"])


def test_biographies() -> None:
    both = pairs.biographies(80)
    assert both.group_by("profession", "gender").len()["len"].to_list() == [20] * 4
    same = pairs.biographies(80, ("pilot", "poet"), ambiguous=True)
    assert set(same.select("profession", "gender").unique().rows()) == {("pilot", "man"), ("poet", "woman")}
    for row in same.iter_rows(named=True):
        words = row["text"].split()
        assert words[0] == row["name"]
        assert row["pronoun"] in words
        assert row["profession"] not in words
        assert set(words) <= set(ids())


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: pairs.agreement_pairs(4, "simple"), "pp, pp2, rc_obj"),
        (lambda: pairs.agreement_pairs(0), "one or more"),
        (lambda: pairs.biographies(4, ("pilot", "king")), "king: no profession"),
        (lambda: pairs.biographies(4, ("pilot", "pilot")), "two different"),
    ],
)
def test_what_cannot_be_drawn_is_a_sentence(call: object, said: str) -> None:
    with pytest.raises(TextError, match=said):
        call()  # type: ignore[operator]


def test_batches_hold_every_sentence_and_weigh_answers() -> None:
    recipe = replace(TINY, answer_weight=7.0)
    seen = 0
    for number, (batch, weight) in enumerate(training.batches(recipe, 0)):
        assert batch.numel() <= 120 + batch.shape[1]
        assert weight.shape == (batch.shape[0], batch.shape[1] - 1)
        assert bool(((weight == 0) == (batch[:, 1:] == 0)).all())
        assert set(weight.unique().tolist()) <= {0.0, 1.0, 7.0}
        seen += len(batch)
        if number == 50:
            break
    assert seen > 51
    again = next(iter(training.batches(recipe, 0)))
    assert torch.equal(again[0], next(iter(training.batches(recipe, 0)))[0])
    assert not torch.equal(again[0], next(iter(training.batches(recipe, 1)))[0][: len(again[0]), : again[0].shape[1]])


def test_a_training_that_was_broken_off_ends_as_one_that_was_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = training.train(tmp_path / "whole", 0, TINY, lambda text: None)

    def stop(text: str) -> None:
        raise KeyboardInterrupt

    saved = training._save
    monkeypatch.setattr(training, "_save", lambda *given: (saved(*given), stop("")))
    with pytest.raises(KeyboardInterrupt):
        training.train(tmp_path / "broken", 0, TINY, lambda text: None)
    monkeypatch.setattr(training, "_save", saved)
    said: list[str] = []
    gone_on = training.train(tmp_path / "broken", 0, TINY, said.append)
    assert len(said) == 1
    for one, other in zip(whole.parameters(), gone_on.parameters(), strict=True):
        assert torch.equal(one, other)
    steps = [row["step"] for row in json.loads((tmp_path / "broken/curve.json").read_text())["curve"]]
    assert steps == [3, 6]
    finished = training.train(tmp_path / "broken", 0, TINY, said.append)
    assert len(said) == 1
    assert torch.equal(finished.lm_head.weight, whole.lm_head.weight)
    with pytest.raises(ModelError, match=r"seed \(was 0, is 1\)"):
        training.train(tmp_path / "broken", 1, TINY, said.append)


def test_rate_and_stages_over_the_steps() -> None:
    recipe = training.Recipe(steps=1000, warmup=100)
    rates = [training._rate(recipe, step) for step in (1, 50, 100, 300, 650, 1000)]
    assert rates == pytest.approx([2e-5, 1e-3, 2e-3, 2e-3, 1e-3, 2e-3 / 30])
    at = (0, 59, 60, 299, 300, 479, 480, 999, 1000)
    assert [recipe.stages.index(training._stage(recipe, step)) for step in at] == [0, 0, 1, 1, 2, 2, 3, 3, 3]
    assert [sum(stage.mix.values()) for stage in training.STAGES] == [100, 100, 100, 100]
    assert {*training.STAGES[0].mix} == {"weekdays"}
    assert all({*stage.mix} == {*grammar.TASKS, "filler"} for stage in training.STAGES[1:])


def test_a_share_of_what_is_read_of_the_embeddings_is_left_out() -> None:
    seen: list[torch.Tensor] = []
    model, recipe = training.new_model(0), replace(TINY, dropout=0.25, low=False, rate=0.0)
    model.model.layers[0].register_forward_pre_hook(lambda module, given: seen.append(given[0].detach()))
    optimiser = torch.optim.AdamW([{"params": [*model.parameters()]}, {"params": []}])
    batch = next(training.batches(recipe, 0))
    first, again = (training._step(model, optimiser, batch, recipe, 1) for _ in range(2))
    assert first == again
    whole = model.get_input_embeddings()(batch[0][:, :-1]).detach()
    left_out = seen[0] == 0
    assert float(left_out.float().mean()) == pytest.approx(0.25, abs=0.02)
    assert torch.allclose(seen[0][~left_out], (whole / 0.75)[~left_out])


def test_the_smoke_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The one command, with 60 steps, two sites and little of everything: all files come out, and the loss has fallen."""
    monkeypatch.setattr(dictionaries, "SITES", {"embed": "embed", "resid.2": "resid_post.2"})
    monkeypatch.setattr(dictionaries, "SENTENCES", 300)
    monkeypatch.setattr(dictionaries, "HELD_OUT", 100)
    monkeypatch.setattr(dictionaries, "EPOCHS", 1)
    monkeypatch.setattr(dictionaries, "BATCH", 256)
    monkeypatch.setattr(recipe, "HELD_OUT", 16)
    monkeypatch.setattr(training, "POOL", 1000)
    shorter = lambda folder, seed, asked, say: training.train(folder, seed, replace(asked, tokens=300), say)  # noqa: E731
    monkeypatch.setattr(recipe, "train", shorter)
    said: list[str] = []
    assert recipe.main([str(tmp_path), "--seeds", "3", "--steps", "60"], lambda text: said.append(text)) == 0
    home = tmp_path / "seed3"
    model = iw.load(home / "model")
    assert model.num_layers == 4
    curve = json.loads((home / "curve.json").read_text())["curve"]
    assert curve[-1]["step"] == 60
    assert curve[-1]["loss"] < 6.0
    for name, site in dictionaries.SITES.items():
        assert iw.load_sae(home / "saes" / name).site == site
    tables = json.loads((home / "report.json").read_text())
    lines = (tmp_path / "seeds.md").read_text().splitlines()
    assert lines[0] == "| task | held_out | answers | seed 3 |"
    assert len(lines) == 2 + len(tables["behaviour"])
    assert set(tables) == {"behaviour", "circles", "giver_patching", "giver_attention", "dictionaries", "concepts"}
    assert any("| weekdays | pair |" in line for line in (home / "report.md").read_text().splitlines())


@pytest.mark.parametrize("number", range(1, 4))
def test_a_stage_has_its_claims_and_its_mix(number: int) -> None:
    stage = training.STAGES[number]
    recipe = replace(TINY, stages=(replace(stage, until=1.0),))
    rows = [row for batch, _ in islice(training.batches(recipe, 0), 400) for row in batch.tolist()]
    claims = [row for row in rows if ids()["claim"] in row]
    assert abs(len(claims) / len(rows) - stage.mix["truth"] / 100) < 0.05
    negated = sum(ids()["not"] in row for row in claims) / len(claims)
    assert (negated > 0.25) == (stage.claims == "truth")
    few = {ids()[country] for country in w.COUNTRIES[:8]}
    assert (sum(bool(few & {*row}) for row in claims) / len(claims) > 0.75) == (stage.claims == "truth_of_few")


def test_every_word_is_gathered_and_trained_on(
    toy: iw.Session, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dictionaries, "SITES", {"mlp.2": "mlp_out.2"})
    texts = [grammar.draw(Random(i), grammar.truth) for i in range(12)]
    count = dictionaries.gather(toy, texts, tmp_path)
    assert count == sum(len(grammar.parse(text)[0]) for text in texts)
    rows = torch.from_numpy(np.fromfile(tmp_path / "mlp_out.2.f16", np.float16).reshape(count, -1)).float()
    last = toy.read(" ".join(grammar.parse(texts[0])[0]), ["mlp_out.2"])["mlp_out.2"][-1]
    assert (rows - last).norm(dim=1).min() < 0.01 * last.norm()
    x = torch.randn(200, 4, generator=torch.Generator().manual_seed(0))
    x[0] *= 1000
    kept = [
        len(Trainer(Settings(8, 2, "topk", 1e-3, 32, 0, False, **given), x, "cpu").usable(x))
        for given in ({}, {"outlier": math.inf})
    ]
    assert kept == [199, 200]


def test_a_right_answer_is_the_likeliest_and_a_verb_counts_with_its_number() -> None:
    class Says:
        """Gives one word all the weight, whatever it reads."""

        def __init__(self, word: str) -> None:
            self.word = ids()[word]

        def eval(self) -> None: ...

        def __call__(self, input_ids: torch.Tensor, use_cache: bool) -> object:
            logits = torch.zeros(*input_ids.shape, len(ids()))
            logits[..., self.word] = 5.0
            return type("Output", (), {"logits": logits})

    days = ["two days after monday is [wednesday] .", "two days after tuesday is [thursday] ."]
    assert list(measuring.rights(Says("thursday"), days)) == [[False], [True]]
    verbs = ["the keys [are] old .", "the key [is] old ."]
    assert list(measuring.rights(Says("were"), verbs)) == [[True], [False]]
    assert list(measuring.rights(Says("that"), ["the keys [are] old ."])) == [
        [False]
    ]  # eleven of either number, none likelier


def test_frequencies_and_the_way_around() -> None:
    angle = torch.arange(7) * 2 * torch.pi * 3 / 7
    ring = torch.stack([angle.cos(), angle.sin(), torch.full((7,), 4.0)], 1)
    assert insides.spectrum(ring) == pytest.approx([0, 0, 1], abs=1e-6)
    order, share = insides.around(ring)
    assert share == pytest.approx(1)
    assert order in ([0, 2, 4, 6, 1, 3, 5], [0, 5, 3, 1, 6, 4, 2])
    points = torch.zeros(12, 2)
    points[:, 0] = torch.tensor([1.0, -1.0] * 6)  # alternating: the frequency at the end, counted once
    assert insides.spectrum(points) == pytest.approx([0, 0, 0, 0, 0, 1], abs=1e-6)


def test_the_bundled_model_is_right_where_its_page_says_so(toy: iw.Session) -> None:
    """docs/toy-grammar.md: whole weeks from two days, and one claim in its three wordings, are all that it has wrong."""
    wrong: dict[tuple[str, str], set[str]] = {}
    for task, what, texts in report.held_out_sets(200):
        asked = zip(texts, measuring.rights(toy.torch_module, texts), strict=True)
        missed = [text for text, right in asked if not all(right)]
        if missed:
            wrong[task, what] = set(missed)
            assert len(missed) <= (16 if task == "weekdays" else 0.05 * len(texts))
    assert set(wrong) == {("weekdays", "pair"), ("truth", "combination")}
    assert all("nairobi" in text and "not" in text for text in wrong["truth", "combination"])
    for text in wrong["weekdays", "pair"]:
        assert "seven days" in text or "fourteen days" in text
        assert "[tuesday]" in text or "[saturday]" in text


def test_the_months_of_the_bundled_model_go_around_in_order(toy: iw.Session) -> None:
    """docs/toy-grammar.md: after layer 0 months lie on a circle of frequency 1."""
    found = insides.circles(toy).filter(pl.col("cycle") == "months", pl.col("site") == "resid_post.0")
    assert float(found["power"].item().split()[1]) > 0.6
    months = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"]
    assert found["around"].item() in (" ".join(months), " ".join(["jan", *months[:0:-1]]))


def test_concepts_are_where_the_grammar_puts_them(toy: iw.Session) -> None:
    reading = concepts.read(
        toy, ["mary said that [she] was tired .", "claim : paris is not in france . [false]"], ["embed"]
    )
    labels = reading.labels()
    at = {
        name: [p.word for p, on in zip(reading.places, labels[:, i], strict=True) if on]
        for i, name in enumerate(concepts.CONCEPTS)
    }
    assert at["next is she or her"] == ["that"]
    assert at["false claim"] == ["."]
    assert at["negation"] == ["not"]
    assert at["woman's name"] == ["mary"]
    assert at["next is a capital"] == at["true claim"] == []
    own = toy.read("mary said that she was tired .", ["embed"])["embed"][1:]
    row = [p.word for p in reading.places].index("mary")
    assert torch.allclose(reading.values["embed"][row : row + len(own)], own)


def test_f1_by_hand() -> None:
    activations = torch.tensor([[9.0, 0.0], [5.0, 1.0], [1.0, 0.0], [0.0, 1.0]])
    labels = torch.tensor([[True], [False], [True], [False]])
    found = concepts.scores(activations, labels)
    assert found[:, 0].tolist() == pytest.approx([0.5, 0.0])  # says yes twice, of which once right, and misses one


def test_the_numbered_atoms_are_those_that_tell_their_concept_best(toy: iw.Session) -> None:
    sites = ["resid_post.2", "resid_post.3"]
    reading = concepts.read(toy, [text for _, text in concepts.mixed(400, "test")], sites)
    for site, concept in zip(sites, ("next is a pronoun", "next is she or her"), strict=True):
        sae = iw.load_sae(f"toy-grammar/{site}")
        assert concepts.best_atoms(sae, reading.values[site], reading.labels(), [concept]) == [122]


def test_replacing_nothing_adds_nothing(toy: iw.Session) -> None:
    texts = [text for _, text in concepts.mixed(60, "test", held=True)]
    clean = insides._losses(toy, texts)
    assert insides._losses(toy, texts, "resid_post.1", lambda h: h) == pytest.approx(clean)
    assert insides._losses(toy, texts, "resid_post.1", torch.zeros_like)[0] > clean[0] + 1


def test_the_giver_is_read_where_he_gives(toy: iw.Session) -> None:
    """The bundled model: head 0.3 writes who gives at his second mention, and heads 2.0 and 3.0 look there from the end."""
    patched = insides.giver_patching(toy, 8).filter(pl.col("site") == "head_out.0.3")
    by_place = dict(patched.select("place", "mean").iter_rows())
    assert by_place["giver"] > 0.7
    assert abs(by_place["verb"]) < 0.1
    looks = insides.giver_attention(toy, 40)
    assert (looks["answer"] - looks["other"]).max() < 0.15
    assert set(looks.filter(pl.col("giver") > 0.5)["head"]) == {"2.0", "3.0", "0.3"}
