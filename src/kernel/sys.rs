//! The system calls of the lab that the standard library has no words for, each behind a safe function.
//!
//! Everything `unsafe` of the program is in this file.

use std::io;
use std::mem;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};

use libc::{c_int, c_void, socklen_t};

fn check(result: c_int) -> io::Result<c_int> {
    if result < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(result)
    }
}

fn check_len(result: isize) -> io::Result<usize> {
    usize::try_from(result).map_err(|_| io::Error::last_os_error())
}

static INTERRUPTED: AtomicBool = AtomicBool::new(false);

extern "C" fn note_interrupt(_: c_int) {
    INTERRUPTED.store(true, Ordering::Relaxed);
}

/// From now on the first Ctrl-C is only noted, so that what was found can be told; the second ends the program.
pub fn note_interrupts() -> io::Result<()> {
    // SAFETY: the structure is plain data, all zero is valid, and the handler only stores into an atomic.
    unsafe {
        let mut action: libc::sigaction = mem::zeroed();
        action.sa_sigaction = note_interrupt as extern "C" fn(c_int) as libc::sighandler_t;
        action.sa_flags = libc::SA_RESETHAND | libc::SA_RESTART;
        check(libc::sigaction(libc::SIGINT, &action, std::ptr::null_mut()))?;
    }
    Ok(())
}

/// Whether Ctrl-C was pressed since [`note_interrupts`].
pub fn interrupted() -> bool {
    INTERRUPTED.load(Ordering::Relaxed)
}

/// Whether this process is root.
pub fn is_root() -> bool {
    // SAFETY: no arguments, cannot fail.
    unsafe { libc::geteuid() == 0 }
}

/// Moves the calling thread into a network namespace of its own.
pub(super) fn new_network_namespace() -> io::Result<()> {
    // SAFETY: only the calling thread changes its namespace.
    check(unsafe { libc::unshare(libc::CLONE_NEWNET) }).map(drop)
}

/// Moves the calling thread into the network namespace of an open file.
pub(crate) fn enter_network_namespace(namespace: &impl AsRawFd) -> io::Result<()> {
    // SAFETY: the descriptor is open for the time of the call.
    check(unsafe { libc::setns(namespace.as_raw_fd(), libc::CLONE_NEWNET) }).map(drop)
}

/// Moves this process into a user namespace in which it is root. The process must have one thread only.
pub(super) fn new_user_namespace() -> io::Result<()> {
    // SAFETY: these have no arguments and cannot fail.
    let (uid, gid) = unsafe { (libc::geteuid(), libc::getegid()) };
    // SAFETY: changes only what this process may do.
    check(unsafe { libc::unshare(libc::CLONE_NEWUSER) })?;
    std::fs::write("/proc/self/setgroups", "deny")?;
    std::fs::write("/proc/self/uid_map", format!("0 {uid} 1"))?;
    std::fs::write("/proc/self/gid_map", format!("0 {gid} 1"))
}

/// Lets a child inherit a descriptor.
pub(super) fn inherit(file: &impl AsRawFd) -> io::Result<()> {
    // SAFETY: F_SETFD takes a number.
    check(unsafe { libc::fcntl(file.as_raw_fd(), libc::F_SETFD, 0) }).map(drop)
}

/// The command is killed when the thread that starts it ends, however it ends.
pub(super) fn dies_with_its_parent(command: &mut Command) {
    // SAFETY: no arguments.
    let parent = unsafe { libc::getpid() };
    // SAFETY: between fork and exec only async-signal-safe functions are called.
    unsafe {
        command.pre_exec(move || {
            check(libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL))?;
            if libc::getppid() != parent {
                libc::_exit(1);
            }
            Ok(())
        });
    }
}

/// Keeps the calling thread on one processor, so that what it sends is worked off in the order of sending.
pub(super) fn stay_on_processor(number: usize) {
    // SAFETY: the set is made of zeros, which is the empty set, and lives for the call. Without success the thread
    // stays free, which is no harm.
    unsafe {
        let mut set: libc::cpu_set_t = mem::zeroed();
        libc::CPU_SET(number % libc::CPU_SETSIZE as usize, &mut set);
        libc::sched_setaffinity(0, mem::size_of_val(&set), &set);
    }
}

