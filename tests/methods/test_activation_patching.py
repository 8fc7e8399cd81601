"""Patching against one hand-written PyTorch hook a cell, on every family."""

from __future__ import annotations

import importlib

import polars as pl
import pytest
import torch

from interp_widgets import frames, methods
from interp_widgets.errors import AlignmentError, Cancelled, SiteError, TextError
from interp_widgets.methods import activation_patching
from interp_widgets.methods.alignment import align

from .conftest import IOI, IOI_CORRUPT, tiny_session

SITES = ["resid_pre", "resid_post", "attn_out", "mlp_out"]


def by_hooks(model, clean: list[int], corrupt: list[int], pairs, kind: str, answer: int, foil: int) -> dict:
    """{(layer, corrupt position): logit difference} by one forward pass a cell, for Llama-shaped modules."""
    module = model.torch_module

    def where(layer: int):
        block = module.model.layers[layer]
        return {"attn_out": block.self_attn, "mlp_out": block.mlp}.get(kind, block)

    def run(ids, layer=None, change=None):
        handle = None
        if change is not None and kind == "resid_pre":
            handle = where(layer).register_forward_pre_hook(lambda m, args: (change(args[0]), *args[1:]))
        elif change is not None:
            handle = where(layer).register_forward_hook(
                lambda m, args, out: (change(out[0]), *out[1:]) if isinstance(out, tuple) else change(out)
            )
        with torch.no_grad():
            logits = module(torch.tensor([ids])).logits[0, -1].double()
        if handle:
            handle.remove()
        return float(logits[answer] - logits[foil])

    out = {}
    for layer in range(model.num_layers):
        seen = {}
        run(clean, layer, lambda x: seen.setdefault("x", x.clone()))  # noqa: B023
        for i, j in pairs:

            def put(x, i=i, j=j, seen=seen):
                x = x.clone()
                x[:, j] = seen["x"][:, i]
                return x

            out[layer, j] = run(corrupt, layer, put)
    return out


@pytest.fixture(scope="module")
def ioi(toy) -> pl.DataFrame:
    return methods.activation_patching(toy, clean=IOI, corrupt=IOI_CORRUPT, answer="mary", foil="john", sites=SITES)


@pytest.mark.parametrize("kind", SITES)
def test_every_cell_equals_a_hook(toy, ioi, kind: str) -> None:
    clean, corrupt = toy.encode(IOI), toy.encode(IOI_CORRUPT)
    expected = by_hooks(
        toy, clean, corrupt, align(clean, corrupt), kind, toy.single_token("mary"), toy.single_token("john")
    )
    rows = ioi.filter(pl.col("site").str.starts_with(kind + "."))
    assert len(rows) == len(expected) == toy.num_layers * len(corrupt)
    for row in rows.iter_rows(named=True):
        assert row["metric"] == pytest.approx(expected[row["layer"], row["position"]], abs=1e-4)


@pytest.mark.parametrize("kind", SITES)
@pytest.mark.parametrize("family", ["llama", "qwen3", "mistral"])
def test_every_cell_equals_a_hook_where_all_tokens_differ(family: str, kind: str) -> None:
    model = tiny_session(family)
    clean, corrupt = [3, 14, 15, 9, 26], [5, 35, 8, 9, 79]
    frame = methods.activation_patching(model, clean=clean, corrupt=corrupt, answer=11, foil=12, sites=[kind])
    expected = by_hooks(model, clean, corrupt, align(clean, corrupt), kind, 11, 12)
    found = {(row["layer"], row["position"]): row["metric"] for row in frame.iter_rows(named=True)}
    assert found == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize(
    "family", ["gpt2", "gpt_neox", "gemma2", "gemma3_text", "opt", "phi", "gptj", "mpt", "falcon", "qwen2"]
)
def test_on_every_family_whole_patches_restore_the_clean_run(family: str) -> None:
    """Patching the last layer's stream at the last position is the clean run itself, and attention cannot see the future."""
    model = tiny_session(family)
    clean, corrupt = [3, 14, 15, 9, 26], [3, 14, 8, 9, 79]
    frame = methods.activation_patching(
        model, clean=clean, corrupt=corrupt, answer=11, foil=12, sites=["resid_post", "attn_out"]
    )
    last = model.num_layers - 1
    cell = frame.filter((pl.col("site") == f"resid_post.{last}") & (pl.col("position") == 4)).row(0, named=True)
    assert cell["recovery"] == pytest.approx(1, abs=1e-4)
    assert frame.filter(pl.col("method") == "causal")["position"].unique().sort().to_list() == [0, 1]
    others = frame.filter((pl.col("site") == f"resid_post.{last}") & (pl.col("position") < 4))
    assert others["effect"].abs().max() < 1e-4


