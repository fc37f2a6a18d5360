"""Blocks of QBFT in a real chain: seals, votes, and validators that a contract names."""

import pytest

from lacnode.chain.block_errors import BlockRefusedError, WrongGenesisError
from lacnode.chain.blockchain import Blockchain
from lacnode.chain.validator_contract import ValidatorContractError
from lacnode.consensus.bft.extra_data import ExtraData, Vote, VoteType
from lacnode.consensus.bft.protocol import BftProtocol
from lacnode.consensus.ibft2.protocol import IBFT2
from lacnode.consensus.qbft.protocol import QBFT
from lacnode.primitives.block import Block
from lacnode.primitives.hexadecimal import to_hex
from tests.support.qbft_chain import draft, grow, qbft_genesis, qbft_node, sealed, with_extra
from tests.support.qbft_messages import FOUR, STRANGER, VALIDATORS, A, B, C, D
from tests.support.rpc_chain import RpcTestNode, node, signed
from tests.support.validator_list_contract import (
    EMPTY_ANSWER_CODE,
    INVALID_CODE,
    LIST_ADDRESS,
    REVERT_CODE,
    list_account,
    setting,
)

THREE = VALIDATORS[:3]
TO_CONTRACT = {"validatorselectionmode": "contract", "validatorcontractaddress": to_hex(LIST_ADDRESS)}


def by_contract(*validators: bytes, code: bytes | None = None) -> RpcTestNode:
    """A node whose validators a contract names from block 1 on."""
    account = list_account(validators) if code is None else list_account(validators, code)
    return qbft_node({LIST_ADDRESS: account}, listed=(), validatorcontractaddress=to_hex(LIST_ADDRESS))


def refusal(chain: Blockchain, block: Block) -> BlockRefusedError:
    with pytest.raises(BlockRefusedError) as refused:
        chain.import_block(block)
    return refused.value


class TestSeals:
    def test_a_quorum_seals_a_block_in_any_round(self) -> None:
        at = qbft_node()
        for round_ in (0, 1, 300):
            grow(at, keys=FOUR[:3], round_=round_)
        assert at.chain.head.header.number == 3

    def test_a_block_that_was_proposed_with_round_0_is_sealed_with_the_round_that_decided_it(self) -> None:
        """The form of GoQuorum, and of Besu before 24.12: the round is written when the block is final."""
        at = qbft_node()
        assert at.chain.import_block(sealed(draft(at, round_=0), FOUR, round_=2))

    def test_less_than_a_quorum_or_a_stranger_does_not(self) -> None:
        at = qbft_node()
        block = draft(at)
        for keys in (FOUR[:2], [A, A, B], [A, B, STRANGER], [*FOUR, STRANGER], []):
            assert refusal(at.chain, sealed(block, keys)).rule == "commit-seals"
        assert at.chain.import_block(sealed(block, FOUR[:3]))

    def test_seals_of_another_round_do_not(self) -> None:
        at = qbft_node()
        block = with_extra(sealed(draft(at), FOUR, 1), round=2)
        assert refusal(at.chain, block).rule == "commit-seals"

    def test_the_nonce_has_no_rule(self) -> None:
        """Besu's rules for QBFT have none for it."""
        at = qbft_node()
        block = draft(at)
        block = block.with_header(block.header.with_changes(nonce=b"\x01" * 8))
        assert at.chain.import_block(sealed(block, FOUR))

    def test_headers_are_verified_ahead_of_their_blocks(self) -> None:
        source, at = qbft_node(), qbft_node()
        blocks = [grow(source) for _ in range(5)]
        headers = at.chain.new_header_chain()
        for block in blocks:
            assert headers.verify_and_add_header(block.header) == QBFT.block_hash(block.header)
        false = qbft_node().chain.new_header_chain()
        with pytest.raises(BlockRefusedError, match="commit seals"):
            false.verify_and_add_header(sealed(draft(qbft_node()), FOUR[:2]).header)


