"""Dictionaries that other libraries wrote give what those libraries give: the files and numbers of golden/make_*.py."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

import interp_widgets as iw
from interp_widgets.errors import DictionaryError

torch.set_num_threads(1)

GOLDEN = Path(__file__).parent / "golden"
FOLDERS = sorted(file.parent for file in GOLDEN.rglob("expected.safetensors"))


def load(folder):
    numbered = [file for file in folder.glob("*.pt") if file.stem.isdecimal()]  # OpenAI's
    return iw.load_sae(numbered[0] if numbered else folder)


def close(found, expected):
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda f: f.relative_to(GOLDEN).as_posix())
def test_encode_and_decode_are_those_of_the_library_that_wrote_it(folder):
    expected, d = load_file(folder / "expected.safetensors"), load(folder)
    a = d.encode(expected["x"])
    assert torch.equal(a > 0, expected["a"] > 0)
    assert 0 < (a > 0).float().mean() < 0.9  # a nonlinearity that does nothing would prove nothing
    close(a, expected["a"])
    close(d.decode(a, expected["x"]), expected["y"])
    close(d.decode(expected["a"], expected["x"]), expected["y"])


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda f: f.relative_to(GOLDEN).as_posix())
def test_decode_without_the_input_is_the_same_or_refused(folder):
    expected, d = load_file(folder / "expected.safetensors"), load(folder)
    if d.needs_input:
        with pytest.raises(DictionaryError, match=r"so decode needs what was encoded, too: decode\(a, x\)"):
            d.decode(expected["a"])
    else:
        close(d.decode(expected["a"]), expected["y"].flatten(1))


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda f: f.relative_to(GOLDEN).as_posix())
def test_the_parts_of_a_reconstruction_add_up(folder):
    expected, d = load_file(folder / "expected.safetensors"), load(folder)
    x, a = expected["x"].flatten(1), expected["a"]
    atoms = sum(a[:, [i]] * d.direction(i) * d.scale(x) for i in range(d.width))
    close(atoms + d.bias(x) + d.skip(x), expected["y"].flatten(1))


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda f: f.relative_to(GOLDEN).as_posix())
def test_the_lines_of_a_script_do_the_same(folder):
    expected, d = load_file(folder / "expected.safetensors"), load(folder)
    names: dict = {"torch": torch, "x": expected["x"]}
    exec("\n".join(d.reading), names)
    sae = names["sae"]
    for key in ("W_enc", "b_enc", "W_dec", "b_dec"):
        assert torch.equal(sae[key], getattr(d, key))
    x = expected["x"].flatten(1)
    h = eval(d.formula_in, {"sae": sae, "x": x}) @ sae["W_enc"] + sae["b_enc"]
    close(eval(d.formula, {"torch": torch, "sae": sae, "h": h}), expected["a"])
    if d.formula_scale:
        close(eval(d.formula_scale, {"x": x}), d.scale(x))
    else:
        assert (d.scale(x) == 1).all()


SITES = {
    "saelens/transcoder": ("mlp_in.1", "mlp_out.1"),
    "saelens/skip_transcoder": ("mlp_in.1", "mlp_out.1"),
    "saelens/heads": ("head_out.1", "head_out.1"),
    "saelens/one-head": ("head_out.1.1", "head_out.1.1"),
    "saelens5/heads": ("head_out.1", "head_out.1"),
    "sparsify/layers.4.mlp": ("mlp_in.4", "mlp_out.4"),
    "sparsify/layers.6": ("resid_post.6", "resid_post.6"),
    "sparsify/layers.7": ("resid_pre.7", "resid_post.7"),
    "gemma_scope/gemma-scope-2-1b-pt/transcoder/layer_5_width_16k_l0_medium": ("mlp_in.5", "mlp_out.5"),
    "gemma_scope/gemma-scope-2-1b-pt/transcoder/layer_5_width_16k_l0_medium_affine": ("mlp_in.5", "mlp_out.5"),
}


@pytest.mark.parametrize("folder", SITES)
def test_what_it_reads_and_writes(folder):
    d = load(GOLDEN / folder)
    assert (d.site, d.site_out) == SITES[folder]
    assert d.transcodes == (d.site != d.site_out)


def test_every_format_has_golden_files():
    assert {folder.relative_to(GOLDEN).parts[0] for folder in FOLDERS} == {
        file.stem.removeprefix("make_") for file in GOLDEN.glob("make_*.py")
    }
