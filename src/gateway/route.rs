//! What a request is: its dialect and the method it calls, parsed once, before everything that asks.

use http::{HeaderMap, HeaderValue, Method as Verb, Request, StatusCode, Version, header};

use super::negotiation::prefers_bytes;

/// How the caller speaks, and how it is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Dialect {
    /// gRPC over HTTP/2.
    Grpc,
    /// gRPC-web in bytes.
    GrpcWeb,
    /// gRPC-web in base64.
    GrpcWebText,
    /// JSON, and the page.
    Rest,
}

impl Dialect {
    /// Returns the name in logs and figures.
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Grpc => "grpc",
            Self::GrpcWeb | Self::GrpcWebText => "grpc-web",
            Self::Rest => "rest",
        }
    }

    /// Says whether it is one of the two that tonic-web translates.
    pub(super) const fn is_web(self) -> bool {
        matches!(self, Self::GrpcWeb | Self::GrpcWebText)
    }
}

/// A gRPC method that is served.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Method {
    CreateChatRoom,
    UpdateChatRoom,
    DeleteChatRoom,
    ListChatRooms,
    CreateRoomToken,
    RemoveChatRoomUser,
    UnbanChatRoomUser,
    JoinChatRoom,
    LeaveChatRoom,
    ListChatRoomUsers,
    SendMessage,
    ListMessages,
    Subscribe,
    Chat,
    HealthCheck,
    HealthWatch,
    Reflection,
    ReflectionAlpha,
}

/// The service of the .proto.
pub(super) const SERVICE: &str = "grpcchatter.v1.ChatService";

/// The same, as the original's clients call it.
pub(super) const LEGACY_SERVICE: &str = "proto.GRPCChatter";

const HEALTH: &str = "grpc.health.v1.Health";
const REFLECTION: &str = "grpc.reflection.v1.ServerReflection";
const REFLECTION_ALPHA: &str = "grpc.reflection.v1alpha.ServerReflection";

impl Method {
    fn parse(service: &str, name: &str) -> Option<Self> {
        Some(match (service, name) {
            (SERVICE | LEGACY_SERVICE, "CreateChatRoom") => Self::CreateChatRoom,
            (SERVICE | LEGACY_SERVICE, "DeleteChatRoom") => Self::DeleteChatRoom,
            (SERVICE | LEGACY_SERVICE, "JoinChatRoom") => Self::JoinChatRoom,
            (SERVICE | LEGACY_SERVICE, "ListChatRoomUsers") => Self::ListChatRoomUsers,
            (SERVICE | LEGACY_SERVICE, "Chat") => Self::Chat,
            (SERVICE | LEGACY_SERVICE, "UpdateChatRoom") => Self::UpdateChatRoom,
            (SERVICE | LEGACY_SERVICE, "ListChatRooms") => Self::ListChatRooms,
            (SERVICE | LEGACY_SERVICE, "CreateRoomToken") => Self::CreateRoomToken,
            (SERVICE | LEGACY_SERVICE, "RemoveChatRoomUser") => Self::RemoveChatRoomUser,
            (SERVICE | LEGACY_SERVICE, "UnbanChatRoomUser") => Self::UnbanChatRoomUser,
            (SERVICE | LEGACY_SERVICE, "LeaveChatRoom") => Self::LeaveChatRoom,
            (SERVICE | LEGACY_SERVICE, "SendMessage") => Self::SendMessage,
            (SERVICE | LEGACY_SERVICE, "ListMessages") => Self::ListMessages,
            (SERVICE | LEGACY_SERVICE, "Subscribe") => Self::Subscribe,
            (HEALTH, "Check") => Self::HealthCheck,
            (HEALTH, "Watch") => Self::HealthWatch,
            (REFLECTION, "ServerReflectionInfo") => Self::Reflection,
            (REFLECTION_ALPHA, "ServerReflectionInfo") => Self::ReflectionAlpha,
            _ => return None,
        })
    }

