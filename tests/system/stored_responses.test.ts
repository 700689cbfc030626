// Answers that the responses door keeps, with the official OpenAI SDK: going on from one by its id, with every dialect
// behind it; reading, deleting, expiry, and who may do so.
import assert from "node:assert/strict";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { test, type TestContext } from "node:test";
import { createOpenAI } from "@ai-sdk/openai";
import { generateText, type ModelMessage } from "ai";
import OpenAI from "openai";
import { openaiOf } from "./doors.ts";
import { DIALECTS, eventually, oneAttempt, sleep, startFake, startParley, type Fake, type Parley } from "./parley.ts";

const functions: OpenAI.Responses.Tool[] = [
  { type: "function", name: "get_weather", description: "Weather of a city", parameters: { type: "object", properties: { city: { type: "string" } } }, strict: false },
  { type: "function", name: "get_time", description: "Time of a zone", parameters: { type: "object", properties: { zone: { type: "string" } } }, strict: false },
];

async function refused(promise: Promise<unknown>, status: number, code?: string) {
  const error = await promise.then((good) => assert.fail(`should have failed: ${JSON.stringify(good)}`), (reason) => reason);
  assert.ok(error instanceof OpenAI.APIError, String(error));
  assert.equal(error.status, status, error.message);
  if (code) assert.equal(error.code, code, error.message);
  return error;
}

const rows = (parley: Parley): { id: string; previous: string; expires_ms: number }[] => {
  const database = new DatabaseSync(join(parley.data, "parley.db"), { readOnly: true });
  try { return database.prepare("SELECT id, previous, expires_ms FROM stored_responses").all() as any; } finally { database.close(); }
};

const change = (parley: Parley, sql: string) => {
  const database = new DatabaseSync(join(parley.data, "parley.db"), { timeout: 5000 });
  try { database.exec(sql); } finally { database.close(); }
};

// The texts stand in this order in what the provider was sent last.
async function inOrder(fake: Fake, texts: string[], absent: string[] = []): Promise<string> {
  const body = await fake.lastBody();
  let at = 0;
  for (const text of texts) {
    const found = body.indexOf(text, at);
    assert.ok(found >= 0, `${text} is missing behind ${at}: ${body}`);
    at = found + text.length;
  }
  for (const text of absent) assert.ok(!body.includes(text), `${text} is in ${body}`);
  return body;
}

