//! The gateway under test: started on an empty folder, given users and rooms, and restarted on what it kept.

use std::{
    env,
    net::SocketAddr,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, ensure};
use grpcchatter_proto::v1::{
    CreateChatRoomRequest, CreateChatRoomResponse, JoinChatRoomRequest, JoinChatRoomResponse,
};
use grpcchatter_testbed::{Postgres, UNLIMITED, built_program, command_under};
use serde_json::json;
use tempfile::TempDir;
use tokio::process::Command;

use crate::{
    load::{grpc::Connection, rest::Rest},
    process::{Process, parent},
};

/// The accounts of the original are called so, with three digits behind it.
pub(crate) const TAKEN_OVER: &str = "taken";
/// The original's tables with ten accounts, to be taken over; their hash is bcrypt's at the original's cost.
const ORIGINAL: &str = "
    CREATE TABLE roles (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, name varchar(255) UNIQUE NOT NULL);
    INSERT INTO roles (name) VALUES ('USER'), ('ADMIN');
    CREATE TABLE users (
        id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        created_at timestamptz NOT NULL DEFAULT now(),
        username varchar(255) UNIQUE NOT NULL,
        password varchar(255) NOT NULL,
        role_id bigint REFERENCES roles (id) DEFAULT 1);
    INSERT INTO users (username, password)
    SELECT 'taken' || to_char(number, 'FM000'), '$2a$10$N9qo8uLOickgx2ZMRZoMyeIjZAgcfl7p92ldGxad68LJZdL17lhWy'
    FROM generate_series(0, 9) AS number";

/// The password of every account made here.
pub(crate) const PASSWORD: &str = "Benchmark_1_word";
/// The secret of every gateway. One on PostgreSQL does not make its own, and a case that signs tokens itself must know it.
pub(crate) const SECRET: &str = "benchmarks-sign-with-what-is-no-secret";
const USERS: [&str; 2] = ["sender1", "sender2"];
/// Rooms that are written to; there is one more, to deliver in.
const ROOMS: usize = 10;

/// Where the gateway keeps its log.
#[derive(Debug)]
pub(crate) enum Database {
    /// The embedded one.
    Sqlite,
    /// A running one, at this URL, empty.
    Url(String),
    /// One of our own.
    Private(Box<Postgres>),
}

impl Database {
    /// Starts a private PostgreSQL with the original's accounts in it; none where it is not installed.
    ///
    /// # Errors
    /// If its programs fail.
    pub(crate) async fn start_postgres() -> Result<Option<Self>> {
        if Postgres::programs().is_none() {
            return Ok(None);
        }
        let postgres = Postgres::start(&[]).await.context("could not start a PostgreSQL")?;
        postgres.query(ORIGINAL).await.context("the original's tables could not be made")?;
        Ok(Some(Self::Private(Box::new(postgres))))
    }

    /// Returns its name.
    pub(crate) const fn name(&self) -> &'static str {
        match self {
            Self::Sqlite => "SQLite",
            Self::Url(_) | Self::Private(_) => "PostgreSQL",
        }
    }

    fn url(&self) -> Option<String> {
        match self {
            Self::Sqlite => None,
            Self::Url(url) => Some(url.clone()),
            Self::Private(postgres) => Some(postgres.url("postgres")),
        }
    }
}

/// A gateway with users and rooms, kept on disk: each case starts a process of its own on it.
#[derive(Debug)]
pub(crate) struct Gateway {
    program: PathBuf,
    database: Database,
    data: TempDir,
    /// The chat token of the room to deliver in.
    pub(crate) audience: String,
    /// The chat tokens of the other rooms: one of each room, then another one of each.
    pub(crate) senders: Vec<String>,
}

impl Gateway {
    /// Starts the gateway on an empty database, makes the users and rooms that all cases share, and ends it.
    ///
    /// # Errors
    /// If it does not start, or refuses.
    pub(crate) async fn prepare(program: &Path, database: Database) -> Result<Self> {
        let data = TempDir::new()?;
        let mut gateway = Self {
            program: program.to_owned(),
            database,
            data,
            audience: String::new(),
            senders: Vec::new(),
        };
        let process = gateway.start().await?;
        let mut tokens = join_rooms(process.address).await?.into_iter();
        gateway.audience = tokens.next().context("no room was made")?;
        gateway.senders = tokens.collect();
        process.stop().await?;
        Ok(gateway)
    }

