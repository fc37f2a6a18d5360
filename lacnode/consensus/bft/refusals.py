"""The effects of a message that breaks a rule."""

from lacnode.consensus.bft.effects import BlamePeer, Effect, WriteLogLine
from lacnode.consensus.bft.messages import Message, Proposal, RoundChange, round_id_of


def log_refusal(message: Message, reason: str) -> WriteLogLine:
    """Return the effect that logs that `message` is refused. `reason` is a sentence. The author is not blamed: a faulty
    proposer may have sent it another block than us.
    """
    kind, author = type(message).__name__, message.signed.author.hex()
    text = f"{kind} of 0x{author} for {round_id_of(message)} refused: {reason}"
    return WriteLogLine(f"{kind.lower()}-refused", text)


def refuse_and_blame(message: Proposal | RoundChange, reason: str) -> list[Effect]:
    """Return the effects that log the refusal of `message` and blame its author. `reason` is a sentence.

    A proposal or a round change carries its own proof, so a correct author never sends one that is refused.
    """
    fault = f"{type(message).__name__} refused: {reason}"
    return [log_refusal(message, reason), BlamePeer(message.signed.author, fault)]
