"""A node and its transaction manager over TLS, on real sockets: `--privacy-tls-enabled`."""

import os
import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest
import trio
from cryptography import x509
from cryptography.hazmat.primitives.hashes import SHA256

from lacnode.devnet.devnet_ports import claim_port_offset, node_ports
from lacnode.http.connection_server import ConnectionServer, bound_port, open_listeners
from lacnode.http.http_connection import HttpConnection
from lacnode.http.http_messages import Request, Response
from lacnode.node.configuration import PrivacySettings
from lacnode.node.manager_start import open_manager
from lacnode.node.opened_manager import ManagerStartError
from lacnode.privacy.keys import KeyPair, KeyRing, to_base64
from lacnode.privacy.manager.payload_store import PayloadStore
from lacnode.privacy.service.client_routes import ClientRoutes
from lacnode.privacy.service.enclave_files import EnclaveTlsFiles
from lacnode.privacy.service.enclave_tls import EnclaveTls
from lacnode.privacy.service.http_manager import HttpTransactionManager
from lacnode.privacy.service.manager_service import ManagerService, ServiceSettings
from lacnode.privacy.transaction_manager import EnclaveUnreachableError
from tests.support.certificates import certificate, fingerprint, keystore
from tests.support.devnet import ask, until
from tests.support.logs import logs_of_this_thread
from tests.support.managers import OwnManager

ROOT = Path(__file__).resolve().parents[2]
A, B = KeyPair.from_private_bytes(b"\1" * 32), KeyPair.from_private_bytes(b"\2" * 32)
PASSWORD = "correct horse, ärger"
DEADLINE = 60.0


@dataclass
class Enclave:
    """A manager's client API behind TLS; `heads` are the requests that reached it."""

    port: int
    heads: list[str] = field(default_factory=list)

    def url(self, scheme: str = "https") -> str:
        return f"{scheme}://127.0.0.1:{self.port}"


class _Counting(ClientRoutes):
    heads: list[str]

    def answer_head(self, head: Request) -> Response | None:
        self.heads.append(head.target)
        return super().answer_head(head)


@asynccontextmanager
async def enclave(path: Path, shown: str = "enclave") -> AsyncIterator[Enclave]:
    """A manager that shows the certificate `shown` and lets the one of `node` in."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(path / "node.pem")
    context.load_cert_chain(path / f"{shown}.pem", path / f"{shown}.key")
    service = ManagerService(KeyRing([A, B]), PayloadStore(), ServiceSettings(client_port=None))
    routes = _Counting(service.manager, "test", trio.CapacityLimiter(1))
    listeners = await open_listeners("127.0.0.1", 0)
    found = Enclave(bound_port(listeners))
    routes.heads = found.heads

    async def handle_connection(stream: trio.SocketStream) -> None:
        secured = trio.SSLStream(stream, context, server_side=True, https_compatible=True)
        await secured.do_handshake()
        await HttpConnection(secured, routes, 1_000_000).run()

    try:
        with trio.fail_after(DEADLINE):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(ConnectionServer("enclave", 10, handle_connection).serve, listeners)
                yield found
                nursery.cancel_scope.cancel()
    finally:
        for listener in listeners:
            await trio.aclose_forcefully(listener)
        service.close()


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """Certificates of `enclave`, `node` and `stranger`, and keystores of the two last."""
    certificate(tmp_path, "enclave")
    for name in ("node", "stranger"):
        certificate(tmp_path, name)
        keystore(tmp_path, name, PASSWORD.encode())
    (tmp_path / "password").write_text(f"{PASSWORD}\nnot this\n", "utf-8")
    return tmp_path


def known(path: Path, line: str) -> None:
    (path / "known").write_text(f"# managers\n\n{line}\n")


def tls_files(path: Path, name: str = "node") -> EnclaveTlsFiles:
    return EnclaveTlsFiles(path / f"{name}.p12", path / "password", path / "known")


async def asked(path: Path, url: str, name: str = "node") -> str:
    """What comes back of a payload that is sent to the manager at `url` and asked for."""

    def talk() -> str:
        with HttpTransactionManager(url, tls=EnclaveTls(tls_files(path, name), url)) as manager:
            return manager.receive(manager.send(b"over tls", A.public, [B.public])).payload.decode()

    return await trio.to_thread.run_sync(talk)


@pytest.mark.parametrize("scheme", ["https", "http"])
async def test_both_know_each_other(files: Path, scheme: str) -> None:
    async with enclave(files) as manager:
        known(files, f"127.0.0.1:{manager.port} {fingerprint(files, 'enclave')}")
        assert await asked(files, manager.url(scheme)) == "over tls"
        assert manager.heads == ["/send", "/receive"]


async def test_another_than_the_known_manager_is_sent_nothing(files: Path) -> None:
    async with enclave(files) as manager:
        for line in (
            f"127.0.0.1:{manager.port} {fingerprint(files, 'stranger')}",
            f"127.0.0.1:{manager.port + 1} {fingerprint(files, 'enclave')}",
            "",
        ):
            known(files, line)
            with pytest.raises(EnclaveUnreachableError) as refused:
                await asked(files, manager.url())
            assert f"the certificate of 127.0.0.1:{manager.port} is not the one in {files / 'known'}" in str(
                refused.value
            )
            assert fingerprint(files, "enclave").lower() in str(refused.value)
        assert manager.heads == []


async def test_the_known_manager_out_of_its_time_is_sent_nothing(files: Path) -> None:
    certificate(files, "old", days=-1)
    async with enclave(files, "old") as manager:
        known(files, f"127.0.0.1:{manager.port} {fingerprint(files, 'old')}")
        with pytest.raises(EnclaveUnreachableError, match=r"127\.0\.0\.1:\d+ is out of its time: \d{4}-"):
            await asked(files, manager.url())
        assert manager.heads == []


@contextmanager
def refusing(path: Path, times: int) -> Iterator[str]:
    """A server that knows no certificate but `enclave`'s, and says so in TLS's words to so many clients; its URL."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(path / "enclave.pem")
    context.load_cert_chain(path / "enclave.pem", path / "enclave.key")

    def serve() -> None:
        for _ in range(times):
            plain, _ = listener.accept()
            with context.wrap_socket(plain, server_side=True, do_handshake_on_connect=False) as secured:
                with pytest.raises(ssl.SSLError):
                    secured.do_handshake()
                while os.read(secured.fileno(), 65_536):
                    pass

    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(DEADLINE)
        thread = threading.Thread(target=serve)
        thread.start()
        yield f"https://127.0.0.1:{listener.getsockname()[1]}"
        thread.join()


