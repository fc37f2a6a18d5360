"""The fields in which the two engines differ on a call. There must be none."""

from dataclasses import fields

from lacnode.evm.engine import CallResult
from lacnode.evm.rejection import TransactionRejectedError

CallOutcome = CallResult | TransactionRejectedError
"""The outcome of a call on one engine."""

UNCOMPARED = frozenset(("accounts", "touched"))
"""Fields that engines fill by ways of their own: an engine may look at an account that the call does not need."""

OUT_OF_GAS = "Out of gas"


def differing_call_fields(expected: CallOutcome, found: CallOutcome) -> list[str]:
    """Return the names of the fields in which two executions of a call differ, empty if they agree. If only one engine
    rejects the call, or both with different texts or reasons, the only name is `rejection`. `accounts` are not
    compared, and of `touched` only addresses with slots. If neither call succeeded and one of them ran out of gas, `halt`
    and `explanation` are not compared."""
    if isinstance(expected, CallResult) and isinstance(found, CallResult):
        return _unlike_results(expected, found)
    return [] if _rejection(expected) == _rejection(found) else ["rejection"]


def _rejection(outcome: CallOutcome) -> object:
    return None if isinstance(outcome, CallResult) else (outcome.reason, str(outcome))


def _unlike_results(expected: CallResult, found: CallResult) -> list[str]:
    ignored = UNCOMPARED
    if OUT_OF_GAS in (expected.halt, found.halt) and None not in (expected.halt, found.halt):
        # An instruction that lacks gas and words on the stack at once: either reason is right.
        ignored = ignored | {"halt", "explanation"}
    names = [field.name for field in fields(CallResult) if field.name not in ignored]
    unlike = [name for name in names if getattr(expected, name) != getattr(found, name)]
    return unlike if _slots(expected) == _slots(found) else [*unlike, "touched"]


def _slots(result: CallResult) -> list[object]:
    """Return the warm slots by their address. An address without slots may be warm on one engine alone."""
    return [entry for entry in result.touched if entry[1]]
