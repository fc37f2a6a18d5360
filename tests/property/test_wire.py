"""Whatever comes in, the wire gives back values, or the one error it promises; what it writes, it reads."""

import contextlib
import os

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lacnode.chainspec.forks import ForkId
from lacnode.crypto.node_key import NodeKey
from lacnode.crypto.secp256k1 import sign
from lacnode.p2p.wire.capabilities import Capability, CapabilityTable
from lacnode.p2p.wire.discovery import Discovery
from lacnode.p2p.wire.discv4 import (
    DiscoveryError,
    Endpoint,
    FindNode,
    Message,
    Neighbors,
    Ping,
    Pong,
    decode_packet,
    encode_packet,
)
from lacnode.p2p.wire.ecies import EciesError, open_sealed, seal
from lacnode.p2p.wire.enode import Enode, EnodeError, parse_static_nodes
from lacnode.p2p.wire.enr import NodeRecord, RecordError
from lacnode.p2p.wire.eth_messages import GetBlockHeaders, NewBlockHashes, Status, decode_eth_message
from lacnode.p2p.wire.frame import FrameCodec, FrameError
from lacnode.p2p.wire.handshake import HandshakeError, Initiator, Responder, Transcript
from lacnode.p2p.wire.p2p_messages import Disconnect, Hello
from lacnode.primitives import rlp
from lacnode.primitives.keccak import keccak256
from lacnode.primitives.rlp import RlpError

KEY = NodeKey.from_private_key(b"\7" * 32)
OTHER = NodeKey.from_private_key(b"\x08" * 32)
LOCAL = Endpoint("10.0.0.1", 30303, 30303)

hashes = st.binary(min_size=32, max_size=32)
node_ids = st.binary(min_size=64, max_size=64)
ports = st.integers(1, 65_535)
words = st.integers(0, 2**64 - 1)
addresses = st.ip_addresses().map(str)
endpoints = st.builds(Endpoint, addresses, ports, ports)
enodes = st.builds(Enode, node_ids, addresses, ports, ports)
items = st.recursive(st.binary(max_size=70), lambda inner: st.lists(inner, max_size=6), max_leaves=30)
some_rlp = items.map(rlp.encode)
garbage = st.binary(max_size=400) | some_rlp


def frame_codecs() -> tuple[FrameCodec, FrameCodec]:
    transcript = Transcript(bytes(32), bytes(32), bytes(32), b"auth", b"ack")
    return FrameCodec(transcript.secrets(initiator=True)), FrameCodec(transcript.secrets(initiator=False))


class TestGarbage:
    @given(st.text(max_size=200) | st.from_regex(r"enode://[0-9a-f]{128}@\S{0,30}", fullmatch=True))
    def test_enodes(self, text: str) -> None:
        with contextlib.suppress(EnodeError):
            assert Enode.parse(str(Enode.parse(text))) == Enode.parse(text)

    @given(st.text(max_size=200) | st.sampled_from(['["a"]', "[null]", "[[]]", "1e999", '"x"', "NaN"]))
    def test_static_nodes(self, text: str) -> None:
        with contextlib.suppress(EnodeError):
            parse_static_nodes(text)

    @given(st.lists(st.binary(max_size=700), max_size=6), st.booleans())
    def test_handshakes(self, pieces: list[bytes], is_pre_eip8: bool) -> None:
        responder = Responder(KEY, random_bytes=os.urandom)
        initiator = Initiator(KEY, OTHER.public_key, random_bytes=os.urandom)
        for machine in (responder, initiator):
            with pytest.raises(HandshakeError):  # noqa: PT012
                for piece in [b"\4" if is_pre_eip8 else b"\1", *pieces, bytes(3_000)]:
                    machine.receive(piece)

    @given(garbage, st.booleans())
    def test_handshakes_inside_an_intact_packet(self, plaintext: bytes, to_responder: bool) -> None:
        prefix = (len(plaintext) + 113).to_bytes(2)
        packet = prefix + seal(plaintext, KEY.public_key, prefix, os.urandom)
        machine: Responder | Initiator = Responder(KEY, random_bytes=os.urandom)
        if not to_responder:
            machine = Initiator(KEY, OTHER.public_key, random_bytes=os.urandom)
        with pytest.raises(HandshakeError):
            machine.receive(packet)

    @given(st.binary(max_size=300))
    def test_sealed_messages(self, body: bytes) -> None:
        with pytest.raises(EciesError):
            open_sealed(body, KEY, b"")

    @given(st.binary(min_size=32, max_size=500))
    def test_frames(self, data: bytes) -> None:
        with pytest.raises(FrameError):
            list(frame_codecs()[0].feed(data))

    @given(st.binary(max_size=300))
    def test_frames_with_the_right_mac(self, body: bytes) -> None:
        ours, theirs = frame_codecs()
        theirs.enable_snappy()
        wire = ours.encode(1, body)
        with contextlib.suppress(FrameError):
            assert len(list(theirs.feed(wire))) == 1

    @given(garbage)
    def test_base_protocol(self, body: bytes) -> None:
        for decoder in (Hello.decode, Disconnect.decode):
            with contextlib.suppress(RlpError):
                decoder(body)

    @given(st.integers(60, 70), st.integers(0, 0x12), garbage)
    def test_eth(self, version: int, code: int, body: bytes) -> None:
        with contextlib.suppress(RlpError):
            decode_eth_message(version, code, body)

    @given(garbage)
    def test_records(self, data: bytes) -> None:
        with pytest.raises(RecordError):
            NodeRecord.decode(data)
        with pytest.raises(RecordError):
            NodeRecord.parse("enr:" + data.decode("latin-1"))

    @given(st.binary(max_size=1_700))
    def test_datagrams(self, data: bytes) -> None:
        with pytest.raises(DiscoveryError):
            decode_packet(data)

    @given(st.integers(0, 8), garbage, addresses, st.integers(0, 65_535))
    def test_signed_datagrams(self, type_: int, data: bytes, ip: str, port: int) -> None:
        content = bytes([type_]) + data
        signed = sign(keccak256(content), OTHER.private_key) + content
        datagram = keccak256(signed) + signed
        with contextlib.suppress(DiscoveryError):
            decode_packet(datagram)
        machine = Discovery(KEY, LOCAL, [], lambda: ForkId(bytes(4), 0), random_bytes=os.urandom)
        machine.handle_datagram(datagram, (ip, port), 0.0)
        machine.tick(0.0)


