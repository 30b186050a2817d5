//! The REST calls as a client sees them, below the layers that identify the caller.

mod page;

use std::sync::Arc;

use axum::{body::Body, response::Response};
use http::{
    HeaderMap, Method, Request, StatusCode,
    header::{ALLOW, CONTENT_TYPE, RETRY_AFTER},
};
use http_body_util::BodyExt as _;
use serde_json::{Value, json};
use tower::ServiceExt as _;

use super::*;
use crate::{
    domain::{
        RateLimitConfig,
        tests::temporary::{HERE, PASSWORD, TemporaryDatabase, TemporaryDomain, on_each_database},
    },
    gateway::peer::ClientAddress,
    metrics::Gauges,
};

on_each_database! {
    register_responds_as_the_original_byte_for_byte,
    a_bad_registration_is_refused_in_the_originals_words,
    keys_match_in_any_case_and_a_role_cannot_be_chosen,
    a_failed_log_in_does_not_say_why,
    a_session_lives_from_log_in_to_log_out,
    a_password_is_changed_and_an_account_deleted_with_the_present_password_only,
    account_calls_need_a_token,
    a_body_over_sixteen_kibibytes_is_too_large,
    other_methods_and_paths_are_refused_in_json,
    the_eleventh_registration_of_an_hour_gets_retry_after,
    probes_report_whether_the_server_is_ready,
    every_call_is_described_and_every_described_call_is_served,
    the_docs_page_shows_every_call_and_loads_nothing,
}

const INVALID_NAME: &str =
    "Invalid request body:user name must must not be empty and have at least 6 characters, including digits";
const INVALID_PASSWORD: &str = "Invalid request body:password must not be empty and must have at least 6 characters, including 1 uppercase letter, 1 lowercase letter, 1 digit and 1 special character";

struct TestResponse {
    status: StatusCode,
    headers: HeaderMap,
    body: String,
}

impl TestResponse {
    async fn of(response: Response) -> Self {
        let (parts, body) = response.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        Self {
            status: parts.status,
            headers: parts.headers,
            body: String::from_utf8_lossy(&body).into_owned(),
        }
    }

    fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap()
    }

    /// The status, the reason and the sentence of a refusal.
    fn refusal(&self) -> (u16, String, String) {
        assert_eq!(self.headers[CONTENT_TYPE], "application/json", "{}", self.body);
        let body = self.json();
        let text = |name: &str| body[name].as_str().unwrap_or_default().to_owned();
        (self.status.as_u16(), text("reason"), text("error"))
    }
}

struct Server {
    domain: TemporaryDomain,
    router: Router,
}

fn router_of(domain: &TemporaryDomain, readiness: Readiness) -> Router {
    let accounts = domain.accounts.clone();
    let gauges = Arc::new(Gauges::default);
    router(RestState { accounts, readiness, gauges, metrics_token: None, web_dir: None })
}

impl Server {
    async fn open(database: TemporaryDatabase) -> Self {
        Self::over(TemporaryDomain::open(database).await)
    }

    fn over(domain: TemporaryDomain) -> Self {
        let readiness: Readiness = Arc::new(|| Box::pin(async { Ok(()) }));
        let router = router_of(&domain, readiness);
        Self { domain, router }
    }

    /// Calls with the extensions of the layers above: the address, and the identity of a valid token.
    async fn call(
        &self,
        method: Method,
        path: &str,
        token: Option<&str>,
        body: impl Into<Body>,
    ) -> TestResponse {
        let mut request = Request::builder().method(method).uri(path).body(body.into()).unwrap();
        request.extensions_mut().insert(ClientAddress(HERE));
        if let Some(token) = token {
            match self.domain.tokens.authenticate_user(token).await {
                Ok(caller) => request.extensions_mut().insert(caller),
                Err(error) => return TestResponse::of(refuse_rest(&error)).await,
            };
        }
        TestResponse::of(self.router.clone().oneshot(request).await.unwrap()).await
    }

    async fn post(&self, path: &str, body: impl Into<Body>) -> TestResponse {
        self.call(Method::POST, path, None, body).await
    }
}

fn credentials(user_name: &str, password: &str) -> String {
    json!({ "user_name": user_name, "password": password }).to_string()
}

fn refusal(status: u16, reason: &str, sentence: &str) -> (u16, String, String) {
    (status, reason.to_owned(), sentence.to_owned())
}

