//! The full screen: keys and news in, the screen and effects out.

mod app;
#[cfg(test)]
mod behaviour;
mod clipboard;
mod colour;
mod command;
mod completion;
mod entrance;
mod form;
mod form_view;
mod hint;
mod history;
mod input;
mod keys;
mod log;
mod news;
mod panels;
mod people;
mod question;
mod room;
#[cfg(test)]
mod scene;
#[cfg(test)]
mod snapshots;
#[cfg(test)]
mod typing;
mod view;
mod worker;

use std::{
    io::{self, IsTerminal as _},
    task::Poll,
    time::Duration,
};

use crossterm::{
    event::{
        DisableBracketedPaste, DisableFocusChange, EnableBracketedPaste, EnableFocusChange, Event,
        EventStream, KeyEventKind,
    },
    execute,
    style::Print,
};
use futures_util::StreamExt as _;
use grpcchatter_client::{Client, Error as ClientError};
use jiff::tz::TimeZone;
use ratatui::DefaultTerminal;
use tokio::{sync::mpsc, time::MissedTickBehavior};

use self::{
    app::{App, End},
    clipboard::Multiplexer,
    form::Form,
    news::Effect,
    worker::{Report, Worker},
};
use crate::{connect::Servers, exit::Error, memory::Memory};

/// How often it is kept what was read: so much is forgotten where the terminal is closed.
const KEEP: Duration = Duration::from_secs(10);

/// Shows the form where nobody is logged in, and the rooms of whoever is, until they quit.
pub(crate) async fn run(servers: &Servers, url: Option<String>) -> Result<(), Error> {
    let client = url.as_deref().map(|url| servers.client(url)).transpose()?;
    if !io::stdout().is_terminal() {
        return Err(Error::NoScreen);
    }
    let mut terminal = ratatui::try_init().map_err(|_| Error::NoScreen)?;
    // A terminal that does not know bracketed paste takes what is pasted as typed; one that does not tell whether it is
    // looked at is looked at.
    let _ = execute!(io::stdout(), EnableBracketedPaste, EnableFocusChange);
    let done = visit(&mut terminal, servers, client).await;
    let _ = execute!(io::stdout(), DisableFocusChange, DisableBracketedPaste);
    ratatui::try_restore()?;
    done
}

/// From the door to the rooms, and back for whoever wants to log in again.
async fn visit(
    terminal: &mut DefaultTerminal,
    servers: &Servers,
    mut client: Option<Client>,
) -> Result<(), Error> {
    let mut keys = EventStream::new();
    let mut form = Form::new(client.as_ref().map(Client::url), None, None);
    loop {
        let known = match &client {
            Some(client) => client.user_name().await.map(Some).or_else(none_logged_in)?,
            None => None,
        };
        let (inside, me) = match (client.take(), known) {
            (Some(inside), Some(me)) => (inside, me),
            _ => match entrance::run(terminal, &mut keys, servers, form).await? {
                Some(inside) => {
                    let me = inside.user_name().await?;
                    (inside, me)
                }
                None => return Ok(()),
            },
        };
        let memory = servers.memory(&inside).await?;
        let end = talk(terminal, &mut keys, inside.clone(), memory).await;
        inside.disconnect();
        let why = match end? {
            End::Quit => return Ok(()),
            End::LogIn => None,
            End::SessionOver => Some("the session has ended: log in again"),
        };
        form = Form::new(Some(inside.url()), Some(&me), why);
    }
}

fn none_logged_in(error: ClientError) -> Result<Option<String>, ClientError> {
    match error {
        ClientError::NotLoggedIn => Ok(None),
        error => Err(error),
    }
}

async fn talk(
    terminal: &mut DefaultTerminal,
    keys: &mut EventStream,
    client: Client,
    mut memory: Memory,
) -> Result<End, Error> {
    let mut app = App::new(client.user_name().await?, client.url().to_owned());
    app.multiplexer = Multiplexer::find();
    app.remembered = memory.read().map(|(code, seq)| (code.to_owned(), seq)).collect();
    let zone = TimeZone::system();
    let mut keep = tokio::time::interval(KEEP);
    keep.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (mut worker, mut reports) = Worker::new(client);
    worker.start();
    let end = loop {
        if let Some(end) = app.end {
            break end;
        }
        let mut top_seen = false;
        terminal.draw(|frame| top_seen = view::draw(frame, &mut app, &zone))?;
        let mut effects = if top_seen { app.top_seen() } else { Vec::new() };
        if effects.is_empty() {
            effects = tokio::select! {
                key = keys.next() => match key {
                    Some(event) => typed(&mut app, keys, event?).await?,
                    None => break End::Quit,
                },
                Some(report) = reports.recv() => reported(&mut app, &mut worker, &mut reports, report),
                _ = keep.tick() => {
                    remember(&app, &mut memory);
                    Vec::new()
                }
            };
        }
        for effect in effects {
            match effect {
                Effect::Copy { text } => {
                    execute!(io::stdout(), Print(clipboard::sequence(&text, app.multiplexer)))?;
                }
                effect => worker.run(effect),
            }
        }
    };
    remember(&app, &mut memory);
    Ok(end)
}

/// Keeps what was read, if anything was.
fn remember(app: &App, memory: &mut Memory) {
    // Without it, the line for what is new stands elsewhere the next time; that is no reason to end.
    let _ = memory.set_read(app.read());
}

/// Takes every key that was pressed meanwhile, so that fast typing over a slow line is drawn once.
async fn typed(app: &mut App, keys: &mut EventStream, first: Event) -> io::Result<Vec<Effect>> {
    let mut effects = Vec::new();
    let mut next = Some(first);
    while let Some(event) = next {
        match event {
            Event::Key(key) if key.kind != KeyEventKind::Release => effects.extend(app.key(key)),
            Event::Paste(text) => app.paste(&text),
            Event::FocusLost => app.watch(false),
            Event::FocusGained => app.watch(true),
            _ => {}
        }
        // Polled with this task's waker: the stream keeps the one that it was polled with first.
        let more = std::future::poll_fn(|context| Poll::Ready(keys.poll_next_unpin(context))).await;
        next = match more {
            Poll::Ready(Some(event)) => Some(event?),
            Poll::Ready(None) | Poll::Pending => None,
        };
    }
    Ok(effects)
}

/// Takes everything that has come meanwhile, so that a burst of messages is drawn once.
fn reported(
    app: &mut App,
    worker: &mut Worker,
    reports: &mut mpsc::Receiver<Report>,
    first: Report,
) -> Vec<Effect> {
    let mut effects = Vec::new();
    let mut next = Some(first);
    while let Some(report) = next {
        let news = match report {
            Report::News(news) => news,
            Report::Entered(room) => worker.entered(room),
        };
        effects.extend(app.news(news));
        next = reports.try_recv().ok();
    }
    effects
}
