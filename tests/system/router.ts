// Routes in the configuration, chats through them, and what both sides saw of it: the answer and its
// headers here, the fake provider's log there.
import assert from "node:assert/strict";
import http from "node:http";
import type { TestContext } from "node:test";
import { providersOf, startFake, startParley, within, type Answer, type Fake, type Parley, type Person, type Seen } from "./parley.ts";

export const NATIVE = ["openai", "anthropic", "gemini", "ollama"] as const;
export type Native = (typeof NATIVE)[number];

export const counted = (n: number) => Array.from({ length: n }, (_, i) => `${i + 1} `).join("");

// A fast policy: what takes seconds for people takes milliseconds here.
const quick = {
  attempts: 3, backoff_ms: 20, backoff_max_ms: 200, queue_wait_ms: 1000, total_ms: 10_000,
  first_content_ms: 400, content_idle_ms: 400, headers_ms: 400,
};
export type Policy = Record<string, string | number | boolean | readonly string[]>;

let tags = 0;
// A model of the lab under a name of its own: no other test has its history, breaker or log.
export const own = (model: string) => `${model}+tag-${++tags}`;

export class Routes {
  #lines: string[] = [];

  add(name: string, targets: readonly string[], policy: Policy = {}): string {
    const all: Policy = { targets, ...quick, ...policy };
    this.#lines.push(`  ${name}: {${Object.entries(all).map(([key, value]) => `${key}: ${JSON.stringify(value)}`).join(", ")}}`);
    return name;
  }

  get yaml(): string {
    return this.#lines.length ? `routes:\n${this.#lines.join("\n")}\n` : "";
  }
}

// More providers by name, each a row of YAML in braces; "two" is always there and well.
export async function startRouted(t: TestContext, routes: Routes, more: Record<string, string> = {}, fake?: Fake): Promise<{ fake: Fake; parley: Parley }> {
  fake ??= await startFake(t);
  const base = `kind: openai-compatible, base_url: "${fake.url}/v1"`;
  const providers = Object.entries({ two: "", ...more }).map(([name, keys]) => `  ${name}: {${base}${keys ? `, ${keys}` : ""}}\n`).join("");
  const parley = await startParley(t, { config: providersOf(fake, providers) + routes.yaml });
  return { fake, parley };
}

// ---- Chats

export interface Joint { text_bytes: number; mode: string; from: string; to: string; class: string }

export interface Chat {
  status: number;
  headers: http.IncomingHttpHeaders;
  text: string;
  finish: string | null; // the reason, when there was one
  error: any; // OpenAI's error, of the body or of a frame
  isDone: boolean; // a whole body, or [DONE]
  calls: { name: string; arguments: string }[];
  model: string;
  usage: any;
  parley: { target: string; attempts: number; joints: Joint[] } | undefined;
  target: string;
  attempts: number; // of the whole answer, as far as told
  took: number;
  raw: string;
}

export const body = (model: string, stream: boolean, more: object = {}) =>
  ({ model, stream, messages: [{ role: "user", content: "x" }], ...(stream ? { stream_options: { include_usage: true } } : {}), ...more });

export async function chat(parley: Parley, model: string, stream: boolean, more: object = {}, person: Person = parley.user): Promise<Chat> {
  const from = performance.now();
  const answer = await parley.ask("POST", "/v1/chat/completions", { key: person.key, body: body(model, stream, more) });
  const took = performance.now() - from;
  const isStream = answer.headers["content-type"]?.startsWith("text/event-stream");
  const read = isStream ? readStream(answer) : readWhole(answer);
  return {
    ...read, status: answer.status, headers: answer.headers, took, raw: answer.text,
    target: read.parley?.target ?? String(answer.headers["x-parley-target"]),
    attempts: read.parley?.attempts ?? Number(answer.headers["x-parley-attempts"]),
  };
}

type Read = Pick<Chat, "text" | "finish" | "error" | "isDone" | "calls" | "model" | "usage" | "parley">;

function readWhole({ json, status }: Answer): Read {
  const choice = json?.choices?.[0];
  return {
    text: choice?.message.content ?? "", finish: choice?.finish_reason ?? null, error: json?.error, isDone: status === 200 && !!choice,
    calls: (choice?.message.tool_calls ?? []).map((call: any) => ({ name: call.function.name, arguments: call.function.arguments })),
    model: json?.model ?? "", usage: json?.usage, parley: json?.parley,
  };
}

