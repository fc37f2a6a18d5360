"""Besu's genesis file: every key read as Besu reads it, every error one sentence that names the key."""

import json
import os
import threading
from pathlib import Path
from typing import Any

import pytest

from lacnode.chainspec.forks import Fork
from lacnode.chainspec.genesis import GenesisError, load_genesis, parse_genesis
from lacnode.chainspec.ibft_schedule import IbftParameters
from lacnode.chainspec.spec import RequestContracts, with_base_fee_if_fixed

LOCAL = Path(__file__).resolve().parents[4] / "shared" / "data" / "lacnet-local"
VALIDATOR = "0x211152ca21d5daedbcfbf61173886bbb1a217242"


def document(config: dict[str, Any] | None = None, ibft: dict[str, Any] | None = None, **fields: Any) -> dict[str, Any]:
    """A small genesis, changed as told."""
    return {
        "config": {"chainId": 7, "berlinBlock": 0, "ibft2": ibft or {}, **(config or {})},
        "difficulty": "0x1",
        "gasLimit": "0x14DC9380",
        "alloc": {},
        **fields,
    }


def refusal(given: Any) -> str:
    with pytest.raises(GenesisError) as refused:
        parse_genesis(given)
    return str(refused.value)


class TestIbftParameters:
    def test_has_besus_defaults(self) -> None:
        assert parse_genesis(document()).ibft.parameters_at(1) == IbftParameters()
        assert IbftParameters().epoch_length == 30_000

    def test_reads_every_key_in_any_case(self) -> None:
        spec = parse_genesis(
            document(
                ibft={
                    "EPOCHLENGTH": 150_000,
                    "blockPeriodSeconds": 2,
                    "requesttimeoutseconds": 4,
                    "gossipedHistoryLimit": 11,
                    "messageQueueLimit": 12,
                    "duplicateMessageLimit": 13,
                    "futureMessagesLimit": 14,
                    "futureMessagesMaxDistance": 15,
                    "miningBeneficiary": VALIDATOR,
                    "blockReward": "0x10",
                }
            )
        )
        assert spec.ibft.parameters_at(0) == IbftParameters(
            block_period_ms=2000,
            request_timeout_ms=4000,
            epoch_length=150_000,
            block_reward=16,
            mining_beneficiary=bytes.fromhex(VALIDATOR[2:]),
            gossiped_history_limit=11,
            message_queue_limit=12,
            duplicate_message_limit=13,
            future_messages_limit=14,
            future_messages_max_distance=15,
        )

    def test_a_period_in_milliseconds_goes_before_one_in_seconds(self) -> None:
        spec = parse_genesis(document(ibft={"blockperiodseconds": 2, "xblockperiodmilliseconds": 250}))
        assert spec.ibft.parameters_at(1).block_period_ms == 250

    def test_a_blank_beneficiary_is_none(self) -> None:
        assert parse_genesis(document(ibft={"miningbeneficiary": " "})).ibft.parameters_at(1).mining_beneficiary is None

    @pytest.mark.parametrize(
        ("key", "value"),
        [
            ("epochlength", 0),
            ("blockperiodseconds", 0),
            ("blockperiodseconds", 0.5),
            ("blockperiodseconds", True),
            ("requesttimeoutseconds", -1),
            ("blockreward", "-1"),
            ("blockreward", "1_000"),
            ("blockreward", "ten"),
            ("miningbeneficiary", "0x1234"),
            ("futuremessageslimit", "many"),
            ("messagequeuelimit", [1]),
        ],
    )
    def test_what_is_wrong_is_named(self, key: str, value: object) -> None:
        assert f"config.ibft2.{key}" in refusal(document(ibft={key: value}))


