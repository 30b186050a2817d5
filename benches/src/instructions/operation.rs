//! The operations whose instructions are counted. A client waits for each one before it makes the next, so that the server
//! never handles two at once: how many it would batch depends on time.

use std::net::SocketAddr;

use anyhow::{Result, ensure};
use grpcchatter_proto::v1::{ListMessagesRequest, ListMessagesResponse};
use tonic_health::pb::{HealthCheckRequest, HealthCheckResponse};

use crate::load::{chat_sender::ChatSender, grpc::Connection, rest::Rest, subscribers::Subscribers};

const CONNECTIONS: u32 = 10;
const STREAMS_EACH: u32 = 30;
/// The Subscribe streams that receive each message of [`Operation::Deliver`].
pub(super) const STREAMS: u32 = CONNECTIONS * STREAMS_EACH;
const PAGE: i32 = 10;

/// Something that a client asks of a server.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Operation {
    /// `GET /livez`, over HTTP/1.1.
    Livez,
    /// A health check, over gRPC and without a token.
    HealthCheck,
    /// A message on Chat in a room without streams, until it is answered.
    Append,
    /// The page of the newest ten messages: a unary call with a token.
    ListMessages,
    /// A message on Chat in a room with [`STREAMS`] Subscribe streams, until all have received it.
    Deliver,
}

impl Operation {
    /// Returns how often the two runs make it whose difference counts. The first is not less than what warms the server up:
    /// caches are filled, and buffers grow.
    pub(super) const fn counts(self) -> (u32, u32) {
        match self {
            Self::Livez => (100, 4_100),
            Self::HealthCheck => (100, 2_100),
            Self::Append => (50, 1_250),
            Self::ListMessages => (50, 250),
            Self::Deliver => (20, 80),
        }
    }

    /// Makes it `count` times. A plain server asks for no token.
    ///
    /// # Errors
    /// If the server refuses it.
    pub(crate) async fn run(self, address: SocketAddr, token: &str, count: u32) -> Result<()> {
        match self {
            Self::Livez => {
                let mut rest = Rest::open(address)?;
                for _ in 0..count {
                    let status = rest.get("/livez")?;
                    ensure!(status == 200, "/livez answered {status}");
                }
                Ok(())
            }
            Self::HealthCheck => {
                let connection = Connection::open(address).await?;
                let request = HealthCheckRequest::default();
                for _ in 0..count {
                    let _: HealthCheckResponse =
                        connection.unary("/grpc.health.v1.Health/Check", None, &request).await?;
                }
                Ok(())
            }
            Self::ListMessages => list_messages(address, token, count).await,
            Self::Append => append(address, token, count, None).await,
            Self::Deliver => {
                let subscribers =
                    Subscribers::open(address, &[token], CONNECTIONS, STREAMS_EACH, usize::MAX).await?;
                append(address, token, count, Some(subscribers)).await
            }
        }
    }
}

async fn list_messages(address: SocketAddr, token: &str, count: u32) -> Result<()> {
    let connection = Connection::open(address).await?;
    let request = ListMessagesRequest { page_size: PAGE, ..Default::default() };
    for _ in 0..count {
        let page: ListMessagesResponse =
            connection.unary("/grpcchatter.v1.ChatService/ListMessages", Some(token), &request).await?;
        ensure!(page.messages.len() == PAGE as usize, "the page has {} messages", page.messages.len());
    }
    Ok(())
}

async fn append(
    address: SocketAddr,
    token: &str,
    count: u32,
    mut subscribers: Option<Subscribers>,
) -> Result<()> {
    let connection = Connection::open(address).await?;
    let mut sender = ChatSender::open(&connection, token).await?;
    for sent in 0..count {
        sender.send(1)?;
        sender.wait_for_unanswered(0).await?;
        if let Some(subscribers) = &mut subscribers {
            subscribers.wait_beyond(sent.into()).await?;
        }
    }
    Ok(())
}
