"""dictionary_learning's ae.pt: classes, sites, and what is refused. What its own numbers are: test_golden.py."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest
import torch

import interp_widgets as iw
from interp_widgets.errors import DictionaryError

GOLDEN = Path(__file__).parent / "golden" / "dictionary_learning"
CLASSES = [folder.name for folder in sorted(GOLDEN.iterdir())]


@pytest.fixture
def copy(tmp_path):
    """A golden folder, with some tensors replaced (None: left out) and some of the trainer's configuration."""

    def make(name, tensors=(), **trainer):
        folder = tmp_path / name
        folder.mkdir()
        config = json.loads((GOLDEN / name / "config.json").read_text())
        config["trainer"] |= trainer
        (folder / "config.json").write_text(json.dumps(config))
        if not tensors:
            shutil.copy(GOLDEN / name / "ae.pt", folder)
            return folder
        changed = torch.load(GOLDEN / name / "ae.pt", weights_only=True) | dict(tensors)
        torch.save({key: value for key, value in changed.items() if value is not None}, folder / "ae.pt")
        return folder

    return make


@pytest.mark.parametrize("name", CLASSES)
def test_without_a_configuration_the_keys_say_the_class(copy, name):
    folder = copy(name)
    said = iw.load_sae(folder)
    (folder / "config.json").unlink()
    if name.startswith(("AutoEncoderTopK", "BatchTopK")):
        with pytest.raises(DictionaryError, match=r"may be an AutoEncoderTopK or a BatchTopKSAE.*Write config\.json"):
            iw.load_sae(folder, site="embed")
        return
    inferred = iw.load_sae(folder, site="embed")
    assert (type(inferred), inferred.origin["architecture"]) == (type(said), said.origin["architecture"])
    assert torch.equal(inferred.W_enc, said.W_enc)
    assert inferred.site == "embed"


def test_a_topk_file_of_before_thresholds(copy):
    folder = copy("AutoEncoderTopK", {"threshold": None})
    (folder / "config.json").unlink()
    assert iw.load_sae(folder, site="embed").k == 5


def test_k_of_the_configuration_where_the_file_has_none(copy):
    assert iw.load_sae(copy("AutoEncoderTopK", {"k": None}, k=4)).k == 4


@pytest.mark.parametrize(
    ("said", "site"),
    [
        ("resid_post_layer_12", "resid_post.12"),
        ("resid_out_layer3", "resid_post.3"),
        ("resid_pre_layer_0", "resid_pre.0"),
        ("attn_out_layer5", "attn_out.5"),
        ("mlp_out_layer_2", "mlp_out.2"),
        ("embed", "embed"),
        ("blocks.4.hook_resid_pre", "resid_pre.4"),
    ],
)
def test_sites(copy, said, site):
    assert iw.load_sae(copy("AutoEncoder", submodule_name=said)).site == site


@pytest.mark.parametrize("said", ["somewhere", "mlp_in_layer_3"])
def test_a_site_that_is_none(copy, said):
    with pytest.raises(DictionaryError, match=f"is said to belong at {said!r}: .* is not a site"):
        iw.load_sae(copy("AutoEncoder", submodule_name=said))


def test_no_site(copy):
    with pytest.raises(DictionaryError, match="says where this dictionary belongs"):
        iw.load_sae(copy("AutoEncoder", submodule_name=None))


def test_an_atom_of_zeros_gives_finite_numbers(copy):
    d = iw.load_sae(copy("AutoEncoder", {"decoder.weight": torch.zeros(8, 32)}))
    assert d.decode(d.encode(torch.ones(8))).isfinite().all()


# refusals


@pytest.mark.parametrize("name", CLASSES)
def test_a_missing_tensor(copy, name):
    key = "W_dec" if "W_dec" in torch.load(GOLDEN / name / "ae.pt", weights_only=True) else "decoder.weight"
    with pytest.raises(DictionaryError, match=f"lacks {key}, which a {name.split('-')[0]} dictionary needs; it has"):
        iw.load_sae(copy(name, {key: None}))


