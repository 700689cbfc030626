// Answers that are being written: feeds the reducer and shows its result once per animation frame.
import { batch, signal, type Signal } from "@preact/signals";
import { applyEvent, startRun, type RunState } from "../model/run.ts";
import type { Message, ServerFrame } from "../protocol.ts";
import { ApiError } from "../net/api.ts";
import { connection, onFrame, onOpen, request } from "./connection.ts";

interface Run {
  state: RunState;
  readonly shown: Signal<Message>;
}

export interface RunListener {
  /** The answer changed in a way others must know of (finished, saved), not just by a few words. */
  settled(message: Message, done: boolean): void;
  /** The server knows nothing of this run any more: the answer is in the conversation. */
  forgotten(conversationId: string, runId: string): void;
}

/** By message id; components of a streaming answer read their message from here. */
export const live = signal<ReadonlyMap<string, Signal<Message>>>(new Map());

const runs = new Map<string, Run>();
const changedRuns = new Set<Run>();
let listener: RunListener = { settled: () => {}, forgotten: () => {} };

export function listenToRuns(to: RunListener): void {
  listener = to;
  onFrame(receive);
  // After a lost connection every run goes on from what this page has seen of it.
  onOpen(() => {
    for (const runId of runs.keys()) void attach(runId);
  });
}

/** For `accepted`: the socket is attached already. */
export function beginRun(runId: string, message: Message): void {
  if (runs.has(runId)) return;
  const shown = signal(message);
  runs.set(runId, { state: startRun(runId, message), shown });
  live.value = new Map(live.value).set(message.id, shown);
}

/** For a streaming message that was found in a conversation: it holds what the answer was before
 *  the first event, so all events are asked for. */
export function followRun(runId: string, message: Message): void {
  if (runs.has(runId)) return;
  beginRun(runId, message);
  if (connection.value === "open") void attach(runId);
}

export function forgetRuns(): void {
  runs.clear();
  changedRuns.clear();
  live.value = new Map();
}

async function attach(runId: string): Promise<void> {
  const run = runs.get(runId);
  if (!run) return;
  try {
    await request({ type: "attach", run_id: runId, after: run.state.seq });
  } catch (thrown) {
    const lost = thrown instanceof ApiError && thrown.problem.code === "connection_lost";
    if (lost) return; // attaches again when the connection is back
    end(runId, run);
    listener.forgotten(run.state.message.conversation_id, runId);
  }
}

function receive(frame: ServerFrame): void {
  if (frame.type !== "event") return;
  const run = runs.get(frame.run_id);
  if (!run) return;
  const before = run.state;
  run.state = applyEvent(before, frame.seq, frame.event);
  if (run.state === before) return;
  if (run.state.gap && !before.gap) void attach(frame.run_id);
  const finished = run.state.message.status !== before.message.status;
  if (finished || run.state.done) settle(frame.run_id, run);
  else showSoon(run);
}

function settle(runId: string, run: Run): void {
  batch(() => {
    run.shown.value = run.state.message;
    listener.settled(run.state.message, run.state.done);
    if (run.state.done) end(runId, run);
  });
}

function end(runId: string, run: Run): void {
  runs.delete(runId);
  changedRuns.delete(run);
  const remaining = new Map(live.value);
  remaining.delete(run.state.message.id);
  live.value = remaining;
}

function showSoon(run: Run): void {
  if (changedRuns.size === 0) schedule(showChanged);
  changedRuns.add(run);
}

/** Hidden pages get no animation frames, but their title and other tabs' eyes still want the end. */
function schedule(callback: () => void): void {
  if (document.hidden) setTimeout(callback, 250);
  else requestAnimationFrame(callback);
}

function showChanged(): void {
  const changed = [...changedRuns];
  changedRuns.clear();
  batch(() => {
    for (const run of changed) run.shown.value = run.state.message;
  });
}
