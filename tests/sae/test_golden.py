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
ALL = sorted(file.parent for file in GOLDEN.rglob("expected.safetensors"))
REFUSED = [f for f in ALL if any(w in str(f.relative_to(GOLDEN)) for w in ("transcoder", "skip-connection", "v5_32k"))]
FOLDERS = [folder for folder in ALL if folder not in REFUSED]


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
    close(d.decode(a), expected["y"])
    close(d.decode(expected["a"]), expected["y"])


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda f: f.relative_to(GOLDEN).as_posix())
def test_the_lines_of_a_script_do_the_same(folder):
    expected, d = load_file(folder / "expected.safetensors"), load(folder)
    names: dict = {"torch": torch, "x": expected["x"]}
    exec("\n".join(d.reading), names)
    sae = names["sae"]
    for key in ("W_enc", "b_enc", "W_dec", "b_dec"):
        assert torch.equal(sae[key], getattr(d, key))
    x = expected["x"] - sae["b_dec"] if d.subtract else expected["x"]
    close(eval(d.formula, {"torch": torch, "sae": sae, "h": x @ sae["W_enc"] + sae["b_enc"]}), expected["a"])


@pytest.mark.parametrize("folder", REFUSED, ids=lambda f: f.relative_to(GOLDEN).as_posix())
def test_what_this_package_cannot_do_is_refused(folder):
    sentence = (
        "skip_connection = True cannot be|read one site and write another, which cannot be|inputs are layer normed"
    )
    with pytest.raises(DictionaryError, match=rf"{sentence}"):
        load(folder)


def test_every_format_has_golden_files():
    assert {folder.relative_to(GOLDEN).parts[0] for folder in FOLDERS} == {
        file.stem.removeprefix("make_") for file in GOLDEN.glob("make_*.py")
    }
