//! Repeats what others say in a room, each message once, and goes on where it stopped.
//!
//! `CHAT_PASSWORD=… cargo run --example echo_bot -- http://localhost:8080 echobot1 aB3xYz place.json`

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
    let [url, user_name, short_code, place] = arguments.as_slice() else {
        return Err("usage: echo_bot URL USER ROOM FILE, with the password in CHAT_PASSWORD".into());
    };
    let place = PathBuf::from(place);

    let client = Client::builder(url).session_file(place.with_extension("session")).build()?;
    client.login_if_needed(user_name, &env::var("CHAT_PASSWORD")?).await?;
    let room = client.join(short_code, "").await?;

    let mut events = room.events_from(start(&place)?);
    while let Some(event) = events.recv().await {
        match event {
            Event::Message(message) => {
                // An old client may say nothing at all, which cannot be repeated: a message with an id is not empty.
                if !message.is_own && !message.body.is_empty() {
                    // Named after what it answers: where the program ends before it has kept its place, the next run
                    // sends it under the same id, and the log holds it once.
                    let id = format!("echo-{}", message.message_id);
                    room.send_with_id(&id, &message.body).await?;
                }
                keep(&place, &message)?;
            }
            // The log is another one, so the place is none in it. The events go on from now.
            Event::Reset { .. } => forget(&place)?,
            Event::Closed(why) => return Err(why.to_string().into()),
            _ => {}
        }
    }
    Ok(())
}

/// After the last message that was seen to; on the first run, with what comes next.
fn start(place: &Path) -> Result<Start, Box<dyn Error>> {
    match fs::read(place) {
        Ok(kept) => Ok(Start::After(serde_json::from_slice(&kept)?)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Start::Now),
        Err(error) => Err(error.into()),
    }
}

/// Puts the new place where the old one was: a crash leaves the one or the other.
fn keep(place: &Path, message: &Message) -> Result<(), Box<dyn Error>> {
    let new = place.with_extension("new");
    fs::write(&new, serde_json::to_vec(&message.resume_point())?)?;
    Ok(fs::rename(new, place)?)
}

/// Drops the place, if there is one.
fn forget(place: &Path) -> io::Result<()> {
    match fs::remove_file(place) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}
