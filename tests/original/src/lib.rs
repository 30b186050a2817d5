//! The client stub of the original service, `proto.GRPCChatter`, as its users generated it.
//!
//! A crate of its own, so that the server is built without it and shares no code with it.

#![allow(clippy::all, missing_docs, reason = "generated code")]
tonic::include_proto!("proto");
