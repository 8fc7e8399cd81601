"""Node effects: against the paper's splicing by plain hooks, against runs of single nodes, and where theory says what they are."""

from __future__ import annotations

import runpy
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
import polars as pl
import pytest
import torch
from polars.testing import assert_frame_equal

import interp_widgets as iw
from interp_widgets import frames
from interp_widgets.errors import AlignmentError, Cancelled, DictionaryError, TextError
from interp_widgets.methods import circuit, circuit_check
from interp_widgets.methods.circuits import reading
from interp_widgets.methods.circuits.dictionaries import dictionaries_of
from interp_widgets.methods.circuits.nodes import METHODS, run_circuit
from interp_widgets.methods.circuits.prompts import prompts_of
from interp_widgets.methods.pair_statistics import student
from interp_widgets.sae.dictionary import Dictionary, GroupMax, JumpReLU, ReLU, TopK
from interp_widgets.session import scripts
from interp_widgets.session.load import load

from ..session import tiny
from . import brute
from .conftest import IOI, IOI_CORRUPT, tiny_session
from .paper_circuits import attribution, spliced

PAIR = {"clean": IOI, "corrupt": IOI_CORRUPT, "answer": "mary", "foil": "john"}
EVERY = ("embed", *(f"{kind}.{layer}" for layer in range(4) for kind in ("attn_out", "mlp_out", "resid_post")))
IDS, OTHER = [3, 14, 15, 9, 26, 7], [3, 14, 31, 9, 26, 7]
TINY = {"clean": IDS, "corrupt": OTHER, "answer": 11, "foil": 12}


def loaded(*sites: str) -> dict[str, Dictionary]:
    return {site: iw.load_sae(f"toy-grammar/{site}") for site in sites}


def random(
    kind: type[Dictionary], site: str, size: int = tiny.WIDTH, width: int = 48, seed: int = 0, **more
) -> Dictionary:
    generator = torch.Generator().manual_seed(seed)
    encoder, decoder = (torch.randn(*shape, generator=generator) for shape in ((size, width), (width, size)))
    bias, center = torch.randn(width, generator=generator) * 0.1, torch.randn(size, generator=generator) * 0.1
    return kind("random", site, encoder / size**0.5, bias, decoder / width**0.5, center, **more)


def effects_of(frame: pl.DataFrame) -> dict[str, float]:
    return dict(zip(frame["node"], frame["effect"], strict=True))


def same_as(frame: pl.DataFrame, nodes: dict[str, tuple[torch.Tensor, torch.Tensor]], counted: range) -> None:
    """Each row is the number found otherwise, and no row is missing."""
    found = effects_of(frame)
    for site, (atoms, errors) in nodes.items():
        for position in counted:
            at = frame.filter(site=site, position=position, kind="atom")
            wanted = torch.zeros_like(atoms[position])
            wanted[at["atom"].to_list()] = torch.tensor(at["effect"].to_list(), dtype=wanted.dtype)
            torch.testing.assert_close(wanted, atoms[position], rtol=1e-3, atol=2e-5)
            assert found.get(f"{site}/error@{position}", 0) == pytest.approx(
                float(errors[position]), rel=1e-3, abs=2e-5
            )


# against other implementations


def test_attribution_is_what_the_papers_splicing_gives(toy) -> None:
    saes = loaded(*EVERY)
    ids, other = toy.encode(IOI), toy.encode(IOI_CORRUPT)
    mary, john = toy.single_token("mary"), toy.single_token("john")
    same_as(circuit(toy, **PAIR), attribution(toy, ids, other, mary, john, saes), range(1, len(ids)))
    alone = circuit(toy, clean=IOI, answer="mary", foil="john")
    same_as(alone, attribution(toy, ids, None, mary, john, saes), range(1, len(ids)))


