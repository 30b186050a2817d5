//! Sends the non-empty lines of its input, each once, through failures of the server, the connection and this
//! program.
//!
//! A line is in the outbox, under its id, before it is sent and until the server has acknowledged it. A program
//! that ended in between sends it again: at least once from here, and once in the log because of the id.
//!
//! `CHAT_PASSWORD=… cargo run --example outbox -- http://localhost:8080 walker1 aB3xYz outbox.json < lines`

use std::{
    env,
    error::Error,
    fs, io,
    path::{Path, PathBuf},
    time::Duration,
};

use grpcchatter_client::{Client, Room, new_message_id};
use tokio::time::sleep;

/// Between two series of attempts. Within a series the client paces itself.
const RETRY_DELAY: Duration = Duration::from_secs(5);

// Multi-threaded, so that the connection stays alive while `main` blocks on its input.
#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [url, user_name, short_code, outbox] = arguments.as_slice() else {
        return Err("usage: outbox URL USER ROOM FILE, with the password in CHAT_PASSWORD".into());
    };
    let outbox = PathBuf::from(outbox);

    let client = Client::builder(url).session_file(outbox.with_extension("session")).build()?;
    client.login_if_needed(user_name, &env::var("CHAT_PASSWORD")?).await?;
    let room = client.join(short_code, "").await?;

    // A message that the previous run may not have delivered.
    match fs::read(&outbox) {
        Ok(json) => {
            let (id, body): (String, String) = serde_json::from_slice(&json)?;
            send_until_stored(&room, &outbox, &id, &body).await?;
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error.into()),
    }
    for line in io::stdin().lines() {
        let (id, body) = (new_message_id(), line?);
        // The server refuses empty messages, and a refused message would block the next ones.
        if body.is_empty() {
            continue;
        }
        let new = outbox.with_extension("new");
        fs::write(&new, serde_json::to_vec(&(&id, &body))?)?;
        fs::rename(new, &outbox)?;
        send_until_stored(&room, &outbox, &id, &body).await?;
    }
    Ok(())
}

/// Sends until the message is stored. If it is refused for good, it stays in the outbox, and the error says why.
async fn send_until_stored(room: &Room, outbox: &Path, id: &str, body: &str) -> Result<(), Box<dyn Error>> {
    while let Err(error) = room.send_with_id(id, body).await {
        if !error.is_retryable() {
            return Err(error.into());
        }
        sleep(error.retry_after().unwrap_or(RETRY_DELAY)).await;
    }
    Ok(fs::remove_file(outbox)?)
}
