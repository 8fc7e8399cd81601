"""What every panel owes: one result in all its forms."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import ipywidgets
import polars as pl
import pytest

import interp_widgets as iw
from interp_widgets import frames, methods
from tests.methods.conftest import IOI, IOI_CORRUPT

from .conftest import STEERED, TEXT, click


@pytest.fixture(params=["lens", "atoms", "attention", "patching", "many", "circuit", "shift", "explorer", "agreement"])
def panel(request):
    """Everything that owes the contract, also what shows other panels and has no job of its own."""
    return request.getfixturevalue(request.param)


COMPARE = """
import runpy, sys, warnings
import polars as pl
import torch
torch.set_num_threads(1)
made = runpy.run_path(sys.argv[1])["frame"]
expected = pl.read_parquet(sys.argv[2])
if len(sys.argv) > 4:  # the script makes a part of the frame
    expected = expected.filter(pl.col("source") == "all").join(made, on=["dictionary", "quantity"], how="semi")
    expected = expected.select(made.columns)
assert made.schema == expected.schema, (made.schema, expected.schema)
assert made.height == expected.height, (made.height, expected.height)
key = ["dictionary", "quantity"] if len(sys.argv) > 4 else []
known = ("direction", "seed", "strength", "site", "layer", "head", "position", "key_position", "rank", "atom")
key += [c for c in known if c in made.columns]
made, expected = made.sort(key), expected.sort(key)
for name in made.columns:
    if made.schema[name] == pl.Float64:
        assert made[name].is_null().equals(expected[name].is_null()), name
        wrong = ((made[name] - expected[name]).abs() > 1e-5 * (1 + expected[name].abs())).sum()
        assert wrong == 0, (name, wrong)
    else:
        assert made[name].equals(expected[name]), name
if len(sys.argv) > 3:
    assert "interp_widgets" not in sys.modules