function readStream({ text }: Answer): Read {
  const read: Read = { text: "", finish: null, error: undefined, isDone: false, calls: [], model: "", usage: undefined, parley: undefined };
  for (const line of text.split(/\r?\n/)) {
    if (!line.startsWith("data:")) continue;
    const data = line.slice(5).trim();
    assert.ok(!read.isDone, `behind the end: ${line}`);
    if (data === "[DONE]") { read.isDone = true; continue; }
    let chunk: any;
    try { chunk = JSON.parse(data); } catch { continue; } // a broken event that passed through
    addChunk(read, chunk);
  }
  return read;
}

function addChunk(read: Read, chunk: any): void {
  const choice = chunk.choices?.[0];
  read.text += choice?.delta?.content ?? "";
  read.finish = choice?.finish_reason ?? read.finish;
  read.error ??= chunk.error;
  read.model ||= chunk.model ?? "";
  read.usage = chunk.usage ?? read.usage;
  read.parley = chunk.parley ?? read.parley;
  for (const call of choice?.delta?.tool_calls ?? []) {
    const one = (read.calls[call.index] ??= { name: "", arguments: "" });
    one.name += call.function?.name ?? "";
    one.arguments += call.function?.arguments ?? "";
  }
}

export function assertWhole(answer: Chat, text: string | RegExp, what = ""): void {
  const where = `${what}: ${answer.status} ${answer.raw.slice(-700)}`;
  assert.equal(answer.status, 200, where);
  assert.equal(answer.error, undefined, where);
  if (typeof text === "string") assert.equal(answer.text, text, where); else assert.match(answer.text, text, where);
  assert.ok(answer.finish, `without a finish: ${where}`);
  assert.ok(answer.isDone, `without its end: ${where}`);
}

// A failure that says so: by its status, or by a frame behind which nothing comes.
export function assertFailed(answer: Chat, code: RegExp, what = ""): void {
  const where = `${what}: ${answer.status} ${answer.raw.slice(-700)}`;
  assert.ok(answer.error, `without an error: ${where}`);
  assert.match(`${answer.error.type} ${answer.error.code}`, code, where);
  assert.ok(answer.error.message.length > 5, where);
  assert.ok(answer.status !== 200 || !answer.isDone, `presented as whole: ${where}`);
}

// ---- A client that leaves

export interface Leaver {
  response: Promise<http.IncomingMessage>;
  firstData: Promise<Buffer>;
  leave: () => number; // the time on the wall
}

export function begin(parley: Parley, model: string, stream: boolean, more: object = {}): Leaver {
  const url = new URL(parley.url), text = JSON.stringify(body(model, stream, more));
  const request = http.request({
    host: url.hostname, port: url.port, method: "POST", path: "/v1/chat/completions", agent: false,
    headers: { authorization: `Bearer ${parley.user.key}`, "content-type": "application/json", "content-length": Buffer.byteLength(text) },
  });
  const response = new Promise<http.IncomingMessage>((done, fail) => request.on("response", done).on("error", fail));
  const firstData = response.then((message) => new Promise<Buffer>((done, fail) => message.once("data", done).on("error", fail)));
  response.catch(() => {});
  firstData.catch(() => {});
  request.end(text);
  return { response, firstData, leave: () => { const at = Date.now(); request.destroy(); return at; } };
}

// ---- The other side

export const asked = async (fake: Fake, model: string): Promise<Seen[]> => (await fake.log()).filter((one) => one.model === model);
export const bodyOf = async (fake: Fake, seen: Seen): Promise<any> => JSON.parse(await fake.bodyText(seen.number));

// Milliseconds between an attempt's end and the beginning of the next one.
export const gaps = (seen: Seen[]) => seen.slice(1).map((one, i) => one.at_ms - (seen[i]!.at_ms + seen[i]!.after_ms));

export interface TargetView {
  id: string; state: "closed" | "open" | "half_open" | "benched"; until: unknown; calls: number; waiting: number;
  first_content_ms: number; p95_ms: number; failed_percent: number; succeeded: number; failed: number;
  last_error: { class: string; message: string; when: unknown } | null; reason: string | null;
}

export async function targetOf(parley: Parley, id: string): Promise<TargetView> {
  const answer = await parley.ask("GET", "/api/v1/targets", { local: true });
  assert.equal(answer.status, 200, answer.text);
  const found = answer.json.targets.find((one: TargetView) => one.id === id);
  assert.ok(found, `${id} is none of ${answer.json.targets.map((one: TargetView) => one.id).join(" ")}`);
  return found;
}

// `count` calls, `width` of them at a time.
export async function pool<T>(count: number, width: number, call: (index: number) => Promise<T>): Promise<T[]> {
  const results: T[] = [];
  let next = 0;
  await Promise.all(Array.from({ length: Math.min(width, count) }, async () => {
    while (next < count) {
      const index = next++;
      results[index] = await within(20_000, `call ${index}`, call(index));
    }
  }));
  return results;
}
