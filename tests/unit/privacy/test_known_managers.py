"""What of the known managers is kept for the next start, and how often strangers can have it written."""

from collections.abc import Mapping
from contextlib import closing
from pathlib import Path

from lacnode.privacy.keys import KeyPair, KeyRing
from lacnode.privacy.manager.known_managers_writer import WRITE_INTERVAL_SECONDS, KnownManagersWriter
from lacnode.privacy.manager.orion_party_info import PartyInfo
from lacnode.privacy.manager.payload_store import PayloadStore
from lacnode.privacy.manager.peer_directory import PeerDirectory
from lacnode.privacy.manager.sql_database import MEMORY, StoreError
from lacnode.privacy.service.manager_service import ManagerService, ServiceSettings
from tests.support.logs import logs_of_this_thread

OWN = KeyPair.from_private_bytes(bytes([1]) * 32)
EVIL = "http://evil.example:8080"
ANSWERS = 100


class CountingStore(PayloadStore):
    """Counts how often the known managers are written. Fails while `is_broken`."""

    def __init__(self, url: str = MEMORY) -> None:
        super().__init__(url)
        self.writes = 0
        self.is_broken = False

    def put_known_nodes(self, nodes: Mapping[bytes, str]) -> None:
        self.writes += 1
        if self.is_broken:
            raise StoreError("the store cannot be written: SQLITE_FULL")
        super().put_known_nodes(nodes)


def answer(peers: PeerDirectory, number: int) -> None:
    """A manager answers a call with one more key of its own, at a long URL."""
    place = f"{EVIL}/{number}{'x' * 1_900}"
    peers.add_party_info(PartyInfo(EVIL, (), {number.to_bytes(32): place}), answered=EVIL)


class Scene:
    """A directory, the store behind it, and the writer with the clock `now`."""

    def __init__(self) -> None:
        self.now = 1_000.0
        self.store = CountingStore()
        self.peers = PeerDirectory([OWN.public], "http://own.example")
        self.writer = KnownManagersWriter(self.peers, self.store, lambda: self.now)

    def later(self, seconds: float) -> None:
        self.now += seconds
        self.writer.write_if_due()

    def is_all_stored(self) -> bool:
        return self.store.read_known_nodes() == self.peers.confirmed_keys


class TestWriter:
    def test_the_first_manager_is_stored_at_once_and_many_answers_once_a_minute(self) -> None:
        scene = Scene()
        answer(scene.peers, 0)
        scene.later(0.0)
        assert scene.is_all_stored()
        for number in range(1, ANSWERS):
            answer(scene.peers, number)
            scene.later(WRITE_INTERVAL_SECONDS / ANSWERS)
        assert scene.store.writes == 1
        scene.later(1.0)
        assert scene.store.writes == 2
        assert len(scene.store.read_known_nodes()) == ANSWERS
        assert scene.is_all_stored()

    def test_what_has_not_changed_is_not_written(self) -> None:
        scene = Scene()
        for _ in range(3):
            answer(scene.peers, 0)
            scene.later(2 * WRITE_INTERVAL_SECONDS)
        scene.writer.write_changes()
        assert scene.store.writes == 1

    def test_what_waits_is_written_at_a_stop(self) -> None:
        scene = Scene()
        for number in range(2):
            answer(scene.peers, number)
            scene.later(1.0)
        assert not scene.is_all_stored()
        scene.writer.write_changes()
        assert scene.is_all_stored()

    def test_a_store_that_fails_is_tried_again_a_minute_later(self) -> None:
        scene = Scene()
        scene.store.is_broken = True
        answer(scene.peers, 0)
        with logs_of_this_thread() as logs:
            for _ in range(10):
                scene.later(1.0)
        (line,) = [entry["event"] for entry in logs]
        assert "SQLITE_FULL" in line
        scene.store.is_broken = False
        scene.later(WRITE_INTERVAL_SECONDS)
        assert scene.is_all_stored()


class TestService:
    def test_answers_alone_write_nothing_and_a_clean_stop_writes_once(self, tmp_path: Path) -> None:
        url = f"sqlite:///{tmp_path / 'store'}"
        store = CountingStore(url)
        service = ManagerService(KeyRing([OWN]), store, ServiceSettings())
        for number in range(ANSWERS):
            place = f"http://127.0.0.1:8080/{number}"
            service._peers.add_party_info(PartyInfo(place, (), {number.to_bytes(32): place}), answered=place)
        assert store.writes == 0
        confirmed = service._peers.party_info.keys
        service.close()
        assert store.writes == 1
        with closing(PayloadStore(url)) as again:
            assert again.read_known_nodes() == confirmed
            assert len(confirmed) == ANSWERS


def written_rows(store: PayloadStore) -> int:
    with store._database.read() as connection:
        return int(connection.find_value("SELECT total_changes()"))


def test_only_the_rows_that_differ_are_written() -> None:
    store = PayloadStore()
    nodes = {number.to_bytes(32): f"http://{number}" for number in range(1_000)}
    store.put_known_nodes(nodes)
    before = written_rows(store)
    forgotten, moved, new = (number.to_bytes(32) for number in (1, 2, 1_000))
    del nodes[forgotten]
    nodes |= {moved: "http://elsewhere", new: "http://new"}
    store.put_known_nodes(nodes)
    assert store.read_known_nodes() == nodes
    assert written_rows(store) - before == 3
