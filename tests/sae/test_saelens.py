"""SAELens folders, versions 5 and 6: what a file says is what a dictionary does, and damage is one sentence."""

from __future__ import annotations

import pickle

import pytest
import torch

import interp_widgets as iw
from interp_widgets.errors import DictionaryError
from interp_widgets.sae import load
from tests.sae.folders import D_IN, WIDTH, config, flat, tensors, write

torch.set_num_threads(1)

X = torch.randn(50, D_IN, generator=torch.Generator().manual_seed(5))


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "some-sae"


def close(found, expected):
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)


# what is in the package

BUNDLED = load.bundled()


def test_thirteen_sites_of_toy_grammar_and_two_of_smollm2_are_bundled():
    kinds = [f"{kind}.{layer}" for kind in ("attn_out", "mlp_out", "resid_post") for layer in range(4)]
    assert set(BUNDLED) == {
        "smollm2-135m/15-resid-4096",
        "smollm2-135m/21-resid-4096",
        "toy-grammar/embed",
        *(f"toy-grammar/{kind}" for kind in kinds),
    }


@pytest.mark.parametrize("name", BUNDLED)
def test_a_bundled_dictionary_loads(name):
    d = iw.load_sae(name)
    site = name.split("/")[1]
    toy = name.startswith("toy")
    assert (d.name, d.site) == (name, site if toy else f"resid_post.{site.partition('-')[0]}")
    assert (d.d_in, d.width, d.k) == ((128, 384, 8) if toy else (576, 4096, 32))
    assert len(d.origin["sha256"]) == 64


@pytest.mark.parametrize("name", [name for name in BUNDLED if name.startswith("toy")])
def test_a_bundled_dictionary_explains_its_site(name):
    d, model = iw.load_sae(name), iw.load("toy-grammar")
    text = "when mary and john went to the store , john gave a drink to mary ."
    x = model.read(text, [d.site])[d.site][1:]
    error = (x - d.decode(d.encode(x))).pow(2).sum() / (x - x.mean(0)).pow(2).sum()
    assert error < 0.25
    assert (d.encode(x) > 0).sum(-1).max() <= 8


# the equations, on files written here


def test_standard(folder):
    w = tensors()
    d = iw.load_sae(write(folder, config(), w))
    close(d.encode(X), ((X - w["b_dec"]) @ w["W_enc"] + w["b_enc"]).relu())
    close(d.decode(d.encode(X)), d.encode(X) @ w["W_dec"] + w["b_dec"])
    assert (d.name, d.site, d.origin["model"]) == ("some-sae", "resid_post.1", "tiny")


def test_without_subtracting_the_bias(folder):
    w = tensors()
    d = iw.load_sae(write(folder, config(apply_b_dec_to_input=False), w))
    close(d.encode(X), (X @ w["W_enc"] + w["b_enc"]).relu())


def keep(h, k):
    least = h.sort(dim=-1, descending=True).values[:, k - 1 : k]
    return torch.where(h >= least, h, 0).clamp(min=0)


def test_topk(folder):
    w = tensors()
    d = iw.load_sae(write(folder, config("topk", k=3), w))
    close(d.encode(X), keep((X - w["b_dec"]) @ w["W_enc"] + w["b_enc"], 3))


def test_topk_scaled_by_the_norms_of_the_decoder(folder):
    """SAELens: the pre-activations are multiplied by the norms, selected, and decoded with unit directions."""
    w = tensors()
    norm = w["W_dec"].norm(dim=-1)
    d = iw.load_sae(write(folder, config("topk", k=3, rescale_acts_by_decoder_norm=True), w))
    a = keep(((X - w["b_dec"]) @ w["W_enc"] + w["b_enc"]) * norm, 3)
    close(d.encode(X), a)
    close(d.decode(a), (a / norm) @ w["W_dec"] + w["b_dec"])
    plain = iw.load_sae(write(folder, config("topk", k=3), w))
    assert not torch.equal(plain.encode(X) > 0, a > 0)


def test_the_lines_of_a_script_give_these_weights(folder):
    d = iw.load_sae(write(folder, config("topk", k=3, rescale_acts_by_decoder_norm=True), tensors()))
    names = {}
    exec("\n".join(d.reading), names)
    assert all(torch.equal(names["sae"][key], getattr(d, key)) for key in tensors())


def test_jumprelu(folder):
    w = tensors() | {"threshold": torch.linspace(0, 3, WIDTH)}
    d = iw.load_sae(write(folder, config("jumprelu"), w))
    h = (X - w["b_dec"]) @ w["W_enc"] + w["b_enc"]
    close(d.encode(X), torch.where(h > w["threshold"], h, 0).clamp(min=0))


def test_version_5_flat(folder):
    w = tensors()
    d = iw.load_sae(write(folder, flat(), w))
    close(d.encode(X), ((X - w["b_dec"]) @ w["W_enc"] + w["b_enc"]).relu())
    assert (d.site, d.origin["model"]) == ("resid_post.1", "tiny")


