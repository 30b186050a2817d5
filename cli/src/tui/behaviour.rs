//! What news and keys make of the screen.

use std::time::Duration;

use crossterm::event::KeyCode;
use grpcchatter_client::{CloseReason, Event};

use super::{
    app::{App, End, Notice},
    news::{Cure, Effect, News},
    question::Question,
    room::Link,
    scene::{
        MOUNTAINS, came, happen, look, mountains, not_entered, page, people, press, room, said, screen,
        talking, type_in,
    },
};

/// Somebody in a room whose log was read from `first` to `last`, a line a message.
fn reading(first: i64, last: i64) -> App {
    let mut app = talking();
    happen(&mut app, MOUNTAINS, Event::Reset { last_seq: first - 1 });
    for seq in first..=last {
        happen(&mut app, MOUNTAINS, said(seq, "maria22", &format!("number {seq}")));
    }
    app
}

/// Scrolls up until the screen asks for something.
fn scroll_to_the_top(app: &mut App) -> Vec<Effect> {
    for _ in 0..20 {
        press(app, KeyCode::PageUp);
        let (_, effects) = look(app, 80, 24);
        if !effects.is_empty() {
            return effects;
        }
    }
    Vec::new()
}

#[test]
fn history_is_asked_for_by_scrolling_alone() {
    let mut app = reading(101, 200);
    for _ in 0..3 {
        assert_eq!(look(&mut app, 80, 24).1, []);
    }
    for columns in [80, 40] {
        assert_eq!(look(&mut app, columns, 24).1, []);
    }
    assert_eq!(scroll_to_the_top(&mut app), [Effect::Older { code: mountains(), before: 101 }]);
}

#[test]
fn a_screen_that_is_not_full_asks_for_more_once() {
    let mut app = reading(60, 64);
    assert_eq!(look(&mut app, 80, 24).1, [Effect::Older { code: mountains(), before: 60 }]);
    assert_eq!(look(&mut app, 80, 24).1, [], "once");
}

#[test]
fn scrolling_to_the_top_asks_for_what_is_older() {
    let mut app = reading(60, 99);
    assert_eq!(scroll_to_the_top(&mut app), [Effect::Older { code: mountains(), before: 60 }]);
    assert_eq!(app.top_seen(), [], "once");
    app.news(News::Older { code: mountains(), entry: 1, page: page(40..60, true) });
    assert_eq!(app.rooms[0].oldest(), Some(40));
    press(&mut app, KeyCode::Esc);
    assert!(screen(&mut app, 80, 24).contains("number 99"));
}

#[test]
fn history_that_did_not_come_is_asked_for_again_by_scrolling_on() {
    let mut app = reading(60, 99);
    let asked = scroll_to_the_top(&mut app);
    assert_eq!(asked.len(), 1);
    app.news(News::NotOlder { code: mountains(), why: "the server did not answer in time".to_owned() });
    assert_eq!(look(&mut app, 80, 24).1, [], "not by itself, for ever");
    press(&mut app, KeyCode::PageUp);
    assert_eq!(look(&mut app, 80, 24).1, asked);
}

#[test]
fn what_is_read_stays_where_it_is_while_others_talk() {
    let mut app = reading(60, 99);
    press(&mut app, KeyCode::PageUp);
    let log = |app: &mut App| look(app, 80, 24).0;
    let before = log(&mut app);
    for seq in 100..103 {
        happen(&mut app, MOUNTAINS, said(seq, "maria22", "one line\nand another"));
    }
    assert_eq!(log(&mut app), before);
    press(&mut app, KeyCode::Esc);
    assert!(log(&mut app).contains("and another"));
}

#[test]
fn the_next_room_with_news_is_a_tab_away() {
    let mut app = talking();
    assert_eq!(app.rooms[1].unread, 1);
    press(&mut app, KeyCode::Tab);
    assert_eq!((app.current, app.rooms[1].unread), (1, 0));
}

#[test]
fn deleting_needs_the_code() {
    let mut app = talking();
    type_in(&mut app, "/delete");
    assert_eq!(type_in(&mut app, "yes"), []);
    type_in(&mut app, "/delete");
    assert_eq!(type_in(&mut app, MOUNTAINS), [Effect::Delete { code: mountains() }]);
    app.news(News::Gone { code: mountains() });
    assert_eq!(app.room().map(|room| room.info.name.as_str()), Some("Kitchen"));
}

