"""The search for a transaction in the histories of groups. Strangers can send histories that name any marker."""

import pytest

from lacnode.privacy.group_ids import group_id
from lacnode.privacy.state.flexible.group_history import PastTransaction, encode_history_payload
from lacnode.privacy.state.flexible.group_history_reader import MAX_HISTORIES_READ, GroupHistoryReader
from lacnode.privacy.state.private_payloads import PayloadUnavailableError
from lacnode.privacy.state.private_store import MarkerPlace, PrivateStoreWriter, StoredMarker
from lacnode.privacy.transaction_manager import ReceivedPayload
from tests.support.private_nodes import KEY_A, Member, PrivateTestNetwork, private

PLACE, MARKER = MarkerPlace(1, 0), b"\x05" * 32


def take_over(member: Member, group: bytes, marker: bytes) -> None:
    """Let the member have a history of `group` with `marker`, for a group that the marker at `PLACE` concerned."""
    key = group_id((group, marker))
    past = PastTransaction(private(group=group), marker, bytes(32))
    member.manager.payloads[key] = ReceivedPayload(encode_history_payload([past]), KEY_A, group)
    with member.node.chain._database.write() as batch:
        PrivateStoreWriter(batch).write_history_key(group, key)
        PrivateStoreWriter(batch).write_marker(group, StoredMarker(PLACE, MARKER, bytes(32)))


@pytest.fixture
def member() -> Member:
    return PrivateTestNetwork().b


def test_finds_what_the_caller_may_see_behind_a_strangers_history(member: Member) -> None:
    stranger, own = bytes(32), b"\x01" * 32
    take_over(member, stranger, MARKER)
    take_over(member, own, MARKER)
    histories = GroupHistoryReader(member.privacy_controller._context)
    found = histories.find_transaction(MARKER, PLACE, lambda group: group == own)
    assert found is not None
    assert found[0] == own


def test_reads_a_bounded_number_of_histories(member: Member) -> None:
    for number in range(MAX_HISTORIES_READ + 1):
        take_over(member, number.to_bytes(32), b"\x06" * 32)
    histories = GroupHistoryReader(member.privacy_controller._context)
    with pytest.raises(PayloadUnavailableError):
        histories.find_transaction(MARKER, PLACE, lambda _: True)
    assert len(member.manager.asked) == MAX_HISTORIES_READ