for (const provider of DIALECTS) test(`going on by id, with ${provider} behind it`, async (t) => {
  const fake = await startFake(t);
  const parley = await startParley(t, { fake, config: oneAttempt });
  const openai = openaiOf(parley);
  // The number is in the id of an answer that passes through.
  const model = (name: string, number: number) => `${provider}/${name}+tag-${number}`;

  await t.test("three turns, the second streamed", async () => {
    const first = await openai.responses.create({ model: model("echo", 11), input: "alpha", instructions: "Be brief.", metadata: { topic: "letters" } });
    assert.equal(first.output_text, "You said: alpha");
    if (provider === "responses") assert.equal(first.id, "resp_11");
    else assert.match(first.id, /^resp_[0-9a-z]{26}$/);

    const stream = openai.responses.stream({ model: model("echo", 12), input: [{ role: "user", content: "beta" }], previous_response_id: first.id });
    let completed = "", kept: OpenAI.Responses.Response | undefined;
    for await (const event of stream)
      if (event.type === "response.completed") {
        completed = event.response.id;
        kept = await openai.responses.retrieve(completed);
      }
    assert.equal(kept!.id, completed);
    assert.deepEqual([kept!.status, kept!.output_text, kept!.previous_response_id, kept!.usage!.input_tokens], ["completed", "You said: beta", first.id, 11]);
    await inOrder(fake, ["alpha", "You said: alpha", "beta"], ["Be brief.", "previous_response_id", first.id]);

    const third = await openai.responses.create({ model: model("echo", 13), input: "gamma", instructions: "Be kind.", previous_response_id: completed });
    assert.equal(third.output_text, "You said: gamma");
    await inOrder(fake, ["alpha", "You said: alpha", "beta", "You said: beta", "gamma"], ["Be brief."]);
    assert.ok((await fake.lastBody()).includes("Be kind."));

    const again = await openai.responses.retrieve(first.id);
    assert.deepEqual([again.metadata, again.instructions, again.output_text, again.status], [{ topic: "letters" }, "Be brief.", "You said: alpha", "completed"]);
    assert.deepEqual(again.output, first.output);
  });

  await t.test("results of tools", async () => {
    const asked = await openai.responses.create({ model: model("tools", 21), input: "weather?", tools: functions });
    const calls = asked.output.filter((item) => item.type === "function_call");
    assert.equal(calls.length, 2);
    const kept = await openai.responses.retrieve(asked.id);
    assert.deepEqual(kept.tools.map((tool: any) => tool.name), provider === "responses" && !kept.tools.length ? [] : ["get_weather", "get_time"]);
    const answer = await openai.responses.create({
      model: model("echo", 22), tools: functions, previous_response_id: asked.id,
      input: [{ type: "function_call_output", call_id: calls[0]!.call_id, output: "sunny, 21 degrees" },
        { type: "function_call_output", call_id: calls[1]!.call_id, output: "12:30" }, { role: "user", content: "thanks" }],
    });
    assert.equal(answer.output_text, "You said: thanks");
    await inOrder(fake, ["weather?", "Paris", "sunny, 21 degrees", "12:30", "thanks"]);
  });

  await t.test("reasoning does no harm", async () => {
    const thought = await openai.responses.create({ model: model("reasoning", 31), input: "two and two?" });
    assert.equal(thought.output_text, "It is four.");
    const answer = await openai.responses.create({ model: model("echo", 32), input: "sure?", previous_response_id: thought.id });
    assert.equal(answer.output_text, "You said: sure?");
    await inOrder(fake, ["two and two?", "It is four.", "sure?"]);
  });

  await t.test("an answer that fails in its middle is kept as failed", async () => {
    const stream = await openai.responses.create({ model: model("error-5", 41), input: "x", stream: true });
    let id = "";
    await assert.rejects(async () => { for await (const event of stream) if (event.type === "response.created") id = event.response.id; });
    assert.ok(id);
    const kept = await eventually("it is kept", () => openai.responses.retrieve(id).catch(() => undefined));
    assert.equal(kept.status, "failed");
    assert.ok(kept.error!.message.length > 5);
    assert.match(kept.output_text, /^1 2 3/);
  });

  await t.test("store: false", async () => {
    const before = rows(parley).length;
    const answer = await openai.responses.create({ model: model("echo", 51), input: "x", store: false });
    await refused(openai.responses.retrieve(answer.id), 404);
    const error = await refused(openai.responses.create({ model: model("echo", 52), input: "y", previous_response_id: answer.id }), 400, "previous_response_not_found");
    assert.equal(error.param, "previous_response_id");
    assert.equal(rows(parley).length, before);
  });

  await t.test("a client that leaves in the middle leaves nothing", async () => {
    const before = rows(parley).length;
    const name = model("endless+slow-10", 61);
    const stream = await openai.responses.create({ model: name, input: "x", stream: true });
    let count = 0;
    for await (const _ of stream) if (++count === 8) { stream.controller.abort(); break; }
    await eventually("the provider was left", async () => (await fake.log()).findLast((one) => one.model === "endless+slow-10+tag-61")?.client_gone);
    assert.equal(rows(parley).length, before);
  });
});

// The AI SDK names the items of earlier answers where it believes that they are kept, which is its default.
for (const provider of DIALECTS) test(`items named instead of repeated, with ${provider} behind it`, async (t) => {
  const fake = await startFake(t);
  const parley = await startParley(t, { fake, config: oneAttempt });
  const model = createOpenAI({ baseURL: `${parley.url}/v1`, apiKey: parley.user.key })(`${provider}/echo`);
  const messages: ModelMessage[] = [{ role: "user", content: "alpha" }];
  const first = await generateText({ model, messages, maxRetries: 0 });
  messages.push(...first.response.messages, { role: "user", content: "beta" });
  const second = await generateText({ model, messages, maxRetries: 0 });
  assert.equal(second.text, "You said: beta");
  if (provider === "responses") { // whose own names they are
    assert.match(await fake.lastBody(), /"item_reference","id":"msg_1"/);
    return;
  }
  await inOrder(fake, ["alpha", "You said: alpha", "beta"], ["item_reference"]);
  messages.push(...second.response.messages, { role: "user", content: "gamma" });
  await generateText({ model, messages, maxRetries: 0 });
  await inOrder(fake, ["alpha", "You said: alpha", "beta", "You said: beta", "gamma"], ["item_reference"]);
  // Another's answer is not there to be named; the rest is answered.
  const stranger = createOpenAI({ baseURL: `${parley.url}/v1`, apiKey: parley.other.key })(`${provider}/echo`);
  await generateText({ model: stranger, messages, maxRetries: 0 });
  await inOrder(fake, ["alpha", "beta", "gamma"], ["You said"]);
});

