"""Every header rule, broken one at a time; the numbers are those of docs/spec/ibft2.md."""

from collections.abc import Callable
from typing import Any

import pytest

from lacnode.consensus.bft.extra_data import ExtraData, Vote, VoteType
from lacnode.consensus.bft.header_rules import (
    HeaderContext,
    HeaderRefusedError,
    check_proposed_header_rules,
    check_sealed_header_rules,
)
from lacnode.consensus.ibft2.block_hash import committed_seal_hash, on_chain_hash
from lacnode.consensus.ibft2.extra_data import decode_extra_data, encode_extra_data
from lacnode.consensus.ibft2.protocol import IBFT2
from lacnode.crypto.node_key import NodeKey
from lacnode.crypto.secp256k1 import sign
from lacnode.primitives.block import Block
from lacnode.primitives.header import BlockHeader
from tests.support.ibft2_blocks import with_round, with_seals
from tests.unit.consensus.test_network import FOUR, GENESIS_TIME, STRANGER, A, B, C, D, addresses, make_block

VALIDATORS = addresses(FOUR)
PARENT = make_block(None, bytes(20), VALIDATORS).header
NOW = GENESIS_TIME + 2.0


def seal(block: Block, *keys: NodeKey) -> BlockHeader:
    digest = committed_seal_hash(block.header)
    return with_seals(block, tuple(sign(digest, key.private_key) for key in keys)).header


def block_with(**changes: Any) -> Block:
    block = make_block(PARENT, A.address, VALIDATORS)
    return block.with_header(block.header.with_changes(**changes))


def extra(**changes: Any) -> bytes:
    values: dict[str, Any] = {"vanity": bytes(32), "validators": VALIDATORS, "vote": None, "round": 0}
    return encode_extra_data(ExtraData(**{**values, **changes}))


def context(**options: Any) -> HeaderContext:
    facts = {"now": NOW, "block_period_ms": 2000, **options}
    return HeaderContext(PARENT, on_chain_hash(PARENT), VALIDATORS, **facts)


def light(header: BlockHeader, **options: Any) -> None:
    check_proposed_header_rules(IBFT2, header, context(**options))


def full(header: BlockHeader, **options: Any) -> None:
    check_sealed_header_rules(IBFT2, header, context(**options))


