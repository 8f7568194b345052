use super::*;

#[track_caller]
fn one(text: &str) -> Seen {
    read_one(text).unwrap_or_else(|why| panic!("{text}: {why}"))
}

#[track_caller]
fn all(text: &str) -> (Vec<String>, Vec<String>) {
    let (found, remarks) = read("f", text.as_bytes()).expect("flows");
    let flows = found
        .iter()
        .map(|seen| seen.question.flow.to_string())
        .collect();
    (
        flows,
        remarks
            .iter()
            .map(|remark| remark.message.clone())
            .collect(),
    )
}

#[test]
fn a_kernel_log_line_of_ufw() {
    let seen = one(
        "Nov 21 10:00:00 host kernel: [ 123.456] [UFW BLOCK] IN=eth0 OUT= MAC=52:54:00:12:34:56:52:54:00:65:43:21:08:00 SRC=203.0.113.5 DST=192.0.2.10 LEN=60 TOS=0x00 PREC=0x00 TTL=51 ID=4711 DF PROTO=TCP SPT=51000 DPT=23 WINDOW=64240 RES=0x00 SYN URGP=0 MARK=0x10",
    );
    assert_eq!(
        seen.question.flow.to_string(),
        "tcp:203.0.113.5:51000->192.0.2.10:23"
    );
    assert_eq!(seen.question.iif.as_deref(), Some("eth0"));
    assert_eq!(
        (
            seen.question.mark,
            seen.question.tcp_flags,
            seen.question.length
        ),
        (16, Some(tcp::SYN), Some(60))
    );
    assert_eq!(
        seen.question.ether_dst,
        Some([0x52, 0x54, 0, 0x12, 0x34, 0x56])
    );
    assert_eq!(
        seen.question.ether_src,
        Some([0x52, 0x54, 0, 0x65, 0x43, 0x21])
    );
    assert!(!seen.question.sent_here && seen.remarks.is_empty());
}

#[test]
fn a_log_line_of_a_forwarded_packet_says_that_the_destination_may_be_translated() {
    let seen = one(
        "IN=br0 OUT=eth1 PHYSIN=veth1 MAC= SRC=10.0.0.2 DST=172.20.0.2 LEN=84 PROTO=ICMP TYPE=8 CODE=0 ID=1 SEQ=1",
    );
    assert_eq!(seen.question.icmp, Some((8, 0)));
    assert_eq!(seen.question.in_port.as_deref(), Some("veth1"));
    assert!(seen.remarks[0].contains("after a dnat"));
}

#[test]
fn a_log_line_of_output() {
    let seen = one(
        "IN= OUT=eth0 SRC=10.0.0.1 DST=10.0.0.9 LEN=40 PROTO=UDP SPT=53 DPT=4000 LEN=20 UID=101 GID=101",
    );
    assert!(seen.question.sent_here);
    assert_eq!(
        (seen.question.uid, seen.question.oif.as_deref()),
        (Some(101), Some("eth0"))
    );
}

#[test]
fn an_icmp_error_in_a_log_line_is_not_the_packet_it_repeats() {
    let seen = one(
        "IN=eth0 OUT= MAC= SRC=10.0.0.254 DST=10.0.0.1 LEN=68 PROTO=ICMP TYPE=3 CODE=1 [SRC=10.0.0.1 DST=192.0.2.1 LEN=40 PROTO=TCP SPT=1 DPT=2 ] MARK=0x1",
    );
    assert_eq!(seen.question.flow.to_string(), "icmp:10.0.0.254->10.0.0.1");
    assert_eq!(seen.question.icmp, Some((3, 1)));
}

#[test]
fn log_lines_with_missing_fields_are_named() {
    let why = |text| read_one(text).expect_err("not a flow");
    assert!(why("IN=eth0 OUT= SRC=10.0.0.1 PROTO=TCP").contains("without `DST=`"));
    assert!(why("IN=eth0 OUT= SRC=10.0.0.1 DST=10.0.0").contains("PROTO"));
    assert!(why("IN=eth0 OUT= SRC=x DST=10.0.0.1 PROTO=UDP").contains("`SRC=x`"));
}

