//! The users, rooms, members and messages of the curves, inserted by SQL.
//!
//! Everything has a number. User n has a session and owns room n. Ids are derived from the numbers, so that a token can be
//! signed without a question to the database.

use anyhow::{Context as _, Result};
use grpcchatter_testbed::Token;
use uuid::Uuid;

use crate::{
    load::rest::Rest,
    server::{Gateway, SECRET, sign_in},
};

/// The id of user 0 and of room 0, above all ids that the gateway has given.
const FIRST: u32 = 1_000_000;
/// A user who registers as people do; the others have the same password.
const MODEL: &str = "model01";
/// How long a token is valid, in seconds: longer than the case takes.
const TOKEN_LIFETIME: i64 = 24 * 60 * 60;

/// What is stored, and the means to sign tokens for it.
pub(super) struct Population<'g> {
    gateway: &'g Gateway,
    user_token: Token,
    chat_token: Token,
    /// When the model logged in, in seconds.
    logged_in_at: i64,
    users: u32,
}

impl<'g> Population<'g> {
    /// Makes an empty population.
    pub(super) async fn prepare(gateway: &'g Gateway) -> Result<Self> {
        let process = gateway.start().await?;
        let user = sign_in(&mut Rest::open(process.address)?, MODEL)?;
        process.stop().await?;
        let user_token = Token::parse(&user);
        let logged_in_at = user_token.claims["iat"].as_i64().context("no iat in a token")?;
        let valid = |token: Token| token.claiming("exp", logged_in_at + TOKEN_LIFETIME);
        let chat_token = valid(Token::parse(&gateway.audience));
        Ok(Self { gateway, user_token: valid(user_token), chat_token, logged_in_at, users: 0 })
    }

    /// Adds users until there are `count`, each with a session, a room, and the membership of it.
    pub(super) async fn grow(&mut self, count: u32) -> Result<()> {
        if count <= self.users {
            return Ok(());
        }
        let numbers = range(FIRST + self.users, FIRST + count - 1);
        let (now, name, code) = (self.now(), self.hex("n", 8), self.hex("n", 8));
        let (session, hash) = (self.uuid("n"), self.bytes("n"));
        let expires = now + 30 * 24 * 60 * 60 * 1_000_000;
        self.insert(&format!(
            "INSERT INTO accounts
                (id, user_name, name_skeleton, name_folded, password_hash, role, created_at)
             {numbers} SELECT n, 'user' || {name}, 'user' || {name}, 'user' || {name},
                (SELECT password_hash FROM accounts WHERE user_name = '{MODEL}'), 'USER', {now} FROM numbers;
             INSERT INTO sessions (id, user_id, refresh_hash, generation, refreshed_at, expires_at)
             {numbers} SELECT {session}, n, {hash}, 0, {now}, {expires} FROM numbers;
             INSERT INTO rooms (id, short_code, name, owner_id, created_at, active_at)
             {numbers} SELECT n, {code}, 'growth', n, {now}, {now} FROM numbers;
             INSERT INTO members (room_id, user_id, joined, banned, epoch, room_epoch, last_join)
             {numbers} SELECT n, n, TRUE, FALSE, 0, 0, {now} FROM numbers"
        ))
        .await?;
        self.users = count;
        Ok(())
    }

    /// Adds one user, and returns the number of them and of their room. Nothing else uses that room.
    pub(super) async fn add(&mut self) -> Result<u32> {
        let number = self.users;
        self.grow(number + 1).await?;
        Ok(number)
    }

    /// Makes the first `count` users members of a room.
    pub(super) async fn join(&self, room: u32, count: u32) -> Result<()> {
        let (room, numbers, now) = (FIRST + room, range(FIRST, FIRST + count - 1), self.now());
        self.insert(&format!(
            "INSERT INTO members (room_id, user_id, joined, banned, epoch, room_epoch, last_join)
             {numbers} SELECT {room}, n, TRUE, FALSE, 0, 0, {now} FROM numbers WHERE TRUE ON CONFLICT DO NOTHING"
        ))
        .await
    }

