//! Fuzzes `crypto::fuzz::token`: forged and altered tokens.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| grpcchatter::crypto::fuzz::token(data));
