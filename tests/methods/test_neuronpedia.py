"""An atom as Neuronpedia's JSON: the schema, every number against one found another way, and back again."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch
from jsonschema import Draft202012Validator

import interp_widgets as iw
from interp_widgets.errors import CorpusError, DictionaryError
from interp_widgets.methods.direct_weights import direct_weights
from interp_widgets.sae.corpus.reader import Corpus
from interp_widgets.sae.corpus.several import several

TEXTS = [
    "the keys to the cabinet are on the table .",
    "the boy near the houses is here .",
    "the key is on the table .",
    "mary and john went to the store .",
] * 3
SCHEMA = json.loads((Path(__file__).parents[1] / "sae" / "neuronpedia.schema.json").read_text(encoding="utf-8"))
BACK = [name for name in iw.frames.ATOM_EXAMPLES if name not in ("token_id", "token_ids", "repeats")]
"""Columns that the format has a place for."""


def validate(feature: dict, form: str = "feature") -> None:
    Draft202012Validator(SCHEMA | {"$ref": f"#/$defs/{form}"}).validate(feature)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory) -> Corpus:
    folder = tmp_path_factory.mktemp("corpora") / "sentences"
    sae = iw.load_sae("toy-grammar/resid_post.2")
    return iw.corpus(iw.load("toy-grammar"), {"sentences": TEXTS}, sae=sae, folder=folder)


@pytest.fixture(scope="module")
def atom(corpus) -> int:
    """One that fires often."""
    return corpus.atoms.sort("fired", "atom", descending=[True, False])["atom"][6]


def values_on(toy, toy_sae, atom: int, text: str) -> list[float]:
    """[tokens]: the atom on a text, one run at a time; without the <s> in front, which a corpus leaves out."""
    found = iw.methods.atom_activations(toy, text, sae=toy_sae).filter(atom=atom)
    out = [0.0] * len(toy.tokens(text))
    for position, activation in found.select("position", "activation").iter_rows():
        out[position] = activation
    return out[1:]


def test_the_schema_can_fail(toy_sae, corpus, atom) -> None:
    Draft202012Validator.check_schema(SCHEMA)
    good = iw.to_neuronpedia(corpus, toy_sae, atom)
    first = good["activations"][0]
    for bad in (
        {**good, "index": atom},
        {**good, "frac_nonzero": None},
        {**good, "frac": 1},
        {name: value for name, value in good.items() if name != "pos_str"},
        {**good, "activations": [{**first, "id": "x"}]},
        {**good, "activations": [{**first, "values": []}]},
    ):
        assert not Draft202012Validator(SCHEMA).is_valid(bad)


@pytest.mark.parametrize("form", ["feature", "dashboard"])
def test_what_is_written_fits_the_schema(toy, toy_sae, corpus, atom, form) -> None:
    never = corpus.atoms.filter(fired=0)["atom"][0]
    for each in (atom, atom + 1, never):
        validate(iw.to_neuronpedia(corpus, toy_sae, each, form=form), form)
    validate(iw.to_neuronpedia(corpus, toy_sae, atom, model=toy, form=form), form)
    silent = iw.to_neuronpedia(corpus, toy_sae, never, form=form)
    assert silent["activations"] == silent["freq_hist_data_bar_values"] == []


def test_every_value_is_that_of_a_run_of_its_own(toy, toy_sae, corpus, atom) -> None:
    found = iw.to_neuronpedia(corpus, toy_sae, atom)
    assert len(found["activations"]) > 8
    for each in found["activations"]:
        text, position = map(int, each["dataIndex"].split(":"))
        assert each["tokens"] == toy.tokens(TEXTS[text])["token"].to_list()[1:]
        assert each["values"] == pytest.approx(values_on(toy, toy_sae, atom, TEXTS[text]), abs=1e-4)
        assert each["qualifyingTokenIndex"] == position
        assert each["values"][each["maxValueTokenIndex"]] == each["maxValue"] == max(each["values"])
        assert each["minValue"] == min(each["values"])
        assert each["dataSource"] == "sentences"
    assert len({each["id"] for each in found["activations"]}) == len(found["activations"])


def test_statistics_are_counted_over_all_tokens(toy, toy_sae, corpus, atom) -> None:
    values = np.concatenate([values_on(toy, toy_sae, atom, text) for text in TEXTS])
    assert len(values) == corpus.tokens
    found = iw.to_neuronpedia(corpus, toy_sae, atom)
    assert found["frac_nonzero"] == pytest.approx((values > 0).mean())
    assert found["maxActApprox"] == pytest.approx(values.max(), rel=1e-5)
    middle = np.array(found["freq_hist_data_bar_values"])
    width = middle[1] - middle[0]
    heights = [((values > m - width / 2 + 1e-5) & (values <= m + width / 2 + 1e-5)).sum() for m in middle]
    assert found["freq_hist_data_bar_heights"] == heights
    intervals = {(each["binMin"], each["binMax"], each["binContains"]) for each in found["activations"]}
    assert {low for low, _, _ in intervals} >= {-1.0, 0.0}
    for low, high, share in intervals:
        inside = (values >= low) & (values <= high + 1e-5)
        assert share == (-1 if low == -1 else pytest.approx(inside.mean()))


def test_bins_come_from_the_strongest_to_the_weakest(toy_sae, corpus, atom) -> None:
    bins = [
        (each["binMin"], each["qualifyingTokenIndex"], each)
        for each in iw.to_neuronpedia(corpus, toy_sae, atom)["activations"]
    ]
    lows = [low for low, _, _ in bins]
    top = lows.count(-1.0)
    assert lows == [-1.0] * top + sorted(lows[top:], reverse=True)
    strengths = [each["values"][at] for _, at, each in bins]
    assert strengths[:top] == sorted(strengths[:top], reverse=True)
    for (low, _, each), strength in zip(bins[top:], strengths[top:], strict=True):
        assert low < strength <= each["binMax"]


def test_logits_and_neighbours(toy, toy_sae, corpus, atom) -> None:
    found = iw.to_neuronpedia(corpus, toy_sae, atom, model=toy)
    weights = toy.run([[0]], ["embed"], then=lambda _: direct_weights(toy, toy_sae.W_dec[atom]))
    best, worst = weights.topk(10), weights.topk(10, largest=False)
    assert found["pos_str"] == [toy.text_of(i) for i in best.indices.tolist()]
    assert found["pos_values"] == pytest.approx(best.values.tolist())
    assert found["neg_str"] == [toy.text_of(i) for i in worst.indices.tolist()]
    assert found["neg_values"] == pytest.approx(worst.values.tolist())
    assert sum(found["logits_hist_data_bar_heights"]) == len(weights)
    middle, height = found["logits_hist_data_bar_values"], np.array(found["logits_hist_data_bar_heights"])
    width = middle[1] - middle[0]
    assert middle[0] - width / 2 == pytest.approx(weights.min().item())
    assert height @ middle / height.sum() == pytest.approx(weights.mean().item(), abs=width / 2)
    unit = toy_sae.W_dec / toy_sae.W_dec.norm(dim=1, keepdim=True)
    cosine, order = (unit @ unit[atom]).topk(21)
    assert found["topkCosSimIndices"] == order.tolist()
    assert found["topkCosSimIndices"][0] == atom
    assert found["topkCosSimValues"] == pytest.approx(cosine.tolist(), abs=1e-5)


def test_without_a_model_there_are_no_logits(toy_sae, corpus, atom) -> None:
    found = iw.to_neuronpedia(corpus, toy_sae, atom)
    assert not any(found[f"{name}"] for name in found if name.startswith(("pos_", "neg_", "logits_")))


def test_a_dictionary_outside_the_stream_has_no_logits(toy, tmp_path) -> None:
    sae = iw.load_sae("toy-grammar/resid_post.2")
    heads = replace(sae, site="head_out.2")
    found = iw.corpus(toy, TEXTS[:2], sae=heads, folder=tmp_path / "c")
    assert iw.to_neuronpedia(found, heads, 0, model=toy)["pos_str"] == []


def test_it_comes_back(toy, toy_sae, corpus, atom, tmp_path) -> None:
    path = tmp_path / "feature.json"
    written = iw.to_neuronpedia(corpus, toy_sae, atom, model=toy, path=path)
    assert json.loads(path.read_text(encoding="utf-8")) == written
    read = iw.read_neuronpedia(path)
    own, _ = several(corpus, atom, {"top": 20, "interval": 5}, (64, 63))
    assert read.examples.select(BACK).equals(own.select(BACK))
    assert set(read.examples["token_id"]) == {-1}
    row = corpus.atoms.row(atom, named=True)
    assert (read.atom, read.density, read.maximum) == (atom, row["density"], row["maximum"])
    bins = corpus.histogram(atom)
    assert read.histogram["count"].equals(bins["count"])
    assert read.histogram["high"].to_list() == pytest.approx(bins["high"].to_list())
    assert read.similar.equals(iw.methods.similar_atoms(toy_sae, atom, count=20))
    assert read.promoted == list(zip(written["pos_str"], written["pos_values"], strict=True))
    assert read.suppressed == list(zip(written["neg_str"], written["neg_values"], strict=True))
    assert read.notes == read.explanations == []


def test_the_words_of_saedashboard_come_back(toy_sae, corpus, atom) -> None:
    ours, theirs = (
        iw.read_neuronpedia(iw.to_neuronpedia(corpus, toy_sae, atom, form=f)) for f in ("feature", "dashboard")
    )
    lost = ["text", "source", "position"]
    assert theirs.examples.drop(lost).equals(ours.examples.drop(lost))
    assert (theirs.model, theirs.source, theirs.density) == (ours.model, ours.source, ours.density)


def test_where_it_is_at_neuronpedia(toy_sae, corpus, atom) -> None:
    own = iw.to_neuronpedia(corpus, toy_sae, atom)
    assert (own["modelId"], own["layer"]) == ("toy-grammar", "2-toy-grammar-resid-post.2")
    known = replace(toy_sae, origin=toy_sae.origin | {"neuronpedia": "gpt2-small/8-res_fs768-jb__x"})
    found = iw.to_neuronpedia(corpus, known, atom)
    assert (found["modelId"], found["layer"]) == ("gpt2-small", "8-res_fs768-jb__x")
    assert found["sourceSetName"] == "res_fs768-jb"
    assert {(each["modelId"], each["layer"], each["index"]) for each in found["activations"]} == {
        ("gpt2-small", "8-res_fs768-jb__x", str(atom))
    }
    asked = iw.to_neuronpedia(corpus, known, atom, name="pythia-70m-deduped/e-res-sm", form="dashboard")
    assert (asked["model_id"], asked["layer"], asked["sae_set"]) == ("pythia-70m-deduped", "e", "res-sm")
    assert iw.read_neuronpedia(asked).source == "e-res-sm"


def test_a_slim_copy_gives_what_it_holds(toy_sae, corpus, atom, tmp_path) -> None:
    slim = corpus.save(tmp_path / "slim", examples=2, context=(2, 1))
    found = iw.to_neuronpedia(slim, toy_sae, atom)
    validate(found)
    assert max(len(each["tokens"]) for each in found["activations"]) == 4
    assert sum(each["binMin"] == -1 for each in found["activations"]) == 2
    odd = corpus.save(tmp_path / "odd", examples=2, kinds=["interval"], intervals=7)
    shares = {each["binContains"] for each in iw.to_neuronpedia(odd, toy_sae, atom)["activations"]}
    assert shares == {None}, "a histogram of 40 bins says nothing of 7 intervals"


def test_refusals(toy_sae, corpus, tmp_path) -> None:
    with pytest.raises(DictionaryError, match="Atom 384 does not exist"):
        iw.to_neuronpedia(corpus, toy_sae, 384)
    with pytest.raises(CorpusError, match="the forms are feature and dashboard"):
        iw.to_neuronpedia(corpus, toy_sae, 0, form="csv")
    for name in ("gpt2-small", "gpt2-small/res-jb", "a/8-b/c", "../8-x/"):
        with pytest.raises(CorpusError, match="expected is model/layer-family"):
            iw.to_neuronpedia(corpus, toy_sae, 0, name=name)
    other = replace(toy_sae, W_enc=torch.zeros_like(toy_sae.W_enc))
    with pytest.raises(CorpusError, match="with other weights"):
        iw.to_neuronpedia(corpus, other, 0)


def test_an_activation_that_is_not_known_is_written_as_0(toy, toy_sae, tmp_path) -> None:
    """Here of the tokens beyond the number that was asked for."""
    cut = iw.corpus(toy, ["mary and john went to the store ."], sae=toy_sae, tokens=4, folder=tmp_path / "c")
    atom = cut.atoms.sort("fired", "maximum", descending=True)["atom"][0]
    unknown = cut.examples(atom, context=(64, 63))["activations"][0]
    found = iw.to_neuronpedia(cut, toy_sae, atom)["activations"][0]["values"]
    assert isinstance(unknown, pl.Series)
    assert unknown.null_count() > 0
    assert found == unknown.fill_null(0.0).to_list()
