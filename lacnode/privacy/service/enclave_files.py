"""Which files say how a transaction manager elsewhere is met by TLS. Must not read them, nor load what reads them: every
node's configuration has a place for these."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class EnclaveTlsFiles:
    """`--privacy-tls-keystore-file` (PKCS#12), `-keystore-password-file` (its first line) and `-known-enclave-file`
    (`host:port` and SHA-256 a line)."""

    keystore: Path
    password: Path
    known_enclaves: Path
