//! Every method of the server and the kind of token that it takes.

use tonic::Code;

use super::Dialect;

/// Every method and the kind of token that it takes. Each is served under the original's service name too.
pub(crate) const METHODS: [(&str, Kind); 28] = [
    ("/grpcchatter.v1.ChatService/CreateChatRoom", Kind::User),
    ("/grpcchatter.v1.ChatService/UpdateChatRoom", Kind::User),
    ("/grpcchatter.v1.ChatService/DeleteChatRoom", Kind::User),
    ("/grpcchatter.v1.ChatService/ListChatRooms", Kind::User),
    ("/grpcchatter.v1.ChatService/CreateRoomToken", Kind::User),
    ("/grpcchatter.v1.ChatService/RemoveChatRoomUser", Kind::User),
    ("/grpcchatter.v1.ChatService/UnbanChatRoomUser", Kind::User),
    ("/grpcchatter.v1.ChatService/JoinChatRoom", Kind::User),
    ("/grpcchatter.v1.ChatService/ListChatRoomUsers", Kind::Chat),
    ("/grpcchatter.v1.ChatService/SendMessage", Kind::Chat),
    ("/grpcchatter.v1.ChatService/ListMessages", Kind::Chat),
    ("/grpcchatter.v1.ChatService/Subscribe", Kind::Chat),
    ("/grpcchatter.v1.ChatService/Chat", Kind::Chat),
    ("/grpcchatter.v1.ChatService/LeaveChatRoom", Kind::Chat),
    ("/proto.GRPCChatter/CreateChatRoom", Kind::User),
    ("/proto.GRPCChatter/UpdateChatRoom", Kind::User),
    ("/proto.GRPCChatter/DeleteChatRoom", Kind::User),
    ("/proto.GRPCChatter/ListChatRooms", Kind::User),
    ("/proto.GRPCChatter/CreateRoomToken", Kind::User),
    ("/proto.GRPCChatter/RemoveChatRoomUser", Kind::User),
    ("/proto.GRPCChatter/UnbanChatRoomUser", Kind::User),
    ("/proto.GRPCChatter/JoinChatRoom", Kind::User),
    ("/proto.GRPCChatter/ListChatRoomUsers", Kind::Chat),
    ("/proto.GRPCChatter/SendMessage", Kind::Chat),
    ("/proto.GRPCChatter/ListMessages", Kind::Chat),
    ("/proto.GRPCChatter/Subscribe", Kind::Chat),
    ("/proto.GRPCChatter/Chat", Kind::Chat),
    ("/proto.GRPCChatter/LeaveChatRoom", Kind::Chat),
];

/// A kind of token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    User,
    Room,
    Chat,
}

impl Kind {
    /// The purpose of the key that signs it.
    pub(crate) const fn purpose(self) -> &'static str {
        match self {
            Self::User => "jwt/user/1",
            Self::Room => "jwt/room/1",
            Self::Chat => "jwt/chat/1",
        }
    }
}

/// The expected refusal of a call whose token is wrong: the given one, but for Chat, which gRPC-web refuses with any token.
pub(crate) fn token_refusal(
    dialect: Dialect,
    path: &str,
    code: Code,
    reason: &'static str,
) -> (Code, &'static str) {
    if path.ends_with("/Chat") && dialect != Dialect::Native {
        (Code::Unimplemented, "BIDI_NEEDS_HTTP2")
    } else {
        (code, reason)
    }
}
