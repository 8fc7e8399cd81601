"""SHIFT: planted axes, effects against plain hooks and closed forms, and what must hold whatever is struck."""

from __future__ import annotations

import polars as pl
import pytest
import torch

from interp_widgets import frames, methods
from interp_widgets.errors import DictionaryError, FrameError, SiteError, TextError
from interp_widgets.lab.biographies import toy_biographies
from interp_widgets.methods.probes import wilson
from interp_widgets.methods.shift_conditions import changed, struck_atoms, unchanged
from interp_widgets.methods.shift_passes import without
from interp_widgets.methods.shift_run import prepare_shift, run_effects
from interp_widgets.sae import ReLU
from interp_widgets.sae.baselines import identity
from interp_widgets.session.load import load

from ..session import tiny

TASK, NUISANCE = {"up": 20, "down": 21}, {"left": 30, "right": 31}
"""Words of the planted texts, and their ids."""
SITE = "embed"


def planted(variant: str = "gpt2"):
    """A random model whose embedding has a task axis, a stronger nuisance axis, and words that have neither."""
    module = tiny.model(variant)
    session = load(module, tokenizer=tiny.tokenizer())
    axes = torch.linalg.qr(torch.randn(session.width, session.width, generator=torch.Generator().manual_seed(3)))[0].T
    weight = module.get_submodule(session.architecture.embed).weight
    with torch.no_grad():
        weight -= (weight @ axes[:2].T) @ axes[:2]
        weight[TASK["up"]], weight[TASK["down"]] = axes[0], -axes[0]
        weight[NUISANCE["left"]], weight[NUISANCE["right"]] = 3 * axes[1], -3 * axes[1]
    both = torch.cat([axes[:2], -axes[:2]])
    return session, ReLU("planted", SITE, both.T.contiguous(), torch.zeros(4), both, torch.zeros(session.width))


