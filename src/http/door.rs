//! The end of a listener: nobody new comes in, and nobody who came is sent away.
//!
//! Closing a listening socket resets the connections that wait to be accepted, though their callers have sent requests
//! already. So first the kernel is told to drop what opens a connection (its caller tries again and is refused when the
//! socket is closed), and those who wait are accepted in peace.

use std::io;
use std::net::TcpListener;

/// Drops TCP segments with SYN from now on.
///
/// # Errors
/// When the system cannot do it.
#[cfg(target_os = "linux")]
pub(super) fn close(listener: &TcpListener) -> io::Result<()> {
    use socket2::{SockFilter, SockRef};
    // Classic BPF (linux/bpf_common.h); a filter of a TCP socket sees the segment from its TCP header on.
    const LOAD_BYTE: u16 = 0x30;
    const JUMP_IF_SET: u16 = 0x45;
    const RETURN: u16 = 0x06;
    const FLAGS: u32 = 13;
    const SYN: u32 = 0x02;
    SockRef::from(listener).attach_filter(&[
        SockFilter::new(LOAD_BYTE, 0, 0, FLAGS),
        SockFilter::new(JUMP_IF_SET, 0, 1, SYN),
        SockFilter::new(RETURN, 0, 0, 0),
        SockFilter::new(RETURN, 0, 0, u32::MAX),
    ])
}

/// Elsewhere there is no such filter.
#[cfg(not(target_os = "linux"))]
pub(super) fn close(_: &TcpListener) -> io::Result<()> {
    Err(io::Error::from(io::ErrorKind::Unsupported))
}
