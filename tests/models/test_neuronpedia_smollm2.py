"""Neuronpedia's JSON of an atom of SmolLM2-135M: real tokens, a large vocabulary, and a file that shows as the corpus does."""

from __future__ import annotations

import json
from pathlib import Path

import polars as pl
import pytest
from jsonschema import Draft202012Validator

import interp_widgets as iw

pytestmark = [pytest.mark.smollm2, pytest.mark.slow]

TEXTS = [
    "The Eiffel Tower is in the city of Paris, and the Louvre is there too.",
    "Line one.\nLine two: naïve café, 北京, 🙂.\n\n\tAn indented line.",
    "In 1789 the people of Paris stormed the Bastille; in 1889 the tower was built.",
]
SCHEMA = json.loads((Path(__file__).parents[1] / "sae" / "neuronpedia.schema.json").read_text(encoding="utf-8"))


def test_an_atom_goes_out_and_comes_back(smollm2, tmp_path) -> None:
    model, sae = iw.load("smollm2-135m"), iw.load_sae("smollm2-135m/15-resid-4096")
    corpus = iw.corpus(model, {"cities": TEXTS}, sae=sae, folder=tmp_path / "corpus")
    for atom in corpus.atoms.sort("fired", "atom", descending=[True, False])["atom"][:3].to_list():
        written = iw.to_neuronpedia(corpus, sae, atom, model=model, path=tmp_path / "f.json")
        Draft202012Validator(SCHEMA).validate(written)
        assert sum(written["logits_hist_data_bar_heights"]) == 49_152
        read = iw.read_neuronpedia(tmp_path / "f.json")
        own = corpus.examples(atom, "top", 20, context=(64, 63))
        back = read.examples.filter(kind="top")
        assert own["activations"].list.first().null_count() == len(own), "position 0, an attention sink, is not known"
        assert back["activations"].equals(own["activations"].list.eval(pl.element().fill_null(0.0)))
        for name in ("tokens", "at", "activation", "text", "position", "source"):
            assert back[name].equals(own[name]), name
        for example in written["activations"]:
            text = int(example["dataIndex"].split(":")[0])
            found = iw.methods.atom_activations(model, TEXTS[text], sae=sae).filter(atom=atom)
            alone = dict(found.select("position", "activation").iter_rows())
            at, place = example["qualifyingTokenIndex"], int(example["dataIndex"].split(":")[1])
            assert example["values"][at] == pytest.approx(alone[place], rel=1e-3)
            assert example["tokens"] == model.tokens(TEXTS[text])["token"].to_list()
    assert iw.Examples(read.examples).stored
