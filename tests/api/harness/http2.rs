//! A client of HTTP/2 alone, which sees what ends its streams.

use std::net::SocketAddr;

use bytes::Bytes;
use tokio::net::TcpStream;

/// Connects.
pub(crate) async fn h2(address: SocketAddr) -> h2::client::SendRequest<Bytes> {
    let (client, connection) =
        h2::client::handshake(TcpStream::connect(address).await.unwrap()).await.unwrap();
    tokio::spawn(connection);
    client.ready().await.unwrap()
}

/// Returns the head of a POST.
pub(crate) fn h2_post(path: &str, headers: &[(&str, &str)]) -> http::Request<()> {
    let request = http::Request::post(format!("http://a{path}"));
    headers.iter().fold(request, |request, (name, value)| request.header(*name, *value)).body(()).unwrap()
}
