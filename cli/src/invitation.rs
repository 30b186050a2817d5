//! Parses invitations: a token, or a link to the server's web page that carries the token.

use crate::exit::Error;

/// Separates the server's URL from the token in a link; the web page reads the token from there.
const PAGE_FRAGMENT: &str = "/#join=";

/// The link to the web page of the server at `url`.
pub(crate) fn link(url: &str, token: &str) -> String {
    format!("{url}{PAGE_FRAGMENT}{token}")
}

/// The token in `typed`, or `None` for a short code. Tokens contain dots; short codes are letters and digits.
///
/// # Errors
/// [`Error::InvitationElsewhere`]: a token must not be sent to a server that did not issue it.
pub(crate) fn token<'a>(typed: &'a str, url: &str) -> Option<Result<&'a str, Error>> {
    let typed = typed.trim();
    if let Some((server, token)) = typed.split_once(PAGE_FRAGMENT) {
        let here = server.eq_ignore_ascii_case(url);
        return Some(if here { Ok(token) } else { Err(Error::InvitationElsewhere(server.to_owned())) });
    }
    typed.contains('.').then_some(Ok(typed))
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: &str = "https://chat.example";

    #[test]
    fn a_link_and_a_token_are_one_invitation() {
        let link = link(HERE, "aaa.bbb.ccc");
        assert_eq!(link, "https://chat.example/#join=aaa.bbb.ccc");
        for typed in [&link, "aaa.bbb.ccc", " HTTPS://chat.example/#join=aaa.bbb.ccc\n"] {
            assert_eq!(token(typed, HERE).unwrap().unwrap(), "aaa.bbb.ccc", "{typed}");
        }
        assert!(token("aB3xYz", HERE).is_none());
    }

    #[test]
    fn an_invitation_is_sent_to_its_own_server_only() {
        let error = token("https://other.example/#join=aaa.bbb.ccc", HERE).unwrap().unwrap_err();
        assert!(error.to_string().contains("https://other.example"), "{error}");
    }
}
