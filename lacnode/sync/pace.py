"""How long a peer may take for everything it is asked, counted together.

A time limit for each answer is not enough: a peer that gives a little just before each limit would hold this node for
ever. Here the time of all answers is added up, and only verified blocks buy more of it.
"""

from collections.abc import Awaitable
from typing import TypeVar

import trio

from lacnode.p2p.peer import PeerLeftError, RequestFailed
from lacnode.p2p.wire.p2p_messages import DisconnectReason
from lacnode.sync.peer_trust import Fault

GRACE_SECONDS = 4.0
"""For the first answers, before anything was delivered."""

MIN_BLOCKS_PER_SECOND = 20
MIN_BYTES_PER_SECOND = 64 * 1024
"""A peer must be as fast as one of the two."""

MAX_CREDIT_SECONDS = 8.0
"""That a peer can have saved up, whatever it has delivered."""

T = TypeVar("T")


class PeerFailedError(Exception):
    """A peer did not deliver what it promised. The message says what it did; `reason` is for the disconnect, if any."""

    def __init__(self, text: str, fault: Fault, reason: DisconnectReason | None = None) -> None:
        super().__init__(text)
        self.fault = fault
        self.reason = reason


class Pace:
    """The time account of one peer, from the moment it is chosen to follow."""

    def __init__(self) -> None:
        self.used_seconds = 0.0
        self.blocks = 0
        self._left_seconds = GRACE_SECONDS

    @property
    def is_slow(self) -> bool:
        """Whether the peer needed more than the grace and delivered at less than the least speed."""
        return self.used_seconds > GRACE_SECONDS / 2 and self.blocks < self.used_seconds * MIN_BLOCKS_PER_SECOND

    def earn(self, blocks: int, size_bytes: int) -> None:
        """So many verified blocks, of so many bytes together, were delivered."""
        self.blocks += blocks
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
                f"too slow: {self.blocks} blocks in {self._waited(began):.1f} s", Fault.LATE
            ) from None
        except PeerLeftError as error:
            raise PeerFailedError(str(error), Fault.LEFT) from None
        except RequestFailed as error:
            raise PeerFailedError(str(error), Fault.LATE) from None
        finally:
            waited = trio.current_time() - began
            self.used_seconds += waited
            self._left_seconds -= waited

    def _waited(self, began: float) -> float:
        return self.used_seconds + trio.current_time() - began
