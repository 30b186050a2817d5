//! Those who say something, again and again under the same id, until it is acknowledged.

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

use super::{Common, PAUSE, Phase};
use crate::{
    client::{Grpc, Seat, with_token},
    record::Reader,
};

/// How long an answer is waited for before the message is sent again: longer than the promise gives it, so that one that
/// comes too late is seen.
const ANSWER: Duration = Duration::from_secs(10);

/// So many messages of a talker wait for their answers.
const UNANSWERED: usize = 8;

/// An old message is sent again after so many new ones: its answer must be the same.
const ONCE_MORE: usize = 8;

struct Draft {
    id: String,
    body: String,
    /// When it was sent for the last time.
    sent: Instant,
}

impl Draft {
    /// Writes a message that says which it is and when it was written, in microseconds since the round began.
    fn new(author: &str, number: usize, written: u64) -> Self {
        let id = format!("{author}{number:06}");
        let body = format!("body of {id}. {written}");
        Self { id, body, sent: Instant::now() }
    }

    fn sent(&self, room: usize, chat: Option<usize>) -> Event {
        Event::Sent { room, id: self.id.clone(), body: self.body.clone(), chat }
    }
}

fn author(common: &Common, kind: &str) -> String {
    format!("{kind}{}-", common.record.number())
}

/// Sends messages by SendMessage, one after the other, each one to `copies` times at once.
pub(super) async fn call(common: Common, seat: Seat, grpc: Grpc, copies: usize) {
    let author = author(&common, "call");
    let mut written = Vec::new();
    for number in 0.. {
        if *common.phase.borrow() > Phase::Talking {
            return;
        }
        written.push(common.record.now());
        let draft = Draft::new(&author, number, written[number]);
        while !send(&common, &seat, &grpc, &draft, fastrand::usize(1..=copies)).await {
            sleep(PAUSE).await;
        }
        if number % ONCE_MORE == ONCE_MORE - 1 {
            let before = Draft::new(&author, number / 2, written[number / 2]);
            send(&common, &seat, &grpc, &before, 1).await;
        }
        sleep(Duration::from_millis(fastrand::u64(0..8))).await;
    }
}

/// Says whether a message was acknowledged.
async fn send(common: &Common, seat: &Seat, grpc: &Grpc, draft: &Draft, copies: usize) -> bool {
    let mut calls = JoinSet::new();
    for _ in 0..copies {
        common.record.note(draft.sent(seat.room, None));
        let message = SendMessageRequest { body: draft.body.clone(), client_message_id: draft.id.clone() };
        let (mut grpc, token, record) = (grpc.clone(), seat.token.clone(), Arc::clone(&common.record));
        calls.spawn(async move {
            let request = with_token(&token, message).map_err(|error| Status::internal(error.to_string()))?;
            let asked = Instant::now();
            let answer = timeout(ANSWER, grpc.send_message(request)).await;
            record.answered(asked.elapsed());
            answer.unwrap_or_else(|_| Err(Status::deadline_exceeded("no answer")))
        });
    }
    let mut acknowledged = false;
    while let Some(done) = calls.join_next().await {
        match done.unwrap_or_else(|error| Err(Status::internal(error.to_string()))) {
            Ok(answer) => {
                let seq = answer.into_inner().message.map_or(0, |message| message.seq);
                common.record.acknowledged(seat.room, &draft.id, seq, None);
                acknowledged = true;
            }
            Err(status) => {
                common.record.note(Event::Failed { id: draft.id.clone() });
                common.record.refused(&status);
            }
        }
    }
    acknowledged
}

/// Talks on Chat, on one stream after the other, and hears what is said in the room.
pub(super) async fn talk(common: Common, seat: Seat, grpc: Grpc) {
    let author = author(&common, "talk");
    let reader = common.record.reader(seat.room);
    let mut talker = Talker { common, seat, author, reader, said: 0, waiting: VecDeque::new(), last: None };
    while !talker.is_done() {
        if let Err(status) = talker.talk_once(grpc.clone()).await {
            talker.common.record.refused(&status);
        }
        sleep(PAUSE).await;
    }
    talker.common.record.leave(&talker.reader);
}

