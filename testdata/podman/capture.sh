#!/usr/bin/env bash
# The real Podman with netavark, a real container, and a published port. Run as
# root; needs podman, netavark, runc, busybox (static), conntrack, iptables-nft.
# Nothing outside a temporary directory is written but this folder.
set -eu
cd "$(dirname "$0")"
# shellcheck source=../lib/lab.sh
. ../lib/lab.sh
# shellcheck source=../lib/daemons.sh
. ../lib/daemons.sh

lab_init conntrack bridge podman runc busybox iptables-nft-save
lab_ns host world
lab_wire host eth0 52:54:00:0e:00:0a world eth0 52:54:00:0e:00:01
ns host ip addr add 203.0.113.40/24 brd 203.0.113.255 dev eth0
ns host ip route add default via 203.0.113.1
for address in 203.0.113.1/24 198.51.100.7/32 8.8.8.8/32; do
    ns world ip addr add "$address" dev eth0
done
daemons_init
pod() {
    inside podman --root "$WORK/root" --runroot "$WORK/runroot" --storage-driver vfs \
        --network-config-dir "$WORK/nets" --cgroup-manager cgroupfs --runtime runc --events-backend file "$@"
}
pod_stop() {
    pod rm -fa -t 0 >/dev/null 2>&1 || true
    daemons_stop
}
trap pod_stop EXIT
mkdir -p "$WORK/image/bin"
cp "$(command -v busybox)" "$WORK/image/bin/busybox"
tar -C "$WORK/image" -c . >"$WORK/image.tar"
pod import "$WORK/image.tar" localhost/lab:1 >/dev/null 2>&1
pod run -d --name web -p 8080:80 --ulimit nofile=1024:1024 --ulimit nproc=1024:1024 --network bridge \
    localhost/lab:1 /bin/busybox sleep 1000 >/dev/null
ip netns attach "$LAB_PREFIX-web" "$(pod inspect -f '{{.State.Pid}}' web)"
LAB_NAMESPACES+=(web)
web=$(docker_port web)
own=$(ns web ip -4 -o addr show eth0 | sed -n 's/.*inet \([0-9.]*\).*/\1/p')

lab_say world 203.0.113.40
lab_say host 203.0.113.1
lab_say web 10.88.0.1
lab_say host "$own"
sleep 0.5
rm -rf traces host
mkdir traces
lab_rules host .
ns host nft list ruleset 2>/dev/null >ruleset.nft
ns host iptables-nft-save -c >iptables-save.txt
# what if another program had set FORWARD's policy to drop?
sed 's/^:FORWARD ACCEPT/:FORWARD DROP/' iptables-save.txt >forward-drop.txt
lab_host host host
versions nft podman iptables-nft >versions.txt
lab_trace_on host ip bridge
nf=$(ns host sysctl -n net.bridge.bridge-nf-call-iptables)
t() { lab_flow host "traces/$1.txt" "${@:2}" --sysctl "net.bridge.bridge-nf-call-iptables=$nf"; }
t world-published world web   'tcp:198.51.100.7:40000->203.0.113.40:8080' eth0 --listen 80 --title 'the published port'
t container-out   web   world "udp:$own:40001->8.8.8.8:53" "$web" --title 'a container asks the world'
t host-published  host  web   'tcp:203.0.113.40:40002->203.0.113.40:8080' - --listen 80 --title 'the host asks its own published port'
