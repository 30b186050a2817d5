//! Fuzzes `hub::fuzz::resume`: streams that attach, resume and are detached while messages are published.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| grpcchatter::hub::fuzz::resume(data));
