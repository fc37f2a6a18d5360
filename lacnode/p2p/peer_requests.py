"""Questions to one peer, their answers, and what the peer is worth for it.

From eth/66 on an answer names its question. Before, answers come in the order of the questions. A question has five
seconds. At most five of them are open at once. Reputation follows Besu's `PeerReputation`, except that an answer nobody
waits for, late or never asked for, counts as useless and not as a breach of protocol: it may just be late.
"""

from collections import OrderedDict, deque
from typing import Any

import trio

from lacnode.p2p.wire.p2p_messages import DisconnectReason

REQUEST_TIMEOUT_SECONDS = 5.0
MAX_OPEN_REQUESTS = 5
MAX_TIMEOUTS = 3
"""Questions of one kind in a row that may stay without an answer."""

MAX_USELESS_ANSWERS, USELESS_WINDOW_SECONDS = 5, 60.0
"""Useless answers within so many seconds that end a session."""

FIRST_SCORE, MAX_SCORE, FINAL_FAULT_SCORE = 100, 150, 10


class RequestFailedError(Exception):
    """The peer did not answer, or left."""


class PeerLeftError(RequestFailedError):
    """The session ended before the answer came."""

    def __init__(self) -> None:
        super().__init__("the peer left")


class PeerReputation:
    """`score` is for choosing among peers. `disconnect_reason` says when enough is enough."""

    def __init__(self) -> None:
        self.score = FIRST_SCORE
        self.disconnect_reason: DisconnectReason | None = None
        self._timeouts: dict[int, int] = {}
        self._useless: deque[float] = deque(maxlen=MAX_USELESS_ANSWERS)

    def useful(self, kind: int) -> None:
        """A question whose answer has code `kind` was answered."""
        self._timeouts.pop(kind, None)
        self.score = min(MAX_SCORE, self.score + 1)

    def timed_out(self, kind: int) -> None:
        """A question whose answer has code `kind` was not answered."""
        self._timeouts[kind] = self._timeouts.get(kind, 0) + 1
        self._punish(DisconnectReason.TIMEOUT if self._timeouts[kind] >= MAX_TIMEOUTS else None)

    def useless(self, now: float) -> None:
        """The peer sent, at `now` (seconds), an answer that helps nobody."""
        self._useless.append(now)
        enough = len(self._useless) == MAX_USELESS_ANSWERS and now - self._useless[0] <= USELESS_WINDOW_SECONDS
        self._punish(DisconnectReason.USELESS_PEER if enough else None)

    def _punish(self, disconnect_reason: DisconnectReason | None) -> None:
        self.score -= 1 if disconnect_reason is None else FINAL_FAULT_SCORE
        self.disconnect_reason = self.disconnect_reason or disconnect_reason


class PendingRequest:
    """One question: the code of its answer, and the id it is asked under."""

    def __init__(self, answer_code: int, id_: int) -> None:
        self.answer_code = answer_code
        self.id = id_
        self.answered = trio.Event()
        self.value: Any = None
        self.failed = False


class PendingRequests:
    """Open questions, by the code of the answer. `version` is that of eth."""

    def __init__(self, version: int) -> None:
        self.reputation = PeerReputation()
        self._by_id = version >= 66
        self._next_id = 1
        self._open: dict[int, OrderedDict[int, PendingRequest]] = {}
        self._room = trio.CapacityLimiter(MAX_OPEN_REQUESTS)
        self._closed = False

    def slot_limiter(self) -> trio.CapacityLimiter:
        """Hold this while a question is open."""
        return self._room

    def begin(self, answer_code: int) -> PendingRequest:
        """A new question whose answer has `answer_code`. RequestFailedError if the peer has left."""
        if self._closed:
            raise PeerLeftError
        question = PendingRequest(answer_code, self._next_id)
        self._next_id += 1
        self._open.setdefault(answer_code, OrderedDict())[question.id] = question
        return question

    async def answer(self, question: PendingRequest) -> Any:
        """The answer to `question`. RequestFailedError if there is none in time."""
        try:
            with trio.fail_after(REQUEST_TIMEOUT_SECONDS):
                await question.answered.wait()
        except trio.TooSlowError:
            self.reputation.timed_out(question.answer_code)
            raise RequestFailedError(
                f"no answer {question.answer_code:#04x} within {REQUEST_TIMEOUT_SECONDS:.0f} s"
            ) from None
        finally:
            # Without ids, a question that nobody waits for any more must still take the answer that is its own.
            if self._by_id:
                self._open[question.answer_code].pop(question.id, None)
        if question.failed:
            raise PeerLeftError
        self.reputation.useful(question.answer_code)
        return question.value

    def expects(self, answer_code: int) -> bool:
        """Whether a question waits for an answer with this code: another is not worth reading."""
        return bool(self._open.get(answer_code))

    def deliver(self, answer_code: int, id_: int, value: Any) -> bool:
        """Hand an answer to its question. False if nobody asked (any more)."""
        waiting = self._open.get(answer_code)
        if not waiting:
            return False
        key = id_ if self._by_id else next(iter(waiting))
        question = waiting.pop(key, None)
        if question is None:
            return False
        question.value = value
        question.answered.set()
        return True

    def fail_all(self) -> None:
        """The peer is gone: nobody need wait."""
        self._closed = True
        for waiting in self._open.values():
            for question in waiting.values():
                question.failed = True
                question.answered.set()
