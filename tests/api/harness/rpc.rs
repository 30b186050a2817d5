//! Maps each request type to its method.

use grpcchatter_proto::v1::*;

/// The request of a unary method.
pub(crate) trait Rpc: prost::Message + Default + Clone + 'static {
    /// The path of the method.
    const PATH: &'static str;

    /// The type of the response.
    type Response: prost::Message + Default + 'static;
}

/// Declares the requests of unary methods.
macro_rules! unary {
    ($($method:ident($request:ty) -> $response:ty;)+) => {$(
        impl Rpc for $request {
            const PATH: &'static str = concat!("/grpcchatter.v1.ChatService/", stringify!($method));
            type Response = $response;
        }
    )+};
}

unary! {
    CreateChatRoom(CreateChatRoomRequest) -> CreateChatRoomResponse;
    UpdateChatRoom(UpdateChatRoomRequest) -> UpdateChatRoomResponse;
    DeleteChatRoom(DeleteChatRoomRequest) -> DeleteChatRoomResponse;
    ListChatRooms(ListChatRoomsRequest) -> ListChatRoomsResponse;
    CreateRoomToken(CreateRoomTokenRequest) -> CreateRoomTokenResponse;
    RemoveChatRoomUser(RemoveChatRoomUserRequest) -> RemoveChatRoomUserResponse;
    UnbanChatRoomUser(UnbanChatRoomUserRequest) -> UnbanChatRoomUserResponse;
    JoinChatRoom(JoinChatRoomRequest) -> JoinChatRoomResponse;
    LeaveChatRoom(LeaveChatRoomRequest) -> LeaveChatRoomResponse;
    ListChatRoomUsers(ListChatRoomUsersRequest) -> ListChatRoomUsersResponse;
    SendMessage(SendMessageRequest) -> SendMessageResponse;
    ListMessages(ListMessagesRequest) -> ListMessagesResponse;
}

/// The path of the server-streaming method.
pub(crate) const SUBSCRIBE: &str = "/grpcchatter.v1.ChatService/Subscribe";

/// The path of the bidirectional method.
pub(crate) const CHAT: &str = "/grpcchatter.v1.ChatService/Chat";
