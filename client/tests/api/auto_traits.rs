//! What the public types promise to programs. Compiling is the test.

use grpcchatter_client::{
    Account, Client, ClientBuilder, CloseReason, Error, Event, Events, Invitation, Kind, Message, Page,
    Reason, Refusal, ResumePoint, Room, RoomInfo, Start, User,
};

fn sent_and_shared<T: Send + Sync + Unpin + std::fmt::Debug + 'static>() {}

fn sent<T: Send>(_: T) {}

#[test]
fn public_types_are_send_and_sync() {
    sent_and_shared::<(Account, Client, ClientBuilder, CloseReason, Error, Event, Invitation, Kind)>();
    sent_and_shared::<(Message, Page, Reason, Refusal, ResumePoint, Room, RoomInfo, Start, User)>();
    #[cfg(feature = "blocking")]
    sent_and_shared::<(grpcchatter_client::blocking::Client, grpcchatter_client::blocking::Room)>();
}

#[test]
fn every_future_is_send() {
    fn calls(client: &Client, room: &Room, events: &mut Events) {
        sent((
            client.register("", ""),
            client.login("", ""),
            client.login_if_needed("", ""),
            client.logout(),
        ));
        sent((
            client.user_name(),
            client.account(),
            client.change_password("", ""),
            client.delete_account(""),
        ));
        sent((client.create_room("", ""), client.rename_room("", ""), client.change_room_password("", "")));
        sent((client.delete_room(""), client.rooms(), client.invite("", None), client.remove_user("", "")));
        sent((client.ban_user("", ""), client.unban_user("", ""), client.join("", "")));
        sent((client.join_and_send("", ""), client.join_and_send_with_id("", "", "")));
        sent((client.join_by_invitation(""), room.send(""), room.send_with_id("", ""), room.receive()));
        sent((room.newest_messages(1), room.messages_before(0, 1), room.messages_after(0, 1)));
        sent((room.users(), room.leave(), events.recv()));
    }
    let _ = calls;
}

#[test]
fn errors_convert_to_boxed_errors() {
    fn boxed(error: Error) -> Box<dyn std::error::Error + Send + Sync> {
        error.into()
    }
    let error = boxed(Error::SessionFile(std::sync::Arc::new(std::io::Error::other("no space is left"))));
    assert_eq!(error.source().map(ToString::to_string).as_deref(), Some("no space is left"));
}
