"""Discovery machines talking to each other over an imagined network with an imagined clock."""

import itertools
import os
from collections import deque
from collections.abc import Callable

import pytest

from lacnode.chainspec.forks import ForkId
from lacnode.crypto.node_key import NodeKey
from lacnode.p2p.wire.discovery import (
    REFRESH_CHECK_SECONDS,
    REVALIDATION_AGE_SECONDS,
    Action,
    Discovery,
    NodeFound,
    SendDatagram,
)
from lacnode.p2p.wire.discv4 import (
    Endpoint,
    EnrRequest,
    EnrResponse,
    FindNode,
    Message,
    Neighbors,
    Ping,
    Pong,
    decode_packet,
    encode_packet,
)
from lacnode.p2p.wire.endpoint_proofs import Address
from lacnode.p2p.wire.enode import Enode

START = 1_700_000_000.0
FORK_ID = ForkId(bytes.fromhex("d4c10651"), 0)
STRANGER = ("10.9.9.9", 30303)


class Node:
    """A machine, its address, and what it has found."""

    def __init__(self, number: int, bootnodes: list[Enode], permits: Callable[[Enode], bool] | None = None) -> None:
        self.key = NodeKey.from_private_key(number.to_bytes(32))
        self.address: Address = (f"10.0.0.{number}", 60606)
        self.enode = Enode(self.key.public_key, self.address[0], 60606, 60606)
        self.found: list[Enode] = []
        self.machine = Discovery(
            self.key,
            Endpoint(self.address[0], 60606, 60606),
            bootnodes,
            lambda: FORK_ID,
            random_bytes=os.urandom,
            permits=permits or (lambda _: True),
        )


class Network:
    """Delivers datagrams at once, in order, and keeps what was sent to nobody."""

    def __init__(self, *nodes: Node) -> None:
        self.now = START
        self.nodes = {node.address: node for node in nodes}
        self.sent: list[tuple[Address, Address, Message]] = []

    def run(self, seconds: float) -> None:
        for _ in range(int(seconds * 2)):
            for node in self.nodes.values():
                self.deliver(node, node.machine.tick(self.now))
            self.now += 0.5

    def deliver(self, sender: Node, actions: list[Action]) -> None:
        queue = deque([(sender, actions)])
        while queue:
            node, actions = queue.popleft()
            node.found += [action.enode for action in actions if isinstance(action, NodeFound)]
            for action in actions:
                if isinstance(action, SendDatagram):
                    self.sent.append((node.address, action.address, decode_packet(action.datagram).message))
                    other = self.nodes.get(action.address)
                    if other is not None:
                        queue.append((other, other.machine.handle_datagram(action.datagram, node.address, self.now)))


def messages(actions: list[Action]) -> list[Message]:
    return [decode_packet(action.datagram).message for action in actions if isinstance(action, SendDatagram)]


def ids(enodes: list[Enode]) -> set[bytes]:
    return {enode.id for enode in enodes}


class Stranger:
    """A peer written by hand, to say what an honest one would not."""

    def __init__(self, target: Node, address: Address = STRANGER) -> None:
        self.key = NodeKey.generate()
        self.target = target
        self.address = address
        self.here = Endpoint(address[0], address[1], 30303)

    def say(self, message: Message, now: float = START, source: Address | None = None) -> list[Action]:
        datagram = encode_packet(message, self.key)
        return self.target.machine.handle_datagram(datagram, source or self.address, now)

    def ping(self, expiration: float = START + 60) -> Ping:
        return Ping(self.here, Endpoint(*self.target.address, 60606), int(expiration))

    def bond(self, now: float = START) -> list[Action]:
        actions = self.say(self.ping(now + 60), now)
        (send,) = [each for each in actions if isinstance(each, SendDatagram) and each.datagram[97] == Ping.TYPE]
        return self.say(Pong(self.here, send.datagram[:32], int(now) + 60), now)


