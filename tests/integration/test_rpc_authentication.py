"""Logging in and showing tokens, on both ports and with real clients: Besu's codes and texts."""

import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import bcrypt
import httpx
import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from trio_websocket import open_websocket_url

from lacnode.rpc.settings import AuthenticationSettings
from lacnode.rpc.user import AuthenticationSetupError
from tests.support.logs import captured_logs
from tests.support.rpc_node import PATIENCE, http_settings, request, rpc_node, ws_settings

PASSWORD = "pegasys"
HASH = bcrypt.hashpw(PASSWORD.encode(), bcrypt.gensalt(4)).decode()
REQUIRED = "Authentication failed: username and password are required."
INCORRECT = "Authentication failed: the username or password is incorrect."
UNAUTHORIZED = {"code": -40100, "message": "Unauthorized"}
BLOCK, PEERS = request("eth_blockNumber"), request("net_peerCount")

USERS = f"""
[Users.all]
password = "{HASH}"
permissions = ["*:*"]

[Users.eth]
password = "{HASH}"
permissions = ["eth:*"]

[Users."one.call"]
password = "{HASH}"
permissions = ["net:peerCount"]

[Users.none]
password = "{HASH}"
"""


@pytest.fixture
def users(tmp_path: Path) -> Path:
    path = tmp_path / "users.toml"
    path.write_text(USERS)
    return path


def settings(users: Path, *open_methods: str) -> AuthenticationSettings:
    return AuthenticationSettings(users, open_methods=frozenset(open_methods))


async def token(client: httpx.AsyncClient, url: str, name: str) -> str:
    # The first one has a key pair made, for which there is no saying how long it takes.
    reply = await client.post(f"{url}/login", json={"username": name, "password": PASSWORD}, timeout=PATIENCE)
    assert reply.status_code == 200, reply.text
    assert reply.headers["content-type"] == "application/json"
    return str(reply.json()["token"])


def write(path: Path, text: str) -> None:
    path.write_text(text)


