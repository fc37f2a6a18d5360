"""What strangers may do to the port, and peers to their session, without harm to anybody else."""

import contextlib
import os
import random
import socket
import threading
import tracemalloc

import cramjam
import pytest
import trio

from lacnode.crypto.node_key import NodeKey
from lacnode.p2p.p2p_network import MAX_HALF_OPEN_CONNECTIONS
from lacnode.p2p.peer_set import SESSIONS_AT_ONCE
from lacnode.p2p.rate_limits import RateLimits
from lacnode.p2p.rlpx import ConnectionTimeouts
from lacnode.p2p.wire.eth_messages import (
    BlockBodies,
    BlockHeaders,
    EncodedNewBlock,
    GetBlockBodies,
    GetBlockHeaders,
    NewBlock,
)
from lacnode.p2p.wire.handshake import Initiator
from lacnode.p2p.wire.p2p_messages import DISCONNECT, EMPTY_LIST, PING, DisconnectReason
from lacnode.primitives import rlp
from tests.support.p2p_nodes import DEADLINE, Client, Node, block, closed, connected, transaction, world


async def still_serves(node: Node) -> None:
    """An honest peer comes, asks, and is answered."""
    client = await Client.connect(node)
    await client.become_peer()
    await client.send(GetBlockHeaders(1, 0, 1))
    assert isinstance(await client.message(), BlockHeaders)


