"""What proposals and round changes prove, checked in the same way for every round.

The answer depends on the message and the committee alone. So all correct validators give the same one, and a message that
passes may be relayed. Must not ask for the check of a block: `received_proposals` does.
"""

from lacnode.consensus.bft.committee import Committee
from lacnode.consensus.bft.effects import Effect
from lacnode.consensus.bft.message_rules import MessageRefusedError, check_creator
from lacnode.consensus.bft.messages import Message, Proposal, RoundChange
from lacnode.consensus.bft.protocol import JustificationRules
from lacnode.consensus.bft.refusals import refuse_and_blame


def check_proofs(committee: Committee, rules: JustificationRules, message: Message) -> list[Effect]:
    """Check what a message of the height of `committee` proves. The validity of a proposed block is not checked. Return
    the effects of a refusal, or an empty list if the proofs hold. Prepares and commits prove nothing beside their
    signature.
    """
    if not isinstance(message, Proposal | RoundChange):
        return []
    try:
        if isinstance(message, RoundChange):
            rules.check_round_change(committee, message)
        else:
            _check_proposal(committee, rules, message)
    except MessageRefusedError as refusal:
        return refuse_and_blame(message, str(refusal))
    return []


def _check_proposal(committee: Committee, rules: JustificationRules, proposal: Proposal) -> None:
    rules.check_proposal(committee, proposal)
    if rules.proposes_new_block(proposal):
        check_creator(proposal)
