"""Dictionaries made in memory: the equations, the shapes, and what they refuse."""

import pytest
import torch

from interp_widgets.errors import DictionaryError
from interp_widgets.sae import Dictionary, GroupMax, JumpReLU, ReLU, TopK
from tests.sae.folders import D_IN, WIDTH, tensors

torch.set_num_threads(1)


def x(*shape):
    return torch.randn(*shape, D_IN, generator=torch.Generator().manual_seed(5))


def make(kind=ReLU, **changes):
    return kind(**({"name": "made", "site": "resid_post.1"} | tensors() | changes))


def before(d, value):
    """The pre-activations, one sum at a time."""
    h = torch.zeros(WIDTH, dtype=torch.float64)
    for atom in range(WIDTH):
        h[atom] = (
            sum((value - d.b_dec)[j].double() * d.W_enc[j, atom].double() for j in range(D_IN)) + d.b_enc[atom].double()
        )
    return h


def close(found, expected):
    torch.testing.assert_close(found.double(), expected.double(), atol=1e-5, rtol=1e-5)


def test_relu_is_written_out():
    value = x()
    close(make().encode(value), before(make(), value).clamp(min=0))


def test_topk_keeps_the_largest_and_never_a_negative_one():
    d, value = make(TopK, k=3), x()
    h = before(d, value)
    kept = sorted(range(WIDTH), key=lambda atom: -h[atom])[:3]
    close(
        d.encode(value), torch.stack([h[atom].clamp(min=0) if atom in kept else h[atom] * 0 for atom in range(WIDTH)])
    )


def test_topk_gives_fewer_where_fewer_are_positive():
    d = make(TopK, k=8, b_enc=torch.full((WIDTH,), -100.0))
    assert not d.encode(x(4)).any()


def test_topk_of_more_than_all_is_all():
    assert torch.equal(make(TopK, k=999).encode(x(4)), make().encode(x(4)))


def test_groupmax_keeps_the_largest_of_each_group():
    d, value = make(GroupMax, k=5), x()
    h = before(d, value)
    kept = {max(pair, key=lambda atom: h[atom]) for pair in ((i, i + 1) for i in range(0, WIDTH, 2))}
    close(
        d.encode(value), torch.stack([h[atom].clamp(min=0) if atom in kept else h[atom] * 0 for atom in range(WIDTH)])
    )


def test_groups_must_be_of_one_size():
    with pytest.raises(DictionaryError, match="10 atoms cannot be split into k = 3 groups"):
        make(GroupMax, k=3)


def test_jumprelu_is_written_out():
    threshold = torch.linspace(-1, 4, WIDTH)
    value = x()
    d = make(JumpReLU, threshold=threshold)
    h = before(d, value)
    close(d.encode(value), torch.stack([h[i] if h[i] > max(threshold[i], 0) else h[i] * 0 for i in range(WIDTH)]))


def test_at_its_threshold_an_atom_is_off():
    eye = {"W_enc": torch.eye(2), "b_enc": torch.zeros(2), "W_dec": torch.eye(2), "b_dec": torch.zeros(2)}
    d = JumpReLU(name="made", site="embed", threshold=torch.tensor([1.0, 1.0]), **eye)
    assert d.encode(torch.tensor([1.0, 1.5])).tolist() == [0, 1.5]


def test_without_subtraction_the_bias_only_counts_in_the_decoder():
    d, value = make(subtract=False), x(4)
    close(d.encode(value), (value @ d.W_enc + d.b_enc).relu())
    close(d.decode(torch.zeros(WIDTH)), d.b_dec)


def test_decode_is_written_out():
    d = make()
    a = torch.rand(WIDTH)
    close(d.decode(a), sum(a[atom] * d.W_dec[atom] for atom in range(WIDTH)) + d.b_dec)


def test_a_direction_is_what_an_atom_adds():
    d = make()
    one = torch.zeros(WIDTH)
    one[4] = 1
    close(d.decode(one) - d.decode(one * 0), d.direction(4))


