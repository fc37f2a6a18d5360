"""`--help`, made from the table of options."""

import textwrap

from lacnode.cli.options import GROUPS
from lacnode.cli.options.option import Option, OptionBehaviour, OptionKind

COMMANDS = {
    "blocks import|export": "blocks from or to a file of concatenated RLP",
    "database verify": "check every stored value, block and trie node of a node that is stopped; --execute FROM TO",
    "devnet": "a whole network on this machine (lacnode devnet --help)",
    "permissions": "look at the rules of a permissioned network and change them (lacnode permissions --help)",
    "privacy-manager": "private payloads: the transaction manager (lacnode privacy-manager --help)",
    "operator generate-blockchain-config": "genesis and node keys from Besu's configuration JSON",
    "operator generate-network-genesis": "a ready genesis, permissions in it if wanted, and its expected hash",
    "password hash": "a BCrypt hash for a credentials file",
    "public-key export|export-address": "this node's public key or address",
    "rlp encode|decode": "extra data of IBFT 2.0 and QBFT from and to JSON",
    "validate-config": "what of a config.toml would stop the node, and what it would ignore",
}


def help_text(hidden: bool = False) -> str:
    """Return the full help. It has the hidden options too if `hidden`."""
    lines = [
        "Usage: lacnode [OPTIONS] [COMMAND]",
        "",
        "A node of a permissioned IBFT 2.0 or QBFT network, as Besu's.",
        "",
    ]
    for title, options in GROUPS.items():
        shown = [option for option in options if hidden or not option.hidden]
        if shown:
            lines += [f"{title}:", *(line for option in shown for line in _described(option)), ""]
    lines += [
        "  -h, --help      show this",
        "  --Xhelp         show hidden options too",
        "  -V, --version   show the version",
        "",
        "Commands (parent options go before them):",
    ]
    lines += [f"  {name:<38} {text}" for name, text in COMMANDS.items()]
    return "\n".join(lines) + "\n"


def command_help(command: str) -> str:
    """Return the help of the sub-commands whose first word is `command`. For an unknown word it lists none."""
    own = {name: text for name, text in COMMANDS.items() if name.split()[0] == command}
    lines = [f"Usage: lacnode [OPTIONS] {command} ...", "", *(f"  {name:<38} {text}" for name, text in own.items())]
    return "\n".join([*lines, "", "Options of the node go before the command. lacnode --help lists them."]) + "\n"


def _described(option: Option) -> list[str]:
    value = "[=<BOOLEAN>]" if option.kind is OptionKind.BOOL else f"=<{option.kind.value}>"
    names = ", ".join(f"--{name}" for name in option.names)
    text = option.description
    if option.default:
        text += f" (default: {option.default})"
    if option.behaviour is not OptionBehaviour.HONOURED:
        text += f" [{option.behaviour.value}]"
    wrapped = textwrap.wrap(text, 90) or [""]
    return [f"  {names}{value}", *(f"        {line}" for line in wrapped)]
