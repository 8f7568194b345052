#!/usr/bin/env python3
"""Send one flow through a laboratory host and keep what its kernel did.

    flow.py trace --host NS --from NS [--to NS] --flow PROTO:SRC:SPORT->DST:DPORT
                  --iif DEV|- --out FILE [--listen PORT] [--sysctl TEXT] [--title TEXT]

`nft -a -n monitor trace` runs in the host's namespace while a packet is really
sent from one namespace and answered in another. The file says in `#` lines
what was sent, what arrived and which answer came back; below them stand nft's
lines, unchanged, sorted into the packets they belong to:

    # request   the flow's first packet
    # reply     the receiver's first packet back
    # answer    what the traced host itself sent back (ICMP error, TCP reset)
    # redirect  ICMP redirects it sent on the way

Within a section the lines are in the order of time.
"""
import argparse
import json
import os
import re
import select
import socket
import struct
import subprocess
import sys
import time

REQUEST = b"request-" * 4          # 32 bytes: the request is 60 bytes of IP
REPLY = b"the-reply-" * 4          # 40 bytes: the reply is 68 bytes of IP
REQUEST_LENGTH, REPLY_LENGTH = 28 + len(REQUEST), 28 + len(REPLY)
PATIENCE = 0.7     # less than TCP waits before it sends again
IP_PKTINFO, IP_RECVERR, IP_RECVTTL, IP_TTL = 8, 11, 12, 2


def parse_flow(text):
    proto, rest = text.split(":", 1)
    src, dst = rest.split("->")

    def end(part):
        host, _, port = part.partition(":")
        return host, int(port or 0)
    return (proto, *end(src), *end(dst))


def say(**facts):
    print(json.dumps(facts), flush=True)


# ---- in the receiver's namespace -------------------------------------------

def receive(args):
    proto = args.proto
    if proto == "udp":
        s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        s.setsockopt(socket.SOL_IP, IP_PKTINFO, 1)
        s.setsockopt(socket.SOL_IP, IP_RECVTTL, 1)
        s.bind(("0.0.0.0", args.listen))
        say(ready=True)
        s.settimeout(PATIENCE + 1)
        while True:
            try:
                data, anc, _, peer = s.recvmsg(2048, 256)
            except socket.timeout:
                return
            dst, ttl = "?", 0
            for level, kind, value in anc:
                if (level, kind) == (socket.SOL_IP, IP_PKTINFO):
                    dst = socket.inet_ntoa(value[8:12])
                if (level, kind) == (socket.SOL_IP, IP_TTL):
                    ttl = struct.unpack("i", value)[0]
            if data != REQUEST:
                continue
            say(src=f"{peer[0]}:{peer[1]}", dst=f"{dst}:{args.listen}", ttl=ttl)
            time.sleep(0.05)
            # answer from the address that was asked
            info = struct.pack("I4s4s", 0, socket.inet_aton(dst), b"\0" * 4)
            try:
                s.sendmsg([REPLY], [(socket.SOL_IP, IP_PKTINFO, info)], 0, peer)
            except OSError as e:
                say(reply_error=str(e))
            return
    if proto == "tcp":
        s = socket.socket()
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        s.bind(("0.0.0.0", args.listen))
        s.listen(4)
        s.settimeout(PATIENCE + 1)
        say(ready=True)
        try:
            c, peer = s.accept()
        except socket.timeout:
            return
        here = c.getsockname()
        say(src=f"{peer[0]}:{peer[1]}", dst=f"{here[0]}:{here[1]}")
        time.sleep(0.1)
        c.close()
        return
    if proto == "icmp":
        s = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)
        s.settimeout(PATIENCE + 1)
        say(ready=True)
        while True:
            try:
                data, _ = s.recvfrom(2048)
            except socket.timeout:
                return
            if data[20] == 8 and REQUEST in data:
                say(src=socket.inet_ntoa(data[12:16]), dst=socket.inet_ntoa(data[16:20]), ttl=data[8])
                return


# ---- in the sender's namespace ---------------------------------------------

def extended_error(anc):
    for level, kind, value in anc:
        if (level, kind) == (socket.SOL_IP, IP_RECVERR):
            number, origin, icmp_type, code = struct.unpack("IBBB", value[:7])
            offender = socket.inet_ntoa(value[20:24]) if len(value) >= 24 else "?"
            if origin == 2:
                return f"ICMP type {icmp_type} code {code} from {offender}"
            return f"local error: {os.strerror(number)}"
    return None


