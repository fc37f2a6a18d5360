"""Private genesis: accounts that are there when a group's first private transaction is carried out, from a file."""

import base64
import json
from pathlib import Path
from typing import Any

import pytest
from eth_abi.abi import encode
from trie.hexary import HexaryTrie

from lacnode.primitives import rlp
from lacnode.primitives.hexadecimal import to_hex
from lacnode.primitives.keccak import EMPTY_TRIE_ROOT, keccak256
from lacnode.privacy.state.flexible.group_contracts import ADD_PARTICIPANTS
from lacnode.privacy.state.genesis_file import PrivateGenesisError, load_private_genesis
from lacnode.privacy.state.group_genesis import PrivateGenesis
from lacnode.privacy.state.privacy_marker import PROXY_ADDRESS, GroupMode
from lacnode.privacy.state.private_transaction import legacy_group_id
from tests.support.private_nodes import (
    ALICE,
    KEEPER,
    KEY_A,
    KEY_B,
    KEY_C,
    REVERTER,
    PrivateTestNetwork,
    deploying,
    private,
    word,
)

PLACE = "0x1000000000000000000000000000000000000001"
GROUP = legacy_group_id(KEY_A, (KEY_B,))
OTHER = legacy_group_id(KEY_A, (KEY_B, KEY_C))


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def keeper(value: int) -> dict[str, object]:
    """An `alloc` with the keeper, which has `value`."""
    return {"alloc": {PLACE: {"balance": "0x5", "code": to_hex(KEEPER), "storage": {"0x0": hex(value)}}}}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "private-genesis.json"


def genesis(path: Path, **groups: object) -> PrivateGenesis:
    path.write_text(json.dumps({"groups": groups}))
    return load_private_genesis(path)


def value(stage: PrivateTestNetwork, member: int = 0, group: bytes = GROUP) -> object:
    return stage.members[member].node.call("priv_call", b64(group), {"to": PLACE, "data": "0x"}, "latest")


def begin(stage: PrivateTestNetwork, nonce: int = 0, **options: Any) -> None:
    """Carry something out in a group, so that it has a state."""
    stage.a.send(private(ALICE, nonce, data=deploying(b"\x00"), **options))
    stage.mine()


def test_a_group_has_the_contract_from_its_first_transaction_on(path: Path) -> None:
    stage = PrivateTestNetwork(genesis=genesis(path, **{"*": keeper(7)}))
    assert value(stage) == "0x"
    begin(stage)
    assert value(stage, 0) == value(stage, 1) == to_hex(word(7))
    assert value(stage, 2) == "0x", "C is no member"
    stage.a.send(private(ALICE, 1, to=bytes.fromhex(PLACE[2:]), data=word(8)))
    stage.mine()
    assert value(stage, 1) == to_hex(word(8))


def test_the_state_root_is_that_of_these_accounts(path: Path) -> None:
    """Reckoned by another library, with what the transaction adds."""
    stage = PrivateTestNetwork(genesis=genesis(path, **{"*": keeper(7)}))
    begin(stage)
    storage = HexaryTrie({})
    storage[keccak256(bytes(32))] = rlp.encode(b"\x07")
    accounts = HexaryTrie({})

    def put(address: bytes, nonce: int, balance: int, storage_root: bytes, code: bytes) -> None:
        accounts[keccak256(address)] = rlp.encode(
            [rlp.encode_scalar(nonce), rlp.encode_scalar(balance), storage_root, keccak256(code)]
        )

    put(bytes.fromhex(PLACE[2:]), 0, 5, storage.root_hash, KEEPER)
    put(ALICE.address, 1, 0, EMPTY_TRIE_ROOT, b"")
    (receipt,) = [stage.a.node.call("priv_getTransactionReceipt", to_hex(hash_)) for hash_ in mined(stage)]
    assert isinstance(receipt, dict)
    put(bytes.fromhex(receipt["contractAddress"][2:]), 1, 0, EMPTY_TRIE_ROOT, b"\x00")
    assert stage.a.root(GROUP) == stage.b.root(GROUP) == accounts.root_hash


def mined(stage: PrivateTestNetwork) -> list[bytes]:
    block = stage.a.node.chain.block_at(1)
    assert block is not None
    return [transaction.hash for transaction in block.transactions]


def test_a_group_may_begin_with_its_own(path: Path) -> None:
    stage = PrivateTestNetwork(genesis=genesis(path, **{"*": keeper(7), b64(OTHER): keeper(9)}))
    begin(stage)
    begin(stage, private_for=(KEY_B, KEY_C))
    assert value(stage) == to_hex(word(7))
    assert value(stage, 2, OTHER) == to_hex(word(9))


def test_flexible_groups_begin_with_it_too(path: Path) -> None:
    stage = PrivateTestNetwork(genesis=genesis(path, **{"*": keeper(7)}), mode=GroupMode.FLEXIBLE)
    group = keccak256(b"a group")
    adding = ADD_PARTICIPANTS + encode(["bytes[]"], [[KEY_A, KEY_B]])
    first = private(ALICE, 0, to=PROXY_ADDRESS, data=adding, group=group)
    assert stage.a.node.call("eea_sendRawTransaction", to_hex(first.raw))
    stage.mine()
    assert value(stage, 0, group) == value(stage, 1, group) == to_hex(word(7))


def test_a_first_transaction_that_fails_leaves_no_state(path: Path) -> None:
    stage = PrivateTestNetwork(genesis=genesis(path, **{"*": keeper(7)}))
    stage.a.send(private(ALICE, 0, data=REVERTER))
    stage.mine()
    assert stage.a.root(GROUP) == EMPTY_TRIE_ROOT
    assert value(stage) == "0x"


def alloc(address: str, account: dict[str, str]) -> str:
    return json.dumps({"groups": {"*": {"alloc": {address: account}}}})


@pytest.mark.parametrize(
    ("content", "why"),
    [
        ("", "it is not JSON"),
        ("[]", "the document: "),
        ("{}", "groups: "),
        ('{"groups": {}, "more": 1}', "more: "),
        ('{"groups": {"*": {}}}', "groups.*.alloc: "),
        (json.dumps({"groups": {b64(bytes(31)): {"alloc": {}}}}), "a group's id, 32 bytes in base64, or *"),
        (alloc("zz", {}), "groups.*.alloc.zz: "),
        (alloc(PLACE, {"balanse": "0x1"}), f"groups.*.alloc.{PLACE}.balanse: "),
        (alloc(PLACE, {"code": "0xzz"}), f"groups.*.alloc.{PLACE}.code: "),
        (alloc("0x" + "7c".zfill(40), {}), "a flexible group's own contract"),
    ],
)
def test_a_file_that_is_none_says_where(path: Path, content: str, why: str) -> None:
    path.write_text(content)
    with pytest.raises(PrivateGenesisError) as refused:
        load_private_genesis(path)
    assert str(path) in str(refused.value)
    assert why in str(refused.value)


def test_a_file_that_is_not_there_or_a_directory(tmp_path: Path) -> None:
    for path in (tmp_path / "nothing.json", tmp_path):
        with pytest.raises(PrivateGenesisError, match=str(path)):
            load_private_genesis(path)
