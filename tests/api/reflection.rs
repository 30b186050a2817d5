//! Reflection: the served methods and all messages that they send are described, and an unknown name does not end the stream.

use std::collections::BTreeSet;

use http::uri::PathAndQuery;
use prost::Message as _;
use prost_types::FileDescriptorProto;
use tonic::{Request, Status};
use tonic_prost::ProstCodec;
use tonic_reflection::pb::v1::{
    ErrorResponse, ExtensionRequest, ServerReflectionRequest, ServerReflectionResponse,
    server_reflection_request::MessageRequest, server_reflection_response::MessageResponse,
};

use crate::harness::{Database, TestApp, on_each_database, within};

on_each_database! {
    both_names_of_the_service_are_listed_and_described,
    every_message_in_a_refusal_is_described,
    unknown_names_get_an_error_and_the_stream_stays_open,
}

/// The two versions of reflection, whose messages are the same bytes.
const PATHS: [&str; 2] = [
    "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
    "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
];

/// Sends all requests on one stream, which has to end with OK. Returns the answers.
async fn asked(app: &TestApp, path: &'static str, asked: Vec<MessageRequest>) -> Vec<MessageResponse> {
    let requests: Vec<_> = asked
        .into_iter()
        .map(|asked| ServerReflectionRequest { host: "here".to_owned(), message_request: Some(asked) })
        .collect();
    let codec = ProstCodec::<ServerReflectionRequest, ServerReflectionResponse>::default();
    let mut grpc = app.anonymous().ready().await.unwrap();
    let stream = Request::new(tokio_stream::iter(requests.clone()));
    let answer = grpc.streaming(stream, PathAndQuery::from_static(path), codec);
    let mut stream = within("the head", answer).await.unwrap().into_inner();
    let mut answers = Vec::new();
    while let Some(answer) = within("an answer", stream.message()).await.unwrap_or_else(broken) {
        assert_eq!(answer.valid_host, "here");
        assert_eq!(answer.original_request.as_ref(), requests.get(answers.len()));
        answers.push(answer.message_response.expect("an answer"));
    }
    assert_eq!(answers.len(), requests.len());
    answers
}

fn broken<T>(status: Status) -> T {
    panic!("the stream ended: {status:?}")
}

fn symbol(name: &str) -> MessageRequest {
    MessageRequest::FileContainingSymbol(name.to_owned())
}

fn files(answer: &MessageResponse) -> Vec<FileDescriptorProto> {
    let MessageResponse::FileDescriptorResponse(found) = answer else { panic!("no file: {answer:?}") };
    found.file_descriptor_proto.iter().map(|file| FileDescriptorProto::decode(&file[..]).unwrap()).collect()
}

fn refused(answer: &MessageResponse) -> (i32, &str) {
    let MessageResponse::ErrorResponse(ErrorResponse { error_code, error_message }) = answer else {
        panic!("not refused: {answer:?}")
    };
    (*error_code, error_message)
}

async fn both_names_of_the_service_are_listed_and_described(database: Database) {
    let app = TestApp::start(&database).await;
    for path in PATHS {
        let ask = vec![
            MessageRequest::ListServices("*".to_owned()),
            symbol("grpcchatter.v1.ChatService"),
            symbol("proto.GRPCChatter"),
            symbol("proto.GRPCChatter.Chat"),
        ];
        let answers = asked(&app, path, ask).await;
        let MessageResponse::ListServicesResponse(listed) = &answers[0] else { panic!("{:?}", answers[0]) };
        let listed: BTreeSet<_> = listed.service.iter().map(|service| service.name.as_str()).collect();
        let served = [
            "grpc.health.v1.Health",
            "grpc.reflection.v1.ServerReflection",
            "grpc.reflection.v1alpha.ServerReflection",
            "grpcchatter.v1.ChatService",
            "proto.GRPCChatter",
        ];
        assert_eq!(listed, BTreeSet::from(served));
        let methods = |answer: &MessageResponse, service: &str| -> Vec<String> {
            let file = files(answer).remove(0);
            let service = file.service.into_iter().find(|found| found.name() == service).unwrap();
            service.method.into_iter().map(|method| format!("{method:?}")).collect()
        };
        let own = methods(&answers[1], "ChatService");
        assert_eq!(own.len(), 14);
        assert_eq!(methods(&answers[2], "GRPCChatter"), own, "each method is served under both names");
        assert_eq!(answers[3], answers[2]);
    }
}

async fn every_message_in_a_refusal_is_described(database: Database) {
    let app = TestApp::start(&database).await;
    for path in PATHS {
        let names = [
            "google.rpc.Status",
            "google.rpc.ErrorInfo",
            "google.rpc.RetryInfo",
            "google.rpc.BadRequest",
            "google.rpc.BadRequest.FieldViolation",
            "google.protobuf.Any",
            "google.protobuf.Duration",
            "google.protobuf.Timestamp",
        ];
        let answers = asked(&app, path, names.map(symbol).into()).await;
        // Each dependency of a file can be asked for too.
        let needed: BTreeSet<_> =
            answers.iter().flat_map(files).flat_map(|file: FileDescriptorProto| file.dependency).collect();
        asked(&app, path, needed.into_iter().map(MessageRequest::FileByFilename).collect())
            .await
            .iter()
            .for_each(|answer| assert_eq!(files(answer).len(), 1));
    }
}

async fn unknown_names_get_an_error_and_the_stream_stays_open(database: Database) {
    const NOT_FOUND: i32 = 5;
    let app = TestApp::start(&database).await;
    let extension =
        ExtensionRequest { containing_type: "google.rpc.ErrorInfo".to_owned(), extension_number: 7 };
    for path in PATHS {
        let ask = vec![
            symbol("nobody.Knows"),
            symbol(""),
            MessageRequest::FileByFilename("nobody/knows.proto".to_owned()),
            MessageRequest::FileContainingExtension(extension.clone()),
            MessageRequest::AllExtensionNumbersOfType("nobody.Knows".to_owned()),
            MessageRequest::AllExtensionNumbersOfType("google.rpc.ErrorInfo".to_owned()),
            symbol("grpcchatter.v1.ChatService"),
        ];
        let answers = asked(&app, path, ask).await;
        for answer in &answers[..5] {
            assert_eq!(refused(answer).0, NOT_FOUND, "{answer:?}");
        }
        assert!(refused(&answers[0]).1.contains("nobody.Knows"));
        let MessageResponse::AllExtensionNumbersResponse(none) = &answers[5] else {
            panic!("{:?}", answers[5])
        };
        assert_eq!((none.base_type_name.as_str(), none.extension_number.len()), ("google.rpc.ErrorInfo", 0));
        assert_eq!(files(&answers[6]).len(), 1);
    }
}