class TestNetworks:
    def test_everybody_finds_everybody_through_one_bootnode(self) -> None:
        boot = Node(1, [])
        others = [Node(number, [boot.enode]) for number in range(2, 12)]
        network = Network(boot, *others)
        network.run(40)
        everybody = ids([node.enode for node in (boot, *others)])
        for node in (boot, *others):
            assert ids(node.found) == everybody - {node.key.public_key}
            assert ids(node.machine.bonded_nodes()) == everybody - {node.key.public_key}
            assert len(node.found) == len(everybody) - 1

    def test_found_nodes_carry_their_tcp_port(self) -> None:
        boot = Node(1, [])
        node = Node(2, [boot.enode])
        Network(boot, node).run(5)
        assert node.found == [boot.enode]
        assert boot.found == [node.enode]

    def test_a_dead_bootnode_is_asked_five_times_and_later_again(self) -> None:
        node = Node(2, [Node(1, []).enode])
        network = Network(node)
        network.run(29)
        assert len(network.sent) == 5
        network.run(31)
        assert len(network.sent) == 10
        assert node.found == []

    def test_the_waits_are_those_of_besu(self) -> None:
        machine = Node(2, [Node(1, []).enode]).machine
        sent = [tenth for tenth in range(290) if machine.tick(START + tenth / 10)]
        waits = [round((later - earlier) / 10, 1) for earlier, later in itertools.pairwise(sent)]
        assert waits == pytest.approx([2.0, 3.0, 4.5, 6.8], abs=0.15)

    def test_a_bootnode_that_comes_up_later_is_found(self) -> None:
        boot = Node(1, [])
        node = Node(2, [boot.enode])
        network = Network(node)
        network.run(60)
        network.nodes[boot.address] = boot
        network.run(31)
        assert ids(node.found) == {boot.key.public_key}

    def test_a_node_that_falls_silent_leaves_the_table(self) -> None:
        boot = Node(1, [])
        node = Node(2, [boot.enode])
        network = Network(boot, node)
        network.run(5)
        del network.nodes[boot.address]
        network.run(700)
        assert node.machine.bonded_nodes() == []

    def test_nobody_is_asked_for_neighbours_while_peers_suffice(self) -> None:
        boot = Node(1, [])
        node = Node(2, [boot.enode])
        network = Network(boot, node)
        network.run(10)
        for each in (boot, node):
            each.machine.seeking = False
        network.sent.clear()
        network.run(600)
        assert not [message for _, _, message in network.sent if isinstance(message, FindNode)]


