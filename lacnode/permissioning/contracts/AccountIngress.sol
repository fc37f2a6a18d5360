// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

import "./Ingress.sol";

/// Where nodes ask who may send what.
contract AccountIngress is Ingress {
    /// Sender, target (zero for a creation), value, gas price, gas limit, payload. Without rules everybody may send.
    function transactionAllowed(address, address, uint256, uint256, uint256, bytes calldata)
        external
        view
        returns (bool)
    {
        address rules = registered[RULES_CONTRACT];
        if (rules != address(0)) passOn(rules);
        return true;
    }
}
