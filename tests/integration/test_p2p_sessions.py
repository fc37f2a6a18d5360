"""Two nodes in conversation over real sockets: who becomes a peer, what is asked, told and answered."""

import gc
from collections.abc import Iterator
from dataclasses import replace

import pytest
import trio

from lacnode.chainspec.forks import ForkId
from lacnode.crypto.node_key import NodeKey
from lacnode.p2p.accepted_messages import MAX_UNASKED_BYTES
from lacnode.p2p.peer import NoAnswerError, Peer
from lacnode.p2p.rlpx import ConnectionFailedError, ConnectionTimeouts, PeerDisconnectedError
from lacnode.p2p.wire.capabilities import Capability
from lacnode.p2p.wire.eth_messages import (
    BlockBodies,
    BlockHeaders,
    EncodedNewBlock,
    GetBlockBodies,
    GetBlockHeaders,
    GetNodeData,
    GetReceipts,
    NewBlock,
    NewBlockHashes,
    NodeData,
    Receipts,
    Transactions,
)
from lacnode.p2p.wire.frame import Frame
from lacnode.p2p.wire.p2p_messages import EMPTY_LIST, PING, PONG, DisconnectReason
from lacnode.primitives.header import BlockHeader
from tests.support.p2p_nodes import (
    DEADLINE,
    NETWORK_ID,
    Client,
    MemoryChain,
    Node,
    Recorder,
    block,
    connected,
    transaction,
    world,
)


class TestIntroduction:
    async def test_two_nodes_learn_each_others_identity_and_head(self) -> None:
        async with world() as w:
            one, other = await w.node(chain=MemoryChain(5)), await w.node(chain=MemoryChain(9))
            seen_by_one, seen_by_other = await connected(one, other)
            assert (seen_by_one.id, seen_by_one.address) == (other.id, other.network.key.address)
            assert (seen_by_one.head.number, seen_by_one.head.total_difficulty) == (8, 9)
            assert seen_by_one.head.hash == other.chain.hashes[-1]
            assert (seen_by_other.head.number, seen_by_other.description.inbound) == (4, True)
            assert not seen_by_one.description.inbound
            assert seen_by_one.description.eth_version == 68
            assert seen_by_one.description.capabilities == ("eth/65", "eth/66", "eth/67", "eth/68", "IBF/1")
            assert seen_by_one.enode == other.enode

    async def test_an_accepted_peer_is_known_by_the_port_it_says_it_listens_on(self) -> None:
        async with world() as w:
            one, other = await w.node(), await w.node()
            _, seen_by_other = await connected(one, other)
            assert seen_by_other.enode.endpoint == one.enode.endpoint

    @pytest.mark.parametrize(
        "foreign",
        [{"network_id": NETWORK_ID + 1}, {"genesis_hash": b"\7" * 32}, {"fork_id": ForkId(b"\1\2\3\4", 9)}],
        ids=lambda changes: next(iter(changes)),
    )
    async def test_a_peer_of_another_network_is_told_so(self, foreign: dict[str, object]) -> None:
        async with world() as w:
            chain = MemoryChain()
            chain.accepts = lambda fork_id: fork_id == chain.fork_id
            node = await w.node(chain=chain)
            client = await Client.connect(node)
            await client.become_peer(**foreign)
            assert await client.disconnect_reason() is DisconnectReason.SUBPROTOCOL_REASON
            assert node.recorder.events == []

    async def test_nodes_with_different_genesis_never_become_peers(self) -> None:
        async with world() as w:
            one, other = await w.node(), await w.node(chain=MemoryChain(genesis=b"\1" * 32))
            one.network.add_static(other.enode)
            client = await Client.connect(other, chain=other.chain)
            await client.become_peer()
            await other.recorder.wait("joined")
            assert [event.kind for event in one.recorder.events] == []
            assert len(other.recorder.events) == 1

    async def test_hello_must_name_the_key_of_the_handshake(self) -> None:
        async with world() as w:
            node = await w.node()
            client = await Client.connect(node, node_id=NodeKey.generate().public_key)
            assert await client.disconnect_reason() is DisconnectReason.UNEXPECTED_IDENTITY

    async def test_a_node_does_not_talk_to_itself(self) -> None:
        async with world() as w:
            node = await w.node()
            assert not node.network.add_static(node.enode)
            client = await Client.connect(node, key=node.network.key)
            assert await client.disconnect_reason() is DisconnectReason.LOCAL_IDENTITY

    async def test_without_a_shared_version_of_eth_a_peer_is_useless(self) -> None:
        async with world() as w:
            client = await Client.connect(await w.node(), capabilities=(Capability("IBF", 1), Capability("eth", 63)))
            assert await client.disconnect_reason() is DisconnectReason.USELESS_PEER

    async def test_eth_before_status_is_a_breach_that_is_remembered(self) -> None:
        async with world() as w:
            node, key = await w.node(), NodeKey.generate()
            client = await Client.connect(node, key=key)
            await client.send(NewBlockHashes(()))
            assert await client.disconnect_reason() is DisconnectReason.BREACH_OF_PROTOCOL
            again = await Client.connect(node, key=key)
            assert await again.disconnect_reason() is DisconnectReason.UNKNOWN

    async def test_a_peer_that_says_nothing_after_hello_is_not_waited_for(self) -> None:
        async with world() as w:
            node = await w.node(limits=ConnectionTimeouts(handshake=2.0))
            client = await Client.connect(node)
            with pytest.raises(PeerDisconnectedError, match=r"hung up|lost"):
                await client.disconnect_reason()


