"""What the work for peers may take of this node: threads, processor time, and memory for long messages.

All sessions of a node share one `PeerShares`. The consensus messages of a validator come on the same connection as its long
ones. So what validators send has threads and shares of its own: strangers must not delay it. Must not know a message.
"""

import trio

from lacnode.fair_share import FairShare, Shares
from lacnode.p2p.accepted_messages import UnaskedBytes

PEER_WORKER_THREADS = 2
"""Threads that serve peers and open the large messages of peers that are no validators."""

VALIDATOR_WORKER_THREADS = 2
"""Threads that open the large messages of validators. A session opens one at a time, so one faulty validator takes one."""

READING_SHARE, READING_SHARE_OF_PEER = 0.4, 0.1
"""Parts of one processor, for decoding and handling messages. Beyond its share, a peer's next message is read later."""

SERVING_SHARE, SERVING_SHARE_OF_PEER = 0.5, 0.25
"""Parts of one processor, for answering requests. Beyond its share, a peer's next answer is made later."""

LEAST_SERVING_SHARE = 0.02
"""The part that each peer keeps while the others ask for too much. The parts of 25 peers are `SERVING_SHARE` together."""

_READING = Shares(total=READING_SHARE, most=READING_SHARE_OF_PEER, least=0.02, burst_seconds=10.0)
_READING_OF_VALIDATORS = Shares(total=1.0, most=READING_SHARE_OF_PEER, least=READING_SHARE_OF_PEER, burst_seconds=10.0)
"""Only the share of each validator counts. Their number is that of the chain, and not one that strangers choose."""

_SERVING = Shares(total=SERVING_SHARE, most=SERVING_SHARE_OF_PEER, least=LEAST_SERVING_SHARE, burst_seconds=10.0)


class PeerShares:
    """What the work for peers may take of this node. `serving_workers` limits the threads that serve peers, and
    `serving` is the peers' share of the processor for that. `unasked` counts the bytes of long messages that this node
    did not ask for."""

    def __init__(self) -> None:
        self.serving_workers = trio.CapacityLimiter(PEER_WORKER_THREADS)
        self._validator_workers = trio.CapacityLimiter(VALIDATOR_WORKER_THREADS)
        self._reading = FairShare(_READING)
        self._reading_of_validators = FairShare(_READING_OF_VALIDATORS)
        self.serving = FairShare(_SERVING)
        self.unasked = UnaskedBytes()

    def decoding_workers_for(self, *, is_validator: bool) -> trio.CapacityLimiter:
        """Return the limiter of the threads that decode large messages: one for all validators, another one for all
        other peers."""
        return self._validator_workers if is_validator else self.serving_workers

    def reading_share_for(self, *, is_validator: bool) -> FairShare:
        """Return the shares of the processor for reading messages: one object for all validators, another one for all
        other peers."""
        return self._reading_of_validators if is_validator else self._reading
