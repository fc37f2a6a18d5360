"""Records of groups have owners: who is no member tells of none, and no record takes the place of one that is kept."""

from dataclasses import replace

import pytest

from lacnode.privacy.group_ids import group_id, sort_keys_by_java_hash
from lacnode.privacy.keys import KeyPair, KeyRing
from lacnode.privacy.manager.group_record import GroupRecord, encode_orion_group
from lacnode.privacy.manager.local_transaction_manager import LocalTransactionManager
from lacnode.privacy.manager.proven_group import decode_proven_group, encode_proven_group
from lacnode.privacy.transaction_manager import EnclaveError, GroupType
from tests.support.manager_network import ManagerNetwork

A, B, C, E = (KeyPair.from_private_bytes(bytes([number]) * 32) for number in range(51, 55))
SECRET = b"anything"


@pytest.fixture
def network() -> ManagerNetwork:
    network = ManagerNetwork()
    for url, pair in (("http://a", A), ("http://b", B), ("http://c", C)):
        network.add(url, [pair])
    return network


def named(*members: bytes, seed: bytes = b"seed", name: str = "ours") -> GroupRecord:
    return GroupRecord(members, name, "", True, GroupType.PANTHEON, seed)


def colliding() -> GroupRecord:
    """All members but the last, and its key as the seed: the id of the group of recipients {A, B, C}."""
    *first, last = sort_keys_by_java_hash((A.public, B.public, C.public))
    record = named(*first, seed=last)
    assert record.id == group_id((A.public, B.public, C.public))
    return record


def push(manager: LocalTransactionManager, record: GroupRecord, teller: KeyPair | None = None) -> str:
    """As a peer does, with or without a proof."""
    if teller is None:
        return manager.groups.receive_announcement(encode_orion_group(record))
    body = encode_proven_group(record, teller, manager.keys.public_keys[0])
    assert body is not None
    return manager.groups.receive_announcement_with_proof(body)


def refused(manager: LocalTransactionManager, record: GroupRecord, teller: KeyPair | None = None) -> bool:
    with pytest.raises(EnclaveError, match="PrivacyGroupNotStored"):
        push(manager, record, teller)
    return True


class TestColliding:
    def test_ids_are_refused_and_the_last_member_still_sends(self, network: ManagerNetwork) -> None:
        a, b, c = network.managers.values()
        record = colliding()
        for manager in (a, b, c):
            if manager.keys.public_keys[0] in record.members:
                assert refused(manager, record)
                assert all(refused(manager, record, teller) for teller in (A, B, C) if teller.public in record.members)
        for sender, others in ((a, (B, C)), (b, (A, C)), (c, (A, B))):
            sender.send(SECRET, None, [other.public for other in others])

    def test_the_record_that_an_earlier_version_accepted_keeps_nobody_from_sending(
        self, network: ManagerNetwork
    ) -> None:
        a, b, c = network.managers.values()
        for store in network.stores.values():
            store.groups.put(colliding())
        for sender, others in ((a, (B, C)), (b, (A, C)), (c, (A, B))):
            sender.send(SECRET, None, [other.public for other in others])
            assert sender.retrieve_group(colliding().id).type is GroupType.LEGACY

    def test_a_client_makes_none(self, network: ManagerNetwork) -> None:
        record = colliding()
        own = record.members[0]
        (maker,) = (one for one in network.managers.values() if own in one.keys.public_keys)
        with pytest.raises(EnclaveError, match="EnclavePrivacyGroupIdCreation"):
            maker.create_group(record.members, own, seed=record.seed)

    def test_a_seed_as_long_as_a_key_that_collides_with_nothing_is_taken(self, network: ManagerNetwork) -> None:
        first, last = sort_keys_by_java_hash((A.public, B.public))
        record = named(last, A.public, B.public, seed=first)
        assert record.id != group_id((*record.members, first))
        assert push(network.managers["http://b"], record, A)


