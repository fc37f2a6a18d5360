"""The registry of methods: those that are enabled, and those that this node only knows by name. Also the names of the API
groups that an operator may enable."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from lacnode.rpc.errors import method_not_enabled, method_not_found
from lacnode.rpc.read_calls import Params
from lacnode.rpc.services import RpcServices

__all__ = ["KNOWN_METHODS", "Handler", "Method", "MethodRegistry", "Params"]

Handler = Callable[[RpcServices, Params], object]
"""Returns a value that `orjson` can write, or a `ReadCall` with the rest of the method. Runs in a worker thread. May raise
RpcError."""


@dataclass(frozen=True, slots=True)
class Method:
    """A method of an API group (such as `ETH`). `arity` is set if Besu requires an exact number of parameters.
    `is_quick` is True if the handler needs some microseconds and neither the disk nor a lock. The event loop may run it
    then."""

    name: str
    group: str
    handler: Handler
    arity: int | None = None
    is_quick: bool = False


GROUPS = (
    "ADMIN", "CLIQUE", "DEBUG", "EEA", "ENGINE", "ETH", "GOQUORUM", "IBFT", "LAC", "MINER", "NET", "PERM", "PLUGINS",
    "PRIV", "QBFT", "TRACE", "TXPOOL", "WEB3",
)  # fmt: skip
"""API groups that an operator may name. Those of Besu are accepted even if this node has no method of them."""

_KNOWN = """
admin_addPeer admin_changeLogLevel admin_generateLogBloomCache admin_logsRemoveCache admin_logsRepairCache admin_nodeInfo
admin_peers admin_removePeer clique_discard clique_getSignerMetrics clique_getSigners clique_getSignersAtHash
clique_proposals clique_propose debug_accountAt debug_accountRange debug_batchSendRawTransaction debug_getBadBlocks
debug_getRawBlock debug_getRawHeader debug_getRawReceipts debug_getRawTransaction debug_metrics debug_replayBlock
debug_resyncWorldState debug_setHead debug_standardTraceBadBlockToFile debug_standardTraceBlockToFile debug_storageRangeAt
debug_traceBlock debug_traceBlockByHash debug_traceBlockByNumber debug_traceCall debug_traceTransaction eth_accounts
eth_blobBaseFee eth_blockNumber eth_call eth_chainId eth_coinbase eth_createAccessList eth_estimateGas eth_feeHistory
eth_gasPrice eth_getBalance eth_getBlockByHash eth_getBlockByNumber eth_getBlockReceipts
eth_getBlockTransactionCountByHash eth_getBlockTransactionCountByNumber eth_getCode eth_getFilterChanges eth_getFilterLogs
eth_getLogs eth_getMinerDataByBlockHash eth_getMinerDataByBlockNumber eth_getProof eth_getStorageAt
eth_getTransactionByBlockHashAndIndex eth_getTransactionByBlockNumberAndIndex eth_getTransactionByHash
eth_getTransactionCount eth_getTransactionReceipt eth_getUncleByBlockHashAndIndex eth_getUncleByBlockNumberAndIndex
eth_getUncleCountByBlockHash eth_getUncleCountByBlockNumber eth_getWork eth_hashrate eth_maxPriorityFeePerGas eth_mining
eth_newBlockFilter eth_newFilter eth_newPendingTransactionFilter eth_protocolVersion eth_sendRawPrivateTransaction
eth_sendRawTransaction eth_sendTransaction eth_simulateV1 eth_submitHashrate eth_submitWork eth_subscribe eth_syncing
eth_uninstallFilter eth_unsubscribe ibft_discardValidatorVote ibft_getPendingVotes ibft_getSignerMetrics
ibft_getValidatorsByBlockHash ibft_getValidatorsByBlockNumber ibft_proposeValidatorVote miner_changeTargetGasLimit
miner_getExtraData miner_getMinGasPrice miner_getMinPriorityFee miner_setCoinbase miner_setEtherbase miner_setExtraData
miner_setMinGasPrice miner_setMinPriorityFee miner_start miner_stop net_enode net_listening net_peerCount net_services
net_version perm_addAccountsToAllowlist perm_addAccountsToWhitelist perm_addNodesToAllowlist perm_addNodesToWhitelist
perm_getAccountsAllowlist perm_getAccountsWhitelist perm_getNodesAllowlist perm_getNodesWhitelist
perm_reloadPermissionsFromFile perm_removeAccountsFromAllowlist perm_removeAccountsFromWhitelist
perm_removeNodesFromAllowlist perm_removeNodesFromWhitelist plugins_reloadPluginConfig qbft_discardValidatorVote
qbft_getPendingVotes qbft_getRequestTimeoutSeconds qbft_getSignerMetrics qbft_getValidatorsByBlockHash
qbft_getValidatorsByBlockNumber qbft_proposeValidatorVote rpc_modules trace_block trace_call trace_callMany trace_filter
trace_get trace_rawTransaction trace_replayBlockTransactions trace_transaction txpool_besuPendingTransactions
txpool_besuStatistics txpool_besuTransactions web3_clientVersion web3_sha3 eea_sendRawTransaction priv_call
priv_createPrivacyGroup priv_debugGetStateRoot priv_deletePrivacyGroup priv_distributeRawTransaction priv_findPrivacyGroup
priv_getCode priv_getEeaTransactionCount priv_getFilterChanges priv_getFilterLogs priv_getLogs
priv_getPrivacyPrecompileAddress priv_getPrivateTransaction priv_getTransactionCount priv_getTransactionReceipt
priv_newFilter priv_subscribe priv_traceTransaction priv_uninstallFilter priv_unsubscribe privx_findFlexiblePrivacyGroup
privx_findOnchainPrivacyGroup engine_exchangeCapabilities engine_exchangeTransitionConfigurationV1
engine_forkchoiceUpdatedV1 engine_forkchoiceUpdatedV2 engine_forkchoiceUpdatedV3 engine_getClientVersionV1
engine_getBlobsV1 engine_getPayloadBodiesByHashV1 engine_getPayloadBodiesByRangeV1 engine_getPayloadV1 engine_getPayloadV2
engine_getPayloadV3 engine_getPayloadV4 engine_getPayloadV6110 engine_newPayloadV1 engine_newPayloadV2 engine_newPayloadV3
engine_newPayloadV4 engine_newPayloadV6110 engine_preparePayload_debug
"""

_OF_OTHER_CLIENTS = """
eth_config istanbul_candidates istanbul_getSignersFromBlock istanbul_getSignersFromBlockByHash istanbul_getValidators
istanbul_getValidatorsAtHash istanbul_isValidator istanbul_nodeAddress istanbul_status trace_replayTransaction txpool_content
txpool_contentFrom txpool_inspect txpool_status
"""

KNOWN_METHODS = frozenset((_KNOWN + _OF_OTHER_CLIENTS).split())
"""The methods of Besu 24.1.0 and 25.5.0, and those of this node that Besu 25.5.0 does not have, except `lac_` methods. A
call to one that is not enabled, or that this node does not have, is "Method not enabled", not "Method not found"."""


class MethodRegistry:
    """The methods of the enabled `groups` (in upper case), by name. The group `ALWAYS` is enabled in every registry.
    The attribute `groups` has the enabled groups without `ALWAYS`, sorted."""

    ALWAYS = "RPC"

    def __init__(self, methods: Iterable[Method], groups: Iterable[str]) -> None:
        enabled = {*groups, self.ALWAYS}
        self.groups = tuple(sorted(enabled - {self.ALWAYS}))
        self._methods = {method.name: method for method in methods if method.group in enabled}

    def find(self, name: str) -> Method:
        """Return the method with this name. RpcError "Method not enabled" if it is in no enabled group, but it is
        in `KNOWN_METHODS` or begins with `lac_`. RpcError "Method not found" for any other name."""
        method = self._methods.get(name)
        if method is not None:
            return method
        # An operator who forgot to enable a group learns the reason from this error. A misspelled name gets the other
        # one.
        raise method_not_enabled() if name in KNOWN_METHODS or name.startswith("lac_") else method_not_found()
