"""How long a peer may take for everything it is asked, counted together, and how much it is asked for at once.

A time limit for each answer is not enough: a peer that gives a little just before each limit would hold this node for
ever. Here the time of all answers is added up, and only verified blocks buy more of it. The least speed is that of an
honest node behind a slow line, and more is asked for at once only while answers are quick: a long answer on such a line
would look like none. A peer with the least speed does not hold this node either: after a while it gives way to others.
"""

from collections.abc import Awaitable
from typing import TypeVar

import trio

from lacnode.p2p.peer import PeerLeftError, RequestFailedError
from lacnode.p2p.wire.p2p_messages import DisconnectReason
from lacnode.sync.peer_trust import PeerFault

INITIAL_CREDIT_SECONDS = 4.0
"""For the first answers, before anything was delivered."""

MIN_BLOCKS_PER_SECOND = 20
MIN_BYTES_PER_SECOND = 8 * 1024
"""A peer must be as fast as one of the two. Headers count as well."""

FAST_BYTES_PER_SECOND = 64 * 1024
"""A peer with fewer bytes, and with fewer blocks than it must deliver, is slow."""

SLOW_SECONDS = 10.0
"""For which a slow peer is followed before another one is tried that may be faster."""

QUICK_SECONDS, LONG_SECONDS = 0.5, 3.0
"""Less than the first: an answer was quick. More than the second: it was long. A question has five seconds."""

MAX_CREDIT_SECONDS = 8.0
"""That a peer can have saved up, whatever it has delivered."""

T = TypeVar("T")


class PeerFailedError(Exception):
    """A peer did not deliver what it promised. The message says what it did; `reason` is for the disconnect, if any."""

    def __init__(self, text: str, fault: PeerFault, reason: DisconnectReason | None = None) -> None:
        super().__init__(text)
        self.fault = fault
        self.reason = reason


class DownloadPace:
    """The time account of one peer, from the moment it is chosen to follow."""

    def __init__(self) -> None:
        self.waited_seconds = 0.0
        self.blocks = 0
        self.size_bytes = 0
        self._left_seconds = INITIAL_CREDIT_SECONDS

    @property
    def is_slow(self) -> bool:
        """Whether the peer needed more than half of the grace, and delivered neither many blocks nor many bytes."""
        return (
            self.waited_seconds > INITIAL_CREDIT_SECONDS / 2
            and self.blocks < self.waited_seconds * MIN_BLOCKS_PER_SECOND
            and self.size_bytes < self.waited_seconds * FAST_BYTES_PER_SECOND
        )

    @property
    def gives_way(self) -> bool:
        """Whether another peer should be tried, if there is one that may be faster."""
        return self.is_slow and self.waited_seconds > SLOW_SECONDS

    def add_delivery(self, blocks: int, size_bytes: int) -> None:
        """So many verified blocks, of so many bytes together, were delivered."""
        self.blocks += blocks
        self.size_bytes += size_bytes
        earned = max(blocks / MIN_BLOCKS_PER_SECOND, size_bytes / MIN_BYTES_PER_SECOND)
        self._left_seconds = min(MAX_CREDIT_SECONDS, self._left_seconds + earned)

    async def answer(self, answer: Awaitable[T]) -> T:
        """The peer's answer; PeerFailedError if it does not come in the time that is left."""
        began = trio.current_time()
        try:
            with trio.fail_after(max(0.0, self._left_seconds)):
                return await answer
        except trio.TooSlowError:
            raise PeerFailedError(
                f"too slow: {self.blocks} blocks in {self._waited(began):.1f} s", PeerFault.LATE
            ) from None
        except PeerLeftError as error:
            raise PeerFailedError(str(error), PeerFault.LEFT) from None
        except RequestFailedError as error:
            raise PeerFailedError(str(error), PeerFault.LATE) from None
        finally:
            waited = trio.current_time() - began
            self.waited_seconds += waited
            self._left_seconds -= waited

    def _waited(self, began: float) -> float:
        return self.waited_seconds + trio.current_time() - began


class QuestionSize:
    """How much to ask for at once: from `first` up to `largest`, by how long the answers take."""

    def __init__(self, first: int, largest: int) -> None:
        self.now = first
        self._largest = largest

    def answered(self, seconds: float) -> None:
        """An answer to a question of this size took so long."""
        if seconds > LONG_SECONDS:
            self.now = max(1, self.now // 2)
        elif seconds < LONG_SECONDS / 2:
            self.now = min(self._largest, self.now * (4 if seconds < QUICK_SECONDS else 2))
