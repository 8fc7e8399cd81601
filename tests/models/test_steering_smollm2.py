"""SmolLM2-135M turned towards French by a mean difference; `docs/panels/steering.md` has the numbers."""

from __future__ import annotations

import polars as pl
import pytest
import torch

import interp_widgets as iw
from interp_widgets import methods

pytestmark = [pytest.mark.slow, pytest.mark.smollm2]

FRENCH = [
    "Le chat est sur la table et", "Je voudrais un café avec du", "La maison de ma mère est", "Nous allons à la plage avec",
    "Il fait très beau aujourd'hui dans", "Les enfants jouent dans le", "Elle a acheté des fleurs pour",
    "Le train arrive à la gare de", "Mon frère travaille dans une", "On mange du pain avec de la",
]  # fmt: skip
ENGLISH = [
    "The cat is on the table and", "I would like a coffee with some", "My mother's house is", "We are going to the beach with",
    "The weather is very nice today in", "The children are playing in the", "She bought some flowers for",
    "The train arrives at the station of", "My brother works in a", "We eat bread with some",
]  # fmt: skip


@pytest.fixture(scope="module")
def model(smollm2) -> iw.Session:
    torch.set_num_threads(1)
    return iw.load("smollm2-135m")


def test_a_mean_difference_turns_the_language_and_random_directions_do_not(model) -> None:
    french = methods.mean_difference(model, FRENCH, ENGLISH, site="resid_post.20", position=None)
    assert french.origin["halves"] > 0.8
    for prompt in ("I think that", "Yesterday we went to"):
        frame = methods.steer(
            model, prompt, direction=french, strengths=[-1, 0, 1, 1.5], answer=" le", foil=" the", tokens=1, randoms=5
        )
        given = frame.filter(direction="given").sort("strength")
        assert given["logit_difference"].is_sorted()
        assert given["norm_ratio"][3] < 0.7
        random = frame.filter(pl.col("direction") == "random", pl.col("strength") == 1.5)["logit_difference"]
        assert random.max() < given["logit_difference"][3] - 4


def test_strength_zero_is_transformers_own_greedy_text(model) -> None:
    prompt = "The keys to the cabinet"
    ids = model.encode(prompt)
    texts = methods.steered_text(
        model, prompt, direction=torch.ones(model.width), site="resid_post.15", strengths=[0, 5], tokens=12, randoms=1
    )
    asked = {"attention_mask": torch.ones(1, len(ids), dtype=torch.long), "do_sample": False, "pad_token_id": 0}
    whole = model.torch_module.generate(torch.tensor([ids]), max_new_tokens=12, **asked)
    for who in ("baseline", "given", "random"):
        assert texts.filter(direction=who, strength=0)["token_id"].to_list() == whole[0, len(ids) :].tolist()


def test_the_cache_gives_what_reading_everything_again_gives(model) -> None:
    """A hook on two layers of the model itself, no cache, one strength at a time."""
    prompt, tokens = "The keys to the cabinet", 6
    ids = model.encode(prompt)
    vector = 8 * torch.nn.functional.normalize(
        torch.randn(model.width, generator=torch.Generator().manual_seed(1)), dim=0
    )
    run = methods.steering.prepare_steering(
        model,
        prompt,
        direction=vector,
        site="resid_post.12+resid_post.20",
        strengths=[-6, 4, 9],
        tokens=tokens,
        randoms=0,
    )
    methods.steering.fill_steering(model, run)
    module = model.torch_module

    for strength in run.strengths:

        def hook(_module, _inputs, output, strength=strength):
            return torch.cat([output[:, :1], output[:, 1:] + strength * vector], 1)  # all but position 0, the sink

        handles = [module.model.layers[layer].register_forward_hook(hook) for layer in (12, 20)]
        whole = list(ids)
        try:
            for step in range(tokens):
                with torch.no_grad():
                    logits = module(torch.tensor([whole]), use_cache=False).logits[0, -1].double()
                if not step:
                    found = run.outcomes[None, strength].logit_difference
                    assert found == pytest.approx(float(logits[run.answer] - logits[run.foil]), abs=1e-3)
                whole.append(int(logits.argmax()))
        finally:
            for handle in handles:
                handle.remove()
        assert run.outcomes[None, strength].said.token_ids == whole[len(ids) :]
