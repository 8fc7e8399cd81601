"""The fast selection against torch's own."""

from __future__ import annotations

import pytest
import torch

from interp_widgets.methods.ranking import top_k


@pytest.mark.parametrize("columns", [7, 256, 573, 1024, 8192, 49152, 50257])
@pytest.mark.parametrize("k", [1, 5, 7])
def test_equals_torch_topk(columns: int, k: int) -> None:
    x = torch.randn(3, 2, columns, generator=torch.Generator().manual_seed(columns + k))
    values, indices = top_k(x, k)
    expected = x.topk(k)
    assert torch.equal(values, expected.values)
    assert torch.equal(indices, expected.indices)


def test_all_k_in_one_block() -> None:
    x = torch.zeros(1, 49152)
    x[0, 512:517] = torch.tensor([1.0, 5.0, 3.0, 2.0, 4.0])
    assert top_k(x, 5)[1].tolist() == [[513, 516, 514, 515, 512]]


def test_no_more_than_there_are_columns() -> None:
    assert top_k(torch.randn(2, 3), 5)[0].shape == (2, 3)


def test_works_below_zero_and_with_infinities() -> None:
    x = torch.full((1, 8192), -torch.inf)
    x[0, 4000], x[0, 17] = -3.0, -2.0
    assert top_k(x, 2)[1].tolist() == [[17, 4000]]
