//! The page: its headers and encodings, and a folder instead of the compiled files.

use super::*;

on_each_database! {
    the_page_has_its_policy_and_is_revalidated,
    the_page_is_sent_in_the_accepted_encoding,
    a_folder_is_served_in_place_of_the_page,
}

async fn the_page_has_its_policy_and_is_revalidated(database: TemporaryDatabase) {
    let server = Server::open(database).await;
    let page = server.call(Method::GET, "/", None, "").await;
    assert_eq!(page.status, 200);
    assert!(page.headers[CONTENT_TYPE].to_str().unwrap().starts_with("text/html"));
    assert_eq!(page.headers["cache-control"], "no-cache");
    assert_eq!(page.headers["referrer-policy"], "no-referrer");
    assert_eq!(
        page.headers["content-security-policy"],
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; \
         font-src 'self'; manifest-src 'self'; worker-src 'self'; base-uri 'none'; form-action 'self'; \
         frame-ancestors 'none'; require-trusted-types-for 'script'"
    );
    let mut request = Request::get("/").body(Body::empty()).unwrap();
    request.headers_mut().insert("if-none-match", page.headers["etag"].clone());
    let again = TestResponse::of(server.router.clone().oneshot(request).await.unwrap()).await;
    assert_eq!((again.status, again.body.as_str()), (StatusCode::NOT_MODIFIED, ""));
    assert_eq!(again.headers["cache-control"], "no-cache");
}

async fn the_page_is_sent_in_the_accepted_encoding(database: TemporaryDatabase) {
    let server = Server::open(database).await;
    let plain = server.call(Method::GET, "/app.js", None, "").await;
    for (encoding, magic) in [("gzip", &[0x1f, 0x8b][..]), ("br", &[])] {
        let request =
            Request::get("/app.js").header("accept-encoding", encoding).body(Body::empty()).unwrap();
        let response = server.router.clone().oneshot(request).await.unwrap();
        assert_eq!(response.headers()["content-encoding"], encoding);
        assert!(response.headers().contains_key("content-security-policy"));
        let body = response.into_body().collect().await.unwrap().to_bytes();
        assert!(body.starts_with(magic) && body.len() < plain.body.len(), "{encoding}: {}", body.len());
    }
}

async fn a_folder_is_served_in_place_of_the_page(database: TemporaryDatabase) {
    let server = Server::open(database).await;
    let folder = tempfile::tempdir().unwrap();
    let readiness: Readiness = Arc::new(|| Box::pin(async { Ok(()) }));
    let (accounts, gauges) = (server.domain.accounts.clone(), Arc::new(Gauges::default));
    let web_dir = Some(folder.path().to_owned());
    let router = router(RestState { accounts, readiness, gauges, metrics_token: None, web_dir });
    let get = async |path: &str| {
        let request = Request::get(path).body(Body::empty()).unwrap();
        TestResponse::of(router.clone().oneshot(request).await.unwrap()).await
    };
    let compiled = server.call(Method::GET, "/", None, "").await;
    for text in ["before", "after"] {
        std::fs::write(folder.path().join("index.html"), text).unwrap();
        let page = get("/").await;
        assert_eq!((page.status, page.body.as_str()), (StatusCode::OK, text));
        for name in ["content-security-policy", "cache-control", "referrer-policy"] {
            assert_eq!(page.headers[name], compiled.headers[name], "{name}");
        }
    }
    assert_eq!(get("/livez").await.status, 200);
    assert_eq!(get("/nothing.js").await.refusal().1, "PATH_NOT_FOUND");
}