class TestQuestions:
    async def test_headers_by_number_hash_step_and_backwards(self) -> None:
        async with world() as w:
            one, other = await w.node(), await w.node(chain=MemoryChain(30))
            peer, _ = await connected(one, other)
            hashes = other.chain.hashes
            assert [h.number for h in await peer.requests.request_headers(3, 4)] == [3, 4, 5, 6]
            assert [h.number for h in await peer.requests.request_headers(hashes[7], 2)] == [7, 8]
            assert [h.number for h in await peer.requests.request_headers(0, 4, skip=9)] == [0, 10, 20]
            assert [h.number for h in await peer.requests.request_headers(hashes[2], 10, reverse=True)] == [2, 1, 0]
            assert list(await peer.requests.request_headers(b"\1" * 32, 5)) == []
            assert list(await peer.requests.request_headers(99, 5)) == []
            assert list(await peer.requests.request_headers(3, 1)) == [other.chain.blocks[3].header]

    async def test_bodies_receipts_and_pooled_transactions_leave_out_what_is_unknown(self) -> None:
        async with world() as w:
            one, other = await w.node(), await w.node()
            peer, _ = await connected(one, other)
            unknown = b"\1" * 32
            pooled = transaction(77)
            other.chain.pooled[pooled.hash] = pooled
            blocks, hashes = other.chain.blocks, other.chain.hashes
            assert list(await peer.requests.request_bodies([hashes[1], unknown, hashes[2]])) == [
                blocks[1].body,
                blocks[2].body,
            ]
            assert list(await peer.requests.request_pooled_transactions([unknown, pooled.hash])) == [pooled]
            (receipts,) = await peer.requests.request_receipts([unknown, hashes[1]])
            assert [receipt.cumulative_gas_used for receipt in receipts] == [21_000]

    async def test_many_questions_at_once_each_get_their_own_answer(self) -> None:
        async with world() as w:
            one, other = await w.node(), await w.node(chain=MemoryChain(30))
            peer, _ = await connected(one, other)
            answers: dict[int, int] = {}

            async def ask(number: int) -> None:
                answers[number] = (await peer.requests.request_headers(number, 1))[0].number

            async with trio.open_nursery() as nursery:
                for number in range(30):
                    nursery.start_soon(ask, number)
            assert answers == {number: number for number in range(30)}

    async def test_answers_of_eth_65_are_matched_in_order(self) -> None:
        async with world() as w:
            node = await w.node()
            client = await Client.connect(node, capabilities=(Capability("eth", 65), Capability("IBF", 1)))
            await client.become_peer()
            peer = (await node.recorder.wait("joined")).peer
            assert peer.description.eth_version == 65
            answers: dict[int, int] = {}

            async def ask(number: int) -> None:
                answers[number] = (await peer.requests.request_headers(number, 1))[0].number

            async with trio.open_nursery() as nursery:
                for number in range(3):
                    nursery.start_soon(ask, number)
                asked = [await client.message() for _ in range(3)]
                for question in asked:
                    assert isinstance(question, GetBlockHeaders)
                    assert isinstance(question.start, int)
                    await client.send(BlockHeaders(0, (node.chain.blocks[question.start].header,)))
            assert answers == {0: 0, 1: 1, 2: 2}

    async def test_questions_fail_when_the_peer_leaves(self) -> None:
        async with world() as w:
            node = await w.node()
            client = await Client.connect(node)
            await client.become_peer()
            peer = (await node.recorder.wait("joined")).peer
            async with trio.open_nursery() as nursery:

                async def ask() -> None:
                    with pytest.raises(NoAnswerError, match="left"):
                        await peer.requests.request_headers(1, 1)

                nursery.start_soon(ask)
                await client.message()
                await client.connection.close(DisconnectReason.CLIENT_QUITTING)
            with pytest.raises(NoAnswerError, match="left"):
                await peer.requests.request_headers(1, 1)

    async def test_answers_that_nobody_asked_for_end_the_session_after_some(self) -> None:
        async with world() as w:
            client = await Client.connect(await w.node())
            await client.become_peer()
            for _ in range(5):
                await client.send(BlockBodies(3, ()))
            assert await client.disconnect_reason() is DisconnectReason.USELESS_PEER

    async def test_the_server_answers_as_besu_does_where_a_request_is_odd(self) -> None:
        async with world() as w:
            client = await Client.connect(await w.node(chain=MemoryChain(700)), capabilities=(Capability("eth", 66),))
            await client.become_peer()
            await client.send(GetBlockHeaders(1, 2, 0))
            first = await client.message()
            assert isinstance(first, BlockHeaders)
            assert [header.number for header in first.headers] == [2]
            await client.send(GetBlockHeaders(2, 0, 10_000))
            many = await client.message()
            assert isinstance(many, BlockHeaders)
            assert len(many.headers) == 512
            await client.send(GetBlockHeaders(3, 1, 5, skip=2**64 - 1))
            far = await client.message()
            assert isinstance(far, BlockHeaders)
            assert [header.number for header in far.headers] == [1]
            await client.send(GetNodeData(4, (b"\1" * 32,)))
            assert await client.message() == NodeData(4, ())
            await client.send(GetReceipts(5, ()))
            assert await client.message() == Receipts(5, ())

    async def test_answers_stop_growing_before_they_are_too_large(self) -> None:
        async with world() as w:
            chain = MemoryChain(1)
            for number in range(1, 21):
                chain.blocks.append(block(number, chain.hashes[-1], [transaction(number, bytes(2**20))]))
                chain.hashes.append(bytes([number]) * 32)
            client = await Client.connect(await w.node(chain=chain))
            await client.become_peer()
            await client.send(GetBlockBodies(1, tuple(chain.hashes)))
            answer = await client.message()
            assert isinstance(answer, BlockBodies)
            assert len(answer.bodies) == 2, "the empty one and one of a mebibyte; the next one makes more than two"


