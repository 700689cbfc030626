// A conversation is a tree of messages; what is shown is one path from the root to a leaf.
import type { Message } from "../protocol.ts";

export type Messages = ReadonlyMap<string, Message>;

/** Messages with the same parent, oldest first (ids sort by time). */
export function siblingsOf(messages: Messages, message: Message): Message[] {
  return childrenOf(messages, message.parent_id);
}

export function childrenOf(messages: Messages, parentId: string | null): Message[] {
  const children = [...messages.values()].filter((message) => message.parent_id === parentId);
  return children.sort((left, right) => (left.id < right.id ? -1 : 1));
}

/** Follows the newest child down from a message (or from the root for null). */
export function leafBelow(messages: Messages, id: string | null): string | null {
  const newestChild = new Map<string | null, string>();
  for (const message of messages.values()) {
    const known = newestChild.get(message.parent_id);
    if (known === undefined || known < message.id) newestChild.set(message.parent_id, message.id);
  }
  let leaf = id;
  for (let next = newestChild.get(leaf); next !== undefined; next = newestChild.get(leaf)) leaf = next;
  return leaf;
}

/** The messages from the first one to `leafId`, and on to the newest below it. */
export function pathTo(messages: Messages, leafId: string | null): Message[] {
  const start = leafId !== null && messages.has(leafId) ? leafId : null;
  const path: Message[] = [];
  const seen = new Set<string>();
  let id = leafBelow(messages, start);
  while (id !== null && !seen.has(id)) {
    const message = messages.get(id);
    if (!message) break;
    seen.add(id);
    path.push(message);
    id = message.parent_id;
  }
  return path.reverse();
}

/** Another tab moved the leaf: follow it only when it goes on from where we are. */
export function leafToShow(messages: Messages, shown: string | null, stored: string | null): string | null {
  if (shown === null || !messages.has(shown)) return stored;
  const continuesHere = pathTo(messages, stored).some((message) => message.id === shown);
  return continuesHere ? stored : shown;
}
