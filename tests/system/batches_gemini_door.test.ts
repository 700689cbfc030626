// Gemini's own form of batches, by its SDK, for any provider.
import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { GoogleGenAI } from "@google/genai";
import { startBatchProvider } from "./batch_provider.ts";
import { eventually, providersOf, SECRET, startFake, startParley, temporaryFolder, type Parley, type Person } from "./parley.ts";

const clientOf = (parley: Parley, person: Person, headers: Record<string, string> = {}, apiVersion = "v1beta") =>
  new GoogleGenAI({ apiKey: person.key, apiVersion, httpOptions: { baseUrl: parley.url, headers } });
const say = (text: string, metadata?: Record<string, string>, more: object = {}) =>
  ({ contents: [{ role: "user", parts: [{ text }] }], ...(metadata ? { metadata } : {}), ...more });
const ended = (ai: GoogleGenAI, name: string) => eventually("the batch ends", async () => {
  const job = await ai.batches.get({ name });
  return ["JOB_STATE_SUCCEEDED", "JOB_STATE_FAILED", "JOB_STATE_CANCELLED", "JOB_STATE_EXPIRED"].includes(job.state!) ? job : undefined;
}, 20_000);
const textOf = (one: any) => one.response?.candidates?.[0]?.content?.parts?.[0]?.text;

for (const apiVersion of ["v1beta", "v1"])
  test(`inline, at an OpenAI provider (${apiVersion})`, async (t) => {
    const fake = await startFake(t);
    const parley = await startParley(t, { config: providersOf(fake) });
    const ai = clientOf(parley, parley.user, {}, apiVersion);
    const begin = await ai.batches.create({ model: "openai/echo", config: { displayName: "mine" }, src: [
      say("a", { key: "1", more: "x" }), say("b", undefined, { config: { temperature: 0.5, systemInstruction: { parts: [{ text: "be brief" }] }, topK: 3 } }),
      say("c", { key: "1" }, { model: "other" }), { contents: [{ role: "user", parts: [{ text: 7 }] }] }] as any });
    assert.match(begin.name!, /^batches\/[0-9a-z]{26}$/);
    assert.deepEqual([begin.state, begin.displayName, begin.model, begin.dest], ["JOB_STATE_PENDING", "mine", "models/openai/echo", undefined]);
    const job = await ended(ai, begin.name!);
    assert.equal(job.state, "JOB_STATE_SUCCEEDED");
    assert.deepEqual(job.dest!.inlinedResponses!.map((one) => [textOf(one), one.metadata, one.error?.code]),
      [["You said: a", { key: "1", more: "x" }, undefined], ["You said: b", undefined, undefined], [undefined, { key: "1" }, 3], [undefined, undefined, 3]]);
    assert.match(job.dest!.inlinedResponses![2]!.error!.message!, /request 3: all lines ask the model of their batch/);
    const raw = await parley.ask("GET", `/${apiVersion}/${job.name}`, { headers: { "x-goog-api-key": parley.user.key } });
    assert.deepEqual(raw.json.metadata.batchStats, { requestCount: "4", successfulRequestCount: "2", failedRequestCount: "2" });
    assert.deepEqual([raw.json.done, raw.json.response.inlinedResponses.inlinedResponses.length, raw.json.response.inlinedResponses.inlinedResponses[1].parley_dropped], [true, 4, "top_k"]);

    const listed = [];
    for await (const one of await ai.batches.list({ config: { pageSize: 1 } })) listed.push(one);
    assert.deepEqual(listed.map((one) => [one.name, one.state, one.dest]), [[job.name, "JOB_STATE_SUCCEEDED", undefined]]);
    await ai.batches.create({ model: "models/openai/echo", src: [say("d")] });
    const pages = await ai.batches.list({ config: { pageSize: 1 } });
    assert.deepEqual([pages.page.length, (await pages.nextPage()).map((one) => one.name)], [1, [job.name]]);

    const other = clientOf(parley, parley.admin, {}, apiVersion);
    await assert.rejects(other.batches.get({ name: job.name! }), (error: any) => error.status === 404);
    await assert.rejects(other.batches.delete({ name: job.name! }), (error: any) => error.status === 404);
    await ai.batches.delete({ name: job.name! });
    await assert.rejects(ai.batches.get({ name: job.name! }), (error: any) => error.status === 404);
  });

