//! Subscribe: new messages, and earlier ones from any point on, without a gap, in every dialect.

use grpcchatter_proto::v1::{
    Message, ResumePoint, Subscribed, subscribe_request::Start, subscribe_response::Event,
};
use tonic::Code;

use crate::harness::{Database, Dialect, Member, Refused as _, Subscription, TestApp, on_each_database};

on_each_database! {
    the_first_event_is_subscribed_then_presence,
    messages_are_delivered_in_order,
    a_subscription_gets_the_messages_of_its_own_user,
    without_a_start_only_new_messages_are_delivered,
    a_start_with_last_delivers_the_newest_messages_first,
    a_start_after_a_message_resumes_without_a_gap,
    a_resume_across_many_pages_has_no_gap,
    an_unknown_resume_point_is_a_reset,
    numbers_out_of_range_are_refused,
    many_streams_get_the_same_messages,
    messages_of_other_rooms_are_not_delivered,
}

async fn member(app: &TestApp) -> Member {
    let user = app.user().await;
    user.join(&user.create_room().await).await
}

fn after(message: &Message) -> Option<Start> {
    Some(Start::After(ResumePoint { seq: message.seq, message_id: message.message_id.clone() }))
}

async fn subscribed(subscription: &mut Subscription) -> Subscribed {
    let Event::Subscribed(subscribed) = subscription.next().await else { panic!("not subscribed first") };
    subscribed
}

/// Returns the seqs of the messages before the `caught_up` event.
async fn caught_up(subscription: &mut Subscription) -> Vec<i64> {
    let mut seqs = Vec::new();
    loop {
        match subscription.next().await {
            Event::Message(message) => seqs.push(message.seq),
            Event::CaughtUp(caught_up) => {
                assert!(seqs.last().is_none_or(|last| *last == caught_up.last_seq), "{seqs:?} {caught_up:?}");
                return seqs;
            }
            _ => {}
        }
    }
}

async fn the_first_event_is_subscribed_then_presence(database: Database) {
    let app = TestApp::start(&database).await;
    let member = member(&app).await;
    for dialect in Dialect::ALL {
        let mut subscription = member.with_dialect(dialect).subscribe(None).await.unwrap();
        let room = subscribed(&mut subscription).await.room.unwrap();
        assert_eq!(
            (room.short_code, room.room_name),
            (member.room.short_code.clone(), member.room.name.clone())
        );
        let Event::Presence(presence) = subscription.next().await else { panic!("no presence") };
        assert_eq!((presence.user_count, &presence.users[0].user_name), (1, &member.name));
        assert_eq!(caught_up(&mut subscription).await, [0; 0]);
    }
}

async fn messages_are_delivered_in_order(database: Database) {
    let app = TestApp::start(&database).await;
    let member = member(&app).await;
    let mut streams = Vec::new();
    for dialect in Dialect::ALL {
        streams.push(member.with_dialect(dialect).subscribe(None).await.unwrap());
    }
    let mut said = Vec::new();
    for number in 0..50 {
        said.push(member.say_as(&format!("id {number}"), &format!("message {number}")).await);
    }
    for stream in &mut streams {
        for message in &said {
            assert_eq!(stream.message().await, *message);
        }
    }
}

async fn a_subscription_gets_the_messages_of_its_own_user(database: Database) {
    let app = TestApp::start(&database).await;
    let member = member(&app).await;
    let mut subscription = member.subscribe(None).await.unwrap();
    let chat = member.chat().await.unwrap();
    chat.say("from my other device").await;
    assert_eq!(subscription.message().await.body, "from my other device");
}

async fn without_a_start_only_new_messages_are_delivered(database: Database) {
    let app = TestApp::start(&database).await;
    let member = member(&app).await;
    member.say("before").await;
    let mut subscription = member.subscribe(None).await.unwrap();
    assert_eq!(caught_up(&mut subscription).await, [0; 0]);
    member.say("after").await;
    assert_eq!(subscription.message().await.body, "after");
}

async fn a_start_with_last_delivers_the_newest_messages_first(database: Database) {
    let app = TestApp::start(&database).await;
    let member = member(&app).await;
    for number in 0..250 {
        member.say(&number.to_string()).await;
    }
    for (last, first_seq) in [(0, None), (1, Some(250)), (10, Some(241)), (200, Some(51)), (1_000, Some(51))]
    {
        let mut subscription = member.subscribe(Some(Start::Last(last))).await.unwrap();
        let seqs = caught_up(&mut subscription).await;
        assert_eq!(seqs, first_seq.map_or(vec![], |first| (first..=250).collect()), "the last {last}");
    }
}

