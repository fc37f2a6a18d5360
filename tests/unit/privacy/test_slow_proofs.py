"""Attack: a manager that is silent, or slow with false proofs of many keys, occupies the threads of this manager."""

import threading
from collections.abc import Mapping, Sequence

import pytest

from lacnode.privacy.keys import KeyPair, KeyRing
from lacnode.privacy.manager import key_proofs
from lacnode.privacy.manager.cbor_records import encode_map
from lacnode.privacy.manager.group_record import GroupRecord, encode_orion_group
from lacnode.privacy.manager.key_proofs import UNPROVEN_SECONDS, KeyProofs, KeyProofStatus
from lacnode.privacy.manager.local_transaction_manager import LocalTransactionManager
from lacnode.privacy.manager.payload_store import PayloadStore
from lacnode.privacy.manager.peer_directory import PeerDirectory
from lacnode.privacy.manager.peer_sender import REFUSED_REPLY, PeerSender
from lacnode.privacy.transaction_manager import EnclaveError, GroupType

DEADLINE = 10.0
A = KeyPair.from_private_bytes(bytes([1]) * 32)
KEYS = [KeyPair.from_private_bytes(bytes([8]) + number.to_bytes(2) + bytes(29)).public for number in range(20)]
HOME = "http://home.example:8080"
FALSE_PROOF = encode_map({"nonce": bytes(24), "box": bytes(100)})


class Counted:
    """A sender whose managers all give `answer`, each call after `seconds` of the clock. `asked` are the URLs."""

    def __init__(self, answer: bytes | None, seconds: float = 0.0) -> None:
        self.answer, self.seconds = answer, seconds
        self.now = 1000.0
        self.asked: list[str] = []

    def post(self, path: str, bodies: Mapping[str, bytes]) -> Mapping[str, bytes | None]:
        self.now += self.seconds
        self.asked += bodies
        return dict.fromkeys(bodies, self.answer)

    def proofs(self, *operators_urls: str) -> KeyProofs:
        return KeyProofs(KeyRing([A]), self, operators_urls, lambda: self.now)


class Held:
    """A sender whose calls end with `answer` when `release` is set. `begun` is set by the first one."""

    def __init__(self, answer: bytes | None) -> None:
        self.answer = answer
        self.asked: list[str] = []
        self.begun, self.release = threading.Event(), threading.Event()

    def post(self, path: str, bodies: Mapping[str, bytes]) -> Mapping[str, bytes | None]:
        self.asked += bodies
        self.begun.set()
        assert self.release.wait(DEADLINE)
        return dict.fromkeys(bodies, self.answer)


class Announced:
    """The manager of A, whose operator names HOME. The keys `at_home` are there."""

    def __init__(self, sender: PeerSender, proofs: KeyProofs, at_home: Sequence[bytes] = KEYS) -> None:
        peers = PeerDirectory([A.public], "http://a.example", known=dict.fromkeys(at_home, HOME))
        self.manager = LocalTransactionManager(KeyRing([A]), PayloadStore(), peers, sender, proofs=proofs)
        self.accepted: list[bool] = []

    def receive(self, *members: bytes) -> None:
        """An announcement without a proof."""
        record = GroupRecord(members, "", "", True, GroupType.PANTHEON, b"seed")
        try:
            self.manager.groups.receive_announcement(encode_orion_group(record))
            self.accepted.append(True)
        except EnclaveError:
            self.accepted.append(False)

    def receive_in_thread(self, key: bytes) -> threading.Thread:
        thread = threading.Thread(target=self.receive, args=(A.public, key))
        thread.start()
        return thread


