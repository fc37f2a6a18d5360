"""What strangers want of this node, and what is left for the messages of validators."""

from types import SimpleNamespace
from typing import Any

import pytest
import trio
import trio.testing

from lacnode.fair_share import FairShare
from lacnode.p2p.peer_shares import (
    LEAST_SERVING_SHARE,
    NEWCOMER_SECONDS,
    PEER_WORKER_THREADS,
    READING_SHARE,
    READING_SHARE_OF_PEER,
    SERVING_SHARE,
    PeerShares,
)
from lacnode.p2p.session import LARGE_BODY_BYTES, _handle_frame, _Meter
from lacnode.p2p.wire.capabilities import Capability, CapabilityTable
from lacnode.p2p.wire.eth_messages import NewPooledTransactionHashes
from lacnode.p2p.wire.frame import Frame
from lacnode.primitives import rlp

STRANGERS = 24
MODEST = b"modest".ljust(64)
LONG_ANNOUNCEMENT = rlp.encode([bytes(32)] * (LARGE_BODY_BYTES // 32))


@pytest.mark.parametrize("is_validator", [True, False])
def test_validators_do_not_wait_for_the_time_of_strangers(is_validator: bool) -> None:
    """Attack: as many strangers as there are slots use their least share. Together that is more than all may have."""
    shares = PeerShares()
    for number in range(STRANGERS):
        shares.reading_share_for(is_validator=False).spend(number, 2.0, 0.0)
    reading = shares.reading_share_for(is_validator=is_validator)
    reading.spend("a validator", 0.5, 0.0)
    assert (reading.wait_seconds("a validator", 0.0) == 0.0) == is_validator


def test_a_validator_has_a_bound_too() -> None:
    reading = PeerShares().reading_share_for(is_validator=True)
    reading.spend("a validator", 10 * READING_SHARE_OF_PEER + 1, 0.0)
    assert reading.wait_seconds("a validator", 0.0) == pytest.approx(1 / READING_SHARE_OF_PEER)
    assert reading.wait_seconds("another validator", 0.0) == 0.0


def test_all_peers_together_have_half_a_processor_for_answers() -> None:
    """Attack: each of as many peers as there are slots always has another request. An answer takes 0.1 s."""
    serving = PeerShares().serving_share_for(is_validator=False)
    next_at, spent = dict.fromkeys(range(STRANGERS + 1), 0.0), 0.0
    while min(next_at.values()) < 1_000.0:
        peer = min(next_at, key=lambda peer: next_at[peer])
        serving.spend(peer, 0.1, next_at[peer])
        spent += 0.1
        next_at[peer] += 0.1 + serving.wait_seconds(peer, next_at[peer] + 0.1)
    assert spent == pytest.approx(SERVING_SHARE * 1_000, rel=0.05)


def test_a_peer_that_asks_for_little_does_not_wait_for_greedy_ones() -> None:
    shares = PeerShares()
    shares.arrive(MODEST, 0.0)
    serving, later = shares.serving_share_for(is_validator=False), 2 * NEWCOMER_SECONDS
    for peer in range(STRANGERS):
        serving.spend(peer, 10.0, later)
    serving.spend(MODEST, 10 * LEAST_SERVING_SHARE / 2, later)
    assert serving.wait_seconds(0, later) > 60
    assert serving.wait_seconds(MODEST, later) == 0.0


def used_by_new_keys(share: FairShare, shares: PeerShares) -> float:
    """What strangers use of a processor who take 20 new keys a second, as many as one address may. Each wants 0.2 s."""
    spent = 0.0
    for number in range(20 * 600):
        key, now = number.to_bytes(64), number / 20
        shares.arrive(key, now)
        if share.wait_seconds(key, now) == 0.0:
            share.spend(key, 0.2, now)
            spent += 0.2
        shares.leave(key)
    return spent / 600


def test_a_key_for_each_message_brings_no_more_of_the_processor() -> None:
    shares = PeerShares()
    reading = shares.reading_share_for(is_validator=False)
    assert used_by_new_keys(reading, shares) == pytest.approx(READING_SHARE, rel=0.05)


def test_a_key_for_each_request_brings_no_more_of_the_processor() -> None:
    shares = PeerShares()
    serving = shares.serving_share_for(is_validator=False)
    assert used_by_new_keys(serving, shares) == pytest.approx(SERVING_SHARE, rel=0.05)


@pytest.mark.parametrize("is_validator", [True, False])
def test_a_validator_that_has_just_come_does_not_wait_for_strangers(is_validator: bool) -> None:
    shares = PeerShares()
    for share_of in (shares.reading_share_for, shares.serving_share_for):
        for number in range(STRANGERS):
            share_of(is_validator=False).spend(number, 2.0, 0.0)
    shares.arrive(b"validator", 0.0)
    waits = [
        share_of(is_validator=is_validator).wait_seconds(b"validator", 0.0)
        for share_of in (shares.reading_share_for, shares.serving_share_for)
    ]
    assert all((wait == 0.0) == is_validator for wait in waits)


@pytest.mark.parametrize("is_validator", [True, False])
async def test_a_long_message_of_a_validator_does_not_wait_for_those_of_strangers(is_validator: bool) -> None:
    """Attack: strangers send long messages at once. A validator's vote is behind its own long message, on one connection."""
    shares = PeerShares()
    for number in range(PEER_WORKER_THREADS):
        shares.decoding_workers_for(is_validator=False).acquire_on_behalf_of_nowait(number)
    with trio.move_on_after(60 if is_validator else 0.1) as scope:
        await hear(LONG_ANNOUNCEMENT, shares, is_validator=is_validator)
    assert scope.cancelled_caught != is_validator


async def hear(body: bytes, shares: PeerShares, *, is_validator: bool) -> None:
    """Act on an announcement of transactions as a session does."""
    table = CapabilityTable.negotiate([Capability("eth", 66)], [Capability("eth", 66)])
    message_id = table.message_id("eth", NewPooledTransactionHashes.CODE)
    handler = SimpleNamespace(
        reads_consensus_from=lambda peer: is_validator, transaction_hashes_received=lambda peer, hashes, sizes: None
    )
    peer = SimpleNamespace(record_known_transaction=lambda hash_: None)
    admitted: Any = SimpleNamespace(peer=peer, table=table)
    network: Any = SimpleNamespace(handler=handler, shares=shares)
    requests, _ = trio.open_memory_channel[Any](1)
    await _handle_frame(Frame(message_id, body), admitted, network, requests, _Meter())
