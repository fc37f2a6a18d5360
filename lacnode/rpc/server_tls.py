"""TLS of the ports of JSON-RPC: the files of an operator become a context of OpenSSL, and each connection a stream.

Every mistake in a file is found before a port is opened. This module is loaded only if TLS is on, because its libraries
cost a part of the start.
"""

import datetime
from collections.abc import Iterable
from pathlib import Path

import structlog
import trio
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.hazmat.primitives.serialization import load_pem_private_key, pkcs12
from OpenSSL import SSL, crypto

from lacnode.http.peekable_stream import PeekableStream
from lacnode.http.tls_handshakes import BoundedHandshakes
from lacnode.privacy.service.client_certificates import ClientCertificateCheck, RefusedClients
from lacnode.privacy.service.fingerprints import Fingerprints, TlsSetupError
from lacnode.privacy.service.tls import TlsTrust
from lacnode.rpc.rpc_tls import RpcTlsError
from lacnode.rpc.tls_settings import CIPHER_SUITES, ClientTrust, RpcTlsSettings, ServerIdentity
from lacnode.storage.bounded_file import read_bounded

log = structlog.get_logger("rpc")

MAX_FILE_BYTES = 1_048_576
"""Bytes of a keystore, a truststore, a password file or a file in PEM."""

_JAVA_KEYSTORE_MAGIC = b"\xfe\xed\xfe\xed"


class ServerTlsHandshakes:
    """Makes the TLS handshakes of one port (`rpc_tls.TlsHandshakes`), with the certificate and the trust of `settings`.

    `title` names the port in log and errors. RpcTlsError from the constructor if a file of `settings` cannot be used.
    """

    def __init__(self, settings: RpcTlsSettings, title: str) -> None:
        try:
            context = _context(settings, title)
            self._trust = None if settings.clients is None else _trust(settings.clients, context)
        except TlsSetupError as error:
            raise RpcTlsError(f"TLS options failed to initialize for {title}: {error}") from None
        self._refused = RefusedClients(f"client of {title}")
        self._handshakes = BoundedHandshakes(context)

    async def secure(self, stream: trio.SocketStream) -> PeekableStream | None:
        """Make the handshake on a new connection, and return the encrypted stream. None if the client takes more than
        `tls_handshakes.HANDSHAKE_SECONDS`, the wait for its turn included. trio.BrokenResourceError if the handshake
        fails or the client's certificate is not trusted. The caller closes `stream` in each case."""
        check = None if self._trust is None else ClientCertificateCheck(self._trust, self._refused)
        return await self._handshakes.secure(stream, check)


def _context(settings: RpcTlsSettings, title: str) -> SSL.Context:
    context = SSL.Context(SSL.TLS_SERVER_METHOD)
    # A resumed session would skip the check of the certificate. A client that was removed from the list could go on.
    context.set_session_cache_mode(SSL.SESS_CACHE_OFF)
    context.set_options(SSL.OP_NO_TICKET | SSL.OP_NO_RENEGOTIATION)
    context.set_min_proto_version(SSL.TLS1_2_VERSION if "TLSv1.2" in settings.protocols else SSL.TLS1_3_VERSION)
    context.set_max_proto_version(SSL.TLS1_3_VERSION if "TLSv1.3" in settings.protocols else SSL.TLS1_2_VERSION)
    _choose_ciphers(context, settings.cipher_suites)
    key, certificate, chain = _identity(settings.identity)
    _warn_of_dates(certificate, title)
    try:
        context.use_certificate(certificate)
        for link in chain:
            context.add_extra_chain_cert(link)
        context.use_privatekey(key)  # type: ignore[arg-type]
        # A certificate with the key of another one is found here, and not at the first handshake.
        context.check_privatekey()
    except (SSL.Error, TypeError, ValueError):
        raise TlsSetupError(
            "the private key does not fit the certificate, or is of a kind that TLS does not use"
        ) from None
    return context


