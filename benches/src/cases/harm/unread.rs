//! Answers that are asked for and not read: each is as long as a page can be.

use anyhow::Result;
use grpcchatter_proto::v1::ListMessagesRequest;

use super::{
    cast::Cast,
    scene::{self, Deed, Memory},
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
/// What the server must live with, in MiB.
const LITTLE: u32 = 256;
const NAME: &str = "4 × 1,000 unread lists";
const DEED: Deed = Deed::SendMessage;
/// What the memory may grow by during the attack, and after it, in MB.
const GROWTH: f64 = 64.0;
const LEFT: f64 = 10.0;

pub(super) async fn run(gateway: &Gateway, cast: &Cast, scale: Scale) -> Result<Vec<Row>> {
    let play = async |process: &Process| {
        let before = DEED.quiet(process.address, cast, scale).await;
        let (tally, seen, memory) = attack(process, cast, scale).await?;
        let after = scene::after(process, memory, scale).await;
        Ok(((before, tally, seen, after), memory))
    };
    let ((mut before, tally, seen, after), memory, death) =
        scene::with_little(gateway, NAME, LITTLE, play).await?;
    let mut rows = vec![scene::tally_row(NAME, tally)];
    for mut during in seen {
        rows.extend(scene::deed_rows(NAME, DEED, &mut before, &mut during, [None, None]));
    }
    rows.push(scene::memory_row(NAME, memory).at_most(memory.before + GROWTH, memory.before + LEFT));
    rows.push(scene::after_row(NAME, memory, after).at_most(memory.before + LEFT, memory.before));
    rows.push(death);
    Ok(rows)
}

async fn attack(process: &Process, cast: &Cast, scale: Scale) -> Result<(Tally, Vec<Seen>, Memory)> {
    let address = process.address;
    let page = ListMessagesRequest { page_size: PAGE, before_seq: 0, after_seq: None };
    let request = Request::call(address, "ListMessages", &cast.reader, &page);
    let flood = Flood { reads: false, ..Flood::new(CONNECTIONS, UNDER_WAY, by_turns(vec![request])?) };
    scene::beside(process, cast, &[DEED], move || flood.run(address, scale.round)).await
}
