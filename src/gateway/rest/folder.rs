//! The files of the page from a folder, read at each request, for those who develop the page. The compiled files are served by
//! [`page`](super::page).

use std::path::{Component, Path, PathBuf};

use axum::{
    Router,
    extract::Request,
    response::{IntoResponse as _, Response},
    routing::get,
};
use http::header::CONTENT_TYPE;

use super::super::refusal::refuse_rest;
use crate::model::Error;

/// Serves the files of a folder, and its index.html at `/`.
pub(super) fn router<S: Clone + Send + Sync + 'static>(folder: PathBuf) -> Router<S> {
    let file = get(move |request: Request| {
        let file = file(&folder, request.uri().path());
        async move {
            match file {
                Some(file) => respond(&file).await,
                None => refuse_rest(&Error::PathNotFound),
            }
        }
    });
    Router::new().route("/", file.clone()).route("/{*path}", file)
}

/// Returns the file at a path; none where the path may leave the folder.
fn file(folder: &Path, path: &str) -> Option<PathBuf> {
    let path = path.strip_prefix('/')?;
    let path = Path::new(if path.is_empty() { "index.html" } else { path });
    path.components().all(|part| matches!(part, Component::Normal(_))).then(|| folder.join(path))
}

async fn respond(file: &Path) -> Response {
    let content_type = match file.extension().and_then(|extension| extension.to_str()) {
        Some("html") => "text/html; charset=utf-8",
        Some("js") => "text/javascript; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("svg") => "image/svg+xml",
        Some("webmanifest") => "application/manifest+json",
        _ => "application/octet-stream",
    };
    match tokio::fs::read(file).await {
        Ok(bytes) => ([(CONTENT_TYPE, content_type)], bytes).into_response(),
        Err(error) => {
            tracing::debug!(%error, file = %file.display(), "a file of the page cannot be read");
            refuse_rest(&Error::PathNotFound)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_path_leaves_the_folder() {
        let folder = Path::new("dist");
        assert_eq!(file(folder, "/"), Some(folder.join("index.html")));
        assert_eq!(file(folder, "/img/a.svg"), Some(folder.join("img/a.svg")));
        for path in ["/../Cargo.toml", "/a/../../b", "//etc/passwd", "/./a", ""] {
            assert_eq!(file(folder, path), None, "{path}");
        }
    }
}
