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
wait_for 30 inside virsh -c qemu:///system net-list --all || true
inside virsh -c qemu:///system net-start default >/dev/null 2>&1 || inside virsh -c qemu:///system net-list --all
wait_for 10 ns host ip link show virbr0
