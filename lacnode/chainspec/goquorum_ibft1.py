"""GoQuorum's sections of IBFT 1, `config.istanbul` and `config.ibft`, and where the chain goes on with QBFT.

GoQuorum has one configuration for both protocols: what a transition changed before the switch is valid after it. Here each
protocol has a section of its own, so the section of QBFT begins with what is valid at its first block.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

DEFAULT_PERIOD_SECONDS, DEFAULT_TIMEOUT_SECONDS, DEFAULT_EPOCH_BLOCKS = 5, 10, 30_000
"""GoQuorum's defaults. Besu has other ones."""

UNKNOWN_PERIOD_MILLISECONDS = 1
"""The period of blocks before QBFT if the genesis has no period: nodes had it as an option. Any spacing is accepted."""


class Ibft1SectionError(Exception):
    """The sections contradict each other, QBFT would begin before block 1, or GoQuorum's blocks of QBFT would need
    fewer seals than this node demands. The text is one sentence for the operator."""


class GoQuorumTransition(Protocol):
    """The keys of an entry of GoQuorum's `config.transitions` that hold for IBFT 1 and for QBFT."""

    @property
    def block(self) -> int:
        """The first block for which the transition is valid."""

    @property
    def algorithm(self) -> str:
        """`qbft` if QBFT begins here, unless it began before. Otherwise an empty string."""

    @property
    def epochlength(self) -> int:
        """The epoch in blocks. 0 for no change."""

    @property
    def blockperiodseconds(self) -> int:
        """The least seconds between a block and its parent. 0 for no change."""

    @property
    def emptyblockperiodseconds(self) -> int | None:
        """The least seconds between a block without transactions and its parent. None for no change."""

    @property
    def requesttimeoutseconds(self) -> int:
        """The length of round 0 in seconds. 0 for no change."""


@dataclass(frozen=True, slots=True)
class Ibft1Parameters:
    """The parameters at one block, in GoQuorum's units: blocks and seconds. 0 means that neither the section nor a
    transition gives the value. For `empty_period_seconds` None means that, and 0 is a value."""

    epoch_blocks: int = 0
    period_seconds: int = 0
    timeout_seconds: int = 0
    empty_period_seconds: int | None = None

    def after(self, step: GoQuorumTransition) -> "Ibft1Parameters":
        """The parameters after a transition. A value that `step` does not give stays."""
        return Ibft1Parameters(
            step.epochlength or self.epoch_blocks,
            step.blockperiodseconds or self.period_seconds,
            step.requesttimeoutseconds or self.timeout_seconds,
            self.empty_period_seconds if step.emptyblockperiodseconds is None else step.emptyblockperiodseconds,
        )

    def section(self) -> dict[str, Any]:
        """The section of `config` in Besu's form, keys in lower case. GoQuorum's defaults stand for missing values,
        except that a missing `empty_period_seconds` has no key."""
        section: dict[str, Any] = {
            "epochlength": self.epoch_blocks or DEFAULT_EPOCH_BLOCKS,
            "blockperiodseconds": self.period_seconds or DEFAULT_PERIOD_SECONDS,
            "requesttimeoutseconds": self.timeout_seconds or DEFAULT_TIMEOUT_SECONDS,
            "goquorum.blocks": True,
        }
        if self.empty_period_seconds is not None:
            section["emptyblockperiodseconds"] = self.empty_period_seconds
        return section


@dataclass(frozen=True, slots=True)
class Ibft1Chain:
    """A chain that begins with IBFT 1. `sections` has `ibft1`, and `qbft` if QBFT follows, in Besu's form.
    `qbft_begins` is the first block of QBFT, None if there is none. `warnings` are sentences for the operator."""

    sections: dict[str, Any]
    qbft_begins: int | None
    warnings: tuple[str, ...] = field(default=())


def read_ibft1_chain(
    first: Mapping[str, Any],
    name: str,
    parameters: Ibft1Parameters,
    steps: Iterable[GoQuorumTransition],
    test_block: int | None,
) -> Ibft1Chain:
    """The sections of a chain that begins with the section `first`, which has this `name` (`istanbul` or `ibft`) and
    these `parameters`.

    `steps` are the transitions, ascending by block. `test_block` is `istanbul.testQBFTBlock`, None if it is not given.
    The section of QBFT has the values of the transitions up to its first block. That of IBFT 1 has none of them. Raises
    Ibft1SectionError if the sections contradict each other, if QBFT would begin before block 1, or if GoQuorum's blocks
    of QBFT would need fewer seals than this node demands.
    """
    listed = list(steps)
    switches = [step.block for step in listed if step.algorithm == "qbft"]
    if test_block is not None and switches:
        raise Ibft1SectionError("config.istanbul.testQBFTBlock and a transition with algorithm qbft: give one")
    begins = test_block if test_block is not None else min(switches, default=None)
    ibft1 = parameters.section()
    if not parameters.period_seconds:
        ibft1["xblockperiodmilliseconds"] = UNKNOWN_PERIOD_MILLISECONDS
    if begins is None:
        return Ibft1Chain({"ibft1": ibft1}, None)
    if begins < 1:
        raise Ibft1SectionError(f"config.{name}: QBFT begins at block {begins}; name the section qbft instead")
    _check_quorum(first, name, begins)
    for step in listed:
        parameters = parameters.after(step) if step.block <= begins else parameters
    warnings = (
        ()
        if parameters.period_seconds
        else (
            f"config.{name} has no block period. From block {begins} on it is {DEFAULT_PERIOD_SECONDS} s, GoQuorum's "
            "default. If the nodes have another one, write blockperiodseconds into the transition to QBFT",
        )
    )
    return Ibft1Chain({"ibft1": ibft1, "qbft": {**parameters.section(), "startblock": begins}}, begins, warnings)


def _check_quorum(first: Mapping[str, Any], name: str, begins: int) -> None:
    # A section `ibft` has ceil(2n/3) by default, and a section `istanbul` has 2f+1.
    agreed_from = first.get("ceil2nby3block", 0 if name == "ibft" else None)
    if not isinstance(agreed_from, int) or agreed_from > begins:
        raise Ibft1SectionError(
            f"config.{name}.ceil2Nby3Block must be at most {begins}, the first block of QBFT: this node needs ceil(2n/3) "
            "seals in every block of QBFT"
        )
