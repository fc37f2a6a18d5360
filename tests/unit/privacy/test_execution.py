"""Private transactions executed as Besu does: on private state with the public one behind it, nonces and addresses of
their own, and what a failure takes back."""

import base64
from typing import Any

import pytest
from trie.hexary import HexaryTrie

from lacnode.primitives import rlp
from lacnode.primitives.hexadecimal import to_hex
from lacnode.primitives.keccak import EMPTY_TRIE_ROOT, keccak256
from lacnode.privacy.state.group_statuses import GroupCondition
from lacnode.privacy.state.privacy_marker import FixedKeySigner
from lacnode.privacy.state.private_records import PrivateReceipt, PrivateStatus
from lacnode.privacy.state.private_store import PrivateStoreReader
from lacnode.privacy.state.private_transaction import (
    PrivateTransaction,
    encode_payload_text,
    legacy_group_id,
    private_contract_address,
)
from lacnode.privacy.state.processor import PrivateBlock
from lacnode.privacy.transaction_manager import ReceivedPayload
from tests.support.private_nodes import (
    ALICE,
    BOB,
    KEEPER,
    KEY_A,
    KEY_B,
    KEY_C,
    LOOP,
    READER,
    REVERTER,
    TOPIC,
    WRITER,
    Member,
    PrivateTestNetwork,
    creating,
    deploying,
    destroying,
    private,
    storing_around,
    word,
)
from tests.support.rpc_chain import REVERTER_ADDRESS, RICH, STORER_ADDRESS, signed

GROUP = legacy_group_id(KEY_A, (KEY_B,))


@pytest.fixture
def stage() -> PrivateTestNetwork:
    return PrivateTestNetwork()


def receipt_of(member: Member, marker: bytes) -> PrivateReceipt | None:
    place = member.node.chain.transaction_location(marker)
    assert place is not None
    with member.node.chain._database.read() as snapshot:
        return PrivateStoreReader(snapshot).receipt(place.block_hash, marker, GROUP)


def run(stage: PrivateTestNetwork, *data: bytes, to: bytes | None = None) -> PrivateReceipt:
    """Send what A's Alice says next, in one block; the last receipt."""
    for payload in data:
        nonce = stage.a.privacy_controller.states.next_nonce(ALICE.address, GROUP)
        marker = stage.a.send(private(ALICE, nonce, to=to, data=payload))
        stage.mine()
    receipt = receipt_of(stage.a, marker)
    assert receipt is not None
    return receipt


def last_marker(stage: PrivateTestNetwork) -> bytes:
    (marker,) = stage.a.node.chain.block_at(stage.a.node.chain.head.header.number).transactions  # type: ignore[union-attr]
    return marker.hash


def deployed(stage: PrivateTestNetwork, code: bytes) -> bytes:
    nonce = stage.a.privacy_controller.states.next_nonce(ALICE.address, GROUP)
    assert run(stage, deploying(code)).status is PrivateStatus.SUCCESSFUL
    return private_contract_address(ALICE.address, nonce, GROUP)


def slot(stage: PrivateTestNetwork, address: bytes, number: int = 0, member: Member | None = None) -> int:
    member = member or stage.a
    return member.privacy_controller.states.state_at(GROUP, member.node.chain.head.header.number).storage(
        address, number
    )


def publicly_deployed(stage: PrivateTestNetwork, code: bytes, nonce: int) -> bytes:
    """The address of a public contract that Bob makes with his `nonce`."""
    stage.mine(signed(BOB, nonce, to=None, data=deploying(code), gas=1_000_000))
    return keccak256(rlp.encode([BOB.address, rlp.encode_scalar(nonce)]))[12:]


def forwarding(callee: bytes) -> bytes:
    """Returns the word that `callee` returns."""
    return bytes.fromhex("60206000600060006000" + "73" + callee.hex() + "5af150" + "60206000f3")


