//! Membership: joining with a password, with an invitation, or as a member; leaving, removing and banning.

use grpcchatter_proto::v1::{
    JoinChatRoomRequest, LeaveChatRoomRequest, ListMessagesRequest, RemoveChatRoomUserRequest,
    UnbanChatRoomUserRequest, UpdateChatRoomRequest,
};
use tonic::Code;

use crate::harness::{Database, Dialect, Refused as _, Room, TestApp, User, on_each_database};

on_each_database! {
    joining_gives_a_chat_token_and_the_room,
    a_wrong_password_is_refused,
    a_room_without_a_password_is_joined_with_its_code,
    the_owner_joins_with_the_code_alone,
    a_member_joins_again_with_the_code_alone,
    a_member_who_gives_a_wrong_password_is_refused,
    joining_from_a_second_device_is_allowed,
    an_invitation_needs_no_code_and_no_password,
    a_new_room_password_ends_invitations_and_all_memberships_but_the_owners,
    a_user_who_left_needs_the_password_again,
    a_removed_user_may_join_again_with_the_password,
    a_banned_user_may_not_join_until_unbanned,
    removing_an_unknown_user_is_refused,
    the_owner_cannot_be_removed,
    memberships_of_two_rooms_are_independent,
}

fn code_alone(room: &Room) -> JoinChatRoomRequest {
    JoinChatRoomRequest { short_code: room.short_code.clone(), ..Default::default() }
}

fn remove(room: &Room, user_name: &str, ban: bool) -> RemoveChatRoomUserRequest {
    RemoveChatRoomUserRequest { short_code: room.short_code.clone(), user_name: user_name.to_owned(), ban }
}

async fn set_password(owner: &User, room: &Room, password: &str) -> Room {
    let (short_code, room_password) = (room.short_code.clone(), Some(password.to_owned()));
    owner.call(UpdateChatRoomRequest { short_code, room_password, room_name: None }).await.unwrap();
    Room { password: password.to_owned(), ..room.clone() }
}

async fn joining_gives_a_chat_token_and_the_room(database: Database) {
    let app = TestApp::start(&database).await;
    let (owner, guest) = (app.user().await, app.user().await);
    let room = owner.create_room().await;
    for dialect in Dialect::ALL {
        let joined = guest.with_dialect(dialect).call(room.join_request()).await.unwrap();
        let seen = joined.room.unwrap();
        assert_eq!((seen.short_code, seen.room_name), (room.short_code.clone(), room.name.clone()));
        assert_eq!((seen.owner_name, seen.last_seq), (owner.name.clone(), 0));
        assert!(joined.expire_time.unwrap().seconds > 1_700_000_000);
        let member = guest.with_token(&joined.token);
        member.call(ListMessagesRequest::default()).await.unwrap();
    }
}

async fn a_wrong_password_is_refused(database: Database) {
    let app = TestApp::start(&database).await;
    let (owner, guest) = (app.user().await, app.user().await);
    let room = owner.create_room().await;
    for wrong in ["", "Wr0ng", &room.password[1..], &"x".repeat(128)] {
        let request = JoinChatRoomRequest { room_password: wrong.to_owned(), ..code_alone(&room) };
        let status = guest.call(request).await.refused(Code::PermissionDenied, "WRONG_ROOM_PASSWORD");
        let code = &room.short_code;
        let sentence = format!(
            "Invalid chat room with short code [{code}] password. Please make sure you have the correct password."
        );
        assert_eq!(status.message(), sentence);
    }
}

async fn a_room_without_a_password_is_joined_with_its_code(database: Database) {
    let app = TestApp::start(&database).await;
    let (owner, guest) = (app.user().await, app.user().await);
    let room = owner.create_room_with("").await;
    guest.call(code_alone(&room)).await.unwrap();
}

async fn the_owner_joins_with_the_code_alone(database: Database) {
    let app = TestApp::start(&database).await;
    let owner = app.user().await;
    let room = owner.create_room().await;
    owner.call(code_alone(&room)).await.unwrap();
}

async fn a_member_joins_again_with_the_code_alone(database: Database) {
    let app = TestApp::start(&database).await;
    let (owner, guest) = (app.user().await, app.user().await);
    let room = owner.create_room().await;
    guest.join(&room).await;
    guest.call(code_alone(&room)).await.unwrap();
    guest.log_in_again().await.call(code_alone(&room)).await.unwrap();
}

async fn a_member_who_gives_a_wrong_password_is_refused(database: Database) {
    let app = TestApp::start(&database).await;
    let (owner, guest) = (app.user().await, app.user().await);
    let room = owner.create_room().await;
    guest.join(&room).await;
    let request = JoinChatRoomRequest { room_password: "Wr0ng".to_owned(), ..code_alone(&room) };
    guest.call(request).await.refused(Code::PermissionDenied, "WRONG_ROOM_PASSWORD");
}

async fn joining_from_a_second_device_is_allowed(database: Database) {
    let app = TestApp::start(&database).await;
    let (owner, guest) = (app.user().await, app.user().await);
    let room = owner.create_room().await;
    let (one, other) = (guest.join(&room).await, guest.join(&room).await);
    assert_eq!((one.say("one").await.seq, other.say("two").await.seq), (1, 2));
}