#[test]
fn two_slashes_say_one() {
    let mut app = talking();
    let effects = type_in(&mut app, "//usr/bin");
    assert!(matches!(&effects[..], [Effect::Send { body, .. }] if body == "/usr/bin"));
}

#[test]
fn a_room_that_could_not_be_entered_is_tried_again_when_looked_at() {
    let mut app = talking();
    not_entered(&mut app, MOUNTAINS, Cure::Look);
    assert_eq!(app.notice, Some(Notice::Failed("it was refused".to_owned())));
    press(&mut app, KeyCode::Tab);
    assert_eq!(press(&mut app, KeyCode::Tab), [Effect::Enter { code: mountains(), password: String::new() }]);
}

#[test]
fn a_room_that_one_was_put_out_of_is_not_entered_by_looking_at_it() {
    let mut app = talking();
    happen(&mut app, MOUNTAINS, Event::Closed(CloseReason::Removed));
    press(&mut app, KeyCode::Tab);
    assert_eq!(press(&mut app, KeyCode::Tab), []);
    assert_eq!(
        type_in(&mut app, "/join aB3xYz"),
        [Effect::Enter { code: mountains(), password: String::new() }]
    );
    assert_eq!(type_in(&mut app, "/leave"), []);
    assert_eq!(app.rooms.len(), 1, "it is taken off the screen");
}

#[test]
fn a_room_that_is_not_entered_cannot_be_left_and_says_so() {
    let mut app = talking();
    not_entered(&mut app, MOUNTAINS, Cure::Look);
    assert_eq!(type_in(&mut app, "/leave"), []);
    let why = "this room is not entered yet, so it cannot be left".to_owned();
    assert_eq!((&app.notice, app.rooms.len()), (&Some(Notice::Failed(why)), 2));
}

#[test]
fn a_password_is_asked_for_where_one_looks_and_nothing_is_typed() {
    let mut app = talking();
    app.paste("half a sen");
    assert_eq!(not_entered(&mut app, "Qq7rS2", Cure::Password { wrong: false }), []);
    assert_eq!((&app.question, app.input.text().as_str()), (&None, "half a sen"));
    assert_eq!(not_entered(&mut app, MOUNTAINS, Cure::Password { wrong: false }), []);
    assert_eq!((&app.question, app.input.text().as_str()), (&None, "half a sen"));
    app.input.set("");
    press(&mut app, KeyCode::Tab);
    assert_eq!(app.question, Some(Question::Password { code: "Qq7rS2".to_owned(), wrong: false }));
    let entered = Effect::Enter { code: "Qq7rS2".to_owned(), password: "edelweiss".to_owned() };
    assert_eq!(type_in(&mut app, "edelweiss"), [entered]);
}

#[test]
fn joining_a_room_that_one_is_in_shows_it() {
    let mut app = talking();
    press(&mut app, KeyCode::Tab);
    assert_eq!(type_in(&mut app, "/join aB3xYz"), []);
    assert_eq!((app.current, &app.rooms[0].link), (0, &Link::Live));
}

#[test]
fn what_an_earlier_entry_tells_is_not_believed() {
    let mut app = talking();
    app.news(News::Entered { info: room(MOUNTAINS, "Mountains"), entry: 3 });
    let late = Event::Closed(CloseReason::Disconnected);
    app.news(News::Happened { code: mountains(), entry: 1, event: late });
    app.news(News::Older { code: mountains(), entry: 1, page: page(1..9, true) });
    assert_eq!((&app.rooms[0].link, app.rooms[0].oldest()), (&Link::Connecting, None));
}

#[test]
fn a_message_is_shown_once() {
    let mut app = talking();
    let before = app.rooms[0].entries.len();
    happen(&mut app, MOUNTAINS, said(2, "walker1", "again"));
    assert_eq!(app.rooms[0].entries.len(), before);
}

#[test]
fn what_is_stored_is_pending_until_the_log_shows_it() {
    let mut app = talking();
    let mut send = || match &type_in(&mut app, "On my way")[..] {
        [Effect::Send { id, .. }] => id.clone(),
        other => panic!("{other:?}"),
    };
    let (first, second, third) = (send(), send(), send());
    for (id, seq) in [(first, 41), (second, 42), (third, 43)] {
        app.news(News::Sent { code: mountains(), id, seq });
    }
    assert_eq!(app.rooms[0].pending.len(), 3);
    happen(&mut app, MOUNTAINS, said(41, "walker1", "On my way"));
    assert_eq!(app.rooms[0].pending.len(), 2);
    happen(&mut app, MOUNTAINS, Event::Reset { last_seq: 42 });
    assert_eq!(app.rooms[0].pending.len(), 1, "the stream goes on behind it");
    happen(&mut app, MOUNTAINS, Event::Closed(CloseReason::Removed));
    assert!(app.rooms[0].pending.is_empty());
}