def test_a_node_that_the_manager_does_not_know_is_told_why_and_logs_it_once(files: Path) -> None:
    with refusing(files, times=3) as url, logs_of_this_thread() as logs:
        known(files, f"{url.removeprefix('https://')} {fingerprint(files, 'enclave')}")
        with HttpTransactionManager(url, tls=EnclaveTls(tls_files(files), url)) as manager:
            for _ in range(3):
                with pytest.raises(EnclaveUnreachableError, match="ALERT_UNKNOWN_CA"):
                    manager.receive(bytes(32))
    said = [entry["event"] for entry in logs if entry["log_level"] == "warning"]
    assert len(said) == 1
    assert "ALERT_UNKNOWN_CA" in said[0]


def test_a_node_whose_own_certificate_is_out_of_its_time_starts_and_says_so(files: Path) -> None:
    certificate(files, "old", days=-1)
    keystore(files, "old", PASSWORD.encode())
    known(files, "")
    with logs_of_this_thread() as logs:
        EnclaveTls(tls_files(files, "old"), "https://127.0.0.1:1")
    assert [f"the certificate in {files / 'old.p12'} is out of its time" in entry["event"] for entry in logs] == [True]


def _without(name: str) -> Callable[[Path], None]:
    return lambda path: (path / name).unlink()


def _with(name: str, content: bytes) -> Callable[[Path], None]:
    def spoil(path: Path) -> None:
        (path / name).write_bytes(content)

    return spoil


def _certificate_alone(path: Path) -> None:
    (path / "node.p12").write_bytes((path / "node.pem").read_bytes())


