//! Sends the lines of its input that are not empty, each once, whatever happens to the server, the connection or this
//! program.
//!
//! A line stands in the outbox, under its id, before it is sent, and until the server has said that it is stored. A
//! program that ended in between sends it again: at least once from here, and under one id once in the log.
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

/// Between two series of attempts; within each, the library waits as it has to.
const PAUSE: Duration = Duration::from_secs(5);

// With threads of the runtime's own, so that the connection lives on while this one waits for a line.
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

    // What the run before this one could not tell of.
    match fs::read(&outbox) {
        Ok(kept) => {
            let (id, body): (String, String) = serde_json::from_slice(&kept)?;
            deliver(&room, &outbox, &id, &body).await?;
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error.into()),
    }
    for line in io::stdin().lines() {
        let (id, body) = (new_message_id(), line?);
        // The server takes no empty message, and one that is refused would be in the way of the next.
        if body.is_empty() {
            continue;
        }
        let new = outbox.with_extension("new");
        fs::write(&new, serde_json::to_vec(&(&id, &body))?)?;
        fs::rename(new, &outbox)?;
        deliver(&room, &outbox, &id, &body).await?;
    }
    Ok(())
}

/// Sends until it is stored, or refused for good: then it stays in the outbox, and the error says why.
async fn deliver(room: &Room, outbox: &Path, id: &str, body: &str) -> Result<(), Box<dyn Error>> {
    while let Err(error) = room.send_with_id(id, body).await {
        if !error.is_retryable() {
            return Err(error.into());
        }
        sleep(error.retry_after().unwrap_or(PAUSE)).await;
    }
    Ok(fs::remove_file(outbox)?)
}
