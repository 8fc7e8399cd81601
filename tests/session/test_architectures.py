"""Every site of every family is the tensor that plain PyTorch hooks see, and a change there is a change there.

How the hooks find a site without the table under test: `families.py`. More on heads and neurons: `test_heads.py`.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

import interp_widgets as iw
from interp_widgets.errors import SiteError, UnknownArchitecture
from interp_widgets.session.architectures import TABLE, Architecture, Tap
from tests.session import tiny
from tests.session.families import IDS, LAST, Family, change, hooked, make, places, plainly
from tests.session.tiny import HEADS, LAYERS

torch.set_num_threads(1)


@pytest.fixture(scope="module", params=tiny.VARIANTS)
def family(request: pytest.FixtureRequest) -> Family:
    return make(request.param)


@pytest.fixture(scope="module", params=[variant for variant in tiny.VARIANTS if variant not in tiny.PARALLEL])
def sequential(request: pytest.FixtureRequest) -> Family:
    return make(request.param)


@pytest.fixture(scope="module", params=tiny.PARALLEL)
def parallel(request: pytest.FixtureRequest) -> Family:
    return make(request.param)


# reading


def test_the_table_has_no_family_that_is_not_tested():
    tested = {tiny.config(variant).model_type for variant in tiny.VARIANTS}
    assert tested | {"modadd"} == set(TABLE)


def test_every_site_of_a_text_is_what_hooks_see(family):
    expected = plainly(family, IDS[:1])
    found = family.session.read(IDS[0], family.session.sites())
    assert found.keys() == expected.keys()
    wrong = [site for site in expected if not torch.equal(found[site], expected[site][0])]
    assert not wrong


def test_every_site_of_a_batch_is_what_hooks_see(family):
    expected = plainly(family, IDS)
    found = family.session.run(IDS, family.session.sites())
    wrong = [site for site in expected if not torch.equal(found[site], expected[site])]
    assert not wrong


def test_sites_read_alone_are_the_same(family):
    together = family.session.read(IDS[0], family.session.sites())
    wrong = [s for s in family.session.sites() if not torch.equal(family.session.read(IDS[0], [s])[s], together[s])]
    assert not wrong


def test_one_head_is_that_row_of_all_heads(family):
    names = [f"head_out.1.{head}" for head in range(HEADS)]
    found = family.session.read(IDS[0], ["head_out.1", *names])
    assert found["head_out.1"].shape[:2] == (len(IDS[0]), HEADS)
    assert torch.equal(torch.stack([found[name] for name in names], dim=1), found["head_out.1"])


def test_a_pattern_is_a_causal_distribution(family):
    pattern = family.session.read(IDS[0], ["pattern.1"])["pattern.1"]
    length = len(IDS[0])
    assert pattern.shape == (HEADS, length, length)
    torch.testing.assert_close(pattern.sum(-1), torch.ones(HEADS, length))
    assert not pattern.triu(1).any()


def test_a_sliding_window_shows_in_the_pattern():
    pattern = make("mistral").session.read(IDS[0], ["pattern.0"])["pattern.0"]
    assert not pattern.tril(-4).any()
    assert pattern.tril(-3).any()


def test_without_eager_attention_the_pattern_is_refused():
    session = iw.load(tiny.model("llama", attention="sdpa"), tokenizer=tiny.tokenizer())
    with pytest.raises(SiteError, match="does not return attention patterns"):
        session.read(IDS[0], ["pattern.0"])


def test_without_eager_attention_the_rest_can_be_read():
    session = iw.load(tiny.model("llama", attention="sdpa"), tokenizer=tiny.tokenizer())
    expected = iw.load(tiny.model("llama"), tokenizer=tiny.tokenizer()).read(IDS[0], ["logits"])["logits"]
    torch.testing.assert_close(session.read(IDS[0], ["logits"])["logits"], expected, atol=1e-4, rtol=1e-4)


# identities that need no table


def test_a_layer_adds_its_two_contributions(family):
    found = family.session.run(IDS, family.session.sites())
    for layer in range(LAYERS):
        total = sum(found[f"{kind}.{layer}"] for kind in ("resid_pre", "attn_out", "mlp_out"))
        torch.testing.assert_close(found[f"resid_post.{layer}"], total, atol=1e-5, rtol=1e-5)


def test_a_layer_reads_what_the_one_before_left(family):
    found = family.session.run(IDS, ["resid_post.0", "resid_pre.1"])
    assert torch.equal(found["resid_post.0"], found["resid_pre.1"])


def test_the_stream_between_is_what_came_in_and_attention(sequential):
    found = sequential.session.run(IDS, sequential.session.sites())
    for layer in range(LAYERS):
        total = found[f"resid_pre.{layer}"] + found[f"attn_out.{layer}"]
        torch.testing.assert_close(found[f"resid_mid.{layer}"], total, atol=1e-6, rtol=1e-6)


def test_the_last_stream_unembeds_to_the_logits(family):
    session = family.session
    last = f"resid_post.{LAST}"
    found = session.run(IDS, [last], then=lambda read: session.unembed(read[last]))
    torch.testing.assert_close(found, session.run(IDS, ["logits"])["logits"], atol=1e-5, rtol=1e-5)


def test_logits_of_some_tokens_are_those_of_all(family):
    session, last = family.session, f"resid_post.{LAST}"
    wanted = torch.arange(7 * 4).reshape(7, 4)
    found = session.run(IDS, [last], then=lambda read: session.token_logits(session.final_norm(read[last]), wanted))
    every = session.run(IDS, ["logits"])["logits"]
    torch.testing.assert_close(found, every.gather(-1, wanted.expand(3, 7, 4)), atol=1e-5, rtol=1e-5)


def test_logits_have_gemma2s_soft_cap():
    family = make("gemma2")
    logits = family.session.read(IDS[0], ["logits"])["logits"]
    raw = family.plain.lm_head(plainly(family, IDS[:1])["final_norm"])[0].detach()
    assert raw.abs().max() > 0.5 >= logits.abs().max()
    torch.testing.assert_close(logits, 0.5 * torch.tanh(raw / 0.5))


def test_logits_can_be_had_of_the_last_position_only(family):
    every = family.session.run(IDS, ["logits"])["logits"]
    found = family.session.run(IDS, ["logits"], logits_to_keep=1)["logits"]
    torch.testing.assert_close(found, every[:, -1:], atol=1e-5, rtol=1e-5)


# changing

EDITED = ("resid_pre", "attn_out", "mlp_in", "mlp_act", "mlp_out", "resid_post")


@torch.no_grad()
def hooked_logits(family: Family, path: str, end: str, do: Callable[[torch.Tensor], torch.Tensor]) -> torch.Tensor:
    with hooked(family.plain, path, end, do):
        return family.plain(torch.tensor(IDS), use_cache=False).logits


def target(family: Family, kind: str, layer: int) -> tuple[str, str]:
    """Where a hook changes a site for all that read it: the layer's own ends for the stream."""
    if kind in ("resid_pre", "resid_post"):
        return f"{family.known.layers}.{layer}", "input" if kind == "resid_pre" else "output"
    if kind == "mlp_in":  # the norm before it may feed the attention, too
        mlp = family.known.down.rpartition(".")[0] or "fc1"
        return f"{family.known.layers}.{layer}.{mlp}", "input"
    return places(family)[f"{kind}.{layer}"]


