//! Who may call what, and what a call costs: one table. What is not in it is refused.

use http::Method as Verb;

use super::route::Method;
use crate::domain::Cost;

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

/// Returns what a gRPC method costs its caller.
pub(super) const fn cost_of_method(method: Method) -> Cost {
    match method {
        Method::HealthCheck | Method::HealthWatch => Cost::Probe,
        Method::CreateChatRoom
        | Method::UpdateChatRoom
        | Method::DeleteChatRoom
        | Method::RemoveChatRoomUser
        | Method::UnbanChatRoomUser
        | Method::JoinChatRoom
        | Method::LeaveChatRoom => Cost::Write,
        Method::SendMessage => Cost::Message,
        Method::ListChatRooms => Cost::List,
        Method::CreateRoomToken
        | Method::ListChatRoomUsers
        | Method::ListMessages
        | Method::Reflection
        | Method::ReflectionAlpha => Cost::Read,
        Method::Subscribe | Method::Chat => Cost::Stream,
    }
}

/// The REST calls; a path that is not here is not served.
const REST: &[(&str, Access, Cost)] = &[
    ("/register", Access::Public, Cost::Write),
    ("/login", Access::Public, Cost::Write),
    ("/refresh", Access::Public, Cost::Write),
    ("/logout", Access::User, Cost::Write),
    ("/account", Access::User, Cost::Write),
    ("/account/delete", Access::User, Cost::Write),
    ("/account/password", Access::User, Cost::Write),
    ("/livez", Access::Public, Cost::Probe),
    ("/readyz", Access::Public, Cost::Probe),
    // Asks for a token of its own, which is not a user's.
    ("/metrics", Access::Public, Cost::Probe),
    ("/openapi.json", Access::Public, Cost::Read),
    ("/docs", Access::Public, Cost::Read),
];

/// Returns what a REST call asks for, and what it costs; `None` where there is nothing at the path. Whatever else is read
/// is the page, or nothing.
pub(super) fn of_path(verb: &Verb, path: &str) -> Option<(Access, Cost)> {
    let found = REST.iter().find(|(known, ..)| *known == path).map(|(_, access, cost)| (*access, *cost));
    match found {
        Some((access, Cost::Write)) if is_read(verb) => Some((access, Cost::Read)),
        None if path == "/" && *verb == Verb::OPTIONS => Some((Access::Public, Cost::Probe)),
        // There is something: what it takes its `Allow` says.
        None if path == "/" => Some((Access::Public, Cost::Read)),
        None => is_read(verb).then_some((Access::Public, Cost::Read)),
        found => found,
    }
}

/// Returns the paths of the table.
#[cfg(test)]
pub(super) fn rest_paths() -> impl Iterator<Item = &'static str> {
    REST.iter().map(|(path, ..)| *path)
}

/// Returns the name of a path that is in the table.
pub(super) fn known_path(path: &str) -> Option<&'static str> {
    REST.iter().find(|(known, ..)| *known == path).map(|(known, ..)| *known)
}

fn is_read(verb: &Verb) -> bool {
    *verb == Verb::GET || *verb == Verb::HEAD
}
