"""Who is connected to whom: dialling, limits, duplicates, permission, discovery, restarts."""

import random
import socket
import threading
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import trio

from lacnode.crypto.node_key import NodeKey
from lacnode.devnet.devnet_ports import claim_port_offset, node_ports
from lacnode.node.permissioning_policy import LOOKUP_PENDING
from lacnode.p2p.connection_policies import Connection, DenyListPolicy
from lacnode.p2p.name_resolution import resolve_enode
from lacnode.p2p.p2p_network import P2pPortUnavailableError
from lacnode.p2p.peer_set import PeerLimits
from lacnode.p2p.rlpx import PeerDisconnectedError
from lacnode.p2p.wire.enode import Enode, parse_static_nodes
from lacnode.p2p.wire.eth_messages import BlockHeaders, GetBlockHeaders
from lacnode.p2p.wire.p2p_messages import DisconnectReason
from lacnode.permissioning.decision import Decision
from tests.support.p2p_nodes import DEADLINE, Client, Node, connected, world


def smaller_and_larger() -> tuple[NodeKey, NodeKey]:
    one, other = sorted((NodeKey.generate(), NodeKey.generate()), key=lambda key: key.public_key)
    return one, other


async def joined(client: Client) -> None:
    """Become a peer, and be sure that the node agrees."""
    await client.become_peer()
    await client.send(GetBlockHeaders(1, 0, 1))
    assert isinstance(await client.message(), BlockHeaders)


async def refusal(client: Client) -> DisconnectReason | None:
    """Try to become a peer; what the node says instead."""
    try:
        await client.become_peer()
    except PeerDisconnectedError as ended:
        return ended.theirs
    return await client.disconnect_reason()


class TestLimits:
    async def test_one_more_than_the_limit_is_too_many(self) -> None:
        async with world() as w:
            node = await w.node(peer_limits=PeerLimits(2, None))
            for _ in range(2):
                await joined(await Client.connect(node))
            assert await refusal(await Client.connect(node)) is DisconnectReason.TOO_MANY_PEERS
            assert len(node.network.peers) == 2

    async def test_those_who_dialled_us_take_a_share_at_most(self) -> None:
        async with world() as w:
            node, other = await w.node(peer_limits=PeerLimits(4, 0.6)), await w.node()
            for _ in range(2):
                await joined(await Client.connect(node))
            assert await refusal(await Client.connect(node)) is DisconnectReason.TOO_MANY_PEERS
            await connected(node, other)

    async def test_static_nodes_are_always_welcome(self) -> None:
        async with world() as w:
            key = NodeKey.generate()
            node = await w.node(peer_limits=PeerLimits(1), static_nodes=(Enode(key.public_key, "127.0.0.1", 1, None),))
            await joined(await Client.connect(node, key=key))
            assert await refusal(await Client.connect(node)) is DisconnectReason.TOO_MANY_PEERS

    async def test_a_place_that_was_left_can_be_taken(self) -> None:
        async with world() as w:
            node = await w.node(peer_limits=PeerLimits(1, None))
            first = await Client.connect(node)
            await joined(first)
            await first.connection.close(DisconnectReason.CLIENT_QUITTING)
            await node.recorder.wait("left")
            await joined(await Client.connect(node))