class TestPayloads:
    def test_a_silent_manager_is_asked_for_one_of_its_keys(self) -> None:
        sender = Counted(None)
        statuses = sender.proofs().query_proof_statuses(dict.fromkeys(KEYS, HOME))
        assert statuses == dict.fromkeys(KEYS, KeyProofStatus.SILENT)
        assert sender.asked == [HOME]

    def test_a_silent_manager_that_names_each_key_with_another_path_is_asked_for_one(self) -> None:
        sender = Counted(None)
        sender.proofs().query_proof_statuses({key: f"{HOME}/{number}" for number, key in enumerate(KEYS)})
        assert len(sender.asked) == 1

    def test_a_silent_manager_costs_no_other_manager_its_question(self) -> None:
        class OneIsSilent(Counted):
            def post(self, path: str, bodies: Mapping[str, bytes]) -> Mapping[str, bytes | None]:
                return {**super().post(path, bodies), HOME: None}

        sender, elsewhere = OneIsSilent(REFUSED_REPLY), "http://elsewhere.example"
        urls = {key: (HOME, elsewhere)[number % 2] for number, key in enumerate(KEYS)}
        statuses = sender.proofs().query_proof_statuses(urls)
        assert sender.asked.count(HOME) == 1
        assert sender.asked.count(elsewhere) == len(KEYS) / 2
        assert {urls[key]: status for key, status in statuses.items()} == {
            HOME: KeyProofStatus.SILENT,
            elsewhere: KeyProofStatus.REFUSED,
        }

    def test_false_proofs_just_below_the_time_limit_of_a_call_end_after_a_few(self) -> None:
        sender = Counted(FALSE_PROOF, seconds=3.9)
        statuses = sender.proofs().query_proof_statuses(dict.fromkeys(KEYS, HOME))
        assert sender.asked == [HOME] * 3
        assert sorted(status.value for status in statuses.values()) == ["refused"] * 3 + ["silent"] * (len(KEYS) - 3)

    def test_a_manager_that_gives_a_false_proof_is_not_asked_again_for_a_minute(self) -> None:
        sender = Counted(FALSE_PROOF)
        proofs = sender.proofs()
        for _ in range(2):
            assert proofs.query_proof_statuses({KEYS[0]: HOME}) == {KEYS[0]: KeyProofStatus.REFUSED}
        assert sender.asked == [HOME]
        sender.now += UNPROVEN_SECONDS
        proofs.query_proof_statuses({KEYS[0]: HOME})
        assert sender.asked == [HOME] * 2

    @pytest.mark.parametrize("answer", [None, REFUSED_REPLY], ids=["silent", "an error of its proxy"])
    def test_a_manager_that_was_away_is_asked_again_at_once(self, answer: bytes | None) -> None:
        sender = Counted(answer)
        proofs = sender.proofs()
        for _ in range(2):
            proofs.query_proof_statuses({KEYS[0]: HOME})
        assert sender.asked == [HOME] * 2


class TestAnnouncements:
    @pytest.mark.parametrize("answer", [None, FALSE_PROOF], ids=["silent", "false"])
    def test_groups_of_ever_other_keys_of_a_manager_ask_it_once_a_minute(self, answer: bytes | None) -> None:
        sender = Counted(answer)
        announced = Announced(sender, sender.proofs(HOME))
        for key in KEYS:
            announced.receive(A.public, key)
        assert sender.asked == [HOME]
        sender.now += UNPROVEN_SECONDS
        announced.receive(A.public, KEYS[0])
        assert sender.asked == [HOME] * 2
        assert not any(announced.accepted)

    def test_a_group_without_an_own_key_asks_no_manager(self) -> None:
        sender = Counted(None)
        Announced(sender, sender.proofs(HOME)).receive(*KEYS)
        assert sender.asked == []

    def test_while_one_waits_for_a_silent_manager_the_others_are_refused(self) -> None:
        """There are four threads for all other managers."""
        sender = Held(None)
        announced = Announced(sender, KeyProofs(KeyRing([A]), sender, (HOME,)))
        first = announced.receive_in_thread(KEYS[0])
        try:
            assert sender.begun.wait(DEADLINE)
            others = [announced.receive_in_thread(key) for key in KEYS[1:4]]
            for other in others:
                other.join(DEADLINE)
            assert announced.accepted == [False] * len(others)
            assert sender.asked == [HOME]
        finally:
            sender.release.set()
            first.join(DEADLINE)

    def test_the_answer_of_an_orion_counts_for_all_that_wait_for_it(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(key_proofs, "ANNOUNCEMENT_WAIT_SECONDS", DEADLINE)
        sender = Held(REFUSED_REPLY)
        announced = Announced(sender, KeyProofs(KeyRing([A]), sender, (HOME,)))
        first = announced.receive_in_thread(KEYS[0])
        assert sender.begun.wait(DEADLINE)
        second = announced.receive_in_thread(KEYS[1])
        sender.release.set()
        for thread in (first, second):
            thread.join(DEADLINE)
        assert announced.accepted == [True, True]
        assert sender.asked == [HOME]
