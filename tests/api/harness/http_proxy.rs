//! The reverse proxies that operators put in front of the server, with the configurations of docs/proxies.md.

use std::{
    fs,
    net::{Ipv4Addr, SocketAddr},
};

use grpcchatter_testbed::{ReservedPort, ReverseProxy, Server};
use tempfile::TempDir;

/// The proxy, and by which HTTP version it calls the server if it supports both.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum HttpProxyKind {
    Nginx,
    /// With only a `proxy_pass`, as in its beginner's guide.
    BareNginx,
    Caddy,
    CaddyHttp2,
    Haproxy,
    HaproxyHttp2,
    Envoy,
}

/// A running proxy. It is killed when it is dropped.
pub(crate) struct HttpProxy {
    kind: HttpProxyKind,
    server: Server,
    other: SocketAddr,
    _folder: TempDir,
    _kept: [ReservedPort; 2],
}

impl Drop for HttpProxy {
    /// Prints the proxy's log if the test has failed.
    fn drop(&mut self) {
        if std::thread::panicking() {
            println!("the log of {:?}: {}", self.kind, self.server.log());
        }
    }
}

impl HttpProxy {
    /// Starts a proxy in front of a server. Returns `None` if its program is missing, which `tests/coverage.rs` reports.
    pub(crate) async fn start(kind: HttpProxyKind, server: SocketAddr) -> Option<Self> {
        Self::start_with(kind, server, &[]).await
    }

    /// Starts a proxy with these replacements in its configuration.
    pub(crate) async fn start_with(
        kind: HttpProxyKind,
        server: SocketAddr,
        changes: &[(&str, &str)],
    ) -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let kept = [(); 2].map(|()| ReservedPort::on(Ipv4Addr::LOCALHOST).unwrap());
        let [address, other] = kept.each_ref().map(ReservedPort::address);
        let config = replaced(&kind.config(address, other, server), changes);
        let server = kind.program().start(folder.path(), &config, address).await.unwrap()?;
        Some(Self { kind, server, other, _folder: folder, _kept: kept })
    }

    /// Returns the address it listens on.
    pub(crate) const fn address(&self) -> SocketAddr {
        self.server.address()
    }

    /// Returns the address for native gRPC. nginx has a second one for it.
    pub(crate) fn for_grpc(&self) -> SocketAddr {
        if self.kind == HttpProxyKind::Nginx { self.other } else { self.address() }
    }
}

impl HttpProxyKind {
    const fn program(self) -> ReverseProxy {
        match self {
            Self::Nginx | Self::BareNginx => ReverseProxy::Nginx,
            Self::Caddy | Self::CaddyHttp2 => ReverseProxy::Caddy,
            Self::Haproxy | Self::HaproxyHttp2 => ReverseProxy::Haproxy,
            Self::Envoy => ReverseProxy::Envoy,
        }
    }

    /// Completes the document's configuration with the test's addresses.
    fn config(self, address: SocketAddr, other: SocketAddr, server: SocketAddr) -> String {
        let (address, other, server) = (address.to_string(), other.to_string(), server.to_string());
        match self {
            Self::Nginx => {
                let changes = [
                    ("127.0.0.1:8080", &*server),
                    ("listen 80;", &format!("listen {address};")),
                    ("listen 81 ", &format!("listen {other} ")),
                ];
                replaced(&documented("nginx"), &changes)
            }
            Self::BareNginx => {
                format!("server {{ listen {address}; location / {{ proxy_pass http://{server}; }} }}")
            }
            Self::Caddy | Self::CaddyHttp2 => {
                // Without `bind` Caddy listens on every address, where another test may use the port.
                let site = format!("http://{address} {{\n    bind {}", Ipv4Addr::LOCALHOST);
                let by_http2 = format!("reverse_proxy h2c://{server} {{");
                let mut changes = vec![("chat.example {", &*site)];
                if self == Self::CaddyHttp2 {
                    changes.push(("reverse_proxy 127.0.0.1:8080 {", &by_http2));
                }
                changes.push(("127.0.0.1:8080", &server));
                replaced(&documented("caddy"), &changes)
            }
            Self::Haproxy | Self::HaproxyHttp2 => {
                let bind = format!("bind {address}");
                let mut changes = vec![("bind :80", &*bind), ("127.0.0.1:8080", &*server)];
                if self == Self::Haproxy {
                    // Calls of all clients share the connections to the server.
                    changes.push(("    server one", "    http-reuse always\n    server one"));
                    changes.push((" proto h2", ""));
                }
                replaced(&documented("haproxy"), &changes)
            }
            Self::Envoy => {
                let at = |address: &str| {
                    let (host, port) = address.rsplit_once(':').unwrap();
                    format!("address: {host}, port_value: {port} ")
                };
                let changes = [
                    ("address: 0.0.0.0, port_value: 80 ", &*at(&address)),
                    ("address: 127.0.0.1, port_value: 8080 ", &at(&server)),
                ];
                replaced(&documented("yaml"), &changes)
            }
        }
    }
}

fn replaced(text: &str, changes: &[(&str, &str)]) -> String {
    changes.iter().fold(text.to_owned(), |text, (from, to)| {
        assert!(text.contains(from), "docs/proxies.md does not say {from:?}: {text}");
        text.replace(from, to)
    })
}

/// Returns the document's code blocks of a language.
fn documented(language: &str) -> String {
    let document = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/proxies.md")).unwrap();
    let fence = format!("```{language}\n");
    document.split(&fence).skip(1).map(|block| block.split("```").next().unwrap_or_default()).collect()
}
