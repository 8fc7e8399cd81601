"""Many threads on one module get what one thread gets, and an exception inside a run leaves the session usable."""

from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

import interp_widgets as iw
from interp_widgets.errors import Cancelled, InterpError
from tests.session import tiny

torch.set_num_threads(1)

THREADS = 10


@pytest.fixture(scope="module")
def model():
    return iw.load(tiny.model("llama"), tokenizer=tiny.tokenizer())


def prompt(index):
    length = 3 + index % 5
    return torch.randint(3, tiny.VOCABULARY, (1, length), generator=torch.Generator().manual_seed(index)).tolist()


def ask(session, index):
    """A question that depends on its number in every part: text, edited site, size of the edit, what is read."""
    layer, site = index % tiny.LAYERS, ("resid_pre", "attn_out", "resid_mid", "mlp_out", "head_out")[index % 5]
    edit = {f"{site}.{layer}": lambda value: value * (1 + index)} if index % 3 else {}
    found = session.run(prompt(index), [f"resid_post.{layer}", "pattern.1", "logits"], edit=edit)
    return list(found.values())


def same(left, right):
    return all(torch.equal(a, b) for a, b in zip(left, right, strict=True))


def test_ten_threads_get_the_answers_of_one(model):
    expected = [ask(model, index) for index in range(60)]
    with ThreadPoolExecutor(THREADS) as pool:
        found = list(pool.map(lambda index: ask(model, index), range(60)))
    assert all(map(same, found, expected))


def test_two_sessions_of_one_module_do_not_disturb_each_other():
    module = tiny.model("gpt2")
    sessions = [iw.load(module, tokenizer=tiny.tokenizer()) for _ in range(2)]
    expected = [ask(sessions[0], index) for index in range(40)]
    with ThreadPoolExecutor(THREADS) as pool:
        found = list(pool.map(lambda index: ask(sessions[index % 2], index), range(40)))
    assert all(map(same, found, expected))


def test_models_of_their_own_have_locks_of_their_own(model):
    other = iw.load(tiny.model("llama"), tokenizer=tiny.tokenizer())
    again = iw.load(model.torch_module, tokenizer=tiny.tokenizer())
    assert again._lock is model._lock
    assert other._lock is not model._lock


def test_failures_in_some_threads_leave_the_others_right(model):
    expected = [ask(model, index) for index in range(30)]

    def sometimes(index):
        if index % 4:
            return ask(model, index)
        with pytest.raises(ZeroDivisionError):
            model.run(prompt(index), ["logits"], then=lambda read: 1 / 0)
        return expected[index]

    with ThreadPoolExecutor(THREADS) as pool:
        assert all(map(same, pool.map(sometimes, range(30)), expected))


class Wrong(InterpError):
    """An error of our own kind that nnsight has never heard of."""


def failing(error):
    def fail(_):
        raise error

    return fail


ERRORS = [ValueError("the value"), KeyError("the key"), Wrong("ours"), Cancelled("stopped"), StopIteration("the end")]


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
@pytest.mark.parametrize("where", ["then", "edit"])
def test_an_exception_keeps_its_class_and_message_and_the_session_works(model, where, error):
    expected = ask(model, 7)
    inside = {"then": failing(error)} if where == "then" else {"edit": {"resid_post.0": failing(error)}}
    with pytest.raises(type(error)) as caught:
        model.run(prompt(7), ["logits"], **inside)
    assert isinstance(caught.value, type(error))
    assert error.args[0] in str(caught.value)
    assert not isinstance(error, InterpError) or str(caught.value) == str(error)
    assert same(ask(model, 7), expected)


def test_an_edit_of_another_shape_is_an_error_and_the_session_works(model):
    expected = ask(model, 7)
    with pytest.raises(Exception, match="shape"):
        model.run(prompt(7), ["logits"], edit={"resid_post.0": lambda value: value[..., :3]})
    assert same(ask(model, 7), expected)


def test_an_interrupt_inside_a_run_arrives_and_the_session_works(model):
    with pytest.raises(KeyboardInterrupt):
        model.run(prompt(7), ["logits"], then=failing(KeyboardInterrupt()))
    assert same(ask(model, 7), ask(model, 7))


def test_what_comes_back_needs_no_gradient(model):
    with torch.enable_grad():
        assert not model.read([5, 6], ["logits"])["logits"].requires_grad


def test_then_brings_back_what_it_returns(model):
    ids = prompt(3)
    logits = model.run(ids, ["logits"])["logits"]
    values, best = model.run(ids, ["logits"], then=lambda read: read["logits"].max(-1))
    assert torch.equal(values, logits.max(-1).values)
    assert torch.equal(best, logits.argmax(-1))
