#!/usr/bin/env bash
# Rebuild the host of case C1, load ruleset.nft, and write again everything
# else in this folder. Run as root; needs nft, iproute2, conntrack, python3
# and a kernel with br_netfilter.
set -eu
cd "$(dirname "$0")"
# shellcheck source=../lib/lab.sh
. ../lib/lab.sh
# shellcheck source=../lib/docker-host.sh
. ../lib/docker-host.sh

lab_init conntrack bridge
[ -e /proc/sys/net/bridge ] || modprobe br_netfilter
c1_build_client
c1_build_bridge
ns host nft -f ruleset.nft
c1_warm
lab_rules host .
lab_host host host

rm -rf traces
mkdir traces
lab_trace_on host ip bridge
for nf in 1 0; do
    suffix=
    [ $nf = 1 ] || suffix=.nf0
    ns host sysctl -qw net.bridge.bridge-nf-call-iptables=$nf
    c1_flows traces "$suffix" "net.bridge.bridge-nf-call-iptables=$nf"
done
