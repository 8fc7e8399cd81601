"""Dictionaries that write another site than they read, that norm their inputs, or that sit on heads and neurons.

An MLP with ReLU is a transcoder of itself: its neurons are the atoms, and nothing is left.
"""

from __future__ import annotations

from dataclasses import replace

import polars as pl
import pytest
import torch

import interp_widgets as iw
from interp_widgets import frames, methods
from interp_widgets.errors import DictionaryError, SiteError
from interp_widgets.methods.atom_activations import run_atoms
from interp_widgets.methods.atom_effects import run_atom_ablation, run_effects
from interp_widgets.sae import JumpReLU, ReLU, TopK, baselines

from . import brute
from .conftest import IOI, IOI_CORRUPT, tiny_session

TEXT = "the keys to the cabinet are on the table ."
SUM = "12 30 ="


@pytest.fixture(scope="module")
def adder() -> iw.Session:
    return iw.load("modadd-59")


def itself(model, up: str, down: str, layer: int, **changes) -> ReLU:
    """The MLP of a layer as a transcoder."""
    at = f"{model.architecture.layers}.{layer}"
    up, down = (model.torch_module.get_submodule(f"{at}.{path}") for path in (up, down))
    weights = {"W_enc": up.weight.T, "b_enc": up.bias, "W_dec": down.weight.T, "b_dec": down.bias}
    sites = {"site": f"mlp_in.{layer}", "writes": f"mlp_out.{layer}"}
    detached = {name: tensor.detach().clone() for name, tensor in weights.items()}
    return ReLU(name="itself", subtract=False, **{**sites, **detached, **changes})


def some(model, site: str, kind=ReLU, *, writes: str = "", width: int = 60, seed: int = 0, **changes):
    """A random dictionary with a bias and about a third of its atoms on."""
    generator = torch.Generator().manual_seed(seed)
    d_in, d_out = model.size(site), model.size(writes or site)
    made = {"W_enc": (d_in, width), "b_enc": (width,), "W_dec": (width, d_out), "b_dec": (d_out,)}
    weights = {key: torch.randn(shape, generator=generator) / shape[0] ** 0.5 for key, shape in made.items()}
    if kind is JumpReLU:
        weights["threshold"] = torch.rand(width, generator=generator)
    return kind(name="some", site=site, writes=writes, subtract=not writes, **{**weights, **changes})


def shares(model, text, sae) -> torch.Tensor:
    """[tokens]: what all shares add to."""
    frame, rest = methods.atom_activations(model, text, sae=sae), methods.reconstruction(model, text, sae=sae)
    atoms = frame.group_by("position").agg(pl.col("share").sum())
    both = rest.join(atoms, on="position", how="left").sort("position").fill_null(0)
    total = both["share"] + both["bias_share"] + both["skip_share"] + both["error_share"]
    return torch.tensor(total.to_list())


# transcoders


def test_an_mlp_is_a_transcoder_of_itself(adder) -> None:
    sae = itself(adder, "mlp.up", "mlp.down", 0)
    frame, rest = methods.atom_activations(adder, SUM, sae=sae), methods.reconstruction(adder, SUM, sae=sae)
    frames.check(frame, frames.ATOMS)
    frames.check(rest, frames.RECONSTRUCTION)
    assert rest["error_norm"].max() < 1e-5
    assert set(frame["site"]) == {"mlp_in.0"}
    assert set(rest["site"]) == {"mlp_out.0"}
    neurons = adder.read(SUM, ["mlp_act.0"])["mlp_act.0"]
    found = torch.zeros_like(neurons)
    found[frame["position"].to_list(), frame["atom"].to_list()] = torch.tensor(frame["activation"].to_list())
    torch.testing.assert_close(found, neurons, atol=1e-5, rtol=1e-5)
    assert rest["norm"].to_list() == pytest.approx(adder.read(SUM, ["mlp_out.0"])["mlp_out.0"].norm(dim=-1).tolist())
    assert run_atoms(adder, SUM, sae=sae).explained_variance == pytest.approx(1)