def bearer(text: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {text}"}


async def code(client: httpx.AsyncClient, url: str, document: Any, headers: Mapping[str, str] | None = None) -> Any:
    """Status and error code, None for a result."""
    reply = await client.post(url, json=document, headers=dict(headers or {}))
    return reply.status_code, reply.json().get("error", {}).get("code")


class TestLogin:
    async def test_gives_a_token_for_five_minutes(self, users: Path) -> None:
        async with rpc_node(http_settings(authentication=settings(users)), None) as node, httpx.AsyncClient() as client:
            claims = jwt.decode(await token(client, node.url, "eth"), options={"verify_signature": False})
            assert (claims["permissions"], claims["username"]) == (["eth:*"], "eth")
            assert claims["exp"] - claims["iat"] == 300
            assert set(claims) == {"permissions", "username", "iat", "exp"}

    @pytest.mark.parametrize(
        ("body", "status", "text"),
        [
            (b"", 400, REQUIRED),
            (b"{}", 400, REQUIRED),
            (b'{"username":"eth"}', 400, REQUIRED),
            (b'{"username":["eth"],"password":{}}', 400, REQUIRED),
            (
                b'{"username":"eth","password":"wrong"}',
                401,
                INCORRECT,
            ),
            (
                b'{"username":"who","password":"pegasys"}',
                401,
                INCORRECT,
            ),
            (
                json.dumps({"username": "eth", "password": PASSWORD + "\0" * 80}).encode(),
                401,
                INCORRECT,
            ),
            (b"[" * 20_000, 400, REQUIRED),
        ],
    )
    async def test_refusals(self, users: Path, body: bytes, status: int, text: str) -> None:
        async with rpc_node(http_settings(authentication=settings(users)), None) as node, httpx.AsyncClient() as client:
            reply = await client.post(f"{node.url}/login", content=body)
            assert (reply.status_code, reply.text) == (status, text)

    async def test_a_user_may_be_added_while_the_node_runs(self, users: Path) -> None:
        async with rpc_node(http_settings(authentication=settings(users)), None) as node, httpx.AsyncClient() as client:
            write(users, f'{USERS}\n[Users.new]\npassword = "{HASH}"\npermissions = ["web3:*"]\n')
            assert await code(
                client, node.url, request("web3_clientVersion"), bearer(await token(client, node.url, "new"))
            )
            write(users, "half a fi")
            reply = await client.post(f"{node.url}/login", json={"username": "new", "password": PASSWORD})
            assert reply.status_code == 401

    async def test_says_nothing_of_passwords_and_tokens(self, users: Path) -> None:
        http = http_settings(authentication=settings(users))
        with captured_logs() as logs:
            async with rpc_node(http, None) as node, httpx.AsyncClient() as client:
                given = await token(client, node.url, "all")
                await code(client, node.url, BLOCK, bearer(given + "x"))
                await client.post(f"{node.url}/login", json={"username": "all", "password": "secret word"})
        assert not [entry for entry in logs if given[-20:] in str(entry) or "secret word" in str(entry)]


class TestPermissions:
    async def test_the_matrix(self, users: Path) -> None:
        async with rpc_node(http_settings(authentication=settings(users)), None) as node, httpx.AsyncClient() as client:
            for name, eth, net in (("all", 200, 200), ("eth", 200, 401), ("one.call", 401, 200), ("none", 401, 401)):
                headers = bearer(await token(client, node.url, name))
                assert (await code(client, node.url, BLOCK, headers))[0] == eth, name
                assert (await code(client, node.url, PEERS, headers))[0] == net, name

    async def test_without_a_token(self, users: Path) -> None:
        async with rpc_node(http_settings(authentication=settings(users)), None) as node, httpx.AsyncClient() as client:
            reply = await client.post(node.url, json=BLOCK)
            assert reply.status_code == 401
            assert reply.json() == {"jsonrpc": "2.0", "id": None, "error": UNAUTHORIZED}
            for health in ("/liveness", "/"):
                assert (await client.get(node.url + health)).status_code in (200, 201)

    async def test_with_a_token_that_is_none(self, users: Path) -> None:
        own = rsa.generate_private_key(65537, 2048)
        claims = {"permissions": ["*:*"], "exp": int(time.time()) + 60}
        async with rpc_node(http_settings(authentication=settings(users)), None) as node, httpx.AsyncClient() as client:
            good = await token(client, node.url, "all")
            for bad in (
                "x",
                good[:-4] + "AAAA",
                good.replace("e", "f", 1),
                jwt.encode(claims, own, "RS256"),
                jwt.encode(claims, "", "none"),
                jwt.encode(claims, "a secret that nobody has agreed upon", "HS256"),
                "x" * 20_000,
            ):
                reply = await client.post(node.url, json=BLOCK, headers=bearer(bad))
                assert reply.status_code == 401
                assert reply.json() == {"jsonrpc": "2.0", "id": 1, "error": UNAUTHORIZED}
            assert (await client.post(node.url, json=BLOCK, headers={"Authorization": good})).status_code == 401

    async def test_every_call_of_a_batch_is_judged_alone(self, users: Path) -> None:
        async with rpc_node(http_settings(authentication=settings(users)), None) as node, httpx.AsyncClient() as client:
            headers = bearer(await token(client, node.url, "eth"))
            reply = await client.post(node.url, json=[BLOCK, PEERS], headers=headers)
            assert reply.status_code == 200
            assert [entry.get("error") for entry in reply.json()] == [None, UNAUTHORIZED]

    async def test_methods_that_need_no_token(self, users: Path) -> None:
        http = http_settings(authentication=settings(users, "net_peerCount"))
        async with rpc_node(http, None) as node, httpx.AsyncClient() as client:
            assert await code(client, node.url, PEERS) == (200, None)
            assert await code(client, node.url, BLOCK) == (401, -40100)

    async def test_unknown_methods_are_told_before(self, users: Path) -> None:
        async with rpc_node(http_settings(authentication=settings(users)), None) as node, httpx.AsyncClient() as client:
            headers = bearer(await token(client, node.url, "none"))
            assert await code(client, node.url, request("eth_nothing"), headers) == (200, -32601)


class TestForeignTokens:
    """Of an issuer whose public key the node was given."""

    CASES = ("RS256", "RS384", "RS512", "ES256", "ES384", "ES512", "HS256")

    @staticmethod
    def key(algorithm: str) -> tuple[Any, bytes]:
        """What signs, and the content of the node's file."""
        if algorithm == "HS256":
            secret = "a secret of more than thirty-two bytes"
            return secret, secret.encode()
        curves = {"ES256": ec.SECP256R1(), "ES384": ec.SECP384R1(), "ES512": ec.SECP521R1()}
        curve = curves.get(algorithm)
        private = rsa.generate_private_key(65537, 2048) if curve is None else ec.generate_private_key(curve)
        return private, private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)

    @pytest.mark.parametrize("algorithm", CASES)
    async def test_count(self, tmp_path: Path, algorithm: str) -> None:
        private, public = self.key(algorithm)
        file = tmp_path / "issuer.pem"
        file.write_bytes(public)
        http = http_settings(authentication=AuthenticationSettings(public_key_file=file, algorithm=algorithm))
        claims = {"permissions": ["eth:*"], "exp": int(time.time()) + 60, "aud": "somebody", "iss": "issuer"}
        async with rpc_node(http, None) as node, httpx.AsyncClient() as client:
            good = jwt.encode(claims, private, algorithm)
            assert await code(client, node.url, BLOCK, bearer(good)) == (200, None)
            assert await code(client, node.url, PEERS, bearer(good)) == (401, -40100)
            over = jwt.encode({**claims, "exp": int(time.time()) - 1}, private, algorithm)
            eternal = jwt.encode({"permissions": ["eth:*"]}, private, algorithm)
            for bad in (over, eternal):
                assert await code(client, node.url, BLOCK, bearer(bad)) == (401, -40100)
            reply = await client.post(f"{node.url}/login", json={"username": "eth", "password": PASSWORD})
            assert (reply.status_code, reply.reason_phrase) == (400, "Authentication not enabled")

    @pytest.mark.parametrize(
        ("content", "algorithm", "why"),
        [
            (b"no key", "RS256", "a public key in PEM was expected"),
            (None, "RS256", "No such file or directory"),
            (key("ES256")[1], "RS256", "RSA pair was expected for RS256"),
            (key("RS256")[1], "ES256", "elliptic curve pair was expected for ES256"),
            (b"short", "HS256", "32 bytes or more"),
            (b"x" * 70_000, "RS256", "at most 65536 bytes"),
        ],
        ids=["no key", "no file", "elliptic curve", "RSA", "short", "long"],
    )
    async def test_a_key_that_is_none(self, tmp_path: Path, content: bytes | None, algorithm: str, why: str) -> None:
        file = tmp_path / "issuer.pem"
        if content is not None:
            file.write_bytes(content)
        http = http_settings(authentication=AuthenticationSettings(public_key_file=file, algorithm=algorithm))
        with pytest.raises(AuthenticationSetupError, match=why) as refused:
            async with rpc_node(http, None):
                pass
        assert str(file) in str(refused.value)