class TestGossip:
    async def test_what_one_tells_the_other_hears(self) -> None:
        async with world() as w:
            one, other = await w.node(), await w.node()
            peer, _ = await connected(one, other)
            new, hash_ = block(5, one.chain.hashes[-1], [transaction(9)]), b"\5" * 32
            peer.send_consensus(2, b"\xc1\x05")
            peer.send_new_block(EncodedNewBlock.from_block(new, 6), hash_)
            peer.send_transactions([transaction(1), transaction(2)])
            peer.send_transaction_hashes([transaction(3)])
            peer.send(NewBlockHashes(((hash_, 5),)))
            assert (await other.recorder.wait("consensus")).content == (2, b"\xc1\x05")
            assert (await other.recorder.wait("block")).content == new
            assert (await other.recorder.wait("transactions")).content == (transaction(1), transaction(2))
            assert (await other.recorder.wait("transaction hashes")).content == (transaction(3).hash,)
            assert (await other.recorder.wait("block hashes")).content == ((hash_, 5),)

    async def test_the_transactions_of_a_long_block_that_is_not_needed_are_not_read(self) -> None:
        async with world() as w:
            one, other = await w.node(), await w.node()
            peer, _ = await connected(one, other)
            known, new = (block(number, bytes(32), [transaction(9, bytes(100_000))]) for number in (4, 5))
            other.recorder.known_numbers = {4}
            for long in (known, new):
                peer.send_new_block(EncodedNewBlock.from_block(long, 6), bytes([long.number]) * 32)
            assert (await other.recorder.wait("block")).content == new

    async def test_nothing_is_told_twice_nor_told_back(self) -> None:
        async with world() as w:
            one, other = await w.node(), await w.node()
            to_other, to_one = await connected(one, other)
            to_other.send_transactions([transaction(1)])
            await other.recorder.wait("transactions")
            to_one.send_transactions([transaction(1)])
            to_one.send_transactions([transaction(2)])
            to_other.send_new_block(EncodedNewBlock.from_block(one.chain.blocks[1], 2), b"\1" * 32)
            to_other.send_new_block(EncodedNewBlock.from_block(one.chain.blocks[1], 2), b"\1" * 32)
            to_other.send_consensus(0, b"\xc0")
            to_other.send_transactions([transaction(1), transaction(4)])
            assert (await other.recorder.wait("transactions", 2)).content == (transaction(4),)
            assert (await one.recorder.wait("transactions")).content == (transaction(2),)
            assert len(other.recorder.of("block")) == 1

    async def test_a_peer_without_ibf_gets_no_consensus_and_eth_begins_at_0x10(self) -> None:
        async with world() as w:
            node = await w.node()
            client = await Client.connect(node, capabilities=(Capability("eth", 66),))
            assert client.table.message_id("eth", 0) == 0x10
            await client.become_peer()
            peer = (await node.recorder.wait("joined")).peer
            peer.send_consensus(0, b"\xc0")
            peer.send(NewBlockHashes(()))
            assert await client.message() == NewBlockHashes(())

    async def test_a_large_batch_of_transactions_arrives_whole(self) -> None:
        async with world() as w:
            one, other = await w.node(), await w.node()
            peer, _ = await connected(one, other)
            sent = [transaction(number, bytes(10_000)) for number in range(300)]
            peer.send_transactions(sent)
            got: list[object] = []
            count = 0
            while len(got) < len(sent):
                count += 1
                got += (await other.recorder.wait("transactions", count)).content
            assert got == sent
            assert count > 1


