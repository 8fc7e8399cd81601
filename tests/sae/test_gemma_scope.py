"""Gemma Scope's files: sites, and what is refused, zip bombs among it. What its numbers are: test_golden.py."""

from __future__ import annotations

import io
import json
import os
import tracemalloc
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

import interp_widgets as iw
from interp_widgets.errors import DictionaryError

GOLDEN = Path(__file__).parent / "golden" / "gemma_scope"
FIRST = GOLDEN / "gemma-scope-2b-pt-res/layer_20/width_16k/average_l0_71"
SECOND = GOLDEN / "gemma-scope-2-1b-pt/resid_post/layer_5_width_16k_l0_medium"
KEYS = ("W_enc", "b_enc", "W_dec", "b_dec", "threshold")


@pytest.fixture
def folder(tmp_path):
    path = tmp_path / "gemma-scope-2b-pt-res/layer_20/width_16k/average_l0_71"
    path.mkdir(parents=True)
    return path


def write(folder, save=np.savez, **changes):
    """params.npz as in the release, with some arrays replaced; None leaves one out."""
    arrays = dict(np.load(FIRST / "params.npz")) | changes
    save(folder / "params.npz", **{key: value for key, value in arrays.items() if value is not None})
    return folder


def second(folder, tensors=(), **config):
    """params.safetensors and config.json as in the second release, changed."""
    changed = load_file(SECOND / "params.safetensors") | dict(tensors)
    save_file({key: value for key, value in changed.items() if value is not None}, folder / "params.safetensors")
    (folder / "config.json").write_text(json.dumps(json.loads((SECOND / "config.json").read_text()) | config))
    return folder


# sites


@pytest.mark.parametrize(
    ("path", "site"),
    [
        ("gemma-scope-2b-pt-res/layer_20/width_16k/average_l0_71", "resid_post.20"),
        ("models--google--gemma-scope-9b-it-res/snapshots/0a1b/layer_9/width_131k/average_l0_1", "resid_post.9"),
        ("gemma-scope-2b-pt-mlp/layer_0/width_16k/average_l0_5", "mlp_out.0"),
        ("gemma-scope-2b-pt-att/layer_13/width_16k/average_l0_5", "head_out.13"),
    ],
)
def test_the_folders_of_the_release_say_the_site(tmp_path, path, site):
    (tmp_path / path).mkdir(parents=True)
    assert iw.load_sae(write(tmp_path / path)).site == site


@pytest.mark.parametrize("path", ["mine", "layer_3/width_16k", "gemma-scope-2b-pt-res/embedding/width_4k/average_l0_6"])
def test_other_folders_need_a_site(tmp_path, path):
    (tmp_path / path).mkdir(parents=True)
    write(tmp_path / path)
    with pytest.raises(DictionaryError, match=r"does not lie in folders named as in .* Pass site="):
        iw.load_sae(tmp_path / path)
    assert iw.load_sae(tmp_path / path, site="resid_post.3").site == "resid_post.3"


@pytest.mark.parametrize(
    ("hook", "site"),
    [
        ("model.layers.5.output", "resid_post.5"),
        ("model.language_model.layers.17.output", "resid_post.17"),
        ("model.layers.5.post_feedforward_layernorm.output", "mlp_out.5"),
        ("model.layers.5.self_attn.o_proj.input", "head_out.5"),
    ],
)
def test_the_configuration_of_the_second_release_says_the_site(folder, hook, site):
    assert iw.load_sae(second(folder, hf_hook_point_in=hook)).site == site


@pytest.mark.parametrize("hook", [None, "model.layers.5.mlp.output", "somewhere"])
def test_a_hook_point_that_is_no_site(folder, hook):
    with pytest.raises(DictionaryError, match=r"hf_hook_point_in = .* which is no site"):
        iw.load_sae(second(folder, hf_hook_point_in=hook))


# refusals


