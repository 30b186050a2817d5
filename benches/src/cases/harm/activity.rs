//! What the bystander does during an attack.

use std::{net::SocketAddr, rc::Rc, time::Duration};

use anyhow::{Context as _, Result, ensure};
use grpcchatter_proto::v1::{
    ListMessagesRequest, ListMessagesResponse, SendMessageRequest, SendMessageResponse,
};
use tokio::{net::TcpStream, time::timeout};

use super::fixture::{BYSTANDER, Fixture, PAGE};
use crate::{
    cases::Scale,
    load::{
        bystander::{self, CallStats, PACE},
        grpc::Connection,
        login::log_in,
    },
    server::PASSWORD,
};

/// How long an activity is measured without an attack.
const QUIET: Duration = Duration::from_secs(2);
/// The same in a quick run.
const QUIET_QUICK: Duration = Duration::from_millis(600);
/// The time between two logins.
const LOGIN_PACE: Duration = Duration::from_millis(500);
/// The longest wait for a connection to a server under attack.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// What the bystander does.
#[derive(Clone, Copy, Debug)]
pub(super) enum Activity {
    SendMessage,
    ListMessages,
    Login,
    Chat,
}

impl Activity {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::SendMessage => "SendMessage",
            Self::ListMessages => "ListMessages",
            Self::Login => "login",
            Self::Chat => "Chat",
        }
    }

    /// Repeats the activity until `done` returns true for the elapsed time.
    pub(super) async fn repeat_until(
        self,
        address: SocketAddr,
        fixture: &Fixture,
        done: impl Fn(Duration) -> bool,
    ) -> CallStats {
        match self {
            Self::Chat => bystander::chat_counting_failures(address, &fixture.chatter, done).await,
            Self::Login => {
                let call = || async move {
                    let socket = TcpStream::connect(address).await?;
                    let (status, _) = log_in(socket, BYSTANDER, PASSWORD).await?;
                    ensure!(status == 200, "a login was answered by {status}");
                    Ok(())
                };
                bystander::calls(LOGIN_PACE, done, call).await
            }
            Self::SendMessage | Self::ListMessages => {
                let opened = timeout(CONNECT_TIMEOUT, Connection::open(address)).await;
                let connection = Rc::new(opened.ok().and_then(Result::ok));
                let token: Rc<str> = fixture.bystander.as_str().into();
                let call = || call(Rc::clone(&connection), Rc::clone(&token), self);
                bystander::calls(PACE, done, call).await
            }
        }
    }

    /// Measures the activity without an attack.
    pub(super) async fn measure_quiet(
        self,
        address: SocketAddr,
        fixture: &Fixture,
        scale: Scale,
    ) -> CallStats {
        let time = if scale.quick { QUIET_QUICK } else { QUIET };
        self.repeat_until(address, fixture, |elapsed| elapsed >= time).await
    }
}

async fn call(connection: Rc<Option<Connection>>, token: Rc<str>, activity: Activity) -> Result<()> {
    let connection = connection.as_ref().as_ref().context("the connection was refused")?;
    let token = Some(&*token);
    match activity {
        Activity::ListMessages => {
            let page =
                ListMessagesRequest { page_size: i32::try_from(PAGE)?, before_seq: 0, after_seq: None };
            let path = "/grpcchatter.v1.ChatService/ListMessages";
            connection.unary::<ListMessagesResponse>(path, token, &page).await?;
        }
        _ => {
            let message = SendMessageRequest { body: "x".repeat(64), client_message_id: String::new() };
            let path = "/grpcchatter.v1.ChatService/SendMessage";
            connection.unary::<SendMessageResponse>(path, token, &message).await?;
        }
    }
    Ok(())
}
