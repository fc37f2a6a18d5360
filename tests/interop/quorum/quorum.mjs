// Does what an application would do with private transactions, by web3 and web3js-quorum, at three members of a network.
// Usage: node quorum.mjs SCENARIO NETWORK. NETWORK is JSON: `members` with `rpc_url`, `ws_url` and `privacy_key`,
// `accounts`, and `artifact`, the path of a token's. Prints one JSON object in its last line; the library prints more.
import { readFileSync } from "node:fs";
import Web3 from "web3";
import Web3Quorum from "web3js-quorum";

const [scenario, network] = process.argv.slice(2);
const { members, accounts, artifact } = JSON.parse(network);
const { abi, bytecode } = JSON.parse(readFileSync(artifact, "utf8"));
const [a, b, c] = members.map(({ rpc_url }) => member(new Web3(rpc_url)));
const [keyA, keyB, keyC] = members.map(({ privacy_key }) => privacy_key);
const account = accounts[0].address;
const privateKey = accounts[0].private_key.slice(2); // The library takes it without 0x.
const recipient = "0x" + "cd".repeat(20);
const token = new a.eth.Contract(abi).methods;
const supply = 1000n;
const proxy = "0x" + "7c".padStart(40, "0");

const deploy = { data: bytecode + a.eth.abi.encodeParameter("uint256", String(supply)).slice(2) };
const transfer = (to, amount) => ({ to, data: token.transfer(recipient, amount).encodeABI() });
const toB = { privateFrom: keyA, privateFor: [keyB], privateKey };
const inGroup = (privacyGroupId) => ({ privateFrom: keyA, privacyGroupId, privateKey });

function member(web3) {
  const extended = new Web3Quorum(web3);
  extended.eth.transactionPollingInterval = 50;
  extended.priv.subscriptionPollingInterval = 50;
  return extended;
}

/** The private receipt at `node`, once the marker is mined there; null where the node is not told what it announces. */
const receiptAt = (node, marker) => node.priv.waitForTransactionReceipt(marker, 600, 50);

/** The private receipt at a node that is told: one that is busy says null after a while, and is asked again. */
async function receiptOf(node, marker) {
  for (;;) {
    const receipt = await receiptAt(node, marker);
    if (receipt !== null) return receipt;
  }
}

/** Send from the first member; the private receipt there, once `told` have it too, and `untold` the marker's block. */
async function send(options, told = [], untold = []) {
  const marker = await a.priv.generateAndSendRawTransaction(options);
  const [receipt] = await Promise.all([a, ...told].map((node) => receiptOf(node, marker)));
  await Promise.all(untold.map((node) => receiptAt(node, marker)));
  return receipt;
}

/** What the token says at `node`; null where there is none. */
async function balance(node, group, address, owner, block) {
  const output = await node.priv.call(group, { to: address, data: token.balanceOf(owner).encodeABI() }, block);
  return output === "0x" ? null : node.eth.abi.decodeParameter("uint256", output);
}

/** What a filter of `node` has, once it has something: it is fed when a block is carried out, a moment after receipts. */
async function gathered(node, group, filter) {
  for (;;) {
    const changes = await node.priv.getFilterChanges(group, filter);
    if (changes.length) return changes;
  }
}

/** The text of the error that `promise` must end in. */
const refusal = (promise) => promise.then((answer) => Promise.reject(answer), (error) => error.message);

/** For each of `counts` a promise of what `emitter` says, once it has said `event` so many times. */
function heard(emitter, event, ...counts) {
  const all = [];
  const waiting = [];
  emitter.on("error", (error) => waiting.forEach(({ reject }) => reject(error)));
  emitter.on(event, (what) => {
    all.push(what);
    waiting.filter(({ count }) => count === all.length).forEach(({ resolve }) => resolve(all));
  });
  return counts.map((count) => new Promise((resolve, reject) => waiting.push({ count, resolve, reject })));
}

/** A subscription of `node`, once it has its id. */
const subscribed = (node, group, filter) =>
  new Promise((resolve, reject) => {
    const subscription = node.priv.subscribeWithPooling(group, filter, (error) => (error ? reject(error) : resolve(subscription)));
  });

/** Whether a polled subscription ends. A poll that is under way then finds no filter, which nobody listens for any more. */
async function unsubscribe(polled) {
  const ended = (await polled.unsubscribe()) === polled.filterId;
  polled.on("error", () => {});
  return ended;
}

const amounts = (logs) => logs.map(({ data }) => Number(data));

