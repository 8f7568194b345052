# shellcheck shell=bash
# Real daemons in the namespaces of a laboratory. Source after lab.sh.
#
# The daemons run in the network of the namespace `host` and in a mount
# namespace with a /run of its own. Everything they write is in a temporary
# directory; daemons_stop ends them and removes it.

# daemons_init [DIR…]: the mount namespace; each DIR (such as /etc/firewalld)
# is a copy in it. Call it after `lab_ns host`.
daemons_init() {
    local dir copy
    [ -e /proc/sys/net/bridge ] || modprobe br_netfilter
    WORK=$(mktemp -d)
    export DOCKER_HOST=unix://$WORK/docker.sock
    DAEMONS=()
    trap daemons_stop EXIT
    mkdir "$WORK/ns"
    mount --bind "$WORK/ns" "$WORK/ns"
    mount --make-private "$WORK/ns"
    : >"$WORK/ns/mnt"
    unshare --mount="$WORK/ns/mnt" sh -eu -c '
        mount -t tmpfs tmpfs /run
        mkdir -p /run/dbus /run/lock /run/xtables'
    for dir in "$@"; do
        copy=$WORK/copy$dir
        mkdir -p "$copy"
        cp -a "$dir/." "$copy"
        inside mount --bind "$copy" "$dir"
    done
}

daemons_stop() {
    local pid ids
    ids=$(docker ps -aq 2>/dev/null || true)
    # shellcheck disable=SC2086
    [ -z "$ids" ] || docker rm -f $ids >/dev/null 2>&1 || true
    for pid in "${DAEMONS[@]}"; do
        kill "$pid" 2>/dev/null || true
        wait "$pid" 2>/dev/null || true
    done
    # what the daemons started and left behind
    for pid in $(ip netns pids "$LAB_PREFIX-host" 2>/dev/null); do
        kill "$pid" 2>/dev/null || true
    done
    lab_cleanup
    umount "$WORK/ns/mnt" 2>/dev/null || true
    umount "$WORK/ns" 2>/dev/null || true
    rm -rf "$WORK" 2>/dev/null || true
}

# inside COMMAND…: in the host's network and with the private mounts
inside() { nsenter --net="/run/netns/$LAB_PREFIX-host" --mount="$WORK/ns/mnt" "$@"; }
# daemon LOG COMMAND…: the same, in the background
daemon() {
    local log=$1
    shift
    # exec: the process id is then the daemon's own
    (exec nsenter --net="/run/netns/$LAB_PREFIX-host" --mount="$WORK/ns/mnt" "$@") \
        >"$WORK/$log.log" 2>&1 &
    DAEMONS=("$!" "${DAEMONS[@]}")
}
# wait_for SECONDS COMMAND…
wait_for() {
    local tries=$(($1 * 5))
    shift
    until "$@" >/dev/null 2>&1; do
        tries=$((tries - 1))
        [ $tries -gt 0 ] || { echo "gave up waiting for: $*" >&2; tail -n 20 "$WORK"/*.log >&2; exit 1; }
        sleep 0.2
    done
}

# docker_start: dockerd, and the image `lab:1` of static busybox
docker_start() {
    daemon dockerd dockerd --host "$DOCKER_HOST" --data-root "$WORK/data" --exec-root "$WORK/exec" \
        --pidfile "$WORK/docker.pid" --storage-driver vfs --userland-proxy=false
    wait_for 30 docker info
    mkdir -p "$WORK/image/bin"
    cp "$(command -v busybox)" "$WORK/image/bin/busybox"
    tar -C "$WORK/image" -c . | docker import - lab:1 >/dev/null
}

# docker_container NAME OPTION…: a container that sleeps; its network is then
# the namespace NAME of the laboratory
docker_container() {
    local name=$1
    shift
    docker run -d --name "$name" "$@" lab:1 /bin/busybox sleep 100000 >/dev/null
    ip netns attach "$LAB_PREFIX-$name" "$(docker inspect -f '{{.State.Pid}}' "$name")"
    LAB_NAMESPACES+=("$name")
}

# docker_port NS: the bridge port a container hangs on
docker_port() {
    local index
    index=$(ns "$1" cat /sys/class/net/eth0/iflink)
    ns host ip -o link | sed -n "s/^$index: \([^@:]*\)[@:].*/\1/p"
}

# versions PROGRAM…: what was run
versions() {
    local program
    for program in "$@"; do
        case $program in
        firewalld) echo "firewalld $(inside firewall-cmd --version)" ;;
        libvirtd) "$program" --version 2>/dev/null ;;
        ufw) command ufw version | head -n 1 ;;
        *) "$program" --version | head -n 1 ;;
        esac
    done
    echo "Linux $(uname -r)"
}
