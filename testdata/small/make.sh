#!/usr/bin/env bash
# Small rulesets, each for one line of how the kernel behaves. Every case is
#
#     ruleset NAME 'what it pins' <<'NFT' … NFT      builds the host and loads
#     flow TRACE FROM TO FLOW IIF [OPTIONS]          sends and traces
#
# on the same host: eth0 10.0.0.1/24 (namespace client, 10.0.0.2) and eth1
# 10.1.0.1/24 (namespace server, 10.1.0.2), forwarding on. SETUP holds shell
# commands for the host, run before the ruleset is loaded.
# Run as root; `make.sh NAME…` makes only these.
set -eu
cd "$(dirname "$0")"
# shellcheck source=../lib/lab.sh
. ../lib/lab.sh

lab_init conntrack
ONLY=" $* "
SETUP=''
TRACE_FAMILIES=ip
CURRENT=

ruleset() {
    CURRENT=$1
    local title=$2 text
    text=$(cat)
    if [ "$ONLY" != "  " ] && [[ $ONLY != *" $1 "* ]]; then
        CURRENT=
        SETUP='' TRACE_FAMILIES=ip
        return
    fi
    lab_cleanup
    lab_ns host client server
    lab_wire host eth0 02:00:0a:00:00:01 client eth0 02:00:0a:00:00:02
    lab_wire host eth1 02:00:0a:01:00:01 server eth0 02:00:0a:01:00:02
    ns host ip addr add 10.0.0.1/24 dev eth0
    ns host ip addr add 10.1.0.1/24 dev eth1
    ns client ip addr add 10.0.0.2/24 dev eth0
    ns client ip route add default via 10.0.0.1
    ns server ip addr add 10.1.0.2/24 dev eth0
    ns server ip route add default via 10.1.0.1
    ns host sysctl -qw net.ipv4.ip_forward=1
    [ -z "$SETUP" ] || ns host sh -eu -c "$SETUP"
    lab_say client 10.0.0.1
    lab_say server 10.1.0.1
    lab_say host 10.0.0.2
    lab_say host 10.1.0.2
    sleep 0.3
    rm -rf "$CURRENT"
    mkdir -p "$CURRENT/traces"
    printf '# %s\n%s\n' "$title" "$text" >"$CURRENT/ruleset.nft"
    ns host nft -f "$CURRENT/ruleset.nft"
    lab_rules host "$CURRENT"
    lab_host host "$CURRENT/host"
    # there is no bridge here
    rm -f "$CURRENT/host/"bridge-*.json
    # shellcheck disable=SC2086  # a list
    lab_trace_on host $TRACE_FAMILIES
    SETUP='' TRACE_FAMILIES=ip
}

flow() {
    [ -n "$CURRENT" ] || return 0
    lab_flow host "$CURRENT/traces/$1.txt" "${@:2}"
}

CLIENT_SERVER='udp:10.0.0.2:40000->10.1.0.2:5000'
CLIENT_HOST='udp:10.0.0.2:40000->10.0.0.1:5000'

# ---- verdicts --------------------------------------------------------------

ruleset accept-is-not-final 'accept ends one base chain; the next one of the hook still runs' <<'NFT'
table ip early {
	chain forward {
		type filter hook forward priority -10; policy accept;
		jump deep
		counter comment "never reached by udp"
	}
	chain deep {
		udp dport 5000 accept
	}
}
table ip late {
	chain forward {
		type filter hook forward priority 10; policy accept;
		udp dport 5000 drop
	}
}
NFT
flow forward client server "$CLIENT_SERVER" eth0
flow tcp client server 'tcp:10.0.0.2:40000->10.1.0.2:80' eth0

