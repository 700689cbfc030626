// Batches that Parley hands on to Gemini's own: lines of other dialects there and back, and over restarts.
import assert from "node:assert/strict";
import { test, type TestContext } from "node:test";
import Anthropic from "@anthropic-ai/sdk";
import OpenAI from "openai";
import { startBatchProvider, type BatchProvider } from "./batch_provider.ts";
import { eventually, SECRET, startFake, startParley, type Parley, type Person } from "./parley.ts";

const handing = { "x-parley-batch": "provider" };
const openaiOf = (parley: Parley, person: Person, headers: Record<string, string> = handing) =>
  new OpenAI({ baseURL: `${parley.url}/v1`, apiKey: person.key, maxRetries: 0, defaultHeaders: headers });

const chat = (custom_id: string, model = "gemini/echo", more: object = {}) =>
  ({ custom_id, method: "POST", url: "/v1/chat/completions", body: { model, messages: [{ role: "user", content: custom_id }], ...more } });

const settings = (provider: BatchProvider) => `providers:
  openai: {base_url: "${provider.url}/v1", api_key: "${SECRET}-openai"}
  gemini: {base_url: "${provider.url}/v1beta", api_key: "${SECRET}-gemini"}
prices: {"gemini/echo": "in=2 out=10"}
batches: {poll_seconds: 1, retry_ms: 10}
`;

async function begun(t: TestContext) {
  const fake = await startFake(t);
  const provider = await startBatchProvider(t, fake);
  const parley = await startParley(t, { config: settings(provider) });
  await eventually("the provider is listed", async () => {
    const seen = await parley.ask("POST", "/api/v1/providers/gemini/check", { local: true });
    return seen.json?.provider.status === "ok";
  });
  return { fake, provider, parley };
}

async function make(openai: OpenAI, lines: (object | string)[], endpoint: any = "/v1/chat/completions") {
  const text = lines.map((line) => (typeof line === "string" ? line : JSON.stringify(line))).join("\n");
  const input = await openai.files.create({ file: await OpenAI.toFile(Buffer.from(text), "in.jsonl"), purpose: "batch" });
  return openai.batches.create({ input_file_id: input.id, endpoint, completion_window: "24h" });
}

const ended = (openai: OpenAI, id: string) => eventually("the batch ends", async () => {
  const batch = await openai.batches.retrieve(id);
  return ["completed", "failed", "expired", "cancelled"].includes(batch.status) ? batch : undefined;
}, 20_000);

async function linesOf(openai: OpenAI, file: string | null | undefined): Promise<any[]> {
  if (!file) return [];
  return (await (await openai.files.content(file)).text()).split("\n").filter(Boolean).map((line) => JSON.parse(line));
}

const made = (provider: BatchProvider) => eventually("it is there", () => provider.batches.size === 1);

test("OpenAI's lines, there and back", async (t) => {
  const { fake, provider, parley } = await begun(t);
  const openai = openaiOf(parley, parley.user);
  const begin = await make(openai, [chat("a", "gemini/echo", { temperature: 0.5, max_tokens: 50, logit_bias: { 1: 1 } }), "{wrong", chat("b"), chat("none", "gemini/echo", { messages: [] })]);
  await made(provider);
  const kept = provider.one();
  assert.deepEqual([kept.endpoint, kept.metadata, provider.asked.length >= 1], ["echo", `parley-${begin.id.slice(6)}`, true]);
  assert.deepEqual(kept.lines.map((line) => [line.custom_id, line.body.contents[0].parts[0].text]), [["1", "a"], ["3", "b"]]);
  assert.deepEqual(kept.lines[0]!.body.generationConfig, { maxOutputTokens: 50, temperature: 0.5 });
  assert.equal(provider.asked[0]!.path, "/v1beta/models/echo:batchGenerateContent");
  for (const one of provider.asked) assert.equal(one.headers["x-goog-api-key"], `${SECRET}-gemini`);
  const before = await fake.log();
  assert.equal(before.filter((one: any) => /generateContent/.test(one.path)).length, 0, "no line was asked alone");
  const seen = await openai.batches.retrieve(begin.id);
  assert.deepEqual([seen.status, seen.request_counts!.total], ["in_progress", 4]);

  await provider.finish(kept);
  const batch = await ended(openai, begin.id);
  assert.deepEqual([batch.status, batch.request_counts], ["completed", { total: 4, completed: 2, failed: 2 }]);
  const done = await linesOf(openai, batch.output_file_id), failed = await linesOf(openai, batch.error_file_id);
  assert.deepEqual(done.map((one) => [one.custom_id, one.response.status_code, one.response.body.object, one.response.body.choices[0].message.content]), [["a", 200, "chat.completion", "You said: a"], ["b", 200, "chat.completion", "You said: b"]]);
  assert.deepEqual(done.map((one) => one.response.parley_dropped), ["logit_bias", undefined]);
  assert.deepEqual(failed.map((one) => [one.custom_id, one.error.line, one.error.message]), [[null, 2, "line 2: it is not JSON"], ["none", 4, "line 4: messages: must not be empty"]]);
  const used = await eventually("the rows are there", async () => {
    const found = (await parley.ask("GET", "/api/v1/ledger?limit=500", { local: true })).json.filter((row: any) => row.batch);
    return found.length === 2 ? found : undefined;
  });
  for (const row of used) {
    assert.deepEqual([row.user, row.key, row.target, row.model, row.outcome, row.door], [parley.user.id, parley.user.keyId, "gemini/echo", "gemini/echo", "answered", "openai"], JSON.stringify(row));
    assert.equal(Math.round(row.cost_usd * 1e9), Math.ceil((row.tokens_input * 2000 + row.tokens_output * 10000) / 2), JSON.stringify(row));
  }
});