def test_longer_prompts_are_patched_where_they_are_paired(toy) -> None:
    clean, corrupt = "the keys to the cabinet", "the keys to the big old cabinet"
    ids = toy.encode(clean), toy.encode(corrupt)
    frame = methods.activation_patching(toy, clean=clean, corrupt=corrupt, answer="are", foil="is")
    assert frame["position"].unique().sort().to_list() == [j for _, j in align(*ids)]
    expected = by_hooks(toy, *ids, align(*ids), "resid_post", toy.single_token("are"), toy.single_token("is"))
    for row in frame.iter_rows(named=True):
        assert row["metric"] == pytest.approx(expected[row["layer"], row["position"]], abs=1e-4)


def test_pairs_by_hand_are_used(toy) -> None:
    frame = methods.activation_patching(
        toy, clean=IOI, corrupt=IOI_CORRUPT, answer="mary", foil="john", sites=["resid_post.0"], alignment=[(2, 11)]
    )
    assert frame.select("position", "source_position").rows() == [(11, 2)]
    expected = by_hooks(
        toy,
        toy.encode(IOI),
        toy.encode(IOI_CORRUPT),
        [(2, 11)],
        "resid_post",
        toy.single_token("mary"),
        toy.single_token("john"),
    )
    assert frame["metric"][0] == pytest.approx(expected[0, 11], abs=1e-4)


def test_the_same_prompt_gives_zero_everywhere_and_every_cell_is_computed(toy) -> None:
    frame = methods.activation_patching(toy, clean=IOI, corrupt=IOI, answer="mary", foil="john", sites=SITES)
    assert frame["method"].unique().to_list() == ["exact"]
    assert frame["effect"].abs().max() < 1e-4
    assert frame["recovery"].is_null().all()


def test_causal_zeros_are_what_computing_them_gives(toy, ioi) -> None:
    causal = ioi.filter(pl.col("method") == "causal")
    assert causal["position"].unique().sort().to_list() == list(range(10))
    assert (causal["effect"] == 0).all()
    clean, corrupt = toy.encode(IOI), toy.encode(IOI_CORRUPT)
    hooks = by_hooks(toy, clean, corrupt, [(5, 5)], "mlp_out", toy.single_token("mary"), toy.single_token("john"))
    base = methods.activation_patching(toy, clean=IOI, corrupt=IOI, answer="mary", foil="john", sites=["resid_post.0"])
    assert base["metric"][0] != pytest.approx(hooks[0, 5], abs=1)  # clean, not corrupt: the two runs do differ
    assert list(hooks.values()) == pytest.approx([causal["metric"][0]] * toy.num_layers, abs=1e-4)


def test_metric_probability_and_recovery(toy, ioi) -> None:
    frame = methods.activation_patching(
        toy, clean=IOI, corrupt=IOI_CORRUPT, answer="mary", foil="john", sites=SITES, metric="probability"
    )
    assert frame["metric"].to_list() == ioi["probability"].to_list()
    logits = {
        name: toy.read(text, ["logits"])["logits"][-1].double()
        for name, text in (("clean", IOI), ("corrupt", IOI_CORRUPT))
    }
    p = {name: float(x.softmax(-1)[toy.single_token("mary")]) for name, x in logits.items()}
    row = frame.row(-1, named=True)
    assert row["effect"] == pytest.approx(row["metric"] - p["corrupt"], abs=1e-6)
    assert row["recovery"] == pytest.approx(row["effect"] / (p["clean"] - p["corrupt"]), abs=1e-6)