ruleset goto-return-policy 'goto does not push: its end resumes behind the last jump, or gives the policy' <<'NFT'
table ip t {
	chain forward {
		type filter hook forward priority 0; policy accept;
		udp dport 5000 jump one
		udp dport 5000 counter comment "after the jump"
		udp dport 5001 goto two
		udp dport 5001 drop comment "never reached"
		udp dport 5002 return
		udp dport 5002 drop comment "never reached"
		udp dport 5003 jump empty
		udp dport 5003 goto empty
		udp dport 5003 drop comment "never reached"
	}
	chain one {
		goto two
		drop comment "never reached"
	}
	chain two {
		counter
		jump three
		counter
	}
	chain three {
		return
		drop comment "never reached"
	}
	chain empty {
	}
}
NFT
flow goto-in-jump client server "$CLIENT_SERVER" eth0
flow goto-in-base client server 'udp:10.0.0.2:40000->10.1.0.2:5001' eth0
flow return-in-base client server 'udp:10.0.0.2:40000->10.1.0.2:5002' eth0
flow empty-chains client server 'udp:10.0.0.2:40000->10.1.0.2:5003' eth0

ruleset vmap-and-map 'a look-up that misses ends the rule; statements before it have taken effect' <<'NFT'
table ip t {
	map marks {
		type inet_service : mark
		elements = { 5000 : 0x11 }
	}
	chain forward {
		type filter hook forward priority 0; policy drop;
		meta mark set 0x1 udp dport vmap { 5000 : jump known, 5001 : accept }
		meta mark set udp dport map @marks counter
		meta mark 0x1 udp dport 5002 accept
		ip saddr . ip daddr vmap { 10.0.0.2 . 10.1.0.2 : continue }
		meta mark 0x11 udp dport 5000 accept
	}
	chain known {
		counter
	}
}
NFT
flow hit client server "$CLIENT_SERVER" eth0
flow hit-accept client server 'udp:10.0.0.2:40000->10.1.0.2:5001' eth0
flow miss client server 'udp:10.0.0.2:40000->10.1.0.2:5002' eth0

ruleset reject-forward 'reject drops and sends an answer through the output hooks' <<'NFT'
table inet t {
	chain forward {
		type filter hook forward priority 0; policy accept;
		udp dport 5000 reject
		udp dport 5001 reject with icmpx admin-prohibited
		tcp dport 80 reject with tcp reset
		tcp dport 81 reject
	}
	chain output {
		type filter hook output priority 0; policy accept;
		counter
	}
	chain post {
		type filter hook postrouting priority 0; policy accept;
		counter
	}
}
NFT
flow udp client server "$CLIENT_SERVER" eth0
flow udp-prohibited client server 'udp:10.0.0.2:40000->10.1.0.2:5001' eth0
flow tcp-reset client server 'tcp:10.0.0.2:40000->10.1.0.2:80' eth0
flow tcp-icmp client server 'tcp:10.0.0.2:40000->10.1.0.2:81' eth0

ruleset output-drop-and-reject 'a drop at output fails the sender; a reject there answers through loopback' <<'NFT'
table ip t {
	chain output {
		type filter hook output priority 0; policy accept;
		udp dport 5000 drop
		udp dport 5001 reject
	}
	chain input {
		type filter hook input priority 0; policy accept;
	}
}
NFT
flow drop host server 'udp:10.1.0.1:40000->10.1.0.2:5000' -
flow reject host server 'udp:10.1.0.1:40000->10.1.0.2:5001' -

# ---- the order of hooks and chains -----------------------------------------

ruleset nat-priority-order 'a nat chain at priority 50 still runs before a filter chain at -50' <<'NFT'
table ip t {
	chain pre_filter {
		type filter hook prerouting priority -50; policy accept;
		ip daddr 10.1.0.2 counter comment "already translated"
	}
	chain pre_before {
		type filter hook prerouting priority -101; policy accept;
		ip daddr 10.0.0.1 counter comment "not yet translated"
	}
	chain pre_nat {
		type nat hook prerouting priority 50; policy accept;
		udp dport 5000 dnat to 10.1.0.2
	}
	chain pre_nat_first {
		type nat hook prerouting priority 40; policy accept;
		counter accept
	}
}
NFT
flow dnat client server "$CLIENT_HOST" eth0

ruleset equal-priority-ip-inet 'equal priority: the chain registered last runs first, over ip and inet' <<'NFT'
table ip first {
	chain c {
		type filter hook forward priority 0; policy accept;
	}
}
table inet second {
	chain c {
		type filter hook forward priority 0; policy accept;
	}
	chain d {
		type filter hook forward priority 0; policy accept;
	}
}
table ip third {
	chain c {
		type filter hook forward priority 0; policy accept;
	}
}
NFT
flow forward client server "$CLIENT_SERVER" eth0

