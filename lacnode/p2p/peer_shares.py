"""What the work for peers may take of this node: threads, processor time, and memory for long messages.

All sessions of a node share one `PeerShares`. The consensus messages of a validator come on the same connection as its long
ones. So what validators send has threads and shares of its own: strangers must not delay it. Must not know a message.
"""

from dataclasses import replace

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

NEWCOMER_SECONDS = 30.0
"""For so long after the start of its session a peer has no least part: it waits while all peers together want too much. A
stranger may take a new key for each message, and each key would otherwise bring a part of its own."""

_READING = Shares(READING_SHARE, READING_SHARE_OF_PEER, 0.02, burst_seconds=10.0, newcomer_seconds=NEWCOMER_SECONDS)
_READING_OF_VALIDATORS = Shares(total=1.0, most=READING_SHARE_OF_PEER, least=READING_SHARE_OF_PEER, burst_seconds=10.0)
"""Only the share of each validator counts. Their number is that of the chain, and not one that strangers choose."""

_SERVING_OF_VALIDATORS = Shares(SERVING_SHARE, SERVING_SHARE_OF_PEER, LEAST_SERVING_SHARE, burst_seconds=10.0)
_SERVING = replace(_SERVING_OF_VALIDATORS, newcomer_seconds=NEWCOMER_SECONDS)


class PeerShares:
    """What the work for peers may take of this node. `serving_workers` limits the threads that serve peers. `unasked`
    counts the bytes of long messages that this node did not ask for."""

    def __init__(self) -> None:
        self.serving_workers = trio.CapacityLimiter(PEER_WORKER_THREADS)
        self._validator_workers = trio.CapacityLimiter(VALIDATOR_WORKER_THREADS)
        self._reading = FairShare(_READING)
        self._reading_of_validators = FairShare(_READING_OF_VALIDATORS)
        self._serving = FairShare(_SERVING)
        self._serving_of_validators = FairShare(_SERVING_OF_VALIDATORS)
        self.unasked = UnaskedBytes()

    def arrive(self, peer_id: bytes, now: float) -> None:
        """The session of the peer with this node id (64 bytes) begins at `now`, by the clock of the event loop."""
        for share in (self._reading, self._serving):
            share.arrive(peer_id, now)

    def leave(self, peer_id: bytes) -> None:
        """The session of the peer with this node id (64 bytes) has ended. What it has used up is remembered."""
        for share in (self._reading, self._serving):
            share.leave(peer_id)

    def decoding_workers_for(self, *, is_validator: bool) -> trio.CapacityLimiter:
        """Return the limiter of the threads that decode large messages: one for all validators, another one for all
        other peers."""
        return self._validator_workers if is_validator else self.serving_workers

    def reading_share_for(self, *, is_validator: bool) -> FairShare:
        """Return the shares of the processor for reading messages: one object for all validators, another one for all
        other peers."""
        return self._reading_of_validators if is_validator else self._reading

    def serving_share_for(self, *, is_validator: bool) -> FairShare:
        """Return the shares of the processor for answering requests: one object for all validators, another one for all
        other peers."""
        return self._serving_of_validators if is_validator else self._serving