def test_reconstructions_and_errors_leave_the_model_as_it_is(toy) -> None:
    logits, _ = spliced(toy, toy.encode(IOI), loaded(*EVERY))
    plain = toy.run([toy.encode(IOI)], ["logits"])["logits"][0, -1]
    torch.testing.assert_close(logits.detach(), plain, rtol=1e-4, atol=1e-4)


def test_circuits_over_neurons_are_their_effects_by_hand(toy) -> None:
    """Neurons are what the last matrix of an MLP reads; the hooks know no dictionary."""
    frame = circuit(toy, **PAIR, dictionaries="neurons")
    assert set(frame["kind"]) == {"atom"}, "coordinates miss nothing"
    ids, other = toy.encode(IOI), toy.encode(IOI_CORRUPT)
    mary, john = toy.single_token("mary"), toy.single_token("john")
    seen: list[torch.Tensor] = []

    def hook(_, inputs):
        seen.append(inputs[0].detach().requires_grad_())
        return (seen[-1],)

    handle = toy.torch_module.get_submodule("model.layers.0.mlp.down_proj").register_forward_pre_hook(hook)
    logits = toy.torch_module(torch.tensor([ids])).logits[0, -1]
    gradient = torch.autograd.grad(logits[mary] - logits[john], seen[0])[0][0]
    toy.torch_module(torch.tensor([other]))
    handle.remove()
    wanted = (seen[0] - seen[1])[0] * gradient
    at = frame.filter(site="mlp_act.0")
    found = torch.zeros_like(wanted)
    found[at["position"].to_list(), at["atom"].to_list()] = torch.tensor(at["effect"].to_list())
    torch.testing.assert_close(found[1:], wanted[1:].detach(), rtol=1e-3, atol=1e-5)
    assert at["activation"][0] == pytest.approx(float(seen[0].detach()[0, at["position"][0], at["atom"][0]]), abs=1e-4)


FAMILIES = ("llama-grouped", "gpt2", "gpt_neox", "phi", "gptj", "gemma2", "opt")


def tiny_dictionaries(model: iw.Session) -> dict[str, Dictionary]:
    """One of each kind, and each way to norm inputs."""
    last = model.num_layers - 1
    return {
        "embed": random(TopK, "embed", k=4),
        "attn_out.0": random(ReLU, "attn_out.0", norm="unit_rms"),
        "mlp_act.0": random(GroupMax, "mlp_act.0", size=model.size("mlp_act.0"), k=4),
        "resid_post.0": random(JumpReLU, "resid_post.0", threshold=torch.full((48,), 0.2), norm="center"),
        f"attn_out.{last}": random(TopK, f"attn_out.{last}", k=4, norm="layer_norm"),
        f"mlp_out.{last}": random(ReLU, f"mlp_out.{last}", subtract=False),
        f"resid_post.{last}": random(TopK, f"resid_post.{last}", k=4),
    }


def changed_alone(
    model: iw.Session, saes: dict[str, Dictionary], node: frames.circuits.Node, corrupt: list[int] | None
) -> float:
    """The effect of one node, by a whole run with the site put together anew."""
    sae = saes[node.site]
    x = brute.activations(model, IDS, node.site).float()
    y = None if corrupt is None else brute.activations(model, corrupt, node.site).float()
    amount = sae.encode(x) * sae.scale(x)
    other = torch.zeros_like(amount) if y is None else sae.encode(y) * sae.scale(y)
    put = {}
    for position in range(len(x)) if node.position is None else [node.position]:
        mine, theirs = amount[position].clone(), other[position]
        rest = x[position] - mine @ sae.W_dec
        if node.atom is not None:
            mine[node.atom] = theirs[node.atom]
        elif y is not None:
            rest = y[position] - theirs @ sae.W_dec
        else:
            rest = sae.bias(x)[position]
        put[position] = mine @ sae.W_dec + rest
    return brute.difference(model, IDS) - brute.difference(model, IDS, {node.site: put})


