//! A bystander who chats while another client misbehaves, and must not be slowed down.

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

/// The pause between two messages, so that other tests get the machine too.
const INTERVAL: Duration = Duration::from_millis(5);

/// How many round trips are measured as the baseline, and how many are awaited at the end.
const BASELINE: i64 = 100;
const AFTERWARDS: i64 = 20;

/// The latency that is always accepted, for unoptimised builds, and for other tests and programs on the same two cores. A client
/// that is really blocked waits longer: until a deadline of the server. The benchmark checks the tighter bound that the limits
/// promise, on an idle machine.
const ALWAYS_ACCEPTED: Duration = Duration::from_secs(8);

/// Sends one message after the other, each after the one before was acknowledged and delivered to a subscription. It has its own
/// thread: on the test's, it would wait for the work of the abusive client.
pub(crate) struct Bystander {
    state: Arc<State>,
    baseline: Latencies,
    chatting: JoinHandle<()>,
    stop: StopOnDrop,
}

/// Ends the chat when it is dropped, so that no thread outlives a test that failed.
struct StopOnDrop(Arc<State>);

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        self.0.stopped.store(true, Ordering::Relaxed);
    }
}

#[derive(Default)]
struct State {
    delivered: AtomicI64,
    changed: Notify,
    stopped: AtomicBool,
    /// The round trips since the last [`State::take`].
    round_trips: Mutex<Latencies>,
}

impl State {
    /// Takes the round trips that were measured since the last call.
    fn take(&self) -> Latencies {
        std::mem::take(&mut self.round_trips.lock().unwrap())
    }
}

impl Bystander {
    /// Starts to chat, and returns after the baseline was measured.
    pub(crate) async fn of(app: &TestApp) -> Self {
        let (state, address) = (Arc::<State>::default(), app.address());
        let chatting = spawn_blocking({
            let state = Arc::clone(&state);
            move || {
                let runtime = Builder::new_current_thread().enable_all().build().unwrap();
                runtime.block_on(Box::pin(chat(address, state)));
            }
        });
        let stop = StopOnDrop(Arc::clone(&state));
        let mut bystander = Self { state, baseline: Latencies::default(), chatting, stop };
        for _ in 0..BASELINE / AFTERWARDS {
            bystander.more_round_trips().await;
        }
        bystander.reset_baseline();
        bystander
    }

    /// Awaits [`AFTERWARDS`] more round trips.
    pub(crate) async fn more_round_trips(&self) {
        let until = self.state.delivered.load(Ordering::Relaxed) + AFTERWARDS;
        let more = async {
            while self.state.delivered.load(Ordering::Relaxed) < until && !self.chatting.is_finished() {
                self.state.changed.notified().await;
            }
        };
        within("round trips of the bystander", more).await;
    }

    /// Takes the round trips since the last baseline as the new one, where the test has a load that it does not test.
    pub(crate) fn reset_baseline(&mut self) {
        self.baseline = self.state.take();
    }

    /// Checks that all messages were acknowledged and delivered in order, still are, and were not slower than the baseline.
    pub(crate) async fn was_not_slowed_down(self) {
        self.more_round_trips().await;
        drop(self.stop);
        within("the bystander's end", self.chatting).await.expect("the bystander's chat failed");
        let (baseline, meanwhile) = (self.baseline, self.state.take());
        report("bystander", &format!("{baseline} before, {meanwhile} during the test"));
        let limit = ALWAYS_ACCEPTED.max(2 * baseline.p99());
        assert!(
            meanwhile.p99() <= limit,
            "the bystander was slowed down: {baseline} before, {meanwhile} during the test"
        );
    }
}

/// Chats until it is stopped. Every wait is bounded, so a server that stops answering fails the test.
async fn chat(address: SocketAddr, state: Arc<State>) {
    let user = User::register(&Caller::anonymous(address)).await;
    let member = user.join(&user.create_room().await).await;
    let mut subscription = member.on_new_connection().subscribe(None).await.unwrap();
    let mut chat = member.on_new_connection().chat().await.unwrap();
    let mut pause = interval(INTERVAL);
    let mut sent = 0;
    while !state.stopped.load(Ordering::Relaxed) {
        pause.tick().await;
        sent += 1;
        let started = Instant::now();
        chat.say_as(&sent.to_string(), "cAnary, as always").await;
        let echoed = chat.next().await;
        assert!(echoed.rejected.is_none(), "{echoed:?}");
        assert_eq!((echoed.seq, echoed.client_message_id), (sent, sent.to_string()));
        assert_eq!(subscription.message().await.seq, sent);
        state.round_trips.lock().unwrap().add(started.elapsed());
        state.delivered.store(sent, Ordering::Relaxed);
        state.changed.notify_one();
    }
}
