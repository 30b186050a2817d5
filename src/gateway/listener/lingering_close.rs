//! Closes a connection so that its peer can read the last response.
//!
//! Closing a socket with unread bytes sends a reset, which discards what the peer has not read yet. So the server closes its
//! sending side first, and reads on for a moment.

use std::{io, time::Duration};

use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    time::timeout,
};

use crate::gateway::refusal::Refusal;

/// How long, and for how many bytes, a connection is read before it is closed.
const LINGER_TIMEOUT: Duration = Duration::from_millis(500);
const MAX_LINGER_BYTES: u64 = 4 * 1024 * 1024;

/// Closes a connection.
pub(super) async fn close(mut io: impl AsyncRead + AsyncWrite + Unpin) {
    let closing = async {
        io.shutdown().await?;
        tokio::io::copy(&mut io.take(MAX_LINGER_BYTES), &mut tokio::io::sink()).await
    };
    // A peer that goes on sends into a closed connection.
    drop(timeout(LINGER_TIMEOUT, closing).await);
}

/// Sends a refusal in HTTP/1.1, and closes the connection.
pub(super) async fn refuse_and_close(
    mut io: impl AsyncRead + AsyncWrite + Unpin,
    status: &str,
    sentence: &str,
    reason: &'static str,
) {
    drop(timeout(LINGER_TIMEOUT, refuse(&mut io, status, sentence, reason)).await);
    close(io).await;
}

async fn refuse(
    io: &mut (impl AsyncWrite + Unpin),
    status: &str,
    sentence: &str,
    reason: &'static str,
) -> io::Result<()> {
    let body = serde_json::to_string(&Refusal::new(sentence, reason))?;
    let length = body.len();
    let response = format!(
        "HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\
         connection: close\r\n\r\n{body}"
    );
    io.write_all(response.as_bytes()).await
}
