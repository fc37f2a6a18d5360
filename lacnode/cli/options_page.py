"""`docs/operators/options.md`, made from the table: `python -m lacnode.cli.options_page > docs/operators/options.md`."""

from lacnode.cli.options import GROUPS
from lacnode.cli.options.option import Option, OptionKind
from lacnode.cli.sources import environment_name

_INTRODUCTION = """\
# Options

Made from the table in `lacnode/cli/options/` by `python -m lacnode.cli.options_page`; do not edit by hand.

Names and meanings are those of Besu 25.5.0; every option of every release from 21.7.4 to 25.5.0 is known. An option is
looked for on the command line (`--name=value` or `--name value`), then in the environment, then in the TOML file given by
`--config-file` (or `BESU_CONFIG_FILE`), then in `--profile`; the first that has it wins, and lists are not put together.
In the environment `BESU_` may also be `LACNODE_`, which counts first, or `PANTHEON_`, which counts last. In the TOML file
the key is the name without dashes, and table headings mean nothing.

*honoured* options do what they say. *no effect*: accepted, and one warning at the start says so. *not yet*: switching it
on stops the start, because the node would otherwise run without what was asked for. Options in *italics* are hidden from
`--help`; `--Xhelp` shows them.

Every value is looked at before a port is opened: one that is empty, of the wrong type, still a placeholder (`<...>`), a host
without an address, or a place that cannot be read or written ends the start with one line that names the option. Services
elsewhere are not looked for: a push gateway or a transaction manager may be away, and is tried again.
`lacnode validate-config --config-file=FILE` says all that would stop the start, and what would be ignored; its status is 1
if the node would not start. Options in front of it count as they would at the start.

Where Besu 24.1.0 ends with status 0 after an error in the configuration, lacnode ends with 1; a command line that makes
no sense ends with 2, as in Besu. Without `tx-pool`, the keys `tx-pool-max-size`, `tx-pool-retention-hours` and
`tx-pool-limit-by-account-percentage` choose the SEQUENCED pool, as LACChain's files for Besu 23.4.1 expect.
"""

# Words of the column "Here", by the name of the option's behaviour.
_EFFECTS = {"HONOURED": "honoured", "IGNORED": "no effect", "REFUSED": "not yet"}


def render_options_page() -> str:
    """Return docs/operators/options.md as Markdown: a table for each group of options."""
    parts = [_INTRODUCTION]
    for title, options in GROUPS.items():
        rows = "\n".join(_row(option) for option in options)
        parts.append(
            f"## {title}\n\n| Option | Variable | Value | Default | Meaning | Here |\n|---|---|---|---|---|---|\n{rows}\n"
        )
    return "\n".join(parts)


def _row(option: Option) -> str:
    # A bar in a cell would begin the next cell.
    names = " ".join(f"`--{name}`" for name in option.names)
    value = "\\|".join(option.values) if option.kind is OptionKind.ENUM else option.kind.value.lower()
    default = f"`{option.default}`" if option.default else ""
    cells = (
        f"*{names}*" if option.hidden else names,
        f"`BESU_{environment_name(option.name)}`",
        value,
        default,
        option.description.replace("|", "\\|"),
        _EFFECTS[option.behaviour.name],
    )
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    print(render_options_page(), end="")
