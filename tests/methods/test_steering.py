"""Steering against a plain loop: the whole sequence read again for each token, one strength at a time, a hook, no cache."""

from __future__ import annotations

import math

import polars as pl
import pytest
import torch

import interp_widgets as iw
from interp_widgets import frames, methods
from interp_widgets.errors import Cancelled, DictionaryError, SiteError, TextError
from interp_widgets.methods import steered_runs, steering
from interp_widgets.methods.steering_run import METRICS

from .conftest import tiny_session

SINGULAR = "the teacher near the windows"
NOUNS = ["author", "teacher", "farmer", "king", "doctor", "lawyer", "guard", "singer", "driver", "student"]
PLURALS = [
    f"the {noun}s {prep} the {other}" for noun in NOUNS for prep in ("near", "behind") for other in ("cat", "doors")
]
SINGULARS = [text.replace("s ", " ", 1) for text in PLURALS]
SINGULAR_VERBS = {"is", "was", "seems", "looks", "has", "stands", "waits", "falls", "sleeps", "moves"}
IDS = [3, 14, 15, 9, 26, 7]
FAMILIES = ["llama", "llama-grouped", "gpt2", "gpt_neox", "gemma2", "gemma3_text", "opt", "mistral", "falcon", "mpt"]


def vector(width: int, seed: int = 7) -> torch.Tensor:
    return torch.randn(width, generator=torch.Generator().manual_seed(seed))


def hooked(model, ids, layers, steered, move, tokens: int) -> tuple[list[int], list[torch.Tensor]]:
    """Greedy tokens and logits of each step, by hooks on a llama's layers; `move` maps activations, `steered` says where."""
    module, whole, logits = model.torch_module, list(ids), []

    def hook(_module, _inputs, output):
        out = output.clone()
        at = [p for p in range(out.shape[1]) if steered(p)]
        out[:, at] = move(out[:, at])
        return out

    handles = [module.model.layers[layer].register_forward_hook(hook) for layer in layers]
    try:
        for _ in range(tokens):
            with torch.no_grad():
                logits.append(module(torch.tensor([whole]), use_cache=False).logits[0, -1].double())
            whole.append(int(logits[-1].argmax()))
    finally:
        for handle in handles:
            handle.remove()
    return whole[len(ids) :], logits


def moves(mode: str, v: torch.Tensor, strength: float):
    unit = v / v.norm()
    return {
        "add": lambda x: x + strength * v,
        "project_out": lambda x: x - strength * (x @ unit)[..., None] * unit,
        "clamp": lambda x: x - (x @ unit)[..., None] * unit + strength * v,
    }[mode]


def only(frame: pl.DataFrame, direction: str = "given", **where) -> pl.DataFrame:
    return frame.filter(pl.col("direction") == direction, *(pl.col(name) == value for name, value in where.items()))


@pytest.mark.parametrize("generated", [True, False])
@pytest.mark.parametrize(
    ("mode", "strengths"), [("add", [-3, 0, 1.5]), ("project_out", [0, 0.5, 1]), ("clamp", [-2, 3])]
)
def test_equals_hooks_that_read_everything_again(toy, mode, strengths, generated) -> None:
    ids, v = toy.encode(SINGULAR), 2 * vector(toy.width)
    asked = {
        "direction": v,
        "site": "resid_post.1+resid_post.2",
        "mode": mode,
        "strengths": strengths,
        "generated": generated,
    }
    run = steering.prepare_steering(toy, SINGULAR, positions=[(2, 4), -1], tokens=6, randoms=1, seed=5, **asked)
    steering.fill_steering(toy, run)
    frame = steering.steering_frame(run)
    first = toy.read(ids, ["logits"])["logits"][-1].double().log_softmax(-1)
    for strength in strengths:
        said, logits = hooked(
            toy, ids, [1, 2], lambda p: p in (2, 3, 4) or p == len(ids) - 1 or (generated and p >= len(ids)),
            moves(mode, v, strength), 6,
        )  # fmt: skip
        ends = steered_runs.end_tokens(toy)
        length = next((i + 1 for i, token in enumerate(said) if token in ends), 6)
        mine = run.outcomes[None, strength].said
        assert mine.token_ids == said[:length]
        chances = [float(row.softmax(-1)[token]) for row, token in zip(logits, said, strict=True)]
        assert mine.probabilities == pytest.approx(chances[:length], abs=1e-5)
        row = only(frame, strength=strength).row(0, named=True)
        assert row["logit_difference"] == pytest.approx(float(logits[0][run.answer] - logits[0][run.foil]), abs=1e-4)
        assert row["probability"] == pytest.approx(float(logits[0].softmax(-1)[run.answer]), abs=1e-5)
        kl = float((first.exp() * (first - logits[0].log_softmax(-1))).sum())
        assert row["kl"] == pytest.approx(kl, abs=1e-5)
        whole = toy.read([*ids, *mine.token_ids], ["logits"])["logits"].double().log_softmax(-1)
        own = [float(whole[len(ids) - 1 + i, token]) for i, token in enumerate(mine.token_ids)]
        assert row["fluency"] == pytest.approx(sum(own) / len(own), abs=1e-4)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("site", ["resid_post.0", "attn_out.1", "resid_pre.1+mlp_out.1"])
