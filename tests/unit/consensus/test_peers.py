"""Which peers are heard by consensus, and what ends their sessions."""

from dataclasses import dataclass, field
from typing import Any, cast

import pytest
import trio
import trio.testing

from lacnode.node.consensus_message_filter import (
    STRANGER_BYTES_AS_ONE_MESSAGE,
    STRANGER_MESSAGES_AT_ONCE,
    STRANGER_MESSAGES_PER_SECOND,
    VALIDATOR_BYTES_AS_ONE_MESSAGE,
    VALIDATOR_MESSAGES_AT_ONCE,
    VALIDATOR_MESSAGES_PER_SECOND,
    ConsensusMessageFilter,
)
from lacnode.node.consensus_network import FAULTS_AT_ONCE, PeerConsensusNetwork
from lacnode.node.peer_expulsion import COOL_DOWN_SECONDS, PeerExpulsion
from lacnode.p2p.peer import Peer
from lacnode.p2p.peer_set import PeerLimits, PeerSet
from lacnode.p2p.rate_limits import MAX_BUCKETS, RateLimits
from lacnode.p2p.send_queue import MAX_QUEUED_BYTES, SendQueue
from lacnode.p2p.supported_capabilities import supported_capabilities
from lacnode.p2p.wire.capabilities import CapabilityTable
from lacnode.p2p.wire.enode import Enode
from lacnode.p2p.wire.eth_messages import Status
from lacnode.p2p.wire.p2p_messages import DisconnectReason, Hello
from lacnode.rate_limited_log import MAX_CAUSES, RateLimitedLog
from tests.support.ibft2_blocks import IBFT2_ONLY
from tests.support.logs import captured_logs


@dataclass
class FakePeer:
    """As much of a peer as is looked at."""

    number: int
    end_reason: DisconnectReason | None = None
    enode_text: str = "enode://..."
    id: bytes = b""
    address: bytes = b""

    def __post_init__(self) -> None:
        self.id, self.address = bytes([self.number]) * 64, bytes([self.number]) * 20

    def end_session(self, reason: DisconnectReason) -> None:
        self.end_reason = reason

    def ended(self) -> bool:
        return self.end_reason is DisconnectReason.SUBPROTOCOL_REASON


