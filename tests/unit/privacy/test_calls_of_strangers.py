"""Attack: a stranger announces URLs of other machines, and makes this manager call them for payloads and for claims."""

from collections.abc import Mapping

from lacnode.privacy.keys import KeyPair, KeyRing
from lacnode.privacy.manager.key_claims import RivalKeyClaims
from lacnode.privacy.manager.local_transaction_manager import LocalTransactionManager
from lacnode.privacy.manager.orion_party_info import PartyInfo
from lacnode.privacy.manager.payload_recovery import PayloadRecovery
from lacnode.privacy.manager.payload_store import PayloadStore
from lacnode.privacy.manager.peer_directory import PeerDirectory
from lacnode.privacy.manager.unanswered_urls import UNANSWERED_CALLS_AT_ONCE
from tests.unit.privacy.test_peers import false_view

A, B = (KeyPair.from_private_bytes(bytes([number]) * 32) for number in (1, 2))
CALLS_AT_ONCE = UNANSWERED_CALLS_AT_ONCE + 1


class Counted:
    def __init__(self) -> None:
        self.urls: list[str] = []

    def post(self, path: str, bodies: Mapping[str, bytes]) -> Mapping[str, bytes | None]:
        self.urls += bodies
        return dict.fromkeys(bodies)


def test_a_missing_payload_makes_few_calls_of_urls_where_no_manager_answered() -> None:
    """One marker of an account without rights, and 6 party infos from 6 addresses. The clock stands still."""
    peers = PeerDirectory([A.public], "http://a.example")
    for source in range(6):
        peers.add_party_info(false_view(source), f"203.0.113.{source}")
    sender = Counted()
    manager = LocalTransactionManager(KeyRing([A]), PayloadStore(), peers, sender)
    PayloadRecovery(manager, sender, clock=lambda: 0.0).recover_payloads([bytes(32)])
    assert len(sender.urls) <= CALLS_AT_ONCE


def test_rival_claims_make_few_calls_of_urls_where_no_manager_answered() -> None:
    peers = PeerDirectory([A.public], "http://a.example", known={B.public: "http://b.example"})
    sender = Counted()
    claims = RivalKeyClaims(KeyRing([A]), peers, sender, lambda: 0.0)
    for number in range(256):
        place = f"http://198.51.100.{number}:8080"
        peers.add_party_info(PartyInfo(place, (place,), {B.public: place}), f"203.0.113.{number % 6}")
        claims.verify_claims()
    assert len([url for url in sender.urls if url != "http://b.example"]) <= CALLS_AT_ONCE


def test_managers_that_have_answered_are_all_asked_for_a_missing_payload() -> None:
    """A stranger's URLs take the whole rate, and the partners are asked all the same."""
    partners = {bytes([3, number]) + bytes(30): f"http://partner-{number}.example" for number in range(100)}
    peers = PeerDirectory([A.public], "http://a.example", known=partners)
    for source in range(6):
        peers.add_party_info(false_view(source), f"203.0.113.{source}")
    sender = Counted()
    manager = LocalTransactionManager(KeyRing([A]), PayloadStore(), peers, sender)
    recovery = PayloadRecovery(manager, sender, clock=lambda: 0.0)
    recovery.recover_payloads([bytes(32)])
    recovery.recover_payloads([bytes(32)])
    assert {url: sender.urls.count(url) for url in partners.values()} == dict.fromkeys(partners.values(), 2)