test("what passes through keeps everything of the request", async (t) => {
  const fake = await startFake(t);
  const parley = await startParley(t, { fake, config: oneAttempt });
  const openai = openaiOf(parley);
  const first = await openai.responses.create({ model: "responses/echo+tag-1", input: [
    { role: "user", content: "alpha" }, { type: "web_search_call", id: "ws_1", status: "completed", action: { type: "search", query: "q" } } as any] });
  const asked = { model: "responses/echo+tag-2", previous_response_id: first.id, tools: [{ type: "web_search", user_location: { type: "approximate", city: "Paris" } }],
    reasoning: { effort: "low", summary: "auto" }, include: ["reasoning.encrypted_content"], prompt_cache_key: "k", new_member: [1, { two: 2 }] };
  await openai.responses.create({ ...asked, input: [{ role: "user", content: [{ type: "input_text", text: "beta", new_too: true }] }] } as any);
  const body = JSON.parse(await fake.lastBody());
  const { previous_response_id: _, ...rest } = asked;
  assert.deepEqual(body, { ...rest, model: "echo+tag-2", input: [
    { type: "message", role: "user", content: [{ type: "input_text", text: "alpha" }] },
    { id: "ws_1", type: "web_search_call", status: "completed", action: { type: "search", query: "q" } },
    { type: "message", status: "completed", role: "assistant", content: [{ type: "output_text", text: "You said: alpha", annotations: [], logprobs: [] }] },
    { role: "user", content: [{ type: "input_text", text: "beta", new_too: true }] }] });
  // The store of a body that passes through is the caller's own word, or none.
  const plain = await openai.responses.create({ model: "responses/echo+tag-3", input: "x" });
  assert.equal(JSON.parse(await fake.lastBody()).store, undefined);
  assert.equal((await openai.responses.retrieve(plain.id) as any).store, true);
});

// Ten inputs, by id.
async function asking(openai: OpenAI): Promise<OpenAI.Responses.Response> {
  const input = Array.from({ length: 10 }, (_, i) => ({ role: i % 2 ? "assistant" as const : "user" as const, content: `text ${i}` }));
  return openai.responses.create({ model: "openai/echo", input });
}

