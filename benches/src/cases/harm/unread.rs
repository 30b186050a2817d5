//! Answers that are asked for and not read: each is as long as a page can be.

use anyhow::Result;
use grpcchatter_proto::v1::ListMessagesRequest;

use super::{
    cast::Cast,
    scene::{self, Deed, Limits, Memory},
};
use crate::{
    cases::Scale,
    load::{
        bystander::Seen,
        flood::{Flood, Request, Tally, by_turns},
    },
    process::Process,
    report::Row,
    server::Gateway,
};

const CONNECTIONS: usize = 4;
const UNDER_WAY: usize = 1_000;
const PAGE: i32 = 200;
const NAME: &str = "4 × 1,000 unread lists";
const DEED: Deed = Deed::SendMessage;
const LIMITS: Limits = Limits {
    mebibytes: 256,
    highest: |before| [before + 64.0, before + 10.0],
    after: |before| [before + 10.0, before],
};

pub(super) async fn run(gateway: &Gateway, cast: &Cast, scale: Scale) -> Result<Vec<Row>> {
    let attack = async |process: &Process| attack(process, cast, scale).await;
    scene::on_memory(gateway, cast, scale, NAME, LIMITS, attack).await
}

async fn attack(process: &Process, cast: &Cast, scale: Scale) -> Result<(Tally, Vec<Seen>, Memory)> {
    let address = process.address;
    let page = ListMessagesRequest { page_size: PAGE, before_seq: 0, after_seq: None };
    let request = Request::call(address, "ListMessages", &cast.reader, &page);
    let flood = Flood { reads: false, ..Flood::new(CONNECTIONS, UNDER_WAY, by_turns(vec![request])?) };
    scene::beside(process, cast, &[DEED], move || flood.run(address, scale.round)).await
}
