#!/bin/sh
# Run a command in two network namespaces that are connected by a virtual cable:
#     unshare --user --map-root-user --net sh two_nodes.sh COMMAND ...
# The command gets NODE (0 or 1), ADDRESS and GLOO_SOCKET_IFNAME. The namespaces end with their processes.
set -eu
unshare --net sleep 600 &
other=$!
trap 'kill $other' EXIT
while [ "$(readlink /proc/$other/ns/net)" = "$(readlink /proc/self/ns/net)" ]; do sleep 0.1; done
ip link add node0 type veth peer name node1 netns $other
enter() {
    node=$1
    shift
    if [ "$node" = 0 ]; then "$@"; else nsenter --net --target $other "$@"; fi
}
for node in 0 1; do
    enter $node ip link set lo up
    enter $node ip address add 10.77.0.$((node + 1))/24 dev node$node
    enter $node ip link set node$node up
done
NODE=1 ADDRESS=10.77.0.2 GLOO_SOCKET_IFNAME=node1 enter 1 "$@" &
second=$!
NODE=0 ADDRESS=10.77.0.1 GLOO_SOCKET_IFNAME=node0 enter 0 "$@"
wait $second
