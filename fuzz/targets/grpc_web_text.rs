#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| grpcchatter::gateway::fuzz::grpc_web_text(data));
