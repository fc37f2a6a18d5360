"""The configuration of a manager: Orion's TOML keys and `ORION_` variables, lacnode's own keys, or a Tessera's file.

All mistakes are reported in one message. The configuration has no secret, only the names of files that have one.
"""

import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Any

from lacnode.privacy.manager.address_policy import Network
from lacnode.privacy.manager.orion_party_info import validate_url
from lacnode.privacy.service.tessera_config import TranslatedConfig, is_tessera_config, translate_tessera_config


class ManagerConfigError(Exception):
    """The configuration of a manager cannot be used. The text names each wrong key or file and what was expected."""


@dataclass(frozen=True, slots=True)
class ManagerConfig:
    """The values of the configuration, by Orion's names. These keys are lacnode's own:

    - `clienttokenfile`: the token that clients must send.
    - `clientallowednetworks`: the networks where clients must be.
    - `alwaysrecover`: ask for lost payloads at every start, and not only when the store is empty.
    - `onlyprovenkeys`: the managers that must prove their keys before anything is sent to them. True: all. False: none.
      None: all but the Orions in `othernodes`.
    - `tesseranodes`: the URLs of Tesseras in orion mode to exchange payloads with.
    - `peerallowednetworks`, `peerdeniednetworks`: networks where announced managers may or may not be called.
    - `knownkeysmegabytes`, `unknownkeysmegabytes`, `diskreservemegabytes`: the quotas in MiB.

    `notices` is no key. It tells the operator what of the file has no effect.
    """

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
    clientallowednetworks: tuple[str, ...] = ()
    alwaysrecover: bool = False
    onlyprovenkeys: bool | None = None
    tesseranodes: tuple[str, ...] = ()
    peerallowednetworks: tuple[str, ...] = ()
    peerdeniednetworks: tuple[str, ...] = ()
    knownkeysmegabytes: int = 65_536
    unknownkeysmegabytes: int = 1_024
    diskreservemegabytes: int = 1_024
    notices: tuple[str, ...] = ()

    def resolve_path(self, name: str) -> Path:
        """Return the path of the file `name` in the working directory of the configuration. An absolute name stays as
        it is."""
        return Path(self.workdir) / name

    @property
    def is_open_to_everyone(self) -> bool:
        """Whether every client that reaches the client port may read every payload. False if a token, networks of
        clients or a list of client certificates (strict TLS with the trust `whitelist`) are configured, or if the port
        is on a loopback interface."""
        # Any other trust would let in a client that comes with a name that is new, or with a certificate of a public
        # authority.
        by_list = self.clientconnectiontls == "strict" and self.clientconnectiontlsservertrust == "whitelist"
        is_guarded = bool(self.clienttokenfile or self.clientallowednetworks or by_list)
        return not is_guarded and not is_loopback(self.clientnetworkinterface)

    @property
    def store_url(self) -> str:
        """The URL of the database. ManagerConfigError if `storage` has an unknown kind.

        `sql:` takes a URL of SQLAlchemy or Orion's `jdbc:postgresql:`. Orion's LevelDB and MapDB become SQLite here.
        """
        kind, _, rest = self.storage.partition(":")
        if kind == "memory":
            return "sqlite://"
        # The name of Orion's store stays the name of the file, so that two stores in one folder do not meet.
        if kind in ("leveldb", "mapdb"):
            return f"sqlite:///{self.resolve_path(rest or 'routerdb').absolute()}.sqlite"
        if kind == "sql" and rest:
            url = rest.removeprefix("jdbc:")
            # The driver is fixed here. SQLAlchemy would take another one by default.
            return "postgresql+psycopg" + url.removeprefix("postgresql") if url.startswith("postgresql:") else url
        raise ManagerConfigError("storage: leveldb[:name], mapdb[:name], sql:<url> or memory was expected")


_TYPES: dict[str, Any] = {
    # `bool | None` has a default of None. In the file it is a bool.
    field.name: bool if field.type == bool | None else field.type
    for field in fields(ManagerConfig)
    if field.name != "notices"
}
_PORTS = ("nodeport", "clientport")


def load_config(path: Path | None, environment: Mapping[str, str]) -> ManagerConfig:
    """Return the configuration of the file at `path`, Orion's TOML or Tessera's JSON, None for no file. `environment` are
    variables: those with `ORION_` replace the file's values. ManagerConfigError, with all mistakes, if it is invalid or
    the file cannot be read."""
    file = TranslatedConfig() if path is None else _read_file(path)
    found, mistakes = file.values, file.mistakes
    # Unknown variables are ignored, unlike unknown keys of the file. The environment may have any variables.
    for name, value in environment.items():
        key = name.removeprefix("ORION_").lower()
        if name.startswith("ORION_") and key in _TYPES:
            found[key] = _from_text(key, value)
            mistakes.pop(key, None)
    # All mistakes are collected. The checks between keys need values of the right types, so wrong ones have defaults here.
    mistakes = {**_mistakes(found), **mistakes}
    right: dict[str, Any] = {key: _frozen(value) for key, value in found.items() if key not in mistakes}
    config = ManagerConfig(**right, notices=tuple(file.notices))
    texts = [*mistakes.values(), *_contradictions(config)]
    if texts:
        raise ManagerConfigError("; ".join(texts))
    return config


