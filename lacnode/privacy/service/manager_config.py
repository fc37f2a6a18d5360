"""A manager's configuration: Orion's TOML keys and `ORION_` variables, and ours beside them. Says every mistake in one
message; keeps no secret, only the names of the files that do."""

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Any

from lacnode.privacy.manager.address_policy import Network
from lacnode.privacy.manager.orion_party_info import validate_url


class ManagerConfigError(Exception):
    """A configuration that cannot be used; the message names the key and what was expected."""


@dataclass(frozen=True, slots=True)
class ManagerConfig:
    """Orion's keys, by Orion's names. Ours: `clienttokenfile` (the token that clients must show), `alwaysrecover` (ask
    for lost payloads at every start, not only when the store is empty), `onlyprovenkeys` (which managers must prove their
    keys before anything is sent to them: all, none, or, unless it is given, all but the Orions in `othernodes`),
    `tesseranodes` (the URLs of Tesseras in orion mode to exchange with), `peerallowednetworks` and `peerdeniednetworks`
    (where managers that others announce may be called, and where not), `knownkeysmegabytes`, `unknownkeysmegabytes` and
    `diskreservemegabytes` (how much is kept of what others push)."""

    nodeurl: str = ""
    nodeport: int = 8080
    nodenetworkinterface: str = "127.0.0.1"
    clienturl: str = ""
    clientport: int = 8888
    clientnetworkinterface: str = "127.0.0.1"
    workdir: str = "."
    othernodes: tuple[str, ...] = ()
    publickeys: tuple[str, ...] = ()
    privatekeys: tuple[str, ...] = ()
    passwords: str = ""
    alwayssendto: tuple[str, ...] = ()
    libsodiumpath: str = ""
    storage: str = "leveldb"
    knownnodesstorage: str = "memory"
    ipwhitelist: tuple[str, ...] = ()
    tls: str = "off"
    tlsservercert: str = "tls-server-cert.pem"
    tlsserverkey: str = "tls-server-key.pem"
    tlsserverchain: tuple[str, ...] = ()
    tlsservertrust: str = "whitelist"
    tlsknownclients: str = "tls-known-clients"
    tlsclientcert: str = "tls-client-cert.pem"
    tlsclientkey: str = "tls-client-key.pem"
    tlsclientchain: tuple[str, ...] = ()
    tlsclienttrust: str = "ca-or-whitelist"
    tlsknownservers: str = "tls-known-servers"
    clientconnectiontls: str = "off"
    clientconnectiontlsservercert: str = "client-connection-tls-server-cert.pem"
    clientconnectiontlsserverkey: str = "client-connection-tls-server-key.pem"
    clientconnectiontlsserverchain: tuple[str, ...] = ()
    clientconnectiontlsservertrust: str = "whitelist"
    clientconnectiontlsknownclients: str = "client-connection-tls-known-clients"
    verbosity: int = 1
    clienttokenfile: str = ""
    alwaysrecover: bool = False
    onlyprovenkeys: bool | None = None
    tesseranodes: tuple[str, ...] = ()
    peerallowednetworks: tuple[str, ...] = ()
    peerdeniednetworks: tuple[str, ...] = ()
    knownkeysmegabytes: int = 65_536
    unknownkeysmegabytes: int = 1_024
    diskreservemegabytes: int = 1_024

    def path(self, name: str) -> Path:
        """`name` within the working directory."""
        return Path(self.workdir) / name

    @property
    def store_url(self) -> str:
        """The database. `sql:` takes an SQLAlchemy URL or Orion's `jdbc:postgresql:`; what Orion kept in LevelDB or MapDB
        is SQLite here."""
        kind, _, rest = self.storage.partition(":")
        if kind == "memory":
            return "sqlite://"
        if kind in ("leveldb", "mapdb"):
            return f"sqlite:///{self.path(rest or 'routerdb').absolute()}.sqlite"
        if kind == "sql" and rest:
            url = rest.removeprefix("jdbc:")
            return "postgresql+psycopg" + url.removeprefix("postgresql") if url.startswith("postgresql:") else url
        raise ManagerConfigError("storage: leveldb[:name], mapdb[:name], sql:<url> or memory was expected")


_TYPES: dict[str, Any] = {
    field.name: bool if field.type == bool | None else field.type for field in fields(ManagerConfig)
}
_PORTS = ("nodeport", "clientport")


