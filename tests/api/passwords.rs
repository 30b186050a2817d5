//! Password hashing: a client with many hashes does not block others, and memory and priority are bounded.

use std::{
    fs,
    net::Ipv4Addr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::available_parallelism,
};

use grpcchatter_proto::v1::CreateChatRoomRequest;
use serde_json::json;
use tokio::{net::TcpSocket, sync::Notify, task::JoinSet};
use tonic_types::StatusExt as _;

use crate::harness::{
    Answer, Caller, Connection, DEADLINE, Database, PASSWORD, Process, TestApp, Version, new_name,
    on_each_database, report, request, within,
};

on_each_database! {
    an_address_that_fills_the_queue_blocks_no_other_address,
    a_customer_with_many_networks_blocks_no_other,
    an_account_that_sets_many_room_passwords_blocks_no_other,
}

/// How many clients retry all the time: more than the queue holds on two cores, which CI has.
fn flood_size() -> usize {
    40 * hashing_threads() + 48
}

/// The number of threads that hash.
fn hashing_threads() -> usize {
    available_parallelism().unwrap().get()
}

/// Coordinates the flood with the user whom it must not block.
#[derive(Clone, Default)]
struct Flood(Arc<State>);

#[derive(Default)]
struct State {
    is_refused: AtomicBool,
    refused: Notify,
    retry: Notify,
}

impl Flood {
    /// Records a refusal, and awaits the signal to retry.
    async fn refused(&self) {
        let retry = self.0.retry.notified();
        self.0.is_refused.store(true, Ordering::Relaxed);
        self.0.refused.notify_one();
        retry.await;
    }

    /// Awaits that the queue is full: a client was refused since the last call.
    async fn is_full(&self) {
        while !self.0.is_refused.swap(false, Ordering::Relaxed) {
            self.0.retry.notify_waiters();
            within("a refusal", self.0.refused.notified()).await;
        }
    }
}

fn log_in_request(name: &str) -> http::Request<http_body_util::Full<bytes::Bytes>> {
    let body = json!({"user_name": name, "password": PASSWORD}).to_string();
    request("POST", "/login", &[("content-type", "application/json")], body.into_bytes())
}

async fn log_in(caller: &Caller, name: &str) -> Answer {
    Connection::open(caller.address, Version::H1).await.send(log_in_request(name)).await
}

async fn an_address_that_fills_the_queue_blocks_no_other_address(database: Database) {
    let app = TestApp::start(&database).await;
    let (user, pressure) = (app.user().await, Flood::default());
    let mut flood = JoinSet::new();
    for _ in 0..flood_size() {
        let (address, name, pressure) = (app.address(), user.name.clone(), pressure.clone());
        flood.spawn(async move {
            let socket = TcpSocket::new_v4().unwrap();
            socket.bind((Ipv4Addr::new(127, 0, 0, 2), 0).into()).unwrap();
            let stream = socket.connect(address).await.unwrap();
            let mut connection = Connection::over(stream, address, Version::H1).await;
            loop {
                let answer = connection.send(log_in_request(&name)).await;
                if answer.status == 503 {
                    pressure.refused().await;
                }
            }
        });
    }
    let mut logged_in = 0;
    for _ in 0..26 {
        pressure.is_full().await;
        let answer = log_in(&app.anonymous(), &user.name).await;
        assert_eq!(answer.status, 200, "after {logged_in} others: {answer:?}");
        logged_in += 1;
    }
    report("logins beside an address that fills the queue", &format!("{logged_in} of 26 logged in"));
    flood.shutdown().await;
}

