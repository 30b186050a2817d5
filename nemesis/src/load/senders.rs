//! Clients that send each message again under the same id until it is acknowledged.

use std::{
    collections::VecDeque,
    sync::Arc,
    time::{Duration, Instant},
};

use grpcchatter_nemesis::{Entry, Event, Start};
use grpcchatter_proto::v1::{ChatRequest, ChatResponse, ResumePoint, SendMessageRequest};
use prost::Message as _;
use tokio::{
    sync::mpsc,
    task::JoinSet,
    time::{sleep, timeout},
};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Status, Streaming, metadata::MetadataValue};

use super::{Common, Phase, RETRY_PAUSE};
use crate::{
    client::{Grpc, Member, with_token},
    record::Reader,
};

/// The longest wait for an answer before a message is sent again. It exceeds the promised limit, so that late answers are
/// recorded.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);

/// The most unanswered messages of a Chat stream.
const UNANSWERED: usize = 8;

/// After this many new messages an old one is sent again: its answer must be the same.
const REPEAT_EVERY: usize = 8;

struct Draft {
    id: String,
    body: String,
    /// The time of the last send.
    sent: Instant,
}

impl Draft {
    /// Makes a message whose body names its id, and the microseconds since the round began at which it was written.
    fn new(author: &str, number: usize, written: u64) -> Self {
        let id = format!("{author}{number:06}");
        let body = format!("body of {id}. {written}");
        Self { id, body, sent: Instant::now() }
    }

    fn sent_event(&self, room: usize, chat: Option<usize>) -> Event {
        Event::Sent { room, id: self.id.clone(), body: self.body.clone(), chat }
    }
}

/// Returns a prefix for the ids of one sender.
fn author(common: &Common, kind: &str) -> String {
    format!("{kind}{}-", common.record.next_number())
}

/// Sends messages by SendMessage, one after the other, each by one to `copies` concurrent calls.
pub(super) async fn call(common: Common, member: Member, grpc: Grpc, copies: usize) {
    let author = author(&common, "call");
    let mut written = Vec::new();
    for number in 0.. {
        if *common.phase.borrow() > Phase::Sending {
            return;
        }
        written.push(common.record.elapsed_micros());
        let draft = Draft::new(&author, number, written[number]);
        while !send(&common, &member, &grpc, &draft, fastrand::usize(1..=copies)).await {
            sleep(RETRY_PAUSE).await;
        }
        if number % REPEAT_EVERY == REPEAT_EVERY - 1 {
            let old = Draft::new(&author, number / 2, written[number / 2]);
            send(&common, &member, &grpc, &old, 1).await;
        }
        sleep(Duration::from_millis(fastrand::u64(0..8))).await;
    }
}

/// Sends a message by `copies` concurrent calls; returns whether one of the calls was acknowledged.
async fn send(common: &Common, member: &Member, grpc: &Grpc, draft: &Draft, copies: usize) -> bool {
    let mut calls = JoinSet::new();
    for _ in 0..copies {
        common.record.push(draft.sent_event(member.room, None));
        let message = SendMessageRequest { body: draft.body.clone(), client_message_id: draft.id.clone() };
        let (mut grpc, token, record) = (grpc.clone(), member.token.clone(), Arc::clone(&common.record));
        calls.spawn(async move {
            let request = with_token(&token, message).map_err(|error| Status::internal(error.to_string()))?;
            let began = Instant::now();
            let answer = timeout(ANSWER_TIMEOUT, grpc.send_message(request)).await;
            record.send_finished(began.elapsed());
            answer.unwrap_or_else(|_| Err(Status::deadline_exceeded("no answer")))
        });
    }
    let mut acknowledged = false;
    while let Some(done) = calls.join_next().await {
        match done.unwrap_or_else(|error| Err(Status::internal(error.to_string()))) {
            Ok(answer) => {
                let seq = answer.into_inner().message.map_or(0, |message| message.seq);
                common.record.acknowledged(member.room, &draft.id, seq, None);
                acknowledged = true;
            }
            Err(status) => {
                common.record.push(Event::Failed { id: draft.id.clone() });
                common.record.refused(&status);
            }
        }
    }
    acknowledged
}

/// Sends on Chat, on one stream after the other, and reads the room's messages on it.
pub(super) async fn chat(common: Common, member: Member, grpc: Grpc) {
    let author = author(&common, "chat");
    let reader = common.record.unchecked_reader(member.room);
    let unanswered = VecDeque::new();
    let mut sender = ChatSender { common, member, author, reader, sent: 0, unanswered, last: None };
    while !sender.is_done() {
        if let Err(status) = sender.run_stream(grpc.clone()).await {
            sender.common.record.refused(&status);
        }
        sleep(RETRY_PAUSE).await;
    }
    sender.common.record.remove_reader(&sender.reader);
}

