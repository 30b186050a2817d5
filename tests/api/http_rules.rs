//! The rules of HTTP itself: the host of a request, the page that it comes from, and the rest of a refused request's body.

use grpcchatter_proto::v1::SubscribeRequest;
use serde_json::json;
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};
use tonic::Code;

use crate::harness::{
    Certificate, Connection, Database, Dialect, PASSWORD, Process, Refused as _, TestApp, Version, frame, h2,
    h2_post, new_name, on_each_database, request, within,
};

on_each_database! {
    requests_of_a_foreign_page_are_not_charged,
    a_request_names_exactly_one_host,
    a_refused_body_does_not_end_its_connection,
    a_connection_whose_body_is_not_read_is_announced_as_closed,
    a_refused_stream_is_answered_at_once,
    a_half_closed_connection_gets_its_answer,
    an_http1_stream_ends_when_its_client_half_closes,
    hsts_is_sent_with_a_configured_certificate,
    every_answer_has_nosniff,
}

async fn requests_of_a_foreign_page_are_not_charged(database: Database) {
    let settings = [("REGISTRATIONS_PER_HOUR", "1"), ("CORS_ORIGINS", "https://app.example")];
    let app = TestApp::with(&database, &settings).await;
    let foreign: [&[(&str, &str)]; 3] = [
        &[("origin", "https://evil.example")],
        &[("origin", "null"), ("content-type", "text/plain")],
        &[("sec-fetch-site", "cross-site")],
    ];
    let body = json!({"user_name": new_name(), "password": PASSWORD}).to_string();
    for version in [Version::H1, Version::H2] {
        for headers in foreign {
            for (method, path) in [("POST", "/register"), ("POST", "/login"), ("DELETE", "/account")] {
                let answer = app.send(version, method, path, headers, body.as_bytes()).await;
                assert_eq!(
                    (answer.status.as_u16(), &answer.json()["reason"]),
                    (403, &"FOREIGN_ORIGIN".into())
                );
            }
            assert_eq!(app.send(version, "GET", "/livez", headers, b"").await.status, 200);
        }
    }
    for dialect in [Dialect::Web, Dialect::WebText] {
        let mut connection = Connection::open(app.address(), dialect.version()).await;
        let path = "/grpcchatter.v1.ChatService/ListChatRooms";
        let outcome = dialect.call(&mut connection, path, &[("origin", "https://evil.example")], &()).await;
        outcome.refused(Code::PermissionDenied, "FOREIGN_ORIGIN");
    }
    // The only registration of the hour was not charged.
    let allowed = [("origin", "https://app.example"), ("sec-fetch-site", "cross-site")];
    assert_eq!(app.send(Version::H1, "POST", "/register", &allowed, body.as_bytes()).await.status, 200);
}

/// Sends bytes, and returns everything that the server sends until the connection ends.
async fn exchange(app: &TestApp, bytes: &[u8]) -> String {
    let mut socket = TcpStream::connect(app.address()).await.unwrap();
    socket.write_all(bytes).await.unwrap();
    let mut answer = String::new();
    within("an answer", socket.read_to_string(&mut answer)).await.unwrap();
    answer
}

/// RFC 9112, section 3.2, and RFC 9113, section 8.3.1.
async fn a_request_names_exactly_one_host(database: Database) {
    let app = TestApp::start(&database).await;
    for (hosts, status) in
        [("", 400), ("host: a\r\n", 200), ("host: a\r\nhost: a\r\n", 400), ("host: a\r\nhost: b\r\n", 400)]
    {
        let head = format!("GET /livez HTTP/1.1\r\n{hosts}connection: close\r\n\r\n");
        let answer = exchange(&app, head.as_bytes()).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{hosts:?}: {answer}");
    }
    let same = app.address().to_string();
    for (host, status) in [(same.as_str(), 200), ("evil.example", 400)] {
        assert_eq!(app.send(Version::H2, "GET", "/livez", &[("host", host)], b"").await.status, status);
    }
}

/// Awaits that a metric of the server has reached a count.
async fn await_count(metrics: &mut Connection, name: &str, count: usize) {
    let counting = async { while count_of(metrics, name).await < count {} };
    within(name, counting).await;
}

async fn count_of(metrics: &mut Connection, name: &str) -> usize {
    let scrape = metrics.send(request("GET", "/metrics", &[], "")).await;
    let mut counts = scrape.text().lines().filter_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    counts.next().map_or(0, |count| count.parse().unwrap())
}

/// The metric that counts refusals with this reason.
fn refusals(reason: &str) -> String {
    format!("grpcchatter_refusals_total{{reason=\"{reason}\"}}")
}

