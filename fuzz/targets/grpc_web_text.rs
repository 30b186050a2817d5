//! Fuzzes `gateway::route::fuzz::grpc_web_text`: bodies of gRPC-web text, in base64.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| grpcchatter::gateway::fuzz::grpc_web_text(data));
