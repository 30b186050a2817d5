//! A TCP proxy before a database, that a test can close, or make silent.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::watch,
};

/// What a cable does with what it is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Line {
    /// It passes everything on.
    Open,
    /// It closes every connection, and every new one at once.
    Closed,
    /// It passes nothing on, and closes nothing.
    Silent,
}

/// A proxy before an address. It goes with its test.
#[derive(Debug)]
pub(crate) struct Cable {
    address: SocketAddr,
    /// Of connections that are made from now on; those of frozen ones stay for as long as this does.
    lines: Arc<Mutex<Vec<watch::Sender<Line>>>>,
    target: watch::Sender<SocketAddr>,
}

impl Cable {
    /// Starts one that is open.
    pub(crate) async fn start(target: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let lines = Arc::new(Mutex::new(vec![watch::Sender::new(Line::Open)]));
        let present = Arc::clone(&lines);
        let (target, targets) = watch::channel(target);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let state = present.lock().unwrap().last().unwrap().subscribe();
                if *state.borrow() != Line::Closed {
                    let target = *targets.borrow();
                    tokio::spawn(carry(client, target, state));
                }
            }
        });
        Self { address, lines, target }
    }

    /// Returns where it listens.
    pub(crate) const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Leads new connections to another address, as a name does that was moved.
    pub(crate) fn lead_to(&self, target: SocketAddr) {
        self.target.send_replace(target);
    }

    /// Changes what it does, for open connections too.
    pub(crate) fn set(&self, line: Line) {
        self.lines.lock().unwrap().last().unwrap().send_replace(line);
    }

    /// Makes the connections that are open silent for good; new ones are open.
    pub(crate) fn freeze(&self) {
        self.set(Line::Silent);
        self.lines.lock().unwrap().push(watch::Sender::new(Line::Open));
    }
}

async fn carry(client: TcpStream, target: SocketAddr, mut state: watch::Receiver<Line>) {
    let Ok(server) = TcpStream::connect(target).await else { return };
    let ((from_client, to_client), (from_server, to_server)) = (client.into_split(), server.into_split());
    let (up, down) = (state.clone(), state.clone());
    tokio::select! {
        _ = state.wait_for(|line| *line == Line::Closed) => {}
        () = pump(from_client, to_server, up) => {}
        () = pump(from_server, to_client, down) => {}
    }
}

async fn pump(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, mut state: watch::Receiver<Line>) {
    let mut bytes = vec![0; 16 * 1024];
    while let Ok(count @ 1..) = from.read(&mut bytes).await {
        // The cable's end is the connection's.
        let open = state.wait_for(|line| *line == Line::Open).await.is_ok();
        if !open || to.write_all(&bytes[..count]).await.is_err() {
            return;
        }
    }
    // The end is no more passed on than anything else.
    let _open = state.wait_for(|line| *line == Line::Open).await;
}