@pytest.mark.parametrize("corrupt", [OTHER, None])
@pytest.mark.parametrize("family", FAMILIES)
def test_exact_effects_are_those_of_whole_runs(family, corrupt) -> None:
    model = tiny_session(family)
    saes = tiny_dictionaries(model)
    for positions in ("apart", "summed"):
        frame = circuit(model, **{**TINY, "corrupt": corrupt}, dictionaries=saes, method="exact", positions=positions)
        assert set(frame["site"]) == set(saes)
        for site in saes:
            for kind in ("atom", "error"):
                for name, effect in frame.filter(site=site, kind=kind).select("node", "effect").head(2).iter_rows():
                    wanted = changed_alone(model, saes, frames.circuits.parse_node(name), corrupt)
                    assert effect == pytest.approx(wanted, abs=3e-5), name


@pytest.mark.parametrize("family", FAMILIES)
def test_attribution_is_the_slope_of_whole_runs(family) -> None:
    """The gradient of each site along a way of its own, by a central difference."""
    model = tiny_session(family)
    saes = tiny_dictionaries(model)
    frame = circuit(model, **TINY, dictionaries=saes)
    for site in saes:
        x, y = (brute.activations(model, ids, site).float() for ids in (IDS, OTHER))
        way = x - y
        way[:2] = 0  # equal by causality
        ahead, behind = (
            brute.difference(model, IDS, {site: dict(enumerate(x + step * way))}) for step in (5e-3, -5e-3)
        )
        assert frame.filter(site=site)["effect"].sum() == pytest.approx((ahead - behind) / 1e-2, rel=5e-3, abs=1e-3)


# what theory says


def linear(family: str) -> iw.Session:
    """Without the final norm the logits are linear in the last layer's result."""
    module = tiny.model(family)
    module.set_submodule(tiny_session(family).architecture.final_norm, torch.nn.Identity())
    return load(module, tokenizer=tiny.tokenizer())


@pytest.mark.parametrize(
    ("family", "kinds"), [("llama", ["resid_post"]), ("phi", ["attn_out", "mlp_out", "resid_post"])]
)
def test_where_the_model_is_linear_all_methods_agree(family, kinds) -> None:
    model = linear(family)
    saes = {f"{kind}.1": random(TopK, f"{kind}.1", k=4, seed=i) for i, kind in enumerate(kinds)}
    found = [effects_of(circuit(model, **TINY, dictionaries=saes, method=method)) for method in METHODS]
    found += [effects_of(circuit(model, **TINY, dictionaries=saes, method="integrated_gradients", steps=1))]
    swapped = circuit(model, clean=OTHER, corrupt=IDS, answer=11, foil=12, dictionaries=saes)
    found += [{node: -effect for node, effect in effects_of(swapped).items()}]
    for other in found[1:]:
        assert other == pytest.approx(found[0], abs=2e-5)
    assert max(map(abs, found[0].values())) > 0.1


@pytest.mark.parametrize("corrupt", [OTHER, None])
def test_integrated_gradients_add_up_with_an_error_that_falls_with_the_square_of_the_steps(corrupt) -> None:
    model = tiny_session("llama")
    saes = tiny_dictionaries(model)
    prompts, dictionaries = prompts_of(model, IDS, corrupt, 11, 12), dictionaries_of(model, saes)
    half, run = (
        run_circuit(model, prompts, dictionaries, method="integrated_gradients", steps=steps) for steps in (64, 128)
    )
    seen = 0
    for site, sae in saes.items():
        x = brute.activations(model, IDS, site).float()
        put = sae.bias(x) if corrupt is None else brute.activations(model, OTHER, site).float()
        whole = brute.difference(model, IDS) - brute.difference(model, IDS, {site: dict(enumerate(put))})
        effects, left = run.frame().filter(site=site)["effect"], run.residual[site]
        assert whole - effects.sum() == pytest.approx(left, abs=2e-5)
        assert abs(left) < 5e-3
        if abs(left) > 5e-6:  # above what float32 rounds off
            assert half.residual[site] / left == pytest.approx(4, rel=0.2)
            seen += 1
    assert seen >= 2


