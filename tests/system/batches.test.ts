// Batches through the doors of OpenAI and Anthropic, with their own SDKs: the whole cycle, lines that
// are wrong, cancelling, expiry, revoked keys, and a crash in the middle.
import assert from "node:assert/strict";
import { test } from "node:test";
import Anthropic from "@anthropic-ai/sdk";
import OpenAI from "openai";
import { eventually, startFake, startParley, type Fake, type Parley, type Person } from "./parley.ts";

const openaiOf = (parley: Parley, person: Person) => new OpenAI({ baseURL: `${parley.url}/v1`, apiKey: person.key, maxRetries: 0 });
const anthropicOf = (parley: Parley, person: Person) => new Anthropic({ baseURL: parley.url, apiKey: person.key, maxRetries: 0 });

interface Line { custom_id?: string; method?: string; url?: string; body?: object | null }
const chat = (custom_id: string, model: string, more: object = {}): Line =>
  ({ custom_id, method: "POST", url: "/v1/chat/completions", body: { model, messages: [{ role: "user", content: custom_id }], ...more } });
const jsonl = (lines: (Line | string)[]) => lines.map((line) => (typeof line === "string" ? line : JSON.stringify(line))).join("\n");

async function begin(openai: OpenAI, lines: (Line | string)[], more: object = {}) {
  const input = await openai.files.create({ file: await OpenAI.toFile(Buffer.from(jsonl(lines)), "in.jsonl"), purpose: "batch" });
  return openai.batches.create({ input_file_id: input.id, endpoint: "/v1/chat/completions", completion_window: "24h", ...more });
}

const ENDED = ["completed", "failed", "expired", "cancelled"];
const ended = (openai: OpenAI, id: string, ms = 20_000) => eventually("the batch ends", async () => {
  const batch = await openai.batches.retrieve(id);
  return ENDED.includes(batch.status) ? batch : undefined;
}, ms);

async function linesOf(openai: OpenAI, file: string | null | undefined): Promise<any[]> {
  if (!file) return [];
  const text = await (await openai.files.content(file)).text();
  return text.split("\n").filter(Boolean).map((line) => JSON.parse(line));
}

test("OpenAI's batches, from upload to results", async (t) => {
  const fake = await startFake(t);
  const parley = await startParley(t, { fake });
  const openai = openaiOf(parley, parley.user);
  const models = ["openai/echo", "anthropic/echo", "gemini/echo", "ollama/echo", "parley/eliza"];
  const lines = Array.from({ length: 25 }, (_, i) => chat(`r${i}`, models[i % models.length]!));
  const begun = await begin(openai, lines, { metadata: { team: "a" } });
  assert.match(begun.id, /^batch_[0-9a-z]{26}$/);
  assert.deepEqual([begun.object, begun.status, begun.endpoint, begun.metadata], ["batch", "validating", "/v1/chat/completions", { team: "a" }]);
  assert.equal(begun.expires_at! - begun.created_at, 24 * 3600);
  const batch = await ended(openai, begun.id);
  assert.equal(batch.status, "completed", JSON.stringify(batch));
  assert.deepEqual(batch.request_counts, { total: 25, completed: 25, failed: 0 });
  assert.ok(batch.in_progress_at && batch.finalizing_at && batch.completed_at && !batch.error_file_id);
  const results = await linesOf(openai, batch.output_file_id);
  assert.deepEqual(results.map((one) => one.custom_id).sort(), lines.map((one) => one.custom_id!).sort());
  for (const one of results) {
    assert.equal(one.error, null);
    assert.equal(one.response.status_code, 200);
    assert.equal(one.response.body.object, "chat.completion");
    assert.ok(one.response.body.choices[0].message.content.length > 0);
  }
  assert.equal(results.find((one) => one.custom_id === "r1").response.body.choices[0].message.content, "You said: r1");
  const output = await openai.files.retrieve(batch.output_file_id!);
  assert.equal(output.purpose as string, "batch_output");

  const other = openaiOf(parley, parley.other);
  for (const ask of [() => other.batches.retrieve(batch.id), () => other.batches.cancel(batch.id), () => other.files.content(batch.output_file_id!), () => anthropicOf(parley, parley.user).messages.batches.retrieve(batch.id)])
    await assert.rejects(async () => ask(), (error: any) => error.status === 404);
  await assert.rejects(other.batches.create({ input_file_id: begun.input_file_id, endpoint: "/v1/chat/completions", completion_window: "24h" }), (error: any) => error.status === 400 && error.param === "input_file_id");
  assert.equal((await other.batches.list()).data.length, 0);

  const second = await begin(openai, [chat("a", "openai/echo")]);
  const ids: string[] = [];
  for await (const one of openai.batches.list({ limit: 1 })) ids.push(one.id);
  assert.deepEqual(ids, [second.id, batch.id]);
  await ended(openai, second.id);
});

