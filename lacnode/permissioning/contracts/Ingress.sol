// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

/// Who may change the rules.
interface IAdmin {
    function isAuthorized(address account) external view returns (bool);
}

/// The fixed address that nodes ask: it knows by name the contracts that hold the rules, and passes questions on.
/// Functions and events are those of the ingress contracts that Hyperledger Besu's networks have in their genesis.
abstract contract Ingress {
    bytes32 public constant RULES_CONTRACT = "rules";
    bytes32 public constant ADMIN_CONTRACT = "administration";

    /// `isRegistered` looks at all of them, and nodes ask it for each transaction.
    uint256 private constant MAX_NAMES = 32;

    mapping(bytes32 => address) internal registered;
    bytes32[] private names;

    event RegistryUpdated(address contractAddress, bytes32 contractName);

    modifier onlyAuthorized() {
        require(isAuthorized(msg.sender), "the sender is no admin");
        _;
    }

    /// Anybody may register contracts until an admin contract is registered; from then on its admins alone.
    function isAuthorized(address account) public view returns (bool) {
        address admin = registered[ADMIN_CONTRACT];
        return admin == address(0) || IAdmin(admin).isAuthorized(account);
    }

    function getContractAddress(bytes32 name) external view returns (address) {
        require(name != 0, "a name is missing");
        return registered[name];
    }

    /// Whether a contract is registered under any name.
    function isRegistered(address contractAddress) public view returns (bool) {
        for (uint256 i = 0; i < names.length; i++) {
            if (registered[names[i]] == contractAddress) return true;
        }
        return false;
    }

    /// A contract that does not answer as its name demands is refused, and so is an admin contract that does not know the
    /// sender: a mistake here would otherwise lock every admin out for good.
    function setContractAddress(bytes32 name, address contractAddress) external onlyAuthorized returns (bool) {
        require(name != 0, "a name is missing");
        require(contractAddress != address(0), "an address is missing");
        require(contractAddress.code.length != 0, "there is no contract at this address");
        if (registered[name] == address(0)) {
            require(names.length < MAX_NAMES, "too many names are registered");
            names.push(name);
        }
        registered[name] = contractAddress;
        // The checks come after the change: a contract that asks this one back would pass them before it.
        if (name == ADMIN_CONTRACT) {
            bytes memory question = abi.encodeCall(IAdmin.isAuthorized, (msg.sender));
            require(answersYes(contractAddress, question), "the sender would not be an admin any more");
        }
        if (name == RULES_CONTRACT) checkRules(contractAddress);
        emit RegistryUpdated(contractAddress, name);
        return true;
    }

    /// The admin contract can be replaced and not removed: without one, anybody could take the registry over.
    function removeContract(bytes32 name) external onlyAuthorized returns (bool) {
        require(name != ADMIN_CONTRACT, "the admin contract can only be replaced");
        require(registered[name] != address(0), "no contract has this name");
        for (uint256 i = 0; i < names.length; i++) {
            if (names[i] == name) {
                names[i] = names[names.length - 1];
                names.pop();
                break;
            }
        }
        delete registered[name];
        emit RegistryUpdated(address(0), name);
        return true;
    }

    function getAllContractKeys() external view returns (bytes32[] memory) {
        return names;
    }

    function getSize() external view returns (uint256) {
        return names.length;
    }

    function getContractVersion() external pure returns (uint256) {
        return 4000000;
    }

    /// Revert unless `rules` can stand in the place of the registered rules contract.
    function checkRules(address rules) internal view virtual;

    /// Whether `answerer` answers `question` with true, and with nothing behind it.
    function answersYes(address answerer, bytes memory question) internal view returns (bool) {
        (bool answered, uint256 word) = wordOf(answerer, question);
        return answered && word == 1;
    }

    /// The one word that `answerer` answers with. No more is copied, whatever it returns.
    function wordOf(address answerer, bytes memory question) internal view returns (bool answered, uint256 word) {
        assembly {
            answered := staticcall(gas(), answerer, add(question, 32), mload(question), 0, 32)
            answered := and(answered, eq(returndatasize(), 32))
            word := mload(0)
        }
    }

    /// Ask the rules contract with the very bytes of this call, and end with its very answer.
    function passOn(address rules) internal view {
        assembly {
            calldatacopy(0, 0, calldatasize())
            let success := staticcall(gas(), rules, 0, calldatasize(), 0, 0)
            returndatacopy(0, 0, returndatasize())
            switch success
            case 0 { revert(0, returndatasize()) }
            default { return(0, returndatasize()) }
        }
    }
}
