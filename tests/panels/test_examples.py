"""A table of examples as a widget: the same data as on an atom's card, from a corpus, a Parquet file or Neuronpedia's JSON."""

from __future__ import annotations

import json
from pathlib import Path

import polars as pl
import pytest

import interp_widgets as iw
from interp_widgets.errors import DictionaryError, FrameError
from interp_widgets.panels.atoms_card import card
from interp_widgets.panels.examples import STORED
from interp_widgets.sae.corpus.reader import Corpus

TEXTS = [
    "the keys to the cabinet are on the table .",
    "the boy near the houses is here .",
    "mary and john went to the store .",
] * 3


@pytest.fixture(scope="module")
def corpus(tmp_path_factory) -> Corpus:
    folder = tmp_path_factory.mktemp("corpora") / "sentences"
    return iw.corpus(
        iw.load("toy-grammar"), {"sentences": TEXTS}, sae=iw.load_sae("toy-grammar/resid_post.2"), folder=folder
    )


@pytest.fixture(scope="module")
def often(corpus) -> list[int]:
    """Atoms, those that fire most first."""
    return corpus.atoms.sort("fired", "atom", descending=[True, False])["atom"].to_list()


def test_the_same_as_on_the_card(toy_sae, corpus, often) -> None:
    kinds = {"interval": 4, "top": 15, "random": 15}
    table = pl.concat([corpus.examples(often[2], kind, count, context=(40, 20)) for kind, count in kinds.items()])
    shown = iw.Examples(table).stored[str(often[2])]
    expected = card(often[2], toy_sae, corpus)["examples"]
    assert list(shown["kinds"]) == list(kinds)
    assert shown["words"] == expected["words"]
    assert shown["maximum"] == pytest.approx(expected["maximum"])
    for kind in kinds:
        for ours, theirs in zip(shown["kinds"][kind], expected["kinds"][kind], strict=True):
            assert (ours["title"], ours["examples"]) == (theirs["title"], theirs["examples"])
    assert expected["kinds"]["interval"][0]["about"].endswith("% of all")
    assert shown["kinds"]["interval"][0]["about"] == "", "a table does not say how many there are"


def test_a_table_through_parquet_and_one_through_json(toy_sae, corpus, often, tmp_path: Path) -> None:
    corpus.to_parquet(tmp_path / "t.parquet", often[:3], kinds=["top", "interval", "quantile"], count=3)
    panel = iw.Examples(iw.read_examples(tmp_path / "t.parquet"), atom=often[1], name="sentences")
    assert (panel.atoms, panel.atom, panel.model_name) == (often[:3], often[1], "sentences")
    assert panel.frame.equals(corpus.examples_frame(often[:3], ["top", "interval", "quantile"], count=3))
    assert panel.selection.equals(panel.frame.filter(atom=often[1]))
    assert set(panel.stored[str(often[0])]["kinds"]) == {"interval", "quantile", "top"}
    iw.to_neuronpedia(corpus, toy_sae, often[0], path=tmp_path / "f.json")
    read = iw.read_neuronpedia(tmp_path / "f.json").examples
    own = pl.concat(
        [corpus.examples(often[0], kind, count, context=(64, 63)) for kind, count in (("top", 20), ("interval", 5))]
    )
    through, direct = (iw.Examples(each).stored[str(often[0])] for each in (read, own))
    for groups in [*through["kinds"].values(), *direct["kinds"].values()]:
        for group in groups:
            group["examples"] = [each | {"repeats": 0} for each in group["examples"]]
    assert through == direct


def test_of_a_large_table_atoms_are_sent_when_they_are_asked_for(corpus, often) -> None:
    fired = corpus.atoms.filter(pl.col("fired") > 0)["atom"].to_list()[: STORED + 3]
    panel = iw.Examples(corpus.examples_frame(fired, ["top"]))
    assert list(panel.stored) == [str(fired[0])]
    panel.select(fired[5])
    panel.atom = fired[7]  # as the browser does
    assert list(panel.stored) == [str(fired[i]) for i in (0, 5, 7)]
    panel.atom = 10**6
    assert len(panel.stored) == 3
    with pytest.raises(DictionaryError, match=rf"no examples of atom 383; it has those of {fired[0]}, .* and more"):
        iw.Examples(panel.frame, atom=383)
    assert list(iw.Examples(corpus.examples_frame(fired[:STORED], ["top"])).stored) == [
        str(each) for each in fired[:STORED]
    ]


def test_an_empty_table_says_so(corpus) -> None:
    panel = iw.Examples(corpus.examples_frame([]))
    assert (panel.atoms, panel.atom, panel.stored) == ([], -1, {})
    assert panel.selection.is_empty()
    with pytest.raises(DictionaryError, match="it has those of none"):
        panel.select(0)
    with pytest.raises(FrameError, match="those of 0"):
        _ = panel.chart


def test_a_page_holds_what_is_shown(corpus, often, tmp_path: Path) -> None:
    panel = iw.Examples(corpus.examples_frame(often[:2], ["top"]), name="sentences")
    text = panel.to_html(tmp_path / "page.html").read_text(encoding="utf-8")
    assert "<title>Examples sentences</title>" in text
    assert f'"atom":{often[0]}' in text
    json.dumps(panel.stored, allow_nan=False)


def test_the_chart_is_of_the_atom_shown(corpus, often) -> None:
    panel = iw.Examples(corpus.examples_frame(often[:2]))
    panel.select(often[1])
    assert f"atom {often[1]}" in json.dumps(panel.chart.to_dict())


BOUNDS = "interval, low or high is null"


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda t: t.drop("at"), "at is missing"),
        (lambda t: t.with_columns(interval=pl.lit(None, pl.Int32)), BOUNDS),
        (lambda t: t.with_columns(low=pl.lit(float("inf"))), BOUNDS),
        (lambda t: t.with_columns(kind=pl.lit("worst")), "kind is none of top, random"),
        (lambda t: t.with_columns(atom=pl.lit(-1, pl.Int32)), "atom is negative"),
        (
            lambda t: t.with_columns(tokens=pl.col("tokens").list.eval(pl.lit(None, pl.String))),
            "a token or its id is null",
        ),
        (
            lambda t: t.with_columns(activations=pl.col("activations").list.eval(pl.element() + float("nan"))),
            "an activation is not finite",
        ),
    ],
)
def test_tables_that_make_no_sense(corpus, often, tmp_path: Path, change, says) -> None:
    bad = change(corpus.examples_frame(often[:1], ["interval"]))
    with pytest.raises(FrameError, match=says):
        iw.Examples(bad)
    bad.write_parquet(tmp_path / "t.parquet")
    with pytest.raises(FrameError, match=rf"t\.parquet: .*{says}"):
        iw.read_examples(tmp_path / "t.parquet")


def test_an_activation_that_is_not_known_stays_so(corpus, often, tmp_path: Path) -> None:
    table = corpus.examples_frame(often[:1], ["top"]).with_columns(
        activations=pl.col("activations").list.eval(pl.when(pl.element() > 0).then(pl.element()))
    )
    table.write_parquet(tmp_path / "t.parquet")
    assert iw.read_examples(tmp_path / "t.parquet").equals(table)
    assert iw.Examples(table).stored[str(often[0])]["kinds"]["top"]