    /// Returns the name in logs and figures.
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::CreateChatRoom => "CreateChatRoom",
            Self::UpdateChatRoom => "UpdateChatRoom",
            Self::DeleteChatRoom => "DeleteChatRoom",
            Self::ListChatRooms => "ListChatRooms",
            Self::CreateRoomToken => "CreateRoomToken",
            Self::RemoveChatRoomUser => "RemoveChatRoomUser",
            Self::UnbanChatRoomUser => "UnbanChatRoomUser",
            Self::JoinChatRoom => "JoinChatRoom",
            Self::LeaveChatRoom => "LeaveChatRoom",
            Self::ListChatRoomUsers => "ListChatRoomUsers",
            Self::SendMessage => "SendMessage",
            Self::ListMessages => "ListMessages",
            Self::Subscribe => "Subscribe",
            Self::Chat => "Chat",
            Self::HealthCheck => "Check",
            Self::HealthWatch => "Watch",
            Self::Reflection | Self::ReflectionAlpha => "ServerReflectionInfo",
        }
    }

    /// Returns the name of its service in figures.
    pub(super) const fn service(self, is_legacy: bool) -> &'static str {
        match self {
            Self::HealthCheck | Self::HealthWatch => HEALTH,
            Self::Reflection => REFLECTION,
            Self::ReflectionAlpha => REFLECTION_ALPHA,
            _ if is_legacy => LEGACY_SERVICE,
            _ => SERVICE,
        }
    }

    /// Says whether both sides stream, which gRPC-web cannot.
    pub(super) const fn is_bidi(self) -> bool {
        matches!(self, Self::Chat | Self::Reflection | Self::ReflectionAlpha)
    }

    /// Says whether the answer is a stream, which has no deadline of ours.
    pub(super) const fn is_streaming(self) -> bool {
        matches!(self, Self::Subscribe | Self::HealthWatch) || self.is_bidi()
    }

    /// Returns the path under which a method is implemented, whatever other names it has.
    pub(super) fn canonical_path(self) -> String {
        let service = if self == Self::ReflectionAlpha { REFLECTION } else { self.service(false) };
        format!("/{service}/{}", self.as_str())
    }
}

/// A gRPC call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Call {
    /// A method that is served; `legacy` under the original's service name.
    Known {
        /// The method.
        method: Method,
        /// Whether it was called by the original's name.
        legacy: bool,
    },
    /// Another one.
    Unknown {
        /// The service that was named.
        service: String,
        /// The method that was named.
        method: String,
    },
}

/// What a request is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Route {
    /// A gRPC call.
    Grpc(Dialect, Call),
    /// Everything else.
    Rest,
    /// What HTTP itself refuses: the status, a sentence, a reason, and a header that helps.
    Refused(Refused),
}

/// What HTTP itself refuses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Refused {
    /// The status.
    pub status: StatusCode,
    /// Why.
    pub sentence: &'static str,
    /// The reason, for programs.
    pub reason: &'static str,
    /// A header that says what would be right.
    pub header: Option<(header::HeaderName, HeaderValue)>,
}

