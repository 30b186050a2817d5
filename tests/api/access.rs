//! Which token opens which method: each kind of token, and every known forgery, on each method in every dialect.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use tonic::{Code, Status};

use crate::harness::{
    Connection, Database, Dialect, Kind, METHODS, PASSWORD, Refused as _, SECRET, TestApp, Token, Version,
    on_each_database, report, request, token_refusal,
};

on_each_database! {
    each_method_takes_its_kind_of_token_and_no_other,
    no_forgery_passes_on_any_method_in_any_dialect,
    a_well_signed_token_opens_no_room_that_its_user_is_not_in,
    a_token_may_come_in_either_header,
    the_same_token_in_both_headers_counts_as_one,
    a_room_token_opens_only_its_room,
}

/// The paths of REST that take a user token.
const REST: [(&str, &str); 5] = [
    ("GET", "/account"),
    ("DELETE", "/account"),
    ("POST", "/account/delete"),
    ("PUT", "/account/password"),
    ("POST", "/logout"),
];

/// Valid tokens of each kind, and revoked ones.
struct Tokens {
    /// The id of a room that the tokens' user is not a member of.
    other_room: i64,
    good: BTreeMap<Kind, String>,
    revoked: BTreeMap<Kind, String>,
}

impl Tokens {
    async fn of(app: &TestApp) -> Self {
        let user = app.user().await;
        let room = user.create_room().await;
        let chat = user.join(&room).await;
        let invitation = user.invite(&room).await;
        let gone = user.log_in_again().await;
        let gone_chat = gone.join(&room).await;
        assert_eq!(gone.rest("POST", "/logout", Value::Null).await.status, 204);
        let other_room = user.invite(&user.create_room().await).await;
        Self {
            other_room: Token::parse(&other_room).claims["room"].as_i64().unwrap(),
            good: BTreeMap::from([
                (Kind::User, user.token().to_owned()),
                (Kind::Room, invitation),
                (Kind::Chat, chat.token().to_owned()),
            ]),
            revoked: BTreeMap::from([
                (Kind::User, gone.token().to_owned()),
                (Kind::Chat, gone_chat.token().to_owned()),
            ]),
        }
    }
}

/// Connects with the HTTP version that a dialect needs. Connect just before the first call: the server closes silent connections.
async fn connect(app: &TestApp, dialect: Dialect) -> Connection {
    Connection::open(app.address(), dialect.version()).await
}

async fn each_method_takes_its_kind_of_token_and_no_other(database: Database) {
    let app = TestApp::start(&database).await;
    let tokens = Tokens::of(&app).await;
    for dialect in Dialect::ALL {
        let mut connection = connect(&app, dialect).await;
        for (path, takes) in METHODS {
            let refused = |outcome: Result<_, Status>, code, reason| {
                let (code, reason) = token_refusal(dialect, path, code, reason);
                outcome.refused(code, reason);
            };
            refused(
                dialect.call(&mut connection, path, &[], &()).await,
                Code::Unauthenticated,
                "TOKEN_MISSING",
            );
            for (kind, token) in tokens.good.iter().filter(|(kind, _)| **kind != takes) {
                println!("{kind:?} token on {path}");
                let metadata = [("token", token.as_str())];
                let outcome = dialect.call(&mut connection, path, &metadata, &()).await;
                refused(outcome, Code::Unauthenticated, "TOKEN_WRONG_KIND");
            }
        }
    }
    let mut connection = Connection::open(app.address(), Version::H1).await;
    for (method, path) in REST {
        for kind in [Kind::Room, Kind::Chat] {
            let headers = [("token", tokens.good[&kind].as_str())];
            let answer = connection.send(request(method, path, &headers, "{}")).await;
            assert_eq!((answer.status.as_u16(), &answer.json()["reason"]), (401, &json!("TOKEN_WRONG_KIND")));
        }
    }
}

/// A forgery: its name, the metadata that it sends, and the reason for which it is refused.
type Forgery = (&'static str, Vec<(&'static str, String)>, &'static str);

/// Forges tokens of one kind.
struct Forger<'a> {
    tokens: &'a Tokens,
    kind: Kind,
    /// Any other kind of token.
    other: Kind,
    /// A valid token, and its parts.
    original: &'a str,
    token: Token,
}

impl<'a> Forger<'a> {
    fn of(tokens: &'a Tokens, kind: Kind) -> Self {
        let other = if kind == Kind::User { Kind::Chat } else { Kind::User };
        let original = &tokens.good[&kind];
        Self { tokens, kind, other, original, token: Token::parse(original) }
    }

