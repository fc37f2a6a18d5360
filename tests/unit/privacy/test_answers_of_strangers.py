"""What a stranger's manager gives back when it is asked for a payload: nothing that the sender's own key did not seal."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from lacnode.privacy import group_ids
from lacnode.privacy.keys import KeyPair, KeyRing
from lacnode.privacy.manager.cbor_records import encode_array, encode_map
from lacnode.privacy.manager.encrypted_payload import EncryptedPayload, encode_orion_payload, encrypt_payload
from lacnode.privacy.manager.full_recovery import MAX_USELESS_ANSWERS, FullRecovery
from lacnode.privacy.manager.group_record import GroupRecord, encode_orion_group
from lacnode.privacy.manager.local_transaction_manager import LocalTransactionManager
from lacnode.privacy.manager.payload_recovery import MAX_MANAGERS_AT_ONCE, RECOVER_PATH, PayloadRecovery
from lacnode.privacy.manager.payload_store import PayloadStore
from lacnode.privacy.manager.peer_directory import PeerDirectory
from lacnode.privacy.manager.proven_requests import CHALLENGE_PATH, RequestAuthenticator
from lacnode.privacy.manager.quota import Quota, QuotaSettings
from lacnode.privacy.manager.state_root_exchange import ROOTS_PATH, PeerStateRootClient
from lacnode.privacy.payload_ownership import NOT_THE_SENDER
from lacnode.privacy.state.private_transaction import (
    PrivateTransaction,
    encode_payload_text,
    encode_versioned_payload,
)
from lacnode.privacy.state_root_queries import StateRootQuery
from tests.support.logs import logs_of_this_thread
from tests.support.private_nodes import private
from tests.support.recoveries import recover_all

OWN, PARTNER, STRANGER = (KeyPair.from_private_bytes(bytes([number]) * 32) for number in (51, 52, 53))


class StrangersManager:
    """Answers every request for payloads with `payloads` and `groups`, in the name of the stranger's key."""

    def __init__(self, pair: KeyPair = STRANGER) -> None:
        self.challenges = RequestAuthenticator(KeyRing([pair]))
        self.payloads: list[EncryptedPayload] = []
        self.groups: list[GroupRecord] = []

    def post(self, path: str, bodies: Mapping[str, bytes]) -> Mapping[str, bytes | None]:
        return {url: self._answer(path, body) for url, body in bodies.items()}

    def _answer(self, path: str, body: bytes) -> bytes | None:
        if path == CHALLENGE_PATH:
            return self.challenges.issue_challenge(body)
        if path != RECOVER_PATH:
            return None
        entries = [encode_map({"body": encode_orion_payload(one), "boxes": b""}) for one in self.payloads]
        records = [encode_map({"body": encode_orion_group(one)}) for one in self.groups]
        page = {"payloads": encode_array(entries), "groups": encode_array(records), "next": 0}
        return self.challenges.open_request(body).seal_answer(encode_map(page))


def manager_that_asks(
    there: StrangersManager, teller: KeyPair = STRANGER
) -> tuple[LocalTransactionManager, PayloadStore]:
    store = PayloadStore()
    peers = PeerDirectory([OWN.public], "http://own", known={teller.public: "http://stranger"})
    return LocalTransactionManager(KeyRing([OWN]), store, peers, there), store


def sent_by_own_key(transaction: PrivateTransaction, group: bytes, other: KeyPair = STRANGER) -> EncryptedPayload:
    """A payload in the name of the asking manager's own key. A NaCl box opens from both sides, so `other` can make it."""
    master, nonce = bytes(range(32)), bytes(24)
    sealed = encrypt_payload(encode_payload_text(transaction), other, [OWN.public], group, master, nonce)
    return replace(sealed, sender=OWN.public, boxes=sealed.boxes[:1])


def recovered(there: StrangersManager, false: EncryptedPayload, teller: KeyPair = STRANGER, lost: bool = False) -> bool:
    """Whether the payload is believed when the manager of `teller` gives it back."""
    manager, _ = manager_that_asks(there, teller)
    there.payloads = [false]
    PayloadRecovery(manager, there, was_lost=lost).recover_payloads([false.key])
    return manager.has_payload(false.key, OWN.public)