@dataclass
class Stage:
    """Peers 1 and 2 are validators, 9 is none."""

    validators: dict[bytes, FakePeer] = field(default_factory=dict)
    heard: list[tuple[int, bytes, bytes]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.one, self.two, self.stranger = FakePeer(1), FakePeer(2), FakePeer(9)
        self.validators = {peer.address: peer for peer in (self.one, self.two)}
        self.peer_set = PeerSet(bytes(64), PeerLimits())
        everybody: Any = [self.one, self.two, self.stranger]
        nothing: Any = None
        expulsion = PeerExpulsion(self.peer_set.deny)
        self.network = PeerConsensusNetwork(lambda: everybody, nothing, nothing, expulsion)
        self.consensus = ConsensusMessageFilter(
            receive=lambda code, data, sender: self.heard.append((code, data, sender)),
            is_validator=self.validators.__contains__,
            expulsion=expulsion,
        )

    def receive(self, peer: FakePeer, count: int = 1) -> None:
        any_peer: Any = peer
        for number in range(count):
            self.consensus.receive(any_peer, 1, number.to_bytes(4))


async def test_validators_are_heard_and_strangers_are_not() -> None:
    stage = Stage()
    stage.receive(stage.one)
    stage.receive(stage.stranger)
    assert stage.heard == [(1, bytes(4), stage.one.address)]
    assert not stage.stranger.ended(), "it may be a validator of a later height"


async def test_a_stranger_without_end_is_sent_away_for_a_while(autojump_clock: trio.testing.MockClock) -> None:
    stage = Stage()
    stage.receive(stage.stranger, STRANGER_MESSAGES_AT_ONCE + 1)
    assert stage.stranger.ended()
    assert stage.peer_set.denial_reason(stage.stranger.id) is not None
    await trio.sleep(COOL_DOWN_SECONDS + 1)
    assert stage.peer_set.denial_reason(stage.stranger.id) is None


async def test_large_messages_of_a_stranger_count_for_more() -> None:
    stage = Stage()
    stranger: Any = stage.stranger
    for _ in range(STRANGER_MESSAGES_AT_ONCE // 16 + 1):
        stage.consensus.receive(stranger, 0, bytes(16 * STRANGER_BYTES_AS_ONE_MESSAGE))
    assert stage.stranger.ended()


async def test_a_validator_of_a_later_height_is_a_stranger_that_may_stay(
    autojump_clock: trio.testing.MockClock,
) -> None:
    stage = Stage()
    for _ in range(120):
        stage.receive(stage.stranger, STRANGER_MESSAGES_PER_SECOND // 2)
        await trio.sleep(1)
    assert not stage.stranger.ended()


async def test_a_validator_is_heard_up_to_its_rate_and_never_sent_away_for_it(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """It may only pass on what another one says without end."""
    stage = Stage()
    stage.receive(stage.one, 2 * VALIDATOR_MESSAGES_AT_ONCE)
    assert len(stage.heard) == VALIDATOR_MESSAGES_AT_ONCE
    assert not stage.one.ended()
    stage.receive(stage.two)
    assert stage.heard[-1][2] == stage.two.address


async def test_large_messages_of_a_validator_count_for_what_they_take(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """Four megabytes a second in the long run, and forty at once."""
    stage = Stage()
    validator: Any = stage.one
    large = bytes(15_000_000)
    for _ in range(300):
        stage.consensus.receive(validator, 0, large)
        await trio.sleep(0.1)
    seconds = len(large) / VALIDATOR_BYTES_AS_ONE_MESSAGE / VALIDATOR_MESSAGES_PER_SECOND
    assert 30 / seconds <= len(stage.heard) <= 30 / seconds + 5


async def test_votes_of_a_validator_pass_after_it_has_relayed_large_messages(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """Attack: D gives A four round changes of 15 MB to relay. The votes of A would not pass for five seconds."""
    stage = Stage()
    honest: Any = stage.one
    for _ in range(4):
        stage.consensus.receive(honest, 3, bytes(15_000_000))
    stage.consensus.receive(honest, 3, bytes(15_000_000))
    stage.consensus.receive(honest, 1, bytes(200))
    assert [len(data) for _, data, _ in stage.heard][-1] == 200
    assert len(stage.heard) < 6, "long messages are bounded"


async def test_a_validator_that_is_blamed_again_and_again_is_sent_away(autojump_clock: trio.testing.MockClock) -> None:
    stage = Stage()
    for _ in range(FAULTS_AT_ONCE):
        stage.network.count_fault(stage.one.address, "a malformed message")
    assert not stage.one.ended()
    stage.network.count_fault(stage.one.address, "a malformed message")
    assert stage.one.ended()
    assert not stage.two.ended()


async def test_a_fault_now_and_then_is_forgiven(autojump_clock: trio.testing.MockClock) -> None:
    stage = Stage()
    for _ in range(10 * FAULTS_AT_ONCE):
        stage.network.count_fault(stage.one.address, "a malformed message")
        await trio.sleep(4)
    assert not stage.one.ended()


async def test_a_static_node_is_not_kept_out() -> None:
    stage = Stage()
    stage.peer_set.exempt.add(stage.stranger.id)
    stage.receive(stage.stranger, STRANGER_MESSAGES_AT_ONCE + 1)
    assert stage.peer_set.denial_reason(stage.stranger.id) is None


def test_a_node_denied_until_restart_stays_denied() -> None:
    peer_set = PeerSet(bytes(64), PeerLimits())
    peer_set.deny(b"1" * 64, "a breach")
    assert peer_set.denial_reason(b"1" * 64) == "a breach"


def test_coming_again_does_not_fill_a_bucket_and_buckets_are_bounded() -> None:
    limits = RateLimits(1, 3)
    assert [limits.try_spend("a", 0.0) for _ in range(4)] == [True, True, True, False]
    assert [limits.try_spend("a", 1.0) for _ in range(2)] == [True, False]
    assert [limits.try_spend("a", 1000.0) for _ in range(4)] == [True, True, True, False]
    for number in range(10 * MAX_BUCKETS):
        limits.try_spend(number, 1000.0)
    assert len(limits._buckets) == MAX_BUCKETS


@pytest.mark.parametrize("level", ["info", "warning", "exception"])
def test_one_line_a_minute_for_each_cause(level: str) -> None:
    now = 0.0
    with captured_logs() as lines:
        limited = RateLimitedLog("test", lambda: now)
        for second in range(130):
            now = float(second)
            for cause in ("a", "b"):
                getattr(limited, level)(cause, f"about {cause}")
    assert [line["event"] for line in lines] == ["about a", "about b"] * 3
    assert [line.get("left_out") for line in lines] == [None, None, 59, 59, 59, 59]


def test_causes_are_bounded() -> None:
    with captured_logs():
        limited = RateLimitedLog("test", lambda: 0.0)
        for number in range(3 * MAX_CAUSES):
            limited.info(number, "a line")
            limited.info(number, "a line")
    assert len(limited._written) == MAX_CAUSES
    assert len(limited._left_out) <= MAX_CAUSES


def real_peer(outbox: SendQueue) -> Peer:
    capabilities = supported_capabilities(IBFT2_ONLY)
    enode = Enode(bytes([1]) * 64, "10.0.0.1", 30303, None)
    return Peer(
        enode=enode,
        hello=Hello(5, "a validator", capabilities, enode.tcp, enode.id),
        table=CapabilityTable.negotiate(capabilities, capabilities),
        eth_version=66,
        inbound=True,
        addresses=(("10.0.0.2", 30303), (enode.host, enode.tcp)),
        status=Status(66, 1, 1, bytes(32), bytes(32), None),
        genesis_difficulty=1,
        outbox=outbox,
    )


async def test_what_a_validator_relays_does_not_end_its_session_with_another_one() -> None:
    """Attack: a validator signs a proposal and round changes of megabytes. The peer is correct and reads slowly."""
    outbox = SendQueue()
    peer, nothing = real_peer(outbox), cast(Any, None)
    network = PeerConsensusNetwork(lambda: [peer], nothing, nothing, nothing)
    for _ in range(3):
        network.send(0, bytes(MAX_QUEUED_BYTES), frozenset({peer.address}), is_relayed=True)
    network.send(1, b"the own prepare", frozenset({peer.address}))
    assert peer.end_reason is None
    assert (await outbox.get())[1] == b"the own prepare"
