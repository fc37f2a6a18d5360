"""TLS of the node API, with a certificate on both sides: the contexts and the trust in certificates.

A certificate is trusted by its chain, by its fingerprint, or by one of the two, as in Orion's modes. Some modes record new
fingerprints. Modes that trust every certificate are refused. This module must not send or receive: `tls_stream` and
`peer_client` do.
"""

import datetime
import os
import secrets
import ssl
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path

import structlog
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from OpenSSL import SSL

from lacnode.privacy.service.fingerprints import Fingerprints, TlsSetupError

log = structlog.get_logger("privacy")

CHAIN_MODE, LIST_MODE, FIRST_USE_MODE = "ca", "whitelist", "tofu"
MODES = {
    CHAIN_MODE: (True, None),
    LIST_MODE: (False, False),
    f"ca-or-{LIST_MODE}": (True, False),
    FIRST_USE_MODE: (False, True),
    f"ca-or-{FIRST_USE_MODE}": (True, True),
}
"""Orion's modes. The first value: chains are trusted. The second: fingerprints are recorded, None if they do not count."""

OWN_CERTIFICATE_DAYS = 3650

MAX_CHAIN_FILE_BYTES = 2**16
"""Of a file with a chain."""


@dataclass(frozen=True, slots=True)
class TlsTrust:
    """Which certificates of the other side are trusted: those with a chain to the system's roots (`SSL_CERT_FILE`) if
    `trusts_chains`, and those that `known` trusts or records. One of the two is enough. `known` is None if fingerprints
    do not count."""

    trusts_chains: bool
    known: Fingerprints | None


@dataclass(frozen=True, slots=True)
class ServerTls:
    """TLS of an own port. `context` is OpenSSL's, with the own certificate. `trust` says which certificates of clients
    are trusted. The server of the port applies it in the handshake."""

    context: SSL.Context
    trust: TlsTrust


@dataclass(frozen=True, slots=True)
class ClientTls:
    """TLS of calls to other managers. `by_chain` verifies chains, None if they do not count. With `by_fingerprint`, the
    caller must check the certificate by `known`. `by_fingerprint` and `known` are None if fingerprints do not count."""

    by_chain: ssl.SSLContext | None
    by_fingerprint: ssl.SSLContext | None
    known: Fingerprints | None


@dataclass(frozen=True, slots=True)
class Tls:
    """The TLS settings of the node API: `server` for the own port, `client` for calls to other managers."""

    server: ServerTls
    client: ClientTls


def parse_trust(option: str, mode: str, file: Path) -> TlsTrust:
    """Return the trust of `mode`, with the fingerprints in `file`, which is read if the mode needs it. A mode that
    trusts the first certificate of each name is logged as a warning.

    TlsSetupError if there is no such mode (the text names `option`), or if the file cannot be used.
    """
    if mode not in MODES:
        raise TlsSetupError(f"{option}: {', '.join(MODES)} was expected, found {mode}")
    chains, record = MODES[mode]
    if record:
        log.warning(
            f"{option}: {mode} TRUSTS THE FIRST CERTIFICATE OF EACH NAME: a stranger with a new name is accepted and "
            f"recorded in {file}. Once all managers are in that file, use {mode.replace(FIRST_USE_MODE, LIST_MODE)}, which "
            "accepts no other one"
        )
    return TlsTrust(chains, None if record is None else Fingerprints(file, record))


def load_or_create_server_tls(
    certificate: Path, key: Path, trust: TlsTrust, host: str, chain: Sequence[Path] = ()
) -> ServerTls:
    """Return TLS for a port of `host`, with the own `certificate` and `key` (PEM files), that trusts clients by `trust`.
    If neither file exists, both are created, self-signed and valid for `host`. TlsSetupError if a file cannot be used,
    or if one of the two is missing.

    `chain` are files (PEM) with the certificates that lead from this one to a root.
    """
    _create_own_certificate(certificate, key, host)
    context = SSL.Context(SSL.TLS_SERVER_METHOD)
    context.set_min_proto_version(SSL.TLS1_2_VERSION)
    # A resumed session would skip the check of the certificate. A client that was removed from the list could go on.
    context.set_session_cache_mode(SSL.SESS_CACHE_OFF)
    context.set_options(SSL.OP_NO_TICKET)
    if trust.trusts_chains:
        context.set_default_verify_paths()
    try:
        context.use_certificate_chain_file(str(certificate))
        context.use_privatekey_file(str(key))
        # A certificate with the key of another one is found here, and not at the first handshake.
        context.check_privatekey()
        for link in x509.load_pem_x509_certificates(_chain_text(chain)) if chain else ():
            context.add_extra_chain_cert(link)
    except (SSL.Error, ValueError) as error:
        raise _unusable_files(certificate, key, error) from None
    return ServerTls(context, trust)


