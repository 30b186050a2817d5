//! Fuzzes `gateway::route::fuzz::steer`: heads of requests.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| grpcchatter::gateway::fuzz::steer(data));
