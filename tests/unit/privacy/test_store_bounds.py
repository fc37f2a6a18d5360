"""What the manager's store keeps of what strangers send, and who may read its files."""

import json
import os
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from lacnode.privacy.keys import KeyPair, to_base64
from lacnode.privacy.manager.encrypted_payload import EncryptedPayload, encrypt_payload
from lacnode.privacy.manager.group_record import GroupRecord, decode_orion_group
from lacnode.privacy.manager.payload_store import PAYLOAD_ROWS_BYTES, PayloadStore
from lacnode.privacy.manager.quota import MEGABYTE, Quota, QuotaExceededError, QuotaSettings, QuotaUsage
from lacnode.privacy.manager.sql_database import StoreError
from lacnode.privacy.transaction_manager import GroupType
from lacnode.rpc.health import READINESS, health_response
from tests.support.logs import logs_of_this_thread
from tests.support.private_nodes import PrivateTestNetwork


class TestFiles:
    def test_the_database_is_its_users_alone(self, tmp_path: Path) -> None:
        old = os.umask(0)
        try:
            store = PayloadStore(f"sqlite:///{tmp_path / 'routerdb.sqlite'}")
            store.put_known_nodes({bytes(32): "http://a"})
            modes = {file.name: file.stat().st_mode & 0o777 for file in tmp_path.iterdir()}
            store.close()
        finally:
            os.umask(old)
        assert modes == dict.fromkeys(("routerdb.sqlite", "routerdb.sqlite-wal", "routerdb.sqlite-shm"), 0o600)

    def test_one_of_an_earlier_version_becomes_so(self, tmp_path: Path) -> None:
        file = tmp_path / "routerdb.sqlite"
        PayloadStore(f"sqlite:///{file}").close()
        file.chmod(0o644)
        PayloadStore(f"sqlite:///{file}").close()
        assert file.stat().st_mode & 0o777 == 0o600


A, B, STRANGER, OTHER = (KeyPair.from_private_bytes(bytes([number]) * 32) for number in (41, 42, 43, 44))
SMALL = QuotaSettings(all_known_keys_bytes=320_000, all_unknown_keys_bytes=160_000, disk_reserve_bytes=0)


def payload(sender: KeyPair, size: int = 1_000, to: KeyPair = A) -> EncryptedPayload:
    return encrypt_payload(os.urandom(size), sender, [to.public], bytes(32))


def pushed(store: PayloadStore, sender: KeyPair, size: int = 1_000) -> bool:
    """Whether a payload that is pushed is kept."""
    try:
        return store.put_payload(payload(sender, size), {A.public: 0}, b"entry", is_pushed=True)
    except QuotaExceededError:
        return False


def filled(store: PayloadStore, sender: KeyPair) -> int:
    """How many payloads of `sender` are kept before one is refused."""
    for count in range(1_000):
        if not pushed(store, sender):
            return count
    raise AssertionError("no bound")


