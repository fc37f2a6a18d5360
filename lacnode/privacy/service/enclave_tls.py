"""TLS to a transaction manager in another process: the node's certificate, and the one certificate of the manager.

As in Besu's `EnclaveFactory`, certificate chains do not count. The known-enclave file says who the manager is. Unlike in
Besu, a certificate outside its period of validity is refused even if it is the known one. This module must not leave an
unencrypted private key on the disk.
"""

import secrets
import ssl
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import structlog
from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, PrivateFormat, pkcs12

from lacnode.privacy.service.enclave_files import EnclaveTlsFiles
from lacnode.privacy.service.fingerprints import MAX_FINGERPRINTS_FILE_BYTES, Fingerprints, TlsSetupError

log = structlog.get_logger("privacy")

DEFAULT_PORT = 443


class UntrustedEnclaveError(Exception):
    """The manager showed a certificate in a TLS handshake that is not the known one, or is outside its period of
    validity.

    The text says why and has no secret. A file that cannot be used is a `TlsSetupError`.
    """


class EnclaveTls:
    """TLS to the manager at the argument `url` by the files `files`: the own certificate and the known certificate of
    the manager. The attribute `url` is the same URL with the scheme https.

    TlsSetupError if a file cannot be used.
    """

    def __init__(self, files: EnclaveTlsFiles, url: str) -> None:
        parts = urlsplit(url)
        self.url = parts._replace(scheme="https").geturl()
        """The URL with https. TLS is used for any scheme that was given, as in Besu."""
        self.name = f"{parts.hostname}:{parts.port or DEFAULT_PORT}"
        self._file = files.known_enclaves
        # `Fingerprints` takes a missing file for an empty one. Here a missing file is an error, as in Besu.
        _first_bytes(files.known_enclaves, 0)
        self._known = Fingerprints(files.known_enclaves, records_new=False)
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        # TLS 1.0 and 1.1 have known weaknesses.
        self.context.minimum_version = ssl.TLSVersion.TLSv1_2
        # OpenSSL checks nothing here. The check of the fingerprint follows in `check_new_connection`, before the first
        # request is sent.
        self.context.check_hostname = False
        self.context.verify_mode = ssl.CERT_NONE
        _load_own_certificate(self.context, files)

    def _check_certificate(self, certificate: bytes | None) -> None:
        """Check the manager's `certificate` (DER, None if it showed none). UntrustedEnclaveError if it is missing, not
        the known one of this manager, or outside its period of validity."""
        try:
            # The certificate is parsed before its fingerprint is compared: its dates are needed for the second check.
            found = x509.load_der_x509_certificate(certificate or b"")
        except ValueError:
            raise UntrustedEnclaveError(f"{self.name} shows no certificate that can be read") from None
        if not self._known.trusts_or_records(self.name, certificate or b""):
            raise UntrustedEnclaveError(
                f"the certificate of {self.name} is not the one in {self._file}: its fingerprint is "
                f"{found.fingerprint(SHA256()).hex(':')}"
            )
        if not found.not_valid_before_utc <= datetime.now(UTC) <= found.not_valid_after_utc:
            raise UntrustedEnclaveError(f"the certificate of {self.name} is out of its time: {_validity(found)}")

    def check_new_connection(self, event: str, details: dict[str, Any]) -> None:
        """Check the certificate of a new connection before anything is sent on it (httpx's `trace` extension). All
        other events are ignored.

        UntrustedEnclaveError if it is not trusted. The connection is then closed.
        """
        if event != "connection.start_tls.complete":
            return
        stream = details["return_value"]
        try:
            self._check_certificate(stream.get_extra_info("ssl_object").getpeercert(True))
        except UntrustedEnclaveError:
            stream.close()
            raise


def _load_own_certificate(context: ssl.SSLContext, files: EnclaveTlsFiles) -> None:
    """Load the certificate of the keystore into `context`.

    The library reads keys from files alone. So a file is written for a moment, encrypted with a random password.
    """
    key, certificate, others = _read_keystore(files)
    if certificate.not_valid_after_utc < datetime.now(UTC):
        # This is a warning and not an error. The manager decides about it, and the public chain goes on without it.
        log.warning(f"the certificate in {files.keystore} is out of its time: {_validity(certificate)}")
    password = secrets.token_hex(32).encode()
    pem = [key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(password))]
    pem += [shown.public_bytes(Encoding.PEM) for shown in (certificate, *others)]
    # The file disappears with the block, also after an error.
    with tempfile.NamedTemporaryFile(suffix=".pem") as file:
        file.write(b"".join(pem))
        file.flush()
        try:
            context.load_cert_chain(file.name, password=password)
        except ssl.SSLError as error:
            raise TlsSetupError(f"Failed to load TLS files {files.keystore}: {error.reason}") from None


def _read_keystore(files: EnclaveTlsFiles) -> tuple[Any, x509.Certificate, list[x509.Certificate]]:
    """Return the private key, its certificate, and the certificates of its chain. TlsSetupError if the keystore has none."""
    # As in Besu, only the first line counts. Editors add a line break at the end.
    password = _first_bytes(files.password, MAX_FINGERPRINTS_FILE_BYTES).partition(b"\n")[0].removesuffix(b"\r")
    if not password:
        raise TlsSetupError(f"Keystore password file is empty: {files.password}")
    try:
        key, certificate, others = pkcs12.load_key_and_certificates(
            _first_bytes(files.keystore, MAX_FINGERPRINTS_FILE_BYTES), password
        )
    except (ValueError, UnsupportedAlgorithm):
        raise TlsSetupError(
            f"Failed to load TLS files {files.keystore}: PKCS#12 under the password in {files.password} was expected"
        ) from None
    # A keystore may hold certificates alone. This node has to show one with its key.
    if key is None or certificate is None:
        raise TlsSetupError(
            f"Failed to load TLS files {files.keystore}: a private key and its certificate were expected"
        )
    return key, certificate, others


def _first_bytes(file: Path, most: int) -> bytes:
    try:
        with file.open("rb") as opened:
            return opened.read(most)
    except FileNotFoundError:
        raise TlsSetupError(f"Requested file {file} does not exist at specified location.") from None
    except PermissionError:
        raise TlsSetupError(f"Current user does not have permissions to access {file}") from None
    except OSError as error:
        raise TlsSetupError(f"Failed to load TLS files {file}: {error.strerror}") from None


def _validity(certificate: x509.Certificate) -> str:
    return f"{certificate.not_valid_before_utc:%Y-%m-%d %H:%M} to {certificate.not_valid_after_utc:%Y-%m-%d %H:%M} UTC"
