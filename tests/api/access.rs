//! Who may call what: each kind of token on each method, and every forgery that we know of on each of them,
//! in every dialect.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use tonic::{Code, Status};

use crate::harness::{
    Connection, Database, Dialect, Kind, METHODS, PASSWORD, Refused as _, SECRET, TestApp, Token, Version,
    blamed_on_the_token, on_each_database, report, request,
};

on_each_database! {
    each_method_takes_its_kind_of_token_and_no_other,
    no_forgery_passes_on_any_method_in_any_dialect,
    a_well_signed_token_opens_no_room_that_its_user_is_not_in,
    a_token_may_come_in_either_header,
    two_equal_tokens_are_one,
    a_room_token_opens_its_room_only,
}

/// The paths of REST that take a user token.
const REST: [(&str, &str); 5] = [
    ("GET", "/account"),
    ("DELETE", "/account"),
    ("POST", "/account/delete"),
    ("PUT", "/account/password"),
    ("POST", "/logout"),
];

/// Good tokens of each kind, and some that were good once.
struct Tokens {
    /// A room that the user with the tokens is not in, by the number that tokens name.
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

/// Connects as a dialect needs it. When it is used, not before: a connection that says nothing is closed.
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
                let (code, reason) = blamed_on_the_token(dialect, path, code, reason);
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

/// A forgery: its name, what it sends, and the reason for which it is refused.
type Forgery = (&'static str, Vec<(&'static str, String)>, &'static str);

/// Forges a token of `kind` in every way.
fn forgeries(tokens: &Tokens, kind: Kind) -> Vec<Forgery> {
    let original = &tokens.good[&kind];
    let token = Token::parse(original);
    let purpose = kind.purpose();
    let other = if kind == Kind::User { Kind::Chat } else { Kind::User };
    let exp = token.claims["exp"].as_i64().unwrap();
    let key_of_its_own =
        json!({"kty": "oct", "k": "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", "alg": "HS256"});
    let theirs = json!({"alg": "HS256", "typ": "JWT"});
    let the_originals = Token {
        claims: json!({"expiresAt": exp, "id": 1, "role": "ADMIN", "userName": "walker20457"}),
        ..token.clone()
    };
    let (content, signature) = original.rsplit_once('.').unwrap();
    let without_claim = |name: &str| {
        let mut token = token.clone();
        token.claims.as_object_mut().unwrap().remove(name);
        token.signed(SECRET, purpose)
    };
    let without_header = |name: &str| {
        let mut token = token.clone();
        token.header.as_object_mut().unwrap().remove(name);
        token.signed(SECRET, purpose)
    };
    let signed = |token: Token| token.signed(SECRET, purpose);

    let invalid = [
        ("alg none, no signature", token.clone().heading("alg", "none").with_signature(b"")),
        ("alg none, signed", signed(token.clone().heading("alg", "none"))),
        ("alg nOnE", token.clone().heading("alg", "nOnE").with_signature(b"")),
        ("alg HS384", signed(token.clone().heading("alg", "HS384"))),
        ("alg HS512", signed(token.clone().heading("alg", "HS512"))),
        ("alg RS256", signed(token.clone().heading("alg", "RS256"))),
        ("alg ES256", signed(token.clone().heading("alg", "ES256"))),
        ("alg EdDSA", signed(token.clone().heading("alg", "EdDSA"))),
        ("no alg", without_header("alg")),
        ("an empty signature", token.with_signature(b"")),
        ("a signature of zeros", token.with_signature(&[0; 32])),
        ("a signature cut short", format!("{content}.{}", &signature[..signature.len() - 4])),
        ("a signature in another spelling", format!("{content}.{}", next_spelling(signature))),
        ("a padded signature", format!("{original}=")),
        (
            "the signature of another token",
            format!("{content}.{}", tokens.good[&other].rsplit_once('.').unwrap().1),
        ),
        ("another name, the old signature", token.clone().claiming("name", "somebody1").unsigned()),
        ("a later end, the old signature", token.clone().claiming("exp", exp + 3600).unsigned()),
        ("another room, the old signature", token.clone().claiming("room", tokens.other_room).unsigned()),
        ("signed with nothing", token.signed_with(b"")),
        ("signed with the secret itself", token.signed_with(SECRET.as_bytes())),
        ("signed by another secret", token.signed("another-secret-of-at-least-32-bytes", purpose)),
        ("signed with the bus's key", token.signed(SECRET, "bus/1")),
        ("another audience", signed(token.clone().claiming("aud", other.purpose()))),
        ("no audience", without_claim("aud")),
        ("no end", without_claim("exp")),
        ("an end that is a text", signed(token.clone().claiming("exp", "9999999999"))),
        ("issued in the future", signed(token.clone().claiming("iat", exp + 60).claiming("exp", exp + 600))),
        ("not valid yet", signed(token.clone().claiming("nbf", exp - 1))),
        ("an unknown key id", signed(token.clone().heading("kid", "ffffffff"))),
        ("a path as key id", signed(token.clone().heading("kid", "../../../dev/null"))),
        ("SQL as key id", signed(token.clone().heading("kid", "' UNION SELECT 'x' --"))),
        ("its own key in the header", token.clone().heading("jwk", key_of_its_own).signed_with(&[0; 32])),
        (
            "the original's token",
            Token { header: theirs, ..the_originals.clone() }.signed_with(SECRET.as_bytes()),
        ),
        ("the original's claims, well signed", signed(the_originals)),
        ("a huge token", signed(token.clone().claiming("name", "x".repeat(6000)))),
        ("two parts", content.to_owned()),
        ("four parts", format!("{original}.{signature}")),
        ("no base64", "a.b.c".to_owned()),
        ("nonsense", "nonsense".to_owned()),
    ];
    let expired = signed(token.clone().claiming("iat", 1_700_000_000).claiming("exp", 1_700_000_600));
    let for_other = token.signed(SECRET, other.purpose());
    let bearer = |token: &str| format!("Bearer {token}");

    let mut all: Vec<Forgery> =
        invalid.map(|(name, token)| (name, vec![("authorization", bearer(&token))], "TOKEN_INVALID")).into();
    all.extend([
        ("expired", vec![("authorization", bearer(&expired))], "TOKEN_EXPIRED"),
        ("signed for another purpose", vec![("token", for_other)], "TOKEN_WRONG_KIND"),
        ("another kind", vec![("token", tokens.good[&other].clone())], "TOKEN_WRONG_KIND"),
        ("an invitation", vec![("token", tokens.good[&Kind::Room].clone())], "TOKEN_WRONG_KIND"),
        ("revoked", vec![("token", tokens.revoked[&kind].clone())], "TOKEN_REVOKED"),
        (
            "two at once",
            vec![("authorization", bearer(original)), ("token", tokens.good[&other].clone())],
            "TWO_TOKENS",
        ),
        (
            "two in one header",
            vec![("token", original.clone()), ("token", "nonsense".to_owned())],
            "TWO_TOKENS",
        ),
    ]);
    all
}

/// Changes the bits of the last character that no byte uses: the same bytes in another spelling.
fn next_spelling(signature: &str) -> String {
    const ALPHABET: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let (rest, last) = signature.split_at(signature.len() - 1);
    let place = ALPHABET.find(last).unwrap();
    format!("{rest}{}", &ALPHABET[place + 1..place + 2])
}

async fn no_forgery_passes_on_any_method_in_any_dialect(database: Database) {
    let app = TestApp::start(&database).await;
    let tokens = Tokens::of(&app).await;
    let forged = BTreeMap::from([Kind::User, Kind::Chat].map(|kind| (kind, forgeries(&tokens, kind))));
    let (mut calls, mut wrong) = (0, Vec::new());
    let mut check = |what: String, seen: (String, String), expected: (String, &str)| {
        calls += 1;
        if (seen.0.as_str(), seen.1.as_str()) != (expected.0.as_str(), expected.1) {
            wrong.push(format!("{what}: {seen:?}, not {expected:?}"));
        }
    };
    for dialect in Dialect::ALL {
        let mut connection = connect(&app, dialect).await;
        for (path, takes) in METHODS {
            for (name, metadata, reason) in &forged[&takes] {
                let metadata: Vec<_> = metadata.iter().map(|(name, value)| (*name, value.as_str())).collect();
                let (code, reason) = blamed_on_the_token(dialect, path, Code::Unauthenticated, reason);
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
    // What was forged was not refused for nothing: the same, signed and unchanged, passes.
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

/// The token says a room, and the room says who is in it.
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
                let (code, reason) = blamed_on_the_token(dialect, path, code, reason);
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

async fn two_equal_tokens_are_one(database: Database) {
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

async fn a_room_token_opens_its_room_only(database: Database) {
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