test("reading and deleting", async (t) => {
  const fake = await startFake(t);
  const parley = await startParley(t, { fake, config: oneAttempt });
  const openai = openaiOf(parley), stranger = openaiOf(parley, parley.other.key);

  await t.test("input items, in pages", async () => {
    const { id } = await asking(openai);
    const texts = (items: any[]) => items.map((item) => item.content[0].text);
    const newest = await openai.responses.inputItems.list(id, { limit: 4 });
    assert.deepEqual(texts(newest.data), ["text 9", "text 8", "text 7", "text 6"]);
    assert.equal(newest.has_more, true);
    const all: any[] = [];
    for await (const item of openai.responses.inputItems.list(id, { limit: 3, order: "asc" })) all.push(item);
    assert.deepEqual(texts(all), Array.from({ length: 10 }, (_, i) => `text ${i}`));
    assert.equal(new Set(all.map((item) => item.id)).size, 10);
    assert.deepEqual(all[0], { id: all[0].id, type: "message", role: "user", content: [{ type: "input_text", text: "text 0" }] });
    const last = await openai.responses.inputItems.list(id, { order: "asc", after: all[7].id });
    assert.deepEqual([texts(last.data), last.has_more], [["text 8", "text 9"], false]);
    const { json } = await parley.ask("GET", `/v1/responses/${id}/input_items?order=asc&after=${all[7].id}`, { key: parley.user.key });
    assert.deepEqual([json.object, json.first_id, json.last_id], ["list", all[8].id, all[9].id]);
    await refused(openai.responses.inputItems.list(id, { limit: 0 }) as any, 400);
    await refused(openai.responses.inputItems.list(id, { limit: 101 }) as any, 400);
    await refused(openai.responses.inputItems.list(id, { order: "up" as any }) as any, 400);
    await refused(openai.responses.inputItems.list(id, { after: "msg_no" }) as any, 404);
  });

  await t.test("delete", async () => {
    const { id } = await asking(openai);
    const gone = await parley.ask("DELETE", `/v1/responses/${id}`, { key: parley.user.key });
    assert.deepEqual([gone.status, gone.json], [200, { id, object: "response", deleted: true }]);
    await refused(openai.responses.retrieve(id), 404);
    await refused(openai.responses.delete(id), 404);
    await refused(openai.responses.inputItems.list(id) as any, 404);
    await refused(openai.responses.create({ model: "openai/echo", input: "x", previous_response_id: id }), 400, "previous_response_not_found");
  });

  await t.test("another's does not exist", async () => {
    const { id } = await asking(openai);
    for (const one of [stranger, openaiOf(parley, parley.admin.key)]) {
      const error = await refused(one.responses.retrieve(id), 404);
      assert.match(error.message, /not found/);
      await refused(one.responses.delete(id), 404);
      await refused(one.responses.cancel(id), 404);
      await refused(one.responses.inputItems.list(id) as any, 404);
      await refused(one.responses.create({ model: "openai/echo", input: "x", previous_response_id: id }), 400, "previous_response_not_found");
    }
    assert.equal((await openai.responses.retrieve(id)).id, id);
    assert.equal((await parley.ask("GET", `/v1/responses/${id}`)).status, 401);
    assert.equal((await parley.ask("GET", `/v1/responses/${id}`, { local: true })).status, 403);
  });

  await t.test("what there is not", async () => {
    const { id } = await asking(openai);
    const cancelled = await refused(openai.responses.cancel(id), 400);
    assert.match(cancelled.message, /Cannot cancel a synchronous response/);
    const body = { model: "openai/echo", input: "x" };
    for (const [more, param] of [[{ background: 1 }, "background"], [{ conversation: 7 }, "conversation"], [{ store: "yes" }, "store"],
      [{ previous_response_id: 7 }, "previous_response_id"], [{ previous_response_id: "" }, "previous_response_id"]] as const)
      assert.equal((await refused(openai.responses.create({ ...body, ...more } as any) as any, 400)).param, param);
    for (const strange of ["resp_no", "%00", "a".repeat(3000), "../users"])
      await refused(openai.responses.create({ ...body, previous_response_id: strange }), 400, "previous_response_not_found");
    assert.equal((await openai.responses.create({ ...body, background: false, conversation: null, previous_response_id: null })).status, "completed");
    // Going on needs no words of its own.
    assert.equal((await openai.responses.create({ model: "openai/echo", previous_response_id: id } as any)).output_text, "You said: text 8");
  });

  await t.test("a conversation has its bounds", async () => {
    let id: string | undefined;
    for (let i = 0; i < 200; i++) id = (await openai.responses.create({ model: "openai/count-1", input: `turn ${i}`, ...(id ? { previous_response_id: id } : {}) })).id;
    const last = await openai.responses.create({ model: "openai/count-1", input: "turn 200", previous_response_id: id! });
    await inOrder(fake, ["turn 0", "turn 100", "turn 199", "turn 200"]);
    const error = await refused(openai.responses.create({ model: "openai/count-1", input: "one more", previous_response_id: last.id }), 413);
    assert.match(error.message, /200 turns/);
  });
});

test("bytes of a conversation are bounded as a request's are", async (t) => {
  const fake = await startFake(t);
  const parley = await startParley(t, { fake, config: `${oneAttempt}server: {body_mib_max: 1}\n` });
  const openai = openaiOf(parley);
  let id: string | undefined;
  for (let i = 0; i < 2; i++) id = (await openai.responses.create({ model: "openai/count-1", input: "x".repeat(400_000), ...(id ? { previous_response_id: id } : {}) })).id;
  await refused(openai.responses.create({ model: "openai/count-1", input: "x".repeat(400_000), previous_response_id: id! }), 413);
});

