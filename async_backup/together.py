"""Questions that are cheaper asked together: who comes while others are answered waits for the next call."""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic, TypeVar

from anyio import Lock, current_time, sleep_until

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

_Question = TypeVar("_Question")
_Answer = TypeVar("_Answer")


class _Asked(Generic[_Question, _Answer]):
    """A question and, once it is there, its answer."""

    def __init__(self, question: _Question) -> None:
        self.question = question
        self.answers: list[_Answer] = []


class Together(Generic[_Question, _Answer]):
    """Answers questions by calls for several at a time."""

    def __init__(
        self, answer: Callable[[Sequence[_Question]], Awaitable[Sequence[_Answer]]], *, pause: float, most: int
    ) -> None:
        """`answer` takes up to `most` questions; it is called once in `pause` seconds at most, never twice at once."""
        self._answer = answer
        self._pause = pause
        self._most = most
        self._next = 0.0
        self._turn = Lock(fast_acquire=True)
        self._waiting: dict[_Asked[_Question, _Answer], None] = {}

    async def ask(self, question: _Question) -> _Answer:
        """The answer; raises what `answer` raises to one of those whose questions it was given: the others ask anew."""
        mine = _Asked[_Question, _Answer](question)
        self._waiting[mine] = None
        try:
            async with self._turn:
                while not mine.answers:
                    await self._answer_some()
        finally:
            self._waiting.pop(mine, None)
        return mine.answers[0]

    async def _answer_some(self) -> None:
        """Those that have waited longest."""
        await sleep_until(self._next)
        self._next = current_time() + self._pause
        asked = list(self._waiting)[: self._most]
        found = await self._answer([each.question for each in asked])
        for each, answer in zip(asked, found, strict=True):
            each.answers.append(answer)
            self._waiting.pop(each, None)
