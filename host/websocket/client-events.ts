// The events of a client's WebSocket, with the names and members of the web's. Node 20 has no CloseEvent and no
// ErrorEvent, and declarations must not need the DOM library, so they are here.
//
// Next: client.ts.

/** The end of a WebSocket. */
export class CloseEvent extends Event {
  /** The code of the server's close frame. 1005: it had none. 1006: there was no close frame. */
  readonly code: number;
  /** The reason in the server's close frame. */
  readonly reason: string;
  /** Whether both sides have sent a close frame. */
  readonly wasClean: boolean;

  /** A WebSocket makes these events. */
  constructor(type: string, init: { code?: number; reason?: string; wasClean?: boolean } = {}) {
    super(type);
    this.code = init.code ?? 0;
    this.reason = init.reason ?? '';
    this.wasClean = init.wasClean ?? false;
  }
}

/** A WebSocket has failed. The web does not say why, and this event does. */
export class ErrorEvent extends Event {
  /** A FeatherstarError, with the codes of `connect()`, or FEATHERSTAR_WEBSOCKET, or FEATHERSTAR_FULL. */
  readonly error: unknown;
  /** The text of the error. */
  readonly message: string;

  /** A WebSocket makes these events. */
  constructor(type: string, init: { error?: unknown; message?: string } = {}) {
    super(type);
    this.error = init.error;
    this.message = init.message ?? '';
  }
}

/** A message of a WebSocket: the platform's MessageEvent. */
export interface WebSocketMessageEvent extends Event {
  /** A string for text, else an ArrayBuffer or a Blob, as `binaryType` says. */
  readonly data: string | ArrayBuffer | Blob;
  /** The scheme, name and port of the server. */
  readonly origin: string;
}

/** The events of a WebSocket by name. */
export interface WebSocketEvents {
  open: Event;
  message: WebSocketMessageEvent;
  error: ErrorEvent;
  close: CloseEvent;
}

/** A function for the events of a name, as an attribute of the WebSocket. */
export type WebSocketHandler<Name extends keyof WebSocketEvents> = ((event: WebSocketEvents[Name]) => unknown) | null;

/** A listener for the events of a name. */
export type WebSocketListener<Name extends keyof WebSocketEvents> =
  | ((event: WebSocketEvents[Name]) => unknown)
  | {
      /** Called for each event. */
      handleEvent(event: WebSocketEvents[Name]): unknown;
    }
  | null;
