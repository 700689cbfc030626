// Answers of the responses door that are written in the background, with the official OpenAI SDK: asked, looked at,
// cancelled, and their streams read again from any number on; whoever leaves, and after a crash.
import assert from "node:assert/strict";
import { test, type TestContext } from "node:test";
import OpenAI from "openai";
import { openaiOf } from "./doors.ts";
import { DIALECTS, eventually, oneAttempt, startFake, startParley, type Parley } from "./parley.ts";

type Event = OpenAI.Responses.ResponseStreamEvent;
const loops = "server: {loops: 3}\n"; // each request may come to another one

async function refused(promise: Promise<unknown>, status: number) {
  const error = await promise.then((good) => assert.fail(`should have failed: ${JSON.stringify(good)}`), (reason) => reason);
  assert.ok(error instanceof OpenAI.APIError, String(error));
  assert.equal(error.status, status, error.message);
  return error;
}

const ended = (openai: OpenAI, id: string) => eventually(`${id} ends`, async () => {
  const now = await openai.responses.retrieve(id);
  return ["queued", "in_progress"].includes(now.status!) ? undefined : now;
});

async function all(stream: AsyncIterable<Event>): Promise<Event[]> {
  const events: Event[] = [];
  for await (const event of stream) events.push(event);
  return events;
}

const textOf = (events: Event[]) => events.map((event) => (event.type === "response.output_text.delta" ? event.delta : "")).join("");
const numbers = (events: Event[]) => events.map((event) => (event as { sequence_number: number }).sequence_number);
const inOrder = (events: Event[], from: number) => assert.deepEqual(numbers(events), events.map((_, index) => from + index));

async function start(t: TestContext, config = "") {
  const fake = await startFake(t);
  const parley = await startParley(t, { fake, config: oneAttempt + loops + config });
  return { fake, parley, openai: openaiOf(parley) };
}

