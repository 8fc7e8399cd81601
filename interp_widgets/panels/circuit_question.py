"""What a circuit is asked about: prompts and tokens as a caller gives them, and as they stand in fields of text."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from ..errors import TextError

if TYPE_CHECKING:
    from ..methods.circuits.prompts import Prompts
    from ..session.session import Session

PROMPTS = ("clean", "corrupt")
TOKENS = ("answer", "foil")
BETWEEN = " |"
"""Between two tokens of a field; a space after it belongs to the token."""

FIRST = "clean 0"
"""Name of the first prompt: its side, and its number from 0."""

LONGEST = 200
"""Characters of a prompt in the list that one is chosen from; of a longer one its two ends."""

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

    def plain(self) -> dict[str, Any]:
        """What is given of it, with lists in the place of all sequences: for a file."""
        return {name: _plain(value) for name, value in self.arguments().items() if value is not None}

    def texts(self, model: Session) -> dict[str, str]:
        """As they stand in the fields."""
        prompts = {name: _lines(model, getattr(self, name)) for name in PROMPTS}
        return prompts | {name: _tokens(model, getattr(self, name), self.count) for name in TOKENS}

    def listed(self, model: Session) -> dict[str, str]:
        """Each prompt by its name, in short."""
        sides = {name: _several(model, getattr(self, name)) for name in PROMPTS}
        return {f"{side} {row}": _short(text) for side, texts in sides.items() for row, text in enumerate(texts)}

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


def _plain(value: Any) -> Any:
    return value if isinstance(value, str | int) else [_plain(each) for each in value]


def _empty(value: Any) -> bool:
    return value is None or (not isinstance(value, int) and len(value) == 0)


def _lines(model: Session, prompts: Any) -> str:
    return "\n".join(_several(model, prompts))


def _several(model: Session, prompts: Any) -> list[str]:
    """Texts of one prompt or several."""
    if _empty(prompts):
        return []
    several = [prompts] if isinstance(prompts, str) or isinstance(prompts[0], int) else prompts
    return [each if isinstance(each, str) else "".join(map(model.text_of, each)) for each in several]


def _short(text: str) -> str:
    half = LONGEST // 2
    return text if len(text) <= LONGEST else f"{text[:half]} … {text[-half:]}"


def checked_prompt(name: str, prompts: Prompts) -> tuple[str, int]:
    """The side and the row of a prompt, from its name.

    Raises:
        TextError: there is none of that name.
    """
    found = re.fullmatch(r"(clean|corrupt) (\d{1,9})", name)
    sides = PROMPTS if prompts.batches[0].corrupt is not None else PROMPTS[:1]
    if found is None or found[1] not in sides or int(found[2]) >= prompts.count:
        last = prompts.count - 1
        raise TextError(
            f"There is no prompt {name!r}; they are called " + " and ".join(f"{s} 0 to {s} {last}" for s in sides) + "."
        )
    return found[1], int(found[2])


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
