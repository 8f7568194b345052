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
# shellcheck source=../lib/daemons.sh
. ../lib/daemons.sh
# shellcheck source=../lib/docker-host.sh
. ../lib/docker-host.sh

lab_init conntrack bridge dockerd docker containerd runc firewalld dbus-daemon busybox iptables-nft-save
c1_build_client
daemons_init /etc/firewalld

daemon dbus dbus-daemon --system --nofork --nopidfile
wait_for 10 inside test -S /run/dbus/system_bus_socket
daemon firewalld firewalld --nofork --nopid
wait_for 20 inside firewall-cmd --state
# permanent, because dockerd reloads firewalld when it makes its zone
inside firewall-cmd --permanent --zone=public --add-interface=ens192 >/dev/null
inside firewall-cmd --permanent --zone=public --add-masquerade >/dev/null
inside firewall-cmd --reload >/dev/null

docker_start
docker network create --driver bridge --subnet 172.20.0.0/24 --gateway 172.20.0.1 \
    -o com.docker.network.bridge.name=docker1 front >/dev/null
run() { docker_container "$1" --network front --ip "$2" -p "$3"; }
run proxy 172.20.0.2 8080:8080/tcp
run syslog 172.20.0.3 514:514/udp
run radius 172.20.0.4 1812:1812/udp
run dhcp 172.20.0.5 67:67/udp
# shellcheck disable=SC2034  # read by c1_flows
IF_radius=$(docker_port radius) IF_proxy=$(docker_port proxy)

c1_warm
lab_rules host .
ns host nft list ruleset 2>/dev/null >ruleset.nft
ns host iptables-nft-save -c >iptables-save.txt
lab_host host host
versions nft dockerd firewalld iptables-nft >versions.txt

rm -rf traces
mkdir traces
lab_trace_on host ip bridge
c1_flows traces '' 'net.bridge.bridge-nf-call-iptables=1'

# without br_netfilter the neighbour's answer is bridged past conntrack
ns host sysctl -qw net.bridge.bridge-nf-call-iptables=0
lab_flow host traces/proxy-published.nf0.txt proxy radius 'udp:172.20.0.2:40006->10.254.10.252:1812' "$IF_proxy" \
    --title "a container to its neighbour's published port" --sysctl net.bridge.bridge-nf-call-iptables=0
