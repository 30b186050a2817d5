//! Each invariant, broken by a history of a few lines.

use super::*;

fn entry(seq: i64, id: &str) -> Entry {
    Entry { seq, message_id: format!("m-{id}"), id: id.to_owned(), body: format!("body of {id}") }
}

fn log(ids: &[&str]) -> Vec<Entry> {
    ids.iter().zip(1..).map(|(id, seq)| entry(seq, id)).collect()
}

fn sent(id: &str) -> Event {
    Event::Sent { room: 0, id: id.to_owned(), body: format!("body of {id}"), chat: None }
}

fn said(id: &str, chat: usize) -> Event {
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

/// What a history breaks, without what follows from the reader's not being at the end.
fn broken(events: Vec<Event>, log: Vec<Entry>) -> Vec<Invariant> {
    let found = check(&History { events, logs: vec![log], firsts: Vec::new() });
    let mut broken: Vec<Invariant> = found.into_iter().map(|violation| violation.invariant).collect();
    broken.sort_unstable();
    broken.dedup();
    broken
}

fn reading(start: Start, told: &[Event]) -> Vec<Event> {
    [three(), vec![opened(start)], told.to_vec()].concat()
}

const NOTHING: &[Invariant] = &[];

#[test]
fn a_history_that_keeps_the_promise_is_not_blamed() {
    let told = [
        received(1, "a"),
        received(2, "b"),
        // It comes back, and goes on where it was.
        opened(after(2, "b")),
        received(3, "c"),
        // And once more, behind a message that never was.
        opened(Start::Reset { seq: 9, message_id: "m-x".to_owned(), last_seq: Some(3) }),
    ];
    assert_eq!(broken(reading(Start::Now(Some(0)), &told), log(&["a", "b", "c"])), NOTHING);
}

#[test]
fn an_acknowledged_message_that_is_not_in_the_log_is_lost() {
    assert_eq!(broken(three(), log(&["a", "b"])), [Invariant::I1]);
}

#[test]
fn an_acknowledged_message_at_another_place_is_reported() {
    let events = vec![sent("a"), sent("b"), acknowledged("a", 2), acknowledged("b", 1)];
    assert_eq!(broken(events, log(&["a", "b"])), [Invariant::I1]);
}

#[test]
fn another_body_than_was_sent_is_reported() {
    let mut log = log(&["a", "b", "c"]);
    log[1].body = "body of a".to_owned();
    assert_eq!(broken(three(), log), [Invariant::I1]);
}

#[test]
fn a_message_that_is_in_the_log_twice_is_reported() {
    assert_eq!(broken(three(), log(&["a", "b", "c", "b"])), [Invariant::I2]);
}

#[test]
fn a_stream_that_tells_a_message_twice_is_reported() {
    let told = [received(1, "a"), received(1, "a"), received(2, "b"), received(3, "c")];
    assert_eq!(broken(reading(Start::Now(Some(0)), &told), log(&["a", "b", "c"])), [Invariant::I2]);
    let told =
        [received(1, "a"), received(2, "b"), opened(after(1, "a")), received(2, "b"), received(3, "c")];
    // Whoever asks for it again is told it again.
    assert_eq!(broken(reading(Start::Now(Some(0)), &told), log(&["a", "b", "c"])), NOTHING);
}

#[test]
fn the_answer_to_a_repeated_id_is_no_repeat() {
    let chat = |author: Option<&str>| {
        let start = after(2, "b");
        vec![Event::Opened { reader: 7, room: 0, start, author: author.map(str::to_owned) }]
    };
    let answer = vec![said("a", 1), received(1, "a"), echoed("a", 1, 1), received(3, "c")];
    let history = |author| [three(), chat(author), answer.clone()].concat();
    assert_eq!(broken(history(Some("a")), log(&["a", "b", "c"])), NOTHING);
    assert_eq!(broken(history(None), log(&["a", "b", "c"])), [Invariant::I2]);
}

#[test]
fn an_answer_beside_the_log_does_not_say_where_a_stream_begins() {
    let start = || Start::Reset { seq: 9, message_id: "m-x".to_owned(), last_seq: None };
    let chat = |author: &str| {
        vec![Event::Opened { reader: 7, room: 0, start: start(), author: Some(author.to_owned()) }]
    };
    let answers = [said("a", 1), received(1, "a"), echoed("a", 1, 1), said("a", 1), received(1, "a")];
    let history = |author| [three(), chat(author), answers.to_vec(), vec![received(3, "c")]].concat();
    assert_eq!(broken(history("a"), log(&["a", "b", "c"])), NOTHING);
    assert_eq!(broken(history("b"), log(&["a", "b", "c"])), [Invariant::I2, Invariant::I3]);
}

#[test]
fn a_gap_is_reported_in_a_stream_and_in_the_log() {
    let told = [received(1, "a"), received(3, "c")];
    assert_eq!(broken(reading(Start::Now(Some(0)), &told), log(&["a", "b", "c"])), [Invariant::I3]);
    let told = [received(1, "a"), opened(after(1, "a")), received(3, "c")];
    assert_eq!(broken(reading(Start::Now(Some(0)), &told), log(&["a", "b", "c"])), [Invariant::I3]);
    let events = vec![sent("a"), acknowledged("a", 2)];
    assert_eq!(broken(events, vec![entry(2, "a")]), [Invariant::I3]);
}

#[test]
fn streams_that_disagree_with_the_log_are_reported() {
    let told = [received(1, "a"), received(2, "c"), received(3, "b")];
    assert_eq!(broken(reading(Start::Now(Some(0)), &told), log(&["a", "b", "c"])), [Invariant::I3]);
}

#[test]
fn a_reset_without_reason_is_reported_and_one_that_is_not_told_too() {
    let reset = Start::Reset { seq: 2, message_id: "m-b".to_owned(), last_seq: Some(3) };
    assert_eq!(broken(reading(reset, &[]), log(&["a", "b", "c"])), [Invariant::I3]);
    assert_eq!(broken(reading(after(3, "x"), &[]), log(&["a", "b", "c"])), [Invariant::I3]);
    let told = [Event::LogReset { reader: 7 }];
    assert_eq!(broken(reading(Start::Now(Some(3)), &told), log(&["a", "b", "c"])), [Invariant::I3]);
}

#[test]
fn what_is_sent_after_an_acknowledgement_must_stand_behind_it() {
    let events = vec![sent("a"), acknowledged("a", 2), sent("b"), acknowledged("b", 1)];
    assert_eq!(broken(events, log(&["b", "a"])), [Invariant::I4]);
}

#[test]
fn what_one_author_says_stands_in_the_order_said() {
    let log = || log(&["b", "a"]);
    let events = vec![said("a", 1), said("b", 1), echoed("b", 1, 1), echoed("a", 2, 1)];
    assert_eq!(broken(events, log()), [Invariant::I5]);
    // Whoever was refused, and tried again, comes later.
    let refused = Event::Failed { id: "a".to_owned() };
    let events =
        vec![said("a", 1), said("b", 1), refused, echoed("b", 1, 1), said("a", 1), echoed("a", 2, 1)];
    assert_eq!(broken(events, log()), NOTHING);
    // So does whoever was cut off before the answer.
    let events =
        vec![said("a", 1), said("b", 1), said("a", 2), said("b", 2), echoed("b", 1, 2), echoed("a", 2, 2)];
    assert_eq!(broken(events, log()), NOTHING);
}

#[test]
fn what_nobody_sent_must_not_be_in_the_log() {
    assert_eq!(broken(three(), log(&["a", "b", "c", "d"])), [Invariant::I6]);
    let mut nameless = log(&["a", "b", "c", "c"]);
    nameless[3].id = String::new();
    assert_eq!(broken(three(), nameless), [Invariant::I6]);
}

#[test]
fn a_reader_that_has_not_seen_the_newest_is_reported_unless_it_left() {
    let told = [received(1, "a"), received(2, "b")];
    assert_eq!(broken(reading(Start::Now(Some(0)), &told), log(&["a", "b", "c"])), [Invariant::I7]);
    let left = [told.to_vec(), vec![Event::Left { reader: 7 }]].concat();
    assert_eq!(broken(reading(Start::Now(Some(0)), &left), log(&["a", "b", "c"])), NOTHING);
}

#[test]
fn a_message_that_is_never_answered_is_reported() {
    assert_eq!(broken(vec![sent("a")], log(&["a"])), [Invariant::I7]);
}

#[test]
fn a_retry_that_is_answered_with_another_place_is_reported() {
    let again = [three(), vec![sent("b"), acknowledged("b", 3)]].concat();
    assert_eq!(broken(again, log(&["a", "b", "c"])), [Invariant::I8]);
}

#[test]
fn what_retention_has_removed_is_neither_lost_nor_a_gap() {
    let kept = |events: Vec<Event>, log: Vec<Entry>, first| {
        let found = check(&History { events, logs: vec![log], firsts: vec![first] });
        found.into_iter().map(|violation| violation.invariant).collect::<Vec<_>>()
    };
    let told = [received(1, "a"), received(2, "b"), received(3, "c")];
    let reading = reading(after(0, ""), &told);
    assert_eq!(kept(reading, log(&["a", "b", "c"])[1..].to_vec(), 2), NOTHING);
    assert_eq!(kept(three(), vec![], 4), NOTHING);
    // From the middle nothing may be removed.
    assert_eq!(kept(three(), vec![entry(3, "c")], 2), [Invariant::I3, Invariant::I1]);
    // A message that is gone is a new one when it is sent again, and one that is kept is not.
    let again = |id| [three(), vec![sent(id), acknowledged(id, 4)]].concat();
    let with_a = [log(&["a", "b", "c"])[1..].to_vec(), vec![entry(4, "a")]].concat();
    assert_eq!(kept(again("a"), with_a.clone(), 2), NOTHING);
    assert!(kept(again("b"), with_a, 2).contains(&Invariant::I8));
}