def _read_file(path: Path) -> TranslatedConfig:
    """Return what a file of either kind has. An `orion.conf` has Orion's keys already."""
    kind = "TOML"
    try:
        text = path.read_text("utf-8")
        if not is_tessera_config(text):
            return TranslatedConfig(tomllib.loads(text))
        kind = "JSON"
        return translate_tessera_config(text)
    except OSError as error:
        raise ManagerConfigError(f"{path} cannot be read: {error.strerror}") from None
    # The errors of TOML, JSON and UTF-8 are all of this kind.
    except ValueError as error:
        raise ManagerConfigError(f"{path} is not {kind}: {error}") from None


def _frozen(value: object) -> object:
    return tuple(value) if isinstance(value, list) else value


def _from_text(key: str, value: str) -> object:
    kind = _TYPES[key]
    if kind == tuple[str, ...]:
        return [part.strip() for part in value.split(",") if part.strip()]
    if kind is int:
        # A text that is not a number stays as it is. It is then reported with the other mistakes.
        return int(value) if re.fullmatch("[0-9]{1,19}", value) else value
    return value == "true" if kind is bool else value


def _mistakes(found: Mapping[str, Any]) -> dict[str, str]:
    """What is wrong with the keys that are wrong by themselves."""
    mistakes = {}
    for key, value in found.items():
        kind = _TYPES.get(key)
        if kind is None:
            mistakes[key] = f"{key}: no such key"
        elif kind == tuple[str, ...]:
            if not isinstance(value, list) or not all(isinstance(part, str) for part in value):
                mistakes[key] = f"{key}: a list of strings was expected"
        # `type(...) is not`, because a bool passes isinstance for int: `nodeport = true` is a mistake.
        elif type(value) is not kind:
            mistakes[key] = f"{key}: {kind.__name__} was expected"
        elif key in _PORTS and not 0 <= value <= 65_535:
            mistakes[key] = f"{key}: a port from 0 to 65535 was expected, found {value}"
    return mistakes


def _contradictions(config: ManagerConfig) -> Iterator[str]:
    """Yield the mistakes in values of the right type, and between keys."""
    # Port 0 means any free port, so both may be 0.
    if config.nodeport == config.clientport != 0:
        yield f"clientport: another port than nodeport ({config.nodeport}) was expected"
    # The files are pairs by their order. The message at this place names the option, a later one could only name a
    # file.
    if len(config.publickeys) != len(config.privatekeys):
        yield "privatekeys: as many files as in publickeys were expected"
    nodeurl = [config.nodeurl] if config.nodeurl else []
    for key, urls in (("nodeurl", nodeurl), ("othernodes", config.othernodes), ("tesseranodes", config.tesseranodes)):
        yield from (f"{key}: {why}" for why in map(_why_no_url, urls) if why)
    for key in ("knownkeysmegabytes", "unknownkeysmegabytes", "diskreservemegabytes"):
        if getattr(config, key) < 0:
            yield f"{key}: a number of MiB from 0 was expected, found {getattr(config, key)}"
    for key in ("tls", "clientconnectiontls"):
        if getattr(config, key) not in ("off", "strict"):
            yield f"{key}: off or strict was expected, found {getattr(config, key)}"
    yield from _unreadable(config)


def _unreadable(config: ManagerConfig) -> Iterator[str]:
    """Yield the mistakes in networks and in the URL of the store."""
    for key in ("peerallowednetworks", "peerdeniednetworks", "clientallowednetworks"):
        try:
            parse_networks(key, getattr(config, key))
        except ManagerConfigError as error:
            yield str(error)
    try:
        _ = config.store_url
    except ManagerConfigError as error:
        yield str(error)


def _why_no_url(url: str) -> str:
    try:
        validate_url(url)
    except ValueError as error:
        return str(error)
    return ""


def parse_networks(key: str, texts: Sequence[str]) -> list[Network]:
    """Return the networks (such as 10.0.0.0/8) that `texts`, the value of `key`, lists. ManagerConfigError if a text is
    not a network."""
    try:
        return [ip_network(text, strict=False) for text in texts]
    except ValueError as error:
        raise ManagerConfigError(f"{key}: networks such as 10.0.0.0/8 were expected: {error}") from None


def is_loopback(host: str) -> bool:
    """Whether `host` is `localhost` or a loopback address, which only this machine reaches. False for every other name."""
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False