class TestPayloads:
    def limited(self, settings: QuotaSettings = SMALL, directory: Path | None = None) -> PayloadStore:
        store = PayloadStore()
        store.set_quota(Quota(settings, lambda key: key == B.public, directory))
        return store

    def test_of_one_unknown_key_take_a_part_of_what_all_may(self) -> None:
        store = self.limited()
        assert 1 <= filled(store, STRANGER) <= 5
        assert pushed(store, OTHER)

    def test_count_with_the_boxes_that_a_second_push_adds(self) -> None:
        """A payload of a few hundred bytes could get boxes of 200 kB so, without an end."""
        store, sealed = self.limited(), payload(STRANGER)
        box = sealed.boxes[0]
        assert store.put_payload(sealed, {A.public: 0}, b"entry", is_pushed=True)
        parties = {number.to_bytes(32): number for number in range(1, 100)}
        more = replace(sealed, boxes=(box,) * 100)
        with pytest.raises(QuotaExceededError):
            store.put_payload(more, {A.public: 0, **parties}, b"entry", is_pushed=True)
        found = store.find_payload(sealed.key)
        assert found is not None
        assert list(found.parties) == [A.public]

    def test_count_with_their_rows(self) -> None:
        store = self.limited()
        count = 0
        while pushed(store, STRANGER, size=1):
            count += 1
        assert count <= 160_000 / 16 / PAYLOAD_ROWS_BYTES

    def test_of_unknown_keys_leave_known_ones_their_own(self) -> None:
        store = self.limited()
        strangers = [KeyPair.generate() for _ in range(40)]
        kept = sum(filled(store, stranger) for stranger in strangers)
        assert 40 < kept < 80
        assert not pushed(store, KeyPair.generate())
        assert pushed(store, B)

    def test_of_our_own_and_recovered_ones_are_not_counted(self) -> None:
        store = self.limited()
        filled(store, STRANGER)
        assert store.put_payload(payload(STRANGER), {A.public: 0}, b"recovered")
        assert store.put_payload(payload(A, 200_000), {A.public: 0})

    def test_are_counted_across_restarts(self, tmp_path: Path) -> None:
        url = f"sqlite:///{tmp_path / 'store'}"
        store = PayloadStore(url)
        store.set_quota(Quota(SMALL))
        filled(store, STRANGER)
        store.close()
        again, quota = PayloadStore(url), Quota(SMALL)
        again.set_quota(quota)
        assert quota.usage.unknown_bytes > 3_000
        assert not pushed(again, STRANGER)
        again.close()

    @pytest.mark.parametrize("is_forgotten", [False, True])
    def test_of_a_key_that_becomes_known_count_alike_after_a_restart(self, tmp_path: Path, is_forgotten: bool) -> None:
        """As of an honest manager that pushes before it is called for the first time."""
        url, called = f"sqlite:///{tmp_path / 'store'}", set[bytes]()
        with closing(PayloadStore(url)) as store:
            quota = Quota(SMALL, called.__contains__)
            store.set_quota(quota)
            assert pushed(store, STRANGER)
            first = quota.usage.unknown_bytes
            called.add(STRANGER.public)
            assert pushed(store, STRANGER)
            if is_forgotten:
                called.clear()
                assert pushed(store, STRANGER)
        assert quota.usage.known_bytes >= 2 * first > 0
        assert quota.usage.unknown_bytes == 0
        with closing(PayloadStore(url)) as again:
            after = Quota(SMALL)
            again.set_quota(after)
        assert after.usage == quota.usage

    def test_of_a_key_that_becomes_known_find_place_among_known_ones_or_are_refused(self) -> None:
        called = {B.public}
        store, quota = PayloadStore(), Quota(replace(SMALL, all_known_keys_bytes=160_000), called.__contains__)
        store.set_quota(quota)
        assert pushed(store, STRANGER, 5_000)
        quota.add_used_bytes(True, 153_000)
        before = replace(quota.usage)
        called.add(STRANGER.public)
        assert not pushed(store, STRANGER)
        assert quota.usage == before
        assert pushed(store, B)

    def test_that_the_database_refuses_count_for_nothing(self) -> None:
        called = set[bytes]()
        store, quota = PayloadStore(), Quota(SMALL, called.__contains__)
        store.set_quota(quota)
        assert pushed(store, STRANGER)
        before = replace(quota.usage)
        called.add(STRANGER.public)
        with store._database.write() as connection:
            connection.execute("ALTER TABLE audit RENAME TO elsewhere")
        for _ in range(2):
            with pytest.raises(StoreError):
                pushed(store, STRANGER)
        assert quota.usage == before != QuotaUsage()

    def test_leave_a_reserve_on_the_disk(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        store = self.limited(QuotaSettings(disk_reserve_bytes=1_000_000), tmp_path)
        free = 5_000_000
        monkeypatch.setattr("shutil.disk_usage", lambda path: SimpleNamespace(free=free))
        assert pushed(store, STRANGER)
        free = 1_500_000
        with logs_of_this_thread() as logs:
            assert pushed(store, STRANGER)
        assert "disk" in logs[0]["event"]
        free = 1_000_000
        assert not pushed(store, B)

    def test_an_alarm_comes_once_before_the_bound(self) -> None:
        store = self.limited()
        with logs_of_this_thread() as logs:
            for _ in range(40):
                filled(store, KeyPair.generate())
        (line,) = [entry["event"] for entry in logs]
        assert line.startswith("payloads of unknown keys: ")

    def test_what_is_almost_full_is_in_the_nodes_health(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """As long as it is so, and not in the log alone."""
        quota = Quota(QuotaSettings(100 * MEGABYTE, 10 * MEGABYTE, MEGABYTE), directory=tmp_path)
        free = 5 * MEGABYTE
        monkeypatch.setattr("shutil.disk_usage", lambda path: SimpleNamespace(free=free))
        stage = PrivateTestNetwork()
        statuses = stage.a.privacy_controller.statuses
        statuses._context = replace(statuses._context, alarms=quota.alarms)

        def shown() -> list[str]:
            status, body = health_response(
                stage.a.node.services, READINESS, "", stage.a.privacy_controller.statuses.health()
            )
            assert status == 200
            return list(json.loads(body)["privacy"].get("alarms", ()))

        assert shown() == []
        quota.add_used_bytes(False, 9 * MEGABYTE)
        assert shown() == ["payloads of unknown keys: 9 of 10 MiB are used"]
        free = MEGABYTE
        assert shown()[1:] == ["the disk of the transaction manager: 1 MiB are free"]
        quota.add_used_bytes(False, -5 * MEGABYTE)
        free = 5 * MEGABYTE
        assert shown() == []


class TestGroups:
    def record(self, number: int, text: int = 10) -> GroupRecord:
        seed = number.to_bytes(20)
        return GroupRecord((A.public, B.public), "x" * text, "", True, GroupType.PANTHEON, seed)

    def tell(self, store: PayloadStore, number: int, teller: bytes, text: int = 10) -> None:
        record = self.record(number, text)
        store.groups.update(record.id, lambda known: record, is_pushed=True, proven_teller=teller)

    @pytest.fixture
    def store(self, monkeypatch: pytest.MonkeyPatch) -> PayloadStore:
        """A's key is known. Unknown keys may have 16 groups, known ones as many."""
        monkeypatch.setattr("lacnode.privacy.manager.quota.MAX_UNKNOWN_GROUPS", 16)
        monkeypatch.setattr("lacnode.privacy.manager.quota.MAX_STORED_GROUPS", 16)
        store = PayloadStore()
        store.set_quota(Quota(is_key_of_called_manager=lambda key: key == A.public))
        return store

    def test_of_strangers_leave_known_managers_their_own(self, store: PayloadStore) -> None:
        """Each stranger has a key of its own. Groups of theirs used to keep all others' out for good."""
        for number in range(16):
            self.tell(store, number, teller=number.to_bytes(32))
        for teller in (bytes([99]) * 32, b""):
            with pytest.raises(QuotaExceededError, match="unknown keys"):
                self.tell(store, 99, teller)
        self.tell(store, 100, A.public)
        store.groups.update(self.record(101).id, lambda known: self.record(101))

    def test_of_one_key_take_a_part_of_what_all_may(self, store: PayloadStore) -> None:
        for number in range(2):
            self.tell(store, number, A.public)
        with pytest.raises(QuotaExceededError, match="one key"):
            self.tell(store, 4, A.public)
        self.tell(store, 5, B.public)

    def test_have_a_bound_in_bytes(self, store: PayloadStore, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("lacnode.privacy.manager.quota.MAX_UNKNOWN_GROUP_BYTES", 20_000)
        for number in range(3):
            self.tell(store, number, b"", 6_000)
        with pytest.raises(QuotaExceededError):
            self.tell(store, 3, b"", 6_000)
        self.tell(store, 4, A.public, 6_000)

    def test_are_counted_across_restarts(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("lacnode.privacy.manager.quota.MAX_UNKNOWN_GROUPS", 2)
        for number in range(2):
            with closing(PayloadStore(f"sqlite:///{tmp_path}/routerdb.sqlite")) as store:
                self.tell(store, number, b"")
        with closing(PayloadStore(f"sqlite:///{tmp_path}/routerdb.sqlite")) as store, pytest.raises(QuotaExceededError):
            self.tell(store, 2, b"")

    def test_come_in_pages(self) -> None:
        store = PayloadStore()
        for number in range(20):
            store.groups.put(self.record(number, 10_000))
        store.groups.put(GroupRecord((B.public,), to_base64(A.public), "", True, GroupType.PANTHEON, bytes(20)))
        seen, after, more = [], 0, True
        while more:
            page = store.groups.read_page(A.public, after, 3, 1_000_000)
            assert 0 < len(page.records) <= 3
            seen += [decode_orion_group(record) for record in page.records]
            after, more = page.last_number, page.has_more
        assert seen == [self.record(number, 10_000) for number in range(20)]
        assert len(store.groups.read_page(A.public, 0, 99, 35_000).records) == 3
