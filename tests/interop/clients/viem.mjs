// viem with its default settings: an account of the node, one with a key of its own, and the test client's actions.
// Usage: node viem.mjs RPC_URL ARTIFACT. Prints one JSON object.
import { readFileSync } from "node:fs";
import { createPublicClient, createTestClient, createWalletClient, defineChain, http, verifyMessage } from "viem";
import { mnemonicToAccount } from "viem/accounts";

const [url, file] = process.argv.slice(2);
const artifact = JSON.parse(readFileSync(file, "utf8"));
const chain = defineChain({
  id: 648555,
  name: "devnet",
  nativeCurrency: { name: "Ether", symbol: "ETH", decimals: 18 },
  rpcUrls: { default: { http: [url] } },
});
const reader = createPublicClient({ chain, transport: http() });
const remote = createWalletClient({ chain, transport: http() });
const [account] = await remote.getAddresses();
const deployed = await reader.waitForTransactionReceipt({
  hash: await remote.deployContract({ account, abi: artifact.abi, bytecode: artifact.bytecode, args: [1000n] }),
});
const token = { address: deployed.contractAddress, abi: artifact.abi };
const owner = mnemonicToAccount("test test test test test test test test test test test junk");
const local = createWalletClient({ chain, transport: http(), account: owner });
const recipient = "0x" + "cd".repeat(20);
const receipt = await reader.waitForTransactionReceipt({
  hash: await local.writeContract({ ...token, functionName: "transfer", args: [recipient, 42n] }),
});
const logs = await reader.getContractEvents({ ...token, eventName: "Transfer", fromBlock: receipt.blockNumber });
const signature = await remote.signMessage({ account, message: "hello" });
const balance = await reader.readContract({ ...token, functionName: "balanceOf", args: [recipient] });

const tester = createTestClient({ chain, mode: "hardhat", transport: http(undefined, { timeout: 120_000 }) });
const snapshot = await tester.snapshot();
const before = await reader.getBlock();
await tester.setNextBlockTimestamp({ timestamp: before.timestamp + 500n });
await tester.mine({ blocks: 1 });
const later = await reader.getBlock();
await tester.revert({ id: snapshot });
const again = await reader.getBlock();
console.log(
  JSON.stringify({
    type: (await reader.getTransaction({ hash: receipt.transactionHash })).typeHex,
    balance: balance.toString(),
    events: logs.length,
    signer: await verifyMessage({ address: owner.address, message: "hello", signature }),
    seconds: Number(later.timestamp - before.timestamp),
    reverted: again.hash === before.hash,
  }),
);