test("lines that are wrong fail alone, with their number", async (t) => {
  const fake = await startFake(t);
  const parley = await startParley(t, { fake, config: "batches: {retry_ms: 10}\n" });
  const openai = openaiOf(parley, parley.user);
  const good = chat("good", "openai/echo");
  const batch = await ended(openai, (await begin(openai, [
    good, "{not json", "", { ...chat("", "openai/echo"), custom_id: undefined as never }, chat("good", "openai/echo"),
    { ...chat("url", "openai/echo"), url: "/v1/responses" }, { ...chat("method", "openai/echo"), method: "GET" },
    chat("stream", "openai/echo", { stream: true }), chat("base", "openai/echo", { api_base: "http://example.org" }),
    chat("type", "openai/echo", { messages: 7 }), chat("nobody", "nobody/nothing"), { ...good, custom_id: "body", body: null }, chat("400", "openai/400-invalid"), chat("last", "anthropic/echo"),
  ])).id);
  assert.equal(batch.status, "completed");
  assert.deepEqual(batch.request_counts, { total: 13, completed: 2, failed: 11 });
  assert.deepEqual((await linesOf(openai, batch.output_file_id)).map((one) => one.custom_id), ["good", "last"]);
  const wrong = await linesOf(openai, batch.error_file_id);
  assert.deepEqual(wrong.map((one) => one.custom_id), [null, null, "good", "url", "method", "stream", "base", "type", "nobody", "body", "400"]);
  assert.deepEqual(wrong.slice(0, 7).map((one) => one.error?.line), [2, 4, 5, 6, 7, 8, 9]);
  assert.match(wrong[2].error.message, /line 5: .*custom_id/);
  const status = (name: string) => wrong.find((one) => one.custom_id === name).response?.status_code;
  assert.deepEqual([status("type"), status("nobody"), status("400")], [400, 404, 400]);
  assert.equal(wrong.find((one) => one.custom_id === "type").response.body.error.param, "messages");

  // As a whole.
  const empty = await ended(openai, (await begin(openai, ["", " "])).id);
  assert.equal(empty.status, "failed");
  assert.equal(empty.errors!.data![0]!.param, "input_file_id");
  const file = empty.input_file_id;
  for (const [body, param] of [
    [{ input_file_id: file, endpoint: "/v1/nonsense", completion_window: "24h" }, "endpoint"],
    [{ input_file_id: file, endpoint: "/v1/responses", completion_window: "1h" }, "completion_window"],
    [{ input_file_id: "file-x", endpoint: "/v1/responses", completion_window: "24h" }, "input_file_id"],
    [{ input_file_id: file, endpoint: "/v1/responses", completion_window: "24h", metadata: { a: 1 } }, "metadata"],
  ] as const)
    await assert.rejects(openai.batches.create(body as never), (error: any) => error.status === 400 && error.param === param, param);
});

test("vectors: of any provider that makes some", async (t) => {
  const fake = await startFake(t);
  const parley = await startParley(t, { fake, config: "batches: {retry_ms: 10}\n" });
  const openai = openaiOf(parley, parley.user);
  const line = (custom_id: string, model: string, more: object = {}): Line => ({ custom_id, method: "POST", url: "/v1/embeddings", body: { model, input: [custom_id, "second"], ...more } });
  const lines = [line("o", "openai/echo"), line("g", "gemini/echo", { dimensions: 5 }), line("l", "ollama/echo"), line("b", "openai/echo", { encoding_format: "base64" }),
    line("none", "anthropic/echo"), line("inside", "parley/eliza"), line("chain", "openai/echo", { models: ["gemini/echo"] }), line("empty", "openai/echo", { input: [] }), line("where", "openai/echo", { api_base: "http://example.org" })];
  const input = await openai.files.create({ file: await OpenAI.toFile(Buffer.from(jsonl(lines)), "in.jsonl"), purpose: "batch" });
  const batch = await ended(openai, (await openai.batches.create({ input_file_id: input.id, endpoint: "/v1/embeddings", completion_window: "24h" })).id);
  assert.deepEqual([batch.status, batch.request_counts], ["completed", { total: 9, completed: 4, failed: 5 }]);
  const done = new Map((await linesOf(openai, batch.output_file_id)).map((one) => [one.custom_id, one.response.body]));
  for (const [name, body] of done) assert.deepEqual([body.object, body.data.length, body.data[1].index], ["list", 2, 1], name);
  for (const name of ["o", "l"]) assert.deepEqual(done.get(name).data[0].embedding.slice(0, 3), [0.25, -1, 1]);
  assert.equal(done.get("g").data[0].embedding.length, 5);
  assert.equal(typeof done.get("b").data[0].embedding, "string");
  const failed = new Map((await linesOf(openai, batch.error_file_id)).map((one) => [one.custom_id, one]));
  for (const name of ["none", "inside"]) assert.match(failed.get(name).response.body.error.message, /makes no embeddings; .*openai.*gemini.*ollama/);
  assert.deepEqual(["none", "inside", "empty"].map((name) => failed.get(name).response.status_code), [400, 400, 400]);
  for (const name of ["chain", "where"]) assert.equal(failed.get(name).response, null);
});

