//! A small body that would become a large one.

/// A gzip stream (RFC 1952) of about this many bytes that expands to 158 times as many spaces.
pub fn gzip_bomb(bytes: usize) -> Vec<u8> {
    let mut stream = Bits { bytes: vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255], used: 0 };
    // RFC 1951 §3.2.3: the last block, with fixed codes; then one space.
    stream.code(0b110, 3);
    stream.code(0x30 + u32::from(b' '), 8);
    // §3.2.6: length 258 at distance 1, again and again.
    while stream.bytes.len() < bytes {
        stream.code(0b1100_0101, 8);
        stream.code(0, 5);
    }
    stream.code(0, 7);
    [stream.bytes.as_slice(), &[0; 8]].concat()
}

/// Bits packed from the least significant one of each byte.
struct Bits {
    bytes: Vec<u8>,
    /// Of the last byte; 0: it is full.
    used: u8,
}

impl Bits {
    /// A Huffman code, its most significant bit first (RFC 1951 §3.1.1).
    fn code(&mut self, code: u32, length: u8) {
        for place in (0..length).rev() {
            if self.used == 0 {
                self.bytes.push(0);
            }
            if let Some(last) = self.bytes.last_mut() {
                *last |= ((code >> place & 1) as u8) << self.used;
            }
            self.used = (self.used + 1) % 8;
        }
    }
}
