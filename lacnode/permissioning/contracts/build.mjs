// Compiles every contract here to artifacts.json, the same bytes every time: the compiler is pinned in
// package-lock.json, and no hash of sources or paths goes into the code. `node build.mjs FILE` writes to FILE instead, and
// `node build.mjs FILE DIRECTORY` compiles the contracts of another directory.
import { readFileSync, readdirSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import solc from "solc";

const here = process.argv[3] ?? dirname(fileURLToPath(import.meta.url));
const output = process.argv[2] ?? join(here, "artifacts.json");
const files = readdirSync(here).filter((name) => name.endsWith(".sol")).sort();

// Networks that need these contracts may have no fork later than Constantinople's fix.
const settings = {
  optimizer: { enabled: true, runs: 10000 },
  viaIR: true,
  evmVersion: "petersburg",
  metadata: { bytecodeHash: "none", appendCBOR: false },
  outputSelection: { "*": { "*": ["abi", "evm.bytecode.object", "evm.deployedBytecode.object"] } },
};
const sources = Object.fromEntries(files.map((name) => [name, { content: readFileSync(join(here, name), "utf8") }]));
const result = JSON.parse(solc.compile(JSON.stringify({ language: "Solidity", sources, settings })));

const errors = (result.errors ?? []).filter((error) => error.severity === "error");
for (const error of result.errors ?? []) console.error(error.formattedMessage);
if (errors.length > 0) process.exit(1);

const contracts = {};
for (const name of files) {
  const contract = name.replace(".sol", "");
  const compiled = result.contracts[name][contract];
  if (compiled.evm.bytecode.object === "") continue; // abstract
  contracts[contract] = {
    abi: compiled.abi,
    bytecode: `0x${compiled.evm.bytecode.object}`,
    runtimeBytecode: `0x${compiled.evm.deployedBytecode.object}`,
  };
}
const { outputSelection, ...kept } = settings;
const document = { compiler: solc.version(), settings: kept, contracts };
writeFileSync(output, `${JSON.stringify(document, null, 1)}\n`);
