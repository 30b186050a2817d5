//! Invitations as people pass them on: a token, or a link to the server's page with the token in it.

use crate::exit::Error;

/// What stands between the server's URL and the token; the page reads it there.
const PAGE: &str = "/#join=";

/// The link to the page of the server at `url`.
pub(crate) fn link(url: &str, token: &str) -> String {
    format!("{url}{PAGE}{token}")
}

/// The token in what was typed, if that is an invitation and no short code: a token has dots in it, a short code is
/// letters and digits.
///
/// # Errors
/// [`Error::InvitationElsewhere`], as the token must not be shown to a server that did not make it.
pub(crate) fn token<'a>(typed: &'a str, url: &str) -> Option<Result<&'a str, Error>> {
    let typed = typed.trim();
    if let Some((server, token)) = typed.split_once(PAGE) {
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
    fn an_invitation_is_shown_to_its_own_server_only() {
        let error = token("https://other.example/#join=aaa.bbb.ccc", HERE).unwrap().unwrap_err();
        assert!(error.to_string().contains("https://other.example"), "{error}");
    }
}
