//! Rooms: their owner creates, changes, lists and deletes them, in every dialect.

use std::collections::BTreeSet;

use grpcchatter_proto::v1::{
    CreateChatRoomRequest, CreateRoomTokenRequest, DeleteChatRoomRequest, ListChatRoomsRequest,
    RemoveChatRoomUserRequest, UnbanChatRoomUserRequest, UpdateChatRoomRequest, subscribe_response::Event,
};
use prost_types::Duration;
use tonic::Code;

use crate::harness::{Database, Dialect, Refused as _, Room, TestApp, User, on_each_database};

on_each_database! {
    a_room_gets_a_code_of_letters_and_digits,
    the_length_of_codes_is_a_setting,
    names_and_passwords_may_be_empty_and_names_need_not_be_unique,
    names_and_passwords_have_limits,
    names_contain_no_control_or_formatting_characters,
    the_owner_of_a_new_room_is_not_in_it,
    a_rename_is_sent_to_the_rooms_streams,
    unset_fields_stay_unchanged,
    rooms_are_listed_by_latest_activity,
    rooms_are_listed_page_by_page,
    an_invalid_page_token_is_refused,
    deleting_a_room_ends_its_streams_and_tokens,
    only_the_owner_changes_a_room,
    an_unknown_room_is_not_found,
    an_invalid_code_is_refused,
    invitations_expire_within_30_days,
}

fn create(room_name: &str, room_password: &str) -> CreateChatRoomRequest {
    CreateChatRoomRequest { room_name: room_name.to_owned(), room_password: room_password.to_owned() }
}

fn rename(room: &Room, room_name: &str) -> UpdateChatRoomRequest {
    let (short_code, room_name) = (room.short_code.clone(), Some(room_name.to_owned()));
    UpdateChatRoomRequest { short_code, room_name, room_password: None }
}

async fn codes(user: &User) -> Vec<String> {
    let rooms = user.call(ListChatRoomsRequest::default()).await.unwrap().rooms;
    rooms.into_iter().map(|room| room.short_code).collect()
}

async fn a_room_gets_a_code_of_letters_and_digits(database: Database) {
    let app = TestApp::start(&database).await;
    let user = app.user().await;
    for dialect in Dialect::ALL {
        let made = user.with_dialect(dialect).call(create("the lounge", "cAnary")).await.unwrap();
        assert_eq!(made.short_code.len(), 6);
        assert!(made.short_code.bytes().all(|byte| byte.is_ascii_alphanumeric()), "{}", made.short_code);
        let room = made.room.unwrap();
        assert_eq!((&room.short_code, &*room.room_name), (&made.short_code, "the lounge"));
        assert_eq!((&room.owner_name, room.last_seq), (&user.name, 0));
        assert!(room.create_time.unwrap().seconds > 1_700_000_000);
    }
}

async fn the_length_of_codes_is_a_setting(database: Database) {
    for length in [4, 32] {
        let app =
            TestApp::with(&database.another().await, &[("SHORT_CODE_LENGTH", &length.to_string())]).await;
        assert_eq!(app.user().await.create_room().await.short_code.len(), length);
    }
}

async fn names_and_passwords_may_be_empty_and_names_need_not_be_unique(database: Database) {
    let app = TestApp::start(&database).await;
    let user = app.user().await;
    let mut codes = BTreeSet::new();
    for _ in 0..3 {
        codes.insert(user.call(create("", "")).await.unwrap().short_code);
    }
    assert_eq!(codes.len(), 3);
}

async fn names_and_passwords_have_limits(database: Database) {
    let app = TestApp::start(&database).await;
    let user = app.user().await;
    let room = user.create_room().await;
    let (name, password) = ("é".repeat(128), "p".repeat(128));
    user.call(create(&name, &password)).await.unwrap();
    for dialect in Dialect::ALL {
        let user = user.with_dialect(dialect);
        for bad in [format!("{name}x"), "nul\0".to_owned()] {
            user.call(create(&bad, "")).await.refused(Code::InvalidArgument, "INVALID_ROOM_NAME");
            user.call(rename(&room, &bad)).await.refused(Code::InvalidArgument, "INVALID_ROOM_NAME");
        }
        for bad in [format!("{password}x"), "nul\0".to_owned()] {
            user.call(create("", &bad)).await.refused(Code::InvalidArgument, "INVALID_PASSWORD");
        }
    }
}

async fn names_contain_no_control_or_formatting_characters(database: Database) {
    let app = TestApp::start(&database).await;
    let user = app.user().await;
    let room = user.create_room().await;
    for dialect in Dialect::ALL {
        let user = user.with_dialect(dialect);
        for bad in
            ["a\nb", "a\u{1b}[31mb", "a\u{9b}b", "a\u{202e}b", "a\u{2066}b", "a\u{200b}b", "a\u{2028}b"]
        {
            user.call(create(bad, "")).await.refused(Code::InvalidArgument, "INVALID_ROOM_NAME");
            user.call(rename(&room, bad)).await.refused(Code::InvalidArgument, "INVALID_ROOM_NAME");
        }
        // A family emoji and a Persian word contain invisible joiners.
        for good in [
            "\u{1f469}\u{200d}\u{1f469}\u{200d}\u{1f467}",
            "\u{645}\u{6cc}\u{200c}\u{62e}\u{648}\u{627}\u{647}\u{645}",
        ] {
            let made = user.call(create(good, "")).await.unwrap().room.unwrap();
            let renamed = user.call(rename(&room, good)).await.unwrap().room.unwrap();
            assert_eq!((&*made.room_name, &*renamed.room_name), (good, good), "{dialect:?}");
        }
    }
}

