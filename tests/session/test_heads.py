"""Queries, keys, values, heads and neurons: what is read and what is changed, of all heads and of one.

`test_architectures.py` compares every site with what hooks see. Here is what hooks cannot show: that heads stand in the same
order everywhere, and that one of several parts of one tensor can be changed while the others stay.
"""

from __future__ import annotations

import sys
from collections.abc import Callable

import pytest
import torch

import interp_widgets as iw
from interp_widgets.session.session import Session
from tests.session import tiny
from tests.session.families import IDS, Family, change, hooked, make, places
from tests.session.tiny import HEADS, LAYERS

torch.set_num_threads(1)

KV_HEADS = dict.fromkeys(tiny.VARIANTS, HEADS) | {
    **dict.fromkeys(("llama-grouped", "mistral", "qwen2", "qwen3", "gemma2", "gemma3_text", "phi", "falcon-new"), 2),
    **dict.fromkeys(("falcon", "falcon-new-one-norm"), 1),
}
FUSED = ("gpt2", "gpt_neox", "mpt", "falcon", "falcon-new", "falcon-sequential")
UNIT_KINDS = ("q", "k", "v", "head_out", "mlp_act")

Do = Callable[[torch.Tensor], torch.Tensor]


@pytest.fixture(scope="module", params=tiny.VARIANTS)
def family(request: pytest.FixtureRequest) -> Family:
    return make(request.param)


@pytest.fixture(scope="module", params=FUSED)
def fused(request: pytest.FixtureRequest) -> Family:
    return make(request.param)


def part(family: Family, kind: str, made: torch.Tensor) -> torch.Tensor:
    """The part of a projection's output that is a site, as a view [batch, tokens, groups, heads, width] to write into."""
    width, kv, stem = family.session.head_width, KV_HEADS[family.variant], tiny.CONFIGS[family.variant][0]
    if stem in ("GPTNeoX", "Falcon") and family.variant != "falcon":
        made = made.view(*made.shape[:2], kv, HEADS // kv + 2, width)
        return {"q": made[..., :-2, :], "k": made[..., -2:-1, :], "v": made[..., -1:, :]}[kind]
    made = made.view(*made.shape[:2], 1, -1, width)
    if stem in ("GPT2", "Mpt", "Falcon"):
        return made.split([HEADS, kv, kv], dim=-2)["qkv".index(kind)]
    return made


def rewritten(family: Family, kind: str, do: Do) -> Do:
    """What a hook on the projection has to do so that the heads [batch, tokens, heads, width] of a kind go through `do`."""

    def inner(made: torch.Tensor) -> torch.Tensor:
        whole = made.clone()
        old = part(family, kind, whole)
        old.copy_(do(old.flatten(2, 3)).view(old.shape))
        return whole

    return inner


@torch.no_grad()
def hooked_logits(family: Family, site: str, do: Do) -> torch.Tensor:
    with hooked(family.plain, *places(family)[site], do):
        return family.plain(torch.tensor(IDS), use_cache=False).logits


def logits(session: Session, edit: dict[str, Do] | None = None) -> torch.Tensor:
    return session.run(IDS, ["logits"], edit=edit)["logits"]


def noise(like: torch.Tensor) -> torch.Tensor:
    """The same for the same shape."""
    return torch.randn(like.shape, generator=torch.Generator().manual_seed(5))


# how many there are


def test_sizes_are_those_of_the_configuration(family):
    session, config = family.session, tiny.config(family.variant)
    assert session.num_kv_heads == KV_HEADS[family.variant]
    assert session.head_width == (getattr(config, "head_dim", None) or tiny.WIDTH // HEADS)
    assert session.read(IDS[0], ["mlp_act.0"])["mlp_act.0"].shape[-1] == session.layout.neurons


# units


@pytest.mark.parametrize("kind", UNIT_KINDS)
def test_one_unit_is_its_row_of_all_units(family, kind):
    count = family.session.layout.units(kind)[0]
    names = [f"{kind}.1.{unit}" for unit in range(count)]
    found = family.session.run(IDS, [f"{kind}.1", *names])
    width = () if kind == "mlp_act" else (family.session.head_width,)
    assert found[f"{kind}.1"].shape == (3, 7, count, *width)
    assert torch.equal(torch.stack([found[name] for name in names], dim=2), found[f"{kind}.1"])


def test_one_neuron_of_a_text_is_a_vector(family):
    found = family.session.read(IDS[0], ["mlp_act.1.5", "mlp_act.1"])
    assert found["mlp_act.1.5"].shape == (7,)
    assert torch.equal(found["mlp_act.1.5"], found["mlp_act.1"][:, 5])


@pytest.mark.parametrize("kind", UNIT_KINDS)
def test_an_edit_of_one_unit_changes_that_unit_only(family, kind):
    """At one position, too."""

    def put(value: torch.Tensor) -> torch.Tensor:
        value = value.clone()
        value[:, 3] = noise(value[:, 3])
        return value

    last = family.session.layout.units(kind)[0] - 1
    before = family.session.run(IDS, [f"{kind}.1"])[f"{kind}.1"]
    after = family.session.run(IDS, [f"{kind}.1"], edit={f"{kind}.1.{last}": put})[f"{kind}.1"]
    expected = before.clone()
    expected[:, 3, last] = noise(expected[:, 3, last])
    assert torch.equal(after, expected)
    assert not torch.equal(after, before)


def test_an_edit_of_one_neuron_is_what_a_hook_does(family):
    def one(neurons: torch.Tensor) -> torch.Tensor:
        neurons = neurons.clone()
        neurons[..., 5] = neurons[..., 5] * 0.5 + 1
        return neurons

    found = logits(family.session, {"mlp_act.0.5": lambda value: value * 0.5 + 1})
    assert torch.equal(found, hooked_logits(family, "mlp_act.0", one))
    assert not torch.allclose(found, logits(family.session), atol=1e-3)


# queries, keys and values: changing


@pytest.mark.parametrize("kind", ["q", "k", "v"])
def test_an_edit_of_all_heads_is_what_a_hook_does(family, kind):
    for layer in range(LAYERS):
        found = logits(family.session, {f"{kind}.{layer}": change})
        expected = hooked_logits(family, f"{kind}.{layer}", rewritten(family, kind, change))
        torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)
        assert not torch.allclose(found, logits(family.session), atol=1e-3)


@pytest.mark.parametrize("kind", ["q", "k", "v"])
def test_an_edit_of_one_head_at_one_position_is_what_a_hook_does(family, kind):
    for head in range(HEADS if kind == "q" else KV_HEADS[family.variant]):

        def one(value: torch.Tensor) -> torch.Tensor:
            value = value.clone()
            value[:, 2] = 3 * noise(value[:, 2])
            return value

        def of_all(heads: torch.Tensor, head: int = head) -> torch.Tensor:
            heads = heads.clone()
            heads[:, :, head] = one(heads[:, :, head])
            return heads

        found = logits(family.session, {f"{kind}.0.{head}": one})
        expected = hooked_logits(family, f"{kind}.0", rewritten(family, kind, of_all))
        torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)
        assert not torch.allclose(found, logits(family.session), atol=1e-4)


