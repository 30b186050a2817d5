//! The reverse proxies that people put in front of the server, each with one address for all that the library asks.

use std::net::Ipv4Addr;

use grpcchatter_testbed::{ReservedPort, ReverseProxy, Server};
use tempfile::TempDir;

/// A running proxy. It is killed when it is dropped.
pub(crate) struct Proxy {
    pub(crate) url: String,
    _server: Server,
    _folder: TempDir,
    _port: ReservedPort,
}

impl Proxy {
    /// Starts a proxy before the server at `url`; none where its program is missing, which `tests/coverage.rs` of the
    /// server reports.
    pub(crate) async fn start(kind: ReverseProxy, url: &str) -> Option<Self> {
        let (folder, port) = (tempfile::tempdir().unwrap(), ReservedPort::on(Ipv4Addr::LOCALHOST).unwrap());
        let config = config(kind, &port.address().to_string(), url.strip_prefix("http://").unwrap());
        let Some(server) = kind.start(folder.path(), &config, port.address()).await.unwrap() else {
            assert!(std::env::var_os("REQUIRE_PROXIES").is_none(), "{} is not installed", kind.program());
            return None;
        };
        Some(Self { url: server.url().to_owned(), _server: server, _folder: folder, _port: port })
    }
}

/// Returns a configuration that leads from one address to the other.
fn config(kind: ReverseProxy, address: &str, server: &str) -> String {
    match kind {
        ReverseProxy::Nginx => format!(
            "upstream chat {{ server {server}; keepalive 16; }}
             upstream chat_grpc {{ server {server}; keepalive 16; }}
             server {{
                 listen {address} http2;
                 location / {{
                     proxy_pass http://chat; proxy_http_version 1.1;
                     proxy_set_header Connection \"\"; proxy_set_header Host $http_host;
                 }}
                 location /grpcchatter.v1.ChatService/ {{
                     grpc_pass grpc://chat_grpc; grpc_read_timeout 1h; grpc_send_timeout 1h;
                 }}
             }}"
        ),
        ReverseProxy::Haproxy => format!(
            "defaults\n mode http\n timeout connect 5s\n timeout client 1h\n timeout server 1h\n\
             frontend chat_in\n bind {address}\n default_backend chat\n\
             backend chat\n server one {server} proto h2\n"
        ),
        ReverseProxy::Caddy => format!(
            "http://{address} {{\n @grpc header Content-Type application/grpc\n \
             reverse_proxy @grpc h2c://{server}\n reverse_proxy {server}\n}}\n"
        ),
        ReverseProxy::Envoy => panic!("no test goes through Envoy"),
    }
}
