"""Blocks that peers announce: the true one gets in whatever else is announced, and who made one up is known."""

from collections.abc import Sequence

import pytest
import trio
from trio.testing import MockClock

from lacnode.p2p.wire.p2p_messages import DisconnectReason
from lacnode.primitives.block import Block, BlockBody
from lacnode.sync.announced_blocks import MAX_ANNOUNCED_BLOCKS_PER_PEER, MAX_FALSE_BODIES, AnnouncedBlocks
from tests.support.chain_genesis import KEYS, STRANGER
from tests.support.chain_network import Network, network
from tests.support.chain_transactions import Offer, transaction
from tests.support.logs import captured_logs
from tests.support.sync_peers import ScriptedPeer, Syncing, invented


class Announcing:
    """A node with a synchronizer that does not run, and what it passes on."""

    def __init__(self) -> None:
        self.net: Network = network()
        self.syncing = Syncing(self.net.chain, [])
        self.relayed: list[int] = []
        self.announced = AnnouncedBlocks(
            self.net.chain,
            self.syncing.synchronizer,
            relay=lambda block, hash_: self.relayed.append(block.number),
        )

    async def take(self, *announcements: tuple[ScriptedPeer, Block]) -> None:
        """Receive all at once, then look at them."""
        for peer, block in announcements:
            self.announced.block_announced(peer.as_peer(), block)
        with trio.move_on_after(1):
            await self.announced.run()

    @property
    def height(self) -> int:
        return self.net.chain.head.header.number


def chain(count: int = 2) -> Sequence[Block]:
    net = network()
    return [net.grow([Offer(transaction(nonce))]) for nonce in range(count)]


async def test_the_next_block_is_imported_and_passed_on_once(autojump_clock: MockClock) -> None:
    node, (first, second) = Announcing(), chain()
    one, other = ScriptedPeer("one"), ScriptedPeer("other")
    await node.take((one, first), (other, first), (one, second), (other, second))
    assert node.height == 2
    assert node.relayed == [1, 2]
    assert node.net.engine.executions == 2


@pytest.mark.parametrize("sealers", [0, 2])
async def test_a_block_without_a_quorums_seals_is_not_executed(autojump_clock: MockClock, sealers: int) -> None:
    node = Announcing()
    liar, honest = ScriptedPeer("liar"), ScriptedPeer("honest")
    false = invented(node.net.chain.head.header, 1, [*KEYS[:sealers], STRANGER])[0]
    await node.take((liar, false), (honest, chain()[0]))
    assert liar.left_for is DisconnectReason.BREACH_OF_PROTOCOL
    assert not node.syncing.synchronizer.trust.may_be_asked(liar.as_peer(), trio.current_time())
    assert node.height == 1
    assert node.net.engine.executions == 1


@pytest.mark.parametrize("check", ["check_body", "check_sealed_header_rules"])
async def test_an_internal_error_of_this_node_is_no_peers_fault(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch, check: str
) -> None:
    def fail(*_: object) -> None:
        raise RecursionError("deeper than expected")

    node, (first, _) = Announcing(), chain()
    monkeypatch.setattr(f"lacnode.chain.block_verifier.{check}", fail)
    honest = ScriptedPeer("honest")
    for _ in range(MAX_FALSE_BODIES):
        await node.take((honest, first))
    assert honest.left_for is None
    assert node.syncing.synchronizer.trust.may_be_asked(honest.as_peer(), trio.current_time())


async def test_a_false_body_is_not_executed_and_does_not_stand_for_the_true_one(autojump_clock: MockClock) -> None:
    node, (first, _) = Announcing(), chain()
    false = Block(first.header, BlockBody((transaction(7),)))
    liar, honest = ScriptedPeer("liar"), ScriptedPeer("honest")
    await node.take((liar, false), (honest, first))
    assert node.height == 1
    assert node.net.engine.executions == 1
    assert liar.left_for is None  # Besu passes blocks on before it looks at their bodies


async def test_many_false_bodies_end_the_session_and_fill_no_log(autojump_clock: MockClock) -> None:
    node, (first, _) = Announcing(), chain()
    liar = ScriptedPeer("liar")
    with captured_logs() as logs:
        for nonce in range(MAX_FALSE_BODIES):
            await node.take((liar, Block(first.header, BlockBody((transaction(nonce + 1),)))))
    assert liar.left_for is DisconnectReason.USELESS_PEER
    assert len([entry for entry in logs if entry["log_level"] != "debug"]) == 1


async def test_one_peers_announcements_do_not_keep_out_anothers(autojump_clock: MockClock) -> None:
    node, (first, _) = Announcing(), chain()
    liar, honest = ScriptedPeer("liar"), ScriptedPeer("honest")
    false = [(liar, Block(first.header, BlockBody((transaction(nonce),)))) for nonce in range(1, 100)]
    await node.take(*false, (honest, first))
    assert node.height == 1
    assert node.announced._false_bodies[liar.as_peer()] == MAX_ANNOUNCED_BLOCKS_PER_PEER


async def test_a_block_far_ahead_is_a_claim_for_sync(autojump_clock: MockClock) -> None:
    node, blocks = Announcing(), chain(5)
    peer = ScriptedPeer("peer")
    await node.take((peer, blocks[4]))
    assert node.height == 0
    assert peer.head.number == 5
    assert node.syncing.synchronizer._wake.is_set()


async def test_extra_data_of_megabytes_is_not_looked_into(autojump_clock: MockClock) -> None:
    node, (first, _) = Announcing(), chain()
    peer = ScriptedPeer("peer")
    await node.take((peer, first.with_header(first.header.with_changes(extra_data=bytes(2**20)))))
    assert peer.useless == 1
    assert peer.head.number == 0


async def test_the_body_is_wanted_of_the_next_block_only_and_its_peers_have_the_others(
    autojump_clock: MockClock,
) -> None:
    node, blocks = Announcing(), chain(5)
    peer, other = ScriptedPeer("peer"), ScriptedPeer("other")
    assert node.announced.wants_body(other.as_peer(), blocks[0].header)
    await node.take((peer, blocks[0]))
    wanted = [node.announced.wants_body(other.as_peer(), each.header) for each in blocks]
    assert wanted == [False, True, False, False, False]
    assert other.head.number == 5
    assert node.syncing.synchronizer._wake.is_set()
    for extra_data in (bytes(2**20), b"none"):
        assert not node.announced.wants_body(peer.as_peer(), blocks[1].header.with_changes(extra_data=extra_data))
    assert peer.useless == 2


async def test_a_peer_that_invents_a_long_block_is_left_before_the_body_is_read(autojump_clock: MockClock) -> None:
    node, liar = Announcing(), ScriptedPeer("liar")
    false = invented(node.net.chain.head.header, 1, [STRANGER])[0]
    assert not node.announced.wants_body(liar.as_peer(), false.header)
    assert liar.left_for is DisconnectReason.BREACH_OF_PROTOCOL
    assert not node.syncing.synchronizer.trust.may_be_asked(liar.as_peer(), trio.current_time())


async def test_a_block_that_was_too_long_to_keep_is_fetched(autojump_clock: MockClock) -> None:
    node = Announcing()
    peer = ScriptedPeer("one")
    node.syncing.peers.append(peer)
    # The peer has got the block after it told its head.
    peer.blocks = chain(1)
    node.announced.long_block_dropped(peer.as_peer())
    await node.syncing.run_for(10)
    assert node.height == 1
