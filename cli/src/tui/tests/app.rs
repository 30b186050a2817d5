//! Tests of updates and keys.

use std::time::Duration;

use crossterm::event::KeyCode;
use grpcchatter_client::{CloseReason, Event};

use super::fixture::{
    MOUNTAINS, came_event, deliver, draw, join_failed, message_event, mountains, page, present, press, room,
    screen, two_rooms, type_in,
};
use crate::tui::{
    app::{App, End, Notice},
    effect::{Effect, Remedy, Update},
    question::Question,
    room::StreamState,
};

/// A room whose log was read from `first` to `last`, one line per message.
fn reading(first: i64, last: i64) -> App {
    let mut app = two_rooms();
    deliver(&mut app, MOUNTAINS, Event::Reset { last_seq: first - 1 });
    for seq in first..=last {
        deliver(&mut app, MOUNTAINS, message_event(seq, "maria22", &format!("number {seq}")));
    }
    app
}

/// Scrolls up until the screen requests something.
fn scroll_to_the_top(app: &mut App) -> Vec<Effect> {
    for _ in 0..20 {
        press(app, KeyCode::PageUp);
        let (_, effects) = draw(app, 80, 24);
        if !effects.is_empty() {
            return effects;
        }
    }
    Vec::new()
}

#[test]
fn older_messages_are_requested_only_by_scrolling() {
    let mut app = reading(101, 200);
    for _ in 0..3 {
        assert_eq!(draw(&mut app, 80, 24).1, []);
    }
    for columns in [80, 40] {
        assert_eq!(draw(&mut app, columns, 24).1, []);
    }
    assert_eq!(scroll_to_the_top(&mut app), [Effect::LoadOlder { code: mountains(), before: 101 }]);
}

#[test]
fn a_screen_that_is_not_full_requests_a_page_once() {
    let mut app = reading(60, 64);
    assert_eq!(draw(&mut app, 80, 24).1, [Effect::LoadOlder { code: mountains(), before: 60 }]);
    assert_eq!(draw(&mut app, 80, 24).1, [], "once");
}

#[test]
fn scrolling_to_the_top_requests_older_messages() {
    let mut app = reading(60, 99);
    assert_eq!(scroll_to_the_top(&mut app), [Effect::LoadOlder { code: mountains(), before: 60 }]);
    assert_eq!(app.top_seen(), [], "once");
    app.update(Update::Older { code: mountains(), generation: 1, page: page(40..60, true) });
    assert_eq!(app.rooms[0].oldest(), Some(40));
    press(&mut app, KeyCode::Esc);
    assert!(screen(&mut app, 80, 24).contains("number 99"));
}

#[test]
fn a_failed_page_is_requested_again_by_scrolling() {
    let mut app = reading(60, 99);
    let asked = scroll_to_the_top(&mut app);
    assert_eq!(asked.len(), 1);
    app.update(Update::OlderFailed {
        code: mountains(),
        why: "the server did not answer in time".to_owned(),
    });
    assert_eq!(draw(&mut app, 80, 24).1, [], "not without scrolling");
    press(&mut app, KeyCode::PageUp);
    assert_eq!(draw(&mut app, 80, 24).1, asked);
}

#[test]
fn the_visible_lines_stay_in_place_while_others_write() {
    let mut app = reading(60, 99);
    press(&mut app, KeyCode::PageUp);
    let log = |app: &mut App| draw(app, 80, 24).0;
    let before = log(&mut app);
    for seq in 100..103 {
        deliver(&mut app, MOUNTAINS, message_event(seq, "maria22", "one line\nand another"));
    }
    assert_eq!(log(&mut app), before);
    press(&mut app, KeyCode::Esc);
    assert!(log(&mut app).contains("and another"));
}

#[test]
fn tab_shows_the_next_room_with_unread_messages() {
    let mut app = two_rooms();
    assert_eq!(app.rooms[1].unread, 1);
    press(&mut app, KeyCode::Tab);
    assert_eq!((app.current, app.rooms[1].unread), (1, 0));
}

#[test]
fn deleting_needs_the_code() {
    let mut app = two_rooms();
    type_in(&mut app, "/delete");
    assert_eq!(type_in(&mut app, "yes"), []);
    type_in(&mut app, "/delete");
    assert_eq!(type_in(&mut app, MOUNTAINS), [Effect::Delete { code: mountains() }]);
    app.update(Update::RoomGone { code: mountains() });
    assert_eq!(app.room().map(|room| room.info.name.as_str()), Some("Kitchen"));
}

