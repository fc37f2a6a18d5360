// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

import "./Rules.sol";

/// Who may send transactions, to whom, with how much gas, and who may create contracts.
///
/// A listed account may call any contract and create none. The right to create is given to it by name; targets can be
/// restricted to a list; the gas limit can have a ceiling. The answer depends on sender, target and gas limit alone.
contract AccountRules is Rules {
    struct Account {
        uint64 position; // from 1
        bool mayDeploy;
    }

    bool private targetsRestricted;
    uint128 private gasCeiling;
    mapping(address => Account) private accounts;
    mapping(address => uint256) private targetPositions; // from 1
    address[] private accountList;
    address[] private targetList;

    event AccountAdded(bool accountAdded, address accountAddress);
    event AccountRemoved(bool accountRemoved, address accountAddress);
    event TargetAdded(bool targetAdded, address targetAddress);
    event TargetRemoved(bool targetRemoved, address targetAddress);
    event DeployRightSet(address accountAddress, bool mayDeploy);
    event TargetsRestricted(bool restricted);
    event GasCeilingSet(uint256 gasCeiling);

    constructor(Ingress ingress) Rules(ingress) {}

    // -- what nodes ask --------------------------------------------------------------------------------------------

    function transactionAllowed(address sender, address target, uint256, uint256, uint256 gasLimit, bytes calldata)
        external
        view
        returns (bool)
    {
        return rule(sender, target, gasLimit) == "allowed";
    }

    /// The same, with the rule that decides.
    function transactionDecision(address sender, address target, uint256, uint256, uint256 gasLimit, bytes calldata)
        external
        view
        returns (bool allowed, bytes32 decidedBy)
    {
        decidedBy = rule(sender, target, gasLimit);
        allowed = decidedBy == "allowed";
    }

    function rule(address sender, address target, uint256 gasLimit) private view returns (bytes32) {
        Account memory account = accounts[sender];
        if (account.position == 0) return "sender-unlisted";
        if (target == address(0)) {
            if (!account.mayDeploy) return "no-deploy-right";
        } else if (targetsRestricted && targetPositions[target] == 0) {
            return "target-not-allowed";
        }
        if (gasCeiling != 0 && gasLimit > gasCeiling) return "gas-ceiling";
        return "allowed";
    }

    // -- senders ---------------------------------------------------------------------------------------------------

    function addAccount(address account) external changing returns (bool) {
        require(accounts[account].position == 0, "the account is listed already");
        add(account);
        return true;
    }

    /// Accounts that are listed already stay so.
    function addAccounts(address[] calldata added) external changing returns (bool) {
        for (uint256 i = 0; i < added.length; i++) {
            if (accounts[added[i]].position == 0) add(added[i]);
        }
        return true;
    }

    function removeAccount(address account) external changing returns (bool) {
        uint64 position = accounts[account].position;
        require(position != 0, "the account is not listed");
        address last = accountList[accountList.length - 1];
        accountList[position - 1] = last;
        accounts[last].position = position;
        accountList.pop();
        delete accounts[account];
        emit AccountRemoved(true, account);
        return true;
    }

    function accountPermitted(address account) external view returns (bool) {
        return accounts[account].position != 0;
    }

    function getAccounts() external view returns (address[] memory) {
        return accountList;
    }

    function getSize() external view returns (uint256) {
        return accountList.length;
    }

    function getByIndex(uint256 index) external view returns (address) {
        require(index < accountList.length, "no account has this index");
        return accountList[index];
    }

    function setDeployRight(address account, bool allowed) external changing returns (bool) {
        require(accounts[account].position != 0, "the account is not listed");
        accounts[account].mayDeploy = allowed;
        emit DeployRightSet(account, allowed);
        return true;
    }

    function mayDeploy(address account) external view returns (bool) {
        return accounts[account].mayDeploy;
    }

    function add(address account) private {
        require(account != address(0), "the zero address cannot send");
        accountList.push(account);
        accounts[account].position = uint64(accountList.length);
        emit AccountAdded(true, account);
    }

    // -- targets and gas -------------------------------------------------------------------------------------------

    function restrictTargets(bool restricted) external changing returns (bool) {
        targetsRestricted = restricted;
        emit TargetsRestricted(restricted);
        return true;
    }

    function areTargetsRestricted() external view returns (bool) {
        return targetsRestricted;
    }

    function addTarget(address target) external changing returns (bool) {
        require(target != address(0), "the creation of contracts is a right of accounts, not a target");
        require(targetPositions[target] == 0, "the target is listed already");
        targetList.push(target);
        targetPositions[target] = targetList.length;
        emit TargetAdded(true, target);
        return true;
    }

    function removeTarget(address target) external changing returns (bool) {
        uint256 position = targetPositions[target];
        require(position != 0, "the target is not listed");
        address last = targetList[targetList.length - 1];
        targetList[position - 1] = last;
        targetPositions[last] = position;
        targetList.pop();
        delete targetPositions[target];
        emit TargetRemoved(true, target);
        return true;
    }

    function destinationPermitted(address target) external view returns (bool) {
        return !targetsRestricted || targetPositions[target] != 0;
    }

    function getTargets() external view returns (address[] memory) {
        return targetList;
    }

    /// 0 for none.
    function setGasCeiling(uint128 ceiling) external changing returns (bool) {
        gasCeiling = ceiling;
        emit GasCeilingSet(ceiling);
        return true;
    }

    function getGasCeiling() external view returns (uint256) {
        return gasCeiling;
    }
}
