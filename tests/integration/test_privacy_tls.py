"""Managers that meet over TLS: a certificate on both sides, and what becomes of those that have another."""

import ssl
from pathlib import Path

import pytest
import trio

from lacnode.privacy.keys import KeyPair, KeyRing
from lacnode.privacy.payload_store import PayloadStore
from lacnode.privacy.service.service import ManagerService, ServiceSettings
from lacnode.privacy.service.tls import Fingerprints, Tls, TlsError, client_context, server_context
from lacnode.privacy.transaction_manager import ManagerError
from tests.certificates import certificate, issuer

DEADLINE = 20.0
A, B = KeyPair.of(b"\1" * 32), KeyPair.of(b"\2" * 32)


@pytest.fixture
def certificates(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A root that the system trusts, `a` and `b` by it, and `stranger` by itself."""
    root = certificate(tmp_path, "root")
    for name in "ab":
        certificate(tmp_path, name, issuer(tmp_path, "root"))
    certificate(tmp_path, "stranger")
    monkeypatch.setenv("SSL_CERT_FILE", str(root))
    return tmp_path


def tls(path: Path, name: str, trust: str, client: str | None = None) -> Tls:
    own, shown = (path / f"{name}.pem", path / f"{name}.key"), client or name
    pinned = None if trust == "ca" else Fingerprints(path / f"{name}-servers", record=trust == "tofu")
    return Tls(server_context(*own, "ca"), client_context(path / f"{shown}.pem", path / f"{shown}.key", trust), pinned)


async def delivered(a_tls: Tls, b_tls: Tls) -> bool:
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
                key = await trio.to_thread.run_sync(a.manager.send, b"over tls", A.public, [B.public])
                got = await trio.to_thread.run_sync(b.manager.receive, key)
                result = got.payload == b"over tls"
            except ManagerError:
                result = False
            nursery.cancel_scope.cancel()
    return result


@pytest.mark.parametrize("trust", ["ca", "tofu"])
async def test_members_meet(certificates: Path, trust: str) -> None:
    assert await delivered(tls(certificates, "a", trust), tls(certificates, "b", trust))


async def test_a_client_of_unknown_origin_is_refused(certificates: Path) -> None:
    assert not await delivered(tls(certificates, "a", "ca", client="stranger"), tls(certificates, "b", "ca"))


async def test_a_server_not_on_the_list_is_sent_nothing(certificates: Path) -> None:
    assert not await delivered(tls(certificates, "a", "whitelist"), tls(certificates, "b", "ca"))


def test_first_use_is_remembered_and_then_pinned(tmp_path: Path) -> None:
    file = tmp_path / "known"
    assert Fingerprints(file, record=True).trusts("host:1", b"first")
    assert Fingerprints(file, record=False).trusts("host:1", b"first")
    assert not Fingerprints(file, record=True).trusts("host:1", b"second")
    assert not Fingerprints(file, record=False).trusts("host:2", b"first")
    file.write_text("host:1 nothex\n")
    with pytest.raises(TlsError, match="line 1"):
        Fingerprints(file, record=False)


def test_a_mode_that_cannot_be_kept_is_refused(certificates: Path) -> None:
    with pytest.raises(TlsError, match="tlsservertrust"):
        server_context(certificates / "a.pem", certificates / "a.key", "tofu")
    assert server_context(certificates / "a.pem", certificates / "a.key", "ca").verify_mode == ssl.CERT_REQUIRED
