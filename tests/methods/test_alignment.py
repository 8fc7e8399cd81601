"""Which tokens belong together."""

from __future__ import annotations

import pytest

from interp_widgets.errors import AlignmentError
from interp_widgets.methods.alignment import align, check_pairs, explain, pair, shared_prefix


def test_equal_lengths_pair_one_to_one_even_where_nothing_agrees() -> None:
    assert align([1, 2, 3], [4, 5, 6]) == [(0, 0), (1, 1), (2, 2)]


def test_a_longer_name_leaves_its_tokens_alone() -> None:
    assert align([1, 2, 9, 3, 4], [1, 2, 7, 8, 3, 4]) == [(0, 0), (1, 1), (3, 4), (4, 5)]


def test_a_replaced_stretch_of_equal_length_is_paired() -> None:
    assert align([1, 9, 2, 3, 3], [1, 8, 2, 3]) == [(0, 0), (1, 1), (2, 2), (3, 3)]


def test_pairs_must_exist_and_rise() -> None:
    assert check_pairs([[1, 2], [0, 0]], 3, 3) == [(0, 0), (1, 2)]
    with pytest.raises(AlignmentError, match="does not exist: the clean prompt has 2 tokens"):
        check_pairs([(2, 0)], 2, 3)
    with pytest.raises(AlignmentError, match="cross or share"):
        check_pairs([(0, 1), (1, 0)], 3, 3)
    with pytest.raises(AlignmentError, match="cross or share"):
        check_pairs([(0, 1), (0, 2)], 3, 3)


def test_pairing_by_hand_makes_crossing_pairs_give_way() -> None:
    assert pair([(0, 0), (1, 1), (2, 2)], 1, 2) == [(0, 0), (1, 2)]


def test_the_explanation_names_what_is_alone_and_says_what_to_do() -> None:
    said = explain(["a", "b", "c"], ["a", "x", "y", "c"], [(0, 0), (2, 3)])
    assert "3 tokens and the corrupt one 4" in said
    assert "'b'" in said
    assert "'x', 'y'" in said
    assert "pair them by hand" in said
    assert explain(["a"], ["b"], [(0, 0)]) == ""


def test_shared_prefix() -> None:
    assert shared_prefix([1, 2, 3], [1, 2, 4]) == 2
    assert shared_prefix([1, 2], [1, 2]) == 2
    assert shared_prefix([5], [6]) == 0