async fn an_invitation_needs_no_code_and_no_password(database: Database) {
    let app = TestApp::start(&database).await;
    let (owner, guest) = (app.user().await, app.user().await);
    let room = owner.create_room().await;
    let invitation = owner.invite(&room).await;
    for dialect in Dialect::ALL {
        let request = JoinChatRoomRequest { room_token: invitation.clone(), ..Default::default() };
        let joined = guest.with_dialect(dialect).call(request).await.unwrap();
        assert_eq!(joined.room.unwrap().short_code, room.short_code);
    }
}

async fn a_new_room_password_ends_invitations_and_all_memberships_but_the_owners(database: Database) {
    let app = TestApp::start(&database).await;
    let (owner, guest) = (app.user().await, app.user().await);
    let room = owner.create_room().await;
    let (mine, theirs) = (owner.join(&room).await, guest.join(&room).await);
    let invitation = owner.invite(&room).await;
    let changed = set_password(&owner, &room, "cAnary-new").await;
    guest.join_by(&invitation).await.refused(Code::Unauthenticated, "TOKEN_REVOKED");
    guest.call(code_alone(&room)).await.refused(Code::PermissionDenied, "WRONG_ROOM_PASSWORD");
    guest.call(room.join_request()).await.refused(Code::PermissionDenied, "WRONG_ROOM_PASSWORD");
    theirs.call(ListMessagesRequest::default()).await.refused(Code::Unauthenticated, "TOKEN_REVOKED");
    mine.call(ListMessagesRequest::default()).await.unwrap();
    guest.join(&changed).await;
    guest.join_by(&owner.invite(&room).await).await.unwrap();
}

async fn a_user_who_left_needs_the_password_again(database: Database) {
    let app = TestApp::start(&database).await;
    let (owner, guest) = (app.user().await, app.user().await);
    let room = owner.create_room().await;
    let member = guest.join(&room).await;
    member.call(LeaveChatRoomRequest {}).await.unwrap();
    let status =
        member.call(ListMessagesRequest::default()).await.refused(Code::PermissionDenied, "NOT_A_MEMBER");
    let sentence = format!("No permission to access chat room with short code [{}].", room.short_code);
    assert_eq!(status.message(), sentence);
    guest.call(code_alone(&room)).await.refused(Code::PermissionDenied, "WRONG_ROOM_PASSWORD");
    let again = guest.join(&room).await;
    again.call(ListMessagesRequest::default()).await.unwrap();
    member.call(ListMessagesRequest::default()).await.refused(Code::PermissionDenied, "NOT_A_MEMBER");
}

async fn a_removed_user_may_join_again_with_the_password(database: Database) {
    let app = TestApp::start(&database).await;
    let (owner, guest) = (app.user().await, app.user().await);
    let room = owner.create_room().await;
    let member = guest.join(&room).await;
    owner.call(remove(&room, &guest.name, false)).await.unwrap();
    member.call(ListMessagesRequest::default()).await.refused(Code::PermissionDenied, "NOT_A_MEMBER");
    guest.call(code_alone(&room)).await.refused(Code::PermissionDenied, "WRONG_ROOM_PASSWORD");
    guest.join(&room).await.call(ListMessagesRequest::default()).await.unwrap();
}

async fn a_banned_user_may_not_join_until_unbanned(database: Database) {
    let app = TestApp::start(&database).await;
    let (owner, guest) = (app.user().await, app.user().await);
    let room = owner.create_room().await;
    let invitation = owner.invite(&room).await;
    let member = guest.join(&room).await;
    owner.call(remove(&room, &guest.name, true)).await.unwrap();
    member.call(ListMessagesRequest::default()).await.refused(Code::PermissionDenied, "BANNED");
    guest.call(room.join_request()).await.refused(Code::PermissionDenied, "BANNED");
    guest.join_by(&invitation).await.refused(Code::PermissionDenied, "BANNED");
    let (short_code, user_name) = (room.short_code.clone(), guest.name.clone());
    owner.call(UnbanChatRoomUserRequest { short_code, user_name }).await.unwrap();
    guest.call(code_alone(&room)).await.refused(Code::PermissionDenied, "WRONG_ROOM_PASSWORD");
    guest.join(&room).await;
}

async fn removing_an_unknown_user_is_refused(database: Database) {
    let app = TestApp::start(&database).await;
    let (owner, stranger) = (app.user().await, app.user().await);
    let room = owner.create_room().await;
    for name in ["nobody-00001", &*stranger.name, ""] {
        owner.call(remove(&room, name, false)).await.refused(Code::NotFound, "USER_NOT_FOUND");
    }
}

async fn the_owner_cannot_be_removed(database: Database) {
    let app = TestApp::start(&database).await;
    let owner = app.user().await;
    let room = owner.create_room().await;
    owner.join(&room).await;
    owner.call(remove(&room, &owner.name, true)).await.refused(Code::InvalidArgument, "INVALID_FIELD");
}

async fn memberships_of_two_rooms_are_independent(database: Database) {
    let app = TestApp::start(&database).await;
    let (owner, guest) = (app.user().await, app.user().await);
    let (one, other) = (owner.create_room().await, owner.create_room().await);
    let (here, there) = (guest.join(&one).await, guest.join(&other).await);
    here.say("here").await;
    let said = there.call(ListMessagesRequest::default()).await.unwrap();
    assert_eq!((said.messages.len(), said.last_seq), (0, 0));
    here.call(LeaveChatRoomRequest {}).await.unwrap();
    there.call(ListMessagesRequest::default()).await.unwrap();
}