class TestDuplicates:
    @pytest.mark.parametrize("seed", range(6))
    async def test_nodes_that_dial_each_other_end_with_one_connection(self, seed: int) -> None:
        keys = list(smaller_and_larger())
        random.Random(seed).shuffle(keys)
        async with world() as w:
            one, other = await w.node(key=keys[0]), await w.node(key=keys[1])
            one.network.add_static(other.enode)
            other.network.add_static(one.enode)
            await one.recorder.wait("joined")
            await other.recorder.wait("joined")
            await self._calm(one, other)
            here, there = one.peer(other), other.peer(one)
            assert here.description.inbound != there.description.inbound
            assert here.description.local_address == there.description.remote_address

    async def _calm(self, *nodes: Node) -> None:
        """Wait until nothing has happened for half a second, and the nodes have one session each."""
        with trio.fail_after(DEADLINE):
            before = -1
            while True:
                now = sum(len(node.recorder.events) for node in nodes)
                if now == before and all(len(node.network.peers) == 1 for node in nodes):
                    return
                before = now
                await trio.sleep(0.5)

    async def test_of_two_from_the_same_side_the_older_stays(self) -> None:
        async with world() as w:
            node, key = await w.node(), NodeKey.generate()
            first = await Client.connect(node, key=key)
            await joined(first)
            second = await Client.connect(node, key=key)
            assert await refusal(second) is DisconnectReason.ALREADY_CONNECTED
            await first.send(GetBlockHeaders(2, 0, 1))
            assert isinstance(await first.message(), BlockHeaders)

    @pytest.mark.parametrize("client_is_smaller", [True, False])
    async def test_of_two_from_both_sides_the_one_of_the_smaller_id_stays(self, client_is_smaller: bool) -> None:
        smaller, larger = smaller_and_larger()
        async with world() as w:
            node = await w.node(key=larger if client_is_smaller else smaller)
            other = await w.node(key=smaller if client_is_smaller else larger)
            await connected(node, other)
            client = await Client.connect(node, key=other.network.key)
            if client_is_smaller:
                await joined(client)
                assert "already connected" in (await node.recorder.wait("left")).content
            else:
                assert await refusal(client) is DisconnectReason.ALREADY_CONNECTED
                assert len(node.network.peers) == 1


class TestDialling:
    async def test_a_static_node_that_starts_late_is_found(self) -> None:
        async with world() as w:
            key = NodeKey.generate()
            with claim_port_offset(1) as offset:
                port = node_ports(0, offset).p2p
                early = await w.node(static_nodes=(Enode(key.public_key, "127.0.0.1", port, None),))
                late = await w.node(key=key, port=port)
                await early.recorder.wait("joined")
                await late.recorder.wait("joined")

    async def test_nodes_known_from_before_are_dialled(self) -> None:
        async with world() as w:
            known = await w.node()
            one = await w.node(known_nodes=(known.enode,), discovery=True, host="127.0.0.1")
            await one.recorder.wait("joined")
            assert [peer.id for peer in one.network.peers] == [known.id]

    @pytest.mark.parametrize("settings", [{"discovery": False}, {"discovery": True, "dial_discovered": False}])
    async def test_but_not_by_nodes_that_look_for_nobody(self, settings: Any) -> None:
        async with world() as w:
            known, told = await w.node(), await w.node()
            one = await w.node(known_nodes=(known.enode,), static_nodes=(told.enode,), host="127.0.0.1", **settings)
            await one.peers_are(told)
            assert not known.recorder.of("joined")

    async def test_a_peer_that_restarts_is_dialled_again(self) -> None:
        async with world() as w:
            one, other = await w.node(), await w.node()
            await connected(one, other)
            for round_ in (1, 2):
                await other.shut_down()
                await one.recorder.wait("left", round_)
                other = await w.node(key=other.network.key, port=other.enode.tcp)
                await one.recorder.wait("joined", round_ + 1)
                await other.recorder.wait("joined")

    async def test_a_node_taken_off_the_list_is_left_and_not_dialled_again(self) -> None:
        async with world() as w:
            one, other = await w.node(), await w.node()
            await connected(one, other)
            assert one.network.remove_static_and_disconnect(other.enode)
            assert not one.network.remove_static_and_disconnect(other.enode)
            assert "requested" in (await other.recorder.wait("left")).content
            await trio.sleep(1)
            assert one.network.peers == []

    async def test_an_id_that_is_not_the_dialled_one_is_no_peer(self) -> None:
        async with world() as w:
            one, other = await w.node(), await w.node()
            one.network.add_static(Enode(NodeKey.generate().public_key, "127.0.0.1", other.enode.tcp, None))
            await connected(one, other)
            assert [peer.id for peer in one.network.peers] == [other.id]

    async def test_bootnodes_are_kept_connected_without_discovery_too(self) -> None:
        async with world() as w:
            boot = await w.node()
            node = await w.node(bootnodes=(boot.enode,))
            await node.recorder.wait("joined")
            node.peer(boot).end_session(DisconnectReason.REQUESTED)
            await node.recorder.wait("joined", 2)


