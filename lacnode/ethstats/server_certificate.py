"""How the certificate of an ethstats server is checked."""

import ssl
from pathlib import Path


class EthstatsCertificateError(Exception):
    """The file with the authority of the ethstats server's certificate cannot be used. The text names the file."""


def tls_context(ca_file: Path | None) -> ssl.SSLContext:
    """Return a TLS context for a client that accepts servers with a certificate of an authority in `ca_file` (PEM), or
    of this system if it is None. The host name is checked.

    EthstatsCertificateError if the file cannot be used.
    """
    try:
        return ssl.create_default_context(cafile=None if ca_file is None else str(ca_file))
    except (OSError, ssl.SSLError):
        raise EthstatsCertificateError(f"{ca_file}: certificates in PEM were expected") from None
