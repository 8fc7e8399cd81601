"""The Shift panel on the bundled model: what it shows is what the methods say, and strikes are taken up."""

from __future__ import annotations

import subprocess
import sys

import polars as pl
import pytest

import interp_widgets as iw
from interp_widgets import frames, methods
from interp_widgets.errors import DictionaryError, InterpError, TextError
from interp_widgets.lab.biographies import toy_biographies

SITE = "resid_post.1"


@pytest.fixture(scope="module")
def data() -> pl.DataFrame:
    return toy_biographies(train=40, test=40)


@pytest.fixture(scope="module")
def saes() -> list:
    return [iw.load_sae(f"toy-grammar/{name}") for name in ("mlp_out.0", "resid_post.1")]


@pytest.fixture(scope="module")
def shift(toy, data, saes) -> iw.Shift:
    panel = iw.Shift(toy, data, site=SITE, dictionaries=saes, texts=20, steps=3, draws=2)
    panel.run()
    return panel


@pytest.fixture(autouse=True)
def none_struck(shift):
    yield
    shift.spare()
    assert shift.frame.height


def test_its_frames_are_those_of_the_methods(toy, data, saes, shift) -> None:
    effects = methods.shift_effects(toy, data, site=SITE, dictionaries=saes, texts=20, steps=3)
    assert shift.effects.equals(effects)
    best = effects.drop_nulls("atom")["node"].head(3).to_list()
    assert [row["node"] for row in shift.listed[:3]] == best
    shift.strike(*best)
    plain = {"site": SITE, "dictionaries": saes, "struck": best}
    assert shift.frame.equals(methods.shift(toy, data, **plain, baselines=False))
    expected = methods.shift(toy, data, **plain, draws=2, texts=20, steps=3)
    assert shift.compare().equals(expected)
    assert shift.compared
    frames.check(shift.frame, frames.SHIFT_ACCURACY)
    assert [row["condition"] for row in shift.accuracy] == [
        "original", "struck", "struck retrained", "random", "random retrained", "by label", "by label retrained", "neurons",
        "neurons retrained", "balanced retrained",
    ]  # fmt: skip
    random = next(row for row in shift.accuracy if row["condition"] == "random")
    draws = expected.filter(condition="random", retrained=False, group="label")["accuracy"]
    assert random["draws"] == 2
    assert random["cells"][0]["accuracy"] == pytest.approx(draws.mean())
    assert (random["cells"][0]["low"], random["cells"][0]["high"]) == (draws.min(), draws.max())
    shift.spare(best[0])
    assert shift.struck == best[1:]
    assert shift.frame.filter(condition="struck")["nodes"].unique().to_list() == [2]
    assert not shift.compared, "what was compared was another strike"


def test_texts_of_an_atom_are_those_it_fires_in(toy, saes, shift) -> None:
    row = next(row for row in shift.listed if row["site"] == SITE)
    found = shift.examples[row["node"]]
    assert found["shown"]
    for at, mean, active in found["shown"]:
        ids = [toy.single_token(shift.words[i]) for i in shift.texts[at]["tokens"][1:]]
        text = [toy.encode("x")[0], *ids]
        a = saes[1].encode(toy.read(text, [SITE])[SITE])[:, row["atom"]]
        assert {i for i, _ in active} == set((a[1:] > 0).nonzero().flatten().add(1).tolist())
        assert mean == pytest.approx(float(a[1:].mean()), abs=1e-3)
    labels = [shift.texts[at]["label"] for at, _, _ in found["shown"]]
    assert max(labels.count("dentist"), labels.count("professor")) <= 4


def test_texts_from_elsewhere_are_shown_beside_them(toy, data, saes) -> None:
    others = toy_biographies(("pilot", "baker"), train=8, test=4).filter(split="balanced")["document"].to_list()
    panel = iw.Shift(toy, data, site=SITE, dictionaries=saes, texts=20, steps=1, others=others)
    panel.run()
    labels = {node: [panel.texts[at]["label"] for at, _, _ in found["shown"]] for node, found in panel.examples.items()}
    assert any("elsewhere" in of for of in labels.values())
    assert all(of == sorted(of, key=lambda label: label == "elsewhere") for of in labels.values())
    words = {panel.words[i] for text in panel.texts if text["label"] == "elsewhere" for i in text["tokens"]}
    assert words & {"planes", "bread", "airport", "flour"}


