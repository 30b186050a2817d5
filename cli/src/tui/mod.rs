//! The full screen: runs the terminal, feeds keys and updates to [`App`], and executes its effects.

mod app;
mod clipboard;
mod colour;
mod command;
mod completion;
mod effect;
mod hint;
mod history;
mod input;
mod keys;
mod log;
mod login;
mod login_form;
mod login_form_view;
mod panels;
mod presence;
mod question;
mod room;
#[cfg(test)]
mod tests;
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
    effect::Effect,
    login_form::LoginForm,
    worker::{Report, Worker},
};
use crate::{client_factory::ClientFactory, exit::Error, room_cache::RoomCache};

/// How often read positions are saved: at most this much is lost when the terminal is closed.
const SAVE_INTERVAL: Duration = Duration::from_secs(10);

/// Shows the login form if nobody is logged in, then the rooms, until the user quits.
pub(crate) async fn run(factory: &ClientFactory, url: Option<String>) -> Result<(), Error> {
    let client = url.as_deref().map(|url| factory.client(url)).transpose()?;
    if !io::stdout().is_terminal() {
        return Err(Error::NoScreen);
    }
    let mut terminal = ratatui::try_init().map_err(|_| Error::NoScreen)?;
    // Terminals without bracketed paste deliver pasted text as typed. Terminals that do not report focus count as
    // focused.
    let _ = execute!(io::stdout(), EnableBracketedPaste, EnableFocusChange);
    let done = run_sessions(&mut terminal, factory, client).await;
    let _ = execute!(io::stdout(), DisableFocusChange, DisableBracketedPaste);
    ratatui::try_restore()?;
    done
}

/// Alternates between the login form and the rooms.
async fn run_sessions(
    terminal: &mut DefaultTerminal,
    factory: &ClientFactory,
    mut client: Option<Client>,
) -> Result<(), Error> {
    let mut keys = EventStream::new();
    let mut form = LoginForm::new(client.as_ref().map(Client::url), None, None);
    loop {
        let user_name = match &client {
            Some(client) => client.user_name().await.map(Some).or_else(none_logged_in)?,
            None => None,
        };
        let (client, user_name) = match (client.take(), user_name) {
            (Some(client), Some(user_name)) => (client, user_name),
            _ => {
                let Some(client) = login::run(terminal, &mut keys, factory, form).await? else {
                    return Ok(());
                };
                let user_name = client.user_name().await?;
                (client, user_name)
            }
        };
        let room_cache = factory.room_cache(&client).await?;
        let end = run_rooms(terminal, &mut keys, client.clone(), room_cache).await;
        client.disconnect();
        let why = match end? {
            End::Quit => return Ok(()),
            End::LogIn => None,
            End::SessionOver => Some("the session has ended: log in again"),
        };
        form = LoginForm::new(Some(client.url()), Some(&user_name), why);
    }
}

fn none_logged_in(error: ClientError) -> Result<Option<String>, ClientError> {
    match error {
        ClientError::NotLoggedIn => Ok(None),
        error => Err(error),
    }
}

async fn run_rooms(
    terminal: &mut DefaultTerminal,
    keys: &mut EventStream,
    client: Client,
    mut room_cache: RoomCache,
) -> Result<End, Error> {
    let mut app = App::new(client.user_name().await?, client.url().to_owned());
    app.multiplexer = Multiplexer::find();
    app.read_positions = room_cache.read_positions().map(|(code, seq)| (code.to_owned(), seq)).collect();
    let zone = TimeZone::system();
    let mut save_interval = tokio::time::interval(SAVE_INTERVAL);
    save_interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
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
                    Some(event) => drain_events(&mut app, keys, event?).await?,
                    None => break End::Quit,
                },
                Some(report) = reports.recv() => drain_reports(&mut app, &mut worker, &mut reports, report),
                _ = save_interval.tick() => {
                    save_read_positions(&app, &mut room_cache);
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
    save_read_positions(&app, &mut room_cache);
    Ok(end)
}

/// Saves the read positions that have changed.
fn save_read_positions(app: &App, room_cache: &mut RoomCache) {
    // If this fails, the "new" line is in another place next time. That is no reason to exit.
    let _ = room_cache.set_read_positions(app.read_positions());
}

/// Drains all pending terminal events, so that fast typing over a slow connection is drawn once.
async fn drain_events(app: &mut App, keys: &mut EventStream, first: Event) -> io::Result<Vec<Effect>> {
    let mut effects = Vec::new();
    let mut next = Some(first);
    while let Some(event) = next {
        match event {
            Event::Key(key) if key.kind != KeyEventKind::Release => effects.extend(app.key(key)),
            Event::Paste(text) => app.paste(&text),
            Event::FocusLost => app.focus_lost(),
            Event::FocusGained => app.focus_gained(),
            _ => {}
        }
        // Polled with this task's waker: the stream keeps the first waker that it sees.
        let more = std::future::poll_fn(|context| Poll::Ready(keys.poll_next_unpin(context))).await;
        next = match more {
            Poll::Ready(Some(event)) => Some(event?),
            Poll::Ready(None) | Poll::Pending => None,
        };
    }
    Ok(effects)
}

/// Drains all pending reports, so that a burst of messages is drawn once.
fn drain_reports(
    app: &mut App,
    worker: &mut Worker,
    reports: &mut mpsc::Receiver<Report>,
    first: Report,
) -> Vec<Effect> {
    let mut effects = Vec::new();
    let mut next = Some(first);
    while let Some(report) = next {
        let update = match report {
            Report::Update(update) => update,
            Report::Joined(room) => worker.joined(room),
        };
        effects.extend(app.update(update));
        next = reports.try_recv().ok();
    }
    effects
}
