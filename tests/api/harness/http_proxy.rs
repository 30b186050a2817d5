//! The reverse proxies that people put in front of the server, with the configurations of docs/proxies.md.

use std::{
    fs::{self, File},
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    process::Stdio,
};

use tempfile::TempDir;
use tokio::{
    net::TcpStream,
    process::{Child, Command},
};

use super::{KeptPort, programs, within};

/// Which proxy it is, and how it calls the server where both ways are possible.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum HttpProxyKind {
    Nginx,
    /// With a `proxy_pass` and nothing else, as its beginner's guide has it.
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
    address: SocketAddr,
    other: SocketAddr,
    _child: Child,
    folder: TempDir,
    _kept: [KeptPort; 2],
}

impl Drop for HttpProxy {
    /// A test that fails shows what the proxy has seen.
    fn drop(&mut self) {
        if std::thread::panicking() {
            println!(
                "{:?} said: {}",
                self.kind,
                fs::read_to_string(self.folder.path().join("said")).unwrap_or_default()
            );
        }
    }
}

impl HttpProxy {
    /// Starts a proxy before a server; none where its program is missing, which `tests/coverage.rs` reports.
    pub(crate) async fn start(kind: HttpProxyKind, server: SocketAddr) -> Option<Self> {
        Self::start_with(kind, server, &[]).await
    }

    /// Starts it with these texts of its configuration replaced.
    pub(crate) async fn start_with(
        kind: HttpProxyKind,
        server: SocketAddr,
        changes: &[(&str, &str)],
    ) -> Option<Self> {
        let program = programs::in_path(match kind {
            HttpProxyKind::Nginx | HttpProxyKind::BareNginx => "nginx",
            HttpProxyKind::Caddy | HttpProxyKind::CaddyHttp2 => "caddy",
            HttpProxyKind::Haproxy | HttpProxyKind::HaproxyHttp2 => "haproxy",
            HttpProxyKind::Envoy => "envoy",
        })?;
        let folder = tempfile::tempdir().unwrap();
        let kept = [(); 2].map(|()| KeptPort::on(Ipv4Addr::LOCALHOST.into()));
        let [address, other] = kept.each_ref().map(|port| (Ipv4Addr::LOCALHOST, port.number()).into());
        // Envoy tells by the name how it is written.
        let file = folder.path().join("config.yaml");
        let config = kind.config(folder.path(), address, other, server);
        fs::write(&file, replaced(&config, changes)).unwrap();
        let said = folder.path().join("said");
        let log = File::create(&said).unwrap();
        let mut child = Command::new(program)
            .args(kind.arguments(&file))
            .current_dir(folder.path())
            .env("HOME", folder.path())
            .env_remove("XDG_CONFIG_HOME")
            .env_remove("XDG_DATA_HOME")
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let listening = async {
            while TcpStream::connect(address).await.is_err() {
                if let Some(status) = child.try_wait().unwrap() {
                    panic!("{kind:?} ended, {status}: {}", fs::read_to_string(&said).unwrap());
                }
                tokio::task::yield_now().await;
            }
        };
        within("the proxy", listening).await;
        Some(Self { kind, address, other, _child: child, folder, _kept: kept })
    }

    /// Returns where it listens.
    pub(crate) const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Returns where it listens for native gRPC, which is elsewhere with nginx.
    pub(crate) fn for_grpc(&self) -> SocketAddr {
        if self.kind == HttpProxyKind::Nginx { self.other } else { self.address }
    }
}

impl HttpProxyKind {
    fn arguments(self, file: &Path) -> Vec<PathBuf> {
        let words: &[&str] = match self {
            Self::Nginx | Self::BareNginx => &["-e", "stderr", "-c"],
            Self::Caddy | Self::CaddyHttp2 => &["run", "--adapter", "caddyfile", "--config"],
            Self::Haproxy | Self::HaproxyHttp2 => &["-db", "-f"],
            Self::Envoy => {
                &["--disable-hot-restart", "--concurrency", "1", "--log-level", "warn", "--config-path"]
            }
        };
        words.iter().map(PathBuf::from).chain([file.to_owned()]).collect()
    }

    /// Writes what the document says, with a test's addresses, into what a whole configuration has around it.
    fn config(self, folder: &Path, address: SocketAddr, other: SocketAddr, server: SocketAddr) -> String {
        let (address, other, server) = (address.to_string(), other.to_string(), server.to_string());
        match self {
            Self::Nginx | Self::BareNginx => {
                let changes = [
                    ("127.0.0.1:8080", &*server),
                    ("listen 80;", &format!("listen {address};")),
                    ("listen 81 ", &format!("listen {other} ")),
                ];
                let blocks = match self {
                    Self::Nginx => replaced(&documented("nginx"), &changes),
                    _ => {
                        format!("server {{ listen {address}; location / {{ proxy_pass http://{server}; }} }}")
                    }
                };
                let user = if rustix::process::getuid().is_root() { "user root;" } else { "" };
                let folders = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
                    .map(|name| format!("{name}_temp_path {}/{name};", folder.display()));
                format!(
                    "daemon off; master_process off; {user} pid {}/pid; error_log stderr; events {{}}\n\
                     http {{ access_log off; {} \n{blocks}}}\n",
                    folder.display(),
                    folders.concat(),
                )
            }
            Self::Caddy | Self::CaddyHttp2 => {
                // Without `bind` it listens on every address, where another test may have the port.
                let site = format!("http://{address} {{\n    bind {}", Ipv4Addr::LOCALHOST);
                let by_http2 = format!("reverse_proxy h2c://{server} {{");
                let mut changes = vec![("chat.example {", &*site)];
                if self == Self::CaddyHttp2 {
                    changes.push(("reverse_proxy 127.0.0.1:8080 {", &by_http2));
                }
                changes.push(("127.0.0.1:8080", &server));
                // The tests speak HTTP/2 without TLS, where Caddy listens too.
                let options = "admin off\n auto_https off\n servers {\n protocols h1 h2c\n }";
                format!("{{\n {options}\n}}\n{}", replaced(&documented("caddy"), &changes))
            }
            Self::Haproxy | Self::HaproxyHttp2 => {
                let bind = format!("bind {address}");
                let mut changes = vec![("bind :80", &*bind), ("127.0.0.1:8080", &*server)];
                if self == Self::Haproxy {
                    // On the connections that the others' calls are on.
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

/// Returns the blocks of the document in a language.
fn documented(language: &str) -> String {
    let document = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/proxies.md")).unwrap();
    let fence = format!("```{language}\n");
    document.split(&fence).skip(1).map(|block| block.split("```").next().unwrap_or_default()).collect()
}
