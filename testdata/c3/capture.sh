#!/usr/bin/env bash
# Case C3: build the host and load iptables-save.txt, which is written by hand.
# Run as root; needs nft, iptables-nft, iproute2, conntrack, python3.
set -eu
cd "$(dirname "$0")"
# shellcheck source=../lib/lab.sh
. ../lib/lab.sh

lab_init conntrack bridge iptables-nft-restore
[ -e /proc/sys/net/bridge ] || modprobe br_netfilter
lab_ns host world
lab_wire host eth0 08:00:27:00:02:0f world eth0 52:54:00:12:35:02
ns host ip addr add 10.0.2.15/24 brd 10.0.2.255 dev eth0
ns host ip route add default via 10.0.2.2
for address in 10.0.2.2/24 10.0.2.3/24 8.8.8.8/32 198.51.100.7/32; do
    ns world ip addr add "$address" dev eth0
done
ns host ip link add docker0 address 02:42:ac:11:2a:01 type bridge
ns host ip addr add 172.17.42.1/16 dev docker0
ns host ip link set docker0 up
container() {
    lab_ns "$1"
    lab_wire host "$3" "fe:00:ac:11:00:0$2" "$1" eth0 "02:42:ac:11:00:0$2"
    ns host ip link set "$3" master docker0
    ns "$1" ip addr add "172.17.0.$2/16" dev eth0
    ns "$1" ip route add default via 172.17.42.1
}
container one 1 veth3c1d0a2
container two 2 veth57a730b
container three 3 vethe81f6b4
ns host sysctl -qw net.ipv4.ip_forward=1
ns host iptables-nft-restore <iptables-save.txt
lab_say world 10.0.2.15
lab_say host 10.0.2.3
for name in one two three; do lab_say "$name" 172.17.42.1; done
for last in 1 2 3; do lab_say host "172.17.0.$last"; done
sleep 0.5
rm -rf traces host
mkdir traces
lab_rules host .
ns host nft list ruleset 2>/dev/null >ruleset.nft
lab_host host host
lab_trace_on host ip bridge
t() { lab_flow host "traces/$1.txt" "${@:2}" --sysctl net.bridge.bridge-nf-call-iptables=1; }
t container-dns   two world   'udp:172.17.0.2:40000->8.8.8.8:53' veth57a730b --title 'a container asks the world'
t log-line        two world   'udp:172.17.0.2:60692->10.0.2.3:53' veth57a730b --title 'the packet of the log line'
t published-1002  world three 'tcp:198.51.100.7:40001->10.0.2.15:1002' eth0 --listen 1000 --title 'the world asks the second container'
t published-1000  world one   'tcp:198.51.100.7:40002->10.0.2.15:1000' eth0
t published-itself three three 'tcp:172.17.0.3:40003->10.0.2.15:1002' vethe81f6b4 --listen 1000 --title 'a container asks its own published port'
t host-published  host three  'tcp:10.0.2.15:40004->10.0.2.15:1002' - --listen 1000 --title 'the host asks it'