test("a line that fails there, and responses", async (t) => {
  const { provider, parley } = await begun(t);
  const openai = openaiOf(parley, parley.user);
  const ask = (custom_id: string) => ({ custom_id, method: "POST", url: "/v1/responses", body: { model: "gemini/400-invalid", input: custom_id } });
  const begin = await make(openai, [ask("a"), ask("b")], "/v1/responses");
  await made(provider);
  const kept = provider.one();
  kept.lines[1]!.url = "/v1beta/models/echo:generateContent";
  await provider.finish(kept);
  const batch = await ended(openai, begin.id);
  assert.deepEqual(batch.request_counts, { total: 2, completed: 1, failed: 1 });
  assert.deepEqual((await linesOf(openai, batch.output_file_id)).map((one) => [one.custom_id, one.response.body.object, one.response.body.output[0].content[0].text]), [["b", "response", "You said: b"]]);
  const failed = await linesOf(openai, batch.error_file_id);
  assert.deepEqual(failed.map((one) => [one.custom_id, one.response.status_code, one.response.body.error.type]), [["a", 400, "invalid_request_error"]]);
});

test("what does not fit fails, or is run here", async (t) => {
  const { provider, parley } = await begun(t);
  const openai = openaiOf(parley, parley.user);
  const two = await ended(openai, (await make(openai, [chat("a"), chat("b", "gemini/count-3")])).id);
  assert.match(two.errors!.data![0]!.message!, /line 2 cannot be handed on: the batch asks several models: echo and count-3/);
  const vectors = await ended(openai, (await make(openai, [{ custom_id: "v", method: "POST", url: "/v1/embeddings", body: { model: "gemini/echo", input: ["one"] } }], "/v1/embeddings")).id);
  assert.match(vectors.errors!.data![0]!.message!, /gemini has no batches of this form/);
  const none = await ended(openai, (await make(openai, [chat("a", "gemini/echo", { messages: [] })])).id);
  assert.match(none.errors!.data![0]!.message!, /no line of it can be handed on/);
  const long = Array.from({ length: 21 }, (_, i) => chat(`${i}`, "gemini/echo", { messages: [{ role: "user", content: "x".repeat(1_000_000) }] }));
  const large = await ended(openai, (await make(openai, long)).id);
  assert.match(large.errors!.data![0]!.message!, /too large to be handed on/);
  assert.equal(provider.asked.length, 0);
  assert.equal((await parley.ask("PATCH", "/api/v1/settings", { local: true, body: { "batches.hand_on": true } })).status, 200);
  const unsaid = openaiOf(parley, parley.user, {});
  const here = await ended(unsaid, (await make(unsaid, [...long.slice(0, 20), chat("last")])).id);
  assert.deepEqual([here.status, here.request_counts!.completed, provider.asked.filter((one) => /batches|batchGenerate/.test(one.path)).length], ["completed", 21, 0]);

  provider.refusals = [{ path: /batchGenerateContent$/, status: 503, body: { error: { code: 503, message: "later", status: "UNAVAILABLE" } }, times: 1 }, { path: /batchGenerateContent$/, status: 400, body: { error: { code: 400, message: "Batch is odd", status: "INVALID_ARGUMENT" } }, times: 1 }];
  const refused = await ended(openai, (await make(openai, [chat("a")])).id);
  assert.match(refused.errors!.data![0]!.message!, /did not take the batch: Batch is odd/);
  const begin = await make(openai, [chat("a")]);
  await made(provider);
  provider.one().message = "Model is gone";
  provider.one().status = "failed";
  assert.match((await ended(openai, begin.id)).errors!.data![0]!.message!, /the provider refused the batch: Model is gone/);
});