class TestStrangers:
    @pytest.mark.parametrize("seed", range(12))
    async def test_garbage_is_hung_up_on(self, seed: int) -> None:
        rng = random.Random(seed)
        garbage = rng.randbytes(rng.choice([1, 2, 97, 307, 308, 2_050, 100_000]))
        if seed % 2:
            garbage = rng.choice([b"\x04", b"\x01\x33", b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01"]) + garbage
        async with world() as w:
            node = await w.node(limits=ConnectionTimeouts(handshake=0.5))
            stream = await node.visit()
            with contextlib.suppress(trio.BrokenResourceError):
                await stream.send_all(garbage)
            await closed(stream)
            node.network.limits = ConnectionTimeouts()
            await still_serves(node)

    async def test_silence_is_hung_up_on(self) -> None:
        async with world() as w:
            node = await w.node(limits=ConnectionTimeouts(handshake=0.3))
            await closed(await node.visit())

    async def test_a_byte_at_a_time_does_not_buy_time(self) -> None:
        async with world() as w:
            node = await w.node(limits=ConnectionTimeouts(handshake=0.5))
            stream = await node.visit()
            auth = Initiator(NodeKey.generate(), node.id, random_bytes=os.urandom).auth

            async def trickle() -> None:
                for byte in auth * 100:
                    await stream.send_all(bytes([byte]))
                    await trio.sleep(0.02)

            with trio.fail_after(DEADLINE), pytest.raises(trio.BrokenResourceError):
                await trickle()

    async def test_a_crowd_of_silent_strangers_keeps_nobody_out(self) -> None:
        async with world() as w:
            node = await w.node()
            crowd = [await node.visit() for _ in range(MAX_HALF_OPEN_CONNECTIONS + 20)]
            with trio.fail_after(5):
                await still_serves(node)
            await closed(crowd[0])

    async def test_a_flood_of_connections_from_one_address_is_hung_up_on_and_ends(self) -> None:
        async with world() as w:
            node = await w.node()
            node.network._connections = RateLimits(per_second=1, burst=3)
            crowd = [await node.visit() for _ in range(5)]
            for stream in crowd[3:]:
                await closed(stream)
            node.network._connections = RateLimits(per_second=20, burst=3)
            await still_serves(node)

    async def test_a_node_that_comes_again_and_again_is_told_to_wait(self) -> None:
        async with world() as w:
            node = await w.node()
            # The same burst, and nothing comes back however long the sessions take.
            node.network.peer_set._sessions = RateLimits(per_second=1e-6, burst=SESSIONS_AT_ONCE)
            key = NodeKey.generate()
            for count in range(SESSIONS_AT_ONCE):
                client = await Client.connect(node, key=key)
                await client.become_peer()
                await node.recorder.wait("joined", count + 1)
                await client.connection.close(DisconnectReason.REQUESTED)
                await node.recorder.wait("left", count + 1)
            client = await Client.connect(node, key=key)
            assert await client.disconnect_reason() is DisconnectReason.TOO_MANY_PEERS
            await still_serves(node)

    async def test_an_auth_for_somebody_else_is_hung_up_on(self) -> None:
        async with world() as w:
            node = await w.node(limits=ConnectionTimeouts(handshake=0.5))
            stream = await node.visit()
            await stream.send_all(
                Initiator(NodeKey.generate(), NodeKey.generate().public_key, random_bytes=os.urandom).auth
            )
            await closed(stream)

    async def test_garbage_on_the_discovery_port_is_overlooked(self) -> None:
        async with world() as w:
            boot = await w.node(discovery=True)
            rng = random.Random(7)
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as noise:
                for size in (0, 1, 97, 98, 200, 1_280, 1_600, 1_601, 9_000) * 20:
                    noise.sendto(rng.randbytes(size), ("127.0.0.1", boot.enode.udp or 0))
            late = await w.node(discovery=True, bootnodes=(boot.enode,))
            other = await w.node(discovery=True, bootnodes=(boot.enode,))
            await late.peers_are(boot, other)
            await other.peers_are(boot, late)


class TestPeers:
    async def peer(self, node: Node) -> Client:
        client = await Client.connect(node)
        await client.become_peer()
        await node.recorder.wait("joined", len(node.recorder.of("left")) + 1)
        return client

    async def test_flipped_bits_in_a_frame_are_a_breach(self) -> None:
        async with world() as w:
            node = await w.node()
            client = await self.peer(node)
            frame = bytearray(client.connection._codec.encode(PING, EMPTY_LIST))
            frame[3] ^= 1
            await client.connection._stream.send_all(frame)
            assert await client.disconnect_reason() is DisconnectReason.BREACH_OF_PROTOCOL
            assert "MAC" in (await node.recorder.wait("left")).content

    async def test_an_oversized_message_is_a_breach(self) -> None:
        async with world() as w:
            client = await self.peer(await w.node())
            codec = client.connection._codec
            header = codec._encryptor.update(b"\xff\xff\xff\xc2\x80\x80".ljust(16, b"\0"))
            await client.connection._stream.send_all(header + codec._egress.update_with_header(header))
            assert await client.disconnect_reason() is DisconnectReason.BREACH_OF_PROTOCOL

    async def test_a_long_block_without_a_header_is_a_breach_before_it_is_read(self) -> None:
        async with world() as w:
            client = await self.peer(await w.node())
            body = rlp.encode([bytes(15 * 2**20)])
            tracemalloc.start()
            await client.connection.send(client.table.message_id("eth", NewBlock.CODE), body)
            reason = await client.disconnect_reason()
            _, most_bytes = tracemalloc.get_traced_memory()
            tracemalloc.stop()
            assert reason is DisconnectReason.BREACH_OF_PROTOCOL
            # It is here once. To read it would take as much twice more.
            assert most_bytes < 2 * len(body)

    async def test_a_small_message_that_unpacks_to_much_is_a_breach(self) -> None:
        async with world() as w:
            client = await self.peer(await w.node())
            codec = client.connection._codec
            bomb = bytes(cramjam.snappy.compress_raw(bytes(64 * 2**20)))
            size = 1 + len(bomb)
            header = codec._encryptor.update(size.to_bytes(3) + b"\xc2\x80\x80".ljust(13, b"\0"))
            content = codec._encryptor.update(b"\x10" + bomb + bytes(-size % 16))
            packet = header + codec._egress.update_with_header(header) + content
            codec._egress.update_with_content(content)
            packet += codec._egress.finish_content()
            tracemalloc.start()
            await client.connection._stream.send_all(packet)
            reason = await client.disconnect_reason()
            _, most_bytes = tracemalloc.get_traced_memory()
            tracemalloc.stop()
            assert reason is DisconnectReason.BREACH_OF_PROTOCOL
            # It is here a few times, and never unpacked.
            assert len(bomb) < 4 * 2**20
            assert most_bytes < 24 * 2**20

    async def test_a_peer_that_never_reads_is_left_when_it_is_owed_too_much(self) -> None:
        async with world() as w:
            node = await w.node()
            await self.peer(node)
            peer = node.network.peers[0]
            large = block(9, bytes(32), [transaction(1, random.Random(1).randbytes(2**20))])
            count = 0
            with trio.fail_after(DEADLINE):
                while peer.end_reason is None:
                    count += 1
                    peer.send_new_block(EncodedNewBlock.from_block(large, count), count.to_bytes(32))
                    await trio.lowlevel.checkpoint()
            await node.recorder.wait("left")
            assert count < 100
            await still_serves(node)

    async def test_a_peer_that_never_reads_is_left_after_a_while(self) -> None:
        async with world() as w:
            node = await w.node(limits=ConnectionTimeouts(sending=0.3))
            await self.peer(node)
            # More than fits into the buffers of both sides' sockets, and no more than one message may have.
            large = block(9, bytes(32), [transaction(1, random.Random(1).randbytes(15 * 2**20))])
            node.network.peers[0].send_new_block(EncodedNewBlock.from_block(large, 1), b"\1" * 32)
            assert "does not read" in (await node.recorder.wait("left")).content

    async def test_gossip_to_a_peer_that_does_not_read_is_dropped_and_consensus_is_not(self) -> None:
        async with world() as w:
            node = await w.node()
            client = await self.peer(node)
            peer = node.network.peers[0]
            noise = random.Random(1)
            for number in range(60):
                peer.send_transactions([transaction(number, noise.randbytes(2**20 - 200))])
                peer.send_consensus(2, number.to_bytes(2))
                await trio.lowlevel.checkpoint()
            assert peer.end_reason is None
            codes: list[int] = []
            while len(codes) < 60:
                frame = await client.frame()
                assert frame.message_id != DISCONNECT
                if frame.message_id == client.table.message_id("IBF", 2):
                    codes.append(int.from_bytes(frame.body))
            assert codes == list(range(60))

    async def test_a_peer_that_asks_for_much_and_reads_it_late_gets_all_of_it(self) -> None:
        async with world() as w:
            node = await w.node()
            large = block(5, bytes(32), [transaction(5, random.Random(1).randbytes(3 * 2**20))])
            node.chain.blocks.append(large)
            node.chain.hashes.append(b"\5" * 32)
            client = await self.peer(node)
            for id_ in range(10):
                await client.send(GetBlockBodies(id_, (b"\5" * 32,)))
            await trio.sleep(1)
            for _ in range(10):
                frame = await client.frame()
                assert frame.message_id == client.table.message_id("eth", BlockBodies.CODE)
                assert len(frame.body) > 3 * 2**20

    async def test_a_storm_of_pings_does_not_stop_consensus(self) -> None:
        async with world() as w:
            node, honest = await w.node(), await w.node()
            stormy = await self.peer(node)
            peer, _ = await connected(honest, node)
            async with trio.open_nursery() as nursery:

                async def storm() -> None:
                    while True:
                        await stormy.connection.send(PING, EMPTY_LIST)

                async def read() -> None:
                    while True:
                        await stormy.frame()

                nursery.start_soon(storm)
                nursery.start_soon(read)
                for number in range(50):
                    peer.send_consensus(1, bytes([number]))
                await node.recorder.wait("consensus", 50)
                nursery.cancel_scope.cancel()

    async def test_answers_that_were_not_asked_for_are_not_opened(self) -> None:
        """Fifteen megabytes of empty lists would take seconds and hundreds of megabytes."""
        async with world() as w:
            node = await w.node()
            client = await self.peer(node)
            nested = b"\xc0" * (15 * 2**20)
            for _ in range(5):
                await client.connection.send(client.table.message_id("eth", BlockBodies.CODE), nested)
            assert await client.disconnect_reason() is DisconnectReason.USELESS_PEER

    async def test_a_peer_that_asks_without_end_leaves_time_for_others(self) -> None:
        async with world() as w:
            node = await w.node()
            greedy = await self.peer(node)
            await greedy.send(GetBlockHeaders(1, 0, 5))
            assert isinstance(await greedy.message(), BlockHeaders)
            serving = node.network.shares.serving_share_for(is_validator=True)
            serving.spend(node.network.peers[0].id, 10.0, trio.current_time())
            await greedy.send(GetBlockHeaders(2, 0, 5))
            await still_serves(node)
            with trio.move_on_after(1):
                second = await greedy.message()
                raise AssertionError(f"it was to wait, and got {second}")

    async def test_the_sending_of_an_answer_counts_for_the_share_too(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Pooled transactions cost next to nothing until they are compressed and encrypted."""
        monkeypatch.setattr("lacnode.p2p.session.SENDING_SECONDS_PER_BYTE", 10.0)
        async with world() as w:
            node = await w.node()
            greedy = await self.peer(node)
            await greedy.send(GetBlockHeaders(1, 0, 5))
            await greedy.send(GetBlockHeaders(2, 0, 5))
            assert isinstance(await greedy.message(), BlockHeaders)
            await still_serves(node)
            with trio.move_on_after(1):
                second = await greedy.message()
                raise AssertionError(f"it was to wait, and got {second}")

    async def test_answers_are_encoded_off_the_event_loop(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """The receipts of one block may have a hundred thousand logs."""
        encoded_in: list[threading.Thread] = []
        encode = BlockHeaders.encode

        def noted(self: BlockHeaders, version: int) -> bytes:
            encoded_in.append(threading.current_thread())
            return encode(self, version)

        async with world() as w:
            node = await w.node()
            client = await self.peer(node)
            monkeypatch.setattr(BlockHeaders, "encode", noted)
            await client.send(GetBlockHeaders(1, 0, 5))
            assert isinstance(await client.message(), BlockHeaders)
        assert len(encoded_in) == 1
        assert encoded_in[0] is not threading.current_thread()