def test_the_skip_connection_has_a_share_of_its_own(adder) -> None:
    """What it adds is all that is wrong, since without it nothing is."""
    skip = torch.randn(adder.width, adder.width, generator=torch.Generator().manual_seed(1)) / 10
    sae = itself(adder, "mlp.up", "mlp.down", 0, W_skip=skip)
    rest = methods.reconstruction(adder, SUM, sae=sae)
    seen = adder.read(SUM, ["mlp_in.0", "mlp_out.0"])
    expected = ((seen["mlp_in.0"] @ skip) * seen["mlp_out.0"]).sum(-1) / seen["mlp_out.0"].pow(2).sum(-1)
    assert rest["skip_share"].to_list() == pytest.approx(expected.tolist(), abs=1e-5)
    assert rest["error_share"].to_list() == pytest.approx((-expected).tolist(), abs=1e-5)
    assert (shares(adder, SUM, sae) - 1).abs().max() < 1e-5
    assert methods.reconstruction(adder, SUM, sae=replace(sae, W_skip=None))["skip_share"].to_list() == [0.0] * len(
        rest
    )


@pytest.mark.parametrize("family", ["llama-grouped", "gpt2", "gemma3_text", "opt", "gpt_neox"])
def test_shares_add_to_one_in_every_family(family: str) -> None:
    model, ids = tiny_session(family), [3, 14, 15, 9, 26]
    skip = torch.randn(model.width, model.width, generator=torch.Generator().manual_seed(1))
    for sae in (
        some(model, "mlp_in.1", TopK, writes="mlp_out.1", k=7),
        some(model, "mlp_in.0", JumpReLU, writes="mlp_out.0", W_skip=skip),
        some(model, "resid_pre.0", writes="resid_post.1", W_skip=skip),
        some(model, "attn_out.0", writes="mlp_act.1"),
        some(model, "head_out.1"),
    ):
        assert (shares(model, ids, sae) - 1).abs().max() < 1e-4


@pytest.mark.parametrize("norm", ["layer_norm", "unit_rms", "center"])
@pytest.mark.parametrize("site", ["resid_post.1", "head_out.2", "head_out.2.1", "mlp_act.3", "mlp_out.0"])
def test_a_share_is_what_an_atom_adds_after_the_norm_is_undone(toy, norm: str, site: str) -> None:
    sae = some(toy, site, norm=norm)
    x = toy.read(TEXT, [site])[site]
    flat, a = x.flatten(1), sae.encode(x)
    assert (shares(toy, TEXT, sae) - 1).abs().max() < 1e-4
    without = a.clone()
    [row] = methods.atom_activations(toy, TEXT, sae=sae).filter(position=4).head(1).iter_rows(named=True)
    without[4, row["atom"]] = 0
    added = (sae.decode(a, x) - sae.decode(without, x)).flatten(1)[4]
    assert row["share"] == pytest.approx(float(added @ flat[4] / flat[4].pow(2).sum()), rel=1e-4, abs=1e-6)


@pytest.mark.parametrize(
    ("norm", "normed"),
    [
        ("layer_norm", lambda x: (x - x.mean()) / (((x - x.mean()) ** 2).sum() / (len(x) - 1)).sqrt()),
        ("unit_rms", lambda x: x / (x**2).mean().sqrt()),
        ("center", lambda x: x - x.mean()),
    ],
)
def test_norms_are_what_their_names_say(toy, norm: str, normed) -> None:
    x = toy.read(TEXT, ["resid_post.1"])["resid_post.1"]
    plain, sae = some(toy, "resid_post.1"), some(toy, "resid_post.1", norm=norm)
    torch.testing.assert_close(
        sae.encode(x), plain.encode(torch.stack([normed(row) for row in x])), atol=1e-4, rtol=1e-4
    )