class TestVotes:
    def test_more_than_half_add_and_remove_a_validator(self) -> None:
        at = qbft_node()
        at.services.vote_proposer.propose(STRANGER.address, add=True)
        for creator in (A, B):
            assert QBFT.decode_extra_data(grow(at, creator=creator).header.extra_data).vote == (
                Vote(STRANGER.address, VoteType.ADD)
            )
        assert at.chain.validators_after(at.chain.head.header) == VALIDATORS
        grow(at, creator=C)
        assert set(at.chain.validators_after(at.chain.head.header)) == {*VALIDATORS, STRANGER.address}

    def test_an_epoch_block_forgets_them(self) -> None:
        at = qbft_node()
        grow(at, 7)
        at.services.vote_proposer.propose(D.address, add=False)
        for creator in (A, B):
            grow(at, creator=creator)
        # Block 10 is an epoch block.
        for creator in (C, A, B):
            grow(at, creator=creator)
        assert at.chain.validators_after(at.chain.head.header) == VALIDATORS


class TestValidatorContract:
    def test_names_the_validators_of_block_1_on(self) -> None:
        at = by_contract(*THREE)
        assert at.chain.validators_after(at.chain.genesis.header) == THREE
        grow(at, 2, keys=FOUR[:2])
        assert refusal(at.chain, sealed(draft(at), [A, D])).rule == "commit-seals"

    def test_headers_list_no_validators_and_have_no_vote(self) -> None:
        at = by_contract(*VALIDATORS)
        at.services.vote_proposer.propose(STRANGER.address, add=True)
        block = draft(at)
        assert QBFT.decode_extra_data(block.header.extra_data) == ExtraData(bytes(32), ())
        for wrong in ({"validators": VALIDATORS}, {"vote": Vote(STRANGER.address, VoteType.ADD)}):
            assert refusal(at.chain, sealed(with_extra(block, **wrong), FOUR)).rule == "validators"

    def test_the_creator_is_one_of_them(self) -> None:
        at = by_contract(*THREE)
        assert refusal(at.chain, sealed(draft(at, creator=D), FOUR[:3])).rule == "coinbase"

    def test_a_change_within_a_block_counts_from_the_next_block_on(self) -> None:
        at = by_contract(*VALIDATORS)
        # The first three stay: only their number is set.
        at.send(signed(to=LIST_ADDRESS, data=setting(0, b"\x03")))
        changing = draft(at)
        assert len(changing.transactions) == 1
        # Three of four is a quorum, and D is a validator in this block still.
        assert at.chain.import_block(sealed(changing, [B, C, D]))
        assert at.chain.validators_after(at.chain.head.header) == THREE
        following = draft(at)
        assert refusal(at.chain, sealed(following, [B, D])).rule == "commit-seals"
        assert at.chain.import_block(sealed(following, [B, C]))

    @pytest.mark.parametrize(
        ("code", "reason"),
        [(REVERT_CODE, "reverted"), (EMPTY_ANSWER_CODE, "returned 0 bytes"), (INVALID_CODE, "10,000,000 gas")],
    )
    def test_that_does_not_answer_stops_the_chain_with_block_and_rule(self, code: bytes, reason: str) -> None:
        at = by_contract(*VALIDATORS, code=code)
        assert at.chain.validators_after(at.chain.head.header) == ()
        with pytest.raises(ValidatorContractError, match=f"block 1 has no validators.*{reason}") as refused:
            at.chain.tally_after(at.chain.head.header)
        assert refused.value.rule == "validator-contract"

    @pytest.mark.parametrize(
        ("count", "reason"), [(0, "names no validator"), (1000, "names 1000 validators, more than 256")]
    )
    def test_that_names_none_or_too_many_stops_the_chain_and_loses_nothing(self, count: int, reason: str) -> None:
        at = by_contract(*VALIDATORS)
        at.send(signed(to=LIST_ADDRESS, data=setting(0, count.to_bytes(32))))
        last = grow(at)
        assert at.chain.validators_after(last.header) == ()
        header = last.header.with_changes(number=2, parent_hash=at.chain.head.hash)
        following = sealed(last.with_header(header), FOUR)
        with pytest.raises(ValidatorContractError, match=f"block 2 has no validators.*{reason}"):
            at.chain.import_block(following)
        assert at.chain.head.header == last.header

    def test_its_later_headers_are_checked_without_seals_and_its_blocks_with_them(self) -> None:
        source, at = by_contract(*VALIDATORS), by_contract(*VALIDATORS)
        good = [grow(source) for _ in range(3)]
        headers = at.chain.new_header_chain()
        with pytest.raises(BlockRefusedError, match="commit seals"):
            at.chain.new_header_chain().verify_and_add_header(sealed(good[0], FOUR[:2]).header)
        unsealed = sealed(good[1], [])
        headers.verify_and_add_header(good[0].header)
        headers.verify_and_add_header(unsealed.header)
        assert at.chain.import_block(good[0])
        assert refusal(at.chain, unsealed).rule == "commit-seals"
        assert at.chain.import_block(good[1])

    def test_a_header_ahead_that_lists_validators_is_refused(self) -> None:
        source, at = by_contract(*VALIDATORS), by_contract(*VALIDATORS)
        first, second = grow(source), grow(source)
        headers = at.chain.new_header_chain()
        headers.verify_and_add_header(first.header)
        with pytest.raises(BlockRefusedError, match="a contract names them"):
            headers.verify_and_add_header(with_extra(second, validators=VALIDATORS).header)


