#!/usr/bin/env python3
"""Makes the key files of this directory. Needs the Python package `cryptography`.

They are committed because RSA key generation is slow and because no ordinary tool makes the weak ones. Nothing trusts them.
"""
from pathlib import Path

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateNumbers, RSAPublicNumbers
import random


def prime(bits):
    """A random prime with both top bits set, by Miller-Rabin; quality does not matter here."""
    while True:
        candidate = random.getrandbits(bits) | 3 << bits - 2 | 1
        if all(candidate % small for small in (3, 5, 7, 11, 13, 17, 19, 23, 29, 31)) and probably_prime(candidate):
            return candidate


def probably_prime(n):
    d, s = n - 1, 0
    while d % 2 == 0:
        d, s = d // 2, s + 1
    for _ in range(20):
        x = pow(random.randrange(2, n - 1), d, n)
        if x in (1, n - 1):
            continue
        for _ in range(s - 1):
            x = x * x % n
            if x == n - 1:
                break
        else:
            return False
    return True


def by_hand(bits, e=65537):
    """A key of a size that `cryptography` refuses to make."""
    while True:
        p, q = prime((bits + 1) // 2), prime(bits // 2)
        n, phi = p * q, (p - 1) * (q - 1)
        if n.bit_length() == bits and phi % e and p != q:
            d = pow(e, -1, phi)
            return f"{n:x} {e:x} {d:x}\n"


def numbers(key):
    private = key.private_numbers()
    public = private.public_numbers
    return f"{public.n:x} {public.e:x} {private.d:x}\n"


def pem(key):
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


here = Path(__file__).parent
for name in ("rsa-a", "rsa-b", "rsa-c"):
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    (here / f"{name}.pem").write_bytes(pem(key))
    (here / f"{name}.numbers").write_text(numbers(key))
(here / "rsa-512.numbers").write_text(by_hand(512))
(here / "rsa-1024.numbers").write_text(by_hand(1024))
(here / "rsa-2047.numbers").write_text(by_hand(2047))
(here / "rsa-exponent-3.numbers").write_text(numbers(rsa.generate_private_key(public_exponent=3, key_size=2048)))
