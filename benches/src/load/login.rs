//! Logins over HTTP/1.1, each on a connection of its own.

use std::time::Duration;

use anyhow::Result;
use serde_json::json;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::Instant,
};

/// Logs in over an open connection; returns the status, and the time until it arrived.
///
/// # Errors
/// If the connection fails, or the answer is not HTTP/1.1.
pub(crate) async fn log_in(mut socket: TcpStream, name: &str, password: &str) -> Result<(u16, Duration)> {
    let body = json!({ "user_name": name, "password": password }).to_string();
    let request = format!(
        "POST /login HTTP/1.1\r\nhost: bench\r\nconnection: close\r\ncontent-type: application/json\r\n\
         content-length: {}\r\n\r\n{body}",
        body.len(),
    );
    let began = Instant::now();
    socket.write_all(request.as_bytes()).await?;
    let mut answer = [0; 12];
    socket.read_exact(&mut answer).await?;
    let took = began.elapsed();
    Ok((str::from_utf8(&answer[9..])?.parse()?, took))
}
