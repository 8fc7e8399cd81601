"""Dictionaries that nobody trained."""

from __future__ import annotations

import pytest
import torch

import interp_widgets as iw
from interp_widgets import methods
from interp_widgets.errors import DictionaryError, SiteError
from interp_widgets.sae import baselines

torch.set_num_threads(1)

TEXT = "the keys to the cabinet are on the table ."
X = torch.randn(40, 6, generator=torch.Generator().manual_seed(2)) * torch.tensor([5.0, 4, 3, 2, 1, 0.5]) + 7


@pytest.fixture(scope="module")
def toy():
    return iw.load("toy-grammar")


def test_identity_loses_nothing(toy):
    d = baselines.identity(toy, "blocks.2.hook_resid_post")
    x = toy.read(TEXT, ["resid_post.2"])["resid_post.2"]
    assert (d.site, d.width) == ("resid_post.2", 2 * toy.width)
    assert torch.equal(d.decode(d.encode(x)), x)
    assert torch.equal(d.encode(x)[:, : toy.width] - d.encode(x)[:, toy.width :], x)


def test_a_baseline_goes_through_the_methods(toy):
    d = baselines.identity(toy, "mlp_out.1")
    frame = methods.reconstruction(toy, TEXT, sae=d)
    assert frame["error_norm"].max() < 1e-6
    assert frame["active"].to_list() == [toy.width] * len(frame)


def test_all_components_lose_nothing():
    d = baselines.pca(X, "embed")
    torch.testing.assert_close(d.decode(d.encode(X)), X, atol=1e-5, rtol=1e-5)
    assert d.width == 2 * 6


@pytest.mark.parametrize("components", [1, 3, 5])
def test_components_are_the_eigenvectors_of_the_covariance(components):
    """What is lost is the sum of the other eigenvalues, and no other directions lose less."""
    d = baselines.pca(X, "embed", components=components)
    values, vectors = torch.linalg.eigh((X - X.mean(0)).T @ (X - X.mean(0)))
    error = (X - d.decode(d.encode(X))).pow(2).sum()
    torch.testing.assert_close(error, values[: 6 - components].sum(), atol=1e-3, rtol=1e-4)
    along = (d.W_dec[:components] * vectors.T.flip(0)[:components]).sum(1)
    torch.testing.assert_close(along.abs(), torch.ones(components), atol=1e-4, rtol=1e-4)


def test_components_have_one_sign():
    found = baselines.pca(X, "embed").W_dec, baselines.pca(X.flip(0), "embed").W_dec
    torch.testing.assert_close(*found, atol=1e-5, rtol=1e-5)
    assert (found[0][:6].abs().max(1).values == found[0][:6].max(1).values).all()


@pytest.mark.parametrize(("x", "count"), [(X, 0), (X, 7), (X[:3], 3)])
def test_components_that_are_not_there(x, count):
    with pytest.raises(DictionaryError, match=f"{count} components cannot be had"):
        baselines.pca(x, "embed", components=count)


@pytest.mark.parametrize("x", [X[:1], X[0], X * float("nan")])
def test_activations_without_components(x):
    with pytest.raises(DictionaryError, match="Principal components need finite activations"):
        baselines.pca(x, "embed")


def test_random_directions(toy):
    d = baselines.random(toy, "resid_post.2", width=500, k=7)
    x = toy.read(TEXT, ["resid_post.2"])["resid_post.2"]
    a = d.encode(x)
    assert ((a > 0).sum(-1) == 7).all()
    torch.testing.assert_close(d.W_dec.norm(dim=1), torch.ones(500))
    cosines = d.W_dec @ d.W_dec.T - torch.eye(500)
    assert abs(cosines.std() - toy.width**-0.5) < 0.01  # as of independent directions
    again, other = (baselines.random(toy, "resid_post.2", width=500, k=7, seed=seed) for seed in (0, 1))
    assert torch.equal(again.W_dec, d.W_dec)
    assert not torch.equal(other.W_dec, d.W_dec)


def test_sizes_of_nothing(toy):
    with pytest.raises(DictionaryError, match="needs a width and a k above 0, not 5 and 0"):
        baselines.random(toy, "embed", width=5, k=0)


@pytest.mark.parametrize("site", ["logits", "pattern.1", "q.1", "k.1.0", "v.0", "mlp_act.2.5"])
def test_sites_that_cannot_have_a_dictionary(toy, site):
    with pytest.raises(
        DictionaryError, match=rf"A baseline is for {site}, which cannot have a dictionary\. The residual"
    ):
        baselines.identity(toy, site)
    with pytest.raises(DictionaryError, match="which cannot have a dictionary"):
        baselines.random(toy, site, width=5, k=2)


@pytest.mark.parametrize("site", ["mlp_act.1", "head_out.1", "head_out.1.2", "mlp_in.2", "final_norm", "attn_out.0"])
def test_every_other_site_has_its_own_size(toy, site):
    """The neurons of a layer and the numbers of its heads are the coordinates there."""
    x = toy.read(TEXT, [site])[site]
    d = baselines.identity(toy, site)
    assert d.width == 2 * x[0].numel() == 2 * toy.size(site)
    assert torch.equal(d.decode(d.encode(x), x), x)
    frame = methods.reconstruction(toy, TEXT, sae=d)
    assert frame["error_norm"].max() < 1e-6
    assert baselines.random(toy, site, width=9, k=3).encode(x).shape == (len(x), 9)


def test_a_site_that_does_not_exist(toy):
    with pytest.raises(SiteError):
        baselines.identity(toy, "resid_post.99")
