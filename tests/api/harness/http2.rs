//! A bare HTTP/2 client, which shows with which error code a stream ends.

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

/// Builds the headers of a POST.
pub(crate) fn h2_post(path: &str, headers: &[(&str, &str)]) -> http::Request<()> {
    let request = http::Request::post(format!("http://a{path}"));
    headers.iter().fold(request, |request, (name, value)| request.header(*name, *value)).body(()).unwrap()
}
