//! Somebody who chats while somebody else does harm, and must notice nothing.

use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicI64, Ordering},
    },
    time::{Duration, Instant},
};

use tokio::{
    runtime::Builder,
    sync::Notify,
    task::{JoinHandle, spawn_blocking},
    time::interval,
};

use super::{Caller, Latencies, TestApp, User, report, within};

/// How often something is said, so that other tests have the machine as well.
const PACE: Duration = Duration::from_millis(5);

/// How many round trips tell what is usual before any harm is done, and how many are awaited after it.
const QUIET: i64 = 100;
const AFTERWARDS: i64 = 20;

/// What nobody is blamed for: unoptimised builds, other tests on the same two cores, and other programs that take both. Who is
/// harmed waits for longer: until a deadline of the server's. The benchmark holds the tighter bound that the limits promise,
/// on a machine of its own.
const FLOOR: Duration = Duration::from_secs(8);

/// Somebody who says one thing after the other, each once the one before was acknowledged and heard elsewhere. On a thread
/// of their own: on the test's they would wait for all that the test itself does to do harm.
pub(crate) struct Victim {
    state: Arc<State>,
    quiet: Latencies,
    chatting: JoinHandle<()>,
    enough: Enough,
}

/// Ends the chat when it is dropped, so that no thread outlives a test that failed.
struct Enough(Arc<State>);

impl Drop for Enough {
    fn drop(&mut self) {
        self.0.enough.store(true, Ordering::Relaxed);
    }
}

#[derive(Default)]
struct State {
    heard: AtomicI64,
    changed: Notify,
    enough: AtomicBool,
    /// How long each round trip took, since the last look.
    took: Mutex<Latencies>,
}

impl State {
    /// Returns what was measured since the last look.
    fn take(&self) -> Latencies {
        std::mem::take(&mut self.took.lock().unwrap())
    }
}

impl Victim {
    /// Begins to chat, and returns when it is known how long that takes while nothing is wrong.
    pub(crate) async fn of(app: &TestApp) -> Self {
        let (state, address) = (Arc::<State>::default(), app.address());
        let chatting = spawn_blocking({
            let state = Arc::clone(&state);
            move || {
                let runtime = Builder::new_current_thread().enable_all().build().unwrap();
                runtime.block_on(Box::pin(talk(address, state)));
            }
        });
        let enough = Enough(Arc::clone(&state));
        let mut victim = Self { state, quiet: Latencies::default(), chatting, enough };
        for _ in 0..QUIET / AFTERWARDS {
            victim.goes_on().await;
        }
        victim.is_used_to_it();
        victim
    }

    /// Awaits that some more was said and heard.
    pub(crate) async fn goes_on(&self) {
        let until = self.state.heard.load(Ordering::Relaxed) + AFTERWARDS;
        let more = async {
            while self.state.heard.load(Ordering::Relaxed) < until && !self.chatting.is_finished() {
                self.state.changed.notified().await;
            }
        };
        within("round trips of somebody else", more).await;
    }

    /// Takes what was measured since the last look for what is usual: under a load that is not what is tested.
    pub(crate) fn is_used_to_it(&mut self) {
        self.quiet = self.state.take();
    }

    /// Checks that everything was acknowledged and heard in order, still is, and took no longer than before.
    pub(crate) async fn noticed_nothing(self) {
        self.goes_on().await;
        drop(self.enough);
        within("the victim's last words", self.chatting).await.expect("the victim noticed something");
        let (quiet, beside) = (self.quiet, self.state.take());
        report("victim", &format!("{quiet} quiet, {beside} beside what is tested"));
        let most = FLOOR.max(2 * quiet.p99());
        assert!(beside.p99() <= most, "the victim was slowed down: {quiet} before, {beside} beside it");
    }
}

/// Every wait is bounded, so a server that stops answering fails the test.
async fn talk(address: SocketAddr, state: Arc<State>) {
    let user = User::register(&Caller::anonymous(address)).await;
    let member = user.join(&user.create_room().await).await;
    let mut listening = member.elsewhere().subscribe(None).await.unwrap();
    let mut chat = member.elsewhere().chat().await.unwrap();
    let mut pace = interval(PACE);
    let mut said = 0;
    while !state.enough.load(Ordering::Relaxed) {
        pace.tick().await;
        said += 1;
        let begun = Instant::now();
        chat.say_as(&said.to_string(), "cAnary, as always").await;
        let echoed = chat.next().await;
        assert!(echoed.rejected.is_none(), "{echoed:?}");
        assert_eq!((echoed.seq, echoed.client_message_id), (said, said.to_string()));
        assert_eq!(listening.message().await.seq, said);
        state.took.lock().unwrap().add(begun.elapsed());
        state.heard.store(said, Ordering::Relaxed);
        state.changed.notify_one();
    }
}