def _choose_ciphers(context: SSL.Context, suites: Iterable[str]) -> None:
    names = [CIPHER_SUITES[suite] for suite in suites]
    later = [name for name in names if name.startswith("TLS_")]
    earlier = [name for name in names if not name.startswith("TLS_")]
    try:
        if later:
            context.set_tls13_ciphersuites(":".join(later).encode())
        if earlier:
            context.set_cipher_list(":".join(earlier).encode())
    except SSL.Error:
        raise TlsSetupError(f"OpenSSL does not have the cipher suites {', '.join(suites)}") from None


def _warn_of_dates(certificate: x509.Certificate, title: str) -> None:
    now = datetime.datetime.now(datetime.UTC)
    # The node starts all the same: consensus must not depend on a certificate of its API.
    if certificate.not_valid_after_utc < now:
        log.error(
            f"The certificate of {title} has expired on {certificate.not_valid_after_utc:%Y-%m-%d}: clients refuse it"
        )
    elif certificate.not_valid_before_utc > now:
        log.error(f"The certificate of {title} is valid from {certificate.not_valid_before_utc:%Y-%m-%d} on only")


# -- files -----------------------------------------------------------------------------------------------------------


def _identity(identity: ServerIdentity) -> tuple[PrivateKeyTypes, x509.Certificate, list[x509.Certificate]]:
    """Return key, certificate and chain. TlsSetupError if a file does not have them."""
    if identity.keystore is None:
        return _pem_identity(identity)
    store = _keystore(identity.keystore, identity.password_file, identity.password)
    if store.key is None or store.cert is None:
        raise TlsSetupError(f"{identity.keystore}: a private key and its certificate were expected")
    return store.key, store.cert.certificate, [extra.certificate for extra in store.additional_certs]


def _pem_identity(identity: ServerIdentity) -> tuple[PrivateKeyTypes, x509.Certificate, list[x509.Certificate]]:
    if identity.certificate is None or identity.key is None:
        raise TlsSetupError("a keystore, or a certificate and its key were expected")
    first, *chain = _pem_certificates(identity.certificate)
    try:
        return load_pem_private_key(_read(identity.key), None), first, chain
    except (ValueError, TypeError):
        raise TlsSetupError(f"{identity.key}: a private key in PEM without a password was expected") from None


def _pem_certificates(file: Path) -> list[x509.Certificate]:
    try:
        return x509.load_pem_x509_certificates(_read(file))
    except ValueError:
        raise TlsSetupError(f"{file}: certificates in PEM were expected") from None


def _keystore(file: Path, password_file: Path | None, password: str) -> pkcs12.PKCS12KeyAndCertificates:
    data = _read(file)
    if data.startswith(_JAVA_KEYSTORE_MAGIC):
        raise TlsSetupError(
            f"{file} is a Java keystore: make PKCS#12 of it with keytool -importkeystore -deststoretype pkcs12"
        )
    try:
        return pkcs12.load_pkcs12(data, _password(password_file, password))
    except ValueError:
        where = "the password" if password_file is None else f"the password in {password_file}"
        raise TlsSetupError(f"{file}: PKCS#12 under {where} was expected") from None


def _password(file: Path | None, password: str) -> bytes:
    # Besu reads the first line of the file.
    return password.encode() if file is None else (_read(file).splitlines() or [b""])[0]


def _read(file: Path) -> bytes:
    try:
        return read_bounded(file, MAX_FILE_BYTES)
    except OSError as error:
        raise TlsSetupError(f"{file}: {error.strerror}") from None


def _trust(clients: ClientTrust, context: SSL.Context) -> TlsTrust:
    """Return which clients are trusted, after their authorities have been added to `context`."""
    authorities = [] if clients.certificates is None else _pem_certificates(clients.certificates)
    if clients.truststore is not None:
        store = _keystore(clients.truststore, clients.password_file, clients.password)
        authorities += [entry.certificate for entry in (*store.additional_certs, store.cert) if entry is not None]
        if not authorities:
            raise TlsSetupError(f"{clients.truststore}: certificates were expected")
    if clients.system_authorities:
        context.set_default_verify_paths()
    known = context.get_cert_store()
    for authority in authorities:
        assert known is not None
        known.add_cert(crypto.X509.from_cryptography(authority))
    fingerprints = None if clients.known_clients is None else Fingerprints(clients.known_clients, records_new=False)
    return TlsTrust(clients.system_authorities or bool(authorities), fingerprints)