/// The processors that this thread may run on.
pub(super) fn processors() -> Vec<usize> {
    // SAFETY: the set lives for the call, and is read only when it was filled.
    unsafe {
        let mut set: libc::cpu_set_t = mem::zeroed();
        if libc::sched_getaffinity(0, mem::size_of_val(&set), &mut set) != 0 {
            return Vec::new();
        }
        (0..libc::CPU_SETSIZE as usize)
            .filter(|&number| libc::CPU_ISSET(number, &set))
            .collect()
    }
}

/// Sockets that this thread makes from now on belong to this user.
pub(super) fn own_sockets_as(uid: u32) {
    // SAFETY: takes a number; it cannot fail, only have no effect.
    unsafe {
        libc::setfsuid(uid);
    }
}

/// The number of a network device in this namespace.
pub(super) fn index_of(device: &str) -> io::Result<i32> {
    let name = std::ffi::CString::new(device)?;
    // SAFETY: the name ends in zero and lives for the call.
    let index = unsafe { libc::if_nametoindex(name.as_ptr()) };
    if index == 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(index as i32)
}

/// Waits until one of the descriptors can be read. Tells which.
pub(super) fn poll(descriptors: &[RawFd], milliseconds: i32) -> io::Result<Vec<bool>> {
    let mut polled: Vec<libc::pollfd> = descriptors
        .iter()
        .map(|&fd| libc::pollfd {
            fd,
            events: libc::POLLIN,
            revents: 0,
        })
        .collect();
    // SAFETY: the list lives for the call, and its length is given.
    let result = unsafe {
        libc::poll(
            polled.as_mut_ptr(),
            polled.len() as libc::nfds_t,
            milliseconds,
        )
    };
    match check(result) {
        Err(error) if error.kind() == io::ErrorKind::Interrupted => {
            Ok(vec![false; descriptors.len()])
        }
        Err(error) => Err(error),
        Ok(_) => Ok(polled.iter().map(|one| one.revents != 0).collect()),
    }
}

/// Reading does not wait.
pub(super) fn never_wait(file: &impl AsRawFd) -> io::Result<()> {
    // SAFETY: F_SETFL takes a number.
    check(unsafe { libc::fcntl(file.as_raw_fd(), libc::F_SETFL, libc::O_NONBLOCK) }).map(drop)
}

