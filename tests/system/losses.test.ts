// What the caller's form cannot carry of an answer is named: in the last object of the answer, and in the ledger's row.
// Nothing is lost silently, and nothing is said to be lost that was not.
import assert from "node:assert/strict";
import http from "node:http";
import net from "node:net";
import { test, type TestContext } from "node:test";
import { afterwards, DIALECTS, eventually, oneAttempt, SECRET, startFake, startParley, type Answer, type Parley } from "./parley.ts";
import type { Dialect } from "./doors.ts";
import { own } from "./router.ts";

const usage = { input_tokens: 11, output_tokens: 7 };
const REDACTED = "EmwKAhgBEgy3va3pzix/LafPsn4aDFIT2Xlxh0L5L8rLVyIwxtE3rAFBa8cr3qpP";
const CONTENT: Record<string, object[]> = {
  redacted: [{ type: "thinking", thinking: "It is four.", signature: "c2ln" }, { type: "redacted_thinking", data: REDACTED }, { type: "text", text: "4." }],
  searched: [{ type: "server_tool_use", id: "srvtoolu_1", name: "web_search", input: { query: "x" } }, { type: "web_search_tool_result", tool_use_id: "srvtoolu_1", content: [] }, { type: "text", text: "4." }],
  plain: [{ type: "text", text: "4." }],
};

function eventsOf(content: any[], model: string): object[] {
  const message = { id: "msg_1", type: "message", role: "assistant", model, content: [], stop_reason: null, stop_sequence: null, usage };
  const deltas = (block: any): object[] => block.type === "text" ? [{ type: "text_delta", text: block.text }]
    : block.type === "thinking" ? [{ type: "thinking_delta", thinking: block.thinking }, { type: "signature_delta", signature: block.signature }] : [];
  const opening = (block: any) => block.type === "text" ? { ...block, text: "" } : block.type === "thinking" ? { type: "thinking", thinking: "", signature: "" } : block;
  return [{ type: "message_start", message },
    ...content.flatMap((block, index) => [{ type: "content_block_start", index, content_block: opening(block) },
      ...deltas(block).map((delta) => ({ type: "content_block_delta", index, delta })), { type: "content_block_stop", index }]),
    { type: "message_delta", delta: { stop_reason: "end_turn", stop_sequence: null }, usage }, { type: "message_stop" }];
}

// A provider of Anthropic's whose answers hold what others have no place for.
async function startThinker(t: TestContext): Promise<string> {
  const server = http.createServer((request, response) => {
    const pieces: Buffer[] = [];
    request.on("data", (piece) => pieces.push(piece)).on("end", () => {
      if (request.method === "GET") return response.end(JSON.stringify({ data: Object.keys(CONTENT).map((id) => ({ type: "model", id, display_name: id, created_at: "2026-01-01T00:00:00Z" })), has_more: false }));
      const { model, stream } = JSON.parse(Buffer.concat(pieces).toString()), content = CONTENT[model]!;
      response.setHeader("content-type", stream ? "text/event-stream" : "application/json");
      response.end(stream ? eventsOf(content, model).map((event: any) => `event: ${event.type}\ndata: ${JSON.stringify(event)}\n\n`).join("")
        : JSON.stringify({ id: "msg_1", type: "message", role: "assistant", model, content, stop_reason: "end_turn", stop_sequence: null, usage }));
    });
  });
  await new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
  afterwards(t, () => { server.closeAllConnections(); server.close(); });
  return `http://127.0.0.1:${(server.address() as net.AddressInfo).port}`;
}

