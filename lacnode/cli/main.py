"""`lacnode`: run the node, or one of its commands.

Heavy modules are loaded by name when they are needed, so that help and mistakes are answered at once.
"""

import importlib
import os
import platform
import signal
import sys
from collections.abc import Sequence
from dataclasses import replace

from lacnode import __version__
from lacnode.cli.errors import UsageError
from lacnode.cli.help import command_help, help_text
from lacnode.cli.path_access import inaccessible_path_lines
from lacnode.cli.settings_reader import SettingsReader
from lacnode.cli.sources import collect_settings, parse_command_line, settings_of_command_line
from lacnode.cli.start_line import find_java_variables, log_start_line

COMMANDS = {
    "blocks": "lacnode.cli.blocks_command",
    "database": "lacnode.cli.database_command",
    "evm": "lacnode.cli.evm_command",
    "public-key": "lacnode.cli.public_key_command",
    "password": "lacnode.cli.password_command",
    "operator": "lacnode.cli.operator_command",
    "rlp": "lacnode.cli.rlp_command",
    "validate-config": "lacnode.cli.validate_config_command",
}
"""Sub-commands and the modules whose `run(words, settings)` carries them out."""


PROGRAMS = {
    "devnet": "lacnode.devnet.devnet_command",
    "permissions": "lacnode.cli.permissions.permissions_command",
    "privacy-manager": "lacnode.cli.privacy_manager_command",
}
"""Sub-commands with options and help of their own, and the modules whose `main(words)` runs them."""

INTERRUPTED = 128 + signal.SIGINT
"""Exit status after Ctrl-C, as a shell shows it for a program that the signal ended."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Do what the command line says. `arguments` are the words after `lacnode`, None for those of the process. Return
    the exit status. A UsageError is printed on standard error, and its `status` is returned. Ctrl-C gives
    `INTERRUPTED`. SystemExit for wrong options and for help, from the programs with a parser of their own (`devnet`,
    `permissions`)."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    try:
        return _main(words)
    except UsageError as error:
        print(f"{error}\n\nTo display full help:\nlacnode [COMMAND] --help", file=sys.stderr)
        return error.status
    # The reader of the output is gone (`lacnode --help | head`). That is no fault, and no reader of a traceback is
    # left.
    except BrokenPipeError:
        return 1
    # Ctrl-C. The arguments say what has been done until then.
    except KeyboardInterrupt as interrupt:
        print(": ".join(("interrupted", *map(str, interrupt.args))), file=sys.stderr)
        return INTERRUPTED


def _main(words: list[str]) -> int:
    # Programs come first: they have a `--help` of their own, which the next test would take.
    if words and words[0] in PROGRAMS:
        return int(importlib.import_module(PROGRAMS[words[0]]).main(words[1:]))
    if any(word in ("-h", "--help", "--Xhelp") for word in words):
        named = next((word for word in words if word in COMMANDS), None)
        print(help_text(hidden="--Xhelp" in words) if named is None else command_help(named), end="")
        return 0
    if words in (["-V"], ["--version"]):
        system = f"{platform.system().lower()}-{platform.machine()}"
        print(f"lacnode/v{__version__}/{system}/python-{platform.python_version()}")
        return 0
    # Programs end a list of values too. `--host-allowlist a devnet` must give the error for a misplaced command,
    # not a host with the name `devnet`.
    options, command = parse_command_line(words, (*COMMANDS, *PROGRAMS))
    if command and command[0] in COMMANDS:
        # A command that has a config file of its own reads it itself; the rest need the node's settings.
        settings = (
            settings_of_command_line(options)
            if command[0] == "validate-config"
            else collect_settings(options, os.environ)
        )
        return int(importlib.import_module(COMMANDS[command[0]]).run(command[1:], settings))
    if command:
        raise UsageError(f"Unmatched argument: '{command[0]}'", 2)
    settings = collect_settings(options, os.environ)
    # Asked before the rest is checked. The container asks as root, at a time when paths may not be usable yet.
    if settings.is_set("print-paths-and-exit"):
        print("".join(f"{line}\n" for line in inaccessible_path_lines(SettingsReader(settings))), end="")
        return 0
    # The line comes before the modules below are loaded, which takes seconds on a busy machine.
    log_start_line(settings)
    config = importlib.import_module("lacnode.cli.node_config").make_node_config(settings)
    # The log is not configured yet. The node writes these sentences when it is.
    config = replace(config, warnings=(*config.warnings, *find_java_variables(os.environ)))
    if config.devnet_directory is not None:
        program = importlib.import_module("lacnode.devnet.devnet_program")
        return int(program.run_devnet_node(config, config.devnet_directory))
    return int(importlib.import_module("lacnode.node.run_node").run_node(config))


def entry_point() -> None:
    """Run the program `lacnode` with the arguments of its process. It ends with SystemExit and the status of `main`."""
    sys.exit(main())
