// One shape for everything that can go wrong on the way to the server, whatever the dialect of the call.
import { Code, ConnectError } from "@connectrpc/connect";
import { durationMs } from "@bufbuild/protobuf/wkt";
import { ErrorInfoSchema, RetryInfoSchema } from "../gen/google/rpc/error_details_pb";

/** What a failure means for the caller, told by its status rather than by its reason. */
export type Kind = "unauthenticated" | "refused" | "unreachable";

export class Failure extends Error {
  constructor(
    readonly kind: Kind,
    /** A reason of the server, such as WRONG_ROOM_PASSWORD; "" where what answered was not the server. */
    readonly reason: string,
    /** How long the server asks to wait before the next attempt, in milliseconds; 0 where it says nothing. */
    readonly retryAfter = 0,
    cause?: unknown,
  ) {
    super(reason || kind, { cause });
  }

  /** Whether the same call may succeed later without a change by the user. */
  get passing(): boolean {
    return this.kind === "unreachable";
  }
}

const REFUSED: ReadonlySet<Code> = new Set([
  Code.InvalidArgument,
  Code.PermissionDenied,
  Code.NotFound,
  Code.AlreadyExists,
  Code.FailedPrecondition,
  Code.OutOfRange,
  Code.Unimplemented,
]);

/** The domain of the ErrorInfo in the server's own refusals. */
const DOMAIN = "grpcchatter";

/** What something in between says that may pass, as a proxy does whose server restarts. */
const PASSING: ReadonlySet<Code> = new Set([
  Code.Unknown,
  Code.Internal,
  Code.Unavailable,
  Code.DeadlineExceeded,
  Code.ResourceExhausted,
  Code.Aborted,
  // Said on this side: of an answer that was cut off within a message, and of a call that was.
  Code.InvalidArgument,
  Code.Canceled,
]);

/**
 * Turns what connect throws into a Failure. A status without the server's ErrorInfo comes from something in between, or is a
 * lost connection. What may pass is tried again; a firewall that refuses a message refuses it the next time too.
 */
export function failureOf(thrown: unknown): Failure {
  if (thrown instanceof Failure) return thrown;
  const error = ConnectError.from(thrown);
  const info = error.findDetails(ErrorInfoSchema).find(({ domain }) => domain === DOMAIN);
  const delay = error.findDetails(RetryInfoSchema)[0]?.retryDelay;
  return new Failure(kindOf(error.code, info?.reason), info?.reason ?? "", delay ? durationMs(delay) : 0, thrown);
}

function kindOf(code: Code, reason: string | undefined): Kind {
  // Only the server itself can say that a session or a token has ended.
  if (reason === undefined) return PASSING.has(code) ? "unreachable" : "refused";
  if (code === Code.Unauthenticated) return "unauthenticated";
  return REFUSED.has(code) || reason === "TOO_LARGE" ? "refused" : "unreachable";
}

/** In place of a reason, where what refused was not the server. */
export const IN_BETWEEN = "IN_BETWEEN";

const SENTENCES: Record<string, string> = {
  [IN_BETWEEN]: "Something between here and the server, such as a proxy or a firewall, refused this.",
  INVALID_CREDENTIALS: "This name and password do not fit together.",
  USER_NAME_TAKEN: "This name, or one that looks like it, is taken. Try another one.",
  INVALID_USER_NAME:
    "A name needs at least 6 characters, a digit, no special, invisible or unusual characters, and letters of one script.",
  INVALID_PASSWORD: "A password needs at least 6 characters: upper and lower case, a digit and a special character.",
  INVALID_ROOM_NAME: "A room's name has at most 128 characters, none of them invisible, and not blanks alone.",
  INVALID_SHORT_CODE: "This is not the code of a room.",
  INVALID_MESSAGE: "The server cannot store this text.",
  MESSAGE_TOO_LONG: "The message is too long for this server.",
  TOO_LARGE: "The message is too long for this server.",
  CLIENT_MESSAGE_ID_REUSED: "The server holds another message under this one's number.",
  WRONG_ROOM_PASSWORD: "The room asks for a password, and this was not it.",
  NOT_ROOM_OWNER: "Only the owner of the room may do this.",
  NOT_A_MEMBER: "You are not a member of this room any more.",
  FOREIGN_ORIGIN: "This page comes from another address than the server, which does not let it in.",
  BANNED: "The owner has banned you from this room.",
  ROOM_NOT_FOUND: "There is no room with this code.",
  USER_NOT_FOUND: "There is nobody of this name.",
  OWNS_ROOMS: "You still own rooms. Delete them first.",
  RATE_LIMITED: "That was too often. Wait a moment and try again.",
  TOO_MANY_ROOMS: "You own as many rooms as one account may. Delete one first.",
  TOO_MANY_MEMBERSHIPS: "You are in as many rooms as one account may be. Leave one first.",
  TOO_MANY_STREAMS: "You are connected too many times. Close another window or device.",
  STORAGE_FULL: "The server has no space left for new messages.",
  OVERLOADED: "The server is too busy.",
  DATABASE_UNAVAILABLE: "The server cannot reach its database.",
  DEADLINE_EXCEEDED: "The server took too long.",
  INTERNAL: "Something went wrong in the server.",
  TOKEN_INVALID: "This invitation is not valid.",
  TOKEN_WRONG_KIND: "This invitation is not valid.",
  TOKEN_EXPIRED: "This invitation has expired. Ask for a new one.",
  TOKEN_REVOKED: "This invitation is not valid any more. Ask for a new one.",
};

/** What a person is told about a failure. */
export function sentence(failure: Failure): string {
  const known = SENTENCES[failure.reason || (failure.kind === "refused" ? IN_BETWEEN : "")];
  if (failure.reason === "RATE_LIMITED" && failure.retryAfter >= 1000) {
    const seconds = Math.ceil(failure.retryAfter / 1000);
    return `That was too often. Try again in ${seconds < 120 ? `${seconds} seconds` : `${Math.ceil(seconds / 60)} minutes`}.`;
  }
  if (known) return known;
  return failure.passing ? "The server cannot be reached. Try again." : "The server refused this.";
}