    /// Returns the name of its database.
    pub(crate) const fn database(&self) -> &'static str {
        self.database.name()
    }

    /// Returns whether its database is PostgreSQL.
    pub(crate) const fn is_postgres(&self) -> bool {
        !matches!(self.database, Database::Sqlite)
    }

    /// Returns whether there are accounts that were taken over from the original.
    pub(crate) const fn has_taken_over(&self) -> bool {
        matches!(self.database, Database::Private(_))
    }

    /// Starts it on what it kept.
    ///
    /// # Errors
    /// If it does not start.
    pub(crate) async fn start(&self) -> Result<Process> {
        Process::start(self.command(&[])).await
    }

    /// Starts it with the limits that it has by default, under a tool where one is named.
    ///
    /// # Errors
    /// If it does not start.
    pub(crate) async fn start_limited(&self, tool: &[&str]) -> Result<Process> {
        let mut command = self.command(tool);
        for name in UNLIMITED {
            command.env_remove(name);
        }
        Process::start(command).await
    }

    /// Returns the command that starts it, under a tool where one is named.
    pub(crate) fn command(&self, tool: &[&str]) -> Command {
        let mut command = command_under(tool, &self.program);
        command.env("DATA_DIR", self.data.path()).env("SERVER_ADDRESS", "127.0.0.1").env("SERVER_PORT", "0");
        command.envs(UNLIMITED.map(|name| (name, "0"))).env("LOG_LEVEL", "info");
        command.env("SECRET", SECRET);
        if let Some(url) = self.database.url() {
            command.env("DATABASE_URL", url);
        }
        command
    }

    /// Returns the id of the process that started those of its PostgreSQL, if that is one of our own.
    ///
    /// # Errors
    /// If it does not answer.
    pub(crate) async fn postmaster(&self) -> Result<Option<u32>> {
        let Database::Private(postgres) = &self.database else { return Ok(None) };
        let child = postgres.query("SELECT pid FROM pg_stat_activity WHERE backend_type = 'checkpointer'");
        Ok(Some(parent(&child.await?)?))
    }

    /// Runs statements in its database, while it is not running, and returns what the last one answered. SQLite answers
    /// nothing.
    ///
    /// # Errors
    /// If one fails.
    pub(crate) async fn sql(&self, statements: &str) -> Result<String> {
        let Some(url) = self.database.url() else {
            let database = rusqlite::Connection::open(self.data.path().join("grpcchatter.db"))?;
            database.execute_batch(statements)?;
            return Ok(String::new());
        };
        let programs = Postgres::programs().context("PostgreSQL's programs are not installed")?;
        let mut psql = Command::new(programs.join("psql"));
        psql.args(["--no-psqlrc", "--quiet", "--tuples-only", "--no-align", "--set=ON_ERROR_STOP=1"]);
        psql.args(["--dbname", &url]).args(statements.split(';').flat_map(|one| ["--command", one]));
        let output = psql.output().await?;
        ensure!(output.status.success(), "psql failed: {}", String::from_utf8_lossy(&output.stderr));
        Ok(String::from_utf8(output.stdout)?.trim().to_owned())
    }
}

/// Makes the users and the rooms; returns the tokens of [`Gateway::audience`] and [`Gateway::senders`].
async fn join_rooms(address: SocketAddr) -> Result<Vec<String>> {
    let mut rest = Rest::open(address)?;
    let users = USERS.map(|name| sign_in(&mut rest, name)).into_iter().collect::<Result<Vec<_>>>()?;
    let connection = Connection::open(address).await?;
    let mut codes = Vec::new();
    for number in 0..=ROOMS {
        let room =
            CreateChatRoomRequest { room_name: format!("room {number}"), room_password: String::new() };
        let made: CreateChatRoomResponse = connection
            .unary("/grpcchatter.v1.ChatService/CreateChatRoom", users.first().map(String::as_str), &room)
            .await?;
        codes.push(made.short_code);
    }
    let first = (codes.iter().take(1)).zip(&users);
    let others = users.iter().flat_map(|user| codes.iter().skip(1).map(move |code| (code, user)));
    let mut tokens = Vec::new();
    for (code, user) in first.chain(others) {
        let room = JoinChatRoomRequest { short_code: code.clone(), ..Default::default() };
        let joined: JoinChatRoomResponse =
            connection.unary("/grpcchatter.v1.ChatService/JoinChatRoom", Some(user), &room).await?;
        tokens.push(joined.token);
    }
    Ok(tokens)
}

/// Registers a user and returns their user token.
pub(crate) fn sign_in(rest: &mut Rest, name: &str) -> Result<String> {
    let account = json!({ "user_name": name, "password": PASSWORD });
    let (status, answer) = rest.post("/register", &account)?;
    ensure!(status == 200, "could not register {name}: {answer}");
    let (status, answer) = rest.post("/login", &account)?;
    ensure!(status == 200, "could not log {name} in: {answer}");
    Ok(answer["token"].as_str().context("no token in the answer to a login")?.to_owned())
}

/// Returns the gateway's program: the one that `GRPCCHATTER_BIN` names, else it is built, optimised as this one is.
///
/// # Errors
/// If it does not compile.
pub(crate) fn program() -> Result<PathBuf> {
    if let Some(program) = env::var_os("GRPCCHATTER_BIN") {
        return Ok(program.into());
    }
    let mut build = std::process::Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    build.args(["build", "--package", "grpcchatter", "--bin", "grpcchatter"]);
    if !cfg!(debug_assertions) {
        build.arg("--release");
    }
    ensure!(build.status()?.success(), "the gateway could not be built");
    built_program("grpcchatter")
}
