"""Managers that meet over TLS: a certificate on both sides, and what becomes of those that have another."""

import gc
import secrets
import ssl
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
import trio
import trio.testing
from OpenSSL import SSL

from lacnode.http import tls_handshakes
from lacnode.privacy.keys import KeyPair, KeyRing
from lacnode.privacy.manager.address_policy import AddressPolicy
from lacnode.privacy.manager.payload_store import PayloadStore
from lacnode.privacy.service.fingerprints import Fingerprints, TlsSetupError
from lacnode.privacy.service.manager_service import ManagerService, ServiceSettings
from lacnode.privacy.service.peer_client import HttpPeerSender
from lacnode.privacy.service.tls import Tls, load_or_create_client_tls, load_or_create_server_tls, parse_trust
from lacnode.privacy.transaction_manager import EnclaveError
from tests.support.certificates import certificate, fingerprint, issuer
from tests.support.logs import captured_logs

DEADLINE = 20.0
A, B = KeyPair.from_private_bytes(b"\1" * 32), KeyPair.from_private_bytes(b"\2" * 32)


@pytest.fixture
def certificates(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A root that the system trusts, `a` and `b` by it, and `stranger` by itself."""
    root = certificate(tmp_path, "root")
    for name in "ab":
        certificate(tmp_path, name, issuer(tmp_path, "root"))
    certificate(tmp_path, "stranger")
    monkeypatch.setenv("SSL_CERT_FILE", str(root))
    return tmp_path


def tls(path: Path, name: str, servers: str, clients: str = "ca", shown: str | None = None) -> Tls:
    """Of a manager that trusts servers and clients in these modes, and shows `shown` where it is the client."""
    of_clients = parse_trust("tlsservertrust", clients, path / f"{name}-clients")
    of_servers = parse_trust("tlsclienttrust", servers, path / f"{name}-servers")
    shown = shown or name
    return Tls(
        load_or_create_server_tls(path / f"{name}.pem", path / f"{name}.key", of_clients, "127.0.0.1"),
        load_or_create_client_tls(path / f"{shown}.pem", path / f"{shown}.key", of_servers, "127.0.0.1"),
    )


async def delivered(a_tls: Tls, b_tls: Tls, payload: bytes = b"over tls") -> bool:
    """Whether A's manager, which is told where B's is, delivers a payload there."""
    b = ManagerService(KeyRing([B]), PayloadStore(), ServiceSettings(client_port=None, tls=b_tls))
    result = False
    with trio.fail_after(DEADLINE):
        async with trio.open_nursery() as nursery:
            await nursery.start(b.run)
            url = f"https://127.0.0.1:{b.node_port}"
            a_store = PayloadStore()
            a_store.put_known_nodes({B.public: url})
            a = ManagerService(KeyRing([A]), a_store, ServiceSettings(client_port=None, tls=a_tls))
            await nursery.start(a.run)
            try:
                key = await trio.to_thread.run_sync(a.manager.send, payload, A.public, [B.public])
                got = await trio.to_thread.run_sync(b.manager.receive, key)
                result = got.payload == payload
            except EnclaveError:
                result = False
            nursery.cancel_scope.cancel()
    return result


@pytest.mark.parametrize("servers", ["ca", "tofu", "ca-or-tofu", "ca-or-whitelist"])
@pytest.mark.parametrize("clients", ["ca", "tofu", "ca-or-tofu", "ca-or-whitelist"])
async def test_members_meet(certificates: Path, servers: str, clients: str) -> None:
    assert await delivered(tls(certificates, "a", servers), tls(certificates, "b", "ca", clients))


class TestClientsThatWeDoNotKnow:
    @pytest.mark.parametrize("clients", ["ca", "whitelist", "ca-or-whitelist"])
    async def test_are_turned_away_and_named(self, certificates: Path, clients: str) -> None:
        with captured_logs() as logs:
            came = await delivered(
                tls(certificates, "a", "ca", shown="stranger"), tls(certificates, "b", "ca", clients)
            )
        assert not came
        (told,) = [entry["event"] for entry in logs if "names stranger is refused" in entry["event"]]
        assert "self signed" in told

    @pytest.mark.parametrize("clients", ["tofu", "ca-or-tofu"])
    async def test_are_remembered_by_name_and_then_pinned(self, certificates: Path, clients: str) -> None:
        b = tls(certificates, "b", "ca", clients)
        assert await delivered(tls(certificates, "a", "ca", shown="stranger"), b)
        known = (certificates / "b-clients").read_text()
        assert known == f"stranger {fingerprint(certificates, 'stranger').replace(':', '').lower()}\n"
        again = tls(certificates, "b", "ca", clients)
        assert await delivered(tls(certificates, "a", "ca", shown="stranger"), again)
        certificate(certificates, "stranger")
        assert not await delivered(tls(certificates, "a", "ca", shown="stranger"), again)
        assert (certificates / "b-clients").read_text() == known

    async def test_are_let_in_by_the_list(self, certificates: Path) -> None:
        (certificates / "b-clients").write_text(f"# ours\nstranger {fingerprint(certificates, 'stranger')}\n")
        b = tls(certificates, "b", "ca", "whitelist")
        assert await delivered(tls(certificates, "a", "ca", shown="stranger"), b)
        assert not await delivered(tls(certificates, "a", "ca"), b)

    @pytest.mark.parametrize("name", ["a b", "#stranger", "x\ny", "x\t"])
    async def test_cannot_write_lines_of_their_own(self, certificates: Path, name: str) -> None:
        certificate(certificates, "stranger", named=name)
        assert not await delivered(tls(certificates, "a", "ca", shown="stranger"), tls(certificates, "b", "ca", "tofu"))
        assert not (certificates / "b-clients").exists()


class TestServersThatWeDoNotKnow:
    @pytest.mark.parametrize("servers", ["whitelist", "ca", "ca-or-whitelist"])
    async def test_are_sent_nothing(self, certificates: Path, servers: str) -> None:
        certificate(certificates, "b")
        assert not await delivered(tls(certificates, "a", servers), tls(certificates, "b", "ca", "ca"))

    async def test_are_remembered_by_place(self, certificates: Path) -> None:
        certificate(certificates, "b")
        assert await delivered(tls(certificates, "a", "ca-or-tofu"), tls(certificates, "b", "ca", "ca"))
        (line,) = (certificates / "a-servers").read_text().splitlines()
        place, seen = line.split()
        assert place.startswith("127.0.0.1:")
        assert seen == fingerprint(certificates, "b").replace(":", "").lower()


async def test_a_call_given_up_while_a_certificate_is_looked_at_leaves_no_connection(
    certificates: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    in_thread = trio.to_thread.run_sync
    scope = trio.CancelScope()

    async def given_up(function: Callable[..., object], *arguments: object, **options: Any) -> object:
        if getattr(function, "__name__", "") == "trusts_or_records":
            scope.cancel()
        return await in_thread(function, *arguments, **options)

    a, b = tls(certificates, "a", "tofu"), tls(certificates, "b", "ca")
    server = ManagerService(KeyRing([B]), PayloadStore(), ServiceSettings(client_port=None, tls=b))
    sender = HttpPeerSender(a.client, AddressPolicy(["https://127.0.0.1"]))
    with trio.fail_after(DEADLINE):
        async with trio.open_nursery() as nursery:
            await nursery.start(server.run)
            await nursery.start(sender.run)
            monkeypatch.setattr(trio.to_thread, "run_sync", given_up)
            with scope:
                await sender.post_in_event_loop("/partyinfo", {f"https://127.0.0.1:{server.node_port}": b""})
            nursery.cancel_scope.cancel()
    assert scope.cancelled_caught
    gc.collect()  # A socket that is left makes the test fail.


class TestCertificatesOutOfTheirTime:
    @pytest.mark.parametrize(("late", "why"), [("a", "cert has expired"), ("b", None)])
    async def test_prove_nothing_by_their_chain(self, certificates: Path, late: str, why: str | None) -> None:
        certificate(certificates, late, issuer(certificates, "root"), days=-1)
        with captured_logs() as logs:
            assert not await delivered(tls(certificates, "a", "ca"), tls(certificates, "b", "ca", "ca"))
        assert why is None or any(why in entry["event"] for entry in logs if entry["log_level"] == "warning")

    async def test_are_known_by_their_fingerprints_all_the_same(self, certificates: Path) -> None:
        """Orion's own certificates end after a year; what is pinned is the key that goes with them."""
        certificate(certificates, "a", days=-1)
        certificate(certificates, "b", days=-1)
        assert await delivered(tls(certificates, "a", "tofu"), tls(certificates, "b", "ca", "tofu"))


async def test_a_client_without_a_certificate_is_refused(certificates: Path) -> None:
    b = ManagerService(
        KeyRing([B]), PayloadStore(), ServiceSettings(client_port=None, tls=tls(certificates, "b", "ca", "tofu"))
    )
    context = ssl.create_default_context(cafile=certificates / "root.pem")
    with trio.fail_after(DEADLINE):
        async with trio.open_nursery() as nursery:
            await nursery.start(b.run)
            async with httpx.AsyncClient(verify=context) as client:
                with pytest.raises(httpx.TransportError):
                    await client.get(f"https://127.0.0.1:{b.node_port}/upcheck")
            nursery.cancel_scope.cancel()


async def test_large_payloads_and_many_calls_go_through(certificates: Path) -> None:
    a, b = tls(certificates, "a", "ca"), tls(certificates, "b", "ca", "tofu")
    assert await delivered(a, b, payload=secrets.token_bytes(5 * 2**20))


def test_first_use_is_remembered_and_then_pinned(tmp_path: Path) -> None:
    file = tmp_path / "known"
    assert Fingerprints(file, records_new=True).trusts_or_records("host:1", b"first")
    assert Fingerprints(file, records_new=False).trusts_or_records("host:1", b"first")
    assert not Fingerprints(file, records_new=True).trusts_or_records("host:1", b"second")
    assert not Fingerprints(file, records_new=False).trusts_or_records("host:2", b"first")
    file.write_text("host:1 nothex\n")
    with pytest.raises(TlsSetupError, match="line 1"):
        Fingerprints(file, records_new=False)


def test_a_mode_that_trusts_everybody_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TlsSetupError, match=r"tlsservertrust: ca, whitelist, .* was expected, found insecure-record"):
        parse_trust("tlsservertrust", "insecure-record", tmp_path / "known")


