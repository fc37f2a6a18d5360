"""Hello, Disconnect, and which message ids two nodes agree on."""

import pytest

from lacnode.p2p.wire.capabilities import Capability, CapabilityTable, Route
from lacnode.p2p.wire.p2p_messages import Disconnect, DisconnectReason, Hello
from lacnode.primitives import rlp
from lacnode.primitives.rlp import RlpError

BESU = [*(Capability("eth", version) for version in range(62, 69)), Capability("IBF", 1)]
OURS = [*(Capability("eth", version) for version in range(65, 69)), Capability("IBF", 1)]


class TestNegotiation:
    @pytest.mark.parametrize(
        ("theirs", "offsets"),
        [
            (BESU, {"IBF/1": 0x10, "eth/68": 0x14}),
            ([Capability("eth", 65), Capability("eth", 64), Capability("IBF", 1)], {"IBF/1": 0x10, "eth/65": 0x14}),
            ([Capability("eth", 66)], {"eth/66": 0x10}),
            ([Capability("IBF", 1)], {"IBF/1": 0x10}),
            ([Capability("eth", 69), Capability("istanbul", 100), Capability("snap", 1)], {}),
            ([], {}),
        ],
    )
    def test_offsets(self, theirs: list[Capability], offsets: dict[str, int]) -> None:
        table = CapabilityTable.negotiate(OURS, theirs)
        assert {str(capability): offset for capability, offset in table.offsets} == offsets

    def test_migration_from_ibft_to_qbft(self) -> None:
        both = [Capability("istanbul", 100), Capability("eth", 66), Capability("IBF", 1)]
        table = CapabilityTable.negotiate(both, both)
        assert [(str(capability), offset) for capability, offset in table.offsets] == [
            ("IBF/1", 0x10),
            ("eth/66", 0x14),
            ("istanbul/100", 0x25),
        ]
        assert table.resolve_message_id(0x3A) == Route("istanbul", 100, 0x15)
        assert table.resolve_message_id(0x3B) is None

    def test_ids_and_codes(self) -> None:
        table = CapabilityTable.negotiate(OURS, BESU)
        assert table.version_of("eth") == 68
        assert table.version_of("istanbul") is None
        assert [table.message_id("eth", code) for code in (0x00, 0x07, 0x10)] == [0x14, 0x1B, 0x24]
        assert table.resolve_message_id(0x13) == Route("IBF", 1, 3)
        assert table.resolve_message_id(0x14) == Route("eth", 68, 0)
        assert table.resolve_message_id(0x25) is None
        assert table.resolve_message_id(0x0F) is None
        with pytest.raises(ValueError, match="no message 0x11 of eth"):
            table.message_id("eth", 0x11)


class TestHello:
    HELLO = Hello(5, "lacnode/v1/linux", tuple(OURS), 60606, bytes(range(64)))

    def test_there_and_back(self) -> None:
        assert Hello.decode(self.HELLO.encode()) == self.HELLO

    def test_version_four_does_not_compress(self) -> None:
        assert self.HELLO.compresses
        assert not Hello(4, "x", (), 0, bytes(64)).compresses

    @pytest.mark.parametrize(
        ("fields", "complaint"),
        [
            ([b"\5", b"x", [], b"\1", bytes(63)], "hello.nodeId: 64 bytes"),
            ([b"\5", b"x", [], b"\1\0\0", bytes(64)], "port from 0 to 65535"),
            ([b"\5", b"x", [], b"\0\1", bytes(64)], "leading zero"),
            ([b"\5", b"x", [[b"eth"]], b"\1", bytes(64)], "capability: list of 1 ends before version"),
            ([b"\5", b"x", []], "ends before listenPort"),
        ],
    )
    def test_refusals(self, fields: list[rlp.RlpValue], complaint: str) -> None:
        with pytest.raises(RlpError, match=complaint):
            Hello.decode(rlp.encode(fields))

    def test_too_long(self) -> None:
        """Bytes from which decoding costs a stranger nothing and this node milliseconds, whatever they contain."""
        body = rlp.encode([b"\5", b"x", [[]] * 2_000, b"", bytes(64)])
        with pytest.raises(RlpError, match=f"hello: at most 2048 bytes were expected, found {len(body)}"):
            Hello.decode(body)
        with pytest.raises(RlpError, match="at most 2048 bytes"):
            Hello.decode(b"\xff" * 2_049)

    def test_a_long_one_of_another_client_is_read(self) -> None:
        """With more protocols than any client has, and items of a later version (EIP-8)."""
        capabilities = tuple(Capability(f"protocol-{number}", number) for number in range(1, 33))
        fields = rlp.decode_list(Hello(5, "x" * 500, capabilities, 0, bytes(64)).encode(), "hello")
        hello = Hello.decode(rlp.encode([*fields, b"later" * 50]))
        assert hello.capabilities == capabilities

    def test_too_many_capabilities(self) -> None:
        capabilities = tuple(Capability("eth", number) for number in range(1, 66))
        with pytest.raises(RlpError, match=r"hello\.capabilities: at most 64 were expected, found 65"):
            Hello.decode(Hello(5, "x", capabilities, 0, bytes(64)).encode())

    def test_a_name_made_to_spoil_logs_is_cleaned(self) -> None:
        name = Hello.decode(Hello(5, "geth\n\x1b[31m", (), 0, bytes(64)).encode()).client_id
        assert name.isprintable()
        assert name.startswith("geth")


class TestDisconnect:
    @pytest.mark.parametrize(
        ("body", "reason"),
        [
            ("c104", DisconnectReason.TOO_MANY_PEERS),
            ("c100", DisconnectReason.REQUESTED),
            ("c110", DisconnectReason.SUBPROTOCOL_REASON),
            ("04", DisconnectReason.TOO_MANY_PEERS),
            ("c180", DisconnectReason.UNKNOWN),
            ("80", DisconnectReason.UNKNOWN),
            ("c0", DisconnectReason.UNKNOWN),
            ("", DisconnectReason.UNKNOWN),
            ("c10f", DisconnectReason.UNKNOWN),
            ("c3820102", DisconnectReason.UNKNOWN),
            ("c20405", DisconnectReason.TOO_MANY_PEERS),
        ],
    )
    def test_every_form_met(self, body: str, reason: DisconnectReason) -> None:
        assert Disconnect.decode(bytes.fromhex(body)).reason is reason

    @pytest.mark.parametrize("reason", DisconnectReason)
    def test_there_and_back(self, reason: DisconnectReason) -> None:
        assert Disconnect.decode(Disconnect(reason).encode()).reason is reason

    def test_names_for_people(self) -> None:
        assert str(DisconnectReason.BREACH_OF_PROTOCOL) == "breach of protocol"