async function aged(t: TestContext, days: string) {
  const fake = await startFake(t);
  return { fake, parley: await startParley(t, { fake, config: `${oneAttempt}responses: {keep_days: ${days}}\n` }) };
}

test("expiry", async (t) => {
  const { fake, parley } = await aged(t, "2");
  const openai = openaiOf(parley);
  const first = await openai.responses.create({ model: "openai/echo", input: "x" });
  const second = await openai.responses.create({ model: "openai/echo", input: "y", previous_response_id: first.id });
  const left = rows(parley).find((row) => row.id === first.id)!.expires_ms - Date.now();
  assert.ok(left > 2 * 86_400_000 - 60_000 && left <= 2 * 86_400_000, String(left));
  change(parley, `UPDATE stored_responses SET expires_ms = ${Date.now() - 1} WHERE id = '${first.id}'`);
  await refused(openai.responses.retrieve(first.id), 404);
  await refused(openai.responses.delete(first.id), 404);
  await refused(openai.responses.create({ model: "openai/echo", input: "z", previous_response_id: second.id }), 400, "previous_response_not_found");
  assert.equal((await openai.responses.retrieve(second.id)).output_text, "You said: y");
  await parley.stop();
  const again = await startParley(t, { fake, folder: parley.folder });
  await eventually("what has expired is removed", () => rows(again).length === 1);
  assert.equal(rows(again)[0]!.id, second.id);
});

test("nothing is kept when nothing is to be", async (t) => {
  const { parley } = await aged(t, "0");
  const openai = openaiOf(parley);
  const answer = await openai.responses.create({ model: "openai/echo", input: "x" });
  assert.equal((await openai.responses.stream({ model: "openai/echo", input: "x" }).finalResponse()).output_text, "You said: x");
  assert.equal(rows(parley).length, 0);
  await refused(openai.responses.retrieve(answer.id), 404);
  const error = await refused(openai.responses.create({ model: "openai/echo", input: "x", previous_response_id: answer.id }), 400);
  assert.match(error.message, /nothing is kept here/);
});

test("a crash in the middle of an answer leaves nothing of it", async (t) => {
  const fake = await startFake(t);
  const parley = await startParley(t, { fake, config: oneAttempt });
  const openai = openaiOf(parley);
  const kept = await openai.responses.create({ model: "openai/echo", input: "x" });
  const stream = await openai.responses.create({ model: "openai/endless+slow-10", input: "x", stream: true });
  let count = 0;
  await assert.rejects(async () => { for await (const _ of stream) if (++count === 8) await parley.killNow(); });
  const again = await startParley(t, { fake, folder: parley.folder });
  assert.deepEqual(rows(again).map((row) => row.id), [kept.id]);
});

test("a database that is slow keeps no answer back, nor does a client that has left", async (t) => {
  const fake = await startFake(t);
  const parley = await startParley(t, { fake, config: oneAttempt });
  const openai = openaiOf(parley);
  const database = new DatabaseSync(join(parley.data, "parley.db"), { timeout: 5000 });
  database.exec("BEGIN IMMEDIATE");
  const began = performance.now();
  const leaving = await openai.responses.create({ model: "openai/echo+tag-2", input: "gone", stream: true });
  let left = "";
  for await (const event of leaving) {
    if (event.type === "response.created") left = event.response.id;
    if (event.type !== "response.output_text.done") continue;
    await eventually("all was said", async () => (await fake.seen("echo+tag-2"))?.outcome === "done");
    await sleep(100);
    break; // the last event is held back
  }
  const answer = await openai.responses.create({ model: "openai/echo", input: "x" });
  const took = performance.now() - began;
  assert.equal(answer.output_text, "You said: x");
  assert.ok(took > 1900 && took < 4500, `${took} ms`);
  await refused(openai.responses.retrieve(answer.id), 404);
  database.exec("COMMIT");
  database.close();
  for (const id of [answer.id, left]) await eventually("it is kept all the same", () => openai.responses.retrieve(id).catch(() => undefined));
});
