//! The messages and services of GRPCChatter, generated from `grpcchatter/v1/chat.proto`.

mod codec;

/// Version 1 of the API.
pub mod v1 {
    #![allow(clippy::all, missing_docs, reason = "generated code")]
    tonic::include_proto!("grpcchatter.v1");
}

/// The serialised `FileDescriptorSet` of the API, for reflection.
pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));
