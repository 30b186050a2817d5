//! The export of spans to a test collector. It needs the feature `otlp`:
//! `cargo test -p grpcchatter --features otlp --test otlp`.

#![cfg(feature = "otlp")]
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use grpcchatter_testbed::Server;
use http::{HeaderMap, HeaderValue, Response};
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    process::Command,
    sync::mpsc,
    time::timeout,
};

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

/// Starts a collector, which accepts exports over gRPC. Returns its URL, and the bodies of the exports.
async fn collector() -> (String, mpsc::Receiver<Bytes>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let (sender, exports) = mpsc::channel(16);
    tokio::spawn(async move {
        let (socket, _) = listener.accept().await.unwrap();
        let mut connection = h2::server::handshake(socket).await.unwrap();
        while let Some(Ok((request, mut answer))) = connection.accept().await {
            let sender = sender.clone();
            tokio::spawn(async move {
                assert_eq!(
                    request.uri().path(),
                    "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
                );
                let (mut body, mut all) = (request.into_body(), BytesMut::new());
                while let Some(piece) = body.data().await {
                    let piece = piece.unwrap();
                    body.flow_control().release_capacity(piece.len()).unwrap();
                    all.extend_from_slice(&piece);
                }
                let head = Response::builder().header("content-type", "application/grpc").body(()).unwrap();
                let mut stream = answer.send_response(head, false).unwrap();
                stream.send_data(Bytes::from_static(&[0; 5]), false).unwrap();
                let ok =
                    HeaderMap::from_iter([("grpc-status".parse().unwrap(), HeaderValue::from_static("0"))]);
                stream.send_trailers(ok).unwrap();
                sender.send(all.freeze()).await.unwrap();
            });
        }
    });
    (address, exports)
}

#[tokio::test]
async fn a_call_is_a_span_of_its_callers_trace() {
    let (endpoint, mut exports) = collector().await;
    let folder = TempDir::new().unwrap();
    let mut program = Command::new(env!("CARGO_BIN_EXE_grpcchatter"));
    program
        .args(["--server-port", "0", "--data-dir"])
        .arg(folder.path())
        .env_clear()
        .envs([("OTEL_EXPORTER_OTLP_ENDPOINT", &*endpoint), ("OTEL_BSP_SCHEDULE_DELAY", "50")])
        .env("LOG_LEVEL", "warn");
    let server = Server::start(program).await.unwrap();
    let address = server.address();
    let mut socket = TcpStream::connect(address).await.unwrap();
    let request = format!(
        "GET /livez HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\
         traceparent: 00-{TRACE}-00f067aa0ba902b7-01\r\n\r\n"
    );
    socket.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    socket.read_to_string(&mut answer).await.unwrap();
    let traceresponse = answer.lines().find_map(|line| line.strip_prefix("traceresponse: ")).unwrap();
    let own = traceresponse.strip_prefix(&format!("00-{TRACE}-")).unwrap().strip_suffix("-01").unwrap();
    let bytes = |digits: &str| u128::from_str_radix(digits, 16).unwrap().to_be_bytes();
    let holds = |body: &Bytes, part: &[u8]| body.windows(part.len()).any(|window| window == part);
    let export = timeout(Duration::from_secs(30), exports.recv()).await.unwrap().unwrap();
    for part in
        [&bytes(TRACE)[..], &bytes(own)[8..], b"GET /livez", b"grpcchatter", &bytes("f067aa0ba902b7")[8..]]
    {
        assert!(holds(&export, part), "{part:?} is not in {export:?}");
    }
}
