"""The names of the TLS files for a transaction manager in another process.

This module must not read the files, and must not import a module that does: every node's configuration imports this one.
"""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class EnclaveTlsFiles:
    """The files of `--privacy-tls-keystore-file`, `-keystore-password-file` and `-known-enclave-file`.

    The keystore is PKCS#12. The password is the first line of its file. The known-enclave file has `host:port` and a
    SHA-256 fingerprint on each line.
    """

    keystore: Path
    password: Path
    known_enclaves: Path
