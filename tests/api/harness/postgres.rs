//! A PostgreSQL of the tests' own: one cluster a run, on a free port, in a folder that goes with it.

use std::{
    io::{BufRead as _, BufReader},
    net::Ipv4Addr,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{
        OnceLock,
        atomic::{AtomicU32, Ordering},
    },
};

use super::{port::KeptPort, programs};

/// Makes a cluster in a new folder and serves it until standard input ends, which happens however the tests
/// end. The server asks for a cluster that waits for its disk: where there is memory for it, the disk is none.
const SCRIPT: &str = r#"
free=$(df -Pk /dev/shm 2>/dev/null | awk 'NR == 2 { print $4 }')
[ "${free:-0}" -lt 6000000 ] || export TMPDIR=/dev/shm
folder=$(mktemp -d) && trap 'rm -rf "$folder"' EXIT &&
"$0/initdb" --pgdata="$folder" --username=postgres --auth=trust --encoding=UTF8 --no-locale --no-sync >/dev/null &&
{ "$0/postgres" -D "$folder" -c port="$1" -c listen_addresses=127.0.0.1 -c unix_socket_directories= \
    -c max_connections=500 </dev/null & server=$!; } &&
{ read -r end; kill -INT "$server"; wait "$server"; }
"#;

/// A running cluster.
pub(crate) struct Cluster {
    programs: PathBuf,
    port: u16,
    /// Its standard input is what keeps the cluster up.
    _guard: Child,
    _kept: KeptPort,
}

impl Cluster {
    /// Returns the cluster of this run, started by the first who asks; nothing where PostgreSQL is missing.
    pub(crate) fn shared() -> Option<&'static Self> {
        static SHARED: OnceLock<Option<Cluster>> = OnceLock::new();
        SHARED.get_or_init(|| programs::postgres().map(Self::start)).as_ref()
    }

    fn start(programs: PathBuf) -> Self {
        let kept = KeptPort::on(Ipv4Addr::LOCALHOST.into());
        let port = kept.number();
        let mut guard = shell_as_postgres()
            .args(["-c", SCRIPT])
            .arg(&programs)
            .arg(port.to_string())
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        await_ready(&mut guard);
        Self { programs, port, _guard: guard, _kept: kept }
    }

    /// Makes a database and returns its address.
    pub(crate) async fn create_database(&self) -> String {
        static NEXT: AtomicU32 = AtomicU32::new(1);
        let name = format!("test{}", NEXT.fetch_add(1, Ordering::Relaxed));
        let made = tokio::process::Command::new(self.programs.join("createdb"))
            .args(["--host=127.0.0.1", "--username=postgres", "--no-password"])
            .arg(format!("--port={}", self.port))
            .arg(&name)
            .output()
            .await
            .unwrap();
        assert!(made.status.success(), "{made:?}");
        format!("postgres://postgres@127.0.0.1:{}/{name}?sslmode=disable", self.port)
    }
}

/// Returns once PostgreSQL takes connections, by its log.
pub(crate) fn await_ready(serving: &mut Child) {
    let mut log = BufReader::new(serving.stderr.take().unwrap()).lines();
    let mut seen = Vec::new();
    loop {
        let Some(Ok(line)) = log.next() else { panic!("PostgreSQL does not start: {seen:#?}") };
        if line.contains("ready to accept") {
            break;
        }
        seen.push(line);
    }
    // What it goes on to say is read, so that it is never held up, and not kept.
    std::thread::spawn(move || log.for_each(drop));
}

/// Returns a shell that runs as somebody whom PostgreSQL accepts: it refuses root.
pub(crate) fn shell_as_postgres() -> Command {
    if !rustix::process::getuid().is_root() {
        return Command::new("sh");
    }
    let mut command = Command::new("setpriv");
    command.args(["--reuid=postgres", "--regid=postgres", "--init-groups"]).arg(Path::new("/bin/sh"));
    command
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_cluster_gives_each_test_a_database() {
        let Some(cluster) = Cluster::shared() else { return };
        assert_ne!(cluster.create_database().await, cluster.create_database().await);
    }
}
