//! The original's client, built from its own .proto. It makes the original's calls in the original's order, and uses one address as
//! both of its addresses.

use grpcchatter_original::{
    ClientMessage, CreateChatRoomRequest, DeleteChatRoomRequest, JoinChatRoomRequest, ServerMessage,
    grpc_chatter_client::GrpcChatterClient,
};
use grpcchatter_proto::v1::ListMessagesRequest;
use serde_json::json;
use tempfile::TempDir;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Request, Status, Streaming, transport::Channel};

use crate::harness::{
    Caller, Database, PASSWORD, Process, Refused as _, TestApp, new_name, on_each_database, within,
};

on_each_database! {
    one_address_serves_as_both_of_its_addresses,
    two_of_its_clients_chat,
    messages_between_join_and_chat_come_first,
    closing_the_connection_leaves_the_room,
    half_closing_leaves_the_room,
    half_closing_on_one_device_does_not_leave_on_another,
    deleting_a_room_ends_its_chats,
    joining_from_a_second_device_is_allowed,
    refusals_keep_the_originals_sentences,
    its_messages_survive_a_sigkill,
}

/// A client as in the original: a logged-in user with a connection.
#[derive(Clone)]
struct Client {
    name: String,
    token: String,
    grpc: GrpcChatterClient<Channel>,
    caller: Caller,
}

impl Client {
    /// Registers and logs in, as the original's scripts do: any status but 200 is an error.
    async fn register(caller: &Caller) -> Self {
        let name = new_name();
        let credentials = json!({"user_name": name, "password": PASSWORD});
        for path in ["/register", "/login"] {
            let answer = caller.rest("POST", path, credentials.clone()).await;
            assert_eq!(answer.status, 200, "{answer:?}");
            if path == "/login" {
                let token = answer.json()["token"].as_str().unwrap().to_owned();
                return Self::with_token(caller, &name, &token);
            }
        }
        unreachable!("the last path is /login");
    }

    fn with_token(caller: &Caller, name: &str, token: &str) -> Self {
        let caller = caller.on_new_connection();
        let grpc = GrpcChatterClient::new(caller.channel());
        Self { name: name.to_owned(), token: token.to_owned(), grpc, caller }
    }

    /// Wraps a message as the original does, with the token in its `token` header.
    fn carrying<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        request.metadata_mut().insert("token", self.token.parse().unwrap());
        request
    }

    async fn create_room(&self) -> Result<String, Status> {
        let request = CreateChatRoomRequest { room_name: "lounge".into(), room_password: "pass".into() };
        let answer = self.grpc.clone().create_chat_room(self.carrying(request)).await?;
        Ok(answer.into_inner().short_code)
    }

    async fn delete_room(&self, short_code: &str) -> Result<(), Status> {
        let request = DeleteChatRoomRequest { short_code: short_code.to_owned() };
        self.grpc.clone().delete_chat_room(self.carrying(request)).await.map(|_| ())
    }

    /// Joins a room: the same client on a new connection, with the room's token.
    async fn join(&self, short_code: &str, password: &str) -> Result<Self, Status> {
        let (short_code, room_password) = (short_code.to_owned(), password.to_owned());
        let request = self.carrying(JoinChatRoomRequest { short_code, room_password });
        let token = self.grpc.clone().join_chat_room(request).await?.into_inner().token;
        Ok(Self::with_token(&self.caller, &self.name, &token))
    }

    async fn users(&self) -> Result<Vec<String>, Status> {
        let answer = self.grpc.clone().list_chat_room_users(self.carrying(())).await?;
        Ok(answer.into_inner().users.into_iter().map(|user| user.user_name).collect())
    }

    async fn chat(&self) -> Result<Chat, Status> {
        let (sender, outgoing) = mpsc::channel(256);
        let request = self.carrying(ReceiverStream::new(outgoing));
        let answer = within("the head of Chat", self.grpc.clone().chat(request)).await?;
        Ok(Chat { sender, stream: answer.into_inner() })
    }
}

/// An open Chat.
struct Chat {
    sender: mpsc::Sender<ClientMessage>,
    stream: Streaming<ServerMessage>,
}

impl Chat {
    async fn say(&self, body: &str) {
        self.sender.send(ClientMessage { body: body.to_owned() }).await.unwrap();
    }

    async fn hear(&mut self) -> (String, String) {
        let message = within("a message", self.stream.message()).await.unwrap().expect("the stream goes on");
        (message.user_name, message.body)
    }