ruleset equal-priority-nat 'nat chains of equal priority: the one registered last runs first; a filter chain at 100 beside them' <<'NFT'
table ip first {
	chain n1 {
		type nat hook postrouting priority 100; policy accept;
	}
	chain n2 {
		type nat hook postrouting priority 100; policy accept;
		ip saddr 192.0.2.1 masquerade comment "only to have connections tracked"
	}
}
table inet second {
	chain n3 {
		type nat hook postrouting priority 100; policy accept;
	}
	chain at_hundred {
		type filter hook postrouting priority 100; policy accept;
		ip saddr 10.0.0.2 counter
	}
}
NFT
flow forward client server "$CLIENT_SERVER" eth0

ruleset nat-chain-untracked 'a nat chain alone does not make the kernel track, and then no nat chain is passed' <<'NFT'
table ip t {
	chain pre {
		type nat hook prerouting priority -100; policy accept;
		counter
		udp dport 5000 drop comment "never: nothing is tracked here"
	}
	chain post {
		type nat hook postrouting priority 100; policy accept;
		counter
	}
	chain forward {
		type filter hook forward priority 0; policy accept;
		counter
	}
}
NFT
flow forward client server "$CLIENT_SERVER" eth0

ruleset ct-before-minus-200 'below -200 there is no conntrack entry: state is invalid, other keys do not match' <<'NFT'
table ip t {
	chain raw {
		type filter hook prerouting priority -300; policy accept;
		ct state invalid counter comment "always"
		ct state new drop comment "never"
		ct status != dnat drop comment "never: there is no entry"
		ct mark 0 drop comment "never"
		ct direction original drop comment "never"
	}
	chain mangle {
		type filter hook prerouting priority -150; policy accept;
		ct state new counter
		ct state established counter
		ct mark 0 counter
		ct direction original counter
		meta l4proto udp ct original proto-dst 5000 counter
	}
}
NFT
flow forward client server "$CLIENT_SERVER" eth0

ruleset ct-at-minus-200 'a chain at exactly -200: before or behind conntrack by the order of registration' <<'NFT'
table ip before_ct {
	chain c {
		type filter hook prerouting priority -200; policy accept;
	}
}
table ip uses_ct {
	chain forward {
		type filter hook forward priority 0; policy accept;
		ct state established accept
	}
}
table ip after_ct {
	chain c {
		type filter hook prerouting priority -200; policy accept;
		ct state invalid counter
		ct state new counter
	}
}
table ip before_ct {
	chain c {
		ct state invalid counter
		ct state new counter
	}
}
NFT
flow forward client server "$CLIENT_SERVER" eth0

ruleset dormant-table 'a dormant table has no hooks' <<'NFT'
table ip asleep {
	flags dormant
	chain forward {
		type filter hook forward priority 0; policy drop;
	}
}
table ip awake {
	chain forward {
		type filter hook forward priority 0; policy accept;
		counter
	}
}
NFT
flow forward client server "$CLIENT_SERVER" eth0

TRACE_FAMILIES='ip netdev:eth0'
ruleset netdev-ingress 'netdev ingress runs before prerouting, below conntrack and nat' <<'NFT'
table netdev edge {
	chain input {
		type filter hook ingress device "eth0" priority 0; policy accept;
		udp dport 5001 drop
		ip daddr 10.0.0.1 counter
	}
}
table inet also {
	chain input {
		type filter hook ingress device "eth0" priority 10; policy accept;
		counter
	}
}
table ip t {
	chain pre {
		type nat hook prerouting priority -100; policy accept;
		udp dport 5000 dnat to 10.1.0.2
	}
}
NFT
flow pass client server "$CLIENT_HOST" eth0
flow drop client server 'udp:10.0.0.2:40000->10.0.0.1:5001' eth0

# ---- nat -------------------------------------------------------------------

