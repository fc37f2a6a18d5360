"""Requests to one peer, their answers, and the reputation that the peer gets by them.

From eth/66 on an answer names its request. Before, answers come in the order of the requests. A request waits for five
seconds. At most five of them are open at once. Reputation follows Besu's `PeerReputation` with one difference: an answer
for which no request waits counts as useless and not as a breach of protocol, because it may just be late.
"""

from collections import OrderedDict, deque
from typing import Any

import trio

from lacnode.p2p.wire.p2p_messages import DisconnectReason

REQUEST_TIMEOUT_SECONDS = 5.0
MAX_OPEN_REQUESTS = 5
MAX_TIMEOUTS = 3
"""Requests of one kind in a row without an answer that end a session."""

MAX_USELESS_ANSWERS, USELESS_WINDOW_SECONDS = 5, 60.0
"""The number of useless answers that ends a session, if they come within so many seconds."""


class NoAnswerError(Exception):
    """A request has no answer: the peer did not answer in time, or the session ended. Whether the content of an answer
    fits the request is not checked here: an answer that does not fit is no NoAnswerError."""


class PeerLeftError(NoAnswerError):
    """The session ended before the answer came, or before the request."""

    def __init__(self) -> None:
        super().__init__("the peer left")


class PeerReputation:
    """Counts the faults of one peer. `disconnect_reason` is set once the peer should be disconnected."""

    def __init__(self) -> None:
        self.disconnect_reason: DisconnectReason | None = None
        self._timeouts: dict[int, int] = {}
        self._useless: deque[float] = deque(maxlen=MAX_USELESS_ANSWERS)

    def record_answer(self, kind: int) -> None:
        """Record that the peer has answered a request. `kind` is the message code of the answer. Earlier timeouts of
        this kind no longer count."""
        self._timeouts.pop(kind, None)

    def record_timeout(self, kind: int) -> None:
        """Record that the peer has not answered a request in time. `kind` is the message code of the answer.

        `MAX_TIMEOUTS` of one kind in a row set `disconnect_reason`. The caller ends the session.
        """
        self._timeouts[kind] = self._timeouts.get(kind, 0) + 1
        if self._timeouts[kind] >= MAX_TIMEOUTS:
            self._set_reason(DisconnectReason.TIMEOUT)

    def record_useless_answer(self, now: float) -> None:
        """Record that the peer sent, at `now` (seconds of one clock), an answer for which no request waits, or that
        does not fit its request. `MAX_USELESS_ANSWERS` within `USELESS_WINDOW_SECONDS` set `disconnect_reason`. The
        caller ends the session.
        """
        self._useless.append(now)
        # The deque holds the last `MAX_USELESS_ANSWERS` times, so that the first entry is the oldest of them.
        enough = len(self._useless) == MAX_USELESS_ANSWERS and now - self._useless[0] <= USELESS_WINDOW_SECONDS
        if enough:
            self._set_reason(DisconnectReason.USELESS_PEER)

    def _set_reason(self, disconnect_reason: DisconnectReason) -> None:
        # The first reason stays: later faults must not hide it.
        self.disconnect_reason = self.disconnect_reason or disconnect_reason


class PendingRequest:
    """One request: the code of its answer, and the request id that it is sent with. `answered` is set once `value` is
    the answer, or once `failed` is True because the peer has left. A request that times out is not marked here."""

    def __init__(self, answer_code: int, id_: int) -> None:
        self.answer_code = answer_code
        self.id = id_
        self.answered = trio.Event()
        self.value: Any = None
        self.failed = False


class PendingRequests:
    """The open requests to one peer, by the code of the answer. `version` is that of `eth`. Used on the event loop."""

    def __init__(self, version: int) -> None:
        self.reputation = PeerReputation()
        self._by_id = version >= 66
        self._next_id = 1
        self._open: dict[int, OrderedDict[int, PendingRequest]] = {}
        self._room = trio.CapacityLimiter(MAX_OPEN_REQUESTS)
        self._closed = False

    def slot_limiter(self) -> trio.CapacityLimiter:
        """Return the limiter that the caller must hold while its request is open. It lets `MAX_OPEN_REQUESTS` in at
        once. Further ones wait."""
        return self._room

    @property
    def queued_count(self) -> int:
        """The number of requests that are not open yet: they wait until others are answered or have timed out."""
        return self._room.statistics().tasks_waiting

    def open_request(self, answer_code: int) -> PendingRequest:
        """Return a new open request whose answer has `answer_code`. The caller sends the request. PeerLeftError if the
        peer has left."""
        if self._closed:
            raise PeerLeftError
        question = PendingRequest(answer_code, self._next_id)
        self._next_id += 1
        self._open.setdefault(answer_code, OrderedDict())[question.id] = question
        return question

    async def wait_for_answer(self, question: PendingRequest) -> Any:
        """Wait for the answer to `question` and return the value that `deliver` got. A timeout counts in `reputation`.
        NoAnswerError if it does not come within `REQUEST_TIMEOUT_SECONDS`, PeerLeftError if the peer leaves.
        """
        try:
            with trio.fail_after(REQUEST_TIMEOUT_SECONDS):
                await question.answered.wait()
        except trio.TooSlowError:
            self.reputation.record_timeout(question.answer_code)
            raise NoAnswerError(
                f"no answer {question.answer_code:#04x} within {REQUEST_TIMEOUT_SECONDS:.0f} s"
            ) from None
        finally:
            # Without ids, a request that has timed out stays open and takes its own late answer. Otherwise the answer
            # would go to the next request. With ids, the request is closed also when the caller was cancelled.
            if self._by_id:
                self._open[question.answer_code].pop(question.id, None)
        # The event is set for both outcomes, so that one wait serves for both.
        if question.failed:
            raise PeerLeftError
        self.reputation.record_answer(question.answer_code)
        return question.value

    def expects_answer(self, answer_code: int) -> bool:
        """Whether a request is open whose answer has this message code of `eth`. Other answers need not be read. Before
        eth/66 a request that has timed out stays open."""
        return bool(self._open.get(answer_code))

    def deliver(self, answer_code: int, id_: int, value: Any) -> bool:
        """Give `value` to the open request with `answer_code` and `id_`. Before eth/66 there are no ids: the oldest
        open request with the code gets it, also if it has timed out. Return True, or False if no such request is open.
        """
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
        """The peer has left: end all waits with PeerLeftError and refuse new requests."""
        self._closed = True
        for waiting in self._open.values():
            for question in waiting.values():
                question.failed = True
                question.answered.set()