def test_zeros_are_normed_to_something_finite(toy) -> None:
    for norm in ("layer_norm", "unit_rms", "center"):
        sae, x = some(toy, "resid_post.1", norm=norm), torch.zeros(2, toy.width)
        assert sae.decode(sae.encode(x), x).isfinite().all()


# patching


def test_patching_an_atom_of_an_mlp_is_patching_its_neuron() -> None:
    model = tiny_session("opt")
    asked = {"clean": [3, 14, 15, 9, 26, 7, 31], "corrupt": [5, 35, 8, 9, 79, 7, 31], "answer": 11, "foil": 12}
    sae = itself(model, "fc1", "fc2", 1)
    atoms = methods.atom_patching(model, sae, **asked, top=4)
    frames.check(atoms, frames.ATOM_PATCHING)
    assert set(atoms["site"]) == {"mlp_out.1"}
    assert atoms["effect"].abs().max() > 1e-4
    for [atom], part in atoms.group_by("atom"):
        neuron = methods.activation_patching(model, **asked, sites=[f"mlp_act.1.{atom}"])
        both = part.join(neuron, on="position")
        assert len(both) == len(neuron)
        assert (both["metric"] - both["metric_right"]).abs().max() < 1e-5


@pytest.mark.parametrize("norm", ["", "layer_norm", "unit_rms"])
@pytest.mark.parametrize("site", ["head_out.1", "resid_post.2", "mlp_act.2"])
def test_patching_an_atom_adds_its_scaled_direction(toy, site: str, norm: str) -> None:
    sae = some(toy, site, norm=norm)
    ids = toy.encode(IOI), toy.encode(IOI_CORRUPT)
    clean, corrupt = (brute.activations(toy, each, site) for each in ids)
    answer, foil = toy.single_token("mary"), toy.single_token("john")
    frame = methods.atom_patching(toy, sae, clean=IOI, corrupt=IOI_CORRUPT, answer="mary", foil="john", top=2)
    exact = frame.filter(method="exact")
    assert exact["effect"].abs().max() > 1e-3
    for row in exact.iter_rows(named=True):
        p, atom = row["position"], row["atom"]
        a = sae.encode(corrupt)
        a[p, atom] = sae.encode(clean)[p, atom]
        step = sae.decode(a, corrupt) - sae.decode(sae.encode(corrupt), corrupt)
        put = {site: {p: corrupt[p] + step[p].reshape(corrupt[p].shape)}}
        assert row["metric"] == pytest.approx(brute.difference(toy, ids[1], put, answer, foil), abs=1e-4)


# refusals


@pytest.mark.parametrize("site", ["q.1", "k.1.0", "v.1", "pattern.1", "logits", "mlp_act.1.3"])
def test_a_site_that_cannot_have_a_dictionary(toy, site: str) -> None:
    for sae in (replace(some(toy, "embed"), site=site), replace(some(toy, "embed"), subtract=False, writes=site)):
        with pytest.raises(DictionaryError, match=rf"some is for {site}, which cannot have a dictionary"):
            run_atoms(toy, TEXT, sae=sae)


def test_sizes_of_both_sites(toy) -> None:
    for sae, does, site in (
        (replace(some(toy, "embed"), site="mlp_act.0"), "reads", "mlp_act.0"),
        (replace(some(toy, "embed"), site="head_out.0.1"), "reads", "head_out.0.1"),
        (replace(some(toy, "embed", writes="mlp_out.0"), writes="mlp_act.0"), "writes", "mlp_act.0"),
    ):
        size = toy.size(site)
        with pytest.raises(
            DictionaryError, match=rf"some {does} activations of size 128, but {site} of .* has size {size}"
        ):
            run_atoms(toy, TEXT, sae=sae)
        with pytest.raises(DictionaryError, match=f"has size {size}"):
            methods.atom_patching(toy, sae, clean=IOI, corrupt=IOI_CORRUPT)