struct Talker {
    common: Common,
    seat: Seat,
    author: String,
    reader: Reader,
    said: usize,
    waiting: VecDeque<Draft>,
    last: Option<ResumePoint>,
}

impl Talker {
    fn is_done(&self) -> bool {
        self.waiting.is_empty() && *self.common.phase.borrow() > Phase::Talking
    }

    /// Talks until the stream ends. What is unanswered then is said again on the next one, in its order.
    async fn talk_once(&mut self, grpc: Grpc) -> Result<(), Status> {
        let chat = self.common.record.number();
        let (outbox, outgoing) = mpsc::channel(2 * UNANSWERED);
        let mut hear = timeout(ANSWER, self.open(grpc, outgoing))
            .await
            .unwrap_or_else(|_| Err(Status::deadline_exceeded("no head")))?;
        for draft in &mut self.waiting {
            draft.sent = Instant::now();
            say(&self.common, self.seat.room, &outbox, draft, chat).await;
        }
        loop {
            while self.waiting.len() < UNANSWERED && *self.common.phase.borrow() == Phase::Talking {
                let draft = Draft::new(&self.author, self.said, self.common.record.now());
                self.said += 1;
                say(&self.common, self.seat.room, &outbox, &draft, chat).await;
                self.waiting.push_back(draft);
            }
            if self.is_done() {
                return Ok(());
            }
            let heard = timeout(ANSWER, hear.message()).await;
            let heard = heard.unwrap_or_else(|_| Err(Status::deadline_exceeded("nothing is heard")))?;
            self.hear(heard.ok_or_else(|| Status::unavailable("the stream ended"))?, &outbox, chat).await;
        }
    }

    async fn open(
        &mut self,
        mut grpc: Grpc,
        outgoing: mpsc::Receiver<ChatRequest>,
    ) -> Result<Streaming<ChatResponse>, Status> {
        let request = with_token(&self.seat.token, ReceiverStream::new(outgoing));
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
            // What it had is no more.
            self.last = None;
        }
        let (reader, room, author) = (self.reader.number, self.seat.room, Some(self.author.clone()));
        self.common.record.note(Event::Opened { reader, room, start, author });
        Ok(answer.into_inner())
    }

    async fn hear(&mut self, heard: ChatResponse, outbox: &mpsc::Sender<ChatRequest>, chat: usize) {
        let ChatResponse { seq, message_id, body, client_message_id: id, rejected, .. } = heard;
        let record = &self.common.record;
        let place = self.waiting.iter().position(|draft| draft.id == id);
        if let Some(place) = place {
            record.answered(self.waiting[place].sent.elapsed());
        }
        if let Some(rejected) = rejected {
            record.note(Event::Failed { id });
            record.refused_because(rejected.reason);
            sleep(PAUSE).await;
            if let Some(place) = place {
                self.waiting[place].sent = Instant::now();
                say(&self.common, self.seat.room, outbox, &self.waiting[place], chat).await;
            }
            return;
        }
        let message = Entry { seq, message_id: message_id.clone(), id: id.clone(), body };
        record.received(&self.reader, message);
        if self.last.as_ref().is_none_or(|last| last.seq < seq) {
            self.last = Some(ResumePoint { seq, message_id });
        }
        if let Some(place) = place {
            self.waiting.remove(place);
            record.acknowledged(self.seat.room, &id, seq, Some(chat));
            // What others say is read as fast as it comes: else one's own answers wait behind it.
            sleep(Duration::from_millis(fastrand::u64(0..4))).await;
        }
    }
}

async fn say(common: &Common, room: usize, outbox: &mpsc::Sender<ChatRequest>, draft: &Draft, chat: usize) {
    common.record.note(draft.sent(room, Some(chat)));
    let message = ChatRequest { body: draft.body.clone(), client_message_id: draft.id.clone() };
    // A stream that has ended says so where it is heard.
    drop(outbox.send(message).await);
}
