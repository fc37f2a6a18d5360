"""Private transactions with large results. Their gas is not paid for on the public chain, so a block may have thousands."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import pytest

from lacnode.evm.budget import UNLIMITED, ExecutionBudget
from lacnode.privacy.state.announced_payloads import is_punctual_sender
from lacnode.privacy.state.privacy_marker import PRIVACY_ADDRESS
from lacnode.privacy.state.private_records import PrivateStatus
from lacnode.privacy.state.private_store import RECEIPTS, PrivateStoreReader
from lacnode.privacy.state.private_transaction import legacy_group_id, private_contract_address
from lacnode.privacy.state.time_slices import SETTLED_CHANGES, TimeSlices
from tests.support.private_nodes import (
    ALICE,
    BOB,
    KEEPER,
    KEY_A,
    KEY_B,
    KEY_C,
    Member,
    PrivateTestNetwork,
    deploying,
    private,
    word,
)
from tests.support.rpc_chain import RICH, signed
from tests.unit.privacy.test_execution import receipt_of

LOG_BYTES, COUNT = 100_000, 8
LOGGING = bytes.fromhex(f"62{LOG_BYTES:06x}6000a0")
REVERTING = bytes.fromhex(f"62{LOG_BYTES:06x}6000fd")
MANY_LOGS = bytes.fromhex("60c8" + "5b" + "60006000a0" + "6001900380" + "600257")
"""Two hundred logs without data and topics."""

AFTER_LATE = ((BOB, 0), (ALICE, 0), (ALICE, 1), (ALICE, 2))
HOSTILE = legacy_group_id(KEY_C, (KEY_B,))
KEEPER_ADDRESS = private_contract_address(ALICE.address, 0, legacy_group_id(KEY_A, (KEY_B,)))


class EndlessSlices(TimeSlices):
    @contextmanager
    def slice(self, *_: float) -> Iterator[ExecutionBudget]:
        yield UNLIMITED


def stored_bytes(member: Member) -> int:
    with member.node.chain._database.read() as snapshot:
        return sum(len(value) for _, value in snapshot.items(RECEIPTS))


def count_changes(member: Member) -> int:
    """Return how many private transactions of the stranger have changed the state."""
    with member.node.chain._database.read() as snapshot:
        stored = PrivateStoreReader(snapshot)
        places = {place.number for place in stored.marker_places(HOSTILE)}
        hashes = [member.node.chain.hash_at(number) or b"" for number in places]
        return sum(len(stored.roots_in_block(hash_, HOSTILE)) for hash_ in hashes)


def assert_members_agree(network: PrivateTestNetwork) -> None:
    for member in network.members:
        member.work()
    assert network.b.root(HOSTILE) == network.c.root(HOSTILE)


@pytest.fixture
def network(monkeypatch: pytest.MonkeyPatch) -> PrivateTestNetwork:
    monkeypatch.setattr("lacnode.privacy.state.unstored_results.MAX_UNSTORED_BYTES", 3 * LOG_BYTES)
    network = PrivateTestNetwork()
    # The tests are about sizes. A busy machine must not end a slice.
    network.b.privacy_controller.execution.processor._slices = EndlessSlices()
    return network


def test_are_stored_in_several_commits(network: PrivateTestNetwork) -> None:
    network.a.send(private(ALICE, 0, data=deploying(KEEPER)))
    for nonce in range(SETTLED_CHANGES):
        network.mine()
        honest = network.a.send(private(ALICE, nonce + 1, to=KEEPER_ADDRESS, data=word(nonce + 5)))
    large = [private(BOB, nonce, data=LOGGING, private_from=KEY_C, private_for=[KEY_B]) for nonce in range(COUNT)]
    keys = [network.c.privacy_controller.sender.distribute(one, KEY_C) for one in large]
    markers = [signed(RICH, nonce, to=PRIVACY_ADDRESS, data=key) for nonce, key in enumerate(keys)]
    network.mine(*markers, work=False)
    assert network.b.privacy_controller.execution.processor.step()
    assert stored_bytes(network.b) <= 4 * LOG_BYTES
    receipt = receipt_of(network.b, honest)
    assert receipt is not None
    assert receipt.status is PrivateStatus.SUCCESSFUL, "a small one of a settled group does not wait"
    assert_members_agree(network)
    assert stored_bytes(network.b) > COUNT * LOG_BYTES, "the others follow"


def mine_from_stranger(network: PrivateTestNetwork, code: bytes, payloads: int = COUNT, *, copies: int = 1) -> None:
    """A block with markers of private transactions from C to B. B executes it in one step."""
    sent = [private(BOB, nonce, data=code, private_from=KEY_C, private_for=[KEY_B]) for nonce in range(payloads)]
    keys = [network.c.privacy_controller.sender.distribute(one, KEY_C) for one in sent] * copies
    markers = [signed(RICH, nonce, to=PRIVACY_ADDRESS, data=key) for nonce, key in enumerate(keys)]
    network.mine(*markers, work=False)
    assert network.b.privacy_controller.execution.processor.step()


def test_a_result_counts_with_its_many_small_logs(network: PrivateTestNetwork) -> None:
    mine_from_stranger(network, MANY_LOGS, 4)
    assert count_changes(network.b) == 2
    assert_members_agree(network)


def test_a_result_counts_with_the_reason_of_its_revert(network: PrivateTestNetwork) -> None:
    """A revert uses no nonce, so one payload is executed again at each of its markers."""
    mine_from_stranger(network, REVERTING, 1, copies=COUNT)
    assert stored_bytes(network.b) <= 4 * LOG_BYTES
    assert_members_agree(network)
    assert stored_bytes(network.b) > COUNT * LOG_BYTES, "the others follow"


def test_small_results_have_a_bound_together(network: PrivateTestNetwork, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lacnode.privacy.state.unstored_results.MAX_ALL_UNSTORED_BYTES", 30_000)
    mine_from_stranger(network, bytes.fromhex("6127106000a0"))
    assert count_changes(network.b) == 2
    assert_members_agree(network)


def test_one_that_is_larger_than_the_bound_is_executed(
    network: PrivateTestNetwork, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lacnode.privacy.state.unstored_results.MAX_UNSTORED_BYTES", LOG_BYTES // 2)
    mine_from_stranger(network, LOGGING, 2)
    assert_members_agree(network)
    assert count_changes(network.b) == 2


def test_a_sender_stays_punctual_when_its_result_waits_for_those_of_others(network: PrivateTestNetwork) -> None:
    network.a.send(private(ALICE, 0, data=deploying(KEEPER)))
    network.mine()
    network.a.send(private(ALICE, 1, data=LOGGING))
    mine_from_stranger(network, LOGGING, 2)
    with network.b.node.chain._database.read() as snapshot:
        assert is_punctual_sender(snapshot, KEY_A)
    assert_members_agree(network)


def test_a_group_is_not_executed_again_if_its_results_are_too_large_together(
    network: PrivateTestNetwork, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent = [private(who, nonce, data=LOGGING, private_from=KEY_C, private_for=[KEY_B]) for who, nonce in AFTER_LATE]
    late, *keys = [network.c.privacy_controller.sender.distribute(one, KEY_C) for one in sent]
    held = network.b.manager.payloads.pop(late)
    for nonce, key in enumerate((late, *keys)):
        network.mine(signed(RICH, nonce, to=PRIVACY_ADDRESS, data=key))
    before, repair = network.b.root(HOSTILE), network.b.privacy_controller.execution.repair
    monkeypatch.setattr("lacnode.privacy.state.unstored_results.MAX_UNDIVIDED_BYTES", 3 * LOG_BYTES)
    network.b.manager.payloads[late] = held
    assert repair.make_due(late)
    network.b.work()
    assert network.b.root(HOSTILE) == before
    assert network.b.privacy_controller.execution.processor.progress.last_executed_block == len(sent)
    monkeypatch.setattr("lacnode.privacy.state.unstored_results.MAX_UNDIVIDED_BYTES", 9 * LOG_BYTES)
    assert repair.make_all_due() == 1
    assert_members_agree(network)


def limit_state(member: Member, limit: int) -> None:
    """Bound the private state of a member, as an operator would with a restart."""
    reader = member.privacy_controller.execution.processor.reader
    reader._quota._context = replace(reader._quota._context, state_quota_bytes=limit)


def test_count_for_the_quota_of_private_state_also_when_they_are_executed_apart(network: PrivateTestNetwork) -> None:
    limit_state(network.b, 4 * LOG_BYTES)
    mine_from_stranger(network, LOGGING)
    network.b.work()
    assert stored_bytes(network.b) < 5 * LOG_BYTES
    limit_state(network.b, 0)
    assert network.b.privacy_controller.execution.repair.make_all_due() > 0
    assert_members_agree(network)
    assert stored_bytes(network.b) > COUNT * LOG_BYTES, "the others follow"
