// The conversation that is open: its tree of messages and which path through it is shown.
import { batch, computed, signal } from "@preact/signals";
import { leafBelow, leafToShow, pathTo } from "../model/tree.ts";
import { api, ApiError, problemOf } from "../net/api.ts";
import type { Accepted, Conversation, Message, Problem } from "../protocol.ts";
import { onFrame, onOpen, request, whenOpen } from "./connection.ts";
import { forgetConversation, noteConversation, refreshConversations } from "./conversations.ts";
import { modelFor } from "./models.ts";
import { rememberModel } from "./preferences.ts";
import { beginRun, followRun, listenToRuns, live } from "./runs.ts";
import { showProblem } from "./toasts.ts";

export const conversation = signal<Conversation | null>(null);
export const messages = signal<ReadonlyMap<string, Message>>(new Map());
export const leafId = signal<string | null>(null);
export const chatState = signal<"new" | "loading" | "ready" | "missing" | "failed">("new");
export const chatProblem = signal<Problem | null>(null);

export const path = computed(() => pathTo(messages.value, leafId.value));

/** The run of the answer at the end of the path, while it is being written. */
export const activeRunId = computed(() => {
  const last = path.value.at(-1);
  if (!last) return null;
  const current = live.value.get(last.id)?.value ?? last;
  return current.status === "streaming" ? current.run_id : null;
});

export const chosenModel = computed(() => modelFor(conversation.value?.model));

/** Wanted by the address; an answer that arrives for another one is too late and thrown away. */
let wantedId: string | null = null;

/** How often the server had forgotten a run that the conversation still calls streaming. */
const forgottenRuns = new Map<string, number>();
const FORGOTTEN_MAX = 3;
const FORGOTTEN_WAIT_MS = 1000;

export function openNew(): void {
  wantedId = null;
  batch(() => {
    conversation.value = null;
    messages.value = new Map();
    leafId.value = null;
    chatProblem.value = null;
    chatState.value = "new";
  });
}

export async function openConversation(id: string): Promise<void> {
  if (wantedId === id && chatState.value === "ready") return;
  openNew();
  wantedId = id;
  chatState.value = "loading";
  await reload();
}

export async function reload(): Promise<void> {
  const id = wantedId;
  if (id === null) return;
  try {
    const loaded = await api.conversation(id);
    if (wantedId === id) show(loaded.conversation, loaded.messages);
  } catch (thrown) {
    if (wantedId === id) fail(id, thrown);
  }
}

function show(loaded: Conversation, list: readonly Message[]): void {
  batch(() => {
    const known = new Map(messages.value);
    for (const message of list) known.set(message.id, message);
    messages.value = known;
    leafId.value = leafToShow(known, leafId.value, loaded.leaf_id);
    conversation.value = loaded;
    chatProblem.value = null;
    chatState.value = "ready";
    for (const message of list) if (message.status === "streaming") follow(message);
  });
  noteConversation(loaded);
}

function follow(message: Message): void {
  if (message.run_id === null) return;
  if ((forgottenRuns.get(message.run_id) ?? 0) < FORGOTTEN_MAX) followRun(message.run_id, message);
  else noteMessage({ ...message, status: "interrupted" });
}

function fail(id: string, thrown: unknown): void {
  const missing = thrown instanceof ApiError && thrown.status === 404;
  if (missing) forgetConversation(id);
  // What is on the page already stays readable.
  if (!missing && chatState.value === "ready") return;
  chatProblem.value = problemOf(thrown);
  chatState.value = missing ? "missing" : "failed";
}

function noteMessage(message: Message): void {
  messages.value = new Map(messages.value).set(message.id, message);
}

/** Takes over what the server accepted; `opens` when this page asked for it from a new conversation. */
export function takeAccepted(accepted: Accepted, opens: boolean): void {
  batch(() => {
    const { id } = accepted.conversation;
    if (opens && wantedId === null) {
      openNew();
      wantedId = id;
      chatState.value = "ready";
    }
    if (wantedId === id) {
      conversation.value = accepted.conversation;
      if (accepted.user_message) noteMessage(accepted.user_message);
      noteMessage(accepted.message);
      leafId.value = accepted.message.id;
    }
    noteConversation(accepted.conversation);
  });
}

export function watchChat(): void {
  listenToRuns({
    settled(message, done) {
      if (message.conversation_id === wantedId) noteMessage(message);
      // The answer moved its conversation up, and the first one may have given it a title.
      if (done) void refreshAfter(message.conversation_id);
    },
    forgotten(conversationId, runId) {
      forgottenRuns.set(runId, (forgottenRuns.get(runId) ?? 0) + 1);
      if (conversationId === wantedId) setTimeout(() => void reload(), FORGOTTEN_WAIT_MS);
    },
  });
  onFrame((frame) => {
    if (frame.type === "accepted") beginRun(frame.run_id, frame.message);
    if (frame.type === "changed") void refreshAfter(frame.conversation_id);
  });
  // What changed while the connection was away was not announced to us.
  onOpen(() => {
    void refreshConversations();
    if (chatState.value !== "loading") void reload();
  });
}

async function refreshAfter(conversationId: string): Promise<void> {
  await Promise.all([refreshConversations(), conversationId === wantedId ? reload() : null]);
}

/** Shows another branch, and keeps that choice on the server for the next visit. */
export function showBranch(messageId: string): void {
  const leaf = leafBelow(messages.value, messageId);
  leafId.value = leaf;
  if (conversation.value === null || leaf === null) return;
  api.changeConversation(conversation.value.id, { leaf_id: leaf }).catch(showProblem);
}

export async function chooseConversationModel(model: string): Promise<void> {
  rememberModel(model);
  const current = conversation.value;
  if (current === null || current.model === model) return;
  conversation.value = { ...current, model };
  try {
    await api.changeConversation(current.id, { model });
  } catch (thrown) {
    showProblem(thrown);
  }
}

/** A new answer beside the others, or going on where one ended. */
export async function askAgain(type: "answer" | "continue", messageId: string): Promise<void> {
  const current = conversation.value;
  if (current === null) return;
  const model = chosenModel.value;
  try {
    await whenOpen();
    const frame = await request({
      type,
      conversation_id: current.id,
      message_id: messageId,
      ...(model === "" ? {} : { model }),
    });
    if (frame.type === "accepted") takeAccepted(frame, false);
  } catch (thrown) {
    showProblem(thrown);
    void reload();
  }
}

export async function stopAnswer(): Promise<void> {
  const runId = activeRunId.value;
  if (runId === null) return;
  try {
    await request({ type: "stop", run_id: runId });
  } catch (thrown) {
    // It may have ended by itself in the same moment; then there is nothing to tell.
    if (problemOf(thrown).code !== "not_found") showProblem(thrown);
  }
}