async fn the_owner_of_a_new_room_is_not_in_it(database: Database) {
    let app = TestApp::start(&database).await;
    let (owner, guest) = (app.user().await, app.user().await);
    let member = guest.join(&owner.create_room().await).await;
    let users = member.call(grpcchatter_proto::v1::ListChatRoomUsersRequest {}).await.unwrap().users;
    let names: Vec<_> = users.into_iter().map(|user| user.user_name).collect();
    assert_eq!(names, [guest.name.clone()]);
}

async fn a_rename_is_sent_to_the_rooms_streams(database: Database) {
    let app = TestApp::start(&database).await;
    let owner = app.user().await;
    let room = owner.create_room().await;
    let mut subscription = owner.join(&room).await.subscribe(None).await.unwrap();
    let renamed = owner.call(rename(&room, "the garden")).await.unwrap().room.unwrap();
    assert_eq!((&*renamed.room_name, &renamed.short_code), ("the garden", &room.short_code));
    let updated = subscription.find(|event| match event {
        Event::RoomUpdated(room) => Some(room),
        _ => None,
    });
    assert_eq!(updated.await.room_name, "the garden");
}

async fn unset_fields_stay_unchanged(database: Database) {
    let app = TestApp::start(&database).await;
    let (owner, guest) = (app.user().await, app.user().await);
    let room = owner.create_room().await;
    let nothing = UpdateChatRoomRequest { short_code: room.short_code.clone(), ..Default::default() };
    assert_eq!(owner.call(nothing).await.unwrap().room.unwrap().room_name, room.name);
    owner.call(rename(&room, "")).await.unwrap();
    // The password is unchanged.
    guest.join(&room).await;
}

async fn rooms_are_listed_by_latest_activity(database: Database) {
    let app = TestApp::start(&database).await;
    let (owner, guest) = (app.user().await, app.user().await);
    let (one, two, three) = (owner.create_room().await, owner.create_room().await, owner.create_room().await);
    let other = guest.create_room().await;
    assert_eq!(codes(&owner).await, [&*three.short_code, &*two.short_code, &*one.short_code]);
    assert_eq!(
        codes(&guest).await,
        [other.short_code.clone()],
        "the list has rooms that the user neither owns nor has joined"
    );
    let member = guest.join(&one).await;
    let said = member.say("hello").await;
    assert_eq!(codes(&owner).await, [&*one.short_code, &*three.short_code, &*two.short_code]);
    let rooms = guest.call(ListChatRoomsRequest::default()).await.unwrap().rooms;
    assert_eq!((&rooms[0].short_code, rooms[0].last_seq), (&one.short_code, said.seq));
    assert_eq!((&rooms[0].owner_name, rooms.len()), (&owner.name, 2));
}

async fn rooms_are_listed_page_by_page(database: Database) {
    let app = TestApp::start(&database).await;
    let owner = app.user().await;
    let mut made = Vec::new();
    for _ in 0..7 {
        made.insert(0, owner.create_room().await.short_code);
    }
    for page_size in [1, 3, 7, 200, i32::MAX] {
        let (mut seen, mut page_token) = (Vec::new(), String::new());
        loop {
            let page = owner.call(ListChatRoomsRequest { page_size, page_token }).await.unwrap();
            assert!(page.rooms.len() <= usize::try_from(page_size).unwrap().min(200));
            seen.extend(page.rooms.into_iter().map(|room| room.short_code));
            page_token = page.next_page_token;
            if page_token.is_empty() {
                break;
            }
        }
        assert_eq!(seen, made, "pages of {page_size}");
    }
}

async fn an_invalid_page_token_is_refused(database: Database) {
    let app = TestApp::start(&database).await;
    let owner = app.user().await;
    for page_token in ["nonsense", "AAAA", "nul\0", &"x".repeat(5000)] {
        let request = ListChatRoomsRequest { page_token: page_token.to_owned(), page_size: 1 };
        owner.call(request).await.refused(Code::InvalidArgument, "INVALID_FIELD");
    }
    let request = ListChatRoomsRequest { page_size: -1, ..Default::default() };
    owner.call(request).await.refused(Code::InvalidArgument, "INVALID_FIELD");
}