/// Encodes a request for HTTP/1.1 in two parts: the headers with the first half of the body, and the second half.
fn parts(head: &str, length: usize, is_chunked: bool) -> [Vec<u8>; 2] {
    let (first, second) = (vec![b'x'; length / 2], vec![b'x'; length - length / 2]);
    let head = format!("{head}\r\nhost: a\r\n");
    if is_chunked {
        let chunk = |bytes: &[u8]| [format!("{:x}\r\n", bytes.len()).as_bytes(), bytes, b"\r\n"].concat();
        let first = [head.as_bytes(), b"transfer-encoding: chunked\r\n\r\n", &chunk(&first)].concat();
        return [first, [&chunk(&second)[..], b"0\r\n\r\n"].concat()];
    }
    [[format!("{head}content-length: {length}\r\n\r\n").as_bytes(), &first].concat(), second]
}

/// The rest of the body arrives after the answer was sent. The connection still carries the next request.
async fn a_refused_body_does_not_end_its_connection(database: Database) {
    let folder = TempDir::new().unwrap();
    let server = Process::start(&database, &folder, &[]).await;
    let mut metrics = Connection::open(server.address(), Version::H1).await;
    let grpc_web =
        "POST /grpcchatter.v1.ChatService/SendMessage HTTP/1.1\r\ncontent-type: application/grpc-web";
    let web_started = "grpc_server_started_total{dialect=\"grpc-web\",grpc_type=\"unary\",\
                     grpc_service=\"grpcchatter.v1.ChatService\",grpc_method=\"SendMessage\"}";
    let not_grpc = "POST /grpcchatter.v1.ChatService/SendMessage HTTP/1.1\r\ncontent-type: text/plain";
    for (head, reason) in [
        ("PUT /account/password HTTP/1.1", "TOKEN_MISSING"),
        (grpc_web, ""),
        ("POST /nothing HTTP/1.1", "PATH_NOT_FOUND"),
        ("PUT /login HTTP/1.1", "METHOD_NOT_ALLOWED"),
        (not_grpc, "UNSUPPORTED_MEDIA_TYPE"),
        ("POST /login HTTP/1.1\r\ncontent-type: application/json", "TOO_LARGE"),
    ] {
        for (length, is_chunked) in
            [(8, false), (8, true), (50_000, false), (50_000, true), (200_000, false), (200_000, true)]
        {
            if reason == "TOO_LARGE" && length < 50_000 {
                continue;
            }
            // REST refuses a content-length that is too large before anything else.
            let is_rest = !head.contains("ChatService");
            let reason = if is_rest && !is_chunked && length > 16 << 10 { "TOO_LARGE" } else { reason };
            // The gRPC-web status is counted only at the end of the answer's body.
            let figure = if reason.is_empty() { web_started.to_owned() } else { refusals(reason) };
            let count = count_of(&mut metrics, &figure).await;
            let [first, rest] = parts(head, length, is_chunked);
            let mut socket = TcpStream::connect(server.address()).await.unwrap();
            socket.write_all(&first).await.unwrap();
            await_count(&mut metrics, &figure, count + 1).await;
            socket.write_all(&rest).await.unwrap();
            socket.write_all(b"GET /livez HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").await.unwrap();
            let mut answers = String::new();
            let reading = within("two answers", socket.read_to_string(&mut answers)).await;
            let outcome = format!("{head} {length} {is_chunked}: {reading:?} {answers}");
            assert!(reading.is_ok(), "{outcome}");
            assert_eq!(answers.matches("HTTP/1.1 ").count(), 2, "{outcome}");
            assert!(answers.contains("HTTP/1.1 200 OK\r\ncontent-type: application/json"), "{outcome}");
        }
    }
}

async fn a_connection_whose_body_is_not_read_is_announced_as_closed(database: Database) {
    let app = TestApp::start(&database).await;
    for head in ["content-length: 1000000", "content-length: 7\r\nexpect: 100-continue"] {
        let head = format!("POST /nothing HTTP/1.1\r\nhost: a\r\n{head}\r\n\r\n");
        let answer = exchange(&app, head.as_bytes()).await;
        assert!(answer.contains("connection: close"), "{answer}");
        assert!(!answer.contains(" 100 "), "{answer}");
    }
    // A client that keeps sending can read the whole answer too.
    for is_chunked in [false, true] {
        let [mut whole, rest] = parts("POST /nothing HTTP/1.1", 300 << 10, is_chunked);
        whole.extend(rest);
        let mut socket = TcpStream::connect(app.address()).await.unwrap();
        let (mut reading, mut writing) = socket.split();
        let mut answer = String::new();
        let both = async { tokio::join!(writing.write_all(&whole), reading.read_to_string(&mut answer)) };
        let (written, read) = within("the answer", both).await;
        assert!(written.is_ok() && read.is_ok(), "{written:?} {read:?}");
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        assert!(head.contains("connection: close"), "{answer}");
        assert!(head.contains(&format!("content-length: {}", body.len())), "{answer}");
    }
}

