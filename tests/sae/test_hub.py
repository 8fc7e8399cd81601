"""Dictionaries from the Hugging Face hub, on a hub that is a folder, and with the real one switched off."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import huggingface_hub
import pytest
import torch

import interp_widgets as iw
from interp_widgets.errors import DictionaryError
from interp_widgets.sae import hub

from .conftest import SHA

GOLDEN = Path(__file__).parent / "golden"


@pytest.mark.parametrize(
    ("repo", "folder", "golden", "site"),
    [
        ("EleutherAI/sae-llama-3-8b-32x", "layers.10", "sparsify/layers.10", "resid_post.10"),
        ("EleutherAI/skip", "layers.5.mlp", "sparsify/layers.5.mlp", "mlp_in.5"),
        ("someone/saes", "a/b/standard", "saelens/standard", "resid_post.1"),
        ("someone/lists", "resid_post_layer_1/trainer_0", "dictionary_learning/GatedAutoEncoder", "attn_out.1"),
        (
            "google/gemma-scope-2b-pt-res",
            "layer_20/width_16k/average_l0_71",
            "gemma_scope/gemma-scope-2b-pt-res/layer_20/width_16k/average_l0_71",
            "resid_post.20",
        ),
        (
            "google/gemma-scope-2-1b-pt",
            "transcoder/layer_5_width_16k_l0_medium",
            "gemma_scope/gemma-scope-2-1b-pt/transcoder/layer_5_width_16k_l0_medium",
            "mlp_in.5",
        ),
    ],
)
def test_a_folder_of_a_repository(there, repo, folder, golden, site):
    there.add(repo, folder, GOLDEN / golden)
    there.add(repo, "other", GOLDEN / "saelens" / "standard")
    d = iw.load_sae(f"{repo}/{folder}")
    assert (d.name, d.site) == (f"{repo}/{folder}", site)
    assert (d.origin["repo"], d.origin["folder"], d.origin["revision"]) == (repo, folder, SHA)
    assert d.origin["weights"].startswith(str(there.cache))
    assert all(file.startswith(folder) for file in there.fetched)
    assert not any("expected" in file for file in there.fetched)  # only what is needed
    apart = iw.load_sae(repo, subfolder=folder)
    assert torch.equal(apart.W_enc, d.W_enc)
    assert apart.name == d.name


def test_a_file_of_openais(there):
    there.add("someone/openai", "resid_delta_mlp_v4", GOLDEN / "openai" / "resid_delta_mlp_v4")
    d = iw.load_sae("someone/openai/resid_delta_mlp_v4/autoencoders/3.pt")
    assert d.site == "mlp_out.3"
    assert there.fetched == ["resid_delta_mlp_v4/autoencoders/3.pt"]


def test_a_repository_that_is_one_dictionary(there):
    there.add("someone/one", "", GOLDEN / "saelens" / "jumprelu")
    d = iw.load_sae("someone/one")
    assert (d.name, d.origin["folder"]) == ("someone/one", "")


def test_a_revision(there):
    there.add("someone/one", "", GOLDEN / "saelens" / "jumprelu")
    assert iw.load_sae("someone/one", revision="f" * 40).origin["revision"] == "f" * 40
    assert there.revisions == ["f" * 40]
    iw.load_sae("someone/one")
    assert there.revisions[1] == SHA


def test_a_folder_here_wins(there, tmp_path, monkeypatch):
    shutil.copytree(GOLDEN / "saelens" / "jumprelu", tmp_path / "someone" / "one")
    monkeypatch.chdir(tmp_path)
    assert iw.load_sae("someone/one").name == "one"
    assert not there.revisions


def test_a_folder_that_is_not_there_names_those_that_are(there):
    for layer in range(10):
        there.add("EleutherAI/some", f"layers.{layer}", GOLDEN / "sparsify" / "layers.10")
    with pytest.raises(
        DictionaryError, match=r"no dictionary in a known format at layers\.99; there are layers\.0, .* and more"
    ):
        iw.load_sae("EleutherAI/some/layers.99")
    with pytest.raises(DictionaryError, match=r"known format at its top; there are layers\.0, layers\.1, "):
        iw.load_sae("EleutherAI/some")


def test_a_format_that_is_not_ours(there, tmp_path):
    """As Llama Scope's: hyperparams.json and checkpoints/."""
    (tmp_path / "scope" / "checkpoints").mkdir(parents=True)
    (tmp_path / "scope" / "hyperparams.json").write_text("{}")
    (tmp_path / "scope" / "checkpoints" / "final.safetensors").write_bytes(b"")
    there.add("fnlp/Llama3_1-8B-Base-LXR-8x", "Llama3_1-8B-Base-L0R-8x", tmp_path / "scope")
    with pytest.raises(
        DictionaryError, match=r"no dictionary in a known format at Llama3_1.*Known are folders with sae_weights"
    ):
        iw.load_sae("fnlp/Llama3_1-8B-Base-LXR-8x/Llama3_1-8B-Base-L0R-8x")
    assert not there.fetched


