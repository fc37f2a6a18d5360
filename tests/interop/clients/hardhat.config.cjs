// Hardhat's default network for a running node, at the address of the test's devnet.
require("@nomicfoundation/hardhat-ethers");

module.exports = {
  solidity: "0.8.28",
  defaultNetwork: "localhost",
  networks: { localhost: { url: process.env.DEVNET_URL } },
  paths: { tests: "hardhat-tests" },
  mocha: { timeout: 240_000 },
};
