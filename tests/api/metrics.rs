//! /metrics: the exported metrics, which docs/metrics.md lists, and who may read them.

use std::collections::{BTreeMap, BTreeSet};

use grpcchatter_proto::v1::ListChatRoomsRequest;
use tempfile::TempDir;

use crate::harness::{
    Answer, Certificate, Connection, Database, Dialect, PASSWORD, Process, Rpc as _, Version, h2, h2_post,
    on_each_database, request, within,
};

on_each_database! {
    the_exported_metrics_are_those_in_the_document,
    metrics_are_served_as_openmetrics_too_without_name_clashes,
    metrics_of_alerts_exist_from_the_first_scrape,
    calls_and_deliveries_are_counted,
    a_cancelled_call_or_stream_is_counted_when_it_ends,
    http_refusals_are_counted,
    unknown_names_create_no_series,
    metrics_are_served_to_this_machine_or_with_the_token,
    metrics_may_have_their_own_address,
}

/// The samples of a scrape, by name and labels.
struct Scrape {
    samples: BTreeMap<String, f64>,
    text: String,
}

impl Scrape {
    /// Scrapes until there is a sample with this name.
    async fn with(server: &Process, name: &str) -> Self {
        Self::when(server, |scrape| scrape.samples.contains_key(name)).await
    }

    /// Scrapes until a condition holds.
    async fn when(server: &Process, condition: impl Fn(&Self) -> bool) -> Self {
        Self::when_at(server.address(), condition).await
    }

    async fn when_at(address: std::net::SocketAddr, condition: impl Fn(&Self) -> bool) -> Self {
        let search = async {
            loop {
                let scrape = Self::at(address).await;
                if condition(&scrape) {
                    return scrape;
                }
            }
        };
        within("a change of the metrics", search).await
    }

    /// Adds up the samples of a metric that have these labels, among others.
    fn sum(&self, name: &str, labels: &str) -> f64 {
        let has = |sample: &str| sample.starts_with(&format!("{name}{{")) && sample.contains(labels);
        self.samples.iter().filter(|(sample, _)| has(sample)).map(|(_, value)| value).sum()
    }

    async fn at(address: std::net::SocketAddr) -> Self {
        let answer = get(address, Version::H1, &[]).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        assert_eq!(answer.header("content-type"), "text/plain; version=0.0.4; charset=utf-8");
        let text = answer.text().to_owned();
        let samples = text.lines().filter(|line| !line.starts_with('#')).map(|line| {
            let (name, value) = line.rsplit_once(' ').unwrap();
            (name.to_owned(), value.parse().unwrap())
        });
        Self { samples: samples.collect(), text }
    }

    fn has(&self, name: &str, value: f64) -> bool {
        self.samples.get(name) == Some(&value)
    }

    fn get(&self, name: &str) -> f64 {
        *self.samples.get(name).unwrap_or_else(|| panic!("no {name} in\n{}", self.text))
    }
}

async fn get(address: std::net::SocketAddr, version: Version, headers: &[(&str, &str)]) -> Answer {
    Connection::open(address, version).await.send(request("GET", "/metrics", headers, "")).await
}

