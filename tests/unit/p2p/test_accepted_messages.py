"""Which long messages hold memory while they arrive."""

from collections.abc import Sequence
from typing import cast

import pytest

from lacnode.p2p.accepted_messages import (
    MAX_TRANSACTIONS_MESSAGE_BYTES,
    MAX_UNASKED_BYTES,
    LongMessageFilter,
    UnaskedBytes,
)
from lacnode.p2p.handler import NetworkHandler
from lacnode.p2p.peer import Peer
from lacnode.p2p.peer_requests import PendingRequests
from lacnode.p2p.wire.capabilities import CapabilityTable
from lacnode.p2p.wire.eth_messages import (
    MAX_SMALL_BODY_BYTES,
    BlockBodies,
    NewBlock,
    PooledTransactions,
    Transactions,
)
from tests.support.ibft2_blocks import CAPABILITIES

TABLE = CapabilityTable.negotiate(CAPABILITIES, CAPABILITIES)
LONG_BYTES = 16 * 2**20 - 1
BLOCK_BYTES = 2 * 2**20
EVERY_CODE = [*(TABLE.message_id("eth", code) for code in range(0x11)), TABLE.message_id("IBF", 0), 2]


class OnePeer:
    """A peer of which nothing was asked."""

    def __init__(self) -> None:
        self.requests = PendingRequests(68)


class ValidatorList:
    """A node whose validator reads messages of `validators`."""

    def __init__(self, validators: Sequence[OnePeer] = ()) -> None:
        self._validators = validators

    def reads_consensus_from(self, peer: OnePeer) -> bool:
        return peer in self._validators


def messages_of(
    peer: OnePeer, unasked: UnaskedBytes, *, is_validator: bool = False, max_transaction_bytes: int = 2**20
) -> LongMessageFilter:
    handler = cast("NetworkHandler", ValidatorList([peer] if is_validator else []))
    return LongMessageFilter(cast("Peer", peer), TABLE, handler, unasked, max_transaction_bytes)


def code(message: type[BlockBodies | NewBlock | PooledTransactions | Transactions]) -> int:
    return TABLE.message_id("eth", message.CODE)


@pytest.mark.parametrize("message_id", EVERY_CODE)
def test_a_short_message_is_always_kept(message_id: int) -> None:
    assert messages_of(OnePeer(), UnaskedBytes(MAX_UNASKED_BYTES)).accept_and_hold(message_id, MAX_SMALL_BODY_BYTES)


def test_an_answer_is_kept_while_its_question_waits_however_much_the_others_hold() -> None:
    peer = OnePeer()
    messages = messages_of(peer, UnaskedBytes(MAX_UNASKED_BYTES))
    assert not messages.accept_and_hold(code(BlockBodies), LONG_BYTES)
    peer.requests.open_request(BlockBodies.CODE)
    assert messages.accept_and_hold(code(BlockBodies), LONG_BYTES)


@pytest.mark.parametrize("message", [Transactions, PooledTransactions])
def test_transactions_are_kept_up_to_the_length_that_correct_peers_send(
    message: type[PooledTransactions | Transactions],
) -> None:
    peer = OnePeer()
    peer.requests.open_request(PooledTransactions.CODE)
    messages = messages_of(peer, UnaskedBytes())
    assert messages.accept_and_hold(code(message), MAX_TRANSACTIONS_MESSAGE_BYTES)
    assert not messages.accept_and_hold(code(message), MAX_TRANSACTIONS_MESSAGE_BYTES + 1)
    raised = messages_of(peer, UnaskedBytes(), max_transaction_bytes=4 * 2**20)
    assert raised.accept_and_hold(code(message), 4 * 2**20 + 100)
    assert not raised.accept_and_hold(code(message), 5 * 2**20)


def test_consensus_messages_are_kept_of_validators() -> None:
    proposal = TABLE.message_id("IBF", 0)
    assert messages_of(OnePeer(), UnaskedBytes(MAX_UNASKED_BYTES), is_validator=True).accept_and_hold(
        proposal, LONG_BYTES
    )
    assert not messages_of(OnePeer(), UnaskedBytes()).accept_and_hold(proposal, LONG_BYTES)


def test_all_blocks_that_strangers_send_together_are_bounded_and_those_of_validators_are_not() -> None:
    unasked = UnaskedBytes()
    strangers = [messages_of(OnePeer(), unasked) for _ in range(25)]
    kept = [each for each in strangers if each.accept_and_hold(code(NewBlock), BLOCK_BYTES)]
    assert len(kept) == MAX_UNASKED_BYTES // BLOCK_BYTES
    validator = messages_of(OnePeer(), unasked, is_validator=True)
    assert validator.accept_and_hold(code(NewBlock), BLOCK_BYTES)
    validator.release_held()
    assert not strangers[-1].accept_and_hold(code(NewBlock), BLOCK_BYTES)
    kept[0].release_held()
    assert strangers[-1].accept_and_hold(code(NewBlock), BLOCK_BYTES)


def test_what_no_protocol_has_is_not_kept() -> None:
    assert not messages_of(OnePeer(), UnaskedBytes()).accept_and_hold(2, LONG_BYTES)
    assert not messages_of(OnePeer(), UnaskedBytes()).accept_and_hold(0x7F, LONG_BYTES)
