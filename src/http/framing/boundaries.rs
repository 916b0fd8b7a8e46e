//! Where HTTP/1 messages begin and end, byte by byte (RFC 9112 §§2 to 7).
//!
//! In: one connection's bytes, in pieces cut anywhere. Out: the first byte that leaves room for a second reading. It
//! keeps no bytes: of a field line only whether its name is one of two, and the number that is its value.

/// What begins an HTTP/2 connection, which has framing of its own (RFC 9113 §3.4). The server looks for all of it too.
const HTTP2_PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const CONTENT_LENGTH: &[u8] = b"content-length";
const TRANSFER_ENCODING: &[u8] = b"transfer-encoding";
const CHUNKED: &[u8] = b"chunked";
/// A longer chunk size does not fit 64 bits, or begins with zeros that only confuse.
const MOST_SIZE_DIGITS: u32 = 16;

/// The first byte that must not be passed on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Ambiguous {
    /// How many bytes of the last piece stand before it.
    pub(super) offset: usize,
    /// Whether its message's head was already passed on.
    pub(super) in_body: bool,
}

/// A place in the messages of a connection.
#[derive(Debug)]
pub(super) struct Boundaries {
    protocol: Protocol,
    section: Section,
    place: Place,
    name: Name,
    framing: Option<Framing>,
}

#[derive(Debug)]
enum Protocol {
    /// This many bytes, all there were, are those of HTTP/2's preface.
    Unknown {
        matched: usize,
    },
    Http1,
    Http2,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Section {
    /// Before the request line's end, or in a body by length.
    RequestLine,
    Fields,
    /// A body in chunks, with its trailers.
    Chunked,
}

#[derive(Debug, Clone, Copy)]
enum Framing {
    Length(u64),
    Chunked,
}

/// What the next byte is.
#[derive(Debug, Clone, Copy)]
enum Place {
    LineStart,
    Name,
    Length {
        value: Option<u64>,
        ended: bool,
    },
    Coding {
        matched: usize,
        ended: bool,
    },
    /// What the rest of the line says does not matter.
    Rest,
    LineFeed,
    EmptyLineFeed,
    Body {
        left: u64,
    },
    ChunkSize {
        size: u64,
        digits: u32,
    },
    ChunkExtension {
        size: u64,
    },
    ChunkSizeLineFeed {
        size: u64,
    },
    ChunkData {
        left: u64,
    },
    ChunkReturn,
    ChunkLineFeed,
}

/// The part of a field name that has been read.
#[derive(Debug, Default)]
struct Name {
    length: usize,
    differs_from_content_length: bool,
    differs_from_transfer_encoding: bool,
}

impl Default for Boundaries {
    fn default() -> Boundaries {
        Boundaries {
            protocol: Protocol::Unknown { matched: 0 },
            section: Section::RequestLine,
            place: Place::LineStart,
            name: Name::default(),
            framing: None,
        }
    }
}

impl Boundaries {
    /// Goes on by these bytes. After an error it must not be asked again.
    pub(super) fn follow(&mut self, bytes: &[u8]) -> Result<(), Ambiguous> {
        self.recognise(bytes);
        if matches!(self.protocol, Protocol::Http2) {
            return Ok(());
        }
        let mut rest = bytes;
        loop {
            rest = rest.get(self.pass_over(rest)..).unwrap_or_default();
            let Some((&byte, after)) = rest.split_first() else { return Ok(()) };
            let Some(place) = self.step(byte) else {
                return Err(Ambiguous { offset: bytes.len() - rest.len(), in_body: self.section == Section::Chunked });
            };
            self.place = place;
            rest = after;
        }
    }

    /// Until the preface is whole it is also followed as HTTP/1, where it is two requests without ambiguity.
    fn recognise(&mut self, bytes: &[u8]) {
        let Protocol::Unknown { matched } = &mut self.protocol else { return };
        let expected = HTTP2_PREFACE.get(*matched..).unwrap_or_default();
        if !expected.iter().zip(bytes).all(|(expected, byte)| expected == byte) {
            self.protocol = Protocol::Http1;
        } else if bytes.len() >= expected.len() {
            self.protocol = Protocol::Http2;
        } else {
            *matched += bytes.len();
        }
    }

    /// How many bytes need no look, each by itself: a body's, and those of a line that says nothing of framing.
    fn pass_over(&mut self, rest: &[u8]) -> usize {
        match &mut self.place {
            Place::Rest => rest.iter().position(|byte| matches!(byte, b'\r' | b'\n')).unwrap_or(rest.len()),
            Place::Body { left } => {
                let passed = take(left, rest);
                if *left == 0 {
                    self.place = Place::LineStart;
                }
                passed
            }
            Place::ChunkData { left } => {
                let passed = take(left, rest);
                if *left == 0 {
                    self.place = Place::ChunkReturn;
                }
                passed
            }
            _ => 0,
        }
    }

