"""Neuronpedia's pages and its JSON, as others write it and as nobody should."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import interp_widgets as iw
from interp_widgets import frames
from interp_widgets.errors import FrameError
from interp_widgets.sae.neuronpedia import page
from tests.sae.folders import config, tensors, write

GOLDEN = Path(__file__).parent / "golden"
EVIL = "</script><img src=x onerror=alert(1)>"


def activation(values: list[float], low: float | None = -1, high: float | None = 4.0, **more: Any) -> dict[str, Any]:
    return {"tokens": [f" w{i}" for i in range(len(values))], "values": values, "binMin": low, "binMax": high, **more}


def feature(*activations: dict[str, Any], **more: Any) -> dict[str, Any]:
    """The fewest fields that make one, and some."""
    found = activations or (activation([0, 4.0, 1.5]),)
    return {"modelId": "gpt2-small", "layer": "8-res-jb", "index": "12", "activations": list(found), **more}


# pages


def test_the_page_of_a_saelens_folder(tmp_path) -> None:
    said = config() | {"metadata": config()["metadata"] | {"neuronpedia_id": "gpt2-small/8-res-jb"}}
    sae = iw.load_sae(write(tmp_path / "sae", said, tensors()))
    assert page(sae, 9) == "https://www.neuronpedia.org/gpt2-small/8-res-jb/9"
    assert page(iw.load_sae(write(tmp_path / "other", config(), tensors())), 9) == ""


def test_the_page_of_a_release(there) -> None:
    there.add("jbloom/GPT2-Small-SAEs-Reformatted", "blocks.8.hook_resid_pre", GOLDEN / "saelens" / "standard")
    sae = iw.load_sae("gpt2-small-res-jb/blocks.8.hook_resid_pre")
    assert page(sae, 123) == "https://www.neuronpedia.org/gpt2-small/8-res-jb/123"


@pytest.mark.parametrize(
    "name", ["", "gpt2-small", "a/b/c", "a/b?c", "a/b#c", "//evil.org", "a b/c", ["a", "b"], 3, None]
)
def test_what_is_no_name_has_no_page(name) -> None:
    assert page(SimpleNamespace(origin={"neuronpedia": name}), 1) == ""  # type: ignore[arg-type]


# reading


def test_a_feature_of_few_fields() -> None:
    found = iw.read_neuronpedia(feature())
    frames.check(found.examples, frames.ATOM_EXAMPLES)
    assert (found.atom, found.model, found.source) == (12, "gpt2-small", "8-res-jb")
    assert (found.density, found.maximum) == (None, None)
    assert found.histogram.is_empty()
    assert found.similar.is_empty()
    row = found.examples.row(0, named=True)
    assert row == {
        "atom": 12,
        "kind": "top",
        "interval": None,
        "low": None,
        "high": None,
        "rank": 1,
        "activation": 4.0,
        "text": 0,
        "source": "",
        "position": 1,
        "token_id": -1,
        "token": " w1",
        "repeats": 0,
        "tokens": [" w0", " w1", " w2"],
        "token_ids": [-1, -1, -1],
        "activations": [0.0, 4.0, 1.5],
        "at": 1,
    }


def test_intervals_and_the_strongest() -> None:
    """In no order, as a data base answers; those of an upload have no bins."""
    found = iw.read_neuronpedia(
        feature(
            activation([1.9, 0.5], 1.2, 2.4, qualifyingTokenIndex=0),
            activation([0, 2.0]),
            activation([0.3, 5.0], 0.0, 1.2, qualifyingTokenIndex=0),
            activation([3.0, 0], None, None),
            activation([0.2, 0.1], 0.0, 1.2, qualifyingTokenIndex=7),
            activation([0.3, 5.0], 4.8, 6.0, qualifyingTokenIndex=0),
        )
    ).examples
    shown = ["kind", "interval", "rank", "activation", "at", "text"]
    assert found.select(shown).rows() == [
        ("top", None, 1, 3.0, 0, 3),
        ("top", None, 2, 2.0, 1, 1),
        ("interval", 0, 1, 0.3, 0, 2),
        ("interval", 0, 2, 0.2, 0, 4),
        ("interval", 1, 1, 1.9, 0, 0),
        ("interval", 4, 1, 5.0, 1, 5),
    ]
    uneven = feature(activation([0.5], 0.0, 1.0), activation([3], 2.0, 9.0), activation([1.5], 1.0, 2.0))
    assert iw.read_neuronpedia(uneven).examples["low"].to_list() == [0.0, 1.0, 2.0]
    assert iw.read_neuronpedia(uneven).examples["interval"].to_list() == [0, 1, 2]


def test_silent_examples_are_left_out_and_counted() -> None:
    found = iw.read_neuronpedia(feature(activation([0, 0.0], 0.0, 1.0), activation([0, 1.0]), activation([-2.0])))
    assert len(found.examples) == 1
    assert found.notes == ["2 examples are left out: the atom is silent in them."]
    assert iw.read_neuronpedia(feature(activation([0.0]))).notes == ["1 example is left out: the atom is silent in it."]


def test_the_other_fields() -> None:
    found = iw.read_neuronpedia(
        feature(
            frac_nonzero=0.25,
            maxActApprox=4,
            freq_hist_data_bar_values=[0.5, 1.5, 2.5],
            freq_hist_data_bar_heights=[7, 0, 2.0],
            topkCosSimIndices=[12, 3, 5],
            topkCosSimValues=[1.0, 0.5, -0.25],
            pos_str=[" a", EVIL],
            pos_values=[2.5, -10000],
            neg_str=[],
            neg_values=None,
            explanations=[{"description": EVIL, "scores": []}, {"description": None}],
            creator={"name": "someone"},
        )
    )
    assert (found.density, found.maximum) == (0.25, 4.0)
    assert found.histogram.rows() == [(12, 0.0, 1.0, 7), (12, 1.0, 2.0, 0), (12, 2.0, 3.0, 2)]
    assert found.similar.rows() == [(3, 1, 0.5), (5, 2, -0.25)]
    assert found.promoted == [(" a", 2.5), (EVIL, None)]
    assert found.suppressed == []
    assert found.explanations == [EVIL, ""]
    unknown = iw.read_neuronpedia(feature(frac_nonzero=-1, maxActApprox=0))
    assert (unknown.density, unknown.maximum) == (None, None)


def batch() -> dict[str, Any]:
    def theirs(index: int) -> dict[str, Any]:
        one = {"tokens": [" a", "b"], "values": [0.0, 2.0 + index], "qualifying_token_index": 1}
        return {
            "feature_index": index,
            "frac_nonzero": 0.5,
            "activations": [{**one, "bin_min": -1, "bin_max": 9, "bin_contains": -1}],
        }

    return {
        "model_id": "gpt2-small",
        "layer": 0,
        "sae_set": "res-jb",
        "sae_id_suffix": "x",
        "features": [theirs(3), theirs(4)],
    }


def test_a_batch_of_saedashboard(tmp_path) -> None:
    path = tmp_path / "batch-0.json"
    path.write_text(json.dumps(batch()))
    found = iw.read_neuronpedia(path, atom=4)
    assert (found.atom, found.model, found.source, found.density) == (4, "gpt2-small", "0-res-jb__x", 0.5)
    assert found.examples["activation"].to_list() == [6.0]
    for atom in (None, 5):
        with pytest.raises(FrameError, match=rf"has the atoms 3, 4; pass atom= to say which, not {atom}"):
            iw.read_neuronpedia(path, atom=atom)
    alone = batch() | {"features": batch()["features"][:1]}
    assert iw.read_neuronpedia(alone).atom == 3
    with pytest.raises(FrameError, match=r"\(none\)"):
        iw.read_neuronpedia({"features": []})
    with pytest.raises(FrameError, match="is of atom 12, not 4"):
        iw.read_neuronpedia(feature(), atom=4)


def test_text_is_data() -> None:
    found = iw.read_neuronpedia(feature({"tokens": [EVIL, "\ud83d", "\u0000", "𝄞"], "values": [1, 0, 0, 0]}))
    assert found.examples["tokens"][0].to_list() == [EVIL, "�", "\u0000", "𝄞"]


@pytest.mark.parametrize(
    ("bad", "says"),
    [
        ({"features": [3]}, r"features\[0\] is the number 3; expected is an object"),
        ({}, "The feature has no index"),
        (feature(activations=None), "has no activations; it has modelId, layer, index, activations"),
        (feature(index="x1"), "index is the text 'x1', but must be the number of an atom"),
        (feature(index=-1), "index is the number -1"),
        (feature(index=2**31), "index is a very large number"),
        (feature(index=True), "index is true"),
        (feature(activations={}), "activations is an object, but must be a list"),
        (feature(activations=["a"]), r"activations\[0\] is the text 'a'"),
        (feature(activation([1.0]) | {"tokens": []}), r"activations\[0\] has 0 tokens and 1 values"),
        (feature(activation([1.0]), activation([]) | {"tokens": ["a"]}), r"activations\[1\] has 1 tokens and 0 values"),
        (feature(activation([])), "at least one"),
        (feature(activation([1.0]) | {"tokens": [7]}), "tokens has the number 7, but must be a list of texts"),
        (feature(activation([1.0]) | {"tokens": "a"}), "tokens is the text 'a', but must be a list"),
        (feature(activation([float("nan")])), "values has a number that is not finite"),
        (feature(activation([10**400])), "values has a number that is not finite"),
        (feature(activation(["1"])), "values has the text '1', but must be numbers"),
        (feature(activation([True])), "values has true"),
        (feature(activation([1.0], 2.0, 1.0)), "binMin 2.0 above binMax 1.0"),
        (feature(activation([1.0], "0")), "binMin has the text '0'"),
        (feature(activation([1.0] * 20_001)), "has 20,001 tokens; at most 20,000 are read"),
        (feature(*[activation([1.0])] * 10_001), "has 10,001 activations; at most 10,000 are read"),
        (feature(frac_nonzero="much"), "frac_nonzero has the text 'much'"),
        (feature(freq_hist_data_bar_values=[1.0]), "1 freq_hist_data_bar_values and 0 freq_hist_data_bar_heights"),
        (feature(freq_hist_data_bar_values=[2, 1], freq_hist_data_bar_heights=[1, 1]), "from left to right"),
        (feature(freq_hist_data_bar_values=[1, 2], freq_hist_data_bar_heights=[1, 0.5]), "numbers of tokens"),
        (feature(freq_hist_data_bar_values=[1], freq_hist_data_bar_heights=[1e300]), "numbers of tokens"),
        (feature(topkCosSimIndices=[1.5], topkCosSimValues=[1]), "must be numbers of atoms"),
        (feature(topkCosSimIndices=[2**40], topkCosSimValues=[1]), "must be numbers of atoms"),
        (feature(pos_str=["a"]), "1 pos_str and 0 pos_values"),
        (
            feature(explanations=[{"description": 3}]),
            r"explanations\[0\]: description is the number 3, but must be a text",
        ),
        (feature(modelId=4), "modelId is the number 4"),
    ],
)
def test_refusals(bad: Any, says: str) -> None:
    with pytest.raises(FrameError, match=says):
        iw.read_neuronpedia(bad)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"{", "cannot be read as JSON"),
        (b'{"index": "1", "activations": [{"tokens": ["a"], "values": [NaN]}]}', "NaN is no number"),
        (b"\xff\xfe", "cannot be read as JSON"),
        (b"[" * 200_000, "cannot be read as JSON"),
        (b"[1, 2]", "is a list; expected is an object"),
        (b'{"index": ' + b"9" * 5000 + b"}", "cannot be read as JSON"),
    ],
)
def test_files_that_are_none(tmp_path, content: bytes, says: str) -> None:
    (tmp_path / "f.json").write_bytes(content)
    with pytest.raises(FrameError, match=says):
        iw.read_neuronpedia(tmp_path / "f.json")


def test_files_that_are_not_there_or_too_large(tmp_path, monkeypatch) -> None:
    with pytest.raises(FrameError, match=r"none\.json cannot be read: No such file"):
        iw.read_neuronpedia(tmp_path / "none.json")
    monkeypatch.setattr("interp_widgets.sae.neuronpedia.MOST_BYTES", 100)
    (tmp_path / "f.json").write_text(json.dumps(feature()))
    with pytest.raises(FrameError, match="bytes; an atom has a few megabytes at most"):
        iw.read_neuronpedia(tmp_path / "f.json")
