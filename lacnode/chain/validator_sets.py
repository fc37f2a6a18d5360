"""Which validators make the next block: from headers and their votes, or from a contract, as the genesis says by height.

It follows Besu's `ForkingValidatorProvider`. This file must not check headers.
"""

import time

from lacnode.chain.validator_contract import ValidatorContract, ValidatorContractError
from lacnode.chain.validator_history import ValidatorHistory, VoteSource
from lacnode.chainspec.ibft_schedule import IbftSchedule
from lacnode.consensus.bft.protocol_schedule import ProtocolSchedule
from lacnode.consensus.bft.vote_tally import VoteTally
from lacnode.permissioning.contract_reader import ContractReader
from lacnode.primitives.header import BlockHeader
from lacnode.rate_limited_log import RateLimitedLog


class ValidatorSets:
    """The validators of each block of the chain in `stored`. Safe from any thread.

    `schedule` has the parameters of consensus by height. They say whether votes or a contract name the validators.
    `protocols` decode the extra data, with the votes, by height. `contracts` calls a contract on the state after a block.
    """

    def __init__(
        self, schedule: IbftSchedule, protocols: ProtocolSchedule, stored: VoteSource, contracts: ContractReader
    ) -> None:
        self._schedule = schedule
        self._protocols = protocols
        self._history = ValidatorHistory(schedule, protocols, stored)
        self._stored = stored
        self._contract = ValidatorContract(contracts)
        self._log = RateLimitedLog("chain", time.monotonic)

    def tally_after(self, header: BlockHeader) -> VoteTally:
        """The validators and the open votes after `header`, a block of the chain. With a contract there are no votes.

        Raises ValidatorContractError if the contract names no usable validators, StorageCorruptError if the contract's
        state cannot be read, and KeyError if an ancestor is missing.
        """
        contract = self._schedule.parameters_at(header.number + 1).validator_contract
        if contract is None:
            return self._history.tally_after(header)
        return VoteTally.from_validators(self._contract.validators_after(header, contract))

    def tally_after_or_none(self, header: BlockHeader) -> VoteTally | None:
        """The validators and the open votes after `header`, a block of the chain. None if a contract has to name the
        validators and names no usable ones. The other errors are those of `tally_after`."""
        try:
            return self.tally_after(header)
        except ValidatorContractError:
            # The import refuses the next block with this error. A caller of this method has no block to refuse.
            return None

    def validators_after(self, header: BlockHeader) -> tuple[bytes, ...]:
        """The validators of the block after `header`, ascending (20-byte addresses). Empty, with a line in the log, if
        a contract has to name them and names no usable ones. The other errors are those of `tally_after`."""
        try:
            return self.tally_after(header).validators
        except ValidatorContractError as error:
            # The chain stops, and not the node: operators must be able to read the chain and the reason.
            self._log.warning(str(error), str(error), rule=error.rule, number=header.number + 1)
            return ()

    def find_epoch_validators_not_in_header(self, header: BlockHeader, parent: BlockHeader) -> tuple[bytes, ...] | None:
        """The validators (20-byte addresses, ascending) of `header`, the block after `parent`, if the import must store
        them. It must if the block begins an epoch and its header lists other validators, as GoQuorum's validators may
        decide. None otherwise. Nothing is stored here."""
        parameters = self._schedule.parameters_at(header.number)
        if parameters.validator_contract is not None or not parameters.is_epoch_block(header.number):
            return None
        validators = self.tally_after(parent).validators
        return None if self._protocols.extra_data(header).validators == validators else validators

    def validators_of_block(self, header: BlockHeader) -> tuple[bytes, ...]:
        """The validators (20-byte addresses) of block `header`, as `qbft_getValidatorsByBlockNumber` shows them: those
        in its extra data, and on GoQuorum's chains those by the votes before it.

        With a validator contract they are, as in Besu, the contract's answer after that block. Raises
        ValidatorContractError if that answer is not usable, and RlpError if the extra data is malformed.
        """
        parameters = self._schedule.parameters_at(header.number)
        if parameters.validator_contract is not None:
            return self._contract.validators_after(header, parameters.validator_contract)
        # The list in the header may be false there.
        parent = self._stored.header_at(header.number - 1) if parameters.follows_goquorum and header.number else None
        return self._protocols.extra_data(header).validators if parent is None else self.validators_after(parent)
