"""A chain that goes from IBFT 2.0 to QBFT: hashes, seals, votes, methods, and a genesis file that was edited too late."""

from typing import Any

import pytest

from lacnode.chain.block_errors import BlockRefusedError, WrongGenesisError
from lacnode.chain.blockchain import Blockchain
from lacnode.chain.chain_store import DatabaseNodeStore
from lacnode.chainspec.genesis import parse_genesis
from lacnode.consensus.bft.blocks import seal_digest, with_seals
from lacnode.consensus.bft.protocol_schedule import ProtocolSchedule
from lacnode.consensus.ibft2.protocol import IBFT2
from lacnode.consensus.protocols import protocols_of
from lacnode.consensus.qbft.protocol import QBFT
from lacnode.evm.py_evm_engine import PyEvmEngine
from lacnode.primitives.block import Block
from lacnode.primitives.hexadecimal import to_hex
from tests.support.migration import FIRST_QBFT_BLOCK, grow_to, migration_genesis, sealed
from tests.support.qbft_chain import draft
from tests.support.qbft_messages import FOUR, STRANGER, VALIDATORS, A, B, C
from tests.support.rpc_chain import GENESIS_TIME, RpcTestNode, node
from tests.support.validator_list_contract import LIST_ADDRESS, list_account

LAST_IBFT2_BLOCK = FIRST_QBFT_BLOCK - 1
GROUPS = ("ETH", "IBFT", "QBFT", "LAC")


def migrating(**changes: Any) -> RpcTestNode:
    return node(genesis=migration_genesis(**changes), groups=GROUPS)


def reopened(at: RpcTestNode, genesis: dict[str, Any]) -> Blockchain:
    """The chain of `at` by another genesis file, as at the start of its node."""
    spec, database = parse_genesis(genesis), at.chain.database
    return Blockchain(spec, database, PyEvmEngine(spec, DatabaseNodeStore(database)), now=lambda: GENESIS_TIME + 1e6)


class TestSwitch:
    def test_each_block_has_the_form_and_the_hash_of_its_protocol(self) -> None:
        at = migrating()
        grow_to(at, FIRST_QBFT_BLOCK + 3)
        for number in range(1, FIRST_QBFT_BLOCK + 4):
            header = at.chain.header_at(number)
            assert header is not None
            protocol = IBFT2 if number < FIRST_QBFT_BLOCK else QBFT
            assert protocol.decode_extra_data(header.extra_data).validators == VALIDATORS
            assert at.chain.hash_at(number) == protocol.block_hash(header)
        first = at.chain.header_at(FIRST_QBFT_BLOCK)
        last = at.chain.header_at(LAST_IBFT2_BLOCK)
        assert first is not None
        assert last is not None
        assert first.parent_hash == IBFT2.block_hash(last)

    def test_headers_are_verified_ahead_across_it(self) -> None:
        """As in synchronisation: the node has none of these blocks yet."""
        source, at = migrating(), migrating()
        grow_to(source, FIRST_QBFT_BLOCK + 2)
        headers = at.chain.new_header_chain()
        for number in range(1, FIRST_QBFT_BLOCK + 3):
            header = source.chain.header_at(number)
            assert header is not None
            assert headers.verify_and_add_header(header) == source.chain.hash_at(number)

    @pytest.mark.parametrize("last", [LAST_IBFT2_BLOCK - 1, LAST_IBFT2_BLOCK])
    def test_a_block_of_the_other_protocol_is_refused_with_block_and_protocols(self, last: int) -> None:
        """One protocol at a time at every height (besu#10680)."""
        at = migrating()
        grow_to(at, last)
        other = QBFT if last < LAST_IBFT2_BLOCK else IBFT2
        block = draft(at)
        extra = at.chain.protocols.extra_data(block.header)
        block = block.with_header(block.header.with_changes(extra_data=other.encode_extra_data(extra)))
        digest = seal_digest(other, block, 0)
        block = with_seals(other, block, tuple(key.sign(digest) for key in FOUR))
        with pytest.raises(BlockRefusedError, match=f"block {last + 1} has the extra data of {other.name}") as refused:
            at.chain.import_block(block)
        assert refused.value.rule == "extra-data"
        assert at.chain.head.header.number == last

    def test_a_node_with_the_old_genesis_says_which_block_is_of_another_protocol(self) -> None:
        source, old = migrating(), migrating(start_block=None)
        grow_to(source, FIRST_QBFT_BLOCK)
        grow_to(old, LAST_IBFT2_BLOCK)
        header = source.chain.header_at(FIRST_QBFT_BLOCK)
        assert header is not None
        text = "block 6 has the extra data of qbft, and by the genesis file ibft2"
        with pytest.raises(BlockRefusedError, match=text):
            old.chain.new_header_chain().verify_and_add_header(header)

    def test_a_contract_may_name_the_validators_from_it_on(self) -> None:
        three = {"validatorContractAddress": to_hex(LIST_ADDRESS)}
        at = migrating(qbft=three, alloc={LIST_ADDRESS: list_account(VALIDATORS[:3])})
        grow_to(at, LAST_IBFT2_BLOCK)
        assert at.chain.validators_after(at.chain.head.header) == VALIDATORS[:3]
        grow_to(at, FIRST_QBFT_BLOCK + 1, FOUR[:3], FOUR[:3])
        assert at.chain.protocols.extra_data(at.chain.head.header).validators == ()