def test_edits_of_several_parts_of_one_tensor_all_count(family):
    """One after the other in one module or in three: what is read is what was put in, and nothing else has changed."""
    edit = {"v.1": change, "q.1.2": change, "k.1": change, "q.1.0": noise}  # in no order
    before = family.session.run(IDS, ["q.1", "k.1", "v.1"])
    after = family.session.run(IDS, ["k.1", "q.1", "v.1", "logits"], edit=edit)
    expected = before["q.1"].clone()
    expected[:, :, 0], expected[:, :, 2] = noise(expected[:, :, 0]), change(expected[:, :, 2])
    assert torch.equal(after["q.1"], expected)
    assert torch.equal(after["k.1"], change(before["k.1"]))
    assert torch.equal(after["v.1"], change(before["v.1"]))
    whole = {"q.1": lambda _: expected, "k.1": change, "v.1": change}
    assert torch.equal(after["logits"], logits(family.session, whole))


def test_an_edit_of_queries_leaves_keys_and_values_as_they_are(fused):
    before = fused.session.run(IDS, ["q.1", "k.1", "v.1"])
    after = fused.session.run(IDS, ["q.1", "k.1", "v.1"], edit={"q.1": change})
    assert torch.equal(after["k.1"], before["k.1"])
    assert torch.equal(after["v.1"], before["v.1"])
    assert not torch.equal(after["q.1"], before["q.1"])


# identities that need no table of layouts


