//! What is made of what is typed and pasted.

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

use super::{
    app::Notice,
    news::{Cure, Effect, News},
    scene::{MOUNTAINS, happen, mountains, not_entered, press, said, screen, talking, type_in},
};

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
fn a_question_mark_helps_and_is_said_by_whoever_means_it() {
    let mut app = talking();
    assert_eq!(type_in(&mut app, "?"), []);
    assert!(app.help);
    let effects = press(&mut app, KeyCode::Enter);
    assert!(matches!(&effects[..], [Effect::Send { body, .. }] if body == "?"), "{effects:?}");
    assert_eq!(said_lines("why?").as_deref(), Some("why?"));
    // Whoever goes on to a command has been helped, and says nothing.
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
