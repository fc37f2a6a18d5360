"""What the work for peers may take of this node: threads, processor time, and memory for long messages.

All sessions of a node share one `PeerShares`. Must not know a message.
"""

import trio

from lacnode.fair_share import FairShare, Shares
from lacnode.p2p.accepted_messages import UnaskedBytes

PEER_WORKER_THREADS = 2
"""Threads that serve peers and open their large messages."""

READING_SHARE, READING_SHARE_OF_PEER = 0.4, 0.1
"""Parts of one processor, for decoding and handling messages. Beyond its share, a peer's next message is read later."""

SERVING_SHARE, SERVING_SHARE_OF_PEER = 0.5, 0.25
"""Parts of one processor, for answering requests. Beyond its share, a peer's next answer is made later."""

_READING = Shares(total=READING_SHARE, most=READING_SHARE_OF_PEER, least=0.02, burst_seconds=10.0)
_SERVING = Shares(total=SERVING_SHARE, most=SERVING_SHARE_OF_PEER, least=0.05, burst_seconds=10.0)


class PeerShares:
    """`workers` limits the threads that serve peers and decode large messages. `reading` and `serving` are the peers'
    shares of the processor. `unasked` counts the bytes of long messages that this node did not ask for."""

    def __init__(self) -> None:
        self.workers = trio.CapacityLimiter(PEER_WORKER_THREADS)
        self.reading = FairShare(_READING)
        self.serving = FairShare(_SERVING)
        self.unasked = UnaskedBytes()
