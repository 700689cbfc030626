// A WebSocket client that does what it is told: it can read slowly, send anything, and says how the
// connection ended. Node's own hides all of that.
import assert from "node:assert/strict";
import { createHash, randomBytes } from "node:crypto";
import net from "node:net";
import tls from "node:tls";
import type { TestContext } from "node:test";
import { afterwards, sleep, type Parley } from "./parley.ts";

export interface Connecting {
  key?: string;
  cookie?: string;
  origin?: string;
  protocol?: string;
  socketPath?: string;
  ca?: string;
}

// Frames are looked into by tests of every kind.
export type Frame = any;

export class Refused extends Error {
  readonly status: number;
  constructor(status: number, head: string) {
    super(`no WebSocket: ${head.split("\r\n")[0]}`);
    this.status = status;
  }
}

export class Socket {
  readonly frames: Frame[] = [];
  closeCode: number | undefined; // of the close frame
  isClosed = false; // the connection has ended
  head = "";
  readonly stream: net.Socket;
  #waiting: (() => void)[] = [];
  #bytes = Buffer.alloc(0);
  #text: Buffer[] = [];
  #taken = 0;

  constructor(stream: net.Socket) {
    this.stream = stream;
    stream.on("error", () => {});
    stream.on("close", () => { this.isClosed = true; this.#wake(); });
  }

  #wake(): void {
    const waiting = this.#waiting;
    this.#waiting = [];
    waiting.forEach((go) => go());
  }

  feed(data: Buffer): void {
    this.#bytes = Buffer.concat([this.#bytes, data]);
    while (this.#takeFrame());
    this.#wake();
  }

  #takeFrame(): boolean {
    const bytes = this.#bytes;
    if (bytes.length < 2) return false;
    let length = bytes[1]! & 127, at = 2;
    assert.equal(bytes[1]! & 128, 0, "a server's frames are not masked");
    if (length === 126) { if (bytes.length < 4) return false; length = bytes.readUInt16BE(2); at = 4; }
    else if (length === 127) { if (bytes.length < 10) return false; length = Number(bytes.readBigUInt64BE(2)); at = 10; }
    if (bytes.length < at + length) return false;
    const payload = bytes.subarray(at, at + length);
    this.#bytes = bytes.subarray(at + length);
    this.#frame(bytes[0]! & 15, (bytes[0]! & 128) !== 0, payload);
    return true;
  }

  #frame(opcode: number, final: boolean, payload: Buffer): void {
    if (opcode === 8) {
      this.closeCode = payload.length >= 2 ? payload.readUInt16BE(0) : 1005;
      this.raw(8, payload.subarray(0, 2));
      this.stream.end();
    } else if (opcode === 9) {
      this.raw(10, payload);
    } else if (opcode <= 1) {
      this.#text.push(payload);
      if (final) this.frames.push(JSON.parse(Buffer.concat(this.#text.splice(0)).toString()));
    }
  }

  raw(opcode: number, payload: Buffer, final = true): void {
    const length = payload.length;
    const head = length < 126 ? Buffer.from([0, 128 | length])
      : length < 65536 ? Buffer.from([0, 128 | 126, length >> 8, length & 255])
      : Buffer.concat([Buffer.from([0, 128 | 127]), (() => { const b = Buffer.alloc(8); b.writeBigUInt64BE(BigInt(length)); return b; })()]);
    head[0] = (final ? 128 : 0) | opcode;
    const mask = randomBytes(4), masked = Buffer.alloc(length);
    for (let i = 0; i < length; i++) masked[i] = payload[i]! ^ mask[i & 3]!;
    this.stream.write(Buffer.concat([head, mask, masked]));
  }

  send(message: unknown): void {
    this.raw(1, Buffer.from(typeof message === "string" ? message : JSON.stringify(message)));
  }

  // The first frame that fits, from the beginning or behind the last one `next` gave.
  async find(what: string, fits: (frame: Frame) => boolean, ms = 15_000, from = 0): Promise<Frame> {
    const end = Date.now() + ms;
    for (let at = from; ;) {
      for (; at < this.frames.length; at++)
        if (fits(this.frames[at])) { this.#taken = at + 1; return this.frames[at]; }
      if (this.isClosed) throw new Error(`the socket closed (${this.closeCode}) before: ${what}`);
      if (Date.now() > end) throw new Error(`not within ${ms} ms: ${what}; last: ${JSON.stringify(this.frames.at(-1))}`);
      await Promise.race([new Promise<void>((go) => this.#waiting.push(go)), sleep(100)]);
    }
  }

  next(what: string, fits: (frame: Frame) => boolean, ms?: number): Promise<Frame> {
    return this.find(what, fits, ms, this.#taken);
  }

  // Sends a message with an id, gives the frame that answers it.
  async call(message: Record<string, unknown>, ms?: number): Promise<Frame> {
    const id = `call-${randomBytes(6).toString("hex")}`;
    const from = this.frames.length;
    this.send({ ...message, id });
    return this.find(`answer to ${message["type"]}`, (frame) => frame.id === id, ms, from);
  }

  async accept(message: Record<string, unknown>): Promise<Frame> {
    const answer = await this.call(message);
    assert.equal(answer.type, "accepted", JSON.stringify(answer));
    return answer;
  }

  // The events of a run so far.
  events(run: string): Frame[] {
    return this.frames.filter((frame) => frame.type === "event" && frame.run_id === run);
  }

  saved(run: string, ms?: number): Promise<Frame> {
    return this.find("saved", (frame) => frame.type === "event" && frame.run_id === run && frame.event.type === "saved", ms);
  }

  event(run: string, type: string, ms?: number): Promise<Frame> {
    return this.find(`event ${type}`, (frame) => frame.type === "event" && frame.run_id === run && frame.event.type === type, ms);
  }

  async closed(ms = 10_000): Promise<number | undefined> {
    const end = Date.now() + ms;
    while (!this.isClosed && Date.now() < end) await sleep(5);
    assert.ok(this.isClosed, `the connection was not closed within ${ms} ms`);
    return this.closeCode;
  }

  pause(): void { this.stream.pause(); }
  resume(): void { this.stream.resume(); }
  drop(): void { this.stream.destroy(); }
}

export function connect(base: string, connecting: Connecting): Promise<Socket> {
  const url = new URL(base);
  const nonce = randomBytes(16).toString("base64");
  const port = Number(url.port);
  const stream = connecting.socketPath ? net.connect(connecting.socketPath)
    : url.protocol === "https:" ? tls.connect({ host: url.hostname, port, ...(connecting.ca ? { ca: connecting.ca } : {}) })
    : net.connect(port, url.hostname);
  const lines = ["GET /api/v1/ws HTTP/1.1", `Host: ${url.host}`, "Upgrade: websocket", "Connection: Upgrade",
    "Sec-WebSocket-Version: 13", `Sec-WebSocket-Key: ${nonce}`];
  if (connecting.key) lines.push(`Authorization: Bearer ${connecting.key}`);
  if (connecting.cookie) lines.push(`Cookie: ${connecting.cookie}`);
  if (connecting.origin) lines.push(`Origin: ${connecting.origin}`);
  if (connecting.protocol) lines.push(`Sec-WebSocket-Protocol: ${connecting.protocol}`);
  stream.write(lines.join("\r\n") + "\r\n\r\n");
  const socket = new Socket(stream);
  return new Promise((done, fail) => {
    let head = Buffer.alloc(0);
    let open = false;
    stream.on("error", fail);
    stream.on("close", () => fail(new Error("the connection closed before its answer")));
    stream.on("data", (data: Buffer) => {
      if (open) return socket.feed(data);
      head = Buffer.concat([head, data]);
      const end = head.indexOf("\r\n\r\n");
      if (end < 0) return;
      open = true;
      socket.head = head.subarray(0, end).toString();
      if (!socket.head.startsWith("HTTP/1.1 101")) {
        stream.destroy();
        return fail(new Refused(Number(socket.head.slice(9, 12)), socket.head));
      }
      const expected = createHash("sha1").update(nonce + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest("base64");
      assert.match(socket.head.toLowerCase(), new RegExp(`sec-websocket-accept: ${expected.toLowerCase().replace(/[+/]/g, "\\$&")}`));
      done(socket);
      socket.feed(head.subarray(end + 4));
    });
  });
}

export async function openSocket(t: TestContext, parley: Parley, connecting: Connecting = {}): Promise<Socket> {
  const who = connecting.key || connecting.cookie || connecting.socketPath ? connecting : { ...connecting, key: parley.user.key };
  const socket = await connect(parley.url, who);
  afterwards(t, () => socket.drop());
  await socket.next("welcome", (frame) => frame.type === "welcome");
  return socket;
}

export const textOf = (message: { content: { type: string; text?: string }[] }): string =>
  message.content.filter((part) => part.type === "text").map((part) => part.text).join("");

// What a page shows after some events: the text added up, or what a snapshot says.
export function textOfEvents(events: Frame[]): string {
  let text = "";
  for (const { event } of events) {
    if (event.type === "text") text += event.text;
    if (event.type === "snapshot") text = textOf(event.message);
  }
  return text;
}
