// The list in the sidebar.
import { signal } from "@preact/signals";
import { api, type ConversationPage } from "../net/api.ts";
import type { Conversation } from "../protocol.ts";
import { navigate, route } from "./route.ts";
import { hideToast, showProblem, showToast } from "./toasts.ts";

const PAGE = 30;
const UNDO_MS = 6000;

export const conversations = signal<readonly Conversation[]>([]);
export const listState = signal<"empty" | "loading" | "more" | "all" | "failed">("empty");
/** undefined: not even the first page has come. */
let nextPage: string | null | undefined;

/** Deleted here, but not yet on the server: undo is still possible. */
const doomed = new Map<string, { conversation: Conversation; timer: ReturnType<typeof setTimeout> }>();

/** Loads the first page again; what is known beyond it stays. */
export async function refreshConversations(): Promise<void> {
  if (nextPage === undefined) listState.value = "loading";
  try {
    const page = await api.conversations(null, PAGE);
    dropVanished(page);
    merge(page.conversations);
    if (nextPage !== undefined) return;
    nextPage = page.next;
    listState.value = page.next === null ? "all" : "more";
  } catch {
    if (nextPage === undefined) listState.value = "failed";
  }
}

export async function loadMoreConversations(): Promise<void> {
  if (listState.value !== "more" || !nextPage) return;
  listState.value = "loading";
  try {
    const page = await api.conversations(nextPage, PAGE);
    nextPage = page.next;
    merge(page.conversations);
    listState.value = page.next === null ? "all" : "more";
  } catch {
    listState.value = "more";
  }
}

/** Deleted elsewhere: what should be on the first page by its time and is not there. */
function dropVanished(page: ConversationPage): void {
  const oldest = page.next === null ? "" : (page.conversations.at(-1)?.updated_at ?? "");
  const present = new Set(page.conversations.map((conversation) => conversation.id));
  conversations.value = conversations.value.filter(
    (conversation) => conversation.updated_at <= oldest || present.has(conversation.id),
  );
}

function merge(fresh: readonly Conversation[]): void {
  const byId = new Map(conversations.value.map((conversation) => [conversation.id, conversation]));
  for (const conversation of fresh) if (!doomed.has(conversation.id)) byId.set(conversation.id, conversation);
  conversations.value = [...byId.values()].sort((a, b) => (a.updated_at < b.updated_at ? 1 : -1));
}

export function noteConversation(conversation: Conversation): void {
  merge([conversation]);
}

export function forgetConversation(id: string): void {
  conversations.value = conversations.value.filter((conversation) => conversation.id !== id);
}

export function forgetConversations(): void {
  conversations.value = [];
  listState.value = "empty";
  nextPage = undefined;
}

export async function renameConversation(id: string, title: string): Promise<void> {
  const before = conversations.value.find((conversation) => conversation.id === id);
  if (!before || title === before.title) return;
  noteConversation({ ...before, title });
  try {
    noteConversation((await api.changeConversation(id, { title })).conversation);
  } catch (thrown) {
    noteConversation(before);
    showProblem(thrown);
  }
}

/** Takes it off the list at once; the server hears of it when the time for undoing is over. */
export function deleteConversation(conversation: Conversation): void {
  const { id } = conversation;
  forgetConversation(id);
  const shown = route.value;
  if (shown.name === "conversation" && shown.id === id) navigate({ name: "new" });
  const toast = showToast("Conversation deleted.", "info", {
    label: "Undo",
    run: () => {
      undoDelete(id);
      hideToast(toast);
    },
  });
  doomed.set(id, { conversation, timer: setTimeout(() => void finishDelete(id, false), UNDO_MS) });
}

function undoDelete(id: string): void {
  const entry = doomed.get(id);
  if (!entry) return;
  clearTimeout(entry.timer);
  doomed.delete(id);
  noteConversation(entry.conversation);
}

async function finishDelete(id: string, leaving: boolean): Promise<void> {
  const entry = doomed.get(id);
  if (!entry) return;
  clearTimeout(entry.timer);
  try {
    await api.deleteConversation(id, leaving);
    doomed.delete(id);
  } catch (thrown) {
    undoDelete(id);
    showProblem(thrown);
  }
}

/** Leaving the page must not turn a deletion into none. */
export function watchLeaving(): void {
  addEventListener("pagehide", () => {
    for (const id of doomed.keys()) void finishDelete(id, true);
  });
}
