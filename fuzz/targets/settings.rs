#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| grpcchatter::config::fuzz::settings(data));
