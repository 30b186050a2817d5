//! The page's files from a folder, read anew for each request: for whoever works on them. What is compiled into the
//! program is served by [`page`](super::page).

use std::path::{Component, Path, PathBuf};

use axum::{
    Router,
    extract::Request,
    response::{IntoResponse as _, Response},
    routing::get,
};
use http::header::CONTENT_TYPE;

use super::super::status::refuse;
use crate::model::Error;

/// Serves what is in a folder, `/` being its index.html.
pub(super) fn router<S: Clone + Send + Sync + 'static>(folder: PathBuf) -> Router<S> {
    let file = get(move |request: Request| {
        let file = file(&folder, request.uri().path());
        async move {
            match file {
                Some(file) => answer(&file).await,
                None => refuse(&Error::PathNotFound),
            }
        }
    });
    Router::new().route("/", file.clone()).route("/{*path}", file)
}

/// Returns the file at a path; none where the path leads anywhere but down.
fn file(folder: &Path, path: &str) -> Option<PathBuf> {
    let path = path.strip_prefix('/')?;
    let path = Path::new(if path.is_empty() { "index.html" } else { path });
    path.components().all(|part| matches!(part, Component::Normal(_))).then(|| folder.join(path))
}

async fn answer(file: &Path) -> Response {
    let kind = match file.extension().and_then(|extension| extension.to_str()) {
        Some("html") => "text/html; charset=utf-8",
        Some("js") => "text/javascript; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("svg") => "image/svg+xml",
        Some("webmanifest") => "application/manifest+json",
        _ => "application/octet-stream",
    };
    match tokio::fs::read(file).await {
        Ok(bytes) => ([(CONTENT_TYPE, kind)], bytes).into_response(),
        Err(error) => {
            tracing::debug!(%error, file = %file.display(), "a file of the page cannot be read");
            refuse(&Error::PathNotFound)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_leads_down_and_nowhere_else() {
        let folder = Path::new("dist");
        assert_eq!(file(folder, "/"), Some(folder.join("index.html")));
        assert_eq!(file(folder, "/img/a.svg"), Some(folder.join("img/a.svg")));
        for path in ["/../Cargo.toml", "/a/../../b", "//etc/passwd", "/./a", ""] {
            assert_eq!(file(folder, path), None, "{path}");
        }
    }
}
