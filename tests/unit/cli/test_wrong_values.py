"""Every option with every kind of wrong value: the start ends with one line that names the option or the value."""

import base64
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from lacnode.cli.errors import UsageError
from lacnode.cli.node_config import make_node_config
from lacnode.cli.options import BY_NAME, OPTIONS
from lacnode.cli.options.option import Option, OptionBehaviour, OptionKind
from lacnode.cli.sources import collect_settings
from lacnode.crypto.node_key import NodeKey
from lacnode.devnet.devnet_genesis import devnet_genesis

ELSEWHERE = ("config-file",)
"""Options that are looked at before all others, and whose mistakes other tests have."""

WRONG_TYPE = {
    OptionKind.BOOL: ("maybe", "1"),
    OptionKind.INT: ("many", "1.5", str(2**31), "9" * 1000),
    OptionKind.LONG: ("many", "1.5", str(2**63)),
    OptionKind.BIGINT: ("many", "0x1", str(2**256)),
    OptionKind.WEI: ("many", "-1"),
    OptionKind.PERCENT: ("many", "101", "-1"),
    OptionKind.DOUBLE: ("many", "nan", "inf", "1e999", "1_0", "٣"),
    OptionKind.FRACTION: ("many", "0", "1.5", "0.1_0", "0.٣"),
    OptionKind.ADDRESS: ("0x12", "zz" * 20),
    OptionKind.HEX: ("0xzz", "0x123"),
    OptionKind.ENUM: ("NO_SUCH_VALUE",),
}
LISTENING = ("p2p-interface", "rpc-http-host", "rpc-ws-host", "graphql-http-host", "metrics-host")
NO_HOST = ("no such host", "host.invalid", "http://127.0.0.1", "127.0.0.1:80")
NOT_OURS = "203.0.113.7"
"""An address that is kept for documentation."""

MAY_BE_EMPTY = ("bootnodes", "print-paths-and-exit")
PATTERNS = ("rpc-http-cors-origins", "graphql-http-cors-origins", "Xrpc-ws-cors-origins")
FREE_TEXT = ("print-paths-and-exit",)

ALL_ON = {
    "rpc-http-enabled": "true",
    "rpc-ws-enabled": "true",
    "graphql-http-enabled": "true",
    "metrics-enabled": "true",
    "min-gas-price": "0",
}
PRIVATE = {**ALL_ON, "privacy-enabled": "true", "privacy-public-key-file": "manager.pub"}
HTTPS = {
    "rpc-http-tls-enabled": "true",
    "rpc-http-tls-keystore-file": "there",
    "rpc-http-tls-keystore-password-file": "there",
}
HTTPS_CLIENTS = {**HTTPS, "rpc-http-tls-client-auth-enabled": "true"}
WSS = {"rpc-ws-ssl-enabled": "true", "rpc-ws-ssl-keystore-file": "there"}
WSS_CLIENTS = {**WSS, "rpc-ws-ssl-client-auth-enabled": "true", "rpc-ws-ssl-truststore-file": "there"}
PEM = {"rpc-ws-ssl-keystore-type": "PEM", "rpc-ws-ssl-cert-file": "there", "rpc-ws-ssl-key-file": "there"}
GRAPHQL = {
    "graphql-tls-enabled": "true",
    "graphql-tls-keystore-file": "there",
    "graphql-tls-keystore-password-file": "there",
}
GRAPHQL_CLIENTS = {
    **GRAPHQL,
    "graphql-mtls-enabled": "true",
    "graphql-tls-truststore-file": "there",
    "graphql-tls-truststore-password-file": "there",
}
NEEDED = {
    "graphql-tls-keystore-file": GRAPHQL,
    "graphql-tls-keystore-password-file": GRAPHQL,
    "graphql-tls-truststore-file": GRAPHQL_CLIENTS,
    "graphql-tls-truststore-password-file": GRAPHQL_CLIENTS,
    "rpc-http-tls-keystore-file": HTTPS,
    "rpc-http-tls-keystore-password-file": HTTPS,
    "rpc-http-tls-known-clients-file": HTTPS_CLIENTS,
    "rpc-http-tls-truststore-file": {**HTTPS_CLIENTS, "rpc-http-tls-truststore-password-file": "there"},
    "rpc-http-tls-truststore-password-file": {**HTTPS_CLIENTS, "rpc-http-tls-truststore-file": "there"},
    "rpc-ws-ssl-keystore-file": WSS,
    "rpc-ws-ssl-keystore-password-file": WSS,
    "rpc-ws-ssl-key-file": {**WSS, **PEM},
    "rpc-ws-ssl-cert-file": {**WSS, **PEM},
    "rpc-ws-ssl-truststore-file": WSS_CLIENTS,
    "rpc-ws-ssl-truststore-password-file": WSS_CLIENTS,
    "rpc-ws-ssl-trustcert-file": {**WSS_CLIENTS, "rpc-ws-ssl-truststore-type": "PEM"},
    "permissions-nodes-config-file": {"permissions-nodes-config-file-enabled": "true"},
    "permissions-accounts-config-file": {"permissions-accounts-config-file-enabled": "true"},
    **{
        f"rpc-{kind}-authentication-{what}": {f"rpc-{kind}-authentication-enabled": "true"}
        for kind in ("http", "ws")
        for what in ("credentials-file", "jwt-public-key-file")
    },
    "metrics-push-host": {"metrics-enabled": "false", "metrics-push-enabled": "true"},
    "Xrpc-ipc-path": {"Xrpc-ipc-enabled": "true"},
    "ethstats-cacert-file": {"ethstats": "wss://name:secret@127.0.0.1:3000"},
    "privacy-url": PRIVATE,
    "privacy-public-key-file": PRIVATE,
    "privacy-genesis-file": PRIVATE,
    "privacy-manager-config-file": PRIVATE,
    "privacy-marker-transaction-signing-key-file": PRIVATE,
    **{
        f"privacy-tls-{what}-file": {
            **PRIVATE,
            "privacy-url": "https://127.0.0.1:8888",
            "privacy-tls-enabled": "true",
            "privacy-tls-keystore-file": "there",
            "privacy-tls-keystore-password-file": "there",
            "privacy-tls-known-enclave-file": "there",
        }
        for what in ("keystore", "keystore-password", "known-enclave")
    },
}
"""What must be on for an option to be looked at."""