ruleset redirect-prerouting 'redirect: to the first address of the input device' <<'NFT'
table ip t {
	chain pre {
		type nat hook prerouting priority -100; policy accept;
		udp dport 53 redirect to :5353
		tcp dport 80 redirect to :8080
	}
	chain input {
		type filter hook input priority 0; policy drop;
		udp dport 5353 accept
		tcp dport 8080 ct original proto-dst 80 accept
	}
}
NFT
flow udp client host 'udp:10.0.0.2:40000->10.1.0.2:53' eth0 --listen 5353
flow tcp client host 'tcp:10.0.0.2:40000->10.1.0.2:80' eth0 --listen 8080

ruleset redirect-output 'redirect at output goes to loopback' <<'NFT'
table ip t {
	chain output {
		type nat hook output priority -100; policy accept;
		udp dport 53 redirect to :5353
	}
	chain pre {
		type nat hook prerouting priority -100; policy accept;
	}
	chain input {
		type nat hook input priority 100; policy accept;
	}
	chain in_filter {
		type filter hook input priority 0; policy accept;
	}
	chain post {
		type nat hook postrouting priority 100; policy accept;
	}
}
NFT
flow udp host host 'udp:10.1.0.1:40000->10.1.0.2:53' - --listen 5353

ruleset masquerade-out 'masquerade: the address of the outgoing interface; the reply passes no nat chain' <<'NFT'
table ip t {
	chain post {
		type nat hook postrouting priority 100; policy accept;
		oifname "eth1" masquerade
	}
	chain pre {
		type nat hook prerouting priority -100; policy accept;
	}
	chain forward {
		type filter hook forward priority 0; policy drop;
		ct state established,related accept
		iifname "eth0" oifname "eth1" accept
	}
}
NFT
flow udp client server "$CLIENT_SERVER" eth0
flow tcp client server 'tcp:10.0.0.2:40000->10.1.0.2:80' eth0
flow ping client server 'icmp:10.0.0.2->10.1.0.2' eth0
flow back server client 'udp:10.1.0.2:40000->10.0.0.2:5000' eth1

SETUP='ip addr add 10.1.0.9/24 dev eth1; ip addr add 10.7.0.1/24 dev eth1
    ip route change 10.1.0.0/24 dev eth1 src 10.1.0.9
    ip route add 10.8.0.0/24 via 10.7.0.2; ip neigh replace 10.7.0.2 lladdr 02:00:0a:01:00:02 dev eth1
    ip route add 10.9.0.0/24 via 10.1.0.2 src 10.1.0.9'
ruleset masquerade-address 'masquerade: the first address of the device in the next hop'"'"'s subnet; the route'"'"'s src is not asked' <<'NFT'
table ip t {
	chain post {
		type nat hook postrouting priority 100; policy accept;
		udp dport 5000 oifname "eth1" masquerade to :1024-1030
		oifname "eth1" masquerade
	}
}
NFT
[ -z "$CURRENT" ] || {
    for a in 10.7.0.2/24 10.8.0.2/24 10.9.0.2/24; do ns server ip addr add "$a" dev eth0; done
}
flow ports client server "$CLIENT_SERVER" eth0
flow route-src client server 'udp:10.0.0.2:40000->10.1.0.2:5001' eth0
flow next-hop client server 'udp:10.0.0.2:40000->10.8.0.2:5001' eth0
flow next-hop-src client server 'udp:10.0.0.2:40000->10.9.0.2:5001' eth0

ruleset dnat-to-server 'after dnat every later chain sees the new destination; the original is in ct original' <<'NFT'
table ip t {
	chain pre {
		type nat hook prerouting priority -100; policy accept;
		iifname "eth0" udp dport 8000 dnat to 10.1.0.2:5000
	}
	chain pre_second {
		type nat hook prerouting priority -90; policy accept;
		counter comment "not reached when translated"
	}
	chain forward {
		type filter hook forward priority 0; policy drop;
		udp dport 8000 accept comment "never: the port is 5000 here"
		ct status dnat udp dport 5000 ct original proto-dst 8000 accept
		ct state established ct status dnat accept
	}
	chain post {
		type nat hook postrouting priority 100; policy accept;
	}
}
NFT
flow published client server 'udp:10.0.0.2:40000->10.0.0.1:8000' eth0 --listen 5000
flow direct client server "$CLIENT_SERVER" eth0
flow not-published client host 'udp:10.0.0.2:40000->10.0.0.1:8001' eth0

