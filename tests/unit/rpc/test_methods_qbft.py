"""The methods of a QBFT chain, with Besu's names and with GoQuorum's."""

from typing import Any

import pytest

from lacnode.consensus.bft.protocol_schedule import ProtocolSchedule
from lacnode.primitives.header import BlockHeader
from lacnode.primitives.hexadecimal import to_hex
from lacnode.primitives.rlp import RlpError
from tests.support.qbft_chain import grow, qbft_node
from tests.support.qbft_messages import FOUR, STRANGER, VALIDATORS, A, B, C
from tests.support.rpc_chain import RpcTestNode, node, signed
from tests.support.validator_list_contract import LIST_ADDRESS, list_account, setting

LISTED = [to_hex(address) for address in VALIDATORS]
NOT_ENABLED = (-32604, "Method not enabled")


def by_contract() -> RpcTestNode:
    account = list_account(VALIDATORS)
    return qbft_node({LIST_ADDRESS: account}, listed=(), validatorcontractaddress=to_hex(LIST_ADDRESS))


class TestValidators:
    def test_are_those_of_the_header(self) -> None:
        at = qbft_node()
        block = grow(at)
        hash_ = to_hex(at.chain.head.hash)
        assert block.number == 1
        for tag in ("latest", "0x1", "0x0", "earliest", "pending"):
            assert at.call("qbft_getValidatorsByBlockNumber", tag) == LISTED
        assert at.call("qbft_getValidatorsByBlockHash", hash_) == LISTED
        assert at.call("istanbul_getValidators") == LISTED
        assert at.call("istanbul_getValidators", "0x0") == LISTED
        assert at.call("istanbul_getValidatorsAtHash", hash_) == LISTED

    def test_of_the_next_block_are_the_pending_ones(self) -> None:
        at = qbft_node()
        assert at.call("qbft_proposeValidatorVote", to_hex(STRANGER.address), True, True) is True
        for creator in (A, B, C):
            grow(at, creator=creator)
        added = sorted([*LISTED, to_hex(STRANGER.address)])
        assert at.call("qbft_getValidatorsByBlockNumber", "latest") == LISTED
        assert at.call("qbft_getValidatorsByBlockNumber", "pending") == added
        # GoQuorum answers with the set after the block.
        assert at.call("istanbul_getValidators") == added

    def test_of_an_unknown_block_are_null_or_an_error(self) -> None:
        at = qbft_node()
        assert at.call("qbft_getValidatorsByBlockNumber", "0x9") is None
        assert at.call("qbft_getValidatorsByBlockHash", "0x" + "00" * 32) is None
        assert at.fails("istanbul_getValidators", "0x9")[1] == "Unknown block"
        assert at.fails("istanbul_getValidatorsAtHash", "0x" + "00" * 32)[1] == "Unknown block"

    def test_of_a_contract_are_its_answer_after_the_block(self) -> None:
        at = by_contract()
        assert at.call("qbft_getValidatorsByBlockNumber", "earliest") == LISTED
        at.send(signed(to=LIST_ADDRESS, data=setting(0, b"\x03")))
        grow(at)
        assert at.call("qbft_getValidatorsByBlockNumber", "latest") == LISTED[:3]
        assert at.call("qbft_getValidatorsByBlockNumber", "earliest") == LISTED
        assert at.call("istanbul_getValidators") == LISTED[:3]

    def test_that_a_contract_does_not_name_are_an_error_with_block_and_contract(self) -> None:
        at = by_contract()
        at.send(signed(to=LIST_ADDRESS, data=setting(0, b"")))
        grow(at)
        error = at.error("qbft_getValidatorsByBlockNumber", "latest")
        assert error.message == "Internal error"
        assert "block 2 has no validators" in str(error.data)
        assert to_hex(LIST_ADDRESS) in str(error.data)
        assert "names no validator" in str(at.error("istanbul_getValidators").data)


