"""Whether a dictionary and a model go together."""

from __future__ import annotations

from ..errors import DictionaryError
from ..session.runner import Runner
from ..session.sites import Site
from .dictionary import Dictionary

_WITHOUT = ("q", "k", "v", "pattern", "logits")
"""Kinds of site that cannot have a dictionary."""


def check_fits(model: Runner, sae: Dictionary) -> None:
    """Raises SiteError or DictionaryError unless the dictionary's sites exist in the model and have its sizes."""
    for name, does, size in ((sae.site, "reads", sae.d_in), (sae.site_out, "writes", sae.d_out)):
        site = checked_site(model, name, sae.name)
        if size != model.size(site):
            raise DictionaryError(
                f"{sae.name} {does} activations of size {size}, but {site} of {model.name} has size {model.size(site)}. "
                "Use a dictionary that was trained on this model."
            )
    if model.site(sae.site_out).order < model.site(sae.site).order:
        raise DictionaryError(
            f"{sae.name} writes {sae.site_out}, which is computed before {sae.site}, which it reads; a transcoder's sites are the "
            "other way round."
        )


def check_reconstructs(model: Runner, sae: Dictionary) -> None:
    """Raises as `check_fits`, and DictionaryError for a dictionary that does not reconstruct what it reads, one vector a token."""
    check_fits(model, sae)
    site = model.site(sae.site)
    if sae.transcodes or (site.kind == "head_out" and site.unit is None):
        why = (
            f"writes {sae.site_out} and reads {site}"
            if sae.transcodes
            else f"is for {site}, which is many vectors a token"
        )
        raise DictionaryError(
            f"{sae.name} {why}, so this cannot be measured of it. Use a dictionary that reconstructs one vector a token; "
            "atom_activations and reconstruction measure any."
        )


def checked_site(model: Runner, name: str, whose: str) -> Site:
    """A site that can have a dictionary. `whose` begins the sentence about one that cannot.

    Raises:
        SiteError, DictionaryError: it does not exist in the model, or cannot have one.
    """
    site = model.site(name)
    if site.kind in _WITHOUT or (site.kind == "mlp_act" and site.unit is not None):
        raise DictionaryError(
            f"{whose} is for {site}, which cannot have a dictionary. The residual stream, attn_out, mlp_in, mlp_out, the "
            "neurons of a layer (mlp_act.3), all of its heads (head_out.3) or one of them (head_out.3.0) can."
        )
    return site
