"""Two managers that say to have one key: who proves it has it, and who is asked for proofs."""

from collections.abc import Mapping
from urllib.parse import urlsplit

import nacl.bindings
import pytest

from lacnode.privacy.keys import KeyPair, KeyRing, to_base64
from lacnode.privacy.manager.audit_log import export_audit_log
from lacnode.privacy.manager.cbor_records import decode_map, encode_map
from lacnode.privacy.manager.encrypted_payload import (
    BOX_SIZE,
    decode_orion_payload,
    encode_orion_payload,
    encrypt_payload,
)
from lacnode.privacy.manager.group_record import GroupRecord, encode_orion_group
from lacnode.privacy.manager.key_claims import CLAIM_RECHECK_SECONDS, RivalKeyClaims
from lacnode.privacy.manager.key_proof_exchange import PROVE_PATH, ProofResponder, proves_key
from lacnode.privacy.manager.key_proofs import PROVEN_SECONDS, KeyProofs, KeyProofStatus
from lacnode.privacy.manager.local_transaction_manager import LocalTransactionManager
from lacnode.privacy.manager.orion_party_info import MAX_URL_CHARACTERS, PartyInfo
from lacnode.privacy.manager.payload_store import PayloadStore
from lacnode.privacy.manager.peer_directory import MAX_RIVAL_CLAIMS, PeerDirectory
from lacnode.privacy.manager.peer_paths import PUSH_PATH
from lacnode.privacy.manager.peer_sender import REFUSED_REPLY
from lacnode.privacy.manager.proven_group import encode_proven_group
from lacnode.privacy.transaction_manager import EnclaveError, GroupType
from tests.support.logs import logs_of_this_thread
from tests.support.manager_network import ManagerNetwork

A, B, EVIL = (KeyPair.from_private_bytes(bytes([number]) * 32) for number in (1, 2, 3))
HOME, ELSEWHERE = "http://b", "http://evil"


class Scene:
    """A's manager and what it believes; B's is at HOME, another's at ELSEWHERE. `now` is A's clock."""

    def __init__(self, known: str) -> None:
        self.now = 1000.0
        self.network = ManagerNetwork()
        self.network.add(HOME, [B])
        self.network.add(ELSEWHERE, [EVIL])
        self.peers = PeerDirectory([A.public], "http://a", known={B.public: known})
        self.claims = RivalKeyClaims(KeyRing([A]), self.peers, self.network, lambda: self.now)

    def hear(self, url: str, key: bytes = B.public) -> str | None:
        """A hears from `url` that `key` is there; where A then believes it to be."""
        self.peers.add_party_info(PartyInfo(url, (url,), {key: url}))
        self.claims.verify_claims()
        return self.peers.url_of(key)


def warnings(scene: Scene, url: str, key: bytes = B.public) -> list[str]:
    with logs_of_this_thread() as logs:
        scene.hear(url, key)
    return [entry["event"] for entry in logs]