def test_without_an_answer_the_cache_is_used(there):
    there.add("someone/one", "", GOLDEN / "saelens" / "jumprelu")
    first = iw.load_sae("someone/one")
    there.online = False
    again = iw.load_sae("someone/one")
    assert torch.equal(first.W_enc, again.W_enc)
    assert again.origin["revision"] == SHA
    with pytest.raises(
        DictionaryError, match=r"at below; in the cache it has not, and the .* cannot be reached \(no route\)"
    ):
        iw.load_sae("someone/one/below")
    with pytest.raises(
        DictionaryError, match=r"'someone/two' is neither here .* could not be fetched: .*no route.*Check the name"
    ):
        iw.load_sae("someone/two")


def test_a_download_that_breaks_off(there, monkeypatch):
    there.add("someone/one", "", GOLDEN / "saelens" / "jumprelu")

    def broken(*_, local_files_only=False, **__):
        raise OSError("connection reset" if not local_files_only else "nothing")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", broken)
    with pytest.raises(
        DictionaryError, match=r"could not be fetched: the download broke off \(connection reset\)\. Check"
    ):
        iw.load_sae("someone/one")


def test_a_damaged_file_of_the_hub_is_refused_like_one_here(there, tmp_path):
    shutil.copytree(GOLDEN / "saelens" / "jumprelu", tmp_path / "bad")
    (tmp_path / "bad" / "sae_weights.safetensors").write_bytes(b"short")
    there.add("someone/bad", "", tmp_path / "bad")
    with pytest.raises(DictionaryError, match="cannot be read as safetensors"):
        iw.load_sae("someone/bad")


NOWHERE = [
    "word",
    "/absolute/path",
    "./here/not",
    "~/nothing/there",
    "a/../../b",
    "a/b/../c",
    "a\\b/c",
    "https://x/y",
    "a//b",
]


@pytest.mark.parametrize("name", NOWHERE)
def test_names_that_can_be_no_place(there, name):
    assert hub.Place.parse(name) is None
    with pytest.raises(DictionaryError, match=r"There is no dictionary .*: neither a file or folder, nor a place on"):
        iw.load_sae(name)


OFFLINE = """
import interp_widgets as iw
from interp_widgets.errors import DictionaryError
print(iw.load_sae("someone/kept/layers.10").origin["revision"])
for name in ("someone/kept/layers.11", "someone/one/layers.3"):
    try:
        iw.load_sae(name)
    except DictionaryError as error:
        print(error)
"""


def test_offline_for_real(tmp_path):
    """The hub's client itself, switched off: its cache is used, else one sentence at once, and no network."""
    kept = tmp_path / "hub" / "models--someone--kept"
    shutil.copytree(GOLDEN / "sparsify" / "layers.10", kept / "snapshots" / SHA / "layers.10")
    (kept / "refs").mkdir()
    (kept / "refs" / "main").write_text(SHA)
    env = os.environ | {"HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", OFFLINE], env=env, capture_output=True, text=True, check=True, timeout=120
    )
    found, lacking, missing = done.stdout.splitlines()
    off = "the Hugging Face hub is switched off by HF_HUB_OFFLINE"
    assert found == SHA
    assert lacking.startswith(
        f"someone/kept has no dictionary in a known format at layers.11; in the cache it has not, and {off}."
    )
    assert missing == (
        f"'someone/one/layers.3' is neither here nor bundled, and someone/one could not be fetched: {off}. Check the name and the "
        "connection, or give a local folder."
    )
