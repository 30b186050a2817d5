//! `chatter`: GRPCChatter in the terminal, for people and for scripts.

mod args;
mod client_factory;
mod exit;
mod invitation;
mod output;
mod pipe;
mod reasons;
mod room_cache;
mod scheme;
mod script;
mod settings;
mod text;
mod tui;

use std::{
    env, fs,
    io::{self, Write as _},
    process::ExitCode,
};

use clap::{CommandFactory as _, Parser as _, error::ErrorKind};
use grpcchatter_client::Error as ClientError;

use crate::{
    args::{Args, Command},
    client_factory::ClientFactory,
    exit::Error,
};

/// `EX_USAGE` of sysexits.h.
const EX_USAGE: u8 = 64;

fn main() -> ExitCode {
    let args = match Args::try_parse() {
        Ok(args) => args,
        Err(error) => {
            let shown = error.print();
            if !matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) {
                return ExitCode::from(EX_USAGE);
            }
            return finish(shown.map_err(Error::from));
        }
    };
    finish(run(args))
}

/// Prints the error, if any, and returns the exit code.
fn finish(done: Result<(), Error>) -> ExitCode {
    if let Err(error) = &done
        && exit::exit_code(&done) != ExitCode::SUCCESS
    {
        // If standard error fails too, there is nowhere left to report to.
        let _ = writeln!(io::stderr(), "chatter: {}", exit::message(error));
    }
    exit::exit_code(&done)
}

fn run(args: Args) -> Result<(), Error> {
    match args.command {
        Some(Command::Completions { shell }) => {
            let mut text = Vec::new();
            clap_complete::generate(shell, &mut Args::command(), "chatter", &mut text);
            Ok(output::write(&text)?)
        }
        Some(Command::Man { folder: None }) => {
            let mut text = Vec::new();
            clap_mangen::Man::new(Args::command()).render(&mut text)?;
            Ok(output::write(&text)?)
        }
        Some(Command::Man { folder: Some(path) }) => {
            let written =
                fs::create_dir_all(&path).and_then(|()| clap_mangen::generate_to(Args::command(), &path));
            written.map_err(|source| Error::Unwritable { path, source })
        }
        _ => {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            let done = runtime.block_on(run_online(args));
            // A blocked read of standard input must not delay the exit.
            runtime.shutdown_background();
            done
        }
    }
}

async fn run_online(args: Args) -> Result<(), Error> {
    let factory = ClientFactory::new(&args)?;
    let url = match &args.command {
        Some(Command::Login(account) | Command::Register(account)) => Some(account.server.clone()),
        _ => {
            let named = args.url.or_else(|| env::var("GRPCCHATTER_URL").ok()).filter(|url| !url.is_empty());
            named.map_or_else(|| factory.folders.url(), |url| Ok(Some(url)))?
        }
    };
    let Some(command) = args.command else { return tui::run(&factory, url).await };
    let client = factory.client(&url.ok_or(Error::NoServer)?)?;
    match script::run(&factory, &client, command).await {
        Err(Error::Client(ClientError::NotLoggedIn)) => Err(Error::NotLoggedIn(client.url().to_owned())),
        Err(Error::Client(error)) => Err(scheme::explain(client.url(), error).await),
        done => done,
    }
}