READ = frozenset(
    (
        "genesis-file",
        "static-nodes-file",
        *(name for name in NEEDED if name.endswith("-file")),
    )
)
WRITTEN = ("data-path", "pid-path", "node-private-key-file", "Xrpc-ipc-path")


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("node")
    key = NodeKey.from_private_key(bytes(31) + b"\x01")
    (path / "genesis.json").write_text(json.dumps(devnet_genesis([key.address], (), 1.0, 0)))
    (path / "manager.pub").write_text(base64.b64encode(bytes(32)).decode())
    (path / "there").touch()
    return path


def start(directory: Path, name: str, text: str) -> None:
    """What a start does before it opens anything."""
    line = {"genesis-file": "genesis.json", "data-path": str(directory / "data"), **ALL_ON, **NEEDED.get(name, {})}
    make_node_config(collect_settings({**line, name: text}, {}))


def wrong_values() -> Iterator[tuple[str, str]]:
    for option in OPTIONS:
        if option.name not in ELSEWHERE:
            yield from ((option.name, text) for text in _wrong_values(option))


def _wrong_values(option: Option) -> Iterator[str]:
    if option.name not in MAY_BE_EMPTY:
        yield from ("", " ")
    if option.name not in PATTERNS:
        yield "<VALUE>"
        if option.kind in (OptionKind.STRING, OptionKind.PATH, OptionKind.LIST):
            yield "before/<node name>/after"
            yield "{{ node_name }}"
    yield from WRONG_TYPE.get(option.kind, ())
    if option.name in LISTENING:
        yield from (*NO_HOST, NOT_OURS)
    if option.name == "p2p-host":
        yield from NO_HOST
    if option.name == "metrics-push-host":
        yield from (NO_HOST[0], NO_HOST[2])
    if option.name == "privacy-url":
        yield from ("manager:8888", "ftp://manager", "http://")
    if option.name in READ:
        yield from ("absent", ".", "there/below")
    if option.name in WRITTEN:
        yield "there/below"
    if option.name in WRITTEN[1:]:
        yield "."


@pytest.mark.parametrize(("name", "text"), list(wrong_values()))
def test_a_wrong_value_ends_the_start_with_one_line(
    name: str, text: str, directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(directory)
    with pytest.raises(UsageError) as refusal:
        start(directory, name, text)
    line = str(refusal.value)
    assert "\n" not in line
    assert f"--{name}" in line or (text.strip() and text in line), line
    assert not (directory / "data").exists()


def test_the_right_values_around_them_are_no_obstacle(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Otherwise every value would be refused, and the sweep would show nothing."""
    monkeypatch.chdir(directory)
    for name, needed in {"identity": {}, **NEEDED}.items():
        option = BY_NAME[name]
        files = {name: "there"} if option.kind is OptionKind.PATH and name != "privacy-public-key-file" else {}
        if name not in ("privacy-genesis-file", "privacy-url", "ethstats-cacert-file"):
            make_node_config(
                collect_settings(
                    {
                        "genesis-file": "genesis.json",
                        "data-path": str(directory / "data"),
                        **ALL_ON,
                        **needed,
                        **files,
                    },
                    {},
                )
            )


def test_every_path_that_is_honoured_is_swept() -> None:
    honoured = {o.name for o in OPTIONS if o.kind is OptionKind.PATH and o.behaviour is OptionBehaviour.HONOURED}
    assert honoured - READ - set(WRITTEN) - set(ELSEWHERE) == {"Xnetwork-faults-file", "Xdevnet-directory"}