test("what fails for a while is asked again", async (t) => {
  const fake = await startFake(t);
  const parley = await startParley(t, { fake, config: "batches: {retry_ms: 10}\nrouter: {attempts: 1, breaker_failures: 1000, breaker_ratio_percent: 0}\n" });
  const openai = openaiOf(parley, parley.user);
  const batch = await ended(openai, (await begin(openai, [chat("a", "openai/500+times-3+then+echo"), chat("b", "openai/echo"), chat("c", "openai/500")])).id, 60_000);
  assert.deepEqual(batch.request_counts, { total: 3, completed: 2, failed: 1 });
  const [failed] = await linesOf(openai, batch.error_file_id);
  assert.deepEqual([failed.custom_id, failed.response.status_code >= 500], ["c", true]);
});

test("cancelling keeps what is done", async (t) => {
  const fake = await startFake(t);
  const parley = await startParley(t, { fake, config: "batches: {concurrency: 2}\n" });
  const openai = openaiOf(parley, parley.user);
  const lines = [chat("r0", "openai/echo"), chat("r1", "openai/echo"), ...Array.from({ length: 8 }, (_, i) => chat(`r${i + 2}`, "openai/silent"))];
  const begun = await begin(openai, lines);
  await eventually("two are done", async () => (await openai.batches.retrieve(begun.id)).request_counts!.completed === 2);
  const told = await openai.batches.cancel(begun.id);
  assert.equal(told.status, "cancelling");
  const batch = await ended(openai, begun.id);
  assert.equal(batch.status, "cancelled");
  assert.ok(batch.cancelling_at && batch.cancelled_at);
  assert.deepEqual((await linesOf(openai, batch.output_file_id)).map((one) => one.custom_id), ["r0", "r1"]);
  const undone = await linesOf(openai, batch.error_file_id);
  assert.deepEqual(undone.map((one) => one.error.code), Array(8).fill("batch_cancelled"));
  assert.equal((await openai.batches.cancel(begun.id)).status, "cancelled"); // again
});

test("after its window a batch expires", async (t) => {
  const fake = await startFake(t);
  const parley = await startParley(t, { fake, config: "batches: {concurrency: 2, window_seconds: 2}\n" });
  const openai = openaiOf(parley, parley.user), anthropic = anthropicOf(parley, parley.user);
  const begun = await begin(openai, [chat("a", "openai/echo"), chat("b", "openai/silent"), chat("c", "openai/silent")]);
  const messages = await anthropic.messages.batches.create({ requests: [{ custom_id: "m", params: { model: "openai/silent", max_tokens: 10, messages: [{ role: "user", content: "x" }] } }] });
  const batch = await ended(openai, begun.id);
  assert.equal(batch.status, "expired");
  assert.deepEqual((await linesOf(openai, batch.output_file_id)).map((one) => one.custom_id), ["a"]);
  assert.deepEqual((await linesOf(openai, batch.error_file_id)).map((one) => [one.custom_id, one.error.code]), [["b", "batch_expired"], ["c", "batch_expired"]]);
  const second = await eventually("the other ends too", async () => {
    const one = await anthropic.messages.batches.retrieve(messages.id);
    return one.processing_status === "ended" ? one : undefined;
  });
  assert.equal(second.request_counts.expired, 1);
});