async fn deleting_a_room_ends_its_streams_and_tokens(database: Database) {
    let app = TestApp::start(&database).await;
    let (owner, guest) = (app.user().await, app.user().await);
    let room = owner.create_room().await;
    let member = guest.join(&room).await;
    let (subscription, chat) = (member.subscribe(None).await.unwrap(), member.chat().await.unwrap());
    owner.delete(&room).await;
    subscription.end().await.refused(Code::NotFound, "ROOM_NOT_FOUND");
    chat.end().await.refused(Code::NotFound, "ROOM_NOT_FOUND");
    let status = guest.call(room.join_request()).await.refused(Code::NotFound, "ROOM_NOT_FOUND");
    let code = &room.short_code;
    let sentence =
        format!("Chat room with short code [{code}] not found. Please check the provided short code.");
    assert_eq!(status.message(), sentence);
    let request = grpcchatter_proto::v1::ListMessagesRequest::default();
    member.call(request).await.refused(Code::NotFound, "ROOM_NOT_FOUND");
    assert_eq!(codes(&owner).await, [""; 0]);
}

async fn only_the_owner_changes_a_room(database: Database) {
    let app = TestApp::start(&database).await;
    let (owner, guest) = (app.user().await, app.user().await);
    let room = owner.create_room().await;
    guest.join(&room).await;
    let short_code = room.short_code.clone();
    let user_name = owner.name.clone();
    for dialect in Dialect::ALL {
        let (caller, not_owner) = (guest.with_dialect(dialect), "NOT_ROOM_OWNER");
        let (code, name) = (short_code.clone(), user_name.clone());
        caller.call(rename(&room, "mine")).await.refused(Code::PermissionDenied, not_owner);
        let request = DeleteChatRoomRequest { short_code: code.clone() };
        let status = caller.call(request).await.refused(Code::PermissionDenied, not_owner);
        assert_eq!(status.message(), format!("No permission to modify chat room with short code [{code}]."));
        let request = CreateRoomTokenRequest { short_code: code.clone(), ttl: None };
        caller.call(request).await.refused(Code::PermissionDenied, not_owner);
        let request =
            RemoveChatRoomUserRequest { short_code: code.clone(), user_name: name.clone(), ban: true };
        caller.call(request).await.refused(Code::PermissionDenied, not_owner);
        let request = UnbanChatRoomUserRequest { short_code: code, user_name: name };
        caller.call(request).await.refused(Code::PermissionDenied, not_owner);
    }
}

/// Checks that every request that names a room refuses this code.
async fn refuse_code(user: &User, short_code: &str, code: Code, reason: &str) {
    let short_code = short_code.to_owned();
    let room = Room { short_code: short_code.clone(), name: String::new(), password: String::new() };
    user.call(rename(&room, "")).await.refused(code, reason);
    user.call(room.join_request()).await.refused(code, reason);
    user.call(DeleteChatRoomRequest { short_code: short_code.clone() }).await.refused(code, reason);
    user.call(CreateRoomTokenRequest { short_code: short_code.clone(), ttl: None })
        .await
        .refused(code, reason);
    let user_name = user.name.clone();
    let request = UnbanChatRoomUserRequest { short_code: short_code.clone(), user_name: user_name.clone() };
    user.call(request).await.refused(code, reason);
    let request = RemoveChatRoomUserRequest { short_code, user_name, ban: false };
    user.call(request).await.refused(code, reason);
}

async fn an_unknown_room_is_not_found(database: Database) {
    let app = TestApp::start(&database).await;
    let user = app.user().await;
    for unknown in ["nosuch", "a", &"Z".repeat(32)] {
        refuse_code(&user, unknown, Code::NotFound, "ROOM_NOT_FOUND").await;
    }
}

async fn an_invalid_code_is_refused(database: Database) {
    let app = TestApp::start(&database).await;
    let user = app.user().await;
    for bad in ["", "no-such", "é", "a b", "nul\0", &"Z".repeat(33)] {
        refuse_code(&user, bad, Code::InvalidArgument, "INVALID_SHORT_CODE").await;
    }
}

async fn invitations_expire_within_30_days(database: Database) {
    const DAY: i64 = 24 * 60 * 60;
    let app = TestApp::start(&database).await;
    let owner = app.user().await;
    let room = owner.create_room().await;
    let of = |seconds: i64, nanos: i32| CreateRoomTokenRequest {
        short_code: room.short_code.clone(),
        ttl: Some(Duration { seconds, nanos }),
    };
    let ask = |seconds: Option<i64>| match seconds {
        Some(seconds) => of(seconds, 0),
        None => CreateRoomTokenRequest { ttl: None, ..of(0, 0) },
    };
    let made = owner.call(ask(None)).await.unwrap().expire_time.unwrap().seconds;
    let longest = owner.call(ask(Some(30 * DAY))).await.unwrap().expire_time.unwrap().seconds;
    assert!((29 * DAY - 60..=29 * DAY + 60).contains(&(longest - made)), "the default is 24 hours");
    for seconds in [30 * DAY + 1, 0, -1, i64::MAX] {
        owner.call(ask(Some(seconds))).await.refused(Code::InvalidArgument, "INVALID_FIELD");
    }
    owner.call(of(5, 999_999_999)).await.unwrap();
    // The nanos of a Duration have the sign of its seconds and are less than a second.
    for nanos in [-5, 1_000_000_000, i32::MAX, i32::MIN] {
        owner.call(of(5, nanos)).await.refused(Code::InvalidArgument, "INVALID_FIELD");
    }
}