@pytest.mark.parametrize("shape", [(), (1,), (5,), (2, 3), (0,)])
@pytest.mark.parametrize("kind", [ReLU, TopK, GroupMax, JumpReLU])
def test_any_leading_axes(kind, shape):
    d = make(kind)
    a = d.encode(x(*shape))
    assert a.shape == (*shape, WIDTH)
    assert d.decode(a).shape == (*shape, D_IN)


def test_other_precisions_are_computed_in_float32():
    d = make()
    assert d.encode(x(3).to(torch.bfloat16)).dtype == torch.float32
    close(d.encode(x(3).double()), d.encode(x(3)))


def test_sizes():
    assert (make().d_in, make().width) == (D_IN, WIDTH)


@pytest.mark.parametrize("atom", [WIDTH, -1, 10**6])
def test_an_atom_that_does_not_exist(atom):
    with pytest.raises(DictionaryError, match=f"Atom {atom} does not exist: made has atoms 0 to {WIDTH - 1}"):
        make().direction(atom)


@pytest.mark.parametrize("size", [D_IN - 1, D_IN + 1, WIDTH])
def test_activations_of_another_size_are_refused_with_both(size):
    with pytest.raises(
        DictionaryError, match=rf"made reads activations of size {D_IN} \(resid_post\.1\); these have size {size}"
    ):
        make().encode(torch.zeros(3, size))


@pytest.mark.parametrize(
    ("key", "shape"), [("b_enc", (D_IN,)), ("W_dec", (D_IN, WIDTH)), ("b_dec", (WIDTH,)), ("b_enc", (WIDTH, 1))]
)
def test_weights_that_do_not_fit_are_refused_with_both_shapes(key, shape):
    with pytest.raises(DictionaryError) as caught:
        make(**{key: torch.zeros(shape)})
    assert all(text in str(caught.value) for text in (key, str(tuple(shape)), str((D_IN, WIDTH))))


@pytest.mark.parametrize("key", ["W_enc", "b_enc", "W_dec", "b_dec"])
@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_weights_that_are_not_finite_are_refused(key, bad):
    weights = tensors()
    weights[key].view(-1)[3] = bad
    with pytest.raises(DictionaryError, match=f"{key} has entries that are not finite"):
        make(**weights)


def test_a_threshold_must_be_finite_and_one_for_each_atom():
    with pytest.raises(DictionaryError, match="threshold has entries that are not finite"):
        make(JumpReLU, threshold=torch.full((WIDTH,), float("nan")))
    with pytest.raises(DictionaryError, match=rf"threshold has shape \({WIDTH - 1},\).*\({WIDTH},\)"):
        make(JumpReLU, threshold=torch.zeros(WIDTH - 1))


def test_an_encoder_that_is_no_matrix_is_refused():
    with pytest.raises(DictionaryError, match="W_enc has shape"):
        make(W_enc=torch.zeros(WIDTH))


@pytest.mark.parametrize("kind", [ReLU, TopK, GroupMax, JumpReLU])
def test_the_formula_is_the_nonlinearity(kind):
    """What `.code()` writes into scripts does what the class does."""
    extra = {"threshold": torch.linspace(-1, 2, WIDTH)} if kind is JumpReLU else {}
    d = make(kind, **extra, **({TopK: {"k": 3}, GroupMax: {"k": 5}}.get(kind, {})))
    h = (x(20) - d.b_dec) @ d.W_enc + d.b_enc
    assert torch.equal(eval(d.formula, {"torch": torch, "h": h, "sae": extra}), d.encode(x(20)))


def test_another_device_keeps_the_rest():
    d = make(TopK, k=3, subtract=False).to("cpu")
    assert isinstance(d, TopK)
    assert (d.k, d.subtract, d.name) == (3, False, "made")


def test_the_base_class_cannot_be_made():
    with pytest.raises(TypeError, match="abstract"):
        make(Dictionary)
