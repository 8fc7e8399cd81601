"""What a circuit is asked about: prompts and tokens as a caller gives them, and as they stand in fields of text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ..session.session import Session

PROMPTS = ("clean", "corrupt")
TOKENS = ("answer", "foil")
BETWEEN = " |"
"""Between two tokens of a field; a space after it belongs to the token."""

BY_PROMPT = "one for each prompt"
"""In the field where prompts have different answers, which a field cannot hold."""


@dataclass(frozen=True)
class Question:
    """Arguments of the methods of circuits, as they take them."""

    clean: Any = ""
    corrupt: Any = ""
    answer: Any = ""
    foil: Any = ""

    @property
    def asked(self) -> bool:
        """Whether there is a prompt."""
        return self.clean is not None and len(self.clean) > 0

    @property
    def count(self) -> int:
        """How many clean prompts."""
        one = isinstance(self.clean, str) or not self.asked or isinstance(self.clean[0], int)
        return 1 if one else len(self.clean)

    def same_prompts(self, other: Question) -> bool:
        """Whether both are about the same clean prompts."""
        return bool(self.clean == other.clean)

    def arguments(self) -> dict[str, Any]:
        """For a method: what is empty is not given."""
        given = {name: getattr(self, name) for name in (*PROMPTS, *TOKENS)}
        return {name: None if _empty(value) else value for name, value in given.items()}

    def texts(self, model: Session) -> dict[str, str]:
        """As they stand in the fields."""
        prompts = {name: _lines(model, getattr(self, name)) for name in PROMPTS}
        return prompts | {name: _tokens(model, getattr(self, name), self.count) for name in TOKENS}

    def typed(self, model: Session, **fields: str) -> Question:
        """The question once some fields say something else; a field that says the same keeps what was given."""
        shown = self.texts(model)
        new = {name: text for name, text in fields.items() if text != shown[name]}
        if not new:
            return self
        asked = replace(self, **{name: read_prompts(new[name]) for name in PROMPTS if name in new})
        tokens = {name: read_tokens(new[name], asked.count) for name in TOKENS if name in new}
        return replace(asked, **tokens)


def read_prompts(text: str) -> str | list[str]:
    """A field of prompts: one a line."""
    lines = [line for line in text.split("\n") if line.strip()]
    return lines if len(lines) > 1 else "".join(lines)


def read_tokens(text: str, prompts: int) -> Any:
    """A field of tokens: one, or several that count for each of the prompts."""
    several = [each for each in text.split(BETWEEN) if each.strip()]
    if len(several) < 2:
        return text
    return several if prompts == 1 else [several] * prompts


def _empty(value: Any) -> bool:
    return value is None or (not isinstance(value, int) and len(value) == 0)


def _lines(model: Session, prompts: Any) -> str:
    if _empty(prompts):
        return ""
    several = [prompts] if isinstance(prompts, str) or isinstance(prompts[0], int) else prompts
    return "\n".join(each if isinstance(each, str) else "".join(map(model.text_of, each)) for each in several)


def _tokens(model: Session, given: Any, prompts: int) -> str:
    if _empty(given):
        return ""
    entries = [given] * prompts if isinstance(given, str | int) else [given] if prompts == 1 else list(given)
    lists = [[each] if isinstance(each, str | int) else list(each) for each in entries]
    if any(each != lists[0] for each in lists):
        return BY_PROMPT
    return BETWEEN.join(model.text_of(token) if isinstance(token, int) else str(token) for token in lists[0])


def as_given(value: Any) -> Any:
    """An argument as the methods take it, kept so that nobody changes it."""
    return list(value) if isinstance(value, Sequence) and not isinstance(value, str) else value
