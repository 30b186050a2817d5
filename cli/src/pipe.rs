//! Whether somebody still reads what this program writes.

/// Returns once the pipe that is the output has no reader any more, as after `chatter tail ROOM | head -n 1`: in a quiet
/// room no write would find it out. Where the output is no pipe, it never returns.
#[cfg(unix)]
pub(crate) async fn reader_gone() {
    use std::os::fd::AsFd as _;

    use tokio::{io::Interest, net::unix::pipe::Sender};

    // Unchecked, since a check would make the output non-blocking for all that write to it; nothing is sent here.
    // A file cannot be waited for, which is an error.
    let output = std::io::stdout().as_fd().try_clone_to_owned().and_then(Sender::from_owned_fd_unchecked);
    if let Ok(output) = output
        && output.ready(Interest::ERROR).await.is_ok()
    {
        return;
    }
    std::future::pending::<()>().await;
}

/// There is nothing to wait on: the next write fails.
#[cfg(not(unix))]
pub(crate) async fn reader_gone() {
    std::future::pending::<()>().await;
}