class TestTransitions:
    def test_what_a_transition_does_not_mention_stays(self) -> None:
        steps = [
            {"block": 20, "miningbeneficiary": ""},
            {"block": 10, "blockperiodseconds": 5, "blockreward": "7", "miningBeneficiary": VALIDATOR},
            {"block": 30, "xblockperiodmilliseconds": 1500},
        ]
        ibft = parse_genesis(document({"transitions": {"ibft2": steps}}, {"epochlength": 9})).ibft
        assert ibft.parameters_at(9) == IbftParameters(epoch_length=9)
        assert ibft.parameters_at(10).mining_beneficiary == bytes.fromhex(VALIDATOR[2:])
        assert ibft.parameters_at(19).block_period_ms == 5000
        assert ibft.parameters_at(20) == IbftParameters(epoch_length=9, block_period_ms=5000, block_reward=7)
        assert ibft.parameters_at(10**9).block_period_ms == 1500

    def test_validators_are_replaced_at_one_block_only(self) -> None:
        validators = ["0x" + "22" * 20, "0x" + "11" * 20, "0x" + "22" * 20]
        ibft = parse_genesis(document({"transitions": {"ibft2": [{"block": 5, "validators": validators}]}})).ibft
        assert ibft.validators_replaced_at(4) is None
        assert ibft.validators_replaced_at(5) == (b"\x11" * 20, b"\x22" * 20)
        assert ibft.validators_replaced_at(6) is None

    @pytest.mark.parametrize(
        "steps", [[{"block": 5}, {"block": 5}], [{"block": 0}], [{}], [{"block": 5, "validators": []}], {"block": 5}]
    )
    def test_steps_that_make_no_schedule_are_refused(self, steps: object) -> None:
        assert "transitions" in refusal(document({"transitions": {"ibft2": steps}}))

    def test_outside_config_they_have_no_effect_and_a_warning_says_so(self) -> None:
        spec = parse_genesis(document(transitions={"ibft2": [{"block": 5, "blockperiodseconds": 9}]}))
        assert spec.ibft.parameters_at(5).block_period_ms == 1000
        assert any("transitions" in warning for warning in spec.warnings)


class TestForks:
    def test_one_named_fork_brings_all_before_it(self) -> None:
        forks = parse_genesis(document({"constantinopleFixBlock": 0, "berlinBlock": 37_044_085})).forks
        assert forks.fork_at(0, 0) is Fork.PETERSBURG
        assert forks.fork_at(37_044_084, 2**40) is Fork.PETERSBURG
        assert forks.fork_at(37_044_085, 0) is Fork.BERLIN

    def test_the_latest_of_several_at_one_block_wins(self) -> None:
        forks = parse_genesis(document({"homesteadBlock": 0, "istanbulBlock": 0, "byzantiumBlock": 0})).forks
        assert forks.fork_at(0, 0) is Fork.BERLIN

    def test_forks_begin_by_time_too(self) -> None:
        forks = parse_genesis(document({"londonBlock": 0, "shanghaiTime": 1000, "cancunTime": 2000})).forks
        assert [forks.fork_at(5, time) for time in (999, 1000, 1999, 2000)] == [
            Fork.LONDON,
            Fork.SHANGHAI,
            Fork.SHANGHAI,
            Fork.CANCUN,
        ]

    def test_prague_needs_the_contracts_that_collect_requests(self) -> None:
        prague: dict[str, Any] = {"londonBlock": 0, "shanghaiTime": 0, "cancunTime": 0, "pragueTime": 9}
        contracts = {
            "withdrawalRequestContractAddress": "0x" + "70" * 20,
            "consolidationRequestContractAddress": "0x" + "72" * 20,
            "depositContractAddress": "0x" + "61" * 20,
        }
        for missing in contracts:
            given = {key: value for key, value in contracts.items() if key != missing}
            assert missing in refusal(document({**prague, **given}))
        spec = parse_genesis(document({**prague, **contracts}))
        assert spec.request_contracts == RequestContracts(b"\x70" * 20, b"\x72" * 20, b"\x61" * 20)
        assert spec.warnings == ()
        assert parse_genesis(document({"londonBlock": 0, **contracts})).request_contracts is None

    def test_how_many_blobs_a_transaction_may_name(self) -> None:
        forks = (Fork.SHANGHAI, Fork.CANCUN, Fork.PRAGUE)
        spec = parse_genesis(document({"londonBlock": 0}))
        assert [spec.blob_schedule_of(fork).max for fork in forks] == [0, 6, 9]
        schedule = {"cancun": {"target": 2, "max": 4, "baseFeeUpdateFraction": 1}, "prague": {"max": "0x7"}}
        spec = parse_genesis(document({"londonBlock": 0, "blobSchedule": schedule}))
        assert [spec.blob_schedule_of(fork).max for fork in forks] == [0, 4, 7]

    def test_forks_out_of_order_are_refused(self) -> None:
        text = refusal(document({"istanbulBlock": 10, "berlinBlock": 5}))
        assert "berlinblock" in text
        assert "istanbulblock" in text

    def test_the_dao_fork_at_zero_counts_for_nothing(self) -> None:
        spec = parse_genesis(document({"homesteadBlock": 0, "daoForkBlock": 0}))
        assert spec.forks.id_blocks == ()

    def test_two_names_of_petersburg_are_refused(self) -> None:
        assert "petersburg" in refusal(document({"petersburgBlock": 0, "constantinopleFixBlock": 0}))


