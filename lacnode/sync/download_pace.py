"""The time that a peer may take for all its answers together, and the size of requests.

A time limit for each answer is not enough. A peer that gives a little just before each limit would hold this node forever.
Here the times of all answers are summed up, and only verified blocks buy more time. The least speed is that of a correct
node behind a slow line. Requests grow only while answers are quick, because a long answer on a slow line looks like none.
A peer with the least speed cannot hold this node either: after some seconds another peer is tried.
"""

from collections.abc import Awaitable
from typing import TypeVar

import trio

from lacnode.p2p.peer import NoAnswerError, PeerLeftError
from lacnode.p2p.wire.p2p_messages import DisconnectReason
from lacnode.sync.peer_trust import PeerFault

INITIAL_CREDIT_SECONDS = 4.0
"""The time for the first answers, before anything is delivered."""

MIN_BLOCKS_PER_SECOND = 20
MIN_BYTES_PER_SECOND = 8 * 1024
"""A peer must reach one of the two. Headers count, too."""

FAST_BYTES_PER_SECOND = 64 * 1024
"""A peer with fewer bytes, and with fewer blocks than `MIN_BLOCKS_PER_SECOND`, is slow."""

SLOW_SECONDS = 10.0
"""How long a slow peer is followed before another peer is tried."""

QUICK_SECONDS, LONG_SECONDS = 0.5, 3.0
"""An answer below the first was quick. An answer above the second was long. The time-out of a request is five seconds."""

MAX_CREDIT_SECONDS = 8.0
"""The most time that a peer can save up, for any amount of delivered blocks."""

T = TypeVar("T")


class PeerFailedError(Exception):
    """A peer did not deliver what it claimed to have. The message names the failure.

    `fault` is the kind of the failure. `reason` is the reason of the disconnect, None if the session goes on.
    """

    def __init__(self, text: str, fault: PeerFault, reason: DisconnectReason | None = None) -> None:
        super().__init__(text)
        self.fault = fault
        self.reason = reason


class DownloadPace:
    """The time account of one peer for one download. It starts when the peer is chosen. `waited_seconds`, `blocks` and
    `size_bytes` are the sums until now: the seconds that this node waited for answers, and what was delivered and
    verified."""

    def __init__(self) -> None:
        self.waited_seconds = 0.0
        self.blocks = 0
        self.size_bytes = 0
        self._left_seconds = INITIAL_CREDIT_SECONDS

    @property
    def is_slow(self) -> bool:
        """Whether this node waited for the peer for more than half of `INITIAL_CREDIT_SECONDS`, and the peer delivered,
        for each second of that, fewer than `MIN_BLOCKS_PER_SECOND` blocks and fewer than `FAST_BYTES_PER_SECOND` bytes.
        """
        # Both conditions: a chain of empty blocks has few bytes, and a chain of full blocks has few blocks.
        return (
            self.waited_seconds > INITIAL_CREDIT_SECONDS / 2
            and self.blocks < self.waited_seconds * MIN_BLOCKS_PER_SECOND
            and self.size_bytes < self.waited_seconds * FAST_BYTES_PER_SECOND
        )

    @property
    def should_change_peer(self) -> bool:
        """Whether the peer is slow and was waited for longer than `SLOW_SECONDS`: the download should go to another one
        that may be faster, if there is one.
        """
        return self.is_slow and self.waited_seconds > SLOW_SECONDS

    def add_delivery(self, blocks: int, size_bytes: int) -> None:
        """Credit the delivery of `blocks` verified blocks with `size_bytes` bytes in total."""
        self.blocks += blocks
        self.size_bytes += size_bytes
        # The better of the two measures counts, for the same reason as in `is_slow`.
        earned = max(blocks / MIN_BLOCKS_PER_SECOND, size_bytes / MIN_BYTES_PER_SECOND)
        # A bounded credit: a peer must not deliver quickly for an hour and then hold this node for an hour.
        self._left_seconds = min(MAX_CREDIT_SECONDS, self._left_seconds + earned)

    async def wait_for_answer(self, answer: Awaitable[T]) -> T:
        """Wait for the peer's answer, and return it. The wait is taken from the time that is left.

        Raises PeerFailedError: with `PeerFault.LEFT` if the session ends, and with `PeerFault.LATE` if the answer does not
        come in the time that is left, or the request gets no answer.
        """
        began = trio.current_time()
        try:
            with trio.fail_after(max(0.0, self._left_seconds)):
                return await answer
        # A session that ends is not a fault of the same weight as silence: peers restart.
        except trio.TooSlowError:
            raise PeerFailedError(
                f"too slow: {self.blocks} blocks in {self._waited(began):.1f} s", PeerFault.LATE
            ) from None
        except PeerLeftError as error:
            raise PeerFailedError(str(error), PeerFault.LEFT) from None
        except NoAnswerError as error:
            raise PeerFailedError(str(error), PeerFault.LATE) from None
        finally:
            # In every case, an error included: time that was waited is gone.
            waited = trio.current_time() - began
            self.waited_seconds += waited
            self._left_seconds -= waited

    def _waited(self, began: float) -> float:
        return self.waited_seconds + trio.current_time() - began


class RequestSize:
    """The size of the next request, a number of headers or an amount of gas. `now` is that size: `first` at the
    beginning, then from 1 to `largest`, larger after quick answers and smaller after slow ones."""

    def __init__(self, first: int, largest: int) -> None:
        self.now = first
        self._largest = largest

    def adapt_to_answer(self, seconds: float) -> None:
        """Adapt the size after an answer that took `seconds`: times 4 below `QUICK_SECONDS`, times 2 from there to half
        of `LONG_SECONDS`, halved above `LONG_SECONDS`, else unchanged. It stays from 1 to `largest`."""
        if seconds > LONG_SECONDS:
            # Halved: the next answer would otherwise run into the time-out of the request.
            self.now = max(1, self.now // 2)
        elif seconds < LONG_SECONDS / 2:
            self.now = min(self._largest, self.now * (4 if seconds < QUICK_SECONDS else 2))
