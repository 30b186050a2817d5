//! What all attacks have in common: somebody before and during it, the server's memory, and the rows that tell of both.

use std::{cell::RefCell, net::SocketAddr, rc::Rc, thread, time::Duration};

use anyhow::{Context as _, Result, ensure};
use grpcchatter_proto::v1::{
    ListMessagesRequest, ListMessagesResponse, SendMessageRequest, SendMessageResponse,
};
use tokio::{
    net::TcpStream,
    time::{sleep, timeout},
};

use super::cast::{Cast, PAGE, VICTIM};
use crate::{
    cases::Scale,
    jail::Jail,
    load::{
        bystander::{self, PACE, Seen},
        flood::Tally,
        grpc::Connection,
        log_in::log_in,
    },
    process::Process,
    report::Row,
    server::{Gateway, PASSWORD},
};

/// For how long it is seen how things are without an attack.
const QUIET: Duration = Duration::from_secs(2);
/// The same where it is only to be seen that all works.
const QUICK: Duration = Duration::from_millis(600);
/// How often the memory is looked at.
const LOOK: Duration = Duration::from_millis(50);
/// After this long what an attack took is given back.
const AFTER: Duration = Duration::from_secs(15);
/// After this long it is only seen that all works.
const SOON_AFTER: Duration = Duration::from_secs(2);
/// Between two log-ins of one person.
const LOG_IN_PACE: Duration = Duration::from_millis(500);
/// A connection that a server under attack does not take.
const PATIENCE: Duration = Duration::from_secs(5);

/// What somebody does beside an attack.
#[derive(Clone, Copy, Debug)]
pub(super) enum Deed {
    SendMessage,
    ListMessages,
    LogIn,
    Chat,
}

impl Deed {
    const fn name(self) -> &'static str {
        match self {
            Self::SendMessage => "SendMessage",
            Self::ListMessages => "ListMessages",
            Self::LogIn => "log-in",
            Self::Chat => "Chat",
        }
    }

    /// Does it over and over until `enough` of the time that passed.
    pub(super) async fn go_on(
        self,
        address: SocketAddr,
        cast: &Cast,
        enough: impl Fn(Duration) -> bool,
    ) -> Seen {
        match self {
            Self::Chat => bystander::chat(address, &cast.talker, enough).await,
            Self::LogIn => {
                let call = || async move {
                    let socket = TcpStream::connect(address).await?;
                    let (status, _) = log_in(socket, VICTIM, PASSWORD).await?;
                    ensure!(status == 200, "a log-in was answered by {status}");
                    Ok(())
                };
                bystander::calls(LOG_IN_PACE, enough, call).await
            }
            Self::SendMessage | Self::ListMessages => {
                let opened = timeout(PATIENCE, Connection::open(address)).await;
                let connection = Rc::new(opened.ok().and_then(Result::ok));
                let token: Rc<str> = cast.victim.as_str().into();
                let call = || call(Rc::clone(&connection), Rc::clone(&token), self);
                bystander::calls(PACE, enough, call).await
            }
        }
    }

    /// Does it while there is no attack.
    pub(super) async fn quiet(self, address: SocketAddr, cast: &Cast, scale: Scale) -> Seen {
        let time = if scale.quick { QUICK } else { QUIET };
        self.go_on(address, cast, |elapsed| elapsed >= time).await
    }
}

async fn call(connection: Rc<Option<Connection>>, token: Rc<str>, deed: Deed) -> Result<()> {
    let connection = connection.as_ref().as_ref().context("the connection was refused")?;
    let token = Some(&*token);
    match deed {
        Deed::ListMessages => {
            let page =
                ListMessagesRequest { page_size: i32::try_from(PAGE)?, before_seq: 0, after_seq: None };
            let path = "/grpcchatter.v1.ChatService/ListMessages";
            connection.unary::<ListMessagesResponse>(path, token, &page).await?;
        }
        _ => {
            let message = SendMessageRequest { body: "x".repeat(64), client_message_id: String::new() };
            let path = "/grpcchatter.v1.ChatService/SendMessage";
            connection.unary::<SendMessageResponse>(path, token, &message).await?;
        }
    }
    Ok(())
}

/// The server's memory, in MB.
#[derive(Clone, Copy, Debug)]
pub(super) struct Memory {
    pub(super) before: f64,
    pub(super) highest: f64,
    /// Whether the process is still there.
    pub(super) lives: bool,
}

/// Runs an attack on a thread of its own, and returns its outcome, what was done beside it, and the memory.
///
/// # Errors
/// If the attack fails: it is to count what is refused.
pub(super) async fn beside<T: Send + 'static>(
    process: &Process,
    cast: &Cast,
    deeds: &[Deed],
    attack: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<(T, Vec<Seen>, Memory)> {
    let before = process.resident()? / 1024.0;
    let attack = thread::spawn(attack);
    let highest = RefCell::new(before);
    let look = async {
        while !attack.is_finished() {
            // Where the process has gone, the last that was seen counts.
            if let Ok(now) = process.highest() {
                highest.replace(now / 1024.0);
            }
            sleep(LOOK).await;
        }
    };
    let over = |_| attack.is_finished();
    let deeds = deeds.iter().map(|deed| deed.go_on(process.address, cast, over));
    let (seen, ()) = tokio::join!(futures_util::future::join_all(deeds), look);
    let lives = process.resident().is_ok();
    let outcome = attack.join().ok().context("an attack panicked")??;
    Ok((outcome, seen, Memory { before, highest: highest.take(), lives }))
}