/// An IPv6 customer may have 65,536 networks of size /64.
async fn a_customer_with_many_networks_blocks_no_other(database: Database) {
    let app = TestApp::with(&database, &[("TRUSTED_PROXIES", "127.0.0.0/8")]).await;
    let user = app.user().await;
    let from = |path: &str, name: &str, client: &str| {
        let body = json!({"user_name": name, "password": PASSWORD}).to_string();
        let headers = [("content-type", "application/json"), ("x-forwarded-for", client)];
        request("POST", path, &headers, body.into_bytes())
    };
    for path in ["/login", "/register"] {
        let (mut flood, pressure) = (JoinSet::new(), Flood::default());
        for network in 0..flood_size() {
            let (address, user, pressure) = (app.address(), user.name.clone(), pressure.clone());
            flood.spawn(async move {
                let client = format!("2001:db8:0:{network:x}::1");
                let mut connection = Connection::open(address, Version::H1).await;
                loop {
                    let name = if path == "/login" { user.clone() } else { new_name() };
                    let answer = connection.send(from(path, &name, &client)).await;
                    if answer.status == 503 {
                        pressure.refused().await;
                    }
                }
            });
        }
        for others in 0..10 {
            pressure.is_full().await;
            let mut connection = Connection::open(app.address(), Version::H1).await;
            let answer = connection.send(from("/login", &user.name, "192.0.2.1")).await;
            assert_eq!(answer.status, 200, "{path}, after {others} others: {answer:?}");
        }
        flood.shutdown().await;
    }
}

async fn an_account_that_sets_many_room_passwords_blocks_no_other(database: Database) {
    let app = TestApp::start(&database).await;
    let (flooder, user, pressure) = (app.user().await, app.user().await, Flood::default());
    let mut flood = JoinSet::new();
    let room = || CreateChatRoomRequest { room_name: "many".to_owned(), room_password: "cAnary".to_owned() };
    for _ in 0..flood_size() {
        let (flooder, pressure) = (flooder.on_new_connection(), pressure.clone());
        flood.spawn(async move {
            loop {
                if let Err(status) = flooder.call(room()).await
                    && status.get_details_error_info().is_some_and(|info| info.reason == "OVERLOADED")
                {
                    pressure.refused().await;
                }
            }
        });
    }
    for _ in 0..10 {
        pressure.is_full().await;
        assert_eq!(log_in(&app.anonymous(), &user.name).await.status, 200);
        user.call(room()).await.unwrap();
    }
    flood.shutdown().await;
}

/// Each thread reuses one block of memory: blocks that are allocated for each hash are not returned to the system.
#[tokio::test]
async fn hashing_uses_one_block_per_thread_at_low_priority() {
    let (database, folder) = (Database::sqlite(), tempfile::tempdir().unwrap());
    let server = Process::start(&database, &folder, &[]).await;
    let user = server.user().await;
    let before = megabytes(&server);
    let mut logging_in = JoinSet::new();
    for _ in 0..6 {
        let (caller, name) = (server.anonymous(), user.name.clone());
        logging_in.spawn(async move {
            for _ in 0..10 {
                assert_eq!(log_in(&caller, &name).await.status, 200);
            }
        });
    }
    within("sixty logins", logging_in.join_all()).await;
    let grown = megabytes(&server) - before;
    report("memory", &format!("at most {grown} MB more, after 60 logins"));
    let most = 20 * hashing_threads() + 32;
    assert!(grown <= most, "{grown} MB more, above the limit of {most}");

    let lowered = async {
        // A thread lowers its priority when it first runs, so each login gives another thread the chance.
        while niceness_of_hashing(&server) != vec![(own_niceness() + 10).min(19); hashing_threads()] {
            log_in(&server.anonymous(), &user.name).await;
        }
    };
    let lowered = tokio::time::timeout(DEADLINE, lowered).await;
    assert!(lowered.is_ok(), "the niceness of the hashing threads: {:?}", niceness_of_hashing(&server));
}

/// Reads a server's peak memory.
fn megabytes(server: &Process) -> usize {
    let status = fs::read_to_string(server.proc().join("status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<usize>().unwrap() / 1024
}

/// Reads the niceness of each hashing thread of a server.
fn niceness_of_hashing(server: &Process) -> Vec<i32> {
    let tasks = fs::read_dir(server.proc().join("task")).unwrap();
    let stats = tasks.filter_map(|task| fs::read_to_string(task.unwrap().path().join("stat")).ok());
    stats.filter(|stat| stat.contains("(passwords-")).map(|stat| niceness(&stat)).collect()
}

fn own_niceness() -> i32 {
    niceness(&fs::read_to_string("/proc/thread-self/stat").unwrap())
}

/// Takes the 19th field out of a thread's `stat`. The second is its name, in brackets.
fn niceness(stat: &str) -> i32 {
    let (_, after_name) = stat.rsplit_once(')').unwrap();
    after_name.split_whitespace().nth(16).unwrap().parse().unwrap()
}
