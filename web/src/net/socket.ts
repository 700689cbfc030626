// The WebSocket: connects, comes back by itself, pairs answers with requests, notices silence.
//
//   closed --open()--> connecting --welcome--> open
//     ^                   |   ^                  |
//     |                   v   | timer,           | lost()
//     +--close()------ waiting  "online" <-------+
import { backoffMs } from "../model/backoff.ts";
import type { ClientFrame, Problem, ServerFrame } from "../protocol.ts";
import { ApiError } from "./api.ts";

export type SocketStatus = "closed" | "connecting" | "open" | "waiting";

const PING_EVERY_MS = 20_000;
const PONG_TIMEOUT_MS = 10_000;
const REPLY_TIMEOUT_MS = 30_000;
const WELCOME_TIMEOUT_MS = 10_000;
const CLOSE_NOT_SIGNED_IN = 1008;

export const CONNECTION_LOST: Problem = {
  code: "connection_lost",
  message: "The connection was lost before Parley confirmed this.",
  remedy: "Try again.",
};

interface Waiting {
  resolve: (frame: ServerFrame) => void;
  reject: (error: ApiError) => void;
  timer: ReturnType<typeof setTimeout>;
}

export interface SocketListener {
  status(status: SocketStatus): void;
  frame(frame: ServerFrame): void;
  /** The server refused this session; asking again is no use until someone signs in. */
  refused(): void;
}

export class Socket {
  readonly #url: string;
  readonly #listener: SocketListener;
  #status: SocketStatus = "closed";
  #webSocket: WebSocket | null = null;
  #attempt = 0;
  #nextId = 1;
  #heardAt = 0;
  #pinging = false;
  #reconnectTimer: ReturnType<typeof setTimeout> | undefined;
  #watchTimer: ReturnType<typeof setInterval> | undefined;
  readonly #waiting = new Map<string, Waiting>();

  constructor(url: string, listener: SocketListener) {
    this.#url = url;
    this.#listener = listener;
  }

  open(): void {
    if (this.#status === "closed") this.#connect();
  }

  close(): void {
    this.#drop();
    this.#setStatus("closed");
  }

  /** Tries at once instead of waiting: the network came back, or the person asked. */
  retryNow(): void {
    if (this.#status === "waiting") this.#connect();
  }

  /** Sends a frame and gives its answer; rejects with what the server said, or when the connection is lost. */
  request(frame: ClientFrame, timeoutMs = REPLY_TIMEOUT_MS): Promise<ServerFrame> {
    return new Promise((resolve, reject) => {
      if (this.#status !== "open") {
        reject(new ApiError(CONNECTION_LOST, 0));
        return;
      }
      const id = String(this.#nextId++);
      const timer = setTimeout(() => this.#settle(id)?.reject(new ApiError(CONNECTION_LOST, 0)), timeoutMs);
      this.#waiting.set(id, { resolve, reject, timer });
      this.#webSocket?.send(JSON.stringify({ ...frame, id }));
    });
  }

  #connect(): void {
    this.#drop();
    this.#setStatus("connecting");
    const webSocket = new WebSocket(this.#url, "parley.v1");
    this.#webSocket = webSocket;
    this.#heardAt = Date.now();
    webSocket.onmessage = (message) => this.#receive(String(message.data));
    webSocket.onclose = (closing) => this.#lost(closing.code);
    this.#watchTimer = setInterval(() => this.#watch(), PING_EVERY_MS / 4);
  }

  #receive(text: string): void {
    this.#heardAt = Date.now();
    const frame = parseFrame(text);
    if (frame === null) return;
    if (frame.type === "welcome") {
      this.#attempt = 0;
      this.#setStatus("open");
    }
    // The listener goes first: by the time a request resolves, the state already knows the answer.
    this.#listener.frame(frame);
    const id = "id" in frame ? frame.id : null;
    if (id === null || id === undefined) return;
    const waiting = this.#settle(id);
    if (frame.type === "error") waiting?.reject(new ApiError(frame.error, 0));
    else waiting?.resolve(frame);
  }

  #settle(id: string): Waiting | undefined {
    const waiting = this.#waiting.get(id);
    this.#waiting.delete(id);
    clearTimeout(waiting?.timer);
    return waiting;
  }

  /** A network that dies silently closes nothing: only a missing pong tells. (Measuring the silence
   *  alone would not do: a browser lets the timers of hidden tabs run only once a minute.) */
  #watch(): void {
    const silence = Date.now() - this.#heardAt;
    if (this.#status === "connecting" && silence > WELCOME_TIMEOUT_MS) this.#lost(0);
    if (this.#status !== "open" || silence < PING_EVERY_MS || this.#pinging) return;
    const asked = this.#webSocket;
    this.#pinging = true;
    this.request({ type: "ping" }, PONG_TIMEOUT_MS)
      .catch(() => this.#webSocket === asked && this.#lost(0))
      .finally(() => (this.#pinging = false));
  }

  #lost(code: number): void {
    this.#drop();
    if (code === CLOSE_NOT_SIGNED_IN) {
      this.#setStatus("closed");
      this.#listener.refused();
      return;
    }
    this.#setStatus("waiting");
    this.#reconnectTimer = setTimeout(() => this.#connect(), backoffMs(this.#attempt++, Math.random));
  }

  #drop(): void {
    clearTimeout(this.#reconnectTimer);
    clearInterval(this.#watchTimer);
    const webSocket = this.#webSocket;
    this.#webSocket = null;
    if (webSocket) {
      webSocket.onmessage = webSocket.onclose = null;
      webSocket.close();
    }
    for (const id of [...this.#waiting.keys()]) this.#settle(id)?.reject(new ApiError(CONNECTION_LOST, 0));
  }

  #setStatus(status: SocketStatus): void {
    if (this.#status === status) return;
    this.#status = status;
    this.#listener.status(status);
  }
}

function parseFrame(text: string): ServerFrame | null {
  try {
    return JSON.parse(text) as ServerFrame;
  } catch {
    return null;
  }
}
