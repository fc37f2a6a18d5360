"""TLS of the node API, with a certificate on both sides: which contexts, and whom they trust.

Servers that we call are trusted by their chain or by their fingerprint, remembered where the mode says so, in a file of
Orion's format: `host:port` and SHA-256 in hexadecimal. Clients that call us are trusted by their chain alone: the
library admits no certificate of unknown origin, so modes that would are refused rather than weakened.
"""

import hashlib
import hmac
import os
import ssl
import threading
from dataclasses import dataclass
from pathlib import Path

CA, WHITELIST, TOFU = "ca", "whitelist", "tofu"
FOR_SERVERS = (CA, WHITELIST, TOFU)
FOR_CLIENTS = (CA,)
MAX_FILE = 4_194_304


class TlsError(Exception):
    """Files of TLS that cannot be used; the message names the file and what was expected."""


@dataclass(frozen=True, slots=True)
class Tls:
    """What both sides of the node API use; `pinned` is None where chains decide."""

    server: ssl.SSLContext
    client: ssl.SSLContext
    pinned: "Fingerprints | None"


class Fingerprints:
    """The fingerprint file at `path`; `record` remembers whoever is met first."""

    def __init__(self, path: Path, record: bool) -> None:
        self._path = path
        self._record = record
        self._lock = threading.Lock()
        self._known = self._read()

    def trusts(self, name: str, certificate: bytes) -> bool:
        """Whether the certificate (DER) is the one known for `name`."""
        found = hashlib.sha256(certificate).hexdigest()
        with self._lock:
            known = self._known.get(name)
            if known is None and self._record:
                self._append(f"{name} {found}")
                self._known[name] = found
                return True
        return known is not None and hmac.compare_digest(known, found)

    def _read(self) -> dict[str, str]:
        try:
            with self._path.open("rb") as file:
                text = file.read(MAX_FILE).decode("utf-8")
        except FileNotFoundError:
            return {}
        except (OSError, UnicodeDecodeError):
            raise TlsError(f"{self._path} cannot be read as text") from None
        known = {}
        for number, line in enumerate(text.splitlines(), start=1):
            words = line.split()
            if not words or words[0].startswith("#"):
                continue
            digest = words[1].replace(":", "").lower() if len(words) == 2 else ""
            if len(digest) != 64 or not set(digest) <= set("0123456789abcdef"):
                raise TlsError(f"{self._path}, line {number}: an identifier and a SHA-256 fingerprint were expected")
            known[words[0].lower()] = digest
        return known

    def _append(self, line: str) -> None:
        with self._path.open("a") as file:
            file.write(line + "\n")
            file.flush()
            os.fsync(file.fileno())


def server_context(certificate: Path, key: Path, trust: str) -> ssl.SSLContext:
    """For our port: a client must show a certificate whose chain ends in the system's roots (`SSL_CERT_FILE`)."""
    if trust not in FOR_CLIENTS:
        raise TlsError(f"tlsservertrust: {', '.join(FOR_CLIENTS)} was expected, found {trust}")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.set_default_verify_paths()
    context.verify_mode = ssl.CERT_REQUIRED
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    _load(context, certificate, key)
    return context


def client_context(certificate: Path, key: Path, trust: str) -> ssl.SSLContext:
    """For our calls. Unless chains decide, whoever uses it must look at the fingerprint."""
    if trust not in FOR_SERVERS:
        raise TlsError(f"tlsclienttrust: {', '.join(FOR_SERVERS)} was expected, found {trust}")
    context = ssl.create_default_context(ssl.Purpose.SERVER_AUTH)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    _load(context, certificate, key)
    if trust != CA:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def _load(context: ssl.SSLContext, certificate: Path, key: Path) -> None:
    try:
        context.load_cert_chain(certificate, key)
    except (OSError, ssl.SSLError) as error:
        raise TlsError(f"{certificate} and {key}: a certificate and its key in PEM were expected: {error}") from None
