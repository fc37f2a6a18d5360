"""Blocks, transactions and receipts against a real chain, and against what the field's own clients make."""

from collections.abc import Callable
from pathlib import Path

import pytest
from eth_account import Account

from lacnode.crypto.secp256k1 import SignatureError, recover_sender
from lacnode.primitives import rlp
from lacnode.primitives.block import Block, BlockBody
from lacnode.primitives.bloom import EMPTY_BLOOM, bloom_may_contain
from lacnode.primitives.hexadecimal import address_from_hex, from_hex, to_hex
from lacnode.primitives.receipt import Log, Receipt
from lacnode.primitives.rlp import RlpError, RlpValue
from lacnode.primitives.transaction import LONG_BYTES, Transaction

CHAIN = Path(__file__).resolve().parents[3].parent / "shared" / "data" / "lacnet-local" / "blocks-0-118.rlp"
KEY = "0x" + "11" * 32
ADDRESS = Account.from_key(KEY).address

TO = "0x" + "22" * 20
FIELDS = {"nonce": 7, "gas": 90_000, "to": TO, "value": 5, "data": "0xc0ffee", "chainId": 648_555}
ACCESS = [{"address": TO, "storageKeys": ["0x" + "00" * 31 + "01"]}]
LESS_C0 = bytes(byte - 0xC0 if byte >= 0xC0 else byte for byte in range(256))
FEES = {"maxFeePerGas": 9, "maxPriorityFeePerGas": 2}


@pytest.mark.parametrize(
    "fields",
    [
        {**FIELDS, "gasPrice": 3},
        {**FIELDS, "gasPrice": 3, "to": ""},
        {**FIELDS, "gasPrice": 3, "type": 1, "accessList": ACCESS},
        {**FIELDS, **FEES, "type": 2, "accessList": ACCESS},
    ],
    ids=["legacy", "creation", "access list", "fee market"],
)
def test_a_wallets_transaction_decodes_with_its_sender_and_hash(fields: dict[str, object]) -> None:
    signed = Account.sign_transaction(fields, KEY)
    transaction = Transaction.decode(bytes(signed.raw_transaction))
    assert transaction.hash == bytes(signed.hash)
    assert to_hex(recover_sender(transaction)) == ADDRESS.lower()
    assert transaction.chain_id == FIELDS["chainId"]
    assert (transaction.nonce, transaction.gas_limit, transaction.value) == (7, 90_000, 5)
    assert Transaction.from_item(transaction.to_item()) == transaction
    assert transaction.is_creation == (fields["to"] == "")


@pytest.mark.parametrize(
    "fields", [{"gasPrice": 3}, {"gasPrice": 3, "type": 1, "accessList": ACCESS}, FEES | {"type": 2}]
)
@pytest.mark.parametrize("length", [0, 1, 12, 13, 20, 21, 52, 53, 54, 200, 256, 65_500, 65_536])
def test_a_transaction_of_any_length_has_its_sender(fields: dict[str, object], length: int) -> None:
    """The header of the list that was signed has another length than that of the list with the signature."""
    signed = Account.sign_transaction({**FIELDS, **fields, "to": "", "data": bytes(length)}, KEY)
    assert to_hex(recover_sender(Transaction.decode(bytes(signed.raw_transaction)))) == ADDRESS.lower()


@pytest.mark.parametrize("kind", [{"gasPrice": 3, "type": 1}, FEES | {"type": 2}], ids=["access list", "fee market"])
@pytest.mark.parametrize(
    "keys_of",
    [lambda n: 0, lambda n: 1, lambda n: n % 4, lambda n: 8 * (n % 50 == 49)],
    ids=["none", "one", "few", "many"],
)
@pytest.mark.parametrize("length", [5, 60])
def test_an_access_list_of_any_shape_is_read(
    kind: dict[str, object], keys_of: Callable[[int], int], length: int
) -> None:
    entries = [(bytes([n % 256]) * 20, tuple(bytes([key]) * 32 for key in range(keys_of(n)))) for n in range(length)]
    shown = [{"address": to_hex(address), "storageKeys": list(map(to_hex, keys))} for address, keys in entries]
    signed = Account.sign_transaction({**FIELDS, **kind, "data": bytes(LONG_BYTES), "accessList": shown}, KEY)
    transaction = Transaction.decode(bytes(signed.raw_transaction))
    assert transaction.access_list == tuple(entries)
    assert (transaction.hash, transaction.raw) == (bytes(signed.hash), bytes(signed.raw_transaction))
    assert to_hex(recover_sender(transaction)) == ADDRESS.lower()


def long_payload(access_list: RlpValue) -> list[RlpValue]:
    """The fields of a transaction of type 1 with so many bytes of data that its access list is read apart."""
    return [b"\x01", b"", b"", b"\xff", bytes(20), b"", bytes(LONG_BYTES), access_list, b"", b"\x01", b"\x01"]


@pytest.mark.parametrize(
    ("access_list", "error"),
    [
        (b"", "accessList: a list"),
        ([[bytes(19), []]], "accessListEntry.address: 20 bytes"),
        ([[bytes(20), [bytes(31)]]], "storageKey: 32 bytes"),
        ([[bytes(20), bytes(3)]], "accessListEntry.storageKeys: a list"),
        ([[bytes(20), [[bytes(31)]]]], "storageKey: a byte string"),
        ([[bytes(20)]], "list of 1 ends before storageKeys"),
        ([[bytes(20), [], b""]], "1 items more than expected"),
        ([bytes(22)], "accessListEntry: a list"),
        ([[bytes(20), []]] * 100_001, "more than 200000 lists"),
    ],
)
def test_a_long_transaction_with_another_access_list_is_refused(access_list: RlpValue, error: str) -> None:
    with pytest.raises(RlpError, match=error):
        Transaction.decode(b"\x01" + rlp.encode(long_payload(access_list)))