def load_or_create_client_tls(
    certificate: Path, key: Path, trust: TlsTrust, host: str, chain: Sequence[Path] = ()
) -> ClientTls:
    """Return TLS for calls to other managers, with the own `certificate` and `key` (PEM files), that trusts servers by
    `trust`. If neither file exists, both are created, self-signed and valid for `host`. TlsSetupError if a file cannot
    be used, or if one of the two is missing.

    `chain` are files (PEM) with the certificates that lead from this one to a root.
    """
    _create_own_certificate(certificate, key, host)
    by_chain = _client_context(certificate, key, chain) if trust.trusts_chains else None
    # The mode `ca` has no fingerprints. A second context would only add a way that trusts nothing.
    if trust.known is None:
        return ClientTls(by_chain, None, None)
    by_fingerprint = _client_context(certificate, key, chain)
    # OpenSSL accepts any certificate here. The caller checks its fingerprint before it sends anything.
    by_fingerprint.check_hostname = False
    by_fingerprint.verify_mode = ssl.CERT_NONE
    return ClientTls(by_chain, by_fingerprint, trust.known)


def _chain_text(chain: Sequence[Path]) -> bytes:
    """Return the certificates of a chain, one after the other. TlsSetupError if a file has none."""
    parts = []
    for file in chain:
        try:
            with file.open("rb") as opened:
                parts.append(opened.read(MAX_CHAIN_FILE_BYTES))
            x509.load_pem_x509_certificates(parts[-1])
        except (OSError, ValueError) as error:
            raise TlsSetupError(f"{file}: certificates in PEM were expected: {error}") from None
    return b"\n".join(parts)


def _client_context(certificate: Path, key: Path, chain: Sequence[Path]) -> ssl.SSLContext:
    # The default context checks the host name and the chain by the system's roots.
    context = ssl.create_default_context(ssl.Purpose.SERVER_AUTH)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        # Python's ssl takes a chain in the certificate's own file only.
        with tempfile.NamedTemporaryFile(suffix=".pem") as whole:
            whole.write(certificate.read_bytes() + b"\n" + _chain_text(chain))
            whole.flush()
            context.load_cert_chain(whole.name, key)
    except (OSError, ssl.SSLError) as error:
        raise _unusable_files(certificate, key, error) from None
    return context


def _unusable_files(certificate: Path, key: Path, error: Exception) -> TlsSetupError:
    return TlsSetupError(f"{certificate} and {key}: a certificate and its key in PEM were expected: {error}")


def _create_own_certificate(certificate: Path, key: Path, host: str) -> None:
    """Create a self-signed certificate, as Orion does.

    Its common name is random, because servers know clients by this name. It is valid for `host`, because Tessera checks
    that.
    """
    # One file without the other is the operator's mistake. It is reported when the files are loaded.
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
        # One day earlier: the clock of the other manager may be behind.
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=OWN_CERTIFICATE_DAYS))
        .add_extension(x509.SubjectAlternativeName([_general_name(host), x509.DNSName("localhost")]), critical=False)
        .sign(private, hashes.SHA256())
    )
    encoding = serialization.Encoding.PEM
    plain = private.private_bytes(encoding, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    try:
        # The key file gets its mode at its creation, so that no other user can open it in between.
        with os.fdopen(os.open(key, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(plain)
        certificate.write_bytes(made.public_bytes(encoding))
    except OSError as error:
        raise TlsSetupError(f"{certificate} and {key} cannot be made: {error.strerror}") from None


def _general_name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ip_address(host))
    except ValueError:
        return x509.DNSName(host)
