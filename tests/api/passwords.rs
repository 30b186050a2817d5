//! Hashing passwords: whoever has many hashed keeps nobody else out, and what it takes is bounded.

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
    an_address_that_fills_the_queue_keeps_no_other_out,
    a_customer_with_many_networks_keeps_no_other_out,
    an_account_that_sets_many_room_passwords_keeps_no_other_out,
}

/// How many ask again and again: more than there are places on two cores, which are what CI has.
fn crowd() -> usize {
    40 * threads() + 48
}

/// How many threads hash.
fn threads() -> usize {
    available_parallelism().unwrap().get()
}

/// What a flood tells whom it is to harm, and hears from them.
#[derive(Clone, Default)]
struct Pressure(Arc<State>);

#[derive(Default)]
struct State {
    is_refused: AtomicBool,
    refused: Notify,
    again: Notify,
}

impl Pressure {
    /// Says that somebody was refused, and awaits that it is worth while to ask again.
    async fn refused(&self) {
        let again = self.0.again.notified();
        self.0.is_refused.store(true, Ordering::Relaxed);
        self.0.refused.notify_one();
        again.await;
    }

    /// Awaits that the queue is full: somebody was refused since the last look.
    async fn is_full(&self) {
        while !self.0.is_refused.swap(false, Ordering::Relaxed) {
            self.0.again.notify_waiters();
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

async fn an_address_that_fills_the_queue_keeps_no_other_out(database: Database) {
    let app = TestApp::start(&database).await;
    let (user, pressure) = (app.user().await, Pressure::default());
    let mut flood = JoinSet::new();
    for _ in 0..crowd() {
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
    let mut let_in = 0;
    for _ in 0..26 {
        pressure.is_full().await;
        let answer = log_in(&app.anonymous(), &user.name).await;
        assert_eq!(answer.status, 200, "after {let_in} others: {answer:?}");
        let_in += 1;
    }
    report("log-ins beside an address that fills the queue", &format!("{let_in} of 26 let in"));
    flood.shutdown().await;
}

/// An IPv6 customer may have 65,536 networks.
async fn a_customer_with_many_networks_keeps_no_other_out(database: Database) {
    let app = TestApp::with(&database, &[("TRUSTED_PROXIES", "127.0.0.0/8")]).await;
    let user = app.user().await;
    let from = |path: &str, name: &str, client: &str| {
        let body = json!({"user_name": name, "password": PASSWORD}).to_string();
        let headers = [("content-type", "application/json"), ("x-forwarded-for", client)];
        request("POST", path, &headers, body.into_bytes())
    };
    for path in ["/login", "/register"] {
        let (mut flood, pressure) = (JoinSet::new(), Pressure::default());
        for network in 0..crowd() {
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

async fn an_account_that_sets_many_room_passwords_keeps_no_other_out(database: Database) {
    let app = TestApp::start(&database).await;
    let (flooder, user, pressure) = (app.user().await, app.user().await, Pressure::default());
    let mut flood = JoinSet::new();
    let room = || CreateChatRoomRequest { room_name: "many".to_owned(), room_password: "cAnary".to_owned() };
    for _ in 0..crowd() {
        let (flooder, pressure) = (flooder.elsewhere(), pressure.clone());
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

/// One block of memory for each hash that is under way: what is allocated anew for each is not given back.
#[tokio::test]
async fn the_threads_hash_in_memory_of_their_own_behind_all_others() {
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
    within("sixty log-ins", logging_in.join_all()).await;
    let grown = megabytes(&server) - before;
    report("memory", &format!("{grown} MB more at the most, after 60 log-ins"));
    let most = 20 * threads() + 32;
    assert!(grown <= most, "{grown} MB more, where {most} are the most");

    let lowered = async {
        // A thread that has not run yet has not lowered itself either: each log-in gives it another chance.
        while hashing(&server) != vec![(own_niceness() + 10).min(19); threads()] {
            log_in(&server.anonymous(), &user.name).await;
        }
    };
    let lowered = tokio::time::timeout(DEADLINE, lowered).await;
    assert!(lowered.is_ok(), "the threads that hash: {:?}", hashing(&server));
}

/// Reads the most memory that a server has had.
fn megabytes(server: &Process) -> usize {
    let status = fs::read_to_string(server.proc().join("status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<usize>().unwrap() / 1024
}

/// Reads the niceness of each of a server's threads that hash.
fn hashing(server: &Process) -> Vec<i32> {
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
