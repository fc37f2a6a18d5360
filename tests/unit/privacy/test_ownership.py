"""Whose a payload is: a stranger writes into no group, on no path, and what honest members send is still theirs."""

from collections.abc import Iterator
from dataclasses import replace

import pytest

from lacnode.primitives.hexadecimal import to_hex
from lacnode.primitives.keccak import EMPTY_TRIE_ROOT
from lacnode.privacy.group_ids import MAX_KEY_BYTES, group_id, tessera_group_id
from lacnode.privacy.keys import KeyPair, KeyRing
from lacnode.privacy.manager.encrypted_payload import encode_orion_payload, encrypt_payload, find_own_boxes
from lacnode.privacy.manager.known_groups import MAX_WIDENING_KEYS, MAX_WIDENING_WORK, KnownGroups
from lacnode.privacy.manager.local_transaction_manager import LocalTransactionManager
from lacnode.privacy.manager.payload_store import PayloadStore
from lacnode.privacy.manager.peer_directory import PeerDirectory
from lacnode.privacy.manager.tessera.tessera_nodes import TesseraNodes
from lacnode.privacy.manager.tessera.tessera_payload import encode_tessera_payload
from lacnode.privacy.manager.tessera.tessera_peer_api import TesseraPeerApi
from lacnode.privacy.payload_ownership import (
    ANOTHER_GROUP,
    FLEXIBLE,
    MAX_RECIPIENTS,
    NO_MEMBER,
    NOT_THE_RECIPIENTS,
    NOT_THE_SENDER,
    read_parties,
)
from lacnode.privacy.state.private_transaction import (
    PrivateTransaction,
    encode_payload_text,
    encode_versioned_payload,
    legacy_group_id,
    private_contract_address,
)
from lacnode.privacy.transaction_manager import EnclaveError, GroupType, PrivacyGroup, ReceivedPayload
from tests.support.manager_network import ManagerNetwork
from tests.support.private_nodes import (
    ALICE,
    BOB,
    KEEPER,
    KEY_A,
    KEY_B,
    KEY_C,
    PrivateTestNetwork,
    deploying,
    private,
    word,
)

A, B, C, E, S, T = (KeyPair.from_private_bytes(bytes([number]) * 32) for number in range(11, 17))
A_AND_B = group_id((A.public, B.public))
GROUP = legacy_group_id(KEY_A, (KEY_B,))
KEEPER_ADDRESS = private_contract_address(ALICE.address, 0, GROUP)


@pytest.fixture
def network() -> ManagerNetwork:
    network = ManagerNetwork()
    for url, pair in (("http://a", A), ("http://b", B), ("http://c", C)):
        network.add(url, [pair])
    return network


def strangers_payload() -> bytes:
    """E's private transaction for B."""
    return encode_payload_text(private(BOB, private_from=E.public, private_for=(B.public,), data=deploying(KEEPER)))


def push(manager: LocalTransactionManager, plaintext: bytes, sender: KeyPair, sent_to: bytes) -> bytes:
    """The key of what `sender` pushes to B."""
    sealed = encrypt_payload(plaintext, sender, [B.public], sent_to).with_boxes_at([0])
    manager.intake.receive_push(encode_orion_payload(sealed))
    return sealed.key


def reason(manager: LocalTransactionManager, plaintext: bytes, sender: KeyPair, sent_to: bytes) -> str | None:
    with pytest.raises(EnclaveError, match="PrivacyGroupNotFound") as error:
        push(manager, plaintext, sender, sent_to)
    return error.value.detail


