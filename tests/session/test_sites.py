"""Names of sites: our own, those of other libraries, and what is no name at all."""

from dataclasses import replace

import pytest
import torch

import interp_widgets as iw
from interp_widgets.errors import SiteError
from interp_widgets.session.architectures import TABLE
from interp_widgets.session.sites import KINDS, LAYER_KINDS, Site, parse
from tests.session import tiny

torch.set_num_threads(1)


@pytest.fixture(scope="module")
def llama():
    return iw.load(tiny.model("llama"), tokenizer=tiny.tokenizer(), name="tiny")


OWN = [
    "embed",
    "final_norm",
    "logits",
    "head_out.9.6",
    *(f"{kind}.{n}.{n}" for kind in ("q", "k", "v", "head_out", "mlp_act") for n in (0, 15)),
    *(f"{kind}.{n}" for kind in LAYER_KINDS for n in (0, 15)),
]


@pytest.mark.parametrize("name", OWN)
def test_a_name_parsed_and_written_is_the_same(name):
    assert str(parse(name)) == name


def test_a_site_passes_through():
    site = Site("head_out", 3, 1)
    assert parse(site) is site


@pytest.mark.parametrize(
    ("name", "site"),
    [
        # TransformerLens
        ("hook_embed", "embed"),
        ("blocks.0.hook_resid_pre", "resid_pre.0"),
        ("blocks.3.hook_resid_mid", "resid_mid.3"),
        ("blocks.15.hook_resid_post", "resid_post.15"),
        ("blocks.3.hook_attn_out", "attn_out.3"),
        ("blocks.3.hook_mlp_out", "mlp_out.3"),
        ("blocks.3.hook_mlp_in", "resid_mid.3"),
        ("blocks.3.mlp.hook_in", "mlp_in.3"),
        ("blocks.3.mlp.hook_post", "mlp_act.3"),
        ("blocks.3.attn.hook_q", "q.3"),
        ("blocks.3.attn.hook_k", "k.3"),
        ("blocks.3.attn.hook_v", "v.3"),
        ("blocks.3.attn.hook_z", "head_out.3"),
        ("blocks.3.attn.hook_pattern", "pattern.3"),
        ("ln_final.hook_normalized", "final_norm"),
        # nnterp
        ("token_embeddings", "embed"),
        ("layers_input[2]", "resid_pre.2"),
        ("layers_output[12]", "resid_post.12"),
        ("attentions_output[2]", "attn_out.2"),
        ("mlps_output[2]", "mlp_out.2"),
        ("attention_probabilities[2]", "pattern.2"),
        ("logits", "logits"),
    ],
)
def test_names_of_other_libraries_are_understood(name, site):
    assert str(parse(name)) == site


@pytest.mark.parametrize(
    ("family", "name", "site"),
    [
        ("llama", "model.embed_tokens", "embed"),
        ("llama", "model.layers.3", "resid_post.3"),
        ("llama", "model.layers.3.output", "resid_post.3"),
        ("llama", "model.layers.3.input", "resid_pre.3"),
        ("llama", "model.layers.3.self_attn", "attn_out.3"),
        ("llama", "model.layers.3.self_attn.q_proj", "q.3"),
        ("qwen3", "model.layers.3.self_attn.k_proj.output", "k.3"),
        ("opt", "model.decoder.layers.3.self_attn.v_proj", "v.3"),
        ("gptj", "transformer.h.3.attn.k_proj", "k.3"),
        ("llama", "model.layers.3.self_attn.o_proj.input", "head_out.3"),
        ("llama", "model.layers.3.post_attention_layernorm.input", "resid_mid.3"),
        ("llama", "model.layers.3.mlp", "mlp_out.3"),
        ("llama", "model.layers.3.mlp.down_proj.input", "mlp_act.3"),
        ("llama", "model.norm", "final_norm"),
        ("llama", "lm_head", "logits"),
        ("gemma2", "model.layers.3.post_attention_layernorm", "attn_out.3"),
        ("gemma2", "model.layers.3.post_feedforward_layernorm.output", "mlp_out.3"),
        ("gemma2", "model.layers.3.pre_feedforward_layernorm.input", "resid_mid.3"),
        ("gpt2", "transformer.h.11.attn.c_proj.input", "head_out.11"),
        ("gpt2", "transformer.h.11.mlp", "mlp_out.11"),
        ("gpt_neox", "gpt_neox.layers.0.attention", "attn_out.0"),
        ("opt", "model.decoder.layers.0.fc2", "mlp_out.0"),
        ("falcon", "transformer.word_embeddings", "embed"),
        ("mpt", "transformer.blocks.1", "resid_post.1"),
    ],
)
def test_module_paths_are_understood(family, name, site):
    assert str(parse(name, TABLE[family])) == site


@pytest.mark.parametrize(
    ("family", "name"),
    [
        ("llama", "model.layers.3.self_attn.q_proj.input"),
        ("gpt2", "transformer.h.3.attn.c_attn"),  # queries, keys and values in one
        ("falcon", "transformer.h.3.self_attention.query_key_value.output"),
        ("llama", "model.layers.3.mlp.down_proj.inputs"),
        ("llama", "model.layers"),
        ("llama", "transformer.h.3"),
        ("gemma2", "model.layers.3.self_attn"),  # not yet normalised, so not what is added
        ("mpt", "transformer.blocks.1.ffn"),  # has the stream added already
    ],
)
def test_module_paths_that_are_no_site_are_refused(family, name):
    with pytest.raises(SiteError, match="is not a site"):
        parse(name, TABLE[family])