def planted_texts(session, n: int = 400) -> pl.DataFrame:
    """Two words of the nuisance axis and one of the task axis among others; in the ambiguous split they say the same."""
    generator = torch.Generator().manual_seed(0)
    word = {i: session.text_of(i) for i in range(40, 60)}
    rows = []
    for split, count in (("ambiguous", n // 2), ("balanced", n), ("test", n)):
        for i in range(count):
            task = list(TASK)[i % 2]
            nuisance = list(NUISANCE)[i % 2 if split == "ambiguous" else i // 2 % 2]
            others = [word[int(i)] for i in torch.randint(40, 60, (5,), generator=generator)]
            names = [session.text_of(TASK[task]), session.text_of(NUISANCE[nuisance]), *others]
            rows.append((split, " ".join(names), task, nuisance))
    return pl.DataFrame(rows, schema=["split", "document", "label", "spurious"], orient="row")


@pytest.fixture(scope="module")
def plant():
    session, sae = planted()
    return session, sae, planted_texts(session)


@pytest.fixture(scope="module")
def bios() -> pl.DataFrame:
    return toy_biographies(train=40, test=40)


def accuracy(frame: pl.DataFrame, condition: str, group: str, retrained: bool = False) -> float:
    rows = frame.filter(condition=condition, group=group, retrained=retrained)
    assert rows.height == 1
    return rows["accuracy"].item()


def test_without_the_planted_nuisance_axis_the_probe_knows_nothing_of_it(plant) -> None:
    session, sae, data = plant
    found = methods.shift(session, data, site=SITE, dictionaries=[sae], struck=["embed/1", "embed/3"], draws=2)
    frames.check(found, frames.SHIFT_ACCURACY)
    low, high = wilson(0.5 * 400, 400)
    assert accuracy(found, "original", "spurious") > 0.95
    assert accuracy(found, "original", "worst") < 0.1, "it went by the nuisance, which is three times as strong"
    for retrained in (False, True):
        assert low <= accuracy(found, "struck", "spurious", retrained) <= high
        assert accuracy(found, "struck", "label", retrained) > 0.95
        assert accuracy(found, "by label", "label", retrained) > 0.95, "labels choose the same two"
    assert accuracy(found, "balanced", "label", True) > 0.95
    assert found.filter(condition="random")["draw"].unique().sort().to_list() == [0, 1]


def test_striking_the_task_instead_leaves_the_nuisance(plant) -> None:
    session, sae, data = plant
    found = methods.shift(session, data, site=SITE, dictionaries=[sae], struck=["embed/0", "embed/2"], baselines=False)
    assert accuracy(found, "struck", "spurious") > 0.95
    assert accuracy(found, "struck", "label") == pytest.approx(0.5)


def test_effects_are_exact_where_the_probe_reads_the_dictionarys_own_site(plant) -> None:
    """There the logit is linear in each atom, so its effect is what goes when it alone is put at zero, for any number of steps."""
    session, sae, data = plant
    run = prepare_shift(session, data, site=SITE, dictionaries=[sae], splits=["ambiguous"], l2=1e-3)
    (one,), (ten,) = (run_effects(session, run, "ambiguous", "label", texts=30, steps=n) for n in (1, 10))
    assert torch.equal(one.atoms, ten.atoms)
    sign = torch.where(run.data.splits["ambiguous"].label, 1.0, -1.0)[:30]
    reading = run.readings["ambiguous"]
    for atom in range(4):
        gone = without(session, reading, [(sae, [atom])])
        exact = sign * ((reading.pooled - gone)[:30] @ run.probe.weights)
        assert torch.allclose(one.atoms[:, atom], exact, atol=1e-5)


@pytest.mark.parametrize("variant", ["llama", "gpt2"])
def test_integrated_gradients_add_up_and_are_those_of_a_plain_hook(variant: str) -> None:
    """Atoms and error of a site sum to what removing them together changes, better with more steps; checked on a bare module."""
    session, _ = planted(variant)
    data = planted_texts(session, 16)
    torch.manual_seed(1)
    weights = torch.randn(12, session.width)
    sae = ReLU("random", "resid_post.0", weights.T.contiguous(), torch.zeros(12), weights, torch.randn(session.width))
    run = prepare_shift(session, data, site="resid_post.1", dictionaries=[sae], splits=["ambiguous"], l2=1e-3)
    residual = []
    for steps in (2, 40):
        (found,) = run_effects(session, run, "ambiguous", "label", texts=4, steps=steps)
        residual.append(float((found.atoms.sum(1) + found.error - found.whole).abs().max()))
    assert residual[1] < min(1e-3, residual[0] / 20), residual

    module, split = session.torch_module, run.data.splits["ambiguous"]
    blocks = module.get_submodule(session.architecture.layers)
    sign = 1.0 if split.label[0] else -1.0
    counts = next(batch.counts[batch.texts.index(0)] for batch in run.readings["ambiguous"].batches if 0 in batch.texts)
    ends = []
    for put in (lambda x: x, lambda x: torch.where(counts[:, None], sae.b_dec, x)):
        seen = {}

        def first(_, __, out, put=put):
            x = out[0] if isinstance(out, tuple) else out
            return (put(x), *out[1:]) if isinstance(out, tuple) else put(x)

        def second(_, __, out, seen=seen):
            seen["x"] = out[0] if isinstance(out, tuple) else out

        hooks = [blocks[0].register_forward_hook(first), blocks[1].register_forward_hook(second)]
        with torch.no_grad():
            module(input_ids=torch.tensor([split.ids[0]]))
        for hook in hooks:
            hook.remove()
        ends.append(sign * float(seen["x"][0][counts[: len(split.ids[0])]].mean(0) @ run.probe.weights))
    assert float(found.whole[0]) == pytest.approx(ends[0] - ends[1], abs=1e-4)


def test_striking_nothing_changes_nothing_to_the_last_bit(toy, toy_sae, bios) -> None:
    run = prepare_shift(toy, bios, site="resid_post.3", dictionaries=[toy_sae], splits=["ambiguous", "test"], l2=1e-3)
    for split in ("ambiguous", "test"):
        assert torch.equal(without(toy, run.readings[split], [(toy_sae, [])]), run.readings[split].pooled)
    bare = [{**row, "condition": "original"} for row in changed(toy, run, "struck", struck_atoms([toy_sae], []))]
    assert bare[:7] == unchanged(run), "and a probe that is trained again is the same"
    assert [row["accuracy"] for row in bare[7:]] == [row["accuracy"] for row in bare[:7]]


def test_striking_every_coordinate_of_the_probes_site_leaves_a_coin(toy, bios) -> None:
    everything = identity(toy, "resid_post.1")
    names = [f"resid_post.1/{i}" for i in range(everything.width)]
    found = methods.shift(toy, bios, site="resid_post.1", dictionaries=[everything], struck=names, baselines=False)
    assert accuracy(found, "struck", "label") == accuracy(found, "struck", "spurious") == 0.5
    assert accuracy(found, "struck", "worst") == 0


def test_padding_and_batches_do_not_show(toy, toy_sae, bios, monkeypatch) -> None:
    """Each text by itself gives what all of them give together."""
    from interp_widgets.methods import shift_passes

    arguments = {"site": "resid_post.2", "dictionaries": [toy_sae], "splits": ["ambiguous"], "l2": 1e-3}
    together = prepare_shift(toy, bios, **arguments)
    (found,) = run_effects(toy, together, "ambiguous", "label", texts=8, steps=3)
    monkeypatch.setattr(shift_passes, "TOKENS_AT_ONCE", 1)
    alone = prepare_shift(toy, bios, **arguments)
    (each,) = run_effects(toy, alone, "ambiguous", "label", texts=8, steps=3)
    assert torch.allclose(together.readings["ambiguous"].pooled, alone.readings["ambiguous"].pooled, atol=1e-5)
    assert torch.allclose(found.atoms, each.atoms, atol=1e-3)
    assert torch.allclose(found.error, each.error, atol=1e-3)


def test_on_biographies_gender_falls_to_chance_and_profession_rises(toy) -> None:
    """With the atoms that labels choose, on a model whose truth is known; random atoms do not do it."""
    import interp_widgets as iw

    data = toy_biographies(train=80, test=80)
    saes = [iw.load_sae(f"toy-grammar/{site}.{layer}") for layer in (0, 1) for site in ("resid_post", "mlp_out")]
    ranked = methods.shift_effects(
        toy, data, site="resid_post.1", dictionaries=saes, split="balanced", by="spurious", steps=4
    )
    frames.check(ranked, frames.SHIFT_EFFECTS)
    struck = ranked.drop_nulls("atom")["node"].head(10).to_list()
    found = methods.shift(toy, data, site="resid_post.1", dictionaries=saes, struck=struck, draws=2, steps=4)
    before, after = (
        {group: accuracy(found, condition, group) for group in ("label", "spurious", "worst")}
        for condition in ("original", "struck")
    )
    assert before["spurious"] > 0.8
    assert before["worst"] < 0.3
    assert abs(after["spurious"] - 0.5) < 0.11
    assert after["label"] > before["label"] + 0.15
    assert after["worst"] > before["worst"] + 0.4
    random = found.filter(condition="random", retrained=False, group="spurious")["accuracy"]
    assert random.mean() > 0.7


@pytest.mark.parametrize(
    ("change", "kind", "said"),
    [
        (lambda d: d.drop("spurious"), FrameError, "no column spurious"),
        (lambda d: d.filter(pl.col("split") != "test"), TextError, "no texts of the split 'test'"),
        (lambda d: d.with_columns(label=pl.lit("nurse")), TextError, "needs two different values"),
        (lambda d: pl.concat([d, d.filter(split="test").with_columns(split=pl.lit("ambiguous"))]), TextError,
         "must go with one spurious value"),
        (lambda d: d.filter((pl.col("split") != "test") | (pl.col("label") == pl.col("label").first())), TextError,
         "4 texts or more"),
    ],
)  # fmt: skip
def test_data_that_do_not_fit_are_refused_in_a_sentence(toy, bios, change, kind, said) -> None:
    with pytest.raises(kind, match=said):
        methods.shift(toy, change(bios), site="resid_post.1", dictionaries=[], struck=[], baselines=False)


def test_what_cannot_be_struck_is_refused_in_a_sentence(toy, toy_sae, bios) -> None:
    def shift(site: str = "resid_post.2", saes=(toy_sae,), struck=()):
        return methods.shift(toy, bios, site=site, dictionaries=saes, struck=struck, baselines=False)

    with pytest.raises(TextError, match="no atom that can be struck"):
        shift(struck=["resid_post.2/error"])
    with pytest.raises(TextError, match="no atom that can be struck"):
        shift(struck=["resid_post.1/3"])
    with pytest.raises(DictionaryError, match="Atom 9999 does not exist"):
        shift(struck=["resid_post.2/9999"])
    with pytest.raises(SiteError, match="comes after the probe"):
        shift(site="resid_post.1")
    with pytest.raises(DictionaryError, match="two dictionaries of one site"):
        shift(saes=(toy_sae, toy_sae))
    with pytest.raises(SiteError, match="no vector at each token"):
        shift(site="head_out.1", saes=())
    with pytest.raises(TextError, match="by label or by spurious"):
        methods.shift_effects(toy, bios, site="resid_post.2", dictionaries=[toy_sae], by="gender")