class TestWhatIsPushed:
    def test_a_strangers_into_a_legacy_group(self, network: ManagerNetwork) -> None:
        """Whose id anyone can compute, and whose record B has or not."""
        b = network.managers["http://b"]
        assert reason(b, strangers_payload(), E, A_AND_B) == NOT_THE_RECIPIENTS
        b.send(b"anything", None, [A.public])
        assert b.retrieve_group(A_AND_B).members
        assert reason(b, strangers_payload(), E, A_AND_B) == NOT_THE_RECIPIENTS
        assert network.stores["http://b"].read_payloads(E.public, 0, 10) == []

    def test_a_transaction_that_another_key_signed_for(self, network: ManagerNetwork) -> None:
        forged = encode_payload_text(private(private_from=A.public, private_for=(B.public,)))
        assert reason(network.managers["http://b"], forged, E, A_AND_B) == NOT_THE_SENDER

    def test_for_a_group_made_by_name(self, network: ManagerNetwork) -> None:
        a, b, _ = network.managers.values()
        group = a.create_group([A.public, B.public], A.public).id
        other = a.create_group([A.public, B.public], A.public).id
        own = encode_payload_text(private(private_from=A.public, group=group))
        strangers = encode_payload_text(private(private_from=E.public, group=group))
        assert reason(b, own, A, other) == ANOTHER_GROUP
        assert reason(b, strangers, E, group) == NO_MEMBER
        assert reason(b, strangers_payload(), E, group) == NOT_THE_RECIPIENTS
        assert reason(b, encode_payload_text(private(private_from=A.public, private_for=(B.public,))), A, group)
        assert b.receive(push(b, own, A, group)).group_id == group

    def test_by_names_into_the_group_of_recipients(self, network: ManagerNetwork) -> None:
        b = network.managers["http://b"]
        b.send(b"anything", None, [A.public])
        named = encode_payload_text(private(private_from=A.public, group=A_AND_B))
        assert reason(b, named, A, A_AND_B) == NO_MEMBER

    def test_of_the_honest(self, network: ManagerNetwork) -> None:
        b = network.managers["http://b"]
        own = encode_payload_text(private(private_from=A.public, private_for=(B.public,)))
        assert b.receive(push(b, own, A, A_AND_B)).group_id == A_AND_B
        flexible = encode_versioned_payload(private(private_from=A.public, group=bytes(32)), bytes(32))
        assert b.receive(push(b, flexible, A, A_AND_B)).payload == flexible

    def test_as_a_tessera_pushes_it(self, network: ManagerNetwork) -> None:
        b = network.managers["http://b"]
        responder = TesseraPeerApi(b, TesseraNodes(b.keys, (), _Silent(), lambda: None))
        sealed = encrypt_payload(strangers_payload(), E, [B.public], A_AND_B).with_boxes_at([0])
        with pytest.raises(EnclaveError, match="PrivacyGroupNotFound"):
            responder.receive_push(encode_tessera_payload(sealed, [B.public]))
        large = [KeyPair.from_private_bytes(bytes([number]) * 32).public for number in range(40, 50)]
        theirs = tessera_group_id((A.public, B.public, *large))
        honest = encode_payload_text(private(private_from=A.public, private_for=(B.public, *large)))
        sealed = encrypt_payload(honest, A, [B.public], theirs).with_boxes_at([0])
        assert responder.receive_push(encode_tessera_payload(sealed, [B.public]))


class _Silent:
    def call(self, calls: object) -> tuple[()]:
        return ()


class TestWhatIsGivenBack:
    def test_one_bad_payload_keeps_no_other_from_coming(self, network: ManagerNetwork) -> None:
        b = network.managers["http://b"]
        bad = encrypt_payload(strangers_payload(), E, [B.public], A_AND_B).with_boxes_at([0])
        good = encrypt_payload(b"anything", A, [B.public], A_AND_B).with_boxes_at([0])
        kept = [
            b.intake.store_recovered(sealed, find_own_boxes(sealed, b.keys), counts_to_quota=True)
            for sealed in (bad, good)
        ]
        assert kept == [0, 1]
        assert not b.has_payload(bad.key, B.public)


class TestWidenedGroups:
    """`alwayssendto` adds keys to the groups of its manager's payloads, and tells nobody."""

    def manager(self, pair: KeyPair, *always: bytes, known: tuple[bytes, ...] = ()) -> LocalTransactionManager:
        peers = PeerDirectory([pair.public], "http://own", known=dict.fromkeys(known, "http://other"))
        return LocalTransactionManager(KeyRing([pair]), PayloadStore(), peers, ManagerNetwork(), always)

    def widened(self, *more: bytes) -> tuple[bytes, bytes]:
        """A's private transaction for B, and its group if A's manager adds `more`."""
        return encode_payload_text(private(private_from=A.public, private_for=(B.public,))), group_id(
            (A.public, B.public, *more)
        )

    @pytest.mark.parametrize("case", ["known", "same", "supervisor"])
    def test_are_found(self, case: str) -> None:
        more = (S.public, T.public) if case == "same" else (S.public,)
        plaintext, id_ = self.widened(*more)
        manager = {
            "known": lambda: self.manager(B, known=(T.public, S.public)),
            "same": lambda: self.manager(B, S.public, T.public),
            "supervisor": lambda: self.manager(S),
        }[case]()
        reader = manager.keys.public_keys[0]
        sealed = encrypt_payload(plaintext, A, [reader], id_).with_boxes_at([0])
        manager.intake.receive_push(encode_orion_payload(sealed))
        assert manager.receive(sealed.key).group_id == id_
        assert set(manager.retrieve_group(id_).members) == {A.public, B.public, *more}

    def test_of_keys_that_are_not_known_are_refused(self) -> None:
        plaintext, id_ = self.widened(S.public, T.public)
        assert reason(self.manager(B, known=(S.public, T.public)), plaintext, A, id_) == NOT_THE_RECIPIENTS

    def test_a_stranger_is_in_whatever_is_found(self) -> None:
        manager = self.manager(B, A.public, known=(A.public,))
        assert reason(manager, strangers_payload(), E, A_AND_B) == NOT_THE_RECIPIENTS
        push(manager, strangers_payload(), E, group_id((E.public, B.public, A.public)))

    def test_no_more_keys_are_tried_than_the_bound(self) -> None:
        looked: list[int] = []

        def keys() -> "list[bytes]":
            looked.append(1)
            return [number.to_bytes(32) for number in range(MAX_WIDENING_KEYS + 2)]

        groups = KnownGroups(lambda _: None, lambda _: None, (), keys)
        last = (MAX_WIDENING_KEYS - 1).to_bytes(32)
        beyond = (MAX_WIDENING_KEYS + 1).to_bytes(32)
        assert groups.widened_members([A.public], group_id((A.public, last))) == (A.public, last)
        assert groups.widened_members([A.public], group_id((A.public, beyond))) is None

    def test_the_more_keys_are_named_the_fewer_are_tried(self) -> None:
        """Or 30 kB of keys, and as many false keys as strangers can announce, hold the interpreter for seconds."""
        named = [number.to_bytes(32) for number in range(1_000)]
        taken: list[bytes] = []

        def keys() -> Iterator[bytes]:
            for number in range(5_000, 5_000 + MAX_WIDENING_KEYS):
                taken.append(number.to_bytes(32))
                yield taken[-1]

        assert KnownGroups(lambda _: None, lambda _: None, (), keys).widened_members(named, bytes(32)) is None
        assert 0 < len(taken) * len(named) <= MAX_WIDENING_WORK