class TestClaims:
    def test_a_stranger_does_not_take_a_key_over(self) -> None:
        scene = Scene(HOME)
        (warning,) = warnings(scene, ELSEWHERE)
        assert "does not prove it" in warning
        assert scene.peers.url_of(B.public) == HOME

    def test_the_owner_takes_it_back_from_a_stranger_who_came_first(self) -> None:
        scene = Scene(ELSEWHERE)
        assert scene.hear(HOME) == HOME
        assert scene.peers.confirmed_keys == {B.public: HOME}

    def test_a_manager_that_moved_is_found(self) -> None:
        scene = Scene("http://where.it.was")
        scene.network.down.add("http://where.it.was")
        assert scene.hear(HOME) == HOME

    def test_two_that_prove_it_are_named_and_the_first_is_used(self) -> None:
        scene = Scene(HOME)
        scene.network.add("http://copy", [B])
        (warning,) = warnings(scene, "http://copy")
        assert warning.startswith("two managers have the private key of")
        assert all(word in warning for word in (to_base64(B.public), HOME, "http://copy"))
        assert scene.peers.url_of(B.public) == HOME

    def test_who_claims_our_own_key_is_named(self) -> None:
        scene = Scene(HOME)
        (warning,) = warnings(scene, ELSEWHERE, A.public)
        assert ELSEWHERE in warning
        assert scene.peers.url_of(A.public) == "http://a"

    def test_what_a_third_says_is_no_claim(self) -> None:
        scene = Scene(HOME)
        scene.peers.add_party_info(PartyInfo("http://third", (), {B.public: ELSEWHERE}))
        assert scene.peers.pop_rival_claims() == []

    def test_the_same_place_written_otherwise_is_no_claim(self) -> None:
        scene = Scene(HOME)
        scene.peers.add_party_info(PartyInfo(HOME + "/", (), {B.public: HOME + "/"}))
        assert scene.peers.pop_rival_claims() == []

    def test_a_claim_is_looked_at_once_a_while(self) -> None:
        scene = Scene(ELSEWHERE)
        scene.network.down.add(HOME)
        scene.hear(HOME)
        scene.network.down.clear()
        assert scene.hear(HOME) == ELSEWHERE
        scene.now += CLAIM_RECHECK_SECONDS
        assert scene.hear(HOME) == HOME

    def test_no_more_claims_wait_than_are_looked_at(self) -> None:
        scene = Scene(HOME)
        for number in range(3 * MAX_RIVAL_CLAIMS):
            scene.peers.add_party_info(
                PartyInfo(f"http://evil:{number + 1}", (), {B.public: f"http://evil:{number + 1}"})
            )
        assert len(scene.peers.pop_rival_claims()) == MAX_RIVAL_CLAIMS


