//! What news and keys make of the screen.

use std::time::Duration;

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use grpcchatter_client::{CloseReason, Event};

use super::{
    app::{App, End, Notice},
    news::{Cure, Effect, News},
    question::Question,
    room::Link,
    scene::{came, happen, look, page, people, press, room, said, screen, talking, type_in},
};

const MOUNTAINS: &str = "aB3xYz";

fn mountains() -> String {
    MOUNTAINS.to_owned()
}

/// Somebody in a room whose log was read from `first` to `last`, a line a message.
fn reading(first: i64, last: i64) -> App {
    let mut app = talking();
    happen(&mut app, MOUNTAINS, Event::Reset { last_seq: first - 1 });
    for seq in first..=last {
        happen(&mut app, MOUNTAINS, said(seq, "maria22", &format!("number {seq}")));
    }
    app
}

fn not_entered(app: &mut App, code: &str, cure: Cure) -> Vec<Effect> {
    app.news(News::NotEntered { code: code.to_owned(), why: "it was refused".to_owned(), cure })
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
fn a_wrong_password_says_so_and_takes_no_command_for_one() {
    let mut app = talking();
    let cellar = "Zz9zZ9".to_owned();
    assert_eq!(
        type_in(&mut app, "/join Zz9zZ9"),
        [Effect::Enter { code: cellar.clone(), password: String::new() }]
    );
    not_entered(&mut app, &cellar, Cure::Password { wrong: false });
    assert!(screen(&mut app, 80, 12).contains("password of Zz9zZ9; Esc gives up"));
    let tried = |password: &str| [Effect::Enter { code: cellar.clone(), password: password.to_owned() }];
    assert_eq!(type_in(&mut app, "wrong"), tried("wrong"));
    not_entered(&mut app, &cellar, Cure::Password { wrong: true });
    assert!(screen(&mut app, 80, 12).contains("wrong password of Zz9zZ9; Esc gives up"));

    assert_eq!(type_in(&mut app, "/users"), [], "it is no password");
    assert!(screen(&mut app, 80, 12).contains("looks like a command"));
    press(&mut app, KeyCode::Esc);
    assert_eq!((&app.question, app.input.is_empty()), (&None, true));
    type_in(&mut app, "/users");
    assert!(screen(&mut app, 80, 24).contains("here: maria22, walker1"));

    not_entered(&mut app, &cellar, Cure::Password { wrong: true });
    assert_eq!(type_in(&mut app, ""), []);
    assert!(app.question.is_some(), "an empty one is none");
    type_in(&mut app, "/users");
    assert_eq!(press(&mut app, KeyCode::Enter), tried("/users"), "whoever means it says it again");
    app.paste("half a sen");
    not_entered(&mut app, &cellar, Cure::Password { wrong: true });
    assert_eq!(
        app.notice,
        Some(Notice::Failed("that was not the password of Zz9zZ9: /join Zz9zZ9".to_owned()))
    );
}

fn said_lines(typed: &str) -> Option<String> {
    let mut app = talking();
    match type_in(&mut app, typed).pop() {
        Some(Effect::Send { body, .. }) => Some(body),
        _ => None,
    }
}

#[test]
fn pasted_lines_are_said_as_they_are() {
    for typed in ["one\rtwo\rthree\r", "one\r\ntwo\r\nthree", "\n\none\ntwo\nthree\n\n"] {
        assert_eq!(said_lines(typed).as_deref(), Some("one\ntwo\nthree"), "{typed:?}");
    }
    assert_eq!(said_lines("  if a {\n\tb\n  }").as_deref(), Some("  if a {\n\tb\n  }"));
    assert_eq!(said_lines("  one  ").as_deref(), Some("one"));
    assert_eq!(said_lines(" \n\t "), None);
}

#[test]
fn an_answer_is_one_line() {
    let mut app = talking();
    type_in(&mut app, "/create Cellar");
    app.paste("Secret-1!\r\n");
    let made = Effect::Create { name: "Cellar".to_owned(), password: "Secret-1!".to_owned() };
    assert_eq!(press(&mut app, KeyCode::Enter), [made]);
}

#[test]
fn a_line_is_broken_where_one_wants_to() {
    let mut app = talking();
    for (text, code, modifier) in
        [("one", KeyCode::Enter, KeyModifiers::ALT), ("two", KeyCode::Char('j'), KeyModifiers::CONTROL)]
    {
        app.paste(text);
        assert_eq!(app.key(KeyEvent::new(code, modifier)), []);
    }
    app.paste("three");
    let effects = press(&mut app, KeyCode::Enter);
    assert!(matches!(&effects[..], [Effect::Send { body, .. }] if body == "one\ntwo\nthree"), "{effects:?}");
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
fn a_question_mark_helps_and_is_said_by_whoever_means_it() {
    let mut app = talking();
    assert_eq!(type_in(&mut app, "?"), []);
    assert!(app.help);
    let effects = press(&mut app, KeyCode::Enter);
    assert!(matches!(&effects[..], [Effect::Send { body, .. }] if body == "?"), "{effects:?}");
    assert_eq!(said_lines("why?").as_deref(), Some("why?"));
}

#[test]
fn tab_completes_commands_codes_and_names() {
    let mut app = talking();
    happen(&mut app, MOUNTAINS, said(41, "marko", "here too"));
    let mut typed = |text: &str, tabs: usize| {
        app.input.set("");
        app.paste(text);
        for _ in 0..tabs {
            press(&mut app, KeyCode::Tab);
        }
        app.input.text()
    };
    assert_eq!(typed("/inv", 1), "/invite ");
    assert_eq!(typed("/re", 1), "/retry");
    assert_eq!(typed("/re", 3), "/remove");
    assert_eq!(typed("/join kit", 1), "/join Qq7rS2 ");
    assert_eq!(typed("/remove ", 1), "/remove maria22");
    assert_eq!(typed("/remove mar", 2), "/remove marko");
    assert_eq!(typed("hello MARI", 1), "hello maria22 ");
    assert_eq!(typed("hello @maria", 1), "hello @maria22 ");
    assert_eq!(typed("nothing zz", 1), "nothing zz");
    assert_eq!(app.current, 0, "it goes nowhere while something is typed");
}

#[test]
fn a_command_that_is_none_stays_in_the_line() {
    let mut app = talking();
    assert_eq!(type_in(&mut app, "/usr/bin/env\nsays"), []);
    assert_eq!(app.input.text(), "/usr/bin/env\nsays");
}

#[test]
fn an_invitation_is_a_link_that_is_copied() {
    let mut app = talking();
    let link = "http://localhost:8080/#join=aaa.bbb.ccc".to_owned();
    let told = News::Invitation { code: mountains(), link: link.clone(), end: "tomorrow".to_owned() };
    assert_eq!(app.news(told), [Effect::Copy { text: link.clone() }]);
    let joined = [Effect::EnterByInvitation { token: "aaa.bbb.ccc".to_owned() }];
    assert_eq!(type_in(&mut app, &format!("/join {link}")), joined);
    assert_eq!(type_in(&mut app, "/join https://elsewhere.example/#join=aaa.bbb.ccc"), []);
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