@pytest.mark.parametrize("kind", EDITED)
def test_an_edit_is_what_a_hook_does(family, kind):
    for layer in range(LAYERS):
        found = family.session.run(IDS, ["logits"], edit={f"{kind}.{layer}": change})["logits"]
        assert torch.equal(found, hooked_logits(family, *target(family, kind, layer), change))
        assert not torch.allclose(found, family.session.run(IDS, ["logits"])["logits"], atol=1e-3)


def test_an_edit_of_one_head_is_what_a_hook_does(family):
    def one(value: torch.Tensor) -> torch.Tensor:
        heads = family.heads(value).clone()
        heads[..., 2, :] = change(heads[..., 2, :])
        return heads.flatten(-2)

    found = family.session.run(IDS, ["logits"], edit={"head_out.0.2": change})["logits"]
    assert torch.equal(found, hooked_logits(family, *target(family, "head_out", 0), one))


def test_edits_of_two_heads_both_count(family):
    both = family.session.run(IDS, ["logits"], edit={"head_out.0.1": change, "head_out.0.2": change})["logits"]

    def two(heads: torch.Tensor) -> torch.Tensor:
        heads = heads.clone()
        heads[..., 1:3, :] = change(heads[..., 1:3, :])
        return heads

    assert torch.equal(both, family.session.run(IDS, ["logits"], edit={"head_out.0": two})["logits"])