async fn register_responds_as_the_original_byte_for_byte(database: TemporaryDatabase) {
    let server = Server::open(database).await;
    let response = server.post("/register", credentials("walker1", PASSWORD)).await;
    assert_eq!(response.status, 200);
    assert_eq!(response.headers[CONTENT_TYPE], "application/json");
    assert_eq!(
        response.body,
        r#"{"id":1,"created_at":"2027-01-15T08:00:00.1234Z","user_name":"walker1","role":"USER"}"#
    );
    let again = server.post("/register", credentials("walker1", PASSWORD)).await;
    assert_eq!(
        again.body,
        r#"{"error":"Invalid request body:user with the provided user name already exists","reason":"USER_NAME_TAKEN"}"#
    );
    assert_eq!(again.status, 400);
}

async fn a_bad_registration_is_refused_in_the_originals_words(database: TemporaryDatabase) {
    let server = Server::open(database).await;
    let name = || refusal(400, "INVALID_USER_NAME", INVALID_NAME);
    let password = || refusal(400, "INVALID_PASSWORD", INVALID_PASSWORD);
    let json = || refusal(400, "INVALID_JSON", "Invalid request body");
    let long = "1".repeat(256);
    for (body, expected) in [
        ("{}".to_owned(), name()),
        ("null".to_owned(), name()),
        (credentials("walker", "bad"), name()),
        (credentials("walker_1", PASSWORD), name()),
        (credentials("nul\0byte1", PASSWORD), name()),
        (credentials(&long, PASSWORD), name()),
        (credentials("walker1", "password1!"), password()),
        (credentials("walker1", &format!("Aa1!{}", "x".repeat(125))), password()),
        (r#"{"user_name":"walker1"}"#.to_owned(), password()),
        (String::new(), json()),
        ("{".to_owned(), json()),
        ("[]".to_owned(), json()),
        (r#"{"user_name":5}"#.to_owned(), json()),
        (r#"{"user_name":"walker","password":5}"#.to_owned(), json()),
        (format!("{} {{}}", credentials("walker1", PASSWORD)), json()),
        (format!("{}x", credentials("walker1", PASSWORD)), json()),
    ] {
        assert_eq!(server.post("/register", body.clone()).await.refusal(), expected, "{body}");
    }
}

async fn keys_match_in_any_case_and_a_role_cannot_be_chosen(database: TemporaryDatabase) {
    let server = Server::open(database).await;
    let body = format!(r#"{{"USER_NAME":"walker1","Password":"{PASSWORD}","role":"ADMIN"}}"#);
    assert_eq!(server.post("/register", body).await.json()["role"], "USER");
}

async fn a_failed_log_in_does_not_say_why(database: TemporaryDatabase) {
    let server = Server::open(database).await;
    server.domain.register("walker1").await;
    for body in [
        "{}".to_owned(),
        "null".to_owned(),
        credentials("walker1", "wrong"),
        credentials("WALKER1", PASSWORD),
        credentials("nobody1", PASSWORD),
    ] {
        let response = server.post("/login", body).await;
        assert_eq!(
            response.body,
            r#"{"error":"Unauthorized:invalid credentials","reason":"INVALID_CREDENTIALS"}"#
        );
        assert_eq!(response.status, 401);
    }
    let wrong_type = server.post("/login", r#"{"user_name":5}"#).await;
    assert_eq!(wrong_type.refusal(), refusal(400, "INVALID_JSON", "Invalid request body"));
}

async fn a_session_lives_from_log_in_to_log_out(database: TemporaryDatabase) {
    let server = Server::open(database).await;
    server.domain.register("walker1").await;
    let response = server.post("/login", credentials("walker1", PASSWORD)).await;
    assert_eq!(
        (response.status, &response.headers["cache-control"]),
        (StatusCode::OK, &"no-store".parse().unwrap())
    );
    let first = response.json();
    assert_eq!(first["expires_at"], "2027-01-15T08:10:00Z");
    let refresh = json!({ "refresh_token": first["refresh_token"] }).to_string();
    let second = server.post("/refresh", refresh.clone()).await.json();
    assert_ne!(second["refresh_token"], first["refresh_token"]);
    assert_eq!(server.post("/refresh", refresh).await.json(), second);
    let token = second["token"].as_str();
    let account = server.call(Method::GET, "/account", token, "").await;
    assert_eq!(account.json()["user_name"], "walker1");
    let out = server.call(Method::POST, "/logout", token, "").await;
    assert_eq!((out.status, out.body.as_str()), (StatusCode::NO_CONTENT, ""));
    let after = server.call(Method::GET, "/account", token, "").await;
    assert_eq!(after.refusal().1, "TOKEN_REVOKED");
    let garbage = server.post("/refresh", r#"{"refresh_token":"garbage"}"#).await;
    assert_eq!((garbage.refusal().0, garbage.refusal().1.as_str()), (401, "TOKEN_INVALID"));
}

async fn a_password_is_changed_and_an_account_deleted_with_the_present_password_only(
    database: TemporaryDatabase,
) {
    let server = Server::open(database).await;
    let token = server.domain.register("walker1").await.token;
    let token = Some(token.as_str());
    let change = |old: &str, new: &str| json!({ "password": old, "new_password": new }).to_string();
    for (body, reason) in [
        (change("wrong", "N3w-passw0rd!"), "INVALID_CREDENTIALS"),
        (change(PASSWORD, "weak"), "INVALID_PASSWORD"),
        ("{".to_owned(), "INVALID_JSON"),
    ] {
        let response = server.call(Method::PUT, "/account/password", token, body).await;
        assert_eq!(response.refusal().1, reason);
    }
    let changed =
        server.call(Method::PUT, "/account/password", token, change(PASSWORD, "N3w-passw0rd!")).await;
    assert_eq!(changed.status, 204);
    let delete = |password: &str| json!({ "password": password }).to_string();
    let refused = server.call(Method::DELETE, "/account", token, delete(PASSWORD)).await;
    assert_eq!((refused.refusal().0, refused.refusal().1.as_str()), (401, "INVALID_CREDENTIALS"));
    let deleted = server.call(Method::DELETE, "/account", token, delete("N3w-passw0rd!")).await;
    assert_eq!(deleted.status, 204);
    assert_eq!(server.post("/login", credentials("walker1", "N3w-passw0rd!")).await.status, 401);
}

async fn account_calls_need_a_token(database: TemporaryDatabase) {
    let server = Server::open(database).await;
    for (method, path) in [
        (Method::POST, "/logout"),
        (Method::GET, "/account"),
        (Method::PUT, "/account/password"),
        (Method::DELETE, "/account"),
        (Method::POST, "/account/delete"),
    ] {
        let response = server.call(method, path, None, "{}").await;
        assert_eq!((response.refusal().0, response.refusal().1.as_str()), (401, "TOKEN_MISSING"), "{path}");
        assert_eq!(response.headers["www-authenticate"], "Bearer");
    }
}

async fn a_body_over_sixteen_kibibytes_is_too_large(database: TemporaryDatabase) {
    let server = Server::open(database).await;
    let fits = format!("{{}}{}", " ".repeat(16 * 1024 - 2));
    assert_eq!(server.post("/login", fits.clone()).await.status, 401);
    let announced = Body::from(format!("{fits} "));
    let pieces = [Ok::<_, std::io::Error>(fits), Ok(" ".to_owned())];
    let chunked = Body::from_stream(futures_util::stream::iter(pieces));
    for body in [announced, chunked] {
        let response = server.post("/login", body).await;
        assert_eq!((response.refusal().0, response.refusal().1.as_str()), (413, "TOO_LARGE"));
    }
}

async fn other_methods_and_paths_are_refused_in_json(database: TemporaryDatabase) {
    let server = Server::open(database).await;
    for (method, path, allow) in [
        (Method::GET, "/register", "POST"),
        (Method::PUT, "/login", "POST"),
        (Method::POST, "/account", "GET,HEAD,DELETE"),
        (Method::POST, "/", "GET,HEAD,OPTIONS"),
    ] {
        let response = server.call(method, path, None, "").await;
        assert_eq!(
            (response.refusal().0, response.refusal().1.as_str()),
            (405, "METHOD_NOT_ALLOWED"),
            "{path}"
        );
        assert_eq!(response.headers[ALLOW], allow, "{path}");
    }
    for path in ["/register/", "/nothing", "/index.html", "/../Cargo.toml", "//register"] {
        let response = server.call(Method::GET, path, None, "").await;
        assert_eq!(
            response.refusal(),
            refusal(404, "PATH_NOT_FOUND", "there is nothing at this path"),
            "{path}"
        );
    }
}

async fn the_eleventh_registration_of_an_hour_gets_retry_after(database: TemporaryDatabase) {
    let server = Server::over(TemporaryDomain::with_limits(database, RateLimitConfig::default()).await);
    for number in 10..20 {
        assert_eq!(
            server.post("/register", credentials(&format!("walker{number}"), PASSWORD)).await.status,
            200
        );
    }
    let response = server.post("/register", credentials("walker20", PASSWORD)).await;
    assert_eq!((response.refusal().0, response.refusal().1.as_str()), (429, "RATE_LIMITED"));
    let seconds: u64 = response.headers[RETRY_AFTER].to_str().unwrap().parse().unwrap();
    assert!((3600..=3900).contains(&seconds), "{seconds}");
}

async fn probes_report_whether_the_server_is_ready(database: TemporaryDatabase) {
    let server = Server::open(database).await;
    assert_eq!(server.call(Method::GET, "/livez", None, "").await.status, 200);
    assert_eq!(server.call(Method::GET, "/readyz", None, "").await.status, 200);
    let draining: Readiness = Arc::new(|| Box::pin(async { Err(Error::Draining) }));
    let router = router_of(&server.domain, draining);
    let request = Request::get("/readyz").body(Body::empty()).unwrap();
    let response = TestResponse::of(router.oneshot(request).await.unwrap()).await;
    assert_eq!((response.refusal().0, response.refusal().1.as_str()), (503, "DRAINING"));
    assert_eq!(response.headers[RETRY_AFTER], "1");
}

/// Returns the method and path of each call in the OpenAPI document.
fn described() -> Vec<(Method, String)> {
    let document: Value = serde_json::from_str(openapi()).unwrap();
    assert_eq!(document["openapi"], "3.1.0");
    let paths = document["paths"].as_object().unwrap();
    let calls = paths.iter().flat_map(|(path, calls)| {
        calls.as_object().unwrap().keys().map(|verb| (verb.to_uppercase().parse().unwrap(), path.clone()))
    });
    calls.collect()
}

async fn every_call_is_described_and_every_described_call_is_served(database: TemporaryDatabase) {
    let server = Server::open(database).await;
    let described = described();
    for path in crate::gateway::route::rest_paths() {
        for method in [Method::GET, Method::POST, Method::PUT, Method::DELETE, Method::PATCH] {
            let request = Request::builder().method(method.clone()).uri(path).body(Body::empty()).unwrap();
            let response = server.router.clone().oneshot(request).await.unwrap();
            let served = response.status() != StatusCode::METHOD_NOT_ALLOWED;
            let listed = described.contains(&(method.clone(), path.to_owned()));
            assert_eq!(served, listed, "{method} {path}");
        }
    }
    let paths: Vec<_> = crate::gateway::route::rest_paths().collect();
    for (method, path) in described {
        assert!(paths.contains(&path.as_str()), "{method} {path} is not in the table");
    }
}

/// Client generators name their functions by them (OpenAPI 3.1, 4.8.10).
#[test]
fn operation_ids_are_unique() {
    let document: Value = serde_json::from_str(openapi()).unwrap();
    let calls = document["paths"].as_object().unwrap().values().flat_map(|calls| calls.as_object().unwrap());
    let names: Vec<_> = calls.map(|(_, call)| call["operationId"].as_str().unwrap()).collect();
    let distinct: std::collections::BTreeSet<_> = names.iter().collect();
    assert_eq!(distinct.len(), names.len(), "{names:?}");
}

#[test]
fn each_call_lists_its_statuses() {
    let document: Value = serde_json::from_str(openapi()).unwrap();
    for (verb, path, expected) in [
        ("post", "/register", "200 400 403 408 413 415 429 500 503 504 507"),
        ("post", "/refresh", "200 400 401 403 408 413 415 429 500 503 504 507"),
        ("delete", "/account", "204 400 401 403 408 409 413 415 429 500 503 504 507"),
        ("post", "/account/delete", "204 400 401 403 408 409 413 415 429 500 503 504 507"),
        ("post", "/logout", "204 400 401 403 408 413 429 500 503 507"),
        ("get", "/readyz", "200 400 408 413 429 500 503"),
        ("get", "/metrics", "200 400 401 403 404 408 413 429 500"),
    ] {
        let responses = document["paths"][path][verb]["responses"].as_object().unwrap();
        let statuses: Vec<_> = responses.keys().map(String::as_str).collect();
        assert_eq!(statuses.join(" "), expected, "{verb} {path}");
    }
}

async fn the_docs_page_shows_every_call_and_loads_nothing(database: TemporaryDatabase) {
    let server = Server::open(database).await;
    let response = server.call(Method::GET, "/docs", None, "").await;
    assert_eq!(response.status, 200);
    assert!(response.headers["content-security-policy"].to_str().unwrap().starts_with("default-src 'none'"));
    for (method, path) in described() {
        assert!(response.body.contains(&format!("<code>{method} {path}</code>")), "{method} {path}");
    }
    assert!(!response.body.contains("<script") && !response.body.contains("src="), "{}", response.body);
    assert!(response.body.contains("&quot;user_name&quot;: string"), "{}", response.body);
}
