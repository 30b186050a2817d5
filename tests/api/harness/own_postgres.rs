//! A PostgreSQL of one test's own, which it may configure, crash, start again and give a standby.

use std::{
    io::Write as _,
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
    process::{Child, Stdio},
};

use sea_orm::{ConnectOptions, ConnectionTrait as _, DatabaseConnection, Statement};

use super::{
    Database, KeptPort,
    postgres::{await_ready, shell_as_postgres},
    programs, within,
};

/// Makes a cluster whose superuser is let in, and everybody else by password.
const MAKE: &str = r#"
folder=$(mktemp -d) && cd "$folder" &&
"$0/initdb" --pgdata=data --username=postgres --auth=trust --encoding=UTF8 --no-locale --no-sync >/dev/null &&
printf '%s\n' 'host all postgres 127.0.0.1/32 trust' 'host replication postgres 127.0.0.1/32 trust' \
    'host all all 127.0.0.1/32 scram-sha-256' >data/pg_hba.conf &&
echo "$folder"
"#;

/// Copies the cluster that listens on a port into one that follows it.
const FOLLOW: &str = r#"
folder=$(mktemp -d) && cd "$folder" &&
"$0/pg_basebackup" --pgdata=data --host=127.0.0.1 --port="$1" --username=postgres --write-recovery-conf \
    --checkpoint=fast --no-sync && echo "$folder"
"#;

/// Serves a cluster until standard input names the signal that ends it, or ends by itself.
const SERVE: &str = r#"
{ "$0/postgres" -D "$1/data" -c port="$2" -c listen_addresses=127.0.0.1 -c unix_socket_directories= \
    -c wal_writer_delay=10s </dev/null & server=$!; } &&
{ read -r signal; kill -"${signal:-INT}" "$server"; wait "$server"; }
"#;

/// How a cluster ends.
#[derive(Clone, Copy, Debug)]
pub(crate) enum End {
    /// As by a crash: what is not on the disk is gone.
    Crash,
    /// Its connections are ended, and everything is written.
    Fast,
}

/// A cluster. It goes with its test.
pub(crate) struct OwnPostgres {
    programs: PathBuf,
    folder: PathBuf,
    /// Its own over all that ends it.
    port: KeptPort,
    serving: Option<Child>,
}

impl Drop for OwnPostgres {
    fn drop(&mut self) {
        self.end(End::Crash);
        drop(std::fs::remove_dir_all(&self.folder));
    }
}

impl OwnPostgres {
    /// Makes one and serves it; nothing where PostgreSQL is missing.
    pub(crate) fn start() -> Option<Self> {
        Some(Self::made_by(MAKE, 0, programs::postgres()?))
    }

    /// Makes a standby that follows this one.
    pub(crate) fn standby(&self) -> Self {
        Self::made_by(FOLLOW, self.port.number(), self.programs.clone())
    }

    fn made_by(script: &str, of: u16, programs: PathBuf) -> Self {
        let mut command = shell_as_postgres();
        command.args(["-c", script]).arg(&programs).arg(of.to_string()).current_dir("/");
        let made = command.output().unwrap();
        assert!(made.status.success(), "{made:?}");
        let folder = String::from_utf8(made.stdout).unwrap().trim().into();
        let port = KeptPort::on(Ipv4Addr::LOCALHOST.into());
        let mut cluster = Self { programs, folder, port, serving: None };
        cluster.serve();
        cluster
    }

    /// Serves it, after it has ended.
    pub(crate) fn serve(&mut self) {
        let mut serving = shell_as_postgres()
            .args(["-c", SERVE])
            .arg(&self.programs)
            .arg(&self.folder)
            .arg(self.port.number().to_string())
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        await_ready(&mut serving);
        self.serving = Some(serving);
    }

    /// Ends it.
    pub(crate) fn end(&mut self, end: End) {
        let Some(mut serving) = self.serving.take() else { return };
        let signal = match end {
            End::Crash => "QUIT",
            End::Fast => "INT",
        };
        // It may have ended by itself.
        drop(writeln!(serving.stdin.take().unwrap(), "{signal}"));
        serving.wait().unwrap();
    }

    /// Returns where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        SocketAddr::from((Ipv4Addr::LOCALHOST, self.port.number()))
    }

    /// Returns a database of it, as its superuser.
    pub(crate) fn database(&self, name: &str) -> Database {
        Database::reached_by(format!("postgres://postgres@{}/{name}?sslmode=disable", self.address()))
    }

    /// Returns a database of it, as somebody with a password.
    pub(crate) fn database_as(&self, user: &str, password: &str, name: &str) -> Database {
        let address = self.address();
        Database::reached_by(format!("postgres://{user}:{password}@{address}/{name}?sslmode=disable"))
    }

    /// Connects as its superuser.
    pub(crate) async fn operator(&self) -> DatabaseConnection {
        let database = self.database("postgres");
        let mut options = ConnectOptions::new(database.url().unwrap());
        // What it runs may hold a password, which must not be in the log that the tests search.
        options.sqlx_logging(false);
        sea_orm::Database::connect(options).await.unwrap()
    }

    /// Runs statements as its superuser.
    pub(crate) async fn run(&self, statements: &[&str]) {
        let operator = self.operator().await;
        for statement in statements {
            operator.execute_unprepared(statement).await.unwrap();
        }
    }

    /// Changes a setting of the whole cluster, for open connections too.
    pub(crate) async fn set(&self, setting: &str, value: &str) {
        let operator = self.operator().await;
        operator.execute_unprepared(&format!("ALTER SYSTEM SET {setting} = '{value}'")).await.unwrap();
        operator.execute_unprepared("SELECT pg_reload_conf()").await.unwrap();
        let asked = format!("SELECT setting = '{value}' AS done FROM pg_settings WHERE name = '{setting}'");
        within(setting, until(&operator, &asked)).await;
    }
}

/// Awaits that a question, whose column is `done`, is answered with yes.
pub(crate) async fn until(operator: &DatabaseConnection, asked: &str) {
    loop {
        let statement = Statement::from_string(operator.get_database_backend(), asked);
        let row = operator.query_one_raw(statement).await.unwrap().unwrap();
        if row.try_get("", "done").unwrap() {
            return;
        }
        tokio::task::yield_now().await;
    }
}
