#!/usr/bin/env bash
# Case C4 with the real dockerd: the admin's rules in INPUT and DOCKER-USER,
# once with the last drop of DOCKER-USER (with-drop/) and once without it
# (without-drop/). Run as root; needs dockerd, docker, containerd, runc, busybox
# (static), conntrack, iptables-nft.
# Nothing outside a temporary directory is written but this folder.
set -eu
cd "$(dirname "$0")"
# shellcheck source=../lib/lab.sh
. ../lib/lab.sh
# shellcheck source=../lib/daemons.sh
. ../lib/daemons.sh

lab_init conntrack bridge dockerd docker containerd runc busybox iptables-nft iptables-nft-save
lab_ns host world
lab_wire host eth0 52:54:00:c4:00:0a world eth0 52:54:00:c4:00:01
ns host ip addr add 203.0.113.10/24 brd 203.0.113.255 dev eth0
ns host ip route add default via 203.0.113.1
for address in 203.0.113.1/24 51.15.223.6/32 109.190.117.17/32 198.51.100.7/32 8.8.8.8/32; do
    ns world ip addr add "$address" dev eth0
done
daemons_init
docker_start
docker_container web -p 443:443/tcp
docker_container vpn -p 1194:1194/udp
web=$(docker_port web) vpn=$(docker_port vpn)

rule() { ns host iptables-nft -A "$@"; }
rule INPUT -i lo -j ACCEPT
rule INPUT -p tcp --dport 53 -j ACCEPT
rule INPUT -p udp --sport 123 -j ACCEPT
rule INPUT -s 51.15.223.6 -j ACCEPT
rule INPUT -s 109.190.117.17 -j ACCEPT
rule INPUT -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
rule INPUT -j DROP
ns host iptables-nft -F DOCKER-USER
rule DOCKER-USER -p tcp -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
rule DOCKER-USER -p tcp -m conntrack --ctorigsrc 51.15.223.6 -j ACCEPT
rule DOCKER-USER -m conntrack --ctorigsrc 109.190.117.17 -j ACCEPT
rule DOCKER-USER -i eth0 -j DROP
rule DOCKER-USER -j RETURN

lab_say world 203.0.113.10
lab_say host 203.0.113.1
lab_say web 172.17.0.1
lab_say vpn 172.17.0.1
lab_say host 172.17.0.2
lab_say host 172.17.0.3
sleep 0.5

variant() {
    local dir=$1
    rm -rf "$dir"
    mkdir -p "$dir/traces"
    lab_rules host "$dir"
    ns host nft list ruleset 2>/dev/null >"$dir/ruleset.nft"
    ns host iptables-nft-save -c >"$dir/iptables-save.txt"
    lab_host host "$dir/host"
    lab_trace_on host ip bridge
    t() { lab_flow host "$dir/traces/$1.txt" "${@:2}" --sysctl net.bridge.bridge-nf-call-iptables=1; }
    t friend-web     world web  'tcp:51.15.223.6:40000->203.0.113.10:443' eth0
    t other-web      world web  'tcp:109.190.117.17:40001->203.0.113.10:443' eth0
    t stranger-web   world web  'tcp:198.51.100.7:40002->203.0.113.10:443' eth0 --title 'nobody named it'
    t friend-vpn     world vpn  'udp:51.15.223.6:40003->203.0.113.10:1194' eth0 --title 'named for TCP only'
    t other-vpn      world vpn  'udp:109.190.117.17:40004->203.0.113.10:1194' eth0 --title 'named for every protocol'
    t stranger-vpn   world vpn  'udp:198.51.100.7:40005->203.0.113.10:1194' eth0
    t stranger-ssh   world host 'tcp:198.51.100.7:40006->203.0.113.10:22' eth0 --title 'the host itself'
    t stranger-ntp   world host 'udp:198.51.100.7:123->203.0.113.10:161' eth0 --title 'source port 123 opens every UDP port of the host'
    t container-dns  web world  'udp:172.17.0.2:40007->8.8.8.8:53' "$web" --title 'a container asks the world by UDP'
    t container-tcp  web world  'tcp:172.17.0.2:40008->8.8.8.8:443' "$web" --title 'and by TCP'
    t container-container vpn web 'tcp:172.17.0.3:40009->172.17.0.2:443' "$vpn"
    for family in ip bridge; do ns host nft delete table "$family" nfpath_trace; done
}
variant with-drop
ns host iptables-nft -D DOCKER-USER -i eth0 -j DROP
variant without-drop
versions nft dockerd iptables-nft >versions.txt
