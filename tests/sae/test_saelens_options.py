"""What SAELens folders can say beside their architecture: two sites, heads, norms and factors."""

from __future__ import annotations

import json

import pytest
import torch

import interp_widgets as iw
from interp_widgets.errors import DictionaryError
from tests.sae.folders import D_IN, WIDTH, config, flat, tensors, write

torch.set_num_threads(1)

X = torch.randn(50, D_IN, generator=torch.Generator().manual_seed(5))


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "some-sae"


def close(found, expected):
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)


def meta(**changes):
    return {"model_name": "tiny", "hook_name": "blocks.1.hook_resid_post"} | changes


def transcoder(**changes):
    """Weights and configuration of a skip transcoder that writes size 4."""
    weights = (
        tensors() | {"W_dec": torch.ones(WIDTH, 4), "b_dec": torch.ones(4), "W_skip": torch.ones(4, D_IN)} | changes
    )
    said = {"hook_name": "blocks.1.mlp.hook_in", "hook_name_out": "blocks.1.hook_mlp_out"}
    return config("skip_transcoder", d_out=4, metadata=said), {k: v for k, v in weights.items() if v is not None}


def test_what_a_transcoder_reads_and_writes(folder):
    d = iw.load_sae(write(folder, *transcoder()))
    assert (d.site, d.site_out, d.d_in, d.d_out) == ("mlp_in.1", "mlp_out.1", D_IN, 4)
    assert d.direction(2).shape == (4,)
    other = iw.load_sae(folder, site="resid_pre.3", site_out="resid_post.3")
    assert (other.site, other.site_out) == ("resid_pre.3", "resid_post.3")
    assert iw.load_sae(folder, site_out="resid_post.3").site == "mlp_in.1"


@pytest.mark.parametrize(
    ("said", "sites", "sentence"),
    [
        ({"hook_name_out": None}, {}, r"does not say hook_name_out, .* Pass site_out="),
        ({"hook_name_out": "blocks.1.mlp.hook_in"}, {}, r"is a transcoder, .* read mlp_in\.1 and to write mlp_in\.1"),
        (
            {},
            {"site": "mlp_out.1"},
            r"is a transcoder, .* read mlp_out\.1 and to write mlp_out\.1\. Pass site= and site_out=",
        ),
        (
            {"hook_name": "blocks.1.ln2.hook_normalized"},
            {},
            r"behind the MLP's norm but before its gain, .* pass site=",
        ),
    ],
)
def test_sites_that_no_transcoder_has(folder, said, sites, sentence):
    cfg, weights = transcoder()
    cfg["metadata"] |= said
    with pytest.raises(DictionaryError, match=sentence):
        iw.load_sae(write(folder, cfg, weights), **sites)


def test_a_dictionary_that_is_no_transcoder_writes_what_it_reads(folder):
    write(folder, config(), tensors())
    assert iw.load_sae(folder, site_out="resid_post.1").site_out == "resid_post.1"
    with pytest.raises(DictionaryError, match=r"is no transcoder, but .* read resid_post\.1 and to write mlp_out\.1"):
        iw.load_sae(folder, site_out="mlp_out.1")


def test_the_input_of_the_mlp_as_saelens_calls_that_of_gemma_scope_2(folder):
    """TransformerLens' hook_mlp_in is the stream before the norm; what is meant is the norm's output."""
    cfg, weights = transcoder()
    cfg["metadata"] |= {"hook_name": "blocks.1.hook_mlp_in"}
    assert iw.load_sae(write(folder, cfg, weights)).site == "resid_mid.1"
    cfg["metadata"] |= {"hf_hook_name": "model.layers.1.pre_feedforward_layernorm.output"}
    assert iw.load_sae(write(folder, cfg, weights)).site == "mlp_in.1"


def test_heads(folder):
    said = meta(hook_name="blocks.2.attn.hook_z")
    assert iw.load_sae(write(folder, config(metadata=said), tensors())).site == "head_out.2"
    assert iw.load_sae(write(folder, config(metadata=said | {"hook_head_index": 0}), tensors())).site == "head_out.2.0"
    d = iw.load_sae(write(folder, config(metadata=said, reshape_activations="hook_z"), tensors()))
    heads = X.unflatten(1, (2, 3))
    close(d.encode(heads), d.encode(X))
    close(d.decode(d.encode(X), heads), d.decode(d.encode(X)).unflatten(1, (2, 3)))
    with pytest.raises(DictionaryError, match="these have size 4"):
        d.encode(X[:, :4])
    stream = iw.load_sae(write(folder, config(), tensors()))
    with pytest.raises(DictionaryError, match=r"resid_post\.1\); these have size 3"):
        stream.encode(heads)