@pytest.mark.parametrize(
    ("spoil", "text"),
    [
        (_without("node.p12"), "Requested file {}/node.p12 does not exist at specified location."),
        (_without("password"), "Requested file {}/password does not exist at specified location."),
        (_without("known"), "Requested file {}/known does not exist at specified location."),
        (_with("password", b"\nsecond line"), "Keystore password file is empty: {}/password"),
        (
            _with("password", b"wrong-battery-staple"),
            "Failed to load TLS files {}/node.p12: PKCS#12 under the password",
        ),
        (_with("node.p12", b""), "Failed to load TLS files {}/node.p12: PKCS#12 under the password"),
        (_certificate_alone, "Failed to load TLS files {}/node.p12: PKCS#12 under the password"),
        (_with("known", b"127.0.0.1:8888 AB:CD"), "{}/known, line 1: an identifier and a SHA-256 fingerprint"),
    ],
)
def test_files_that_cannot_be_used_are_named_and_the_node_does_not_start(
    files: Path, spoil: Callable[[Path], None], text: str
) -> None:
    known(files, f"127.0.0.1:8888 {fingerprint(files, 'enclave')}")
    spoil(files)
    settings = PrivacySettings(A.public, "https://127.0.0.1:8888", tls_files(files))
    with pytest.raises(ManagerStartError) as refused:
        open_manager(settings)
    assert str(refused.value).startswith("--privacy-tls-enabled: " + text.format(files))
    assert "battery" not in str(refused.value)
    assert PASSWORD not in str(refused.value)


@pytest.mark.parametrize("listed", ["node", "stranger"])
def test_our_own_manager_lets_in_whom_its_list_names(files: Path, listed: str) -> None:
    clients = files / "clients"
    clients.write_text(f"{listed} {fingerprint(files, listed)}\n")
    settings = {"clientconnectiontls": "strict", "clientconnectiontlsservertrust": "whitelist"}
    manager = OwnManager(files / "own", settings={**settings, "clientconnectiontlsknownclients": str(clients)})
    try:
        certificate_file = files / "own" / "client-connection-tls-server-cert.pem"
        shown = x509.load_pem_x509_certificate(certificate_file.read_bytes())
        known(files, f"127.0.0.1:{manager.client_port} {shown.fingerprint(SHA256()).hex()}")
        url = f"https://127.0.0.1:{manager.client_port}"
        with HttpTransactionManager(url, tls=EnclaveTls(tls_files(files), url)) as client:
            if listed == "node":
                assert client.receive(client.send(b"over tls", manager.key, [])).payload == b"over tls"
            else:
                with pytest.raises(EnclaveUnreachableError):
                    client.send(b"over tls", manager.key, [])
    finally:
        assert manager.stop() == 0


async def test_a_node_process_uses_it_by_its_options(files: Path) -> None:
    async with enclave(files) as manager:
        known(files, f"127.0.0.1:{manager.port} {fingerprint(files, 'enclave')}")
        (files / "key.pub").write_text(to_base64(A.public))
        groups = await trio.to_thread.run_sync(_group_by_node, files, manager.url())
        assert groups == [sorted([to_base64(A.public), to_base64(B.public)])]
        assert "/createPrivacyGroup" in manager.heads
    held = b"".join(file.read_bytes() for file in (files / "data").rglob("*") if file.is_file())
    assert PASSWORD.encode() not in held + (files / "log").read_bytes()


def _group_by_node(path: Path, url: str) -> list[list[str]]:
    """Have a node with the manager at `url` make a group and find it; the members of what it finds."""
    with claim_port_offset(1) as offset, (path / "log").open("wb") as log:
        ports = node_ports(0, offset)
        options = {
            "data-path": path / "data", "genesis-file": ROOT / "genesis" / "free-gas" / "genesis.json",
            "p2p-enabled": "false", "rpc-http-enabled": "true", "rpc-http-port": ports.rpc, "rpc-http-api": "PRIV,ETH",
            "min-gas-price": 0, "logging": "DEBUG", "privacy-enabled": "true", "privacy-url": url,
            "privacy-public-key-file": path / "key.pub", "privacy-tls-enabled": "true",
            "privacy-tls-keystore-file": path / "node.p12", "privacy-tls-keystore-password-file": path / "password",
            "privacy-tls-known-enclave-file": path / "known",
        }  # fmt: skip
        command = [sys.executable, "-m", "lacnode", *(f"--{name}={value}" for name, value in options.items())]
        with subprocess.Popen(command, stdout=log, stderr=log) as node:
            try:
                rpc = f"http://127.0.0.1:{ports.rpc}"
                until(lambda: node.poll() is not None or _is_up(rpc), "the node's port")
                assert node.poll() is None, (path / "log").read_text()
                members = [to_base64(A.public), to_base64(B.public)]
                ask(rpc, "priv_createPrivacyGroup", {"addresses": members})
                return [sorted(group["members"]) for group in ask(rpc, "priv_findPrivacyGroup", members)]
            finally:
                node.terminate()


def _is_up(url: str) -> bool:
    try:
        return httpx.get(f"{url}/liveness").status_code == 200
    except httpx.HTTPError:
        return False
