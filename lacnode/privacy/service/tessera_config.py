"""Tessera's configuration file in Orion's keys, so that an operator's file starts a manager as it is.

Only the translation is here: the values are checked where those of an `orion.conf` are. What this manager does not have, and
what would drop a protection, is a mistake. What has no effect here is a notice. Keys that only Tessera's database or metrics
need are left out.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import orjson

from lacnode.privacy.manager.orion_party_info import is_same_manager, is_url

_KNOWN = frozenset(
    (
        *("type", "version", "mode", "clientMode", "useWhiteList", "disablePeerDiscovery", "bootstrapNode"),
        *("recoveryMode", "jdbc", "serverConfigs", "server", "unixSocketFile", "peer", "keys", "alwaysSendTo"),
        *("features", "encryptor", "residentGroups"),
    )
)


@dataclass(slots=True)
class TranslatedConfig:
    """A Tessera's configuration in the keys of an `orion.conf`. `values` has the values by these keys, not checked yet.
    `mistakes` has a text for each key that has no usable value: by Orion's key, or by Tessera's own key if Orion has
    none. A variable `ORION_` of that key replaces the value, and its mistake does not count then. `notices` are texts
    for the log."""

    values: dict[str, Any] = field(default_factory=dict)
    mistakes: dict[str, str] = field(default_factory=dict)
    notices: list[str] = field(default_factory=list)


def is_tessera_config(text: str) -> bool:
    """Return True if the configuration `text` is meant as Tessera's JSON: it begins with `{`, as no TOML does."""
    return text.lstrip().startswith("{")


def translate_tessera_config(text: str) -> TranslatedConfig:
    """Return Tessera's configuration `text`, a JSON object, in Orion's keys, with its mistakes and notices. ValueError
    if it is no JSON."""
    # Python's own reader overflows the stack where arrays are nested deeply.
    document = orjson.loads(text)
    found = TranslatedConfig()
    for key in document.keys() - _KNOWN:
        found.mistakes[key] = f"{key}: no such key"
    _translate_mode(document, found)
    _refuse_lost_protections(document, found)
    _translate_servers(document, found)
    _translate_peers(document, found)
    _translate_keys(document, found)
    _translate_database(document, found)
    return found


def _translate_mode(document: Mapping[str, Any], found: TranslatedConfig) -> None:
    mode = document.get("mode", document.get("clientMode", "tessera"))
    if str(mode).lower() != "orion":
        found.mistakes["mode"] = f"mode: orion was expected, found {mode}. In another mode a Tessera serves GoQuorum"
    encryptor = _object(document, "encryptor", found)
    if str(encryptor.get("type", "NACL")).upper() != "NACL":
        found.mistakes["encryptor"] = f"encryptor.type: NACL was expected, found {encryptor['type']}"
    features = _object(document, "features", found)
    if _is_true(features.get("enableMultiplePrivateStates")):
        found.mistakes["features"] = "features.enableMultiplePrivateStates: false was expected. It is for GoQuorum"
    if _is_true(features.get("enablePrivacyEnhancements")):
        found.notices.append(
            "features.enablePrivacyEnhancements has no effect: payloads with enhanced privacy are refused. Besu sends none"
        )


def _refuse_lost_protections(document: Mapping[str, Any], found: TranslatedConfig) -> None:
    for key in ("useWhiteList", "disablePeerDiscovery"):
        if _is_true(document.get(key)):
            found.mistakes[key] = (
                f"{key}: false was expected. This manager talks to other managers than those in `peer`, too: keep "
                "them away by a firewall"
            )


def _translate_servers(document: Mapping[str, Any], found: TranslatedConfig) -> None:
    for key in ("server", "unixSocketFile"):
        if key in document:
            found.mistakes[key] = f"{key}: serverConfigs was expected. This form is older than Tessera 0.10"
    servers = {
        str(server.get("app")).upper(): server
        for server in _objects(document, "serverConfigs", found)
        if _is_true(server.get("enabled", True))
    }
    of_managers, of_clients = servers.pop("P2P", None), servers.pop("Q2T", None)
    if of_managers is None:
        found.mistakes["nodeurl"] = "serverConfigs: a server of the app P2P was expected"
    else:
        found.values["nodeurl"] = of_managers.get("serverAddress")
        _translate_address(of_managers, "node", found)
        _translate_tls(of_managers, "tls", found)
    if of_clients is not None:
        _translate_address(of_clients, "client", found)
        _translate_tls(of_clients, "clientconnectiontls", found)
    if servers.pop("ENCLAVE", None) is not None:
        found.mistakes["serverConfigs"] = "serverConfigs: an enclave in another process is not supported"
    for app in servers:
        found.notices.append(f"The server of the app {app} is not opened. This manager has none such")


def _translate_address(server: Mapping[str, Any], kind: str, found: TranslatedConfig) -> None:
    """Translate the address on which a server listens: `bindingAddress`, or `serverAddress` without it, as in Tessera."""
    address = server.get("bindingAddress") or server.get("serverAddress")
    key = f"{kind}networkinterface"
    if not is_url(address):
        found.mistakes[key] = (
            f"serverConfigs: an address http://host:port was expected for {server.get('app')}, found {address}"
        )
        return
    parts = urlsplit(str(address))
    found.values[key] = parts.hostname
    found.values[f"{kind}port"] = parts.port or (443 if parts.scheme == "https" else 80)


