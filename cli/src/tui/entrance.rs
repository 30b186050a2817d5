//! The door: shows the form until somebody is logged in.

use crossterm::event::{Event, EventStream, KeyEventKind};
use futures_util::StreamExt as _;
use grpcchatter_client::Client;
use ratatui::DefaultTerminal;

use super::{
    form::{Attempt, Form},
    form_view,
};
use crate::{connect::Servers, exit::Error, scheme};

/// What has come of an attempt so far.
struct Failed {
    error: Error,
    /// Whether the account was made all the same.
    registered: bool,
}

/// Runs the form; `None` where they quit.
pub(super) async fn run(
    terminal: &mut DefaultTerminal,
    keys: &mut EventStream,
    servers: &Servers,
    mut form: Form,
) -> Result<Option<Client>, Error> {
    while !form.quit {
        terminal.draw(|frame| form_view::draw(frame, &form))?;
        let Some(attempt) = next(&mut form, keys).await? else { continue };
        terminal.draw(|frame| form_view::draw(frame, &form))?;
        let mut done = Box::pin(enter(servers, attempt));
        let answer = loop {
            tokio::select! {
                answer = &mut done => break Some(answer),
                _ = next(&mut form, keys) => if form.quit { break None },
            }
        };
        match answer {
            Some(Ok(client)) => {
                servers.folders.set_url(client.url())?;
                return Ok(Some(client));
            }
            Some(Err(failed)) => {
                if failed.registered {
                    form.registered();
                }
                form.failed(&failed.error);
            }
            None => {}
        }
    }
    Ok(None)
}

/// Takes the next event.
async fn next(form: &mut Form, keys: &mut EventStream) -> Result<Option<Attempt>, Error> {
    match keys.next().await {
        Some(event) => match event? {
            Event::Key(key) if key.kind != KeyEventKind::Release => return Ok(form.key(key)),
            Event::Paste(text) => form.paste(&text),
            _ => {}
        },
        None => form.quit = true,
    }
    Ok(None)
}

async fn enter(servers: &Servers, attempt: Attempt) -> Result<Client, Failed> {
    let Attempt { url, name, password, registers } = attempt;
    let client = servers.client(&url).map_err(|error| Failed { error: error.into(), registered: false })?;
    let mut registered = false;
    let done = async {
        if registers {
            client.register(&name, &password).await?;
            registered = true;
        }
        client.login(&name, &password).await
    };
    match done.await {
        Ok(()) => Ok(client),
        Err(error) => Err(Failed { error: scheme::explain(client.url(), error).await, registered }),
    }
}
