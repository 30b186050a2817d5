//! Only members learn from an answer whether a room code or a user name exists.

use grpcchatter_proto::v1::{
    CreateRoomTokenRequest, DeleteChatRoomRequest, JoinChatRoomRequest, LeaveChatRoomRequest,
    RemoveChatRoomUserRequest, UnbanChatRoomUserRequest, UpdateChatRoomRequest,
};
use tonic::{Code, Status};

use crate::harness::{Caller, Database, Dialect, Refused as _, Room, TestApp, new_name, on_each_database};

on_each_database! {
    to_strangers_a_room_looks_like_one_that_does_not_exist,
    owner_calls_on_unknown_codes_count_as_guesses,
    a_ban_is_refused_alike_for_a_stranger_and_an_unknown_name,
    an_impossible_name_is_an_unknown_user,
}

/// The calls that only a room's owner may make.
const OWNER_CALLS: [&str; 6] = ["rename", "delete", "invite", "remove", "ban", "unban"];

/// Makes one of [`OWNER_CALLS`].
async fn owner_call(name: &str, caller: &Caller, short_code: &str, user_name: &str) -> Result<(), Status> {
    let (short_code, user_name) = (short_code.to_owned(), user_name.to_owned());
    match name {
        "rename" => {
            let room_name = Some("mine".to_owned());
            caller.call(UpdateChatRoomRequest { short_code, room_name, room_password: None }).await.map(drop)
        }
        "delete" => caller.call(DeleteChatRoomRequest { short_code }).await.map(drop),
        "invite" => caller.call(CreateRoomTokenRequest { short_code, ttl: None }).await.map(drop),
        "unban" => caller.call(UnbanChatRoomUserRequest { short_code, user_name }).await.map(drop),
        _ => {
            let ban = name == "ban";
            caller.call(RemoveChatRoomUserRequest { short_code, user_name, ban }).await.map(drop)
        }
    }
}

/// Everything in a refusal, byte by byte, except the room code that was asked for.
fn refusal(outcome: Result<(), Status>, short_code: &str) -> (Code, String, String) {
    let status = outcome.expect_err("the call is refused");
    let details = status.details().escape_ascii().to_string();
    let [message, details] = [status.message(), &details].map(|text| text.replace(short_code, "CODE"));
    (status.code(), message, details)
}

fn by_code(room: &Room) -> JoinChatRoomRequest {
    JoinChatRoomRequest { short_code: room.short_code.clone(), ..Default::default() }
}

async fn to_strangers_a_room_looks_like_one_that_does_not_exist(database: Database) {
    let app = TestApp::start(&database).await;
    let (owner, member) = (app.user().await, app.user().await);
    let (outsider, gone, banned) = (app.user().await, app.user().await, app.user().await);
    let room = owner.create_room().await;
    let code = room.short_code.as_str();
    member.join(&room).await;
    gone.join(&room).await.call(LeaveChatRoomRequest {}).await.unwrap();
    banned.join(&room).await;
    owner_call("ban", &owner, code, &banned.name).await.unwrap();
    for dialect in Dialect::ALL {
        for call in OWNER_CALLS {
            for stranger in [&outsider, &gone, &banned] {
                let stranger = stranger.with_dialect(dialect);
                let here = refusal(owner_call(call, &stranger, code, &member.name).await, code);
                let nowhere = refusal(owner_call(call, &stranger, "nosuch", &member.name).await, "nosuch");
                assert_eq!(here, nowhere, "{call}");
                assert_eq!(here.0, Code::NotFound, "{call}");
            }
            let outcome = owner_call(call, &member.with_dialect(dialect), code, &outsider.name).await;
            outcome.refused(Code::PermissionDenied, "NOT_ROOM_OWNER");
        }
        banned.with_dialect(dialect).call(by_code(&room)).await.refused(Code::PermissionDenied, "BANNED");
    }
    // None of the calls had an effect.
    assert_eq!(member.call(by_code(&room)).await.unwrap().room.unwrap().room_name, room.name);
}

async fn owner_calls_on_unknown_codes_count_as_guesses(database: Database) {
    let settings = [("GUESSES_PER_HOUR", "12")];
    for call in OWNER_CALLS {
        let app = TestApp::with(&database.another().await, &settings).await;
        let (owner, seeker) = (app.user().await, app.user().await);
        let room = owner.create_room_with("").await;
        let codes = [room.short_code.as_str(), "nosuch"];
        for code in [codes; 6].concat() {
            let outcome = owner_call(call, &seeker, code, &owner.name).await;
            outcome.refused(Code::NotFound, "ROOM_NOT_FOUND");
        }
        for code in codes {
            let outcome = owner_call(call, &seeker, code, &owner.name).await;
            outcome.refused(Code::ResourceExhausted, "RATE_LIMITED");
        }
        seeker.call(by_code(&room)).await.refused(Code::ResourceExhausted, "RATE_LIMITED");
    }
}

async fn a_ban_is_refused_alike_for_a_stranger_and_an_unknown_name(database: Database) {
    let app = TestApp::start(&database).await;
    let (owner, stranger) = (app.user().await, app.user().await);
    let room = owner.create_room().await;
    let code = room.short_code.as_str();
    for dialect in Dialect::ALL {
        let owner = owner.with_dialect(dialect);
        for name in [stranger.name.as_str(), &new_name(), ""] {
            for _ in 0..2 {
                let outcome = owner_call("remove", &owner, code, name).await;
                outcome.refused(Code::NotFound, "USER_NOT_FOUND");
                owner_call("ban", &owner, code, name).await.unwrap();
            }
        }
        stranger.call(room.join_request()).await.refused(Code::PermissionDenied, "BANNED");
        for name in [stranger.name.as_str(), &new_name(), ""] {
            for _ in 0..2 {
                owner_call("unban", &owner, code, name).await.unwrap();
            }
        }
    }
    stranger.join(&room).await;
    let outcome = owner_call("ban", &owner, code, &owner.name).await;
    outcome.refused(Code::InvalidArgument, "INVALID_FIELD");
}

/// PostgreSQL refuses to look up U+0000, which must not become an internal error.
async fn an_impossible_name_is_an_unknown_user(database: Database) {
    let app = TestApp::start(&database).await;
    let owner = app.user().await;
    let room = owner.create_room().await;
    let code = room.short_code.as_str();
    for dialect in Dialect::ALL {
        let owner = owner.with_dialect(dialect);
        for name in ["nul\0byte1", "\0", &"x".repeat(300)] {
            let outcome = owner_call("remove", &owner, code, name).await;
            let unknown = owner_call("remove", &owner, code, "nobody-00001").await;
            assert_eq!(refusal(outcome, code), refusal(unknown, code));
            owner_call("ban", &owner, code, name).await.unwrap();
            owner_call("unban", &owner, code, name).await.unwrap();
        }
    }
}
