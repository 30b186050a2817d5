//! Server reflection: the names of the services, and the files that describe them and their messages, with the details of a
//! refusal.
//!
//! An unknown name gets an error response, and the stream goes on; tonic's own service ends the stream there. v1alpha has the
//! same messages as v1 under an older name, so one service implements both.

use std::{collections::HashMap, pin::Pin, sync::Arc};

use grpcchatter_proto::DESCRIPTORS;
use prost::Message as _;
use prost_types::{DescriptorProto, EnumDescriptorProto, FileDescriptorProto, FileDescriptorSet};
use tokio_stream::{Stream, StreamExt as _};
use tonic::{Code, Request, Response, Status, Streaming};
use tonic_reflection::pb::{
    v1::{
        ErrorResponse, ExtensionNumberResponse, FileDescriptorResponse, ListServiceResponse,
        ServerReflectionRequest, ServerReflectionResponse, ServiceResponse,
        server_reflection_request::MessageRequest,
        server_reflection_response::MessageResponse,
        server_reflection_server::{ServerReflection, ServerReflectionServer},
    },
    v1alpha,
};

use super::{auxiliary_requests::MAX_AUXILIARY_REQUEST_BYTES, decode_error::from_tonic};
use crate::gateway::route::{LEGACY_SERVICE, SERVICE};

/// Makes the service.
pub(super) fn service() -> ServerReflectionServer<Reflection> {
    ServerReflectionServer::new(Reflection(Arc::new(Files::all())))
        .max_decoding_message_size(MAX_AUXILIARY_REQUEST_BYTES)
}

/// The service. Clones share the files.
#[derive(Clone)]
pub(super) struct Reflection(Arc<Files>);

#[tonic::async_trait]
impl ServerReflection for Reflection {
    type ServerReflectionInfoStream =
        Pin<Box<dyn Stream<Item = Result<ServerReflectionResponse, Status>> + Send>>;

    async fn server_reflection_info(
        &self,
        request: Request<Streaming<ServerReflectionRequest>>,
    ) -> Result<Response<Self::ServerReflectionInfoStream>, Status> {
        let files = Arc::clone(&self.0);
        let responses = request.into_inner().map(move |request| match request {
            Ok(request) => Ok(files.respond(request)),
            Err(status) => Err(from_tonic(&status).into()),
        });
        Ok(Response::new(Box::pin(responses)))
    }
}

/// The serialised files.
#[derive(Default)]
struct Files {
    by_name: HashMap<String, Vec<u8>>,
    /// The name of the file that declares a symbol.
    by_symbol: HashMap<String, String>,
    messages: Vec<String>,
    services: Vec<String>,
}

impl Files {
    /// Collects the files of all services.
    fn all() -> Self {
        let mut files = Self::default();
        for set in [
            DESCRIPTORS,
            tonic_types::pb::FILE_DESCRIPTOR_SET,
            tonic_health::pb::FILE_DESCRIPTOR_SET,
            tonic_reflection::pb::v1::FILE_DESCRIPTOR_SET,
            v1alpha::FILE_DESCRIPTOR_SET,
        ] {
            let set = FileDescriptorSet::decode(set).expect("the descriptors are the compiler's own");
            for file in set.file {
                files.add(original(&file));
                files.add(Some(file));
            }
        }
        files.services.sort();
        files
    }

    /// Adds a file once: several sets hold the same imports.
    fn add(&mut self, file: Option<FileDescriptorProto>) {
        let Some(file) = file.filter(|file| !self.by_name.contains_key(file.name())) else { return };
        let mut symbols = Symbols::default();
        symbols.of_file(&file);
        for symbol in symbols.all {
            self.by_symbol.insert(symbol, file.name().to_owned());
        }
        self.messages.extend(symbols.messages);
        self.services.extend(symbols.services);
        self.by_name.insert(file.name().to_owned(), file.encode_to_vec());
    }

