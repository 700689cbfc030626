// OpenAI's conversations with the official SDK: made, filled, read in pages, named in requests of every dialect's
// models, and whose they are.
import assert from "node:assert/strict";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { test, type TestContext } from "node:test";
import OpenAI from "openai";
import { openaiOf } from "./doors.ts";
import { DIALECTS, eventually, oneAttempt, startFake, startParley, type Fake } from "./parley.ts";

async function refused(promise: Promise<unknown>, status: number) {
  const error = await promise.then((good) => assert.fail(`should have failed: ${JSON.stringify(good)}`), (reason) => reason);
  assert.ok(error instanceof OpenAI.APIError, String(error));
  assert.equal(error.status, status, error.message);
  return error;
}

async function inOrder(fake: Fake, texts: string[], absent: string[] = []): Promise<void> {
  const body = await fake.lastBody();
  let at = 0;
  for (const text of texts) {
    const found = body.indexOf(text, at);
    assert.ok(found >= 0, `${text} is missing behind ${at}: ${body}`);
    at = found + text.length;
  }
  for (const text of absent) assert.ok(!body.includes(text), `${text} is in ${body}`);
}

async function start(t: TestContext, config = "") {
  const fake = await startFake(t);
  const parley = await startParley(t, { fake, config: oneAttempt + config });
  return { fake, parley, openai: openaiOf(parley) };
}

const user = (content: string) => ({ role: "user" as const, content });
const textOf = (item: any): string => item.content?.[0]?.text ?? item.type;

async function itemsOf(openai: OpenAI, id: string): Promise<any[]> {
  const items = [];
  for await (const item of openai.conversations.items.list(id, { order: "asc" })) items.push(item);
  return items;
}

for (const provider of DIALECTS) test(`answers in a conversation, with ${provider} behind it`, async (t) => {
  const { openai, fake } = await start(t);
  const model = (name: string, number: number) => `${provider}/${name}+tag-${number}`;
  const { id } = await openai.conversations.create({ items: [user("alpha")], metadata: { topic: "letters" } });

  await t.test("its items stand in front of the input, and grow", async () => {
    const first = await openai.responses.create({ model: model("echo", 11), input: "beta", conversation: id });
    assert.equal(first.output_text, "You said: beta");
    await inOrder(fake, ["alpha", "beta"], [id]);
    assert.deepEqual((await openai.responses.retrieve(first.id)).conversation, { id });
    const streamed = await openai.responses.stream({ model: model("echo", 12), input: [user("gamma")], conversation: { id } }).finalResponse();
    assert.equal(streamed.output_text, "You said: gamma");
    await inOrder(fake, ["alpha", "beta", "You said: beta", "gamma"], [id]);
    assert.deepEqual((await itemsOf(openai, id)).map(textOf), ["alpha", "beta", "You said: beta", "gamma", "You said: gamma"]);
  });

  await t.test("without being kept itself, and in the background", async () => {
    const silent = await openai.responses.create({ model: model("echo", 13), input: "delta", conversation: id, store: false });
    await refused(openai.responses.retrieve(silent.id), 404);
    const asked = await openai.responses.create({ model: model("echo", 14), input: "epsilon", conversation: id, background: true });
    const done = await eventually("it ends", async () => { const now = await openai.responses.retrieve(asked.id); return now.status === "completed" ? now : undefined; });
    assert.deepEqual(done.conversation, { id });
    await inOrder(fake, ["alpha", "gamma", "You said: gamma", "delta", "You said: delta", "epsilon"], [id]);
    assert.deepEqual((await itemsOf(openai, id)).slice(5).map(textOf), ["delta", "You said: delta", "epsilon", "You said: epsilon"]);
  });

  await t.test("tools, reasoning", async () => {
    const { id } = await openai.conversations.create();
    const tools: OpenAI.Responses.Tool[] = [{ type: "function", name: "get_weather", parameters: { type: "object", properties: {} }, strict: false },
      { type: "function", name: "get_time", parameters: { type: "object", properties: {} }, strict: false }];
    const asked = await openai.responses.create({ model: model("tools", 21), input: "weather?", tools, conversation: id });
    const calls = asked.output.filter((item) => item.type === "function_call");
    await openai.responses.create({ model: model("reasoning", 22), tools, conversation: id,
      input: calls.map(({ call_id }, index) => ({ type: "function_call_output" as const, call_id, output: `result ${index}` })) });
    await openai.responses.create({ model: model("echo", 23), input: "thanks", tools, conversation: id });
    await inOrder(fake, ["weather?", "Paris", "result 0", "result 1", "It is four.", "thanks"]);
    const items = await itemsOf(openai, id);
    assert.deepEqual(items.filter((item) => item.type === "function_call_output").map((item) => item.output), ["result 0", "result 1"]);
    await openai.conversations.items.delete(items.find((item) => textOf(item) === "It is four.")!.id, { conversation_id: id });
    await openai.responses.create({ model: model("echo", 24), input: "more", conversation: id });
    await inOrder(fake, ["weather?", "result 1", "thanks", "more"], ["It is four."]);
  });

  await t.test("what failed adds nothing", async () => {
    const before = (await itemsOf(openai, id)).length;
    await refused(openai.responses.create({ model: model("500", 31), input: "x", conversation: id }), 502);
    const stream = await openai.responses.create({ model: model("error-5", 32), input: "x", conversation: id, stream: true });
    await assert.rejects(async () => { for await (const _ of stream); });
    assert.equal((await itemsOf(openai, id)).length, before);
  });
});