class TestRoundTrips:
    @given(enodes)
    def test_enodes(self, enode: Enode) -> None:
        assert Enode.parse(str(enode)) == enode

    @given(st.lists(st.tuples(st.integers(0, 0x7F), st.binary(max_size=2_000)), max_size=8), st.booleans(), st.data())
    @settings(max_examples=50)
    def test_frames(self, messages: list[tuple[int, bytes]], snappy: bool, data: st.DataObject) -> None:
        ours, theirs = frame_codecs()
        if snappy:
            ours.enable_snappy()
            theirs.enable_snappy()
        wire = b"".join(ours.encode(message_id, body) for message_id, body in messages)
        received = []
        while wire:
            size = data.draw(st.integers(1, len(wire)))
            received += [(frame.message_id, frame.body) for frame in theirs.feed(wire[:size])]
            wire = wire[size:]
        assert received == messages

    @given(st.text(max_size=40), st.lists(st.builds(Capability, st.text(max_size=8), words.map(lambda n: n % 2**32))))
    def test_hello(self, name: str, capabilities: list[Capability]) -> None:
        hello = Hello(5, name, tuple(capabilities), 30303, bytes(64))
        read = Hello.decode(hello.encode())
        assert Hello.decode(read.encode()) == read
        assert len(read.capabilities) == len(capabilities)

    @given(st.integers(62, 68), words, hashes | words, st.integers(0, 2**31), st.integers(0, 2**31), st.booleans())
    def test_requests(
        self, version: int, request_id: int, start: bytes | int, limit: int, skip: int, reverse: bool
    ) -> None:
        request = GetBlockHeaders(request_id if version >= 66 else 0, start, limit, skip, reverse)
        assert decode_eth_message(version, request.CODE, request.encode(version)) == request

    @given(st.lists(st.tuples(hashes, words), max_size=20).map(tuple))
    def test_announcements(self, blocks: tuple[tuple[bytes, int], ...]) -> None:
        message = NewBlockHashes(blocks)
        assert decode_eth_message(66, message.CODE, message.encode(66)) == message

    @given(words, words, hashes, hashes, st.builds(ForkId, st.binary(min_size=4, max_size=4), words))
    def test_status(self, network: int, difficulty: int, best: bytes, genesis: bytes, fork_id: ForkId) -> None:
        status = Status(68, network, difficulty, best, genesis, fork_id)
        assert decode_eth_message(68, status.CODE, status.encode(68)) == status

    @given(
        st.builds(Ping, st.none() | endpoints, endpoints, words, st.none() | words.map(lambda seq: seq or 1))
        | st.builds(Pong, endpoints, hashes, words, st.none() | words.map(lambda seq: seq or 1))
        | st.builds(FindNode, node_ids, words)
        | st.builds(Neighbors, st.lists(enodes, max_size=13).map(tuple), words)
    )
    def test_packets(self, message: Message) -> None:
        packet = decode_packet(encode_packet(message, KEY))
        assert (packet.node_id, packet.message) == (KEY.public_key, message)

    @given(words, st.dictionaries(st.binary(min_size=1, max_size=4), items, max_size=3))
    def test_records(self, seq: int, pairs: dict[bytes, rlp.RlpItem]) -> None:
        try:
            record = NodeRecord.sign(KEY, seq, pairs)
        except RecordError:
            return
        assert NodeRecord.decode(record.encode()) == record
        assert NodeRecord.parse(str(record)) == record


OFFERED = st.lists(
    st.sampled_from([*(Capability("eth", version) for version in range(62, 70)), Capability("IBF", 1)]), unique=True
)


@given(OFFERED, OFFERED)
def test_both_sides_agree_on_every_message_id(ours: list[Capability], theirs: list[Capability]) -> None:
    table = CapabilityTable.negotiate(ours, theirs)
    assert table == CapabilityTable.negotiate(theirs, ours)
    for message_id in range(0x10, 0x30):
        route = table.resolve_message_id(message_id)
        assert route is None or table.message_id(route.protocol, route.code) == message_id
