"""Headers and bodies from Shanghai on, as Besu 25.5.0 makes and accepts them under IBFT 2.0."""

from dataclasses import replace
from typing import Any

import pytest

from lacnode.chain.block_errors import BlockRefusedError
from lacnode.consensus.ibft2.block_hash import on_chain_hash
from lacnode.consensus.ibft2.extra_data import decode_extra_data, encode_extra_data
from lacnode.primitives import rlp
from lacnode.primitives.block import Block, BlockBody
from lacnode.primitives.keccak import EMPTY_TRIE_ROOT
from tests.support.chain_genesis import genesis
from tests.support.chain_network import Network, network, sealed
from tests.support.chain_transactions import Offer, transaction

STOP = {"code": "0x00"}
WITHDRAWALS, CONSOLIDATIONS = "70" * 20, "72" * 20
SHANGHAI: dict[str, Any] = {"londonBlock": 0, "zeroBaseFee": True, "shanghaiTime": 0}
CANCUN = {**SHANGHAI, "cancunTime": 0}
PRAGUE = {
    **CANCUN,
    "pragueTime": 0,
    "withdrawalRequestContractAddress": WITHDRAWALS,
    "consolidationRequestContractAddress": CONSOLIDATIONS,
    "depositContractAddress": "61" * 20,
}


def later_network(config: dict[str, Any], *, contracts: bool = True) -> Network:
    document: dict[str, Any] = genesis()
    document["config"].update(config)
    if contracts:
        document["alloc"].update({WITHDRAWALS: STOP, CONSOLIDATIONS: STOP})
    return network(document)


def older(block: Block, **changes: Any) -> Block:
    """`block` as Besu 24.2 to 24.5.1 made it, with `changes` to its header."""
    return Block(
        block.header.with_changes(withdrawals_root=EMPTY_TRIE_ROOT, **changes),
        BlockBody(block.body.transactions, withdrawals=()),
    )


@pytest.mark.parametrize("config", [SHANGHAI, CANCUN, PRAGUE], ids=["Shanghai", "Cancun", "Prague"])
class TestBlocks:
    def test_end_with_the_base_fee_and_have_no_withdrawals(self, config: dict[str, Any]) -> None:
        net = later_network(config)
        block = net.grow([Offer(transaction(0))])
        assert len(rlp.decode_list(block.header.encode(), "header")) == 16
        assert len(rlp.decode_list(block.encode(), "block")) == 3
        assert net.chain.head.hash == on_chain_hash(block.header)

    def test_with_an_empty_list_of_withdrawals_are_accepted(self, config: dict[str, Any]) -> None:
        net = later_network(config)
        net.chain.check_proposal(older(net.build()))

    def test_that_pay_withdrawals_are_refused(self, config: dict[str, Any]) -> None:
        net = later_network(config)
        block = older(net.build())
        paying = Block(block.header, BlockBody(withdrawals=(rlp.encode([b"\1", b"\1", bytes(20), b"\1"]),)))
        with pytest.raises(BlockRefusedError) as refused:
            net.chain.check_proposal(paying)
        assert refused.value.rule == "withdrawals"

    def test_whose_list_or_root_of_withdrawals_stands_alone_are_refused(self, config: dict[str, Any]) -> None:
        net = later_network(config)
        block = net.build()
        header_only = Block(block.header.with_changes(withdrawals_root=EMPTY_TRIE_ROOT), block.body)
        body_only = Block(block.header, BlockBody(withdrawals=()))
        for bad in (header_only, body_only):
            with pytest.raises(BlockRefusedError) as refused:
                net.chain.check_proposal(bad)
            assert refused.value.rule == "withdrawals"


