//! Each invariant is violated by a history of a few lines.

use super::*;
use crate::history::Start;

fn entry(seq: i64, id: &str) -> Entry {
    Entry { seq, message_id: format!("m-{id}"), id: id.to_owned(), body: format!("body of {id}") }
}

fn log(ids: &[&str]) -> Vec<Entry> {
    ids.iter().zip(1..).map(|(id, seq)| entry(seq, id)).collect()
}

fn sent(id: &str) -> Event {
    Event::Sent { room: 0, id: id.to_owned(), body: format!("body of {id}"), chat: None }
}

fn sent_on(id: &str, chat: usize) -> Event {
    Event::Sent { room: 0, id: id.to_owned(), body: format!("body of {id}"), chat: Some(chat) }
}

fn acknowledged(id: &str, seq: i64) -> Event {
    Event::Acknowledged { id: id.to_owned(), seq, chat: None }
}

fn echoed(id: &str, seq: i64, chat: usize) -> Event {
    Event::Acknowledged { id: id.to_owned(), seq, chat: Some(chat) }
}

fn opened(start: Start) -> Event {
    Event::Opened { reader: 7, room: 0, start, author: None }
}

fn received(seq: i64, id: &str) -> Event {
    Event::Received { reader: 7, message: entry(seq, id) }
}

fn after(seq: i64, id: &str) -> Start {
    Start::After { seq, message_id: format!("m-{id}") }
}

/// Three messages, sent one after the other.
fn three() -> Vec<Event> {
    let ids = ["a", "b", "c"];
    ids.iter().zip(1..).flat_map(|(id, seq)| [sent(id), acknowledged(id, seq)]).collect()
}

/// Returns the invariants that a history violates.
fn violated(events: Vec<Event>, log: Vec<Entry>) -> Vec<Invariant> {
    let found = check(&History { events, logs: vec![log], firsts: Vec::new() });
    let mut violated: Vec<Invariant> = found.into_iter().map(|violation| violation.invariant).collect();
    violated.sort_unstable();
    violated.dedup();
    violated
}

fn reading(start: Start, stream: &[Event]) -> Vec<Event> {
    [three(), vec![opened(start)], stream.to_vec()].concat()
}

const NOTHING: &[Invariant] = &[];

#[test]
fn a_history_that_keeps_the_promise_is_not_blamed() {
    let stream = [
        received(1, "a"),
        received(2, "b"),
        // It reconnects, and resumes.
        opened(after(2, "b")),
        received(3, "c"),
        // It reconnects once more, after a message that never was.
        opened(Start::Reset { seq: 9, message_id: "m-x".to_owned(), last_seq: Some(3) }),
    ];
    assert_eq!(violated(reading(Start::Now(Some(0)), &stream), log(&["a", "b", "c"])), NOTHING);
}

#[test]
fn an_acknowledged_message_that_is_not_in_the_log_is_lost() {
    assert_eq!(violated(three(), log(&["a", "b"])), [Invariant::I1]);
}

#[test]
fn an_acknowledged_message_at_another_seq_is_reported() {
    let events = vec![sent("a"), sent("b"), acknowledged("a", 2), acknowledged("b", 1)];
    assert_eq!(violated(events, log(&["a", "b"])), [Invariant::I1]);
}

#[test]
fn another_body_than_was_sent_is_reported() {
    let mut log = log(&["a", "b", "c"]);
    log[1].body = "body of a".to_owned();
    assert_eq!(violated(three(), log), [Invariant::I1]);
}

#[test]
fn a_message_that_is_in_the_log_twice_is_reported() {
    assert_eq!(violated(three(), log(&["a", "b", "c", "b"])), [Invariant::I2]);
}

#[test]
fn a_message_that_a_stream_delivers_twice_is_reported() {
    let stream = [received(1, "a"), received(1, "a"), received(2, "b"), received(3, "c")];
    assert_eq!(violated(reading(Start::Now(Some(0)), &stream), log(&["a", "b", "c"])), [Invariant::I2]);
    let stream =
        [received(1, "a"), received(2, "b"), opened(after(1, "a")), received(2, "b"), received(3, "c")];
    // A reader that resumes before it receives it again.
    assert_eq!(violated(reading(Start::Now(Some(0)), &stream), log(&["a", "b", "c"])), NOTHING);
}

#[test]
fn the_answer_to_a_repeated_id_is_no_repeat() {
    let chat = |author: Option<&str>| {
        let start = after(2, "b");
        vec![Event::Opened { reader: 7, room: 0, start, author: author.map(str::to_owned) }]
    };
    let answer = vec![sent_on("a", 1), received(1, "a"), echoed("a", 1, 1), received(3, "c")];
    let history = |author| [three(), chat(author), answer.clone()].concat();
    assert_eq!(violated(history(Some("a")), log(&["a", "b", "c"])), NOTHING);
    assert_eq!(violated(history(None), log(&["a", "b", "c"])), [Invariant::I2]);
}

#[test]
fn an_answer_to_a_repeated_id_does_not_say_where_a_stream_begins() {
    let start = || Start::Reset { seq: 9, message_id: "m-x".to_owned(), last_seq: None };
    let chat = |author: &str| {
        vec![Event::Opened { reader: 7, room: 0, start: start(), author: Some(author.to_owned()) }]
    };
    let answers = [sent_on("a", 1), received(1, "a"), echoed("a", 1, 1), sent_on("a", 1), received(1, "a")];
    let history = |author| [three(), chat(author), answers.to_vec(), vec![received(3, "c")]].concat();
    assert_eq!(violated(history("a"), log(&["a", "b", "c"])), NOTHING);
    assert_eq!(violated(history("b"), log(&["a", "b", "c"])), [Invariant::I2, Invariant::I3]);
}