async fn the_exported_metrics_are_those_in_the_document(database: Database) {
    let (folder, files) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let [cert, key] = Certificate::trusted().write(files.path());
    let server = Process::start(&database, &folder, &[(cert.0, &cert.1), (key.0, &key.1)]).await;
    let mut connection = Connection::open(server.address(), Version::TlsH2).await;
    // One sample of each metric with labels.
    for path in ["/register", "/login"] {
        let body = serde_json::json!({"user_name": "walker1", "password": PASSWORD}).to_string();
        let json = [("content-type", "application/json")];
        assert_eq!(connection.send(request("POST", path, &json, body)).await.status, 200);
    }
    let path = "/grpcchatter.v1.ChatService/ListChatRooms";
    Dialect::Native.call(&mut connection, path, &[], &()).await.unwrap_err();
    connection.send(request("GET", "/livez", &[], "")).await;
    let answer = within("the first count of accounts", async {
        loop {
            let answer = connection.send(request("GET", "/metrics", &[], "")).await;
            if answer.text().contains("\ngrpcchatter_accounts ") {
                return answer;
            }
        }
    })
    .await;
    let text = answer.text();
    let mut exported = Vec::new();
    for (help, kind) in text.lines().zip(text.lines().skip(1)) {
        let Some((name, meaning)) = help.strip_prefix("# HELP ").and_then(|rest| rest.split_once(' ')) else {
            continue;
        };
        let kind = kind.strip_prefix(&format!("# TYPE {name} ")).expect("a type follows each help");
        let labels: BTreeSet<&str> = text
            .lines()
            .filter_map(|line| line.strip_prefix(name)?.split_once('{')?.1.split_once('}'))
            .flat_map(|(labels, _)| labels.split(',').map(|label| label.split_once('=').unwrap().0))
            .filter(|label| *label != "le")
            .collect();
        exported.push((name.to_owned(), kind.to_owned(), labels, meaning.to_owned()));
    }
    let document = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/metrics.md")).unwrap();
    let listed: Vec<_> = document
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.strip_suffix(" |"))
        .map(|row| {
            let cells: Vec<&str> = row.split(" | ").collect();
            let labels =
                cells[2].split(", ").filter(|label| *label != "–").map(|label| label.trim_matches('`'));
            (
                cells[0].trim_end_matches('`').to_owned(),
                cells[1].to_owned(),
                labels.collect(),
                cells[3].to_owned(),
            )
        })
        .collect();
    assert_eq!(exported, listed);
}

/// In OpenMetrics the name of a counter's family has no `_total`, but its samples have it.
async fn metrics_are_served_as_openmetrics_too_without_name_clashes(database: Database) {
    let folder = TempDir::new().unwrap();
    let server = Process::start(&database, &folder, &[]).await;
    // Accounts and rooms are first counted a moment after the start.
    Scrape::with(&server, "grpcchatter_rooms_stored").await;
    let plain = get(server.address(), Version::H1, &[("accept", "text/plain")]).await;
    let accept = "application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.2,*/*;q=0.1";
    let answer = get(server.address(), Version::H1, &[("accept", accept)]).await;
    assert_eq!(answer.header("content-type"), "application/openmetrics-text; version=1.0.0; charset=utf-8");
    assert!(answer.text().ends_with("\n# EOF\n"), "{}", answer.text());
    let families = |text: &str| -> Vec<(String, String)> {
        let types = text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' '));
        types.map(|(name, kind)| (name.to_owned(), kind.to_owned())).collect()
    };
    let expected: Vec<_> = families(plain.text())
        .into_iter()
        .map(|(name, kind)| match kind.as_str() {
            "counter" => (name.strip_suffix("_total").expect("a counter's suffix").to_owned(), kind),
            _ => (name, kind),
        })
        .collect();
    let served = families(answer.text());
    assert_eq!(served, expected);
    let names: BTreeSet<_> = served.iter().map(|(name, _)| name).collect();
    assert_eq!(names.len(), served.len(), "two families have one name");
    let reserved = ["_total", "_created", "_count", "_sum", "_bucket"];
    assert!(!names.iter().any(|name| reserved.iter().any(|suffix| name.ends_with(suffix))), "{names:?}");
}

async fn metrics_of_alerts_exist_from_the_first_scrape(database: Database) {
    let server = Process::start(&database, &TempDir::new().unwrap(), &[]).await;
    let scrape = Scrape::at(server.address()).await;
    let alerts = include_str!("../../configs/prometheus/alerts.yml");
    let ends = alerts.match_indices("\"}").map(|(at, end)| &alerts[..at + end.len()]);
    let starts = |text: &str| text.rfind([' ', '(']).map_or(0, |at| at + 1);
    let selectors: BTreeSet<_> = ends.map(|text| &text[starts(text)..]).collect();
    let labelled = selectors.iter().filter(|selector| !selector.contains("{job="));
    assert!(labelled.inspect(|selector| assert!(scrape.has(selector, 0.0), "{selector}")).count() >= 5);
}