struct ChatSender {
    common: Common,
    member: Member,
    author: String,
    reader: Reader,
    /// The number of messages so far.
    sent: usize,
    unanswered: VecDeque<Draft>,
    /// The last message that it received.
    last: Option<ResumePoint>,
}

impl ChatSender {
    fn is_done(&self) -> bool {
        self.unanswered.is_empty() && *self.common.phase.borrow() > Phase::Sending
    }

    /// Sends on one stream until it ends. The next stream begins with the messages that are unanswered then, in order.
    async fn run_stream(&mut self, grpc: Grpc) -> Result<(), Status> {
        let chat = self.common.record.next_number();
        let (outbox, outgoing) = mpsc::channel(2 * UNANSWERED);
        let mut incoming = timeout(ANSWER_TIMEOUT, self.open(grpc, outgoing))
            .await
            .unwrap_or_else(|_| Err(Status::deadline_exceeded("no head")))?;
        for draft in &mut self.unanswered {
            draft.sent = Instant::now();
            submit(&self.common, self.member.room, &outbox, draft, chat).await;
        }
        loop {
            while self.unanswered.len() < UNANSWERED && *self.common.phase.borrow() == Phase::Sending {
                let draft = Draft::new(&self.author, self.sent, self.common.record.elapsed_micros());
                self.sent += 1;
                submit(&self.common, self.member.room, &outbox, &draft, chat).await;
                self.unanswered.push_back(draft);
            }
            if self.is_done() {
                return Ok(());
            }
            let response = timeout(ANSWER_TIMEOUT, incoming.message()).await;
            let response = response.unwrap_or_else(|_| Err(Status::deadline_exceeded("no message")))?;
            let response = response.ok_or_else(|| Status::unavailable("the stream ended"))?;
            self.receive(response, &outbox, chat).await;
        }
    }

    async fn open(
        &mut self,
        mut grpc: Grpc,
        outgoing: mpsc::Receiver<ChatRequest>,
    ) -> Result<Streaming<ChatResponse>, Status> {
        let request = with_token(&self.member.token, ReceiverStream::new(outgoing));
        let mut request = request.map_err(|error| Status::internal(error.to_string()))?;
        if let Some(point) = &self.last {
            let point = MetadataValue::from_bytes(&point.encode_to_vec());
            request.metadata_mut().insert_bin("grpcchatter-resume-bin", point);
        }
        let answer = grpc.chat(request).await?;
        let reset = answer.metadata().contains_key("grpcchatter-reset");
        let start = match self.last.clone() {
            None => Start::Now(None),
            Some(ResumePoint { seq, message_id }) if reset => {
                Start::Reset { seq, message_id, last_seq: None }
            }
            Some(ResumePoint { seq, message_id }) => Start::After { seq, message_id },
        };
        if reset {
            // The message that it had is not in the log.
            self.last = None;
        }
        let (reader, room, author) = (self.reader.number, self.member.room, Some(self.author.clone()));
        self.common.record.push(Event::Opened { reader, room, start, author });
        Ok(answer.into_inner())
    }

    async fn receive(&mut self, response: ChatResponse, outbox: &mpsc::Sender<ChatRequest>, chat: usize) {
        let ChatResponse { seq, message_id, body, client_message_id: id, rejected, .. } = response;
        let record = &self.common.record;
        let own = self.unanswered.iter().position(|draft| draft.id == id);
        if let Some(index) = own {
            record.send_finished(self.unanswered[index].sent.elapsed());
        }
        if let Some(rejected) = rejected {
            record.push(Event::Failed { id });
            record.count_refusal(rejected.reason);
            sleep(RETRY_PAUSE).await;
            if let Some(index) = own {
                self.unanswered[index].sent = Instant::now();
                submit(&self.common, self.member.room, outbox, &self.unanswered[index], chat).await;
            }
            return;
        }
        let message = Entry { seq, message_id: message_id.clone(), id: id.clone(), body };
        record.received(&self.reader, message);
        if self.last.as_ref().is_none_or(|last| last.seq < seq) {
            self.last = Some(ResumePoint { seq, message_id });
        }
        if let Some(index) = own {
            self.unanswered.remove(index);
            record.acknowledged(self.member.room, &id, seq, Some(chat));
            // Only own messages slow the reading down: after others' messages a pause would delay the own answers.
            sleep(Duration::from_millis(fastrand::u64(0..4))).await;
        }
    }
}

async fn submit(
    common: &Common,
    room: usize,
    outbox: &mpsc::Sender<ChatRequest>,
    draft: &Draft,
    chat: usize,
) {
    common.record.push(draft.sent_event(room, Some(chat)));
    let message = ChatRequest { body: draft.body.clone(), client_message_id: draft.id.clone() };
    // It fails only if the stream has ended, which the reading side returns.
    drop(outbox.send(message).await);
}
