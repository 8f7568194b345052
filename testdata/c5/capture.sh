#!/usr/bin/env bash
# Case C5: build the host of many bridges and load the rules: once with the
# admin's drop that does not work (tried/), once with the ones that do (works/).
# Run as root; needs nft, iptables-nft, iproute2, conntrack, python3.
set -eu
cd "$(dirname "$0")"
# shellcheck source=../lib/lab.sh
. ../lib/lab.sh

lab_init conntrack bridge iptables-nft iptables-nft-restore iptables-nft-save
[ -e /proc/sys/net/bridge ] || modprobe br_netfilter
ICC='br-8e3f0d353353'

# network NAME NET PREFIX-LENGTH
network() {
    ns host ip link add "$1" type bridge
    ns host ip addr add "$2.1/$3" dev "$1"
    ns host ip link set "$1" up
}
# container NAME BRIDGE PORT NET LAST PREFIX-LENGTH
container() {
    lab_ns "$1"
    lab_wire host "$3" "fe:00:00:00:00:${3#veth}" "$1" eth0 "02:42:00:00:00:${3#veth}"
    ns host ip link set "$3" master "$2"
    ns "$1" ip addr add "$4.$5/$6" dev eth0
    ns "$1" ip route add default via "$4.1"
    lab_say "$1" "$4.1"
    lab_say host "$4.$5"
}

lab_ns host world
lab_wire host eth0 52:54:00:c5:00:14 world eth0 52:54:00:c5:00:01
ns host ip addr add 192.0.2.20/24 brd 192.0.2.255 dev eth0
ns host ip route add default via 192.0.2.1
for address in 192.0.2.1/24 198.51.100.7/32 8.8.8.8/32; do
    ns world ip addr add "$address" dev eth0
done
ns host sysctl -qw net.ipv4.ip_forward=1
network docker0 172.17.0 16
network br-e6bc7d6b75f3 172.18.0 16
network docker_gwbridge 172.19.0 16
network $ICC 172.20.0 16
network lxcbr0 10.0.3 24
port() { printf 'veth%s' "$1"; }
container plain docker0 "$(port 17)" 172.17.0 2 16
container web br-e6bc7d6b75f3 "$(port 18)" 172.18.0 2 16
container one $ICC "$(port 20)" 172.20.0 2 16
container two $ICC "$(port 21)" 172.20.0 3 16
container lxc lxcbr0 "$(port 30)" 10.0.3 10 24
lab_say one 172.20.0.3
lab_say two 172.20.0.2
lab_say world 192.0.2.20
lab_say host 192.0.2.1

variant() {
    local dir=$1
    sleep 0.5
    rm -rf "$dir"
    mkdir -p "$dir/traces"
    lab_rules host "$dir"
    ns host nft list ruleset 2>/dev/null >"$dir/ruleset.nft"
    ns host iptables-nft-save -c >"$dir/iptables-save.txt"
    lab_host host "$dir/host"
    lab_trace_on host ip bridge
    t() { lab_flow host "$dir/traces/$1.txt" "${@:2}" --sysctl "net.bridge.bridge-nf-call-iptables=$nf"; }
    nf=1
    t icc             one   two   'udp:172.20.0.2:40000->172.20.0.3:5000' veth20 --title 'two containers of the network without icc'
    t world-published world web   'tcp:198.51.100.7:40001->192.0.2.20:30004' eth0 --listen 8080 --title 'the published port'
    t icc-out         one   world 'udp:172.20.0.2:40002->8.8.8.8:53' veth20 --title 'out of the network without icc'
    t web-out         web   world 'udp:172.18.0.2:40003->8.8.8.8:53' veth18 --title 'out of another one'
    t plain-web       plain web   'tcp:172.17.0.2:40004->172.18.0.2:8080' veth17 --title 'from one Docker network to another'
    t lxc-web         lxc   web   'tcp:10.0.3.10:40005->172.18.0.2:8080' veth30 --title 'from LXC to Docker'
    t plain-published plain web   'tcp:172.17.0.2:40006->192.0.2.20:30004' veth17 --listen 8080 --title "a container asks another network's published port"
    nf=0
    ns host sysctl -qw net.bridge.bridge-nf-call-iptables=0
    t icc.nf0         one   two   'udp:172.20.0.2:40007->172.20.0.3:5000' veth20 --title 'the same two without br_netfilter'
    ns host sysctl -qw net.bridge.bridge-nf-call-iptables=1
    for family in ip bridge; do ns host nft delete table "$family" nfpath_trace; done
}

ns host iptables-nft-restore <iptables.rules.in
ns host iptables-nft -I FORWARD -i docker0 -o docker0 -p tcp --dport 30004 -j DROP
variant tried

# Docker 1.12 has no DOCKER-USER: the admin makes it
ns host iptables-nft -D FORWARD -i docker0 -o docker0 -p tcp --dport 30004 -j DROP
ns host iptables-nft -N DOCKER-USER
ns host iptables-nft -I FORWARD -j DOCKER-USER
ns host iptables-nft -A DOCKER-USER -p tcp -m conntrack --ctorigdstport 30004 -j DROP
ns host iptables-nft -A DOCKER-USER -i $ICC ! -o $ICC -m conntrack --ctstate NEW -j DROP
ns host iptables-nft -A DOCKER-USER -j RETURN
variant works