class TestNetworkRules:
    def test_defaults(self) -> None:
        spec = parse_genesis({**document(), "config": {"ibft2": {}}})
        assert (spec.chain_id, spec.contract_size_limit, spec.evm_stack_size, spec.zero_base_fee) == (
            1,
            None,
            1024,
            False,
        )

    def test_what_is_given(self) -> None:
        spec = parse_genesis(document({"contractSizeLimit": 2147483647, "evmStackSize": 2048, "zeroBaseFee": True}))
        assert (spec.contract_size_limit, spec.evm_stack_size, spec.zero_base_fee) == (2147483647, 2048, True)

    def test_a_fixed_base_fee_is_known(self) -> None:
        spec = parse_genesis(document({"fixedBaseFee": True}))
        assert spec.constant_base_fee == 0
        assert with_base_fee_if_fixed(spec, 7).constant_base_fee == 7
        assert not any("fixedBaseFee" in warning for warning in spec.warnings)
        plain, zero = parse_genesis(document()), parse_genesis(document({"zeroBaseFee": True, "fixedBaseFee": True}))
        assert with_base_fee_if_fixed(plain, 7).constant_base_fee is None
        assert with_base_fee_if_fixed(zero, 7).constant_base_fee == 0

    def test_keeps_config_as_it_is_written(self) -> None:
        given = document()
        assert parse_genesis(given).config_document == given["config"]


class TestAlloc:
    def test_reads_balance_nonce_code_and_storage(self) -> None:
        fields = {"balance": "1000", "nonce": "10", "code": "6001", "storage": {"0x1": "ff", "02": "0x0100"}}
        other = {"balance": "0x10", "comment": "a note", "privateKey": "no secret"}
        spec = parse_genesis(document(alloc={"AB" * 20: fields, "0x" + "cd" * 20: other}))
        first, second = spec.genesis.alloc
        assert (first.address, first.balance, first.nonce) == (b"\xab" * 20, 1000, 16)
        assert (first.code, first.storage) == (b"\x60\x01", ((1, 255), (2, 256)))
        assert (second.balance, second.nonce, second.code, second.storage) == (16, 0, b"", ())
        assert spec.warnings == ()

    @pytest.mark.parametrize(
        "alloc",
        [
            {"ab" * 21: {}},
            {"zz" * 20: {}},
            {"ab" * 20: {"balance": "-1"}},
            {"ab" * 20: {"balance": hex(2**256)}},
            {"ab" * 20: {"balance": None}},
            {"ab" * 20: {"code": "0xzz"}},
            {"ab" * 20: {"storage": {"0x1": "11" * 33}}},
            {"ab" * 20: {"storage": {"-1": "11"}}},
            {"ab" * 20: {"storage": [1]}},
            {"ab" * 20: []},
            [],
        ],
    )
    def test_what_is_wrong_is_named(self, alloc: object) -> None:
        assert "alloc" in refusal(document(alloc=alloc))


class TestAllocAsBesuTakesIt:
    def test_addresses_may_be_short_and_in_any_case(self) -> None:
        spec = parse_genesis(document(alloc={"0x8888": {"balance": "1"}, "ABCDE": {"balance": "2"}, "0x": {}}))
        assert [account.address.hex()[-5:] for account in spec.genesis.alloc] == ["08888", "abcde", "00000"]
        assert spec.genesis.alloc[0].address == bytes(18) + b"\x88\x88"

    def test_numbers_may_be_numbers_or_text(self) -> None:
        fields = {"balance": 1000, "nonce": 10, "storage": {"1": 10, "0x01": "10"}}
        (account,) = parse_genesis(document(alloc={"0x1": fields})).genesis.alloc
        assert (account.balance, account.nonce) == (1000, 16)
        assert account.storage == ((1, 16),), "the digits of a nonce and of a slot are hexadecimal"

    def test_an_account_written_several_ways_is_the_last_one_and_nothing_of_the_others(self) -> None:
        alloc = {
            "0x" + "AB" * 20: {"balance": "1", "code": "0x60"},
            "ab" * 20: {"balance": "2"},
            "0x" + "ab" * 20: {"nonce": "3"},
        }
        (account,) = parse_genesis(document(alloc=alloc)).genesis.alloc
        assert (account.balance, account.code, account.nonce) == (0, b"", 3)