const messages = [{ role: "user", content: "x" }];
const ASK: Record<Dialect, (model: string, stream: boolean) => [path: string, body: object]> = {
  openai: (model, stream) => ["/v1/chat/completions", { model, stream, messages }],
  responses: (model, stream) => ["/v1/responses", { model, stream, input: "x", store: false }],
  anthropic: (model, stream) => ["/v1/messages", { model, stream, max_tokens: 100, messages }],
  gemini: (model, stream) => [`/v1beta/models/${encodeURIComponent(model)}:${stream ? "streamGenerateContent?alt=sse" : "generateContent"}`, { contents: [{ parts: [{ text: "x" }] }] }],
  ollama: (model, stream) => ["/api/chat", { model, stream, messages }],
};

// The names in the answer: of its last object, the whole or a frame.
function droppedOf(answer: Answer): string {
  const frames = answer.json ? [answer.json] : answer.text.split(/\r?\n/).map((line) => line.replace(/^data: ?/, ""))
    .filter((line) => line.startsWith("{")).map((line) => JSON.parse(line));
  const told = frames.map((frame) => (frame.parley ?? frame.response?.parley)?.dropped as string | undefined);
  assert.ok(told.slice(0, -2).every((one) => one === undefined), `only at the end: ${answer.text}`);
  return told.filter(Boolean).join("|");
}

interface Told { door: Dialect; model: string; stream: boolean; answer: Answer; dropped: string; losses: string | undefined }

// All at once: rows come into the database a second later.
async function askAll(parley: Parley, wishes: [door: Dialect, model: string, stream: boolean][]): Promise<Told[]> {
  const answers = await Promise.all(wishes.map(async ([door, model, stream]) => {
    const [path, body] = ASK[door](model, stream);
    const answer = await parley.ask("POST", path, { key: parley.user.key, body });
    assert.equal(answer.status, 200, answer.text);
    return { door, model, stream, answer, dropped: droppedOf(answer) };
  }));
  const rows = await eventually("the rows are in", async () => {
    const { json } = await parley.ask("GET", "/api/v1/ledger", { local: true });
    return json.length === answers.length && json as any[];
  });
  return answers.map((one) => {
    const row = rows.find((row) => row.request_id === one.answer.headers["x-request-id"]);
    assert.equal(row.outcome, "answered");
    return { ...one, losses: row.losses ?? "" };
  });
}

test("what only Anthropic says, told to others", async (t) => {
  const url = await startThinker(t);
  const parley = await startParley(t, { config: `${oneAttempt}providers: {anthropic: {base_url: "${url}", api_key: "${SECRET}"}}\n` });
  const wishes = DIALECTS.flatMap((door) => Object.keys(CONTENT).flatMap((model) => [false, true].map((stream): [Dialect, string, boolean] => [door, `anthropic/${model}`, stream])));
  for (const { door, model, stream, answer, dropped, losses } of await askAll(parley, wishes))
    await t.test(`${model} to ${door}, ${stream ? "streamed" : "whole"}`, () => {
      assert.equal(losses, dropped, answer.text);
      if (model === "anthropic/redacted" && door !== "anthropic") assert.match(dropped, /^parts\[0\]\.opaque, parts\[1\]/, answer.text);
      else if (model === "anthropic/searched" && door !== "anthropic") assert.match(dropped, /^parts\[0\][^,]*, parts\[1\]/, answer.text);
      else assert.equal(dropped, "", answer.text);
      assert.equal(answer.text.includes(REDACTED), door === "anthropic" && model === "anthropic/redacted");
    });
});

test("every door and provider: the row says what the answer says", async (t) => {
  const fake = await startFake(t);
  const parley = await startParley(t, { fake, config: oneAttempt });
  const wishes = DIALECTS.flatMap((door) => DIALECTS.flatMap((provider) => ["count-3", "reasoning", "tools"].flatMap((what) =>
    [false, true].map((stream): [Dialect, string, boolean] => [door, `${provider}/${own(what)}`, stream]))));
  const told = await askAll(parley, wishes);
  for (const { door, model, answer, dropped, losses } of told) {
    assert.equal(losses, dropped, `${model} to ${door}: ${answer.text}`);
    if (model.startsWith(`${door}/`)) assert.equal(dropped, "");
  }
});