ruleset dnat-to-same 'a dnat that changes nothing does not set ct status dnat' <<'NFT'
table ip t {
	chain pre {
		type nat hook prerouting priority -100; policy accept;
		udp dport 5000 dnat to 10.1.0.2:5000
	}
	chain pre_second {
		type nat hook prerouting priority -90; policy accept;
		counter
	}
	chain forward {
		type filter hook forward priority 0; policy accept;
		ct status dnat counter
	}
}
NFT
flow same client server "$CLIENT_SERVER" eth0

ruleset dnat-loopback 'dnat to 127.0.0.1 from outside is lost as a martian, without any event' <<'NFT'
table ip t {
	chain pre {
		type nat hook prerouting priority -100; policy accept;
		udp dport 5000 dnat to 127.0.0.1
	}
	chain input {
		type filter hook input priority 0; policy accept;
	}
}
NFT
flow martian client host "$CLIENT_HOST" eth0

SETUP='sysctl -qw net.ipv4.conf.eth0.route_localnet=1'
ruleset dnat-loopback-allowed 'the same with route_localnet=1 arrives' <<'NFT'
table ip t {
	chain pre {
		type nat hook prerouting priority -100; policy accept;
		udp dport 5000 dnat to 127.0.0.1
	}
	chain input {
		type filter hook input priority 0; policy accept;
	}
}
NFT
flow delivered client host "$CLIENT_HOST" eth0

ruleset output-dnat 'output: routed, translated, routed again' <<'NFT'
table ip t {
	chain out_raw {
		type filter hook output priority -300; policy accept;
		oifname "eth0" counter
	}
	chain out_nat {
		type nat hook output priority -100; policy accept;
		ip daddr 10.0.0.99 udp dport 5000 dnat to 10.1.0.2
		ip daddr 10.0.0.1 udp dport 5000 dnat to 10.1.0.2
	}
	chain out_filter {
		type filter hook output priority 0; policy accept;
		oifname "eth0" counter comment "before routing again"
		oifname "eth1" counter
	}
	chain post {
		type filter hook postrouting priority 0; policy accept;
		oifname "eth1" counter
	}
}
NFT
flow other-device host server 'udp:10.0.0.1:40000->10.0.0.99:5000' -
flow own-address host server 'udp:10.0.0.1:40000->10.0.0.1:5000' -

ruleset loopback 'the host to itself: output, postrouting, prerouting, input; nat only on the first half' <<'NFT'
table ip t {
	chain output {
		type filter hook output priority 0; policy accept;
	}
	chain out_nat {
		type nat hook output priority -100; policy accept;
	}
	chain post {
		type filter hook postrouting priority 0; policy accept;
	}
	chain post_nat {
		type nat hook postrouting priority 100; policy accept;
	}
	chain pre {
		type filter hook prerouting priority 0; policy accept;
		ct state new counter
	}
	chain pre_nat {
		type nat hook prerouting priority -100; policy accept;
	}
	chain input {
		type filter hook input priority 0; policy accept;
		iifname "lo" accept
	}
	chain in_nat {
		type nat hook input priority 100; policy accept;
	}
}
NFT
flow localhost host host 'udp:127.0.0.1:40000->127.0.0.1:5000' -
flow own-address host host 'udp:10.0.0.1:40000->10.1.0.1:5000' -
flow tcp host host 'tcp:127.0.0.1:40000->127.0.0.1:80' -
flow closed host - 'udp:127.0.0.1:40000->127.0.0.1:5009' -

ruleset snat-at-postrouting 'chains before 100 see the old source, those behind it the new one' <<'NFT'
table ip t {
	chain before {
		type filter hook postrouting priority 99; policy accept;
		ip saddr 10.0.0.2 counter
	}
	chain source {
		type nat hook postrouting priority 200; policy accept;
		ip saddr 10.0.0.0/24 oifname "eth1" snat to 10.1.0.50
	}
	chain after {
		type filter hook postrouting priority 101; policy accept;
		ip saddr 10.1.0.50 counter
		ct status snat counter
	}
}
NFT
[ -z "$CURRENT" ] || ns server ip neigh replace 10.1.0.50 lladdr 02:00:0a:01:00:01 dev eth0
flow foreign-source client server "$CLIENT_SERVER" eth0

