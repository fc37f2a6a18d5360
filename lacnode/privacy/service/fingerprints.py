"""Certificates known by their fingerprints, in a file of Orion's format: an identifier and SHA-256 in hexadecimal a line.

A server's identifier is `host:port`, a client's the common name of its certificate. Must not say what a certificate of
unknown origin means.
"""

import hashlib
import hmac
import os
import threading
from pathlib import Path

MAX_FINGERPRINTS_FILE_BYTES = 4_194_304
MAX_RECORDED_FINGERPRINTS = 16_384
"""How many may be remembered: strangers can show a new name each."""


class TlsError(Exception):
    """Files of TLS that cannot be used; the message names the file and what was expected."""


class Fingerprints:
    """The fingerprint file at `path`; `record` remembers whoever is met first."""

    def __init__(self, path: Path, record: bool) -> None:
        self._path = path
        self._record = record
        self._lock = threading.Lock()
        self._known = self._read()

    def knows(self, name: str) -> bool:
        """Whether there is a certificate for `name`."""
        with self._lock:
            return name in self._known

    def trusts(self, name: str, certificate: bytes) -> bool:
        """Whether the certificate (DER) is the one known for `name`. Writes a file where it is remembered."""
        found = hashlib.sha256(certificate).hexdigest()
        with self._lock:
            known = self._known.get(name)
            if known is None and self._record and len(self._known) < MAX_RECORDED_FINGERPRINTS:
                self._append(f"{name} {found}")
                self._known[name] = found
                return True
        return known is not None and hmac.compare_digest(known, found)

    def _read(self) -> dict[str, str]:
        try:
            with self._path.open("rb") as file:
                text = file.read(MAX_FINGERPRINTS_FILE_BYTES).decode("utf-8")
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