NONSENSE = ["", " ", "resid", "resid_post", "resid_post.", "resid_post.x", "resid_post.-1", "resid_post.1.2", "head_out.1.2.3",
            "q", "q.x", "mlp_act.1.", "pattern.1.2",
            "embed.0", "logits.3", "blocks.x.hook_resid_post", "blocks.1.hook_nothing", "layers_output[]", "layers_output[-1]",
            "unknown[3]", "model.layers.3", "resid_post.1 ", "Resid_post.1", "resid_post.²", "head_out..1"]  # fmt: skip


@pytest.mark.parametrize("name", NONSENSE)
def test_nonsense_is_refused_with_what_to_write(name):
    with pytest.raises(SiteError, match=r"is not a site\. Write kind\.layer, such as resid_post\.15.*TransformerLens"):
        parse(name)


def test_the_sentence_shows_the_name_and_the_kinds():
    with pytest.raises(SiteError) as caught:
        parse("nowhere.3")
    assert all(word in str(caught.value) for word in ("'nowhere.3'", *KINDS))


@pytest.mark.parametrize("name", ["resid_post.2", "blocks.2.hook_resid_post", "layers_output[2]", "model.layers.2"])
def test_a_layer_that_does_not_exist(llama, name):
    with pytest.raises(SiteError, match=r"resid_post\.2 does not exist: tiny has layers 0 to 1"):
        llama.site(name)


def test_a_head_that_does_not_exist(llama):
    for kind in ("q", "head_out"):
        with pytest.raises(
            SiteError, match=rf"{kind}\.1\.4 does not exist: tiny has 4 heads a layer, counted from 0\."
        ):
            llama.site(f"{kind}.1.4")


@pytest.mark.parametrize(("variant", "count"), [("llama-grouped", "2 key-value heads"), ("falcon", "1 key-value head")])
@pytest.mark.parametrize("kind", ["k", "v"])
def test_a_key_value_head_that_does_not_exist(variant, count, kind):
    session = iw.load(tiny.model(variant), tokenizer=tiny.tokenizer(), name="tiny")
    session.site("q.1.3")
    with pytest.raises(SiteError, match=rf"{kind}\.1\.3 does not exist: tiny has {count} a layer, counted from 0\."):
        session.site(f"{kind}.1.3")


def test_a_neuron_that_does_not_exist(llama):
    assert llama.site("mlp_act.1.47") == Site("mlp_act", 1, 47)
    with pytest.raises(
        SiteError, match=r"mlp_act\.1\.48 does not exist: tiny has 48 neurons a layer, counted from 0\."
    ):
        llama.site("mlp_act.1.48")


@pytest.mark.parametrize("variant", ["llama-grouped", "gpt2", "gemma2", "opt", "mpt", "falcon-new"])
def test_the_size_of_a_site_is_how_many_numbers_it_has_at_a_token(variant):
    session = iw.load(tiny.model(variant), tokenizer=tiny.tokenizer())
    names = [name for name in session.sites() if not name.startswith("pattern")]
    names += ["q.0.3", "k.1.0", "head_out.1.2", "mlp_act.0.5"]
    for name, value in session.read([5, 6, 7], names).items():
        assert session.size(name) == value[0].numel(), name
    with pytest.raises(SiteError, match=r"pattern\.0 has no size of its own"):
        session.size("pattern.0")
    with pytest.raises(SiteError, match="is not a site"):
        session.size("somewhere")


def test_an_architecture_that_does_not_say_what_its_mlp_reads():
    row = replace(TABLE["opt"], mlp_in=None)
    session = iw.load(tiny.model("opt"), tokenizer=tiny.tokenizer(), architecture=row, name="tiny")
    assert "mlp_in.0" not in session.sites()
    with pytest.raises(SiteError, match=r"tiny has no mlp_in: .* Name it: iw\.Architecture\(mlp_in=\.\.\.\)"):
        session.site("mlp_in.0")


@pytest.mark.parametrize(
    "site", [Site("resid_post", -1), Site("head_out", 0, -1), Site("k", 0, -1), Site("mlp_act", 0, -1)]
)
def test_numbers_below_zero_do_not_exist(llama, site):
    with pytest.raises(SiteError, match="does not exist"):
        llama.site(site)


def test_sites_come_in_the_order_of_the_forward_pass(llama):
    names = llama.sites()
    assert names == sorted(names, key=lambda name: parse(name).order)
    assert (names[0], names[-2:]) == ("embed", ["final_norm", "logits"])
    assert names.index("resid_post.0") < names.index("resid_pre.1")
    assert [n.split(".")[0] for n in names if n.endswith(".1")] == list(LAYER_KINDS)


def test_sites_can_be_asked_for_in_any_order(llama):
    names = llama.sites()
    forwards, backwards = llama.read([5, 6, 7], names), llama.read([5, 6, 7], names[::-1])
    assert list(backwards) == names[::-1]
    assert all(torch.equal(forwards[name], backwards[name]) for name in names)


def test_what_was_read_is_keyed_by_the_name_as_given(llama):
    names = ["blocks.1.hook_resid_post", "resid_post.1", "model.layers.1", "layers_output[1]"]
    found = llama.read([5, 6, 7], names)
    assert list(found) == names
    assert all(torch.equal(value, found["resid_post.1"]) for value in found.values())
