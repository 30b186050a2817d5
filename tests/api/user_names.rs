//! The rule for new user names: only visible characters, and no name that looks like another one.

use grpcchatter_proto::v1::{CreateChatRoomRequest, UpdateChatRoomRequest};
use tonic::Code;

use crate::{
    accounts::{TAKEN, UNAUTHORIZED, assert_refused, assert_sentence, log_in, register},
    harness::{Database, PASSWORD, Refused as _, TestApp, on_each_database},
};

on_each_database! {
    names_are_case_sensitive_and_no_two_differ_only_in_case,
    new_names_have_only_plain_characters,
    a_name_that_looks_like_another_is_taken,
    lookalikes_are_found_in_any_case,
    both_unicode_forms_of_a_name_are_one_name,
    a_new_room_name_needs_a_visible_character,
}

async fn names_are_case_sensitive_and_no_two_differ_only_in_case(database: Database) {
    let app = TestApp::start(&database).await;
    let user = app.user().await;
    let shouted = user.name.to_uppercase();
    assert_sentence(&log_in(&app, &shouted, PASSWORD).await, 401, "INVALID_CREDENTIALS", UNAUTHORIZED);
    assert_sentence(&register(&app, &shouted, PASSWORD).await, 400, "USER_NAME_TAKEN", TAKEN);
}

async fn new_names_have_only_plain_characters(database: Database) {
    let app = TestApp::start(&database).await;
    for (bad, expected) in [
        ("walk\u{200b}er1", "U+200B"),
        ("\u{202e}1reklaw", "U+202E"),
        ("walker1\n", "U+000A"),
        ("walker1\u{1b}c", "U+001B"),
        ("walker\u{a0}1", "U+00A0"),
        ("walker1\u{3164}", "U+3164"),
        ("walker1\u{e000}", "U+E000"),
        ("walker1\u{378}", "U+0378"),
        ("w\u{430}lker1", "U+0430"),
        ("walker1 ", "no space at its ends"),
        ("      1", "no space at its ends"),
        ("walk  er1", "no two in a row"),
        ("wal\u{138}er1", "out of use: leave out U+0138"),
        ("walke\u{a783}1", "out of use: leave out U+A783"),
        ("walk\u{250}r1", "phonetic or technical sign: leave out U+0250"),
        ("\u{1d00}dministrator1", "phonetic or technical sign: leave out U+1D00"),
        ("★walker1", "symbol but emoji and those of ASCII: leave out U+2605"),
    ] {
        let answer = register(&app, bad, PASSWORD).await;
        assert_refused(&answer, 400, "INVALID_USER_NAME");
        let sentence = answer.json()["error"].as_str().unwrap().to_owned();
        assert!(
            sentence.starts_with("Invalid request body:a user name ") && sentence.contains(expected),
            "{sentence}"
        );
    }
    for good in
        ["田中taro1", "Нина-01", "محمد12345", "walker 1", "👍walker9", "O’Brien1", "น้ำฝน01", "ᓄᓇᕗᑦ001"]
    {
        assert_eq!(register(&app, good, PASSWORD).await.status, 200, "{good}");
    }
}

async fn a_name_that_looks_like_another_is_taken(database: Database) {
    let app = TestApp::start(&database).await;
    assert_eq!(register(&app, "walker1", PASSWORD).await.status, 200);
    for twin in ["Walker1", "walkerI1", "waIker1", "wa1ker1", "vvalker1", "VValker1", "ｗalker1"] {
        let answer = register(&app, twin, PASSWORD).await;
        if twin == "walkerI1" {
            assert_eq!(answer.status, 200, "another name: {answer:?}");
        } else {
            assert_sentence(&answer, 400, "USER_NAME_TAKEN", TAKEN);
        }
        assert_eq!(log_in(&app, twin, PASSWORD).await.status == 200, twin == "walkerI1", "{twin}");
    }
}

/// `m` looks like `rn`; `M` looks like neither.
async fn lookalikes_are_found_in_any_case(database: Database) {
    let app = TestApp::start(&database).await;
    assert_eq!(register(&app, "marmot1", PASSWORD).await.status, 200);
    for twin in ["Marmot1", "MARMOT1", "rnarmot1"] {
        assert_sentence(&register(&app, twin, PASSWORD).await, 400, "USER_NAME_TAKEN", TAKEN);
    }
}

async fn both_unicode_forms_of_a_name_are_one_name(database: Database) {
    let app = TestApp::start(&database).await;
    let answer = register(&app, "cafe\u{301} 1", PASSWORD).await;
    assert_eq!(answer.json()["user_name"], "caf\u{e9} 1");
    for spelling in ["cafe\u{301} 1", "caf\u{e9} 1"] {
        assert_eq!(log_in(&app, spelling, PASSWORD).await.status, 200, "{spelling:?}");
        assert_sentence(&register(&app, spelling, PASSWORD).await, 400, "USER_NAME_TAKEN", TAKEN);
    }
}

/// The rule holds for a new room and for a rename. An existing room keeps its name.
async fn a_new_room_name_needs_a_visible_character(database: Database) {
    let app = TestApp::start(&database).await;
    let user = app.user().await;
    let create = |name: &str| CreateChatRoomRequest { room_name: name.to_owned(), ..Default::default() };
    let room = user.call(create("Tom’s room 👍")).await.unwrap().room.unwrap();
    for (name, expected) in [
        ("   ", "U+0020"),
        ("\u{3164}", "U+3164"),
        ("\u{2800}", "U+2800"),
        ("\u{34f}", "U+034F"),
        (" \u{a0}", "U+0020"),
    ] {
        let rename = UpdateChatRoomRequest {
            short_code: room.short_code.clone(),
            room_name: Some(name.to_owned()),
            room_password: None,
        };
        for refused in [user.call(create(name)).await.map(drop), user.call(rename).await.map(drop)] {
            let sentence = refused.as_ref().unwrap_err().message().to_owned();
            assert!(sentence.starts_with("a room's name shows something: "), "{sentence}");
            assert!(sentence.contains(expected), "{sentence}");
            refused.refused(Code::InvalidArgument, "INVALID_ROOM_NAME");
        }
    }
    for name in ["", ".", "mixed смесь", "ж\u{3164}"] {
        user.call(create(name)).await.unwrap();
    }
}