test("conversations and their items", async (t) => {
  const { parley, openai, fake } = await start(t);
  const stranger = openaiOf(parley, parley.other.key);

  await t.test("made, changed, deleted", async () => {
    const made = await openai.conversations.create({ metadata: { a: "b" } });
    assert.match(made.id, /^conv_[0-9a-z]{26}$/);
    assert.deepEqual([made.object, made.metadata], ["conversation", { a: "b" }]);
    assert.ok(Math.abs(made.created_at - Date.now() / 1000) < 60);
    assert.deepEqual(await openai.conversations.retrieve(made.id), made);
    const changed = await openai.conversations.update(made.id, { metadata: { c: "d" } });
    assert.deepEqual(changed, { ...made, metadata: { c: "d" } });
    assert.deepEqual(await openai.conversations.delete(made.id), { id: made.id, object: "conversation.deleted", deleted: true });
    await refused(openai.conversations.retrieve(made.id), 404);
    await refused(openai.conversations.delete(made.id), 404);
    await refused(openai.conversations.items.create(made.id, { items: [user("x")] }), 404);
    await refused(openai.responses.create({ model: "openai/echo", input: "x", conversation: made.id }), 404);
  });

  await t.test("items in pages", async () => {
    const { id } = await openai.conversations.create({ items: [0, 1, 2].map((number) => user(`text ${number}`)) });
    const added = await openai.conversations.items.create(id, { items: [3, 4].map((number) => user(`text ${number}`)) });
    assert.deepEqual([added.object, added.data.map(textOf), added.has_more], ["list", ["text 3", "text 4"], false]);
    const all = await itemsOf(openai, id);
    assert.deepEqual(all.map(textOf), [0, 1, 2, 3, 4].map((number) => `text ${number}`));
    assert.ok(all.every((item) => item.id && item.type === "message" && item.status === "completed" && item.role === "user"));
    assert.equal(new Set(all.map((item) => item.id)).size, 5);
    const page = await openai.conversations.items.list(id, { limit: 2 });
    assert.deepEqual([page.data.map(textOf), page.has_more, page.last_id], [["text 4", "text 3"], true, all[3].id]);
    const next = await openai.conversations.items.list(id, { limit: 3, after: page.last_id });
    assert.deepEqual([next.data.map(textOf), next.has_more], [["text 2", "text 1", "text 0"], false]);
    assert.deepEqual(await openai.conversations.items.retrieve(all[1].id, { conversation_id: id }), all[1]);
    assert.equal((await openai.conversations.items.delete(all[1].id, { conversation_id: id })).id, id);
    await refused(openai.conversations.items.retrieve(all[1].id, { conversation_id: id }), 404);
    await refused(openai.conversations.items.delete(all[1].id, { conversation_id: id }), 404);
    await refused(openai.conversations.items.list(id, { after: all[1].id }) as any, 404);
    assert.equal((await itemsOf(openai, id)).length, 4);
  });

  await t.test("what is wrong", async () => {
    const { id } = await openai.conversations.create();
    for (const items of [[{ role: "nobody", content: "x" }], ["x"], "x", Array(21).fill(user("x")), [{ role: "user", content: 7 }], null])
      await refused(openai.conversations.items.create(id, { items: items as any }), 400);
    for (const metadata of [7, { a: 1 }, Object.fromEntries(Array.from({ length: 17 }, (_, index) => [`k${index}`, "v"])), { a: "x".repeat(17000) }])
      await refused(openai.conversations.create({ metadata: metadata as any }), 400);
    assert.equal((await itemsOf(openai, id)).length, 0);
    const body = { model: "openai/echo", input: "x" };
    const kept = await openai.responses.create(body);
    assert.equal((await refused(openai.responses.create({ ...body, conversation: id, previous_response_id: kept.id }), 400)).param, "conversation");
    for (const conversation of [7, "", {}, { id: 7 }, []]) await refused(openai.responses.create({ ...body, conversation: conversation as any }), 400);
    for (const conversation of ["conv_no", "../users", "a".repeat(3000)]) await refused(openai.responses.create({ ...body, conversation }), 404);
    for (const strange of ["conv_no", "x"]) await refused(openai.conversations.retrieve(strange), 404);
    await refused(openai.conversations.items.list(id, { limit: 0 }) as any, 400);
  });

  await t.test("another's does not exist", async () => {
    const { id } = await openai.conversations.create({ items: [user("secret")] });
    const item = (await itemsOf(openai, id))[0].id;
    for (const one of [stranger, openaiOf(parley, parley.admin.key)]) {
      await refused(one.conversations.retrieve(id), 404);
      await refused(one.conversations.update(id, { metadata: {} }), 404);
      await refused(one.conversations.delete(id), 404);
      await refused(one.conversations.items.list(id) as any, 404);
      await refused(one.conversations.items.create(id, { items: [user("x")] }), 404);
      await refused(one.conversations.items.retrieve(item, { conversation_id: id }), 404);
      await refused(one.conversations.items.delete(item, { conversation_id: id }), 404);
      await refused(one.responses.create({ model: "openai/echo", input: "x", conversation: id }), 404);
    }
    assert.deepEqual((await itemsOf(openai, id)).map(textOf), ["secret"]);
    assert.equal((await parley.ask("GET", `/v1/conversations/${id}`)).status, 401);
  });

  await t.test("it expires, and lasts", async () => {
    const { id } = await openai.conversations.create({ items: [user("kept")] });
    const gone = await openai.conversations.create({ items: [user("gone")] });
    const database = new DatabaseSync(join(parley.data, "parley.db"), { timeout: 5000 });
    database.exec(`UPDATE response_threads SET expires_ms = ${Date.now() - 1} WHERE id = '${gone.id.slice(5)}'`);
    await refused(openai.conversations.retrieve(gone.id), 404);
    await refused(openai.responses.create({ model: "openai/echo", input: "x", conversation: gone.id }), 404);
    database.close();
    await parley.stop();
    const again = await startParley(t, { fake, folder: parley.folder });
    const client = openaiOf(again, parley.user.key);
    const answer = await client.responses.create({ model: "openai/echo", input: "x", conversation: id });
    assert.equal(answer.output_text, "You said: x");
    await inOrder(fake, ["kept", "x"]);
    await eventually("what has expired is removed with its items", () => {
      const now = new DatabaseSync(join(parley.data, "parley.db"), { readOnly: true });
      try { return !now.prepare("SELECT 1 FROM response_thread_items WHERE item LIKE '%gone%'").get(); } finally { now.close(); }
    });
  });
});

test("one person's conversations have their bounds", async (t) => {
  const { openai } = await start(t, "responses: {person_mib_max: 1}\n");
  const ids: string[] = [];
  for (let i = 0; i < 5; i++) ids.push((await openai.conversations.create({ items: [user("x".repeat(300_000))] })).id);
  await refused(openai.conversations.retrieve(ids[0]!), 404); // the oldest
  assert.equal((await itemsOf(openai, ids[4]!)).length, 1);
});

test("nothing is kept when nothing is to be", async (t) => {
  const { openai } = await start(t, "responses: {keep_days: 0}\n");
  await refused(openai.conversations.create(), 400);
  await refused(openai.responses.create({ model: "openai/echo", input: "x", conversation: "conv_00000000000000000000000000" }), 400);
});