def checksum(data):
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def send(args):
    proto, src, sport, dst, dport = parse_flow(args.flow)
    if proto == "tcp":
        s = socket.socket()
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if args.mark:
            s.setsockopt(socket.SOL_SOCKET, socket.SO_MARK, args.mark)
        s.bind((src, sport))
        s.settimeout(PATIENCE)
        try:
            s.connect((dst, dport))
            say(reply=f"arrived from {dst}:{dport} (connection established)")
            time.sleep(0.1)
        except socket.timeout:
            say(reply="none")
        except OSError as e:
            say(reply=f"connect failed: {e.strerror}")
        return
    if proto == "udp":
        s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        s.bind((src, sport))
        packet = REQUEST
    else:
        s = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)
        s.bind((src, 0))
        body = struct.pack("!BBHHH", 8, 0, 0, args.icmp_id, 1) + REQUEST
        packet = body[:2] + struct.pack("!H", checksum(body)) + body[4:]
    if args.mark:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_MARK, args.mark)
    s.setsockopt(socket.SOL_IP, IP_RECVERR, 1)
    try:
        s.sendto(packet, (dst, dport))
    except OSError as e:
        say(reply=f"sending failed: {e.strerror}")
        return
    deadline = time.time() + PATIENCE
    error = None
    while time.time() < deadline:
        poll = select.poll()
        poll.register(s, select.POLLIN)
        for _, event in poll.poll(100):
            try:
                if event & select.POLLERR:
                    _, anc, _, _ = s.recvmsg(2048, 512, 0x2000)
                    error = extended_error(anc) or error
                    if error:
                        say(reply=error)
                        return
                if event & select.POLLIN:
                    data, peer = s.recvfrom(2048)
                    if proto == "udp" and data == REPLY:
                        say(reply=f"arrived from {peer[0]}:{peer[1]}")
                        return
                    if proto == "icmp" and data[20] == 0 and REQUEST in data:
                        say(reply=f"arrived from {peer[0]}")
                        return
            except OSError:
                pass
    say(reply="none")


# ---- the orchestra ---------------------------------------------------------

def kind_of(line, flow):
    """request, reply, answer, redirect or later: by the packet line nft printed."""
    proto = flow[0]
    m = re.search(r" icmp type (\S+)", line)
    if m or " ip protocol 1 " in line or " ip protocol icmp " in line:
        kind = m.group(1) if m else "?"
        if proto == "icmp":
            if kind in ("echo-request", "8"):
                return "request"
            if kind in ("echo-reply", "0"):
                return "reply"
        if kind in ("redirect", "5"):
            return "redirect"
        # errors of other conversations are none of ours
        return "answer" if f" ip daddr {flow[1]} " in line else "later"
    if proto == "udp" and " udp " in line:
        length = int(re.search(r" ip length (\d+)", line).group(1))
        return {REQUEST_LENGTH: "request", REPLY_LENGTH: "reply"}.get(length, "later")
    if proto == "tcp" and " tcp " in line:
        flags = re.search(r" tcp flags (?:== )?(.+?) tcp window", line).group(1).replace(" ", "")
        if flags in ("syn", "0x2", "0x02"):
            return "request"
        if flags in ("syn|ack", "0x12", "ack|syn"):
            return "reply"
        if "rst" in flags or flags in ("0x14", "0x4", "0x04"):
            return "answer"
    return "later"


def sort_lines(lines, flow):
    """The lines of each packet. Every base chain a packet enters begins with
    a packet line of the same trace id, which says whose the next ones are."""
    current, sections = {}, {"request": [], "reply": [], "answer": [], "redirect": []}
    for line in lines:
        m = re.match(r"trace id (\S+) ", line)
        if not m:
            continue
        if " packet: " in line:
            current[m.group(1)] = kind_of(line, flow)
        kind = current.get(m.group(1), "later")
        if kind == "answer" and flow[0] == "tcp" and sections["reply"]:
            continue            # the reset that ends an answered connection
        if kind in sections:
            sections[kind].append(line)
    return sections


def in_ns(name, *command):
    return ["ip", "netns", "exec", name, *command]


def facts_of(process):
    facts = {}
    for line in process.communicate(timeout=PATIENCE + 5)[0].splitlines():
        facts.update(json.loads(line))
    return facts


