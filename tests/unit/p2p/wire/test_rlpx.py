"""Two ends of an RLPx connection, and what one end does when the other misbehaves."""

import os
import tracemalloc

import pytest

from lacnode.crypto.node_key import NodeKey
from lacnode.p2p.wire.ecies import seal
from lacnode.p2p.wire.frame import MAX_FRAME_BYTES, Compression, Frame, FrameCodec, FrameError
from lacnode.p2p.wire.handshake import HandshakeError, Initiator, Responder


def codecs() -> tuple[FrameCodec, FrameCodec]:
    ours, theirs = NodeKey.generate(), NodeKey.generate()
    initiator = Initiator(ours, theirs.public_key, random_bytes=os.urandom)
    responder = Responder(theirs, random_bytes=os.urandom)
    ack = responder.receive(initiator.auth)
    assert ack is not None
    initiator.receive(ack)
    assert initiator.secrets is not None
    assert responder.secrets is not None
    return FrameCodec(initiator.secrets), FrameCodec(responder.secrets)


class TestHandshake:
    def test_in_pieces_and_with_the_first_frame_behind_the_ack(self) -> None:
        ours, theirs = NodeKey.generate(), NodeKey.generate()
        initiator = Initiator(ours, theirs.public_key, random_bytes=os.urandom)
        responder = Responder(theirs, random_bytes=os.urandom)
        assert responder.receive(initiator.auth[:100]) is None
        ack = responder.receive(initiator.auth[100:])
        assert responder.remote_id == ours.public_key
        assert ack is not None
        assert responder.secrets is not None
        frame = FrameCodec(responder.secrets).encode(0, b"\xc0")
        initiator.receive(ack + frame)
        assert initiator.leftover == frame
        assert initiator.secrets is not None
        assert [frame.body for frame in FrameCodec(initiator.secrets).feed(initiator.leftover)] == [b"\xc0"]

    def test_auth_is_of_the_sizes_besu_reads_in_one_go(self) -> None:
        sizes = [
            len(Initiator(NodeKey.generate(), NodeKey.generate().public_key, random_bytes=os.urandom).auth)
            for _ in range(20)
        ]
        assert min(sizes) >= 384
        assert max(sizes) <= 583

    def test_an_auth_for_another_key_is_refused(self) -> None:
        initiator = Initiator(NodeKey.generate(), NodeKey.generate().public_key, random_bytes=os.urandom)
        with pytest.raises(HandshakeError, match="another key"):
            Responder(NodeKey.generate(), random_bytes=os.urandom).receive(initiator.auth)

    def test_an_altered_auth_is_refused(self) -> None:
        theirs = NodeKey.generate()
        auth = bytearray(Initiator(NodeKey.generate(), theirs.public_key, random_bytes=os.urandom).auth)
        auth[-1] ^= 1
        with pytest.raises(HandshakeError, match="altered"):
            Responder(theirs, random_bytes=os.urandom).receive(bytes(auth))

    @pytest.mark.parametrize("prefix", [b"\0\0", b"\0\x71", b"\x08\x01", b"\xff\xff"])
    def test_a_size_out_of_bounds_is_refused_at_once(self, prefix: bytes) -> None:
        with pytest.raises(HandshakeError, match="114 to 2048"):
            Responder(NodeKey.generate(), random_bytes=os.urandom).receive(prefix)

    def test_an_intact_packet_with_nonsense_inside_is_refused(self) -> None:
        theirs = NodeKey.generate()
        for plaintext in (b"", b"\xc0", b"\xf8", b"\xc3\1\2\3", os.urandom(200)):
            prefix = (len(plaintext) + 113).to_bytes(2)
            packet = prefix + seal(plaintext, theirs.public_key, prefix, os.urandom)
            with pytest.raises(HandshakeError):
                Responder(theirs, random_bytes=os.urandom).receive(packet)

    def test_a_dialled_id_that_is_no_key_is_refused(self) -> None:
        with pytest.raises(HandshakeError, match="no point"):
            Initiator(NodeKey.generate(), bytes(64), random_bytes=os.urandom)


