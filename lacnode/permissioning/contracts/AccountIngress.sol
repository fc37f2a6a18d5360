// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

import "./Ingress.sol";

/// What nodes ask about a transaction: sender, target (zero for a creation), value, gas price, gas limit, payload.
interface IAccountRules {
    function transactionAllowed(address, address, uint256, uint256, uint256, bytes calldata)
        external
        view
        returns (bool);
}

/// Where nodes ask who may send what.
contract AccountIngress is Ingress, IAccountRules {
    /// An admin may call this contract and all that are registered in it. Then the rules decide. Without rules everybody
    /// may send.
    function transactionAllowed(address sender, address target, uint256, uint256, uint256, bytes calldata)
        external
        view
        returns (bool)
    {
        // Before the rules are asked: rules that fail, or refuse everybody, must not keep an admin from replacing them.
        if (holdsRules(target) && isAdmin(sender)) return true;
        address rules = registered[RULES_CONTRACT];
        if (rules != address(0)) passOn(rules);
        return true;
    }

    function holdsRules(address target) private view returns (bool) {
        return target == address(this) || isRegistered(target);
    }

    /// An admin contract that fails has no admins: it must not make the rules fail with it.
    function isAdmin(address account) private view returns (bool) {
        address admin = registered[ADMIN_CONTRACT];
        return admin != address(0) && answersYes(admin, abi.encodeCall(IAdmin.isAuthorized, (account)));
    }

    /// Rules must answer yes or no about a contract creation of the sender.
    function checkRules(address rules) internal view override {
        bytes memory question = abi.encodeCall(
            IAccountRules.transactionAllowed, (msg.sender, address(0), 0, 0, gasleft(), "")
        );
        (bool answered, uint256 word) = wordOf(rules, question);
        require(answered && word < 2, "the contract does not answer transactionAllowed");
    }
}
