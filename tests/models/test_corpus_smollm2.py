"""A corpus of SmolLM2-135M and its bundled dictionary against `atom_activations`, which reads each window by itself."""

from __future__ import annotations

from pathlib import Path

import pytest

import interp_widgets as iw
from interp_widgets import methods

pytestmark = [pytest.mark.smollm2, pytest.mark.slow]


def test_a_corpus_equals_the_atoms_of_each_window(smollm2: Path, tmp_path: Path) -> None:
    model, sae = iw.load("smollm2-135m"), iw.load_sae("smollm2-135m/15-resid-4096")
    docs = Path(__file__).parents[2] / "docs"
    texts = [
        (docs / name).read_text(encoding="utf-8")[:3500] for name in ("internals.md", "performance.md", "models.md")
    ]
    corpus = iw.corpus(model, texts, sae=sae, folder=tmp_path / "c")
    assert 2000 < corpus.tokens < 6000
    assert 25 < corpus.atoms["fired"].sum() / corpus.tokens <= 32  # TopK with k = 32
    ids = [model.tokenizer(text)["input_ids"] for text in texts]
    expected = {}
    for text, start in ((0, 0), (1, 256)):
        window = ids[text][start : start + 128]
        for row in methods.atom_activations(model, window, sae=sae).iter_rows(named=True):
            if row["position"]:  # position 0 of a window is the sink
                expected[row["atom"], text, start + row["position"]] = row["activation"]
    for atom in sorted({atom for atom, _, _ in expected})[::25]:
        found = {
            (atom, text, position): value
            for text, position, value in corpus.activations(atom).select("text", "position", "activation").iter_rows()
        }
        mine = {key: value for key, value in expected.items() if key[0] == atom}
        assert {key for key in found if (key[1], key[2] // 128) in ((0, 0), (1, 2))} == mine.keys()
        assert [found[key] for key in mine] == pytest.approx(list(mine.values()), rel=1e-3, abs=0.05)
        for example in corpus.examples(atom, "interval", 2, context=(30, 30)).iter_rows(named=True):
            whole, at = ids[example["text"]], example["position"]
            assert example["token_ids"] == whole[max(at - 30, 0) : at + 31]
            assert "".join(example["tokens"]) == "".join(model.text_of(i) for i in example["token_ids"])
    slim = corpus.save(tmp_path / "slim", 3)
    assert sum(file.stat().st_size for file in slim.folder.rglob("*")) < 4e6
    assert slim.examples(atom, "interval").equals(corpus.examples(atom, "interval", 3))
