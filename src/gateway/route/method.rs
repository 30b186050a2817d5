//! The gRPC methods, with their names.

/// A gRPC method of this server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(in crate::gateway) enum Method {
    CreateChatRoom,
    UpdateChatRoom,
    DeleteChatRoom,
    ListChatRooms,
    CreateRoomToken,
    RemoveChatRoomUser,
    UnbanChatRoomUser,
    JoinChatRoom,
    LeaveChatRoom,
    ListChatRoomUsers,
    SendMessage,
    ListMessages,
    Subscribe,
    Chat,
    HealthCheck,
    HealthWatch,
    Reflection,
    ReflectionAlpha,
}

/// The name of the chat service.
pub(in crate::gateway) const SERVICE: &str = "grpcchatter.v1.ChatService";

/// The name of the chat service for the original's clients.
pub(in crate::gateway) const LEGACY_SERVICE: &str = "proto.GRPCChatter";

const HEALTH: &str = "grpc.health.v1.Health";
const REFLECTION: &str = "grpc.reflection.v1.ServerReflection";
const REFLECTION_ALPHA: &str = "grpc.reflection.v1alpha.ServerReflection";

/// Returns whether this server has a service.
pub(super) fn is_served(service: &str) -> bool {
    matches!(service, SERVICE | LEGACY_SERVICE | HEALTH | REFLECTION | REFLECTION_ALPHA)
}

impl Method {
    /// Returns the method of a service; none where there is no such method.
    pub(super) fn parse(service: &str, name: &str) -> Option<Self> {
        Some(match (service, name) {
            (SERVICE | LEGACY_SERVICE, "CreateChatRoom") => Self::CreateChatRoom,
            (SERVICE | LEGACY_SERVICE, "DeleteChatRoom") => Self::DeleteChatRoom,
            (SERVICE | LEGACY_SERVICE, "JoinChatRoom") => Self::JoinChatRoom,
            (SERVICE | LEGACY_SERVICE, "ListChatRoomUsers") => Self::ListChatRoomUsers,
            (SERVICE | LEGACY_SERVICE, "Chat") => Self::Chat,
            (SERVICE | LEGACY_SERVICE, "UpdateChatRoom") => Self::UpdateChatRoom,
            (SERVICE | LEGACY_SERVICE, "ListChatRooms") => Self::ListChatRooms,
            (SERVICE | LEGACY_SERVICE, "CreateRoomToken") => Self::CreateRoomToken,
            (SERVICE | LEGACY_SERVICE, "RemoveChatRoomUser") => Self::RemoveChatRoomUser,
            (SERVICE | LEGACY_SERVICE, "UnbanChatRoomUser") => Self::UnbanChatRoomUser,
            (SERVICE | LEGACY_SERVICE, "LeaveChatRoom") => Self::LeaveChatRoom,
            (SERVICE | LEGACY_SERVICE, "SendMessage") => Self::SendMessage,
            (SERVICE | LEGACY_SERVICE, "ListMessages") => Self::ListMessages,
            (SERVICE | LEGACY_SERVICE, "Subscribe") => Self::Subscribe,
            (HEALTH, "Check") => Self::HealthCheck,
            (HEALTH, "Watch") => Self::HealthWatch,
            (REFLECTION, "ServerReflectionInfo") => Self::Reflection,
            (REFLECTION_ALPHA, "ServerReflectionInfo") => Self::ReflectionAlpha,
            _ => return None,
        })
    }

    /// Returns the name in logs and metrics.
    pub(in crate::gateway) const fn as_str(self) -> &'static str {
        match self {
            Self::CreateChatRoom => "CreateChatRoom",
            Self::UpdateChatRoom => "UpdateChatRoom",
            Self::DeleteChatRoom => "DeleteChatRoom",
            Self::ListChatRooms => "ListChatRooms",
            Self::CreateRoomToken => "CreateRoomToken",
            Self::RemoveChatRoomUser => "RemoveChatRoomUser",
            Self::UnbanChatRoomUser => "UnbanChatRoomUser",
            Self::JoinChatRoom => "JoinChatRoom",
            Self::LeaveChatRoom => "LeaveChatRoom",
            Self::ListChatRoomUsers => "ListChatRoomUsers",
            Self::SendMessage => "SendMessage",
            Self::ListMessages => "ListMessages",
            Self::Subscribe => "Subscribe",
            Self::Chat => "Chat",
            Self::HealthCheck => "Check",
            Self::HealthWatch => "Watch",
            Self::Reflection | Self::ReflectionAlpha => "ServerReflectionInfo",
        }
    }

    /// Returns the name of its service; `is_legacy`: as the original's clients call it.
    pub(in crate::gateway) const fn service(self, is_legacy: bool) -> &'static str {
        match self {
            Self::HealthCheck | Self::HealthWatch => HEALTH,
            Self::Reflection => REFLECTION,
            Self::ReflectionAlpha => REFLECTION_ALPHA,
            _ if is_legacy => LEGACY_SERVICE,
            _ => SERVICE,
        }
    }

    /// Returns whether both sides stream, which gRPC-web cannot.
    pub(in crate::gateway) const fn is_bidi(self) -> bool {
        matches!(self, Self::Chat | Self::Reflection | Self::ReflectionAlpha)
    }

    /// Returns whether the response is a stream, which has no timeout by default.
    pub(in crate::gateway) const fn is_streaming(self) -> bool {
        matches!(self, Self::Subscribe | Self::HealthWatch) || self.is_bidi()
    }

    /// Returns the path under which the method is implemented, whichever of its names was called.
    pub(in crate::gateway) fn canonical_path(self) -> String {
        let service = if self == Self::ReflectionAlpha { REFLECTION } else { self.service(false) };
        format!("/{service}/{}", self.as_str())
    }
}