    fn respond(&self, request: ServerReflectionRequest) -> ServerReflectionResponse {
        let found = match &request.message_request {
            Some(MessageRequest::FileByFilename(name)) => self.file(name),
            Some(MessageRequest::FileContainingSymbol(symbol)) => {
                self.by_symbol.get(symbol).and_then(|name| self.file(name))
            }
            Some(MessageRequest::ListServices(_)) => {
                let service = self.services.iter().map(|name| ServiceResponse { name: name.clone() });
                Some(MessageResponse::ListServicesResponse(ListServiceResponse {
                    service: service.collect(),
                }))
            }
            // No message has extensions.
            Some(MessageRequest::AllExtensionNumbersOfType(name)) => {
                self.messages.contains(name).then(|| {
                    MessageResponse::AllExtensionNumbersResponse(ExtensionNumberResponse {
                        base_type_name: name.clone(),
                        extension_number: Vec::new(),
                    })
                })
            }
            Some(MessageRequest::FileContainingExtension(_)) => None,
            None => Some(refusal(Code::InvalidArgument, "the request has no message_request".to_owned())),
        };
        let message_response = found.or_else(|| {
            let name = request.message_request.as_ref().map(requested_name).unwrap_or_default();
            Some(refusal(Code::NotFound, format!("{name} is not known here")))
        });
        ServerReflectionResponse {
            valid_host: request.host.clone(),
            original_request: Some(request),
            message_response,
        }
    }

    fn file(&self, name: &str) -> Option<MessageResponse> {
        let file_descriptor_proto = vec![self.by_name.get(name)?.clone()];
        Some(MessageResponse::FileDescriptorResponse(FileDescriptorResponse { file_descriptor_proto }))
    }
}

fn refusal(code: Code, error_message: String) -> MessageResponse {
    MessageResponse::ErrorResponse(ErrorResponse { error_code: code.into(), error_message })
}

fn requested_name(request: &MessageRequest) -> String {
    match request {
        MessageRequest::FileByFilename(name)
        | MessageRequest::FileContainingSymbol(name)
        | MessageRequest::AllExtensionNumbersOfType(name)
        | MessageRequest::ListServices(name) => name.clone(),
        MessageRequest::FileContainingExtension(extension) => {
            format!("extension {} of {}", extension.extension_number, extension.containing_type)
        }
    }
}

/// Returns a file for the original's service, where `file` declares the chat service: the methods and messages are the same.
fn original(file: &FileDescriptorProto) -> Option<FileDescriptorProto> {
    let (package, name) = LEGACY_SERVICE.rsplit_once('.')?;
    let full_name = |service: &str| format!("{}.{service}", file.package());
    let mut service = file.service.iter().find(|service| full_name(service.name()) == SERVICE)?.clone();
    service.name = Some(name.to_owned());
    Some(FileDescriptorProto {
        name: Some("grpcchatter/original.proto".to_owned()),
        package: Some(package.to_owned()),
        dependency: vec![file.name().to_owned()],
        service: vec![service],
        syntax: file.syntax.clone(),
        ..FileDescriptorProto::default()
    })
}

/// The full names that a file declares.
#[derive(Default)]
struct Symbols {
    all: Vec<String>,
    messages: Vec<String>,
    services: Vec<String>,
}

impl Symbols {
    fn of_file(&mut self, file: &FileDescriptorProto) {
        let package = file.package();
        file.message_type.iter().for_each(|message| self.of_message(package, message));
        file.enum_type.iter().for_each(|of| self.of_enum(package, of));
        for service in &file.service {
            let name = self.add(package, service.name());
            service.method.iter().for_each(|method| drop(self.add(&name, method.name())));
            self.services.push(name);
        }
    }

    fn of_message(&mut self, scope: &str, message: &DescriptorProto) {
        let name = self.add(scope, message.name());
        message.field.iter().for_each(|field| drop(self.add(&name, field.name())));
        message.oneof_decl.iter().for_each(|oneof| drop(self.add(&name, oneof.name())));
        message.nested_type.iter().for_each(|nested| self.of_message(&name, nested));
        message.enum_type.iter().for_each(|nested| self.of_enum(&name, nested));
        self.messages.push(name);
    }

    fn of_enum(&mut self, scope: &str, of: &EnumDescriptorProto) {
        self.add(scope, of.name());
        // The values of an enum have the scope of the enum.
        of.value.iter().for_each(|value| drop(self.add(scope, value.name())));
    }

    fn add(&mut self, scope: &str, name: &str) -> String {
        let full = if scope.is_empty() { name.to_owned() } else { format!("{scope}.{name}") };
        self.all.push(full.clone());
        full
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_import_and_message_of_a_file_is_described() {
        let files = Files::all();
        for bytes in files.by_name.values() {
            let file = FileDescriptorProto::decode(&bytes[..]).expect("a file");
            for import in &file.dependency {
                assert!(files.by_name.contains_key(import), "{} imports {import}", file.name());
            }
            let methods = file.service.iter().flat_map(|service| &service.method);
            for used in methods.flat_map(|method| [method.input_type(), method.output_type()]) {
                assert!(files.by_symbol.contains_key(&used[1..]), "{} uses {used}", file.name());
            }
        }
    }
}