BOTH = GroupRecord.legacy((OWN.public, PARTNER.public)).id


class TestOwnPayloads:
    """The own key sealed them, or they are not believed: a marker on the chain is enough for any manager to be asked."""

    @pytest.mark.parametrize("lost", [False, True])
    def test_a_stranger_makes_none(self, lost: bool) -> None:
        false = sent_by_own_key(private(private_from=OWN.public, private_for=[PARTNER.public]), BOTH)
        assert not recovered(StrangersManager(), false, lost=lost)

    def test_a_senders_key_of_a_mebibyte_is_not_hashed(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """A key is hashed byte by byte, its group's id is computed with each known key, and its hash is kept with it."""
        hash_of, sizes = group_ids.java_array_hash, list[int]()

        def noted(key: bytes) -> int:
            sizes.append(len(key))
            return hash_of(key)

        monkeypatch.setattr(group_ids, "java_array_hash", noted)
        false = sent_by_own_key(private(private_from=bytes(1_048_576), private_for=[]), bytes(32))
        assert not recovered(StrangersManager(), false, lost=True)
        assert max(sizes, default=0) <= group_ids.MAX_KEY_BYTES

    def test_none_has_another_senders_key(self) -> None:
        false = sent_by_own_key(private(private_from=STRANGER.public, private_for=[OWN.public]), BOTH)
        with logs_of_this_thread() as logs:
            assert not recovered(StrangersManager(), false, lost=True)
        (line,) = [entry["event"] for entry in logs]
        assert line == f"a payload that is given back as an own one is refused: {NOT_THE_SENDER}"

    def test_a_member_makes_none(self) -> None:
        false = sent_by_own_key(private(private_from=OWN.public, private_for=[PARTNER.public]), BOTH, PARTNER)
        assert not recovered(StrangersManager(PARTNER), false, PARTNER)

    def test_those_of_an_earlier_version_come_back_to_a_lost_store(self) -> None:
        old = sent_by_own_key(private(private_from=OWN.public, private_for=[PARTNER.public]), BOTH, PARTNER)
        assert recovered(StrangersManager(PARTNER), old, PARTNER, lost=True)

    def test_nobody_gives_one_back_for_another_group(self) -> None:
        true = encrypt_payload(b"text", OWN, [PARTNER.public], BOTH).with_boxes_at([0])
        assert recovered(StrangersManager(PARTNER), true, PARTNER)
        assert not recovered(StrangersManager(PARTNER), replace(true, group_id=bytes(32)), PARTNER)

    @pytest.mark.parametrize("lost", [False, True])
    def test_nobody_makes_one_for_a_flexible_group(self, lost: bool) -> None:
        """Its members are in its contract, which the manager cannot ask."""
        transaction = private(private_from=OWN.public, group=bytes([7]) * 32)
        text = encode_versioned_payload(transaction, bytes(32))
        sealed = encrypt_payload(text, PARTNER, [OWN.public], bytes([7]) * 32, bytes(32), bytes(24))
        false = replace(sealed, sender=OWN.public, boxes=sealed.boxes[:1])
        assert not recovered(StrangersManager(PARTNER), false, PARTNER, lost)


class TestWhatWasNotAskedFor:
    def test_is_not_stored(self) -> None:
        """One marker of a payload that no manager has made strangers fill the disk, beside every quota."""
        there = StrangersManager()
        manager, store = manager_that_asks(there)
        there.payloads = [encrypt_payload(b"text", STRANGER, [OWN.public], bytes(32)).with_boxes_at([0])]
        there.groups = [GroupRecord.legacy((OWN.public, STRANGER.public, PARTNER.public))]
        assert PayloadRecovery(manager, there).recover_payloads([bytes(32)]) == 0
        assert store.is_empty()
        assert store.groups.find(there.groups[0].id) is None

    @pytest.mark.parametrize(("lost", "kept"), [(False, False), (True, True)])
    def test_counts_as_pushed_unless_the_store_was_lost(self, lost: bool, kept: bool) -> None:
        there = StrangersManager()
        manager, store = manager_that_asks(there)
        store.set_quota(Quota(QuotaSettings(all_unknown_keys_bytes=1_000, disk_reserve_bytes=0)))
        asked = encrypt_payload(b"text", STRANGER, [OWN.public], bytes(32)).with_boxes_at([0])
        there.payloads = [asked]
        PayloadRecovery(manager, there, was_lost=lost).recover_payloads([asked.key])
        assert manager.has_payload(asked.key, OWN.public) is kept

    def test_leaves_the_reserve_of_the_disk_free(self, tmp_path: Path) -> None:
        there = StrangersManager()
        manager, store = manager_that_asks(there)
        store.set_quota(Quota(QuotaSettings(disk_reserve_bytes=2**62), directory=tmp_path))
        there.payloads = [encrypt_payload(b"text", STRANGER, [OWN.public], bytes(32)).with_boxes_at([0])]
        assert recover_all(manager, there, STRANGER, was_lost=True) == 0
        assert store.is_empty()


class SlowStrangers(StrangersManager):
    """A partner's manager at `http://partner`, and others that answer nothing, after 24 s. `asked` are the URLs of the
    calls."""

    def __init__(self) -> None:
        super().__init__(PARTNER)
        self.now = 1_000.0
        self.asked: list[str] = []

    def post(self, path: str, bodies: Mapping[str, bytes]) -> Mapping[str, bytes | None]:
        self.asked += bodies
        if set(bodies) != {"http://partner"}:
            self.now += 24.0
        return {url: self._answer(path, body) if url == "http://partner" else None for url, body in bodies.items()}


class TestSlowManagers:
    def test_do_not_hold_up_what_others_have(self) -> None:
        there = SlowStrangers()
        known = {number.to_bytes(32): f"http://stranger{number}" for number in range(200)}
        peers = PeerDirectory([OWN.public], "http://own", known={**known, PARTNER.public: "http://partner"})
        manager = LocalTransactionManager(KeyRing([OWN]), PayloadStore(), peers, there)
        recovery = PayloadRecovery(manager, there, clock=lambda: there.now)
        sent = [encrypt_payload(bytes([number]), PARTNER, [OWN.public], BOTH).with_boxes_at([0]) for number in (1, 2)]
        there.payloads, calls = sent[:1], 0
        while not manager.has_payload(sent[0].key, OWN.public):
            before, calls = there.now, calls + 1
            recovery.recover_payloads([sent[0].key, bytes(32)])
            assert there.now - before < 60
        assert calls <= 200 // 8 + 1
        assert len(set(there.asked)) == 201
        there.payloads, there.asked = sent, []
        recovery.recover_payloads([sent[1].key, bytes(32)])
        assert manager.has_payload(sent[1].key, OWN.public)
        assert "http://partner" in there.asked[:MAX_MANAGERS_AT_ONCE]


class EndlessStrangers(SlowStrangers):
    """Others than the partner answer after `page_seconds`, with a page after which another one comes, and give `given`."""

    page_seconds = 24.0
    given: Sequence[EncryptedPayload] = ()

    def post(self, path: str, bodies: Mapping[str, bytes]) -> Mapping[str, bytes | None]:
        ((url, body),) = bodies.items()
        if url == "http://partner":
            return {url: self._answer(path, body)}
        if path == CHALLENGE_PATH:
            return {url: self.others[url].issue_challenge(body)}
        self.now += self.page_seconds
        self.asked.append(url)
        request = self.others[url].open_request(body)
        following = request.fields.read_field("after", int) + 1
        entries = [encode_map({"body": encode_orion_payload(one), "boxes": b""}) for one in self.given]
        page = {"payloads": encode_array(entries), "groups": encode_array([]), "next": following}
        return {url: request.seal_answer(encode_map(page))}

    def know(self, *places: str) -> PeerDirectory:
        """Add a stranger's manager at each of `places`. Return what the asking manager knows, the partner last."""
        pairs = {KeyPair.from_private_bytes((number + 100).to_bytes(32)): url for number, url in enumerate(places)}
        self.others = {url: RequestAuthenticator(KeyRing([pair])) for pair, url in pairs.items()}
        known = {**{pair.public: url for pair, url in pairs.items()}, PARTNER.public: "http://partner"}
        return PeerDirectory([OWN.public], "http://own", known=known)


class TestEndlessManagers:
    """A stranger's server gives page after page for hours. Before, the next manager was asked when it had given 10,000."""

    def recovery(self, there: EndlessStrangers, places: list[str]) -> tuple[FullRecovery, LocalTransactionManager]:
        manager = LocalTransactionManager(KeyRing([OWN]), PayloadStore(), there.know(*places), there)
        recovery = PayloadRecovery(manager, there, was_lost=True, clock=lambda: there.now)
        full = FullRecovery(recovery, clock=lambda: there.now)
        full.set_managers(manager.party_info.keys)
        there.payloads = [encrypt_payload(b"text", PARTNER, [OWN.public], BOTH).with_boxes_at([0])]
        return full, manager

    @pytest.mark.parametrize(
        "places",
        [["http://stranger"], [f"http://stranger:{port}" for port in range(1, 30)]],
        ids=["one manager", "29 managers of one host"],
    )
    def test_have_one_page_before_the_others_have_theirs(self, places: list[str]) -> None:
        there = EndlessStrangers()
        full, manager = self.recovery(there, places)
        begin = there.now
        while not manager.has_payload(there.payloads[0].key, OWN.public):
            assert full.ask_next() is not None
        assert there.now - begin <= 24.0

    def test_of_many_hosts_have_one_page_each(self) -> None:
        there = EndlessStrangers()
        full, manager = self.recovery(there, [f"http://stranger{number}" for number in range(10)])
        while not manager.has_payload(there.payloads[0].key, OWN.public):
            assert full.ask_next() is not None
        assert len(there.asked) == len(set(there.asked)) <= 10

    def test_come_after_the_managers_of_the_operator(self) -> None:
        there = EndlessStrangers()
        _, manager = self.recovery(there, ["http://stranger"])
        full = FullRecovery(PayloadRecovery(manager, there, was_lost=True), ["http://partner:1"], lambda: there.now)
        full.set_managers(manager.party_info.keys)
        assert full.ask_next() == 1
        assert there.asked == []

    def test_a_new_host_does_not_come_before_all_others(self) -> None:
        there = EndlessStrangers()
        full, manager = self.recovery(there, ["http://stranger0", "http://stranger1"])
        honest = {PARTNER.public: "http://partner"}
        strangers = [{key: url} for key, url in manager.party_info.keys.items() if "stranger" in url]
        full.set_managers({**strangers[0], **honest})
        there.payloads = []
        for number in range(4):
            full.set_managers({**strangers[number % 2], **honest})
            full.ask_next()
        assert len(there.asked) < 4, "the partner had a turn"

    def test_one_that_answers_slowly_and_honestly_is_read_to_the_end(self) -> None:
        """Time decides the order alone."""
        there = EndlessStrangers()
        full, _ = self.recovery(there, ["http://stranger"])
        for _ in range(200):
            full.ask_next()
        assert len(there.asked) >= 199

    def test_that_give_refused_payloads_have_one_page_a_second_together(self) -> None:
        """Each payload is opened before it is refused, and may have 15 MB. Without a pause they would be given without
        end."""
        there = EndlessStrangers()
        there.page_seconds = 0.0
        there.given = [encrypt_payload(b"text", STRANGER, [PARTNER.public], BOTH).with_boxes_at([0])]
        full, manager = self.recovery(there, [f"http://stranger{number}" for number in range(10)])
        for _ in range(100):
            full.ask_next()
        assert manager.has_payload(there.payloads[0].key, OWN.public), "the partner does not wait for them"
        assert len(there.asked) == 10
        for _ in range(5):
            there.now += 1.0
            for _ in range(10):
                full.ask_next()
        assert len(there.asked) == 15, "they are read on: an honest manager has refused payloads too"

    def test_that_give_what_is_here_are_read_without_a_pause(self) -> None:
        there = EndlessStrangers()
        there.page_seconds = 0.0
        full, _ = self.recovery(there, ["http://stranger"])
        there.given = there.payloads
        for _ in range(100):
            full.ask_next()
        assert len(there.asked) >= 99

    def test_that_answer_nothing_are_given_up(self) -> None:
        there = SlowStrangers()
        peers = PeerDirectory([OWN.public], "http://own", known={STRANGER.public: "http://stranger"})
        manager = LocalTransactionManager(KeyRing([OWN]), PayloadStore(), peers, there)
        full = FullRecovery(PayloadRecovery(manager, there), clock=lambda: there.now)
        full.set_managers(manager.party_info.keys)
        for _ in range(3 * MAX_USELESS_ANSWERS):
            full.ask_next()
            there.now += 60
        assert there.asked == ["http://stranger"] * MAX_USELESS_ANSWERS

    def test_the_same_host_is_not_asked_twice_at_once(self) -> None:
        there = EndlessStrangers()
        full, _ = self.recovery(there, ["http://stranger:1", "http://stranger:2"])
        post, turns = there.post, list[int | None]()

        def post_while_another_asks(path: str, bodies: Mapping[str, bytes]) -> Mapping[str, bytes | None]:
            if not turns and "stranger" in next(iter(bodies)):
                turns.append(None)
                turns[:] = [full.ask_next(), full.ask_next()]
            return post(path, bodies)

        there.post = post_while_another_asks  # type: ignore[method-assign]
        full.ask_next()
        assert turns == [1, None]


class UselessStrangers:
    """Fifty managers of strangers. Each answers the path `garbled` with a record of its own length that cannot be used,
    and other requests with a sealed record of no meaning."""

    def __init__(self, garbled: str) -> None:
        self.garbled = garbled
        numbers = range(101, 151)
        pairs = {f"http://stranger:{number}": KeyPair.from_private_bytes(number.to_bytes(32)) for number in numbers}
        self.known = {pair.public: url for url, pair in pairs.items()}
        self.challenges = {url: RequestAuthenticator(KeyRing([pair])) for url, pair in pairs.items()}

    def manager(self) -> LocalTransactionManager:
        """A manager that knows all of them, as of an earlier run."""
        peers = PeerDirectory([OWN.public], "http://own", known=self.known)
        return LocalTransactionManager(KeyRing([OWN]), PayloadStore(), peers, self)

    def post(self, path: str, bodies: Mapping[str, bytes]) -> Mapping[str, bytes | None]:
        return {url: self._answer(path, url, body) for url, body in bodies.items()}

    def _answer(self, path: str, url: str, body: bytes) -> bytes:
        number = int(url.rpartition(":")[2])
        if path == self.garbled:
            return encode_map({"challenge": bytes(number)})
        if path == CHALLENGE_PATH:
            return self.challenges[url].issue_challenge(body)
        return self.challenges[url].open_request(body).seal_answer(encode_map({"number": number}))


class TestLog:
    """Any account can send a marker of a payload that is missing. Each turn asks hundreds of URLs of one stranger."""

    @pytest.mark.parametrize("garbled", [CHALLENGE_PATH, RECOVER_PATH, ""])
    def test_useless_answers_of_fifty_managers_have_one_line(self, garbled: str) -> None:
        there = UselessStrangers(garbled)
        recovery = PayloadRecovery(there.manager(), there)
        with logs_of_this_thread() as logs:
            for _ in range(2):
                assert recovery.recover_payloads([bytes(32)]) == 0
        assert len(logs) == 1

    @pytest.mark.parametrize("garbled", [CHALLENGE_PATH, ROOTS_PATH, ""])
    def test_so_have_useless_state_roots(self, garbled: str) -> None:
        there = UselessStrangers(garbled)
        client = PeerStateRootClient(there.manager(), there)
        with logs_of_this_thread() as logs:
            for _ in range(2):
                questions = [StateRootQuery(bytes(32), 1, bytes(32))]
                assert client.ask(OWN.public, dict.fromkeys(there.known, questions)) == {}
        assert len(logs) == 1