def test_every_family_with_its_cache(family, site) -> None:
    model = tiny_session(family)
    v, strengths, tokens = vector(model.width), [-2.0, 0.0, 3.0], 5
    run = steering.prepare_steering(
        model, IDS, direction=v, site=site, strengths=strengths, positions=[1, -1], tokens=tokens, randoms=1
    )
    steering.fill_steering(model, run)
    for strength in strengths:
        whole = list(IDS)
        for step in range(tokens):
            at = [1, *range(len(IDS) - 1, len(whole))]

            def edit(x, at=at, strength=strength):
                x = x.clone()
                x[:, at] += strength * v
                return x

            edits = {one: edit for one in site.split("+")}
            logits = model.run([whole], ["logits"], edit=edits)["logits"][0, -1].double()
            if not step:
                found = run.outcomes[None, strength].logit_difference
                assert found == pytest.approx(float(logits[run.answer] - logits[run.foil]), abs=1e-4)
            whole.append(int(logits.argmax()))
        assert run.outcomes[None, strength].said.token_ids == whole[len(IDS) :]


def test_strength_zero_is_the_baseline_and_transformers_own_generation(toy) -> None:
    generate = toy.torch_module.generate
    for prompt in (SINGULAR, "when mary and john went to the store , john gave a drink to", "two days after monday is"):
        ids = toy.encode(prompt)
        frame = methods.steered_text(toy, prompt, direction=vector(toy.width), site="resid_post.1", tokens=12)
        whole = generate(torch.tensor([ids]), do_sample=False, max_new_tokens=12, pad_token_id=0)[0].tolist()
        for who in ("baseline", "given"):
            assert only(frame, who, strength=0)["token_id"].to_list() == whole[len(ids) :]
        zero = methods.steer(toy, prompt, direction=vector(toy.width), site="resid_post.1", tokens=12).filter(
            strength=0
        )
        assert zero["direction"].to_list() == ["baseline", "given", *["random"] * 3]
        for metric in METRICS:
            assert zero[metric].max() - zero[metric].min() < 1e-5


def test_sampling_gives_equal_runs_equal_tokens_and_is_seeded(toy) -> None:
    def text(**options) -> pl.DataFrame:
        return methods.steered_text(
            toy, SINGULAR, direction=vector(toy.width), site="resid_post.1", tokens=8, temperature=1.0, **options
        )

    one = text(seed=1)
    assert only(one, "given", strength=0)["token_id"].equals(only(one, "baseline")["token_id"])
    assert only(one, "random", seed=1, strength=0)["token_id"].equals(only(one, "baseline")["token_id"])
    assert one.equals(text(seed=1))
    assert len({tuple(only(text(seed=s, randoms=0), "baseline")["token_id"]) for s in range(8)}) > 3


def test_the_sampler_draws_from_the_softmax() -> None:
    logits, count = torch.tensor([[0.0, 1.0, -1.0, 2.0]]), 20_000
    for temperature in (0.5, 1.0, 2.0):
        pick = steered_runs.sampler(temperature, 3)
        share = torch.bincount(torch.cat([pick(logits) for _ in range(count)]), minlength=4) / count
        assert (share - (logits[0] / temperature).softmax(-1)).abs().max() < 0.015


