#!/usr/bin/env bash
# The real libvirtd with its network `default` (nat). The guest is a namespace
# on the bridge. Run as root; needs libvirtd, virsh, dnsmasq, dbus-daemon,
# conntrack, iptables-nft.
# Nothing outside a temporary directory is written but this folder.
set -eu
cd "$(dirname "$0")"
# shellcheck source=../lib/lab.sh
. ../lib/lab.sh
# shellcheck source=../lib/daemons.sh
. ../lib/daemons.sh

lab_init conntrack bridge libvirtd virsh dnsmasq dbus-daemon iptables-nft-save
lab_ns host world guest
lab_wire host eth0 52:54:00:1b:00:0a world eth0 52:54:00:1b:00:01
ns host ip addr add 203.0.113.30/24 brd 203.0.113.255 dev eth0
ns host ip route add default via 203.0.113.1
for address in 203.0.113.1/24 198.51.100.7/32 8.8.8.8/32; do
    ns world ip addr add "$address" dev eth0
done
ns world ip route add 192.168.122.0/24 via 203.0.113.30
daemons_init /etc/libvirt /var/lib/libvirt /var/cache/libvirt
inside mkdir -p /run/libvirt
daemon dbus dbus-daemon --system --nofork --nopidfile
wait_for 10 inside test -S /run/dbus/system_bus_socket
daemon libvirtd libvirtd
wait_for 30 inside virsh -c qemu:///system net-start default
wait_for 10 ns host ip link show virbr0
# a guest's port, as qemu would make it
lab_wire host vnet0 fe:54:00:1b:7a:0b guest eth0 52:54:00:1b:7a:0b
ns host ip link set vnet0 master virbr0
ns guest ip addr add 192.168.122.10/24 dev eth0
ns guest ip route add default via 192.168.122.1
sleep 2.5 # the bridge's spanning tree lets the port forward after forward_delay
lab_say guest 192.168.122.1
lab_say host 192.168.122.10
lab_say world 203.0.113.30
lab_say host 203.0.113.1
sleep 0.5
rm -rf traces host
mkdir traces
lab_rules host .
ns host nft list ruleset 2>/dev/null >ruleset.nft
ns host iptables-nft-save -c >iptables-save.txt
ns host ip6tables-nft-save -c >ip6tables-save.txt
lab_host host host
versions nft libvirtd iptables-nft >versions.txt
lab_trace_on host ip bridge
nf=$(ns host sysctl -n net.bridge.bridge-nf-call-iptables)
t() { lab_flow host "traces/$1.txt" "${@:2}" --sysctl "net.bridge.bridge-nf-call-iptables=$nf"; }
t guest-out    guest world 'udp:192.168.122.10:40000->8.8.8.8:53' vnet0 --title 'a guest asks the world'
t world-guest  world guest 'tcp:198.51.100.7:40001->192.168.122.10:22' eth0 --title 'the world has a route to the guest'
t guest-host   guest host  'tcp:192.168.122.10:40002->192.168.122.1:22' vnet0 --title 'a guest asks the host'
t host-guest   host  guest 'tcp:192.168.122.1:40003->192.168.122.10:22' - --title 'the host asks a guest'