/// Nothing to read yet is `None`.
fn later<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error)
            if matches!(
                error.kind(),
                io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted
            ) =>
        {
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

fn open(family: c_int, kind: c_int, protocol: c_int) -> io::Result<OwnedFd> {
    let flags = libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK;
    // SAFETY: takes numbers.
    let fd = check(unsafe { libc::socket(family, kind | flags, protocol) })?;
    // SAFETY: the descriptor is new and nobody else's.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

fn set_option(fd: &OwnedFd, level: c_int, name: c_int, value: &[u8]) -> io::Result<()> {
    // SAFETY: the value lives for the call, and its length is given.
    let result = unsafe {
        libc::setsockopt(
            fd.as_raw_fd(),
            level,
            name,
            value.as_ptr().cast::<c_void>(),
            value.len() as socklen_t,
        )
    };
    check(result).map(drop)
}

fn set_number(fd: &OwnedFd, level: c_int, name: c_int, value: i32) -> io::Result<()> {
    set_option(fd, level, name, &value.to_ne_bytes())
}

/// What `recvmsg` said.
struct Message {
    bytes: Vec<u8>,
    name: libc::sockaddr_storage,
    /// Level, type and content of each control message.
    control: Vec<(c_int, c_int, Vec<u8>)>,
}

fn receive(fd: &OwnedFd) -> io::Result<Option<Message>> {
    let mut bytes = vec![0u8; 2048];
    let mut control = [0u64; 64];
    // SAFETY: both are plain numbers, for which zero is a value.
    let (mut name, mut header): (libc::sockaddr_storage, libc::msghdr) =
        unsafe { (mem::zeroed(), mem::zeroed()) };
    let mut part = libc::iovec {
        iov_base: bytes.as_mut_ptr().cast(),
        iov_len: bytes.len(),
    };
    header.msg_name = (&raw mut name).cast();
    header.msg_namelen = mem::size_of_val(&name) as socklen_t;
    header.msg_iov = &raw mut part;
    header.msg_iovlen = 1;
    header.msg_control = control.as_mut_ptr().cast();
    header.msg_controllen = mem::size_of_val(&control) as _;
    // SAFETY: every pointer in the header is to a local that lives for the call, with its length.
    let result = check_len(unsafe { libc::recvmsg(fd.as_raw_fd(), &raw mut header, 0) });
    let Some(length) = later(result)? else {
        return Ok(None);
    };
    bytes.truncate(length);
    let mut found = Vec::new();
    // SAFETY: the kernel filled the control buffer, whose length stands in the header; the macros walk within it, and
    // the content of a message is as long as its header says.
    unsafe {
        let mut at = libc::CMSG_FIRSTHDR(&raw const header);
        while !at.is_null() {
            let one = &*at;
            let length = (one.cmsg_len as usize).saturating_sub(libc::CMSG_LEN(0) as usize);
            let content = std::slice::from_raw_parts(libc::CMSG_DATA(at), length).to_vec();
            found.push((one.cmsg_level, one.cmsg_type, content));
            at = libc::CMSG_NXTHDR(&raw const header, at);
        }
    }
    Ok(Some(Message {
        bytes,
        name,
        control: found,
    }))
}

/// A frame that came in: the number of its device, the VLAN tag that the kernel took off, the bytes.
pub(super) type Incoming = (i32, Option<u16>, Vec<u8>);

/// Sends and receives whole Ethernet frames on every device of a namespace.
#[derive(Debug)]
pub(super) struct PacketSocket(OwnedFd);

impl PacketSocket {
    /// For the devices of the namespace that the thread is in now.
    pub fn open() -> io::Result<Self> {
        let all = (libc::ETH_P_ALL as u16).to_be();
        let fd = open(libc::AF_PACKET, libc::SOCK_RAW, c_int::from(all))?;
        set_number(&fd, libc::SOL_PACKET, libc::PACKET_AUXDATA, 1)?;
        Ok(Self(fd))
    }

    /// Sends a frame out of a device.
    pub fn send(&self, device: i32, frame: &[u8]) -> io::Result<()> {
        // SAFETY: plain numbers, for which zero is a value.
        let mut address: libc::sockaddr_ll = unsafe { mem::zeroed() };
        address.sll_family = libc::AF_PACKET as u16;
        address.sll_ifindex = device;
        address.sll_halen = 6;
        // SAFETY: frame and address live for the call, with their lengths.
        let result = unsafe {
            libc::sendto(
                self.0.as_raw_fd(),
                frame.as_ptr().cast(),
                frame.len(),
                0,
                (&raw const address).cast(),
                mem::size_of_val(&address) as socklen_t,
            )
        };
        check_len(result).map(drop)
    }

    /// A frame that came in, if one has.
    pub fn receive(&self) -> io::Result<Option<Incoming>> {
        loop {
            let Some(message) = receive(&self.0)? else {
                return Ok(None);
            };
            // SAFETY: the storage is large enough for every address, and zero where the kernel wrote nothing.
            let address: libc::sockaddr_ll =
                unsafe { std::ptr::read((&raw const message.name).cast()) };
            if address.sll_pkttype == libc::PACKET_OUTGOING {
                continue;
            }
            let tag = message.control.iter().find_map(|(level, kind, content)| {
                let ours = *level == libc::SOL_PACKET && *kind == libc::PACKET_AUXDATA;
                // struct tpacket_auxdata: status is the first word, the tag stands at byte 16
                let status = u32::from_ne_bytes(content.get(0..4)?.try_into().ok()?);
                let tag = u16::from_ne_bytes(content.get(16..18)?.try_into().ok()?);
                (ours && status & libc::TP_STATUS_VLAN_VALID != 0).then_some(tag & 0xfff)
            });
            return Ok(Some((address.sll_ifindex, tag, message.bytes)));
        }
    }
}

impl AsRawFd for PacketSocket {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}

/// What kind of IP socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Datagram,
    Stream,
    /// Whole packets of a protocol, IP header included when sending.
    Raw(u8),
}

/// An IP socket of the host under test. Never waits.
#[derive(Debug)]
pub(super) struct Socket {
    fd: OwnedFd,
    v6: bool,
}

impl Socket {
    pub fn open(v6: bool, kind: Kind) -> io::Result<Self> {
        let family = if v6 { libc::AF_INET6 } else { libc::AF_INET };
        let fd = match kind {
            Kind::Datagram => open(family, libc::SOCK_DGRAM, 0)?,
            Kind::Stream => open(family, libc::SOCK_STREAM, 0)?,
            Kind::Raw(protocol) => {
                let fd = open(family, libc::SOCK_RAW, c_int::from(protocol))?;
                if v6 {
                    set_number(&fd, libc::SOL_IPV6, libc::IPV6_HDRINCL, 1)?;
                    set_number(&fd, libc::SOL_IPV6, libc::IPV6_RECVPKTINFO, 1)?;
                } else {
                    set_number(&fd, libc::SOL_IP, libc::IP_HDRINCL, 1)?;
                }
                fd
            }
        };
        set_number(&fd, libc::SOL_SOCKET, libc::SO_REUSEADDR, 1)?;
        if v6 && kind != Kind::Raw(58) {
            // a raw socket takes no option of this kind, and needs none
            let _ = set_number(&fd, libc::SOL_IPV6, libc::IPV6_V6ONLY, 1);
        }
        Ok(Self { fd, v6 })
    }

    pub fn set_mark(&self, mark: u32) -> io::Result<()> {
        set_option(
            &self.fd,
            libc::SOL_SOCKET,
            libc::SO_MARK,
            &mark.to_ne_bytes(),
        )
    }

    pub fn set_device(&self, name: &str) -> io::Result<()> {
        set_option(
            &self.fd,
            libc::SOL_SOCKET,
            libc::SO_BINDTODEVICE,
            name.as_bytes(),
        )
    }

    /// Lets a datagram socket send to a broadcast address.
    pub fn allow_broadcast(&self) -> io::Result<()> {
        set_number(&self.fd, libc::SOL_SOCKET, libc::SO_BROADCAST, 1)
    }

    /// Closing forgets the connection instead of ending it in good order.
    pub fn close_abruptly(&self) -> io::Result<()> {
        let linger = [1i32.to_ne_bytes(), 0i32.to_ne_bytes()].concat();
        set_option(&self.fd, libc::SOL_SOCKET, libc::SO_LINGER, &linger)
    }

    pub fn bind(&self, address: SocketAddr) -> io::Result<()> {
        with_address(address, |pointer, length| {
            // SAFETY: the address lives for the call, with its length.
            unsafe { libc::bind(self.fd.as_raw_fd(), pointer, length) }
        })
    }

    pub fn listen(&self) -> io::Result<()> {
        // SAFETY: takes numbers.
        check(unsafe { libc::listen(self.fd.as_raw_fd(), 16) }).map(drop)
    }

    /// Begins to connect; that it takes time is no error.
    pub fn connect(&self, address: SocketAddr) -> io::Result<()> {
        let result = with_address(address, |pointer, length| {
            // SAFETY: the address lives for the call, with its length.
            unsafe { libc::connect(self.fd.as_raw_fd(), pointer, length) }
        });
        match result {
            Err(error) if error.raw_os_error() == Some(libc::EINPROGRESS) => Ok(()),
            other => other,
        }
    }

    pub fn send_to(&self, bytes: &[u8], address: SocketAddr) -> io::Result<()> {
        with_address(address, |pointer, length| {
            // SAFETY: bytes and address live for the call, with their lengths.
            let sent = unsafe {
                libc::sendto(
                    self.fd.as_raw_fd(),
                    bytes.as_ptr().cast(),
                    bytes.len(),
                    0,
                    pointer,
                    length,
                )
            };
            sent.min(0) as c_int
        })
    }

    /// What a raw socket received: an IPv4 packet with its header, or what is behind the IPv6 header with both addresses.
    pub fn receive(&self) -> io::Result<Option<Received>> {
        let Some(message) = receive(&self.fd)? else {
            return Ok(None);
        };
        if !self.v6 {
            return Ok(Some(Received::Ipv4(message.bytes)));
        }
        // SAFETY: the storage is large enough for every address, and zero where the kernel wrote nothing.
        let from: libc::sockaddr_in6 = unsafe { std::ptr::read((&raw const message.name).cast()) };
        let src = Ipv6Addr::from(from.sin6_addr.s6_addr);
        let dst = message.control.iter().find_map(|(level, kind, content)| {
            let ours = *level == libc::SOL_IPV6 && *kind == libc::IPV6_PKTINFO;
            let bytes: [u8; 16] = content.get(0..16)?.try_into().ok()?;
            ours.then(|| Ipv6Addr::from(bytes))
        });
        Ok(dst.map(|dst| Received::Ipv6 {
            src,
            dst,
            bytes: message.bytes,
        }))
    }
}

/// What a raw socket received.
#[derive(Debug)]
pub(super) enum Received {
    Ipv4(Vec<u8>),
    Ipv6 {
        src: Ipv6Addr,
        dst: Ipv6Addr,
        bytes: Vec<u8>,
    },
}

impl AsRawFd for Socket {
    fn as_raw_fd(&self) -> RawFd {
        self.fd.as_raw_fd()
    }
}

fn with_address(
    address: SocketAddr,
    call: impl FnOnce(*const libc::sockaddr, socklen_t) -> c_int,
) -> io::Result<()> {
    let result = match address {
        SocketAddr::V4(v4) => {
            let raw = libc::sockaddr_in {
                sin_family: libc::AF_INET as u16,
                sin_port: v4.port().to_be(),
                sin_addr: libc::in_addr {
                    s_addr: u32::from(*v4.ip()).to_be(),
                },
                sin_zero: [0; 8],
            };
            call((&raw const raw).cast(), mem::size_of_val(&raw) as socklen_t)
        }
        SocketAddr::V6(v6) => {
            let raw = libc::sockaddr_in6 {
                sin6_family: libc::AF_INET6 as u16,
                sin6_port: v6.port().to_be(),
                sin6_flowinfo: 0,
                sin6_addr: libc::in6_addr {
                    s6_addr: v6.ip().octets(),
                },
                sin6_scope_id: v6.scope_id(),
            };
            call((&raw const raw).cast(), mem::size_of_val(&raw) as socklen_t)
        }
    };
    check(result).map(drop)
}

/// Every address of the family.
pub(super) fn any(v6: bool) -> IpAddr {
    if v6 {
        Ipv6Addr::UNSPECIFIED.into()
    } else {
        Ipv4Addr::UNSPECIFIED.into()
    }
}

/// Forgets every conversation that conntrack knows of in this namespace (`IPCTNL_MSG_CT_DELETE` without a filter).
pub(super) fn forget_conversations() -> io::Result<()> {
    const DELETE: u16 = 1 << 8 | 2;
    const REQUEST_ACK: u16 = 1 | 4;
    let fd = open(libc::AF_NETLINK, libc::SOCK_RAW, libc::NETLINK_NETFILTER)?;
    let mut message = Vec::with_capacity(20);
    message.extend(20u32.to_ne_bytes());
    message.extend(DELETE.to_ne_bytes());
    message.extend(REQUEST_ACK.to_ne_bytes());
    message.extend([0; 12]);
    // SAFETY: the message lives for the call, with its length.
    let sent = unsafe { libc::send(fd.as_raw_fd(), message.as_ptr().cast(), message.len(), 0) };
    check_len(sent)?;
    poll(&[fd.as_raw_fd()], 1000)?;
    let Some(answer) = receive(&fd)? else {
        return Err(io::ErrorKind::TimedOut.into());
    };
    let code = answer
        .bytes
        .get(16..20)
        .and_then(|bytes| bytes.try_into().ok())
        .map_or(0, i32::from_ne_bytes);
    match -code {
        0 | libc::ENOENT => Ok(()),
        error => Err(io::Error::from_raw_os_error(error)),
    }
}