async def test_certificates_are_made_where_there_are_none(certificates: Path) -> None:
    fresh = certificates / "fresh"
    fresh.mkdir()
    assert await delivered(tls(fresh, "a", "tofu", "tofu"), tls(fresh, "b", "tofu", "tofu"))
    assert (fresh / "a.key").stat().st_mode & 0o777 == 0o600
    assert fingerprint(fresh, "a") != fingerprint(fresh, "b")
    (fresh / "a.key").unlink()
    with pytest.raises(TlsSetupError, match="in PEM were expected"):
        tls(fresh, "a", "tofu", "tofu")


async def test_handshakes_of_many_strangers_compute_two_at_a_time(
    certificates: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    handshake, may_go_on = SSL.Connection.do_handshake, threading.Event()
    lock, computing, most, begun = threading.Lock(), 0, 0, 0

    def gated(connection: SSL.Connection) -> None:
        nonlocal computing, most, begun
        with lock:
            begun, computing = begun + 1, computing + 1
            most = max(most, computing)
        assert may_go_on.wait(DEADLINE)
        with lock:
            computing -= 1
        handshake(connection)

    monkeypatch.setattr(SSL.Connection, "do_handshake", gated)
    settings = ServiceSettings(client_port=None, tls=tls(certificates, "b", "ca"))
    service = ManagerService(KeyRing([B]), PayloadStore(), settings)
    try:
        with trio.fail_after(DEADLINE):
            async with trio.open_nursery() as nursery:
                await nursery.start(service.run)
                assert service.node_port is not None
                streams = [await trio.open_tcp_stream("127.0.0.1", service.node_port) for _ in range(20)]
                while begun < 2:
                    await trio.testing.wait_all_tasks_blocked(0.01)
                await trio.testing.wait_all_tasks_blocked(0.01)
                may_go_on.set()
                while begun < len(streams):
                    await trio.testing.wait_all_tasks_blocked(0.01)
                for stream in streams:
                    await stream.aclose()
                nursery.cancel_scope.cancel()
    finally:
        may_go_on.set()
    assert most == tls_handshakes.HANDSHAKES_AT_ONCE == 2