def mixed(found: dict[str, torch.Tensor], layer: int) -> torch.Tensor:
    """Each head's pattern applied to the values it uses: neighbouring heads share where there are fewer values than heads."""
    values = found[f"v.{layer}"]
    values = values.repeat_interleave(found[f"pattern.{layer}"].shape[-3] // values.shape[-2], dim=-2)
    return torch.einsum("...hqk,...khd->...qhd", found[f"pattern.{layer}"], values)


def test_a_head_gives_the_values_that_its_pattern_chooses(family):
    found = family.session.run(IDS, family.session.sites())
    for layer in range(LAYERS):
        torch.testing.assert_close(found[f"head_out.{layer}"], mixed(found, layer), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(("name", "text"), [("modadd-59", "3 5 ="), ("toy-grammar", "the keys to the cabinet")])
def test_a_bundled_model_has_queries_keys_and_values(name, text):
    session = iw.load(name)
    found = session.read(text, session.sites())
    for layer in range(session.num_layers):
        torch.testing.assert_close(found[f"head_out.{layer}"], mixed(found, layer), atol=1e-5, rtol=1e-5)
        assert found[f"k.{layer}"].shape == (len(session.encode(text)), session.num_kv_heads, session.head_width)


def attention(q: torch.Tensor, k: torch.Tensor) -> torch.Tensor:
    """Causal attention patterns [batch, heads, tokens, tokens] of [batch, tokens, heads, width]."""
    k = k.repeat_interleave(q.shape[-2] // k.shape[-2], dim=-2)
    scores = torch.einsum("bqhd,bkhd->bhqk", q, k) / q.shape[-1] ** 0.5
    return scores.masked_fill(torch.ones_like(scores, dtype=torch.bool).triu(1), -torch.inf).softmax(-1)


@pytest.mark.parametrize("variant", ["gpt2", "opt"])
def test_queries_and_keys_make_the_pattern(variant):
    found = make(variant).session.run(IDS, ["q.1", "k.1", "pattern.1"])
    torch.testing.assert_close(found["pattern.1"], attention(found["q.1"], found["k.1"]), atol=1e-5, rtol=1e-5)


def test_queries_and_keys_make_the_pattern_of_the_bundled_addition():
    found = iw.load("modadd-59").run([[3, 5, 59], [40, 12, 59]], ["q.0", "k.0", "pattern.0"])
    torch.testing.assert_close(found["pattern.0"], attention(found["q.0"], found["k.0"]), atol=1e-5, rtol=1e-5)


ROTARY = {
    "llama": "model",
    "llama-grouped": "model",
    "qwen2": "model",
    "gpt_neox": "gpt_neox",
    "falcon": "transformer",
    "falcon-new": "transformer",
    "falcon-new-one-norm": "transformer",
}
"""Families whose queries and keys meet nothing but a rotary embedding -> the module that holds it."""


@pytest.mark.parametrize("variant", ROTARY)
def test_queries_and_keys_make_the_pattern_once_they_are_rotated(variant):
    """Rotated by transformers' own function."""
    family = make(variant)
    found = family.session.run(IDS, ["q.1", "k.1", "pattern.1"])
    rotate = sys.modules[type(family.attention(1)).__module__].apply_rotary_pos_emb
    angles = family.plain.get_submodule(ROTARY[variant]).rotary_emb(found["q.1"], torch.arange(7)[None])
    q, k = (found[site].transpose(1, 2) for site in ("q.1", "k.1"))
    q, k = (rotate(x, x, *angles)[0].transpose(1, 2) for x in (q, k))
    torch.testing.assert_close(found["pattern.1"], attention(q, k), atol=1e-5, rtol=1e-5)
    assert not torch.allclose(found["pattern.1"], attention(found["q.1"], found["k.1"]), atol=1e-3)


ALIBI = ("mpt", "falcon-sequential")
"""A bias by distance is added to the scores."""


@pytest.mark.parametrize("kind", ["q", "k"])
def test_without_queries_or_keys_a_token_looks_at_all_alike(family, kind):
    session = family.session
    before = session.run(IDS, ["pattern.1"])["pattern.1"]
    found = session.run(IDS, ["pattern.1"], edit={f"{kind}.1": torch.zeros_like})["pattern.1"]
    assert not torch.allclose(found, before, atol=1e-2)
    if family.variant in ALIBI:  # then only the distance counts, not what the tokens are
        assert torch.allclose(found, found[:1])
        return
    sees = (before > 0).float()
    torch.testing.assert_close(found, sees / sees.sum(-1, keepdim=True), atol=1e-6, rtol=1e-6)


def test_without_one_heads_queries_that_head_alone_looks_at_all_alike():
    session = make("falcon-new").session
    before = session.run(IDS, ["pattern.1"])["pattern.1"]
    found = session.run(IDS, ["pattern.1"], edit={"q.1.2": torch.zeros_like})["pattern.1"]
    assert torch.equal(found[:, [0, 1, 3]], before[:, [0, 1, 3]])
    torch.testing.assert_close(found[0, 2, -1], torch.full((7,), 1 / 7))


def test_without_one_key_the_heads_that_share_it_look_at_all_alike():
    session = make("llama-grouped").session
    before = session.run(IDS, ["pattern.1"])["pattern.1"]
    found = session.run(IDS, ["pattern.1"], edit={"k.1.1": torch.zeros_like})["pattern.1"]
    assert torch.equal(found[:, :2], before[:, :2])
    torch.testing.assert_close(found[0, 2:, -1], torch.full((2, 7), 1 / 7))