def test_sites_in_the_wrong_order(toy) -> None:
    with pytest.raises(DictionaryError, match=r"writes mlp_in\.1, which is computed before mlp_out\.1"):
        run_atoms(toy, TEXT, sae=some(toy, "mlp_out.1", writes="mlp_in.1"))


def test_a_layer_that_does_not_exist(toy) -> None:
    with pytest.raises(SiteError, match=r"mlp_out\.9 does not exist"):
        run_atoms(toy, TEXT, sae=replace(some(toy, "mlp_in.1", writes="mlp_out.1"), writes="mlp_out.9"))


def test_a_bias_of_another_site_is_not_subtracted(toy) -> None:
    with pytest.raises(DictionaryError, match=r"writes mlp_out\.1, so its bias cannot be subtracted from mlp_in\.1"):
        replace(some(toy, "mlp_in.1", writes="mlp_out.1"), subtract=True)


def test_identity_of_the_neurons_are_the_neurons(toy) -> None:
    frame = methods.atom_activations(toy, TEXT, sae=baselines.identity(toy, "mlp_act.2"))
    neurons = toy.read(TEXT, ["mlp_act.2"])["mlp_act.2"]
    for row in frame.filter(position=5).iter_rows(named=True):
        sign = 1 if row["atom"] < 384 else -1
        assert row["activation"] == pytest.approx(sign * float(neurons[5, row["atom"] % 384]), abs=1e-6)


# what they do to a prediction


def test_an_atom_of_an_mlp_is_its_neuron(adder) -> None:
    """Without an atom of the MLP as its own transcoder the model is what it is without the neuron."""
    sae = itself(adder, "mlp.up", "mlp.down", 0)
    neurons = adder.read(SUM, ["mlp_act.0"])["mlp_act.0"]
    atom = int(neurons[-1].argmax())
    without = adder.run([adder.encode(SUM)], ["logits"], edit={f"mlp_act.0.{atom}": lambda n: 0 * n})["logits"][0]
    before = adder.run([adder.encode(SUM)], ["logits"])["logits"][0]
    change = without.log_softmax(-1) - before.log_softmax(-1)
    run = run_atom_ablation(adder, SUM, sae=sae, atom=atom)
    assert run.effect == pytest.approx(float(change[-1, run.answer]), abs=1e-4)
    assert run.activation.tolist() == pytest.approx(neurons[:, atom].tolist(), abs=1e-4)


@pytest.mark.parametrize("family", ["llama-grouped", "gpt_neox"])
def test_first_order_effects_are_slopes_wherever_it_reads_and_writes(family: str) -> None:
    model, ids = tiny_session(family), [3, 14, 15, 9, 26]
    for sae in (
        some(model, "mlp_in.1", writes="mlp_out.1"),
        some(model, "head_out.1"),
        some(model, "resid_post.0", norm="layer_norm"),
    ):
        run = run_effects(model, ids, sae=sae)
        at = int(run.effect.abs().argmax())
        position, atom = int(run.position[at]), int(run.atom[at])
        x = sae.flat(model.read(ids, [sae.site])[sae.site])
        part = sae.encode(x)[position, atom] * sae.scale(x)[position] * sae.W_dec[atom]

        def without(y, size: float, at: int = position, part=part):
            changed = y.clone()
            changed[0, at] -= size * part.view_as(y[0, at])
            return changed

        found = []
        for size in (0.0, 1e-2):
            edit = {sae.site_out: lambda y, size=size: without(y, size)}
            logits = model.run([ids], ["logits"], edit=edit)["logits"][0, -1]
            found.append(float(logits.double().log_softmax(-1)[run.answer]))
        assert float(run.effect[at]) == pytest.approx((found[1] - found[0]) / 1e-2, rel=0.05, abs=1e-4)


def test_only_what_goes_into_the_stream_has_direct_weights(adder) -> None:
    assert len(methods.direct_logits(adder, itself(adder, "mlp.up", "mlp.down", 0), 3, count=4)) == 8
    with pytest.raises(DictionaryError, match="no direct logit weights"):
        methods.direct_logits(adder, some(adder, "head_out.0"), 3)
    assert run_atom_ablation(adder, SUM, sae=some(adder, "head_out.0"), atom=0).agreement is None


