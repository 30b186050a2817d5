//! The route of a request: its dialect and the method that it calls. Parsed once, and then read from the extensions.

#[cfg(any(test, fuzzing))]
pub mod fuzz;
mod access;
pub(super) mod paths;
mod method;
mod content_type;
mod dialect;

#[cfg(test)]
pub(super) use self::access::rest_paths;
pub(super) use self::{
    access::{Access, known_path, method_access, method_cost, path_access},
    content_type::{ContentType, normalise},
    dialect::Dialect,
    method::{LEGACY_SERVICE, Method, SERVICE},
};

use http::{HeaderValue, Method as Verb, Request, StatusCode, Version, header};

/// A gRPC call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Call {
    /// A method of this server.
    Known {
        /// The method.
        method: Method,
        /// Whether it was called by the original's service name.
        legacy: bool,
    },
    /// Any other method.
    Unknown {
        /// The service in the path.
        service: String,
        /// The method in the path.
        method: String,
    },
}

/// The route of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Route {
    /// A gRPC call.
    Grpc(Dialect, Call),
    /// Any other request.
    Rest,
    /// A request that breaks a rule of HTTP.
    Refused(HttpRefusal),
}

/// The refusal of a request that breaks a rule of HTTP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct HttpRefusal {
    /// The status.
    pub status: StatusCode,
    /// The sentence for people.
    pub sentence: &'static str,
    /// The reason for programs.
    pub reason: &'static str,
    /// A header that names what would be accepted.
    pub header: Option<(header::HeaderName, HeaderValue)>,
}

/// Parses the route of a request, and puts it into the extensions.
pub(super) fn insert<B>(mut request: Request<B>) -> Request<B> {
    let route = Route::parse(&request);
    request.extensions_mut().insert(route);
    request
}

impl Route {
    /// Returns the route of a request that has passed [`insert`].
    pub(super) fn of<B>(request: &Request<B>) -> &Self {
        request.extensions().get().expect("the layer of route::insert stands above")
    }

    /// Parses the head of a request.
    pub(super) fn parse<B>(request: &Request<B>) -> Self {
        let content = ContentType::of(request.headers());
        let call = parse_path(request.uri().path());
        let is_grpc_path = call.as_ref().is_some_and(|(_, is_served)| *is_served);
        if content == ContentType::Other && !is_grpc_path {
            return Self::Rest;
        }
        if request.method() != Verb::POST {
            return Self::Refused(HttpRefusal {
                status: StatusCode::METHOD_NOT_ALLOWED,
                sentence: "gRPC methods are called by POST",
                reason: "METHOD_NOT_ALLOWED",
                header: Some((header::ALLOW, HeaderValue::from_static("POST"))),
            });
        }
        let ContentType::Grpc(dialect) = content else {
            return Self::Refused(HttpRefusal {
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
            return Self::Refused(HttpRefusal {
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

    /// Returns the dialect of the response.
    pub(super) const fn dialect(&self) -> Dialect {
        match self {
            Self::Grpc(dialect, _) => *dialect,
            Self::Rest | Self::Refused(_) => Dialect::Rest,
        }
    }

    /// Returns the service and the name of a known gRPC method.
    pub(super) const fn method(&self) -> Option<(&'static str, &'static str)> {
        match self {
            Self::Grpc(_, Call::Known { method, legacy }) => Some((method.service(*legacy), method.as_str())),
            _ => None,
        }
    }
}

/// Returns the name of an HTTP method in logs and metrics.
pub(super) const fn verb_name(verb: &Verb) -> &'static str {
    match *verb {
        Verb::GET => "GET",
        Verb::HEAD => "HEAD",
        Verb::POST => "POST",
        Verb::PUT => "PUT",
        Verb::DELETE => "DELETE",
        Verb::OPTIONS => "OPTIONS",
        _ => "other",
    }
}

/// Parses `/service/method`. Returns the call, and whether this server has the service.
fn parse_path(path: &str) -> Option<(Call, bool)> {
    let (service, name) = path.strip_prefix('/')?.split_once('/')?;
    let is_served = method::is_served(service);
    let call = match Method::parse(service, name) {
        Some(method) => Call::Known { method, legacy: service == LEGACY_SERVICE },
        None => Call::Unknown { service: service.to_owned(), method: name.to_owned() },
    };
    Some((call, is_served))
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
    fn the_media_type_decides_whatever_its_case_and_parameters() {
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
                Route::parse(&request("POST", "/grpcchatter.v1.ChatService/SendMessage", Some(content_type)));
            let call = Call::Known { method: Method::SendMessage, legacy: false };
            assert_eq!(route, Route::Grpc(dialect, call), "{content_type}");
        }
    }

    #[test]
    fn other_content_types_are_not_grpc() {
        for content_type in [Some("application/grpcx"), Some("text/plain"), Some("application/json"), None] {
            assert_eq!(
                Route::parse(&request("POST", "/login", content_type)),
                Route::Rest,
                "{content_type:?}"
            );
        }
    }

    #[test]
    fn a_grpc_path_is_never_the_page() {
        for verb in ["GET", "HEAD", "OPTIONS", "PUT"] {
            let route = Route::parse(&request(verb, "/proto.GRPCChatter/Chat", None));
            assert!(matches!(route, Route::Refused(refused) if refused.status == 405), "{verb}");
        }
        for content_type in ["application/json", "application/grpc+json", "application/grpc+thrift"] {
            let route = Route::parse(&request("POST", "/grpc.health.v1.Health/Check", Some(content_type)));
            assert!(matches!(route, Route::Refused(refused) if refused.status == 415), "{content_type}");
        }
    }

    #[test]
    fn the_originals_service_has_the_same_methods() {
        let route = Route::parse(&request("POST", "/proto.GRPCChatter/Chat", Some("application/grpc")));
        assert_eq!(route, Route::Grpc(Dialect::Grpc, Call::Known { method: Method::Chat, legacy: true }));
        let route = Route::parse(&request("POST", "/proto.GRPCChatter/Nope", Some("application/grpc")));
        let call = Call::Unknown { service: "proto.GRPCChatter".into(), method: "Nope".into() };
        assert_eq!(route, Route::Grpc(Dialect::Grpc, call));
    }
}
