#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| grpcchatter::crypto::fuzz::token(data));
