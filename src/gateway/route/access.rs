//! Who may call what, and what a call costs, in one table. A path or method that is not in it is refused.

use http::Method as Verb;

use super::{method::Method, paths::*};
use crate::domain::Cost;

/// The token that a call needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::gateway) enum Access {
    /// None.
    Public,
    /// A user token.
    User,
    /// A chat token.
    Chat,
}

/// Returns the token that a gRPC method needs.
pub(in crate::gateway) const fn method_access(method: Method) -> Access {
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

/// Returns the cost of a gRPC method.
pub(in crate::gateway) const fn method_cost(method: Method) -> Cost {
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

/// The REST calls. GET and HEAD cost a read, also on paths marked `Cost::Write`.
const REST: &[(&str, Access, Cost)] = &[
    (REGISTER, Access::Public, Cost::Write),
    (LOGIN, Access::Public, Cost::Write),
    (REFRESH, Access::Public, Cost::Write),
    (LOGOUT, Access::User, Cost::Write),
    (ACCOUNT, Access::User, Cost::Write),
    (ACCOUNT_DELETE, Access::User, Cost::Write),
    (ACCOUNT_PASSWORD, Access::User, Cost::Write),
    (LIVEZ, Access::Public, Cost::Probe),
    (READYZ, Access::Public, Cost::Probe),
    // Its handler checks METRICS_TOKEN.
    (METRICS, Access::Public, Cost::Probe),
    (OPENAPI, Access::Public, Cost::Read),
    (DOCS, Access::Public, Cost::Read),
];

/// Returns the token that a REST call needs, and its cost; none where the path takes no such call. A path that is not in the
/// table may be a file of the page, which can only be read.
pub(in crate::gateway) fn path_access(verb: &Verb, path: &str) -> Option<(Access, Cost)> {
    let found = REST.iter().find(|(known, ..)| *known == path).map(|(_, access, cost)| (*access, *cost));
    match found {
        Some((access, Cost::Write)) if is_read(verb) => Some((access, Cost::Read)),
        None if path == "/" && *verb == Verb::OPTIONS => Some((Access::Public, Cost::Probe)),
        // The router refuses the method, and its `Allow` lists the others.
        None if path == "/" => Some((Access::Public, Cost::Read)),
        None => is_read(verb).then_some((Access::Public, Cost::Read)),
        found => found,
    }
}

/// Returns the paths of the table.
#[cfg(test)]
pub(in crate::gateway) fn rest_paths() -> impl Iterator<Item = &'static str> {
    REST.iter().map(|(path, ..)| *path)
}

/// Returns a path of the table, as a name for logs and metrics.
pub(in crate::gateway) fn known_path(path: &str) -> Option<&'static str> {
    REST.iter().find(|(known, ..)| *known == path).map(|(known, ..)| *known)
}

fn is_read(verb: &Verb) -> bool {
    *verb == Verb::GET || *verb == Verb::HEAD
}