class TestGroups:
    def test_members_agree_and_a_third_has_nothing(self, stage: PrivateTestNetwork) -> None:
        keeper = deployed(stage, KEEPER)
        receipt = run(stage, word(42), to=keeper)
        assert (receipt.status, receipt.logs[0].topics, receipt.logs[0].data) == (1, (TOPIC,), word(42))
        assert slot(stage, keeper) == slot(stage, keeper, member=stage.b) == 42
        assert stage.a.root(GROUP) == stage.b.root(GROUP) != EMPTY_TRIE_ROOT
        assert stage.c.root(GROUP) == EMPTY_TRIE_ROOT
        with stage.c.node.chain._database.read() as snapshot:
            assert not list(snapshot.items("private_state"))
            assert not list(snapshot.items("private_receipts"))

    def test_logs_are_told_when_the_state_stands_and_before_a_receipt_is_given(self, stage: PrivateTestNetwork) -> None:
        """Who then makes a filter is not told of a block that is known already."""
        keeper = deployed(stage, KEEPER)
        privacy_controller, seen = stage.a.privacy_controller, []

        def told(block: PrivateBlock) -> None:
            (status,) = privacy_controller.statuses.all()
            is_given = privacy_controller.execution.processor.progress.wait_for(block.header.number, 0)
            seen.append((block.header.number, status.condition, status.number, status.root, is_given))

        privacy_controller.execution.processor.on_private_logs(told)
        run(stage, word(42), to=keeper)
        assert seen == [(2, GroupCondition.CURRENT, 2, stage.a.root(GROUP), False)]

    def test_groups_do_not_see_each_other(self, stage: PrivateTestNetwork) -> None:
        keeper = deployed(stage, KEEPER)
        stage.a.send(private(ALICE, 0, to=keeper, data=word(7), private_for=[stage.c.manager.key]))
        stage.mine()
        assert slot(stage, keeper) == 0
        assert stage.a.privacy_controller.states.next_nonce(ALICE.address, GROUP) == 1

    def test_earlier_roots_stay_readable(self, stage: PrivateTestNetwork) -> None:
        keeper = deployed(stage, KEEPER)
        run(stage, word(1), word(2), to=keeper)
        privacy_controller = stage.a.privacy_controller
        assert [privacy_controller.states.state_at(GROUP, number).storage(keeper, 0) for number in range(4)] == [
            0,
            0,
            1,
            2,
        ]

    def test_several_in_one_block_follow_each_other(self, stage: PrivateTestNetwork) -> None:
        markers = [stage.a.send(private(ALICE, 0, data=deploying(KEEPER)))]
        keeper = private_contract_address(ALICE.address, 0, GROUP)
        markers += [stage.a.send(private(ALICE, nonce, to=keeper, data=word(nonce))) for nonce in (1, 2)]
        block = stage.mine()
        order = [transaction.hash for transaction in block.transactions]
        statuses = {marker: receipt_of(stage.a, marker) for marker in order}
        expected = run_in_order([markers.index(marker) for marker in order])
        assert [receipt.status for receipt in statuses.values() if receipt] == expected
        assert stage.a.root(GROUP) == stage.b.root(GROUP)


def run_in_order(nonces: list[int]) -> list[PrivateStatus]:
    """Which of the nonces are used when they come in this order."""
    following, statuses = 0, []
    for nonce in nonces:
        statuses.append(PrivateStatus.SUCCESSFUL if nonce == following else PrivateStatus.INVALID)
        following += nonce == following
    return statuses


class TestRoots:
    def test_are_those_of_the_accounts_and_nothing_else(self, stage: PrivateTestNetwork) -> None:
        """Sender and contract: no coinbase, no marker's sender, and nothing of the public state."""
        keeper = deployed(stage, KEEPER)
        assert stage.a.root(GROUP) == root_of({ALICE.address: (1, b"", {}), keeper: (1, KEEPER, {})})
        run(stage, word(42), to=keeper)
        assert stage.a.root(GROUP) == root_of({ALICE.address: (2, b"", {}), keeper: (1, KEEPER, {0: 42})})


def root_of(accounts: dict[bytes, tuple[int, bytes, dict[int, int]]]) -> bytes:
    """The state root of accounts with nonce, code and storage, by another library."""
    state: Any = HexaryTrie({})
    for address, (nonce, code, slots) in accounts.items():
        storage: Any = HexaryTrie({})
        for number, value in slots.items():
            storage[keccak256(word(number))] = rlp.encode(rlp.encode_scalar(value))
        account = [rlp.encode_scalar(nonce), b"", storage.root_hash, keccak256(code)]
        state[keccak256(address)] = rlp.encode(account)
    return bytes(state.root_hash)