test("cancelled, and expired, there", async (t) => {
  const { provider, parley } = await begun(t);
  const openai = openaiOf(parley, parley.user);
  for (const [how, code] of [["cancelled", "batch_cancelled"], ["expired", "batch_expired"]] as const) {
    provider.batches.clear();
    const begin = await make(openai, ["a", "b", "c"].map((name) => chat(name)));
    await made(provider);
    if (how === "cancelled") {
      provider.refusals = [{ path: /:cancel$/, status: 500, body: { error: { code: 500, message: "later" } }, times: 1 }];
      assert.equal((await openai.batches.cancel(begin.id)).status, "cancelling");
      await eventually("it is told", () => provider.one().status === "cancelling");
    }
    await provider.finish(provider.one(), how, 1);
    const batch = await ended(openai, begin.id);
    assert.deepEqual([batch.status, batch.request_counts!.completed], [how, 1]);
    assert.deepEqual((await linesOf(openai, batch.output_file_id)).map((one) => one.custom_id), ["c"]);
    assert.deepEqual((await linesOf(openai, batch.error_file_id)).map((one) => [one.custom_id, one.error.code]), [["a", code], ["b", code]]);
  }
});

for (const signal of ["SIGKILL", "SIGTERM"])
  test(`a ${signal} while Gemini works`, async (t) => {
    const { provider, parley } = await begun(t);
    const begin = await make(openaiOf(parley, parley.user), [chat("a", "gemini/echo", { logit_bias: { 1: 1 } }), chat("none", "gemini/echo", { messages: [] }), chat("b")]);
    await made(provider);
    await eventually("its id is kept", () => /batch handed on/.test(parley.stderr) && provider.asked.some((one) => one.method === "GET"));
    if (signal === "SIGKILL") await parley.killNow(); else await parley.stop();
    await provider.finish(provider.one());
    const second = await startParley(t, { folder: parley.folder, config: settings(provider), people: false });
    const openai = openaiOf(second, parley.user);
    const batch = await ended(openai, begin.id);
    assert.deepEqual([batch.status, batch.request_counts], ["completed", { total: 3, completed: 2, failed: 1 }]);
    assert.deepEqual((await linesOf(openai, batch.output_file_id)).map((one) => [one.custom_id, one.response.parley_dropped]), [["a", "logit_bias"], ["b", undefined]]);
    assert.deepEqual((await linesOf(openai, batch.error_file_id)).map((one) => [one.custom_id, one.error.line]), [["none", 2]]);
    assert.equal(provider.batches.size, 1);
  });

test("what nobody knows is not done twice: a SIGKILL while it is being made", async (t) => {
  const { provider, parley } = await begun(t);
  const makings = () => provider.asked.filter((one) => /batchGenerateContent$/.test(one.path)).length;
  provider.refusals = [{ path: /batchGenerateContent$/, status: 0, body: {}, times: 1 }];
  const first = await make(openaiOf(parley, parley.user), [chat("a")]);
  await eventually("it is asked for", () => makings() === 1);
  await parley.killNow();
  const after = await startParley(t, { folder: parley.folder, config: settings(provider), people: false });
  const batch = await ended(openaiOf(after, parley.user), first.id);
  assert.match(batch.errors!.data![0]!.message!, /whether it is there nobody here knows/);
  assert.equal(makings(), 1);
});

test("Anthropic's messages", async (t) => {
  const { provider, parley } = await begun(t);
  const anthropic = new Anthropic({ baseURL: parley.url, apiKey: parley.user.key, maxRetries: 0, defaultHeaders: handing });
  const message = (custom_id: string) => ({ custom_id, params: { model: "gemini/echo", max_tokens: 50, messages: [{ role: "user" as const, content: custom_id }] } });
  const begin = await anthropic.messages.batches.create({ requests: [message("a"), message("b")] });
  await made(provider);
  await provider.finish(provider.one());
  await eventually("it ends", async () => (await anthropic.messages.batches.retrieve(begin.id)).request_counts.succeeded === 2);
  const results: any[] = [];
  for await (const one of await anthropic.messages.batches.results(begin.id)) results.push(one);
  assert.deepEqual(results.map((one) => [one.custom_id, one.result.type, one.result.message.type, one.result.message.content[0].text]), [["a", "succeeded", "message", "You said: a"], ["b", "succeeded", "message", "You said: b"]]);
});
