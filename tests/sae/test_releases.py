"""Dictionaries by the names of SAELens' releases: from our own table, and from its list where it is installed."""

from __future__ import annotations

import shutil
import sys
import types
from pathlib import Path

import numpy as np
import pytest
import torch

import interp_widgets as iw
from interp_widgets.errors import DictionaryError
from interp_widgets.sae import hub, releases

GOLDEN = Path(__file__).parent / "golden"


def test_a_release_by_its_canonical_name(there):
    place = "layer_20/width_16k/average_l0_71"
    there.add("google/gemma-scope-2b-pt-res", place, GOLDEN / "gemma_scope" / "gemma-scope-2b-pt-res" / place)
    d = iw.load_sae("gemma-scope-2b-pt-res-canonical/layer_20/width_16k/canonical")
    assert d.site == "resid_post.20"
    assert d.origin["release"] == d.name == "gemma-scope-2b-pt-res-canonical/layer_20/width_16k/canonical"
    assert d.origin["folder"] == place
    assert d.origin["neuronpedia"] == "gemma-2-2b/20-gemmascope-res-16k"
    assert iw.load_sae("gemma-scope-2b-pt-res-canonical", subfolder="layer_20/width_16k/canonical").name == d.name


def test_what_a_release_says_beside_its_files(there):
    """Its model's weights are centred, which the files do not say."""
    there.add("jbloom/GPT2-Small-SAEs-Reformatted", "blocks.8.hook_resid_pre", GOLDEN / "saelens" / "standard")
    d = iw.load_sae("gpt2-small-res-jb/blocks.8.hook_resid_pre")
    plain, x = iw.load_sae(GOLDEN / "saelens" / "standard"), torch.randn(4, 8)
    assert d.norm == "center"
    torch.testing.assert_close(d.encode(x), plain.encode(x - x.mean(-1, keepdim=True)))
    assert d.origin["neuronpedia"] == "gpt2-small/8-res-jb"


def test_the_norm_that_a_release_says(there):
    there.add("JoshEngels/Mistral-7B-Residual-Stream-SAEs", "mistral_7b_layer_8", GOLDEN / "saelens" / "standard")
    assert iw.load_sae("mistral-7b-res-wg/blocks.8.hook_resid_pre").norm == "unit_rms"


def test_the_factor_that_a_release_says(there, tmp_path):
    shutil.copytree(GOLDEN / "saelens" / "scaled", tmp_path / "scaled")
    (tmp_path / "scaled" / "activation_scaler.json").unlink()
    folder = "gemma_2b_blocks.12.hook_resid_post_16384"
    there.add("jbloom/Gemma-2b-Residual-Stream-SAEs", folder, tmp_path / "scaled")
    d = iw.load_sae("gemma-2b-res-jb/blocks.12.hook_resid_post")
    unscaled = iw.load_sae(GOLDEN / "saelens" / "scaled")  # by 0.4, see its script
    torch.testing.assert_close(d.W_enc, unscaled.W_enc / 0.4 * 0.21381938399317255)


def test_a_release_without_such_an_id(there):
    with pytest.raises(DictionaryError, match=r"has no dictionary 'x'; it has blocks\.…\.hook_…\."):
        iw.load_sae("gpt2-small-res-jb/x")
    with pytest.raises(
        DictionaryError, match=r"canonical has no dictionary 'layer_99/width_16k/canonical'; it has layer_0/"
    ):
        iw.load_sae("gemma-scope-2b-pt-res-canonical/layer_99/width_16k/canonical")
    with pytest.raises(DictionaryError, match=r"The release gpt2-small-res-jb has no dictionary ''; it has"):
        iw.load_sae("gpt2-small-res-jb")


LIST = """\
first:
  conversion_func: null
  model: tiny
  repo_id: someone/first
  config_overrides:
    normalize_activations: layer_norm
  saes:
  - id: one
    path: deep/one
    neuronpedia: tiny/1-first
    norm_scaling_factor: 0.5
  - id: two/half
    path: deep/two
second-release:
  conversion_func: llama_scope
  repo_id: someone/second
  saes:
  - {id: l0, path: l0}
"""


@pytest.fixture
def listed(there, tmp_path, monkeypatch):
    """SAELens' list, installed."""
    (tmp_path / "sae_lens").mkdir()
    (tmp_path / "sae_lens" / "pretrained_saes.yaml").write_text(LIST)
    spec = types.SimpleNamespace(submodule_search_locations=[str(tmp_path / "sae_lens")])
    monkeypatch.setattr(releases, "find_spec", lambda name: spec)
    return there


def test_the_list_of_an_installed_saelens_is_read(listed):
    assert releases.find("first/one") == hub.Place(
        "someone/first", "deep/one", None, "first/one", "tiny/1-first", {"normalize_activations": "layer_norm"}, 0.5
    )
    assert releases.find("first/two/half").folder == "deep/two"
    listed.add("someone/first", "deep/two", GOLDEN / "saelens" / "standard")
    assert iw.load_sae("first/two/half").norm == "layer_norm"
    with pytest.raises(DictionaryError, match="first has no dictionary 'three'; it has one, two/half"):
        iw.load_sae("first/three")
    with pytest.raises(
        DictionaryError, match=r"second-release is in a format that cannot be read \(.*with llama_scope\)"
    ):
        iw.load_sae("second-release/l0")
    assert (
        releases.find("gpt2-small-res-jb/blocks.8.hook_resid_pre").repo == "jbloom/GPT2-Small-SAEs-Reformatted"
    )  # our own
    assert releases.find("someone/else") is None


def test_saelens_is_not_imported_for_it(listed):
    releases.find("first/one")
    assert "sae_lens" not in sys.modules


def test_gemma_scope_2_without_its_configuration(there, tmp_path):
    """Some folders of the release have none; their names say the same."""
    golden = GOLDEN / "gemma_scope" / "gemma-scope-2-1b-pt"
    for kind, reads, writes in (
        ("resid_post", "resid_post.5", "resid_post.5"),
        ("mlp_out", "mlp_out.5", "mlp_out.5"),
        ("transcoder", "mlp_in.5", "mlp_out.5"),
    ):
        shutil.copytree(golden / kind / "layer_5_width_16k_l0_medium", tmp_path / kind)
        (tmp_path / kind / "config.json").unlink()
        there.add("google/gemma-scope-2-1b-pt", f"{kind}_all/layer_5_width_16k_l0_small", tmp_path / kind)
        d = iw.load_sae(f"google/gemma-scope-2-1b-pt/{kind}_all/layer_5_width_16k_l0_small")
        assert (d.site, d.site_out) == (reads, writes)


def test_transcoders_of_gemma_scope_1_are_refused(there, tmp_path):
    """They read behind a norm whose gain is folded away, so the numbers would be wrong."""
    golden = GOLDEN / "gemma_scope/gemma-scope-2b-pt-res/layer_20/width_16k/average_l0_71"
    there.add("google/gemma-scope-2b-pt-transcoders", "layer_20/width_16k/average_l0_11", golden)
    with pytest.raises(DictionaryError, match=r"is a transcoder of Gemma Scope 1\. These read .* before its gain"):
        iw.load_sae("google/gemma-scope-2b-pt-transcoders/layer_20/width_16k/average_l0_11")
    with np.load(golden / "params.npz") as found:  # nothing in the file says so
        assert set(found) == {"W_enc", "b_enc", "W_dec", "b_dec", "threshold"}
