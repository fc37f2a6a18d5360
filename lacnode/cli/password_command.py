"""`password hash`: a BCrypt hash for a credentials file."""

from collections.abc import Sequence

import bcrypt

from lacnode.cli.command_arguments import parse_command_arguments, required_option
from lacnode.cli.errors import UsageError
from lacnode.cli.sources import Settings

MAX_PLAIN_PASSWORD_BYTES = 72
"""Bytes of a password that BCrypt looks at."""


def run(words: Sequence[str], settings: Settings) -> int:
    """Print the BCrypt hash of a password. `words` are those after `password`. Return the exit status 0. UsageError
    without a password, or for one that is too long.
    """
    values, rest = parse_command_arguments(words, {"password": None}, command="password hash")
    if rest != ["hash"]:
        raise UsageError("password hash --password=<VALUE> was expected", 2)
    # BCrypt leaves out the rest of a longer password without a word. Two passwords with one beginning would be the
    # same.
    try:
        password = required_option(values, "password").encode()
    # Bytes of the command line that are no UTF-8.
    except UnicodeEncodeError:
        raise UsageError("--password must be UTF-8 text", 2) from None
    if len(password) > MAX_PLAIN_PASSWORD_BYTES:
        raise UsageError(
            f"BCrypt looks at {MAX_PLAIN_PASSWORD_BYTES} bytes of a password; this one has {len(password)}"
        )
    # Besu's BCrypt reads hashes with the prefix `2a`, and ten rounds are its default too. One file then serves both
    # nodes.
    print(bcrypt.hashpw(password, bcrypt.gensalt(10, b"2a")).decode())
    return 0
