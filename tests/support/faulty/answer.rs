//! One answer of a faulty issuer, byte for byte: what is said, and how it is brought.

use std::sync::Arc;

use serde_json::Value;

use crate::support::keys::jwks;

/// What goes over the wire for one request.
#[derive(Clone)]
pub struct Answer {
    status: u16,
    headers: Vec<(String, Vec<u8>)>,
    /// Pieces of the body, each with how often it comes; large bodies are never held whole.
    body: Vec<(Arc<[u8]>, usize)>,
    framing: Framing,
    pub(super) delivery: Delivery,
}

/// How the end of the body is told.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Framing {
    /// By this `Content-Length`; `None`: the true one.
    Length(Option<usize>),
    /// In chunks.
    Chunked,
    /// The body's bytes are the whole answer, head included.
    Raw,
}

/// How an answer is brought. What is held waits for [`super::FaultyIssuer::release`], never for the clock.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Delivery {
    /// At once.
    Whole,
    /// Nothing until the release, then the connection ends without an answer.
    Hang,
    /// Nothing until the release, then all of it.
    HeldBeforeHead,
    /// Head and half of the body; the rest after the release.
    HeldInBody,
    /// A byte for each permit of [`super::FaultyIssuer::drip`].
    Drip,
    /// The connection is reset before the head.
    Reset,
    /// The connection is reset in the middle.
    ResetInBody,
    /// This many bytes, then an orderly end.
    CutAfter(usize),
    /// The last piece of the body for ever.
    Endless,
}

impl Answer {
    /// 200 with this JSON text.
    pub fn json(text: impl Into<Vec<u8>>) -> Answer {
        Answer::status(200).header("content-type", "application/json").body(text)
    }

    /// 200 with these keys.
    pub fn keys(keys: impl IntoIterator<Item = Value>) -> Answer {
        Answer::json(jwks(keys))
    }

    /// A status alone.
    pub fn status(status: u16) -> Answer {
        let (headers, body) = (Vec::new(), Vec::new());
        Answer { status, headers, body, framing: Framing::Length(None), delivery: Delivery::Whole }
    }

    /// A redirect.
    pub fn redirect(status: u16, location: &str) -> Answer {
        Answer::status(status).header("location", location)
    }

    /// These bytes in place of an HTTP answer.
    pub fn raw(bytes: impl Into<Vec<u8>>) -> Answer {
        let mut answer = Answer::status(0).body(bytes);
        answer.framing = Framing::Raw;
        answer
    }

    /// Nothing at all until the issuer releases its connections.
    pub fn hang() -> Answer {
        Answer::status(200).brought(Delivery::Hang)
    }

    /// With another status.
    pub fn with_status(mut self, status: u16) -> Answer {
        self.status = status;
        self
    }

    /// One more header; a name may come often.
    pub fn header(mut self, name: &str, value: impl Into<Vec<u8>>) -> Answer {
        self.headers.push((name.to_owned(), value.into()));
        self
    }

    /// In place of every header of this name.
    pub fn replace_header(mut self, name: &str, value: impl Into<Vec<u8>>) -> Answer {
        self.headers.retain(|(present, _)| present != name);
        self.header(name, value)
    }

    /// This body.
    pub fn body(mut self, bytes: impl Into<Vec<u8>>) -> Answer {
        self.body = vec![(bytes.into().into(), 1)];
        self
    }

    /// More body: these bytes, so often.
    pub fn and(mut self, bytes: impl Into<Vec<u8>>, times: usize) -> Answer {
        self.body.push((bytes.into().into(), times));
        self
    }

    /// In chunks, without a length.
    pub fn chunked(mut self) -> Answer {
        self.framing = Framing::Chunked;
        self
    }

    /// With this length, whatever the body's is.
    pub fn claiming_length(mut self, length: usize) -> Answer {
        self.framing = Framing::Length(Some(length));
        self
    }

    /// Brought another way.
    pub fn brought(mut self, delivery: Delivery) -> Answer {
        self.delivery = delivery;
        if delivery == Delivery::Endless {
            self.framing = Framing::Chunked;
        }
        self
    }

    pub(super) fn head(&self) -> Vec<u8> {
        if self.framing == Framing::Raw {
            return Vec::new();
        }
        let mut head = format!("HTTP/1.1 {} Answer\r\nConnection: close\r\n", self.status).into_bytes();
        for (name, value) in &self.headers {
            head.extend([name.as_bytes(), b": ", value.as_slice(), b"\r\n"].concat());
        }
        let framing = match self.framing {
            Framing::Chunked => "Transfer-Encoding: chunked\r\n".to_owned(),
            // RFC 9110 §8.6: these two have no body.
            _ if matches!(self.status, 204 | 304) => String::new(),
            Framing::Length(claimed) => format!("Content-Length: {}\r\n", claimed.unwrap_or(self.length())),
            Framing::Raw => String::new(),
        };
        head.extend(framing.as_bytes());
        head.extend(b"\r\n");
        head
    }

    fn length(&self) -> usize {
        self.body.iter().map(|(bytes, times)| bytes.len() * times).sum()
    }

    /// The body's pieces as they go over the wire, one after the other.
    pub(super) fn pieces(&self) -> impl Iterator<Item = Vec<u8>> + '_ {
        let endless = self.delivery == Delivery::Endless;
        let last = self.body.len().saturating_sub(1);
        let pieces = self.body.iter().enumerate().flat_map(move |(index, (bytes, times))| {
            let times = if endless && index == last { usize::MAX } else { *times };
            std::iter::repeat_n(bytes.clone(), times)
        });
        let chunked = self.framing == Framing::Chunked;
        let framed = pieces.map(move |bytes| {
            if chunked {
                [format!("{:x}\r\n", bytes.len()).as_bytes(), &bytes, b"\r\n"].concat()
            } else {
                bytes.to_vec()
            }
        });
        framed.chain(chunked.then(|| b"0\r\n\r\n".to_vec()))
    }
}