class TestEndpointProof:
    def test_a_ping_is_answered_and_asked_back(self) -> None:
        node = Node(1, [])
        stranger = Stranger(node)
        ping = stranger.ping()
        pong, back = messages(stranger.say(ping))
        assert isinstance(pong, Pong)
        assert pong.ping_hash == encode_packet(ping, stranger.key)[:32]
        assert pong.recipient == Endpoint(*STRANGER, 30303)
        assert isinstance(back, Ping)
        assert back.sender == Endpoint("10.0.0.1", 60606, 60606)

    def test_no_neighbours_before_the_proof(self) -> None:
        node = Node(1, [])
        stranger = Stranger(node)
        question = FindNode(bytes(64), int(START) + 60)
        assert stranger.say(question) == []
        stranger.say(stranger.ping())
        assert stranger.say(question) == []
        stranger = Stranger(node)
        assert [action for action in stranger.bond() if isinstance(action, NodeFound)] == [
            NodeFound(Enode(stranger.key.public_key, *STRANGER[:1], 30303, 30303))
        ]
        assert messages(stranger.say(question)) == [Neighbors((), int(START) + 60)]

    def test_no_neighbours_to_another_address(self) -> None:
        stranger = Stranger(Node(1, []))
        stranger.bond()
        question = FindNode(bytes(64), int(START) + 60)
        assert stranger.say(question, source=("10.6.6.6", 30303)) == []
        assert stranger.say(question, source=(STRANGER[0], 30304)) == []

    def test_a_pong_without_the_hash_of_our_ping_proves_nothing(self) -> None:
        stranger = Stranger(Node(1, []))
        stranger.say(stranger.ping())
        assert stranger.say(Pong(stranger.here, bytes(32), int(START) + 60)) == []
        assert stranger.target.machine.bonded_nodes() == []

    def test_a_proof_ends_after_twelve_hours(self) -> None:
        stranger = Stranger(Node(1, []))
        stranger.bond()
        later = START + 12 * 3600
        assert stranger.say(FindNode(bytes(64), int(later) + 60), later) == []

    def test_replayed_pings_from_elsewhere_do_not_cost_a_node_its_proof(self) -> None:
        stranger = Stranger(Node(1, []))
        stranger.bond()
        stranger.say(stranger.ping(), source=("10.6.6.6", 30303))
        for second in range(29):
            stranger.target.machine.tick(START + second)
        assert ids(stranger.target.machine.bonded_nodes()) == {stranger.key.public_key}

    def test_expired_questions_are_not_answered(self) -> None:
        stranger = Stranger(Node(1, []))
        stranger.bond()
        assert stranger.say(FindNode(bytes(64), int(START) - 1)) == []
        assert stranger.say(EnrRequest(int(START) - 1)) == []
        assert not [each for each in messages(stranger.say(stranger.ping(START - 1))) if isinstance(each, Pong)]

    @pytest.mark.parametrize("expiration", [2**63, 2**64 - 1])
    def test_an_expiration_beyond_signed_64_bits_is_past_as_besu_reads_it(self, expiration: int) -> None:
        stranger = Stranger(Node(1, []))
        stranger.bond()
        assert stranger.say(FindNode(bytes(64), expiration)) == []
        assert stranger.say(EnrRequest(expiration)) == []
        assert not [each for each in messages(stranger.say(stranger.ping(expiration))) if isinstance(each, Pong)]

    def test_an_expiration_far_in_the_future_is_good(self) -> None:
        stranger = Stranger(Node(1, []))
        stranger.bond()
        assert stranger.say(FindNode(bytes(64), 2**63 - 1)) != []

    def test_silence_towards_nodes_without_permission(self) -> None:
        refused = Node(2, [])
        node = Node(1, [refused.enode], permits=lambda _: False)
        network = Network(node, refused)
        network.run(10)
        network.deliver(refused, [SendDatagram(encode_packet(Stranger(node).ping(), refused.key), node.address)])
        assert [source for source, _, _ in network.sent] == [refused.address]

    def test_who_pinged_before_it_was_permitted_is_found_as_soon_as_it_is(self) -> None:
        """It does not know yet that it is, and waits."""
        refused: set[bytes] = set()
        boot = Node(1, [], permits=lambda enode: enode.id not in refused)
        early, late = Node(2, [boot.enode]), Node(3, [boot.enode])
        refused.add(late.enode.id)
        network = Network(boot, early, late)
        network.run(40)
        assert late.enode.id not in ids(boot.found + early.found)
        refused.clear()
        for node in (boot, early):
            node.machine.search_again_soon(network.now, lambda enode: False)
        network.run(2)
        assert late.enode.id in ids(boot.found) & ids(early.found)

    def test_who_is_permitted_no_more_is_asked_and_named_no_more(self) -> None:
        refused: set[bytes] = set()
        boot = Node(1, [], permits=lambda enode: enode.id not in refused)
        kept, dropped = Node(2, [boot.enode]), Node(3, [boot.enode])
        network = Network(boot, kept, dropped)
        network.run(40)
        refused.add(dropped.enode.id)
        boot.machine.search_again_soon(network.now, lambda enode: enode.id in refused)
        network.sent.clear()
        network.run(REVALIDATION_AGE_SECONDS + 2 * REFRESH_CHECK_SECONDS)
        told = [(to, message) for source, to, message in network.sent if source == boot.address]
        assert [message for to, message in told if to == dropped.address] == []
        named = [node for _, message in told if isinstance(message, Neighbors) for node in message.nodes]
        assert dropped.enode.id not in ids(named)
        assert any(to == kept.address for to, _ in told)

    def test_who_is_permitted_again_is_found_again(self) -> None:
        refused: set[bytes] = set()
        boot = Node(1, [], permits=lambda enode: enode.id not in refused)
        other = Node(2, [boot.enode])
        network = Network(boot, other)
        network.run(10)
        refused.add(other.enode.id)
        boot.machine.search_again_soon(network.now, lambda enode: enode.id in refused)
        assert boot.machine.bonded_nodes() == []
        refused.clear()
        boot.machine.search_again_soon(network.now, lambda enode: False)
        network.run(2)
        assert ids(boot.machine.bonded_nodes()) == {other.enode.id}

    def test_an_attempt_that_began_before_a_refusal_comes_to_nothing(self) -> None:
        refused: set[bytes] = set()
        stranger = Stranger(Node(1, [], permits=lambda enode: enode.id not in refused))
        (ping,) = [each for each in stranger.say(stranger.ping()) if messages([each])[0].TYPE == Ping.TYPE]
        assert isinstance(ping, SendDatagram)
        refused.add(stranger.key.public_key)
        stranger.target.machine.search_again_soon(START, lambda enode: enode.id in refused)
        stranger.say(Pong(stranger.here, ping.datagram[:32], int(START) + 60))
        assert stranger.target.machine.bonded_nodes() == []

    def test_strangers_leave_room_for_the_bootnodes(self) -> None:
        boot = Node(2, [])
        node = Node(1, [boot.enode])
        for _ in range(200):
            stranger = Stranger(node)
            stranger.say(stranger.ping())
        pings = [action.address for action in node.machine.tick(START) if isinstance(action, SendDatagram)]
        assert pings == [boot.address]


