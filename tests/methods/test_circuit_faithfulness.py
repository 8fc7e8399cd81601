"""Circuits kept alone: against plain hooks, exact where all or nothing is kept, and what cannot be asked."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import polars as pl
import pytest
import torch

import interp_widgets as iw
from interp_widgets import frames
from interp_widgets.errors import AlignmentError, DictionaryError, FrameError, TextError
from interp_widgets.frames.circuits import Node
from interp_widgets.methods.circuits import kept as keeping
from interp_widgets.methods.circuits.order import order_of
from interp_widgets.methods.circuits.prompts import prompts_of

from .circuit_hooks import (
    CLEAN,
    CORRUPT,
    FAMILIES,
    PAIRS,
    Change,
    activations,
    all_nodes,
    by_hand,
    hooked,
    mean,
    membership,
    node_frame,
    random_nodes,
    some_dictionaries,
)  # fmt: skip
from .conftest import tiny_session


@pytest.mark.parametrize("errors", ["nodes", "kept", "removed"])
@pytest.mark.parametrize("positions", [(None,), (1, 2, 3, 4)], ids=["summed", "apart"])
@pytest.mark.parametrize("family", list(FAMILIES))
def test_a_circuit_alone_is_what_plain_hooks_make_of_it(family, positions, errors) -> None:
    model = tiny_session(family)
    saes = some_dictionaries(model, FAMILIES[family])
    nodes = random_nodes(saes, positions)
    sizes = [1, len(nodes) // 3, 2 * len(nodes) // 3]
    found = iw.methods.circuit_faithfulness(model, nodes=nodes, **PAIRS, dictionaries=saes, sizes=sizes, errors=errors)
    nothing = mean(by_hand(model, family, saes, membership(nodes, 0, errors, inside=True)))
    whole = mean([float(hooked(model, ids, family, {})[a].mean() - hooked(model, ids, family, {})[f].mean())
                  for ids, a, f in zip(CLEAN, PAIRS["answer"], PAIRS["foil"], strict=True)])  # fmt: skip
    assert found["nodes"][:-1].to_list() == [0, *sizes]
    for row in found.iter_rows(named=True):
        alone = mean(by_hand(model, family, saes, membership(nodes, row["nodes"], errors, inside=True)))
        without = mean(by_hand(model, family, saes, membership(nodes, row["nodes"], errors, inside=False)))
        assert row["metric"] == pytest.approx(alone, abs=2e-5)
        assert row["without"] == pytest.approx(without, abs=2e-5)
        assert row["faithfulness"] == pytest.approx((alone - nothing) / (whole - nothing), rel=1e-3, abs=1e-3)
        assert row["completeness"] == pytest.approx((without - nothing) / (whole - nothing), rel=1e-3, abs=1e-3)
        assert row["error_nodes"] == errors


@pytest.mark.parametrize("errors", ["nodes", "kept"])
@pytest.mark.parametrize("family", ["llama", "gpt2", "gpt_neox", "gemma2", "falcon"])
def test_all_nodes_are_the_model_and_none_is_nothing_to_the_bit(family, errors) -> None:
    model = tiny_session(family)
    saes = some_dictionaries(model, ["embed", "attn_out.0", "mlp_out.0", "resid_post.0", "attn_out.1", "resid_post.1"])
    nodes = random_nodes(saes)
    found = iw.methods.circuit_faithfulness(model, nodes=nodes, **PAIRS, dictionaries=saes, errors=errors)
    frames.check(found, frames.CIRCUIT_FAITHFULNESS)
    shares = ["faithfulness", "low", "high", "completeness", "completeness_low", "completeness_high"]
    assert found[0].select(shares).row(0) == (0.0, 0.0, 0.0, 1.0, 1.0, 1.0)
    assert found[-1].select(shares).row(0) == (1.0, 1.0, 1.0, 0.0, 0.0, 0.0)
    assert found["nodes"][0] == 0
    assert found["threshold"][0] is None
    assert found["nodes"][-1] == sum(sae.width + (errors == "nodes") for sae in saes.values())


def test_the_last_node_makes_no_jump() -> None:
    """That all nodes are the model is not by decree alone: the masks agree up to a node whose mean is its value."""
    model = tiny_session("llama")
    saes = some_dictionaries(model, FAMILIES["llama"])
    silent = replace(saes["mlp_out.1"], b_enc=torch.full((saes["mlp_out.1"].width,), -1e3))
    saes["mlp_out.1"] = silent
    nodes = random_nodes(saes)
    nodes = nodes.filter(nodes["node"] != "mlp_out.1/0")
    found = iw.methods.circuit_faithfulness(
        model, nodes=nodes, **PAIRS, dictionaries=saes, sizes=[len(nodes) - 1, len(nodes)]
    )
    assert found["nodes"].to_list() == [0, len(nodes) - 1, len(nodes), len(nodes) + 1]
    assert found["faithfulness"][2] == pytest.approx(1, abs=1e-4)
    assert found["completeness"][2] == pytest.approx(0, abs=1e-4)
    assert abs(found["faithfulness"][1] - 1) > 1e-3


def test_what_is_all_kept_is_not_touched_and_what_is_not_is_its_mean() -> None:
    model = tiny_session("llama")
    saes = some_dictionaries(model, ["resid_post.0"])
    ranked = order_of(random_nodes(saes), saes, errors=True, order="effect")
    (batch,) = prompts_of(model, **PAIRS).batches
    x = torch.randn(3, 5, model.width)
    means = keeping._means(model, batch, None, saes)
    rows = keeping.Rows(torch.tensor([0, 0, 4]), torch.tensor([True, False, False]), batch.counted, "nodes")
    y = keeping._edit("resid_post.0", saes, ranked.sites["resid_post.0"], means, rows)(x)
    assert torch.equal(y[0], x[0])
    assert torch.equal(y[1, 1:], means.whole["resid_post.0"][1:])
    assert torch.equal(y[:, 0], x[:, 0]), "the marker is left alone"
    assert not torch.equal(y[2, 1:], means.whole["resid_post.0"][1:])


def test_intact_layers_are_left_alone_and_embed_with_them() -> None:
    model = tiny_session("llama")
    saes = some_dictionaries(model, FAMILIES["llama"])
    late = {site: sae for site, sae in saes.items() if site.endswith(".1")}
    nodes = random_nodes(saes)
    found, expected = (
        iw.methods.circuit_faithfulness(model, nodes=some, **PAIRS, dictionaries=given, sizes=[5, 9], intact=intact)
        for some, given, intact in ((nodes, saes, 1), (nodes.filter(pl.col("layer") == 1), late, 0))
    )
    assert found.equals(expected)
    alone = by_hand(model, "llama", late, membership(nodes.filter(pl.col("layer") == 1), 9, "nodes", inside=True))
    assert found["metric"][2] == pytest.approx(mean(alone), abs=2e-5)
    with pytest.raises(TextError, match="No site is left"):
        iw.methods.circuit_faithfulness(model, nodes=nodes, **PAIRS, dictionaries=saes, intact=2)


def test_prompts_of_several_lengths_have_means_of_their_own_length() -> None:
    model = tiny_session("llama")
    saes = some_dictionaries(model, FAMILIES["llama"])
    nodes = random_nodes(saes)
    short = {"clean": [[1, 40, 41], [1, 42, 43]], "corrupt": [[1, 44, 41], [1, 45, 43]]}
    both = {
        "clean": [CLEAN[0], short["clean"][0], *CLEAN[1:], short["clean"][1]],
        "corrupt": [CORRUPT[0], short["corrupt"][0], *CORRUPT[1:], short["corrupt"][1]],
    }
    ask: dict[str, Any] = {"nodes": nodes, "dictionaries": saes, "sizes": [12], "answer": 20, "foil": 30}
    found, long, small = (
        iw.methods.circuit_faithfulness(model, clean=each["clean"], corrupt=each["corrupt"], **ask)
        for each in (both, PAIRS, short)
    )
    for name in ("metric", "without"):
        expected = (3 * long[name] + 2 * small[name]) / 5
        assert found[name].to_list() == pytest.approx(expected.to_list(), abs=1e-5)
    with pytest.raises(TextError, match="several lengths"):
        iw.methods.circuit_faithfulness(model, **both, **{**ask, "nodes": random_nodes(saes, (1, 2))})


def test_means_come_from_other_prompts_or_are_zero() -> None:
    model = tiny_session("llama")
    saes = some_dictionaries(model, FAMILIES["llama"])
    nodes = random_nodes(saes)
    more = [[1, 50, 51, 52, 53], [1, 60, 61, 62, 63]]
    ask: dict[str, Any] = {"nodes": nodes, "dictionaries": saes, "sizes": [20], "clean": CLEAN}
    told = {"answer": PAIRS["answer"], "foil": PAIRS["foil"]}
    for given, sources in (({"corrupt": CORRUPT, "means": more}, more), ({"corrupt": None}, None)):
        found = iw.methods.circuit_faithfulness(model, **ask, **given, **told)
        alone = by_hand(model, "llama", saes, membership(nodes, 20, "nodes", inside=True), sources=sources)
        assert found["metric"][1] == pytest.approx(mean(alone), abs=2e-5)
    with pytest.raises(AlignmentError, match="no prompt of 5 tokens"):
        iw.methods.circuit_faithfulness(model, **ask, corrupt=CORRUPT, means=[[1, 2, 3]])


def test_nodes_of_coordinates_are_the_activations_themselves() -> None:
    model = tiny_session("llama")
    saes = {site: iw.sae.baselines.coordinates(model, site) for site in FAMILIES["llama"]}
    nodes = node_frame(
        found := [node for node in all_nodes(saes) if node.atom is not None],
        torch.randn(len(found), generator=torch.Generator().manual_seed(1)).tolist(),
    )
    found_frame = iw.methods.circuit_faithfulness(
        model, nodes=nodes, **PAIRS, dictionaries=saes, sizes=[40, len(nodes)]
    )
    assert found_frame["nodes"].to_list() == [0, 40, len(nodes)], "coordinates have no errors"
    means = [activations(model, ids, "llama", list(saes)) for ids in CORRUPT]
    names = set(nodes["node"][:40])
    held = {
        site: torch.tensor([f"{site}/{atom}" not in names for atom in range(sae.width)]) for site, sae in saes.items()
    }

    def altered(site: str) -> Change:
        average = torch.stack([values[site] for values in means]).mean(0)

        def change(x: torch.Tensor) -> torch.Tensor:
            y = torch.where(held[site], average, x)
            y[0] = x[0]
            return y

        return change

    metrics = []
    for ids, answer, foil in zip(CLEAN, PAIRS["answer"], PAIRS["foil"], strict=True):
        logits = hooked(model, ids, "llama", {site: altered(site) for site in saes})
        metrics.append(float(logits[answer].mean() - logits[foil].mean()))
    assert found_frame["metric"][1] == pytest.approx(mean(metrics), abs=2e-5)


def test_orders_sizes_and_thresholds() -> None:
    nodes = node_frame(
        [Node("resid_post.0", 0, None), Node("resid_post.0", 1, None), Node("attn_out.1", None, None),
         Node("resid_post.0", 2, None), Node("attn_out.1", 3, None)], [-5.0, 4.0, 3.0, -2.0, 1.0],
    )  # fmt: skip
    sites = ["resid_post.0", "attn_out.1"]
    turns = order_of(nodes, sites, errors=True, order="turns")
    assert turns.effects.tolist() == [5.0, 3.0, 4.0, 1.0, 2.0]
    assert turns.sites["resid_post.0"].rank.tolist() == [0, 2, 4]
    assert turns.sites["attn_out.1"].atom.tolist() == [-1, 3]
    assert turns.threshold(4) == 1.0
    assert order_of(nodes, sites, errors=False, order="effect").effects.tolist() == [5.0, 4.0, 2.0, 1.0]
    model = tiny_session("llama")
    saes = some_dictionaries(model, sites)
    ask: dict[str, Any] = {"nodes": nodes, **PAIRS, "dictionaries": saes}
    found = iw.methods.circuit_faithfulness(model, **ask, thresholds=[3.0, 1.5, 10.0])
    assert found["nodes"].to_list()[:-1] == [0, 3, 4]
    assert found["threshold"].to_list() == [None, 3.0, 2.0, 0.0]
    assert found.equals(iw.methods.circuit_faithfulness(model, **ask, sizes=[4, 3]))
    whole = iw.methods.circuit_faithfulness(model, **ask)
    assert whole["nodes"].to_list() == [0, 1, 2, 3, 4, 5, sum(sae.width + 1 for sae in saes.values())]
    one = {**ask, "clean": CLEAN[:1], "corrupt": CORRUPT[:1], "answer": 20, "foil": 30}
    assert iw.methods.circuit_faithfulness(model, **one)["low"].null_count() == 7
    same = {**ask, "corrupt": CLEAN[:1], "clean": CLEAN[:1], "answer": 20, "foil": 30}
    assert iw.methods.circuit_faithfulness(model, **same)["faithfulness"].null_count() == 7, "nothing is lost"


@pytest.mark.parametrize(
    ("more", "error", "says"),
    [
        ({"errors": "some"}, TextError, "errors are"),
        ({"order": "random"}, TextError, "order of nodes"),
        ({"sizes": [99]}, TextError, "circuit of 99"),
        ({"sizes": [1], "thresholds": [1.0]}, TextError, "not both"),
        ({"order": "turns", "thresholds": [1.0]}, TextError, "Give sizes"),
        ({"nodes": pl.DataFrame({"node": ["x"]})}, FrameError, "missing"),
        ({"dictionaries": "coordinates"}, DictionaryError, "mlp_act.0"),
    ],
)
def test_what_cannot_be_is_a_sentence(more, error, says) -> None:
    model = tiny_session("llama")
    saes = some_dictionaries(model, ["mlp_act.0"])
    ask: dict[str, Any] = {"nodes": random_nodes(saes), **PAIRS, "dictionaries": saes, **more}
    with pytest.raises(error, match=says):
        iw.methods.circuit_faithfulness(model, **ask)


def test_dictionaries_named_by_a_text_give_the_same_and_the_curve_grows(toy, monkeypatch) -> None:
    monkeypatch.setattr(keeping, "TOKENS_AT_ONCE", 16)
    named = {"resid_post.1": "toy-grammar/resid_post.1", "mlp_out.2": "toy-grammar/mlp_out.2"}
    pair = {"clean": "the boy near the keys", "corrupt": "the boys near the keys", "answer": "is", "foil": "are"}
    nodes = random_nodes({site: iw.load_sae(name) for site, name in named.items()})
    heard: list[pl.DataFrame] = []

    def progress(done: int, total: int, message: str = "", partial: Any = None) -> None:
        if partial is not None:
            heard.append(partial)

    ask: dict[str, Any] = {"nodes": nodes, **pair, "sizes": [5, 50, 500]}
    found = iw.methods.circuit_faithfulness(toy, **ask, dictionaries=named, progress=progress)
    loaded = {site: iw.load_sae(name) for site, name in named.items()}
    assert found.equals(iw.methods.circuit_faithfulness(toy, **ask, dictionaries=loaded))
    assert len(heard) > 1
    for partial in heard:
        assert partial.equals(found.filter(pl.col("nodes").is_in(partial["nodes"].implode())))