def trace(args):
    flow = parse_flow(args.flow)
    me = os.path.abspath(__file__)
    subprocess.run(in_ns(args.host, "conntrack", "-F"), stderr=subprocess.DEVNULL, check=False)

    monitor = subprocess.Popen(in_ns(args.host, "stdbuf", "-oL", "nft", "-a", "-n", "monitor", "trace"),
                               stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    time.sleep(0.25)
    receiver = None
    if args.to:
        receiver = subprocess.Popen(
            in_ns(args.to, sys.executable, me, "receive", "--proto", flow[0],
                  "--listen", str(args.listen or flow[4])), stdout=subprocess.PIPE, text=True)
        receiver.stdout.readline()
    sender = subprocess.Popen(
        in_ns(args.sender, sys.executable, me, "send", "--flow", args.flow, "--mark", str(args.mark)),
        stdout=subprocess.PIPE, text=True)
    sent = facts_of(sender)
    time.sleep(0.15)
    if receiver:
        receiver.terminate()
    seen = facts_of(receiver) if receiver else {}
    conntrack = subprocess.run(in_ns(args.host, "conntrack", "-L", "-p", flow[0]), capture_output=True,
                               text=True, check=False).stdout.splitlines()
    monitor.terminate()
    lines = monitor.communicate()[0].splitlines()

    def short(name):
        return name.removeprefix(args.prefix)
    out = [f"# flow: {args.flow}", f"# iif: {args.iif}"]
    if args.title:
        out.insert(0, f"# {args.title}")
    if args.mark:
        out.append(f"# mark: {args.mark:#x}")
    if args.sysctl:
        out.append(f"# sysctl: {args.sysctl}")
    out.append(f"# sent: by {short(args.sender)}")
    if not args.to:
        out.append("# received: nobody listens")
    elif "src" in seen:
        ttl = f", ttl {seen['ttl']}" if "ttl" in seen else ""
        out.append(f"# received: by {short(args.to)} as {seen['src']} -> {seen['dst']}{ttl}")
    else:
        out.append(f"# received: nothing reached {short(args.to)}")
    if "reply_error" in seen:
        out.append(f"# reply sent: failed: {seen['reply_error']}")
    out.append(f"# reply: {sent.get('reply', 'none')}")
    for entry in conntrack:
        port = f"sport={flow[2]} "
        if f"src={flow[1]} dst={flow[3]} " in entry and (flow[0] == "icmp" or port in entry):
            # the time-out and the use count differ from run to run
            entry = re.sub(r"^(\S+\s+\d+) \d+", r"\1", entry)
            out.append("# conntrack: " + re.sub(r"\s+", " ", re.sub(r" use=\d+$", "", entry)))
    sections = sort_lines(lines, flow)
    for name in ("request", "reply", "answer", "redirect"):
        if sections[name] or name == "request":
            out.append(f"# {name}")
            out += sections[name]
    with open(args.out, "w") as f:
        f.write("\n".join(out) + "\n")
    if args.raw:
        with open(args.raw, "w") as f:
            f.write("\n".join(lines) + "\n")
    # the request must have been seen at all
    if not sections["request"]:
        print(f"{args.out}: no trace of the request", file=sys.stderr)


def main():
    p = argparse.ArgumentParser()
    sub = p.add_subparsers(dest="command", required=True)
    t = sub.add_parser("trace")
    for name in ("--host", "--flow", "--iif", "--out"):
        t.add_argument(name, required=True)
    t.add_argument("--from", dest="sender", required=True)
    t.add_argument("--to")
    t.add_argument("--listen", type=int)
    t.add_argument("--mark", type=lambda v: int(v, 0), default=0)
    t.add_argument("--sysctl")
    t.add_argument("--title")
    t.add_argument("--prefix", default="")
    t.add_argument("--raw", help="also keep every line nft printed")
    r = sub.add_parser("receive")
    r.add_argument("--proto", required=True)
    r.add_argument("--listen", type=int, default=0)
    s = sub.add_parser("send")
    s.add_argument("--flow", required=True)
    s.add_argument("--mark", type=int, default=0)
    s.add_argument("--icmp-id", type=int, default=4711)
    args = p.parse_args()
    {"trace": trace, "receive": receive, "send": send}[args.command](args)


main()
