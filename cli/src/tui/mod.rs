//! The full screen: keys and news in, the screen and effects out.

mod app;
#[cfg(test)]
mod behaviour;
mod colour;
mod command;
mod input;
mod keys;
mod log;
mod news;
mod room;
#[cfg(test)]
mod scene;
#[cfg(test)]
mod snapshots;
mod view;
mod worker;

use std::{io, task::Poll};

use crossterm::{
    event::{DisableBracketedPaste, EnableBracketedPaste, Event, EventStream, KeyEventKind},
    execute,
};
use futures_util::StreamExt as _;
use grpcchatter_client::Client;
use jiff::tz::TimeZone;
use ratatui::DefaultTerminal;
use tokio::sync::mpsc;

use self::{
    app::App,
    news::Effect,
    worker::{Report, Worker},
};
use crate::{connect::Servers, exit::Error};

/// Shows the rooms of whoever is logged in, until they quit.
pub(crate) async fn run(servers: &Servers, url: Option<String>) -> Result<(), Error> {
    let client = servers.client(&url.ok_or(Error::NoServer)?)?;
    let app = App::new(client.user_name().await?, client.url().to_owned());
    let mut terminal = ratatui::try_init()?;
    // A terminal that does not know bracketed paste takes what is pasted as typed.
    let _ = execute!(io::stdout(), EnableBracketedPaste);
    let done = talk(&mut terminal, app, client.clone()).await;
    let _ = execute!(io::stdout(), DisableBracketedPaste);
    ratatui::try_restore()?;
    client.disconnect();
    done
}

async fn talk(terminal: &mut DefaultTerminal, mut app: App, client: Client) -> Result<(), Error> {
    let zone = TimeZone::system();
    let mut keys = EventStream::new();
    let (mut worker, mut reports) = Worker::new(client);
    worker.start();
    while !app.quit {
        let mut top_seen = false;
        terminal.draw(|frame| top_seen = view::draw(frame, &mut app, &zone))?;
        let mut effects = if top_seen { app.top_seen() } else { Vec::new() };
        if effects.is_empty() {
            effects = tokio::select! {
                key = keys.next() => match key {
                    Some(event) => typed(&mut app, &mut keys, event?).await?,
                    None => return Ok(()),
                },
                Some(report) = reports.recv() => reported(&mut app, &mut worker, &mut reports, report),
            };
        }
        for effect in effects {
            worker.run(effect);
        }
    }
    Ok(())
}

/// Takes every key that was pressed meanwhile, so that fast typing over a slow line is drawn once.
async fn typed(app: &mut App, keys: &mut EventStream, first: Event) -> io::Result<Vec<Effect>> {
    let mut effects = Vec::new();
    let mut next = Some(first);
    while let Some(event) = next {
        match event {
            Event::Key(key) if key.kind != KeyEventKind::Release => effects.extend(app.key(key)),
            Event::Paste(text) => app.paste(&text),
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
