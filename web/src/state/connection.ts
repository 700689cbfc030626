// The one WebSocket of this page and what the rest of the app knows of it.
import { signal } from "@preact/signals";
import { Socket, type SocketStatus } from "../net/socket.ts";
import type { ClientFrame, ServerFrame } from "../protocol.ts";
import { forgetUser, loadSession } from "./session.ts";

export const connection = signal<SocketStatus>("closed");

const frameListeners: ((frame: ServerFrame) => void)[] = [];
const openListeners: (() => void)[] = [];
let openWaiters: (() => void)[] = [];

const scheme = location.protocol === "https:" ? "wss:" : "ws:";
const socket = new Socket(`${scheme}//${location.host}/api/v1/ws`, {
  status(status) {
    connection.value = status;
    if (status === "waiting") void loadSession(); // refused for want of a session looks like any failure
    if (status !== "open") return;
    for (const listener of openListeners) listener();
    const waiters = openWaiters;
    openWaiters = [];
    for (const resolve of waiters) resolve();
  },
  frame(frame) {
    for (const listener of frameListeners) listener(frame);
  },
  refused: forgetUser,
});

export function onFrame(listener: (frame: ServerFrame) => void): void {
  frameListeners.push(listener);
}

export function onOpen(listener: () => void): void {
  openListeners.push(listener);
}

export function connect(): void {
  socket.open();
}

export function disconnect(): void {
  socket.close();
}

export function reconnectNow(): void {
  socket.retryNow();
}

export function request(frame: ClientFrame): Promise<ServerFrame> {
  return socket.request(frame);
}

export function whenOpen(): Promise<void> {
  if (connection.value === "open") return Promise.resolve();
  return new Promise((resolve) => openWaiters.push(resolve));
}

export function watchNetwork(): void {
  addEventListener("online", reconnectNow);
  document.addEventListener("visibilitychange", () => {
    if (!document.hidden) reconnectNow();
  });
}
