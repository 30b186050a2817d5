//! Who asks for much waits in a line of their own: the others are answered in between, as if there were one more of them.

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
    one_who_writes_much_delays_nobody_elses_writes,
    one_who_reads_much_delays_nobody_elses_reads,
    messages_wait_for_no_other_calls_of_their_user,
    forms_that_never_come_keep_nobody_at_their_address_from_the_page,
}

/// So many calls of one user at a time: fewer than may wait.
const CROWD: usize = 200;

/// Calls of one user, each made again as soon as it is answered, until this is dropped.
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
            let caller = caller.elsewhere();
            for _ in 0..CROWD / 4 {
                let (caller, message, answers) = (caller.clone(), message.clone(), Arc::clone(&answers));
                calls.spawn(async move {
                    loop {
                        // On a busy machine some wait for too long.
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

    /// Makes a call some times, while all of these wait, and checks that few of them are answered first. The median counts:
    /// other things may hold a call up as well.
    async fn lets_by(&self, name: &str, call: impl AsyncFn()) {
        let all_wait = async {
            while self.count() < CROWD {
                self.answers.more.notified().await;
            }
        };
        within("answers to a crowd", all_wait).await;
        let mut first = Vec::new();
        for _ in 0..11 {
            let before = self.count();
            call().await;
            first.push(self.count() - before);
        }
        first.sort_unstable();
        let middle = first[first.len() / 2];
        let told = format!("{middle} of {CROWD} others were answered first");
        report(&format!("{name} beside a crowd"), &told);
        assert!(middle < CROWD / 8, "{name}: {told}");
    }
}

async fn one_who_writes_much_delays_nobody_elses_writes(database: Database) {
    let app = TestApp::start(&database).await;
    let (greedy, user) = (app.user().await, app.user().await);
    let room = user.create_room_with("").await;
    let member = user.join(&room).await;
    let crowd = Crowd::of(&greedy, &CreateChatRoomRequest::default());
    crowd.lets_by("a message", async || drop(member.say("hello").await)).await;
    crowd.lets_by("a room", async || drop(user.create_room_with("").await)).await;
    crowd.lets_by("an entrance", async || drop(user.join(&room).await)).await;
}

/// Has a user own many rooms, so that listing them is work.
async fn owns_many(app: &TestApp, database: &Database, user: &User) {
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

async fn one_who_reads_much_delays_nobody_elses_reads(database: Database) {
    let app = TestApp::start(&database).await;
    let (greedy, user) = (app.user().await, app.user().await);
    owns_many(&app, &database, &greedy).await;
    let member = user.join(&user.create_room_with("").await).await;
    let crowd = Crowd::of(&greedy, &ListChatRoomsRequest { page_size: 200, ..Default::default() });
    crowd.lets_by("a page", async || drop(member.call(ListMessagesRequest::default()).await.unwrap())).await;
    crowd.lets_by("rooms", async || drop(user.call(ListChatRoomsRequest::default()).await.unwrap())).await;
}

async fn messages_wait_for_no_other_calls_of_their_user(database: Database) {
    let app = TestApp::with(&database, &[("CALLS_PER_USER", "1")]).await;
    let user = app.user().await;
    let member = user.join(&user.create_room_with("").await).await;
    member.say("hello").await;
    // An answer that lies unread is a call under way, and the next call waits.
    let mut unread = Unread::on(app.address()).await;
    let answer = unread.ask(&member, &ListMessagesRequest::default()).await;
    let answer = within("a head", answer).await.unwrap();
    let waiting = user.elsewhere();
    let mut waiting = Box::pin(waiting.call(ListChatRoomsRequest::default()));
    assert!((&mut waiting).now_or_never().is_none());
    for dialect in Dialect::ALL {
        let message = SendMessageRequest { body: "hello".to_owned(), ..Default::default() };
        member.speaking(dialect).call(message).await.unwrap();
    }
    assert!((&mut waiting).now_or_never().is_none(), "it was answered before what was read is read");
    drop(answer);
    waiting.await.unwrap();
}

async fn forms_that_never_come_keep_nobody_at_their_address_from_the_page(database: Database) {
    let app = TestApp::with(&database, &[("ANONYMOUS_CALLS", "1")]).await;
    let mut unread = Unread::on(app.address()).await;
    let mut forms: Vec<_> = Vec::new();
    for _ in 0..20 {
        forms.push(unread.post("/login", &[]).await);
    }
    // They are under way, or wait for one another.
    let mut connection = Connection::open(app.address(), Version::H2).await;
    for path in ["/livez", "/", "/app.js", "/openapi.json"] {
        assert_eq!(connection.send(request("GET", path, &[], "")).await.status, 200, "{path}");
    }
    for (answer, _) in &mut forms {
        assert!(answer.now_or_never().is_none(), "a form was answered that had not come");
    }
}
