"""Following peers that keep their word and peers that do not: what is asked, what moves, and how long liars cost."""

import threading
import time
from collections.abc import Sequence
from functools import cache
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from lacnode.consensus.bft import header_rules
from lacnode.consensus.bft.extra_data import Vote, VoteType
from lacnode.consensus.bft.protocol import BftProtocol
from lacnode.consensus.qbft.protocol import QBFT
from lacnode.evm.budget import ExecutionBudget
from lacnode.evm.engine import ExecutedBlock
from lacnode.p2p.wire.p2p_messages import DisconnectReason
from lacnode.primitives.block import Block, BlockBody
from lacnode.primitives.header import BlockHeader
from lacnode.primitives.hexadecimal import to_hex
from lacnode.sync.peer_trust import PeerFault
from lacnode.workers.worker import ThreadWorker
from tests.support.chain_genesis import ADDRESSES, KEYS, STRANGER, genesis
from tests.support.chain_network import network
from tests.support.chain_transactions import Offer, transaction
from tests.support.logs import captured_logs
from tests.support.qbft_chain import grow, qbft_node, sealed
from tests.support.qbft_messages import VALIDATORS
from tests.support.rpc_chain import RpcTestNode
from tests.support.sync_peers import ScriptedPeer, Syncing, invented, sealed_by
from tests.support.validator_list_contract import LIST_ADDRESS, list_account

HUGE = 2**60
LONG = 400
SLOW_WIRE = 16 * 1024
"""Bytes a second."""


@cache
def empty_blocks(count: int = LONG) -> tuple[Block, ...]:
    net = network()
    return tuple(net.grow() for _ in range(count))


@cache
def full_blocks(count: int = 24) -> tuple[Block, ...]:
    """Each with a transaction, so that each body has to be asked for."""
    net = network()
    return tuple(net.grow([Offer(transaction(nonce))]) for nonce in range(count))


@cache
def transfer_blocks(count: int = 40) -> tuple[Block, ...]:
    """Each with ten transfers: about 2 KB."""
    net = network()
    return tuple(net.grow([Offer(transaction(10 * block + n)) for n in range(10)]) for block in range(count))


@cache
def data_blocks(count: int = 40) -> tuple[Block, ...]:
    """Each with 8 KB of call data, of zeros: few units of gas for many bytes."""
    net = network()
    return tuple(net.grow([Offer(transaction(nonce, data=bytes(8_000)))]) for nonce in range(count))


def honest(blocks: Sequence[Block], name: str = "honest", **script: object) -> ScriptedPeer:
    return ScriptedPeer(name, blocks, **script)  # type: ignore[arg-type]


def syncing(*peers: ScriptedPeer) -> Syncing:
    return Syncing(network().chain, list(peers))