def test_an_edit_of_the_stream_between_is_what_a_hook_does(sequential):
    """The layer reads this stream twice, for the MLP and for its own output, so the hook changes it in place."""
    for layer in range(LAYERS):
        path, end = places(sequential)[f"resid_mid.{layer}"]
        expected = hooked_logits(sequential, path, end, lambda value: value.copy_(change(value)))
        found = sequential.session.run(IDS, ["logits"], edit={f"resid_mid.{layer}": change})["logits"]
        assert torch.equal(found, expected)


def test_after_an_edit_of_the_stream_between_the_layer_still_adds_up(sequential):
    names = ["resid_mid.0", "mlp_out.0", "resid_post.0"]
    before = sequential.session.run(IDS, ["resid_mid.0"])["resid_mid.0"]
    found = sequential.session.run(IDS, names, edit={"resid_mid.0": change})
    assert torch.equal(found["resid_mid.0"], change(before))
    torch.testing.assert_close(found["resid_post.0"], found["resid_mid.0"] + found["mlp_out.0"], atol=1e-6, rtol=1e-6)


@pytest.mark.parametrize("kind", ["embed", "final_norm", "logits"])
def test_the_ends_of_the_model_can_be_edited(family, kind):
    found = family.session.run(IDS, ["logits"], edit={kind: change})["logits"]
    if kind == "logits":
        assert torch.equal(found, change(family.session.run(IDS, ["logits"])["logits"]))
    else:
        path = family.known.embed if kind == "embed" else family.known.norm
        assert torch.equal(found, hooked_logits(family, path, "output", change))


def test_an_edited_site_reads_as_edited(family):
    for site in family.session.sites():
        if not site.startswith("pattern"):
            before = family.session.run(IDS, [site])[site]
            after = family.session.run(IDS, [site], edit={site: change})[site]
            assert torch.equal(after, change(before)), site


def test_a_pattern_cannot_be_edited(family):
    with pytest.raises(SiteError, match=r"pattern\.0 can be read but not changed"):
        family.session.run(IDS, ["logits"], edit={"pattern.0": torch.zeros_like})


def test_what_an_edit_puts_in_stays_as_it_is(family):
    """Falcon adds to the MLP's output in place; the tensor of the caller must not be what it adds to."""
    for site in family.session.sites():
        if not site.startswith("pattern"):
            given = torch.randn(family.session.run(IDS, [site])[site].shape)
            kept = given.clone()
            family.session.run(IDS, ["logits"], edit={site: lambda _, given=given: given})
            assert torch.equal(given, kept), site


def test_putting_in_what_is_there_changes_nothing(family):
    expected = family.session.run(IDS, ["logits"])["logits"]
    for site in family.session.sites():
        if not site.startswith("pattern"):
            assert torch.equal(family.session.run(IDS, ["logits"], edit={site: torch.clone})["logits"], expected), site


def test_an_edit_leaves_no_trace_in_the_next_run(family):
    before = family.session.run(IDS, ["logits"])["logits"]
    family.session.run(IDS, ["logits"], edit={"resid_post.0": change})
    assert torch.equal(family.session.run(IDS, ["logits"])["logits"], before)


# starting later


@pytest.mark.parametrize("layer", range(LAYERS))
def test_started_from_the_true_stream_the_run_is_the_full_run(family, layer):
    full = family.session.run(IDS, [f"resid_pre.{layer}", f"resid_post.{layer}", "logits"])
    found = family.session.run(IDS, [f"resid_post.{layer}", "logits"], start=(layer, full[f"resid_pre.{layer}"]))
    assert torch.equal(found["logits"], full["logits"])
    assert torch.equal(found[f"resid_post.{layer}"], full[f"resid_post.{layer}"])