def test_version_5_topk(folder):
    w = tensors()
    d = iw.load_sae(write(folder, flat(activation_fn_str="topk", activation_fn_kwargs={"k": 4}), w))
    close(d.encode(X), keep((X - w["b_dec"]) @ w["W_enc"] + w["b_enc"], 4))


def test_version_5_without_an_architecture_is_standard(folder):
    cfg = flat()
    del cfg["architecture"]
    assert iw.load_sae(write(folder, cfg, tensors())).origin["architecture"] == "standard"


def test_half_precision_is_read_as_float32(folder):
    d = iw.load_sae(write(folder, config(), {key: value.half() for key, value in tensors().items()}))
    assert d.W_enc.dtype == torch.float32


def test_more_tensors_than_needed_do_not_disturb(folder):
    assert iw.load_sae(write(folder, config(), tensors() | {"scaling_factor": torch.ones(WIDTH)})).width == WIDTH


@pytest.mark.parametrize("kind", [str, lambda path: path, lambda path: path / "sae_weights.safetensors"])
def test_a_folder_as_text_as_a_path_or_by_its_file(folder, kind):
    assert iw.load_sae(kind(write(folder, config(), tensors()))).width == WIDTH


# damage


def test_a_missing_folder(tmp_path):
    with pytest.raises(
        DictionaryError,
        match=r"There is no dictionary .*neither a file or folder.*nor one of the bundled .*toy-grammar",
    ):
        iw.load_sae(tmp_path / "nothing")


def test_no_configuration(folder):
    with pytest.raises(DictionaryError, match=r"has no cfg\.json; a SAELens folder has one"):
        iw.load_sae(write(folder, None, tensors()))


def test_no_weights(folder):
    with pytest.raises(DictionaryError, match=r"has no sae_weights\.safetensors"):
        iw.load_sae(write(folder, config(), None))


@pytest.mark.parametrize("text", ["{", "", "not json", '{"a": }', "\x00"])
def test_a_configuration_that_is_no_json(folder, text):
    with pytest.raises(DictionaryError, match=r"cfg\.json is not valid JSON"):
        iw.load_sae(write(folder, text, tensors()))


@pytest.mark.parametrize("text", ["[]", "3", "null", '"standard"'])
def test_a_configuration_that_is_no_object(folder, text):
    with pytest.raises(DictionaryError, match="must hold an object"):
        iw.load_sae(write(folder, text, tensors()))


@pytest.mark.parametrize("key", ["W_enc", "b_enc", "W_dec", "b_dec"])
def test_a_missing_tensor(folder, key):
    weights = tensors()
    del weights[key]
    with pytest.raises(DictionaryError, match=f"lacks {key}, which a standard dictionary needs"):
        iw.load_sae(write(folder, config(), weights))


def test_jumprelu_without_its_threshold(folder):
    with pytest.raises(DictionaryError, match="lacks threshold, which a jumprelu dictionary needs"):
        iw.load_sae(write(folder, config("jumprelu"), tensors()))


def gated(**changes):
    weights = tensors()
    width = {name: torch.randn(WIDTH) for name in ("b_mag", "r_mag")} | {"b_gate": weights.pop("b_enc")}
    return weights | width | changes


@pytest.mark.parametrize("key", ["b_gate", "r_mag", "b_mag"])
def test_a_gated_dictionary_without_one_of_its_vectors(folder, key):
    weights = gated()
    del weights[key]
    with pytest.raises(DictionaryError, match=f"lacks {key}, which a gated dictionary needs"):
        iw.load_sae(write(folder, config("gated"), weights))


@pytest.mark.parametrize("key", ["b_gate", "r_mag", "b_mag"])
def test_a_gated_dictionary_with_a_vector_that_does_not_fit(folder, key):
    with pytest.raises(DictionaryError, match=rf"{key} has shape \({WIDTH + 1},\).* needs \({WIDTH},\)"):
        iw.load_sae(write(folder, config("gated"), gated(**{key: torch.zeros(WIDTH + 1)})))
    with pytest.raises(DictionaryError, match=f"{key} has entries that are not finite"):
        iw.load_sae(write(folder, config("gated"), gated(**{key: torch.full((WIDTH,), float("nan"))})))


def test_the_site_that_a_caller_gives_wins(folder):
    assert iw.load_sae(write(folder, config(), tensors()), site="blocks.3.hook_mlp_out").site == "mlp_out.3"
    nowhere = write(folder, config(metadata={"model_name": "tiny"}), tensors())
    assert iw.load_sae(nowhere, site="embed").site == "embed"
    with pytest.raises(DictionaryError, match="'somewhere' is not a site"):
        iw.load_sae(folder, site="somewhere")


@pytest.mark.parametrize("size", [0, 4, 100, -8])
def test_a_file_that_is_cut_off(folder, size):
    file = write(folder, config(), tensors()) / "sae_weights.safetensors"
    file.write_bytes(file.read_bytes()[:size])
    with pytest.raises(DictionaryError, match=r"cannot be read as safetensors .*cut off"):
        iw.load_sae(folder)


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), float("-inf")])
def test_weights_that_are_not_finite(folder, bad):
    weights = tensors()
    weights["W_dec"][2, 2] = bad
    with pytest.raises(DictionaryError, match="W_dec has entries that are not finite"):
        iw.load_sae(write(folder, config(), weights))