    async fn end(mut self) -> Result<(), Status> {
        let end = async {
            while self.stream.message().await?.is_some() {}
            Ok(())
        };
        within("the end of Chat", end).await
    }
}

/// Two clients in one room.
async fn two(caller: &Caller) -> (String, Client, Client) {
    let (alice, bob) = (Client::register(caller).await, Client::register(caller).await);
    let code = alice.create_room().await.unwrap();
    let (alice, bob) = (alice.join(&code, "pass").await.unwrap(), bob.join(&code, "pass").await.unwrap());
    (code, alice, bob)
}

async fn one_address_serves_as_both_of_its_addresses(database: Database) {
    let settings = [
        ("SERVER_ADDRESS", ""),
        ("SERVER_PORT", ""),
        ("REST_SERVER_ADDRESS", "127.0.0.1"),
        ("REST_SERVER_PORT", "0"),
        ("GRPC_SERVER_ADDRESS", "127.0.0.1"),
        ("GRPC_SERVER_PORT", "0"),
    ];
    let app = TestApp::with(&database, &settings).await;
    let (_, alice, bob) = two(&app.anonymous()).await;
    let (from, mut to) = (alice.chat().await.unwrap(), bob.chat().await.unwrap());
    from.say("hello").await;
    assert_eq!(to.hear().await, (alice.name.clone(), "hello".to_owned()));
}

async fn two_of_its_clients_chat(database: Database) {
    let app = TestApp::start(&database).await;
    let (code, alice, bob) = two(&app.anonymous()).await;
    assert_eq!((code.len(), code.chars().all(|c| c.is_ascii_alphanumeric())), (6, true), "{code}");
    assert_eq!(alice.users().await.unwrap(), [bob.name.clone()], "the caller is left out");
    let (mut from, mut to) = (alice.chat().await.unwrap(), bob.chat().await.unwrap());
    for number in 0..20 {
        from.say(&format!("from alice {number}")).await;
        assert_eq!(to.hear().await, (alice.name.clone(), format!("from alice {number}")));
        to.say(&format!("from bob {number}")).await;
        // Authors do not get their own messages.
        assert_eq!(from.hear().await, (bob.name.clone(), format!("from bob {number}")));
    }
    from.say("").await;
    assert_eq!(to.hear().await, (alice.name.clone(), String::new()));
}

async fn messages_between_join_and_chat_come_first(database: Database) {
    let app = TestApp::start(&database).await;
    let (_, alice, bob) = two(&app.anonymous()).await;
    let from = alice.chat().await.unwrap();
    // The original kept 255 messages, and stopped for good at the next one.
    for number in 0..300 {
        from.say(&number.to_string()).await;
    }
    let mut to = bob.chat().await.unwrap();
    for number in 0..300 {
        assert_eq!(to.hear().await.1, number.to_string());
    }
}

/// Awaits that a client is alone in its room. Another one has left as soon as the server has noticed it.
async fn alone(client: &Client) {
    let alone = async { while !client.users().await.unwrap().is_empty() {} };
    within("the others' end", alone).await;
}

async fn closing_the_connection_leaves_the_room(database: Database) {
    let app = TestApp::start(&database).await;
    let (_, alice, bob) = two(&app.anonymous()).await;
    let chat = bob.chat().await.unwrap();
    drop((chat, bob));
    alone(&alice).await;
}

async fn half_closing_leaves_the_room(database: Database) {
    let app = TestApp::start(&database).await;
    let (_, alice, bob) = two(&app.anonymous()).await;
    let mut to = alice.chat().await.unwrap();
    let Chat { sender, stream } = bob.chat().await.unwrap();
    sender.send(ClientMessage { body: "good bye".to_owned() }).await.unwrap();
    drop(sender);
    assert_eq!(to.hear().await, (bob.name.clone(), "good bye".to_owned()));
    let (sender, _) = mpsc::channel(1);
    Chat { sender, stream }.end().await.unwrap();
    alone(&alice).await;
}

async fn half_closing_on_one_device_does_not_leave_on_another(database: Database) {
    let app = TestApp::start(&database).await;
    let (_, alice, bob) = two(&app.anonymous()).await;
    let mut here = bob.chat().await.unwrap();
    let Chat { sender, stream } = bob.chat().await.unwrap();
    drop(sender);
    let (sender, _) = mpsc::channel(1);
    Chat { sender, stream }.end().await.unwrap();
    assert_eq!(alice.users().await.unwrap(), [bob.name.clone()]);
    let from = alice.chat().await.unwrap();
    from.say("still there?").await;
    assert_eq!(here.hear().await.1, "still there?");
    drop(here);
    alone(&alice).await;
}

