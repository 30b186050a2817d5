//! Somebody who chats while somebody else does harm, and must notice nothing.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicI64, Ordering},
    },
    time::Duration,
};

use tokio::{sync::Notify, task::JoinHandle, time::interval};

use super::{Chat, Subscription, TestApp, within};

/// How often something is said, so that other tests have the machine as well.
const PACE: Duration = Duration::from_millis(5);

/// Somebody who says one thing after the other, each once the one before was acknowledged and heard elsewhere.
pub(crate) struct Victim {
    state: Arc<State>,
    chatting: JoinHandle<()>,
}

#[derive(Default)]
struct State {
    heard: AtomicI64,
    changed: Notify,
    enough: AtomicBool,
}

impl Victim {
    /// Begins to chat.
    pub(crate) async fn of(app: &TestApp) -> Self {
        let user = app.user().await;
        let member = user.join(&user.create_room().await).await;
        let listening = member.elsewhere().subscribe(None).await.unwrap();
        let chat = member.elsewhere().chat().await.unwrap();
        let state = Arc::<State>::default();
        let chatting = tokio::spawn(talk(chat, listening, Arc::clone(&state)));
        let victim = Self { state, chatting };
        victim.goes_on().await;
        victim
    }

    /// Awaits that some more was said and heard.
    pub(crate) async fn goes_on(&self) {
        let until = self.state.heard.load(Ordering::Relaxed) + 20;
        let more = async {
            while self.state.heard.load(Ordering::Relaxed) < until && !self.chatting.is_finished() {
                self.state.changed.notified().await;
            }
        };
        within("round trips of somebody else", more).await;
    }

    /// Checks that everything was acknowledged and heard in order, and still is.
    pub(crate) async fn noticed_nothing(self) {
        self.goes_on().await;
        self.state.enough.store(true, Ordering::Relaxed);
        within("the victim's last words", self.chatting).await.expect("the victim noticed something");
    }
}

/// Every wait is bounded, so a server that stops answering fails the test.
async fn talk(mut chat: Chat, mut listening: Subscription, state: Arc<State>) {
    let mut pace = interval(PACE);
    let mut said = 0;
    while !state.enough.load(Ordering::Relaxed) {
        pace.tick().await;
        said += 1;
        chat.say_as(&said.to_string(), "as always").await;
        let echoed = chat.next().await;
        assert!(echoed.rejected.is_none(), "{echoed:?}");
        assert_eq!((echoed.seq, echoed.client_message_id), (said, said.to_string()));
        assert_eq!(listening.message().await.seq, said);
        state.heard.store(said, Ordering::Relaxed);
        state.changed.notify_one();
    }
}
