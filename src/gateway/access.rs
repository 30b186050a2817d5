//! Who may call what: one table. What is not in it is refused.

use http::Method as Verb;

use super::route::Method;

/// What a call asks of its caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Access {
    /// Nothing.
    Public,
    /// A user token.
    User,
    /// A chat token.
    Chat,
}

/// Returns what a gRPC method asks for.
pub(super) const fn of_method(method: Method) -> Access {
    match method {
        Method::HealthCheck | Method::HealthWatch | Method::Reflection | Method::ReflectionAlpha => {
            Access::Public
        }
        Method::CreateChatRoom
        | Method::UpdateChatRoom
        | Method::DeleteChatRoom
        | Method::ListChatRooms
        | Method::CreateRoomToken
        | Method::RemoveChatRoomUser
        | Method::UnbanChatRoomUser
        | Method::JoinChatRoom => Access::User,
        Method::LeaveChatRoom
        | Method::ListChatRoomUsers
        | Method::SendMessage
        | Method::ListMessages
        | Method::Subscribe
        | Method::Chat => Access::Chat,
    }
}

/// The REST calls; a path that is not here is not served.
const REST: &[(&str, Access)] = &[
    ("/register", Access::Public),
    ("/login", Access::Public),
    ("/refresh", Access::Public),
    ("/logout", Access::User),
    ("/account", Access::User),
    ("/account/password", Access::User),
    ("/livez", Access::Public),
    ("/readyz", Access::Public),
    // Asks for a token of its own, which is not a user's.
    ("/metrics", Access::Public),
    ("/openapi.json", Access::Public),
    ("/docs", Access::Public),
];

/// Returns what a REST call asks for; `None` where there is nothing at the path. Whatever else is read is the page, or
/// nothing.
pub(super) fn of_path(verb: &Verb, path: &str) -> Option<Access> {
    let found = REST.iter().find(|(known, _)| *known == path).map(|(_, access)| *access);
    found.or_else(|| (is_read(verb)).then_some(Access::Public))
}

/// Returns the paths of the table.
#[cfg(test)]
pub(super) fn rest_paths() -> impl Iterator<Item = &'static str> {
    REST.iter().map(|(path, _)| *path)
}

/// Returns the name of a path that is in the table.
pub(super) fn known_path(path: &str) -> Option<&'static str> {
    REST.iter().find(|(known, _)| *known == path).map(|(known, _)| *known)
}

fn is_read(verb: &Verb) -> bool {
    *verb == Verb::GET || *verb == Verb::HEAD
}