class TestStaying:
    async def test_a_ping_is_answered_and_unknown_ids_are_overlooked(self) -> None:
        async with world() as w:
            client = await Client.connect(await w.node())
            await client.become_peer()
            await client.connection.send(0x7F, b"\xc0")
            await client.connection.send(PING, EMPTY_LIST)
            assert (await client.frame()).message_id == PONG

    async def test_a_silent_peer_is_pinged_and_then_left(self) -> None:
        async with world() as w:
            client = await Client.connect(await w.node(limits=ConnectionTimeouts(silence=1.0)))
            await client.become_peer()
            assert (await client.frame()).message_id == PING
            await client.connection.send(PONG, EMPTY_LIST)
            assert (await client.frame()).message_id == PING
            assert await client.disconnect_reason() is DisconnectReason.TIMEOUT

    async def test_idle_nodes_stay_connected(self) -> None:
        async with world() as w:
            one, other = (
                await w.node(limits=ConnectionTimeouts(silence=1.0)),
                await w.node(limits=ConnectionTimeouts(silence=1.0)),
            )
            await connected(one, other)
            await trio.sleep(3)
            assert len(one.recorder.events) == len(other.recorder.events) == 1

    async def test_a_stopping_node_says_goodbye(self) -> None:
        async with world() as w:
            node = await w.node()
            client = await Client.connect(node)
            await client.become_peer()
            await node.recorder.wait("joined")
            async with trio.open_nursery() as nursery:
                nursery.start_soon(node.shut_down)
                assert await client.disconnect_reason() is DisconnectReason.CLIENT_QUITTING
                await client.connection.close(None)

    async def test_an_error_of_this_node_in_one_session_leaves_the_others_alone(
        self, capsys: pytest.CaptureFixture[str]
    ) -> None:
        class Fragile(Recorder):
            def consensus_received(self, peer: object, code: int, data: bytes) -> None:
                raise RuntimeError("a mistake of ours")

        async with world() as w:
            node = await w.node(recorder=Fragile())
            good, bad = await Client.connect(node), await Client.connect(node)
            await good.become_peer()
            await bad.become_peer()
            await bad.connection.send(bad.table.message_id("IBF", 0), b"\xc0")
            assert await bad.disconnect_reason() is DisconnectReason.TCP_SUBSYSTEM_ERROR
            await good.send(GetBlockHeaders(1, 0, 1))
            assert isinstance(await good.message(), BlockHeaders)
        assert "a mistake of ours" in capsys.readouterr().out

    async def test_leaving_is_reported_with_the_reason_the_peer_gave(self) -> None:
        async with world() as w:
            node = await w.node()
            client = await Client.connect(node)
            await client.become_peer()
            await client.connection.close(DisconnectReason.TOO_MANY_PEERS)
            assert "too many peers" in (await node.recorder.wait("left")).content
            assert node.network.peers == []


