//! Fair queuing: the many calls of one user wait in that user's own queue, so that calls of other users are answered in between.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use futures_util::FutureExt as _;
use grpcchatter_proto::v1::{
    CreateChatRoomRequest, ListChatRoomsRequest, ListMessagesRequest, SendMessageRequest,
};
use sea_orm::ConnectionTrait as _;
use tokio::{sync::Notify, task::JoinSet};

use crate::harness::{
    Caller, Connection, Database, Dialect, Rpc, TestApp, Unread, User, Version, on_each_database, report,
    request, within,
};

on_each_database! {
    many_writes_of_one_user_do_not_delay_those_of_others,
    many_reads_of_one_user_do_not_delay_those_of_others,
    messages_do_not_wait_for_other_calls_of_their_user,
    unfinished_bodies_do_not_block_other_calls_from_their_address,
}

/// How many calls the crowd has in flight: fewer than may wait.
const CROWD: usize = 200;

/// Parallel calls of one user, each repeated as soon as it is answered, until this is dropped.
struct Crowd {
    answers: Arc<Answers>,
    _calls: JoinSet<()>,
}

#[derive(Default)]
struct Answers {
    count: AtomicUsize,
    more: Notify,
}

impl Crowd {
    fn of<R: Rpc + Clone + Sync>(caller: &Caller, message: &R) -> Self {
        let (answers, mut calls) = (Arc::<Answers>::default(), JoinSet::new());
        for _ in 0..4 {
            let caller = caller.on_new_connection();
            for _ in 0..CROWD / 4 {
                let (caller, message, answers) = (caller.clone(), message.clone(), Arc::clone(&answers));
                calls.spawn(async move {
                    loop {
                        // On a busy machine some time out.
                        let made = caller.call(message.clone()).await.is_ok();
                        answers.count.fetch_add(usize::from(made), Ordering::Relaxed);
                        answers.more.notify_one();
                    }
                });
            }
        }
        Self { answers, _calls: calls }
    }

    fn count(&self) -> usize {
        self.answers.count.load(Ordering::Relaxed)
    }

    /// Repeats a call while the crowd's calls wait, and checks that few of those are answered first. The median counts, since a
    /// call may be delayed by other things too.
    async fn delays_little(&self, name: &str, call: impl AsyncFn()) {
        let all_started = async {
            while self.count() < CROWD {
                self.answers.more.notified().await;
            }
        };
        within("answers to a crowd", all_started).await;
        let mut first = Vec::new();
        for _ in 0..11 {
            let before = self.count();
            call().await;
            first.push(self.count() - before);
        }
        first.sort_unstable();
        let median = first[first.len() / 2];
        let figures = format!("{median} of the crowd's {CROWD} calls were answered first");
        report(&format!("{name} beside a crowd"), &figures);
        assert!(median < CROWD / 8, "{name}: {figures}");
    }
}

async fn many_writes_of_one_user_do_not_delay_those_of_others(database: Database) {
    let app = TestApp::start(&database).await;
    let (greedy, user) = (app.user().await, app.user().await);
    let room = user.create_room_with("").await;
    let member = user.join(&room).await;
    let crowd = Crowd::of(&greedy, &CreateChatRoomRequest::default());
    crowd.delays_little("a message", async || drop(member.say("hello").await)).await;
    crowd.delays_little("a room", async || drop(user.create_room_with("").await)).await;
    crowd.delays_little("a join", async || drop(user.join(&room).await)).await;
}

/// Gives a user many rooms, so that listing them takes time.
async fn give_many_rooms(app: &TestApp, database: &Database, user: &User) {
    let operator = app.operator(database).await;
    let rooms: Vec<_> = (0..2_000)
        .map(|nth| {
            format!(
                "('c{nth:05}', '', (SELECT id FROM accounts WHERE user_name = '{}'), 0, {nth})",
                user.name
            )
        })
        .collect();
    for some in rooms.chunks(500) {
        let insert = format!(
            "INSERT INTO rooms (short_code, name, owner_id, created_at, active_at) VALUES {}",
            some.join(", ")
        );
        operator.execute_unprepared(&insert).await.unwrap();
    }
    operator.close().await.unwrap();
}

async fn many_reads_of_one_user_do_not_delay_those_of_others(database: Database) {
    let app = TestApp::start(&database).await;
    let (greedy, user) = (app.user().await, app.user().await);
    give_many_rooms(&app, &database, &greedy).await;
    let member = user.join(&user.create_room_with("").await).await;
    let crowd = Crowd::of(&greedy, &ListChatRoomsRequest { page_size: 200, ..Default::default() });
    crowd
        .delays_little("a page", async || drop(member.call(ListMessagesRequest::default()).await.unwrap()))
        .await;
    crowd
        .delays_little("rooms", async || drop(user.call(ListChatRoomsRequest::default()).await.unwrap()))
        .await;
}

async fn messages_do_not_wait_for_other_calls_of_their_user(database: Database) {
    let app = TestApp::with(&database, &[("CALLS_PER_USER", "1")]).await;
    let user = app.user().await;
    let member = user.join(&user.create_room_with("").await).await;
    member.say("hello").await;
    // A call whose answer is unread is still in flight, so the next call waits.
    let mut unread = Unread::on(app.address()).await;
    let answer = unread.ask(&member, &ListMessagesRequest::default()).await;
    let answer = within("a head", answer).await.unwrap();
    let waiting = user.on_new_connection();
    let mut waiting = Box::pin(waiting.call(ListChatRoomsRequest::default()));
    assert!((&mut waiting).now_or_never().is_none());
    for dialect in Dialect::ALL {
        let message = SendMessageRequest { body: "hello".to_owned(), ..Default::default() };
        member.with_dialect(dialect).call(message).await.unwrap();
    }
    assert!((&mut waiting).now_or_never().is_none(), "it was answered while the other answer was unread");
    drop(answer);
    waiting.await.unwrap();
}

async fn unfinished_bodies_do_not_block_other_calls_from_their_address(database: Database) {
    let app = TestApp::with(&database, &[("ANONYMOUS_CALLS", "1")]).await;
    let mut unread = Unread::on(app.address()).await;
    let mut forms: Vec<_> = Vec::new();
    for _ in 0..20 {
        forms.push(unread.post("/login", &[]).await);
    }
    // The logins are in flight, or wait for one another.
    let mut connection = Connection::open(app.address(), Version::H2).await;
    for path in ["/livez", "/", "/app.js", "/openapi.json"] {
        assert_eq!(connection.send(request("GET", path, &[], "")).await.status, 200, "{path}");
    }
    for (answer, _) in &mut forms {
        assert!(answer.now_or_never().is_none(), "a login was answered without its body");
    }
}
