// The shapes of docs/protocol.md, which is the contract. Nothing here is of our own invention.

export interface User {
  id: string;
  email: string;
  name: string;
  role: "admin" | "user";
  created_at: string;
}

export interface SessionInfo {
  user: User | null;
  setup_required: boolean;
  version: string;
}

export interface Model {
  id: string;
  name: string;
  provider: string;
  description: string;
  context_tokens: number;
  built_in: boolean;
}

export interface Provider {
  name: string;
  kind: string;
  dialect: string;
  base_url: string;
  status: "ok" | "error" | "unknown";
  message: string;
  model_count: number;
  source: string;
}

export interface Conversation {
  id: string;
  title: string;
  model: string;
  leaf_id: string | null;
  created_at: string;
  updated_at: string;
}

export interface TextPart {
  type: "text" | "reasoning" | "refusal";
  text: string;
}

export interface ImagePart {
  type: "image";
  mime?: string;
  data?: string;
  url?: string;
}

export interface ToolCallPart {
  type: "tool_call";
  id: string;
  name: string;
  arguments: string;
}

export type Part = TextPart | ImagePart | ToolCallPart;

export interface Usage {
  input: number;
  input_cached: number;
  output: number;
  reasoning: number;
  estimated: boolean;
}

/** What a person is told when something failed; `code` is stable, the rest is for reading. */
export interface Problem {
  code: string;
  message: string;
  remedy: string;
  field?: string;
  request_id?: string;
}

/** An attempt that failed; `class` is a code as in errors. */
export interface RouteFailure {
  target: string;
  class: string;
}

/** Where another target went on with an answer that had broken off. */
export interface RouteJoint {
  /** Of the message's text, in UTF-8, in front of it. */
  text_bytes: number;
  mode: string;
  from: string;
  to: string;
  class: string;
}

/** How an answer came to be, when not just by asking once. */
export interface RouteStory {
  target: string;
  attempts: number;
  failures: RouteFailure[];
  joints: RouteJoint[];
}

export interface Target {
  id: string;
  state: "closed" | "open" | "half_open" | "benched";
  until: string | null;
  reason: string;
  calls: number;
  waiting: number;
  first_content_ms: number | null;
  p95_ms: number | null;
  connect_ms: number | null;
  failed_percent: number;
  succeeded: number;
  failed: number;
  last_error: { class: string; message: string; when: string } | null;
}

export type MessageStatus = "complete" | "streaming" | "stopped" | "failed" | "interrupted";

export interface Message {
  id: string;
  conversation_id: string;
  parent_id: string | null;
  role: "user" | "assistant";
  status: MessageStatus;
  content: Part[];
  model: string;
  finish: string | null;
  error: Problem | null;
  usage: Usage | null;
  route: RouteStory | null;
  run_id: string | null;
  created_at: string;
}

export interface Setting {
  key: string;
  type: "string" | "integer" | "boolean" | "enum" | "secret";
  value: string | number | boolean | null;
  source: "flag" | "environment" | "file" | "stored" | "default";
  where: string;
  editable: boolean;
  description: string;
  options: string[] | null;
  minimum: number | null;
  maximum: number | null;
}

export interface ApiKey {
  id: string;
  name: string;
  prefix: string;
  created_at: string;
  last_used_at: string | null;
  revoked: boolean;
}

export interface Accepted {
  conversation: Conversation;
  user_message: Message | null;
  message: Message;
  run_id: string;
}

export type RunEvent =
  | { type: "start"; model: string }
  | { type: "text" | "reasoning" | "refusal"; text: string }
  | { type: "tool_start"; index: number; id: string; name: string }
  | { type: "tool_arguments"; index: number; text: string }
  | { type: "usage"; usage: Usage }
  | { type: "rewind"; text_bytes: number }
  | { type: "route"; route: RouteStory }
  | { type: "finish"; status: MessageStatus; finish: string | null; error: Problem | null }
  | { type: "saved"; message: Message }
  | { type: "snapshot"; message: Message };

export type ServerFrame =
  | { type: "welcome"; protocol: number; version: string; user_id: string }
  | ({ type: "accepted"; id: string } & Accepted)
  | { type: "attached"; id: string; run_id: string; conversation_id: string; message_id: string; last_seq: number }
  | { type: "event"; run_id: string; seq: number; event: RunEvent }
  | { type: "stopped"; id: string; run_id: string }
  | { type: "changed"; conversation_id: string }
  | { type: "error"; id: string | null; error: Problem }
  | { type: "pong"; id: string };

export type ClientFrame =
  | {
      type: "send";
      conversation_id: string | null;
      parent_id: string | null;
      content: string | Part[];
      model?: string;
    }
  | { type: "answer" | "continue"; conversation_id: string; message_id: string; model?: string }
  | { type: "attach"; run_id: string; after: number }
  | { type: "stop"; run_id: string }
  | { type: "ping" };
