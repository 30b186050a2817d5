//! The commands that print a room's log: `tail` and `export`.

use std::{
    io::{self, BufWriter, Write},
    mem,
    pin::pin,
};

use grpcchatter_client::{Error as ClientError, Event, Message, Room, Start};
use jiff::tz::TimeZone;

use crate::{
    args::Format,
    exit::Error,
    output::{self, Record},
    pipe, text,
};

/// The server's largest page.
const PAGE_SIZE: u16 = 200;

/// Where a tail starts.
pub(super) enum TailStart {
    /// With this many of the newest messages.
    Last(u16),
    /// After the message with this number.
    After(i64),
}

pub(super) async fn tail(room: &Room, start: TailStart, format: Format) -> Result<(), Error> {
    let zone = TimeZone::system();
    let print = |message: &Message| -> Result<(), Error> {
        let mut out = io::stdout().lock();
        match format {
            Format::Json => Record::from(message).write(&mut out)?,
            Format::Text => output::write_text(&mut out, message, &zone)?,
        }
        Ok(out.flush()?)
    };
    let reset = |last_seq| match format {
        Format::Json => Ok(Record::Reset { last_seq }.write(&mut io::stdout().lock())?),
        Format::Text => note("the room's log was reset"),
    };
    let start = match start {
        TailStart::Last(0) => Start::Joined,
        TailStart::Last(lines) => Start::Last(lines),
        TailStart::After(seq) => catch_up(room, seq, &print, &reset).await?,
    };
    let mut events = room.events_from(start);
    let mut reader = pin!(pipe::reader_gone());
    loop {
        let event = tokio::select! {
            event = events.recv() => event,
            () = &mut reader => return Ok(()),
        };
        match event {
            Some(Event::Message(message)) => print(&message)?,
            Some(Event::Reset { last_seq }) => reset(last_seq)?,
            Some(Event::Reconnecting { cause, .. }) => note(&format!("{cause}; connecting again"))?,
            Some(Event::Closed(why)) => return Err(ClientError::from(why).into()),
            Some(_) => {}
            None => return Ok(()),
        }
    }
}

/// Prints the log after `seq`, and returns where the stream takes over.
///
/// A stream resumes after a message's number and id. The caller knows only the number, so the first page starts
/// with that message to learn its id.
async fn catch_up(
    room: &Room,
    seq: i64,
    print: &impl Fn(&Message) -> Result<(), Error>,
    reset: &impl Fn(i64) -> Result<(), Error>,
) -> Result<Start, Error> {
    let mut after = seq.saturating_sub(1).max(0);
    let mut begun = false;
    let mut point = (seq == 0).then(grpcchatter_client::ResumePoint::default);
    loop {
        let page = room.messages_after(after, PAGE_SIZE).await?;
        if page.last_seq < seq {
            // The log ends before `seq`, for example after a backup was restored.
            reset(page.last_seq)?;
            return Ok(Start::Joined);
        }
        if let Some(first) = page.messages.first().filter(|_| !mem::replace(&mut begun, true))
            && seq > 0
            && first.seq > seq + 1
        {
            note(&format!("the messages {} to {} were removed by retention", seq + 1, first.seq - 1))?;
        }
        for message in &page.messages {
            if message.seq > seq {
                print(message)?;
            }
            after = message.seq;
            point = Some(message.resume_point());
        }
        if !page.more {
            return Ok(point.map_or(Start::Joined, Start::After));
        }
    }
}

/// Prints a note to standard error.
fn note(text: &str) -> Result<(), Error> {
    Ok(writeln!(io::stderr(), "chatter: {}", text::one_line(text))?)
}

pub(super) async fn export(room: &Room, format: Format) -> Result<(), Error> {
    let zone = TimeZone::system();
    let mut out = BufWriter::new(io::stdout().lock());
    let mut seq = 0;
    loop {
        let page = room.messages_after(seq, PAGE_SIZE).await?;
        for message in &page.messages {
            match format {
                Format::Json => Record::from(message).write(&mut out)?,
                Format::Text => output::write_text(&mut out, message, &zone)?,
            }
            seq = message.seq;
        }
        if !page.more {
            return Ok(out.flush()?);
        }
    }
}