@pytest.mark.parametrize("key", KEYS)
def test_a_missing_array(folder, key):
    with pytest.raises(DictionaryError, match=f"lacks {key}, which a Gemma Scope dictionary needs; it has"):
        iw.load_sae(write(folder, **{key: None}))


@pytest.mark.parametrize("key", KEYS)
def test_a_missing_tensor_of_the_second_release(folder, key):
    with pytest.raises(DictionaryError, match=f"lacks {key}, which a Gemma Scope dictionary needs; it has"):
        iw.load_sae(second(folder, {key.lower(): None}))


@pytest.mark.parametrize("key", KEYS)
@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_weights_that_are_not_finite(folder, key, bad):
    array = np.load(FIRST / "params.npz")[key].copy()
    array.flat[3] = bad
    with pytest.raises(DictionaryError, match=f"{key} has entries that are not finite"):
        iw.load_sae(write(folder, **{key: array}))


def test_a_width_that_is_not_the_encoders(folder):
    with pytest.raises(DictionaryError, match=r"W_dec has shape \(31, 8\), but W_enc \(8, 32\) needs \(32, 8\)"):
        iw.load_sae(write(folder, W_dec=np.zeros((31, 8), np.float32)))


@pytest.mark.parametrize("size", [0, 4, 1000, -8])
@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_a_file_that_is_cut_off(folder, size, save):
    file = write(folder, save) / "params.npz"
    file.write_bytes(file.read_bytes()[:size])
    with pytest.raises(DictionaryError, match=r"params\.npz cannot be read as npz .*cut off"):
        iw.load_sae(folder)


def test_a_scaling_factor(folder):
    assert iw.load_sae(write(folder, scaling_factor=np.ones(32, np.float32))).width == 32
    with pytest.raises(DictionaryError, match="scaling_factor cannot be honoured"):
        iw.load_sae(write(folder, scaling_factor=np.full(32, 2, np.float32)))


def test_what_the_second_release_has_and_we_do_not(folder):
    with pytest.raises(DictionaryError, match="architecture 'topk' cannot be read; jump_relu can"):
        iw.load_sae(second(folder, architecture="topk"))


def transcoder(folder, tensors=(), **config):
    """The same of a transcoder with a skip connection."""
    golden = GOLDEN / "gemma-scope-2-1b-pt/transcoder/layer_5_width_16k_l0_medium_affine"
    changed = load_file(golden / "params.safetensors") | dict(tensors)
    save_file({key: value for key, value in changed.items() if value is not None}, folder / "params.safetensors")
    (folder / "config.json").write_text(json.dumps(json.loads((golden / "config.json").read_text()) | config))
    return folder


def test_a_damaged_transcoder(folder):
    assert iw.load_sae(transcoder(folder)).W_skip is not None
    with pytest.raises(DictionaryError, match="lacks affine_skip_connection, which a Gemma Scope dictionary needs"):
        iw.load_sae(transcoder(folder, {"affine_skip_connection": None}))
    with pytest.raises(DictionaryError, match=r"W_skip has shape \(8, 7\), but W_enc \(8, 32\) needs \(8, 8\)"):
        iw.load_sae(transcoder(folder, {"affine_skip_connection": torch.zeros(8, 7)}))
    with pytest.raises(DictionaryError, match="W_skip has entries that are not finite"):
        iw.load_sae(transcoder(folder, {"affine_skip_connection": torch.full((8, 8), float("nan"))}))
    with pytest.raises(DictionaryError, match=r"W_dec has shape \(32, 1, 8\)"):  # a cross-layer transcoder
        iw.load_sae(transcoder(folder, {"w_dec": torch.zeros(32, 1, 8)}))
    with pytest.raises(DictionaryError, match=r"says hf_hook_point_out = 'somewhere', which is no site"):
        iw.load_sae(transcoder(folder, hf_hook_point_out="somewhere"))


