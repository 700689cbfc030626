// Batches that Parley hands on to a provider's own: there and back, cancelled, expired, refused, over restarts,
// and what of them stands in the ledger.
import assert from "node:assert/strict";
import { test, type TestContext } from "node:test";
import Anthropic from "@anthropic-ai/sdk";
import OpenAI from "openai";
import { startBatchProvider, type BatchProvider } from "./batch_provider.ts";
import { eventually, SECRET, startFake, startParley, type Parley, type Person } from "./parley.ts";

const handing = { "x-parley-batch": "provider" };
const openaiOf = (parley: Parley, person: Person, headers: Record<string, string> = handing) =>
  new OpenAI({ baseURL: `${parley.url}/v1`, apiKey: person.key, maxRetries: 0, defaultHeaders: headers });
const anthropicOf = (parley: Parley, person: Person) =>
  new Anthropic({ baseURL: parley.url, apiKey: person.key, maxRetries: 0, defaultHeaders: handing });

const chat = (custom_id: string, model: string, more: object = {}) =>
  ({ custom_id, method: "POST", url: "/v1/chat/completions", body: { model, messages: [{ role: "user", content: custom_id }], ...more } });
const message = (custom_id: string, model: string, more: object = {}) =>
  ({ custom_id, params: { model, max_tokens: 50, messages: [{ role: "user" as const, content: custom_id }], ...more } });

const settings = (provider: BatchProvider, more = "") => `providers:
  openai: {base_url: "${provider.url}/v1", api_key: "${SECRET}-openai"}
  second: {kind: openai-compatible, base_url: "${provider.url}/v1", api_key: "${SECRET}-second"}
  anthropic: {base_url: "${provider.url}", api_key: "${SECRET}-anthropic"}
prices: {"openai/echo": "in=2 out=10", "anthropic/echo": "in=2 out=10 batch=0.25"}
${more.includes("batches:") ? more : `batches: {poll_seconds: 1, retry_ms: 10}\n${more}`}`;

