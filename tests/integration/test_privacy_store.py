"""The manager's store by its contract, on SQLite and on a real PostgreSQL: what is kept, with whom at once, and what a lost
connection does."""

import sqlite3
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import psycopg
import pytest

from lacnode.privacy.keys import KeyPair
from lacnode.privacy.manager.audit_log import AuditLogError, audit_entry, export_audit_log
from lacnode.privacy.manager.encrypted_payload import EncryptedPayload, decrypt_payload, encrypt_payload
from lacnode.privacy.manager.group_record import GroupRecord, decode_orion_group
from lacnode.privacy.manager.key_files import save_key_pair
from lacnode.privacy.manager.payload_store import LONG_BODY_BYTES, PayloadConflictError, PayloadStore
from lacnode.privacy.manager.sql_database import MEMORY, WRITE_LOCK, StoreError
from lacnode.privacy.service.manager_config import load_config
from lacnode.privacy.service.run_manager import open_service
from lacnode.privacy.transaction_manager import EnclaveUnreachableError, GroupType
from tests.support.lonely_manager import lonely_manager
from tests.support.postgresql import ABSENT, PostgresqlServer, running_server

DEADLINE = 30.0
SECRET = b"the plaintext of an agreement"
A, B, C, D = (KeyPair.from_private_bytes(bytes([number]) * 32) for number in range(1, 5))


def all_groups(store: PayloadStore) -> list[GroupRecord]:
    with store._database.read() as connection:
        rows = connection.execute("SELECT record FROM groups ORDER BY number")
        return [decode_orion_group(bytes(record)) for (record,) in rows]


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresqlServer]:
    # A server that confirms before it has written: the store must not believe it.
    with running_server("synchronous_commit=off", "wal_writer_delay=10s") as found:
        if found is None:
            pytest.skip(ABSENT)
        yield found


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty database of each kind."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'payloads.sqlite'}"
    server: PostgresqlServer = request.getfixturevalue("server")
    return server.url(server.new_database())


@pytest.fixture
def opened() -> Iterator[Callable[[str], PayloadStore]]:
    """Opens stores, and closes them after the test."""
    stores: list[PayloadStore] = []

    def open_one(url: str) -> PayloadStore:
        stores.append(PayloadStore(url))
        return stores[-1]

    yield open_one
    for store in stores:
        store.close()


Opened = Callable[[str], PayloadStore]


def sealed(number: int, *recipients: KeyPair, size: int = 4) -> EncryptedPayload:
    return encrypt_payload(number.to_bytes(size), A, [recipient.public for recipient in recipients], bytes(32))


def share(payload: EncryptedPayload, position: int, recipient: KeyPair) -> tuple[EncryptedPayload, dict[bytes, int]]:
    """What one recipient is sent of a payload."""
    return payload.with_boxes_at([position]), {recipient.public: 0}