test("a key's rights are asked again for every line", async (t) => {
  const fake = await startFake(t);
  const parley = await startParley(t, { fake, config: "batches: {concurrency: 1}\n" });
  const openai = openaiOf(parley, parley.user);
  const lines = Array.from({ length: 6 }, (_, i) => chat(`r${i}`, i === 0 ? "openai/echo" : "openai/count-3+delay-400"));
  const begun = await begin(openai, lines);
  await eventually("one is done", async () => (await openai.batches.retrieve(begun.id)).request_counts!.completed >= 1);
  const revoked = await parley.ask("DELETE", `/api/v1/keys/${parley.user.keyId}`, { local: true });
  assert.ok(revoked.status < 300, revoked.text);
  const made = await parley.ask("POST", "/api/v1/keys", { local: true, body: { name: "second", user: parley.user.email } });
  const again = openaiOf(parley, { ...parley.user, key: made.json.secret });
  const batch = await ended(again, begun.id);
  assert.equal(batch.status, "completed");
  const failed = await linesOf(again, batch.error_file_id);
  assert.ok(failed.length >= 4, JSON.stringify(failed));
  for (const one of failed) assert.equal(one.response.status_code, 401, JSON.stringify(one));
});

test("a rotated key's batch goes on under its successor", async (t) => {
  const fake = await startFake(t);
  const parley = await startParley(t, { fake, config: "batches: {concurrency: 1}\n" });
  const models = [...Array(4).fill("openai/count-3+delay-400"), "anthropic/echo", "anthropic/echo"];
  const begun = await begin(openaiOf(parley, parley.user), models.map((model, i) => chat(`r${i}`, model)));
  const rotated = await parley.ask("POST", `/api/v1/keys/${parley.user.keyId}/rotate`, { local: true, body: { overlap_seconds: 0 } });
  assert.equal(rotated.status, 201, rotated.text);
  const next = openaiOf(parley, { ...parley.user, key: rotated.json.secret });
  await eventually("one is done", async () => (await next.batches.retrieve(begun.id)).request_counts!.completed >= 2);
  const narrowed = await parley.ask("PATCH", `/api/v1/keys/${rotated.json.key.id}`, { local: true, body: { models: ["openai/*"] } });
  assert.equal(narrowed.status, 200, narrowed.text);
  const batch = await ended(next, begun.id);
  assert.deepEqual(batch.request_counts, { total: 6, completed: 4, failed: 2 });
  for (const one of await linesOf(next, batch.error_file_id)) assert.equal(one.response.status_code, 403, "the successor's rights count, as they are");
  await eventually("the rows name who paid", async () => {
    const rows = (await parley.ask("GET", "/api/v1/ledger", { local: true })).json.filter((row: any) => row.outcome === "answered");
    return rows.length === 4 && rows.slice(1).every((row: any) => row.key === rotated.json.key.id);
  });
});

test("a narrowed key's rights too", async (t) => {
  const fake = await startFake(t);
  const parley = await startParley(t, { fake, config: "batches: {concurrency: 1}\n" });
  const openai = openaiOf(parley, parley.user);
  const models = ["openai/echo", "openai/count-3+delay-400", "openai/count-3+delay-400", "openai/echo", "anthropic/echo", "openai/echo"];
  const begun = await begin(openai, models.map((model, i) => chat(`r${i}`, model)));
  await eventually("one is done", async () => (await openai.batches.retrieve(begun.id)).request_counts!.completed >= 1);
  const narrowed = await parley.ask("PATCH", `/api/v1/keys/${parley.user.keyId}`, { local: true, body: { models: ["anthropic/*"] } });
  assert.equal(narrowed.status, 200, narrowed.text);
  const batch = await ended(openai, begun.id);
  assert.equal(batch.status, "completed");
  assert.ok((await linesOf(openai, batch.output_file_id)).some((one) => one.custom_id === "r4"));
  const failed = await linesOf(openai, batch.error_file_id);
  for (const name of ["r3", "r5"]) assert.equal(failed.find((one) => one.custom_id === name)?.response.status_code, 403, JSON.stringify(failed));
});

async function crash(t: any, signal: "SIGKILL" | "SIGTERM") {
  const fake: Fake = await startFake(t);
  const parley = await startParley(t, { fake });
  const openai = openaiOf(parley, parley.user);
  const lines = Array.from({ length: 60 }, (_, i) => chat(`r${i}`, i % 9 === 8 ? "openai/400-invalid" : "openai/count-2+delay-20"));
  const begun = await begin(openai, lines);
  await eventually("some are done", async () => (await openai.batches.retrieve(begun.id)).request_counts!.completed >= 10);
  if (signal === "SIGKILL") await parley.killNow(); else await parley.stop();
  const second = await startParley(t, { folder: parley.folder, people: false });
  const after = openaiOf(second, parley.user);
  const batch = await ended(after, begun.id);
  assert.equal(batch.status, "completed");
  assert.deepEqual(batch.request_counts, { total: 60, completed: 54, failed: 6 });
  const done = await linesOf(after, batch.output_file_id), failed = await linesOf(after, batch.error_file_id);
  assert.deepEqual([...done, ...failed].map((one) => one.custom_id).sort(), lines.map((one) => one.custom_id!).sort());
  assert.equal(failed.length, 6);
}