class TestVotes:
    def test_a_vote_that_began_before_it_is_finished_after_it(self) -> None:
        at = migrating()
        grow_to(at, LAST_IBFT2_BLOCK - 2)
        at.services.vote_proposer.propose(STRANGER.address, add=True)
        grow_to(at, LAST_IBFT2_BLOCK, [A, B])
        assert at.chain.validators_after(at.chain.head.header) == VALIDATORS
        grow_to(at, FIRST_QBFT_BLOCK, [C])
        assert STRANGER.address in at.chain.validators_after(at.chain.head.header)
        # Another node counts the same from the stored blocks.
        again = reopened(at, migration_genesis())
        assert STRANGER.address in again.validators_after(again.head.header)

    def test_epochs_are_counted_from_the_last_block_of_ibft2(self) -> None:
        """As in Besu since 25.3. An epoch of 4 blocks ends with blocks 4, 9 and 13."""
        at = migrating(epoch_length=4)
        grow_to(at, 7)
        at.services.vote_proposer.propose(STRANGER.address, add=True)
        grow_to(at, 9, [A, B])
        # Block 8 would be an epoch block if epochs were counted from block 0.
        tally = at.chain.tally_after(at.chain.head.header)
        assert tally.additions == {}
        grow_to(at, 12, [A, B, C])
        assert STRANGER.address in at.chain.validators_after(at.chain.head.header)

    def test_a_start_that_ends_no_epoch_is_warned_of(self) -> None:
        """Besu drops the votes that are open there."""
        assert "block 5 is no epoch block" in str(parse_genesis(migration_genesis()).warnings)
        assert parse_genesis(migration_genesis(epoch_length=5)).warnings == ()


class TestMethods:
    def test_besu_10679_both_groups_answer_before_and_after_the_switch(self) -> None:
        """In Besu neither `ibft_*` nor `qbft_*` is there if the genesis has both sections."""
        at = migrating()
        listed = [to_hex(address) for address in VALIDATORS]
        for last, protocol in ((LAST_IBFT2_BLOCK - 1, "ibft2"), (FIRST_QBFT_BLOCK + 1, "qbft")):
            grow_to(at, last)
            for group in ("ibft", "qbft"):
                for number in ("0x1", hex(last), "latest"):
                    assert at.call(f"{group}_getValidatorsByBlockNumber", number) == listed
                assert at.call(f"{group}_getValidatorsByBlockHash", to_hex(at.chain.head.hash)) == listed
                assert at.call(f"{group}_proposeValidatorVote", to_hex(STRANGER.address), True, True) is True
                assert at.call(f"{group}_getPendingVotes") == {to_hex(STRANGER.address): True}
                assert at.call(f"{group}_discardValidatorVote", to_hex(STRANGER.address)) is True
                metrics = at.call(f"{group}_getSignerMetrics", "0x1", "latest")
                assert isinstance(metrics, list)
                assert {one["address"] for one in metrics} == set(listed)
            signers = at.call("istanbul_getSignersFromBlock", hex(last))
            assert isinstance(signers, dict)
            assert set(signers["Committers"]) == set(listed)
            assert at.chain.protocols.protocol_at(last).name == protocol


