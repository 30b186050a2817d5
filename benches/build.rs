//! Generates the server stub of the broadcast baseline: two methods of the chat service with the original paths, so that one
//! load client works with both servers.

use tonic_prost_build::manual::{Builder, Method, Service};

fn method(name: &str, route: &str) -> Method {
    let chat = Method::builder().name(name).route_name(route).server_streaming();
    let chat = if route == "Chat" { chat.client_streaming() } else { chat };
    chat.input_type(format!("::grpcchatter_proto::v1::{route}Request"))
        .output_type(format!("::grpcchatter_proto::v1::{route}Response"))
        .codec_path("::tonic_prost::ProstCodec")
        .build()
}

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    let service = Service::builder()
        .name("ChatService")
        .package("grpcchatter.v1")
        .method(method("subscribe", "Subscribe"))
        .method(method("chat", "Chat"))
        .build();
    Builder::new().build_client(false).compile(&[service]);
}
