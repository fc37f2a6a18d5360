"""The settings of ethstats, and how Besu writes the server's address."""

from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

FORMAT = "[ws://|wss://]nodename:secret@host[:port]"


class EthstatsUrlError(ValueError):
    """The value of `--ethstats` does not have Besu's format `[ws://|wss://]nodename:secret@host[:port]`. The text does
    not quote it, because it has the secret."""


@dataclass(frozen=True, slots=True)
class EthstatsSettings:
    """The server at `host`, and the name under which this node logs in there with `secret`.

    `scheme` is `ws` or `wss`, or None: then both are tried in turns. `port` is None for the usual port of the scheme.
    `contact` is for the server's page. The certificate of the server must come from an authority in `ca_file` (PEM), or
    from an authority of this system if it is None.
    """

    name: str
    secret: str
    host: str
    port: int | None = None
    scheme: str | None = None
    contact: str = ""
    ca_file: Path | None = None


def parse_ethstats_url(url: str, contact: str = "", ca_file: Path | None = None) -> EthstatsSettings:
    """Return the settings in `url`, which has Besu's format `[ws://|wss://]nodename:secret@host[:port]`, with `contact`
    and `ca_file` as they are given. EthstatsUrlError if it does not have this format."""
    scheme, separator, rest = url.partition("://")
    if not separator:
        scheme, rest = "", url
    try:
        parts = urlsplit(f"ws://{rest}")
        name, colon, secret = parts.netloc.rpartition("@")[0].partition(":")
        port = parts.port
    except ValueError:
        raise EthstatsUrlError(_text()) from None
    is_complete = name and colon and parts.hostname and port != 0 and parts.path in ("", "/")
    if scheme.lower() not in ("", "ws", "wss") or not is_complete:
        raise EthstatsUrlError(_text())
    return EthstatsSettings(name, secret, str(parts.hostname), port, scheme.lower() or None, contact, ca_file)


def _text() -> str:
    # Besu's sentence. The URL is not repeated, since it has the secret.
    return f"Invalid ethstats URL syntax. Ethstats URL should have the following format '{FORMAT}'."