# where what is measured needs x = atoms + bias + error at the site that is read


@pytest.mark.parametrize("norm", ["center", "layer_norm", "unit_rms"])
def test_an_audit_and_the_effect_of_errors_undo_a_norm(norm: str) -> None:
    model = tiny_session("llama-grouped")
    sae = some(model, "resid_post.0", TopK, norm=norm, k=9)
    texts = [[3, 14, 15, 9, 26, 5], [2, 7, 18, 28, 4, 6], [31, 4, 1, 5, 9, 2]]
    frame = methods.audit(model, texts, sae=sae, baselines=False, outliers=True)
    measured = [texts[0], texts[2]]  # the second window is fitted on
    x = torch.cat([model.read(ids, ["resid_post.0"])["resid_post.0"] for ids in measured])
    missed = (x - sae.decode(sae.encode(x), x)).pow(2).sum() / (x - x.mean(0)).pow(2).sum()
    found = frame.filter(quantity="explained_variance", source="all")["value"].item()
    assert found == pytest.approx(float(1 - missed), abs=1e-4)
    effect = methods.error_effect(model, texts[0], sae=sae, answer=5, outliers=True)
    nothing, everything = (
        effect.filter(atoms=n, errors=e)["metric"].item() for n, e in ((0, False), (effect["atoms"].max(), True))
    )
    x = model.read(texts[0], ["resid_post.0"])["resid_post.0"]
    for put, metric in ((sae.bias(x).expand_as(x), nothing), (x, everything)):
        logits = model.run([texts[0]], ["logits"], edit={"resid_post.0": lambda _, put=put: put[None]})["logits"][0, -1]
        assert metric == pytest.approx(float(logits[5] - logits.mean()), abs=1e-4)


def test_what_would_be_wrong_of_a_transcoder_is_refused(adder) -> None:
    """Errors are of what is read there, so of a dictionary that writes something else the numbers would mean nothing."""
    sae, heads = itself(adder, "mlp.up", "mlp.down", 0), some(adder, "head_out.0")
    for refuse in (
        lambda each: methods.error_effect(adder, SUM, sae=each),
        lambda each: methods.audit(adder, [SUM, SUM], sae=each),
        lambda each: methods.effect_over_contexts(adder, [SUM] * 4, sae=each, atom=0),
    ):
        with pytest.raises(DictionaryError, match=r"writes mlp_out\.0 and reads mlp_in\.0, so this cannot be measured"):
            refuse(sae)
        with pytest.raises(DictionaryError, match="many vectors a token"):
            refuse(heads)
    assert methods.atom_direction(sae, 3).site == "mlp_out.0"
    with pytest.raises(DictionaryError, match="cannot be told"):
        methods.steer(adder, SUM, direction=(sae, 3), mode="ablate", tokens=1)


def test_an_atom_over_contexts_is_added_as_the_norm_is_undone() -> None:
    model = tiny_session("llama-grouped")
    sae = some(model, "resid_post.0", norm="layer_norm")
    contexts = [[3, 14, 15], [9, 26, 5], [2, 7, 18], [28, 4, 6]]
    found = methods.effect_over_contexts(model, contexts, sae=sae, atom=4, answer=5, strength=2.0, random=1)
    for row in found.filter(direction="atom").iter_rows(named=True):
        ids = contexts[row["context"]]
        x = model.read(ids, [sae.site])[sae.site]
        more = torch.zeros_like(x)
        more[-1] = 2.0 * sae.scale(x)[-1] * sae.W_dec[4]
        logits = model.run([ids], ["logits"], edit={sae.site: lambda y, more=more: y + more})["logits"][0, -1]
        assert row["metric"] + row["effect"] == pytest.approx(float(logits[5] - logits.mean()), abs=1e-4)
