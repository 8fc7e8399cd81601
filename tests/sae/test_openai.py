"""OpenAI's .pt files: sites, and what is refused. What its own numbers are: test_golden.py."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch

import interp_widgets as iw
from interp_widgets.errors import DictionaryError

GOLDEN = Path(__file__).parent / "golden" / "openai"
RELU = GOLDEN / "resid_delta_mlp_v4" / "autoencoders" / "3.pt"
KEYS = ("encoder.weight", "latent_bias", "decoder.weight", "pre_bias")


def write(tmp_path, path="resid_delta_mlp/autoencoders/3.pt", **changes):
    """The golden file elsewhere, with some entries replaced; None leaves one out. `__` in a name stands for a dot."""
    file = tmp_path / path
    file.parent.mkdir(parents=True, exist_ok=True)
    found = torch.load(RELU, weights_only=True) | {key.replace("__", "."): value for key, value in changes.items()}
    torch.save({key: value for key, value in found.items() if value is not None}, file)
    return file


@pytest.mark.parametrize(
    ("path", "site"),
    [
        ("mlp_post_act/autoencoders/0.pt", "mlp_act.0"),
        ("resid_delta_mlp_v4/autoencoders/11.pt", "mlp_out.11"),
        ("resid_delta_attn_v5_32k/autoencoders/2.pt", "attn_out.2"),
        ("resid_post_attn/autoencoders/5.pt", "resid_mid.5"),
        ("resid_post_mlp_v5_128k/autoencoders/8.pt", "resid_post.8"),
    ],
)
def test_the_folders_of_the_release_say_the_site(tmp_path, path, site):
    d = iw.load_sae(write(tmp_path, path))
    assert (d.site, d.name) == (site, f"autoencoders/{Path(path).stem}")


def test_other_folders_need_a_site(tmp_path):
    file = write(tmp_path, "mine.pt")
    with pytest.raises(DictionaryError, match=r"does not lie in folders named as in .* where this dictionary belongs"):
        iw.load_sae(file)
    assert iw.load_sae(file, site="resid_post.1").site == "resid_post.1"


def test_without_the_name_of_a_nonlinearity_it_is_relu(tmp_path):
    assert iw.load_sae(write(tmp_path, activation=None, activation_state_dict=None)).origin["architecture"] == "ReLU"


def test_another_nonlinearity_is_refused(tmp_path):
    with pytest.raises(DictionaryError, match=r"activation 'Identity' .*cannot be read; ReLU \(v1 and v4\) and TopK"):
        iw.load_sae(write(tmp_path, activation="Identity"))
    options = {"k": 5, "postact_fn": "Identity"}
    with pytest.raises(DictionaryError, match=r"activation 'TopK' .*Identity.* cannot be read; ReLU"):
        iw.load_sae(write(tmp_path, activation="TopK", activation_state_dict=options))


@pytest.mark.parametrize("options", [None, 3, {}, {"k": 0}, {"k": "5"}])
def test_topk_without_a_number(tmp_path, options):
    with pytest.raises(DictionaryError, match="gives no k"):
        iw.load_sae(write(tmp_path, activation="TopK", activation_state_dict=options))


@pytest.mark.parametrize("key", KEYS)
def test_a_missing_tensor(tmp_path, key):
    with pytest.raises(DictionaryError, match=f"lacks {key}, which"):
        iw.load_sae(write(tmp_path, **{key: None}))


def test_a_tied_dictionary_has_no_decoder(tmp_path):
    with pytest.raises(DictionaryError, match=r"lacks decoder\.weight"):
        iw.load_sae(write(tmp_path, decoder__weight=None))


def test_a_width_that_is_not_the_encoders(tmp_path):
    with pytest.raises(DictionaryError, match=r"W_dec has shape \(31, 8\), but W_enc \(8, 32\) needs \(32, 8\)"):
        iw.load_sae(write(tmp_path, decoder__weight=torch.zeros(8, 31)))


@pytest.mark.parametrize("key", KEYS)
def test_weights_that_are_not_finite(tmp_path, key):
    bad = torch.full_like(torch.load(RELU, weights_only=True)[key], float("nan"))
    with pytest.raises(DictionaryError, match="has entries that are not finite"):
        iw.load_sae(write(tmp_path, **{key: bad}))


@pytest.mark.parametrize("size", [0, 3, 100, -8])
def test_a_file_that_is_cut_off(tmp_path, size):
    file = write(tmp_path)
    file.write_bytes(file.read_bytes()[:size])
    with pytest.raises(DictionaryError, match=r"3\.pt cannot be read as weights .*damaged"):
        iw.load_sae(file)


class Trap:
    """Unpickling this makes a folder."""

    def __init__(self, where):
        self.where = where

    def __reduce__(self):
        return (os.mkdir, (str(self.where),))


@pytest.mark.parametrize("key", ["activation_state_dict", "pre_bias"])
def test_code_in_a_pickle_is_refused_and_not_run(tmp_path, key):
    sprung = tmp_path / "sprung"
    file = write(tmp_path, **{key: Trap(sprung)})
    with pytest.raises(DictionaryError, match="code in a file is never run"):
        iw.load_sae(file)
    assert not sprung.exists()
    torch.load(file, weights_only=False)  # the trap can spring
    assert sprung.exists()


def test_a_folder_of_numbered_files_asks_for_one(tmp_path):
    with pytest.raises(DictionaryError, match=r"has no .*, so there are no weights to read"):
        iw.load_sae(write(tmp_path).parent)
