//! Tokens: issued, read, refused.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::json;

use super::*;
use crate::{
    crypto::{Secret, Secrets},
    domain::tests::temporary::TemporaryDomain,
    store::temporary::{TemporaryDatabase, on_each_database},
};

on_each_database! {
    each_kind_reads_back_what_it_was_issued_with,
    no_kind_passes_for_another,
    a_token_is_accepted_until_five_seconds_after_its_expiry,
    a_chat_token_claims_what_is_checked_when_the_room_is_read,
    forged_tokens_are_invalid,
    a_token_of_a_retired_secret_verifies_until_the_secret_is_dropped,
}

const ROOM: RoomInvitation = RoomInvitation { room: RoomId(7), room_epoch: 3 };
const HOUR: Duration = Duration::from_secs(3600);

async fn caller(domain: &TemporaryDomain) -> (String, UserIdentity) {
    let token = domain.register("walker1").await.token;
    let identity = domain.tokens.authenticate_user(&token).await.unwrap();
    (token, identity)
}

fn chat(domain: &TemporaryDomain, user: &UserIdentity) -> (String, Timestamp) {
    domain.tokens.issue_chat(user, ROOM.room, &ShortCode::trusted("Cr7nvv"), 3, 5)
}

fn claims(token: &str) -> serde_json::Value {
    let part = token.split('.').nth(1).unwrap();
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap()
}

async fn each_kind_reads_back_what_it_was_issued_with(database: TemporaryDatabase) {
    let domain = TemporaryDomain::open(database).await;
    let (_, user) = caller(&domain).await;
    assert_eq!(user.user_name.as_str(), "walker1");
    let (token, expires_at) = chat(&domain, &user);
    let read = domain.tokens.read_chat(&token).unwrap();
    assert_eq!((read.user, read.session, read.room), (user.user, user.session, ROOM.room));
    assert_eq!((read.user_name, read.short_code.as_str()), (user.user_name, "Cr7nvv"));
    assert_eq!((read.room_epoch, read.member_epoch, read.expires_at), (3, 5, expires_at));
    let (token, _) = domain.tokens.issue_invitation(ROOM, HOUR);
    let read = domain.tokens.read_invitation(&token).unwrap();
    assert_eq!((read.room, read.room_epoch), (ROOM.room, ROOM.room_epoch));
}

async fn no_kind_passes_for_another(database: TemporaryDatabase) {
    let domain = TemporaryDomain::open(database).await;
    let (user_token, user) = caller(&domain).await;
    let (chat_token, _) = chat(&domain, &user);
    let (room_token, _) = domain.tokens.issue_invitation(ROOM, HOUR);
    for token in [&chat_token, &room_token] {
        let refused = domain.tokens.authenticate_user(token).await;
        assert!(matches!(refused, Err(Error::TokenWrongKind { expected: TokenKind::User })));
    }
    for token in [&user_token, &room_token] {
        let refused = domain.tokens.read_chat(token);
        assert!(matches!(refused, Err(Error::TokenWrongKind { expected: TokenKind::Chat })));
    }
    for token in [&user_token, &chat_token] {
        let refused = domain.tokens.read_invitation(token);
        assert!(matches!(refused, Err(Error::TokenWrongKind { expected: TokenKind::Room })));
    }
}

async fn a_token_is_accepted_until_five_seconds_after_its_expiry(database: TemporaryDatabase) {
    let domain = TemporaryDomain::open(database).await;
    let (token, expires_at) = domain.tokens.issue_invitation(ROOM, HOUR);
    domain.clock.set(expires_at + Duration::from_millis(4999));
    assert!(domain.tokens.read_invitation(&token).is_ok());
    domain.clock.set(expires_at + Duration::from_secs(5));
    assert!(matches!(domain.tokens.read_invitation(&token), Err(Error::TokenExpired)));
    domain.clock.set(expires_at - HOUR - Duration::from_secs(6));
    assert!(matches!(domain.tokens.read_invitation(&token), Err(Error::TokenInvalid)));
    domain.clock.set(expires_at - HOUR - Duration::from_secs(5));
    assert!(domain.tokens.read_invitation(&token).is_ok());
}

async fn a_chat_token_claims_what_is_checked_when_the_room_is_read(database: TemporaryDatabase) {
    let domain = TemporaryDomain::open(database).await;
    let (user_token, user) = caller(&domain).await;
    let (token, _) = chat(&domain, &user);
    let chat_claims = claims(&token);
    assert_eq!(chat_claims["aud"], "chat");
    for name in ["sub", "name", "sid", "room", "code", "room_epoch", "member_epoch", "iat", "exp", "jti"] {
        assert!(chat_claims.get(name).is_some(), "{name}");
    }
    let user_claims = claims(&user_token);
    for name in ["sub", "name", "role", "sid", "iat", "exp", "jti"] {
        assert!(user_claims.get(name).is_some(), "{name}");
    }
}

