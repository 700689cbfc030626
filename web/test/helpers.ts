// Makes the long records of the protocol from the few members a test is about.
import type { Conversation, Message, Model } from "../src/protocol.ts";

export function message(change: Partial<Message> & { id: string }): Message {
  return {
    conversation_id: "c1",
    parent_id: null,
    role: "assistant",
    status: "streaming",
    content: [],
    model: "",
    finish: null,
    error: null,
    usage: null,
    route: null,
    run_id: "r1",
    created_at: "2026-01-01T00:00:00.000Z",
    ...change,
  };
}

export function messageMap(...list: [id: string, parent: string | null][]): Map<string, Message> {
  return new Map(list.map(([id, parent_id]) => [id, message({ id, parent_id, status: "complete" })]));
}

export function conversation(id: string, updated: Date): Conversation {
  const time = updated.toISOString();
  return { id, title: id, model: "", leaf_id: null, created_at: time, updated_at: time };
}

export function model(id: string, change: Partial<Model> = {}): Model {
  const [provider = "", name = ""] = id.split("/");
  return { id, name, provider, description: "", context_tokens: 0, built_in: false, ...change };
}