class TestBreaches:
    async def peer(self, node: Node) -> Client:
        client = await Client.connect(node)
        await client.become_peer()
        return client

    async def test_malformed_eth_is_a_breach(self) -> None:
        async with world() as w:
            client = await self.peer(await w.node())
            await client.connection.send(client.table.message_id("eth", 1), b"\xc2\x01")
            assert await client.disconnect_reason() is DisconnectReason.BREACH_OF_PROTOCOL

    async def test_a_second_status_is_a_breach(self) -> None:
        async with world() as w:
            client = await self.peer(await w.node())
            with pytest.raises(PeerDisconnectedError, match="breach"):
                await client.become_peer()

    async def test_a_flood_of_requests_is_a_breach(self) -> None:
        async with world() as w:
            node = await w.node()
            client = await self.peer(node)

            async def flood() -> None:
                for id_ in range(100_000):
                    await client.send(GetBlockHeaders(id_, 0, 512))

            with pytest.raises(ConnectionFailedError):
                await flood()
            assert "requests at once" in (await node.recorder.wait("left")).content

    async def test_a_large_malformed_message_is_a_breach_too(self) -> None:
        async with world() as w:
            client = await self.peer(await w.node())
            good = Transactions((transaction(1, bytes(200_000)),)).encode(68)
            await client.connection.send(client.table.message_id("eth", 2), good + b"\0")
            assert await client.disconnect_reason() is DisconnectReason.BREACH_OF_PROTOCOL

    async def test_a_new_block_with_another_shape_is_a_breach(self) -> None:
        async with world() as w:
            client = await self.peer(await w.node())
            body = NewBlock(replace(client.chain.blocks[1]), 2).encode(68)
            await client.connection.send(client.table.message_id("eth", 7), body[:-1])
            assert await client.disconnect_reason() is DisconnectReason.BREACH_OF_PROTOCOL


class Uninterested(Recorder):
    """Reads the header of a long block, and wants no body."""

    def wants_block_body(self, peer: Peer, header: BlockHeader) -> bool:
        self.record("header", peer, header)
        return False


class HearsNoValidator(Recorder):
    """Takes each peer for one that is no validator."""

    def reads_consensus_from(self, peer: Peer) -> bool:
        return False


async def test_an_announced_block_that_is_too_long_to_keep_is_reported() -> None:
    """The node then fetches the block by request."""
    async with world() as w:
        node = await w.node(recorder=HearsNoValidator())
        key = NodeKey.generate()
        client = await Client.connect(node, key=key)
        await client.become_peer()
        await client.send(NewBlock(block(7, bytes(32), [transaction(1, bytes(MAX_UNASKED_BYTES))]), 8))
        assert (await node.recorder.wait("block not kept")).peer.id == key.public_key


@pytest.fixture
def _no_garbage_collection() -> Iterator[None]:
    """Objects that refer to each other stay in memory, as they do for minutes in a node."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


async def no_long_message_is_kept() -> None:
    """Wait until no received message of half a megabyte is in memory."""
    with trio.fail_after(DEADLINE):
        while any(isinstance(kept, Frame) and len(kept.body) > 500_000 for kept in gc.get_objects()):  # noqa: ASYNC110
            await trio.sleep(0.01)


@pytest.mark.usefixtures("_no_garbage_collection")
class TestMemory:
    """A peer must not hold its long messages in this node's memory."""

    async def test_a_message_is_dropped_once_it_was_read(self) -> None:
        async with world() as w:
            node = await w.node(recorder=Uninterested())
            client = await Client.connect(node)
            await client.become_peer()
            await client.send(NewBlock(block(7, bytes(32), [transaction(1, bytes(500_000))]), 8))
            await node.recorder.wait("header")
            await no_long_message_is_kept()

    async def test_a_message_that_ends_the_session_is_dropped(self) -> None:
        async with world() as w:
            node = await w.node()
            client = await Client.connect(node)
            await client.become_peer()
            malformed = Transactions((transaction(1, bytes(500_000)),)).encode(68) + b"\0"
            await client.connection.send(client.table.message_id("eth", Transactions.CODE), malformed)
            await node.recorder.wait("left")
            await no_long_message_is_kept()