/// What must not be exceeded, by what was seen before.
pub(super) type Bound = fn(f64) -> f64;

/// Three times as long as without the attack, or what nobody notices.
pub(super) fn noticed(before: f64) -> f64 {
    f64::max(3.0 * before, 50.0)
}

/// Twice as long as without the attack.
pub(super) fn twice(before: f64) -> f64 {
    2.0 * before
}

/// Returns the rows of one deed beside an attack: the bounds are those of p50 and p99, where there are any.
pub(super) fn deed_rows(
    attack: &str,
    deed: Deed,
    before: &mut Seen,
    during: &mut Seen,
    bounds: [Option<Bound>; 2],
) -> Vec<Row> {
    let name = deed.name();
    let mut rows = Vec::new();
    for (share, bound) in [(0.5, bounds[0]), (0.99, bounds[1])] {
        let (quiet, pressed) = (before.answers.at(share), during.answers.at(share));
        // Where nothing was answered, nothing was quick.
        let answered = during.answers.len() > 0;
        let pressed = if answered { pressed } else { f64::NAN };
        let row = Row::new(format!("{attack}: p{} of {name}, ms (before)", share * 100.0), pressed);
        rows.push(match bound {
            Some(bound) if answered => row.beside(quiet).at_most(bound(quiet), quiet),
            _ => row.beside(quiet),
        });
    }
    let failed = format!("{attack}: {name} refused or failed (of)");
    rows.push(Row::new(failed, f64::from(during.failed)).beside(during.calls() as f64).at_most(0.0, 0.0));
    rows
}

/// Returns the row of what became of an attack's own calls.
pub(super) fn tally_row(attack: &str, tally: Tally) -> Row {
    let name = format!("{attack}: calls of the attack answered (refused)");
    Row::new(name, tally.answered as f64).beside(tally.refused as f64)
}

/// Returns the row of the memory during an attack.
pub(super) fn memory_row(attack: &str, memory: Memory) -> Row {
    Row::new(format!("{attack}: memory at its highest, MB (before)"), memory.highest).beside(memory.before)
}

/// Returns the row of the memory some time after an attack.
fn after_row(attack: &str, memory: Memory, after: f64) -> Row {
    Row::new(format!("{attack}: memory some time after, MB (before)"), after).beside(memory.before)
}

/// Returns the memory some time after an attack; nothing where the server was killed.
async fn after(process: &Process, memory: Memory, scale: Scale) -> f64 {
    if memory.lives {
        sleep(if scale.quick { SOON_AFTER } else { AFTER }).await;
    }
    process.resident().map_or(f64::NAN, |resident| resident / 1024.0)
}

/// What a server with little memory must live with, and what it may take.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// The memory it has, in MiB.
    pub(super) mebibytes: u32,
    /// The most it may take during the attack, in MB, and what is better, by what it took before.
    pub(super) highest: fn(f64) -> [f64; 2],
    /// The same some time after it.
    pub(super) after: fn(f64) -> [f64; 2],
}

/// Plays an attack on the memory of a server that has little, beside somebody who sends messages.
///
/// # Errors
/// If it cannot be played.
pub(super) async fn on_memory(
    gateway: &Gateway,
    cast: &Cast,
    scale: Scale,
    name: &str,
    limits: Limits,
    attack: impl AsyncFn(&Process) -> Result<(Tally, Vec<Seen>, Memory)>,
) -> Result<Vec<Row>> {
    const DEED: Deed = Deed::SendMessage;
    let play = async |process: &Process| {
        let before = DEED.quiet(process.address, cast, scale).await;
        let (tally, seen, memory) = attack(process).await?;
        let after = after(process, memory, scale).await;
        Ok(((before, tally, seen, after), memory))
    };
    let ((mut before, tally, seen, after), memory, death) =
        with_little(gateway, name, limits.mebibytes, play).await?;
    let mut rows = vec![tally_row(name, tally)];
    for mut during in seen {
        rows.extend(deed_rows(name, DEED, &mut before, &mut during, [None, None]));
    }
    let [floor, goal] = (limits.highest)(memory.before);
    rows.push(memory_row(name, memory).at_most(floor, goal));
    let [floor, goal] = (limits.after)(memory.before);
    rows.push(after_row(name, memory, after).at_most(floor, goal));
    rows.push(death);
    Ok(rows)
}

/// Plays a scene on a server with little memory; where it is killed, once more with all that there is, so as to see how
/// much it takes. Returns also the row that tells whether it was killed.
///
/// # Errors
/// If the scene cannot be played.
async fn with_little<T>(
    gateway: &Gateway,
    attack: &str,
    mebibytes: u32,
    play: impl AsyncFn(&Process) -> Result<(T, Memory)>,
) -> Result<(T, Memory, Row)> {
    let name = format!("{attack}: killed in {mebibytes} MiB");
    let death = match Jail::with(mebibytes) {
        None => Row::new(format!("{name}: not measured, no cgroup can be made"), f64::NAN),
        Some(jail) => {
            let process = gateway.start_limited(&jail.tool().each_ref().map(String::as_str))?;
            let (seen, memory) = play(&process).await?;
            drop(process);
            if memory.lives {
                return Ok((seen, memory, Row::new(name, 0.0).at_most(0.0, 0.0)));
            }
            Row::new(name, 1.0).at_most(0.0, 0.0)
        }
    };
    let process = gateway.start_limited(&[])?;
    let (seen, memory) = play(&process).await?;
    Ok((seen, memory, death))
}