def test_an_atom_is_ablated_alone(toy, toy_sae) -> None:
    prompt, atom = "mary went home because", 0
    ids = toy.encode(prompt)
    x = toy.read(ids, ["resid_post.2"])["resid_post.2"]
    atom = int(toy_sae.encode(x)[-1].argmax())
    activation = toy_sae.encode(x)[:, atom]
    assert activation[-1] > 0.1
    frame = methods.steer(
        toy,
        prompt,
        direction=(toy_sae, atom),
        mode="ablate",
        strengths=[0.5, 1],
        positions=[-1],
        tokens=1,
        answer="she",
        foil="he",
    )
    for row in only(frame).iter_rows(named=True):
        changed = x - row["strength"] * activation[:, None] * toy_sae.direction(atom)
        kept = toy_sae.encode(x)
        kept[:, atom] *= 1 - row["strength"]
        error = x - toy_sae.decode(toy_sae.encode(x))
        assert torch.allclose(changed, toy_sae.decode(kept) + error, atol=1e-4), "other atoms and the error stay"
        changed[:-1] = x[:-1]
        logits = toy.run([ids], ["logits"], edit={"resid_post.2": lambda _, c=changed: c[None]})["logits"][0, -1]
        difference = logits[toy.single_token("she")] - logits[toy.single_token("he")]
        assert row["logit_difference"] == pytest.approx(float(difference), abs=1e-4)
        size = row["strength"] * activation[-1] * toy_sae.direction(atom).norm() / x[-1].norm()
        assert row["norm_ratio"] == pytest.approx(float(size), rel=1e-4)


@pytest.mark.parametrize("mode", ["add", "project_out", "clamp"])
def test_random_directions_go_as_far_as_the_given_one(toy, mode) -> None:
    v = 3 * vector(toy.width)
    run = steering.prepare_steering(
        toy, SINGULAR, direction=v, site="resid_post.1", mode=mode, strengths=[0.5], positions=[3]
    )
    x = toy.read(SINGULAR, ["resid_post.1"])["resid_post.1"][3]
    moved = moves(mode, v, 0.5)(x) - x
    random = steering._vector(run, 11)
    assert float(random.norm()) == pytest.approx(float(v.norm()), rel=1e-5)
    edit = run.change.edits(random[None], torch.tensor([0.5]), torch.arange(6) == 3)["resid_post.1"]
    other = edit(toy.read(SINGULAR, ["resid_post.1"])["resid_post.1"][None])[0, 3] - x
    assert float(other.norm()) == pytest.approx(float(moved.norm()), rel=1e-4)
    assert float(torch.nn.functional.cosine_similarity(other, random, dim=0).abs()) == pytest.approx(1, abs=1e-4)
    assert run.norm_ratio(0.5) == pytest.approx(float(moved.norm() / x.norm()), rel=1e-4)


def test_number_of_the_subject_is_steered_and_random_directions_do_not(toy) -> None:
    """Planted: the verb agrees with the subject, so at the subject the difference of plurals and singulars must turn it."""
    plural = methods.mean_difference(toy, PLURALS, SINGULARS, site="resid_post.1", position=2)
    assert plural.origin["halves"] > 0.9
    held_out = [
        ("boy under the lamp", "is", "are"),
        ("teacher near the windows", "is", "are"),
        ("dog by the bridges", "has", "have"),
    ]
    for rest, singular, other in held_out:
        asked = {"direction": plural, "positions": [2], "generated": False, "answer": other, "foil": singular}
        frame = methods.steer(toy, f"the {rest}", **asked, strengths=[-1, 0, 0.5, 1], tokens=1, randoms=5)
        frames.check(frame, frames.STEERING)
        [opposite, zero, _, one] = only(frame)["logit_difference"]
        assert zero < -3
        assert one > 1
        assert opposite < -3, "a singular subject is not made more singular"
        assert only(frame, "random")["logit_difference"].max() < 0, "no random direction of that length turns it"
        said = methods.steered_text(toy, f"the {rest}", **asked, strengths=[0, 1], tokens=1, randoms=0)
        assert only(said, strength=0)["token"].item() in SINGULAR_VERBS
        assert only(said, strength=1)["token"].item() not in SINGULAR_VERBS
        if rest.startswith("teacher"):  # one of the nouns that the difference was taken over
            there = methods.steer(toy, f"the teachers{rest[7:]}", **asked, strengths=0, randoms=0, tokens=1)
            assert one == pytest.approx(there["logit_difference"][0], abs=0.5), "as if the subject were plural"
    # Two layers later the subject's number has been read, so there is nothing left to turn at its place.
    late = methods.mean_difference(toy, PLURALS, SINGULARS, site="resid_post.3", position=2)
    frame = methods.steer(toy, SINGULAR, direction=late, positions=[2], generated=False, strengths=[0, 1], tokens=1)
    assert only(frame)["kl"].max() < 1e-6


