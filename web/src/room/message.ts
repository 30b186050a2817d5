// A message and a room as plain data, which tabs can send to each other.
import { timestampDate } from "@bufbuild/protobuf/wkt";
import type { ChatRoom, Message as WireMessage, User } from "../gen/grpcchatter/v1/chat_pb";

export interface Message {
  seq: number;
  id: string;
  user: string;
  body: string;
  /** When the server stored it, in milliseconds since 1970. */
  at: number;
  /** The client_message_id from its author; "" without one. */
  clientId: string;
}

export function messageOf(wire: WireMessage): Message {
  return {
    // The API promises that seq stays below 2^53.
    seq: Number(wire.seq),
    id: wire.messageId,
    user: wire.userName,
    body: wire.body,
    at: wire.createTime ? timestampDate(wire.createTime).getTime() : 0,
    clientId: wire.clientMessageId,
  };
}

export interface RoomInfo {
  code: string;
  name: string;
  owner: string;
  lastSeq: number;
  /** When it was created, in milliseconds since 1970. */
  at: number;
}

export function roomOf(wire: ChatRoom): RoomInfo {
  return {
    code: wire.shortCode,
    name: wire.roomName,
    owner: wire.ownerName,
    lastSeq: Number(wire.lastSeq),
    at: wire.createTime ? timestampDate(wire.createTime).getTime() : 0,
  };
}

export function namesOf(users: readonly User[]): string[] {
  return users.map((user) => user.userName);
}