def test_the_known_circuit_of_toy_grammar(ioi) -> None:
    """docs: the giver's second mention says who gives after layer 0, the end after layer 3; layers 2 and 3 bring it there."""
    cells = {(r["site"], r["position"]): r["recovery"] for r in ioi.iter_rows(named=True)}
    assert cells["attn_out.0", 10] == pytest.approx(0.9, abs=0.1)
    assert cells["resid_post.1", 10] == pytest.approx(0.9, abs=0.1)
    assert cells["resid_post.3", 14] == pytest.approx(1.0, abs=1e-5)
    assert abs(cells["resid_post.3", 10]) < 1e-5
    assert cells["attn_out.2", 14] > 0.1
    assert cells["attn_out.3", 14] > 0.1


def test_default_answer_and_foil_are_the_predictions(toy) -> None:
    run = activation_patching_module().prepare(toy, IOI, IOI_CORRUPT, None, None, ["resid_post.0"])
    assert (toy.text_of(run.answer), toy.text_of(run.foil)) == ("mary", "john")


def activation_patching_module():
    return importlib.import_module("interp_widgets.methods.activation_patching")


def frame_of(run) -> pl.DataFrame:
    return importlib.import_module("interp_widgets.methods.patching_run").patching_frame(run)


def test_partial_results_and_stopping_keep_what_is_done(toy) -> None:
    module = activation_patching_module()
    run = module.prepare(toy, IOI, IOI_CORRUPT, "mary", "john", ["resid_post", "attn_out"])

    def stop_at_three(done: int, total: int, message: str = "", partial: object = None) -> None:
        if done == 3:
            raise Cancelled("Stopped.")

    with pytest.raises(Cancelled):
        module.sweep(toy, run, first="attn_out", budget=1, progress=stop_at_three)
    done = frame_of(run).filter(pl.col("method") == "exact")
    assert done["site"].unique().sort().to_list() == [f"attn_out.{layer}" for layer in range(4)]
    assert done["position"].unique().sort().to_list() == [12, 13, 14], (
        "one column after the other, the cheap ones first"
    )
    module.sweep(toy, run)
    assert frame_of(run)["site"].n_unique() == 8


def test_cancelling_is_heard_between_layers(toy) -> None:
    module = activation_patching_module()
    run = module.prepare(toy, IOI, IOI_CORRUPT, "mary", "john", ["resid_post"])

    def stop(done: int, total: int, message: str = "", partial: object = None) -> None:
        if message == "resid_post, layer 2":
            raise Cancelled("Stopped.")

    with pytest.raises(Cancelled):
        module.sweep(toy, run, progress=stop)
    assert len(frame_of(run).filter(pl.col("method") == "exact")) == 0


def test_the_identity_check_can_fail(toy, monkeypatch) -> None:
    module = activation_patching_module()
    run = module.prepare(toy, IOI, IOI_CORRUPT, "mary", "john", ["attn_out"])
    module.sweep(toy, run)
    assert len(run.identity) == 9
    assert run.largest_identity <= 1e-4
    read_both = module.read_both

    def damaged(*arguments):
        source, reading = read_both(*arguments)
        for value in reading.own.values():
            value *= 1.5
        return source, reading

    monkeypatch.setattr(module, "read_both", damaged)
    broken = module.prepare(toy, IOI, IOI_CORRUPT, "mary", "john", ["attn_out"])
    module.sweep(toy, broken)
    assert broken.largest_identity > broken.tolerance


@pytest.fixture
def no_cache(monkeypatch) -> None:
    """A model that keeps no keys and values."""
    monkeypatch.setattr(importlib.import_module("interp_widgets.session.cache"), "keys_values", lambda past: [])


def test_row_by_row_gives_the_same(toy, ioi, no_cache) -> None:
    frame = methods.activation_patching(toy, clean=IOI, corrupt=IOI_CORRUPT, answer="mary", foil="john", sites=SITES)
    frame = frame.sort("site", "position")
    assert (frame["metric"] - ioi.sort("site", "position")["metric"]).abs().max() < 1e-4


def test_rows_are_split_when_they_are_too_many(toy, ioi, no_cache) -> None:
    frame = methods.activation_patching(
        toy, clean=IOI, corrupt=IOI_CORRUPT, answer="mary", foil="john", sites=SITES, memory=1
    )
    frame = frame.sort("site", "position")
    assert (frame["metric"] - ioi.sort("site", "position")["metric"]).abs().max() < 1e-4