def _translate_tls(server: Mapping[str, Any], prefix: str, found: TranslatedConfig) -> None:
    ssl = _object(server, "sslConfig", found)
    found.values[prefix] = str(ssl.get("tls", "OFF")).lower()
    if found.values[prefix] != "strict":
        return
    _translate_trust(ssl, "server", prefix, found)
    found.values[f"{prefix}knownclients"] = ssl.get("knownClientsFile", "knownClients")
    # Clients have no part of their own: nodes call the manager, and the manager calls no node.
    if prefix == "tls":
        _translate_trust(ssl, "client", prefix, found)
        found.values[f"{prefix}knownservers"] = ssl.get("knownServersFile", "knownServers")


def _translate_trust(ssl: Mapping[str, Any], side: str, prefix: str, found: TranslatedConfig) -> None:
    """Translate the certificate of one `side` (`server`, `client`), and which certificates that side trusts."""
    for part, name in (("cert", f"{side}TlsCertificatePath"), ("key", f"{side}TlsKeyPath")):
        if ssl.get(name):
            found.values[f"{prefix}{side}{part}"] = ssl[name]
        else:
            found.mistakes[f"{prefix}{side}{part}"] = (
                f"sslConfig.{name}: a PEM file was expected. Key stores are not read"
            )
    mode = str(ssl.get(f"{side}TrustMode") or "NONE").lower().replace("_", "-")
    found.values[f"{prefix}{side}trust"] = mode
    authorities = [name for name in (f"{side}TrustCertificates", f"{side}TrustStore") if ssl.get(name)]
    if authorities and mode.startswith("ca"):
        key = f"{prefix}{side}trust"
        found.mistakes[key] = (
            f"sslConfig.{authorities[0]}: certificates are checked by the authorities of this system. Name the file in "
            f"SSL_CERT_FILE, and set ORION_{key.upper()}={mode}"
        )


def _translate_peers(document: Mapping[str, Any], found: TranslatedConfig) -> None:
    own = found.values.get("nodeurl")
    urls = [peer.get("url") for peer in _objects(document, "peer", found)]
    # Published files list every member, the own one too. A manager does not call itself.
    found.values["tesseranodes"] = [
        url for url in urls if not (is_url(own) and is_url(url) and is_same_manager(str(url), str(own)))
    ]
    if not found.values["tesseranodes"]:
        found.notices.append("peer names no other manager: this one does not use Tessera's protocol")
    if document.get("alwaysSendTo"):
        found.mistakes["alwayssendto"] = (
            "alwaysSendTo: files with one key each were expected. Name them, with commas, in ORION_ALWAYSSENDTO"
        )


def _translate_keys(document: Mapping[str, Any], found: TranslatedConfig) -> None:
    keys = _object(document, "keys", found)
    pairs = _objects(keys, "keyData", found)
    if not all(pair.get("publicKeyPath") and pair.get("privateKeyPath") for pair in pairs):
        found.mistakes["privatekeys"] = (
            "keys.keyData: publicKeyPath and privateKeyPath were expected. Put keys of a vault, or of the configuration "
            "itself, into files"
        )
        return
    found.values["publickeys"] = [pair["publicKeyPath"] for pair in pairs]
    found.values["privatekeys"] = [pair["privateKeyPath"] for pair in pairs]
    if keys.get("passwordFile"):
        found.values["passwords"] = keys["passwordFile"]
    if keys.get("passwords") or any(pair.get("password") for pair in pairs):
        found.mistakes["passwords"] = "keys.passwords: passwordFile with a file was expected, one line a key"


def _translate_database(document: Mapping[str, Any], found: TranslatedConfig) -> None:
    """Translate the place of the database. H2 and SQLite become a SQLite file beside Tessera's."""
    jdbc = _object(document, "jdbc", found)
    url = str(jdbc.get("url", ""))
    kind, _, rest = url.removeprefix("jdbc:").partition(":")
    place = rest.partition(";")[0].removeprefix("file:")
    if kind == "h2" and place.startswith("mem:"):
        found.values["storage"] = "memory"
        return
    if kind in ("h2", "sqlite") and place:
        found.values["storage"] = f"leveldb:{Path(place).expanduser()}"
    elif kind == "postgresql" and rest.startswith("//"):
        user = ":".join(quote(str(jdbc[name]), safe="") for name in ("username", "password") if jdbc.get(name))
        found.values["storage"] = f"sql:postgresql://{user and f'{user}@'}{rest[2:]}"
    else:
        found.mistakes["storage"] = "jdbc.url: a database of H2, SQLite or PostgreSQL was expected"
        return
    found.notices.append(
        "The payloads and groups in Tessera's own tables are not read. This manager keeps its own beside them. "
        "docs/operators/tessera.md says how to bring Tessera's over"
    )


def _object(holder: Mapping[str, Any], key: str, found: TranslatedConfig) -> Mapping[str, Any]:
    """Return the object at `key`, an empty one if there is none or, as a mistake, another value."""
    value = holder.get(key) or {}
    if isinstance(value, dict):
        return value
    found.mistakes[key] = f"{key}: an object was expected"
    return {}


def _objects(holder: Mapping[str, Any], key: str, found: TranslatedConfig) -> Sequence[Mapping[str, Any]]:
    """Return the objects of the list at `key`. One object may stand for a list of one, as in Tessera."""
    value = holder.get(key) or []
    items = value if isinstance(value, list) else [value]
    if all(isinstance(item, dict) for item in items):
        return items
    found.mistakes[key] = f"{key}: a list of objects was expected"
    return []


def _is_true(value: object) -> bool:
    return str(value).lower() == "true"