def load_config(path: Path | None, environment: Mapping[str, str]) -> ManagerConfig:
    """The file at `path`, with `ORION_` variables before it; ManagerConfigError."""
    found: dict[str, Any] = {}
    if path is not None:
        try:
            found = tomllib.loads(path.read_text("utf-8"))
        except OSError as error:
            raise ManagerConfigError(f"{path} cannot be read: {error.strerror}") from None
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise ManagerConfigError(f"{path} is not TOML: {error}") from None
    for name, value in environment.items():
        key = name.removeprefix("ORION_").lower()
        if name.startswith("ORION_") and key in _TYPES:
            found[key] = _from_text(key, value)
    mistakes = [*_mistakes(found)]
    if mistakes:
        raise ManagerConfigError("; ".join(mistakes))
    values: dict[str, Any] = {key: tuple(value) if isinstance(value, list) else value for key, value in found.items()}
    config = ManagerConfig(**values)
    _check(config)
    return config


def _from_text(key: str, value: str) -> object:
    kind = _TYPES[key]
    if kind == tuple[str, ...]:
        return [part.strip() for part in value.split(",") if part.strip()]
    if kind is int:
        return int(value) if value.isdecimal() else value
    return value == "true" if kind is bool else value


def _mistakes(found: Mapping[str, Any]) -> list[str]:
    mistakes = []
    for key, value in found.items():
        kind = _TYPES.get(key)
        if kind is None:
            mistakes.append(f"{key}: no such key")
        elif kind == tuple[str, ...]:
            if not isinstance(value, list) or not all(isinstance(part, str) for part in value):
                mistakes.append(f"{key}: a list of strings was expected")
        elif type(value) is not kind:
            mistakes.append(f"{key}: {kind.__name__} was expected")
        elif key in _PORTS and not 0 <= value <= 65_535:
            mistakes.append(f"{key}: a port from 0 to 65535 was expected, found {value}")
    return mistakes


def _check(config: ManagerConfig) -> None:
    if config.nodeport == config.clientport != 0:
        raise ManagerConfigError(f"clientport: another port than nodeport ({config.nodeport}) was expected")
    if len(config.publickeys) != len(config.privatekeys):
        raise ManagerConfigError("privatekeys: as many files as in publickeys were expected")
    nodeurl = [config.nodeurl] if config.nodeurl else []
    for key, urls in (("nodeurl", nodeurl), ("othernodes", config.othernodes), ("tesseranodes", config.tesseranodes)):
        for url in urls:
            try:
                validate_url(url)
            except ValueError as error:
                raise ManagerConfigError(f"{key}: {error}") from None
    for key in ("knownkeysmegabytes", "unknownkeysmegabytes", "diskreservemegabytes"):
        if getattr(config, key) < 0:
            raise ManagerConfigError(f"{key}: a number of MiB from 0 was expected, found {getattr(config, key)}")
    for key in ("peerallowednetworks", "peerdeniednetworks"):
        parse_networks(key, getattr(config, key))
    if config.tls not in ("off", "strict"):
        raise ManagerConfigError(f"tls: off or strict was expected, found {config.tls}")
    for key in ("tlsserverchain", "tlsclientchain", "clientconnectiontlsserverchain"):
        if getattr(config, key):
            raise ManagerConfigError(
                f"{key}: none was expected: put the chain into the certificate's own file, behind it"
            )
    if config.clientconnectiontls not in ("off", "strict"):
        raise ManagerConfigError(f"clientconnectiontls: off or strict was expected, found {config.clientconnectiontls}")
    # Any other trust would let in whoever comes with a name that is new, or has a certificate of a public authority.
    by_list = config.clientconnectiontls == "strict" and config.clientconnectiontlsservertrust == "whitelist"
    if not _loopback(config.clientnetworkinterface) and not config.clienttokenfile and not by_list:
        raise ManagerConfigError(
            f"clientnetworkinterface: {config.clientnetworkinterface} is reached from outside, so clienttokenfile "
            "was expected, or clientconnectiontls strict with clientconnectiontlsservertrust whitelist"
        )
    _ = config.store_url


def parse_networks(key: str, texts: Sequence[str]) -> list[Network]:
    """The networks that the value of `key` lists; ManagerConfigError."""
    try:
        return [ip_network(text, strict=False) for text in texts]
    except ValueError as error:
        raise ManagerConfigError(f"{key}: networks such as 10.0.0.0/8 were expected: {error}") from None


def _loopback(host: str) -> bool:
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False