@pytest.mark.parametrize("change", [(0, 1, b"\xfa"), (-1, None, b""), (-1, None, b"\x01\x01"), (3, 4, b"\xb8")])
def test_a_long_transaction_with_broken_bytes_is_refused(change: tuple[int, int | None, bytes]) -> None:
    encoded = rlp.encode(long_payload([[bytes(20), []]]))
    start, end, inserted = change
    broken = encoded[:start] + inserted + (b"" if end is None else encoded[end:])
    with pytest.raises(RlpError):
        Transaction.decode(b"\x01" + broken)


def test_an_entry_whose_length_is_padded_is_refused() -> None:
    """The general decoder would make the same entry of it."""
    entry, padded = rlp.encode([bytes(20), []]), b"\xf8" + rlp.encode([bytes(20), []])[:1].translate(LESS_C0)
    items = b"".join(map(rlp.encode, long_payload(b"")[:7]))
    for access_list in (entry, padded + entry[1:]):
        payload = items + rlp.wrap_list(access_list) + b"\x80\x01\x01"
        raw = b"\x01" + rlp.wrap_list(payload)
        if access_list is entry:
            assert Transaction.decode(raw).access_list == ((bytes(20), ()),)
        else:
            with pytest.raises(RlpError):
                Transaction.decode(raw)


def test_copies_of_a_long_transaction_are_read_once() -> None:
    """In an announcement, in a proposal, in a block: as long as one of them is in memory."""
    raw = b"\x01" + rlp.encode(long_payload([[n.to_bytes(20), []] for n in range(1_000)]))
    first = Transaction.decode(raw)
    assert Transaction.decode(bytes(bytearray(raw))) is first
    assert BlockBody.decode(BlockBody((first,)).encode()).transactions[0] is first


def test_a_legacy_transaction_without_chain_id_keeps_its_sender() -> None:
    fields = {name: value for name, value in FIELDS.items() if name != "chainId"}
    signed = Account.sign_transaction({**fields, "gasPrice": 0}, KEY)
    transaction = Transaction.decode(bytes(signed.raw_transaction))
    assert transaction.chain_id is None
    assert to_hex(recover_sender(transaction)) == ADDRESS.lower()


def test_a_high_s_signature_has_no_sender() -> None:
    signed = Account.sign_transaction({**FIELDS, "gasPrice": 0}, KEY)
    items = rlp.decode_list(bytes(signed.raw_transaction), "transaction")
    order = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
    v, s = int.from_bytes(rlp.as_bytes(items[6], "v")), int.from_bytes(rlp.as_bytes(items[8], "s"))
    flipped_v = v + 1 if (v - 35) % 2 == 0 else v - 1
    malleated = Transaction.decode(
        rlp.encode([*items[:6], rlp.encode_scalar(flipped_v), items[7], rlp.encode_scalar(order - s)])
    )
    with pytest.raises(SignatureError):
        recover_sender(malleated)


@pytest.mark.parametrize("raw", [b"", b"\x00", b"\x05\xc0", b"\x02\x80", b"\xc0", b"\x01" + rlp.encode([b""] * 10)])
def test_what_is_no_transaction_is_refused(raw: bytes) -> None:
    with pytest.raises(RlpError):
        Transaction.decode(raw)


def test_a_real_chain_round_trips() -> None:
    if not CHAIN.exists():
        pytest.skip("the real chain of shared/data/lacnet-local is not beside the repository")
    data = CHAIN.read_bytes()
    position = count = 0
    while position < len(data):
        width = data[position] - 0xF7
        end = position + 1 + width + int.from_bytes(data[position + 1 : position + 1 + width])
        block = Block.decode(data[position:end])
        assert block.encode() == data[position:end]
        position, count = end, count + 1
    assert count == 119


def test_receipts_round_trip_with_their_bloom() -> None:
    log = Log(b"\x11" * 20, (b"\x22" * 32,), b"data")
    for type_, status, root in ((0, 1, None), (2, 0, None), (0, None, b"\x33" * 32)):
        receipt = Receipt.with_computed_bloom(type_, status, root, 21_000, (log,))
        assert Receipt.decode(receipt.encode()) == receipt
        assert bloom_may_contain(receipt.logs_bloom, log.address)
        assert bloom_may_contain(receipt.logs_bloom, log.topics[0])
    assert Receipt.with_computed_bloom(0, 1, None, 21_000, ()).logs_bloom == EMPTY_BLOOM


@pytest.mark.parametrize("text", ["0x1", "0xzz", "xyz", "0x 1", "12 3", "0x٣٣"])
def test_what_is_no_hexadecimal_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="hexadecimal"):
        from_hex(text)


def test_an_address_has_twenty_bytes() -> None:
    assert address_from_hex("0x" + "Ab" * 20) == b"\xab" * 20
    with pytest.raises(ValueError, match="address must be 20 bytes, not 19"):
        address_from_hex("0x" + "ab" * 19)