#[test]
fn conntrack_entries() {
    let text = "\
tcp      6 431999 ESTABLISHED src=10.254.10.105 dst=10.254.10.252 sport=51234 dport=443 src=172.20.0.4 dst=10.254.10.105 sport=443 dport=51234 [ASSURED] mark=0 use=1
udp      17 29 src=10.0.0.1 dst=10.0.0.2 sport=1 dport=53 [UNREPLIED] src=10.0.0.2 dst=10.0.0.1 sport=53 dport=1 mark=5 use=1
ipv6     10 tcp      6 300 ESTABLISHED src=fd00::1 dst=fd00::2 sport=4000 dport=22 src=fd00::2 dst=fd00::1 sport=22 dport=4000 mark=0
icmpv6   58 29 src=fd00::1 dst=fd00::2 type=128 code=0 id=1 src=fd00::2 dst=fd00::1 type=129 code=0 id=1 mark=0
    [NEW] unknown  47 600 src=10.0.0.1 dst=10.0.0.2 [UNREPLIED] src=10.0.0.2 dst=10.0.0.1";
    let (flows, remarks) = all(text);
    assert_eq!(
        flows,
        [
            "tcp:10.254.10.105:51234->10.254.10.252:443",
            "udp:10.0.0.1:1->10.0.0.2:53",
            "tcp:[fd00::1]:4000->[fd00::2]:22",
            "icmp6:fd00::1->fd00::2",
            "gre:10.0.0.1->10.0.0.2",
        ]
    );
    assert!(remarks.is_empty(), "{remarks:?}");
}