@pytest.mark.parametrize("kind", ["topk", "standard"])
@pytest.mark.parametrize("rescaled", [False, True])
def test_a_tensor_of_another_shape(folder, kind, rescaled):
    weights = tensors() | {"W_dec": torch.ones(WIDTH, D_IN + 1)}
    with pytest.raises(DictionaryError, match=rf"W_dec has shape \({WIDTH}, {D_IN + 1}\).*\({D_IN}, {WIDTH}\)"):
        iw.load_sae(write(folder, config(kind, k=3, rescale_acts_by_decoder_norm=rescaled), weights))


def test_an_atom_of_zeros_does_not_break_the_scaling(folder):
    """A dead atom whose direction is zero has norm 0: dividing by it must not make everything not a number."""
    weights = tensors()
    weights["W_dec"][3] = 0
    d = iw.load_sae(write(folder, config("topk", k=3, rescale_acts_by_decoder_norm=True), weights))
    assert d.decode(d.encode(X)).isfinite().all()
    assert not d.encode(X)[:, 3].any()


def test_sizes_in_the_configuration_that_are_not_those_of_the_weights(folder):
    with pytest.raises(DictionaryError, match=rf"\({D_IN + 1}, {WIDTH}\).*\({D_IN}, {WIDTH}\)"):
        iw.load_sae(write(folder, config(d_in=D_IN + 1), tensors()))


@pytest.mark.parametrize("kind", ["matching_pursuit", "temporal", "", None, 3, ["topk"]])
def test_an_unknown_architecture(folder, kind):
    with pytest.raises(DictionaryError, match=r"cannot be read; standard, topk, jumprelu, gated, transcoder, .* can"):
        iw.load_sae(write(folder, config(kind), tensors()))


@pytest.mark.parametrize("name", ["tanh-relu", "gelu"])
def test_an_unknown_nonlinearity_of_version_5(folder, name):
    with pytest.raises(DictionaryError, match=f"activation_fn_str = '{name}' cannot be honoured"):
        iw.load_sae(write(folder, flat(activation_fn_str=name), tensors()))


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("normalize_activations", "covariance_whitening"),
        ("reshape_activations", "something"),
    ],
)
def test_an_option_that_cannot_be_honoured(folder, key, value):
    with pytest.raises(DictionaryError, match=f"{key} = {value!r} cannot be honoured"):
        iw.load_sae(write(folder, config(**{key: value}), tensors()))


@pytest.mark.parametrize("k", [None, 0, -1, "3", 2.5, True])
def test_topk_without_a_number(folder, k):
    with pytest.raises(DictionaryError, match=r"cfg\.json gives no k"):
        iw.load_sae(write(folder, config("topk", k=k), tensors()))


@pytest.mark.parametrize("where", [{}, {"hook_name": None}, {"hook_name": ""}])
def test_no_site(folder, where):
    with pytest.raises(DictionaryError, match=r"cfg\.json does not say hook_name, .*Pass site=, such"):
        iw.load_sae(write(folder, config(metadata=where | {"model_name": "tiny"}), tensors()))


@pytest.mark.parametrize("name", ["somewhere", 3, "blocks.1.ln1.hook_normalized"])
def test_a_site_that_is_none(folder, name):
    with pytest.raises(DictionaryError, match="is not a site"):
        iw.load_sae(write(folder, config(metadata={"model_name": "tiny", "hook_name": name}), tensors()))


@pytest.mark.parametrize("metadata", [["hook"], "text", 3])
def test_metadata_that_is_no_object(folder, metadata):
    with pytest.raises(DictionaryError, match="metadata"):
        iw.load_sae(write(folder, config(metadata=metadata), tensors()))


# pickles


class Trap:
    """Unpickling this opens it."""

    def __reduce__(self):
        return (pytest.fail, ("a pickle was opened",))


@pytest.mark.parametrize(
    "name", ["sae_weights.pt", "sae_weights.pth", "ae.pt", "sae_weights.bin", "cfg.pkl", "sparsity.pt"]
)
def test_a_pickle_beside_it_is_never_opened(folder, name):
    write(folder, config(), tensors())
    (folder / name).write_bytes(pickle.dumps(Trap()))
    assert iw.load_sae(folder).width == WIDTH


def test_a_pickle_alone_is_refused_unopened(folder):
    write(folder, config(), None)
    (folder / "sae_weights.pt").write_bytes(pickle.dumps(Trap()))
    with pytest.raises(DictionaryError, match=r"no sae_weights\.safetensors"):
        iw.load_sae(folder)


def test_a_pickle_under_the_name_of_the_weights_is_refused_unopened(folder):
    with pytest.raises(DictionaryError, match="cannot be read as safetensors"):
        iw.load_sae(write(folder, config(), pickle.dumps(Trap())))


def test_the_trap_can_spring():
    with pytest.raises(pytest.fail.Exception, match="a pickle was opened"):
        pickle.loads(pickle.dumps(Trap()))
