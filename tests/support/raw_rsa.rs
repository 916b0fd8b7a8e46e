//! RSA by hand, for the signatures that a correct library refuses to make: broken padding, weak keys, cube roots.
//!
//! Slow and not constant time; the keys are public test keys.

use aws_lc_rs::digest::{self, Algorithm as Hash, SHA256};

/// `DigestInfo` up to the hash, for SHA-256 (RFC 8017 §9.2 note 1).
pub const SHA256_PREFIX: [u8; 19] =
    [0x30, 0x31, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x01, 0x05, 0x00, 0x04, 0x20];

/// A private key as three numbers.
#[derive(Clone)]
pub struct RawRsa {
    pub modulus: Number,
    pub exponent: Number,
    private: Number,
}

impl RawRsa {
    /// Reads `n e d` in hexadecimal, as `keys/generate.py` writes them.
    pub fn read(text: &str) -> RawRsa {
        let [modulus, exponent, private] =
            text.split_whitespace().map(Number::from_hex).collect::<Vec<_>>().try_into().expect("three numbers");
        RawRsa { modulus, exponent, private }
    }

    /// Bytes of a signature.
    pub fn len(&self) -> usize {
        self.modulus.to_bytes().len()
    }

    /// The private operation on an encoded message (RFC 8017 §5.2.1), whatever its padding.
    pub fn sign_encoded(&self, encoded: &[u8]) -> Vec<u8> {
        left_padded(&Number::from_bytes(encoded).power(&self.private, &self.modulus).to_bytes(), self.len())
    }

    /// The public operation: what a signature unwraps to.
    pub fn public(&self, signature: &[u8]) -> Vec<u8> {
        left_padded(&Number::from_bytes(signature).power(&self.exponent, &self.modulus).to_bytes(), self.len())
    }

    /// A correct RSASSA-PKCS1-v1_5 signature with SHA-256.
    pub fn sign(&self, message: &[u8]) -> Vec<u8> {
        self.sign_encoded(&pkcs1(&digest_info(&SHA256_PREFIX, message), self.len()))
    }
}

/// `DigestInfo` with this prefix over the message's SHA-256.
pub fn digest_info(prefix: &[u8], message: &[u8]) -> Vec<u8> {
    [prefix, digest::digest(&SHA256, message).as_ref()].concat()
}

/// EMSA-PKCS1-v1_5 around a `DigestInfo` (RFC 8017 §9.2).
pub fn pkcs1(digest_info: &[u8], length: usize) -> Vec<u8> {
    let padding = vec![0xff; length - 3 - digest_info.len()];
    [&[0, 1], padding.as_slice(), &[0], digest_info].concat()
}

/// EMSA-PSS (RFC 8017 §9.1.1) for a 2048-bit key, with SHA-256 over the message and any salt and mask hash.
pub fn pss(message: &[u8], salt: &[u8], mask_hash: &'static Hash) -> Vec<u8> {
    let message_hash = digest::digest(&SHA256, message);
    let hash = digest::digest(&SHA256, &[&[0; 8], message_hash.as_ref(), salt].concat());
    let mut block = vec![0; 256 - 32 - 2 - salt.len()];
    block.push(1);
    block.extend_from_slice(salt);
    for (byte, mask) in block.iter_mut().zip(mask(hash.as_ref(), 256 - 32 - 1, mask_hash)) {
        *byte ^= mask;
    }
    block[0] &= 0x7f;
    [block.as_slice(), hash.as_ref(), &[0xbc]].concat()
}

/// MGF1 (RFC 8017 appendix B.2.1).
fn mask(seed: &[u8], length: usize, hash: &'static Hash) -> Vec<u8> {
    let blocks = (0u32..).map(|counter| digest::digest(hash, &[seed, &counter.to_be_bytes()].concat()));
    blocks.flat_map(|block| block.as_ref().to_vec()).take(length).collect()
}

/// Bleichenbacher's forgery of 2006 against exponent 3: a number whose cube starts like a short-padded block.
pub fn forge_for_exponent_three(message: &[u8], length: usize) -> Vec<u8> {
    let mut block = [&[0, 1, 0xff, 0], digest_info(&SHA256_PREFIX, message).as_slice()].concat();
    block.resize(length, 0);
    let target = Number::from_bytes(&block);
    let mut root = Number(vec![0; length / 24 + 1]);
    for bit in (0..length * 8 / 3 + 1).rev() {
        let mut larger = root.clone();
        larger.0[bit / 64] |= 1 << (bit % 64);
        if larger.times(&larger).times(&larger).at_most(&target) {
            root = larger;
        }
    }
    let forged = root.plus_one();
    left_padded(&forged.to_bytes(), length)
}

/// Zeros in front until the bytes have this length.
pub fn left_padded(bytes: &[u8], length: usize) -> Vec<u8> {
    [vec![0; length.saturating_sub(bytes.len())].as_slice(), bytes].concat()
}

/// A natural number, least significant limb first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Number(Vec<u64>);

impl Number {
    pub fn from_hex(text: &str) -> Number {
        let digit = |byte: &u8| char::from(*byte).to_digit(16).expect("hex") as u64;
        let limb = |chunk: &[u8]| chunk.iter().fold(0u64, |limb, byte| limb << 4 | digit(byte));
        Number(text.as_bytes().rchunks(16).map(limb).collect())
    }