@pytest.mark.parametrize(("budget", "memory"), [(1, 2**29), (9, 2**29), (1000, 2**29), (64, 1)])
def test_how_the_work_is_cut_changes_nothing(toy, ioi, budget: int, memory: int) -> None:
    module = activation_patching_module()
    run = module.prepare(toy, IOI, IOI_CORRUPT, "mary", "john", SITES)
    module.sweep(toy, run, budget=budget, memory=memory)
    frame = frame_of(run).sort("site", "position")
    assert (frame["metric"] - ioi.sort("site", "position")["metric"]).abs().max() < 1e-4


CONTINUED = ["llama", "qwen2", "qwen3", "mistral", "gpt2", "gpt_neox", "opt", "phi", "gptj", "falcon"]
ROW_BY_ROW = ["gemma2", "gemma3_text", "mpt"]
"""Layers with different windows, and position biases that only a plain mask can carry."""


@pytest.mark.parametrize("family", CONTINUED + ROW_BY_ROW)
def test_every_cell_of_every_family_and_site_equals_a_run_of_its_own(family: str) -> None:
    """One full forward pass a cell, edited in place: `tests/session` shows that such an edit is a plain hook."""
    model = tiny_session(family)
    clean, corrupt = [3, 14, 15, 9, 26, 7, 31], [5, 35, 8, 9, 79, 7, 31]
    kinds = [kind for kind in activation_patching_module().PATCHABLE if kind in model.architecture.taps]
    run = activation_patching_module().prepare(model, clean, corrupt, 11, 12, kinds)
    activation_patching_module().sweep(model, run, budget=12)
    assert run.largest_identity < 1e-4
    for row, site in enumerate([row[0] for row in run.rows]):
        value = model.read(clean, [site])[str(site)]
        for position in range(len(corrupt)):

            def put(x, position=position, value=value):
                x = x.clone()
                x[:, position] = value[position]
                return x

            logits = model.run([corrupt], ["logits"], edit={str(site): put})["logits"][0, -1].double()
            assert float(run.cells.logit_difference[row, position]) == pytest.approx(
                float(logits[11] - logits[12]), abs=1e-4
            )


@pytest.mark.parametrize("family", CONTINUED)
def test_families_that_are_swept_the_fast_way(family: str, monkeypatch) -> None:
    patched_runs = importlib.import_module("interp_widgets.methods.patched_runs")
    monkeypatch.setattr(patched_runs, "run", only_the_whole_check(patched_runs.run))
    model = tiny_session(family)
    kinds = ["resid_post", "attn_out", "mlp_out"]
    methods.activation_patching(
        model, clean=[3, 14, 15, 9, 26, 7], corrupt=[5, 35, 8, 9, 79, 7], answer=11, foil=12, sites=kinds
    )


def only_the_whole_check(run):
    """Runs of their own are for the check that patches a whole stream."""

    def inner(model, reading, patches, measure, continued=True, progress=None):
        assert len(patches) == 1, "swept row by row"
        return run(model, reading, patches, measure, continued)

    return inner


def test_no_more_is_run_than_a_patch_can_reach(toy) -> None:
    """Layers and tokens of every pass: the floor of an exact sweep, a check of 9 cells and of a whole stream, both prompts once."""
    work: list[int] = []
    handles = [
        layer.mlp.register_forward_hook(lambda m, args, out: work.append(args[0].shape[0] * args[0].shape[1]))
        for layer in toy.torch_module.model.layers
    ]
    methods.activation_patching(toy, clean=IOI, corrupt=IOI_CORRUPT, answer="mary", foil="john")
    for handle in handles:
        handle.remove()
    layers, length = toy.num_layers, len(toy.encode(IOI))
    suffixes = [length - p for p in range(10, 15)]  # the prompts are the same up to position 9
    floor = sum(layers - 1 - layer for layer in range(layers)) * sum(suffixes)
    check = sum(layers - 1 - layer for layer in (0, 2, 3)) * (suffixes[0] + suffixes[2] + suffixes[4])
    whole = (layers - 1 - 2) * length  # layer 2 is the middle
    readings = 2 * layers * length
    assert sum(work) == floor + check + whole + readings


