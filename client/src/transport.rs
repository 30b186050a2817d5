//! One HTTP/2 connection for gRPC and REST.
//!
//! The server distinguishes them by each request's content type, so a second HTTP client with its own connections,
//! pool and TLS would add nothing. tonic's channel connects at the first call, and again after a broken connection.

use std::{
    fmt,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderValue, Method, header};
use http_body_util::{BodyExt as _, Full, Limited};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use tokio_util::sync::CancellationToken;
use tonic::{
    Request, Response, Status,
    body::Body,
    metadata::{Ascii, MetadataValue},
    transport::{Channel, Endpoint},
};
use tower::ServiceExt;

use crate::{
    Error, Kind, Reason,
    response::{self, Stub},
};

/// Far above every REST response; a longer one is not a chat server's.
const MAX_RESPONSE_BYTES: usize = 64 * 1024;

/// A token, hidden from `Debug`.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Secret(pub(crate) String);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

impl Secret {
    fn bearer(&self) -> Result<MetadataValue<Ascii>, Error> {
        let mut value: MetadataValue<Ascii> =
            format!("Bearer {}", self.0).parse().map_err(|_| Error::InvalidValue("the token"))?;
        value.set_sensitive(true);
        Ok(value)
    }
}

/// A token that can be renewed: a session's or a room's.
pub(crate) trait Credential {
    /// The current token.
    fn token(&self) -> impl Future<Output = Result<Secret, Error>> + Send;
    /// Renews the token, unless another call has replaced `refused` already.
    fn renew(&self, refused: &Secret) -> impl Future<Output = Result<(), Error>> + Send;
}

/// The connection to the server, shared by all handles of a client.
pub(crate) struct Transport {
    endpoint: Endpoint,
    call_timeout: Duration,
    /// Created by the first call, since it needs a runtime; taken by [`Transport::close`].
    channel: Mutex<Option<Channel>>,
    closed: CancellationToken,
}

impl Transport {
    pub(crate) fn new(endpoint: Endpoint, call_timeout: Duration) -> Self {
        Self { endpoint, call_timeout, channel: Mutex::new(None), closed: CancellationToken::new() }
    }

    /// Ends every call and the connection. Later calls fail with [`Error::Disconnected`].
    pub(crate) fn close(&self) {
        self.closed.cancel();
        self.lock().take();
    }

    /// Returns after [`Transport::close`].
    pub(crate) async fn closed(&self) {
        self.closed.cancelled().await;
    }

    /// A token that is cancelled at [`Transport::close`] at the latest.
    pub(crate) fn child_token(&self) -> CancellationToken {
        self.closed.child_token()
    }

    fn lock(&self) -> MutexGuard<'_, Option<Channel>> {
        self.channel.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn current_channel(&self) -> Result<Channel, Error> {
        let mut channel = self.lock();
        if self.closed.is_cancelled() {
            return Err(Error::Disconnected);
        }
        Ok(channel.get_or_insert_with(|| self.endpoint.connect_lazy()).clone())
    }

    /// The channel, ready to queue a request whether it is connected or not.
    async fn channel(&self) -> Result<Channel, Error> {
        let mut channel = self.current_channel()?;
        if ServiceExt::<http::Request<Body>>::ready(&mut channel).await.is_err() {
            // Its task ended with the runtime that created it.
            self.lock().take();
            channel = self.current_channel()?;
        }
        Ok(channel)
    }

    /// Bounds a call by the call timeout and by `disconnect`.
    async fn bounded<T>(&self, call: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
        tokio::select! {
            biased;
            () = self.closed.cancelled() => Err(Error::Disconnected),
            response = tokio::time::timeout(self.call_timeout, call) => response.unwrap_or(Err(Error::TimedOut)),
        }
    }

    /// Makes a gRPC call, and repeats it once with a renewed token if the token was refused.
    pub(crate) async fn call<Q: Clone, A, Fut>(
        &self,
        credential: &impl Credential,
        message: Q,
        rpc: impl Fn(Stub, Request<Q>) -> Fut,
    ) -> Result<A, Error>
    where
        Fut: Future<Output = Result<Response<A>, Status>>,
    {
        let token = credential.token().await?;
        match self.call_once(&token, message.clone(), &rpc).await {
            Err(error) => {
                self.call_once(&renewed_token(credential, &token, error).await?, message, rpc).await
            }
            response => response,
        }
    }

