//! The dialects of the API: gRPC, gRPC-web and REST.

/// The dialect of a request and of its response.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(in crate::gateway) enum Dialect {
    /// gRPC over HTTP/2.
    Grpc,
    /// Binary gRPC-web.
    GrpcWeb,
    /// gRPC-web in base64.
    GrpcWebText,
    /// JSON, and the page.
    Rest,
}

impl Dialect {
    /// Returns the name in logs and metrics.
    pub(in crate::gateway) const fn as_str(self) -> &'static str {
        match self {
            Self::Grpc => "grpc",
            Self::GrpcWeb | Self::GrpcWebText => "grpc-web",
            Self::Rest => "rest",
        }
    }

    /// Returns whether tonic-web translates it.
    pub(in crate::gateway) const fn is_web(self) -> bool {
        matches!(self, Self::GrpcWeb | Self::GrpcWebText)
    }
}