@pytest.mark.parametrize("size", [0, 4, 100, -8])
def test_a_file_of_the_second_release_that_is_cut_off(folder, size):
    file = second(folder) / "params.safetensors"
    file.write_bytes(file.read_bytes()[:size])
    with pytest.raises(DictionaryError, match=r"params\.safetensors cannot be read as safetensors .*cut off"):
        iw.load_sae(folder)


@pytest.mark.parametrize("key", KEYS)
def test_damaged_weights_of_the_second_release(folder, key):
    whole = load_file(SECOND / "params.safetensors")[key.lower()]
    with pytest.raises(DictionaryError, match=f"{key} has entries that are not finite"):
        iw.load_sae(second(folder, {key.lower(): torch.full_like(whole, float("nan"))}))
    with pytest.raises(DictionaryError, match=r"has shape .* needs"):
        iw.load_sae(second(folder, {key.lower(): torch.zeros(*whole.shape[:-1], 5)}))


def test_no_configuration_of_the_second_release(folder):
    second(folder)
    (folder / "config.json").unlink()
    with pytest.raises(DictionaryError, match=r"has no config\.json; Gemma Scope 2 says there"):
        iw.load_sae(folder)


def test_compressed_files_of_zeros_are_fine(folder):
    assert iw.load_sae(write(folder, np.savez_compressed, b_dec=np.zeros(8, np.float32))).d_in == 8


# hostile files


class Trap:
    """Unpickling this makes a folder."""

    def __init__(self, where):
        self.where = where

    def __reduce__(self):
        return (os.mkdir, (str(self.where),))


def test_an_array_of_objects_is_refused_and_not_unpickled(folder, tmp_path):
    sprung = tmp_path / "sprung"
    write(folder, b_dec=np.array([Trap(sprung)], dtype=object))
    with pytest.raises(DictionaryError, match="b_dec holds object, not numbers"):
        iw.load_sae(folder)
    assert not sprung.exists()
    np.load(folder / "params.npz", allow_pickle=True)["b_dec"]  # the trap can spring
    assert sprung.exists()


def header(shape):
    """The beginning of an array of float32 of a shape."""
    stream = io.BytesIO()
    np.lib.format.write_array_header_1_0(stream, {"descr": "<f4", "fortran_order": False, "shape": shape})
    return stream.getvalue()


def test_a_zip_bomb_is_refused_before_it_is_unpacked(folder):
    """300 MB of zeros in 300 kB."""
    write(folder)
    with (
        zipfile.ZipFile(folder / "params.npz", "w", zipfile.ZIP_DEFLATED) as archive,
        archive.open("W_enc.npy", "w") as stream,
    ):
        stream.write(header((300, 250_000)))
        for _ in range(300):
            stream.write(bytes(10**6))
    tracemalloc.start()
    with pytest.raises(DictionaryError, match=r"its arrays say that they have 300000000\. .* was not unpacked"):
        iw.load_sae(folder)
    assert tracemalloc.get_traced_memory()[1] < 10**7
    tracemalloc.stop()


def test_a_header_that_promises_more_than_is_there(folder):
    with zipfile.ZipFile(folder / "params.npz", "w") as archive:
        archive.writestr("W_enc.npy", header((10**6, 10**6)) + bytes(100))
    with pytest.raises(DictionaryError, match="W_enc says that it has 4000000000000 bytes, but"):
        iw.load_sae(folder)


def test_a_member_that_leaves_the_folder_is_no_array_and_is_not_written(folder):
    write(folder, W_enc=None)
    with zipfile.ZipFile(folder / "params.npz", "a") as archive:
        archive.writestr("../W_enc.npy", header((8, 32)) + bytes(4 * 8 * 32))
    with pytest.raises(DictionaryError, match="lacks W_enc"):
        iw.load_sae(folder)
    assert not (folder.parent / "W_enc.npy").exists()


def test_a_file_that_is_no_archive(folder):
    (folder / "params.npz").write_bytes(b"no archive at all")
    with pytest.raises(DictionaryError, match="cannot be read as npz"):
        iw.load_sae(folder)