test("kill -9 in the middle: nothing is lost, nothing is there twice", (t) => crash(t, "SIGKILL"));
test("a restart in the middle", (t) => crash(t, "SIGTERM"));

test("Anthropic's batches", async (t) => {
  const fake = await startFake(t);
  const parley = await startParley(t, { fake });
  const anthropic = anthropicOf(parley, parley.user);
  const params = (model: string, more: object = {}) => ({ model, max_tokens: 50, messages: [{ role: "user" as const, content: "hello" }], ...more });
  const begun = await anthropic.messages.batches.create({ requests: [
    { custom_id: "a", params: params("anthropic/echo") }, { custom_id: "b", params: params("openai/echo") },
    { custom_id: "stream", params: { ...params("openai/echo"), stream: true } as never }, { custom_id: "nobody", params: params("nobody/x") },
    { custom_id: "tokens", params: { ...params("openai/echo"), max_tokens: undefined } as never },
  ] });
  assert.match(begun.id, /^msgbatch_[0-9a-z]{26}$/);
  assert.deepEqual([begun.type, begun.processing_status, begun.request_counts.processing, begun.results_url], ["message_batch", "in_progress", 5, null]);
  const batch = await eventually("the batch ends", async () => {
    const one = await anthropic.messages.batches.retrieve(begun.id);
    return one.processing_status === "ended" ? one : undefined;
  });
  assert.deepEqual(batch.request_counts, { processing: 0, succeeded: 2, errored: 3, canceled: 0, expired: 0 });
  assert.ok(batch.results_url!.startsWith(parley.url));
  const results = new Map<string, any>();
  for await (const one of await anthropic.messages.batches.results(batch.id)) results.set(one.custom_id, one.result);
  assert.deepEqual([...results.keys()].sort(), ["a", "b", "nobody", "stream", "tokens"]);
  for (const name of ["a", "b"]) {
    assert.equal(results.get(name).type, "succeeded");
    assert.deepEqual([results.get(name).message.type, results.get(name).message.content[0].text], ["message", "You said: hello"]);
  }
  assert.deepEqual([results.get("nobody").type, results.get("nobody").error.type, results.get("nobody").error.error.type], ["errored", "error", "not_found_error"]);
  assert.match(results.get("stream").error.error.message, /request 3/);
  assert.match(results.get("tokens").error.error.message, /max_tokens/);

  for (const [requests, field] of [[[], /requests/], [[{ custom_id: "x", params: params("m") }, { custom_id: "x", params: params("m") }], /requests\[1\]\.custom_id/], [[{ params: params("m") }], /requests\[0\]\.custom_id/]] as const)
    await assert.rejects(anthropic.messages.batches.create({ requests: requests as never }), (error: any) => error.status === 400 && field.test(error.error.error.message));

  const slow = await anthropic.messages.batches.create({ requests: [{ custom_id: "a", params: params("anthropic/silent") }] });
  await assert.rejects(anthropic.messages.batches.delete(slow.id), (error: any) => error.status === 409);
  assert.equal((await anthropic.messages.batches.cancel(slow.id)).processing_status, "canceling");
  await eventually("it is cancelled", async () => (await anthropic.messages.batches.retrieve(slow.id)).request_counts.canceled === 1);
  for await (const one of await anthropic.messages.batches.results(slow.id)) assert.deepEqual(one, { custom_id: "a", result: { type: "canceled" } });
  const listed: string[] = [];
  for await (const one of anthropic.messages.batches.list({ limit: 1 })) listed.push(one.id);
  assert.deepEqual(listed, [slow.id, batch.id]);
  const other = anthropicOf(parley, parley.other);
  for (const ask of [() => other.messages.batches.retrieve(batch.id), () => other.messages.batches.results(batch.id), () => other.messages.batches.delete(batch.id), () => other.messages.batches.cancel(batch.id)])
    await assert.rejects(async () => ask(), (error: any) => error.status === 404);
  assert.deepEqual(await anthropic.messages.batches.delete(batch.id), { id: batch.id, type: "message_batch_deleted" });
  await assert.rejects(anthropic.messages.batches.retrieve(batch.id), (error: any) => error.status === 404);
});