class TestUsersFile:
    @pytest.mark.parametrize(
        ("content", "why"),
        [
            (None, "credential file '.*' does not exist"),
            ("", "contains invalid values"),
            ("Users = 3", "contains invalid values"),
            ("[Users.a]\npermissions = []", "RPC user specified without password."),
            ('[Users.a]\npassword = "x"\npermissions = "eth:*"', "contains invalid values"),
            ('[Users.a]\npassword = "x"\nprivacyPublicKey = 3', "contains invalid values"),
            ("[Users", "contains invalid values"),
        ],
    )
    async def test_what_is_none(self, tmp_path: Path, content: str | None, why: str) -> None:
        file = tmp_path / "users.toml"
        if content is not None:
            file.write_text(content)
        with pytest.raises(AuthenticationSetupError, match=why):
            async with rpc_node(http_settings(authentication=settings(file)), None):
                pass

    async def test_tenants_need_keys(self, users: Path) -> None:
        tenants = AuthenticationSettings(users, privacy_keys=True)
        with pytest.raises(AuthenticationSetupError, match=r"Users\.all\.privacyPublicKey: a public key of 32 bytes"):
            async with rpc_node(http_settings(authentication=tenants), None):
                pass


class TestWebSocket:
    async def test_the_upgrades_token_is_for_all_its_calls(self, users: Path) -> None:
        async with rpc_node(None, ws_settings(authentication=settings(users))) as node, httpx.AsyncClient() as client:
            given = await token(client, node.ws_url.replace("ws:", "http:"), "eth")
            headers = [(b"Authorization", f"Bearer {given}".encode())]
            async with open_websocket_url(node.ws_url, extra_headers=headers) as connection:
                for document, error in (
                    (BLOCK, None),
                    (request("eth_subscribe", "newHeads"), None),
                    (PEERS, UNAUTHORIZED),
                ):
                    await connection.send_message(json.dumps(document))
                    assert json.loads(await connection.get_message()).get("error") == error

    async def test_without_a_token_nothing_is_answered_and_nothing_subscribed(self, users: Path) -> None:
        websocket = ws_settings(authentication=settings(users))
        async with rpc_node(None, websocket) as node, open_websocket_url(node.ws_url) as connection:
            for document in (BLOCK, request("eth_subscribe", "newHeads"), request("eth_unsubscribe", "0x1")):
                await connection.send_message(json.dumps(document))
                assert json.loads(await connection.get_message())["error"] == UNAUTHORIZED

    async def test_tokens_of_the_other_port_do_not_count(self, users: Path) -> None:
        both = settings(users)
        node_settings = http_settings(authentication=both), ws_settings(authentication=both)
        async with rpc_node(*node_settings) as node, httpx.AsyncClient() as client:
            headers = bearer(await token(client, node.ws_url.replace("ws:", "http:"), "all"))
            assert await code(client, node.url, BLOCK, headers) == (401, -40100)

    async def test_its_port_takes_no_other_http(self, users: Path) -> None:
        async with rpc_node(None, ws_settings(authentication=settings(users))) as node, httpx.AsyncClient() as client:
            reply = await client.post(node.ws_url.replace("ws:", "http:"), json=BLOCK)
            assert (reply.status_code, reply.text) == (400, "Websocket endpoint can't handle HTTP requests")
