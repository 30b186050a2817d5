//! A blocking HTTP/1.1 client for one request at a time: it makes accounts, and times single calls.

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{SocketAddr, TcpStream},
};

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

/// A connection that is kept open between requests.
#[derive(Debug)]
pub(crate) struct Rest {
    address: SocketAddr,
    socket: BufReader<TcpStream>,
}

impl Rest {
    /// Connects.
    ///
    /// # Errors
    /// If nothing listens there.
    pub(crate) fn open(address: SocketAddr) -> Result<Self> {
        let socket = TcpStream::connect(address)?;
        socket.set_nodelay(true)?;
        Ok(Self { address, socket: BufReader::new(socket) })
    }

    /// Makes a GET request and returns the status.
    ///
    /// # Errors
    /// If the connection fails, or the answer is not HTTP/1.1 with a content-length.
    pub(crate) fn get(&mut self, path: &str) -> Result<u16> {
        let head = format!("GET {path} HTTP/1.1\r\nhost: {}\r\n\r\n", self.address);
        Ok(self.exchange(&head)?.0)
    }

    /// Posts JSON and returns the status and the answer's JSON.
    ///
    /// # Errors
    /// As [`Self::get`], and if the answer is not JSON.
    pub(crate) fn post(&mut self, path: &str, body: &Value) -> Result<(u16, Value)> {
        let body = body.to_string();
        let (status, answer) = self.exchange(&format!(
            "POST {path} HTTP/1.1\r\nhost: {}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            self.address,
            body.len(),
        ))?;
        let answer = serde_json::from_slice(&answer)
            .with_context(|| format!("{path} answered {status} {:?}", String::from_utf8_lossy(&answer)))?;
        Ok((status, answer))
    }

    fn exchange(&mut self, request: &str) -> Result<(u16, Vec<u8>)> {
        self.socket.get_mut().write_all(request.as_bytes())?;
        let first = self.line()?;
        let status = first.split(' ').nth(1).context("no status")?.parse()?;
        let mut length = 0;
        loop {
            let line = self.line()?;
            if line.is_empty() {
                break;
            }
            let (name, value) = line.split_once(':').context("not a header")?;
            ensure!(!name.eq_ignore_ascii_case("transfer-encoding"), "the answer has no length");
            if name.eq_ignore_ascii_case("content-length") {
                length = value.trim().parse()?;
            }
        }
        let mut body = vec![0; length];
        self.socket.read_exact(&mut body)?;
        Ok((status, body))
    }

    fn line(&mut self) -> Result<String> {
        let mut line = String::new();
        ensure!(self.socket.read_line(&mut line)? > 0, "the server closed the connection");
        Ok(line.trim_end().to_owned())
    }
}
