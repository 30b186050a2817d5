//! Sends a line and prints the room's last messages, without an async runtime in the program.
//!
//! `CHAT_PASSWORD=… cargo run --example blocking --features blocking -- http://localhost:8080 walker1 aB3xYz "good morning"`

use std::{
    env,
    error::Error,
    io::{self, Write as _},
};

use grpcchatter_client::blocking::Client;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [url, user_name, short_code, line] = arguments.as_slice() else {
        return Err("usage: blocking URL USER ROOM TEXT, with the password in CHAT_PASSWORD".into());
    };

    // The client owns a runtime with one thread, which ends with its last handle.
    let client = Client::new_at(url)?;
    client.login(user_name, &env::var("CHAT_PASSWORD")?)?;
    let room = client.join(short_code, "")?;
    room.send(line)?;

    let mut out = io::stdout().lock();
    for message in room.newest_messages(10)?.messages {
        let name = if message.is_own { "me" } else { &message.user_name };
        writeln!(out, "{name}: {}", message.body)?;
    }
    client.logout()?;
    Ok(())
}