class TestNonces:
    @pytest.mark.parametrize("nonce", [0, 2])
    def test_only_the_next_one_is_executed(self, stage: PrivateTestNetwork, nonce: int) -> None:
        keeper = deployed(stage, KEEPER)
        before = stage.a.root(GROUP)
        marker = stage.a.send(private(ALICE, nonce, to=keeper, data=word(9)))
        stage.mine()
        assert receipt_of(stage.a, marker) == PrivateReceipt(PrivateStatus.INVALID)
        assert stage.a.root(GROUP) == before

    def test_the_same_twice_in_a_block(self, stage: PrivateTestNetwork) -> None:
        keeper = deployed(stage, KEEPER)
        markers = [stage.a.send(private(ALICE, 1, to=keeper, data=word(5))) for _ in range(2)]
        stage.mine()
        found = [receipt_of(stage.a, marker) for marker in markers]
        assert sorted(receipt.status for receipt in found if receipt) == [1, 2]

    def test_a_failure_leaves_the_nonce(self, stage: PrivateTestNetwork) -> None:
        reverter = deployed(stage, REVERTER)
        receipt = run(stage, b"", to=reverter)
        assert receipt == PrivateReceipt(PrivateStatus.FAILED, revert_reason=bytes.fromhex("08c379a0"))
        assert stage.a.privacy_controller.states.next_nonce(ALICE.address, GROUP) == 1


class TestInvalid:
    @pytest.mark.parametrize("wrong", [{"value": 1}, {"chain_id": 5}])
    def test_is_not_executed(self, stage: PrivateTestNetwork, wrong: dict[str, int]) -> None:
        marker = stage.a.send(private(ALICE, 0, data=deploying(KEEPER), **wrong))  # type: ignore[arg-type]
        stage.mine()
        assert receipt_of(stage.a, marker) == PrivateReceipt(PrivateStatus.INVALID)

    def test_without_a_valid_signature_it_is_not_executed(self, stage: PrivateTestNetwork) -> None:
        items = rlp.decode_list(private(ALICE, 0, data=deploying(KEEPER)).raw, "private transaction")
        items[7] = b"\x05"  # no point of the curve has this x
        marker = stage.a.send(PrivateTransaction.decode(rlp.encode(items)))
        stage.mine()
        for member in (stage.a, stage.b):
            assert receipt_of(member, marker) == PrivateReceipt(PrivateStatus.INVALID)
            assert member.root(GROUP) == EMPTY_TRIE_ROOT

    def test_who_is_not_the_sender_is_ignored(self, stage: PrivateTestNetwork) -> None:
        forged = private(ALICE, 0, data=deploying(KEEPER), private_from=KEY_B)
        marker = stage.a.privacy_controller.sender.submit_marker(
            forged, stage.a.manager.send(encode_payload_text(forged), KEY_A, (KEY_B,))
        )
        stage.mine()
        assert receipt_of(stage.a, marker) is None
        assert stage.a.root(GROUP) == EMPTY_TRIE_ROOT

    def test_who_is_no_member_of_the_group_is_ignored(self, stage: PrivateTestNetwork) -> None:
        group = stage.a.manager.create_group([KEY_A, KEY_B], KEY_A).id
        forged = private(ALICE, 0, data=deploying(KEEPER), private_from=KEY_C, group=group)
        stage.b.manager.payloads[bytes(32)] = ReceivedPayload(encode_payload_text(forged), KEY_C, group)
        marker = stage.c.privacy_controller.sender.submit_marker(forged, bytes(32))
        stage.mine()
        assert receipt_of(stage.b, marker) is None
        assert stage.b.root(group) == EMPTY_TRIE_ROOT

    def test_what_never_ends_fails(self, stage: PrivateTestNetwork, monkeypatch: pytest.MonkeyPatch) -> None:
        """In a network whose blocks have gas for years too."""
        monkeypatch.setattr("lacnode.evm.py_evm_private.MAX_WORK_GAS", 100_000)
        loop = deployed(stage, LOOP)
        assert run(stage, b"", to=loop) == PrivateReceipt(PrivateStatus.FAILED)


