//! Runs the login form until a user is logged in.

use crossterm::event::{Event, EventStream, KeyEventKind};
use futures_util::StreamExt as _;
use grpcchatter_client::Client;
use ratatui::DefaultTerminal;

use super::{
    login_form::{LoginAttempt, LoginForm, Mode},
    login_form_view,
};
use crate::{client_factory::ClientFactory, exit::Error, scheme};

/// A failed attempt.
struct AttemptError {
    error: Error,
    /// Whether the account was created before the failure.
    registered: bool,
}

/// Runs the form; `None` if the user quits.
pub(super) async fn run(
    terminal: &mut DefaultTerminal,
    keys: &mut EventStream,
    factory: &ClientFactory,
    mut form: LoginForm,
) -> Result<Option<Client>, Error> {
    while !form.quit {
        terminal.draw(|frame| login_form_view::draw(frame, &form))?;
        let Some(attempt) = next(&mut form, keys).await? else { continue };
        terminal.draw(|frame| login_form_view::draw(frame, &form))?;
        let mut done = Box::pin(log_in(factory, attempt));
        let answer = loop {
            tokio::select! {
                answer = &mut done => break Some(answer),
                _ = next(&mut form, keys) => if form.quit { break None },
            }
        };
        match answer {
            Some(Ok(client)) => {
                factory.folders.set_url(client.url())?;
                return Ok(Some(client));
            }
            Some(Err(attempt_error)) => {
                if attempt_error.registered {
                    form.registered();
                }
                form.failed(&attempt_error.error);
            }
            None => {}
        }
    }
    Ok(None)
}

/// Handles the next terminal event.
async fn next(form: &mut LoginForm, keys: &mut EventStream) -> Result<Option<LoginAttempt>, Error> {
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

async fn log_in(factory: &ClientFactory, attempt: LoginAttempt) -> Result<Client, AttemptError> {
    let LoginAttempt { url, name, password, mode } = attempt;
    let client =
        factory.client(&url).map_err(|error| AttemptError { error: error.into(), registered: false })?;
    let mut registered = false;
    let done = async {
        if mode == Mode::Register {
            client.register(&name, &password).await?;
            registered = true;
        }
        client.login(&name, &password).await
    };
    match done.await {
        Ok(()) => Ok(client),
        Err(error) => Err(AttemptError { error: scheme::explain(client.url(), error).await, registered }),
    }
}
