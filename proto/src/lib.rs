//! The messages and services of GRPCChatter, generated from `grpcchatter/v1/chat.proto`.
//!
//! The generated code is part of the package, so that its users need no protobuf compiler.

mod codec;

/// Version 1 of the API.
pub mod v1 {
    #![allow(clippy::all, missing_docs, reason = "generated code")]
    include!("generated/grpcchatter.v1.rs");
}

/// The serialised `FileDescriptorSet` of the API, for reflection.
pub const DESCRIPTORS: &[u8] = include_bytes!("generated/descriptors.bin");
