//! Tests of typed and pasted text.

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

use super::fixture::{
    MOUNTAINS, deliver, join_failed, message_event, mountains, press, screen, two_rooms, type_in,
};
use crate::tui::{
    app::Notice,
    effect::{Effect, Remedy, Update},
};

#[test]
fn a_command_is_not_taken_as_a_password() {
    let mut app = two_rooms();
    let cellar = "Zz9zZ9".to_owned();
    assert_eq!(
        type_in(&mut app, "/join Zz9zZ9"),
        [Effect::Join { code: cellar.clone(), password: String::new() }]
    );
    join_failed(&mut app, &cellar, Remedy::Password { wrong: false });
    assert!(screen(&mut app, 80, 12).contains("password of Zz9zZ9; Esc cancels"));
    let tried = |password: &str| [Effect::Join { code: cellar.clone(), password: password.to_owned() }];
    assert_eq!(type_in(&mut app, "wrong"), tried("wrong"));
    join_failed(&mut app, &cellar, Remedy::Password { wrong: true });
    assert!(screen(&mut app, 80, 12).contains("wrong password of Zz9zZ9; Esc cancels"));

    assert_eq!(type_in(&mut app, "/users"), [], "a command is not a password");
    assert!(screen(&mut app, 80, 12).contains("looks like a command"));
    press(&mut app, KeyCode::Esc);
    assert_eq!((&app.question, app.input.is_empty()), (&None, true));
    type_in(&mut app, "/users");
    assert!(screen(&mut app, 80, 24).contains("here: maria22, walker1"));

    join_failed(&mut app, &cellar, Remedy::Password { wrong: true });
    assert_eq!(type_in(&mut app, ""), []);
    assert!(app.question.is_some(), "an empty password is no answer");
    type_in(&mut app, "/users");
    assert_eq!(press(&mut app, KeyCode::Enter), tried("/users"), "a second Enter accepts it");
    app.paste("half a sen");
    join_failed(&mut app, &cellar, Remedy::Password { wrong: true });
    assert_eq!(
        app.notice,
        Some(Notice::Error("that was not the password of Zz9zZ9: /join Zz9zZ9".to_owned()))
    );
}

fn sent_lines(typed: &str) -> Option<String> {
    let mut app = two_rooms();
    match type_in(&mut app, typed).pop() {
        Some(Effect::Send { body, .. }) => Some(body),
        _ => None,
    }
}

#[test]
fn pasted_lines_are_sent_unchanged() {
    for typed in ["one\rtwo\rthree\r", "one\r\ntwo\r\nthree", "\n\none\ntwo\nthree\n\n"] {
        assert_eq!(sent_lines(typed).as_deref(), Some("one\ntwo\nthree"), "{typed:?}");
    }
    assert_eq!(sent_lines("  if a {\n\tb\n  }").as_deref(), Some("  if a {\n\tb\n  }"));
    assert_eq!(sent_lines("  one  ").as_deref(), Some("one"));
    assert_eq!(sent_lines(" \n\t "), None);
}

#[test]
fn an_answer_is_one_line() {
    let mut app = two_rooms();
    type_in(&mut app, "/create Cellar");
    app.paste("Secret-1!\r\n");
    let made = Effect::Create { name: "Cellar".to_owned(), password: "Secret-1!".to_owned() };
    assert_eq!(press(&mut app, KeyCode::Enter), [made]);
}

#[test]
fn alt_enter_and_ctrl_j_start_a_new_line() {
    let mut app = two_rooms();
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
fn a_question_mark_opens_the_help_and_is_sent_by_a_second_enter() {
    let mut app = two_rooms();
    assert_eq!(type_in(&mut app, "?"), []);
    assert!(app.help);
    let effects = press(&mut app, KeyCode::Enter);
    assert!(matches!(&effects[..], [Effect::Send { body, .. }] if body == "?"), "{effects:?}");
    assert_eq!(sent_lines("why?").as_deref(), Some("why?"));
    // A user who continues with a command has seen the help and sends nothing.
    for close in [KeyCode::Esc, KeyCode::F(1), KeyCode::PageUp] {
        assert_eq!(type_in(&mut app, "?"), []);
        press(&mut app, close);
        assert!(app.input.is_empty(), "{close:?}");
        app.help = false;
    }
    assert_eq!(type_in(&mut app, "?"), []);
    app.paste("/users");
    assert_eq!(app.input.text(), "/users");
}

#[test]
fn tab_completes_commands_codes_and_names() {
    let mut app = two_rooms();
    deliver(&mut app, MOUNTAINS, message_event(41, "marko", "here too"));
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
fn an_unknown_command_stays_in_the_input() {
    let mut app = two_rooms();
    assert_eq!(type_in(&mut app, "/usr/bin/env\nsays"), []);
    assert_eq!(app.input.text(), "/usr/bin/env\nsays");
}

#[test]
fn an_invitation_is_a_link_that_is_copied() {
    let mut app = two_rooms();
    let link = "http://localhost:8080/#join=aaa.bbb.ccc".to_owned();
    let invitation = Update::Invitation { code: mountains(), link: link.clone(), end: "tomorrow".to_owned() };
    assert_eq!(app.update(invitation), [Effect::Copy { text: link.clone() }]);
    let joined = [Effect::JoinByInvitation { token: "aaa.bbb.ccc".to_owned() }];
    assert_eq!(type_in(&mut app, &format!("/join {link}")), joined);
    assert_eq!(type_in(&mut app, "/join https://elsewhere.example/#join=aaa.bbb.ccc"), []);
}
