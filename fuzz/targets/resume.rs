#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| grpcchatter::hub::fuzz::resume(data));