class TestEditedGenesis:
    """The genesis hash does not cover `config`, so a node may start with a file that contradicts its blocks."""

    @pytest.mark.parametrize(
        ("start_block", "wrong"),
        [
            (None, 8),  # The section was taken out: the head is not of IBFT 2.0.
            (FIRST_QBFT_BLOCK - 2, FIRST_QBFT_BLOCK - 2),
            (FIRST_QBFT_BLOCK + 1, FIRST_QBFT_BLOCK),
            (FIRST_QBFT_BLOCK + 100, 8),
        ],
    )
    def test_a_start_block_below_the_head_is_refused_with_block_and_rule(
        self, start_block: int | None, wrong: int
    ) -> None:
        at = migrating()
        grow_to(at, 8)
        with pytest.raises(WrongGenesisError, match=f"block {wrong} breaks the rule extra-data"):
            reopened(at, migration_genesis(start_block))
        # Nothing is lost: the right file opens the chain again.
        assert reopened(at, migration_genesis()).head.hash == at.chain.head.hash

    def test_a_start_block_above_the_head_may_be_added_and_moved(self) -> None:
        at = migrating(start_block=None)
        grow_to(at, 4)
        for start_block in (100, 5, None, FIRST_QBFT_BLOCK):
            assert reopened(at, migration_genesis(start_block)).head.header.number == 4

    @pytest.mark.parametrize("block", [3, 8])
    def test_a_transition_of_validators_in_the_past_is_refused(self, block: int) -> None:
        at = migrating()
        grow_to(at, 8)
        name = "ibft2" if block < FIRST_QBFT_BLOCK else "qbft"
        steps = {name: [{"block": block, "validators": [to_hex(address) for address in VALIDATORS[:2]]}]}
        with pytest.raises(WrongGenesisError, match=f"block {block} breaks the rule validators"):
            reopened(at, migration_genesis(transitions=steps))

    def test_a_transition_that_was_taken_out_is_found_at_the_head(self) -> None:
        steps = {"ibft2": [{"block": 3, "validators": [to_hex(address) for address in VALIDATORS[:3]]}]}
        at = migrating(transitions=steps)
        grow_to(at, 2)
        grow_to(at, 8, FOUR[:3], FOUR[:3])
        with pytest.raises(WrongGenesisError, match="block 8 breaks the rule validators"):
            reopened(at, migration_genesis())
        assert reopened(at, migration_genesis(transitions=steps)).head.header.number == 8

    def test_a_contract_that_should_have_named_them_is_found(self) -> None:
        at = migrating()
        grow_to(at, 8)
        edited = migration_genesis(qbft={"validatorContractAddress": to_hex(LIST_ADDRESS)})
        edited["alloc"][to_hex(LIST_ADDRESS)] = list_account(VALIDATORS)
        with pytest.raises(WrongGenesisError, match="another network"):
            reopened(at, edited)
        edited = migration_genesis(
            transitions={
                "qbft": [
                    {
                        "block": 7,
                        "validatorselectionmode": "contract",
                        "validatorcontractaddress": to_hex(LIST_ADDRESS),
                    }
                ]
            }
        )
        with pytest.raises(WrongGenesisError, match="block 7 breaks the rule validators"):
            reopened(at, edited)

    def test_another_period_is_no_contradiction(self) -> None:
        """Besu's operators change it in place."""
        at = migrating()
        grow_to(at, 8)
        edited = migration_genesis()
        edited["config"]["qbft"]["blockperiodseconds"] = 7
        assert reopened(at, edited).head.header.number == 8


def test_a_message_names_its_protocol_by_its_code() -> None:
    protocols: ProtocolSchedule = protocols_of(parse_genesis(migration_genesis()))
    assert protocols.protocol_of_code(0x12, 1) is QBFT
    assert protocols.protocol_of_code(0x01, 100) is IBFT2


def test_the_seals_of_one_protocol_are_worth_nothing_in_the_other() -> None:
    at = migrating()
    grow_to(at, LAST_IBFT2_BLOCK)
    block: Block = draft(at)
    false = tuple(key.sign(block.header.parent_hash) for key in FOUR)
    with pytest.raises(BlockRefusedError) as refused:
        at.chain.import_block(with_seals(QBFT, block, false))
    assert refused.value.rule == "commit-seals"
    assert at.chain.import_block(sealed(at, block))
