//! The committed code equals what the .proto generates. `UPDATE_GENERATED=1 cargo test -p grpcchatter-proto`
//! regenerates it.

#![expect(clippy::unwrap_used, reason = "what fails here fails the test")]

use std::{env, fs, path::Path};

use prost::Message as _;

const FILES: [&str; 2] = ["grpcchatter.v1.rs", "descriptors.bin"];

/// Compiles the .proto with protox, so that no protoc is needed.
fn generate(into: &Path) {
    let root = env!("CARGO_MANIFEST_DIR");
    let descriptors = protox::compile(["grpcchatter/v1/chat.proto"], [root]).unwrap();
    fs::write(into.join("descriptors.bin"), descriptors.encode_to_vec()).unwrap();
    tonic_prost_build::configure()
        .build_transport(false)
        .codec_path("crate::codec::ProstCodec")
        .out_dir(into)
        .compile_fds(descriptors)
        .unwrap();
}

#[test]
fn the_committed_code_is_what_the_proto_makes() {
    let committed = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/generated");
    if env::var_os("UPDATE_GENERATED").is_some() {
        generate(&committed);
        return;
    }
    let made = tempfile::tempdir().unwrap();
    generate(made.path());
    for file in FILES {
        let is_same = fs::read(made.path().join(file)).unwrap() == fs::read(committed.join(file)).unwrap();
        assert!(
            is_same,
            "proto/src/generated/{file} is not what the .proto makes: \
             UPDATE_GENERATED=1 cargo test -p grpcchatter-proto"
        );
    }
}
