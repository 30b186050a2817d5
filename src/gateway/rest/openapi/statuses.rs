//! The statuses that several calls share. A status of one call alone stands beside its handler.

use http::Method;
use utoipa::{
    Modify,
    openapi::{ContentBuilder, OpenApi, Ref, Response, ResponseBuilder},
};

use crate::gateway::route::{Access, path_access};

/// The calls that can respond with a status.
#[derive(Clone, Copy)]
enum Calls {
    All,
    /// Those that read a body.
    WithBody,
    /// Those that may change something.
    Changing,
    /// Those that need a user token.
    WithToken,
    /// Those of accounts and sessions, which use the database.
    Stored,
}

const SHARED: [(&str, &str, Calls); 11] = [
    ("400", "the request is invalid", Calls::All),
    ("401", "the token is missing or invalid", Calls::WithToken),
    ("403", "a page of another site may not do this", Calls::Changing),
    ("408", "it took too long", Calls::All),
    ("413", "the body is larger than 16 KiB", Calls::All),
    ("415", "the body is compressed", Calls::WithBody),
    ("500", "a server error; the log has details under the response's x-request-id", Calls::All),
    ("503", "not now: Retry-After says when", Calls::Stored),
    ("504", "the body did not arrive in time", Calls::WithBody),
    ("507", "the server's storage is full", Calls::Stored),
    ("429", "too many: Retry-After says when", Calls::All),
];

/// Adds the shared statuses to each call that can respond with them. A handler's own description of a status stays.
pub(super) struct Statuses;

impl Modify for Statuses {
    fn modify(&self, openapi: &mut OpenApi) {
        for (path, item) in &mut openapi.paths.paths {
            for (method, call) in [
                (Method::GET, &mut item.get),
                (Method::POST, &mut item.post),
                (Method::PUT, &mut item.put),
                (Method::DELETE, &mut item.delete),
            ] {
                let Some(call) = call else { continue };
                let takes_body = call.request_body.is_some();
                let takes_token =
                    path_access(&method, path).is_some_and(|(access, _)| access == Access::User);
                for (status, meaning, calls) in SHARED {
                    let applies = match calls {
                        Calls::All => true,
                        Calls::WithBody => takes_body,
                        Calls::Changing => method != Method::GET,
                        Calls::WithToken => takes_token,
                        Calls::Stored => takes_body || takes_token,
                    };
                    if applies {
                        let response = call.responses.responses.entry(status.to_owned());
                        response.or_insert_with(|| refusal(meaning).into());
                    }
                }
            }
        }
    }
}

fn refusal(meaning: &str) -> Response {
    let content = ContentBuilder::new().schema(Some(Ref::from_schema_name("Refusal"))).build();
    ResponseBuilder::new().description(meaning).content("application/json", content).build()
}