    /// From big-endian bytes.
    pub fn from_bytes(big_endian: &[u8]) -> Number {
        let limb = |chunk: &[u8]| chunk.iter().fold(0u64, |limb, byte| limb << 8 | u64::from(*byte));
        Number(big_endian.rchunks(8).map(limb).collect())
    }

    /// Big endian, without leading zeros.
    pub fn to_bytes(&self) -> Vec<u8> {
        let bytes = self.0.iter().rev().flat_map(|limb| limb.to_be_bytes());
        bytes.skip_while(|byte| *byte == 0).collect()
    }

    pub fn plus(&self, other: &Number) -> Number {
        let length = self.0.len().max(other.0.len()) + 1;
        let mut carry = 0u128;
        Number(
            (0..length)
                .map(|at| {
                    let sum = u128::from(self.limb(at)) + u128::from(other.limb(at)) + carry;
                    carry = sum >> 64;
                    sum as u64
                })
                .collect(),
        )
    }

    pub fn plus_one(&self) -> Number {
        self.plus(&Number(vec![1]))
    }

    fn limb(&self, at: usize) -> u64 {
        self.0.get(at).copied().unwrap_or(0)
    }

    fn times(&self, other: &Number) -> Number {
        let mut product = vec![0u64; self.0.len() + other.0.len()];
        for (left_at, left) in self.0.iter().enumerate() {
            let mut carry = 0u128;
            for right_at in 0..=other.0.len() {
                let Some(cell) = product.get_mut(left_at + right_at) else { break };
                let sum = u128::from(*cell) + u128::from(*left) * u128::from(other.limb(right_at)) + carry;
                *cell = sum as u64;
                carry = sum >> 64;
            }
        }
        Number(product)
    }

    fn at_most(&self, other: &Number) -> bool {
        let length = self.0.len().max(other.0.len());
        let pairs = (0..length).rev().map(|at| (self.limb(at), other.limb(at)));
        pairs.into_iter().find(|(left, right)| left != right).is_none_or(|(left, right)| left < right)
    }

    fn minus(&mut self, other: &Number) {
        let mut borrow = false;
        for at in 0..self.0.len() {
            let (difference, first) = self.0[at].overflowing_sub(other.limb(at));
            let (difference, second) = difference.overflowing_sub(u64::from(borrow));
            self.0[at] = difference;
            borrow = first || second;
        }
    }

    /// `self ^ exponent mod modulus` by Montgomery multiplication; the modulus is odd.
    fn power(&self, exponent: &Number, modulus: &Number) -> Number {
        let limbs = modulus.0.len();
        let inverse =
            (0..6).fold(1u64, |inverse, _| inverse.wrapping_mul(2u64.wrapping_sub(modulus.0[0].wrapping_mul(inverse))));
        let multiply = |left: &Number, right: &Number| montgomery(left, right, modulus, inverse.wrapping_neg());
        let mut one = Number(vec![0; limbs]);
        one.0[0] = 1;
        let mut squared_radix = one.clone();
        for _ in 0..128 * limbs {
            squared_radix = squared_radix.plus(&squared_radix);
            if modulus.at_most(&squared_radix) {
                squared_radix.minus(modulus);
            }
            squared_radix.0.truncate(limbs);
        }
        let base = multiply(&Number((0..limbs).map(|at| self.limb(at)).collect()), &squared_radix);
        let mut result = multiply(&one, &squared_radix);
        for bit in (0..exponent.0.len() * 64).rev() {
            result = multiply(&result, &result);
            if exponent.0[bit / 64] >> (bit % 64) & 1 == 1 {
                result = multiply(&result, &base);
            }
        }
        multiply(&result, &one)
    }
}

fn montgomery(left: &Number, right: &Number, modulus: &Number, negative_inverse: u64) -> Number {
    let limbs = modulus.0.len();
    let mut total = vec![0u64; limbs + 2];
    for digit in &right.0 {
        let mut carry = 0u128;
        for (cell, factor) in total.iter_mut().zip(&left.0) {
            let sum = u128::from(*cell) + u128::from(*factor) * u128::from(*digit) + carry;
            *cell = sum as u64;
            carry = sum >> 64;
        }
        let sum = u128::from(total[limbs]) + carry;
        total[limbs] = sum as u64;
        total[limbs + 1] = (sum >> 64) as u64;
        let factor = total[0].wrapping_mul(negative_inverse);
        carry = (u128::from(total[0]) + u128::from(factor) * u128::from(modulus.0[0])) >> 64;
        for at in 1..limbs {
            let sum = u128::from(total[at]) + u128::from(factor) * u128::from(modulus.0[at]) + carry;
            total[at - 1] = sum as u64;
            carry = sum >> 64;
        }
        let sum = u128::from(total[limbs]) + carry;
        total[limbs - 1] = sum as u64;
        total[limbs] = total[limbs + 1] + (sum >> 64) as u64;
    }
    let mut result = Number(total);
    if modulus.at_most(&result) {
        result.minus(modulus);
    }
    result.0.truncate(limbs);
    result
}
