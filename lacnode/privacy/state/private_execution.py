"""The parts that execute private transactions, as one thing that a node has. Its threads drive them."""

from lacnode.privacy.state.group_rebuilding import GroupRebuilder
from lacnode.privacy.state.long_execution import LongExecution
from lacnode.privacy.state.payload_repair import PayloadRepair
from lacnode.privacy.state.privacy_context import PrivacyContext
from lacnode.privacy.state.processor import PrivateProcessor


class PrivateExecutionParts:
    """The parts that execute private transactions: the processor of new blocks, the repair of groups with late
    payloads, the execution of long transactions, and the rebuilder. This object starts no thread: the node's threads
    call the steps of the parts."""

    def __init__(self, context: PrivacyContext) -> None:
        self.processor = PrivateProcessor(context)
        self.repair = PayloadRepair(context, self.processor)
        self.long_execution = LongExecution(context, self.processor)
        self.rebuilder = GroupRebuilder(context, self.processor)