async fn a_start_after_a_message_resumes_without_a_gap(database: Database) {
    let app = TestApp::start(&database).await;
    let member = member(&app).await;
    let first = member.say("1").await;
    for number in 2..=20 {
        member.say(&number.to_string()).await;
    }
    for dialect in Dialect::ALL {
        let mut subscription = member.with_dialect(dialect).subscribe(after(&first)).await.unwrap();
        assert!(!subscribed(&mut subscription).await.reset);
        assert_eq!(caught_up(&mut subscription).await, (2..=20).collect::<Vec<_>>());
    }
    // A client without any message gets the log from its beginning.
    let nothing = Start::After(ResumePoint { seq: 0, message_id: String::new() });
    let mut subscription = member.subscribe(Some(nothing)).await.unwrap();
    assert_eq!(caught_up(&mut subscription).await, (1..=20).collect::<Vec<_>>());
}

/// More messages than memory keeps: the rest comes from the database, while more are sent.
async fn a_resume_across_many_pages_has_no_gap(database: Database) {
    let app = TestApp::with(&database, &[("MAX_MESSAGE_QUEUE_SIZE", "16")]).await;
    let member = member(&app).await;
    let mut chat = member.chat().await.unwrap();
    let first = member.say("1").await;
    assert_eq!(chat.next().await.seq, 1);
    for number in 2..=1000 {
        chat.say_as(&number.to_string(), &number.to_string()).await;
        assert_eq!(chat.next().await.seq, number);
    }
    let mut subscription = member.subscribe(after(&first)).await.unwrap();
    for number in 1001..=1100 {
        chat.say_as(&number.to_string(), &number.to_string()).await;
        assert_eq!(chat.next().await.seq, number);
    }
    for seq in 2..=1100 {
        let message = subscription.message().await;
        assert_eq!((message.seq, message.body), (seq, seq.to_string()));
    }
}

async fn an_unknown_resume_point_is_a_reset(database: Database) {
    let app = TestApp::start(&database).await;
    let member = member(&app).await;
    let said = member.say("one").await;
    let unknown = "0199aaaa-0000-7000-8000-000000000000".to_owned();
    let wrong = [
        ResumePoint { seq: 2, message_id: said.message_id.clone() },
        ResumePoint { seq: 1, message_id: unknown.clone() },
        ResumePoint { seq: 0, message_id: unknown },
        ResumePoint { seq: i64::MAX, message_id: said.message_id.clone() },
    ];
    for point in wrong {
        for dialect in Dialect::ALL {
            let start = Some(Start::After(point.clone()));
            let mut subscription = member.with_dialect(dialect).subscribe(start).await.unwrap();
            assert!(subscribed(&mut subscription).await.reset, "{point:?}");
            assert_eq!(caught_up(&mut subscription).await, [0; 0], "only new messages follow");
            let next = member.say("from now on").await;
            assert_eq!(subscription.message().await, next);
        }
    }
}

async fn numbers_out_of_range_are_refused(database: Database) {
    let app = TestApp::start(&database).await;
    let member = member(&app).await;
    for dialect in Dialect::ALL {
        let nonsense = ResumePoint { seq: 1, message_id: "nonsense".to_owned() };
        let negative = ResumePoint { seq: -1, message_id: String::new() };
        for start in [Start::Last(-1), Start::After(nonsense), Start::After(negative)] {
            let outcome = member.with_dialect(dialect).subscribe(Some(start)).await;
            outcome.refused(Code::InvalidArgument, "INVALID_FIELD");
        }
    }
}

async fn many_streams_get_the_same_messages(database: Database) {
    let app = TestApp::with(&database, &[("STREAMS_PER_USER", "0")]).await;
    let member = member(&app).await;
    let mut streams = Vec::new();
    for _ in 0..100 {
        streams.push(member.subscribe(None).await.unwrap());
    }
    let mut chat = member.chat().await.unwrap();
    for number in 1..=100 {
        chat.say_as(&number.to_string(), &number.to_string()).await;
        chat.next().await;
    }
    for stream in &mut streams {
        for seq in 1..=100 {
            assert_eq!(stream.message().await.seq, seq);
        }
    }
}

async fn messages_of_other_rooms_are_not_delivered(database: Database) {
    let app = TestApp::start(&database).await;
    let (here, there) = (member(&app).await, member(&app).await);
    let mut subscription = here.subscribe(None).await.unwrap();
    there.say("there").await;
    here.say("here").await;
    assert_eq!(subscription.message().await.body, "here");
}
