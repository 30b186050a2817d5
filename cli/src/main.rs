//! `chatter`: GRPCChatter in the terminal, for people and for scripts.

mod args;
mod exit;
mod output;
mod pipe;
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
use grpcchatter_client::{Client, Error as ClientError};

use crate::{
    args::{Args, Command},
    exit::Error,
    settings::Folders,
};

/// Wrong usage, in sysexits.h.
const EX_USAGE: u8 = 64;

fn main() -> ExitCode {
    let args = match Args::try_parse() {
        Ok(args) => args,
        Err(error) => {
            let shown = error.print();
            if !matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) {
                return ExitCode::from(EX_USAGE);
            }
            return end(shown.map_err(Error::from));
        }
    };
    end(run(args))
}

/// Says what went wrong, and with which exit code to end.
fn end(done: Result<(), Error>) -> ExitCode {
    if let Err(error) = &done
        && exit::code(&done) != ExitCode::SUCCESS
    {
        // Nobody is left to be told where even this fails.
        let _ = writeln!(io::stderr(), "chatter: {}", exit::sentence(error));
    }
    exit::code(&done)
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
            written.map_err(|source| Error::Settings { path, source })
        }
        _ => {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            let done = runtime.block_on(talk(args));
            // A read of the keyboard that nobody waits for any more must not hold the program up.
            runtime.shutdown_background();
            done
        }
    }
}

async fn talk(args: Args) -> Result<(), Error> {
    let folders = Folders::find()?;
    let url = match &args.command {
        Some(Command::Login(account) | Command::Register(account)) => account.server.clone(),
        _ => {
            match args.url.clone().or_else(|| env::var("GRPCCHATTER_URL").ok()).filter(|url| !url.is_empty())
            {
                Some(url) => url,
                None => folders.url()?.ok_or(Error::NoServer)?,
            }
        }
    };
    // However it was typed, a server has one session.
    let url = Client::new_at(url)?.url().to_owned();
    let mut builder = Client::builder(&url).session_file(folders.session(&url)).send_timeout(args.timeout);
    if let Some(path) = &args.ca_cert {
        let pem = fs::read(path).map_err(|source| Error::Settings { path: path.clone(), source })?;
        builder = builder.ca_certificate(pem);
    }
    let client = builder.build()?;
    let done = match args.command {
        None => tui::run(client).await,
        Some(command) => script::run(&client, &folders, command).await,
    };
    match done {
        Err(Error::Client(ClientError::NotLoggedIn)) => Err(Error::NotLoggedIn(url)),
        done => done,
    }
}
