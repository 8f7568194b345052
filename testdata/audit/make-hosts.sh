#!/bin/sh
# Writes the listings of hosts for audits of routes, by iproute2 in a network namespace. Needs root.
cd "$(dirname "$0")" || exit 1
listings() {
	mkdir -p "$1"
	ip -j -d addr >"$1/addr.json"
	ip -j -d link >"$1/link.json"
	ip -j route show table all >"$1/route.json"
	ip -j -6 route show table all >"$1/route6.json"
	ip -j rule >"$1/rule.json"
	ip -j -6 rule >"$1/rule6.json"
	sysctl -a 2>/dev/null | grep -E '^net\.(ipv4|ipv6)\.(ip_forward|conf\.(all|default|lo|eth0|wg0|lan0)\.(forwarding|rp_filter|src_valid_mark|route_localnet|accept_local))' >"$1/sysctl.txt"
}
if [ "$1" = inside ]; then
	ip link set lo up
	unshare -n sleep 60 &
	peers=$!
	sleep 1
	for name in eth0 lan0 wg0; do
		ip link add "$name" type veth peer name "$name" netns "$peers"
		nsenter -t "$peers" -n ip link set "$name" up
		ip link set "$name" addrgenmode none up
		sysctl -qw "net.ipv4.conf.$name.rp_filter=0"
	done
	sysctl -qw net.ipv4.conf.all.rp_filter=0 net.ipv4.ip_forward=1
	ip addr add 192.0.2.10/24 dev eth0
	ip addr add 10.8.0.1/24 dev wg0
	ip addr add 10.0.0.1/24 dev lan0
	ip route add blackhole 10.9.0.0/16
	listings no-default-route
	ip route del blackhole 10.9.0.0/16
	ip route add default via 192.0.2.1
	ip route add default dev wg0 table 100
	ip rule add fwmark 1 lookup 100 priority 100
	sysctl -qw net.ipv4.conf.all.rp_filter=1
	listings marked-route
	sysctl -qw net.ipv4.conf.all.rp_filter=2
	listings marked-route-loose
	kill "$peers"
	exit
fi
unshare -n "./$(basename "$0")" inside
