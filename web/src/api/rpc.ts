// The chat service over binary gRPC-web, at the page's own origin.
import { createClient, type CallOptions } from "@connectrpc/connect";
import { createGrpcWebTransport } from "@connectrpc/connect-web";
import { ChatService } from "../gen/grpcchatter/v1/chat_pb";

/** The deadline of a unary call, in milliseconds. The server's own is 5 s. */
const UNARY_TIMEOUT = 8_000;

export const chat = createClient(ChatService, createGrpcWebTransport({ baseUrl: location.origin }));

export function bearer(token: string): CallOptions {
  return { headers: { authorization: `Bearer ${token}` } };
}

/** Options of a unary call: the token and the deadline. */
export function unary(token: string): CallOptions {
  return { ...bearer(token), timeoutMs: UNARY_TIMEOUT };
}
