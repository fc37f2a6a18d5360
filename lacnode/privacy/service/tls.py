"""TLS of the node API, with a certificate on both sides: which contexts, and whom they trust.

Either side is trusted by its chain, by its fingerprint, remembered where the mode says so, or by one of the two, as
Orion's modes have it. Modes that trust everybody are refused. Must not send or receive: `secured_stream` and
`peer_client` do.
"""

import datetime
import os
import secrets
import ssl
import tempfile
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from ipaddress import ip_address
from pathlib import Path

import structlog
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from OpenSSL import SSL

from lacnode.privacy.service.fingerprints import Fingerprints, TlsError

log = structlog.get_logger("privacy")

CHAIN_MODE, LIST_MODE, FIRST_USE_MODE = "ca", "whitelist", "tofu"
MODES = {
    CHAIN_MODE: (True, None),
    LIST_MODE: (False, False),
    f"ca-or-{LIST_MODE}": (True, False),
    FIRST_USE_MODE: (False, True),
    f"ca-or-{FIRST_USE_MODE}": (True, True),
}
"""Orion's names: whether chains are trusted, and whether fingerprints are remembered, None where they do not count."""

OWN_CERTIFICATE_DAYS = 3650

MAX_CHAIN_FILE_BYTES = 2**16
"""Of a file with a chain."""


@dataclass(frozen=True, slots=True)
class TlsTrust:
    """Who is trusted: those whose chain ends in the system's roots (`SSL_CERT_FILE`), those whom `known` trusts, or both."""

    chains: bool
    known: Fingerprints | None


@dataclass(frozen=True, slots=True)
class ServerTls:
    """For our port. `context` asks every client for a certificate; what it thinks of it is for `trust` to say."""

    context: SSL.Context
    trust: TlsTrust
    told: set[str] = field(default_factory=set)
    """Names of those that were turned away and logged. Handshakes are in threads: one at a time has `telling`."""

    telling: threading.Lock = field(default_factory=threading.Lock)


@dataclass(frozen=True, slots=True)
class ClientTls:
    """For our calls: `by_chain` verifies; with `by_fingerprint`, which does not, whoever uses it must ask `known`."""

    by_chain: ssl.SSLContext | None
    by_fingerprint: ssl.SSLContext | None
    known: Fingerprints | None


@dataclass(frozen=True, slots=True)
class Tls:
    """What both sides of the node API use."""

    server: ServerTls
    client: ClientTls


def parse_trust(option: str, mode: str, file: Path) -> TlsTrust:
    """What `mode` means, with the fingerprints in `file`; TlsError naming `option` for one that is not kept."""
    if mode not in MODES:
        raise TlsError(f"{option}: {', '.join(MODES)} was expected, found {mode}")
    chains, record = MODES[mode]
    if record:
        log.warning(
            f"{option}: {mode} TRUSTS WHOEVER COMES FIRST: anyone with a new name is let in and remembered in {file}. "
            f"Once everybody is in that file, {mode.replace(FIRST_USE_MODE, LIST_MODE)} keeps them and lets nobody else in"
        )
    return TlsTrust(chains, None if record is None else Fingerprints(file, record))


def server_tls(certificate: Path, key: Path, trust: TlsTrust, host: str, chain: Sequence[Path] = ()) -> ServerTls:
    """TlsError for files that cannot be used; where there are none, they are made for `host`. `chain` are files with the
    certificates that lead from this one to a root."""
    _make_own(certificate, key, host)
    context = SSL.Context(SSL.TLS_SERVER_METHOD)
    context.set_min_proto_version(SSL.TLS1_2_VERSION)
    # Sessions would be resumed without the certificate being looked at again.
    context.set_session_cache_mode(SSL.SESS_CACHE_OFF)
    context.set_options(SSL.OP_NO_TICKET)
    if trust.chains:
        context.set_default_verify_paths()
    try:
        context.use_certificate_chain_file(str(certificate))
        context.use_privatekey_file(str(key))
        context.check_privatekey()
        for link in x509.load_pem_x509_certificates(_chain_text(chain)) if chain else ():
            context.add_extra_chain_cert(link)
    except (SSL.Error, ValueError) as error:
        raise _unusable(certificate, key, error) from None
    return ServerTls(context, trust)


def client_tls(certificate: Path, key: Path, trust: TlsTrust, host: str, chain: Sequence[Path] = ()) -> ClientTls:
    """TlsError for files that cannot be used; where there are none, they are made for `host`. `chain` as above."""
    _make_own(certificate, key, host)
    by_chain = _client_context(certificate, key, chain) if trust.chains else None
    if trust.known is None:
        return ClientTls(by_chain, None, None)
    by_fingerprint = _client_context(certificate, key, chain)
    by_fingerprint.check_hostname = False
    by_fingerprint.verify_mode = ssl.CERT_NONE
    return ClientTls(by_chain, by_fingerprint, trust.known)


def _chain_text(chain: Sequence[Path]) -> bytes:
    """The certificates of a chain, one behind the other; TlsError."""
    parts = []
    for file in chain:
        try:
            with file.open("rb") as opened:
                parts.append(opened.read(MAX_CHAIN_FILE_BYTES))
            x509.load_pem_x509_certificates(parts[-1])
        except (OSError, ValueError) as error:
            raise TlsError(f"{file}: certificates in PEM were expected: {error}") from None
    return b"\n".join(parts)


def _client_context(certificate: Path, key: Path, chain: Sequence[Path]) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.SERVER_AUTH)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        # Python's ssl takes a chain in the certificate's own file only.
        with tempfile.NamedTemporaryFile(suffix=".pem") as whole:
            whole.write(certificate.read_bytes() + b"\n" + _chain_text(chain))
            whole.flush()
            context.load_cert_chain(whole.name, key)
    except (OSError, ssl.SSLError) as error:
        raise _unusable(certificate, key, error) from None
    return context


def _unusable(certificate: Path, key: Path, error: Exception) -> TlsError:
    return TlsError(f"{certificate} and {key}: a certificate and its key in PEM were expected: {error}")


def _make_own(certificate: Path, key: Path, host: str) -> None:
    """A certificate by itself, as Orion makes one; of a name of its own, since clients are known by that, and for `host`,
    since Tessera looks for it."""
    if certificate.exists() or key.exists():
        return
    private = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"lacnode-{secrets.token_hex(8)}")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(private.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=OWN_CERTIFICATE_DAYS))
        .add_extension(x509.SubjectAlternativeName([_general_name(host), x509.DNSName("localhost")]), critical=False)
        .sign(private, hashes.SHA256())
    )
    encoding = serialization.Encoding.PEM
    plain = private.private_bytes(encoding, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    try:
        with os.fdopen(os.open(key, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(plain)
        certificate.write_bytes(made.public_bytes(encoding))
    except OSError as error:
        raise TlsError(f"{certificate} and {key} cannot be made: {error.strerror}") from None


def _general_name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ip_address(host))
    except ValueError:
        return x509.DNSName(host)