ruleset snat-at-input 'the input hook can change the source, seen by the chains behind 100' <<'NFT'
table ip t {
	chain source {
		type nat hook input priority 100; policy accept;
		udp dport 5000 snat to 10.0.0.77
	}
	chain input {
		type filter hook input priority 0; policy accept;
		ip saddr 10.0.0.2 counter
	}
	chain after {
		type filter hook input priority 110; policy accept;
		ip saddr 10.0.0.77 counter
	}
}
NFT
flow local client host "$CLIENT_HOST" eth0

ruleset notrack 'notrack: state untracked, no nat' <<'NFT'
table ip t {
	chain raw {
		type filter hook prerouting priority -300; policy accept;
		udp dport 5000 notrack
	}
	chain pre {
		type nat hook prerouting priority -100; policy accept;
		udp dport { 5000, 5001 } dnat to 10.1.0.2
	}
	chain input {
		type filter hook input priority 0; policy accept;
		ct state untracked counter
		ct state new counter
	}
	chain forward {
		type filter hook forward priority 0; policy accept;
		ct state untracked counter
		ct state new counter
	}
}
NFT
flow untracked client host "$CLIENT_HOST" eth0
flow tracked client server 'udp:10.0.0.2:40000->10.0.0.1:5001' eth0

# ---- what a match means ----------------------------------------------------

ruleset tcp-dport-ne 'tcp dport != 22 never matches udp: the dependency stays positive' <<'NFT'
table inet t {
	chain forward {
		type filter hook forward priority 0; policy accept;
		tcp dport != 22 drop
		th dport != 5000 counter comment "tcp and udp alike"
		ip6 saddr != ::1 drop comment "never matches ipv4"
		meta l4proto != tcp counter
		icmp type != echo-request drop comment "only icmp; drops its reply"
	}
}
NFT
flow udp client server "$CLIENT_SERVER" eth0
flow tcp client server 'tcp:10.0.0.2:40000->10.1.0.2:80' eth0
flow ssh client server 'tcp:10.0.0.2:40000->10.1.0.2:22' eth0
flow ping client server 'icmp:10.0.0.2->10.1.0.2' eth0

ruleset set-interval-concat 'interval sets, concatenations with ranges, wildcards of interface names' <<'NFT'
table inet t {
	set nets {
		type ipv4_addr
		flags interval
		auto-merge
		elements = { 10.0.0.0/25, 10.0.0.128-10.0.0.200, 192.168.0.0/16 }
	}
	set services {
		type ipv4_addr . inet_proto . inet_service
		flags interval
		elements = { 10.1.0.0/24 . udp . 5000-5009, 10.1.0.2 . tcp . 80 }
	}
	map verdicts {
		type ifname . inet_service : verdict
		elements = { "eth0" . 5000 : accept, "eth1" . 40000 : accept }
	}
	chain forward {
		type filter hook forward priority 0; policy drop;
		ip saddr != @nets ip daddr != @nets counter comment "neither end"
		ip saddr @nets ip daddr . meta l4proto . th dport @services counter
		iifname "eth*" counter
		iifname "eth0*" counter
		iifname . th dport vmap @verdicts
		tcp flags & (syn | ack) == syn tcp dport 80 accept
		tcp flags syn,ack / syn,ack counter accept
		tcp flags & syn == 0 accept
		udp dport 5002-5004 accept
		udp sport { 5002-5004 } accept
	}
}
NFT
flow vmap client server "$CLIENT_SERVER" eth0
flow range client server 'udp:10.0.0.2:40001->10.1.0.2:5003' eth0
flow flags client server 'tcp:10.0.0.2:40000->10.1.0.2:80' eth0
flow outside client server 'udp:10.0.0.2:40001->10.1.0.2:5010' eth0

