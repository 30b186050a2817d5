//! Floods of HTTP/2 frames: the sender loses the connection or is slowed down, and no other client is.

use crate::harness::{
    Bystander, Database, TestApp,
    flood::{
        CONTINUATION, DATA, END_HEADERS, END_STREAM, Ended, HEADERS, PING, RST_STREAM, SETTINGS,
        WINDOW_UPDATE, flood, frame, post,
    },
    on_each_database,
};

on_each_database! {
    rapid_resets_end_only_their_connection,
    provoked_resets_end_only_their_connection,
    endless_headers_end_only_their_connection,
    floods_of_pings_settings_and_empty_frames_slow_nobody_down,
}

const CALL: &str = "/grpcchatter.v1.ChatService/ListChatRooms";
const FRAMES: u32 = 100_000;

/// RFC 9113, section 7.
const ENHANCE_YOUR_CALM: u32 = 11;

/// The ids of the streams that a client may open, which are odd.
fn streams() -> impl Iterator<Item = u32> {
    (0..FRAMES).map(|nth| 2 * nth + 1)
}

async fn rapid_resets_end_only_their_connection(database: Database) {
    let app = TestApp::start(&database).await;
    let bystander = Bystander::of(&app).await;
    let call = post(CALL);
    let resets = streams().map(|stream| {
        let cancel = 8_u32.to_be_bytes();
        [frame(HEADERS, END_HEADERS, stream, &call), frame(RST_STREAM, 0, stream, &cancel)].concat()
    });
    let ended = flood(app.address(), resets).await;
    assert!([Ended::Refused(ENHANCE_YOUR_CALM), Ended::Closed].contains(&ended), "{ended:?}");
    bystander.was_not_slowed_down().await;
}

/// MadeYouReset (CVE-2025-8671): a window overflow makes the server itself reset the stream.
async fn provoked_resets_end_only_their_connection(database: Database) {
    let app = TestApp::start(&database).await;
    let bystander = Bystander::of(&app).await;
    let call = post(CALL);
    let resets = streams().map(|stream| {
        let most = 0x7fff_ffff_u32.to_be_bytes();
        [frame(HEADERS, END_HEADERS, stream, &call), frame(WINDOW_UPDATE, 0, stream, &most)].concat()
    });
    let ended = flood(app.address(), resets).await;
    assert!([Ended::Refused(ENHANCE_YOUR_CALM), Ended::Closed].contains(&ended), "{ended:?}");
    bystander.was_not_slowed_down().await;
}

async fn endless_headers_end_only_their_connection(database: Database) {
    let app = TestApp::start(&database).await;
    let bystander = Bystander::of(&app).await;
    // The same header of 100 bytes, repeated in a header block that never ends.
    let header = [&[0, 1, b'x', 100][..], &[b'y'; 100]].concat();
    let beginning = std::iter::once(frame(HEADERS, 0, 1, &post(CALL)));
    let rest = std::iter::repeat_n(frame(CONTINUATION, 0, 1, &header), FRAMES as usize);
    let ended = flood(app.address(), beginning.chain(rest)).await;
    assert!([Ended::Refused(ENHANCE_YOUR_CALM), Ended::Closed].contains(&ended), "{ended:?}");
    bystander.was_not_slowed_down().await;
}

async fn floods_of_pings_settings_and_empty_frames_slow_nobody_down(database: Database) {
    let app = TestApp::start(&database).await;
    let bystander = Bystander::of(&app).await;
    let count = FRAMES as usize;
    let pings = std::iter::repeat_n(frame(PING, 0, 0, b"a flood!"), count);
    let settings = std::iter::repeat_n(frame(SETTINGS, 0, 0, &[]), count);
    let open = std::iter::once(frame(HEADERS, END_HEADERS, 1, &post(CALL)));
    let empty = open.chain(std::iter::repeat_n(frame(DATA, 0, 1, &[]), count));
    for (name, ended) in [
        ("pings", flood(app.address(), pings).await),
        ("settings", flood(app.address(), settings).await),
        ("empty frames", flood(app.address(), empty).await),
    ] {
        println!("{count} {name}: {ended:?}");
        bystander.more_round_trips().await;
    }
    // The server still accepts calls.
    let call = streams().take(10).map(|stream| frame(HEADERS, END_HEADERS | END_STREAM, stream, &post(CALL)));
    assert_eq!(flood(app.address(), call).await, Ended::Accepted);
    bystander.was_not_slowed_down().await;
}
