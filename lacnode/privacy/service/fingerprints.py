"""Certificates that are known by their fingerprints. A file in Orion's format has them.

Each line has an identifier and a SHA-256 fingerprint in hexadecimal. The identifier of a server is `host:port`. That of a
client is the common name of its certificate. This module must not decide what an unknown certificate means.
"""

import hashlib
import hmac
import os
import threading
from pathlib import Path

from lacnode.storage.bounded_file import read_bounded

MAX_FINGERPRINTS_FILE_BYTES = 4_194_304
MAX_RECORDED_FINGERPRINTS = 16_384
"""The largest number of recorded fingerprints. A stranger can show any number of new names."""


class TlsSetupError(Exception):
    """A file, a mode of trust or a cipher suite of TLS cannot be used. The text names it and what was expected."""


class Fingerprints:
    """The certificates that the file at `path` knows by their fingerprints. A missing file knows none. With
    `records_new`, the first certificate of each new name is recorded and trusted. Safe to use from several threads.
    TlsSetupError if the file cannot be read or has a malformed line."""

    def __init__(self, path: Path, records_new: bool) -> None:
        self._path = path
        self._records_new = records_new
        self._lock = threading.Lock()
        self._known = self._read()

    def has_name(self, name: str) -> bool:
        """Return True if a fingerprint is known for `name` (`host:port` or a common name, in lower case)."""
        with self._lock:
            return name in self._known

    def trusts_or_records(self, name: str, certificate: bytes) -> bool:
        """Return True if `certificate` (DER) is the known one of `name` (in lower case). With `records_new`, the
        certificate of a new name is written to the file and trusted, up to `MAX_RECORDED_FINGERPRINTS`. A known name
        keeps its certificate. OSError if the file cannot be written."""
        found = hashlib.sha256(certificate).hexdigest()
        with self._lock:
            known = self._known.get(name)
            # The file is written before the certificate is trusted. After a crash the next connection would otherwise
            # record another certificate under the same name.
            if known is None and self._records_new and len(self._known) < MAX_RECORDED_FINGERPRINTS:
                self._append(f"{name} {found}")
                self._known[name] = found
                return True
        # A name with another certificate is refused, also with `record`: only new names are recorded.
        return known is not None and hmac.compare_digest(known, found)

    def _read(self) -> dict[str, str]:
        try:
            text = read_bounded(self._path, MAX_FINGERPRINTS_FILE_BYTES).decode("utf-8")
        except FileNotFoundError:
            return {}
        except (OSError, UnicodeDecodeError):
            raise TlsSetupError(f"{self._path} cannot be read as text") from None
        # One bad line is an error of the whole file. If it were skipped, the operator's manager would be refused, or with
        # `record` a stranger could take its name.
        known = {}
        for number, line in enumerate(text.splitlines(), start=1):
            words = line.split()
            if not words or words[0].startswith("#"):
                continue
            # Orion writes the digest with colons, other tools without. Both forms and both cases are read.
            digest = words[1].replace(":", "").lower() if len(words) == 2 else ""
            if len(digest) != 64 or not set(digest) <= set("0123456789abcdef"):
                raise TlsSetupError(
                    f"{self._path}, line {number}: an identifier and a SHA-256 fingerprint were expected"
                )
            known[words[0].lower()] = digest
        return known

    def _append(self, line: str) -> None:
        with self._path.open("a") as file:
            file.write(line + "\n")
            file.flush()
            os.fsync(file.fileno())
