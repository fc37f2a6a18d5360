#!/bin/sh
# Give each validator of `generate-blockchain-config` a directory for compose.yaml: genesis, key, peers.
set -eu
network=${1:?usage: prepare.sh NETWORK_DIRECTORY}
cd "$network"
number=0
enodes=""
for keys in keys/0x*; do
    number=$((number + 1))
    mkdir -p "validator-$number"
    cp genesis.json "validator-$number/genesis.json"
    cp "$keys/key.priv" "validator-$number/key"
    public=$(sed 's/^0x//' "$keys/key.pub")
    enodes="$enodes${enodes:+, }\"enode://$public@172.30.0.1$number:30303\""
done
for directory in validator-*; do
    echo "[$enodes]" > "$directory/static-nodes.json"
    chmod -R a+rX "$directory"
done
echo "$number validators ready in $network"