class TestBounds:
    CALL_SELF = "60006000600060006000" + "305a" + "f1"

    def test_calls_may_be_as_deep_as_they_may_be_anywhere(self, stage: PrivateTestNetwork) -> None:
        deep = deployed(stage, bytes.fromhex(self.CALL_SELF + "600055" + "00"))
        assert run(stage, b"", to=deep).status is PrivateStatus.SUCCESSFUL
        assert slot(stage, deep) == 1

    def test_gas_that_a_call_is_given_is_not_spent(self, stage: PrivateTestNetwork) -> None:
        """Each of 200 calls may spend a thousand million, and spends next to nothing."""
        quiet = deployed(stage, b"\x00")
        call = "60006000600060006000" + "73" + quiet.hex() + "633b9aca00" + "f150"
        caller = deployed(stage, bytes.fromhex(call * 200 + "6001600055" + "00"))
        assert run(stage, b"", to=caller).status is PrivateStatus.SUCCESSFUL
        assert slot(stage, caller) == 1

    @pytest.mark.parametrize(("rounds", "status"), [(460, PrivateStatus.SUCCESSFUL), (490, PrivateStatus.FAILED)])
    def test_a_transaction_may_spend_the_gas_of_a_block(self, rounds: int, status: PrivateStatus) -> None:
        """Three million here; a round of the loop hashes 32 KiB and spends 6,208."""
        stage = PrivateTestNetwork(gas_limit=3_000_000)
        loop = deployed(stage, bytes.fromhex("600035" + "5b" + "61800060002050" + "600190038060035700"))
        receipts = [run(stage, word(rounds), to=loop), receipt_of(stage.b, last_marker(stage))]
        assert [receipt and receipt.status for receipt in receipts] == [status, status]

    @pytest.mark.parametrize(("rounds", "status"), [(9_999, PrivateStatus.SUCCESSFUL), (10_000, PrivateStatus.FAILED)])
    def test_gas_of_blake2_counts_a_hundredfold_from_ten_thousand_on(
        self, stage: PrivateTestNetwork, monkeypatch: pytest.MonkeyPatch, rounds: int, status: PrivateStatus
    ) -> None:
        call = "366000600037" + "6040600060d5600060006009" + "62ffffff" + "f1" + "600055" + "00"
        caller = deployed(stage, bytes.fromhex(call))
        monkeypatch.setattr("lacnode.evm.py_evm_private.MAX_WORK_GAS", 200_000)
        assert run(stage, rounds.to_bytes(4) + bytes(209), to=caller).status is status

    @pytest.mark.parametrize(
        ("limit", "status"), [(9_300_000, PrivateStatus.SUCCESSFUL), (9_000_000, PrivateStatus.FAILED)]
    )
    def test_gas_of_a_pairing_counts_two_hundredfold(
        self, stage: PrivateTestNetwork, monkeypatch: pytest.MonkeyPatch, limit: int, status: PrivateStatus
    ) -> None:
        """A pairing of nothing costs 45,000 gas."""
        caller = deployed(stage, bytes.fromhex("60206000600060006000600862ffffff" + "f1" + "600055" + "00"))
        monkeypatch.setattr("lacnode.evm.py_evm_private.MAX_WORK_GAS", limit)
        assert run(stage, b"", to=caller).status is status

    def test_many_calls_cost_what_they_spend(self, stage: PrivateTestNetwork) -> None:
        """2,000 calls of next to nothing, which cost 1.5 million gas together."""
        quiet = deployed(stage, b"\x00")
        call = "60006000600060006000" + "73" + quiet.hex() + "61ffff" + "f150"
        caller = deployed(stage, bytes.fromhex("6107d0" + "5b" + call + "600190038060035700"))
        assert run(stage, b"", to=caller).status is PrivateStatus.SUCCESSFUL

    def test_a_call_without_gas_for_its_memory_fails_alone(self, stage: PrivateTestNetwork) -> None:
        greedy = deployed(stage, bytes.fromhex("600166" + "ff" * 7 + "5200"))
        call = "60006000600060006000" + "73" + greedy.hex() + "612710" + "f150"
        caller = deployed(stage, bytes.fromhex(call + "6001600055" + "00"))
        assert run(stage, b"", to=caller).status is PrivateStatus.SUCCESSFUL
        assert slot(stage, caller) == 1
        assert run(stage, b"", to=greedy) == PrivateReceipt(PrivateStatus.FAILED)

    def test_memory_of_all_calls_together(self, stage: PrivateTestNetwork, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("lacnode.evm.py_evm_private.MAX_PRIVATE_MEMORY_BYTES", 50_000)
        hoarder = deployed(stage, bytes.fromhex("6001610400" + "52" + self.CALL_SELF + "00"))
        assert run(stage, b"", to=hoarder) == PrivateReceipt(PrivateStatus.FAILED)

    def test_bytes_of_all_logs_together(self, stage: PrivateTestNetwork, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("lacnode.evm.py_evm_private.MAX_PRIVATE_LOG_BYTES", 5_000)
        log = "611000" + "6000" + "a0"
        once, twice = deployed(stage, bytes.fromhex(log + "00")), deployed(stage, bytes.fromhex(log + log + "00"))
        assert run(stage, b"", to=once).status is PrivateStatus.SUCCESSFUL
        assert run(stage, b"", to=twice) == PrivateReceipt(PrivateStatus.FAILED)

    @pytest.mark.parametrize("end", ["f3", "fd"])
    def test_bytes_that_are_returned(
        self, stage: PrivateTestNetwork, monkeypatch: pytest.MonkeyPatch, end: str
    ) -> None:
        """Receipts are kept for good."""
        monkeypatch.setattr("lacnode.evm.py_evm_private.MAX_PRIVATE_OUTPUT_BYTES", 4_096)
        for size, fits in ((4_096, True), (4_128, False)):
            contract = deployed(stage, bytes.fromhex("61" + size.to_bytes(2).hex() + "6000" + end))
            receipt = run(stage, b"", to=contract)
            assert receipt.status is (PrivateStatus.SUCCESSFUL if end == "f3" and fits else PrivateStatus.FAILED)
            assert len(receipt.output if end == "f3" else receipt.revert_reason or b"") == (size if fits else 0)
            assert stage.a.root(GROUP) == stage.b.root(GROUP)

    def test_what_a_call_without_a_transaction_returns_is_not_bounded(
        self, stage: PrivateTestNetwork, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("lacnode.evm.py_evm_private.MAX_PRIVATE_OUTPUT_BYTES", 100)
        contract = deployed(stage, bytes.fromhex("6110006000f3"))
        question = {"to": to_hex(contract), "data": "0x"}
        group = base64.b64encode(GROUP).decode()
        assert stage.a.node.call("priv_call", group, question, "latest") == to_hex(bytes(4_096))


class TestPublicAccounts:
    def test_are_read(self, stage: PrivateTestNetwork) -> None:
        reader, keeper = deployed(stage, READER), publicly_deployed(stage, KEEPER, 0)
        stage.mine(signed(BOB, 1, to=keeper, data=word(12)))
        assert run(stage, word(keeper), to=reader).status is PrivateStatus.SUCCESSFUL
        assert slot(stage, reader) == slot(stage, reader, member=stage.b) == 12

    def test_are_read_through_each_other(self, stage: PrivateTestNetwork) -> None:
        inner = publicly_deployed(stage, bytes.fromhex("602a60005260206000f3"), 0)
        for nonce in (1, 2):
            inner = publicly_deployed(stage, forwarding(inner), nonce)
        reader = deployed(stage, READER)
        assert run(stage, word(inner), to=reader).status is PrivateStatus.SUCCESSFUL
        assert slot(stage, reader) == 42

    @pytest.mark.parametrize("code", [creating(), destroying(b"\x77" * 20), bytes.fromhex("6001600055")])
    def test_neither_create_nor_die_nor_store(self, stage: PrivateTestNetwork, code: bytes) -> None:
        contract = publicly_deployed(stage, code, 0)
        assert run(stage, b"", to=contract) == PrivateReceipt(PrivateStatus.FAILED)
        head = stage.a.node.chain.head.header
        assert stage.a.node.chain.state_at(head).code(contract) == code

    def test_are_seen_as_they_are_at_the_marker(self, stage: PrivateTestNetwork) -> None:
        """Within a block, what public transactions before the marker did shows, and what comes after does not."""
        reader = deployed(stage, READER)
        keeper = publicly_deployed(stage, KEEPER, 0)
        stage.a.node.send(signed(BOB, 1, to=keeper, data=word(7)))
        stage.a.send(private(ALICE, 1, to=reader, data=word(keeper)))
        stage.a.node.send(signed(BOB, 2, to=keeper, data=word(8)))
        block = stage.mine()
        writes = [index for index, transaction in enumerate(block.transactions) if transaction.to == keeper]
        marker = next(index for index, transaction in enumerate(block.transactions) if transaction.to != keeper)
        assert slot(stage, reader) == [0, 7, 8][sum(index < marker for index in writes)]

    def test_have_paid_for_the_marker(self) -> None:
        """The marker's sender has bought its gas when the private transaction runs, and got nothing back yet."""
        stage = PrivateTestNetwork(FixedKeySigner(RICH))
        teller = deployed(stage, bytes.fromhex("600035" + "31" + "600055" + "00"))
        chain = stage.a.node.chain
        before = chain.state_at(chain.head.header).balance(RICH.address)
        stage.a.send(private(ALICE, 1, to=teller, data=word(RICH.address), price=3, gas=1_000_000))
        stage.mine()
        assert slot(stage, teller) == before - 3_000_000

    def test_cannot_be_written(self, stage: PrivateTestNetwork) -> None:
        writer = deployed(stage, WRITER)
        assert run(stage, word(STORER_ADDRESS) + word(5), to=writer).status is PrivateStatus.SUCCESSFUL
        assert slot(stage, writer) == 0
        head = stage.a.node.chain.head.header
        assert stage.a.node.chain.state_at(head).storage(STORER_ADDRESS, 0) == 0

    def test_written_to_at_first_hand_fail_the_transaction(self, stage: PrivateTestNetwork) -> None:
        before = stage.a.root(GROUP)
        assert run(stage, word(5), to=STORER_ADDRESS) == PrivateReceipt(PrivateStatus.FAILED)
        assert stage.a.root(GROUP) == before

    def test_inherit_from_no_private_contract(self, stage: PrivateTestNetwork) -> None:
        heir = deployed(stage, destroying(STORER_ADDRESS))
        assert run(stage, b"", to=heir).status is PrivateStatus.FAILED


class TestBesusWays:
    def test_a_nested_failure_takes_back_everything_before_it(self, stage: PrivateTestNetwork) -> None:
        """The sender's nonce too: the same transaction could be executed again."""
        outer = deployed(stage, storing_around(REVERTER_ADDRESS))
        assert run(stage, b"", to=outer).status is PrivateStatus.SUCCESSFUL
        assert (slot(stage, outer, 0), slot(stage, outer, 1)) == (0, 2)
        assert stage.a.privacy_controller.states.next_nonce(ALICE.address, GROUP) == 1

    def test_a_nested_success_settles_what_was_before_it(self, stage: PrivateTestNetwork) -> None:
        quiet = deployed(stage, b"\x00")
        reverting_after = bytes.fromhex(
            "6001600055"
            + "60006000600060006000" + "73" + quiet.hex() + "5af150"
            + "60006000600060006000" + "73" + REVERTER_ADDRESS.hex() + "5af150"
            + "00"
        )  # fmt: skip
        outer = deployed(stage, reverting_after)
        assert run(stage, b"", to=outer).status is PrivateStatus.SUCCESSFUL
        assert slot(stage, outer) == 1
        assert stage.a.privacy_controller.states.next_nonce(ALICE.address, GROUP) == 3

    def test_a_creation_that_fails_at_its_end_takes_back_everything_before_it(self, stage: PrivateTestNetwork) -> None:
        """Its code is too long: what its caller did is undone, and only what comes after it stays."""
        too_long = bytes.fromhex("6160016000f3")
        create = "65" + too_long.hex() + "600052" + "6006601a6000f050"
        outer = deployed(stage, bytes.fromhex("6001600055" + create + "6002600155" + "00"))
        assert run(stage, b"", to=outer).status is PrivateStatus.SUCCESSFUL
        assert (slot(stage, outer, 0), slot(stage, outer, 1)) == (0, 2)

    def test_a_creation_over_a_contract_takes_back_what_is_not_settled(self, stage: PrivateTestNetwork) -> None:
        again = "6005600060006000f550"
        outer = deployed(stage, bytes.fromhex("6001600055" + again + "6001600155" + again + "6002600255" + "00"))
        assert run(stage, b"", to=outer).status is PrivateStatus.SUCCESSFUL
        assert [slot(stage, outer, number) for number in range(3)] == [1, 0, 2]

    def test_self_destructed_contracts_stay(self, stage: PrivateTestNetwork) -> None:
        doomed = deployed(stage, destroying(b"\x77" * 20))
        assert run(stage, b"", to=doomed).status is PrivateStatus.SUCCESSFUL
        state = stage.a.privacy_controller.states.state_at(GROUP, stage.a.node.chain.head.header.number)
        assert state.code(doomed) == destroying(b"\x77" * 20)
        assert state.exists(b"\x77" * 20)

    def test_whoever_is_called_exists_from_then_on(self, stage: PrivateTestNetwork) -> None:
        nobody = b"\x78" * 20
        assert run(stage, b"", to=nobody).status is PrivateStatus.SUCCESSFUL
        assert stage.a.privacy_controller.states.state_at(GROUP, 1).exists(nobody)

    def test_a_contract_creates_at_ordinary_addresses(self, stage: PrivateTestNetwork) -> None:
        factory = deployed(stage, creating())
        assert run(stage, b"", to=factory).status is PrivateStatus.SUCCESSFUL
        made = slot(stage, factory).to_bytes(32)[12:]
        state = stage.a.privacy_controller.states.state_at(GROUP, stage.a.node.chain.head.header.number)
        assert (state.nonce(made), state.nonce(factory)) == (1, 2)


LONDON: dict[str, object] = {"berlinBlock": 0, "londonBlock": 0, "zeroBaseFee": True}
FORKS: dict[str, dict[str, object]] = {
    "byzantium": {"byzantiumBlock": 0},
    "istanbul": {"istanbulBlock": 0},
    "london": LONDON,
    "shanghai": {**LONDON, "shanghaiTime": 0},
    "cancun": {**LONDON, "shanghaiTime": 0, "cancunTime": 0},
}


@pytest.mark.parametrize("fork", FORKS)
class TestEveryFork:
    @pytest.mark.filterwarnings("ignore:.*:DeprecationWarning:eth")  # py-evm's, about SELFDESTRUCT itself
    def test_deploys_stores_fails_and_dies(self, fork: str) -> None:
        stage = PrivateTestNetwork(forks=FORKS[fork])
        keeper = deployed(stage, KEEPER)
        assert run(stage, word(5), to=keeper).status is PrivateStatus.SUCCESSFUL
        assert slot(stage, keeper, member=stage.b) == 5
        assert run(stage, b"", to=deployed(stage, REVERTER)).revert_reason == bytes.fromhex("08c379a0")
        outer = deployed(stage, storing_around(REVERTER_ADDRESS))
        assert run(stage, b"", to=outer).status is PrivateStatus.SUCCESSFUL
        assert (slot(stage, outer, 0), slot(stage, outer, 1)) == (0, 2)
        doomed = deployed(stage, destroying(b"\x77" * 20))
        assert run(stage, b"", to=doomed).status is PrivateStatus.SUCCESSFUL
        assert stage.a.root(GROUP) == stage.b.root(GROUP)

    def test_takes_init_code_of_any_length(self, fork: str) -> None:
        """The limit on init code is the public pool's, not private execution's."""
        stage = PrivateTestNetwork(forks=FORKS[fork])
        assert run(stage, deploying(KEEPER) + bytes(60_000)).status is PrivateStatus.SUCCESSFUL