class TestFrames:
    def test_many_messages_both_ways_byte_by_byte(self) -> None:
        ours, theirs = codecs()
        bodies = [b"", b"\xc0", b"x" * 15, b"y" * 16, os.urandom(5_000)]
        for sender, receiver in ((ours, theirs), (theirs, ours)):
            wire = b"".join(sender.encode(index, body) for index, body in enumerate(bodies))
            received = [frame for index in range(len(wire)) for frame in receiver.feed(wire[index : index + 1])]
            assert [(frame.message_id, frame.body) for frame in received] == list(enumerate(bodies))

    def test_message_id_zero_is_written_as_the_empty_string(self) -> None:
        ours, theirs = codecs()
        (frame,) = theirs.feed(ours.encode(0, b"hello"))
        assert frame.message_id == 0
        assert len(ours.encode(0, b"")) == 32 + 16 + 16

    def test_ten_mebibytes(self) -> None:
        ours, theirs = codecs()
        ours.enable_snappy()
        theirs.enable_snappy()
        body = os.urandom(1 << 20) * 10
        (frame,) = theirs.feed(ours.encode(0x16, body))
        assert frame.body == body

    def test_compression_from_the_message_after_hello_in_the_same_read(self) -> None:
        ours, theirs = codecs()
        hello = ours.encode(0, b"hello")
        ours.enable_snappy()
        frames = theirs.feed(hello + ours.encode(0x14, b"status" * 100))
        assert next(frames).body == b"hello"
        theirs.enable_snappy()
        assert next(frames).body == b"status" * 100

    def test_after_one_compressed_message_a_plain_one_is_a_breach(self) -> None:
        ours, theirs = codecs()
        ours.enable_snappy()
        theirs.enable_snappy()
        assert [frame.body for frame in theirs.feed(ours.encode(2, b"\xc0"))] == [b"\xc0"]
        ours.compression = Compression.OFF
        with pytest.raises(FrameError, match="not Snappy"):
            list(theirs.feed(ours.encode(3, b"\x05plain")))

    def test_a_claimed_length_is_refused_before_anything_is_allocated(self) -> None:
        for claim in (b"\xfe\xff\xff\x07", b"\xff\xff\xff\xff\x07", b"\xff\xff\xff\x07"):
            ours, theirs = codecs()
            theirs.enable_snappy()
            accepted = claim == b"\xfe\xff\xff\x07"
            if accepted:
                assert [frame.body for frame in theirs.feed(ours.encode(2, claim + b"x"))] == [claim + b"x"]
                continue
            with pytest.raises(FrameError, match=f"fewer than {MAX_FRAME_BYTES} bytes"):
                list(theirs.feed(ours.encode(2, claim + b"x")))

    def test_a_body_without_snappy_length_is_a_breach(self) -> None:
        ours, theirs = codecs()
        theirs.enable_snappy()
        with pytest.raises(FrameError, match="Snappy length"):
            list(theirs.feed(ours.encode(2, b"\xc0")))

    def test_a_message_that_is_not_accepted_is_not_kept_and_the_next_one_is_read(self) -> None:
        ours, theirs = codecs()
        ours.enable_snappy()
        theirs.enable_snappy()
        list(theirs.feed(ours.encode(1, b"first")))
        asked = []

        def accepts(message_id: int, length_bytes: int) -> bool:
            asked.append((message_id, length_bytes))
            return length_bytes < 10_000

        theirs.accepts = accepts
        noise = os.urandom(1 << 20)
        wire = ours.encode(0x12, noise) + ours.encode(0x13, bytes(15 << 20)) + ours.encode(0, b"next")
        frames: list[Frame] = []
        tracemalloc.start()
        for start in range(0, len(wire), 65_536):
            frames += theirs.feed(wire[start : start + 65_536])
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert [(frame.message_id, frame.body, frame.is_refused) for frame in frames] == [
            (0x12, b"", True),
            (0x13, b"", True),
            (0, b"next", False),
        ]
        assert [message_id for message_id, _ in asked] == [0x12, 0x13, 0]
        assert asked[0][1] > len(noise)
        assert asked[1][1] == 15 << 20, "the length of the plain body counts"
        assert most < 400_000

    def test_the_code_of_a_message_that_is_not_accepted_is_checked(self) -> None:
        ours, theirs = codecs()
        theirs.accepts = lambda message_id, length_bytes: False
        wire = bytearray(ours.encode(2, bytes(1_000)))
        wire[500] ^= 1
        with pytest.raises(FrameError, match="MAC"):
            list(theirs.feed(bytes(wire)))

    @pytest.mark.parametrize("position", [0, 20, 33, 60])
    def test_an_altered_byte_is_noticed(self, position: int) -> None:
        ours, theirs = codecs()
        wire = bytearray(ours.encode(2, b"\xc0"))
        wire[position] ^= 1
        with pytest.raises(FrameError, match="MAC"):
            list(theirs.feed(bytes(wire)))

    def test_a_replayed_frame_is_noticed(self) -> None:
        ours, theirs = codecs()
        wire = ours.encode(2, b"\xc0")
        frames = theirs.feed(wire + wire)
        assert next(frames).message_id == 2
        with pytest.raises(FrameError, match="MAC"):
            next(frames)

    def test_too_large_to_send(self) -> None:
        ours, _ = codecs()
        with pytest.raises(ValueError, match="fewer than"):
            ours.encode(0x10, bytes(MAX_FRAME_BYTES))
        with pytest.raises(ValueError, match="message id"):
            ours.encode(0x80, b"")
