#!/usr/bin/env bash
# The real fail2ban with an address banned from ssh, by nftables. Run as root;
# needs fail2ban, conntrack.
# Nothing outside a temporary directory is written but this folder.
set -eu
cd "$(dirname "$0")"
# shellcheck source=../lib/lab.sh
. ../lib/lab.sh
# shellcheck source=../lib/daemons.sh
. ../lib/daemons.sh

lab_init conntrack bridge fail2ban-server fail2ban-client
lab_ns host world
lab_wire host eth0 52:54:00:fb:00:0a world eth0 52:54:00:fb:00:01
ns host ip addr add 203.0.113.50/24 brd 203.0.113.255 dev eth0
ns host ip route add default via 203.0.113.1
for address in 203.0.113.1/24 198.51.100.7/32 198.51.100.8/32; do
    ns world ip addr add "$address" dev eth0
done
daemons_init /etc/fail2ban
rm -f "$WORK"/copy/etc/fail2ban/jail.d/*
: >"$WORK/auth.log"
cat >"$WORK/copy/etc/fail2ban/jail.local" <<C
[DEFAULT]
banaction = nftables[type=multiport]
backend = polling
[sshd]
enabled = true
logpath = $WORK/auth.log
C
sed -i "s#^dbfile.*#dbfile = None#; s#^logtarget.*#logtarget = $WORK/f2b.log#" "$WORK/copy/etc/fail2ban/fail2ban.conf"
client() { inside fail2ban-client -s "$WORK/f2b.sock" "$@"; }
daemon fail2ban fail2ban-server -f -s "$WORK/f2b.sock" -p "$WORK/f2b.pid" start
wait_for 20 client ping
wait_for 20 client status sshd
client set sshd banip 198.51.100.7 >/dev/null
wait_for 10 sh -c "ip netns exec $LAB_PREFIX-host nft list ruleset | grep -q 198.51.100.7"

lab_say world 203.0.113.50
lab_say host 203.0.113.1
sleep 0.5
rm -rf traces host
mkdir traces
lab_rules host .
ns host nft list ruleset >ruleset.nft
lab_host host host
versions nft fail2ban-server >versions.txt
lab_trace_on host ip
t() { lab_flow host "traces/$1.txt" "${@:2}"; }
t banned-ssh  world host 'tcp:198.51.100.7:40000->203.0.113.50:22' eth0 --title 'the banned address'
t banned-http world host 'tcp:198.51.100.7:40001->203.0.113.50:80' eth0 --title 'it may still ask for other ports'
t other-ssh   world host 'tcp:198.51.100.8:40002->203.0.113.50:22' eth0 --title 'another address'
