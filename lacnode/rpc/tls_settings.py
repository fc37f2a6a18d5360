"""The settings of TLS for the ports of JSON-RPC, as Besu's options give them."""

from dataclasses import dataclass
from pathlib import Path

PROTOCOLS = ("TLSv1.3", "TLSv1.2")
"""The protocols that this node has. Earlier ones have known weaknesses."""

CIPHER_SUITES = {
    "TLS_AES_256_GCM_SHA384": "TLS_AES_256_GCM_SHA384",
    "TLS_AES_128_GCM_SHA256": "TLS_AES_128_GCM_SHA256",
    "TLS_CHACHA20_POLY1305_SHA256": "TLS_CHACHA20_POLY1305_SHA256",
    "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384": "ECDHE-ECDSA-AES256-GCM-SHA384",
    "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256": "ECDHE-ECDSA-AES128-GCM-SHA256",
    "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256": "ECDHE-ECDSA-CHACHA20-POLY1305",
    "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384": "ECDHE-RSA-AES256-GCM-SHA384",
    "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256": "ECDHE-RSA-AES128-GCM-SHA256",
    "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256": "ECDHE-RSA-CHACHA20-POLY1305",
    "TLS_DHE_RSA_WITH_AES_256_GCM_SHA384": "DHE-RSA-AES256-GCM-SHA384",
    "TLS_DHE_RSA_WITH_AES_128_GCM_SHA256": "DHE-RSA-AES128-GCM-SHA256",
}
"""Java's names of the cipher suites that can be chosen, and OpenSSL's. The first three are of TLS 1.3."""


@dataclass(frozen=True, slots=True)
class ServerIdentity:
    """The certificate of a port: in a `keystore` (PKCS#12), or in PEM in `certificate` with its `key`. A file that is
    not used is None. If both are set, the keystore is used. The password of the keystore is the first line of
    `password_file`, or `password`. The key in PEM has no password."""

    keystore: Path | None = None
    password_file: Path | None = None
    password: str = ""
    certificate: Path | None = None
    key: Path | None = None


@dataclass(frozen=True, slots=True)
class ClientTrust:
    """The clients that a port accepts by their certificate. One of the sources is enough. A source that is not used is
    None.

    `known_clients` has a common name and a fingerprint in each line. With `system_authorities`, a chain to an authority
    of the system is enough. `truststore` (PKCS#12, with the password in `password_file` or `password`) and
    `certificates` (PEM) have authorities of their own.
    """

    known_clients: Path | None = None
    system_authorities: bool = False
    truststore: Path | None = None
    password_file: Path | None = None
    password: str = ""
    certificates: Path | None = None


@dataclass(frozen=True, slots=True)
class RpcTlsSettings:
    """TLS of one port. Clients need no certificate if `clients` is None. `protocols` are some of `PROTOCOLS`.
    `cipher_suites` are Java's names (`CIPHER_SUITES`). If it is empty, OpenSSL chooses."""

    identity: ServerIdentity
    clients: ClientTrust | None = None
    protocols: tuple[str, ...] = PROTOCOLS
    cipher_suites: tuple[str, ...] = ()
