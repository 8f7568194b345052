# shellcheck shell=bash
# Helpers for the capture scripts of this folder. Source it after `set -eu`.
#
# A laboratory is a handful of network namespaces. Their real names carry the
# process id, so that two runs never meet; scripts use the short names through
# `ns SHORT COMMAND…`.

LAB_LIB=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
LAB_PREFIX="nfp$$"
LAB_NAMESPACES=()

lab_need() {
    local tool
    for tool in "$@"; do
        command -v "$tool" >/dev/null || { echo "needs $tool" >&2; exit 1; }
    done
}

lab_cleanup() {
    local name
    for name in "${LAB_NAMESPACES[@]}"; do
        ip netns del "$LAB_PREFIX-$name" 2>/dev/null || true
    done
    LAB_NAMESPACES=()
}

# lab_init: check the tools and clean up however the script ends
lab_init() {
    [ "$(id -u)" = 0 ] || { echo "run this as root (it makes network namespaces)" >&2; exit 1; }
    lab_need ip nft python3 sysctl "$@"
    trap lab_cleanup EXIT
    trap 'exit 130' INT TERM
}

# ns SHORT COMMAND…: run in a namespace
ns() {
    local name=$1
    shift
    ip netns exec "$LAB_PREFIX-$name" "$@"
}

# lab_ns SHORT…: make namespaces with loopback up
lab_ns() {
    local name
    for name in "$@"; do
        ip netns add "$LAB_PREFIX-$name"
        LAB_NAMESPACES+=("$name")
        ns "$name" sysctl -qw net.ipv6.conf.default.accept_dad=0 net.ipv6.conf.all.accept_dad=0 \
            net.ipv4.conf.all.rp_filter=0 net.ipv4.conf.default.rp_filter=0
        ns "$name" ip link set lo up
    done
}

# lab_wire NS1 DEV1 MAC1 NS2 DEV2 MAC2: a cable between two namespaces
lab_wire() {
    ip -n "$LAB_PREFIX-$1" link add "$2" address "$3" type veth \
        peer name "$5" address "$6" netns "$LAB_PREFIX-$4"
    ns "$1" ip link set "$2" up
    ns "$4" ip link set "$5" up
}

# lab_say FROM ADDR: one stray datagram, so that both ends know each other's
# link-layer address (and a bridge the port) before a trace is taken
lab_say() {
    ns "$1" python3 -c '
import socket, sys
try: socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b"", (sys.argv[1], 9))
except OSError: pass' "$2"
}

# lab_rules NS DIR: the ruleset as the real nft shows it
lab_rules() {
    ns "$1" nft -j list ruleset >"$2/ruleset.json"
    ns "$1" nft -a list ruleset 2>/dev/null >"$2/ruleset-handles.nft"
}

# lab_host NS DIR: the facts about the host that no ruleset holds
lab_host() {
    local dir=$2 name=$1
    mkdir -p "$dir"
    ns "$name" ip -j -d addr >"$dir/addr.json"
    ns "$name" ip -j -d link >"$dir/link.json"
    ns "$name" ip -j route show table all >"$dir/route.json"
    ns "$name" ip -j -6 route show table all >"$dir/route6.json"
    ns "$name" ip -j rule >"$dir/rule.json"
    ns "$name" ip -j -6 rule >"$dir/rule6.json"
    ns "$name" ip -j neigh >"$dir/neigh.json"
    ns "$name" bridge -j -d link >"$dir/bridge-link.json"
    ns "$name" bridge -j fdb >"$dir/bridge-fdb.json"
    ns "$name" sysctl -a 2>/dev/null | grep -E \
        '^net\.(ipv4\.(conf\..*\.(accept_local|arp_ignore|forwarding|proxy_arp|route_localnet|rp_filter|src_valid_mark)|ip_forward|ip_early_demux|fwmark_reflect)|ipv6\.conf\..*\.(disable_ipv6|forwarding)|bridge\..*|netfilter\.nf_conntrack_tcp_(be_liberal|loose)) =' \
        >"$dir/sysctl.txt"
}

# lab_trace_on NS FAMILY…: mark every IPv4 packet for tracing, before anything
# else sees it. The steps of table nfpath_trace are no part of the ruleset.
lab_trace_on() {
    local name=$1 family
    shift
    for family in "$@"; do
        case $family in
        bridge) printf 'table bridge nfpath_trace {
            chain p { type filter hook prerouting priority -1000; ether type ip meta nftrace set 1; }
            chain o { type filter hook output priority -1000; ether type ip meta nftrace set 1; }
            }\n' ;;
        netdev:*) printf 'table netdev nfpath_trace {
            chain i { type filter hook ingress device "%s" priority -500; meta nftrace set 1; }
            }\n' "${family#*:}" ;;
        *) printf 'table %s nfpath_trace {
            chain p { type filter hook prerouting priority -450; meta nftrace set 1; }
            chain o { type filter hook output priority -450; meta nftrace set 1; }
            }\n' "$family" ;;
        esac | ns "$name" nft -f -
    done
}

# lab_flow HOST-NS OUT-FILE FROM-NS TO-NS|- FLOW IIF|- [flow.py options…]
# sends the flow's first packet, lets the receiver answer and writes the trace
lab_flow() {
    local host=$1 out=$2 from=$3 to=$4 flow=$5 iif=$6
    shift 6
    [ "$to" = - ] || set -- --to "$LAB_PREFIX-$to" "$@"
    python3 "$LAB_LIB/flow.py" trace --host "$LAB_PREFIX-$host" --from "$LAB_PREFIX-$from" \
        --flow "$flow" --iif "$iif" --prefix "$LAB_PREFIX-" --out "$out" "$@"
}