    /// The place after this byte; `None` when the byte is ambiguous here.
    fn step(&mut self, byte: u8) -> Option<Place> {
        match (self.place, byte) {
            (Place::LineStart, b'\r') => Some(Place::EmptyLineFeed),
            (Place::LineStart, b'\n') => None,
            (Place::LineStart, _) if self.section == Section::RequestLine => Some(Place::Rest),
            (Place::LineStart, _) => {
                self.name = Name::default();
                self.name(byte)
            }
            (Place::Name, _) => self.name(byte),
            (Place::Length { value, ended }, _) => self.length(value, ended, byte),
            (Place::Coding { matched, ended }, _) => self.coding(matched, ended, byte),
            (Place::Rest, b'\r') => Some(Place::LineFeed),
            (Place::LineFeed, b'\n') => {
                if self.section == Section::RequestLine {
                    self.section = Section::Fields;
                }
                Some(Place::LineStart)
            }
            (Place::EmptyLineFeed, b'\n') => Some(self.end_section()),
            (Place::ChunkSize { size, digits }, _) => chunk_size(size, digits, byte),
            (Place::ChunkExtension { size }, b'\r') => Some(Place::ChunkSizeLineFeed { size }),
            (Place::ChunkExtension { .. }, b'\n') => None,
            (Place::ChunkExtension { size }, _) => Some(Place::ChunkExtension { size }),
            // The last chunk has no data; trailers or an empty line follow.
            (Place::ChunkSizeLineFeed { size: 0 }, b'\n') => Some(Place::LineStart),
            (Place::ChunkSizeLineFeed { size }, b'\n') => Some(Place::ChunkData { left: size }),
            (Place::ChunkReturn, b'\r') => Some(Place::ChunkLineFeed),
            (Place::ChunkLineFeed, b'\n') => Some(Place::ChunkSize { size: 0, digits: 0 }),
            _ => None,
        }
    }

    /// Refuses folded lines, whitespace before the colon, and a line without colon (RFC 9112 §§5.1, 5.2).
    fn name(&mut self, byte: u8) -> Option<Place> {
        let place = match byte {
            b' ' | b'\t' | b'\r' | b'\n' => return None,
            b':' if self.name.is_content_length() => Place::Length { value: None, ended: false },
            b':' if self.name.is_transfer_encoding() => Place::Coding { matched: 0, ended: false },
            b':' => return Some(Place::Rest),
            _ => {
                self.name.add(byte);
                return Some(Place::Name);
            }
        };
        // One of the two fields, once, and not behind the body (RFC 9112 §§6.1, 6.3; RFC 9110 §6.5.1).
        (self.framing.is_none() && self.section == Section::Fields).then_some(place)
    }

    /// `1*DIGIT` (RFC 9110 §8.6); a list of equal lengths is not accepted.
    fn length(&mut self, value: Option<u64>, ended: bool, byte: u8) -> Option<Place> {
        match byte {
            b' ' | b'\t' => Some(Place::Length { value, ended: value.is_some() }),
            b'0'..=b'9' if !ended => {
                let value = value.unwrap_or(0).checked_mul(10)?.checked_add(u64::from(byte - b'0'))?;
                Some(Place::Length { value: Some(value), ended })
            }
            b'\r' => {
                self.framing = Some(Framing::Length(value?));
                Some(Place::LineFeed)
            }
            _ => None,
        }
    }

    /// `chunked` alone, in any letter case (RFC 9112 §7).
    fn coding(&mut self, matched: usize, ended: bool, byte: u8) -> Option<Place> {
        match byte {
            b' ' | b'\t' => Some(Place::Coding { matched, ended: matched > 0 }),
            b'\r' if matched == CHUNKED.len() => {
                self.framing = Some(Framing::Chunked);
                Some(Place::LineFeed)
            }
            _ if !ended && CHUNKED.get(matched) == Some(&byte.to_ascii_lowercase()) => {
                Some(Place::Coding { matched: matched + 1, ended })
            }
            _ => None,
        }
    }

    /// What an empty line ends. Empty lines before a request line are skipped (RFC 9112 §2.2).
    fn end_section(&mut self) -> Place {
        self.section = Section::RequestLine;
        match self.framing.take() {
            None | Some(Framing::Length(0)) => Place::LineStart,
            Some(Framing::Length(left)) => Place::Body { left },
            Some(Framing::Chunked) => {
                self.section = Section::Chunked;
                Place::ChunkSize { size: 0, digits: 0 }
            }
        }
    }
}

/// `1*HEXDIG`, then an extension or the line's end (RFC 9112 §7.1).
fn chunk_size(size: u64, digits: u32, byte: u8) -> Option<Place> {
    match byte {
        b';' if digits > 0 => Some(Place::ChunkExtension { size }),
        b'\r' if digits > 0 => Some(Place::ChunkSizeLineFeed { size }),
        _ if digits < MOST_SIZE_DIGITS => {
            let digit = char::from(byte).to_digit(16)?;
            Some(Place::ChunkSize { size: (size << 4) | u64::from(digit), digits: digits + 1 })
        }
        _ => None,
    }
}

/// Takes from what is left as much as there is.
fn take(left: &mut u64, rest: &[u8]) -> usize {
    let passed = usize::try_from(*left).unwrap_or(usize::MAX).min(rest.len());
    *left = left.saturating_sub(u64::try_from(passed).unwrap_or(u64::MAX));
    passed
}

impl Name {
    fn add(&mut self, byte: u8) {
        let byte = byte.to_ascii_lowercase();
        self.differs_from_content_length |= CONTENT_LENGTH.get(self.length) != Some(&byte);
        self.differs_from_transfer_encoding |= TRANSFER_ENCODING.get(self.length) != Some(&byte);
        self.length = self.length.saturating_add(1);
    }

    fn is_content_length(&self) -> bool {
        !self.differs_from_content_length && self.length == CONTENT_LENGTH.len()
    }

    fn is_transfer_encoding(&self) -> bool {
        !self.differs_from_transfer_encoding && self.length == TRANSFER_ENCODING.len()
    }
}