BROKEN: list[tuple[int, str, Callable[[], dict[str, Any]]]] = [
    (1, "ancestry", lambda: {"parent_hash": bytes(32)}),
    (1, "ancestry", lambda: {"number": 2}),
    (2, "gas-used", lambda: {"gas_used": 10_000_001}),
    (3, "gas-limit-range", lambda: {"gas_limit": 4999}),
    (3, "gas-limit-range", lambda: {"gas_limit": 2**63}),
    (4, "gas-limit-delta", lambda: {"gas_limit": 10_000_000 + 10_000_000 // 1024}),
    (4, "gas-limit-delta", lambda: {"gas_limit": 10_000_000 - 10_000_000 // 1024}),
    (5, "base-fee-presence", lambda: {"base_fee": 0}),
    (6, "timestamp-future", lambda: {"timestamp": GENESIS_TIME + 4}),
    (7, "timestamp-spacing", lambda: {"timestamp": GENESIS_TIME + 1}),
    (8, "mix-hash", lambda: {"mix_hash": bytes(32)}),
    (9, "ommers-hash", lambda: {"ommers_hash": bytes(32)}),
    (10, "difficulty", lambda: {"difficulty": 2}),
    (11, "nonce", lambda: {"nonce": bytes(7) + b"\x01"}),
    (12, "extra-data", lambda: {"extra_data": b"\xc0"}),
    (12, "validators", lambda: {"extra_data": extra(validators=VALIDATORS[::-1])}),
    (12, "validators", lambda: {"extra_data": extra(validators=VALIDATORS[:1] + VALIDATORS)}),
    (12, "validators", lambda: {"extra_data": extra(validators=VALIDATORS[:3])}),
    (13, "coinbase", lambda: {"coinbase": STRANGER.address}),
]


@pytest.mark.parametrize(("number", "rule", "changes"), BROKEN)
def test_a_header_that_breaks_a_rule_is_refused_by_its_name(
    number: int, rule: str, changes: Callable[[], dict[str, Any]]
) -> None:
    header = block_with(**changes()).header
    with pytest.raises(HeaderRefusedError) as refused:
        light(header)
    assert refused.value.rule == rule
    with pytest.raises(HeaderRefusedError):
        full(header)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"gas_limit": 10_000_000 + 10_000_000 // 1024 - 1},
        {"gas_limit": 10_000_000 - 10_000_000 // 1024 + 1},
        {"timestamp": GENESIS_TIME + 3},
        {"coinbase": B.address},
        {"extra_data": extra(vanity=b"any length")},
        {"extra_data": extra(vote=Vote(STRANGER.address, VoteType.DROP))},
        {"extra_data": extra(round=-7)},
        {"gas_used": 10_000_000},
    ],
)
def test_what_is_no_rule_is_accepted(changes: dict[str, Any]) -> None:
    light(block_with(**changes).header)


def test_the_future_begins_after_the_next_second() -> None:
    """Rule 6 counts whole seconds of the clock, as Besu does."""
    header = block_with(timestamp=GENESIS_TIME + 3).header
    light(header, now=GENESIS_TIME + 2.0)
    with pytest.raises(HeaderRefusedError, match="clock"):
        light(header, now=GENESIS_TIME + 1.999)


def test_a_gas_limit_rises_to_the_floor_in_one_step_and_does_not_fall_to_it() -> None:
    light(block_with(gas_limit=700_000_000).header, goquorum_gas_limit_floor=700_000_000)
    for limit in (700_000_001, 5_000):
        with pytest.raises(HeaderRefusedError) as refusal:
            light(block_with(gas_limit=limit).header, goquorum_gas_limit_floor=700_000_000)
        assert refusal.value.rule == "gas-limit-delta"


def test_london_doubles_the_reference_of_the_gas_limit_and_brings_the_base_fee() -> None:
    header = block_with(gas_limit=20_000_000, base_fee=0).header
    light(header, base_fee_market=True, london_activation=True)
    with pytest.raises(HeaderRefusedError):
        light(header, base_fee_market=True)


# -- rule 14 ---------------------------------------------------------------------------------------------------------


def test_a_quorum_of_seals_is_enough_in_any_order_and_more_are_fine() -> None:
    block = block_with()
    full(seal(block, A, B, C))
    full(seal(block, D, B, A))
    full(seal(block, A, B, C, D))


@pytest.mark.parametrize(
    "keys",
    [(), (A, B), (A, B, B), (A, B, STRANGER), (A, B, C, STRANGER), (A, B, C, C)],
    ids=["none", "too few", "twice", "stranger", "quorum and a stranger", "quorum and one twice"],
)
def test_seals_that_do_not_make_a_quorum_are_refused(keys: tuple[NodeKey, ...]) -> None:
    """S5 among them."""
    header = seal(block_with(), *keys)
    light(header)
    with pytest.raises(HeaderRefusedError) as refused:
        full(header)
    assert refused.value.rule == "commit-seals"


def test_seals_of_another_round_are_refused() -> None:
    header = seal(block_with(), A, B, C)
    moved = encode_extra_data(decode_extra_data(header.extra_data).with_round(1))
    with pytest.raises(HeaderRefusedError):
        full(header.with_changes(extra_data=moved))


def test_a_block_has_one_hash_whoever_sealed_it_in_whichever_round() -> None:
    """S14: sealed differently, it is the same block."""
    block = block_with()
    others = [seal(block, A, B, C), seal(block, B, C, D), seal(with_round(block, 3), A, C, D)]
    assert {on_chain_hash(header) for header in others} == {on_chain_hash(block.header)}
    assert len({committed_seal_hash(header) for header in others}) == 2
