"""Questions to one peer and their answers.

From eth/66 on an answer names its question; before, answers come in the order of the questions. A question has five
seconds; at most five of them are open at once.
"""

from collections import OrderedDict
from typing import Any

import trio

TIMEOUT = 5.0
MAX_OPEN = 5
MAX_TIMEOUTS = 3
"""Questions of one kind in a row that may stay without an answer."""


class RequestFailed(Exception):
    """The peer did not answer, or left."""


class Requests:
    """Open questions, by the code of the answer."""

    def __init__(self, version: int) -> None:
        self._by_id = version >= 66
        self._next_id = 1
        self._open: dict[int, OrderedDict[int, _Question]] = {}
        self._room = trio.CapacityLimiter(MAX_OPEN)
        self._timeouts: dict[int, int] = {}

    def begin(self, answer_code: int) -> int:
        """A new question whose answer has `answer_code`; its id."""
        id_ = self._next_id
        self._next_id += 1
        self._open.setdefault(answer_code, OrderedDict())[id_] = _Question()
        return id_

    def room(self) -> trio.CapacityLimiter:
        """Hold this while a question is open."""
        return self._room

    async def answer(self, answer_code: int, id_: int) -> Any:
        """The answer to question `id_`; RequestFailed if there is none in time."""
        question = self._open[answer_code][id_]
        try:
            with trio.fail_after(TIMEOUT):
                await question.answered.wait()
        except trio.TooSlowError:
            self._timeouts[answer_code] = self._timeouts.get(answer_code, 0) + 1
            raise RequestFailed(f"no answer {answer_code:#04x} within {TIMEOUT:.0f} s") from None
        finally:
            self._open[answer_code].pop(id_, None)
        self._timeouts[answer_code] = 0
        if question.failed:
            raise RequestFailed("the peer left")
        return question.value

    @property
    def is_useless(self) -> bool:
        """Whether questions of one kind stayed unanswered too often in a row."""
        return any(count >= MAX_TIMEOUTS for count in self._timeouts.values())

    def deliver(self, answer_code: int, id_: int, value: Any) -> bool:
        """Hand an answer to its question; False if nobody asked (any more)."""
        waiting = self._open.get(answer_code)
        if not waiting:
            return False
        question = waiting.get(id_) if self._by_id else next(iter(waiting.values()))
        if question is None or question.answered.is_set():
            return False
        question.value = value
        question.answered.set()
        return True

    def fail_all(self) -> None:
        """The peer is gone: nobody need wait."""
        for waiting in self._open.values():
            for question in waiting.values():
                question.failed = True
                question.answered.set()


class _Question:
    def __init__(self) -> None:
        self.answered = trio.Event()
        self.value: Any = None
        self.failed = False
