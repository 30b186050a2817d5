//! The page, whose files are compiled into the program.

use std::path::PathBuf;

use axum::{Router, routing::get};
use http::{
    HeaderMap, HeaderName, HeaderValue,
    header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, REFERRER_POLICY},
};
use tower_http::set_header::SetResponseHeaderLayer;

use super::{folder, static_file::StaticFile};

/// The files of the page, which build.rs has compressed.
static FILES: &[StaticFile] = include!(concat!(env!("OUT_DIR"), "/page.rs"));

/// The page may load its own files and call its own origin, and nothing else. No text of a user can become a script.
const CONTENT_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; \
    connect-src 'self'; font-src 'self'; manifest-src 'self'; worker-src 'self'; base-uri 'none'; \
    form-action 'self'; frame-ancestors 'none'; require-trusted-types-for 'script'";

/// Serves the files of the page, or those of a folder in their place. Their names never change, so a browser revalidates each
/// file by its ETag.
pub(super) fn router<S: Clone + Send + Sync + 'static>(web_dir: Option<PathBuf>) -> Router<S> {
    let files = web_dir.map_or_else(compiled, folder::router);
    [(CACHE_CONTROL, "no-cache"), (CONTENT_SECURITY_POLICY, CONTENT_POLICY), (REFERRER_POLICY, "no-referrer")]
        .into_iter()
        .fold(files, |router, (name, value)| router.layer(header(name, value)))
}

fn compiled<S: Clone + Send + Sync + 'static>() -> Router<S> {
    FILES.iter().fold(Router::new(), |router, file| {
        router.route(file.path, get(move |headers: HeaderMap| async move { file.respond(&headers) }))
    })
}

fn header(name: HeaderName, value: &'static str) -> SetResponseHeaderLayer<HeaderValue> {
    SetResponseHeaderLayer::overriding(name, HeaderValue::from_static(value))
}
