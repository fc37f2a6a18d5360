"""Each rule that a block can break, by its name. A refused block leaves nothing behind."""

import pytest

from lacnode.chain.block_errors import BlockRefusedError, UnknownParentError
from lacnode.consensus.ibft2.block_hash import committed_seal_hash
from lacnode.crypto.secp256k1 import sign
from lacnode.primitives.block import Block, BlockBody
from lacnode.primitives.ordered_root import ordered_root
from tests.support.chain_genesis import GENESIS_TIME, KEYS, NOW, STRANGER
from tests.support.chain_network import network, sealed
from tests.support.chain_transactions import Offer, transaction
from tests.support.ibft2_blocks import with_seals


class TestBlockRules:
    def test_an_unknown_parent_is_named(self) -> None:
        ahead, behind = network(), network()
        ahead.grow()
        second = ahead.grow()
        with pytest.raises(UnknownParentError) as refused:
            behind.chain.import_block(second)
        assert refused.value.parent_hash == second.header.parent_hash

    def test_a_final_block_has_no_rival(self) -> None:
        net = network()
        rival = sealed(net.build(step=2), net.chain)
        net.grow()
        for action in (net.chain.import_block, net.chain.check_proposal):
            with pytest.raises(BlockRefusedError) as refused:
                action(rival)
            assert refused.value.rule == "finality"

    def test_seals_are_for_imports_alone(self) -> None:
        net = network()
        block = net.build()
        net.chain.check_proposal(block)
        for keys in ((), KEYS[:2], (*KEYS[:3], STRANGER)):
            digest = committed_seal_hash(block.header)
            wrong = with_seals(block, tuple(sign(digest, key.private_key) for key in keys))
            with pytest.raises(BlockRefusedError) as refused:
                net.chain.import_block(wrong)
            assert refused.value.rule == "commit-seals"
        assert net.chain.import_block(sealed(block, net.chain, KEYS[:3]))

    @pytest.mark.parametrize(
        ("rule", "changes"),
        [
            ("state-root", {"state_root": bytes(32)}),
            ("receipts-root", {"receipts_root": bytes(32)}),
            ("transactions-root", {"transactions_root": bytes(32)}),
            ("logs-bloom", {"logs_bloom": b"\1" * 256}),
            ("gas-used", {"gas_used": 1}),
            ("gas-limit-delta", {"gas_limit": 11_000_000}),
            ("timestamp-spacing", {"timestamp": GENESIS_TIME}),
            ("timestamp-future", {"timestamp": int(NOW) + 2}),
            ("difficulty", {"difficulty": 2}),
            ("coinbase", {"coinbase": STRANGER.address}),
            ("extra-data", {"extra_data": b"\xc0"}),
            ("base-fee-presence", {"base_fee": 7}),
            ("withdrawals", {"base_fee": None, "withdrawals_root": bytes(32)}),
        ],
    )
    def test_each_broken_rule_has_its_name_and_leaves_nothing(self, rule: str, changes: dict[str, object]) -> None:
        net = network()
        block = net.build([Offer(transaction(0))])
        bad = block.with_header(block.header.with_changes(**changes))
        with pytest.raises(BlockRefusedError) as refused:
            net.chain.check_proposal(bad)
        assert refused.value.rule == rule
        with pytest.raises(BlockRefusedError):
            net.chain.import_block(bad)
        assert net.chain.head.header.number == 0
        assert net.chain.hash_at(1) is None

    def test_ommers_and_withdrawals_in_a_body(self) -> None:
        net = network()
        block = net.build()
        for rule, body in (
            ("ommers", BlockBody(ommers=(block.header,))),
            ("withdrawals", BlockBody(withdrawals=())),
        ):
            with pytest.raises(BlockRefusedError) as refused:
                net.chain.check_proposal(Block(block.header, body))
            assert refused.value.rule == rule

    def test_an_invalid_transaction_spoils_the_block(self) -> None:
        net = network()
        block = net.build([Offer(transaction(0))])
        bad = transaction(5)
        header = block.header.with_changes(transactions_root=ordered_root([bad.raw]))
        with pytest.raises(BlockRefusedError, match="NONCE_TOO_HIGH") as refused:
            net.chain.check_proposal(Block(header, BlockBody((bad,))))
        assert refused.value.rule == "transaction"