@pytest.mark.parametrize("name", CLASSES)
def test_a_width_that_is_not_the_encoders(copy, name):
    key = "W_dec" if "W_dec" in torch.load(GOLDEN / name / "ae.pt", weights_only=True) else "decoder.weight"
    shape = (31, 8) if key == "W_dec" else (8, 31)
    with pytest.raises(DictionaryError, match=r"(?s)\(31, 8\).*\(8, 32\)"):
        iw.load_sae(copy(name, {key: torch.zeros(shape)}))


def test_sizes_in_the_configuration(copy):
    with pytest.raises(DictionaryError, match=r"says \(d_in, d_sae\) = \(8, 64\), but W_enc has shape \(8, 32\)"):
        iw.load_sae(copy("AutoEncoder", dict_size=64))


@pytest.mark.parametrize("name", CLASSES)
def test_weights_that_are_not_finite(copy, name):
    tensors = torch.load(GOLDEN / name / "ae.pt", weights_only=True)
    for key in (key for key, value in tensors.items() if value.is_floating_point()):
        folder = copy(name, {key: torch.full_like(tensors[key], float("nan"))})
        if (name, key) == ("AutoEncoderTopK", "threshold"):  # its encode does not use it
            iw.load_sae(folder)
        else:
            with pytest.raises(DictionaryError, match="has entries that are not finite"):
                iw.load_sae(folder)
        shutil.rmtree(folder)


@pytest.mark.parametrize("size", [0, 3, 100, -8])
def test_a_file_that_is_cut_off(copy, size):
    folder = copy("AutoEncoder")
    (folder / "ae.pt").write_bytes((folder / "ae.pt").read_bytes()[:size])
    with pytest.raises(DictionaryError, match=r"ae\.pt cannot be read as weights .*damaged"):
        iw.load_sae(folder)


def test_an_unknown_class(copy):
    with pytest.raises(DictionaryError, match="of class 'IdentityDict' cannot be read; AutoEncoder, "):
        iw.load_sae(copy("AutoEncoder", dict_class="IdentityDict"))


@pytest.mark.parametrize("k", [0, -1, None, 2.5, "5"])
def test_topk_without_a_number(copy, k):
    with pytest.raises(DictionaryError, match="gives no k"):
        iw.load_sae(copy("AutoEncoderTopK", {"k": None}, k=k))


@pytest.mark.parametrize("text", ["{", "[]", '{"trainer": 3}'])
def test_a_damaged_configuration(copy, text):
    folder = copy("AutoEncoder")
    (folder / "config.json").write_text(text)
    with pytest.raises(DictionaryError, match=r"not valid JSON|must hold an object|must be an object"):
        iw.load_sae(folder)


class Trap:
    """Unpickling this makes a folder."""

    def __init__(self, where):
        self.where = where

    def __reduce__(self):
        return (os.mkdir, (str(self.where),))


def test_code_in_a_pickle_is_refused_and_not_run(copy, tmp_path):
    folder, sprung = copy("AutoEncoder"), tmp_path / "sprung"
    torch.save({"bias": Trap(sprung)}, folder / "ae.pt")
    with pytest.raises(DictionaryError, match="holds more than tensors; code in a file is never run"):
        iw.load_sae(folder)
    assert not sprung.exists()
    torch.load(folder / "ae.pt", weights_only=False)  # the trap can spring
    assert sprung.exists()


@pytest.mark.parametrize("content", [[1, 2], {"bias": 3}, {"state": {"bias": torch.zeros(3)}}, torch.zeros(3)])
def test_something_else_than_tensors_by_name(copy, content):
    folder = copy("AutoEncoder")
    torch.save(content, folder / "ae.pt")
    with pytest.raises(DictionaryError, match="must hold tensors by name"):
        iw.load_sae(folder)


def test_a_tensor_that_says_it_is_larger_than_its_file(copy):
    huge = torch.zeros(1).expand(10**9, 10**3)  # one number, stride 0
    with pytest.raises(DictionaryError, match=r"says that encoder\.weight is larger"):
        iw.load_sae(copy("AutoEncoder", {"encoder.weight": huge}))
