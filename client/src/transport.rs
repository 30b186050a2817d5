//! One HTTP/2 connection for gRPC and REST alike.
//!
//! The server tells the two apart by each request's content type, so a second HTTP client with its own
//! connections, pool and TLS would add nothing. tonic's channel connects when the first call is made, and
//! again after it broke.

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
    answer::{self, Stub},
};

/// No answer of the REST calls comes near it; what is longer is not the chat server's.
const LONGEST_ANSWER: usize = 64 * 1024;

/// What must not be seen in a log: a token.
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

/// A token that can be replaced by a fresh one: a session's, or a room's.
pub(crate) trait Credential {
    /// The token as it is known now.
    fn token(&self) -> impl Future<Output = Result<Secret, Error>> + Send;
    /// Replaces `refused`; where another call has done so already, nothing happens.
    fn renew(&self, refused: &Secret) -> impl Future<Output = Result<(), Error>> + Send;
}

/// The way to the server, shared by everything of one client.
pub(crate) struct Transport {
    endpoint: Endpoint,
    call_timeout: Duration,
    /// Made by the first call, since making it needs a runtime; taken by [`Transport::close`].
    channel: Mutex<Option<Channel>>,
    closed: CancellationToken,
}

impl Transport {
    pub(crate) fn new(endpoint: Endpoint, call_timeout: Duration) -> Self {
        Self { endpoint, call_timeout, channel: Mutex::new(None), closed: CancellationToken::new() }
    }

    /// Ends every call and the connection; whatever is asked later is [`Error::Disconnected`].
    pub(crate) fn close(&self) {
        self.closed.cancel();
        self.lock().take();
    }

    /// Returns once [`Transport::close`] was called.
    pub(crate) async fn closed(&self) {
        self.closed.cancelled().await;
    }

    /// A token that is cancelled by [`Transport::close`] at the latest.
    pub(crate) fn child(&self) -> CancellationToken {
        self.closed.child_token()
    }

    fn lock(&self) -> MutexGuard<'_, Option<Channel>> {
        self.channel.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn known(&self) -> Result<Channel, Error> {
        let mut channel = self.lock();
        if self.closed.is_cancelled() {
            return Err(Error::Disconnected);
        }
        Ok(channel.get_or_insert_with(|| self.endpoint.connect_lazy()).clone())
    }

    /// The channel, which takes a request as soon as it has room for one, connected or not.
    async fn channel(&self) -> Result<Channel, Error> {
        let mut channel = self.known()?;
        if ServiceExt::<http::Request<Body>>::ready(&mut channel).await.is_err() {
            // Its task has ended with the runtime that it was made on.
            self.lock().take();
            channel = self.known()?;
        }
        Ok(channel)
    }

    /// Bounds one call: by its time, and by `disconnect`.
    async fn bounded<T>(&self, call: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
        tokio::select! {
            biased;
            () = self.closed.cancelled() => Err(Error::Disconnected),
            answer = tokio::time::timeout(self.call_timeout, call) => answer.unwrap_or(Err(Error::TimedOut)),
        }
    }

    /// Makes a gRPC call, and once more with a fresh token where the first was refused.
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
        match self.open(&token, message.clone(), &rpc).await {
            Err(error) => self.open(&fresh(credential, &token, error).await?, message, rpc).await,
            answer => answer,
        }
    }

    /// Makes a REST call for the holder of a session.
    pub(crate) async fn rest_as<A: DeserializeOwned>(
        &self,
        credential: &impl Credential,
        method: Method,
        path: &'static str,
        body: Option<&(impl Serialize + Sync)>,
    ) -> Result<A, Error> {
        let token = credential.token().await?;
        match self.rest(method.clone(), path, Some(&token), body).await {
            Err(error) => {
                let token = fresh(credential, &token, error).await?;
                self.rest(method, path, Some(&token), body).await
            }
            answer => answer,
        }
    }

    /// Makes a REST call; an empty answer reads as JSON's `null`.
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
            let answer = self.channel().await?.oneshot(request).await.map_err(Error::unreachable)?;
            let (head, body) = answer.into_parts();
            let body =
                Limited::new(body, LONGEST_ANSWER).collect().await.map_err(Error::unreachable)?.to_bytes();
            if !head.status.is_success() {
                return Err(answer::refusal(head.status, &head.headers, &body));
            }
            let text: &[u8] = if body.is_empty() { b"null" } else { &body };
            serde_json::from_slice(text).map_err(|error| Error::Malformed(error.to_string()))
        }))
        .await
    }

    /// Makes a gRPC call with a token, once; of a stream, only the opening is bounded in time.
    pub(crate) async fn open<Q, A, Fut>(
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
        // Boxed: tonic's future is some kilobytes, and callers hold it several times over.
        self.bounded(Box::pin(async {
            let stub = answer::stub(self.channel().await?);
            Ok(rpc(stub, request).await.map_err(Error::of)?.into_inner())
        }))
        .await
    }
}

/// A token in place of the one that was refused with `error`; where it was not the token, that error.
pub(crate) async fn fresh(
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

/// Whether a fresh token may help: where it was the server that refused this one.
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
