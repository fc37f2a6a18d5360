"""Failures of official tests that stay, each with its reason. Every other failure fails `make conformance`."""

from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from tests.conformance.results import StateTestResult


@dataclass(frozen=True, slots=True)
class KnownDifference:
    """Tests whose `file` and `name` match these patterns (of `fnmatch`) may fail, because of `reason`."""

    file: str
    reason: str
    name: str = "*"

    def covers(self, result: StateTestResult) -> bool:
        return fnmatchcase(result.file, self.file) and fnmatchcase(result.name, self.name)


KNOWN_DIFFERENCES: Sequence[KnownDifference] = (
    KnownDifference("*/stEOF/*", "EOF: code in the EVM object format, which no fork has"),
    KnownDifference(
        "*/EIPTests/StateTests/stEIP2537/*", "of a draft of EIP-2537: other addresses and prices than Prague's"
    ),
    KnownDifference(
        "eest-pectra-devnet-*/ext_code_on_*", "of a draft of EIP-7702: EXTCODESIZE and its kin see 23 bytes in Prague"
    ),
    *(
        KnownDifference(
            f"eest-pectra-devnet-*/eip7623_increase_calldata_cost/*/{file}.json",
            "of a draft of EIP-7623: in Prague refunds come first, and the floor holds after them",
            name,
        )
        for file, name in (
            ("gas_refunds_from_data_floor", "*"),
            ("full_gas_consumption", "*with_authorization_refund*"),
            ("gas_consumption_below_data_floor", "*with_authorization_refund*"),
        )
    ),
)


def known_difference(result: StateTestResult) -> KnownDifference | None:
    """The known difference that `result` is an example of; None for a failure that must be looked at."""
    return next((known for known in KNOWN_DIFFERENCES if known.covers(result)), None)
