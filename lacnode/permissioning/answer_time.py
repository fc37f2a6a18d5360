"""The time that one contract gets for its answers. A contract that fails to answer in time gets little, and then more again.

It counts over blocks: a contract that loops costs each validator a part of every block otherwise. This module must not
decide whether a block is valid, and a question that decides it must not come here.
"""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

SHORT_SECONDS, SILENT_SECONDS = 0.05, 1.0
"""The time limit of a question after a loss, and the time without a question after each loss.

A loss is a timeout, or a slow answer beyond `MAX_SLOW_SECONDS`. Rules in use answer within `SHORT_SECONDS`, so that senders
are not shut out for longer than `SILENT_SECONDS` once the rules are right again."""

RECOVERY_SECONDS = 40.0
"""The time after a loss until a question has its whole time limit again.

A question of 2 s, the longest there is, then costs 5 % of the time at most. One of 0.5 s, for a block that is being built,
costs 1.25 %."""

FIRST_TRY_SHARE = 0.05
"""The part of its time limit that a question gets in the first longer try after a loss. Each failed try doubles it."""

SLOW_ANSWER_SECONDS, MAX_SLOW_SECONDS, SLOW_SHARE = 0.5, 4.0, 0.05
"""The time from which an answer is slow, the time that slow answers may take altogether, and the part of the elapsed time
that is taken off their sum. Answers just below the time limit would hold up all others."""


@dataclass(slots=True)
class TimedQuestion:
    """A question to a contract with the time limit that it has now, in seconds. 0: it must not be asked now. The caller
    calls `record_timeout` if the contract does not answer within the limit."""

    seconds: float
    share: float
    """The share of the time limit that it has in a longer try, 1 for the whole limit. 0 for a short question."""

    has_timed_out: bool = False

    def record_timeout(self) -> None:
        """Record that the contract did not answer within the limit. After it, `AnswerTimeLimit` gives questions to this
        contract less time, and for a moment none. The call itself is not cancelled here."""
        self.has_timed_out = True


class AnswerTimeLimit:
    """The time limit of a question to one contract. It is lower for a while after a timeout, and after slow answers.
    Safe to use from several threads. `clock` returns monotonic seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._turn = threading.Lock()
        # The end of the last longer try without an answer, and the part that the next one has. A short try in between
        # does not count: else the short ones would put off the longer ones for ever.
        self._lost_at = -RECOVERY_SECONDS
        self._next_share = 1.0
        self._silent_until = -RECOVERY_SECONDS
        self._slow_seconds, self._slow_at = 0.0, 0.0

    @contextmanager
    def limit_question(self, seconds: float) -> Iterator[TimedQuestion]:
        """Yield a question with the time limit that holds now: at most `seconds`. The caller asks the contract within
        this context, whose duration is measured. A question with the limit 0 must not be asked.

        For some time after a timeout, or after slow answers, one thread asks at a time. Another thread waits for its
        turn for at most `SHORT_SECONDS`. The limit of its question is 0 if it gets no turn.
        """
        question = self._question(seconds)
        if question.share == 1:
            yield from self._measured(question)
        elif not question.seconds or not self._turn.acquire(timeout=SHORT_SECONDS):
            yield TimedQuestion(0, 0)
        else:
            try:
                # The question before it may have been lost.
                yield from self._measured(self._question(seconds))
            finally:
                self._turn.release()

    def _measured(self, question: TimedQuestion) -> Iterator[TimedQuestion]:
        started = self._clock()
        yield question
        if question.seconds:
            self._record(question, self._clock() - started)

    def _question(self, seconds: float) -> TimedQuestion:
        now = self._clock()
        with self._lock:
            share = min(1.0, (now - self._lost_at) / RECOVERY_SECONDS)
            if share >= self._next_share:
                return TimedQuestion(max(share * seconds, min(seconds, SHORT_SECONDS)), share)
            return TimedQuestion(0 if now < self._silent_until else min(seconds, SHORT_SECONDS), 0)

    def _record(self, question: TimedQuestion, seconds: float) -> None:
        now = self._clock()
        with self._lock:
            if not question.has_timed_out and not self._is_too_slow(seconds, now):
                return
            self._silent_until = now + SILENT_SECONDS
            if question.share:
                self._lost_at = now
                # After the whole time limit the tries begin again. A contract that needs less is found soon then.
                self._next_share = FIRST_TRY_SHARE if question.share == 1 else min(1.0, 2 * question.share)

    def _is_too_slow(self, seconds: float, now: float) -> bool:
        """Whether slow answers, with one that took `seconds`, took too long altogether."""
        if seconds < SLOW_ANSWER_SECONDS:
            return False
        left = max(0.0, self._slow_seconds - SLOW_SHARE * (now - self._slow_at))
        self._slow_seconds, self._slow_at = left + seconds, now
        return self._slow_seconds >= MAX_SLOW_SECONDS
