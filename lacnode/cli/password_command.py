"""`password hash`: a BCrypt hash for a credentials file."""

from collections.abc import Sequence

import bcrypt

from lacnode.cli.command_arguments import parse_command_arguments, required
from lacnode.cli.errors import UsageError
from lacnode.cli.sources import Settings

MAX_PLAIN_PASSWORD_BYTES = 72
"""Bytes of a password that BCrypt looks at."""


def run(words: Sequence[str], settings: Settings) -> int:
    """Print the hash; the exit status."""
    values, rest = parse_command_arguments(words, {"password": None}, command="password hash")
    if rest != ["hash"]:
        raise UsageError("password hash --password=<VALUE> was expected", 2)
    password = required(values, "password").encode()
    if len(password) > MAX_PLAIN_PASSWORD_BYTES:
        raise UsageError(
            f"BCrypt looks at {MAX_PLAIN_PASSWORD_BYTES} bytes of a password; this one has {len(password)}"
        )
    print(bcrypt.hashpw(password, bcrypt.gensalt(10, b"2a")).decode())
    return 0
