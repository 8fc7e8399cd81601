"""SHIFT: a probe that learned two things at once, and what is left of it without the atoms of one of them.

Sparse human-interpretable feature trimming (Marks et al., arXiv:2403.19647, section 4): a probe is trained on texts in which what
it is meant to tell coincides with something else. The atoms that its logit rests on are ranked, a person strikes out those that
have nothing to do with the task, and these are set to zero, with what the dictionaries miss kept. No text in which the two labels
differ is needed for it; those are for the test, and for what it is compared with.

An atom's effect is how much of the probe's logit for the right class goes when it goes, by integrated gradients along the line on
which all atoms of its dictionary and what it misses go to zero together. Atoms of different sites are on each other's way, so
their effects do not add up over sites.
"""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from ..progress import Progress, silent
from ..sae.dictionary import Dictionary
from ..session.session import Session
from .probes import L2
from .shift_conditions import accuracy_frame, changed, compared, struck_atoms, unchanged
from .shift_run import STEPS, TEXTS, Probe, effects_frame, prepare_shift, run_effects

DRAWS = 5


def shift_probe(
    model: Session, data: pl.DataFrame, *, site: str, split: str = "ambiguous", l2: float = L2, progress: Progress = silent
) -> Probe:  # fmt: skip
    """A linear probe for `label`, on the mean activation over the tokens that count.

    Args:
        model: a session.
        data: texts with two labels (see `frames.SHIFT_TEXTS`), as `lab.biographies` makes them.
        site: one with one vector a token, such as resid_post.2.
        split: what it is fitted on; default the ambiguous one.
        l2: see `fit_probe`.

    Raises:
        FrameError, TextError: data that do not fit; the sentence says how. SiteError: no such site, or one that is no vector.
    """
    return prepare_shift(model, data, site=site, dictionaries=(), splits=[split], l2=l2, progress=progress).probe


def shift_effects(
    model: Session,
    data: pl.DataFrame,
    *,
    site: str,
    dictionaries: Sequence[Dictionary],
    split: str = "ambiguous",
    by: str = "label",
    texts: int = TEXTS,
    steps: int = STEPS,
    l2: float = L2,
    progress: Progress = silent,
) -> pl.DataFrame:
    """What each atom does to the probe that is fitted on the ambiguous split (see `frames.SHIFT_EFFECTS`).

    Args:
        model, data, site, l2: as of `shift_probe`.
        dictionaries: one a site, of sites up to the probe's.
        split: which texts; default the ambiguous ones.
        by: the column whose class is the right one: `label`, or `spurious`, which asks what the probe knows of that.
        texts: how many of them, from the beginning; default 100.
        steps: midpoints of integrated gradients; default 10.

    Raises:
        As `shift_probe`. DictionaryError, SiteError: a dictionary that does not fit the model, two of one site, or one behind the
        probe.
    """
    run = prepare_shift(
        model, data, site=site, dictionaries=dictionaries, splits=["ambiguous", split], l2=l2, progress=progress
    )
    found = run_effects(model, run, split, by, texts=texts, steps=steps, progress=progress)
    return effects_frame(found, run.dictionaries)


def shift(
    model: Session,
    data: pl.DataFrame,
    *,
    site: str,
    dictionaries: Sequence[Dictionary],
    struck: Sequence[str],
    baselines: bool = True,
    draws: int = DRAWS,
    texts: int = TEXTS,
    steps: int = STEPS,
    seed: int = 0,
    l2: float = L2,
    progress: Progress = silent,
) -> pl.DataFrame:
    """How often probes are right on the test split, before and after atoms are struck out (see `frames.SHIFT_ACCURACY`).

    Args:
        model, data, site, dictionaries, l2: as of `shift_effects`.
        struck: names of atoms, as in `resid_post.2/122`.
        baselines: also measure as many random atoms, the atoms and the neurons that the spurious labels of the balanced split
            would choose, and a probe that is trained on the balanced split.
        draws: how often random atoms are drawn: of those that are active in the ambiguous split and were not struck, as many of
            each dictionary as were. Default 5.
        texts, steps: of the effects that the choices by label rest on. seed: of the random atoms.

    Raises:
        As `shift_effects`; also TextError: a name that is no atom of the dictionaries.
    """
    splits = ["ambiguous", "test", *(["balanced"] if baselines else [])]
    run = prepare_shift(model, data, site=site, dictionaries=dictionaries, splits=splits, l2=l2, progress=progress)
    chosen = struck_atoms(run.dictionaries, struck)
    rows = [*unchanged(run), *changed(model, run, "struck", chosen, progress=progress)]
    if baselines:
        rows += compared(model, run, chosen, draws=draws, texts=texts, steps=steps, seed=seed, progress=progress)
    return accuracy_frame(rows)
