//! Fuzzes `config::fuzz::settings`: lines of a settings file.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| grpcchatter::config::fuzz::settings(data));