def test_started_from_another_stream_the_run_is_an_edited_run(family):
    stream = torch.randn(3, 7, tiny.WIDTH, generator=torch.Generator().manual_seed(3))
    found = family.session.run(IDS, ["logits"], start=(1, stream))["logits"]
    expected = family.session.run(IDS, ["logits"], edit={"resid_pre.1": lambda _: stream})["logits"]
    assert torch.equal(found, expected)


def test_a_site_below_the_start_is_refused(family):
    stream = torch.zeros(3, 7, tiny.WIDTH)
    with pytest.raises(SiteError, match=r"resid_post\.0 is not computed .*starts at layer 1"):
        family.session.run(IDS, ["resid_post.0"], start=(1, stream))


# refusals


def test_a_family_with_no_stream_between_says_so(parallel):
    assert not any("resid_mid" in site for site in parallel.session.sites())
    with pytest.raises(SiteError, match="has no resid_mid: attention and MLP read the same stream side by side"):
        parallel.session.read(IDS[0], ["resid_mid.0"])


def test_an_unknown_architecture_says_what_to_pass():
    module = tiny.model("llama")
    module.config.model_type = "novel"
    with pytest.raises(UnknownArchitecture, match=r"'novel' \(LlamaForCausalLM\).*iw\.Architecture"):
        iw.load(module, tokenizer=tiny.tokenizer())


def test_an_architecture_by_hand_works():
    module = tiny.model("llama")
    module.config.model_type = "novel"
    row = Architecture(
        layers="model.layers",
        embed="model.embed_tokens",
        final_norm="model.norm",
        head="lm_head",
        attn="self_attn",
        heads_in="self_attn.o_proj",
        mlp="mlp",
        neurons_in="mlp.down_proj",
        qkv=("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"),
        mid=Tap("post_attention_layernorm", "input"),
    )
    session = iw.load(module, tokenizer=tiny.tokenizer(), architecture=row)
    known = make("llama").session
    expected = known.read(IDS[0], known.sites())
    assert session.sites() == known.sites()
    assert all(torch.equal(value, expected[site]) for site, value in session.read(IDS[0], session.sites()).items())


def test_an_architecture_without_projections_has_no_queries():
    row = Architecture(
        layers="model.layers",
        embed="model.embed_tokens",
        final_norm="model.norm",
        head="lm_head",
        attn="self_attn",
        heads_in="self_attn.o_proj",
        mlp="mlp",
        neurons_in="mlp.down_proj",
    )
    session = iw.load(tiny.model("llama"), tokenizer=tiny.tokenizer(), name="tiny", architecture=row)
    assert not any(site.startswith(("q.", "k.", "v.")) for site in session.sites())
    with pytest.raises(
        SiteError, match=r"tiny has no q: its architecture does not say .*iw\.Architecture\(qkv=\.\.\.\)"
    ):
        session.site("q.0.1")


@pytest.mark.parametrize(
    "wrong",
    [
        {"qkv": "attn.c_attn"},
        {"qkv": "attn.c_attn", "fused": "by layer"},
        {"qkv": ("q", "k", "v"), "fused": "by head"},
        {"fused": "by kind"},
    ],
)
def test_an_architecture_says_how_a_fused_projection_is_laid_out(wrong):
    with pytest.raises(UnknownArchitecture, match=r"do not go together\. Name three modules"):
        Architecture("layers", "embed", "norm", "head", "out", "attn", "mlp", "down", **wrong)


def test_opt_that_normalises_afterwards_is_refused():
    module = tiny.model("opt", do_layer_norm_before=False)
    with pytest.raises(UnknownArchitecture, match="do_layer_norm_before is false"):
        iw.load(module, tokenizer=tiny.tokenizer())


def test_the_bundled_addition_has_all_its_sites():
    session = iw.load("modadd-59")
    found = session.read("3 5 =", session.sites())
    assert list(found) == session.sites()
    torch.testing.assert_close(found["resid_post.0"], found["resid_mid.0"] + found["mlp_out.0"])
    torch.testing.assert_close(found["resid_mid.0"], found["resid_pre.0"] + found["attn_out.0"])