async fn deleting_a_room_ends_its_chats(database: Database) {
    let app = TestApp::start(&database).await;
    let owner = Client::register(&app.anonymous()).await;
    let guest = Client::register(&app.anonymous()).await;
    let code = owner.create_room().await.unwrap();
    let member = guest.join(&code, "pass").await.unwrap();
    let chat = member.chat().await.unwrap();
    assert_eq!(guest.delete_room(&code).await.unwrap_err().code(), Code::PermissionDenied);
    owner.delete_room(&code).await.unwrap();
    chat.end().await.refused(Code::NotFound, "ROOM_NOT_FOUND");
    member.users().await.refused(Code::NotFound, "ROOM_NOT_FOUND");
}

async fn joining_from_a_second_device_is_allowed(database: Database) {
    let app = TestApp::start(&database).await;
    let (code, alice, _) = two(&app.anonymous()).await;
    let token = app.anonymous();
    let login = token.rest("POST", "/login", json!({"user_name": alice.name, "password": PASSWORD})).await;
    let login = login.json()["token"].as_str().unwrap().to_owned();
    let again = Client::with_token(&token, &alice.name, &login).join(&code, "pass").await.unwrap();
    let (mut here, there) = (alice.chat().await.unwrap(), again.chat().await.unwrap());
    there.say("from the other device").await;
    assert_eq!(here.hear().await, (alice.name.clone(), "from the other device".to_owned()));
}

async fn refusals_keep_the_originals_sentences(database: Database) {
    let app = TestApp::start(&database).await;
    let client = Client::register(&app.anonymous()).await;
    let mut grpc = client.grpc.clone();
    grpc.list_chat_room_users(()).await.refused(Code::Unauthenticated, "TOKEN_MISSING");
    let garbage = Client::with_token(&app.anonymous(), "", "garbage");
    garbage.users().await.refused(Code::Unauthenticated, "TOKEN_INVALID");
    // The original answered with Internal here.
    garbage.create_room().await.refused(Code::Unauthenticated, "TOKEN_INVALID");

    let unknown =
        "Chat room with short code [nosuch] not found. Please check the provided short code.".to_owned();
    let code = client.create_room().await.unwrap();
    let password = format!(
        "Invalid chat room with short code [{code}] password. Please make sure you have the correct password."
    );
    let outcomes = [
        (client.join("nosuch", "pass").await.err(), Code::NotFound, &unknown),
        (client.delete_room("nosuch").await.err(), Code::NotFound, &unknown),
        (client.join(&code, "wrong").await.err(), Code::PermissionDenied, &password),
    ];
    for (status, code, sentence) in outcomes {
        let status = status.unwrap();
        assert_eq!((status.code(), status.message()), (code, sentence.as_str()));
    }
}

/// The original lost every room and message when it stopped. Here the client's tokens stay valid too.
async fn its_messages_survive_a_sigkill(database: Database) {
    let folder = TempDir::new().unwrap();
    let first = Process::start(&database, &folder, &[]).await;
    let (code, alice, bob) = two(&first.anonymous()).await;
    let carol = Client::register(&first.anonymous()).await.join(&code, "pass").await.unwrap();
    let (from, mut to) = (alice.chat().await.unwrap(), bob.chat().await.unwrap());
    let sent: Vec<_> = (0..100).map(|number| format!("message {number}")).collect();
    for body in &sent {
        from.say(body).await;
    }
    for body in &sent {
        assert_eq!(to.hear().await.1, *body);
    }
    first.kill().await;

    let second = Process::start(&database, &folder, &[]).await;
    let caller = second.anonymous();
    let request = ListMessagesRequest { page_size: 200, ..Default::default() };
    let stored = caller.with_token(&bob.token).call(request).await.unwrap();
    let bodies: Vec<_> = stored.messages.into_iter().map(|message| message.body).collect();
    assert_eq!(bodies, sent);
    // A user who had joined before gets all messages, and new ones.
    let mut late = Client::with_token(&caller, &carol.name, &carol.token).chat().await.unwrap();
    let from = Client::with_token(&caller, &alice.name, &alice.token).chat().await.unwrap();
    from.say("and on").await;
    for body in sent.iter().map(String::as_str).chain(["and on"]) {
        assert_eq!(late.hear().await.1, body);
    }
}