class TestTransitions:
    def test_from_headers_to_a_contract_and_back(self) -> None:
        back = {"block": 5, "validatorselectionmode": "blockheader", "validators": [to_hex(a) for a in VALIDATORS]}
        at = qbft_node({LIST_ADDRESS: list_account(THREE)}, {"block": 3, **TO_CONTRACT}, back)
        listed = []
        for keys in (FOUR, FOUR, FOUR[:3], FOUR[:3], FOUR, FOUR):
            block = grow(at, keys=keys)
            listed.append(len(QBFT.decode_extra_data(block.header.extra_data).validators))
        assert listed == [4, 4, 0, 0, 4, 4]

    def test_headers_are_verified_across_them(self) -> None:
        back = {"block": 5, "validatorselectionmode": "blockheader", "validators": [to_hex(a) for a in VALIDATORS]}
        steps = ({"block": 3, **TO_CONTRACT}, back)
        source, at = (qbft_node({LIST_ADDRESS: list_account(THREE)}, *steps) for _ in range(2))
        blocks = [grow(source, keys=keys) for keys in (FOUR, FOUR, FOUR[:3], FOUR[:3], FOUR, FOUR)]
        headers = at.chain.new_header_chain()
        for block in blocks:
            headers.verify_and_add_header(block.header)
        false = at.chain.new_header_chain()
        for block in blocks[:4]:
            false.verify_and_add_header(block.header)
        with pytest.raises(BlockRefusedError, match="commit seals"):
            false.verify_and_add_header(sealed(blocks[4], FOUR[:2]).header)
        for block in blocks:
            assert at.chain.import_block(block)


@pytest.mark.parametrize(("protocol", "other"), [("qbft", IBFT2), ("ibft2", QBFT)])
def test_a_genesis_with_the_extra_data_of_the_other_protocol_is_refused(protocol: str, other: BftProtocol) -> None:
    """Both forms are lists of five items: a file with the wrong one is easily made, and no block could follow it."""
    document = qbft_genesis()
    document["config"][protocol] = document["config"].pop("qbft")
    document["extraData"] = to_hex(other.encode_extra_data(ExtraData(bytes(32), VALIDATORS)))
    with pytest.raises(WrongGenesisError, match=f"extraData is not that of config.{protocol}"):
        node(genesis=document)
