"""From options to the settings of TLS for HTTP, WebSocket and GraphQL, and the rules between these options."""

from collections.abc import Iterator
from pathlib import Path

from lacnode.cli.settings_reader import SettingsReader
from lacnode.rpc.tls_settings import CIPHER_SUITES, PROTOCOLS, ClientTrust, RpcTlsSettings, ServerIdentity

_HTTP, _WS, _GRAPHQL = "rpc-http-tls-", "rpc-ws-ssl-", "graphql-tls-"
_GRAPHQL_CLIENTS = "graphql-mtls-enabled"
_PEM = "PEM"


def http_tls(read: SettingsReader) -> RpcTlsSettings | None:
    """Return the TLS settings of the HTTP port, None if TLS is off. The files are not read here. Call it only if
    `find_broken_tls_rules` yields nothing."""
    if not read.flag(f"{_HTTP}enabled"):
        return None
    identity = ServerIdentity(read.path(f"{_HTTP}keystore-file"), read.path(f"{_HTTP}keystore-password-file"))
    clients = ClientTrust(
        known_clients=read.path(f"{_HTTP}known-clients-file"),
        system_authorities=read.flag(f"{_HTTP}ca-clients-enabled"),
        truststore=read.path(f"{_HTTP}truststore-file"),
        password_file=read.path(f"{_HTTP}truststore-password-file"),
    )
    return RpcTlsSettings(
        identity,
        clients if read.flag(f"{_HTTP}client-auth-enabled") else None,
        tuple(protocol for protocol in read.items(f"{_HTTP}protocols") if protocol in PROTOCOLS),
        read.items(f"{_HTTP}cipher-suites"),
    )


def websocket_tls(read: SettingsReader) -> RpcTlsSettings | None:
    """Return the TLS settings of the WebSocket port, None if TLS is off. The files are not read here. Call it only if
    `find_broken_tls_rules` yields nothing."""
    if not read.flag(f"{_WS}enabled"):
        return None
    if _is_pem(read, "keystore"):
        identity = ServerIdentity(certificate=read.path(f"{_WS}cert-file"), key=read.path(f"{_WS}key-file"))
    else:
        identity = ServerIdentity(*_store(read, "keystore"))
    if not read.flag(f"{_WS}client-auth-enabled"):
        return RpcTlsSettings(identity)
    if _is_pem(read, "truststore"):
        return RpcTlsSettings(identity, ClientTrust(certificates=read.path(f"{_WS}trustcert-file")))
    file, password_file, password = _store(read, "truststore")
    return RpcTlsSettings(identity, ClientTrust(truststore=file, password_file=password_file, password=password))


def graphql_tls(read: SettingsReader) -> RpcTlsSettings | None:
    """Return the TLS settings of the GraphQL port, None if TLS or the port is off. The files are not read here. Call it
    only if `find_broken_tls_rules` yields nothing."""
    if not read.flag("graphql-http-enabled") or not read.flag(f"{_GRAPHQL}enabled"):
        return None
    identity = ServerIdentity(read.path(f"{_GRAPHQL}keystore-file"), read.path(f"{_GRAPHQL}keystore-password-file"))
    clients = ClientTrust(
        truststore=read.path(f"{_GRAPHQL}truststore-file"),
        password_file=read.path(f"{_GRAPHQL}truststore-password-file"),
    )
    return RpcTlsSettings(identity, clients if read.flag(_GRAPHQL_CLIENTS) else None)


def _store(read: SettingsReader, kind: str) -> tuple[Path | None, Path | None, str]:
    name = f"{_WS}{kind}"
    password = read.text_or_none(f"{name}-password") or ""
    return read.path(f"{name}-file"), read.path(f"{name}-password-file"), password


def _is_pem(read: SettingsReader, kind: str) -> bool:
    return (read.text_or_none(f"{_WS}{kind}-type") or "").upper() == _PEM