const scenarios = {
  /** Recipients are named with each transaction. */
  async recipients() {
    const deployed = await send({ ...toB, ...deploy });
    const { contractAddress: address, commitmentHash: marker } = deployed;
    const group = a.utils.generatePrivacyGroup(toB);
    const before = await a.eth.getBlockNumber();
    const moved = await send({ ...toB, ...transfer(address, 42) }, [b], [c]);
    return {
      deployed,
      group,
      groupOfThree: a.utils.generatePrivacyGroup({ privateFrom: keyA, privateFor: [keyB, keyC] }),
      receipts: await Promise.all([a, b, c].map(({ priv }) => priv.getTransactionReceipt(marker))),
      transactions: await Promise.all([a, b, c].map(({ priv }) => priv.getPrivateTransaction(marker))),
      moved: moved.status,
      balances: await Promise.all([a, b, c].map((node) => balance(node, group, address, recipient))),
      balanceBefore: await balance(a, group, address, recipient, before),
      code: await Promise.all([a, b].map(({ priv }) => priv.getCode(group, address, "latest"))),
      count: await a.priv.getTransactionCount(account, group),
      eeaCount: await a.priv.getEeaTransactionCount(account, keyA, [keyB]),
      found: await Promise.all([a, b].map(({ priv }) => priv.findPrivacyGroup([keyA, keyB]))),
      publicCode: await a.eth.getCode(address),
    };
  },

  /** A group is made, used in both ways of sending, and deleted. */
  async group() {
    const group = await a.priv.createPrivacyGroup({ addresses: [keyA, keyB], name: "pair", description: "of two" });
    const found = await Promise.all([a, b].map(({ priv }) => priv.findPrivacyGroup([keyB, keyA])));
    const deployed = await send({ ...inGroup(group), ...deploy });
    const address = deployed.contractAddress;
    const precompile = await a.priv.getPrivacyPrecompileAddress();
    const enclaveKey = await a.priv.generateAndDistributeRawTransaction({ ...inGroup(group), ...transfer(address, 7) });
    const marker = { to: precompile, data: enclaveKey, gas: 100000, gasPrice: 0 };
    const signed = await a.eth.accounts.signTransaction(marker, accounts[1].private_key);
    const { transactionHash } = await a.eth.sendSignedTransaction(signed.rawTransaction);
    const told = [a, b].map((node) => receiptOf(node, transactionHash));
    const receipts = await Promise.all([...told, receiptAt(c, transactionHash)]);
    return {
      group,
      found,
      deployed,
      precompile,
      enclaveKey,
      transactionHash,
      receipts,
      balances: await Promise.all([a, b].map((node) => balance(node, group, address, recipient))),
      roots: await Promise.all([a, b].map(({ priv }) => priv.debugGetStateRoot(group, "latest"))),
      deleted: await a.priv.deletePrivacyGroup(group),
      foundAfter: (await Promise.all([a, b].map(({ priv }) => priv.findPrivacyGroup([keyA, keyB])))).map((groups) =>
        groups.filter(({ privacyGroupId }) => privacyGroupId === group),
      ),
      deletedTwice: await refusal(a.priv.deletePrivacyGroup(group)),
      sentAfter: await refusal(a.priv.generateAndSendRawTransaction({ ...inGroup(group), ...deploy })),
    };
  },

  /** What is asked wrongly. */
  async refusals() {
    const stranger = Buffer.alloc(32, 7).toString("base64");
    const sent = (options) => refusal(a.priv.generateAndSendRawTransaction({ ...deploy, privateKey, ...options }));
    const { contractAddress, privacyGroupId } = await send({ ...toB, ...deploy });
    const tooMuch = token.transfer(recipient, String(supply + 1n)).encodeABI();
    return {
      unknownRecipient: await sent({ privateFrom: keyA, privateFor: [stranger] }),
      anothersKey: await sent({ privateFrom: keyB, privateFor: [keyA] }),
      unknownGroup: await sent({ privateFrom: keyA, privacyGroupId: stranger }),
      unrestricted: await sent({ ...toB, restriction: "unrestricted" }),
      groupWithoutSelf: await refusal(a.priv.createPrivacyGroup({ addresses: [keyB, keyC] })),
      rootOfNoGroup: await refusal(a.priv.debugGetStateRoot(stranger, "latest")),
      reverting: await refusal(a.priv.call(privacyGroupId, { to: contractAddress, from: account, data: tooMuch })),
      callOfNoGroup: await a.priv.call(stranger, { to: contractAddress, data: tooMuch }),
      halted: (await send({ ...toB, to: contractAddress, data: tooMuch })).status,
    };
  },

  /** Logs by range, by hash, and by filters that are asked again and again. */
  async logs() {
    const group = await a.priv.createPrivacyGroup({ addresses: [keyA, keyB] });
    const { contractAddress: address, blockNumber } = await send({ ...inGroup(group), ...deploy }, [b]);
    const topics = [a.eth.abi.encodeEventSignature("Transfer(address,address,uint256)")];
    const filter = await b.priv.newFilter(group, { address, topics, fromBlock: blockNumber });
    const polled = await subscribed(b, group, { address, topics, fromBlock: blockNumber });
    const [past, three] = heard(polled, "data", 1, 3);
    await past; // It comes in an answer of its own, which must not hold what comes next.
    const first = await send({ ...inGroup(group), ...transfer(address, 1) }, [b]);
    const changes = [await gathered(b, group, filter)];
    await send({ ...inGroup(group), ...transfer(address, 2) }, [b]);
    changes.push(await gathered(b, group, filter), await b.priv.getFilterChanges(group, filter));
    const range = await b.priv.getLogs(group, { address, topics, fromBlock: blockNumber, toBlock: "latest" });
    const byHash = await b.priv.getLogs(group, { address, blockHash: first.blockHash });
    return {
      first,
      range,
      amounts: amounts(range),
      byHash: amounts(byHash),
      elsewhere: await c.priv.getLogs(group, { address, fromBlock: "earliest", toBlock: "latest" }),
      changes: changes.map(amounts),
      filterLogs: amounts(await b.priv.getFilterLogs(group, filter)),
      polled: amounts(await three),
      unsubscribed: await unsubscribe(polled),
      uninstalled: await b.priv.uninstallFilter(group, filter),
      afterwards: await refusal(b.priv.getFilterChanges(group, filter)),
    };
  },

  /** Logs pushed over a WebSocket. */
  async subscription() {
    const socket = member(new Web3(new Web3.providers.WebsocketProvider(members[1].ws_url)));
    const group = await a.priv.createPrivacyGroup({ addresses: [keyA, keyB] });
    const { contractAddress: address } = await send({ ...inGroup(group), ...deploy }, [b]);
    const subscription = await subscribed(socket, group, { address });
    const [pushed] = heard(subscription, "data", 2);
    const first = await send({ ...inGroup(group), ...transfer(address, 5) });
    await send({ ...inGroup(group), ...transfer(address, 6) });
    const notices = await pushed;
    const unsubscribed = await new Promise((resolve) => subscription.unsubscribe((error, result) => resolve(error ?? result)));
    socket.currentProvider.disconnect();
    return { id: subscription.filterId, group, first, notices, unsubscribed };
  },

  /**
   * A group that its own contract keeps: made, extended, locked, left. The library's own calls for members are those of a
   * contract with keys of 32 bytes, which Besu replaced by one with keys of any length: they find no group, as there.
   */
  async flexible() {
    const groups = (node, ...keys) => node.eth.flexiblePrivacyGroup.find(keys);
    const { create, setLockState } = a.eth.flexiblePrivacyGroup;
    const group = Buffer.alloc(32, 5).toString("base64");
    const options = { privacyGroupId: group, enclaveKey: keyA, privateKey };
    const madeByLibrary = await refusal(create({ ...options, participants: [keyA, keyB] }));
    const bytes = (key) => "0x" + Buffer.from(key, "base64").toString("hex");
    const manage = (name, type, value, ...others) =>
      send({ ...inGroup(group), to: proxy, data: a.eth.abi.encodeFunctionCall({ type: "function", name, inputs: [{ type, name: "value" }] }, [value]) }, ...others);
    const add = (keys, other) => manage("addParticipants", "bytes[]", keys.map(bytes), [other]);
    const made = await add([keyA, keyB], b);
    const found = await groups(b, keyA, keyB);
    const deployed = await send({ ...inGroup(group), ...deploy }, [b]);
    const balances = () => Promise.all([a, b, c].map((node) => balance(node, group, deployed.contractAddress, account)));
    const ofTwo = await balances();
    const locked = await setLockState({ ...options, lock: true });
    const whileLocked = await send({ ...inGroup(group), ...transfer(deployed.contractAddress, 1) });
    const added = await add([keyC], c);
    const foundExtended = await groups(c, keyC);
    const ofThree = await balances();
    const removed = await manage("removeParticipant", "bytes", bytes(keyB), [], [b]);
    const moved = await send({ ...inGroup(group), ...transfer(deployed.contractAddress, 400) }, [c], [b]);
    return {
      group,
      keys: [keyA, keyB, keyC],
      madeByLibrary,
      found,
      foundExtended,
      ofTwo,
      ofThree,
      statuses: [made, deployed, locked, whileLocked, added, removed, moved].map(({ status }) => status),
      afterwards: await balances(),
      foundAfterwards: await groups(a, keyA, keyC),
      receiptAtLeaver: await b.priv.getTransactionReceipt(moved.commitmentHash),
    };
  },
};

console.log("\n" + JSON.stringify(await scenarios[scenario]()));