test("a file of requests", async (t) => {
  const fake = await startFake(t);
  const parley = await startParley(t, { config: providersOf(fake) });
  const ai = clientOf(parley, parley.user), folder = temporaryFolder(t);
  const lines = [{ key: "a", request: say("a") }, "{wrong", { key: "b", request: { ...say("b"), model: "models/anthropic/echo" } }, { request: { ...say("c"), stream: true } }];
  writeFileSync(join(folder, "in.jsonl"), lines.map((line) => (typeof line === "string" ? line : JSON.stringify(line))).join("\n"));
  const file = await ai.files.upload({ file: join(folder, "in.jsonl"), config: { mimeType: "application/jsonl" } });
  const begin = await ai.batches.create({ model: "anthropic/echo", src: file.name! });
  const job = await ended(ai, begin.name!);
  assert.deepEqual([job.state, job.dest!.inlinedResponses], ["JOB_STATE_SUCCEEDED", undefined]);
  assert.match(job.dest!.fileName!, /^files\/[0-9a-z]{26}$/);
  await ai.files.download({ file: job.dest!.fileName!, downloadPath: join(folder, "out.jsonl") });
  const content = await eventually("it is there", async () => {
    const text = await readFile(join(folder, "out.jsonl"), "utf8").catch(() => "");
    return text.endsWith("\n") ? text : undefined;
  });
  const results = content.trim().split("\n").map((line) => JSON.parse(line));
  assert.deepEqual(results.map((one) => [one.key, textOf(one), one.error?.message]),
    [["a", "You said: a", undefined], [undefined, undefined, "request 2: it is not JSON"], ["b", "You said: b", undefined], [undefined, undefined, "request 4: answers of a batch are not streamed"]]);
  const direct = await parley.ask("GET", `/download/v1beta/${job.dest!.fileName}:download?alt=media`, { headers: { "x-goog-api-key": parley.user.key } });
  assert.equal(direct.text, content);
  await ai.batches.delete({ name: job.name! });
  assert.equal((await ai.files.get({ name: file.name! })).state, "ACTIVE"); // what was uploaded stays
  await assert.rejects(ai.files.get({ name: job.dest!.fileName! }), (error: any) => error.status === 404);
});

test("what is wrong is said at once", async (t) => {
  const fake = await startFake(t);
  const parley = await startParley(t, { config: providersOf(fake) });
  const post = (batch: unknown, person = parley.user) => parley.ask("POST", "/v1beta/models/openai/echo:batchGenerateContent", { body: { batch } as any, headers: { "x-goog-api-key": person.key } });
  const requests = (list: unknown) => ({ input_config: { requests: { requests: list } } });
  for (const [batch, why] of [
    [{}, /batch\.inputConfig/], [{ inputConfig: { fileName: "files/x", requests: {} } }, /either requests or fileName/], [{ inputConfig: { fileName: "files/x" } }, /name of a file/],
    [{ inputConfig: { fileName: `files/${parley.user.id}` } }, /no such file/], [requests([]), /must be a list/], [requests([{ request: 7 }]), /requests\[0\]\.request/],
    [requests([{ request: {}, metadata: [] }]), /requests\[0\]\.metadata/], [{ display_name: "x".repeat(600), ...requests([{ request: {} }]) }, /displayName/],
  ] as const) {
    const answer = await post(batch);
    assert.deepEqual([answer.status, answer.json.error.status], [400, "INVALID_ARGUMENT"], answer.text);
    assert.match(answer.json.error.message, why);
  }
  assert.equal((await parley.ask("POST", "/v1beta/batches/x:pause", { body: {}, headers: { "x-goog-api-key": parley.user.key } })).status, 404);
  const snake = await post({ display_name: "snake", ...requests([{ request: say("a") }]) });
  assert.deepEqual([snake.status, snake.json.metadata.displayName, snake.json.metadata.state], [200, "snake", "BATCH_STATE_PENDING"]);
});

