#!/usr/bin/env bash
# Case C2: build the host, load the rules with the admin's two accepts once
# appended (-A) and once inserted (-I), and write appended/ and inserted/.
# Run as root; needs nft, iptables-nft, iproute2, conntrack, python3.
set -eu
cd "$(dirname "$0")"
# shellcheck source=../lib/lab.sh
. ../lib/lab.sh

BR_A='br-4f0537e1b2cd'
BR_B='br-149d732ffd90'

# bridge_with NAME NET MAC-BYTE NS PORT: one Docker network of one container
bridge_with() {
    local br=$1 net=$2 byte=$3 name=$4 port=$5
    ns host ip link add "$br" address "02:42:$byte:00:00:01" type bridge
    ns host ip addr add "$net.0.1/16" brd "$net.255.255" dev "$br"
    ns host ip link set "$br" up
    lab_ns "$name"
    lab_wire host "$port" "fe:00:$byte:00:00:02" "$name" eth0 "02:42:ac:$byte:00:02"
    ns host ip link set "$port" master "$br"
    ns "$name" ip addr add "$net.0.2/16" dev eth0
    ns "$name" ip route add default via "$net.0.1"
    lab_say "$name" "$net.0.1"
    lab_say host "$net.0.2"
}

# admin FLAG: the rules that are to let the two networks talk
admin() {
    if [ "$1" = -A ]; then
        ns host iptables-nft -A FORWARD -i $BR_A -o $BR_B -j ACCEPT
        ns host iptables-nft -A FORWARD -i $BR_B -o $BR_A -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
    else
        ns host iptables-nft -I FORWARD 1 -i $BR_A -o $BR_B -j ACCEPT
        ns host iptables-nft -I FORWARD 2 -i $BR_B -o $BR_A -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
    fi
}

variant() {
    local dir=$1 flag=$2
    lab_ns host
    bridge_with $BR_A 172.18 12 a vetha
    bridge_with $BR_B 172.19 13 b vethb
    ns host sysctl -qw net.ipv4.ip_forward=1
    ns host iptables-nft-restore <iptables.rules.in
    admin "$flag"
    sleep 0.3
    rm -rf "$dir"
    mkdir -p "$dir/traces"
    lab_rules host "$dir"
    ns host nft list ruleset 2>/dev/null >"$dir/ruleset.nft"
    ns host iptables-nft-save -c >"$dir/iptables-save.txt"
    lab_host host "$dir/host"
    lab_trace_on host ip bridge
    t() { lab_flow host "$dir/traces/$1.txt" "${@:2}" --sysctl net.bridge.bridge-nf-call-iptables=1; }
    t ping           a b 'icmp:172.18.0.2->172.19.0.2' vetha --title 'what the admin wanted'
    t ping-back      b a 'icmp:172.19.0.2->172.18.0.2' vethb --title 'the other way round'
    t udp            a b 'udp:172.18.0.2:40000->172.19.0.2:5000' vetha
    t host-ping      host b 'icmp:172.19.0.1->172.19.0.2' - --title 'the host to a container'
    t ping-gateway   a host 'icmp:172.18.0.2->172.19.0.1' vetha --title "the other network's gateway is the host itself"
    lab_cleanup
}

lab_init conntrack bridge iptables-nft iptables-nft-restore iptables-nft-save
[ -e /proc/sys/net/bridge ] || modprobe br_netfilter
variant appended -A
variant inserted -I