async fn forged_tokens_are_invalid(database: TemporaryDatabase) {
    let domain = TemporaryDomain::open(database).await;
    let (good, user) = caller(&domain).await;
    let parts: Vec<&str> = good.split('.').collect();
    let [header, payload, signature] = parts[..] else { panic!("three parts") };
    let header_json: serde_json::Value =
        serde_json::from_slice(&URL_SAFE_NO_PAD.decode(header).unwrap()).unwrap();
    let kid = header_json["kid"].clone();
    let encode = |value: serde_json::Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let with_header = |value| format!("{}.{payload}.{signature}", encode(value));
    let mut richer = claims(&good);
    richer["role"] = json!("ADMIN");
    let foreign = Keys::new(&Secret::generate(&domain.clock).into());
    let claims = UserClaims {
        user: user.user.0,
        name: "walker1".into(),
        role: "USER".into(),
        session: user.session.0,
    };
    let (foreign, _) =
        foreign.sign(TokenKind::User, claims, "1".into(), domain.clock.now(), Duration::from_secs(60));
    let foreign_signature = foreign.rsplit('.').next().unwrap();
    // A token of the original server: its own claim for the expiry, no kid, no aud.
    let originals = format!(
        "{}.{}.{signature}",
        encode(json!({"alg": "HS256", "typ": "JWT"})),
        encode(json!({"expiresAt": 1_900_000_000, "id": 1, "role": "USER", "userName": "walker1"}))
    );
    let forgeries = [
        String::new(),
        ".".into(),
        "..".into(),
        "nonsense".into(),
        "é.é.é".into(),
        format!("{header}.{payload}"),
        format!("{header}.{payload}."),
        format!("{header}..{signature}"),
        format!(".{payload}.{signature}"),
        format!("{good}."),
        format!("{good}A"),
        format!(" {good}"),
        format!("{header}.{payload}.{}", "A".repeat(43)),
        format!("{header}.{payload}.{foreign_signature}"),
        format!("{header}.{}.{signature}", encode(richer)),
        with_header(json!({"alg": "none", "typ": "JWT", "kid": kid})),
        format!("{}.{payload}.", encode(json!({"alg": "none", "typ": "JWT", "kid": kid}))),
        with_header(json!({"alg": "HS384", "typ": "JWT", "kid": kid})),
        with_header(json!({"alg": "HS512", "typ": "JWT", "kid": kid})),
        with_header(json!({"alg": "RS256", "typ": "JWT", "kid": kid})),
        with_header(json!({"alg": "ES256", "typ": "JWT", "kid": kid})),
        with_header(json!({"alg": "hs256", "typ": "JWT", "kid": kid})),
        with_header(json!({"typ": "JWT", "kid": kid})),
        with_header(json!({"alg": "HS256", "typ": "JWT"})),
        with_header(json!({"alg": "HS256", "typ": "JWT", "kid": "../../etc/passwd"})),
        with_header(json!({"alg": "HS256", "typ": "JWT", "kid": 7})),
        foreign,
        originals,
        format!("{good}{}", "A".repeat(1 << 20)),
    ];
    for forged in forgeries {
        let answer = domain.tokens.authenticate_user(&forged).await;
        assert!(matches!(answer, Err(Error::TokenInvalid)), "{forged:.200}: {answer:?}");
        assert!(matches!(domain.tokens.read_chat(&forged), Err(Error::TokenInvalid)), "{forged:.200}");
        assert!(matches!(domain.tokens.read_invitation(&forged), Err(Error::TokenInvalid)), "{forged:.200}");
    }
}

async fn a_token_of_a_retired_secret_verifies_until_the_secret_is_dropped(database: TemporaryDatabase) {
    let domain = TemporaryDomain::open(database).await;
    let tokens = |list: String| {
        let keys = Keys::new(&Secrets::parse(&list).unwrap());
        Tokens::new(domain.store.clone(), keys, domain.clock.clone(), TokenConfig::default())
    };
    let (old, new) = ("o".repeat(32), "n".repeat(32));
    let (token, _) = tokens(old.clone()).issue_invitation(ROOM, HOUR);
    assert!(tokens(format!("{new},{old}")).read_invitation(&token).is_ok());
    assert!(matches!(tokens(new).read_invitation(&token), Err(Error::TokenInvalid)));
}
