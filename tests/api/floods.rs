//! Floods of HTTP/2 frames: whoever sends them loses the connection, or is held up; nobody else notices.

use crate::harness::{
    Database, TestApp, Victim,
    flood::{
        CONTINUATION, DATA, END_HEADERS, END_STREAM, Ended, HEADERS, PING, RST_STREAM, SETTINGS,
        WINDOW_UPDATE, flood, frame, post,
    },
    on_each_database,
};

on_each_database! {
    rapid_resets_end_their_connection_and_no_other,
    resets_that_the_server_is_made_to_send_end_their_connection_and_no_other,
    endless_headers_end_their_connection_and_no_other,
    pings_settings_and_empty_frames_harm_nobody,
}

const CALL: &str = "/grpcchatter.v1.ChatService/ListChatRooms";
const FRAMES: u32 = 100_000;

/// ENHANCE_YOUR_CALM (RFC 9113, 7).
const CALM: u32 = 11;

/// The streams that a client may open: the odd ones.
fn streams() -> impl Iterator<Item = u32> {
    (0..FRAMES).map(|nth| 2 * nth + 1)
}

async fn rapid_resets_end_their_connection_and_no_other(database: Database) {
    let app = TestApp::start(&database).await;
    let victim = Victim::of(&app).await;
    let call = post(CALL);
    let resets = streams().map(|stream| {
        let cancel = 8_u32.to_be_bytes();
        [frame(HEADERS, END_HEADERS, stream, &call), frame(RST_STREAM, 0, stream, &cancel)].concat()
    });
    let ended = flood(app.address(), resets).await;
    assert!([Ended::Refused(CALM), Ended::Closed].contains(&ended), "{ended:?}");
    victim.noticed_nothing().await;
}

/// MadeYouReset (CVE-2025-8671): a window that overflows makes the server reset the stream itself.
async fn resets_that_the_server_is_made_to_send_end_their_connection_and_no_other(database: Database) {
    let app = TestApp::start(&database).await;
    let victim = Victim::of(&app).await;
    let call = post(CALL);
    let resets = streams().map(|stream| {
        let most = 0x7fff_ffff_u32.to_be_bytes();
        [frame(HEADERS, END_HEADERS, stream, &call), frame(WINDOW_UPDATE, 0, stream, &most)].concat()
    });
    let ended = flood(app.address(), resets).await;
    assert!([Ended::Refused(CALM), Ended::Closed].contains(&ended), "{ended:?}");
    victim.noticed_nothing().await;
}

async fn endless_headers_end_their_connection_and_no_other(database: Database) {
    let app = TestApp::start(&database).await;
    let victim = Victim::of(&app).await;
    // A header of a hundred bytes, again and again, in a list that never ends.
    let header = [&[0, 1, b'x', 100][..], &[b'y'; 100]].concat();
    let beginning = std::iter::once(frame(HEADERS, 0, 1, &post(CALL)));
    let rest = std::iter::repeat_n(frame(CONTINUATION, 0, 1, &header), FRAMES as usize);
    let ended = flood(app.address(), beginning.chain(rest)).await;
    assert!([Ended::Refused(CALM), Ended::Closed].contains(&ended), "{ended:?}");
    victim.noticed_nothing().await;
}

async fn pings_settings_and_empty_frames_harm_nobody(database: Database) {
    let app = TestApp::start(&database).await;
    let victim = Victim::of(&app).await;
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
        victim.goes_on().await;
    }
    // The server takes calls as before.
    let call = streams().take(10).map(|stream| frame(HEADERS, END_HEADERS | END_STREAM, stream, &post(CALL)));
    assert_eq!(flood(app.address(), call).await, Ended::Taken);
    victim.noticed_nothing().await;
}
