//! The builder of a [`Client`]: URL, timeouts, session file, certificate authorities.

use std::{fmt, path::PathBuf, sync::Arc, time::Duration};

use http::{Uri, uri::Scheme};
use tonic::transport::Endpoint;

use crate::{Client, Error, session::ClientSession, session_file::SessionFile, transport::Transport};

/// Longer than the server's own deadline for a call, 5 s.
const CALL_TIMEOUT: Duration = Duration::from_secs(10);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Covers a restart of the server (seconds) and a failover of its database (longer).
const SEND_TIMEOUT: Duration = Duration::from_secs(60);
/// Detects a peer that is gone while a stream is open. A frozen server is detected by missing heartbeats.
const PING_INTERVAL: Duration = Duration::from_secs(20);
const PING_TIMEOUT: Duration = Duration::from_secs(10);

/// Builds a [`Client`]. Does not connect.
///
/// ```
/// use std::time::Duration;
/// use grpcchatter_client::Client;
///
/// let client = Client::builder("http://localhost:8080")
///     .call_timeout(Duration::from_secs(3))
///     .send_timeout(Duration::from_secs(30))
///     .build()?;
/// # let _ = client;
/// # Ok::<(), grpcchatter_client::Error>(())
/// ```
#[derive(Clone)]
#[must_use = "a builder does nothing until it is built"]
pub struct ClientBuilder {
    url: String,
    call_timeout: Duration,
    connect_timeout: Duration,
    send_timeout: Duration,
    session_file: Option<PathBuf>,
    #[cfg(feature = "tls")]
    authorities: Vec<Vec<u8>>,
}

impl fmt::Debug for ClientBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientBuilder").field("url", &redact_credentials(&self.url)).finish_non_exhaustive()
    }
}

impl ClientBuilder {
    pub(crate) fn new(url: String) -> Self {
        Self {
            url,
            call_timeout: CALL_TIMEOUT,
            connect_timeout: CONNECT_TIMEOUT,
            send_timeout: SEND_TIMEOUT,
            session_file: None,
            #[cfg(feature = "tls")]
            authorities: Vec::new(),
        }
    }

    /// Sets the timeout of one attempt of a call; 10 s by default.
    ///
    /// ```
    /// # use std::time::Duration;
    /// let builder = grpcchatter_client::Client::builder("http://localhost:8080");
    /// let client = builder.call_timeout(Duration::from_secs(3)).build()?;
    /// # let _ = client;
    /// # Ok::<(), grpcchatter_client::Error>(())
    /// ```
    pub fn call_timeout(mut self, timeout: Duration) -> Self {
        self.call_timeout = timeout;
        self
    }

