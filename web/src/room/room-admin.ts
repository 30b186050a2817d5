// The calls with which a room's owner manages it. They take a user token.
import { create } from "@bufbuild/protobuf";
import { DurationSchema, timestampDate } from "@bufbuild/protobuf/wkt";
import { chat, unary } from "../api/rpc";
import { session } from "../session";

export async function renameRoom(shortCode: string, roomName: string): Promise<void> {
  await session.call((token) => chat.updateChatRoom({ shortCode, roomName }, unary(token)));
}

export async function changeRoomPassword(shortCode: string, roomPassword: string): Promise<void> {
  await session.call((token) => chat.updateChatRoom({ shortCode, roomPassword }, unary(token)));
}

export async function deleteRoom(shortCode: string): Promise<void> {
  await session.call((token) => chat.deleteChatRoom({ shortCode }, unary(token)));
}

/** Removes a user from the room. They can join again. */
export async function removeUser(shortCode: string, userName: string): Promise<void> {
  await session.call((token) => chat.removeChatRoomUser({ shortCode, userName }, unary(token)));
}

/** Removes a user from the room, and keeps them out until they are unbanned. */
export async function banUser(shortCode: string, userName: string): Promise<void> {
  await session.call((token) => chat.removeChatRoomUser({ shortCode, userName, ban: true }, unary(token)));
}

export async function unbanUser(shortCode: string, userName: string): Promise<void> {
  await session.call((token) => chat.unbanChatRoomUser({ shortCode, userName }, unary(token)));
}

/** Makes an invitation that is valid for `seconds`. */
export async function invite(shortCode: string, seconds: number): Promise<{ token: string; until: number }> {
  const ttl = create(DurationSchema, { seconds: BigInt(seconds) });
  const made = await session.call((token) => chat.createRoomToken({ shortCode, ttl }, unary(token)));
  return { token: made.roomToken, until: made.expireTime ? timestampDate(made.expireTime).getTime() : 0 };
}