def test_equal_prompts_have_no_nodes_and_nothing_before_the_difference_is_one(toy) -> None:
    for method in METHODS:
        frame = circuit(toy, **{**PAIR, "corrupt": IOI}, method=method)
        assert frame.is_empty()
        frames.check(frame, frames.CIRCUIT_NODES)
    assert circuit(toy, **PAIR)["position"].min() == 10, "john in the place of mary"
    assert set(circuit(toy, **PAIR).filter(site="embed")["position"]) == {10}


# sets of prompts


def some_pairs(count: int = 5) -> dict[str, list[str]]:
    names = ["mary", "john", "anna", "tom", "sarah", "paul"][: count + 1]
    start = [f"when {a} and {b} went to the store ," for a, b in pairwise(names)]
    return {
        "clean": [f"{s} {b} gave a drink to" for s, b in zip(start, names[1:], strict=True)],
        "corrupt": [f"{s} {a} gave a drink to" for s, a in zip(start, names, strict=False)],
        "answer": names[:-1],
        "foil": names[1:],
    }


@pytest.mark.parametrize("positions", ["apart", "summed"])
def test_the_mean_over_prompts_and_its_t_interval(toy, positions) -> None:
    pairs = some_pairs()
    whole = circuit(toy, **pairs, positions=positions)
    each = [
        circuit(toy, **{key: value[i] for key, value in pairs.items()}, positions=positions)
        for i in range(len(pairs["clean"]))
    ]
    names = list(dict.fromkeys(name for frame in each for name in frame["node"]))
    alone = np.array([[effects_of(frame).get(name, 0.0) for name in names] for frame in each])
    wanted = dict(zip(names, alone.mean(0), strict=True))
    half = dict(zip(names, 2.776445 * alone.std(0, ddof=1) / 5**0.5, strict=True))
    assert effects_of(whole) == pytest.approx(wanted, abs=1e-5)
    for row in whole.iter_rows(named=True):
        assert row["high"] - row["effect"] == pytest.approx(half[row["node"]], abs=1e-5)
        assert row["effect"] - row["low"] == pytest.approx(half[row["node"]], abs=1e-5)
    assert set(whole["prompts"]) == {5}
    assert each[0]["low"].null_count() == len(each[0])
    assert whole["effect"].abs().is_sorted(descending=True)
    if positions == "apart":
        first = whole.filter(kind="atom").row(0, named=True)
        tokens = [
            toy.run([toy.encode(text)], [first["site"]])[first["site"]][0, first["position"]] for text in pairs["clean"]
        ]
        activation = loaded(first["site"])[first["site"]].encode(torch.stack(tokens))[:, first["atom"]].mean()
        assert first["activation"] == pytest.approx(float(activation), abs=1e-4), (
            "over all prompts, also where it is off"
        )
        assert whole.filter(position=10)["token"].null_count() == len(whole.filter(position=10)), "prompts differ there"
        assert set(whole.filter(position=14)["token"]) == {"to"}


def test_summed_effects_are_sums_over_positions_to_first_order(toy) -> None:
    apart, summed = circuit(toy, **PAIR), circuit(toy, **PAIR, positions="summed")
    sums = apart.with_columns(pl.col("node").str.replace("@.*", "")).group_by("node").agg(pl.col("effect").sum())
    assert effects_of(summed) == pytest.approx(effects_of(sums), abs=1e-5)
    assert summed["position"].null_count() == len(summed)


@pytest.mark.parametrize("method", METHODS)
def test_the_size_of_batches_and_parts_changes_nothing(toy, method, monkeypatch) -> None:
    pairs, saes = some_pairs(), loaded("resid_post.1", "mlp_out.2")
    asked = {**pairs, "dictionaries": saes, "method": method, "steps": 3}
    whole = effects_of(circuit(toy, **asked))
    assert effects_of(circuit(toy, **asked, batch=2)) == pytest.approx(whole, abs=2e-5)
    monkeypatch.setattr(reading, "KEPT", 1)
    assert effects_of(circuit(toy, **asked, batch=2)) == pytest.approx(whole, abs=2e-5)
    monkeypatch.setattr(reading, "GRAPH", 1)
    assert effects_of(circuit(toy, **asked)) == pytest.approx(whole, abs=2e-5)