async function begun(t: TestContext, more = "") {
  const fake = await startFake(t);
  const provider = await startBatchProvider(t, fake);
  const parley = await startParley(t, { config: settings(provider, more) });
  await eventually("the providers are listed", async () => {
    const seen = await parley.ask("POST", "/api/v1/providers/openai/check", { local: true });
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

async function rows(parley: Parley): Promise<any[]> {
  const all = await parley.ask("GET", "/api/v1/ledger?limit=500", { local: true });
  assert.equal(all.status, 200, all.text);
  return all.json;
}

test("OpenAI's, there and back", async (t) => {
  const { provider, parley } = await begun(t);
  const openai = openaiOf(parley, parley.user);
  const begin = await make(openai, [chat("a", "openai/echo"), "{wrong", chat("b", "openai/echo", { temperature: 0.5 }), chat("bad", "openai/400-invalid")]);
  await made(provider);
  const kept = provider.one();
  assert.deepEqual(kept.lines.map((line) => [line.custom_id, line.url, line.body.model]), [["a", "/v1/chat/completions", "echo"], ["b", "/v1/chat/completions", "echo"], ["bad", "/v1/chat/completions", "400-invalid"]]);
  assert.equal(kept.lines[1]!.body.temperature, 0.5);
  assert.deepEqual([kept.endpoint, kept.metadata], ["/v1/chat/completions", { parley_batch: begin.id.slice(6) }]);
  for (const one of provider.asked) assert.equal(one.headers["authorization"], `Bearer ${SECRET}-openai`);

  kept.output.push(JSON.stringify({ custom_id: "x", response: null })); // as if one were done: counts are the provider's
  const seen = await eventually("its counts are shown", async () => {
    const batch = await openai.batches.retrieve(begin.id);
    return batch.request_counts!.completed === 1 ? batch : undefined;
  });
  assert.deepEqual([seen.status, seen.request_counts, seen.output_file_id, seen.expires_at! > 1e9 + 999999999], ["in_progress", { total: 4, completed: 1, failed: 0 }, null, true]);
  kept.output.pop();
  await provider.finish(kept);

  const batch = await ended(openai, begin.id);
  assert.deepEqual([batch.status, batch.request_counts], ["completed", { total: 4, completed: 2, failed: 2 }]);
  assert.match(batch.output_file_id!, /^file-[0-9a-z]{26}$/);
  const done = await linesOf(openai, batch.output_file_id), failed = await linesOf(openai, batch.error_file_id);
  assert.deepEqual(done.map((one) => [one.custom_id, one.response.status_code, one.response.body.choices[0].message.content, one.error]), [["a", 200, "You said: a", null], ["b", 200, "You said: b", null]]);
  assert.match(done[0].id, new RegExp(`^batch_req_${begin.id.slice(6)}_1$`));
  assert.deepEqual(failed.map((one) => [one.custom_id, one.error?.line ?? one.response.status_code]), [[null, 2], ["bad", 400]]);

  const used = await eventually("the rows are there", async () => {
    const found = (await rows(parley)).filter((row) => row.batch);
    return found.length === 2 ? found : undefined;
  });
  for (const row of used) {
    assert.deepEqual([row.user, row.key, row.target, row.model, row.outcome, row.door], [parley.user.id, parley.user.keyId, "openai/echo", "openai/echo", "answered", "openai"], JSON.stringify(row));
    assert.equal(Math.round(row.cost_usd * 1e9), Math.ceil((row.tokens_input * 2000 + row.tokens_output * 10000) / 2), JSON.stringify(row));
  }
});

test("vectors, and a setting that hands on what fits", async (t) => {
  const { provider, parley } = await begun(t);
  const set = await parley.ask("PATCH", "/api/v1/settings", { local: true, body: { "batches.hand_on": true } });
  assert.equal(set.status, 200, set.text);
  const openai = openaiOf(parley, parley.user, {});
  const mixed = await ended(openai, (await make(openai, [chat("a", "openai/echo"), chat("b", "anthropic/echo"), chat("c", "second/echo")])).id);
  assert.deepEqual([mixed.status, mixed.request_counts!.completed, provider.asked.length], ["completed", 3, 0]);
  const here = openaiOf(parley, parley.user, { "x-parley-batch": "here" });
  assert.equal((await ended(here, (await make(here, [chat("a", "openai/echo")])).id)).request_counts!.completed, 1);
  assert.equal(provider.asked.length, 0);
  const vectors = await make(openai, [{ custom_id: "v", method: "POST", url: "/v1/embeddings", body: { model: "openai/echo", input: ["one", "two"] } }], "/v1/embeddings");
  await made(provider);
  await provider.finish(provider.one());
  const batch = await ended(openai, vectors.id);
  assert.deepEqual((await linesOf(openai, batch.output_file_id)).map((one) => one.response.body.data.length), [2]);
  await assert.rejects(make(openaiOf(parley, parley.user, { "x-parley-batch": "there" }), [chat("a", "openai/echo")]), (error: any) => error.status === 400 && error.param === "x-parley-batch");
});

test("what lines used counts against limits", async (t) => {
  const { provider, parley } = await begun(t);
  const openai = openaiOf(parley, parley.user);
  const limit = await parley.ask("PUT", `/api/v1/limits/key/${parley.user.keyId}`, { local: true, body: { tokens_per_day: 1050, requests_per_day: 5 } });
  assert.ok(limit.status < 300, limit.text);
  const say = () => openai.chat.completions.create({ model: "openai/echo", messages: [{ role: "user", content: "x" }] });
  await say();
  const begin = await make(openai, Array.from({ length: 60 }, (_, i) => chat(`${i} ${"word ".repeat(100)}`, "openai/echo")));
  await made(provider);
  await provider.finish(provider.one());
  assert.equal((await ended(openai, begin.id)).request_counts!.completed, 60); // more than the requests of a day
  const { used } = (await parley.ask("GET", `/api/v1/limits/key/${parley.user.keyId}`, { local: true })).json.limit;
  assert.deepEqual([used.day.requests, used.day.tokens > 1050, used.month.tokens], [3, true, used.day.tokens]);
  await assert.rejects(say, (error: any) => error.status === 429 && /tokens per day/.test(error.message));
});

test("what cannot be handed on fails, and says why", async (t) => {
  const { provider, parley } = await begun(t, 'routes:\n  two: {targets: "openai/echo, anthropic/echo"}\n');
  const openai = openaiOf(parley, parley.user);
  for (const [lines, why] of [
    [[chat("a", "anthropic/echo")], /line 1 cannot be handed on: anthropic has no batches of this form/],
    [[chat("a", "openai/echo"), chat("b", "second/echo")], /line 2 cannot be handed on: second has no batches/],
    [[chat("a", "two")], /several models/], [[chat("a", "nobody/x")], /nobody/], [["{", "{"], /no line of it/],
  ] as const) {
    const batch = await ended(openai, (await make(openai, [...lines])).id);
    assert.equal(batch.status, "failed");
    assert.match(batch.errors!.data![0]!.message!, why);
  }
  const narrowed = await parley.ask("PATCH", `/api/v1/keys/${parley.user.keyId}`, { local: true, body: { models: ["openai/echo"] } });
  assert.equal(narrowed.status, 200, narrowed.text);
  const outside = await ended(openai, (await make(openai, [chat("a", "openai/echo"), chat("b", "openai/count-3")])).id);
  assert.match(outside.errors!.data![0]!.message!, /line 2 cannot be handed on: this key may not use the model openai\/count-3/);
  assert.equal(provider.asked.length, 0);

  provider.refusals = [{ path: /POST .*\/batches$/, status: 400, body: { error: { message: "Invalid endpoint", type: "invalid_request_error" } }, times: 1 }];
  const refused = await ended(openai, (await make(openai, [chat("a", "openai/echo")])).id);
  assert.match(refused.errors!.data![0]!.message!, /did not take the batch: Invalid endpoint/);
  provider.refusals = [{ path: /POST .*\/files$/, status: 503, body: { error: { message: "later" } }, times: 1 }, { path: /POST .*\/batches$/, status: 429, body: { error: { message: "Rate limit" } }, times: 1 }];
  const begin = await make(openai, [chat("a", "openai/echo")]);
  await made(provider);
  provider.one().status = "failed";
  provider.one().message = "This line is no request";
  const failed = await ended(openai, begin.id);
  assert.match(failed.errors!.data![0]!.message!, /line 2: This line is no request/);
});

test("cancelled, and expired, there", async (t) => {
  const { provider, parley } = await begun(t);
  const openai = openaiOf(parley, parley.user);
  for (const [how, code] of [["cancelled", "batch_cancelled"], ["expired", "batch_expired"]] as const) {
    provider.batches.clear();
    const begin = await make(openai, ["a", "b", "c"].map((name) => chat(name, "openai/echo")));
    await made(provider);
    if (how === "cancelled") {
      provider.refusals = [{ path: /cancel$/, status: 500, body: { error: { message: "later" } }, times: 1 }];
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

test("a revoked key cancels it there", async (t) => {
  const { provider, parley } = await begun(t);
  const openai = openaiOf(parley, parley.user);
  const begin = await make(openai, [chat("a", "openai/echo")]);
  await made(provider);
  assert.ok((await parley.ask("DELETE", `/api/v1/keys/${parley.user.keyId}`, { local: true })).status < 300);
  await eventually("it is told", () => provider.one().status === "cancelling");
  await provider.finish(provider.one(), "cancelled", 0);
  const again = await parley.ask("POST", "/api/v1/keys", { local: true, body: { name: "second", user: parley.user.email } });
  const batch = await ended(openaiOf(parley, { ...parley.user, key: again.json.secret }), begin.id);
  assert.equal(batch.status, "cancelled");
});

for (const signal of ["SIGKILL", "SIGTERM"])
  test(`a ${signal} while the provider works`, async (t) => {
    const { provider, parley } = await begun(t);
    const begin = await make(openaiOf(parley, parley.user), ["a", "b"].map((name) => chat(name, "openai/echo")));
    await made(provider);
    await eventually("its id is kept", () => /batch handed on/.test(parley.stderr) && provider.asked.some((one) => one.method === "GET"));
    if (signal === "SIGKILL") await parley.killNow(); else await parley.stop();
    await provider.finish(provider.one());
    const second = await startParley(t, { folder: parley.folder, config: settings(provider), people: false });
    const openai = openaiOf(second, parley.user);
    const batch = await ended(openai, begin.id);
    assert.deepEqual([batch.status, batch.request_counts], ["completed", { total: 2, completed: 2, failed: 0 }]);
    assert.deepEqual((await linesOf(openai, batch.output_file_id)).map((one) => one.custom_id), ["a", "b"]);
    assert.equal(provider.batches.size, 1);
  });

test("what nobody knows is not done twice: a SIGKILL while it is being made", async (t) => {
  const { provider, parley } = await begun(t);
  const makings = () => provider.asked.filter((one) => /POST .*batches$/.test(`${one.method} ${one.path}`)).length;
  provider.refusals = [{ path: /POST .*batches$/, status: 0, body: {}, times: 2 }];
  const first = await make(openaiOf(parley, parley.user), [chat("a", "openai/echo")]);
  const second = await anthropicOf(parley, parley.user).messages.batches.create({ requests: [message("a", "anthropic/echo")] });
  await eventually("both are asked for", () => makings() === 2);
  await parley.killNow();
  const after = await startParley(t, { folder: parley.folder, config: settings(provider), people: false });
  const batch = await ended(openaiOf(after, parley.user), first.id);
  assert.match(batch.errors!.data![0]!.message!, /whether it is there nobody here knows/);
  const anthropic = anthropicOf(after, parley.user);
  await eventually("each line fails", async () => (await anthropic.messages.batches.retrieve(second.id)).request_counts.errored === 1);
  assert.equal(makings(), 2);
});

test("Anthropic's, there and back", async (t) => {
  const { provider, parley } = await begun(t);
  const anthropic = anthropicOf(parley, parley.user);
  const begin = await anthropic.messages.batches.create({ requests: [message("a", "anthropic/echo"), message("b", "anthropic/400-invalid"), message("c", "anthropic/echo")] });
  await made(provider);
  const kept = provider.one();
  assert.deepEqual(kept.lines.map((line) => [line.custom_id, line.body.model]), [["a", "echo"], ["b", "400-invalid"], ["c", "echo"]]);
  assert.equal(provider.asked[0]!.headers["x-api-key"], `${SECRET}-anthropic`);
  assert.equal(provider.asked[0]!.headers["anthropic-version"], "2023-06-01");
  await provider.finish(kept);
  const batch = await eventually("it ends", async () => {
    const one = await anthropic.messages.batches.retrieve(begin.id);
    return one.processing_status === "ended" ? one : undefined;
  });
  assert.deepEqual(batch.request_counts, { processing: 0, succeeded: 2, errored: 1, canceled: 0, expired: 0 });
  const results: any[] = [];
  for await (const one of await anthropic.messages.batches.results(batch.id)) results.push(one);
  assert.deepEqual(results.map((one) => [one.custom_id, one.result.type]), [["a", "succeeded"], ["b", "errored"], ["c", "succeeded"]]);
  assert.equal(results[0].result.message.content[0].text, "You said: a");
  assert.equal(results[1].result.error.type, "error");
  const used = await eventually("the rows are there", async () => {
    const found = (await rows(parley)).filter((row) => row.batch);
    return found.length === 2 ? found : undefined;
  });
  for (const row of used) assert.equal(Math.round(row.cost_usd * 1e9), Math.ceil((row.tokens_input * 2000 + row.tokens_output * 10000) / 4), JSON.stringify(row));

  // Expired there, cancelled there, refused.
  provider.batches.clear();
  const second = await anthropic.messages.batches.create({ requests: [message("a", "anthropic/echo"), message("b", "anthropic/echo")] });
  await made(provider);
  await provider.finish(provider.one(), "expired", 1);
  await eventually("it expires", async () => {
    const { request_counts } = await anthropic.messages.batches.retrieve(second.id);
    return request_counts.expired === 1 && request_counts.succeeded === 1;
  });
  provider.batches.clear();
  const third = await anthropic.messages.batches.create({ requests: [message("a", "anthropic/echo")] });
  await made(provider);
  await anthropic.messages.batches.cancel(third.id);
  await eventually("it is told", () => provider.one().status === "cancelling");
  await provider.finish(provider.one(), "cancelled", 0);
  await eventually("it is cancelled", async () => (await anthropic.messages.batches.retrieve(third.id)).request_counts.canceled === 1);
  const fourth = await anthropic.messages.batches.create({ requests: [message("a", "openai/echo")] });
  await eventually("it fails", async () => (await anthropic.messages.batches.retrieve(fourth.id)).request_counts.errored === 1);
  for await (const one of await anthropic.messages.batches.results(fourth.id)) assert.match((one.result as any).error.error.message, /openai has no batches of this form/);
});
