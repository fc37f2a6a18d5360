"""Which peers may speak to consensus, and how much: what is beyond it ends the session for a while.

A peer that is no validator of the current height is a stranger here. Its messages are dropped before anything is read or
kept. Besu sends consensus messages only to validators and passes them on only as a validator, so what is lost is small:
a validator that was voted in by a block that this node does not have yet. The validator that made this block final passes
its messages on. Such a peer sends some messages for each block and stays below the bound for strangers.

A validator's session ends only for what no correct validator sends (`consensus.effects.BlamePeer`): what it passes on for
others may be any number of any messages. Must not decide who is a validator, which `validator` knows by the chain.
"""

from collections.abc import Callable, Sequence

import trio

from lacnode.p2p.peer import Peer
from lacnode.p2p.rate_limits import RateLimits
from lacnode.p2p.wire.p2p_messages import DisconnectReason
from lacnode.rate_limited_log import RateLimitedLog

STRANGER_MESSAGES_PER_SECOND, STRANGER_MESSAGES_AT_ONCE = 100, 3000
"""Of one peer that is no validator. A network of 20 validators with one block a second sends 44 a second; what it sends
in the half minute until it gives up a node that stands still is below 3000."""

VALIDATOR_MESSAGES_PER_SECOND, VALIDATOR_MESSAGES_AT_ONCE = 1000, 10_000
"""Of one validator. Reading one takes about 0.1 ms, so that one validator takes a tenth of a processor in the long run,
and up to four tenths with the worst of bytes."""

STRANGER_BYTES_AS_ONE_MESSAGE, VALIDATOR_BYTES_AS_ONE_MESSAGE = 64 * 2**10, 4 * 2**10
"""A message counts once more for each of so many bytes. A stranger's bytes are not read."""

FAULTS_PER_SECOND, FAULTS_AT_ONCE = 1 / 3, 20
"""Messages of one validator that no correct validator sends."""

COOL_DOWN_SECONDS = 60.0
"""How long a peer whose session was ended for its messages is not taken back."""


class ConsensusPeers:
    """Call everything on the event loop.

    `receive(code, data, sender)` gives a message to the validator, and `is_validator(address)` says whether it wants
    messages of the peer at this address; `deny(node_id, reason, seconds)` keeps a node out.
    """

    def __init__(
        self,
        peers: Callable[[], Sequence[Peer]],
        receive: Callable[[int, bytes, bytes], None],
        is_validator: Callable[[bytes], bool],
        deny: Callable[[bytes, str, float], None],
    ) -> None:
        self._peers = peers
        self._receive = receive
        self._is_validator = is_validator
        self._deny = deny
        self._strangers = RateLimits(STRANGER_MESSAGES_PER_SECOND, STRANGER_MESSAGES_AT_ONCE)
        self._validators = RateLimits(VALIDATOR_MESSAGES_PER_SECOND, VALIDATOR_MESSAGES_AT_ONCE)
        self._faults = RateLimits(FAULTS_PER_SECOND, FAULTS_AT_ONCE)
        self._log = RateLimitedLog("consensus", trio.current_time)

    def hears(self, peer: Peer) -> bool:
        """Whether messages of `peer` are read."""
        return self._is_validator(peer.address)

    def received(self, peer: Peer, code: int, data: bytes) -> None:
        """A consensus message of `peer`."""
        if self._is_validator(peer.address):
            cost = 1 + len(data) // VALIDATOR_BYTES_AS_ONE_MESSAGE
            if self._validators.allow(peer.id, trio.current_time(), cost):
                self._receive(code, data, peer.address)
            else:
                self._log.warning(("too-many", peer.id), "a validator sends too many messages", peer=peer.enode_text)
            return
        cost = 1 + len(data) // STRANGER_BYTES_AS_ONE_MESSAGE
        if not self._strangers.allow(peer.id, trio.current_time(), cost):
            self._end(peer, "consensus messages without end of a node that is no validator")

    def blame(self, address: bytes, fault: str) -> None:
        """The peer at this 20-byte address sent what no correct validator sends."""
        for peer in self._peers():
            if peer.address == address and not self._faults.allow(peer.id, trio.current_time()):
                self._end(peer, f"wrong consensus messages again and again, the last: {fault}")

    def _end(self, peer: Peer, reason: str) -> None:
        if peer.leaving is None:
            self._log.warning(("ended", peer.id), "session ended", peer=peer.enode_text, reason=reason)
            self._deny(peer.id, reason, COOL_DOWN_SECONDS)
            peer.leave(DisconnectReason.SUBPROTOCOL_REASON)