class Wall(DenyListPolicy):
    """Tells that somebody was not let in."""

    def __init__(self) -> None:
        super().__init__("not on the list")
        self.knocked = trio.Event()

    def decide(self, connection: Connection) -> Decision:
        decision = super().decide(connection)
        if connection.is_inbound and not decision.allowed:
            self.knocked.set()
        return decision


class TestPermission:
    async def test_who_knocked_before_it_was_permitted_is_dialled_as_soon_as_it_is(self) -> None:
        async with world() as w:
            wall = Wall()
            node, other = await w.node(policy=wall), await w.node()
            wall.denied = frozenset({other.id})
            other.network.add_static(node.enode)
            await wall.knocked.wait()
            other.network.remove_static_and_disconnect(node.enode)
            wall.denied = frozenset()
            node.network.recheck_connections()
            await node.peers_are(other)
            assert not node.peer(other).description.inbound

    async def test_a_denied_node_is_turned_away_before_status(self) -> None:
        async with world() as w:
            key = NodeKey.generate()
            node = await w.node(policy=DenyListPolicy("not on the list", [key.public_key]))
            client = await Client.connect(node, key=key)
            assert await client.disconnect_reason() is DisconnectReason.UNKNOWN
            assert node.recorder.events == []

    async def test_a_partition_ends_sessions_and_healing_brings_them_back(self) -> None:
        async with world() as w:
            wall = DenyListPolicy("partition")
            one, other = await w.node(policy=wall), await w.node()
            await connected(one, other)
            wall.denied = frozenset({other.id})
            one.network.recheck_connections()
            assert "requested" in (await other.recorder.wait("left")).content
            await one.recorder.wait("left")
            assert not one.network.peers
            wall.denied = frozenset()
            one.network.recheck_connections()
            await one.recorder.wait("joined", 2)
            await other.recorder.wait("joined", 2)

    async def test_a_session_lasts_while_its_permission_is_looked_up_again(self) -> None:
        """A policy keeps a number of decisions. Strangers may make it forget the one about this session."""
        async with world() as w:
            policy = Forgetful()
            one, other = await w.node(policy=policy), await w.node()
            await connected(one, other)
            policy.is_known = False
            one.network.recheck_connections()
            policy.is_known = True
            assert [peer.id for peer in one.network.peers] == [other.id]

    async def test_discovery_names_no_node_that_is_permitted_no_more(self) -> None:
        async with world() as w:
            wall = DenyListPolicy("not on the list")
            boot = await w.node(discovery=True, policy=wall)
            dropped = await w.node(discovery=True, bootnodes=(boot.enode,))
            await boot.peers_are(dropped)
            machine = boot.network._machine
            assert machine is not None
            await until(lambda: bool(machine.bonded_nodes()))
            wall.denied = frozenset({dropped.id})
            boot.network.recheck_connections()
            assert machine.bonded_nodes() == []


async def until(condition: Callable[[], bool]) -> None:
    with trio.fail_after(DEADLINE):
        while True:
            if condition():
                return
            await trio.sleep(0.01)


class Forgetful(DenyListPolicy):
    """Permits every node, once it has looked up its decision."""

    def __init__(self) -> None:
        super().__init__("not on the list")
        self.is_known = True

    def decide(self, connection: Connection) -> Decision:
        return super().decide(connection) if self.is_known else LOOKUP_PENDING


def has_ipv6() -> bool:
    try:
        with socket.socket(socket.AF_INET6, socket.SOCK_STREAM) as probe:
            probe.bind(("::1", 0))
    except OSError:
        return False
    return True