/// The request of a stream may never end, so its refusal does not wait for the end.
async fn a_refused_stream_is_answered_at_once(database: Database) {
    let folder = TempDir::new().unwrap();
    let server = Process::start(&database, &folder, &[]).await;
    let mut metrics = Connection::open(server.address(), Version::H1).await;
    let (mut client, mut other) = (h2(server.address()).await, h2(server.address()).await);
    // The answer to this request waits for the request's end, and did so before the stream was opened.
    let (waiting, _request) = other.send_request(h2_post("/nothing", &[]), false).unwrap();
    await_count(&mut metrics, &refusals("PATH_NOT_FOUND"), 1).await;
    let grpc = [("content-type", "application/grpc"), ("te", "trailers")];
    let chat = h2_post("/grpcchatter.v1.ChatService/Chat", &grpc);
    let (answer, _request) = client.send_request(chat, false).unwrap();
    tokio::select! {
        biased;
        answer = within("the answer of the stream", answer) => {
            assert_eq!(answer.unwrap().headers()["grpc-status"], "16");
        }
        _ = waiting => panic!("it waited longer than an answer that waits for its request's end"),
    }
}

/// A client may close its side after its last request, and still gets the answers.
async fn a_half_closed_connection_gets_its_answer(database: Database) {
    let app = TestApp::start(&database).await;
    let user = app.user().await;
    let log_in = json!({"user_name": user.name, "password": PASSWORD}).to_string();
    let log_in = format!(
        "POST /login HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{log_in}",
        log_in.len(),
    );
    let get = |path: &str| format!("GET {path} HTTP/1.1\r\nhost: a\r\n\r\n");
    let half = async |asked: &str| {
        let mut socket = TcpStream::connect(app.address()).await.unwrap();
        socket.write_all(asked.as_bytes()).await.unwrap();
        socket.shutdown().await.unwrap();
        let mut answer = Vec::new();
        within("an answer", socket.read_to_end(&mut answer)).await.unwrap();
        String::from_utf8_lossy(&answer).into_owned()
    };
    for (asked, times) in [(get("/livez"), 100), (get("/openapi.json"), 5), (log_in.clone(), 25)] {
        for _ in 0..times {
            let answer = half(&asked).await;
            let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_else(|| panic!("{asked}: {answer:?}"));
            assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
            assert!(head.contains(&format!("content-length: {}", body.len())), "{answer}");
        }
    }
    // Two requests before the end get two answers, and an incomplete request gets none.
    assert_eq!(half(&get("/livez").repeat(2)).await.matches("HTTP/1.1 200 OK").count(), 2);
    let cut_off = half(&log_in[..log_in.len() - 1]).await;
    assert!(!cut_off.contains("HTTP/1.1 200 OK"), "{cut_off}");
}

/// Unlike a unary answer, a stream would not end by itself.
async fn an_http1_stream_ends_when_its_client_half_closes(database: Database) {
    let app = TestApp::start(&database).await;
    let user = app.user().await;
    let member = user.join(&user.create_room().await).await;
    for (path, message) in [
        ("/grpcchatter.v1.ChatService/Subscribe", frame(&SubscribeRequest::default())),
        ("/grpc.health.v1.Health/Watch", frame(&String::new())),
    ] {
        for reads_first in [true, false] {
            let mut socket = TcpStream::connect(app.address()).await.unwrap();
            let head = format!(
                "POST {path} HTTP/1.1\r\nhost: a\r\ncontent-type: application/grpc-web\r\ntoken: {}\r\n\
                 content-length: {}\r\n\r\n",
                member.token(),
                message.len(),
            );
            socket.write_all(head.as_bytes()).await.unwrap();
            socket.write_all(&message).await.unwrap();
            if reads_first {
                within("the head", socket.read_u8()).await.unwrap();
            }
            socket.shutdown().await.unwrap();
            within("the end of the stream", socket.read_to_end(&mut Vec::new())).await.unwrap();
        }
    }
}

async fn hsts_is_sent_with_a_configured_certificate(database: Database) {
    let (folder, files) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let [cert, key] = Certificate::trusted().write(files.path());
    let app = TestApp::on(&database, folder, &[(cert.0, &cert.1), (key.0, &key.1)]).await;
    for version in [Version::TlsH1, Version::TlsH2] {
        for path in ["/", "/livez", "/nothing"] {
            let answer = app.send(version, "GET", path, &[], b"").await;
            assert_ne!(answer.header("strict-transport-security"), "", "{path}");
        }
    }
}

async fn every_answer_has_nosniff(database: Database) {
    let app = TestApp::start(&database).await;
    for (method, path) in
        [("GET", "/"), ("GET", "/livez"), ("GET", "/nothing"), ("POST", "/login"), ("PUT", "/login")]
    {
        let answer = app.send(Version::H1, method, path, &[], b"").await;
        assert_eq!(answer.header("x-content-type-options"), "nosniff", "{path}");
        assert_eq!(answer.header("strict-transport-security"), "", "{path}");
    }
}