async fn calls_and_deliveries_are_counted(database: Database) {
    let folder = TempDir::new().unwrap();
    let server = Process::start(&database, &folder, &[]).await;
    let (owner, guest) = (server.user().await, server.user().await);
    let room = owner.create_room().await;
    let (speaker, listener) = (owner.join(&room).await, guest.join(&room).await);
    let mut stream = listener.subscribe(None).await.unwrap();
    for said in ["one", "two", "three"] {
        speaker.say(said).await;
        stream.message().await;
    }
    let of = |kind: &str, method: &str| {
        let service = "grpcchatter.v1.ChatService";
        format!("dialect=\"grpc\",grpc_type=\"{kind}\",grpc_service=\"{service}\",grpc_method=\"{method}\"")
    };
    let sent = of("unary", "SendMessage");
    let handled = format!("grpc_server_handled_total{{{sent},grpc_code=\"OK\"}}");
    let register = "http_requests_total{method=\"POST\",path=\"/register\",status=\"200\"}";
    // A call is counted after its answer was sent, so its client may get the answer first.
    let open = Scrape::when(&server, |scrape| scrape.has(&handled, 3.0) && scrape.has(register, 2.0)).await;
    assert_eq!(open.get("grpcchatter_messages_stored_total"), 3.0);
    assert_eq!(open.get("grpcchatter_deliveries_total"), 3.0);
    assert_eq!(open.get("grpcchatter_delivery_seconds_count"), 3.0);
    assert_eq!(open.get("grpcchatter_registrations_total{result=\"OK\"}"), 2.0);
    assert_eq!(open.get("grpcchatter_logins_total{result=\"OK\"}"), 2.0);
    assert_eq!(open.get(concat!("grpcchatter_build_info{version=\"", env!("CARGO_PKG_VERSION"), "\"}")), 1.0);
    let pools = if database.url().is_some() { ["shared", "log"] } else { ["read", "write"] };
    for pool in pools {
        assert!(open.sum("grpcchatter_database_connections", &format!("pool=\"{pool}\"")) >= 1.0, "{pool}");
    }
    assert_eq!(open.get("grpcchatter_database_waiting{access=\"write\"}"), 0.0);
    assert_eq!(open.get("grpcchatter_streams{feed=\"subscribe\"}"), 1.0);
    assert_eq!(open.get("grpcchatter_rooms"), 1.0);
    assert_eq!(open.get("grpcchatter_log_queue_seconds_count"), 3.0);
    assert_eq!(open.get("grpcchatter_log_batch_messages_sum"), 3.0);
    assert_eq!(open.get(&format!("grpc_server_started_total{{{sent}}}")), 3.0);
    assert_eq!(open.get("http_request_duration_seconds_bucket{path=\"/register\",le=\"+Inf\"}"), 2.0);
    assert!(open.get("process_resident_memory_bytes") > 1e6 && open.get("process_open_fds") > 3.0);

    drop(stream);
    let ended =
        format!("grpc_server_handled_total{{{},grpc_code=\"Canceled\"}}", of("server_stream", "Subscribe"));
    let closed = Scrape::with(&server, &ended).await;
    assert_eq!(closed.get("grpcchatter_streams{feed=\"subscribe\"}"), 0.0);
    assert!(closed.get("grpcchatter_password_queue_seconds_count") >= 4.0, "two registered and logged in");
}

async fn a_cancelled_call_or_stream_is_counted_when_it_ends(database: Database) {
    let folder = TempDir::new().unwrap();
    let server = Process::start(&database, &folder, &[]).await;
    // A call that is cancelled before its message is complete, which tonic would take for the end of the messages.
    let user = server.user().await;
    for dialect in ["grpc", "grpc-web"] {
        let call = format!(
            "dialect=\"{dialect}\",grpc_type=\"unary\",grpc_service=\"grpcchatter.v1.ChatService\",\
             grpc_method=\"ListChatRooms\""
        );
        let cancelled = format!("grpc_server_handled_total{{{call},grpc_code=\"Canceled\"}}");
        for (reset, reason) in (1..).zip([h2::Reason::CANCEL, h2::Reason::NO_ERROR]) {
            let content_type = format!("application/{dialect}");
            let headers = [("content-type", content_type.as_str()), ("token", user.token())];
            let head = h2_post(ListChatRoomsRequest::PATH, &headers);
            let (_answer, mut body) = h2(server.address()).await.send_request(head, false).unwrap();
            let has_started =
                |scrape: &Scrape| scrape.sum("grpc_server_started_total", &call) == f64::from(reset);
            Scrape::when(&server, has_started).await;
            body.send_reset(reason);
            let is_handled =
                |scrape: &Scrape| scrape.sum("grpc_server_handled_total", &call) == f64::from(reset);
            let scrape = Scrape::when(&server, is_handled).await;
            assert!(scrape.has(&cancelled, f64::from(reset)), "{reason}: {}", scrape.text);
        }
    }

    let watch = server.anonymous().watch("").await.unwrap();
    let call = "dialect=\"grpc\",grpc_type=\"server_stream\",grpc_service=\"grpc.health.v1.Health\",\
                grpc_method=\"Watch\"";
    let open = Scrape::with(&server, &format!("grpc_server_started_total{{{call}}}")).await;
    assert!(!open.text.contains(&format!("grpc_server_handled_total{{{call}")), "{}", open.text);
    drop(watch);
    Scrape::with(&server, &format!("grpc_server_handled_total{{{call},grpc_code=\"Canceled\"}}")).await;
}

