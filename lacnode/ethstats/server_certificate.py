"""How the certificate of an ethstats server is checked."""

import ssl
from pathlib import Path


class EthstatsCertificateError(Exception):
    """The file with the authority of the server's certificate cannot be used."""


def tls_context(ca_file: Path | None) -> ssl.SSLContext:
    """Return a context that accepts servers with a certificate of an authority in `ca_file` (PEM), or of this system.

    EthstatsCertificateError if the file cannot be used.
    """
    try:
        return ssl.create_default_context(cafile=None if ca_file is None else str(ca_file))
    except (OSError, ssl.SSLError):
        raise EthstatsCertificateError(f"{ca_file}: certificates in PEM were expected") from None
