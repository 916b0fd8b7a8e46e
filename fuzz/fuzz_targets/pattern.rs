//! A glob or a regular expression, and a value.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| countersign_fuzz::pattern(data));