async fn http_refusals_are_counted(database: Database) {
    let folder = TempDir::new().unwrap();
    let settings = [("METRICS_ADDRESS", "127.0.0.1:0"), ("CORS_ORIGINS", "https://a.example")];
    let mut server = Process::start(&database, &folder, &settings).await;
    let own = metrics_address(&mut server).await;
    let mut connection = Connection::open(server.address(), Version::H1).await;
    for (verb, content_type, status) in
        [("GET", "", 405), ("POST", "text/plain", 415), ("POST", "application/grpc", 505)]
    {
        let headers = [("content-type", content_type)];
        let answer = connection.send(request(verb, ListChatRoomsRequest::PATH, &headers, "")).await;
        assert_eq!(answer.status, status);
    }
    assert_eq!(connection.send(request("GET", "/metrics", &[], "")).await.status, 404);
    let preflight = [("origin", "https://a.example"), ("access-control-request-method", "POST")];
    assert_eq!(connection.send(request("OPTIONS", "/login", &preflight, "")).await.status, 200);
    let refusals =
        ["METHOD_NOT_ALLOWED", "UNSUPPORTED_MEDIA_TYPE", "HTTP_VERSION_NOT_SUPPORTED", "PATH_NOT_FOUND"]
            .map(|reason| format!("grpcchatter_refusals_total{{reason=\"{reason}\"}}"));
    let requests = [("GET", "/metrics", 404), ("OPTIONS", "/login", 200)].map(|(verb, path, status)| {
        format!("http_requests_total{{method=\"{verb}\",path=\"{path}\",status=\"{status}\"}}")
    });
    Scrape::when_at(own, |scrape| refusals.iter().chain(&requests).all(|counted| scrape.has(counted, 1.0)))
        .await;
}

async fn unknown_names_create_no_series(database: Database) {
    let folder = TempDir::new().unwrap();
    let server = Process::start(&database, &folder, &[]).await;
    let mut h2 = Connection::open(server.address(), Version::H2).await;
    let attempt = async |connection: &mut Connection, name: &str| {
        for service in ["grpcchatter.v1.ChatService", "proto.GRPCChatter", name] {
            let path = format!("/{service}/{name}");
            Dialect::Native.call(connection, &path, &[], &()).await.unwrap_err();
        }
        for (verb, path) in
            [("GET", format!("/{name}")), (name, "/login".to_owned()), ("PUT", format!("/a/{name}"))]
        {
            connection.send(request(verb, &path, &[], "")).await;
        }
    };
    let unknown = "grpcchatter_refusals_total{reason=\"UNKNOWN_METHOD\"}";
    attempt(&mut h2, "STRANGER0").await;
    let once = |scrape: &Scrape| {
        let others =
            scrape.sum("http_requests_total", "") - scrape.sum("http_requests_total", "path=\"/metrics\"");
        scrape.has(unknown, 3.0) && others >= 3.0 && scrape.samples.contains_key("grpcchatter_accounts")
    };
    let before = Scrape::when(&server, once).await;
    for number in 1..=20 {
        attempt(&mut h2, &format!("STRANGER{number}")).await;
    }
    let after = Scrape::when(&server, |scrape| scrape.has(unknown, 63.0)).await;
    assert!(!after.text.contains("STRANGER"), "{}", after.text);
    let names = |scrape: &Scrape| scrape.samples.keys().cloned().collect::<BTreeSet<_>>();
    // The first scrape itself is a request that the second one counts.
    let new: Vec<_> = names(&after)
        .difference(&names(&before))
        .filter(|name| !name.contains("/metrics"))
        .cloned()
        .collect();
    assert!(new.is_empty(), "{new:?}");
}