def test_a_selection_is_a_row_of_the_effects(shift) -> None:
    node = shift.listed[2]["node"]
    shift.select(node)
    assert shift.selection["node"].to_list() == [node]
    shift.select()
    assert shift.selection.is_empty()
    with pytest.raises(TextError, match="not in the list"):
        shift.select("resid_post.1/error")


def test_an_atom_that_is_struck_is_listed_however_small_its_effect(shift) -> None:
    last = shift.effects.drop_nulls("atom")["node"][-1]
    with pytest.raises(TextError, match="Strike it first"):
        shift.select(last)
    shift.strike(last)
    shift.select(last)
    assert shift.selection["node"].to_list() == [last]
    assert [row["effect"] for row in shift.listed] == sorted((row["effect"] for row in shift.listed), reverse=True)
    shift.spare(last)
    assert shift.frame.height
    assert shift.listed[-1]["node"] == last, "a row does not go while it is looked at"


def test_code_makes_the_same_frame_in_a_clean_process(shift, tmp_path) -> None:
    shift.strike(*[row["node"] for row in shift.listed[:4]])
    shift.frame.write_parquet(tmp_path / "expected.parquet")
    script = shift.code() + "\nassert frame.equals(pl.read_parquet('expected.parquet'))\n"
    script += "import sys\nassert 'interp_widgets' not in sys.modules\n"
    done = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]


def test_what_is_wrong_is_said_and_the_result_stays(toy, data, saes, shift) -> None:
    before = shift.frame
    with pytest.raises(DictionaryError, match="Atom 9999 does not exist"):
        shift.strike("resid_post.1/9999")
    with pytest.raises(TextError, match="no atom that can be struck"):
        shift.strike("resid_post.1/error")
    with pytest.raises(TextError, match="Nothing is struck out"):
        shift.compare()
    assert shift.frame.equals(before)
    shift._on_message(None, {"type": "compare"}, [])
    assert "Nothing is struck out" in shift.error
    shift.struck = ["nonsense"]  # as a page could send it
    assert "no atom that can be struck" in shift.error
    assert shift.struck == []
    wrong = iw.Shift(toy, data.drop("spurious"), site=SITE, dictionaries=saes)
    with pytest.raises(InterpError, match="no column spurious"):
        wrong.run()
    assert "no column spurious" in wrong.error


def test_a_strike_whose_work_fails_is_taken_back(shift, monkeypatch) -> None:
    first, second = (row["node"] for row in shift.listed[:2])
    shift.strike(first)
    before = shift.frame

    def fails(*_: object, **__: object) -> None:
        raise MemoryError

    monkeypatch.setattr("interp_widgets.methods.shift_conditions.without", fails)
    shift.strike(second)
    assert shift.frame.equals(before)
    assert shift.struck == [first]
    assert "not enough memory" in shift.error
    shift._on_message(None, {"type": "compare"}, [])
    shift._job.wait()
    assert shift.frame.equals(before)
    assert not shift.compared
    monkeypatch.undo()
    shift.strike(second)
    assert shift.frame.filter(condition="struck")["nodes"].unique().to_list() == [2]
    assert not shift.error


def test_a_strike_while_it_computes_is_taken_up(toy, data, saes) -> None:
    with toy._lock:  # the model is busy elsewhere
        panel = iw.Shift(toy, data, site=SITE, dictionaries=saes, texts=8, steps=1)
        panel.strike("resid_post.1/183")
        panel.struck = [*panel.struck, "nonsense"]  # as a page could send it
        assert "no atom that can be struck" in panel.error
    assert panel.frame.filter(condition="struck")["nodes"].unique().to_list() == [1]
    assert "1 atom struck out" in panel.summary


def test_its_chart_and_its_page_hold_the_table(shift, tmp_path) -> None:
    shift.strike(shift.listed[0]["node"])
    said = shift.chart.to_dict()
    assert said["title"]["text"] == "Accuracy of the probe"
    shift.to_html(tmp_path / "shift.html")
    again = iw.reopen(tmp_path / "shift.html")
    assert again.frame.equals(shift.frame)
    assert again.asleep
    assert again.struck == shift.struck
    assert shift.provenance["struck"] == shift.struck
    again.strike(*[row["node"] for row in shift.listed[1:3]])  # wakes it
    again.run()
    assert again.frame.filter(condition="struck")["nodes"].unique().to_list() == [3]
    assert not again.error
