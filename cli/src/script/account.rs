//! The account commands.

use std::io;

use grpcchatter_client::Client;
use tokio::task::spawn_blocking;

use super::read_input;
use crate::{args::Account, client_factory::ClientFactory, exit::Error, text};

pub(super) async fn register(
    factory: &ClientFactory,
    client: &Client,
    account: &Account,
) -> Result<(), Error> {
    let password = password(account).await?;
    client.register(&account.user, &password).await?;
    client.login(&account.user, &password).await?;
    factory.folders.set_url(client.url())
}

pub(super) async fn login(factory: &ClientFactory, client: &Client, account: &Account) -> Result<(), Error> {
    client.login(&account.user, &password(account).await?).await?;
    factory.folders.set_url(client.url())
}

async fn password(account: &Account) -> Result<String, Error> {
    if account.password_stdin {
        return Some(read_input().await?).filter(|password| !password.is_empty()).ok_or(Error::NoPassword);
    }
    let question = format!("Password of {}: ", text::one_line(&account.user));
    let asked =
        spawn_blocking(move || rpassword::prompt_password(question)).await.map_err(io::Error::other)?;
    // rpassword opens the terminal itself, whatever standard input is. Without a terminal, that fails.
    asked.map_err(|_| Error::NoPrompt)
}
