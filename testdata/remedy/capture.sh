#!/usr/bin/env bash
# What the real firewalld and the real ufw make of the commands that
# `nfpath explain --remedy` prints. Run as root; needs firewalld, dbus-daemon,
# ufw, iptables-nft. Nothing outside a temporary directory is written but this
# folder.
set -eu
cd "$(dirname "$0")"
# shellcheck source=../lib/lab.sh
. ../lib/lab.sh
# shellcheck source=../lib/daemons.sh
. ../lib/daemons.sh

lab_init firewalld dbus-daemon ufw iptables-nft-save
router() {
    lab_ns host world inside
    lab_wire host eth0 52:54:00:0f:00:0a world eth0 52:54:00:0f:00:01
    lab_wire host eth1 52:54:00:0f:01:0a inside eth0 52:54:00:0f:01:02
    ns host ip addr add 203.0.113.20/24 brd 203.0.113.255 dev eth0
    ns host ip addr add 192.168.7.1/24 brd 192.168.7.255 dev eth1
    ns host ip route add default via 203.0.113.1
    ns host sysctl -qw net.ipv4.ip_forward=1
}

# made FILE COMMAND…: the command, and the lines it added to the rules
made() {
    local file=$1
    shift
    rules >"$WORK/before"
    inside sh -c "$*" >/dev/null
    if [ "$file" = firewalld ]; then inside firewall-cmd --reload >/dev/null; fi
    rules >"$WORK/after"
    { printf '$ %s\n' "$*"; diff "$WORK/before" "$WORK/after" | sed -n 's/^> //p'; echo; } >>"$file.txt"
}

router
daemons_init /etc/firewalld
daemon dbus dbus-daemon --system --nofork --nopidfile
wait_for 10 inside test -S /run/dbus/system_bus_socket
daemon firewalld firewalld --nofork --nopid
wait_for 20 inside firewall-cmd --state
# eth0 is in the zone public only because that is the default
inside firewall-cmd --permanent --zone=internal --add-interface=eth1 >/dev/null
inside firewall-cmd --reload >/dev/null
# each line behind its chain, without the handles, which each reload changes
rules() { ns host nft list table inet firewalld | awk '$1 == "chain" { chain = $2; next } chain && NF && $1 != "}" { sub(/^[ \t]+/, ""); print chain ": " $0 }'; }
mkdir -p firewalld
lab_rules host firewalld
lab_host host firewalld/host
: >firewalld.txt
while read -r line; do [ -z "$line" ] || made firewalld "$line"; done <firewalld.commands
versions firewalld nft >versions.txt
daemons_stop

router
daemons_init /etc/ufw /etc/default /lib/ufw
quiet() { inside "$@" >/dev/null; }
quiet ufw default deny incoming
quiet ufw default deny routed
quiet ufw allow 22/tcp
quiet ufw deny 8080/tcp
quiet ufw --force enable
rules() { ns host iptables-nft-save | grep '^-A ufw-user' ; ns host ip6tables-nft-save | grep '^-A ufw6-user'; }
mkdir -p ufw
lab_rules host ufw
ns host iptables-nft-save -c >ufw/iptables-save.txt
ns host ip6tables-nft-save -c >ufw/ip6tables-save.txt
lab_host host ufw/host
: >ufw.txt
while read -r line; do [ -z "$line" ] || made ufw "$line"; done <ufw.commands
versions ufw iptables-nft >>versions.txt
