"""Relays messages to the validators that may lack them. Not all validators are connected to each other.

Each signed payload is relayed once, as long as it is remembered. A copy with another unsigned part helps no validator,
because each of them makes the same check. Must not check messages: it is given only those that have passed. So a false
copy does not keep back the true one.
"""

from lacnode.consensus.bft.committee import Committee
from lacnode.consensus.bft.effects import Effect, SendMessage
from lacnode.consensus.bft.events import MessageReceived
from lacnode.consensus.bft.message_buffers import MessageTracker
from lacnode.consensus.bft.messages import Message, round_id_of
from lacnode.consensus.bft.relay_shares import RelayShares
from lacnode.primitives.keccak import keccak256


class MessageRelay:
    """Decides which messages the validator `address` (20 bytes) relays, each signed payload once. It sends nothing
    itself: `relay` returns effects. It remembers the last `history` payloads that it relayed."""

    def __init__(self, address: bytes, history: int) -> None:
        self._address = address
        # Payloads, not messages: a peer can make any number of messages of one payload by changing the rest.
        self._relayed = MessageTracker(history)
        self._shares = RelayShares()

    def start_height(self) -> None:
        """Begin a new height: forget what was counted for the bounds of each author. They are per height, so a mistake
        is not held against a peer forever. Payloads that were relayed stay remembered.
        """
        self._shares.clear()

    def relay(
        self, event: MessageReceived, message: Message, committee: Committee, current_round: int, payload_hash: bytes
    ) -> list[Effect]:
        """Return the effect that sends `message`, unchanged, to the validators of its height except its author, the
        sender and this node. `event` is the message as it was received. `committee` is that of the message's height,
        `current_round` the round of this node, and `payload_hash` (32 bytes) what the author signed. Empty if the
        payload is remembered as relayed, if the share of its author is used up, or if no other validator exists. What
        the author itself sends has one share for the whole height. What a peer delivers of another author has a share
        for each of `MAX_RELAYED_ROUNDS` rounds, from `current_round` on, and one for all other rounds together."""
        author, validators = message.signed.author, committee.validators
        others = frozenset(validators) - {self._address, event.sender, author}
        sender = event.sender if event.sender in validators else None
        share = sender, author, round_id_of(message).round, current_round
        # Not the signature: an author can make many of them for one payload.
        key = keccak256(author + payload_hash)
        # The share comes first: a payload that is not relayed must not be remembered as relayed.
        if not others or not self._shares.may_relay(*share) or not self._relayed.add(key):
            return []
        self._shares.count_relayed(*share, len(event.data))
        return [SendMessage(event.code, event.data, others, is_relayed=True)]
