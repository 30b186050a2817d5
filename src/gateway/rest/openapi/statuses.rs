//! The statuses that calls share. Only what is a call's own stands beside its handler.

use http::Method;
use utoipa::{
    Modify,
    openapi::{ContentBuilder, OpenApi, Ref, Response, ResponseBuilder},
};

use super::super::super::access::{Access, of_path};

/// Which calls can answer so.
#[derive(Clone, Copy)]
enum Concerned {
    All,
    /// Those that read a body.
    WithBody,
    /// Those that may change something.
    Changing,
    /// Those that ask for a user token.
    WithToken,
    /// Those of accounts and sessions: they ask the database.
    Stored,
}

const SHARED: [(&str, &str, Concerned); 11] = [
    ("400", "the request is not what it should be", Concerned::All),
    ("401", "the token is missing or no good", Concerned::WithToken),
    ("403", "a page of another site may not do this", Concerned::Changing),
    ("408", "it took too long", Concerned::All),
    ("413", "the body is larger than 16 KiB", Concerned::All),
    ("415", "the body is compressed", Concerned::WithBody),
    ("500", "a fault of the server; the log says more, under the answer's x-request-id", Concerned::All),
    ("503", "not now: Retry-After says when", Concerned::Stored),
    ("504", "the body did not arrive in time", Concerned::WithBody),
    ("507", "the server's storage is full", Concerned::Stored),
    ("429", "too many: Retry-After says when", Concerned::All),
];

/// Adds them to each call that can give them. What a handler says of a status itself stays.
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
                let takes_token = of_path(&method, path).is_some_and(|(access, _)| access == Access::User);
                for (status, meaning, concerned) in SHARED {
                    let gives = match concerned {
                        Concerned::All => true,
                        Concerned::WithBody => takes_body,
                        Concerned::Changing => method != Method::GET,
                        Concerned::WithToken => takes_token,
                        Concerned::Stored => takes_body || takes_token,
                    };
                    if gives {
                        let known = call.responses.responses.entry(status.to_owned());
                        known.or_insert_with(|| refusal(meaning).into());
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