class TestNeighbors:
    def test_a_node_that_has_not_pinged_is_given_a_second_before_it_is_asked(self) -> None:
        key = NodeKey.generate()
        node = Node(1, [Enode(key.public_key, STRANGER[0], 30303, STRANGER[1])])
        (ping,) = node.machine.tick(START)
        assert isinstance(ping, SendDatagram)
        pong = Pong(Endpoint(*node.address, 60606), ping.datagram[:32], int(START) + 60)
        actions = node.machine.handle_datagram(encode_packet(pong, key), STRANGER, START)
        assert [type(action) for action in actions] == [NodeFound]
        assert node.machine.tick(START + 0.5) == []
        assert [message.TYPE for message in messages(node.machine.tick(START + 1))] == [FindNode.TYPE]

    def test_unasked_neighbours_are_dropped(self) -> None:
        stranger = Stranger(Node(1, []))
        stranger.target.machine.tick(START)
        dropped = stranger.target.machine.dropped
        stranger.bond()
        stranger.target.machine.seeking = False
        stranger.target.machine.tick(START + 60)
        named = Neighbors((Node(9, []).enode,), int(START) + 120)
        assert stranger.say(named, START + 60) == []
        assert stranger.target.machine.dropped > dropped

    def test_those_named_must_prove_themselves(self) -> None:
        stranger = Stranger(Node(1, []))
        stranger.target.machine.tick(START)
        assert [message.TYPE for message in messages(stranger.bond())] == [FindNode.TYPE]
        named = [
            Node(9, []).enode,
            Enode(bytes(64), "127.0.0.1", 1, 1),
            Enode(bytes(64), "0.0.0.0", 1, 1),
            Enode(bytes(64), "224.0.0.1", 1, 1),
            stranger.target.enode,
        ]
        actions = stranger.say(Neighbors(tuple(named), int(START) + 60), START + 2)
        assert [action.address for action in actions if isinstance(action, SendDatagram)] == [("10.0.0.9", 60606)]
        assert [message.TYPE for message in messages(actions)] == [Ping.TYPE]

    def test_at_most_thirteen_in_one_packet_of_legal_size(self) -> None:
        node = Node(1, [])
        for number in range(1, 30):
            Stranger(node, (f"2001:db8::{number:x}", 30303)).bond()
        asking = Stranger(node)
        asking.bond()
        actions = asking.say(FindNode(bytes(64), int(START) + 60))
        (answer,) = messages(actions)
        assert isinstance(answer, Neighbors)
        assert 12 <= len(answer.nodes) <= 13
        assert all(len(action.datagram) <= 1280 for action in actions if isinstance(action, SendDatagram))
        assert asking.key.public_key not in ids(list(answer.nodes))


class TestRecords:
    def test_answered_after_the_proof_even_if_asked_before(self) -> None:
        stranger = Stranger(Node(1, []))
        request = EnrRequest(int(START) + 60)
        assert stranger.say(request) == []
        actions = stranger.say(stranger.ping())
        assert stranger.say(request) == []
        (send,) = [each for each in actions if isinstance(each, SendDatagram) and each.datagram[97] == Ping.TYPE]
        answers = messages(stranger.say(Pong(stranger.here, send.datagram[:32], int(START) + 60)))
        (answer,) = [each for each in answers if isinstance(each, EnrResponse)]
        assert answer.request_hash == encode_packet(request, stranger.key)[:32]
        assert answer.record == stranger.target.machine.node_record
        assert answer.record.get(b"eth") == [[FORK_ID.hash, b""]]

    def test_a_new_fork_id_makes_a_new_record(self) -> None:
        fork_ids = [ForkId(bytes(4), 100)]
        key = NodeKey.generate()
        machine = Discovery(
            key, Endpoint("::1", 1, 2), [], lambda: fork_ids[-1], random_bytes=os.urandom, record_seq=41
        )
        assert machine.node_record.seq == machine.node_record.seq == 41
        fork_ids.append(ForkId(bytes(4), 0))
        assert machine.node_record.seq == 42
        assert machine.node_record.get(b"eth") == [[bytes(4), b""]]
        assert machine.node_record.get(b"udp6") == b"\1"


class TestConstruction:
    def test_unresolved_bootnodes_are_refused(self) -> None:
        named = Enode(Node(2, []).key.public_key, "boot.example.org", 1, 1)
        with pytest.raises(ValueError, match=r"found the name 'boot\.example\.org'"):
            Node(1, [named])

    def test_a_machine_without_port_is_refused(self) -> None:
        with pytest.raises(ValueError, match="local IP address and UDP port"):
            Discovery(NodeKey.generate(), Endpoint("1.2.3.4", 0, 1), [], lambda: FORK_ID, random_bytes=os.urandom)

    def test_own_packets_are_dropped(self) -> None:
        node = Node(1, [])
        stranger = Stranger(node)
        stranger.key = node.key
        assert stranger.say(stranger.ping()) == []
        assert node.machine.dropped == 1