def test_single_heads_and_neurons_can_be_patched(toy) -> None:
    frame = methods.activation_patching(
        toy,
        clean=IOI,
        corrupt=IOI_CORRUPT,
        answer="mary",
        foil="john",
        sites=["head_out.2.0", "head_out.2", "mlp_act.0"],
    )
    one, all_heads = (
        frame.filter(pl.col("site") == s).sort("position")["effect"] for s in ("head_out.2.0", "head_out.2")
    )
    whole = methods.activation_patching(
        toy, clean=IOI, corrupt=IOI_CORRUPT, answer="mary", foil="john", sites=["attn_out.2"]
    )
    assert (all_heads - whole.sort("position")["effect"]).abs().max() < 1e-4
    assert one.abs().max() > 0.1


def test_predictions_of_cells(toy) -> None:
    module = activation_patching_module()
    run = module.prepare(toy, IOI, IOI_CORRUPT, "mary", "john", ["resid_post"])
    module.sweep(toy, run)
    frame = methods.predictions(toy, run, [("resid_post.3", 14)])
    frames.check(frame, frames.PREDICTIONS)
    first = frame.filter(pl.col("rank") == 1)
    assert dict(zip(first["run"], first["token"], strict=True)) == {
        "clean": "mary",
        "corrupt": "john",
        "resid_post.3@14": "mary",
    }


def test_bad_requests_get_a_sentence(toy) -> None:
    def patch(**changes):
        return methods.activation_patching(
            toy, **{"clean": IOI, "corrupt": IOI_CORRUPT, "answer": "mary", "foil": "john", **changes}
        )

    with pytest.raises(TextError, match="not a metric"):
        patch(metric="accuracy")
    with pytest.raises(TextError, match="two different tokens"):
        patch(foil="mary")
    with pytest.raises(TextError, match="answer 'mary john' must be exactly one token"):
        patch(answer="mary john")
    with pytest.raises(SiteError, match="cannot be patched"):
        patch(sites=["pattern"])
    with pytest.raises(SiteError, match="layers 0 to 3"):
        patch(sites=["resid_post.7"])
    with pytest.raises(AlignmentError, match="no partner"):
        patch(alignment=[(0, 0)], positions=[3])


@pytest.mark.smollm2
@pytest.mark.slow
def test_on_smollm2_cells_equal_hooks(smollm2) -> None:
    import interp_widgets as iw

    model = iw.load("smollm2-135m")
    clean = "When Mary and John went to the store, John gave a drink to"
    corrupt = "When Mary and John went to the store, Mary gave a drink to"
    sites = [f"{kind}.{layer}" for kind in ("resid_post", "attn_out", "mlp_out") for layer in (0, 21)]
    frame = activation_patching(model, clean=clean, corrupt=corrupt, answer=" Mary", foil=" John", sites=sites)
    ids = model.encode(clean), model.encode(corrupt)
    blocks = model.torch_module.model.layers
    for row in frame.filter((pl.col("method") == "exact") & pl.col("position").is_in([9, 13])).iter_rows(named=True):
        kind, block = row["site"].split(".")[0], blocks[row["layer"]]
        target = {"attn_out": block.self_attn, "mlp_out": block.mlp}.get(kind, block)
        seen = {}

        def keep(module, args, out, seen=seen):
            seen["x"] = out[0] if isinstance(out, tuple) else out

        def put(module, args, out, seen=seen, at=row["position"]):
            x = (out[0] if isinstance(out, tuple) else out).clone()
            x[:, at] = seen["x"][:, at]
            return (x, *out[1:]) if isinstance(out, tuple) else x

        for ids_, hook in ((ids[0], keep), (ids[1], put)):
            handle = target.register_forward_hook(hook)
            with torch.no_grad():
                logits = model.torch_module(torch.tensor([ids_])).logits[0, -1]
            handle.remove()
        expected = float(logits[model.single_token(" Mary")] - logits[model.single_token(" John")])
        assert row["metric"] == pytest.approx(expected, abs=1e-4)
