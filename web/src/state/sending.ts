// Messages on their way to the server. Nothing typed is ever lost: a text leaves this module only
// as an accepted message or back into the composer.
//
//   send() --> sending --accepted--> gone
//                |  ^
//        refused |  | retry()
//                v  |
//              failed --takeBack()--> composer
//
// A connection that dies in between leaves open whether the server has the message: it is looked
// for before it is sent again.
import { signal } from "@preact/signals";
import { makeContent, partsOf, sameContent } from "../model/content.ts";
import { api, problemOf } from "../net/api.ts";
import type { Accepted, ImagePart, Message, Part, Problem } from "../protocol.ts";
import { messages, takeAccepted, openConversation, reload } from "./chat.ts";
import { addImages, addText, drafts, moveComposer } from "./composer.ts";
import { request, whenOpen } from "./connection.ts";
import { conversations, refreshConversations } from "./conversations.ts";
import { followRun } from "./runs.ts";
import { navigate, route } from "./route.ts";

/** A WebSocket frame may have 1 MiB; what is larger (pictures) goes by REST. */
const FRAME_CHARACTERS_MAX = 900_000;
const ATTEMPTS_MAX = 3;

export const NEW = "new";

export interface Outgoing {
  conversationId: string | null;
  parentId: string | null;
  text: string;
  images: readonly ImagePart[];
  model: string;
  /** Where the text came from, and goes back to. */
  draftKey: string;
}

export interface Pending extends Outgoing {
  status: "sending" | "failed";
  problem: Problem | null;
}

/** By conversation id, or NEW: one message at a time can be on its way in each. */
export const pending = signal<ReadonlyMap<string, Pending>>(new Map());

const keyOf = (outgoing: Outgoing) => outgoing.conversationId ?? NEW;

function setPending(key: string, entry: Pending | null): void {
  const next = new Map(pending.value);
  if (entry === null) next.delete(key);
  else next.set(key, entry);
  pending.value = next;
}

/** At signing out: nothing may go out in the name of whoever comes next. The texts are in storage. */
export function forgetPending(): void {
  pending.value = new Map();
}

export async function send(outgoing: Outgoing): Promise<void> {
  drafts.moveToPending(outgoing.draftKey, outgoing.text);
  await attempt({ ...outgoing, status: "sending", problem: null });
}

export async function retry(key: string): Promise<void> {
  const entry = pending.value.get(key);
  if (entry?.status === "failed") await attempt({ ...entry, status: "sending", problem: null });
}

/** The message is no longer on its way but again in the composer, to be edited. */
export function takeBack(key: string): void {
  const entry = pending.value.get(key);
  if (!entry) return;
  setPending(key, null);
  addText(key, entry.text);
  addImages(key, entry.images);
  drafts.confirm(entry.draftKey);
}

async function attempt(entry: Pending): Promise<void> {
  const key = keyOf(entry);
  setPending(key, entry);
  try {
    const accepted = await deliver(entry);
    if (pending.value.get(key) !== entry) return; // taken back meanwhile
    drafts.confirm(entry.draftKey);
    if (accepted !== null) arrive(entry, accepted);
    setPending(key, null);
  } catch (thrown) {
    if (pending.value.get(key) === entry) setPending(key, { ...entry, status: "failed", problem: problemOf(thrown) });
  }
}

function arrive(entry: Outgoing, accepted: Accepted): void {
  const opens = entry.conversationId === null && route.value.name === "new";
  takeAccepted(accepted, opens);
  if (opens) settleIn(accepted.conversation.id);
}

/** The new conversation that is shown has an id now. */
function settleIn(id: string): void {
  moveComposer(NEW, id);
  navigate({ name: "conversation", id }, "replace");
}

/** null: it had arrived before, and the conversation that holds it has been loaded. */
async function deliver(entry: Pending): Promise<Accepted | null> {
  const knownMessages = new Set(messages.value.keys());
  const knownConversations = new Set(conversations.value.map((conversation) => conversation.id));
  for (let attempts = 1; ; attempts++) {
    await whenOpen();
    if (pending.value.get(keyOf(entry)) !== entry) return null;
    try {
      return await transmit(entry);
    } catch (thrown) {
      const { code } = problemOf(thrown);
      if (code !== "connection_lost" && code !== "unreachable") throw thrown;
      await whenOpen();
      if (await arrivedBefore(entry, knownMessages, knownConversations)) return null;
      if (attempts === ATTEMPTS_MAX) throw thrown;
    }
  }
}

async function transmit(entry: Outgoing): Promise<Accepted> {
  const content = makeContent(entry.text, entry.images);
  const model = entry.model === "" ? {} : { model: entry.model };
  const message = { parent_id: entry.parentId, content, ...model };
  if (isLarge(content)) return transmitByRest(entry, message);
  const frame = await request({ type: "send", conversation_id: entry.conversationId, ...message });
  if (frame.type !== "accepted") throw new Error(`unexpected answer ${frame.type}`);
  return frame;
}

async function transmitByRest(entry: Outgoing, message: Parameters<typeof api.addMessage>[1]): Promise<Accepted> {
  const id = entry.conversationId ?? (await api.createConversation(entry.model)).conversation.id;
  const { accepted } = await api.addMessage(id, message);
  followRun(accepted.run_id, accepted.message);
  return accepted;
}

function isLarge(content: string | Part[]): boolean {
  const characters = partsOf(content).reduce((sum, part) => sum + weigh(part), 0);
  return characters > FRAME_CHARACTERS_MAX;
}

/** UTF-8 and JSON can make three bytes and more of one character of text; base64 stays as it is. */
function weigh(part: Part): number {
  if (part.type === "image") return part.data?.length ?? 0;
  return "text" in part ? part.text.length * 3 : 0;
}

async function arrivedBefore(
  entry: Outgoing,
  knownMessages: ReadonlySet<string>,
  knownConversations: ReadonlySet<string>,
): Promise<boolean> {
  const content = makeContent(entry.text, entry.images);
  const isIt = (message: Message) =>
    message.role === "user" &&
    message.parent_id === entry.parentId &&
    !knownMessages.has(message.id) &&
    sameContent(message.content, content);
  if (entry.conversationId !== null) {
    const { messages: found } = await api.conversation(entry.conversationId);
    if (!found.some(isIt)) return false;
    await reload();
    return true;
  }
  const { conversations: newest } = await api.conversations(null, 5);
  for (const candidate of newest.filter(({ id }) => !knownConversations.has(id))) {
    const { messages: found } = await api.conversation(candidate.id);
    if (!found.some(isIt)) continue;
    await refreshConversations();
    if (route.value.name === "new") {
      await openConversation(candidate.id);
      settleIn(candidate.id);
    }
    return true;
  }
  return false;
}

/** Text that an earlier life of this page sent without hearing of it goes back into the composer,
 *  unless the conversation has it. */
export function recoverUnconfirmed(key: string, present: readonly Message[]): string {
  if (pending.value.has(key)) return "";
  const text = drafts.takeUnconfirmed(key);
  const newest = present.filter((message) => message.role === "user").at(-1);
  return newest && sameContent(newest.content, text) ? "" : text;
}