    /// Sets the timeout for opening a connection; 5 s by default.
    ///
    /// ```
    /// # use std::time::Duration;
    /// let builder = grpcchatter_client::Client::builder("http://localhost:8080");
    /// let client = builder.connect_timeout(Duration::from_millis(500)).build()?;
    /// # let _ = client;
    /// # Ok::<(), grpcchatter_client::Error>(())
    /// ```
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout = timeout;
        self
    }

    /// Sets the total time for sending a message, or for any other call that is retried, including all attempts and
    /// the delays between them; 60 s by default.
    ///
    /// ```
    /// # use std::time::Duration;
    /// let builder = grpcchatter_client::Client::builder("http://localhost:8080");
    /// let client = builder.send_timeout(Duration::from_secs(10)).build()?;
    /// # let _ = client;
    /// # Ok::<(), grpcchatter_client::Error>(())
    /// ```
    pub fn send_timeout(mut self, timeout: Duration) -> Self {
        self.send_timeout = timeout;
        self
    }

    /// Stores the session in a file with mode 0600, and loads it from there.
    ///
    /// Programs that share the file share the session and see each other's renewed tokens. A session for another
    /// URL is kept until the next login.
    ///
    /// ```no_run
    /// # async fn run() -> Result<(), grpcchatter_client::Error> {
    /// let builder = grpcchatter_client::Client::builder("http://localhost:8080");
    /// let client = builder.session_file("/home/walker1/.local/state/my-program/session.json").build()?;
    /// client.login_if_needed("walker1", "Secret-1!").await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn session_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.session_file = Some(path.into());
        self
    }

    /// Trusts a certificate authority of your own (PEM) in addition to the public ones.
    ///
    /// ```no_run
    /// let authority = std::fs::read("authority.pem")?;
    /// let builder = grpcchatter_client::Client::builder("https://chat.example");
    /// let client = builder.ca_certificate(authority).build()?;
    /// # let _ = client;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[cfg(feature = "tls")]
    #[cfg_attr(docsrs, doc(cfg(feature = "tls")))]
    pub fn ca_certificate(mut self, pem: impl Into<Vec<u8>>) -> Self {
        self.authorities.push(pem.into());
        self
    }

    /// Builds the client. It connects at the first call.
    ///
    /// # Errors
    /// [`Error::InvalidUrl`] if the URL is not `http://host[:port]` or `https://host[:port]`;
    /// [`Error::InvalidAuthority`].
    ///
    /// ```
    /// use grpcchatter_client::{Client, Error};
    ///
    /// assert!(Client::builder("https://chat.example:8443").build().is_ok());
    /// assert!(matches!(Client::builder("chat.example").build(), Err(Error::InvalidUrl { .. })));
    /// ```
    pub fn build(self) -> Result<Client, Error> {
        let uri = parse(&self.url)?;
        let https = uri.scheme() == Some(&Scheme::HTTPS);
        // The URI is only scheme, host and port here, and all three are case-insensitive.
        let url = uri.to_string().trim_end_matches('/').to_ascii_lowercase();
        let endpoint = Endpoint::from(uri)
            .connect_timeout(self.connect_timeout)
            .http2_keep_alive_interval(PING_INTERVAL)
            .keep_alive_timeout(PING_TIMEOUT)
            .tcp_nodelay(true);
        let endpoint = if https { self.with_tls(endpoint)? } else { endpoint };
        let transport = Arc::new(Transport::new(endpoint, self.call_timeout));
        let file = self.session_file.map(SessionFile::new);
        let session = Arc::new(ClientSession::new(Arc::clone(&transport), url.clone(), file));
        Ok(Client::new(transport, session, url, self.send_timeout))
    }

    /// Builds a client for a program without an async runtime.
    ///
    /// # Errors
    /// Those of [`ClientBuilder::build`]; [`Error::Unreachable`] if the thread cannot be started.
    ///
    /// ```
    /// use std::time::Duration;
    /// use grpcchatter_client::blocking::Client;
    ///
    /// let client = Client::builder("http://localhost:8080").call_timeout(Duration::from_secs(3)).build_blocking()?;
    /// # let _ = client;
    /// # Ok::<(), grpcchatter_client::Error>(())
    /// ```
    #[cfg(feature = "blocking")]
    #[cfg_attr(docsrs, doc(cfg(feature = "blocking")))]
    pub fn build_blocking(self) -> Result<crate::blocking::Client, Error> {
        crate::blocking::Client::start(self.build()?)
    }

    #[cfg(feature = "tls")]
    fn with_tls(&self, endpoint: Endpoint) -> Result<Endpoint, Error> {
        crate::tls::with_tls(endpoint, &self.authorities)
    }

    #[cfg(not(feature = "tls"))]
    fn with_tls(&self, _: Endpoint) -> Result<Endpoint, Error> {
        Err(invalid_url(&self.url, "this program was built without TLS"))
    }
}

fn invalid_url(url: &str, why: &str) -> Error {
    Error::InvalidUrl { url: redact_credentials(url), why: why.to_owned() }
}

/// The URL for error messages: anything before an `@` may be a password.
fn redact_credentials(url: &str) -> String {
    match url.rsplit_once('@') {
        Some((before, host)) => {
            let scheme = before.split_once("://").map(|(scheme, _)| format!("{scheme}://"));
            scheme.unwrap_or_default() + "…@" + host
        }
        None => url.to_owned(),
    }
}

fn parse(url: &str) -> Result<Uri, Error> {
    let uri: Uri = url.parse().map_err(|_| invalid_url(url, "it is not a URL"))?;
    let authority = uri.authority().map(http::uri::Authority::as_str).unwrap_or_default();
    match uri.scheme_str() {
        Some("http" | "https") if authority.contains('@') => Err(invalid_url(url, "it names a user")),
        Some("http" | "https") if !matches!(uri.path(), "" | "/") || uri.query().is_some() => {
            Err(invalid_url(url, "it has a path: the server answers at the root of its host"))
        }
        Some("http" | "https") => Ok(uri),
        _ => Err(invalid_url(url, "it does not begin with http:// or https://")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_url_is_enough() {
        for url in ["http://localhost:8080", "http://[::1]:8080/", "http://chat.example"] {
            assert!(Client::new_at(url).is_ok(), "{url}");
        }
    }

    #[test]
    fn a_url_that_is_not_an_origin_is_rejected() {
        for url in
            ["", "localhost:8080", "ftp://a", "http://a/chat", "http://a/?b", "http://u:p@a", "http://"]
        {
            assert!(matches!(Client::new_at(url), Err(Error::InvalidUrl { .. })), "{url}");
        }
    }

    #[test]
    fn a_password_in_a_url_is_not_shown() {
        for url in ["http://walker1:Secret-1!@chat.example", "walker1:Secret-1!@chat.example"] {
            let builder = Client::builder(url);
            let shown = format!("{builder:?} {}", builder.clone().build().unwrap_err());
            assert!(!shown.contains("Secret-1!") && shown.contains("chat.example"), "{shown}");
        }
    }

    #[cfg(feature = "tls")]
    #[test]
    fn https_needs_no_more_than_the_url() {
        assert!(Client::new_at("https://chat.example").is_ok());
    }

    #[cfg(not(feature = "tls"))]
    #[test]
    fn https_without_tls_says_what_is_missing() {
        let error = Client::new_at("https://chat.example").unwrap_err();
        assert!(error.to_string().contains("without TLS"));
    }
}
