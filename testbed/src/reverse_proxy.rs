//! The reverse proxies that people put in front of the server.

use std::{fs, net::SocketAddr, path::Path, process::Stdio};

use anyhow::Result;
use rustix::process::geteuid;
use tokio::process::Command;

use crate::{find_program, server::Server};

/// A reverse proxy's program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReverseProxy {
    /// nginx.
    Nginx,
    /// Caddy.
    Caddy,
    /// HAProxy.
    Haproxy,
    /// Envoy.
    Envoy,
}

impl ReverseProxy {
    /// Returns the program's name.
    #[must_use]
    pub const fn program(self) -> &'static str {
        match self {
            Self::Nginx => "nginx",
            Self::Caddy => "caddy",
            Self::Haproxy => "haproxy",
            Self::Envoy => "envoy",
        }
    }

    /// Starts it in a folder of its own, and returns once it listens at `address`; nothing where it is not installed.
    /// `config` is its configuration: for nginx what stands in its `http` block, for Caddy the sites.
    ///
    /// # Errors
    /// If it does not start.
    pub async fn start(self, folder: &Path, config: &str, address: SocketAddr) -> Result<Option<Server>> {
        let Some(program) = find_program(self.program()) else { return Ok(None) };
        // Envoy reads from the name in which language it is written.
        let file = folder.join("config.yaml");
        fs::write(&file, self.whole(config, folder))?;
        let mut command = Command::new(program);
        command
            .args(self.arguments())
            .arg(file)
            .current_dir(folder)
            .env("HOME", folder)
            .env_remove("XDG_CONFIG_HOME")
            .env_remove("XDG_DATA_HOME")
            .stdin(Stdio::null());
        Server::start_at(command, address).await.map(Some)
    }

    const fn arguments(self) -> &'static [&'static str] {
        match self {
            Self::Nginx => &["-e", "stderr", "-c"],
            Self::Caddy => &["run", "--adapter", "caddyfile", "--config"],
            Self::Haproxy => &["-db", "-f"],
            Self::Envoy => {
                &["--disable-hot-restart", "--concurrency", "1", "--log-level", "warn", "--config-path"]
            }
        }
    }

    fn whole(self, config: &str, folder: &Path) -> String {
        match self {
            Self::Nginx => {
                let user = if geteuid().is_root() { "user root;" } else { "" };
                let folder = folder.display();
                let folders = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
                    .map(|name| format!("{name}_temp_path {folder}/{name};"))
                    .concat();
                format!(
                    "daemon off; master_process off; {user} pid {folder}/pid; error_log stderr; events {{}}\n\
                     http {{ access_log off; {folders}\n{config}}}\n"
                )
            }
            // The tests speak HTTP/2 without TLS.
            Self::Caddy => {
                format!(
                    "{{\n admin off\n auto_https off\n servers {{\n protocols h1 h2 h2c\n }}\n}}\n{config}"
                )
            }
            Self::Haproxy | Self::Envoy => config.to_owned(),
        }
    }
}