    fn exp(&self) -> i64 {
        self.token.claims["exp"].as_i64().unwrap()
    }

    fn signed(&self, token: &Token) -> String {
        token.signed(SECRET, self.kind.purpose())
    }

    /// A valid signature over this header field.
    fn heading(&self, name: &str, value: &str) -> String {
        self.signed(&self.token.clone().heading(name, value))
    }

    /// A valid signature over this claim.
    fn claiming(&self, name: &str, value: impl Into<Value>) -> String {
        self.signed(&self.token.clone().claiming(name, value))
    }

    /// A valid signature over a token without this claim.
    fn without_claim(&self, name: &str) -> String {
        let mut token = self.token.clone();
        token.claims.as_object_mut().unwrap().remove(name);
        self.signed(&token)
    }

    /// Tokens whose header asks for another algorithm or another key.
    fn headers(&self) -> Vec<(&'static str, String)> {
        let mut without_alg = self.token.clone();
        without_alg.header.as_object_mut().unwrap().remove("alg");
        let jwk = json!({"kty": "oct", "k": "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", "alg": "HS256"});
        vec![
            ("alg none, no signature", self.token.clone().heading("alg", "none").with_signature(b"")),
            ("alg none, signed", self.heading("alg", "none")),
            ("alg nOnE", self.token.clone().heading("alg", "nOnE").with_signature(b"")),
            ("alg HS384", self.heading("alg", "HS384")),
            ("alg HS512", self.heading("alg", "HS512")),
            ("alg RS256", self.heading("alg", "RS256")),
            ("alg ES256", self.heading("alg", "ES256")),
            ("alg EdDSA", self.heading("alg", "EdDSA")),
            ("no alg", self.signed(&without_alg)),
            ("an unknown key id", self.heading("kid", "ffffffff")),
            ("a path as key id", self.heading("kid", "../../../dev/null")),
            ("SQL as key id", self.heading("kid", "' UNION SELECT 'x' --")),
            ("its own key in the header", self.token.clone().heading("jwk", jwk).signed_with(&[0; 32])),
        ]
    }

    /// Tokens whose signature is wrong, or made with another key.
    fn signatures(&self) -> Vec<(&'static str, String)> {
        let (content, signature) = self.original.rsplit_once('.').unwrap();
        let of_other = self.tokens.good[&self.other].rsplit_once('.').unwrap().1;
        let room = self.tokens.other_room;
        let unsigned = |name, value: Value| self.token.clone().claiming(name, value).unsigned();
        vec![
            ("an empty signature", self.token.with_signature(b"")),
            ("a signature of zeros", self.token.with_signature(&[0; 32])),
            ("a signature cut short", format!("{content}.{}", &signature[..signature.len() - 4])),
            ("a signature in another spelling", format!("{content}.{}", next_spelling(signature))),
            ("a padded signature", format!("{}=", self.original)),
            ("the signature of another token", format!("{content}.{of_other}")),
            ("another name, the old signature", unsigned("name", json!("somebody1"))),
            ("a later end, the old signature", unsigned("exp", json!(self.exp() + 3600))),
            ("another room, the old signature", unsigned("room", json!(room))),
            ("signed with nothing", self.token.signed_with(b"")),
            ("signed with the secret itself", self.token.signed_with(SECRET.as_bytes())),
            (
                "signed by another secret",
                self.token.signed("another-secret-of-at-least-32-bytes", self.kind.purpose()),
            ),
            ("signed with the bus's key", self.token.signed(SECRET, "bus/1")),
        ]
    }

    /// Tokens with a valid signature whose claims are wrong, and texts that are no tokens.
    fn claims(&self) -> Vec<(&'static str, String)> {
        let exp = self.exp();
        let early = self.token.clone().claiming("iat", exp + 60).claiming("exp", exp + 600);
        let claims_of_original =
            json!({"expiresAt": exp, "id": 1, "role": "ADMIN", "userName": "walker20457"});
        let with_claims_of_original = Token { claims: claims_of_original, ..self.token.clone() };
        let of_original =
            Token { header: json!({"alg": "HS256", "typ": "JWT"}), ..with_claims_of_original.clone() };
        let (content, signature) = self.original.rsplit_once('.').unwrap();
        vec![
            ("another audience", self.claiming("aud", self.other.purpose())),
            ("no audience", self.without_claim("aud")),
            ("no end", self.without_claim("exp")),
            ("an end that is a text", self.claiming("exp", "9999999999")),
            ("issued in the future", self.signed(&early)),
            ("not valid yet", self.claiming("nbf", exp - 1)),
            ("the original's token", of_original.signed_with(SECRET.as_bytes())),
            ("the original's claims, well signed", self.signed(&with_claims_of_original)),
            ("a huge token", self.claiming("name", "x".repeat(6000))),
            ("two parts", content.to_owned()),
            ("four parts", format!("{}.{signature}", self.original)),
            ("no base64", "a.b.c".to_owned()),
            ("nonsense", "nonsense".to_owned()),
        ]
    }

