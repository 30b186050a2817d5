//! Parses DATABASE_URL if it names PostgreSQL. No error repeats any part of its text: the part that is wrong may be the
//! password.

use std::{fmt, str::FromStr as _, sync::Arc};

use sea_orm::sqlx::{ConnectOptions as _, postgres::PgConnectOptions};

/// The address of PostgreSQL, with the user and the password, which `Debug` and `Display` hide.
#[derive(Clone)]
pub struct PostgresUrl(Arc<PgConnectOptions>);

/// The parameters that sqlx knows. It would log any other, with its value, and ignore it.
const PARAMETERS: &[&str] = &[
    "application_name",
    "dbname",
    "host",
    "hostaddr",
    "options",
    "password",
    "port",
    "ssl-ca",
    "ssl-cert",
    "ssl-key",
    "ssl-mode",
    "ssl-root-cert",
    "sslcert",
    "sslkey",
    "sslmode",
    "sslrootcert",
    "statement-cache-capacity",
    "user",
];

const MALFORMED: &str = "is no address of PostgreSQL; write it as postgres://USER:PASSWORD@HOST:PORT/NAME, with each \
     character of the user and the password that is no letter or digit percent-encoded (@ is %40, : is %3A, / is %2F, \
     ? is %3F, # is %23, % is %25)";

const SEVERAL_HOSTS: &str = "names several hosts, and this program connects to one; name what leads to the primary, as a \
     virtual address, a proxy or a DNS name does";

const TARGET: &str =
    "asks for other servers than the primary (target_session_attrs); this program writes, so leave it out";

const UNKNOWN: &str = "has a parameter after the `?` that is not known here; known are sslmode, sslrootcert, sslcert, \
     sslkey, host, hostaddr, port, user, password, dbname, application_name, options and statement-cache-capacity";

impl PostgresUrl {
    /// Parses an address.
    ///
    /// # Errors
    /// The mistake and the correct form, without any part of the text.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        let (base, query) = text.split_once('?').unwrap_or((text, ""));
        let (_, rest) = base.split_once("//").ok_or(MALFORMED)?;
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        // A password that contains one of these characters would be cut there, and its rest taken for a host or a port,
        // which the error of a failed connection shows.
        if text.contains('#') || path.contains(['/', '@']) || query.contains('@') {
            return Err(MALFORMED);
        }
        let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
        let mut kept = String::new();
        for parameter in query.split('&').filter(|parameter| !parameter.is_empty()) {
            let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
            match name {
                "host" | "hostaddr" | "port" if value.contains(',') => return Err(SEVERAL_HOSTS),
                "target_session_attrs" if ["read-write", "primary"].contains(&value) => continue,
                "target_session_attrs" => return Err(TARGET),
                _ if PARAMETERS.contains(&name) || name.starts_with("options[") => {}
                _ => return Err(UNKNOWN),
            }
            kept.push(if kept.is_empty() { '?' } else { '&' });
            kept.push_str(parameter);
        }
        if host.contains(',') {
            return Err(SEVERAL_HOSTS);
        }
        let options = PgConnectOptions::from_str(&format!("{base}{kept}")).map_err(|_| MALFORMED)?;
        // No floating-point number is ever read, and poolers refuse options that they do not know.
        let options = options.application_name("grpcchatter").extra_float_digits(None);
        Ok(Self(Arc::new(options.disable_statement_logging())))
    }

    /// Returns the options for a connection.
    pub(in crate::store) fn options(&self) -> &PgConnectOptions {
        &self.0
    }
}

impl fmt::Display for PostgresUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (host, port) = (self.0.get_host(), self.0.get_port());
        match self.0.get_socket() {
            Some(folder) => write!(f, "{}/.s.PGSQL.{port}", folder.display()),
            None if host.starts_with('/') => write!(f, "{host}/.s.PGSQL.{port}"),
            None => write!(f, "{host}:{port}"),
        }
    }
}

impl fmt::Debug for PostgresUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PostgresUrl({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_shown_without_its_user_and_password() {
        for (text, shown) in [
            ("postgres://chat:cAnary@database.example.org/chat", "database.example.org:5432"),
            ("postgresql://chat:c%40nary@127.0.0.1:6543/chat?sslmode=require", "127.0.0.1:6543"),
            (
                "postgres://chat@localhost/chat?target_session_attrs=read-write&sslmode=disable",
                "localhost:5432",
            ),
            ("postgres:///chat?host=/run/postgresql&user=chat", "/run/postgresql/.s.PGSQL.5432"),
        ] {
            let url = PostgresUrl::parse(text).unwrap();
            assert_eq!(
                (url.to_string(), format!("{url:?}")),
                (shown.to_owned(), format!("PostgresUrl({shown})"))
            );
        }
    }

    #[test]
    fn an_unusable_address_is_refused_without_any_part_of_it() {
        for (text, refused) in [
            // Passwords that are not percent-encoded; each cuts the address at another place.
            ("postgres://odd:p@ss:w/o?r#d@127.0.0.1/odd", MALFORMED),
            ("postgres://odd:12#34@127.0.0.1/odd", MALFORMED),
            ("postgres://odd:12/34@127.0.0.1/odd", MALFORMED),
            ("postgres://odd:12?34@127.0.0.1/odd", MALFORMED),
            ("postgres://odd:p[ss@127.0.0.1:port/odd", MALFORMED),
            ("postgres://odd@127.0.0.1/odd?sslmode=cAnary", MALFORMED),
            ("postgres://odd@127.0.0.1/odd?cAnary", UNKNOWN),
            ("postgres://odd@127.0.0.1/odd?passwrod=cAnary", UNKNOWN),
            ("postgres://odd@one:5432,two:5432/odd", SEVERAL_HOSTS),
            ("postgres://odd@one,two/odd", SEVERAL_HOSTS),
            ("postgres:///odd?host=one,two", SEVERAL_HOSTS),
            ("postgres://odd@one/odd?target_session_attrs=standby", TARGET),
        ] {
            assert_eq!(PostgresUrl::parse(text).unwrap_err(), refused, "{text}");
        }
    }
}