def test_a_probe_finds_the_same_and_says_how_often_it_is_right(toy) -> None:
    probe = methods.probe_direction(toy, PLURALS, SINGULARS, site="resid_post.1", position=2)
    assert probe.origin["accuracy"] == 1
    assert probe.origin["held_out"] == 20
    frame = methods.steer(
        toy, SINGULAR, direction=probe, positions=[2], answer="are", foil="is", strengths=[0, 1], tokens=1, randoms=5
    )
    [zero, one] = only(frame)["logit_difference"]
    assert zero < -3 < 3 < one
    assert only(frame, "random")["logit_difference"].max() < 0


def test_the_probe_is_the_least_of_its_loss_and_finds_what_was_planted() -> None:
    generator = torch.Generator().manual_seed(0)
    planted = torch.nn.functional.normalize(vector(20), dim=0)
    x = torch.randn(4000, 20, generator=generator) + 5
    y = (torch.rand(4000, generator=generator) < (3 * ((x - 5) @ planted) + 1).sigmoid()).float()
    w, b = methods.directions.fit_probe(x, y, 1e-6)
    assert torch.allclose(w, 3 * planted, atol=0.35)
    assert float(torch.nn.functional.cosine_similarity(w, planted, dim=0)) > 0.98
    for penalty in (1e-6, 0.1, 10.0):
        w, b = methods.directions.fit_probe(x, y, penalty)
        scale = (x - x.mean(0)).pow(2).sum(-1).mean().sqrt()
        residual = (x @ w + b).sigmoid() - y
        slope = (residual[:, None] * (x - x.mean(0)) / scale).mean(0) + penalty * w * scale
        assert slope.abs().max() < 1e-5, "the gradient of the loss is zero"
        assert residual.mean().abs() < 1e-5
    labels_for_nothing = torch.randint(0, 2, (200,), generator=generator).float()
    noise = torch.randn(400, 5, generator=generator)
    w, b = methods.directions.fit_probe(noise[:200], labels_for_nothing, 0.1)
    assert 0.35 < float(((noise[200:] @ w + b > 0) == labels_for_nothing.bool()).float().mean()) < 0.65


def test_a_mean_difference_is_one_of_means_without_masked_positions(toy) -> None:
    a, b = ["the cat sleeps", "mary went home because"], ["the dogs near the cat"]
    read = lambda text: toy.read(text, ["resid_post.2"])["resid_post.2"]  # noqa: E731
    last = methods.mean_difference(toy, a, b, site="resid_post.2")
    assert torch.allclose(last.vector, torch.stack([read(t)[-1] for t in a]).mean(0) - read(b[0])[-1], atol=1e-5)
    mean = methods.mean_difference(toy, a, b, site="blocks.2.hook_resid_post", position=None)
    assert torch.allclose(
        mean.vector, torch.stack([read(t)[1:].mean(0) for t in a]).mean(0) - read(b[0])[1:].mean(0), atol=1e-5
    )
    assert mean.site == "resid_post.2"
    assert mean.origin["halves"] is None
    assert mean.made == "mean of 2 texts less mean of 1, resid_post.2, mean over tokens"


