//! The description of the REST calls: as an OpenAPI 3.1 document, and as a page that loads nothing.

mod statuses;

use std::{fmt::Write as _, sync::LazyLock};

use axum::response::{Html, IntoResponse as _, Response};
use http::header::{CONTENT_SECURITY_POLICY, CONTENT_TYPE};
use serde_json::Value;
use utoipa::{
    Modify, OpenApi,
    openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme},
};

use self::statuses::Statuses;
use super::{account, metrics, probe, response, session};
use crate::gateway::{refusal::Refusal, route::paths};

/// Collects the descriptions that stand beside the handlers.
#[derive(OpenApi)]
#[openapi(
    info(
        title = "GRPCChatter",
        description = "Accounts and sessions over REST. Rooms and messages are gRPC: see the .proto, or ask by reflection."
    ),
    paths(
        account::register,
        session::log_in,
        session::refresh,
        session::log_out,
        account::show,
        account::delete,
        account::delete_by_post,
        account::change_password,
        probe::live,
        probe::ready,
        metrics::show,
        description,
        page,
    ),
    components(schemas(response::AccountResponse, response::LogInResponse, Refusal)),
    modifiers(&Bearer, &Statuses)
)]
struct Document;

/// Adds the two bearer tokens.
struct Bearer;

impl Modify for Bearer {
    fn modify(&self, openapi: &mut utoipa::openapi::OpenApi) {
        let scheme = |text| {
            SecurityScheme::Http(
                HttpBuilder::new().scheme(HttpAuthScheme::Bearer).description(Some(text)).build(),
            )
        };
        let components = openapi.components.get_or_insert_default();
        components.add_security_scheme("user", scheme("a user token, from /login or /refresh"));
        components.add_security_scheme("metrics", scheme("METRICS_TOKEN, where it is set"));
    }
}

/// Returns the description of the REST calls as JSON.
pub fn openapi() -> &'static str {
    static DOCUMENT: LazyLock<String> = LazyLock::new(|| {
        Document::openapi().to_pretty_json().expect("a description made of the program's own names is JSON")
    });
    &DOCUMENT
}

/// This description
#[utoipa::path(get, path = paths::OPENAPI, responses((status = 200, description = "OpenAPI 3.1", content_type = "application/json")))]
pub(super) async fn description() -> Response {
    ([(CONTENT_TYPE, "application/json")], openapi()).into_response()
}

/// This description as a page
#[utoipa::path(get, path = paths::DOCS, responses((status = 200, description = "a page", content_type = "text/html")))]
pub(super) async fn page() -> Response {
    static PAGE: LazyLock<String> =
        LazyLock::new(|| html(&serde_json::from_str(openapi()).unwrap_or_default()));
    let policy =
        "default-src 'none'; img-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
    ([(CONTENT_SECURITY_POLICY, policy)], Html(PAGE.as_str())).into_response()
}

/// Writes the document as HTML: for each call a heading, its body and its responses.
fn html(document: &Value) -> String {
    let mut html = String::from(
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>GRPCChatter: REST</title>\
         <meta name=\"viewport\" content=\"width=device-width\"><h1>GRPCChatter: REST</h1>",
    );
    let about = document["info"]["description"].as_str().unwrap_or_default();
    push(
        &mut html,
        format_args!("<p>{}</p><p><a href=\"/openapi.json\">openapi.json</a></p>", escaped(about)),
    );
    for (path, calls) in document["paths"].as_object().into_iter().flatten() {
        for (verb, call) in calls.as_object().into_iter().flatten() {
            let summary = call["summary"].as_str().unwrap_or_default();
            let verb = verb.to_ascii_uppercase();
            push(
                &mut html,
                format_args!("<h2><code>{verb} {}</code></h2><p>{}</p>", escaped(path), escaped(summary)),
            );
            if !call["security"].is_null() {
                push(
                    &mut html,
                    format_args!("<p>takes a token: <code>authorization: Bearer TOKEN</code></p>"),
                );
            }
            let body = &call["requestBody"]["content"]["application/json"]["schema"];
            if !body.is_null() {
                push(&mut html, format_args!("<p>takes <code>{}</code></p>", shape(document, body)));
            }
            html.push_str("<ul>");
            for (status, response) in call["responses"].as_object().into_iter().flatten() {
                let description = escaped(response["description"].as_str().unwrap_or_default());
                let body = &response["content"]["application/json"]["schema"];
                let body = if body.is_null() {
                    String::new()
                } else {
                    format!(": <code>{}</code>", shape(document, body))
                };
                push(&mut html, format_args!("<li>{status} {description}{body}</li>"));
            }
            html.push_str("</ul>");
        }
    }
    html.push_str("</html>");
    html
}

/// Writes the names and types of an object's fields, also where the schema is a reference.
fn shape(document: &Value, schema: &Value) -> String {
    let name = schema["$ref"].as_str().and_then(|path| path.rsplit('/').next());
    let schema = name.map_or(schema, |name| &document["components"]["schemas"][name]);
    let fields = schema["properties"].as_object().into_iter().flatten();
    let fields =
        fields.map(|(name, field)| format!("\"{name}\": {}", field["type"].as_str().unwrap_or("object")));
    escaped(&format!("{{{}}}", fields.collect::<Vec<_>>().join(", ")))
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

fn push(html: &mut String, text: std::fmt::Arguments<'_>) {
    // Writing to a String cannot fail.
    let _ = html.write_fmt(text);
}
