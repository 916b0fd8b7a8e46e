//! The guard before HTTP/1: a connection on which two readers could see different messages ends there.
//!
//! In: a connection's bytes, after TLS. Out: the same bytes, up to the first that leaves a second reading. Not here: what
//! else is wrong with a message, which hyper answers.
//!
//! It stands before hyper because hyper hides what is needed: it drops `Content-Length` beside `Transfer-Encoding`, and
//! takes a bare line feed for a line's end.

mod boundaries;
#[cfg(test)]
mod tests;

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use axum_server::accept::Accept;
use futures_util::future::{MapOk, TryFutureExt};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use boundaries::{Ambiguous, Boundaries};

/// What hyper reads in place of the rest of an ambiguous head. No part of a head may hold NUL, so it answers 400 and
/// closes; the empty line lets it see that no more of this head will come.
const POISON: &[u8] = b"\0\r\n\r\n";

/// Guards every connection that another acceptor has made.
#[derive(Debug, Clone)]
pub(super) struct GuardedAcceptor<A> {
    inner: A,
}

impl<A> GuardedAcceptor<A> {
    pub(super) fn new(inner: A) -> GuardedAcceptor<A> {
        GuardedAcceptor { inner }
    }
}

type Guard<I, S> = fn((I, S)) -> (Guarded<I>, S);

impl<I, S, A: Accept<I, S>> Accept<I, S> for GuardedAcceptor<A> {
    type Stream = Guarded<A::Stream>;
    type Service = A::Service;
    type Future = MapOk<A::Future, Guard<A::Stream, A::Service>>;

    fn accept(&self, stream: I, service: S) -> Self::Future {
        self.inner.accept(stream, service).map_ok(|(stream, service)| (Guarded::new(stream), service))
    }
}

/// A connection whose inbound bytes are watched.
#[derive(Debug)]
pub(super) struct Guarded<I> {
    inner: I,
    passage: Passage,
}

#[derive(Debug)]
enum Passage {
    Watched(Boundaries),
    /// Nothing more is read; these bytes come instead.
    Poisoned(&'static [u8]),
    /// Nothing more is read; the body that was being read is broken.
    Broken,
}

impl<I> Guarded<I> {
    fn new(inner: I) -> Guarded<I> {
        Guarded { inner, passage: Passage::Watched(Boundaries::default()) }
    }
}

impl<I: AsyncRead + Unpin> AsyncRead for Guarded<I> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let Guarded { inner, passage } = &mut *self;
        if let Passage::Watched(boundaries) = passage {
            let before = buffer.filled().len();
            ready!(Pin::new(inner).poll_read(context, buffer))?;
            let read = buffer.filled().get(before..).unwrap_or_default();
            let Err(Ambiguous { offset, in_body }) = boundaries.follow(read) else { return Poll::Ready(Ok(())) };
            tracing::debug!(in_body, "a request's framing is ambiguous: its connection ends");
            *passage = if in_body { Passage::Broken } else { Passage::Poisoned(POISON) };
            buffer.set_filled(before + offset);
            // An empty read would say that the client has closed.
            if offset > 0 {
                return Poll::Ready(Ok(()));
            }
        }
        Poll::Ready(passage.end(buffer))
    }
}

impl Passage {
    /// What comes after the last byte that was passed on.
    fn end(&mut self, buffer: &mut ReadBuf<'_>) -> io::Result<()> {
        match self {
            Passage::Watched(_) => Ok(()),
            Passage::Poisoned(left) => {
                let (now, later) = left.split_at(left.len().min(buffer.remaining()));
                buffer.put_slice(now);
                *left = later;
                Ok(())
            }
            Passage::Broken => Err(io::Error::new(io::ErrorKind::InvalidData, "the chunked body is ambiguous")),
        }
    }
}

impl<I: AsyncWrite + Unpin> AsyncWrite for Guarded<I> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write_vectored(context, pieces)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }
}
