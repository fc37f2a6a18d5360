"""The order of proposers in a network with GoQuorum: the one by which the last blocks were made."""

from itertools import count
from typing import NoReturn

import pytest

from lacnode.chain.proposer_order import proposers_after, sort_by_checksum_text
from lacnode.consensus.bft.extra_data import ExtraData
from lacnode.consensus.bft.proposer import proposer_for
from lacnode.consensus.qbft.protocol import QBFT
from lacnode.crypto.node_key import NodeKey
from lacnode.primitives.hexadecimal import to_hex
from lacnode.storage.storage_errors import DamagedValueError
from tests.support.qbft_chain import draft, qbft_genesis, sealed
from tests.support.rpc_chain import RpcTestNode, node


def keys_in_two_orders() -> list[NodeKey]:
    """Four keys, ascending, whose addresses have another order as texts, with other successors."""
    for first in count(1000, 4):
        keys = [NodeKey.from_private_key((first + index).to_bytes(32)) for index in range(4)]
        ascending = tuple(sorted(key.address for key in keys))
        by_text = sort_by_checksum_text(ascending)
        if all(by_text[(by_text.index(a) + 1) % 4] != ascending[(i + 1) % 4] for i, a in enumerate(ascending)):
            return sorted(keys, key=lambda key: key.address)
    raise AssertionError


KEYS = keys_in_two_orders()
ASCENDING = tuple(key.address for key in KEYS)
BY_TEXT = sort_by_checksum_text(ASCENDING)


def chain_node(*, of_goquorum: bool = True) -> RpcTestNode:
    document = qbft_genesis(listed=ASCENDING)
    document["extraData"] = to_hex(QBFT.encode_extra_data(ExtraData(bytes(32), ASCENDING)))
    document["config"]["isQuorum"] = of_goquorum
    return node(genesis=document)


def add(at: RpcTestNode, order: tuple[bytes, ...], round_: int = 0) -> None:
    """Let `at` import the block of the proposer of `round_` by `order`."""
    head = at.chain.head.header
    creator = proposer_for(order, head.coinbase, round_, follows_goquorum=True)
    key = next(key for key in KEYS if key.address == creator)
    assert at.chain.import_block(sealed(draft(at, key), KEYS, round_))


def order(at: RpcTestNode) -> tuple[bytes, ...]:
    return proposers_after(at.chain, at.chain.head.header)


def test_the_text_has_the_capitals_of_the_checksum() -> None:
    """As nodes of GoQuorum with these keys have them after a restart (docs/spec/interop.md)."""
    secrets = (2000, 2011, 1003, 1009)
    by_text = tuple(NodeKey.from_private_key(secret.to_bytes(32)).address for secret in secrets)
    assert sorted(by_text) != list(by_text)
    assert sort_by_checksum_text(tuple(sorted(by_text))) == by_text


def test_a_new_chain_has_the_order_of_the_bytes() -> None:
    at = chain_node()
    assert order(at) == ASCENDING
    add(at, ASCENDING)
    assert order(at) == ASCENDING


@pytest.mark.parametrize("round_", [0, 2])
def test_one_block_by_text_is_enough_and_one_by_bytes_takes_it_back(round_: int) -> None:
    at = chain_node()
    add(at, ASCENDING)
    add(at, BY_TEXT, round_)
    assert order(at) == BY_TEXT
    add(at, ASCENDING, round_)
    assert order(at) == ASCENDING


def test_blocks_that_both_orders_explain_change_nothing() -> None:
    at = chain_node()
    add(at, ASCENDING)
    add(at, BY_TEXT)
    # In round 3 the last creator proposes again by both orders.
    for _ in range(5):
        add(at, ASCENDING, 3)
    assert order(at) == BY_TEXT


def test_a_chain_without_a_sign_changes_the_order_from_time_to_time() -> None:
    """Half of the validators have each order, and blocks come in the round that both give to one validator."""
    at = chain_node()
    add(at, ASCENDING)
    seen = []
    for _ in range(24):
        add(at, ASCENDING, 3)
        seen.append(order(at))
    assert seen[:6] == [ASCENDING] * 6
    assert {ASCENDING, BY_TEXT} == set(seen)


def test_the_order_is_besus_where_the_genesis_is_not_goquorums() -> None:
    at = chain_node(of_goquorum=False)
    add(at, ASCENDING)
    add(at, BY_TEXT)
    assert order(at) == ASCENDING


def test_a_damaged_header_and_a_silent_contract_leave_the_order_of_the_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    at = chain_node()
    add(at, ASCENDING)
    add(at, BY_TEXT)
    head = at.chain.head.header

    def damaged(number: int) -> NoReturn:
        raise DamagedValueError("headers", number.to_bytes(8), "is damaged")

    with monkeypatch.context() as patched:
        patched.setattr(at.chain, "header_at", damaged)
        assert proposers_after(at.chain, head) == ASCENDING
    with monkeypatch.context() as patched:
        patched.setattr(at.chain, "validators_after", lambda header: ASCENDING if header == head else ())
        assert proposers_after(at.chain, head) == ASCENDING
    assert order(at) == BY_TEXT