test("cancelled here, and over a crash", async (t) => {
  const fake = await startFake(t);
  const parley = await startParley(t, { config: providersOf(fake) });
  const ai = clientOf(parley, parley.user);
  const begin = await ai.batches.create({ model: "openai/delay-20000", src: [say("a"), say("b")] });
  await eventually("it runs", async () => (await fake.log()).length > 0 && (await ai.batches.get({ name: begin.name! })).state === "JOB_STATE_RUNNING");
  await assert.rejects(ai.batches.delete({ name: begin.name! }), (error: any) => error.status === 409);
  await ai.batches.cancel({ name: begin.name! });
  const job = await ended(ai, begin.name!);
  assert.deepEqual([job.state, job.dest!.inlinedResponses!.map((one) => one.error!.code)], ["JOB_STATE_CANCELLED", [1, 1]]);

  const second = await ai.batches.create({ model: "openai/echo", src: Array.from({ length: 40 }, (_, i) => say(`${i}`, { key: `${i}` })) });
  await eventually("some are done", async () => (await fake.log()).length > 8);
  await parley.killNow();
  const after = await startParley(t, { folder: parley.folder, config: providersOf(fake), people: false });
  const again = await ended(clientOf(after, parley.user), second.name!);
  assert.deepEqual(again.dest!.inlinedResponses!.map((one) => [textOf(one), one.metadata!["key"]]), Array.from({ length: 40 }, (_, i) => [`You said: ${i}`, `${i}`]));
});

test("handed on to Gemini's own, as it came", async (t) => {
  const fake = await startFake(t);
  const provider = await startBatchProvider(t, fake);
  const parley = await startParley(t, { config: `providers:
  gemini: {base_url: "${provider.url}/v1beta", api_key: "${SECRET}-gemini"}
  openai: {base_url: "${provider.url}/v1", api_key: "${SECRET}-openai"}
batches: {poll_seconds: 1, retry_ms: 10}
` });
  const ai = clientOf(parley, parley.user, { "x-parley-batch": "provider" });
  const begin = await ai.batches.create({ model: "gemini/echo", src: [say("a", { key: "x" }, { model: "gemini/echo", config: { safetySettings: [{ category: "HARM_CATEGORY_HARASSMENT", threshold: "BLOCK_NONE" }] } }), say("b", { key: "x" })] as any });
  await eventually("it is there", () => provider.batches.size === 1);
  const kept = provider.one();
  assert.deepEqual(kept.lines.map((line) => line.custom_id), ["1", "2"]);
  assert.deepEqual([kept.lines[0]!.body.safetySettings[0].threshold, kept.lines[0]!.body.model], ["BLOCK_NONE", undefined]);
  kept.lines[1]!.url = "/v1beta/models/400-invalid:generateContent";
  await provider.finish(kept);
  const job = await ended(ai, begin.name!);
  assert.deepEqual(job.dest!.inlinedResponses!.map((one) => [textOf(one), one.metadata, one.error?.code]), [["You said: a", { key: "x" }, undefined], [undefined, { key: "x" }, 3]]);

  const refused = await ended(ai, (await ai.batches.create({ model: "openai/echo", src: [say("a")] })).name!);
  const raw = await parley.ask("GET", `/v1beta/${refused.name}`, { headers: { "x-goog-api-key": parley.user.key } });
  assert.deepEqual([refused.state, raw.json.error.code > 0, raw.json.response], ["JOB_STATE_FAILED", true, undefined]);
  assert.match(raw.json.error.message, /openai has no batches of this form/);
});