#[test]
fn a_gap_is_reported_in_a_stream_and_in_the_log() {
    let stream = [received(1, "a"), received(3, "c")];
    assert_eq!(violated(reading(Start::Now(Some(0)), &stream), log(&["a", "b", "c"])), [Invariant::I3]);
    let stream = [received(1, "a"), opened(after(1, "a")), received(3, "c")];
    assert_eq!(violated(reading(Start::Now(Some(0)), &stream), log(&["a", "b", "c"])), [Invariant::I3]);
    let events = vec![sent("a"), acknowledged("a", 2)];
    assert_eq!(violated(events, vec![entry(2, "a")]), [Invariant::I3]);
}

#[test]
fn streams_that_disagree_with_the_log_are_reported() {
    let stream = [received(1, "a"), received(2, "c"), received(3, "b")];
    assert_eq!(violated(reading(Start::Now(Some(0)), &stream), log(&["a", "b", "c"])), [Invariant::I3]);
}

#[test]
fn a_reset_without_reason_is_reported_and_a_missing_reset_too() {
    let reset = Start::Reset { seq: 2, message_id: "m-b".to_owned(), last_seq: Some(3) };
    assert_eq!(violated(reading(reset, &[]), log(&["a", "b", "c"])), [Invariant::I3]);
    assert_eq!(violated(reading(after(3, "x"), &[]), log(&["a", "b", "c"])), [Invariant::I3]);
    let stream = [Event::LogReset { reader: 7 }];
    assert_eq!(violated(reading(Start::Now(Some(3)), &stream), log(&["a", "b", "c"])), [Invariant::I3]);
}

#[test]
fn a_message_sent_after_an_acknowledgement_must_be_behind_it() {
    let events = vec![sent("a"), acknowledged("a", 2), sent("b"), acknowledged("b", 1)];
    assert_eq!(violated(events, log(&["b", "a"])), [Invariant::I4]);
}

#[test]
fn messages_of_one_author_are_in_the_order_sent() {
    let log = || log(&["b", "a"]);
    let events = vec![sent_on("a", 1), sent_on("b", 1), echoed("b", 1, 1), echoed("a", 2, 1)];
    assert_eq!(violated(events, log()), [Invariant::I5]);
    // A message that was refused and sent again comes later.
    let refused = Event::Failed { id: "a".to_owned() };
    let events = vec![
        sent_on("a", 1),
        sent_on("b", 1),
        refused,
        echoed("b", 1, 1),
        sent_on("a", 1),
        echoed("a", 2, 1),
    ];
    assert_eq!(violated(events, log()), NOTHING);
    // So does one whose stream ended before the answer.
    let events = vec![
        sent_on("a", 1),
        sent_on("b", 1),
        sent_on("a", 2),
        sent_on("b", 2),
        echoed("b", 1, 2),
        echoed("a", 2, 2),
    ];
    assert_eq!(violated(events, log()), NOTHING);
}

#[test]
fn a_message_that_was_never_sent_must_not_be_in_the_log() {
    assert_eq!(violated(three(), log(&["a", "b", "c", "d"])), [Invariant::I6]);
    let mut nameless = log(&["a", "b", "c", "c"]);
    nameless[3].id = String::new();
    assert_eq!(violated(three(), nameless), [Invariant::I6]);
}

#[test]
fn a_reader_that_has_not_seen_the_newest_is_reported_unless_it_left() {
    let stream = [received(1, "a"), received(2, "b")];
    assert_eq!(violated(reading(Start::Now(Some(0)), &stream), log(&["a", "b", "c"])), [Invariant::I7]);
    let left = [stream.to_vec(), vec![Event::Left { reader: 7 }]].concat();
    assert_eq!(violated(reading(Start::Now(Some(0)), &left), log(&["a", "b", "c"])), NOTHING);
}

#[test]
fn a_message_that_is_never_answered_is_reported() {
    assert_eq!(violated(vec![sent("a")], log(&["a"])), [Invariant::I7]);
}

#[test]
fn a_retry_that_is_answered_with_another_seq_is_reported() {
    let again = [three(), vec![sent("b"), acknowledged("b", 3)]].concat();
    assert_eq!(violated(again, log(&["a", "b", "c"])), [Invariant::I8]);
}

#[test]
fn messages_that_retention_removed_are_neither_lost_nor_a_gap() {
    let kept = |events: Vec<Event>, log: Vec<Entry>, first| {
        let found = check(&History { events, logs: vec![log], firsts: vec![first] });
        found.into_iter().map(|violation| violation.invariant).collect::<Vec<_>>()
    };
    let stream = [received(1, "a"), received(2, "b"), received(3, "c")];
    let reading = reading(after(0, ""), &stream);
    assert_eq!(kept(reading, log(&["a", "b", "c"])[1..].to_vec(), 2), NOTHING);
    assert_eq!(kept(three(), vec![], 4), NOTHING);
    // Retention may not remove messages from the middle.
    assert_eq!(kept(three(), vec![entry(3, "c")], 2), [Invariant::I3, Invariant::I1]);
    // A removed message is a new one when it is sent again; a message still in the log is not.
    let again = |id| [three(), vec![sent(id), acknowledged(id, 4)]].concat();
    let with_a = [log(&["a", "b", "c"])[1..].to_vec(), vec![entry(4, "a")]].concat();
    assert_eq!(kept(again("a"), with_a.clone(), 2), NOTHING);
    assert!(kept(again("b"), with_a, 2).contains(&Invariant::I8));
}
