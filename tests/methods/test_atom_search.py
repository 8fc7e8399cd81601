"""Finding atoms, on a dictionary whose atoms fire where we say."""

from __future__ import annotations

import pytest
import torch

import interp_widgets as iw
from interp_widgets.errors import DictionaryError, TextError
from interp_widgets.sae.dictionary import ReLU
from interp_widgets.session.session import Session

WORDS = ["keys", "cabinet", "boy"]


@pytest.fixture(scope="module")
def model() -> Session:
    return iw.load("toy-grammar")


@pytest.fixture(scope="module")
def planted(model: Session) -> ReLU:
    """Atom i fires on the embedding of word i; atom 3 on all of them, with a direction twice as long."""
    words = torch.stack([model.torch_module.model.embed_tokens.weight[model.single_token(word)] for word in WORDS])
    words = torch.nn.functional.normalize(words.detach(), dim=1)
    readers = torch.linalg.pinv(words).T
    directions = torch.cat([words, 2 * words.sum(0, keepdim=True)])
    W_enc = torch.cat([readers, readers.sum(0, keepdim=True)]).T.contiguous()
    return ReLU("planted", "embed", W_enc, torch.full((4,), -0.2), directions, torch.zeros(model.width))


def test_the_atom_of_a_word_is_found_where_the_word_stands(model: Session, planted: ReLU) -> None:
    text = "the keys to the cabinet"
    for word, position in (("keys", 2), ("cabinet", 5)):
        found = iw.methods.search_atoms(model, text, sae=planted, positions=[position])
        own = found.filter(found["atom"] == WORDS.index(word))
        assert own["fires_here"].item() == 1
        assert own["fires_there"].item() < 1
        assert WORDS.index("boy") not in found["atom"].to_list()


def test_here_and_not_there_is_the_word_that_the_other_text_lacks(model: Session, planted: ReLU) -> None:
    found = iw.methods.search_atoms(model, "the boy", sae=planted, other="the keys to the cabinet")
    assert WORDS.index("boy") in found["atom"].to_list()
    assert not {WORDS.index("keys"), WORDS.index("cabinet")} & set(found["atom"].to_list())
    assert (found["score"] > 0).all()


def test_scores_are_means_by_hand(model: Session, planted: ReLU) -> None:
    text = "the keys to the cabinet"
    a = planted.encode(model.read(text, ["embed"])["embed"])
    found = iw.methods.search_atoms(model, text, sae=planted, positions=[2, 5], count=4)
    rest = [1, 3, 4]
    score = (a[[2, 5]].mean(0) - a[rest].mean(0)) * planted.W_dec.norm(dim=1)
    order = [i for i in score.argsort(descending=True).tolist() if score[i] > 0]
    assert found["atom"].to_list() == order
    assert found["score"].to_list() == pytest.approx(score[order].tolist(), rel=1e-5)
    assert found["here"].to_list() == pytest.approx(a[[2, 5]].mean(0)[order].tolist(), rel=1e-5)
    assert found["fires_there"].to_list() == pytest.approx((a[rest] > 0).double().mean(0)[order].tolist())


def test_similar_atoms_are_sorted_by_cosine(planted: ReLU) -> None:
    found = iw.methods.similar_atoms(planted, 3)
    cosine = torch.nn.functional.cosine_similarity(planted.W_dec, planted.W_dec[[3]])
    order = [i for i in cosine.argsort(descending=True).tolist() if i != 3]
    assert found["atom"].to_list() == order
    assert found["cosine"].to_list() == pytest.approx(cosine[order].tolist(), rel=1e-5)
    assert iw.methods.similar_atoms(planted, planted.W_dec[1], count=1)["atom"].to_list() == [1]


def test_bad_requests_get_a_sentence(model: Session, planted: ReLU) -> None:
    with pytest.raises(TextError, match="not all in 0 to 2"):
        iw.methods.search_atoms(model, "the keys", sae=planted, positions=[3])
    with pytest.raises(TextError, match="have size"):
        iw.methods.similar_atoms(planted, torch.ones(3))
    with pytest.raises(DictionaryError, match="does not exist"):
        iw.methods.similar_atoms(planted, 4)