class TestProofs:
    def test_of_another_place_is_none(self) -> None:
        """A stranger that hands the question on to the owner, and the owner's answer back."""
        scene = Scene(HOME)

        class Relay(ManagerNetwork):
            def _one(self, url: str, path: str, body: bytes) -> bytes | None:
                return scene.network._one(HOME, path, body)

        assert proves_key(A, B.public, HOME, Relay())
        assert not proves_key(A, B.public, ELSEWHERE, Relay())

    def test_an_old_one_is_none(self) -> None:
        scene = Scene(HOME)
        old: list[bytes] = []

        class Recording(ManagerNetwork):
            def _one(self, url: str, path: str, body: bytes) -> bytes | None:
                old.append(scene.network._one(url, path, body) or b"")
                return old[0]

        assert proves_key(A, B.public, HOME, Recording())
        assert not proves_key(A, B.public, HOME, Recording())

    @pytest.mark.parametrize("answer", [b"", b"\xff" * 99, encode_map({"nonce": bytes(24), "box": bytes(80)})])
    def test_garbage_is_none(self, answer: bytes) -> None:
        class Garbled(ManagerNetwork):
            def _one(self, url: str, path: str, body: bytes) -> bytes | None:
                return answer

        assert not proves_key(A, B.public, HOME, Garbled())
        assert not proves_key(A, bytes(32), HOME, Garbled())

    def test_a_long_text_in_place_of_a_url_is_not_kept(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """The library keeps the last texts that it took apart."""
        taken_apart = list[int]()

        def noted(text: str) -> object:
            taken_apart.append(len(text))
            return urlsplit(text)

        class Long(ManagerNetwork):
            def _one(self, url: str, path: str, body: bytes) -> bytes | None:
                challenge = decode_map(body, "question").bytes("challenge")
                said = encode_map({"proves": challenge, "at": HOME + "/" + "x" * 100_000})
                return encode_map({"nonce": bytes(24), "box": B.seal_box(said, bytes(24), A.public)})

        monkeypatch.setattr("lacnode.privacy.manager.orion_party_info.urlsplit", noted)
        assert not proves_key(A, B.public, HOME, Long())
        assert max(taken_apart, default=0) <= MAX_URL_CHARACTERS

    def test_no_payload_can_be_made_of_one(self) -> None:
        """Whoever asks chooses what is sealed; were it as long as a master key, it would be a recipient's box."""
        asked = encode_map({"from": A.public, "of": B.public, "challenge": bytes(32)})
        answer = decode_map(ProofResponder(KeyRing([B]), lambda: "http://b").prove(asked), "proof")
        box = answer.bytes("box")
        assert len(box) > BOX_SIZE
        assert nacl.bindings.crypto_box_open(box, answer.bytes("nonce"), B.public, A.private)

    @pytest.mark.parametrize(
        ("change", "code"),
        [
            ({"of": A.public}, "EnclaveNoMatchingPrivateKey"),
            ({"from": bytes(32)}, "EnclaveDecodePublicKey"),
            ({"challenge": bytes(31)}, "ObjectJsonDeserialization"),
            ({"more": 1}, "ObjectJsonDeserialization"),
        ],
    )
    def test_of_nonsense_are_refused(self, change: dict[str, object], code: str) -> None:
        asked = {"from": A.public, "of": B.public, "challenge": bytes(32), **change}
        with pytest.raises(EnclaveError, match=f"^{code}$"):
            ProofResponder(KeyRing([B]), lambda: "http://b").prove(encode_map(asked))

    def test_nothing_is_proven_before_the_url_is_known(self) -> None:
        asked = encode_map({"from": A.public, "of": B.public, "challenge": bytes(32)})
        with pytest.raises(EnclaveError):
            ProofResponder(KeyRing([B]), lambda: None).prove(asked)


class TestOnlyProven:
    def test_nothing_is_sent_to_who_does_not_prove_the_recipients_key(self) -> None:
        scene = Scene(ELSEWHERE)
        a = LocalTransactionManager(
            KeyRing([A]), PayloadStore(), scene.peers, scene.network, proofs=KeyProofs(KeyRing([A]), scene.network)
        )
        with pytest.raises(EnclaveError, match=r"^NodeMissingPeerUrl$") as refused:
            a.send(b"secret", None, [B.public])
        assert ELSEWHERE in str(refused.value.detail)
        assert scene.hear(HOME) == HOME
        key = a.send(b"secret", None, [B.public])
        scene.network.managers[HOME].receive(key)

    def test_a_proof_is_asked_for_once(self) -> None:
        scene = Scene(HOME)
        asked = []

        class Counting(ManagerNetwork):
            def _one(self, url: str, path: str, body: bytes) -> bytes | None:
                asked.append(path)
                return scene.network._one(url, path, body)

        now = [1000.0]
        proofs = KeyProofs(KeyRing([A]), Counting(), clock=lambda: now[0])
        for _ in range(2):
            assert proofs.query_proof_statuses({B.public: HOME}) == {B.public: KeyProofStatus.PROVEN}
        assert asked == [PROVE_PATH]
        now[0] += PROVEN_SECONDS
        proofs.query_proof_statuses({B.public: HOME})
        assert asked == [PROVE_PATH, PROVE_PATH]

    def test_by_default_who_claims_a_key_first_confirms_nothing(self) -> None:
        """Attack: a key that is not there yet, claimed by who knows no path of ours, as an Orion, and confirms pushes."""
        scene = Confirming(ELSEWHERE)
        with pytest.raises(EnclaveError, match=r"^NodeMissingPeerUrl$"):
            scene.sender().send(b"secret", None, [B.public])
        assert scene.pushed == []

    def test_an_orion_that_the_operator_names_needs_no_proof_and_is_told_of(self) -> None:
        scene = Confirming(ELSEWHERE)
        store = PayloadStore()
        with logs_of_this_thread() as logs:
            scene.sender(ELSEWHERE + "/", store=store).send(b"secret", None, [B.public])
        assert scene.pushed == [PUSH_PATH]
        assert any("gives no proof of its key" in entry["event"] for entry in logs)
        (entry,) = export_audit_log(store)
        assert (entry["result"], entry["unproven"]) == ("ok", [to_base64(B.public)])

    def test_a_lacnode_proves_its_keys_wherever_it_is(self) -> None:
        """Named by the operator or not: who gives a false proof is no Orion. A lacnode that does not have the key confirms
        nothing that is sent to it."""
        scene = Scene(ELSEWHERE)

        class Lying(ManagerNetwork):
            def post(self, path: str, bodies: Mapping[str, bytes]) -> Mapping[str, bytes | None]:
                return dict.fromkeys(bodies, encode_map({"nonce": bytes(24), "box": bytes(100)}))

        assert KeyProofs(KeyRing([A]), Lying(), (ELSEWHERE,)).query_proof_statuses({B.public: ELSEWHERE}) == {
            B.public: KeyProofStatus.REFUSED
        }
        proofs = KeyProofs(KeyRing([A]), scene.network, (HOME, ELSEWHERE))
        assert proofs.query_proof_statuses({B.public: HOME}) == {B.public: KeyProofStatus.PROVEN}
        a = LocalTransactionManager(KeyRing([A]), PayloadStore(), scene.peers, scene.network, proofs=proofs)
        with pytest.raises(EnclaveError, match=r"^NodePropagatingToAllPeers$"):
            a.send(b"secret", None, [B.public])

    def test_of_what_is_proven_the_audit_says_nothing(self) -> None:
        scene, store = Scene(HOME), PayloadStore()
        proofs = KeyProofs(KeyRing([A]), scene.network)
        LocalTransactionManager(KeyRing([A]), store, scene.peers, scene.network, proofs=proofs).send(
            b"x", None, [B.public]
        )
        (entry,) = export_audit_log(store)
        assert "unproven" not in entry

    def test_a_manager_that_is_away_is_sent_nothing_and_the_payload_is_kept_for_it(self) -> None:
        scene, store = Scene(HOME), PayloadStore()
        proofs = KeyProofs(KeyRing([A]), scene.network)
        a = LocalTransactionManager(KeyRing([A]), store, scene.peers, scene.network, proofs=proofs)
        scene.network.down.add(HOME)
        with pytest.raises(EnclaveError, match=r"^NodePropagatingToAllPeers$"):
            a.send(b"secret", None, [B.public])
        (kept,) = store.read_payloads(B.public, 0, 10)
        scene.network.down.clear()
        a.send(b"again", None, [B.public])
        assert B.public in kept.parties

    def test_groups_are_told_with_a_proof_unless_a_member_may_have_an_orion(self) -> None:
        record = GroupRecord((A.public, B.public), "", "", True, GroupType.PANTHEON, b"seed")
        scene = Confirming(ELSEWHERE)
        with pytest.raises(EnclaveError, match="PrivacyGroupNotStored"):
            scene.sender().groups.receive_announcement(encode_orion_group(record))
        scene.sender(ELSEWHERE).groups.receive_announcement(encode_orion_group(record))
        body = encode_proven_group(record, B, A.public)
        assert body is not None
        scene.sender().groups.receive_announcement_with_proof(body)


class Confirming(Scene):
    """Whoever is at ELSEWHERE knows no path of ours and confirms every payload, without being able to read it."""

    def __init__(self, known: str) -> None:
        super().__init__(known)
        self.pushed: list[str] = []

    def post(self, path: str, bodies: Mapping[str, bytes]) -> Mapping[str, bytes | None]:
        return {url: self.confirmed(path, body) for url, body in bodies.items()}

    def confirmed(self, path: str, body: bytes) -> bytes:
        if path != PUSH_PATH:
            return REFUSED_REPLY
        self.pushed.append(path)
        return to_base64(decode_orion_payload(body).key).encode()

    def sender(self, *named: str, store: PayloadStore | None = None) -> LocalTransactionManager:
        """A's manager, whose operator names the URLs `named`."""
        proofs = KeyProofs(KeyRing([A]), self, named)
        return LocalTransactionManager(KeyRing([A]), store or PayloadStore(), self.peers, self, proofs=proofs)


class TestUnprovenGroups:
    """A thread for other managers waits while a member's manager is asked whether it is an Orion."""

    def announced(self, known: Mapping[bytes, str], heard: Mapping[bytes, str], down: bool) -> list[tuple[str, int]]:
        """How often the operator's manager at HOME is asked, for two groups with all these members."""
        asked = list[tuple[str, int]]()

        class Orion:
            def post(self, path: str, bodies: Mapping[str, bytes]) -> Mapping[str, bytes | None]:
                asked.extend((url, len(bodies)) for url in bodies)
                return dict.fromkeys(bodies, None if down else REFUSED_REPLY)

        peers = PeerDirectory([A.public], "http://a", known=known)
        peers.add_party_info(PartyInfo(ELSEWHERE, (), heard), "203.0.113.1")
        proofs = KeyProofs(KeyRing([A]), Orion(), (HOME,), clock=lambda: 1000.0)
        manager = LocalTransactionManager(KeyRing([A]), PayloadStore(), peers, Orion(), proofs=proofs)
        for seed in (b"1", b"2"):
            members = (A.public, *known, *heard)
            record = GroupRecord(members, "", "", True, GroupType.PANTHEON, seed)
            try:
                manager.groups.receive_announcement(encode_orion_group(record))
            except EnclaveError:
                assert down or not known
        return asked

    def test_a_silent_manager_is_asked_once(self) -> None:
        assert self.announced({B.public: HOME}, {}, down=True) == [(HOME, 1)]

    def test_it_is_not_asked_for_keys_that_a_stranger_says_are_there(self) -> None:
        heard = {number.to_bytes(32): HOME for number in range(1, 100)}
        assert self.announced({B.public: HOME}, heard, down=False) == [(HOME, 1)]
        assert self.announced({}, heard, down=False) == []


class TestLogOfStrangers:
    """What any machine can send without end does not fill the disk with lines."""

    def test_false_claims(self) -> None:
        scene = Scene(HOME)
        with logs_of_this_thread() as logs:
            for number in range(100):
                scene.hear(f"http://evil:{number + 1}", A.public)
                scene.network.down.add(f"http://evil:{number + 1}")
                scene.hear(f"http://evil:{number + 1}")
        assert len(logs) == 2

    def test_false_proofs(self) -> None:
        class Garbled(ManagerNetwork):
            def _one(self, url: str, path: str, body: bytes) -> bytes | None:
                return b"garbage"

        with logs_of_this_thread() as logs:
            for number in range(50):
                assert not proves_key(A, B.public, f"http://evil:{number + 1}", Garbled())
        assert len(logs) <= 1

    def test_refused_requests(self) -> None:
        scene = Scene(HOME)
        manager = LocalTransactionManager(KeyRing([A]), PayloadStore(), scene.peers, scene.network)
        with logs_of_this_thread() as logs:
            for number in range(100):
                other = KeyPair.generate()
                foreign = encrypt_payload(bytes([number]), other, [A.public], GroupRecord.legacy((B.public,)).id)
                manager.groups.store_legacy_record(GroupRecord.legacy((B.public,)))
                record = GroupRecord((A.public, B.public), "", "", True, GroupType.LEGACY, None)
                for refused, body in (
                    (manager.intake.receive_push, b"garbage"),
                    (manager.intake.receive_push, encode_orion_payload(foreign)),
                    (manager.groups.receive_announcement, encode_orion_group(record)),
                ):
                    try:
                        refused(body)
                    except EnclaveError:
                        continue
        assert 0 < len(logs) <= 3