#[test]
fn a_doubled_slash_sends_one() {
    let mut app = two_rooms();
    let effects = type_in(&mut app, "//usr/bin");
    assert!(matches!(&effects[..], [Effect::Send { body, .. }] if body == "/usr/bin"));
}

#[test]
fn a_failed_join_is_retried_when_the_room_is_shown() {
    let mut app = two_rooms();
    join_failed(&mut app, MOUNTAINS, Remedy::Show);
    assert_eq!(app.notice, Some(Notice::Error("it was refused".to_owned())));
    press(&mut app, KeyCode::Tab);
    assert_eq!(press(&mut app, KeyCode::Tab), [Effect::Join { code: mountains(), password: String::new() }]);
}

#[test]
fn a_room_after_a_removal_is_not_rejoined_when_shown() {
    let mut app = two_rooms();
    deliver(&mut app, MOUNTAINS, Event::Closed(CloseReason::Removed));
    press(&mut app, KeyCode::Tab);
    assert_eq!(press(&mut app, KeyCode::Tab), []);
    assert_eq!(
        type_in(&mut app, "/join aB3xYz"),
        [Effect::Join { code: mountains(), password: String::new() }]
    );
    assert_eq!(type_in(&mut app, "/leave"), []);
    assert_eq!(app.rooms.len(), 1, "it is taken off the screen");
}

#[test]
fn a_room_that_is_not_joined_cannot_be_left() {
    let mut app = two_rooms();
    join_failed(&mut app, MOUNTAINS, Remedy::Show);
    assert_eq!(type_in(&mut app, "/leave"), []);
    let why = "this room is not joined yet, so it cannot be left".to_owned();
    assert_eq!((&app.notice, app.rooms.len()), (&Some(Notice::Error(why)), 2));
}

#[test]
fn a_password_is_asked_only_in_the_current_room_with_an_empty_input() {
    let mut app = two_rooms();
    app.paste("half a sen");
    assert_eq!(join_failed(&mut app, "Qq7rS2", Remedy::Password { wrong: false }), []);
    assert_eq!((&app.question, app.input.text().as_str()), (&None, "half a sen"));
    assert_eq!(join_failed(&mut app, MOUNTAINS, Remedy::Password { wrong: false }), []);
    assert_eq!((&app.question, app.input.text().as_str()), (&None, "half a sen"));
    app.input.set("");
    press(&mut app, KeyCode::Tab);
    assert_eq!(app.question, Some(Question::Password { code: "Qq7rS2".to_owned(), wrong: false }));
    let entered = Effect::Join { code: "Qq7rS2".to_owned(), password: "edelweiss".to_owned() };
    assert_eq!(type_in(&mut app, "edelweiss"), [entered]);
}

#[test]
fn joining_a_joined_room_shows_it() {
    let mut app = two_rooms();
    press(&mut app, KeyCode::Tab);
    assert_eq!(type_in(&mut app, "/join aB3xYz"), []);
    assert_eq!((app.current, &app.rooms[0].stream), (0, &StreamState::Live));
}

#[test]
fn updates_of_an_earlier_join_are_ignored() {
    let mut app = two_rooms();
    app.update(Update::Joined { info: room(MOUNTAINS, "Mountains"), generation: 3 });
    let late = Event::Closed(CloseReason::Disconnected);
    app.update(Update::RoomEvent { code: mountains(), generation: 1, event: late });
    app.update(Update::Older { code: mountains(), generation: 1, page: page(1..9, true) });
    assert_eq!((&app.rooms[0].stream, app.rooms[0].oldest()), (&StreamState::Connecting, None));
}

#[test]
fn a_message_is_shown_once() {
    let mut app = two_rooms();
    let before = app.rooms[0].entries.len();
    deliver(&mut app, MOUNTAINS, message_event(2, "walker1", "again"));
    assert_eq!(app.rooms[0].entries.len(), before);
}

#[test]
fn a_stored_message_is_pending_until_the_log_shows_it() {
    let mut app = two_rooms();
    let mut send = || match &type_in(&mut app, "On my way")[..] {
        [Effect::Send { id, .. }] => id.clone(),
        other => panic!("{other:?}"),
    };
    let (first, second, third) = (send(), send(), send());
    for (id, seq) in [(first, 41), (second, 42), (third, 43)] {
        app.update(Update::Sent { code: mountains(), id, seq });
    }
    assert_eq!(app.rooms[0].pending.len(), 3);
    deliver(&mut app, MOUNTAINS, message_event(41, "walker1", "On my way"));
    assert_eq!(app.rooms[0].pending.len(), 2);
    deliver(&mut app, MOUNTAINS, Event::Reset { last_seq: 42 });
    assert_eq!(app.rooms[0].pending.len(), 1, "the stream continues after it");
    deliver(&mut app, MOUNTAINS, Event::Closed(CloseReason::Removed));
    assert!(app.rooms[0].pending.is_empty());
}