def store_at(stage: PrivateTestNetwork, key: bytes, plaintext: bytes, sender: bytes, sent_to: bytes) -> bytes:
    """Leave a payload under `key` at B's manager, as an older version's has it; the key."""
    stage.b.manager.payloads[key] = ReceivedPayload(plaintext, sender, sent_to)
    return key


class TestWhatIsExecuted:
    def test_a_strangers_marker_writes_into_no_legacy_group(self) -> None:
        stage = PrivateTestNetwork()
        stage.a.send(private(ALICE, 0, data=deploying(KEEPER)))
        stage.mine()
        before = stage.b.root(GROUP)
        written = private(BOB, private_from=KEY_C, private_for=(KEY_B,), to=KEEPER_ADDRESS, data=word(666))
        marker = stage.a.privacy_controller.sender.submit_marker(
            written, store_at(stage, bytes(32), encode_payload_text(written), KEY_C, GROUP)
        )
        stage.mine()
        assert stage.b.root(GROUP) == before == stage.a.root(GROUP)
        assert stage.b.node.call("priv_getTransactionReceipt", to_hex(marker)) is None
        assert stage.b.node.call("priv_getPrivateTransaction", to_hex(marker)) is None
        assert stage.b.node.call("lac_whyPrivateTransactionIgnored", to_hex(marker)) == NOT_THE_RECIPIENTS

    def test_what_is_executed_has_no_reason(self) -> None:
        stage = PrivateTestNetwork()
        marker = stage.a.send(private(ALICE, 0, data=deploying(KEEPER)))
        stage.mine()
        assert stage.b.node.call("lac_whyPrivateTransactionIgnored", to_hex(marker)) is None
        assert stage.c.node.call("lac_whyPrivateTransactionIgnored", to_hex(marker)) is None

    def test_a_members_transaction_for_one_group_is_not_executed_in_another(self) -> None:
        stage = PrivateTestNetwork()
        mine = stage.a.manager.create_group([KEY_A, KEY_B], KEY_A).id
        other = stage.a.manager.create_group([KEY_A, KEY_B, KEY_C], KEY_A).id
        sent = private(ALICE, 0, data=deploying(KEEPER), group=mine)
        marker = stage.a.privacy_controller.sender.submit_marker(
            sent, store_at(stage, bytes(32), encode_payload_text(sent), KEY_A, other)
        )
        stage.mine()
        assert stage.b.root(other) == stage.b.root(mine) == EMPTY_TRIE_ROOT
        assert stage.b.node.call("lac_whyPrivateTransactionIgnored", to_hex(marker)) == ANOTHER_GROUP

    def test_a_deletion_that_one_member_hears_of_first_does_not_divide_the_members(self) -> None:
        """A member may delete the group at B alone, or just before B comes to the marker."""
        stage = PrivateTestNetwork()
        group = stage.a.manager.create_group([KEY_A, KEY_B, KEY_C], KEY_A).id
        stage.a.send(private(ALICE, 0, data=deploying(KEEPER), group=group))
        stage.b.manager.delete_group(group, KEY_C)
        stage.mine()
        assert stage.b.root(group) == stage.a.root(group) != EMPTY_TRIE_ROOT

    def test_a_flexible_groups_form_is_nothing_where_there_are_none(self) -> None:
        stage = PrivateTestNetwork()
        group = stage.a.manager.create_group([KEY_A, KEY_B], KEY_A).id
        sent = private(ALICE, 0, data=deploying(KEEPER), group=group)
        payload = encode_versioned_payload(sent, bytes(32))
        marker = stage.a.privacy_controller.sender.submit_marker(
            sent, store_at(stage, bytes(32), payload, KEY_A, group)
        )
        stage.mine()
        assert stage.b.root(group) == EMPTY_TRIE_ROOT
        assert stage.b.node.call("lac_whyPrivateTransactionIgnored", to_hex(marker)) == FLEXIBLE

    def test_a_group_that_the_manager_finds_widened(self) -> None:
        stage = PrivateTestNetwork()
        widened = legacy_group_id(KEY_A, (KEY_B, KEY_C))
        members = (KEY_A, KEY_B, KEY_C)
        stage.b.manager.groups[widened] = PrivacyGroup(widened, "", "", GroupType.LEGACY, members)
        sent = private(ALICE, 0, data=deploying(KEEPER))
        stage.a.privacy_controller.sender.submit_marker(
            sent, store_at(stage, bytes(32), encode_payload_text(sent), KEY_A, widened)
        )
        stage.mine()
        assert stage.b.root(widened) != EMPTY_TRIE_ROOT

    def test_what_an_older_version_let_in_is_left_out_when_the_group_is_rebuilt(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        stage = PrivateTestNetwork()
        stage.a.send(private(ALICE, 0, data=deploying(KEEPER)))
        stage.mine()
        late = private(ALICE, 1, to=KEEPER_ADDRESS, data=word(1))
        stage.a.send(late)
        (key,) = set(stage.b.manager.payloads) - set(stage.b.manager.asked)
        kept = stage.b.manager.payloads.pop(key)
        stage.mine()
        written = private(BOB, private_from=KEY_C, private_for=(KEY_B,), to=KEEPER_ADDRESS, data=word(666))
        with monkeypatch.context() as patched:
            patched.setattr("lacnode.privacy.state.private_payloads.find_ownership_refusal", lambda *_, **__: None)
            stage.a.privacy_controller.sender.submit_marker(
                written, store_at(stage, bytes(32), encode_payload_text(written), KEY_C, GROUP)
            )
            stage.mine()
        assert stage.b.root(GROUP) != stage.a.root(GROUP)
        stage.b.manager.payloads[key] = kept
        stage.b.privacy_controller.execution.repair.make_due(key)
        stage.b.work()
        assert stage.b.root(GROUP) == stage.a.root(GROUP)


class TestParties:
    @pytest.mark.parametrize("garbage", [b"", b"not base64!", b"AAAA", b"wA==", b"\xff" * 4000])
    def test_of_garbage_are_none(self, garbage: bytes) -> None:
        assert read_parties(garbage) is None

    def test_of_more_keys_or_longer_ones_than_groups_have_are_none(self) -> None:
        """Ids of groups are computed byte by byte: a push of 10 MB would take minutes."""
        many = [number.to_bytes(32) for number in range(MAX_RECIPIENTS + 1)]
        assert read_parties(encode_payload_text(private(private_for=many[:-1]))) is not None
        assert read_parties(encode_payload_text(private(private_for=many))) is None
        assert read_parties(encode_payload_text(private(private_for=[bytes(MAX_KEY_BYTES)]))) is not None
        assert read_parties(encode_payload_text(private(private_for=[bytes(MAX_KEY_BYTES + 1)]))) is None

    def test_of_a_senders_key_that_is_too_long_are_nobodys_and_short(self) -> None:
        """To have none would let it pass as a payload without a private transaction."""
        parties = read_parties(encode_payload_text(private(private_from=KEY_A + bytes(1_000_000))))
        assert parties is not None
        assert parties.named_keys[0] != KEY_A
        assert max(map(len, parties.named_keys)) <= MAX_KEY_BYTES

    def test_are_those_that_the_state_reads(self) -> None:
        """One reading for the manager and for the state: what the one passes over the other must not execute."""
        for sent in (private(), private(group=bytes(32)), private(private_for=())):
            parties = read_parties(encode_payload_text(sent))
            assert parties is not None
            assert (parties.private_from, parties.private_for, parties.group_id) == self.read(sent)
            assert read_parties(encode_versioned_payload(sent, bytes(32))) == replace(parties, is_flexible=True)

    def read(self, sent: PrivateTransaction) -> tuple[bytes, tuple[bytes, ...] | None, bytes | None]:
        return sent.private_from, sent.private_for, sent.group_id