    /// Tokens and combinations of tokens that are refused for another reason than being invalid.
    fn other_reasons(&self) -> Vec<Forgery> {
        let good = &self.tokens.good;
        let expired = self.token.clone().claiming("iat", 1_700_000_000).claiming("exp", 1_700_000_600);
        let for_other = self.token.signed(SECRET, self.other.purpose());
        let original = self.original.to_owned();
        let both = vec![("authorization", bearer(self.original)), ("token", good[&self.other].clone())];
        let twice = vec![("token", original), ("token", "nonsense".to_owned())];
        vec![
            ("expired", vec![("authorization", bearer(&self.signed(&expired)))], "TOKEN_EXPIRED"),
            ("signed for another purpose", vec![("token", for_other)], "TOKEN_WRONG_KIND"),
            ("another kind", vec![("token", good[&self.other].clone())], "TOKEN_WRONG_KIND"),
            ("an invitation", vec![("token", good[&Kind::Room].clone())], "TOKEN_WRONG_KIND"),
            ("revoked", vec![("token", self.tokens.revoked[&self.kind].clone())], "TOKEN_REVOKED"),
            ("two at once", both, "TWO_TOKENS"),
            ("two in one header", twice, "TWO_TOKENS"),
        ]
    }

    fn all(&self) -> Vec<Forgery> {
        let invalid = [self.headers(), self.signatures(), self.claims()].concat().into_iter();
        let invalid =
            invalid.map(|(name, token)| (name, vec![("authorization", bearer(&token))], "TOKEN_INVALID"));
        invalid.chain(self.other_reasons()).collect()
    }
}

fn bearer(token: &str) -> String {
    format!("Bearer {token}")
}

/// Changes the bits of the last character that encode nothing: the same bytes in another spelling.
fn next_spelling(signature: &str) -> String {
    const ALPHABET: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let (rest, last) = signature.split_at(signature.len() - 1);
    let index = ALPHABET.find(last).unwrap();
    format!("{rest}{}", &ALPHABET[index + 1..index + 2])
}

async fn no_forgery_passes_on_any_method_in_any_dialect(database: Database) {
    let app = TestApp::start(&database).await;
    let tokens = Tokens::of(&app).await;
    let forged = BTreeMap::from([Kind::User, Kind::Chat].map(|kind| (kind, Forger::of(&tokens, kind).all())));
    let (mut calls, mut wrong) = (0, Vec::new());
    let mut check = |call: String, seen: (String, String), expected: (String, &str)| {
        calls += 1;
        if (seen.0.as_str(), seen.1.as_str()) != (expected.0.as_str(), expected.1) {
            wrong.push(format!("{call}: {seen:?}, not {expected:?}"));
        }
    };
    for dialect in Dialect::ALL {
        let mut connection = connect(&app, dialect).await;
        for (path, takes) in METHODS {
            for (name, metadata, reason) in &forged[&takes] {
                let metadata: Vec<_> = metadata.iter().map(|(name, value)| (*name, value.as_str())).collect();
                let (code, reason) = token_refusal(dialect, path, Code::Unauthenticated, reason);
                let seen = match dialect.call(&mut connection, path, &metadata, &()).await {
                    Ok(_) => ("accepted".to_owned(), String::new()),
                    Err(status) => (format!("{:?}", status.code()), reason_of(&status)),
                };
                check(format!("{name} on {path} in {dialect:?}"), seen, (format!("{code:?}"), reason));
            }
        }
    }
    let mut connection = Connection::open(app.address(), Version::H1).await;
    for (method, path) in REST {
        for (name, headers, reason) in &forged[&Kind::User] {
            let headers: Vec<_> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
            let body = json!({"password": PASSWORD, "new_password": PASSWORD}).to_string();
            let answer = connection.send(request(method, path, &headers, body)).await;
            let seen = answer.json()["reason"].as_str().unwrap_or_default().to_owned();
            check(
                format!("{name} on {method} {path}"),
                (answer.status.as_u16().to_string(), seen),
                ("401".into(), reason),
            );
        }
    }
    // The forger is right: an unchanged token that it signs passes.
    let mut connection = Connection::open(app.address(), Version::H2).await;
    for kind in [Kind::User, Kind::Chat] {
        let token = Token::parse(&tokens.good[&kind]).signed(SECRET, kind.purpose());
        let path = METHODS.iter().find(|(_, takes)| *takes == kind).unwrap().0;
        let outcome = Dialect::Native.call(&mut connection, path, &[("token", &token)], &()).await;
        outcome.unwrap();
    }
    let count = forged[&Kind::User].len();
    let figures = format!(
        "{count} ways on {} methods in {} dialects and on REST: {calls} calls, none passed",
        METHODS.len(),
        Dialect::ALL.len(),
    );
    assert!(count >= 20);
    assert!(wrong.is_empty(), "{} of {calls} are wrong:\n{}", wrong.len(), wrong.join("\n"));
    report("forged tokens", &figures);
}