class TestHonestPeers:
    async def test_a_node_far_behind_catches_up_and_says_where_it_stands(self, autojump_clock: MockClock) -> None:
        node = syncing(honest(empty_blocks()))
        seen = []
        node.chain.on_head(lambda head: seen.append(node.synchronizer.status))
        await node.seconds_to(LONG, within=5)
        await node.run_for(1)
        first = seen[0]
        assert first is not None
        assert (first.starting_block, first.highest_block) == (0, LONG)
        assert node.syncing == [True, False]
        assert node.synchronizer.status is None
        assert node.caught_up

    async def test_empty_blocks_need_no_question_for_bodies(self, autojump_clock: MockClock) -> None:
        peer = honest(empty_blocks())
        await syncing(peer).seconds_to(LONG, within=5)
        assert {kind for _, kind, _ in peer.asked} == {"headers"}

    async def test_bodies_come_in_as_many_answers_as_the_peer_likes(self, autojump_clock: MockClock) -> None:
        blocks = full_blocks()
        peer = honest(blocks, give_bodies=lambda bodies: bodies[:7])
        await syncing(peer).seconds_to(len(blocks), within=5)
        assert peer.left_for is None

    async def test_blocks_with_and_without_transactions_in_turn(self, autojump_clock: MockClock) -> None:
        net = network()
        blocks = [net.grow([Offer(transaction(number // 2))] if number % 2 == 0 else []) for number in range(20)]
        peer = honest(blocks)
        await syncing(peer).seconds_to(20, within=5)
        assert [count for _, kind, count in peer.asked if kind == "bodies"] == [10]

    @pytest.mark.parametrize("kind", ["empty", "transfers", "data"])
    async def test_a_wire_of_16_kib_a_second_is_enough_for_small_blocks(
        self, autojump_clock: MockClock, kind: str
    ) -> None:
        blocks = {"empty": empty_blocks, "transfers": transfer_blocks, "data": data_blocks}[kind]()
        size = sum(len(block.encode()) for block in blocks)
        peer = honest(blocks, delay=0.2, bytes_per_second=SLOW_WIRE)
        node = syncing(peer)
        assert await node.seconds_to(len(blocks), within=600) < 2 * size / SLOW_WIRE
        assert peer.left_for is None
        assert node.synchronizer.trust.record_failure(peer, PeerFault.LATE, 0.0) == 1

    async def test_a_slow_wire_gives_way_to_a_fast_one(self, autojump_clock: MockClock) -> None:
        slow = honest(empty_blocks(), "slow", inbound=False, bytes_per_second=SLOW_WIRE)
        node = syncing(slow, honest(empty_blocks()))
        assert await node.seconds_to(LONG, within=600) < 16
        assert slow.left_for is None

    async def test_a_slow_wire_is_followed_when_no_other_peer_delivers(self, autojump_clock: MockClock) -> None:
        liars = [ScriptedPeer(f"liar {n}", claims=HUGE, delay=4.9) for n in range(4)]
        node = syncing(honest(empty_blocks(), inbound=False, bytes_per_second=SLOW_WIRE), *liars)
        assert await node.seconds_to(LONG, within=600) < 4.5 * len(liars) + 40

    async def test_validators_change_inside_a_batch(self, autojump_clock: MockClock) -> None:
        net = network()
        joins = Vote(STRANGER.address, VoteType.ADD)
        blocks = [net.grow(vote=joins, coinbase=ADDRESSES[index]) for index in range(3)]
        blocks += [net.grow() for _ in range(5)]
        assert STRANGER.address in net.chain.validators_after(net.chain.head.header)
        await syncing(honest(blocks)).seconds_to(8, within=5)

    async def test_an_epoch_and_a_transition_inside_a_batch(self, autojump_clock: MockClock) -> None:
        document = genesis(epochlength=4, transitions=[{"block": 7, "validators": ["0x" + STRANGER.address.hex()]}])
        net = network(document)
        blocks = [net.grow() for _ in range(12)]
        node = Syncing(network(document).chain, [honest(blocks)])
        await node.seconds_to(12, within=5)

    async def test_a_server_with_small_answers_is_followed_to_its_head(self, autojump_clock: MockClock) -> None:
        node = syncing(honest(empty_blocks(100), give_headers=lambda headers: headers[:30]))
        await node.seconds_to(100, within=5)

    async def test_consensus_hears_nothing_of_a_single_block_and_is_passed_over_for_many(
        self, autojump_clock: MockClock
    ) -> None:
        node = syncing(honest(empty_blocks(1)))
        await node.seconds_to(1, within=5)
        assert node.importing == []
        node.peers = [honest(empty_blocks(), "other")]
        await node.seconds_to(LONG, within=5)
        assert node.importing[::2] == [True] * (len(node.importing) // 2)
        assert node.importing[1::2] == [False] * (len(node.importing) // 2)
        assert node.importing

    async def test_seals_are_verified_once(self, autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch) -> None:
        blocks, recovered = empty_blocks(50), list[int]()
        own = {block.header for block in blocks}
        original = header_rules.check_seals

        def counted(protocol: BftProtocol, header: BlockHeader, validators: tuple[bytes, ...]) -> None:
            if header in own:  # another test's network may run in a thread of this process
                recovered.append(header.number)
            original(protocol, header, validators)

        monkeypatch.setattr(header_rules, "check_seals", counted)
        await syncing(honest(blocks)).seconds_to(50, within=5)
        assert recovered == list(range(1, 51))


class TestLiars:
    async def test_a_claim_alone_moves_nothing(self, autojump_clock: MockClock) -> None:
        liar = ScriptedPeer("liar", claims=HUGE, delay=4.9)
        node = syncing(liar)
        await node.run_for(60)
        assert node.syncing == node.importing == []
        assert node.synchronizer.status is None

    async def test_invented_headers_are_refused_before_a_body_is_asked_for(self, autojump_clock: MockClock) -> None:
        node = syncing()
        liar = ScriptedPeer("liar", invented(node.chain.head.header, 192, [STRANGER]), claims=HUGE)
        node.peers = [liar]
        await node.run_for(600)
        assert [kind for _, kind, _ in liar.asked] == ["headers"]
        assert liar.left_for is DisconnectReason.BREACH_OF_PROTOCOL
        assert node.syncing == node.importing == []

    @pytest.mark.parametrize("sealers", [0, 2], ids=["no seals", "one seal too few"])
    async def test_less_than_a_quorum_is_not_enough(self, autojump_clock: MockClock, sealers: int) -> None:
        node = syncing()
        node.peers = [ScriptedPeer("liar", invented(node.chain.head.header, 5, KEYS[:sealers]))]
        await node.run_for(30)
        assert node.peers[0].left_for is DisconnectReason.BREACH_OF_PROTOCOL
        assert node.height == 0

    async def test_false_headers_behind_true_ones_lose_none_of_the_true(self, autojump_clock: MockClock) -> None:
        true = empty_blocks(10)
        false = invented(true[-1].header, 20, [STRANGER])
        liar = ScriptedPeer("liar", [*true, *false])
        node = syncing(liar, honest(empty_blocks(20)))
        await node.seconds_to(20, within=5)

    async def test_true_headers_with_false_bodies_are_the_peers_fault(self, autojump_clock: MockClock) -> None:
        other = BlockBody((transaction(99),))
        liar = honest(full_blocks(), "liar", inbound=False, give_bodies=lambda bodies: [other] * len(bodies))
        node = syncing(liar, honest(full_blocks()))
        with captured_logs() as logs:
            assert await node.seconds_to(len(full_blocks()), within=10) < 2
        assert liar.left_for is DisconnectReason.BREACH_OF_PROTOCOL
        assert any("transactions-root" in str(entry.get("reason")) for entry in logs)
        assert not any(entry["log_level"] == "error" for entry in logs)

    async def test_one_body_just_before_each_time_limit_is_late_as_a_whole(self, autojump_clock: MockClock) -> None:
        liar = honest(full_blocks(), "liar", inbound=False, delay=3.9, give_bodies=lambda bodies: bodies[:1])
        node = syncing(liar, honest(full_blocks()))
        assert await node.seconds_to(len(full_blocks()), within=60) < 6
        assert len(liar.asked) <= 2

    async def test_an_answer_just_before_each_time_limit_is_late_as_a_whole(self, autojump_clock: MockClock) -> None:
        liar = honest(empty_blocks(), "liar", inbound=False, delay=3.0, give_headers=lambda headers: headers[:1])
        node = syncing(liar, honest(empty_blocks()))
        assert await node.seconds_to(LONG, within=60) < 6

    @pytest.mark.parametrize("count", [1, 4])
    async def test_liars_delay_a_lagging_node_for_seconds_each(self, autojump_clock: MockClock, count: int) -> None:
        """They stand first in every order that a peer can choose: oldest sessions, dialled by us, highest claims."""
        liars = [ScriptedPeer(f"liar {n}", claims=HUGE, delay=4.9, inbound=False) for n in range(count)]
        node = syncing(*liars, honest(empty_blocks()))
        assert await node.seconds_to(LONG, within=60) < 4.5 * count + 1

    async def test_a_validator_is_asked_before_strangers(self, autojump_clock: MockClock) -> None:
        liars = [ScriptedPeer(f"liar {n}", claims=HUGE, delay=4.9, inbound=False) for n in range(4)]
        node = syncing(*liars, honest(empty_blocks(), address=ADDRESSES[2]))
        assert await node.seconds_to(LONG, within=60) < 1

    async def test_a_peer_that_has_delivered_is_asked_before_strangers(self, autojump_clock: MockClock) -> None:
        known = honest(empty_blocks(50))
        node = syncing(known)
        await node.seconds_to(50, within=5)
        known.blocks, known.head.number = empty_blocks(), LONG
        node.peers.insert(0, ScriptedPeer("liar", claims=HUGE, delay=4.9, inbound=False))
        assert await node.seconds_to(LONG, within=60) < 1

    async def test_a_liar_is_not_asked_again_for_minutes_then_hours(self, autojump_clock: MockClock) -> None:
        liar = ScriptedPeer("liar", claims=HUGE, delay=4.9)
        node = syncing(liar)

        async def keep_claiming() -> None:
            while True:
                liar.head.number, liar.left_for = HUGE, None  # it also comes back when it was disconnected
                node.synchronizer.wake()
                await trio.sleep(10)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(keep_claiming)
            await node.run_for(24 * 3600)
            nursery.cancel_scope.cancel()
        gaps = [later - earlier for earlier, later in zip(liar.seconds_asked, liar.seconds_asked[1:], strict=False)]
        assert len(liar.asked) < 15
        assert gaps[1] > 60
        assert gaps[-1] > 3 * 3600

    async def test_identities_in_turn_from_one_address_come_after_others(self, autojump_clock: MockClock) -> None:
        node = syncing(ScriptedPeer("liar 0", claims=HUGE, delay=4.9, host="192.0.2.1"))
        await node.run_for(10)
        node.peers = [
            *(
                ScriptedPeer(f"liar {n}", claims=HUGE, delay=4.9, host=f"192.0.2.{n}", inbound=False)
                for n in range(1, 9)
            ),
            honest(empty_blocks(), host="198.51.100.7"),
        ]
        assert await node.seconds_to(LONG, within=60) < 1

    async def test_an_honest_peer_at_the_address_of_a_liar_is_still_asked(self, autojump_clock: MockClock) -> None:
        node = syncing(ScriptedPeer("liar", claims=HUGE, delay=4.9), honest(empty_blocks()))
        await node.seconds_to(LONG, within=10)
        assert node.peers[1].left_for is None

    async def test_liars_do_not_keep_the_node_from_counting_as_caught_up(self, autojump_clock: MockClock) -> None:
        node = syncing(ScriptedPeer("liar", claims=HUGE, delay=4.9), honest(empty_blocks(3)))
        await node.run_for(30)
        assert node.caught_up

    async def test_another_chain_is_told_so(self, autojump_clock: MockClock) -> None:
        other = network(genesis(KEYS[:1]))
        peer = ScriptedPeer("other chain", [other.grow() for _ in range(3)])
        await syncing(peer).run_for(5)
        assert peer.left_for is DisconnectReason.SUBPROTOCOL_REASON


class TestValidatorsOfAContract:
    """The validators of a later block are known only when the blocks before it are here."""

    async def test_false_headers_behind_true_ones_do_not_pause_the_synchronisation(
        self, autojump_clock: MockClock
    ) -> None:
        """Attack: a peer gives the next block, which is true, and invented ones behind it."""
        source = contract_node()
        true = [grow(source) for _ in range(30)]
        liar = ScriptedPeer("liar", [true[0], *invented_qbft(true[0], 20)], claims=HUGE)
        node = Syncing(contract_node().chain, [liar, honest(true)])
        with captured_logs() as lines:
            await node.seconds_to(30, within=5)
        assert liar.left_for is DisconnectReason.BREACH_OF_PROTOCOL
        assert not [line for line in lines if "own execution" in line["event"]]

    async def test_invented_blocks_beside_the_own_head_do_not_pause_the_synchronisation(
        self, autojump_clock: MockClock
    ) -> None:
        """Attack: a peer waits with its invented blocks until this node has the true ones of their heights."""
        source = contract_node()
        true = [grow(source) for _ in range(30)]
        chain = contract_node().chain

        def give_late(headers: Sequence[BlockHeader]) -> Sequence[BlockHeader]:
            for block in true[:2]:
                chain.import_block(block)  # as consensus does
            return headers

        liar = ScriptedPeer("liar", [true[0], *invented_qbft(true[0], 20)], claims=HUGE, give_headers=give_late)
        node = Syncing(chain, [liar, honest(true)])
        with captured_logs() as lines:
            await node.seconds_to(30, within=5)
        assert liar.left_for is DisconnectReason.BREACH_OF_PROTOCOL
        assert not [line for line in lines if "own execution" in line["event"]]


def contract_node() -> RpcTestNode:
    account = list_account(VALIDATORS)
    return qbft_node({LIST_ADDRESS: account}, listed=(), validatorcontractaddress=to_hex(LIST_ADDRESS))


def invented_qbft(after: Block, count: int) -> list[Block]:
    """Blocks after `after` that a stranger has sealed."""
    blocks, parent = [], after.header
    for _ in range(count):
        # Later than a true block would be: the hash does not cover the seals.
        next_one = {"number": parent.number + 1, "timestamp": parent.timestamp + 2}
        header = parent.with_changes(parent_hash=QBFT.block_hash(parent), **next_one)
        blocks.append(sealed(Block(header, BlockBody()), [STRANGER]))
        parent = blocks[-1].header
    return blocks


def fail(*_: object) -> None:
    raise RecursionError("deeper than expected")


class TestOurOwnTrouble:
    async def test_a_sealed_block_that_this_node_cannot_execute_is_no_peers_fault(
        self, autojump_clock: MockClock
    ) -> None:
        """As with a wrong genesis file, or a fork rule that this node has wrong."""
        net = network()
        wrong = net.build([Offer(transaction(0))])
        wrong = wrong.with_header(wrong.header.with_changes(state_root=bytes(32)))
        peer = ScriptedPeer("honest", [sealed_by(wrong, KEYS)])
        node = syncing(peer)
        with captured_logs() as logs:
            await node.run_for(600)
        assert peer.left_for is None
        errors = [entry for entry in logs if entry["log_level"] == "error"]
        assert errors[0]["rule"] == "state-root"
        assert 2 <= len(errors) <= 8

    @pytest.mark.parametrize("check", ["check_body", "check_sealed_header_rules"])
    async def test_an_internal_error_of_this_node_is_no_peers_fault(
        self, autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch, check: str
    ) -> None:
        """Every peer has the same block. This node would end all its sessions, and deny the peers until it restarts."""
        peer = honest(full_blocks(3))
        node = syncing(peer)
        monkeypatch.setattr(f"lacnode.chain.block_verifier.{check}", fail)
        with captured_logs() as logs:
            await node.run_for(5)
        assert peer.left_for is None
        assert [entry["rule"] for entry in logs if entry["log_level"] == "error" and "rule" in entry] == [
            "internal-error"
        ]

    async def test_a_clock_that_is_an_hour_late_makes_no_peer_a_liar(self, autojump_clock: MockClock) -> None:
        blocks = empty_blocks(10)
        peer = honest(blocks)
        late = network()
        late.chain._verifier._now = lambda: blocks[0].header.timestamp - 3600.0
        node = Syncing(late.chain, [peer])
        with captured_logs() as logs:
            await node.seconds_to(10, within=5)
        assert peer.left_for is None
        notes = [entry for entry in logs if "clock is behind" in entry["event"]]
        assert len(notes) == 1
        assert notes[0]["log_level"] == "warning"

    async def test_a_long_execution_ends_with_the_synchronizer(self) -> None:
        """A cancelled task waits for its thread; a node has to stop within two seconds."""
        net, begun = network(), threading.Event()

        def endless(*arguments: Any) -> ExecutedBlock:
            budget: ExecutionBudget = arguments[-1]
            begun.set()
            while True:
                budget.check()
                time.sleep(0.01)

        net.engine.execute = endless  # type: ignore[assignment,method-assign]
        node = Syncing(net.chain, [honest(full_blocks())])
        node.synchronizer.worker = ThreadWorker()
        with trio.fail_after(20):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(node.synchronizer.run)
                await trio.to_thread.run_sync(begun.wait, 10)
                assert begun.is_set()
                nursery.cancel_scope.cancel()
        assert node.height == 0
