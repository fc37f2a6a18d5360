// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.20;

import {Token} from "../src/Token.sol";

/// The cheat codes that the script needs, without the library that declares all of them.
interface Vm {
    function startBroadcast() external;
    function stopBroadcast() external;
}

/// Deploys the token of `examples/contracts` and pays some of it.
contract Deploy {
    bool public IS_SCRIPT = true;
    Vm private constant vm = Vm(0x7109709ECfa91a80626fF3989D68f67F5b1DD12D);

    function run() external {
        vm.startBroadcast();
        Token token = new Token(1000);
        require(token.transfer(0x1212121212121212121212121212121212121212, 42));
        vm.stopBroadcast();
    }
}