impl Route {
    /// Parses a request's head.
    pub(super) fn of<B>(request: &Request<B>) -> Self {
        let content = Content::of(request.headers());
        let call = parse_path(request.uri().path());
        let is_grpc_path = call.as_ref().is_some_and(|(_, is_served)| *is_served);
        if content == Content::Other && !is_grpc_path {
            return Self::Rest;
        }
        if request.method() != Verb::POST {
            return Self::Refused(Refused {
                status: StatusCode::METHOD_NOT_ALLOWED,
                sentence: "gRPC methods are called by POST",
                reason: "METHOD_NOT_ALLOWED",
                header: Some((header::ALLOW, HeaderValue::from_static("POST"))),
            });
        }
        let Content::Grpc(dialect) = content else {
            return Self::Refused(Refused {
                status: StatusCode::UNSUPPORTED_MEDIA_TYPE,
                sentence: "gRPC methods take protobuf: see Accept-Post",
                reason: "UNSUPPORTED_MEDIA_TYPE",
                header: Some((
                    header::HeaderName::from_static("accept-post"),
                    HeaderValue::from_static(
                        "application/grpc, application/grpc+proto, application/grpc-web+proto, \
                         application/grpc-web-text+proto",
                    ),
                )),
            });
        };
        if dialect == Dialect::Grpc && request.version() != Version::HTTP_2 {
            return Self::Refused(Refused {
                status: StatusCode::HTTP_VERSION_NOT_SUPPORTED,
                sentence: "gRPC needs HTTP/2: use it with prior knowledge, or gRPC-web over HTTP/1.1",
                reason: "HTTP_VERSION_NOT_SUPPORTED",
                header: None,
            });
        }
        let call = call.map_or_else(
            || Call::Unknown { service: String::new(), method: request.uri().path().to_owned() },
            |(call, _)| call,
        );
        Self::Grpc(dialect, call)
    }

    /// Returns the dialect in which the caller is answered.
    pub(super) const fn dialect(&self) -> Dialect {
        match self {
            Self::Grpc(dialect, _) => *dialect,
            Self::Rest | Self::Refused(_) => Dialect::Rest,
        }
    }

    /// Returns the path of a known method, as its service and name.
    pub(super) const fn method(&self) -> Option<(&'static str, &'static str)> {
        match self {
            Self::Grpc(_, Call::Known { method, legacy }) => Some((method.service(*legacy), method.as_str())),
            _ => None,
        }
    }
}

/// Splits `/service/method`, and says whether the service is one that is served.
fn parse_path(path: &str) -> Option<(Call, bool)> {
    let (service, name) = path.strip_prefix('/')?.split_once('/')?;
    let is_served = matches!(service, SERVICE | LEGACY_SERVICE | HEALTH | REFLECTION | REFLECTION_ALPHA);
    let call = match Method::parse(service, name) {
        Some(method) => Call::Known { method, legacy: service == LEGACY_SERVICE },
        None => Call::Unknown { service: service.to_owned(), method: name.to_owned() },
    };
    Some((call, is_served))
}

/// What a content-type says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Content {
    /// gRPC in protobuf, or gRPC-web.
    Grpc(Dialect),
    /// gRPC with a message format that is not protobuf.
    GrpcOther,
    /// Anything else.
    Other,
}

impl Content {
    /// Reads it.
    pub(super) fn of(headers: &HeaderMap) -> Self {
        let value =
            headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let media_type = value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        let (base, format) = media_type.split_once('+').unwrap_or((&media_type, "proto"));
        let dialect = match base {
            "application/grpc" => Dialect::Grpc,
            "application/grpc-web" => Dialect::GrpcWeb,
            "application/grpc-web-text" => Dialect::GrpcWebText,
            _ => return Self::Other,
        };
        if format == "proto" { Self::Grpc(dialect) } else { Self::GrpcOther }
    }
}

/// gRPC-web in bytes, as tonic-web writes it.
const BYTES: HeaderValue = HeaderValue::from_static("application/grpc-web+proto");