class TestGroupsOfRecipients:
    def test_are_not_told(self, network: ManagerNetwork) -> None:
        legacy = GroupRecord.legacy((A.public, B.public))
        renamed = replace(legacy, name="mine")
        for record in (legacy, renamed, replace(legacy, active=False)):
            for teller in (None, A):
                assert refused(network.managers["http://b"], record, teller)
        network.managers["http://b"].send(SECRET, None, [A.public])
        assert refused(network.managers["http://b"], renamed, A)
        assert network.managers["http://b"].retrieve_group(legacy.id).name == "legacy"

    def test_are_not_deleted_by_their_client(self, network: ManagerNetwork) -> None:
        a = network.managers["http://a"]
        a.send(SECRET, None, [B.public])
        with pytest.raises(EnclaveError, match="PrivacyGroupNotDeleted"):
            a.delete_group(group_id((A.public, B.public)), A.public)

    def test_come_back_as_nothing_but_their_members(self, network: ManagerNetwork) -> None:
        b = network.managers["http://b"]
        legacy = GroupRecord.legacy((A.public, B.public))
        b.groups.store_recovered(replace(legacy, name="mine", active=False), A.public)
        assert b.retrieve_group(legacy.id) == legacy.group
        with pytest.raises(EnclaveError, match="PrivacyGroupNotStored"):
            b.groups.store_recovered(GroupRecord.legacy((B.public, C.public)), A.public)


class TestNamedGroups:
    def test_are_told_by_members_alone(self, network: ManagerNetwork) -> None:
        b, record = network.managers["http://b"], named(A.public, B.public)
        assert refused(b, record, E)
        assert push(b, record, A)
        assert b.retrieve_group(record.id).name == "ours"

    def test_are_not_renamed(self, network: ManagerNetwork) -> None:
        b, record = network.managers["http://b"], named(A.public, B.public)
        push(b, record, A)
        assert refused(b, replace(record, name="mine"), A)
        assert refused(b, replace(record, description="mine"))
        assert b.retrieve_group(record.id).name == "ours"
        assert push(b, record, A)

    def test_are_deleted_as_they_are_known(self, network: ManagerNetwork) -> None:
        b, record = network.managers["http://b"], named(A.public, B.public)
        push(b, record, A)
        assert refused(b, replace(record, active=False), E)
        push(b, replace(record, active=False, name="mine"), A)
        stored = network.stores["http://b"].groups.find(record.id)
        assert stored == replace(record, active=False)
        assert b.pantheon_members(record.id) == record.members, "what was sent before is executed at all members"
        push(b, record, A)
        assert network.stores["http://b"].groups.find(record.id) == stored

    def test_are_not_deleted_before_they_exist_by_who_proves_nothing(self, network: ManagerNetwork) -> None:
        b, record = network.managers["http://b"], named(A.public, B.public)
        push(b, replace(record, active=False))
        push(b, record, A)
        assert b.retrieve_group(record.id).name == "ours"

    def test_by_the_same_seed_are_made_once(self, network: ManagerNetwork) -> None:
        a = network.managers["http://a"]
        group = a.create_group([A.public, B.public], A.public, "ours", seed=b"seed")
        assert a.create_group([A.public, B.public], A.public, "ours", seed=b"seed") == group
        with pytest.raises(EnclaveError, match="PrivacyGroupNotStored"):
            a.create_group([A.public, B.public], A.public, "mine", seed=b"seed")
        a.delete_group(group.id, A.public)
        with pytest.raises(EnclaveError, match="PrivacyGroupNotStored"):
            a.create_group([A.public, B.public], A.public, "ours", seed=b"seed")

    def test_reach_orions_and_ours(self, network: ManagerNetwork) -> None:
        a = network.managers["http://a"]
        network.orions.add("http://b")
        group = a.create_group([A.public, B.public, C.public], A.public)
        assert all(manager.retrieve_group(group.id) == group for manager in network.managers.values())
        a.delete_group(group.id, A.public)
        assert not any(manager.find_groups(group.members) for manager in network.managers.values())


class TestProofs:
    def test_are_of_the_two_keys(self) -> None:
        record = named(A.public, B.public)
        body = encode_proven_group(record, A, B.public)
        assert body is not None
        assert decode_proven_group(body, KeyRing([B])).proven_teller == A.public
        with pytest.raises(EnclaveError, match="EnclaveNoMatchingPrivateKey"):
            decode_proven_group(body, KeyRing([C]))
        with pytest.raises(EnclaveError, match="EnclaveNotPayloadOwner"):
            decode_proven_group(body.replace(A.public, E.public, 1), KeyRing([B]))

    def test_nothing_is_sealed_for_what_is_no_key(self) -> None:
        assert encode_proven_group(named(A.public, bytes(32)), A, bytes(32)) is None
