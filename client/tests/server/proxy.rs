//! The reverse proxies that people put in front of the server, each with one address for all that the library asks.

use std::{
    fs::{self, File},
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use tempfile::TempDir;
use tokio::net::TcpStream;

use crate::{port::KeptPort, programs};

#[derive(Clone, Copy, Debug)]
pub(crate) enum Kind {
    Nginx,
    Haproxy,
    Caddy,
}

/// A running proxy. It is killed when it is dropped.
pub(crate) struct Proxy {
    pub(crate) url: String,
    child: Child,
    _folder: TempDir,
    _port: KeptPort,
}

impl Proxy {
    /// Starts a proxy before the server at `url`; none where its program is missing, which `tests/coverage.rs` of the
    /// server reports.
    pub(crate) async fn start(kind: Kind, url: &str) -> Option<Self> {
        let server = url.strip_prefix("http://").unwrap();
        let Some(program) = programs::in_path(kind.program()) else {
            assert!(std::env::var_os("REQUIRE_PROXIES").is_none(), "{} is not installed", kind.program());
            return None;
        };
        let folder = tempfile::tempdir().unwrap();
        let port = KeptPort::on(Ipv4Addr::LOCALHOST.into());
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port.number()));
        let file = folder.path().join("config");
        fs::write(&file, kind.config(folder.path(), address, server)).unwrap();
        let said = folder.path().join("said");
        let log = File::create(&said).unwrap();
        let child = Command::new(program)
            .args(kind.arguments(&file))
            .current_dir(folder.path())
            .env("HOME", folder.path())
            .env_remove("XDG_CONFIG_HOME")
            .env_remove("XDG_DATA_HOME")
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        let mut proxy = Self { url: format!("http://{address}"), child, _folder: folder, _port: port };
        while TcpStream::connect(address).await.is_err() {
            if let Some(status) = proxy.child.try_wait().unwrap() {
                panic!("{kind:?} ended, {status}: {}", fs::read_to_string(&said).unwrap());
            }
            tokio::task::yield_now().await;
        }
        Some(proxy)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Kind {
    fn program(self) -> &'static str {
        match self {
            Self::Nginx => "nginx",
            Self::Haproxy => "haproxy",
            Self::Caddy => "caddy",
        }
    }

    fn arguments(self, file: &Path) -> Vec<PathBuf> {
        let words: &[&str] = match self {
            Self::Nginx => &["-e", "stderr", "-c"],
            Self::Haproxy => &["-db", "-f"],
            Self::Caddy => &["run", "--adapter", "caddyfile", "--config"],
        };
        words.iter().map(PathBuf::from).chain([file.to_owned()]).collect()
    }

    fn config(self, folder: &Path, address: SocketAddr, server: &str) -> String {
        match self {
            Self::Nginx => {
                let user = if rustix::process::getuid().is_root() { "user root;" } else { "" };
                let folder = folder.display();
                let folders = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
                    .map(|name| format!("{name}_temp_path {folder}/{name};"))
                    .concat();
                format!(
                    "daemon off; master_process off; {user} pid {folder}/pid; error_log stderr; events {{}}
                     http {{
                         access_log off; {folders}
                         upstream chat {{ server {server}; keepalive 16; }}
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
                         }}
                     }}"
                )
            }
            Self::Haproxy => format!(
                "defaults\n mode http\n timeout connect 5s\n timeout client 1h\n timeout server 1h\n\
                 frontend chat_in\n bind {address}\n default_backend chat\n\
                 backend chat\n server one {server} proto h2\n"
            ),
            Self::Caddy => format!(
                "{{\n admin off\n auto_https off\n servers {{\n  protocols h1 h2 h2c\n }}\n}}\n\
                 http://{address} {{\n @grpc header Content-Type application/grpc\n \
                 reverse_proxy @grpc h2c://{server}\n reverse_proxy {server}\n}}\n"
            ),
        }
    }
}
