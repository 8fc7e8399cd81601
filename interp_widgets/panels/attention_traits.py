"""What the attention of a text is in words, and where its panel begins."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from ..widgets.attention import SCORES
from . import summaries
from .lens import unknown_words

if TYPE_CHECKING:
    from ..methods.attention_run import AttentionRun
    from ..methods.head_scores import Effects
    from ..session.session import Session


def metric_words(effects: Effects, model: Session) -> str:
    """What the effects of heads are effects on."""
    answer = repr(model.text_of(effects.answer))
    if effects.foil is None:
        return f"the log-probability of {answer}"
    return f"logit({answer}) − logit({model.text_of(effects.foil)!r})"


def first_head(run: AttentionRun) -> list[int]:
    """[layer, head] to begin with: the highest induction score, or where little repeats the highest previous-token score."""
    score = run.scores[:, SCORES.index(summaries.telling_score(run))]
    return list(divmod(int(score.nan_to_num(0.0).argmax()), score.shape[-1]))


def notes_of(run: AttentionRun, model: Session) -> list[str]:
    """What a reader of this text's attention should know."""
    from ..methods.head_scores import repeats

    first = float(run.scores[:, SCORES.index("first_token")].mean())
    if math.isnan(first):  # one token
        return unknown_words(model, run.tokens)
    count = repeats(run.ids)
    notes = [
        f"Position 0 takes {first:.0%} of the attention of the other tokens, mean over all heads: such a sink says little about "
        "the text. Thumbnails leave it out."
    ]
    if not count:
        notes.append("No token comes twice with text between, so no head has an induction score here.")
    elif count < summaries.FEW:
        notes.append(
            f"The induction score is a mean over only {count} of these tokens; a text that repeats itself tells more."
        )
    return notes + unknown_words(model, run.tokens)