#[test]
fn a_list_that_comes_late_keeps_the_rooms_that_were_entered() {
    let mut app = talking();
    let effects = app.news(News::Rooms(vec![room("Zz9zZ9", "Cellar"), room(MOUNTAINS, "Mountains")]));
    assert_eq!(effects, [Effect::Enter { code: "Zz9zZ9".to_owned(), password: String::new() }]);
    assert_eq!((app.rooms.len(), &app.rooms[0].link), (3, &Link::Live));
}

#[test]
fn nobody_came_who_was_here_before_the_connection_was_lost() {
    let mut app = talking();
    let before = app.rooms[0].entries.len();
    let cause = grpcchatter_client::Error::TimedOut;
    happen(&mut app, MOUNTAINS, Event::Reconnecting { delay: Duration::from_secs(1), cause });
    happen(&mut app, MOUNTAINS, Event::Resumed);
    happen(&mut app, MOUNTAINS, people(&["walker1"]));
    happen(&mut app, MOUNTAINS, came("maria22"));
    app.news(News::Settled { code: mountains(), entry: 1 });
    assert_eq!(app.rooms[0].entries.len(), before);
    happen(&mut app, MOUNTAINS, Event::Left("maria22".to_owned()));
    happen(&mut app, MOUNTAINS, came("maria22"));
    assert_eq!(app.rooms[0].entries.len(), before + 2, "they did leave");
}

#[test]
fn what_is_new_has_a_line_above_it_until_one_answers() {
    let shows = |app: &mut App| screen(app, 80, 24).contains("── new ──");
    let mut app = talking();
    assert!(!shows(&mut app));
    press(&mut app, KeyCode::Tab);
    happen(&mut app, MOUNTAINS, said(41, "maria22", "are you there?"));
    press(&mut app, KeyCode::Tab);
    assert!(shows(&mut app));
    type_in(&mut app, "yes");
    assert!(!shows(&mut app));
    app.watch(false);
    happen(&mut app, MOUNTAINS, said(42, "maria22", "good"));
    assert_eq!(app.rooms[0].unread, 1, "nobody has seen it");
    app.watch(true);
    assert!(shows(&mut app));
    assert_eq!(app.rooms[0].unread, 0);
}

#[test]
fn what_was_said_since_the_last_time_is_new() {
    let mut app = App::new("walker1".to_owned(), "http://localhost:8080".to_owned());
    app.remembered.insert(mountains(), 2);
    app.news(News::Rooms(vec![room("Qq7rS2", "Kitchen"), room(MOUNTAINS, "Mountains")]));
    app.news(News::Entered { info: room(MOUNTAINS, "Mountains"), entry: 1 });
    for seq in 1..=4 {
        happen(&mut app, MOUNTAINS, said(seq, "maria22", "hello"));
    }
    happen(&mut app, MOUNTAINS, Event::CaughtUp { last_seq: 4 });
    assert_eq!(app.rooms[1].unread, 2);
    assert_eq!(app.read().collect::<Vec<_>>(), [(mountains(), 2)]);
    press(&mut app, KeyCode::Tab);
    assert!(screen(&mut app, 80, 24).contains("── new ──"));
    assert_eq!(app.read().collect::<Vec<_>>(), [(mountains(), 4)]);
}

#[test]
fn a_session_that_has_ended_leaves_what_was_typed() {
    let mut app = talking();
    app.paste("half a sen");
    app.news(News::LoggedOut);
    assert_eq!((app.end, app.input.text().as_str()), (None, "half a sen"));
    assert!(screen(&mut app, 80, 24).contains("the session has ended: /login"));
    app.input.set("");
    type_in(&mut app, "/login");
    assert_eq!(app.end, Some(End::LogIn));
    let mut app = App::new("walker1".to_owned(), "http://localhost:8080".to_owned());
    app.news(News::LoggedOut);
    assert_eq!(app.end, Some(End::SessionOver), "there is nothing to lose");
}
