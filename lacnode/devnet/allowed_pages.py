"""Which pages of a browser may use the ports of a devnet: those of this machine, extensions, and Remix.

Any page that a developer opens can send requests to 127.0.0.1. A page of another origin must not take snapshots, or read
what the developer does.
"""

HOSTS = ("localhost", "127.0.0.1", "[::1]")
"""The names of this machine in `Host`. Another name comes from a page that has made its own name point here."""

ORIGINS = (
    r"https?://(localhost|127\.0\.0\.1|\[::1\])(:[0-9]+)?",
    r"(chrome|moz|safari-web)-extension://[A-Za-z0-9-]+",
    r"https://remix\.ethereum\.org",
)
"""Regular expressions of origins: applications that are developed here, wallets in a browser, and Remix."""