class TestNumbersAsBesuTakesThem:
    @pytest.mark.parametrize(("written", "difficulty"), [(1, 1), (10, 16), ("10", 16), ("0x10", 16)])
    def test_a_difficulty_is_hexadecimal(self, written: object, difficulty: int) -> None:
        assert parse_genesis(document(difficulty=written)).genesis.difficulty == difficulty

    @pytest.mark.parametrize("period", [5, "5", 5.0])
    def test_a_period_may_be_a_number_or_text(self, period: object) -> None:
        assert (
            parse_genesis(document(ibft={"blockperiodseconds": period})).ibft.parameters_at(1).block_period_ms == 5_000
        )

    def test_what_is_null_is_not_there(self) -> None:
        spec = parse_genesis(document({"londonBlock": None}, {"epochlength": None}, coinbase=None, extraData=None))
        assert spec.forks.fork_at(9, 9) is Fork.BERLIN
        assert spec.ibft.parameters_at(1).epoch_length == 30_000

    def test_a_coinbase_may_be_short(self) -> None:
        assert parse_genesis(document(coinbase="0x12")).genesis.coinbase == bytes(19) + b"\x12"


class TestHeader:
    def test_takes_every_field_from_the_file(self) -> None:
        header = parse_genesis(
            document(
                nonce="10",
                timestamp="017",
                gasLimit="0x1000",
                extraData="0xf800",
                mixHash="0x0102",
                coinbase=VALIDATOR,
                parentHash="0x" + "07" * 32,
                difficulty="0x3",
            )
        ).genesis.header(b"\x01" * 32)
        assert header.nonce == bytes(7) + b"\x10", "a nonce is hexadecimal with or without 0x"
        assert header.timestamp == 15, "a leading zero means octal, as in Java"
        assert (header.gas_limit, header.difficulty, header.extra_data) == (4096, 3, b"\xf8\x00")
        assert header.mix_hash == bytes(30) + b"\x01\x02"
        assert (header.coinbase.hex(), header.parent_hash) == (VALIDATOR[2:], b"\x07" * 32)
        assert (header.state_root, header.base_fee, header.withdrawals_root) == (b"\x01" * 32, None, None)

    def test_has_the_fields_of_cancun_as_the_file_gives_them(self) -> None:
        config = {"londonBlock": 0, "shanghaiTime": 0, "cancunTime": 0}
        given = document(config, blobGasUsed="0x20000", excessBlobGas="7", parentBeaconBlockRoot="0x" + "bb" * 32)
        header = parse_genesis(given).genesis.header(bytes(32))
        assert (header.blob_gas_used, header.excess_blob_gas) == (0x20000, 7)
        assert header.parent_beacon_block_root == b"\xbb" * 32
        header = parse_genesis(document(config)).genesis.header(bytes(32))
        assert (header.blob_gas_used, header.excess_blob_gas, header.parent_beacon_block_root) == (0, 0, bytes(32))

    def test_has_a_base_fee_if_london_is_there_from_the_start_or_the_file_names_one(self) -> None:
        def fee(config: dict[str, Any], **fields: Any) -> int | None:
            return parse_genesis(document(config, **fields)).genesis.base_fee

        assert fee({}) is None
        assert fee({"londonBlock": 1}) is None
        assert fee({"londonBlock": 0}) == 1_000_000_000
        assert fee({"londonBlock": 0}, baseFeePerGas="0x7") == 7

    def test_gas_target_stands_for_gas_limit(self) -> None:
        given = document(gasTarget="0x99")
        del given["gasLimit"]
        assert parse_genesis(given).genesis.gas_limit == 0x99


class TestRefusals:
    @pytest.mark.parametrize("engine", ["ethash", "clique"])
    def test_other_engines(self, engine: str) -> None:
        assert engine in refusal(document({engine: {}}))

    def test_no_engine(self) -> None:
        assert "config.ibft2" in refusal({**document(), "config": {"chainId": 1}})

    @pytest.mark.parametrize(
        "given", [[], "text", None, 5, {}, {"config": 5}, {"config": {"ibft2": None}}, {"config": {"ibft2": 3}}]
    )
    def test_documents_of_another_shape(self, given: Any) -> None:
        refusal(given)

    @pytest.mark.parametrize("key", ["difficulty", "gasLimit"])
    def test_missing_fields(self, key: str) -> None:
        given = document()
        del given[key]
        assert key.lower() in refusal(given)

    def test_of_keys_that_differ_in_case_only_the_last_one_counts(self) -> None:
        assert parse_genesis(document({"chainid": 8})).chain_id == 8

    def test_another_curve(self) -> None:
        assert "ecCurve" in refusal(document({"ecCurve": "secp256r1"}))

    def test_documents_without_end(self) -> None:
        given: dict[str, Any] = {}
        for _ in range(50):
            given = {"config": given}
        assert "nested" in refusal(given)


