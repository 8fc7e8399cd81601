"""What each panel puts into its traits, and what its requests do."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

import interp_widgets as iw
from tests.methods.conftest import IOI, IOI_CORRUPT

from .conftest import TEXT, click


def floats(raw: bytes, *shape: int) -> np.ndarray:
    return np.frombuffer(raw, "<f4").reshape(shape)


def ints(raw: bytes, *shape: int) -> np.ndarray:
    return np.frombuffer(raw, "<i4").reshape(shape)


def test_lens_tables_hold_the_frame(lens) -> None:
    layers, width, k = len(lens.layers), lens.window[1] - lens.window[0], lens.top_k
    ids = np.array(lens.vocabulary_ids)[ints(lens.top_index, layers, width, k)]
    ordered = lens.frame.sort("layer", "position", "rank")
    assert ids.flatten().tolist() == ordered["token_id"].to_list()
    assert floats(lens.top_probability, layers * width * k) == pytest.approx(
        ordered["probability"].to_numpy(), abs=1e-6
    )
    cells = ordered.filter(pl.col("rank") == 1)
    for name, column in (("entropy", "entropy"), ("kl", "kl"), ("rank", "tracked_rank")):
        assert floats(getattr(lens, name), layers * width) == pytest.approx(
            cells[column].to_numpy().astype(float), abs=1e-5
        )
    assert [lens.vocabulary[i] for i in ints(lens.top_index, layers * width * k)] == ordered["token"].to_list()


def test_lens_lines_are_there_for_every_top_token(lens) -> None:
    layers, width = len(lens.layers), lens.window[1]
    index = ints(lens.lines_index, width, -1)
    lines = np.frombuffer(lens.lines, "<u2").reshape(width, index.shape[1], layers) / 65535
    top = ints(lens.top_index, layers, width, lens.top_k)[:, :, 0]
    p = floats(lens.top_probability, layers, width, lens.top_k)[:, :, 0]
    for layer in range(layers):
        for position in range(width):
            column = index[position].tolist().index(top[layer, position])
            # half a step of sixteen bits, and what float32 makes of the same softmax by two ways
            assert lines[position, column, layer] == pytest.approx(p[layer, position], abs=2e-5)


def test_two_ids_with_equal_text_stay_two() -> None:
    """A tokenizer with an added token that reads like a word of its vocabulary."""
    from tests.session import tiny

    tokenizer = tiny.tokenizer()
    model = iw.load(tiny.model("llama"), tokenizer=tokenizer)
    model.texts._cache[7] = model.texts._cache[8] = "same"
    lens = iw.Lens(model, "w3 w4 w5", top_k=100)
    lens.run()
    named = [i for i, text in zip(lens.vocabulary_ids, lens.vocabulary, strict=True) if text == "same"]
    assert named == [7, 8]
    assert lens.frame.filter(pl.col("token") == "same")["token_id"].unique().sort().to_list() == [7, 8]


def test_lens_scales_leave_masked_positions_out(lens) -> None:
    entropy = floats(lens.entropy, len(lens.layers), lens.window[1])
    assert lens.masked == [0]
    assert lens.scales["entropy"] == pytest.approx([0, entropy[:, 1:].max()])
    assert any("attention sink" in note for note in lens.notes)


def test_tracking_a_token_changes_the_ranks(lens, toy) -> None:
    click(lens, "track", text="cabinet")
    lens.run()
    assert lens.tracked == {"token_id": toy.single_token("cabinet"), "token": "cabinet"}
    assert lens.color == "rank"
    assert lens.frame["tracked_rank"].max() > 1


def test_a_line_that_is_not_stored_is_brought(lens, toy) -> None:
    token = toy.single_token("cavities")
    click(lens, "line", position=3, token_id=token)
    lens._job.wait(5)
    [line] = lens.extra_lines
    assert (line["position"], line["token_id"], line["token"], len(line["probability"])) == (3, token, "cavities", 4)
    click(lens, "line", position=3, token_id=token)
    assert len(lens.extra_lines) == 1


def test_a_long_text_is_shown_through_a_window(monkeypatch, toy) -> None:
    monkeypatch.setattr("interp_widgets.panels.lens.WINDOW", 8)
    lens = iw.Lens(toy, IOI)
    lens.run()
    assert lens.window == [7, 15]
    assert len(lens.tokens) == 15
    assert any("Positions 7 to 14 of 15" in note for note in lens.notes)
    said = lens.frame.filter((pl.col("position") == 10) & (pl.col("layer") == 3) & (pl.col("rank") == 1))
    lens.pins = [[10, said["token_id"][0]]]
    click(lens, "window", start=2)
    lens.run()
    assert lens.window == [2, 10]
    assert lens.frame["position"].unique().sort().to_list() == list(range(2, 10))
    assert [(line["position"], line["token"]) for line in lens.extra_lines] == [(10, said["token"][0])]
    click(lens, "window", start=99)
    lens.run()
    assert lens.window == [7, 15]


def test_a_new_text_forgets_the_old_selection(lens) -> None:
    lens.select(position=14, layer=2)
    click(lens, "run", text=TEXT)
    lens.run()
    assert (lens.positions, lens.cell, lens.pins) == ([], [], [])


def test_selecting_elsewhere_leaves_the_cell(lens) -> None:
    lens.select(position=14, layer=2)
    lens.set_state({"positions": [3]})
    assert lens.cell == []
    lens.set_state({"cell": [1, 4], "positions": [4]})
    assert lens.cell == [1, 4]


def test_atoms_tables_hold_the_frame(atoms) -> None:
    count, k = len(atoms.tokens), atoms.top_k
    table, activation = ints(atoms.top_atom, count, k), floats(atoms.top_activation, count, k)
    share = floats(atoms.top_share, count, k)
    for row in atoms.frame.iter_rows(named=True):
        column = table[row["position"]].tolist().index(row["atom"])
        assert activation[row["position"], column] == pytest.approx(row["activation"], rel=1e-6)
        assert share[row["position"], column] == pytest.approx(row["share"], abs=1e-6)
    assert (table >= 0).sum() == len(atoms.frame)
    assert atoms.complete
    assert atoms.active == atoms.reconstruction["active"].to_list()
    assert floats(atoms.error_norm, count) == pytest.approx(atoms.reconstruction["error_norm"].to_numpy(), abs=1e-6)


def test_choosing_and_pinning_atoms_brings_their_activations(atoms) -> None:
    strongest = atoms.frame.filter(pl.col("position") > 0).sort("activation")["atom"][-1]
    atoms.set_state({"atom": strongest, "atoms": [5, strongest]})
    assert atoms.pinned == [strongest, 5]
    values = floats(atoms.pinned_activation, 2, len(atoms.tokens))
    expected = atoms.activations([strongest, 5])
    assert values.flatten() == pytest.approx(expected["activation"].to_numpy(), abs=1e-5)
    assert atoms.pinned_scale == pytest.approx([values[0, 1:].max(), values[1, 1:].max()])


def test_an_atom_out_of_range_is_a_sentence(atoms) -> None:
    atoms.set_state({"atom": 9999, "atoms": [5, 9999]})
    assert "Atom 9999 does not exist" in atoms.error
    assert (atoms.atom, atoms.atoms, atoms.pinned) == (-1, [5], [5])
    assert atoms.chart.to_dict()


def test_the_panel_takes_kinds_of_site_only(toy) -> None:
    with pytest.raises(iw.errors.SiteError, match=r"'resid_post\.2' is not a kind of site"):
        iw.Patching(toy, IOI, IOI_CORRUPT, sites=("resid_post.2",))


def test_a_dense_dictionary_is_cut_off_and_says_so(monkeypatch, toy, toy_sae) -> None:
    monkeypatch.setattr("interp_widgets.panels.atoms_traits.LISTED", 3)
    atoms = iw.Atoms(toy, TEXT, sae=toy_sae)
    atoms.run()
    assert (atoms.complete, atoms.top_k) == (False, 3)
    assert any("At most 3 atoms" in note for note in atoms.notes)
    assert len(atoms.frame) > 3 * len(atoms.tokens)


def test_patching_grids_hold_the_frame(patching) -> None:
    shape = (3, 4, 15)
    kinds = patching.sites
    effect, probability = floats(patching.logit_difference, *shape), floats(patching.probability, *shape)
    recovery = floats(patching.recovery, *shape)
    for row in patching.frame.iter_rows(named=True):
        at = (kinds.index(row["site"].split(".")[0]), row["layer"], row["position"])
        assert effect[at] == pytest.approx(row["effect"], abs=1e-5)
        assert recovery[at] == pytest.approx(row["recovery"], abs=1e-5)
        assert probability[at] == pytest.approx(
            row["probability"] - patching.baselines["corrupt"]["probability"], abs=1e-6
        )
    assert patching.unaffected == list(range(10))
    assert all(check["passed"] for check in patching.checks)
    assert patching.scales["logit_difference"] == pytest.approx(np.abs(effect).max(), rel=1e-6)


def test_patched_predictions_are_in_the_table(patching) -> None:
    top = ints(patching.top_index, 3, 4, 15, 5)
    assert patching.vocabulary[top[0, 3, 14, 0]] == "mary"
    assert patching.vocabulary[top[0, 3, 3, 0]] == "john"


def test_the_same_prompt_is_a_check_that_can_turn_red(toy, monkeypatch) -> None:
    panel = iw.Patching(toy, IOI, IOI, answer="mary", foil="john", sites=("resid_post",))
    panel.run()
    assert all(check["passed"] for check in panel.checks)
    assert floats(panel.logit_difference, 60) == pytest.approx(0, abs=1e-4)
    assert any("every effect must be 0" in note for note in panel.notes)
    run = panel._run
    run.cells.logit_difference[1, 3] += 0.5
    panel._show_grids(run)
    [identity] = [check for check in panel.checks if check["name"] == "identity"]
    assert not identity["passed"]
    assert "changed the result by 0.5 " in identity["text"]


def test_pairing_by_hand(toy) -> None:
    panel = iw.Patching(
        toy, "the keys to the cabinet", "the key to the big cabinet", "are", "is", sites=("resid_post",)
    )
    panel.run()
    assert "Without a partner in the corrupt prompt: 'big'" in panel.alignment_note
    assert [5, 6] in panel.alignment
    click(panel, "align", clean=5, corrupt=5)
    panel._job.wait(10)
    assert [5, 5] in panel.alignment
    assert [5, 6] not in panel.alignment
    click(panel, "unalign", corrupt=5)
    panel._job.wait(10)
    assert all(j != 5 for _, j in panel.alignment)
    click(panel, "reset_alignment")
    panel._job.wait(10)
    assert [5, 6] in panel.alignment


def test_empty_answer_and_foil_are_what_the_model_says(toy) -> None:
    panel = iw.Patching(toy, IOI, IOI_CORRUPT)
    panel.run()
    assert (panel.answer, panel.foil) == ("mary", "john")


def test_the_frame_follows_the_metric(patching) -> None:
    patching.metric = "probability"
    assert patching.frame["metric"].to_list() == patching.frame["probability"].to_list()


@pytest.mark.parametrize("text", ["the", "   ", "\n".join(["the cat sleeps ."] * 12)])
def test_odd_texts_have_a_designed_answer(make, text: str) -> None:
    panel = make(text)
    panel.run()
    assert panel.status["state"] == "done"
    assert len(panel.frame)


def test_a_text_beyond_the_model_says_how_far(make) -> None:
    panel = make("\n".join(["the cat sleeps ."] * 100))
    with pytest.raises(iw.errors.TextError, match="has 401 tokens and toy-grammar reads at most 64"):
        panel.run()
    assert "Shorten it by 337 tokens" in panel.error


def test_unknown_words_are_mentioned(make) -> None:
    panel = make("the zyzzyva sleeps")
    panel.run()
    assert any("does not know 1 of these words" in note for note in panel.notes)


def test_every_panel_works_on_modadd() -> None:
    model = iw.load("modadd-59")
    lens = iw.Lens(model, "12 30 =")
    lens.run()
    assert lens.frame.filter((pl.col("position") == 2) & (pl.col("rank") == 1))["token"].to_list() == ["42"]
    patching = iw.Patching(model, "12 30 =", "12 31 =")
    patching.run()
    assert (patching.answer, patching.foil) == ("42", "43")
    assert all(check["passed"] for check in patching.checks)


@pytest.mark.smollm2
@pytest.mark.slow
def test_a_thousand_tokens_on_smollm2(smollm2) -> None:
    model = iw.load("smollm2-135m")
    text = " word" * 1000
    lens = iw.Lens(model, text)
    lens.run()
    assert len(lens.tokens) == 1000
    assert lens.window == [872, 1000]
    assert len(lens.top_index) == 30 * 128 * 5 * 4
    atoms = iw.Atoms(model, text, sae=iw.load_sae("smollm2-135m/15-resid-4096"))
    atoms.run()
    assert len(atoms.active) == 1000


def test_a_sweep_shows_its_estimate_first_and_marks_what_is_left_of_it(toy, monkeypatch) -> None:
    """The estimate is there before any cell is computed, is attribution patching, and gives way cell by cell."""
    monkeypatch.setattr("interp_widgets.panels.jobs.QUIET", 0)
    seen = []
    panel = iw.Patching(toy)
    panel.observe(lambda change: seen.append((panel.estimate, panel.logit_difference)), "estimate")
    panel.clean, panel.corrupt, panel._tokens = IOI, IOI_CORRUPT, {"answer": "mary", "foil": "john"}
    panel.run()
    shape = (3, len(panel.layers), len(panel.corrupt_tokens))
    first, exact = (floats(raw, *shape) for raw in next(pair for pair in seen if pair[0]))
    assert np.isnan(exact[:, :, 10:]).all()
    frame = iw.methods.attribution_patching(
        toy, clean=IOI, corrupt=IOI_CORRUPT, answer="mary", foil="john", sites=panel.sites
    )
    assert first.flatten() == pytest.approx(frame["effect"].to_numpy(), abs=1e-4)
    assert panel.estimate == b"", "nothing is left of it"
    assert not np.isnan(floats(panel.logit_difference, *shape)).any()
