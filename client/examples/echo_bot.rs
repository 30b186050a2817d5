//! Repeats what others write in a room, each message once, and continues where it stopped.
//!
//! `CHAT_PASSWORD=… cargo run --example echo_bot -- http://localhost:8080 echobot1 aB3xYz position.json`

use std::{
    env,
    error::Error,
    fs, io,
    path::{Path, PathBuf},
};

use grpcchatter_client::{Client, Event, Message, Start};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [url, user_name, short_code, position_file] = arguments.as_slice() else {
        return Err("usage: echo_bot URL USER ROOM FILE, with the password in CHAT_PASSWORD".into());
    };
    let position_file = PathBuf::from(position_file);

    let client = Client::builder(url).session_file(position_file.with_extension("session")).build()?;
    client.login_if_needed(user_name, &env::var("CHAT_PASSWORD")?).await?;
    let room = client.join(short_code, "").await?;

    let mut events = room.events_from(read_position(&position_file)?);
    while let Some(event) = events.recv().await {
        match event {
            Event::Message(message) => {
                // An old client may send an empty message. It cannot be repeated: a message with an id must not be
                // empty.
                if !message.is_own && !message.body.is_empty() {
                    // The id derives from the answered message. If the program ends before it has stored its
                    // position, the next run sends the same id, and the log holds the echo once.
                    let id = format!("echo-{}", message.message_id);
                    room.send_with_id(&id, &message.body).await?;
                }
                save_position(&position_file, &message)?;
            }
            // The stored position is not in the new log. The events continue from now.
            Event::Reset { .. } => delete_position(&position_file)?,
            Event::Closed(why) => return Err(why.to_string().into()),
            _ => {}
        }
    }
    Ok(())
}

/// Starts after the last handled message; on the first run, with new messages.
fn read_position(position_file: &Path) -> Result<Start, Box<dyn Error>> {
    match fs::read(position_file) {
        Ok(json) => Ok(Start::After(serde_json::from_slice(&json)?)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Start::Now),
        Err(error) => Err(error.into()),
    }
}

/// Replaces the stored position: a crash leaves the old or the new one.
fn save_position(position_file: &Path, message: &Message) -> Result<(), Box<dyn Error>> {
    let new = position_file.with_extension("new");
    fs::write(&new, serde_json::to_vec(&message.resume_point())?)?;
    Ok(fs::rename(new, position_file)?)
}

/// Deletes the stored position, if there is one.
fn delete_position(position_file: &Path) -> io::Result<()> {
    match fs::remove_file(position_file) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}