/// The token names a room; the room knows its members.
async fn a_well_signed_token_opens_no_room_that_its_user_is_not_in(database: Database) {
    let app = TestApp::start(&database).await;
    let tokens = Tokens::of(&app).await;
    let chat = Token::parse(&tokens.good[&Kind::Chat]);
    for (room, code, reason) in [
        (tokens.other_room, Code::PermissionDenied, "NOT_A_MEMBER"),
        (i64::MAX, Code::NotFound, "ROOM_NOT_FOUND"),
        (-1, Code::NotFound, "ROOM_NOT_FOUND"),
    ] {
        let token = chat.clone().claiming("room", room).signed(SECRET, Kind::Chat.purpose());
        for dialect in Dialect::ALL {
            let mut connection = connect(&app, dialect).await;
            for (path, _) in METHODS.into_iter().filter(|(_, takes)| *takes == Kind::Chat) {
                let (code, reason) = token_refusal(dialect, path, code, reason);
                let outcome = dialect.call(&mut connection, path, &[("token", &token)], &()).await;
                println!("{room} on {path} in {dialect:?}");
                outcome.refused(code, reason);
            }
        }
    }
}

fn reason_of(status: &Status) -> String {
    use tonic_types::StatusExt as _;
    status.get_details_error_info().map(|info| info.reason).unwrap_or_default()
}

async fn a_token_may_come_in_either_header(database: Database) {
    let app = TestApp::start(&database).await;
    let user = app.user().await;
    let bearers = [format!("Bearer {}", user.token()), format!("bearer {}", user.token())];
    for dialect in Dialect::ALL {
        let mut connection = connect(&app, dialect).await;
        for header in
            [("token", user.token()), ("authorization", &bearers[0]), ("authorization", &bearers[1])]
        {
            let path = "/grpcchatter.v1.ChatService/ListChatRooms";
            dialect.call(&mut connection, path, &[header], &()).await.unwrap();
        }
    }
}

async fn the_same_token_in_both_headers_counts_as_one(database: Database) {
    let app = TestApp::start(&database).await;
    let user = app.user().await;
    let bearer = format!("Bearer {}", user.token());
    let metadata = [("token", user.token()), ("authorization", bearer.as_str())];
    for dialect in Dialect::ALL {
        let mut connection = connect(&app, dialect).await;
        let path = "/grpcchatter.v1.ChatService/ListChatRooms";
        dialect.call(&mut connection, path, &metadata, &()).await.unwrap();
    }
}

async fn a_room_token_opens_only_its_room(database: Database) {
    let app = TestApp::start(&database).await;
    let (owner, guest) = (app.user().await, app.user().await);
    let (room, other) = (owner.create_room().await, owner.create_room().await);
    let invitation = owner.invite(&room).await;
    let joined = guest.join_by(&invitation).await.unwrap();
    assert_eq!(joined.room.unwrap().short_code, room.short_code);
    guest.join_by(guest.token()).await.refused(Code::Unauthenticated, "TOKEN_WRONG_KIND");
    guest.join_by("nonsense").await.refused(Code::Unauthenticated, "TOKEN_INVALID");
    let code_alone = crate::harness::Room { password: String::new(), ..other };
    guest.call(code_alone.join_request()).await.refused(Code::PermissionDenied, "WRONG_ROOM_PASSWORD");
}