    /// Adds messages of a room's owner until it has `count`.
    pub(super) async fn fill(&self, room: u32, count: u32) -> Result<()> {
        let (room, now) = (FIRST + room, self.now());
        let (id, body, client_id) = (self.uuid("n"), self.hex("n", 64), self.hex("n", 32));
        self.insert(&format!(
            "INSERT INTO messages (room_id, seq, message_id, user_id, body, created_at, client_message_id)
             WITH RECURSIVE numbers (n) AS (SELECT last_seq + 1 FROM rooms WHERE id = {room}
                UNION ALL SELECT n + 1 FROM numbers WHERE n < {count})
             SELECT {room}, n, {id}, {room}, {body}, {now}, {client_id} FROM numbers WHERE n <= {count};
             UPDATE rooms SET last_seq = (SELECT MAX(seq) FROM messages WHERE room_id = {room}),
                last_message_id = (SELECT message_id FROM messages WHERE room_id = {room} ORDER BY seq DESC LIMIT 1)
             WHERE id = {room}"
        ))
        .await
    }

    /// Returns a room's short code.
    pub(super) fn code(room: u32) -> String {
        format!("{:08x}", FIRST + room)
    }

    /// Returns a user's user token.
    pub(super) fn user_token(&self, user: u32) -> String {
        of_user(self.user_token.clone(), user).signed(SECRET, "jwt/user/1")
    }

    /// Returns a user's chat token in a room.
    pub(super) fn chat_token(&self, user: u32, room: u32) -> String {
        of_user(self.chat_token.clone(), user)
            .claiming("room", FIRST + room)
            .claiming("code", Self::code(room))
            .claiming("room_epoch", 0)
            .claiming("member_epoch", 0)
            .signed(SECRET, "jwt/chat/1")
    }

    /// Runs statements. On PostgreSQL what autovacuum and the checkpointer would do later is done at once, so that no
    /// measurement includes it.
    async fn insert(&self, statements: &str) -> Result<()> {
        let tidy = if self.gateway.is_postgres() { "; VACUUM ANALYZE; CHECKPOINT" } else { "" };
        self.gateway.sql(&format!("{statements}{tidy}")).await?;
        Ok(())
    }

    /// Returns the time of the model's log-in, in µs.
    fn now(&self) -> i64 {
        self.logged_in_at * 1_000_000
    }

    /// Returns the SQL of a number in hexadecimal, with this many digits.
    fn hex(&self, number: &str, digits: u32) -> String {
        match self.gateway.is_postgres() {
            true => format!("lpad(to_hex({number}), {digits}, '0')"),
            false => format!("printf('%0{digits}x', {number})"),
        }
    }

    fn uuid(&self, number: &str) -> String {
        let hex = self.hex(number, 32);
        if self.gateway.is_postgres() { format!("CAST({hex} AS UUID)") } else { format!("unhex({hex})") }
    }

    fn bytes(&self, number: &str) -> String {
        let hex = self.hex(number, 64);
        if self.gateway.is_postgres() { format!("decode({hex}, 'hex')") } else { format!("unhex({hex})") }
    }
}

/// Returns the SQL of a table of the numbers from `first` to `last`.
fn range(first: u32, last: u32) -> String {
    format!(
        "WITH RECURSIVE numbers (n) AS (SELECT CAST({first} AS BIGINT) UNION ALL SELECT n + 1 FROM numbers WHERE n < {last})"
    )
}

/// Makes a token one of this user.
fn of_user(token: Token, user: u32) -> Token {
    let id = FIRST + user;
    token
        .claiming("sub", id)
        .claiming("name", format!("user{id:08x}"))
        .claiming("sid", Uuid::from_u128(id.into()).to_string())
}
