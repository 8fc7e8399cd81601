"""sparsify's folders: hook points, and what is refused. What its own numbers are: test_golden.py."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

import interp_widgets as iw
from interp_widgets.errors import DictionaryError

GOLDEN = Path(__file__).parent / "golden" / "sparsify"


@pytest.fixture
def copy(tmp_path):
    """A golden folder under another name, with some tensors replaced (None: left out) and some of its configuration."""

    def make(source="layers.10", tensors=(), name="layers.10", **config):
        folder = tmp_path / name
        folder.mkdir()
        said = json.loads((GOLDEN / source / "cfg.json").read_text()) | config
        (folder / "cfg.json").write_text(json.dumps({key: value for key, value in said.items() if value is not ...}))
        changed = load_file(GOLDEN / source / "sae.safetensors") | dict(tensors)
        save_file({key: value for key, value in changed.items() if value is not None}, folder / "sae.safetensors")
        return folder

    return make


@pytest.mark.parametrize(
    ("hookpoint", "site"),
    [
        ("layers.10", "resid_post.10"),
        ("h.0", "resid_post.0"),
        ("layers.3.mlp", "mlp_out.3"),
        ("layers.3.self_attn", "attn_out.3"),
        ("h.5.attn", "attn_out.5"),
        ("layers.7.attention", "attn_out.7"),
        ("embed_tokens", "embed"),
        ("embed_in", "embed"),
    ],
)
def test_hook_points(copy, hookpoint, site):
    assert iw.load_sae(copy(name=hookpoint)).site == site


@pytest.mark.parametrize(
    ("hookpoint", "sites"),
    [("layers.10", ("resid_pre.10", "resid_post.10")), ("h.5.mlp", ("mlp_in.5", "mlp_out.5"))],
)
def test_what_a_transcoder_reads(copy, hookpoint, sites):
    d = iw.load_sae(copy("layers.5.mlp", name=hookpoint))
    assert (d.site, d.site_out) == sites


@pytest.mark.parametrize("hookpoint", ["layers.3.self_attn", "embed_tokens"])
def test_a_transcoder_of_something_else_needs_its_sites(copy, hookpoint):
    folder = copy("layers.5.mlp", name=hookpoint)
    with pytest.raises(DictionaryError, match=r"Pass site="):
        iw.load_sae(folder)
    d = iw.load_sae(folder, site="resid_pre.3", site_out="attn_out.3")
    assert (d.site, d.site_out) == ("resid_pre.3", "attn_out.3")


def test_a_skip_connection_that_is_not_there_or_damaged(copy):
    with pytest.raises(DictionaryError, match="lacks W_skip, which a topk dictionary needs"):
        iw.load_sae(copy("layers.5.mlp", {"W_skip": None}, name="layers.5.mlp"))
    with pytest.raises(DictionaryError, match=r"W_skip has shape \(8, 9\), but W_enc \(8, 32\) needs \(8, 8\)"):
        iw.load_sae(copy("layers.5.mlp", {"W_skip": torch.zeros(9, 8)}, name="layers.6.mlp"))
    with pytest.raises(DictionaryError, match="W_skip has entries that are not finite"):
        iw.load_sae(copy("layers.6", {"W_skip": torch.full((8, 8), float("inf"))}, name="layers.7"))


@pytest.mark.parametrize("name", ["mine", "layers.3.mlp.down_proj", "layers.x", "layers"])
def test_a_folder_that_is_not_named_after_a_hook_point(copy, name):
    folder = copy(name=name)
    with pytest.raises(DictionaryError, match=f"{name} is not named after a hook point .*Pass site="):
        iw.load_sae(folder)
    assert iw.load_sae(folder, site="mlp_out.3").site == "mlp_out.3"


def test_a_folder_of_folders_lists_them(copy):
    folder = copy(name="layers.3")
    copy(name="layers.4")
    with pytest.raises(DictionaryError, match=r"Give one of the folders in it: layers\.3, layers\.4"):
        iw.load_sae(folder.parent)


def test_an_older_configuration_without_an_activation_is_topk(copy):
    assert iw.load_sae(copy(activation=...)).k == 5


@pytest.mark.parametrize("key", ["encoder.weight", "encoder.bias", "W_dec", "b_dec"])
def test_a_missing_tensor(copy, key):
    with pytest.raises(DictionaryError, match=f"lacks {key}, which a topk dictionary needs"):
        iw.load_sae(copy(tensors={key: None}))


def test_a_width_that_is_not_the_encoders(copy):
    with pytest.raises(DictionaryError, match=r"W_dec has shape \(31, 8\), but W_enc \(8, 32\) needs \(32, 8\)"):
        iw.load_sae(copy(tensors={"W_dec": torch.zeros(31, 8)}))


def test_sizes_in_the_configuration(copy):
    with pytest.raises(DictionaryError, match=r"says \(d_in, d_sae\) = \(9, 32\), but W_enc has shape \(8, 32\)"):
        iw.load_sae(copy(d_in=9))


@pytest.mark.parametrize("key", ["encoder.weight", "encoder.bias", "W_dec", "b_dec"])
def test_weights_that_are_not_finite(copy, key):
    tensors = load_file(GOLDEN / "layers.10" / "sae.safetensors")
    with pytest.raises(DictionaryError, match="has entries that are not finite"):
        iw.load_sae(copy(tensors={key: torch.full_like(tensors[key], float("nan"))}))


@pytest.mark.parametrize("size", [0, 4, 100, -8])
def test_a_file_that_is_cut_off(copy, size):
    file = copy() / "sae.safetensors"
    file.write_bytes(file.read_bytes()[:size])
    with pytest.raises(DictionaryError, match=r"cannot be read as safetensors .*cut off"):
        iw.load_sae(file)


@pytest.mark.parametrize("k", [0, -1, None, 2.5, "5", True])
def test_no_k(copy, k):
    with pytest.raises(DictionaryError, match="gives no k"):
        iw.load_sae(copy(k=k))


def test_groups_that_do_not_divide_the_atoms(copy):
    with pytest.raises(DictionaryError, match="32 atoms cannot be split into k = 5 groups"):
        iw.load_sae(copy(activation="groupmax"))


def test_options_that_cannot_be_honoured(copy):
    with pytest.raises(DictionaryError, match="signed = True cannot be honoured"):
        iw.load_sae(copy(signed=True))
    with pytest.raises(DictionaryError, match="activation 'relu' cannot be read; topk and groupmax can"):
        iw.load_sae(copy(name="layers.11", activation="relu"))


def test_no_configuration(copy):
    folder = copy()
    (folder / "cfg.json").unlink()
    with pytest.raises(DictionaryError, match=r"has no cfg\.json; a sparsify folder has one"):
        iw.load_sae(folder)