/// Writes the headers as tonic-web expects them: it compares them with four exact texts, and picks the answer's
/// encoding from an exact `Accept`.
pub(super) fn normalise(headers: &mut HeaderMap, dialect: Dialect) {
    let text = HeaderValue::from_static("application/grpc-web-text+proto");
    match dialect {
        Dialect::Grpc => {
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
        }
        Dialect::GrpcWeb => {
            headers.insert(header::CONTENT_TYPE, BYTES);
        }
        Dialect::GrpcWebText => {
            headers.insert(header::CONTENT_TYPE, text.clone());
            let accept = if prefers_bytes(headers) { BYTES } else { text };
            headers.insert(header::ACCEPT, accept);
        }
        Dialect::Rest => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(verb: &str, path: &str, content_type: Option<&str>) -> Request<()> {
        let mut builder = Request::builder().method(verb).uri(path).version(Version::HTTP_2);
        if let Some(content_type) = content_type {
            builder = builder.header("content-type", content_type);
        }
        builder.body(()).expect("a valid request")
    }

    #[test]
    fn the_media_type_decides_and_not_its_case_or_parameters() {
        for (content_type, dialect) in [
            ("application/grpc", Dialect::Grpc),
            ("application/grpc+proto", Dialect::Grpc),
            ("APPLICATION/GRPC", Dialect::Grpc),
            ("application/grpc;charset=utf-8", Dialect::Grpc),
            ("application/grpc-web", Dialect::GrpcWeb),
            ("application/grpc-web+proto ; charset=utf-8", Dialect::GrpcWeb),
            ("application/grpc-web-text", Dialect::GrpcWebText),
            ("application/grpc-web-text+proto", Dialect::GrpcWebText),
        ] {
            let route =
                Route::of(&request("POST", "/grpcchatter.v1.ChatService/SendMessage", Some(content_type)));
            let call = Call::Known { method: Method::SendMessage, legacy: false };
            assert_eq!(route, Route::Grpc(dialect, call), "{content_type}");
        }
    }

    #[test]
    fn what_only_looks_like_grpc_is_not() {
        for content_type in [Some("application/grpcx"), Some("text/plain"), Some("application/json"), None] {
            assert_eq!(Route::of(&request("POST", "/login", content_type)), Route::Rest, "{content_type:?}");
        }
    }

    #[test]
    fn a_grpc_path_is_never_the_page() {
        for verb in ["GET", "HEAD", "OPTIONS", "PUT"] {
            let route = Route::of(&request(verb, "/proto.GRPCChatter/Chat", None));
            assert!(matches!(route, Route::Refused(refused) if refused.status == 405), "{verb}");
        }
        for content_type in ["application/json", "application/grpc+json", "application/grpc+thrift"] {
            let route = Route::of(&request("POST", "/grpc.health.v1.Health/Check", Some(content_type)));
            assert!(matches!(route, Route::Refused(refused) if refused.status == 415), "{content_type}");
        }
    }

    #[test]
    fn the_originals_names_are_the_same_methods() {
        let route = Route::of(&request("POST", "/proto.GRPCChatter/Chat", Some("application/grpc")));
        assert_eq!(route, Route::Grpc(Dialect::Grpc, Call::Known { method: Method::Chat, legacy: true }));
        let route = Route::of(&request("POST", "/proto.GRPCChatter/Nope", Some("application/grpc")));
        let call = Call::Unknown { service: "proto.GRPCChatter".into(), method: "Nope".into() };
        assert_eq!(route, Route::Grpc(Dialect::Grpc, call));
    }

    #[test]
    fn an_answer_is_text_where_the_question_is_and_nothing_else_is_asked_for() {
        for (accept, expected) in [
            (None, "application/grpc-web-text+proto"),
            (Some("*/*"), "application/grpc-web-text+proto"),
            (Some(""), "application/grpc-web-text+proto"),
            (Some("application/grpc-web-text"), "application/grpc-web-text+proto"),
            (Some("Application/gRPC-web-text+proto; charset=utf-8"), "application/grpc-web-text+proto"),
            (
                Some("application/grpc-web;q=0.5, application/grpc-web-text"),
                "application/grpc-web-text+proto",
            ),
            (Some("application/*"), "application/grpc-web-text+proto"),
            (Some("text/html"), "application/grpc-web-text+proto"),
            (Some("application/grpc-web+proto"), "application/grpc-web+proto"),
            (Some("application/grpc-web, */*;q=0.1"), "application/grpc-web+proto"),
        ] {
            let mut headers = HeaderMap::new();
            if let Some(accept) = accept {
                headers.insert(header::ACCEPT, HeaderValue::from_static(accept));
            }
            normalise(&mut headers, Dialect::GrpcWebText);
            assert_eq!(headers[header::ACCEPT], expected);
        }
    }
}