class TestUnknownKeys:
    def test_are_told_and_left_alone(self) -> None:
        spec = parse_genesis(document({"madeUpBlock": 5}, {"blockperiodsecond": 5}, surprise=1))
        text = " ".join(spec.warnings)
        assert all(name in text for name in ("config.madeupblock", "config.ibft2.blockperiodsecond", "surprise"))

    def test_common_ones_are_not_worth_a_warning(self) -> None:
        spec = parse_genesis(document({"eip155Block": 0, "discovery": {}}, number="0x0", gasUsed="0x0"))
        assert spec.warnings == ()


class TestFiles:
    def write(self, path: Path, text: str) -> Path:
        file = path / "genesis.json"
        file.write_text(text)
        return file

    def test_reads_a_file(self, tmp_path: Path) -> None:
        assert load_genesis(self.write(tmp_path, json.dumps(document()))).chain_id == 7

    @pytest.mark.parametrize(
        "text",
        [
            "",
            "{",
            "[" * 100_000,
            '{"config": NaN}',
            json.dumps(document())[:-1] + ', "ALLOC": {}}',
        ],
    )
    def test_names_the_file_that_is_no_genesis(self, tmp_path: Path, text: str) -> None:
        file = self.write(tmp_path, text)
        with pytest.raises(GenesisError, match=str(file)):
            load_genesis(file)

    def test_of_keys_given_twice_the_last_one_counts_and_it_is_told(self, tmp_path: Path) -> None:
        alloc = '{"0x01": {"balance": "1", "balance": "2"}, "0x02": {"balance": "5"}, "0x01": {"balance": "3"}}'
        text = json.dumps(document())[:-1] + ', "Difficulty": "0x2", "timestamp": "0x1", "timestamp": "0x2"}'
        spec = load_genesis(self.write(tmp_path, text.replace('"alloc": {}', f'"alloc": {alloc}')))
        assert (spec.genesis.difficulty, spec.genesis.timestamp) == (2, 2)
        assert {account.address[-1]: account.balance for account in spec.genesis.alloc} == {1: 3, 2: 5}
        assert {warning.split()[0] for warning in spec.warnings} == {"Difficulty", "timestamp", "balance", "0x01"}

    def test_names_the_file_that_is_not_there_or_no_text(self, tmp_path: Path) -> None:
        with pytest.raises(GenesisError, match="absent"):
            load_genesis(tmp_path / "absent.json")
        (tmp_path / "binary.json").write_bytes(b"\xff\xfe\x00")
        with pytest.raises(GenesisError, match="binary"):
            load_genesis(tmp_path / "binary.json")

    def test_reads_no_more_of_a_pipe_than_of_a_file(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """The system tells a size of 0 for pipes and devices."""
        monkeypatch.setattr("lacnode.chainspec.genesis.MAX_GENESIS_FILE_BYTES", 1000)
        text, pipe = json.dumps(document()).ljust(1001), tmp_path / "pipe"
        file = self.write(tmp_path, text)
        os.mkfifo(pipe)
        writer = threading.Thread(target=pipe.write_text, args=[text])
        writer.start()
        for path in (pipe, file):
            with pytest.raises(GenesisError, match=f"{path}: larger than 1000 bytes"):
                load_genesis(path)
        writer.join()

    @pytest.mark.skipif(not LOCAL.exists(), reason="the real chain (shared/data/lacnet-local) is not here")
    def test_reads_lacchains(self) -> None:
        spec = load_genesis(LOCAL / "genesis.json")
        assert (spec.chain_id, spec.contract_size_limit, spec.warnings) == (648_550, 2_147_483_647, ())
        assert spec.forks.fork_at(0, 0) is Fork.PETERSBURG
        assert (spec.ibft.parameters_at(1).block_period_ms, spec.ibft.parameters_at(1).request_timeout_ms) == (
            2000,
            4000,
        )
        assert len(spec.genesis.alloc) > 1