class TestContract:
    @pytest.mark.parametrize("size", [4, LONG_BODY_BYTES])
    def test_a_payload_is_kept_once_with_the_boxes_of_all_who_bring_one(
        self, url: str, opened: Opened, size: int
    ) -> None:
        store, payload = opened(url), sealed(1, B, C, size=size)
        assert store.is_empty()
        assert store.put_payload(*share(payload, 0, B))
        assert not store.put_payload(*share(payload, 1, C))
        assert not store.put_payload(*share(payload, 1, C))
        stored = store.find_payload(payload.key)
        assert stored is not None
        assert (set(stored.parties), len(stored.payload.boxes)) == ({B.public, C.public}, 2)
        for reader in (B, C):
            opened_at = decrypt_payload(stored.payload.with_boxes_at([stored.parties[reader.public]]), reader)
            assert opened_at == (0, (1).to_bytes(size))
        assert store.find_payload(bytes(32)) is None
        assert not store.is_empty()

    @pytest.mark.parametrize("change", [{"sender": D.public}, {"nonce": bytes(24)}, {"group_id": b"\1" * 32}])
    def test_another_payload_under_a_taken_key_changes_nothing(
        self, url: str, opened: Opened, change: dict[str, Any]
    ) -> None:
        store, payload = opened(url), sealed(1, B)
        store.put_payload(*share(payload, 0, B))
        before = store.find_payload(payload.key)
        with pytest.raises(PayloadConflictError):
            store.put_payload(replace(payload, **change), {C.public: 0})
        assert store.find_payload(payload.key) == before

    def test_payloads_of_a_party_come_in_order_and_in_pages(self, url: str, opened: Opened) -> None:
        store = opened(url)
        mine = [sealed(number, B) for number in range(7)]
        for payload in mine:
            store.put_payload(*share(payload, 0, B))
            store.put_payload(*share(sealed(99, C), 0, C))
        first = store.read_payloads(B.public, 0, 4)
        second = store.read_payloads(B.public, first[-1].number, 4)
        assert [stored.payload.key for stored in first + second] == [payload.key for payload in mine]
        assert store.read_payloads(D.public, 0, 4) == []

    def test_groups_are_replaced_found_by_members_and_listed_in_order(self, url: str, opened: Opened) -> None:
        store = opened(url)
        one = GroupRecord((A.public, B.public), "one", "", True, GroupType.PANTHEON, b"1")
        two, other = replace(one, name="two", seed=b"2"), replace(one, members=(A.public, C.public))
        for record in (one, two, other):
            store.groups.put(record)
        store.groups.put(replace(one, active=False))
        assert store.groups.find_by_members([B.public, A.public]) == [two]
        assert [record.name for record in all_groups(store)] == ["one", "two", "one"]
        assert (store.groups.find(one.id), store.groups.find(bytes(32))) == (replace(one, active=False), None)

    def test_known_managers_are_replaced_as_a_whole(self, url: str, opened: Opened) -> None:
        store = opened(url)
        store.put_known_nodes({A.public: "http://a", B.public: "http://b"})
        store.put_known_nodes({B.public: "http://elsewhere"})
        assert store.read_known_nodes() == {B.public: "http://elsewhere"}
        store.put_known_nodes({})
        assert store.read_known_nodes() == {}

    def test_audit_shows_what_was_taken_out(self, url: str, opened: Opened) -> None:
        store = opened(url)
        for number in range(3):
            store.append_audit(audit_entry("sent", bytes([number]) * 32, A.public, [B.public], bytes(32)))
        assert [entry["number"] for entry in export_audit_log(store)] == [1, 2, 3]
        with store._database.write() as connection:
            connection.execute("DELETE FROM audit WHERE number = 2")
        with pytest.raises(AuditLogError, match="entry 2"):
            list(export_audit_log(store))

    def test_what_the_audit_log_says_is_kept_with_what_it_is_of_or_neither_is(self, url: str, opened: Opened) -> None:
        store, payload, group = opened(url), sealed(1, B), GroupRecord.legacy((A.public, B.public))
        entry = audit_entry("received", payload.key, A.public, [B.public], bytes(32))
        with store._database.write() as connection:
            connection.execute("ALTER TABLE audit RENAME TO elsewhere")
        with pytest.raises(StoreError):
            store.put_payload(payload, {B.public: 0}, entry)
        with pytest.raises(StoreError):
            store.groups.put(group, entry)
        assert (store.find_payload(payload.key), all_groups(store)) == (None, [])
        with store._database.write() as connection:
            connection.execute("ALTER TABLE elsewhere RENAME TO audit")
        assert store.put_payload(payload, {B.public: 0}, entry)
        assert not store.put_payload(payload, {B.public: 0}, entry), "no second entry either"
        store.groups.put(group, entry)
        assert [entry["number"] for entry in export_audit_log(store)] == [1, 2]

    def test_another_opening_finds_everything(self, url: str, opened: Opened) -> None:
        store, payload = opened(url), sealed(1, B)
        group = GroupRecord.legacy((A.public, B.public))
        store.put_payload(payload, {B.public: 0, A.public: 1})
        store.groups.put(group)
        store.put_known_nodes({B.public: "http://b"})
        store.append_audit(audit_entry("sent", payload.key, A.public, [B.public], bytes(32)))
        before = store.find_payload(payload.key)
        store.close()
        again = opened(url)
        assert (again.find_payload(payload.key), all_groups(again)) == (before, [group])
        assert again.read_known_nodes() == {B.public: "http://b"}
        assert len(list(export_audit_log(again))) == 1


WRITERS, PAYLOADS = 4, 12


