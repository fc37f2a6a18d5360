"""The bounds on consensus messages that peers send.

A peer that is not a validator of the current height is a stranger. Its messages are dropped unread. Besu sends consensus
messages only to validators and relays them only as a validator, so the loss is small: a validator that was voted in by a
block that this node does not have yet. The validators of that block relay its messages. Such a peer sends some messages for
each block and stays below the bound for strangers.

A validator keeps its session although it sends too many messages: it may relay any number of messages of others. Must not
decide who is a validator. The validator knows that by the chain.
"""

from collections.abc import Callable

import trio

from lacnode.node.peer_expulsion import PeerExpulsion
from lacnode.p2p.peer import Peer
from lacnode.p2p.rate_limits import RateLimits
from lacnode.rate_limited_log import RateLimitedLog

STRANGER_MESSAGES_PER_SECOND, STRANGER_MESSAGES_AT_ONCE = 100, 3000
"""Messages of one peer that is not a validator. A network of 20 validators with one block a second sends 44 a second.
It sends fewer than 3000 in the half minute until it gives up a node that does not follow."""

VALIDATOR_MESSAGES_PER_SECOND, VALIDATOR_MESSAGES_AT_ONCE = 1000, 10_000
"""Messages of one validator. Reading a vote takes 0.2 ms to 0.5 ms, and one with a block up to a second. So their time
has a bound of its own (`validator.event_queue.READING_SHARE_OF_VALIDATOR`), and this one bounds what comes in."""

STRANGER_BYTES_AS_ONE_MESSAGE, VALIDATOR_BYTES_AS_ONE_MESSAGE = 64 * 2**10, 4 * 2**10
"""A message counts once more for each of so many bytes. The bytes of a stranger are not read. For a validator, these counts
have a bound of their own with the same numbers."""


class ConsensusMessageFilter:
    """Passes consensus messages of peers that are validators on to the validator of this node. They are not sent to
    other peers here. Messages beyond the bounds for one peer are dropped. Messages of a peer that is no validator are
    dropped too, and too many of them expel it. Use on the event loop only.

    `receive(code, data, sender)` gives a message to the validator. `sender` is the address (20 bytes) of the peer that
    delivered it, which need not be the author. `is_validator(address)` says whether the peer at this 20-byte address is
    a validator of the current height.
    """

    def __init__(
        self,
        receive: Callable[[int, bytes, bytes], None],
        is_validator: Callable[[bytes], bool],
        expulsion: PeerExpulsion,
    ) -> None:
        self._receive = receive
        self._is_validator = is_validator
        self._expulsion = expulsion
        self._strangers = RateLimits(STRANGER_MESSAGES_PER_SECOND, STRANGER_MESSAGES_AT_ONCE)
        self._validators = RateLimits(VALIDATOR_MESSAGES_PER_SECOND, VALIDATOR_MESSAGES_AT_ONCE)
        self._long_messages = RateLimits(VALIDATOR_MESSAGES_PER_SECOND, VALIDATOR_MESSAGES_AT_ONCE)
        self._log = RateLimitedLog("consensus", trio.current_time)

    def reads_messages_of(self, peer: Peer) -> bool:
        """Return whether messages of `peer` are read: it is a validator of the current height."""
        return self._is_validator(peer.address)

    def receive(self, peer: Peer, code: int, data: bytes) -> None:
        """Pass a consensus message of `peer` on to the validator, by its code and its bytes without the code. The
        message is dropped if the peer is no validator, or sends too many messages or bytes. Only a peer that is no
        validator is expelled for sending too many.
        """
        if self._is_validator(peer.address):
            if self._may_pass(peer.id, len(data)):
                self._receive(code, data, peer.address)
            else:
                self._log.warning(("too-many", peer.id), "a validator sends too many messages", peer=peer.enode_text)
            return
        cost = 1 + len(data) // STRANGER_BYTES_AS_ONE_MESSAGE
        if not self._strangers.try_spend(peer.id, trio.current_time(), cost):
            self._expulsion.expel(peer, "consensus messages without end of a node that is no validator")

    def _may_pass(self, validator_id: bytes, length_bytes: int) -> bool:
        now = trio.current_time()
        if not self._validators.try_spend(validator_id, now):
            return False
        # Reading takes time by the byte, so a long message uses up more. This has a bound of its own: a faulty validator can
        # make an honest one relay tens of megabytes, and the votes of the honest one are short and must pass.
        cost = length_bytes // VALIDATOR_BYTES_AS_ONE_MESSAGE
        return cost == 0 or self._long_messages.try_spend(validator_id, now, cost)
