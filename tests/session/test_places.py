"""Changes that do not fit, and sites of a batch that has grown on the way."""

from __future__ import annotations

import pytest
import torch

from interp_widgets.errors import SiteError
from tests.session import tiny
from tests.session.families import IDS, Family, change, make
from tests.session.tiny import HEADS

torch.set_num_threads(1)


@pytest.fixture(scope="module", params=tiny.VARIANTS)
def family(request: pytest.FixtureRequest) -> Family:
    return make(request.param)


def test_an_edit_of_another_shape_is_refused():
    session = make("llama-grouped").session
    with pytest.raises(SiteError, match=r"shape \[3, 7, 4, 8\] in the place of one of shape \[3, 7, 2, 8\]"):
        session.run(IDS, edit={"k.0": lambda _: torch.zeros(3, 7, HEADS, 8)})
    with pytest.raises(SiteError, match=r"shape \[3, 1\] in the place of one of shape \[3, 7\]"):
        session.run(IDS, edit={"mlp_act.0.5": lambda value: value[:, :1]})
    with pytest.raises(SiteError, match=r"shape \[7, 3, 32\] in the place of one of shape \[3, 7, 32\]"):
        session.run(IDS, edit={"resid_post.0": lambda value: value.transpose(0, 1)})


@pytest.mark.parametrize(
    ("whole", "one"), [("mlp_act.1", "mlp_act.1.5"), ("q.1", "q.1.2"), ("head_out.1", "head_out.1.2")]
)
def test_an_edit_of_one_unit_leaves_what_the_model_made_as_it_was(family, whole, one):
    """A unit is put into a copy: an earlier edit may keep the tensor, and autograd needs what a ReLU has made."""
    kept = []

    def keep(value: torch.Tensor) -> torch.Tensor:
        kept.append(value)
        return value

    before = family.session.run(IDS, [whole])[whole]
    after = family.session.run(IDS, [whole], edit={whole: keep, one: change})[whole]
    assert torch.equal(kept[0], before)
    assert not torch.equal(after, before)


GROWN = ["mlp_out.1", "mlp_act.1", "mlp_act.1.5", "q.1", "k.1.0", "v.1", "head_out.1.2", "resid_post.1", "logits"]


@pytest.mark.parametrize("variant", [variant for variant in tiny.VARIANTS if variant != "falcon-sequential"])
@pytest.mark.parametrize("edited", ["mlp_out.1", "mlp_act.1", "mlp_act.1.5", "k.1", "head_out.1.2"])
def test_sites_of_a_batch_that_has_grown_are_those_of_a_batch_of_that_size(variant, edited):
    """OPT's MLP sees all tokens of the batch as one row: only the number of tokens tells where a prompt ends.

    Falcon's alibi has a row for each prompt that came in, so that this batch cannot grow.
    """
    family = make(variant)
    stream = family.session.run(IDS[:1], ["resid_post.0"])["resid_post.0"]
    rows = torch.cat([stream, change(stream), -stream])

    def move(value: torch.Tensor) -> torch.Tensor:
        """Another change for each row and each position."""
        return value + torch.arange(21.0).div(20).reshape(3, 7, *[1] * (value.dim() - 2))

    edit = {"resid_post.0": lambda _: rows, edited: move}
    found = family.session.run(IDS[:1], GROWN, edit=edit)
    expected = family.session.run(IDS[:1] * 3, GROWN, edit=edit)
    for site in GROWN:
        torch.testing.assert_close(found[site], expected[site], atol=1e-5, rtol=1e-5, msg=site)
    assert found["mlp_act.1.5"].shape == (3, 7)