#[test]
fn a_late_room_list_keeps_joined_rooms() {
    let mut app = two_rooms();
    let effects = app.update(Update::Rooms(vec![room("Zz9zZ9", "Cellar"), room(MOUNTAINS, "Mountains")]));
    assert_eq!(effects, [Effect::Join { code: "Zz9zZ9".to_owned(), password: String::new() }]);
    assert_eq!((app.rooms.len(), &app.rooms[0].stream), (3, &StreamState::Live));
}

#[test]
fn users_present_before_a_lost_connection_are_not_announced() {
    let mut app = two_rooms();
    let before = app.rooms[0].entries.len();
    let cause = grpcchatter_client::Error::TimedOut;
    deliver(&mut app, MOUNTAINS, Event::Reconnecting { delay: Duration::from_secs(1), cause });
    deliver(&mut app, MOUNTAINS, Event::Resumed);
    deliver(&mut app, MOUNTAINS, present(&["walker1"]));
    deliver(&mut app, MOUNTAINS, came_event("maria22"));
    app.update(Update::PresenceSettled { code: mountains(), generation: 1 });
    assert_eq!(app.rooms[0].entries.len(), before);
    deliver(&mut app, MOUNTAINS, Event::Left("maria22".to_owned()));
    deliver(&mut app, MOUNTAINS, came_event("maria22"));
    assert_eq!(app.rooms[0].entries.len(), before + 2, "they left and came back");
}

#[test]
fn new_messages_have_a_line_above_until_an_answer() {
    let shows = |app: &mut App| screen(app, 80, 24).contains("── new ──");
    let mut app = two_rooms();
    assert!(!shows(&mut app));
    press(&mut app, KeyCode::Tab);
    deliver(&mut app, MOUNTAINS, message_event(41, "maria22", "are you there?"));
    press(&mut app, KeyCode::Tab);
    assert!(shows(&mut app));
    type_in(&mut app, "yes");
    assert!(!shows(&mut app));
    app.focus_lost();
    deliver(&mut app, MOUNTAINS, message_event(42, "maria22", "good"));
    assert_eq!(app.rooms[0].unread, 1, "it was not seen");
    app.focus_gained();
    assert!(shows(&mut app));
    assert_eq!(app.rooms[0].unread, 0);
}

#[test]
fn messages_since_the_last_run_are_new() {
    let mut app = App::new("walker1".to_owned(), "http://localhost:8080".to_owned());
    app.read_positions.insert(mountains(), 2);
    app.update(Update::Rooms(vec![room("Qq7rS2", "Kitchen"), room(MOUNTAINS, "Mountains")]));
    app.update(Update::Joined { info: room(MOUNTAINS, "Mountains"), generation: 1 });
    for seq in 1..=4 {
        deliver(&mut app, MOUNTAINS, message_event(seq, "maria22", "hello"));
    }
    deliver(&mut app, MOUNTAINS, Event::CaughtUp { last_seq: 4 });
    assert_eq!(app.rooms[1].unread, 2);
    assert_eq!(app.read_positions().collect::<Vec<_>>(), [(mountains(), 2)]);
    press(&mut app, KeyCode::Tab);
    assert!(screen(&mut app, 80, 24).contains("── new ──"));
    assert_eq!(app.read_positions().collect::<Vec<_>>(), [(mountains(), 4)]);
}

#[test]
fn an_ended_session_keeps_the_typed_text() {
    let mut app = two_rooms();
    app.paste("half a sen");
    app.update(Update::LoggedOut);
    assert_eq!((app.end, app.input.text().as_str()), (None, "half a sen"));
    assert!(screen(&mut app, 80, 24).contains("the session has ended: /login"));
    app.input.set("");
    type_in(&mut app, "/login");
    assert_eq!(app.end, Some(End::LogIn));
    let mut app = App::new("walker1".to_owned(), "http://localhost:8080".to_owned());
    app.update(Update::LoggedOut);
    assert_eq!(app.end, Some(End::SessionOver), "there is nothing to lose");
}
