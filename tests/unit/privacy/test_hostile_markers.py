"""Markers that strangers send: junk that names payloads of nobody, and another's payload announced first."""

from weakref import WeakSet

import pytest

from lacnode.crypto.node_key import NodeKey
from lacnode.primitives import rlp
from lacnode.primitives.hexadecimal import to_hex
from lacnode.primitives.keccak import keccak256
from lacnode.primitives.transaction import Transaction
from lacnode.privacy.state import private_payloads
from lacnode.privacy.state.execution import PrivateTask
from lacnode.privacy.state.privacy_marker import PRIVACY_ADDRESS, FixedKeySigner, GroupMode
from lacnode.privacy.state.private_records import PrivateReceipt, PrivateStatus
from lacnode.privacy.state.private_store import PrivateStoreReader
from lacnode.privacy.state.private_transaction import legacy_group_id, private_contract_address
from tests.support.private_nodes import (
    ALICE,
    KEEPER,
    KEY_A,
    KEY_B,
    TOPIC,
    Member,
    PrivateTestNetwork,
    deploying,
    private,
    word,
)
from tests.support.rpc_chain import RICH, signed
from tests.unit.privacy.test_execution import receipt_of

GROUP = legacy_group_id(KEY_A, (KEY_B,))
KEEPER_ADDRESS = private_contract_address(ALICE.address, 0, GROUP)
SIGNER = NodeKey.from_private_key(b"\x71" * 32)


def junk(nonce: int, key: bytes | None = None) -> Transaction:
    """A stranger's marker of `key`, or of a payload that nobody has."""
    data = keccak256(b"junk%d" % nonce) if key is None else key
    return signed(RICH, nonce, to=PRIVACY_ADDRESS, data=data)


def asked_for(member: Member) -> list[bytes]:
    """The hashes of the markers whose payloads are asked for again."""
    with member.node.chain._database.read() as snapshot:
        return [marker.marker_hash for marker in PrivateStoreReader(snapshot).absent_markers()]