async fn metrics_are_served_to_this_machine_or_with_the_token(database: Database) {
    let folder = TempDir::new().unwrap();
    let server = Process::start(&database, &folder, &[("TRUSTED_PROXIES", "127.0.0.2")]).await;
    assert_eq!(get(server.address(), Version::H1, &[]).await.status, 200);
    // A request through a proxy on this machine comes from elsewhere, and so does one from a page whose name resolves to this machine.
    for forwarded in [
        ("x-forwarded-for", "127.0.0.1"),
        ("x-forwarded-proto", "https"),
        ("forwarded", "for=127.0.0.1"),
        ("via", "1.1 proxy"),
        ("x-real-ip", "127.0.0.1"),
        ("cf-connecting-ip", "127.0.0.1"),
        ("host", "rebind.attacker.test"),
        ("host", "127.0.0.1.evil.example"),
    ] {
        let answer = get(server.address(), Version::H1, &[forwarded]).await;
        let outcome = (answer.status.as_u16(), &answer.json()["reason"]);
        assert_eq!(outcome, (403, &"METRICS_NOT_ALLOWED".into()), "{forwarded:?}");
    }
    for host in ["127.0.0.1", "localhost", "localhost:8080", "[::1]", "[::1]:8080"] {
        assert_eq!(get(server.address(), Version::H1, &[("host", host)]).await.status, 200, "{host}");
    }
    server.kill().await;
    let server = Process::start(&database, &folder, &[("METRICS_TOKEN", "cAnary-metrics")]).await;
    for (header, status, reason) in [
        (("x-none", ""), 401, "TOKEN_MISSING"),
        (("authorization", "Bearer cAnary-metric"), 401, "TOKEN_INVALID"),
        (("authorization", "cAnary-metrics"), 401, "TOKEN_MISSING"),
        (("authorization", "Basic cAnary-metrics"), 401, "TOKEN_MISSING"),
    ] {
        let answer = get(server.address(), Version::H2, &[header]).await;
        assert_eq!((answer.status.as_u16(), &answer.json()["reason"]), (status, &reason.into()));
    }
    for authorization in ["Bearer cAnary-metrics", "bearer  cAnary-metrics"] {
        let headers = [("authorization", "Basic cHJveHk="), ("authorization", authorization)];
        let answer = get(server.address(), Version::H2, &headers).await;
        assert_eq!(answer.status, 200);
        assert!(!answer.text().contains("cAnary"));
    }
}

/// Returns the address of the metrics listener from the log.
async fn metrics_address(server: &mut Process) -> std::net::SocketAddr {
    let served = server.says("metrics are served on a separate address").await;
    let address = served.split("127.0.0.1:").nth(1).unwrap();
    let digits = address.find(|c: char| !c.is_ascii_digit()).unwrap_or(address.len());
    ([127, 0, 0, 1], address[..digits].parse().unwrap()).into()
}

async fn metrics_may_have_their_own_address(database: Database) {
    let folder = TempDir::new().unwrap();
    let mut server = Process::start(&database, &folder, &[("METRICS_ADDRESS", "127.0.0.1:0")]).await;
    let own = metrics_address(&mut server).await;
    assert_eq!(get(own, Version::H1, &[]).await.status, 200);
    assert_eq!(get(server.address(), Version::H1, &[]).await.status, 404);
    let mut connection = Connection::open(own, Version::H2).await;
    for (path, status) in [("/readyz", 200), ("/livez", 200), ("/", 404), ("/account", 404)] {
        assert_eq!(connection.send(request("GET", path, &[], "")).await.status, status, "{path}");
    }
    let grpc = [("content-type", "application/grpc")];
    let path = "/grpc.health.v1.Health/Check";
    assert_eq!(connection.send(request("POST", path, &grpc, "")).await.status, 404);
}
