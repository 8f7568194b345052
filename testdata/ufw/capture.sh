#!/usr/bin/env bash
# The real ufw and the real dockerd on one host: ufw denies what comes in, and
# Docker publishes a port all the same. Run as root; needs ufw, dockerd, docker,
# containerd, runc, busybox (static), conntrack, iptables-nft.
# Nothing outside a temporary directory is written but this folder.
set -eu
cd "$(dirname "$0")"
# shellcheck source=../lib/lab.sh
. ../lib/lab.sh
# shellcheck source=../lib/daemons.sh
. ../lib/daemons.sh

lab_init conntrack bridge ufw dockerd docker containerd runc busybox iptables-nft-save
lab_ns host world
lab_wire host eth0 52:54:00:0f:00:0a world eth0 52:54:00:0f:00:01
ns host ip addr add 203.0.113.20/24 brd 203.0.113.255 dev eth0
ns host ip route add default via 203.0.113.1
for address in 203.0.113.1/24 198.51.100.7/32 8.8.8.8/32; do
    ns world ip addr add "$address" dev eth0
done
daemons_init /etc/ufw /etc/default /lib/ufw
ufw() { inside ufw "$@" >/dev/null; }
ufw default deny incoming
ufw default allow outgoing
ufw allow 22/tcp
ufw deny 8080/tcp
ufw --force enable
docker_start
docker_container web -p 8080:80/tcp
web=$(docker_port web)

lab_say world 203.0.113.20
lab_say host 203.0.113.1
lab_say web 172.17.0.1
lab_say host 172.17.0.2
sleep 0.5
rm -rf traces host
mkdir traces
lab_rules host .
ns host nft list ruleset 2>/dev/null >ruleset.nft
ns host iptables-nft-save -c >iptables-save.txt
ns host ip6tables-nft-save -c >ip6tables-save.txt
lab_host host host
versions nft ufw dockerd iptables-nft >versions.txt
lab_trace_on host ip bridge
t() { lab_flow host "traces/$1.txt" "${@:2}" --sysctl net.bridge.bridge-nf-call-iptables=1; }
t world-published world web  'tcp:198.51.100.7:40000->203.0.113.20:8080' eth0 --listen 80 --title 'ufw denies it, Docker publishes it'
t world-ssh       world host 'tcp:198.51.100.7:40001->203.0.113.20:22' eth0 --title 'ufw allows it'
t world-closed    world host 'tcp:198.51.100.7:40002->203.0.113.20:3306' eth0 --title 'nothing allows it'
t container-out   web   world 'udp:172.17.0.2:40003->8.8.8.8:53' "$web" --title 'a container asks the world'
t container-host  web   host 'tcp:172.17.0.2:40004->172.17.0.1:3306' "$web" --title 'a container asks the host'
t host-out        host  world 'udp:203.0.113.20:40005->8.8.8.8:53' - --title 'the host asks the world'