def find_broken_tls_rules(read: SettingsReader) -> Iterator[str]:
    """Yield one sentence for each rule between the TLS options that the settings break, such as TLS without a keystore.
    No file is looked at."""
    if read.flag(f"{_HTTP}enabled"):
        yield from _http_rules(read)
        if read.flag(f"{_HTTP}client-auth-enabled"):
            yield from _http_client_rules(read)
    if read.flag(f"{_WS}enabled"):
        yield from _ws_rules(read)
    if read.flag("graphql-http-enabled"):
        yield from _graphql_rules(read)


def _http_rules(read: SettingsReader) -> Iterator[str]:
    if not read.is_set(f"{_HTTP}keystore-file"):
        yield "Keystore file is required when TLS is enabled for JSON-RPC HTTP endpoint"
    if not read.is_set(f"{_HTTP}keystore-password-file"):
        yield "File containing password to unlock keystore is required when TLS is enabled for JSON-RPC HTTP endpoint"
    if not any(protocol in PROTOCOLS for protocol in read.items(f"{_HTTP}protocols")):
        yield f"No valid TLS protocols specified (the following protocols are enabled: [{', '.join(PROTOCOLS)}])"
    for suite in read.items(f"{_HTTP}cipher-suites"):
        if suite not in CIPHER_SUITES:
            yield f"Invalid TLS cipher suite specified {suite}"


def _http_client_rules(read: SettingsReader) -> Iterator[str]:
    own = read.is_set(f"{_HTTP}known-clients-file") or read.flag(f"{_HTTP}ca-clients-enabled")
    store = read.is_set(f"{_HTTP}truststore-file")
    if not own and not store:
        yield (
            "Configuration error: TLS client authentication is enabled, but none of the following options are provided: "
            "1. Specify a known-clients file (--rpc-http-tls-known-clients-file) and/or  Enable CA clients "
            "(--rpc-http-tls-ca-clients-enabled). 2. Specify a truststore file and its password file "
            "(--rpc-http-tls-truststore-file and --rpc-http-tls-truststore-password-file). "
            "Only one of these options must be configured"
        )
    if store and not read.is_set(f"{_HTTP}truststore-password-file"):
        yield (
            "Configuration error: A truststore file is specified for JSON RPC HTTP endpoint, but the corresponding "
            "truststore password file (--rpc-http-tls-truststore-password-file) is missing"
        )
    if own and store:
        yield (
            "Configuration error: Truststore file (--rpc-http-tls-truststore-file) cannot be used together with CA clients "
            "(--rpc-http-tls-ca-clients-enabled) or a known-clients (--rpc-http-tls-known-clients-file) option. These "
            "options are mutually exclusive. Choose either truststore-based authentication or known-clients/CA clients "
            "configuration."
        )


def _ws_rules(read: SettingsReader) -> Iterator[str]:
    needed = ["cert-file", "key-file"] if _is_pem(read, "keystore") else ["keystore-file"]
    if read.flag(f"{_WS}client-auth-enabled"):
        needed.append("trustcert-file" if _is_pem(read, "truststore") else "truststore-file")
    for name in needed:
        if not read.is_set(f"{_WS}{name}"):
            yield f"--{_WS}{name} is required when TLS is enabled for the WebSocket endpoint"


def _graphql_rules(read: SettingsReader) -> Iterator[str]:
    # Without TLS no client can show a certificate. Besu warns, and serves all of them.
    if not read.flag(f"{_GRAPHQL}enabled"):
        if read.flag(_GRAPHQL_CLIENTS):
            yield f"--{_GRAPHQL_CLIENTS} needs --{_GRAPHQL}enabled: without it, every client would be served"
        return
    stores = ("keystore", "truststore") if read.flag(_GRAPHQL_CLIENTS) else ("keystore",)
    for name in (f"{_GRAPHQL}{store}-{kind}" for store in stores for kind in ("file", "password-file")):
        if not read.is_set(name):
            yield f"--{name} is required when TLS is enabled for the GraphQL endpoint"
