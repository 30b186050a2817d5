//! Answers that are requested and not read; each has the largest page and the longest messages.

use anyhow::Result;
use grpcchatter_proto::v1::ListMessagesRequest;

use super::{
    attack::Context,
    little_memory::{self, Limits},
};
use crate::{
    load::flood::{Flood, Request, by_turns},
    process::Process,
    report::Row,
};

const CONNECTIONS: usize = 4;
const CALLS_EACH: usize = 1_000;
const PAGE: i32 = 200;
const LIMITS: Limits = Limits {
    mebibytes: 256,
    highest: |before| [before + 64.0, before + 10.0],
    after: |before| [before + 10.0, before],
};

pub(super) async fn run(context: Context<'_>) -> Result<Vec<Row>> {
    let round = context.scale.round;
    let prepare = |process: &Process| {
        let page = ListMessagesRequest { page_size: PAGE, before_seq: 0, after_seq: None };
        let token = &context.fixture.long_messages;
        let request = Request::call(process.address, "ListMessages", token, &page);
        let flood = Flood { reads: false, ..Flood::new(CONNECTIONS, CALLS_EACH, by_turns(vec![request])?) };
        Ok(move |address| flood.run(address, round))
    };
    little_memory::run(context, "4 × 1,000 unread lists", LIMITS, prepare).await
}