class TestVotes:
    def test_are_wanted_until_they_are_discarded(self) -> None:
        at = qbft_node()
        stranger = to_hex(STRANGER.address)
        assert at.call("qbft_proposeValidatorVote", stranger, True, True) is True
        assert at.call("qbft_getPendingVotes") == {stranger: True}
        assert at.call("istanbul_candidates") == {stranger: True}
        assert at.call("qbft_discardValidatorVote", stranger) is True
        assert at.call("qbft_getPendingVotes") == {}

    @pytest.mark.parametrize(
        ("method", "params"),
        [
            ("qbft_proposeValidatorVote", [LISTED[0], True]),
            ("qbft_discardValidatorVote", [LISTED[0]]),
            ("qbft_getPendingVotes", []),
            ("istanbul_candidates", []),
        ],
    )
    def test_are_not_enabled_where_a_contract_names_the_validators(self, method: str, params: list[Any]) -> None:
        assert by_contract().fails(method, *params) == NOT_ENABLED


class TestBlocks:
    def test_signers_are_the_creator_and_those_that_sealed(self) -> None:
        at = qbft_node()
        grow(at, creator=B, keys=FOUR[1:], round_=3)
        expected = {
            "Number": 1,
            "Hash": to_hex(at.chain.head.hash),
            "Author": LISTED[1],
            "Committers": LISTED[1:],
        }
        assert at.call("istanbul_getSignersFromBlock", "0x1") == expected
        assert at.call("istanbul_getSignersFromBlock") == expected
        assert at.call("istanbul_getSignersFromBlockByHash", expected["Hash"]) == expected
        assert at.call("istanbul_getSignersFromBlock", "0x0") == {
            "Number": 0,
            "Hash": to_hex(at.chain.genesis_hash),
            "Author": "0x" + "00" * 20,
            "Committers": [],
        }

    @pytest.mark.parametrize("method", ["istanbul_getSignersFromBlock", "istanbul_status"])
    def test_a_block_whose_creator_cannot_be_read_is_an_internal_error(
        self, method: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        at = qbft_node()
        grow(at, 2, creator=A)

        def creator(schedule: ProtocolSchedule, header: BlockHeader) -> bytes:
            raise RlpError("proposerSeal: it is missing")

        monkeypatch.setattr(ProtocolSchedule, "creator", creator)
        assert at.fails(method) == (-32603, "Internal error")

    def test_the_status_counts_blocks_by_their_creator(self) -> None:
        at = qbft_node()
        for creator in (A, B, A, C):
            grow(at, creator=creator)
        counts = dict.fromkeys(LISTED, 0) | {LISTED[0]: 2, LISTED[1]: 1}
        # The block at the end of the range does not count.
        assert at.call("istanbul_status") == {"sealerActivity": counts, "numBlocks": 3}
        assert at.call("istanbul_status", "0x1", "0x4") == {"sealerActivity": counts, "numBlocks": 3}
        assert at.fails("istanbul_status", "0x1")[0] == -32602
        assert at.fails("istanbul_status", "0x3", "0x2")[0] == -32602
        assert at.fails("istanbul_status", "0x1", "0x5")[0] == -32602

    def test_signer_metrics_are_those_of_ibft(self) -> None:
        at = qbft_node()
        grow(at, 2, creator=A)
        metrics = at.call("qbft_getSignerMetrics", "0x1", "0x2")
        assert isinstance(metrics, list)
        assert {"address": LISTED[0], "proposedBlockCount": "0x1", "lastProposedBlockNumber": "0x1"} in metrics


def test_the_node_is_known_by_its_address() -> None:
    at = qbft_node()
    own = at.call("istanbul_nodeAddress")
    assert own == to_hex(at.services.node.coinbase)
    assert at.call("istanbul_isValidator") is (own in LISTED)


def test_the_request_timeout_is_in_seconds() -> None:
    assert qbft_node().call("qbft_getRequestTimeoutSeconds") == 4


def test_each_chain_has_the_methods_of_its_protocol_only() -> None:
    assert qbft_node().fails("ibft_getPendingVotes") == NOT_ENABLED
    assert node().fails("qbft_getPendingVotes") == NOT_ENABLED
    assert node().fails("istanbul_getValidators") == NOT_ENABLED