def test_sites_positions_and_grids(toy, toy_sae) -> None:
    def run(**options):
        return steering.prepare_steering(
            toy, SINGULAR, **{"direction": vector(toy.width), "site": "resid_post.1"} | options
        )

    def named(**options):
        return [str(site) for site in run(**options).change.sites]

    assert named(site="resid_post.1-3") == ["resid_post.1", "resid_post.2", "resid_post.3"]
    assert named(site="mlp_out.2 + attn_out.0") == ["attn_out.0", "mlp_out.2"]
    assert named(layers=[3, 0]) == ["resid_post.0", "resid_post.3"]
    assert named(direction=(toy_sae, 3), site=None) == ["resid_post.2"]
    assert run().masked == [0]
    assert run().change.positions == [1, 2, 3, 4, 5]
    assert run(positions=[0, (2, 3), -1, range(4, 5)]).change.positions == [0, 2, 3, 4, 5]
    assert run(positions=[]).change.positions == []
    grid = run().strengths
    assert len(grid) == 9
    assert grid == sorted(-s for s in grid)
    assert 0.6 < run().norm_ratio(grid[-1]) < 1.1
    assert run(mode="project_out").strengths == [0, 0.25, 0.5, 0.75, 1]
    assert run(strengths=[2, -1, 2]).strengths == [-1, 2]
    assert run(strengths=3).strengths == [3]


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"mode": "push"}, TextError, "no way to steer"),
        ({"site": None}, SiteError, "Say where to steer"),
        ({"site": "resid_post.9"}, SiteError, "layers 0 to 3"),
        ({"site": "resid_post.3-1"}, SiteError, "lower one first"),
        ({"site": "logits"}, SiteError, "cannot be steered"),
        ({"site": "q.1"}, SiteError, "has 128 numbers and q.1"),
        ({"direction": [1.0, 2.0]}, SiteError, "has 2 numbers"),
        ({"direction": torch.zeros(128)}, SiteError, "zero"),
        ({"direction": [math.nan] * 128}, SiteError, "not finite"),
        ({"direction": torch.ones(2, 128)}, SiteError, r"shape \[2, 128\]"),
        ({"direction": "happy"}, SiteError, "not a str"),
        ({"mode": "ablate"}, DictionaryError, "needs an atom"),
        ({"strengths": [math.inf]}, TextError, "finite"),
        ({"strengths": []}, TextError, "one or more"),
        ({"strengths": [1e39]}, TextError, "overflow"),
        ({"positions": [6]}, TextError, "positions 0 to 5"),
        ({"positions": [(4, 2)]}, TextError, "span"),
        ({"positions": [], "generated": False}, TextError, "nothing to steer"),
        ({"tokens": 0}, TextError, "one new token or more"),
        ({"tokens": 60}, TextError, "more than the 64"),
        ({"answer": "is", "foil": "is"}, TextError, "two different tokens"),
        ({"temperature": -1.0}, TextError, "temperature"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_refused_with_a_sentence(toy, options, error, words) -> None:
    with pytest.raises(error, match=words):
        methods.steer(toy, SINGULAR, **{"direction": vector(toy.width), "site": "resid_post.1"} | options)


def test_bad_classes_are_refused(toy) -> None:
    with pytest.raises(TextError, match="list of one or more"):
        methods.mean_difference(toy, "the cat", ["the dog"], site="resid_post.1")
    with pytest.raises(TextError, match="nothing to read"):
        methods.mean_difference(toy, ["the cat"], ["the dog"], site="resid_post.1", position=0)
    with pytest.raises(TextError, match="Position 9 does not exist"):
        methods.mean_difference(toy, ["the cat"], ["the dog"], site="resid_post.1", position=9)
    with pytest.raises(SiteError, match="mean difference is no direction"):
        methods.mean_difference(toy, ["the cat"], ["the cat"], site="resid_post.1")
    with pytest.raises(TextError, match="two texts or more"):
        methods.probe_direction(toy, ["the cat"], ["the dog"], site="resid_post.1")
    with pytest.raises(DictionaryError, match="atoms 0 to 383"):
        methods.atom_direction(iw.load_sae("toy-grammar/resid_post.2"), 384)


def test_progress_hands_on_what_is_known_and_can_stop_it(toy) -> None:
    seen = []

    def progress(done, total, message="", partial=None):
        seen.append((done, total, message, None if partial is None else len(partial.outcomes)))
        if message == "random directions, token 2":
            raise Cancelled("enough")

    with pytest.raises(Cancelled):
        methods.steer(toy, SINGULAR, direction=vector(toy.width), site="resid_post.1", tokens=4, progress=progress)
    assert seen[0] == (0, 8, "given direction, token 1", None)
    assert seen[-1] == (5, 8, "random directions, token 2", 9)
    assert [done for done, *_ in seen] == sorted(done for done, *_ in seen)


def test_more_strengths_are_added_to_a_run_and_many_are_split(toy, monkeypatch) -> None:
    asked = {"direction": vector(toy.width), "site": "resid_post.1", "tokens": 3, "randoms": 1}
    whole = methods.steer(toy, SINGULAR, strengths=[-1, 0, 2, 5], **asked)
    run = steering.prepare_steering(toy, SINGULAR, strengths=[-1, 5], **asked)
    steering.fill_steering(toy, run)
    run.strengths = [-1, 0, 2, 5]
    monkeypatch.setattr(steering, "ROWS", 1)
    steering.fill_steering(toy, run)
    parts = steering.steering_frame(run)
    assert parts.drop(METRICS).equals(whole.drop(METRICS))
    for metric in METRICS:
        assert (parts[metric] - whole[metric]).abs().max() < 1e-5


def test_texts_have_their_schema(toy) -> None:
    frame = methods.steered_text(
        toy, SINGULAR, direction=vector(toy.width), site="resid_post.1", strengths=[1], tokens=3
    )
    frames.check(frame, frames.STEERED_TEXT)
    assert frame.select("direction", "seed").unique(maintain_order=True).rows() == [
        ("baseline", None), ("given", None), ("random", 0), ("random", 1), ("random", 2)]  # fmt: skip