for (const provider of DIALECTS) test(`in the background, with ${provider} behind it`, async (t) => {
  const { openai, fake } = await start(t);
  const counted = "1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 ";

  await t.test("an answer is looked at until it is there", async () => {
    const asked = await openai.responses.create({ model: `${provider}/count-20+delay-400`, input: "x", instructions: "Be brief.", metadata: { topic: "y" }, background: true });
    assert.deepEqual([asked.status, asked.background, asked.output, asked.metadata], ["queued", true, [], { topic: "y" }]);
    assert.match(asked.id, /^resp_[0-9a-z]{26}$/);
    assert.equal((await openai.responses.retrieve(asked.id)).status, "in_progress");
    const done = await ended(openai, asked.id);
    assert.deepEqual([done.status, done.background, done.id, done.created_at, done.output_text.trim(), done.instructions],
      ["completed", true, asked.id, asked.created_at, counted.trim(), "Be brief."]);
    assert.ok(done.usage!.output_tokens > 0);
    assert.doesNotMatch(await fake.lastBody(), /background/);
    const next = await openai.responses.create({ model: `${provider}/echo`, input: "z", previous_response_id: asked.id });
    assert.equal(next.output_text, "You said: z");
    assert.ok((await fake.lastBody()).includes("19 20"));
  });

  await t.test("its stream is left, and read on from where it was", async () => {
    const stream = await openai.responses.create({ model: `${provider}/count-20+slow-30`, input: "x", background: true, stream: true });
    const first: Event[] = [];
    for await (const event of stream) {
      first.push(event);
      if (event.type === "response.output_text.delta" && first.length >= 12) break; // leaves
    }
    inOrder(first, 0);
    assert.ok(first[0]!.type === "response.created");
    const { id } = first[0]!.response;
    assert.deepEqual(first.slice(0, 3).map((event) => event.type), ["response.created", "response.queued", "response.in_progress"]);
    const rest = await all(await openai.responses.retrieve(id, { stream: true, starting_after: first.length - 1 }));
    inOrder(rest, first.length);
    assert.equal(textOf(first) + textOf(rest), counted);
    const last = rest.at(-1)!;
    assert.ok(last.type === "response.completed");
    assert.deepEqual([last.response.id, last.response.status], [id, "completed"]);
    const whole = await openai.responses.retrieve(id);
    assert.deepEqual(last.response.output, whole.output);
    assert.equal((await fake.log()).at(-1)!.client_gone, false);
    const again = await all(await openai.responses.retrieve(id, { stream: true }));
    assert.deepEqual(again, [...first, ...rest]);
  });

  await t.test("cancelled in its middle", async () => {
    const name = `${provider}/endless+slow-10+tag-7`;
    const stream = await openai.responses.create({ model: name, input: "x", background: true, stream: true });
    let id = "", last: Event | undefined;
    let count = 0;
    for await (const event of stream) {
      last = event;
      if (event.type === "response.created") id = event.response.id;
      if (++count === 12) {
        const cancelled = await openai.responses.cancel(id);
        assert.deepEqual([cancelled.id, cancelled.status], [id, "cancelled"]);
      }
    }
    assert.ok(last!.type === "response.incomplete");
    assert.equal(last.response.status, "cancelled");
    await eventually("the provider was left", async () => (await fake.log()).findLast((one) => one.model === "endless+slow-10+tag-7")?.client_gone);
    const kept = await openai.responses.retrieve(id);
    assert.equal(kept.status, "cancelled");
    assert.match(kept.output_text, /^and on and on/);
    const again = await openai.responses.cancel(id); // twice is fine
    assert.deepEqual([again.status, again.output], ["cancelled", kept.output]);
  });

  await t.test("a failure of the provider", async () => {
    const asked = await openai.responses.create({ model: `${provider}/500`, input: "x", background: true });
    const failed = await ended(openai, asked.id);
    assert.equal(failed.status, "failed");
    assert.ok(failed.error!.message.length > 3);
    const broken = await all(await openai.responses.create({ model: `${provider}/error-5`, input: "x", background: true, stream: true }).catch(() => assert.fail()) as any).catch((error) => error);
    assert.ok(broken instanceof Error || broken.at(-1).type === "response.failed");
    const refusal = await refused(openai.responses.create({ model: `${provider}/no-such-behaviour`, input: "x" }), 404);
    const late = await ended(openai, (await openai.responses.create({ model: `${provider}/no-such-behaviour`, input: "x", background: true })).id);
    assert.deepEqual([late.status, late.error!.message], ["failed", refusal.message.replace(/^404 /, "")]);
  });

  await t.test("tools", async () => {
    const tools: OpenAI.Responses.Tool[] = [{ type: "function", name: "get_weather", parameters: { type: "object", properties: {} }, strict: false }];
    for (const stream of [false, true]) {
      const asked: any = await openai.responses.create({ model: `${provider}/tools`, input: "x", tools, background: true, stream });
      const id = stream ? (await all(asked))[0] as any : asked;
      const done = await ended(openai, stream ? id.response.id : id.id);
      assert.deepEqual(done.output.map((item) => item.type === "function_call" && item.name), ["get_weather", "get_time"]);
    }
  });
});