class TestBaseFee:
    """All later base fees follow from the one of a block, so one proposer must not choose it."""

    @pytest.mark.parametrize("base_fee", [0, 8, 2**256 - 1, None])
    @pytest.mark.parametrize("config", [{}, {"zeroBaseFee": True}], ids=["London", "zeroBaseFee"])
    def test_another_one_than_follows_from_the_parent_is_not_voted_for(
        self, config: dict[str, Any], base_fee: int | None
    ) -> None:
        net = later_network({"londonBlock": 0, **config})
        block = net.build()
        net.chain.check_proposal(block)
        if block.header.base_fee == base_fee:
            return
        with pytest.raises(BlockRefusedError) as refused:
            net.chain.check_proposal(Block(block.header.with_changes(base_fee=base_fee), block.body))
        assert refused.value.rule in {"base-fee", "base-fee-presence"}

    def test_a_decided_block_may_have_any(self) -> None:
        """Besu checks none. A chain that has such a block must be followed."""
        net = later_network({"londonBlock": 0})
        block = net.build()
        block = Block(block.header.with_changes(base_fee=1_000), block.body)
        assert net.chain.import_block(sealed(block, net.chain))

    def test_a_prepared_block_may_have_any(self) -> None:
        """Some validators may have committed it. Without it the height may never end."""
        net = later_network({"londonBlock": 0})
        block = net.build()
        block = Block(block.header.with_changes(base_fee=1_000), block.body)
        net.chain.check_proposal(block, is_prepared=True)

    def test_with_a_fixed_one_each_validator_has_its_own(self) -> None:
        """Besu takes that of its option. The next block does not follow from it."""
        net = later_network({"londonBlock": 0, "fixedBaseFee": True})
        block = net.build()
        assert block.header.base_fee == 0
        net.chain.check_proposal(Block(block.header.with_changes(base_fee=1_000), block.body))


class TestVanity:
    def test_longer_than_besu_writes_it_is_not_voted_for(self) -> None:
        net = later_network(SHANGHAI)
        block = net.build()
        for length in (0, 32, 33, 1_000_000):
            extra = replace(decode_extra_data(block.header.extra_data), vanity=bytes(length))
            longer = Block(block.header.with_changes(extra_data=encode_extra_data(extra)), block.body)
            net.chain.check_proposal(longer, is_prepared=True)
            if length <= 32:
                net.chain.check_proposal(longer)
                continue
            with pytest.raises(BlockRefusedError, match=f"{length} bytes") as refused:
                net.chain.check_proposal(longer)
            assert refused.value.rule == "vanity"
        assert net.chain.import_block(sealed(longer, net.chain)), "a decided block is followed"


NO_BLOBS = {"blob_gas_used": 0, "excess_blob_gas": 0}


class TestBlobGas:
    def test_of_zero_is_accepted_from_cancun(self) -> None:
        net = later_network(CANCUN)
        net.chain.check_proposal(older(net.build(), **NO_BLOBS))

    @pytest.mark.parametrize(
        ("config", "changes", "rule"),
        [
            (SHANGHAI, NO_BLOBS, "blob-gas-presence"),
            (CANCUN, {**NO_BLOBS, "blob_gas_used": 131_072}, "blob-gas"),
            (CANCUN, {**NO_BLOBS, "excess_blob_gas": 1}, "blob-gas"),
            (CANCUN, {**NO_BLOBS, "parent_beacon_block_root": bytes(32)}, "beacon-root-presence"),
            (PRAGUE, {**NO_BLOBS, "requests_hash": bytes(32)}, "requests-presence"),
        ],
    )
    def test_and_other_fields_are_refused(self, config: dict[str, Any], changes: dict[str, Any], rule: str) -> None:
        net = later_network(config)
        with pytest.raises(BlockRefusedError) as refused:
            net.chain.check_proposal(older(net.build(), **changes))
        assert refused.value.rule == rule


class TestSystemCalls:
    def test_that_fail_leave_no_block_to_build_or_accept(self) -> None:
        net = later_network(PRAGUE, contracts=False)
        with pytest.raises(BlockRefusedError, match="which Prague needs") as refused:
            net.build()
        assert refused.value.rule == "system-call"
        block = later_network(PRAGUE).build()
        with pytest.raises(BlockRefusedError, match="which Prague needs") as refused:
            net.chain.check_proposal(block.with_header(block.header.with_changes(parent_hash=net.chain.head.hash)))
        assert refused.value.rule == "system-call"
        assert net.chain.head.header.number == 0
