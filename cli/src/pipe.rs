//! Detects that the reader of standard output is gone.

/// Returns once the pipe behind standard output has no reader, as after `chatter tail ROOM | head -n 1`. In a quiet
/// room no write would notice. Never returns if the output is not a pipe.
#[cfg(unix)]
pub(crate) async fn reader_gone() {
    use std::os::fd::AsFd as _;

    use tokio::{io::Interest, net::unix::pipe::Sender};

    // Unchecked: the check would make the output non-blocking for every process that shares it, and nothing is sent
    // here. A file cannot be polled, which is an error.
    let output = std::io::stdout().as_fd().try_clone_to_owned().and_then(Sender::from_owned_fd_unchecked);
    if let Ok(output) = output
        && output.ready(Interest::ERROR).await.is_ok()
    {
        return;
    }
    std::future::pending::<()>().await;
}

/// There is nothing to poll: the next write fails.
#[cfg(not(unix))]
pub(crate) async fn reader_gone() {
    std::future::pending::<()>().await;
}