def test_prompts_of_several_lengths_are_summed(toy) -> None:
    uneven = {
        "clean": ["the boys near the girl", "the boys"],
        "corrupt": ["the boy near the girl", "the boy"],
        "answer": "are",
        "foil": "is",
    }
    with pytest.raises(TextError, match=r'different lengths.*positions="summed"'):
        circuit(toy, **uneven)
    both = circuit(toy, **uneven, positions="summed")
    each = [
        circuit(toy, **{**uneven, "clean": clean, "corrupt": corrupt}, positions="summed")
        for clean, corrupt in zip(uneven["clean"], uneven["corrupt"], strict=True)
    ]
    names = {name for frame in each for name in frame["node"]}
    wanted = {name: sum(effects_of(frame).get(name, 0.0) for frame in each) / 2 for name in names}
    assert effects_of(both) == pytest.approx(wanted, abs=1e-5)


def test_the_quantile_of_student() -> None:
    table = {1: 12.7062, 2: 4.3027, 3: 3.1824, 4: 2.7764, 5: 2.5706, 10: 2.2281, 30: 2.0423, 99: 1.9842, 1000: 1.9623}
    assert {n: student(n) for n in table} == pytest.approx(table, abs=1e-4)


# the run behind the frame


def test_what_a_run_says_while_it_goes(toy) -> None:
    seen: list[tuple[int, int, int]] = []

    def progress(done, total, message="", partial=None) -> None:
        frames.check(partial.frame(top=3), frames.CIRCUIT_NODES)
        seen.append((done, total, partial.count))

    prompts, dictionaries = prompts_of(toy, **PAIR), dictionaries_of(toy)
    run = run_circuit(toy, prompts, dictionaries, progress=progress)
    assert [done for done, _, _ in seen] == sorted(done for done, _, _ in seen)
    assert seen[-1] == (13, 13, run.count)
    assert [count for _, _, count in seen] == sorted(count for _, _, count in seen)
    frame = run.frame()
    assert run.count == len(frame)
    assert run.frame(top=5).equals(frame.head(5))
    heat = run.heat()
    assert heat.shape == (15, 13)
    for site, position in (("resid_post.2", 14), ("embed", 10), ("attn_out.1", 3)):
        wanted = frame.filter(site=site, position=position)["effect"].abs().sum()
        assert float(heat[position, run.sites.index(site)]) == pytest.approx(wanted, abs=1e-9)
    ids = [toy.encode(text) for text in (IOI, IOI_CORRUPT)]
    names = {"answer": toy.single_token("mary"), "foil": toy.single_token("john")}
    assert float(run.metric) == pytest.approx(brute.difference(toy, ids[0], **names), abs=1e-4)
    assert float(run.corrupt_metric) == pytest.approx(brute.difference(toy, ids[1], **names), abs=1e-4)


@pytest.mark.parametrize("method", METHODS)
def test_it_can_be_stopped(toy, method) -> None:
    calls = []

    def progress(done, total, message="", partial=None) -> None:
        calls.append(message)
        if len(calls) == 5:
            raise Cancelled("enough")

    with pytest.raises(Cancelled):
        circuit(toy, **PAIR, method=method, progress=progress)
    assert len(calls) == 5