    /// Makes a REST call with a token, and repeats it once with a renewed token if the token was refused.
    pub(crate) async fn rest_with_token<A: DeserializeOwned>(
        &self,
        credential: &impl Credential,
        method: Method,
        path: &'static str,
        body: Option<&(impl Serialize + Sync)>,
    ) -> Result<A, Error> {
        let token = credential.token().await?;
        match self.rest(method.clone(), path, Some(&token), body).await {
            Err(error) => {
                let token = renewed_token(credential, &token, error).await?;
                self.rest(method, path, Some(&token), body).await
            }
            response => response,
        }
    }

    /// Makes a REST call once. An empty body is parsed as JSON `null`.
    pub(crate) async fn rest<A: DeserializeOwned>(
        &self,
        method: Method,
        path: &'static str,
        token: Option<&Secret>,
        body: Option<&(impl Serialize + Sync)>,
    ) -> Result<A, Error> {
        let mut request = http::Request::builder().method(method).uri(path);
        if let Some(token) = token {
            let mut bearer = HeaderValue::from_bytes(token.bearer()?.as_bytes())
                .map_err(|_| Error::InvalidValue("the token"))?;
            bearer.set_sensitive(true);
            request = request.header(header::AUTHORIZATION, bearer);
        }
        let payload = match body {
            Some(body) => {
                request = request.header(header::CONTENT_TYPE, "application/json");
                Bytes::from(serde_json::to_vec(body).map_err(|_| Error::InvalidValue("the request"))?)
            }
            None => Bytes::new(),
        };
        let request =
            request.body(Body::new(Full::new(payload))).map_err(|_| Error::InvalidValue("the request"))?;
        self.bounded(Box::pin(async {
            let response = self.channel().await?.oneshot(request).await.map_err(Error::unreachable)?;
            let (head, body) = response.into_parts();
            let body = Limited::new(body, MAX_RESPONSE_BYTES)
                .collect()
                .await
                .map_err(Error::unreachable)?
                .to_bytes();
            if !head.status.is_success() {
                return Err(response::refusal(head.status, &head.headers, &body));
            }
            let text: &[u8] = if body.is_empty() { b"null" } else { &body };
            serde_json::from_slice(text).map_err(|error| Error::Malformed(error.to_string()))
        }))
        .await
    }

    /// Makes a gRPC call once. For a stream, the timeout covers only the opening.
    pub(crate) async fn call_once<Q, A, Fut>(
        &self,
        token: &Secret,
        message: Q,
        rpc: impl FnOnce(Stub, Request<Q>) -> Fut,
    ) -> Result<A, Error>
    where
        Fut: Future<Output = Result<Response<A>, Status>>,
    {
        let mut request = Request::new(message);
        request.metadata_mut().insert("authorization", token.bearer()?);
        // Boxed: tonic's future has several KiB, and callers hold it several times over.
        self.bounded(Box::pin(async {
            let stub = response::stub(self.channel().await?);
            Ok(rpc(stub, request).await.map_err(Error::of)?.into_inner())
        }))
        .await
    }
}

/// A renewed token if `error` refused the current one; otherwise the error.
pub(crate) async fn renewed_token(
    credential: &impl Credential,
    refused: &Secret,
    error: Error,
) -> Result<Secret, Error> {
    if !is_token_refused(&error) {
        return Err(error);
    }
    credential.renew(refused).await?;
    credential.token().await
}

/// Whether a new token may help: only if the server itself refused this one.
pub(crate) fn is_token_refused(error: &Error) -> bool {
    let reason = error.reason();
    error.kind() == Some(Kind::Unauthenticated) && reason.is_some_and(|it| *it != Reason::InvalidCredentials)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_not_printed() {
        let secret = Secret("eyJhbGciOi".to_owned());
        assert_eq!(format!("{secret:?}"), "Secret");
        assert!(!format!("{:?}", secret.bearer().unwrap()).contains("eyJ"));
    }
}