#[test]
fn sockets() {
    let text = "\
Netid State  Recv-Q Send-Q Local Address:Port  Peer Address:Port Process
tcp   ESTAB  0      0      10.0.0.1:22         10.0.0.5:50000    users:((\"sshd\",pid=1,fd=4))
tcp   ESTAB  0      0      [::ffff:10.0.0.1]:40000 [::ffff:192.0.2.7]:443
tcp   LISTEN 0      128    0.0.0.0:22          0.0.0.0:*
udp   ESTAB  0      0      10.0.0.1%eth0:68    10.0.0.254:67";
    let (flows, remarks) = all(text);
    assert_eq!(
        flows,
        [
            "tcp:10.0.0.5:50000->10.0.0.1:22",
            "tcp:10.0.0.1:40000->192.0.2.7:443",
            "udp:10.0.0.1:68->10.0.0.254:67",
        ]
    );
    assert!(remarks[0].contains("0.0.0.0:22"), "{remarks:?}");
}

#[test]
fn lines_of_tcpdump_are_one_flow_a_conversation() {
    let text = "\
12:00:00.000001 IP 10.0.0.2.40000 > 10.0.0.1.22: Flags [S], seq 1, win 64240, length 0
12:00:00.000002 IP 10.0.0.1.22 > 10.0.0.2.40000: Flags [S.], seq 1, ack 2, length 0
12:00:00.1 eth0  In  IP 10.0.0.2 > 10.0.0.1: ICMP echo request, id 1, seq 1, length 64
IP6 fe80::1.5353 > ff02::fb.5353: 0 PTR (QM)? x. (30)
12:00:00.2 52:54:00:12:34:56 > 52:54:00:65:43:21, ethertype IPv4 (0x0800), length 74: 10.0.0.3.1 > 10.0.0.1.53: UDP, length 3";
    let (found, remarks) = read("f", text.as_bytes()).expect("flows");
    let flows: Vec<String> = found
        .iter()
        .map(|seen| seen.question.flow.to_string())
        .collect();
    assert_eq!(
        flows,
        [
            "tcp:10.0.0.2:40000->10.0.0.1:22",
            "icmp:10.0.0.2->10.0.0.1",
            "udp:[fe80::1]:5353->[ff02::fb]:5353",
            "udp:10.0.0.3:1->10.0.0.1:53",
        ]
    );
    assert_eq!(found[0].question.tcp_flags, Some(tcp::SYN));
    assert_eq!(
        (found[1].question.icmp, found[1].question.iif.as_deref()),
        (Some((8, 0)), Some("eth0"))
    );
    assert_eq!(
        found[3].question.ether_src,
        Some([0x52, 0x54, 0, 0x12, 0x34, 0x56])
    );
    assert!(remarks.is_empty(), "{remarks:?}");
    assert!(
        read_one("IP host.ssh > other.40000: Flags [.], ack 1")
            .expect_err("names")
            .contains("`-n`")
    );
}

#[test]
fn tables() {
    let csv = "proto,src,sport,dst,dport,iif,colour\ntcp,10.0.0.2,,10.0.0.1,22,eth0,red\nudp,10.0.0.2,5,nowhere,53,,\n";
    let (flows, remarks) = all(csv);
    assert_eq!(flows, ["tcp:10.0.0.2->10.0.0.1:22"]);
    assert!(remarks[0].contains("colour"), "{remarks:?}");
    assert!(remarks[1].contains("nowhere"), "{remarks:?}");
    let json = "{\"flow\":\"tcp:10.0.0.2->10.0.0.1:22\",\"mark\":\"0x1\"}\n{\"proto\":\"udp\",\"src\":\"fd00::1\",\"dst\":\"fd00::2\",\"dport\":53}\n{\"proto\":\n";
    let (flows, remarks) = all(json);
    assert_eq!(
        flows,
        ["tcp:10.0.0.2->10.0.0.1:22", "udp:[fd00::1]->[fd00::2]:53"]
    );
    assert_eq!(remarks.len(), 1);
}

#[test]
fn flows_one_a_line_with_comments_and_rubbish() {
    let (flows, remarks) = all("# mine\ntcp:10.0.0.2->10.0.0.1:22\n\nhello world\n");
    assert_eq!(flows, ["tcp:10.0.0.2->10.0.0.1:22"]);
    assert_eq!(remarks.len(), 1);
    assert!(read("f", b"hello\n").is_err());
    assert!(read("f", &[0xff, 0xfe, 0]).is_err());
    assert!(read("f", b"").is_err());
}

/// A pcap file of Ethernet frames.
fn capture(frames: &[Vec<u8>]) -> Vec<u8> {
    let mut file = vec![
        0xd4, 0xc3, 0xb2, 0xa1, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 4, 0, 1, 0, 0, 0,
    ];
    for frame in frames {
        let length = (frame.len() as u32).to_le_bytes();
        file.extend([0; 8]);
        file.extend(length);
        file.extend(length);
        file.extend(frame);
    }
    file
}

fn syn(src: u8, dst: u8, sport: u16, dport: u16, flags: u8) -> Vec<u8> {
    let mut frame = vec![2, 0, 0, 0, 0, dst, 2, 0, 0, 0, 0, src, 8, 0];
    frame.extend([
        0x45, 0, 0, 40, 0, 0, 0, 0, 64, 6, 0, 0, 10, 0, 0, src, 10, 0, 0, dst,
    ]);
    frame.extend(sport.to_be_bytes());
    frame.extend(dport.to_be_bytes());
    frame.extend([0, 0, 0, 0, 0, 0, 0, 0, 0x50, flags, 0, 0, 0, 0, 0, 0]);
    frame
}

#[test]
fn the_first_packet_of_each_conversation_of_a_capture() {
    let arp = vec![0xff; 14 + 28];
    let file = capture(&[
        syn(2, 1, 40000, 22, 2),
        syn(1, 2, 22, 40000, 0x12),
        arp,
        syn(3, 1, 1, 80, 0x10),
    ]);
    let (found, remarks) = read("f", &file).expect("flows");
    assert_eq!(found.len(), 2, "{found:?}");
    assert_eq!(
        found[0].question.flow.to_string(),
        "tcp:10.0.0.2:40000->10.0.0.1:22"
    );
    assert_eq!(
        (found[0].at.as_str(), found[0].question.tcp_flags),
        ("packet 1", Some(2))
    );
    assert_eq!(found[0].question.ether_src, Some([2, 0, 0, 0, 0, 2]));
    assert!(found[1].remarks[0].contains("inside a connection"));
    assert!(remarks[0].message.contains("1 of 4 packets"), "{remarks:?}");
}

#[test]
fn a_capture_that_is_cut_short_gives_what_it_has() {
    let file = capture(&[syn(2, 1, 40000, 22, 2), syn(3, 1, 1, 80, 2)]);
    let (found, remarks) = read("f", &file[..file.len() - 10]).expect("flows");
    assert_eq!(found.len(), 1);
    assert!(
        remarks[0].message.contains("cut short behind packet 1"),
        "{remarks:?}"
    );
    assert!(read("f", &file[..10]).is_err());
}

/// An Ethernet frame with a fragment of a UDP datagram.
fn fragment(offset: u16, more: bool) -> Vec<u8> {
    let mut frame = vec![0u8; 12];
    frame.extend([8, 0]);
    let field = offset | if more { 0x2000 } else { 0 };
    frame.extend([0x45, 0, 0, 36, 0, 7]);
    frame.extend(field.to_be_bytes());
    frame.extend([64, 17, 0, 0, 10, 0, 0, 2, 10, 0, 0, 1]);
    frame.extend([0x9c, 0x40, 0, 53, 0, 99, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8]);
    frame
}

#[test]
fn later_fragments_are_no_flows_without_ports() {
    let file = capture(&[fragment(0, true), fragment(2, true), fragment(4, false)]);
    let (found, remarks) = read("f", &file).expect("flows");
    assert_eq!(found.len(), 1);
    assert_eq!(
        found[0].question.flow.to_string(),
        "udp:10.0.0.2:40000->10.0.0.1:53"
    );
    assert!(found[0].remarks[0].contains("first fragment"));
    assert_eq!(remarks.len(), 1);
    assert!(
        remarks[0]
            .message
            .contains("2 of 3 packets are later fragments")
    );
}

#[test]
fn what_stands_twice_or_in_an_array_is_refused_as_a_whole() {
    let refused = |text: &str| read("f", text.as_bytes()).expect_err(text).message;
    let flow = "tcp:10.0.0.1->10.0.0.2:22";
    let object = format!("{{\"flow\": \"{flow}\"}}");
    for (text, words) in [
        (format!("[\n{object}\n]"), "`jq -c '.[]'`"),
        (format!("[{object},{object}]"), "`jq -c '.[]'`"),
        (format!("{{\n\"flow\": \"{flow}\"\n}}"), "`jq -c .`"),
        (
            format!("{{\"flow\": \"{flow}\", \"mark\": 1, \"mark\": 2}}"),
            "member `mark` stands there twice",
        ),
        (
            format!("flow,mark,Mark\n{flow},1,2"),
            "column `mark` stands there twice",
        ),
    ] {
        let why = refused(&text);
        assert!(why.contains(words), "{text}: {why}");
    }
    assert_eq!(
        all("Proto,Src,SPort,Dst,DPORT\ntcp,10.0.0.1,1,10.0.0.2,22\n").0,
        ["tcp:10.0.0.1:1->10.0.0.2:22"]
    );
}

#[test]
fn a_cut_line_of_conntrack_is_no_connection_without_ports() {
    let whole = "tcp      6 431999 ESTABLISHED src=10.0.0.1 dst=10.0.0.2 sport=5 dport=22 src=10.0.0.2 dst=10.0.0.1 sport=22 dport=5 [ASSURED] mark=0 use=1";
    for end in ["src=10.0.0.1 ", "dst=10.0.0.2 ", "sport=5 "] {
        let at = whole.find(end).expect("a part") + end.len();
        let why = read_one(&whole[..at]).expect_err(end);
        assert!(why.contains("is it cut off?"), "{why}");
    }
}

#[test]
fn a_log_line_of_a_fragment_says_so() {
    // nf_log_syslog.c, dump_ipv4_packet: no ports behind an offset
    let line = "IN=eth0 OUT= SRC=10.0.0.1 DST=10.0.0.2 LEN=1020 TOS=0x00 PREC=0x00 TTL=64 ID=7 FRAG:185 PROTO=UDP";
    let later = one(line);
    assert!(
        later.remarks[0].contains("a later fragment"),
        "{:?}",
        later.remarks
    );
    let first = one(&line.replace("FRAG:185 PROTO=UDP", "MF PROTO=UDP SPT=1 DPT=2 LEN=1500"));
    assert!(
        first.remarks[0].contains("the first fragment"),
        "{:?}",
        first.remarks
    );
}