def test_exact_effects_of_the_largest(toy) -> None:
    pairs = some_pairs(3)
    for positions in ("apart", "summed"):
        nodes = circuit(toy, **pairs, positions=positions)
        exact = effects_of(circuit(toy, **pairs, positions=positions, method="exact"))
        found = circuit_check(toy, nodes, **pairs, top=30)
        frames.check(found.nodes, frames.CIRCUIT_CHECK)
        assert found.nodes["node"].to_list() == nodes["node"].head(30).to_list()
        wanted = {name: exact[name] for name in found.nodes["node"]}
        assert effects_of(found.nodes.select("node", effect="exact")) == pytest.approx(wanted, abs=2e-5)
        ranks = np.argsort(np.argsort(found.nodes.select("effect", "exact").to_numpy(), 0), 0)
        assert found.spearman == pytest.approx(np.corrcoef(ranks.T)[0, 1], abs=1e-6)
        assert found.largest == pytest.approx((found.nodes["effect"] - found.nodes["exact"]).abs().max())
    with pytest.raises(TextError, match="'logits/3@1' is no node of these dictionaries"):
        circuit_check(toy, nodes.with_columns(node=pl.lit("logits/3@1")), **pairs)


@dataclass(frozen=True)
class SumAtLayer:
    """A metric of another activation than the last."""

    vector: torch.Tensor
    reads: str = "resid_post.0"

    def measure(self, model, value, rows):
        return (value @ self.vector.to(value)).mean(1)


@pytest.mark.parametrize("method", METHODS)
def test_a_metric_of_a_lower_activation(method) -> None:
    model = tiny_session("llama")
    prompts = prompts_of(model, IDS, OTHER, 11, 12)
    vector = torch.randn(tiny.WIDTH, generator=torch.Generator().manual_seed(5))
    prompts = replace(prompts, batches=[replace(prompts.batches[0], metric=SumAtLayer(vector))])
    saes = {site: random(TopK, site, k=4) for site in ("mlp_out.0", "resid_post.0", "attn_out.1")}
    run = run_circuit(model, prompts, dictionaries_of(model, saes), method=method)
    x, y = (brute.activations(model, ids, "resid_post.0") for ids in (IDS, OTHER))
    frame = run.frame()
    whole = float(((x - y) @ vector)[2:].sum()) / len(IDS)
    assert frame.filter(site="resid_post.0")["effect"].sum() == pytest.approx(whole, abs=2e-5)
    assert frame.filter(site="attn_out.1")["effect"].abs().max() == pytest.approx(0, abs=1e-6)
    assert frame.filter(site="mlp_out.0")["effect"].abs().max() > 1e-3


@pytest.mark.parametrize(
    ("more", "given"),
    [({}, None), ({"corrupt": None, "foil": None}, ["toy-grammar/resid_post.1"]), ({"positions": "summed"}, "neurons")],
)
def test_the_script_makes_the_frame(toy, tmp_path, more, given) -> None:
    asked = {**some_pairs(2), **more}
    positions = asked.pop("positions", "apart")
    prompts, dictionaries = prompts_of(toy, **asked), dictionaries_of(toy, given)
    run = run_circuit(toy, prompts, dictionaries, positions=positions)
    path = tmp_path / "script.py"
    path.write_text(scripts.circuit(toy, run, dictionaries, student(prompts.count - 1)), encoding="utf-8")
    made, expected = runpy.run_path(str(path))["frame"], run.frame()
    frames.check(made, frames.CIRCUIT_NODES)
    assert_frame_equal(made.sort("node"), expected.sort("node"), abs_tol=1e-4)


def test_what_cannot_be_measured_gets_a_sentence(toy) -> None:
    with pytest.raises(TextError, match="is attribution, integrated_gradients, exact, not 'gradient'"):
        circuit(toy, **PAIR, method="gradient")
    with pytest.raises(TextError, match="steps must be 1 or more, not 0"):
        circuit(toy, **PAIR, steps=0)
    with pytest.raises(TextError, match='positions must be "apart" or "summed"'):
        circuit(toy, **PAIR, positions="both")
    with pytest.raises(AlignmentError, match="15 and 4 tokens"):
        circuit(toy, **{**PAIR, "corrupt": "the cat sleeps"})
    with pytest.raises(DictionaryError):
        circuit(toy, **PAIR, dictionaries=random(TopK, "resid_post.1", size=64))