@pytest.mark.skipif(not has_ipv6(), reason="this machine has no IPv6")
class TestIpv6:
    @pytest.mark.parametrize("interface", ["::1", "::"])
    async def test_nodes_find_each_other(self, interface: str) -> None:
        async with world() as w:
            six: dict[str, Any] = {"interface": interface, "host": "::1", "discovery": True}
            boot = await w.node(**six)
            assert f"@[::1]:{boot.enode.tcp}" in str(boot.enode)
            bootnode = Enode.parse(str(boot.enode))
            one, other = [await w.node(**six, bootnodes=(bootnode,)) for _ in range(2)]
            await boot.peers_are(one, other)
            await one.peers_are(boot, other)
            await other.peers_are(boot, one)
            assert {peer.enode.host for peer in one.network.peers} == {"::1"}

    async def test_a_static_node_by_its_literal(self) -> None:
        async with world() as w:
            node = await w.node(interface="::1", host="::1")
            one = await w.node(interface="::1", host="::1", static_nodes=parse_static_nodes(f'["{node.enode}"]'))
            await one.peers_are(node)

    async def test_everywhere_is_ipv4_as_well(self) -> None:
        async with world() as w:
            boot = await w.node(interface="::", host="127.0.0.1", discovery=True)
            one, other = [await w.node(discovery=True, bootnodes=(boot.enode,)) for _ in range(2)]
            await boot.peers_are(one, other)
            await one.peers_are(boot, other)
            assert {peer.enode.host for peer in boot.network.peers} == {"127.0.0.1"}


class TestDiscovery:
    async def test_nodes_that_know_one_bootnode_find_each_other(self) -> None:
        async with world() as w:
            boot = await w.node(discovery=True)
            one, other = [await w.node(discovery=True, bootnodes=(boot.enode,)) for _ in range(2)]
            await boot.peers_are(one, other)
            await one.peers_are(boot, other)
            await other.peers_are(boot, one)

    async def test_a_bootnode_may_be_a_name(self) -> None:
        async with world() as w:
            boot = await w.node(discovery=True)
            named = replace(boot.enode, host="localhost")
            nowhere = Enode(NodeKey.generate().public_key, "no-such-host.invalid", 30303, 30303)
            one, other = [await w.node(discovery=True, bootnodes=(nowhere, named)) for _ in range(2)]
            await boot.peers_are(one, other)
            await one.peers_are(boot, other)

    async def test_a_bootnodes_name_that_is_looked_up_for_ever_holds_nobody_back(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        ended = threading.Event()

        def look_up(enode: Enode) -> Enode:
            assert not enode.is_named or ended.wait(DEADLINE)
            return resolve_enode(enode)

        monkeypatch.setattr("lacnode.p2p.bootnode_addresses.resolve_enode", look_up)
        monkeypatch.setattr("lacnode.p2p.bootnode_addresses.NAME_LOOKUP_TIMEOUT_SECONDS", 0.1)
        async with world() as w:
            boot = await w.node(discovery=True)
            slow = Enode(NodeKey.generate().public_key, "localhost", 1, 1)
            one, other = [await w.node(discovery=True, bootnodes=(slow, boot.enode)) for _ in range(2)]
            await one.peers_are(boot, other)
            ended.set()

    async def test_a_denied_node_is_not_found(self) -> None:
        async with world() as w:
            boot = await w.node(discovery=True)
            denied = await w.node(discovery=True, bootnodes=(boot.enode,))
            node = await w.node(
                discovery=True, bootnodes=(boot.enode,), policy=DenyListPolicy("not on the list", [denied.id])
            )
            await node.peers_are(boot)
            await denied.peers_are(boot)
            await trio.sleep(2)
            assert [peer.id for peer in node.network.peers] == [boot.id]


class TestPorts:
    @pytest.mark.parametrize("discovery", [False, True])
    async def test_a_taken_port_is_said_to_be_taken(self, discovery: bool) -> None:
        async with world() as w:
            node = await w.node()
            with trio.socket.socket(trio.socket.AF_INET, trio.socket.SOCK_DGRAM) as udp:
                await udp.bind(("127.0.0.1", 0))
                port = udp.getsockname()[1] if discovery else node.enode.tcp
                with pytest.raises(P2pPortUnavailableError) as caught:
                    await w.prepared(port=port, discovery=discovery).network.run()
            text = f"Port(s) '[{port}]' already in use. Check for other processes using the port(s)."
            assert str(caught.value) == text