# ---- routing and host checks between the chains ----------------------------

SETUP='sysctl -qw net.ipv4.ip_forward=0'
ruleset forwarding-off 'without ip_forward the packet dies behind prerouting, without any event' <<'NFT'
table ip t {
	chain pre {
		type filter hook prerouting priority 0; policy accept;
	}
	chain forward {
		type filter hook forward priority 0; policy accept;
	}
	chain input {
		type filter hook input priority 0; policy accept;
	}
}
NFT
flow lost client server "$CLIENT_SERVER" eth0

SETUP='ip route add unreachable 10.2.0.0/24; ip route add blackhole 10.3.0.0/24; ip route add prohibit 10.4.0.0/24'
ruleset routes-that-drop 'unreachable and prohibit answer, blackhole is silent, no route answers; no rule to blame' <<'NFT'
table ip t {
	chain pre {
		type filter hook prerouting priority 0; policy accept;
	}
	chain forward {
		type filter hook forward priority 0; policy accept;
	}
	chain output {
		type filter hook output priority 0; policy accept;
	}
}
NFT
flow unreachable client - 'udp:10.0.0.2:40000->10.2.0.1:5000' eth0
flow blackhole client - 'udp:10.0.0.2:40000->10.3.0.1:5000' eth0
flow prohibit client - 'udp:10.0.0.2:40000->10.4.0.1:5000' eth0
flow no-route client - 'udp:10.0.0.2:40000->10.5.0.1:5000' eth0
flow host-no-route host - 'udp:10.0.0.1:40000->10.5.0.1:5000' -

SETUP='sysctl -qw net.ipv4.conf.all.rp_filter=1; ip route add 10.0.0.2/32 dev eth1'
ruleset rp-filter-strict 'strict rp_filter drops behind prerouting, without any event' <<'NFT'
table ip t {
	chain pre {
		type filter hook prerouting priority 0; policy accept;
		fib saddr . iif oif missing counter comment "the same question, asked by a rule"
	}
	chain forward {
		type filter hook forward priority 0; policy accept;
	}
}
NFT
# the filter holds for ARP too
[ -z "$CURRENT" ] || ns client ip neigh replace 10.0.0.1 lladdr 02:00:0a:00:00:01 dev eth0
flow lost client server "$CLIENT_SERVER" eth0

SETUP='ip route add table 100 default via 10.1.0.2; ip rule add fwmark 0x64 table 100 priority 1000'
ruleset fwmark-route 'a mark set before the routing decision takes part in it' <<'NFT'
table ip t {
	chain pre {
		type filter hook prerouting priority -150; policy accept;
		udp dport 5000 meta mark set 0x64
	}
	chain forward {
		type filter hook forward priority 0; policy accept;
		oifname "eth1" counter
	}
	chain output {
		type route hook output priority -150; policy accept;
		udp dport 5000 meta mark set 0x64
	}
	chain out_after {
		type filter hook output priority 0; policy accept;
		oifname "eth0" counter
		oifname "eth1" counter
	}
	chain post {
		type filter hook postrouting priority 0; policy accept;
		oifname "eth1" counter
	}
}
NFT
flow marked client - 'udp:10.0.0.2:40000->10.9.0.1:5000' eth0
flow unmarked client - 'udp:10.0.0.2:40000->10.9.0.1:5001' eth0
flow host-rerouted host - 'udp:10.0.0.1:40000->10.0.0.2:5000' -

ruleset fib-types 'fib daddr type is a look-up in the host'"'"'s own routing table' <<'NFT'
table ip t {
	chain pre {
		type filter hook prerouting priority -150; policy accept;
		fib daddr type local counter
		fib daddr . iif type local counter comment "only an address of this device"
		fib daddr type unicast counter
		fib daddr type broadcast counter
		fib saddr type local counter comment "never from outside"
		fib saddr . iif oif "eth0" counter
		fib daddr oif "eth1" counter
	}
}
NFT
flow local client host "$CLIENT_HOST" eth0
flow other-own-address client host 'udp:10.0.0.2:40000->10.1.0.1:5000' eth0
flow forward client server "$CLIENT_SERVER" eth0
