"""JSON-RPC over TLS on real sockets: who is let in, and what wrong files and slow clients meet."""

import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest
import trio
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.serialization import pkcs12
from trio_websocket import open_websocket_url

from lacnode.cli.errors import UsageError
from lacnode.cli.node_config import find_mistakes, make_node_config
from lacnode.cli.sources import collect_settings
from lacnode.crypto.node_key import NodeKey
from lacnode.devnet.devnet_genesis import devnet_genesis
from lacnode.graphql.server import GraphQlServer
from lacnode.graphql.settings import GraphQlSettings
from lacnode.http import tls_handshakes
from lacnode.rpc import server_tls
from lacnode.rpc.rpc_tls import RpcTlsError
from lacnode.rpc.server_tls import ServerTlsHandshakes
from lacnode.rpc.settings import AuthenticationSettings
from lacnode.rpc.tls_settings import CIPHER_SUITES, ClientTrust, RpcTlsSettings, ServerIdentity
from tests.support.certificates import certificate, fingerprint, issuer, keystore
from tests.support.logs import captured_logs
from tests.support.rpc_node import call, http_settings, rpc_node, ws_settings

PATIENCE_SECONDS = 60.0
PASSWORD = b"a password"


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A root that the system trusts, the node and `client` by it, and `stranger` by itself."""
    root = certificate(tmp_path, "root")
    for name in ("node", "client"):
        certificate(tmp_path, name, issuer(tmp_path, "root"))
    certificate(tmp_path, "stranger")
    keystore(tmp_path, "node", PASSWORD)
    (tmp_path / "password").write_bytes(PASSWORD + b"\nnot this line\n")
    monkeypatch.setenv("SSL_CERT_FILE", str(root))
    return tmp_path


def settings(path: Path, **changes: Any) -> RpcTlsSettings:
    identity = ServerIdentity(path / "node.p12", path / "password")
    return RpcTlsSettings(**{"identity": identity, **changes})


def client_context(path: Path, shown: str | None = None, **changes: Any) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=str(path / "root.pem"))
    if shown is not None:
        context.load_cert_chain(path / f"{shown}.pem", path / f"{shown}.key")
    for name, value in changes.items():
        setattr(context, name, value)
    return context


async def answered(tls: RpcTlsSettings, context: ssl.SSLContext) -> bool:
    """Whether the client gets an answer over HTTPS."""
    with trio.fail_after(PATIENCE_SECONDS):
        async with rpc_node(http_settings(tls=tls), None) as node, httpx.AsyncClient(verify=context) as client:
            try:
                return bool(await call(client, f"https://127.0.0.1:{node.http_port}", "eth_chainId"))
            except (httpx.TransportError, ssl.SSLError):
                return False


# -- HTTPS -----------------------------------------------------------------------------------------------------------


async def test_a_client_calls_over_https_and_not_without_tls(files: Path) -> None:
    assert await answered(settings(files), client_context(files))
    with trio.fail_after(PATIENCE_SECONDS):
        async with rpc_node(http_settings(tls=settings(files)), None) as node, httpx.AsyncClient() as client:
            with pytest.raises(httpx.TransportError):
                await call(client, f"http://127.0.0.1:{node.http_port}", "eth_chainId")


async def test_a_certificate_in_pem_serves_as_well(files: Path) -> None:
    identity = ServerIdentity(certificate=files / "node.pem", key=files / "node.key")
    assert await answered(settings(files, identity=identity), client_context(files))


@pytest.mark.parametrize(
    ("changes", "client", "expected"),
    [
        ({"protocols": ("TLSv1.3",)}, {"maximum_version": ssl.TLSVersion.TLSv1_2}, False),
        ({"protocols": ("TLSv1.3",)}, {}, True),
        ({"protocols": ("TLSv1.2",)}, {"minimum_version": ssl.TLSVersion.TLSv1_3}, False),
        ({"protocols": ("TLSv1.2",)}, {}, True),
    ],
)
async def test_only_the_chosen_protocols_are_spoken(
    files: Path, changes: Mapping[str, Any], client: Mapping[str, Any], expected: bool
) -> None:
    assert await answered(settings(files, **changes), client_context(files, **client)) is expected


@pytest.mark.parametrize("suite", CIPHER_SUITES)
async def test_every_cipher_suite_can_be_chosen(files: Path, suite: str) -> None:
    port = ServerTlsHandshakes(settings(files, cipher_suites=(suite,)), "a port")
    assert port is not None


async def test_only_the_chosen_cipher_suites_are_used(files: Path) -> None:
    chosen = settings(files, protocols=("TLSv1.2",), cipher_suites=("TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256",))
    other = client_context(files)
    other.set_ciphers("ECDHE-ECDSA-AES256-GCM-SHA384")
    assert not await answered(chosen, other)
    assert await answered(chosen, client_context(files))


# -- certificates of clients -----------------------------------------------------------------------------------------


def known_clients(path: Path, *names: str) -> Path:
    file = path / "known-clients"
    file.write_text("".join(f"{name} {fingerprint(path, name)}\n" for name in names))
    return file


def truststore(path: Path, name: str) -> Path:
    """`truststore.p12` with the certificate `name` and no key, as keytool makes it."""
    made = pkcs12.serialize_java_truststore(
        [pkcs12.PKCS12Certificate(issuer(path, name)[0], b"authority")],
        serialization.BestAvailableEncryption(PASSWORD),
    )
    file = path / "truststore.p12"
    file.write_bytes(made)
    return file


@pytest.mark.parametrize(
    ("trust", "let_in", "kept_out"),
    [
        ("known", ["stranger"], ["client", None]),
        ("authorities", ["client"], ["stranger", None]),
        ("known or authorities", ["client", "stranger"], [None]),
        ("truststore", ["client"], ["stranger", None]),
        ("pem", ["client"], ["stranger", None]),
    ],
)
async def test_only_trusted_clients_are_let_in(
    files: Path, trust: str, let_in: list[str], kept_out: list[str | None]
) -> None:
    known = known_clients(files, "stranger")
    clients = {
        "known": ClientTrust(known_clients=known),
        "authorities": ClientTrust(system_authorities=True),
        "known or authorities": ClientTrust(known_clients=known, system_authorities=True),
        "truststore": ClientTrust(truststore=truststore(files, "root"), password_file=files / "password"),
        "pem": ClientTrust(certificates=files / "root.pem"),
    }[trust]
    for shown in let_in:
        assert await answered(settings(files, clients=clients), client_context(files, shown)), shown
    for nobody in kept_out:
        assert not await answered(settings(files, clients=clients), client_context(files, nobody)), nobody


async def test_a_known_name_with_another_certificate_is_kept_out(files: Path) -> None:
    known = known_clients(files, "stranger")
    certificate(files, "impostor", named="stranger")
    clients = ClientTrust(known_clients=known)
    assert not await answered(settings(files, clients=clients), client_context(files, "impostor"))


async def test_an_expired_client_is_kept_out(files: Path) -> None:
    certificate(files, "old", issuer(files, "root"), days=-1)
    clients = ClientTrust(system_authorities=True)
    assert not await answered(settings(files, clients=clients), client_context(files, "old"))


# -- WebSocket -------------------------------------------------------------------------------------------------------


async def test_a_client_subscribes_over_tls(files: Path) -> None:
    with trio.fail_after(PATIENCE_SECONDS):
        async with rpc_node(None, ws_settings(tls=settings(files))) as node:
            url = f"wss://127.0.0.1:{node.ws_port}"
            async with open_websocket_url(url, ssl_context=client_context(files)) as socket:
                await socket.send_message('{"jsonrpc":"2.0","id":1,"method":"eth_subscribe","params":["newHeads"]}')
                assert '"result"' in await socket.get_message()
                await node.grow()
                assert '"eth_subscription"' in await socket.get_message()


async def test_a_client_logs_in_on_the_websocket_port_over_tls(files: Path) -> None:
    (files / "users.toml").write_text(
        "[Users.me]\npassword = '$2a$10$l3GA7K8g6rJ/Yv.YFSygCuI9byngpEzxgWS9qEg5emYDZomQW7fGC'\n"
    )
    users = AuthenticationSettings(credentials_file=files / "users.toml")
    with trio.fail_after(PATIENCE_SECONDS):
        async with (
            rpc_node(None, ws_settings(tls=settings(files), authentication=users)) as node,
            httpx.AsyncClient(verify=client_context(files)) as client,
        ):
            login = {"username": "me", "password": "wrong"}
            response = await client.post(f"https://127.0.0.1:{node.ws_port}/login", json=login)
            assert response.status_code == 401


# -- GraphQL ---------------------------------------------------------------------------------------------------------


async def asked(tls: RpcTlsSettings, context: ssl.SSLContext) -> bool:
    """Whether the client gets an answer of GraphQL over HTTPS."""
    with trio.fail_after(PATIENCE_SECONDS):
        async with graphql_port(GraphQlSettings(port=0, tls=tls)) as port, httpx.AsyncClient(verify=context) as client:
            try:
                reply = await client.post(f"https://127.0.0.1:{port}/graphql", json={"query": "{ chainID }"})
                return "data" in reply.json()
            except (httpx.TransportError, ssl.SSLError):
                return False


@asynccontextmanager
async def graphql_port(settings: GraphQlSettings) -> AsyncIterator[int]:
    async with rpc_node() as node, trio.open_nursery() as nursery:
        server = GraphQlServer(settings, node.services, node.servers.runner, node.servers.trials)
        await nursery.start(server.run)
        assert server.port is not None
        yield server.port
        nursery.cancel_scope.cancel()


async def test_a_client_asks_graphql_over_https_and_not_without_tls(files: Path) -> None:
    assert await asked(settings(files), client_context(files))
    async with graphql_port(GraphQlSettings(port=0, tls=settings(files))) as port, httpx.AsyncClient() as client:
        with pytest.raises(httpx.TransportError):
            await client.post(f"http://127.0.0.1:{port}/graphql", json={"query": "{ chainID }"})


async def test_graphql_lets_in_clients_of_its_truststore_alone(files: Path) -> None:
    certificate(files, "old", issuer(files, "root"), days=-1)
    clients = ClientTrust(truststore=truststore(files, "root"), password_file=files / "password")
    names = ("client", "stranger", "old", None)
    answers = [await asked(settings(files, clients=clients), client_context(files, name)) for name in names]
    assert answers == [True, False, False, False]


async def test_a_client_refuses_graphql_under_a_certificate_that_has_expired(files: Path) -> None:
    certificate(files, "late", issuer(files, "root"), days=-1)
    late = ServerIdentity(certificate=files / "late.pem", key=files / "late.key")
    assert not await asked(settings(files, identity=late), client_context(files))


@pytest.mark.parametrize("number", range(3))
async def test_graphql_does_not_start_with_a_wrong_file(files: Path, number: int) -> None:
    text, wrong = list(wrong_settings(files).items())[number]
    async with rpc_node() as node:
        with pytest.raises(RpcTlsError) as refused:
            GraphQlServer(GraphQlSettings(port=0, tls=wrong), node.services, node.servers.runner, node.servers.trials)
    assert str(refused.value).startswith("TLS options failed to initialize for the GraphQL listener: ")
    assert text in str(refused.value)


# -- hostile clients -------------------------------------------------------------------------------------------------


async def test_a_client_that_stalls_its_handshake_is_left_and_holds_no_other_up(
    files: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tls_handshakes, "HANDSHAKE_SECONDS", 1.0)
    http = http_settings(tls=settings(files), max_connections=40)
    with trio.fail_after(PATIENCE_SECONDS):
        async with rpc_node(http, None) as node, httpx.AsyncClient(verify=client_context(files)) as client:
            stalled = [await trio.open_tcp_stream("127.0.0.1", node.http_port) for _ in range(10)]
            for stream in stalled[5:]:
                # The beginning of a ClientHello, and no more.
                await stream.send_all(b"\x16\x03\x01\x02\x00\x01\x00")
            assert await call(client, f"https://127.0.0.1:{node.http_port}", "eth_chainId")
            for stream in stalled:
                assert await ended(stream)


async def ended(stream: trio.SocketStream) -> bool:
    """Read until the node closes the connection."""
    async with stream:
        try:
            while await stream.receive_some():
                pass
        except trio.BrokenResourceError:
            pass
    return True


async def test_records_that_have_arrived_are_read_together(files: Path) -> None:
    """A client may send each byte in a record of its own. To read a request must not take a step for each byte."""
    text = bytes(range(256)) * 4
    async with trio.open_nursery() as nursery:
        listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
        client = await trio.open_tcp_stream(*listeners[0].socket.getsockname()[:2])
        async with client, await listeners[0].accept() as accepted:
            secured = trio.SSLStream(client, client_context(files, check_hostname=False))
            nursery.start_soon(secured.do_handshake)
            stream = await ServerTlsHandshakes(settings(files), "a port").secure(accepted)
            assert stream is not None
            await secured.do_handshake()
            for byte in text:
                await secured.send_all(bytes([byte]))
            received, steps = b"", 0
            with trio.fail_after(PATIENCE_SECONDS):
                while len(received) < len(text):
                    received += await stream.receive_some(65_536)
                    steps += 1
        await listeners[0].aclose()
    assert received == text
    assert steps < len(text) // 8


async def test_bytes_that_are_no_tls_end_a_connection(files: Path) -> None:
    with trio.fail_after(PATIENCE_SECONDS):
        async with rpc_node(http_settings(tls=settings(files)), None) as node:
            for data in (b"GET / HTTP/1.1\r\n\r\n", bytes(1000), b"\x16\x03\x01\xff\xff" + bytes(70_000)):
                stream = await trio.open_tcp_stream("127.0.0.1", node.http_port)
                await stream.send_all(data)
                assert await ended(stream)


async def test_a_connection_that_is_cut_in_the_middle_of_a_request_gets_no_answer(files: Path) -> None:
    with trio.fail_after(PATIENCE_SECONDS):
        async with rpc_node(http_settings(tls=settings(files)), None) as node:
            raw = await trio.open_tcp_stream("127.0.0.1", node.http_port)
            secured = trio.SSLStream(raw, client_context(files), server_hostname="127.0.0.1")
            await secured.send_all(b"POST / HTTP/1.1\r\nhost: localhost\r\ncontent-length: 10\r\n\r\n{")
            await raw.send_eof()
            assert await ended(raw)


# -- wrong files -----------------------------------------------------------------------------------------------------


def wrong_settings(path: Path) -> dict[str, RpcTlsSettings]:
    (path / "text").write_text("no keystore")
    (path / "java.jks").write_bytes(b"\xfe\xed\xfe\xed\x00\x00\x00\x02")
    (path / "wrong").write_text("another password")
    (path / "bad-clients").write_text("one word\n")
    (path / "large").write_bytes(bytes(server_tls.MAX_FILE_BYTES + 1))
    certificate(path, "other")
    password = path / "password"
    return {
        "absent.p12: No such file": settings(path, identity=ServerIdentity(path / "absent.p12", password)),
        "text: PKCS#12 under the password in": settings(path, identity=ServerIdentity(path / "text", password)),
        "node.p12: PKCS#12 under the password in": settings(
            path, identity=ServerIdentity(path / "node.p12", path / "wrong")
        ),
        "keytool -importkeystore": settings(path, identity=ServerIdentity(path / "java.jks", password)),
        "a private key and its certificate": settings(
            path, identity=ServerIdentity(truststore(path, "root"), password)
        ),
        "does not fit the certificate": settings(
            path, identity=ServerIdentity(certificate=path / "node.pem", key=path / "other.key")
        ),
        "large: at most": settings(path, identity=ServerIdentity(path / "large", password)),
        "bad-clients, line 1": settings(path, clients=ClientTrust(known_clients=path / "bad-clients")),
        "text: certificates in PEM": settings(path, clients=ClientTrust(certificates=path / "text")),
    }


@pytest.mark.parametrize("number", range(9))
def test_a_wrong_file_is_named_in_one_line(files: Path, number: int) -> None:
    text, wrong = list(wrong_settings(files).items())[number]
    with pytest.raises(RpcTlsError) as refused:
        ServerTlsHandshakes(wrong, "the port")
    assert str(refused.value).startswith("TLS options failed to initialize for the port: ")
    assert text in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(("days", "expected"), [(-1, "has expired on"), (1, None)])
def test_an_expired_certificate_is_told_and_does_not_stop_the_node(
    files: Path, days: int, expected: str | None
) -> None:
    certificate(files, "own", issuer(files, "root"), days)
    identity = ServerIdentity(certificate=files / "own.pem", key=files / "own.key")
    with captured_logs() as logged:
        ServerTlsHandshakes(settings(files, identity=identity), "the port")
    told = [entry["event"] for entry in logged if entry["log_level"] == "error"]
    assert [expected in text for text in told if expected] == ([] if expected is None else [True])


# -- options ---------------------------------------------------------------------------------------------------------


def options(path: Path, **named: str) -> dict[str, str]:
    key = NodeKey.from_private_key(bytes(31) + b"\x01")
    genesis = path / "genesis.json"
    genesis.write_bytes(orjson.dumps(devnet_genesis([key.address], (), 1.0, 0)))
    own = {name.replace("_", "-"): value for name, value in named.items()}
    base = {"genesis-file": str(genesis), "data-path": str(path / "data"), "min-gas-price": "0"}
    return {**base, "rpc-http-enabled": "true", "rpc-ws-enabled": "true", "graphql-http-enabled": "true", **own}


def test_the_options_of_besu_make_the_settings(files: Path) -> None:
    known = known_clients(files, "client")
    config = make_node_config(
        collect_settings(
            options(
                files,
                rpc_http_tls_enabled="true",
                rpc_http_tls_keystore_file=str(files / "node.p12"),
                rpc_http_tls_keystore_password_file=str(files / "password"),
                rpc_http_tls_client_auth_enabled="true",
                rpc_http_tls_known_clients_file=str(known),
                rpc_http_tls_ca_clients_enabled="true",
                rpc_http_tls_protocols="TLSv1.1,TLSv1.3",
                rpc_http_tls_cipher_suites="TLS_AES_128_GCM_SHA256",
                rpc_ws_ssl_enabled="true",
                rpc_ws_ssl_keystore_type="PEM",
                rpc_ws_ssl_cert_file=str(files / "node.pem"),
                rpc_ws_ssl_key_file=str(files / "node.key"),
                rpc_ws_ssl_client_auth_enabled="true",
                rpc_ws_ssl_truststore_file=str(truststore(files, "root")),
                rpc_ws_ssl_truststore_password=PASSWORD.decode(),
                graphql_tls_enabled="true",
                graphql_tls_keystore_file=str(files / "node.p12"),
                graphql_tls_keystore_password_file=str(files / "password"),
                graphql_mtls_enabled="true",
                graphql_tls_truststore_file=str(files / "truststore.p12"),
                graphql_tls_truststore_password_file=str(files / "password"),
            ),
            {},
        )
    )
    assert config.http is not None
    assert config.http.tls == RpcTlsSettings(
        ServerIdentity(files / "node.p12", files / "password"),
        ClientTrust(known_clients=known, system_authorities=True),
        ("TLSv1.3",),
        ("TLS_AES_128_GCM_SHA256",),
    )
    assert config.websocket is not None
    assert config.websocket.tls == RpcTlsSettings(
        ServerIdentity(certificate=files / "node.pem", key=files / "node.key"),
        ClientTrust(truststore=files / "truststore.p12", password=PASSWORD.decode()),
    )
    assert config.graphql is not None
    assert config.graphql.tls == RpcTlsSettings(
        ServerIdentity(files / "node.p12", files / "password"),
        ClientTrust(truststore=files / "truststore.p12", password_file=files / "password"),
    )


@pytest.mark.parametrize(
    ("named", "expected"),
    [
        ({"rpc_http_tls_enabled": "true"}, "Keystore file is required when TLS is enabled"),
        ({"rpc_http_tls_protocols": "TLSv1,SSLv3"}, "No valid TLS protocols specified"),
        ({"rpc_http_tls_cipher_suites": "TLS_NULL"}, "Invalid TLS cipher suite specified TLS_NULL"),
        ({"rpc_http_tls_client_auth_enabled": "true"}, "TLS client authentication is enabled, but none of"),
        ({"rpc_ws_ssl_enabled": "true"}, "--rpc-ws-ssl-keystore-file is required"),
        ({"rpc_ws_ssl_enabled": "true", "rpc_ws_ssl_keystore_type": "pem"}, "--rpc-ws-ssl-cert-file is required"),
        ({"graphql_tls_enabled": "true"}, "--graphql-tls-keystore-file is required"),
        ({"graphql_mtls_enabled": "true"}, "--graphql-mtls-enabled needs --graphql-tls-enabled"),
    ],
)
def test_options_that_do_not_fit_are_refused_in_besus_words(files: Path, named: dict[str, str], expected: str) -> None:
    whole = {
        "rpc_http_tls_enabled": "true",
        "rpc_http_tls_keystore_file": str(files / "node.p12"),
        "rpc_http_tls_keystore_password_file": str(files / "password"),
    }
    with pytest.raises(UsageError) as refused:
        make_node_config(
            collect_settings(
                options(
                    files, **(named if len(named) == 1 and "rpc_http_tls_enabled" in named else {**whole, **named})
                ),
                {},
            )
        )
    assert expected in str(refused.value)


@pytest.mark.parametrize("port", ["rpc_http", "graphql"])
def test_a_wrong_file_is_among_the_mistakes_of_a_configuration(files: Path, port: str) -> None:
    (files / "wrong").write_text("another password")
    named = {
        f"{port}_tls_enabled": "true",
        f"{port}_tls_keystore_file": str(files / "node.p12"),
        f"{port}_tls_keystore_password_file": str(files / "wrong"),
    }
    assert any(
        "PKCS#12 under the password" in text for text in find_mistakes(collect_settings(options(files, **named), {}))
    )
