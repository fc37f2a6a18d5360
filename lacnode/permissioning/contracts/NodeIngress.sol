// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

import "./Ingress.sol";

/// Where nodes ask who may connect to whom. Answers both of Besu's interfaces.
contract NodeIngress is Ingress {
    bytes32 private constant REFUSED = bytes32(type(uint256).max >> 1);

    event NodePermissionsUpdated(bool addsRestrictions);

    /// Interface 1: two nodes as halves of the node id, IP address, TCP port. Without rules nobody may connect.
    function connectionAllowed(bytes32, bytes32, bytes16, uint16, bytes32, bytes32, bytes16, uint16)
        external
        view
        returns (bytes32)
    {
        address rules = registered[RULES_CONTRACT];
        if (rules != address(0)) passOn(rules);
        return REFUSED;
    }

    /// Interface 2: one node as hexadecimal node id, host, TCP port.
    function connectionAllowed(string calldata, string calldata, uint16) external view returns (bool) {
        address rules = registered[RULES_CONTRACT];
        if (rules != address(0)) passOn(rules);
        return false;
    }

    /// Tells listeners that the rules have changed.
    function emitRulesChangeEvent(bool addsRestrictions) external {
        require(msg.sender == registered[RULES_CONTRACT], "the sender is not the rules contract");
        emit NodePermissionsUpdated(addsRestrictions);
    }

    /// Rules must answer one of the two interfaces. What they answer is their own business.
    function checkRules(address rules) internal view override {
        (bool answersPairs,) = wordOf(
            rules,
            abi.encodeWithSignature(
                "connectionAllowed(bytes32,bytes32,bytes16,uint16,bytes32,bytes32,bytes16,uint16)", 0, 0, 0, 0, 0, 0, 0, 0
            )
        );
        (bool answersNodes,) =
            wordOf(rules, abi.encodeWithSignature("connectionAllowed(string,string,uint16)", "", "", 0));
        require(answersPairs || answersNodes, "the contract does not answer connectionAllowed");
    }
}
