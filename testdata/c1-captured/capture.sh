#!/usr/bin/env bash
# The host of case C1 made by the real daemons: firewalld and dockerd run in
# namespaces of their own and start real containers, then the same flows as in
# ../c1 are sent. Run as root; needs dockerd, docker, containerd, runc,
# firewalld, dbus-daemon, busybox (static), conntrack, iptables-nft.
# Nothing outside a temporary directory is written but this folder.
set -eu
cd "$(dirname "$0")"
# shellcheck source=../lib/lab.sh
. ../lib/lab.sh
# shellcheck source=../lib/docker-host.sh
. ../lib/docker-host.sh

lab_init conntrack bridge dockerd docker containerd runc firewalld dbus-daemon busybox iptables-nft-save
[ -e /proc/sys/net/bridge ] || modprobe br_netfilter
WORK=$(mktemp -d)
export DOCKER_HOST=unix://$WORK/docker.sock
DAEMONS=()

stop_all() {
    local pid ids
    ids=$(docker ps -aq 2>/dev/null || true)
    # shellcheck disable=SC2086
    [ -z "$ids" ] || docker rm -f $ids >/dev/null 2>&1 || true
    for pid in "${DAEMONS[@]}"; do
        kill "$pid" 2>/dev/null || true
        wait "$pid" 2>/dev/null || true
    done
    lab_cleanup
    umount "$WORK/ns/mnt" 2>/dev/null || true
    umount "$WORK/ns" 2>/dev/null || true
    rm -rf "$WORK" 2>/dev/null || true
}
trap stop_all EXIT

# inside COMMAND…: in the host's network and with the private mounts
inside() { nsenter --net="/run/netns/$LAB_PREFIX-host" --mount="$WORK/ns/mnt" "$@"; }
# daemon LOG COMMAND…: the same, in the background
daemon() {
    local log=$1
    shift
    # exec: the process id is then the daemon's own
    (exec nsenter --net="/run/netns/$LAB_PREFIX-host" --mount="$WORK/ns/mnt" "$@") \
        >"$WORK/$log.log" 2>&1 &
    DAEMONS=("$!" "${DAEMONS[@]}")
}
# wait_for SECONDS COMMAND…
wait_for() {
    local tries=$(($1 * 5))
    shift
    until "$@" >/dev/null 2>&1; do
        tries=$((tries - 1))
        [ $tries -gt 0 ] || { echo "gave up waiting for: $*" >&2; tail -n 20 "$WORK"/*.log >&2; exit 1; }
        sleep 0.2
    done
}

c1_build_client

# a mount namespace with its own /run and /etc/firewalld
mkdir "$WORK/ns" "$WORK/firewalld"
mount --bind "$WORK/ns" "$WORK/ns"
mount --make-private "$WORK/ns"
: >"$WORK/ns/mnt"
cp -a /etc/firewalld/. "$WORK/firewalld"
# shellcheck disable=SC2016  # $1 is the inner shell's
unshare --mount="$WORK/ns/mnt" sh -eu -c '
    mount -t tmpfs tmpfs /run
    mkdir -p /run/dbus /run/lock
    mount --bind "$1/firewalld" /etc/firewalld' sh "$WORK"

daemon dbus dbus-daemon --system --nofork --nopidfile
wait_for 10 inside test -S /run/dbus/system_bus_socket
daemon firewalld firewalld --nofork --nopid
wait_for 20 inside firewall-cmd --state
# permanent, because dockerd reloads firewalld when it makes its zone
inside firewall-cmd --permanent --zone=public --add-interface=ens192 >/dev/null
inside firewall-cmd --permanent --zone=public --add-masquerade >/dev/null
inside firewall-cmd --reload >/dev/null

daemon dockerd dockerd --host "$DOCKER_HOST" --data-root "$WORK/data" --exec-root "$WORK/exec" \
    --pidfile "$WORK/docker.pid" --storage-driver vfs --userland-proxy=false
wait_for 30 docker info
mkdir -p "$WORK/image/bin"
cp "$(command -v busybox)" "$WORK/image/bin/busybox"
tar -C "$WORK/image" -c . | docker import - lab:1 >/dev/null
docker network create --driver bridge --subnet 172.20.0.0/24 --gateway 172.20.0.1 \
    -o com.docker.network.bridge.name=docker1 front >/dev/null
run() {
    docker run -d --name "$1" --network front --ip "$2" -p "$3" lab:1 /bin/busybox sleep 100000 >/dev/null
    ip netns attach "$LAB_PREFIX-$1" "$(docker inspect -f '{{.State.Pid}}' "$1")"
    LAB_NAMESPACES+=("$1")
}
run proxy 172.20.0.2 8080:8080/tcp
run syslog 172.20.0.3 514:514/udp
run radius 172.20.0.4 1812:1812/udp
run dhcp 172.20.0.5 67:67/udp

# port NS: the bridge port a container hangs on
port() {
    local index
    index=$(ns "$1" cat /sys/class/net/eth0/iflink)
    ns host ip -o link | sed -n "s/^$index: \([^@:]*\)[@:].*/\1/p"
}
# shellcheck disable=SC2034  # read by c1_flows
IF_radius=$(port radius) IF_proxy=$(port proxy)

c1_warm
lab_rules host .
ns host nft list ruleset 2>/dev/null >ruleset.nft
ns host iptables-nft-save -c >iptables-save.txt
lab_host host host
{
    nft --version
    dockerd --version
    echo "firewalld $(inside firewall-cmd --version)"
    iptables-nft --version
    echo "Linux $(uname -r)"
} >versions.txt

rm -rf traces
mkdir traces
lab_trace_on host ip bridge
c1_flows traces '' 'net.bridge.bridge-nf-call-iptables=1'

# without br_netfilter the neighbour's answer is bridged past conntrack
ns host sysctl -qw net.bridge.bridge-nf-call-iptables=0
lab_flow host traces/proxy-published.nf0.txt proxy radius 'udp:172.20.0.2:40006->10.254.10.252:1812' "$IF_proxy" \
    --title "a container to its neighbour's published port" --sysctl net.bridge.bridge-nf-call-iptables=0
