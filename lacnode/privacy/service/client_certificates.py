"""The certificate of a client that connects by TLS: whether this side trusts it.

Python's `ssl` does not show a server the certificate of an unknown origin. Trust on first use and lists of fingerprints need
such certificates, so OpenSSL asks this module during the handshake. Must not read anything else from a client.
"""

import threading

import structlog
from cryptography.x509.oid import NameOID
from OpenSSL import SSL, crypto

from lacnode.privacy.service.tls import TlsTrust

log = structlog.get_logger("privacy")

MAX_NAME_CHARACTERS, MAX_LOGGED_NAMES = 253, 1024

CERTIFICATE_ERRORS = {
    code: name.removeprefix("ERR_").replace("_", " ").lower()
    for name, code in vars(SSL.X509VerificationCodes).items()
    if name.startswith("ERR_")
}
"""The texts of OpenSSL's errors about a chain."""


class RefusedClients:
    """The names of refused TLS clients that were logged. Safe to use from several threads. `title` names a client in
    the log."""

    def __init__(self, title: str) -> None:
        self._title = title
        self._names: set[str] = set()
        self._lock = threading.Lock()

    def log_once(self, name: str, chain_error: int) -> None:
        """Log that a client with this common name is refused. No effect if the name was logged before, or if
        `MAX_LOGGED_NAMES` were. `chain_error` is OpenSSL's error about its chain of certificates."""
        with self._lock:
            # A client can come again and again with new names. The log gets a bounded number of lines for them.
            if name in self._names or len(self._names) >= MAX_LOGGED_NAMES:
                return
            self._names.add(name)
        text = CERTIFICATE_ERRORS.get(chain_error, f"flaw {chain_error}")
        log.warning(f"a {self._title} whose certificate names {name} is refused: its certificate is not known, {text}")


class ClientCertificateCheck:
    """The check of one client's certificates in a TLS handshake. OpenSSL shows each one of its chain, the client's own
    last. `is_trusted` is False until the client's own certificate was shown and is trusted. The handshake fails if it
    is False at the end."""

    def __init__(self, trust: TlsTrust, refused: RefusedClients) -> None:
        self._trust = trust
        self._refused = refused
        self._chain_error = 0
        self.is_trusted = False

    def verify(
        self, connection: SSL.Connection, certificate: crypto.X509, chain_error: int, depth: int, good: int
    ) -> bool:
        """OpenSSL's verify callback, called for each certificate. `depth` is 0 for the client's own one. `good` is 0 if
        OpenSSL finds `chain_error`. Return True to go on with the handshake. For the client's own certificate the
        result is `is_trusted`, and a refusal is logged. For all others it is True. A new fingerprint may be written to
        a file."""
        # An error in the chain is noted and not fatal: the fingerprint of the client's own certificate may be known.
        self._chain_error = self._chain_error or (0 if good else chain_error)
        # A certificate of the chain. Only the last one, the client's own, decides.
        if depth > 0:
            return True
        # The name is for the list of fingerprints alone. A chain needs no name, as in Orion.
        trust, name = self._trust, _common_name(certificate)
        # `_chain_error` has the first error of any certificate of the chain. Without an error the chain ends in a trusted
        # root.
        by_chain = trust.trusts_chains and not self._chain_error
        der = crypto.dump_certificate(crypto.FILETYPE_ASN1, certificate)
        self.is_trusted = by_chain or (
            trust.known is not None and name is not None and trust.known.trusts_or_records(name, der)
        )
        if not self.is_trusted:
            self._refused.log_once(name or "no usable common name", self._chain_error)
        return self.is_trusted


def _common_name(certificate: crypto.X509) -> str | None:
    """Return the name of a client in the list of fingerprints. None if a line of the list cannot have this name."""
    try:
        found = certificate.to_cryptography().subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    except ValueError:
        return None
    name = str(found[0].value).lower() if found else ""
    # A line of the list has a name and a fingerprint with a space between. A line that begins with # is a comment.
    is_usable = (
        0 < len(name) <= MAX_NAME_CHARACTERS and name.isprintable() and " " not in name and not name.startswith("#")
    )
    return name if is_usable else None
