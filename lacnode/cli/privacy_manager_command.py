"""`privacy-manager [options] [config]`: the transaction manager as its own process, its keys, its audit log."""

import getpass
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from lacnode import __version__
from lacnode.cli.errors import UsageError
from lacnode.node.logs import configure_logs
from lacnode.privacy.keys import KeyPair
from lacnode.privacy.manager.audit_log import AuditLogError, export_audit_log
from lacnode.privacy.manager.key_files import PrivacyKeyError, save_key_pair
from lacnode.privacy.manager.payload_store import PayloadStore
from lacnode.privacy.manager.sql_database import StoreError
from lacnode.privacy.service.manager_config import ManagerConfigError, load_config
from lacnode.privacy.service.run_manager import run_manager

HELP = """Usage: lacnode privacy-manager [OPTIONS] [config]
       lacnode privacy-manager audit [config]

Keep and send private payloads: Orion's transaction manager, by Orion's configuration file or Tessera's.

  -g, --generatekeys=<names>  Make a key pair for each name, comma-separated: <name>.pub and <name>.key.
                              Asks for a password for each; none leaves the key unlocked.
      --clear-known-nodes     Forget the other managers that are known.
  -h, --help                  Show this help and stop.
  -v, --version               Show the version and stop.
  audit                       Print the audit log, one JSON object a line; status 1 where it was changed.
"""
# Levels of the log, by the verbosity that Orion's command line has.
LEVELS = {0: "ERROR", 1: "INFO", 2: "INFO", 3: "DEBUG", 4: "DEBUG"}


def main(arguments: Sequence[str]) -> int:
    """Do what the words after `privacy-manager` say. Unless they ask for help, for keys or for the audit log, the
    manager runs until a signal ends it. Return the exit status. UsageError for a wrong command line, configuration or
    key file, and for a store or an audit log that cannot be used."""
    words = list(arguments)
    if any(word in ("-h", "--help") for word in words):
        print(HELP, end="")
        return 0
    if any(word in ("-v", "--version") for word in words):
        print(f"lacnode {__version__}")
        return 0
    try:
        # Making keys needs no configuration, so it comes before the configuration is read.
        names = _names(words)
        if names:
            return _generate(names)
        audit = words[:1] == ["audit"]
        clear = "--clear-known-nodes" in words
        rest = [word for word in words[1 if audit else 0 :] if word != "--clear-known-nodes"]
        if len(rest) > 1 or any(word.startswith("-") for word in rest):
            raise UsageError(f"Unmatched argument: '{rest[-1]}'", 2)
        config = load_config(Path(rest[0]) if rest else None, os.environ)
        configure_logs(LEVELS.get(config.verbosity, "INFO"))
        return _print_audit(config.store_url) if audit else run_manager(config, clear)
    except (ManagerConfigError, PrivacyKeyError, StoreError, AuditLogError) as error:
        raise UsageError(str(error)) from None


def _names(words: list[str]) -> list[str]:
    for index, word in enumerate(words):
        option, equals, value = word.partition("=")
        if option in ("-g", "--generatekeys"):
            value = value if equals else words[index + 1] if index + 1 < len(words) else ""
            names = [name.strip() for name in value.split(",") if name.strip()]
            if not names:
                raise UsageError("Missing required parameter for option '--generatekeys': names", 2)
            return names
    return []


def _generate(names: list[str]) -> int:
    for name in names:
        save_key_pair(Path(name), KeyPair.generate(), _ask_password(name) or None)
    return 0


def _ask_password(name: str) -> str:
    """Return the password for the key pair `name`, empty for none. UsageError if the input is closed or is no text."""
    try:
        # Python has None for an input that was closed before the start.
        if sys.stdin is None:
            raise EOFError
        # A script gives the passwords on standard input, one a line. A terminal must not show them.
        if sys.stdin.isatty():
            password = getpass.getpass(f"Enter password for key pair [{name}] : ")
        else:
            password = sys.stdin.readline().rstrip("\n")
        password.encode()
    except EOFError:
        raise UsageError(
            f"no password for {name}: the input is closed; an empty line leaves the key unlocked"
        ) from None
    except UnicodeError:
        raise UsageError(f"the password for {name} must be UTF-8 text") from None
    return password


def _print_audit(url: str) -> int:
    store = PayloadStore(url)
    try:
        for entry in export_audit_log(store):
            print(json.dumps(entry))
    finally:
        store.close()
    return 0
