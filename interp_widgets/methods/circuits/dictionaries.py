"""The dictionaries of a circuit: one a site, in the order of the forward pass, loaded when they are needed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from ...errors import DictionaryError
from ...sae.baselines import coordinates
from ...sae.dictionary import Dictionary
from ...sae.fits import check_reconstructs
from ...sae.load import bundled, load_sae
from ...session.runner import Runner

Given = Mapping[str, Dictionary | str] | Sequence[Dictionary | str] | Dictionary | str | None
"""What a caller may name: see `dictionaries_of`."""

COORDINATES = {
    "coordinates": ("attn_out", "mlp_out", "resid_post"),
    "neurons": ("attn_out", "mlp_act", "resid_post"),
}
"""Nodes without a trained dictionary -> the kinds of site whose coordinates they are, besides `embed`."""


class Dictionaries(Mapping[str, Dictionary]):
    """Site -> dictionary, in the order of the forward pass. One that was named by a text is loaded at each use and not kept, so
    that a model of many layers takes the memory of one dictionary."""

    def __init__(self, model: Runner, given: Mapping[str, Dictionary | str]) -> None:
        self._model = model
        self._given = dict(sorted(given.items(), key=lambda item: model.site(item[0]).order))

    def __getitem__(self, site: str) -> Dictionary:
        given = self._given[site]
        if isinstance(given, Dictionary):
            return given
        if given == "coordinates":
            return coordinates(self._model, site)
        found = load_sae(given)
        check_reconstructs(self._model, found)
        if (reads := str(self._model.site(found.site))) != site:
            raise DictionaryError(f"{given} is for {reads}, but was given for {site}. Give it under its own site.")
        return found

    def __contains__(self, site: object) -> bool:  # that of Mapping would load it
        return site in self._given

    def __iter__(self) -> Iterator[str]:
        return iter(self._given)

    def __len__(self) -> int:
        return len(self._given)

    def only(self, sites: Iterable[str]) -> Dictionaries:
        """Those of some sites."""
        return Dictionaries(self._model, {site: self._given[site] for site in sites})


def dictionaries_of(model: Runner, given: Given = None) -> Dictionaries:
    """The dictionaries that a caller means.

    Args:
        model: a session.
        given: a dictionary or several; names for `iw.load_sae`; or site -> one of these, of which names are loaded only while they
            are used. "coordinates": the coordinates of embed, attn_out, mlp_out and resid_post at every layer, errors being 0;
            "neurons": the same with the neurons of the MLP (mlp_act) in the place of its output. Default: the bundled
            dictionaries of this model, "coordinates" where it has none.

    Raises:
        DictionaryError, SiteError: nothing was given, two for one site, one that does not fit the model, or a transcoder.
    """
    if isinstance(given, Dictionaries):
        return given
    if given is None:
        given = [name for name in bundled() if name.startswith(f"{model.name}/")] or "coordinates"
    if isinstance(given, str) and given in COORDINATES:
        kinds = COORDINATES[given]
        sites = ["embed", *(f"{kind}.{layer}" for layer in range(model.num_layers) for kind in kinds)]
        return Dictionaries(model, dict.fromkeys(sites, "coordinates"))
    if isinstance(given, Mapping):
        named = {str(model.site(site)): each for site, each in given.items()}
        for site, each in named.items():
            if isinstance(each, Dictionary):
                _check(model, each, site)
        return Dictionaries(model, named)
    several = [given] if isinstance(given, Dictionary | str) else list(given)
    if not several:
        raise DictionaryError("A circuit needs at least one dictionary. Give one, or 'coordinates'.")
    found: dict[str, Dictionary | str] = {}
    for each in several:
        sae = load_sae(each) if isinstance(each, str) else each
        site = str(model.site(sae.site))
        _check(model, sae, site)
        if site in found:
            raise DictionaryError(f"There are two dictionaries for {site}. Give one a site.")
        found[site] = sae
    return Dictionaries(model, found)


def check_sites(sites: Iterable[str], dictionaries: Mapping[str, Dictionary]) -> None:
    """Raises DictionaryError where the site of some nodes has no dictionary."""
    if missing := sorted(set(sites) - set(dictionaries)):
        raise DictionaryError(
            f"There are nodes at {', '.join(missing)}, but no dictionary. Give the dictionaries that the nodes were found with."
        )


def _check(model: Runner, sae: Dictionary, site: str) -> None:
    check_reconstructs(model, sae)
    if str(model.site(sae.site)) != site:
        raise DictionaryError(f"{sae.name} is for {sae.site}, but was given for {site}. Give it under its own site.")
