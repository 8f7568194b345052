# shellcheck shell=bash
# The host of case C1, without its firewall. Source after lab.sh.

C1_VETHS="proxy:2 syslog:3 radius:4 dhcp:5"

c1_build_client() {
    lab_ns host client
    lab_wire host ens192 00:50:56:00:0a:fc client eth0 00:50:56:00:0a:69
    ns host ip addr add 10.254.10.252/24 dev ens192
    ns host ip route add default via 10.254.10.1
    ns client ip addr add 10.254.10.105/24 dev eth0
    ns client ip route add 172.20.0.0/24 via 10.254.10.252
}

c1_build_bridge() {
    local pair name last
    ns host ip link add docker1 address 02:42:0a:14:00:01 type bridge
    ns host ip addr add 172.20.0.1/24 brd 172.20.0.255 dev docker1
    ns host ip link set docker1 up
    ns host sysctl -qw net.ipv4.conf.docker1.route_localnet=1
    for pair in $C1_VETHS; do
        name=${pair%:*} last=${pair#*:}
        lab_ns "$name"
        lab_wire host "veth$name" "fe:00:ac:14:00:0$last" "$name" eth0 "02:42:ac:14:00:0$last"
        ns host ip link set "veth$name" master docker1
        ns host bridge link set dev "veth$name" hairpin on
        ns "$name" ip addr add "172.20.0.$last/24" dev eth0
        ns "$name" ip route add default via 172.20.0.1
    done
    ns host sysctl -qw net.ipv4.ip_forward=1
}

# c1_warm: everybody learns everybody's link-layer address
c1_warm() {
    local name
    lab_say client 10.254.10.252
    lab_say host 10.254.10.105
    for name in proxy syslog radius dhcp; do
        lab_say "$name" 172.20.0.1
        lab_say "$name" 172.20.0.4
        lab_say radius 172.20.0.2
    done
    lab_say host 172.20.0.2
    lab_say host 172.20.0.4
    sleep 0.5
}

# c1_flows TRACE-DIR SUFFIX SYSCTL-TEXT: IF_radius and IF_proxy may name other
# bridge ports
c1_flows() {
    local dir=$1 suffix=$2 variant=$3
    t() {
        local name=$1
        shift
        lab_flow host "$dir/$name$suffix.txt" "$@" --sysctl "$variant"
    }
    t client-radius       client radius 'udp:10.254.10.105:40000->10.254.10.252:1812' ens192 \
        --title 'the headline: a RADIUS request to the published port'
    t client-proxy        client proxy  'tcp:10.254.10.105:40001->10.254.10.252:8080' ens192
    t client-syslog       client syslog 'udp:10.254.10.105:40002->10.254.10.252:514' ens192
    t radius-client       radius client 'udp:172.20.0.4:40003->10.254.10.105:5140' "${IF_radius:-vethradius}" \
        --title 'a container to the world'
    t proxy-radius        proxy  radius 'udp:172.20.0.2:40004->172.20.0.4:1812' "${IF_proxy:-vethproxy}" \
        --title 'a container to its neighbour on the same bridge'
    t radius-itself       radius radius 'udp:172.20.0.4:40005->10.254.10.252:1812' "${IF_radius:-vethradius}" \
        --title 'a container to its own published port (hairpin)'
    t proxy-published     proxy  radius 'udp:172.20.0.2:40006->10.254.10.252:1812' "${IF_proxy:-vethproxy}" \
        --title "a container to its neighbour's published port"
    t client-ssh          client host   'tcp:10.254.10.105:40007->10.254.10.252:22' ens192 \
        --title 'the host itself: service ssh is allowed in zone public'
    t client-closed       client host   'udp:10.254.10.105:40008->10.254.10.252:9999' ens192 \
        --title 'the host itself: nothing allows this port'
    t host-published      host   radius 'udp:10.254.10.252:40009->10.254.10.252:1812' - \
        --title 'the host to its own published port'
    t host-client         host   client 'udp:10.254.10.252:40010->10.254.10.105:5140' -
    t client-direct       client radius 'udp:10.254.10.105:40011->172.20.0.4:1812' ens192 \
        --title 'round the published port: the client has a route to the containers'
    t client-direct-other client radius 'udp:10.254.10.105:40012->172.20.0.4:1813' ens192 \
        --title 'round the published port, to a port that is not published'
    t client-ping         client host   'icmp:10.254.10.105->10.254.10.252' ens192
    t radius-gateway-ping radius host   'icmp:172.20.0.4->172.20.0.1' "${IF_radius:-vethradius}"
}
