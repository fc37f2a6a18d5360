#!/bin/sh
# Give each validator of `generate-blockchain-config` a directory for compose.yaml: genesis, key, peers.
set -eu
# The key files belong to the user of the node in the image, and no other user may read them.
owner=1000
if [ "$(id -u)" != 0 ] && [ "$(id -u)" != "$owner" ]; then
    echo "prepare.sh: run it as root, or as the user $owner, who is the node's user in the image" >&2
    exit 1
fi
network=${1:?usage: prepare.sh NETWORK_DIRECTORY}
cd "$network"
number=0
enodes=""
for keys in keys/0x*; do
    number=$((number + 1))
    if [ "$number" -gt 244 ]; then
        echo "prepare.sh: the subnet 172.30.0.0/24 has addresses for 244 validators" >&2
        exit 1
    fi
    mkdir -p "validator-$number"
    cp genesis.json "validator-$number/genesis.json"
    cp "$keys/key.priv" "validator-$number/key"
    public=$(sed 's/^0x//' "$keys/key.pub")
    enodes="$enodes${enodes:+, }\"enode://$public@172.30.0.$((10 + number)):30303\""
done
for directory in validator-*; do
    echo "[$enodes]" > "$directory/static-nodes.json"
    chmod -R a+rX "$directory"
    chmod 600 "$directory/key"
    if [ "$(id -u)" = 0 ]; then chown "$owner" "$directory/key"; fi
done
echo "$number validators ready in $network"