class TestAtOnce:
    @pytest.fixture(autouse=True)
    def _patient(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """SQLite's writers do not queue: who waits may do so for all that the others write without a pause."""
        monkeypatch.setattr("lacnode.privacy.manager.sql_database.WAIT_SECONDS", int(DEADLINE))

    def test_writers_through_two_openings_lose_nothing_of_each_other(self, url: str, opened: Opened) -> None:
        with ThreadPoolExecutor(2) as pool:  # two managers that start on one empty database
            stores = list(pool.map(opened, [url, url]))
        self._write_and_look(stores, opened(url))

    def test_an_opening_waits_while_another_makes_the_file(
        self, tmp_path: Path, opened: Opened, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """SQLite refuses that at once, as it refuses nothing else."""
        with closing(sqlite3.connect(tmp_path / "store", isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            other.execute("CREATE TABLE made_first (number INTEGER)")
            monkeypatch.setattr("lacnode.privacy.manager.sql_database.sleep", lambda seconds: other.execute("COMMIT"))
            store = opened(f"sqlite:///{tmp_path / 'store'}")
            assert not other.in_transaction
        assert all_groups(store) == []

    def test_an_opening_does_not_wait_for_ever(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("lacnode.privacy.manager.sql_database.WAIT_SECONDS", 0)
        with closing(sqlite3.connect(tmp_path / "store", isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            other.execute("CREATE TABLE made_first (number INTEGER)")
            with pytest.raises(StoreError, match=r"^the store cannot be opened: SQLITE_BUSY"):
                PayloadStore(f"sqlite:///{tmp_path / 'store'}")

    def test_threads_on_a_store_that_forgets(self, opened: Opened) -> None:
        store = opened(MEMORY)
        self._write_and_look([store, store], store)

    def _write_and_look(self, stores: list[PayloadStore], look: PayloadStore) -> None:
        readers = [KeyPair.from_private_bytes(bytes([number]) * 32) for number in range(10, 10 + WRITERS)]
        payloads = [sealed(number, *readers) for number in range(PAYLOADS)]
        group = GroupRecord.legacy(tuple(reader.public for reader in readers))

        def write(index: int) -> int:
            store, new = stores[index % 2], 0
            for payload in payloads:
                new += store.put_payload(*share(payload, index, readers[index]))
                store.groups.put(group)
                store.put_known_nodes({readers[index].public: f"http://{index}"})
                store.append_audit(audit_entry("received", payload.key, A.public, [readers[index].public], bytes(32)))
            return new

        with ThreadPoolExecutor(WRITERS) as pool:
            assert sum(pool.map(write, range(WRITERS))) == PAYLOADS
        for number, payload in enumerate(payloads):
            stored = look.find_payload(payload.key)
            assert stored is not None
            assert len(stored.payload.boxes) == WRITERS
            for reader in readers:
                mine = stored.payload.with_boxes_at([stored.parties[reader.public]])
                assert decrypt_payload(mine, reader) == (0, number.to_bytes(4))
        assert all_groups(look) == [group]
        assert len(look.read_known_nodes()) == 1
        assert len(list(export_audit_log(look))) == WRITERS * PAYLOADS

    def test_who_reads_page_by_page_meanwhile_misses_none(self, url: str, opened: Opened) -> None:
        store, expected = opened(url), WRITERS * PAYLOADS
        written = threading.Event()

        def write(index: int) -> None:
            for number in range(PAYLOADS):
                store.put_payload(*share(sealed(index * PAYLOADS + number, B), 0, B))

        def read() -> list[int]:
            seen: list[int] = []
            while True:
                last = written.is_set()
                page = store.read_payloads(B.public, seen[-1] if seen else 0, 5)
                seen += [stored.number for stored in page]
                if last and not page:
                    return seen

        with ThreadPoolExecutor(WRITERS + 1) as pool:
            reading = pool.submit(read)
            list(pool.map(write, range(WRITERS)))
            written.set()
            seen = reading.result(DEADLINE)
        assert len(seen) == expected
        assert seen == sorted(seen)

    def test_a_reader_sees_one_moment(self, url: str, opened: Opened) -> None:
        reader, writer = opened(url), opened(url)
        with reader._database.read() as connection:
            before = connection.find_value("SELECT count(*) FROM known_nodes")
            writer.put_known_nodes({A.public: "http://a"})
            assert connection.find_value("SELECT count(*) FROM known_nodes") == before


class TestLostConnection:
    def test_idle_connections_that_were_cut_are_replaced_unnoticed(
        self, server: PostgresqlServer, opened: Opened
    ) -> None:
        name = server.new_database()
        store, payload = opened(server.url(name)), sealed(1, B)
        store.put_payload(*share(payload, 0, B))
        assert end_sessions(server, name) > 0
        assert store.find_payload(payload.key) is not None

    def test_one_that_is_cut_midway_is_an_error_and_the_next_call_works(
        self, server: PostgresqlServer, opened: Opened
    ) -> None:
        name = server.new_database()
        store, payload = opened(server.url(name)), sealed(1, B)
        with server.connect(name) as other, ThreadPoolExecutor(1) as pool:
            other.execute(b"SELECT pg_advisory_lock(%d)" % WRITE_LOCK)
            writing = pool.submit(store.put_payload, *share(payload, 0, B))
            wait_for_writer(other)
            end_sessions(server, name, b"wait_event_type = 'Lock'")
            with pytest.raises(StoreError, match=r"^the store cannot be written: its database is not reached$"):
                writing.result(DEADLINE)
            assert store.find_payload(payload.key) is None
            other.execute(b"SELECT pg_advisory_unlock_all()")
        assert store.put_payload(*share(payload, 0, B))
        assert store.find_payload(payload.key) is not None

    def test_a_writer_does_not_wait_for_ever(
        self, server: PostgresqlServer, opened: Opened, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("lacnode.privacy.manager.sql_database.WAIT_SECONDS", 1)
        name = server.new_database()
        store = opened(server.url(name))
        with server.connect(name) as other:
            other.execute(b"SELECT pg_advisory_lock(%d)" % WRITE_LOCK)
            with pytest.raises(StoreError, match="cannot be written: LockNotAvailable"):
                store.put_known_nodes({})
            assert store.read_known_nodes() == {}

    def test_the_manager_says_it_is_down_and_goes_on_when_the_server_is_back(
        self, server: PostgresqlServer, opened: Opened
    ) -> None:
        store = opened(server.url(server.new_database()))
        manager = lonely_manager(A, store)
        first = manager.send(SECRET, A.public, [])
        server.stop()
        try:
            assert not manager.is_up()
            with pytest.raises(EnclaveUnreachableError, match="its database is not reached"):
                manager.send(SECRET, A.public, [])
        finally:
            server.start()
        assert manager.is_up()
        second = manager.send(SECRET, A.public, [])
        assert [manager.receive(key).payload for key in (first, second)] == [SECRET, SECRET]
        assert len(list(export_audit_log(store))) == 2

    def test_what_was_given_out_survives_a_crash_of_a_server_that_confirms_early(
        self, server: PostgresqlServer, opened: Opened
    ) -> None:
        manager = lonely_manager(A, opened(server.url(server.new_database())))
        key = manager.send(SECRET, A.public, [])
        server.crash()
        server.start()
        assert manager.receive(key).payload == SECRET
        assert all(SECRET not in file.read_bytes() for file in server.data.rglob("*") if file.is_file())


def end_sessions(server: PostgresqlServer, database: str, where: bytes = b"true") -> int:
    query = b"SELECT count(pg_terminate_backend(pid, 5000)) FROM pg_stat_activity WHERE datname = '%s' AND " % (
        database.encode()
    )
    with server.connect() as connection:
        row = connection.execute(query + where).fetchone()
    assert row is not None
    return int(row[0])


def wait_for_writer(connection: "psycopg.Connection[tuple[Any, ...]]") -> None:
    """Until somebody waits for the write lock."""
    waiting = threading.Event()
    limit = threading.Timer(DEADLINE, waiting.set)
    limit.start()
    try:
        query = b"SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND wait_event = 'advisory'"
        while connection.execute(query).fetchone() is None:
            assert not waiting.is_set(), "no writer came"
    finally:
        limit.cancel()


class TestOpening:
    def test_a_manager_by_orions_url(self, server: PostgresqlServer, tmp_path: Path) -> None:
        save_key_pair(tmp_path / "node", A)
        file, query = tmp_path / "orion.toml", f"user={server.USER}&password={server.password}"
        file.write_text(
            f'workdir = "{tmp_path}"\npublickeys = ["node.pub"]\nprivatekeys = ["node.key"]\n'
            f'storage = "sql:jdbc:postgresql://127.0.0.1:{server.port}/{server.new_database()}?{query}"\n'
        )
        keys = []
        for _ in range(2):
            service = open_service(load_config(file, {}))
            keys.append(service.manager.send(SECRET, A.public, []))
            assert [service.manager.receive(key).payload for key in keys] == [SECRET] * len(keys)
            service.close()

    def test_what_is_wrong_is_said_and_no_password(self, server: PostgresqlServer) -> None:
        database, wrong = server.new_database(), "not-the-password"
        url = server.url(database).replace(server.password, wrong)
        for bad, words in (
            (url, "password authentication failed"),
            (server.url("nowhere"), 'database "nowhere" does not exist'),
            (url.replace(f":{server.port}/", ":1/"), "Connection refused"),
            (url.replace("postgresql+psycopg", "mysql"), "sqlite or postgresql was expected, found mysql"),
            (f"{url}:{wrong}:", "cannot be"),
            (wrong, "the store's URL cannot be understood"),
        ):
            with pytest.raises(StoreError, match=words) as error:
                PayloadStore(bad)
            assert wrong not in str(error.value)
            assert server.password not in str(error.value)

    def test_without_the_driver_the_extra_is_named(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, "psycopg", None)
        with pytest.raises(StoreError, match=r"pip install 'lacnode\[postgresql\]'"):
            PayloadStore("postgresql+psycopg://127.0.0.1/nowhere")