def test_names_of_before_version_5(folder):
    cfg = flat()
    cfg |= {"hook_point": "blocks.2.attn.hook_z", "hook_point_head_index": 3, "hook_name": None}
    assert iw.load_sae(write(folder, cfg, tensors())).site == "head_out.2.3"


def test_the_id_on_neuronpedia(folder):
    assert iw.load_sae(write(folder, config(), tensors())).origin["neuronpedia"] is None
    found = iw.load_sae(write(folder, config(metadata=meta(neuronpedia_id="gpt2-small/8-res-jb")), tensors()))
    assert found.origin["neuronpedia"] == "gpt2-small/8-res-jb"


CENTRED = {"model_from_pretrained_kwargs": {"center_writing_weights": True}}


def test_a_model_with_centred_weights_has_a_centred_stream(folder):
    plain = iw.load_sae(write(folder, config(), tensors()))
    d = iw.load_sae(write(folder, config(metadata=meta(**CENTRED)), tensors()))
    mean = X.mean(-1, keepdim=True)
    close(d.encode(X), plain.encode(X - mean))
    close(d.decode(d.encode(X), X), plain.decode(plain.encode(X - mean)) + mean)
    assert iw.load_sae(write(folder, flat(**CENTRED), tensors())).norm == "center"
    heads = meta(hook_name="blocks.2.attn.hook_z", **CENTRED)
    assert iw.load_sae(write(folder, config(metadata=heads), tensors())).norm == ""
    normed = config(metadata=meta(**CENTRED), normalize_activations="layer_norm")
    assert iw.load_sae(write(folder, normed, tensors())).norm == "layer_norm"
    with pytest.raises(
        DictionaryError, match="centred weights together with 'constant_norm_rescale' cannot be honoured"
    ):
        iw.load_sae(write(folder, normed | {"normalize_activations": "constant_norm_rescale"}, tensors()))


@pytest.mark.parametrize("option", ["expected_average_only_in", True])
@pytest.mark.parametrize("factor", [None, 0, -1, "0.4", True, float("nan"), float("inf")])
def test_activations_scaled_by_nobody_knows_how_much(folder, option, factor):
    write(folder, config(normalize_activations=option), tensors())
    if factor is not None:
        (folder / "activation_scaler.json").write_text(json.dumps({"scaling_factor": factor}))
    with pytest.raises(DictionaryError, match=r"no file says by how much\. Write .* to activation_scaler\.json"):
        iw.load_sae(folder)


@pytest.mark.parametrize("key", ["scaling_factor", "finetuning_scaling_factor"])
def test_factors_of_finetuning(folder, key):
    weights = tensors() | {key: torch.linspace(0.5, 2, WIDTH)}
    d = iw.load_sae(write(folder, flat(finetuning_scaling_factor=True), weights))
    close(d.W_dec, weights["W_dec"] * weights[key][:, None])
    with pytest.raises(DictionaryError, match=f"the weights have a {key} that is not 1"):
        iw.load_sae(write(folder, flat(), weights))
    for bad in (torch.ones(WIDTH + 1) * 2, torch.full((WIDTH,), float("nan"))):
        with pytest.raises(DictionaryError, match=f"{key} has"):
            iw.load_sae(write(folder, flat(finetuning_scaling_factor=True), weights | {key: bad}))


@pytest.mark.parametrize("key", ["W_enc", "b_enc", "W_dec", "b_dec", "W_skip"])
def test_a_damaged_transcoder(folder, key):
    with pytest.raises(DictionaryError, match=f"lacks {key}, which a skip_transcoder dictionary needs"):
        iw.load_sae(write(folder, *transcoder(**{key: None})))
    cfg, weights = transcoder()
    with pytest.raises(DictionaryError, match=rf"says d_out = 5, but W_dec has shape \({WIDTH}, 4\)"):
        iw.load_sae(write(folder, cfg | {"d_out": 5}, weights))
    whole = weights[key]
    with pytest.raises(DictionaryError, match=f"{key} has entries that are not finite"):
        iw.load_sae(write(folder, *transcoder(**{key: torch.full_like(whole, float("nan"))})))
    with pytest.raises(DictionaryError, match=r"has shape .* needs|says \(d_in, d_sae\)|says d_out"):
        iw.load_sae(write(folder, *transcoder(**{key: torch.ones(*whole.shape[:-1], 5)})))
