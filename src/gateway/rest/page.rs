//! The page, compiled into the program: whoever has the binary has all of it.

use std::path::PathBuf;

use axum::{Router, routing::get};
use http::{
    HeaderMap, HeaderName, HeaderValue,
    header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, REFERRER_POLICY},
};
use tower_http::set_header::SetResponseHeaderLayer;

use super::{document::Document, folder};

/// The page's files, which build.rs has compressed.
static FILES: &[Document] = include!(concat!(env!("OUT_DIR"), "/page.rs"));

/// What the page may do: load its own files, talk to its own origin, and nothing else. Texts that others wrote
/// cannot become script.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; \
    connect-src 'self'; font-src 'self'; manifest-src 'self'; worker-src 'self'; base-uri 'none'; \
    form-action 'self'; frame-ancestors 'none'; require-trusted-types-for 'script'";

/// Serves the page's files, or those of a folder in their place. Names are stable, so a browser asks each time and is told by its ETag that nothing
/// is new.
pub(super) fn router<S: Clone + Send + Sync + 'static>(web_dir: Option<PathBuf>) -> Router<S> {
    let files = web_dir.map_or_else(compiled, folder::router);
    [(CACHE_CONTROL, "no-cache"), (CONTENT_SECURITY_POLICY, POLICY), (REFERRER_POLICY, "no-referrer")]
        .into_iter()
        .fold(files, |router, (name, value)| router.layer(header(name, value)))
}

fn compiled<S: Clone + Send + Sync + 'static>() -> Router<S> {
    FILES.iter().fold(Router::new(), |router, file| {
        router.route(file.path, get(move |headers: HeaderMap| async move { file.answer(&headers) }))
    })
}

fn header(name: HeaderName, value: &'static str) -> SetResponseHeaderLayer<HeaderValue> {
    SetResponseHeaderLayer::overriding(name, HeaderValue::from_static(value))
}