"""


def run_code(panel, folder: Path, *, alone: bool = True) -> None:
    (folder / "script.py").write_text(panel.code(), encoding="utf-8")
    panel.frame.write_parquet(folder / "expected.parquet")
    (folder / "compare.py").write_text(COMPARE)
    arguments = ["compare.py", "script.py", "expected.parquet", *(["alone"] if alone else [])]
    arguments += ["part"] if isinstance(panel, iw.Audit) else []
    done = subprocess.run([sys.executable, *arguments], cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]


def test_frames_equal_the_methods(
    toy, toy_half, toy_sae, lens, atoms, attention, patching, steering, agreement
) -> None:
    assert agreement.frame.equals(methods.agreement(toy, toy_half, IOI))
    assert agreement.predictions.equals(methods.agreement_tokens(toy, toy_half, IOI))
    assert agreement.totals.equals(methods.agreement_summary(agreement.frame))
    assert steering.frame.equals(methods.steer(toy, STEERED, direction=(toy_sae, 122), tokens=5))
    assert steering.texts.equals(methods.steered_text(toy, STEERED, direction=(toy_sae, 122), tokens=5))
    assert lens.frame.equals(methods.logit_lens(toy, IOI, track="mary"))
    assert atoms.frame.equals(methods.atom_activations(toy, TEXT, sae=toy_sae))
    assert atoms.reconstruction.equals(methods.reconstruction(toy, TEXT, sae=toy_sae))
    [layer, head] = attention.head
    assert attention.frame.equals(methods.attention(toy, IOI, layers=[layer], heads=[head]))
    assert attention.heads.equals(methods.head_scores(toy, IOI))
    expected = methods.activation_patching(
        toy, clean=IOI, corrupt=IOI_CORRUPT, answer="mary", foil="john", sites=["resid_post", "attn_out", "mlp_out"]
    )
    assert patching.frame.equals(expected)


def test_the_frames_have_their_schemas(lens, atoms, attention, patching, audit, agreement) -> None:
    frames.check(agreement.frame, frames.AGREEMENT)
    frames.check(agreement.predictions, frames.AGREEMENT_TOKENS)
    frames.check(agreement.totals, frames.AGREEMENT_SUMMARY)
    frames.check(lens.frame, frames.LENS)
    frames.check(atoms.frame, frames.ATOMS)
    frames.check(atoms.reconstruction, frames.RECONSTRUCTION)
    frames.check(attention.frame, frames.ATTENTION)
    frames.check(attention.heads, frames.HEADS)
    frames.check(patching.frame, frames.PATCHING)
    frames.check(patching.predictions, frames.PREDICTIONS)
    frames.check(audit.frame, frames.AUDIT)
    frames.check(audit.faithfulness, frames.FAITHFULNESS)


@pytest.mark.slow
def test_code_makes_the_same_frame_in_a_clean_process(panel, tmp_path) -> None:
    run_code(panel, tmp_path)


@pytest.mark.slow
def test_code_follows_the_state(toy, tmp_path) -> None:
    lens = iw.Lens(toy, TEXT, top_k=3, track="cabinet")
    lens.run()
    run_code(lens, tmp_path)
    patching = iw.Patching(toy, IOI, IOI_CORRUPT.replace("store", "big store"), "mary", "john", metric="probability")
    patching.run()
    run_code(patching, tmp_path)
    attention = iw.Attention(toy, TEXT, value_weighted=True)
    attention.run()
    attention.select(layer=3, head=1)
    attention.query_range, attention.key_range = [2, 8], [1, 6]
    run_code(attention, tmp_path)
    every = iw.Patching(toy, IOI, IOI_CORRUPT, sites=("resid_mid", "resid_pre", "mlp_out", "head_out", "mlp_act"))
    every.run()
    run_code(every, tmp_path)


@pytest.mark.slow
def test_code_of_the_modular_addition_model(tmp_path) -> None:
    lens = iw.Lens(iw.load("modadd-59"), "12 30 =")
    lens.run()
    run_code(lens, tmp_path, alone=False)


def test_run_may_be_called_again_and_gives_the_same(panel) -> None:
    before = panel.frame
    panel.run()
    assert panel.frame.equals(before)


def test_creation_returns_at_once_and_the_frame_waits(toy, toy_sae) -> None:
    with toy._lock:  # the model is busy elsewhere
        began = time.monotonic()
        panel = iw.Atoms(toy, TEXT, sae=toy_sae)
        assert time.monotonic() - began < 0.5
        assert panel.status["state"] == "running"
    assert len(panel.frame)
    panel.run()
    assert panel.status["state"] == "done"


def test_provenance_says_what_the_result_rests_on(panel) -> None:
    said = panel.provenance
    json.dumps(said)
    for key in (
        "model",
        "revision",
        "weights_sha256",
        "dtype",
        "device",
        "backend",
        "versions",
        "seed",
        "seconds",
        "access",
        "time",
    ):
        assert key in said
    assert said["model"] == "toy-grammar"
    assert len(said["weights_sha256"]) == 64
    assert {"interp_widgets", "torch", "nnsight", "transformers"} <= set(said["versions"])


def test_provenance_of_atoms_names_the_dictionary(atoms) -> None:
    assert atoms.provenance["sae"] == "toy-grammar/resid_post.2"
    assert len(atoms.provenance["sae_origin"]["sha256"]) == 64


def test_charts_are_altair_charts_of_the_frame(panel) -> None:
    chart = panel.chart.to_dict()
    assert chart["$schema"].endswith("v6.4.1.json") or "vega-lite" in chart["$schema"]
    marks = {layer["mark"]["type"] for layer in chart.get("layer", [chart])}
    assert marks <= {"rect", "bar", "area", "line", "text", "rule", "point"}


def test_a_page_is_written(panel, tmp_path) -> None:
    path = panel.to_html(tmp_path / "page.html")
    text = path.read_text(encoding="utf-8")
    assert 10_000 < len(text.encode()) < (600_000 if isinstance(panel, iw.Explorer) else 400_000)
    assert "toy-grammar" in text
    assert "http://" not in text.replace("http://www.w3.org", "")
    assert "https://" not in text


def test_selection_is_a_part_of_the_frame(lens, atoms, attention, patching) -> None:
    assert lens.selection.is_empty()
    lens.select(position=(2, 4))
    assert lens.positions == [2, 3, 4]
    assert lens.selection["position"].unique().sort().to_list() == [2, 3, 4]
    lens.select(position=14, layer=3)
    assert lens.cell == [3, 14]
    assert lens.selection["rank"].to_list() == [1, 2, 3, 4, 5]
    lens.select()
    assert (lens.positions, lens.cell) == ([], [])

    atoms.select(position=3)
    assert atoms.selection["position"].unique().to_list() == [3]
    strongest = atoms.selection["atom"][0]
    atoms.select(atom=strongest)
    assert atoms.selection["atom"].unique().to_list() == [strongest]
    assert atoms.pinned == [strongest]

    assert attention.selection.is_empty()
    attention.select(position=(3, 4), layer=2, head=1)
    assert attention.selection["position"].to_list() == [3] * 4 + [4] * 5
    assert attention.selection["layer"].unique().to_list() == [2]
    attention.select(position=4, key=2)
    assert attention.selection.select("layer", "head", "position", "key_position").rows() == [(2, 1, 4, 2)]
    attention.select()
    assert (attention.positions, attention.key_positions, attention.head) == ([], [], [2, 1])

    patching.select(position=14, site="attn_out", layer=2)
    assert patching.selection["site"].to_list() == ["attn_out.2"]
    assert patching.predictions["run"].unique(maintain_order=True).to_list() == ["clean", "corrupt", "attn_out.2@14"]


def test_selecting_what_is_not_there_gets_a_sentence(lens, atoms, attention, patching) -> None:
    with pytest.raises(iw.errors.TextError, match="positions 0 to 14"):
        lens.select(position=15)
    with pytest.raises(iw.errors.SiteError, match="layers are 0 to 3"):
        lens.select(position=1, layer=4)
    with pytest.raises(iw.errors.DictionaryError, match="atoms 0 to 383"):
        atoms.select(atom=384)
    with pytest.raises(iw.errors.SiteError, match="layers 0 to 3 with heads 0 to 3"):
        attention.select(layer=3, head=4)
    with pytest.raises(iw.errors.TextError, match="positions 0 to 14"):
        attention.select(key=15)
    with pytest.raises(iw.errors.SiteError, match="not in the grid"):
        patching.select(position=1, site="mlp_act", layer=0)


def test_linked_panels_follow_each_other_without_an_echo(toy, toy_sae) -> None:
    one, two = iw.Lens(toy, TEXT), iw.Atoms(toy, TEXT, sae=toy_sae)
    one.run()
    two.run()
    seen: list[tuple[str, list[int]]] = []
    one.observe(lambda change: seen.append(("lens", change.new)), "positions")
    two.observe(lambda change: seen.append(("atoms", change.new)), "positions")
    ipywidgets.link((one, "positions"), (two, "positions"))
    one.set_state({"positions": [3, 4]})  # as the browser does
    assert (one.positions, two.positions) == ([3, 4], [3, 4])
    two.select(position=1)
    assert one.positions == [1]
    assert seen == [("lens", [3, 4]), ("atoms", [3, 4]), ("atoms", [1]), ("lens", [1])]


def test_a_linked_panel_with_a_shorter_text_keeps_quiet(toy, toy_sae) -> None:
    long, short = iw.Lens(toy, IOI), iw.Atoms(toy, "the cat", sae=toy_sae)
    long.run()
    short.run()
    ipywidgets.link((long, "positions"), (short, "positions"))
    long.select(position=12)
    assert long.positions == [12]
    assert short.selection.is_empty()


def test_unknown_arguments_are_refused(toy) -> None:
    with pytest.raises(TypeError):
        iw.Lens(toy, IOI, colour="rank")
    from interp_widgets.widgets.lens import LensWidget

    with pytest.raises(TypeError, match="no trait named bogus"):
        LensWidget(bogus=1)


def test_the_lens_sends_little(toy) -> None:
    """50 tokens: what goes over the wire beside the code."""
    text = " ".join((IOI.split() * 4)[:49])
    lens = iw.Lens(toy, text)
    lens.run()
    state = lens.get_state()
    size = sum(
        len(v) if isinstance(v, (bytes, str)) else len(json.dumps(v)) for k, v in state.items() if not k.startswith("_")
    )
    assert len(lens.tokens) == 50
    assert size < 60_000


@pytest.mark.smollm2
def test_on_smollm2_50_tokens_send_at_most_300_kb(smollm2, tmp_path) -> None:
    model = iw.load("smollm2-135m")
    text = "The quick brown fox jumps over the lazy dog, and then the tired dog sleeps under the old tree. " * 3
    ids = model.encode(text)[:50]
    lens = iw.Lens(model, "".join(model.text_of(i) for i in ids))
    lens.run()
    assert len(lens.tokens) == 50
    sizes = {k: len(v) if isinstance(v, (bytes, str)) else len(json.dumps(v)) for k, v in lens.get_state().items()}
    assert sum(sizes.values()) < 300_000, sizes
    assert lens.to_html(tmp_path / "lens.html").stat().st_size < 400_000


def test_an_answer_with_the_wrong_number_of_tokens_says_so_in_the_panel(toy) -> None:
    panel = iw.Patching(toy, IOI, IOI_CORRUPT, answer="mary john", foil="john")
    with pytest.raises(iw.errors.TextError, match="exactly one token"):
        panel.run()
    assert "exactly one token" in panel.error
    with pytest.raises(iw.errors.InterpError, match="exactly one token"):
        _ = panel.frame


def test_clicks_reach_the_frame(lens) -> None:
    click(lens, "run", text=TEXT)
    lens.run()
    assert lens.text == TEXT
    assert (
        lens.frame.filter((pl.col("layer") == 0) & (pl.col("rank") == 1)).sort("position")["prompt_token"].to_list()[1]
        == "the"
    )