test("what may be asked in the background, and by whom", async (t) => {
  const { parley, openai } = await start(t, "responses: {background_max: 2}\n");
  const stranger = openaiOf(parley, parley.other.key);
  const endless = { model: "openai/count-2+delay-60000", input: "x", background: true } as const;

  await t.test("it has to be kept", async () => {
    assert.equal((await refused(openai.responses.create({ ...endless, store: false }), 400)).param, "background");
    assert.equal((await refused(openai.responses.create({ ...endless, background: "yes" as any }), 400)).param, "background");
  });

  await t.test("what is refused at once is told at once", async () => {
    await refused(openai.responses.create({ model: "nobody/echo", input: "x", background: true }), 404);
    await refused(openai.responses.create({ model: "openai/echo", input: [], background: true }), 400);
    await refused(openai.responses.create({ model: "openai/echo", input: "x", background: true, previous_response_id: "resp_no" }), 400);
    const limits = (method: string, body?: object) => parley.ask(method, `/api/v1/limits/key/${encodeURIComponent(parley.other.keyId)}`, { local: true, ...(body ? { body } : {}) });
    assert.ok((await limits("PUT", { requests_per_minute: 1, requests_burst: 1 })).status < 300);
    const admitted = await stranger.responses.create({ model: "openai/count-2", input: "x", background: true }).withResponse();
    assert.equal(admitted.response.headers.get("x-ratelimit-remaining-requests"), "0");
    const limited = await refused(stranger.responses.create({ model: "openai/count-2", input: "x", background: true }), 429);
    assert.ok(Number(limited.headers.get("retry-after")) > 30);
    assert.equal((await ended(stranger, admitted.data.id)).status, "completed");
    assert.ok((await limits("DELETE")).status < 300);
  });

  await t.test("so many at once, of each person", async () => {
    const [one, two] = [await openai.responses.create(endless), await openai.responses.create(endless)];
    const error = await refused(openai.responses.create(endless), 429);
    assert.match(error.message, /2 answers are written in the background/);
    const theirs = await stranger.responses.create(endless);
    await refused(openai.responses.create({ model: "openai/echo", input: "x", previous_response_id: one.id }), 400);
    await refused(stranger.responses.retrieve(one.id), 404);
    await refused(stranger.responses.cancel(one.id), 404);
    await refused(stranger.responses.retrieve(one.id, { stream: true }) as any, 404);
    await refused(stranger.responses.delete(one.id), 404);
    assert.equal((await openai.responses.retrieve(one.id)).status, "in_progress");
    assert.equal((await openai.responses.cancel(one.id)).status, "cancelled");
    const three = await openai.responses.create(endless);
    for (const { id } of [two, three]) assert.equal((await openai.responses.cancel(id)).status, "cancelled");
    await stranger.responses.cancel(theirs.id);
  });

  await t.test("deleted, it ends, and does not come back", async () => {
    const asked = await openai.responses.create(endless);
    await openai.responses.delete(asked.id);
    await refused(openai.responses.retrieve(asked.id), 404);
    await refused(openai.responses.retrieve(asked.id, { stream: true }) as any, 404);
    const others = [await openai.responses.create(endless), await eventually("its place is free", () => openai.responses.create(endless).catch(() => undefined))];
    for (const { id } of others) await openai.responses.cancel(id);
    await refused(openai.responses.retrieve(asked.id), 404);
  });

  await t.test("what is no stream any more is told as one", async () => {
    const { id, output_text } = await openai.responses.create({ model: "openai/count-3", input: "x" });
    const events = await all(await openai.responses.retrieve(id, { stream: true }));
    inOrder(events, 0);
    assert.equal(textOf(events), output_text);
    assert.equal(events.at(-1)!.type, "response.completed");
    const rest = await all(await openai.responses.retrieve(id, { stream: true, starting_after: 3 }));
    assert.deepEqual(rest, events.slice(4));
    assert.deepEqual(numbers(await all(await openai.responses.retrieve(id, { stream: true, starting_after: 1000 }))), [1001]);
    await refused(openai.responses.retrieve(id, { stream: true, starting_after: -1 }) as any, 400);
    const helper = await openai.responses.stream({ response_id: id, starting_after: 0 } as any).finalResponse();
    assert.equal(helper.id, id);
  });

  await t.test("it is in the ledger as any request is", async () => {
    const asked = await openai.responses.create({ model: "openai/count-3+tag-99", input: "x", background: true });
    await ended(openai, asked.id);
    const row: any = await eventually("its row is there", async () => (await parley.ask("GET", "/api/v1/ledger", { key: parley.admin.key })).json.find((one: any) => JSON.stringify(one).includes("count-3+tag-99")));
    assert.equal(row.door, "openai");
  });
});

async function statusAfter(t: TestContext, end: (parley: Parley) => Promise<void>) {
  const { fake, parley, openai } = await start(t, "");
  const asked = await openai.responses.create({ model: "openai/count-2+delay-60000", input: "x", background: true });
  await end(parley);
  const again = await startParley(t, { fake, folder: parley.folder });
  const lost = await openaiOf(again, parley.user.key).responses.retrieve(asked.id);
  assert.deepEqual([lost.id, lost.status, lost.background], [asked.id, "failed", true]);
  assert.match(lost.error!.message, /server was stopped/);
  assert.equal((await openaiOf(again, parley.user.key).responses.cancel(asked.id)).status, "failed");
  const events = await all(await openaiOf(again, parley.user.key).responses.retrieve(asked.id, { stream: true }) as any).catch((error) => error);
  assert.ok(events instanceof Error || events.at(-1).type === "response.failed");
}

test("a crash fails what was under way", (t) => statusAfter(t, (parley) => parley.killNow()));
test("a restart does, after its time for answers", (t) => statusAfter(t, (parley) => parley.stop()));