class TestJunk:
    @pytest.fixture(autouse=True)
    def bounded(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("lacnode.privacy.state.absent_marker_limit.MAX_ABSENT_MARKERS", 20)

    def send(self, stage: PrivateTestNetwork, first: int, count: int) -> None:
        for start in range(first, first + count, 10):
            stage.mine(*(junk(nonce) for nonce in range(start, min(start + 10, first + count))))

    def test_is_asked_for_up_to_a_bound(self, stage: PrivateTestNetwork) -> None:
        self.send(stage, 0, 100)
        assert 0 < len(asked_for(stage.b)) <= 20

    def test_takes_no_turn_from_an_honest_payload(self, stage: PrivateTestNetwork) -> None:
        """What a known signer announces is kept, and asked for first."""
        stage.a.send(private(ALICE, 0, data=deploying(KEEPER)))
        stage.mine()
        self.send(stage, 0, 30)
        honest = stage.a.send(private(ALICE, 1, to=KEEPER_ADDRESS, data=word(5)))
        key, lost = stage.b.manager.payloads.popitem()
        stage.mine()
        told = {noted_key: (signer, known) for noted_key, signer, known in stage.b.noted}
        assert told[key] == (SIGNER.address, True), "the manager asks the others in this order"
        assert told[junk(0).data] == (RICH.address, False)
        self.send(stage, 30, 100)
        assert honest in asked_for(stage.b)
        asked = len(stage.b.manager.asked)
        stage.clock.now += 3600
        stage.b.work()
        assert stage.b.manager.asked[asked] == key
        stage.b.manager.payloads[key] = lost
        assert stage.b.privacy_controller.execution.repair.make_due(key)
        stage.b.work()
        assert stage.b.root(GROUP) == stage.a.root(GROUP)

    def test_of_a_known_signer_does_not_drop_another_ones_payload(self, stage: PrivateTestNetwork) -> None:
        """A stranger becomes known by a marker of another's payload."""
        stage.a.send(private(ALICE, 0, data=deploying(KEEPER)))
        stage.mine()
        (copied,) = stage.b.manager.payloads
        stage.mine(junk(0, copied))
        honest = stage.a.send(private(ALICE, 1, to=KEEPER_ADDRESS, data=word(5)))
        stage.b.manager.payloads.popitem()
        stage.mine()
        self.send(stage, 1, 100)
        assert stage.b.noted[-1][1:] == (RICH.address, True)
        assert honest in asked_for(stage.b)

    def test_what_is_not_asked_for_any_more_is_found_when_it_comes(self, stage: PrivateTestNetwork) -> None:
        """From a signer that nobody knows."""
        honest = stage.a.send(private(ALICE, 0, data=deploying(KEEPER)))
        key, lost = stage.b.manager.payloads.popitem()
        stage.mine()
        for _ in range(10):
            stage.clock.now += 10 * 3600
            stage.b.work()
        self.send(stage, 0, 100)
        assert honest not in asked_for(stage.b)
        stage.b.manager.payloads[key] = lost
        assert stage.b.privacy_controller.execution.repair.make_due(key)
        stage.b.work()
        assert receipt_of(stage.b, honest) == receipt_of(stage.a, honest)
        assert stage.b.root(GROUP) == stage.a.root(GROUP)
        assert not stage.b.privacy_controller.execution.repair.make_due(key), "it is waited for no more"


@pytest.fixture
def stage() -> PrivateTestNetwork:
    return PrivateTestNetwork(signer=FixedKeySigner(SIGNER))


class TestAnotherMarkerFirst:
    def announced_first(self, stage: PrivateTestNetwork) -> tuple[bytes, bytes]:
        """The owner's marker and the stranger's, which comes first in one block."""
        stage.a.send(private(ALICE, 0, data=deploying(KEEPER)))
        stage.mine()
        payload = private(ALICE, 1, to=KEEPER_ADDRESS, data=word(5))
        key = stage.a.privacy_controller.sender.distribute(payload, KEY_A)
        first = junk(0, key)
        stage.a.node.send(first)
        own = stage.a.privacy_controller.sender.submit_marker(payload, key)
        stage.mine()
        return own, first.hash

    def test_the_state_is_as_in_besu(self, stage: PrivateTestNetwork) -> None:
        """Carried out at the first marker; at the second its nonce is used up."""
        own, first = self.announced_first(stage)
        for member in (stage.a, stage.b):
            assert receipt_of(member, own) == PrivateReceipt(PrivateStatus.INVALID)
            carried_out = receipt_of(member, first)
            assert carried_out is not None
            assert carried_out.status is PrivateStatus.SUCCESSFUL
        assert stage.a.root(GROUP) == stage.b.root(GROUP)

    def test_the_owner_is_told_what_came_of_it(self, stage: PrivateTestNetwork) -> None:
        own, first = self.announced_first(stage)
        shown = stage.a.node.call("priv_getTransactionReceipt", to_hex(own))
        assert isinstance(shown, dict)
        assert (shown["status"], shown["executedAtMarker"]) == ("0x1", to_hex(first))
        assert shown["commitmentHash"] == to_hex(own)
        (entry,) = shown["logs"]
        assert (entry["topics"], entry["transactionHash"]) == ([to_hex(TOPIC)], to_hex(first))
        theirs = stage.a.node.call("priv_getTransactionReceipt", to_hex(first))
        assert isinstance(theirs, dict)
        assert "executedAtMarker" not in theirs

    def test_a_nonce_that_another_payload_used_is_no_success(self, stage: PrivateTestNetwork) -> None:
        stage.a.send(private(ALICE, 0, data=deploying(KEEPER)))
        own = stage.a.send(private(ALICE, 0, data=deploying(KEEPER) + b"\x00"))
        stage.mine()
        shown = stage.a.node.call("priv_getTransactionReceipt", to_hex(own))
        assert isinstance(shown, dict)
        assert shown["status"] == "0x2"
        assert "executedAtMarker" not in shown


def test_payloads_of_one_block_are_held_one_at_a_time(
    stage: PrivateTestNetwork, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One payload of 11 MB and hundreds of markers in a block would take gigabytes. Payloads so long are not kept."""
    monkeypatch.setattr("lacnode.privacy.state.recent_tasks.MAX_RECENT_BYTES", 0)
    held, most = WeakSet[_Held](), 0

    def load_private_task(*arguments: object, **named: object) -> PrivateTask:
        nonlocal most
        task = original(*arguments, **named)  # type: ignore[arg-type]
        holder = _Held(task.index, task.private, task.group_id)
        held.add(holder)
        most = max(most, len(held))
        return holder

    original = private_payloads.load_private_task
    monkeypatch.setattr("lacnode.privacy.state.payload_reader.load_private_task", load_private_task)
    for nonce in range(5):
        stage.a.send(private(ALICE, nonce))
    stage.mine(work=False)
    assert stage.b.privacy_controller.execution.processor.step()
    assert most == 2, "the one that is executed, and the next"


class _Held(PrivateTask):
    """A task that weak references can be made to."""

    __hash__ = object.__hash__


def test_a_payload_is_decoded_once_for_its_marker(stage: PrivateTestNetwork, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whose it is, is read out of the same item as what it does: decoding holds the interpreter of the whole node."""
    stage.a.send(private(ALICE, 0, data=deploying(KEEPER) + bytes(2**20)))
    block, decoded = stage.mine(work=False), list[int]()

    def counted(data: bytes) -> rlp.RlpItem:
        decoded.append(len(data))
        return decode(data)

    decode = rlp.decode
    monkeypatch.setattr(rlp, "decode", counted)
    private_payloads.load_private_task(stage.b.manager, block.transactions[0], 0, GroupMode.OFFCHAIN)
    assert sum(length > 2**20 for length in decoded) == 1
