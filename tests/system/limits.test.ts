// Limits and budgets from outside: the official clients, what they throw and how long they are told to wait; that
// exactly as many are admitted as there is room for; that it lasts, and changes at once.
import assert from "node:assert/strict";
import { test } from "node:test";
import Anthropic from "@anthropic-ai/sdk";
import OpenAI from "openai";
import { anthropicOf, doorsOf, failureOf, openaiOf, WRONGS, type Dialect, type Door } from "./doors.ts";
import { DIALECTS, eventually, oneAttempt, sleep, startFake, startParley, type Answer, type Parley, type Person } from "./parley.ts";
import { asked, counted, own } from "./router.ts";
import { openSocket, textOf } from "./socket.ts";

type Limits = Record<string, number>;

async function limit(parley: Parley, kind: string, id: string, limits: Limits): Promise<void> {
  const answer = await parley.ask("PUT", `/api/v1/limits/${kind}/${encodeURIComponent(id)}`, { local: true, body: limits });
  assert.ok(answer.status < 300, answer.text);
}

async function unlimit(parley: Parley, kind: string, id: string): Promise<void> {
  const answer = await parley.ask("DELETE", `/api/v1/limits/${kind}/${encodeURIComponent(id)}`, { local: true });
  assert.ok(answer.status < 300, answer.text);
}

const say = (parley: Parley, person: Person, model: string, more: object = {}): Promise<Answer> =>
  parley.ask("POST", "/v1/chat/completions", { key: person.key, body: { model, messages: [{ role: "user", content: "x" }], ...more } });

// Somebody nobody else is, and the doors as this person.
async function someone(parley: Parley, name: string): Promise<{ person: Person; doors: Door[]; as: Parley }> {
  const person = await parley.makePerson(`${name}@example.org`);
  const as: Parley = Object.create(parley, { user: { value: person } });
  return { person, as, doors: doorsOf(as) };
}

// A request that needs no client of its own dialect: for what those do not show.
const RAW: Record<Dialect, [path: string, body: object]> = {
  openai: ["/v1/chat/completions", { model: "openai/count-2", messages: [{ role: "user", content: "x" }] }],
  responses: ["/v1/responses", { model: "openai/count-2", input: "x" }],
  anthropic: ["/v1/messages", { model: "openai/count-2", max_tokens: 100, messages: [{ role: "user", content: "x" }] }],
  gemini: ["/v1beta/models/openai%2Fcount-2:generateContent", { contents: [{ parts: [{ text: "x" }] }] }],
  ollama: ["/api/chat", { model: "openai/count-2", stream: false, messages: [{ role: "user", content: "x" }] }],
};
const raw = (parley: Parley, dialect: Dialect, person: Person) =>
  parley.ask("POST", RAW[dialect][0], { key: person.key, body: RAW[dialect][1] });

test("requests per minute, in every dialect", async (t) => {
  const fake = await startFake(t);
  const parley = await startParley(t, { fake, config: oneAttempt });
  for (const [i, dialect] of DIALECTS.entries()) await t.test(dialect, async () => {
    const { person, doors } = await someone(parley, `minute-${dialect}`);
    const door = doors[i]!, model = `openai/${own("count-2")}`, prefix = dialect === "anthropic" ? "anthropic-ratelimit-requests-" : "x-ratelimit-";
    const word = (name: string) => prefix + (dialect === "anthropic" ? name : `${name}-requests`);
    await limit(parley, "key", person.keyId, { requests_per_minute: 30, requests_burst: 3 });
    const first = await raw(parley, dialect, person);
    assert.equal(first.status, 200, first.text);
    assert.deepEqual([first.headers[word("limit")], first.headers[word("remaining")]], ["3", "2"]);
    const reset = String(first.headers[word("reset")]);
    if (dialect === "anthropic") assert.ok(Math.abs(Date.parse(reset) - Date.now() - 2000) < 1500, reset);
    else assert.match(reset, /^[12]\.\d{3}s$/);
    assert.equal((await door.whole({ model })).text, counted(2));
    assert.equal((await door.streamed({ model })).text, counted(2));
    for (const stream of [false, true]) {
      const failure = await failureOf(door, stream ? door.streamed({ model }) : door.whole({ model }), dialect), wanted = WRONGS[dialect]["429"];
      assert.deepEqual([failure.kind, failure.status], [wanted.kind, wanted.status]);
      assert.match(failure.type, wanted.type);
      assert.match(failure.message, /over the limit of this key: 30 requests per minute/);
    }
    const refused = await raw(parley, dialect, person);
    assert.equal(refused.status, 429);
    assert.equal(refused.headers[word("remaining")], "0");
    const wait = Number(refused.headers["retry-after"]);
    assert.ok(wait >= 1 && wait <= 2, `${wait}`);
    await sleep(wait * 1000);
    assert.equal((await door.whole({ model })).text, counted(2));
    assert.equal((await raw(parley, dialect, person)).status, 429, "one more, not a new minute");
    assert.equal((await asked(fake, model.slice(7))).length, 3);
  });

  await t.test("the clients read the headers of a refusal", async () => {
    const { person, as } = await someone(parley, "headers");
    await limit(parley, "key", person.keyId, { requests_per_minute: 1 });
    const messages = [{ role: "user" as const, content: "x" }];
    await openaiOf(as).chat.completions.create({ model: "openai/count-1", messages });
    await assert.rejects(openaiOf(as).chat.completions.create({ model: "openai/count-1", messages }), (error: unknown) =>
      error instanceof OpenAI.RateLimitError && Number(error.headers.get("retry-after")) > 50 && error.headers.get("x-ratelimit-remaining-requests") === "0");
    await assert.rejects(anthropicOf(as).messages.create({ model: "openai/count-1", max_tokens: 5, messages }), (error: unknown) =>
      error instanceof Anthropic.RateLimitError && Number(error.headers.get("retry-after")) > 50 && error.headers.get("anthropic-ratelimit-requests-remaining") === "0");
  });

  await t.test("a client that waits as it is told gets through", async () => {
    const { person } = await someone(parley, "patient");
    await limit(parley, "key", person.keyId, { requests_per_minute: 60, requests_burst: 1 });
    const openai = new OpenAI({ baseURL: `${parley.url}/v1`, apiKey: person.key, maxRetries: 2 });
    for (let i = 0; i < 3; i++)
      assert.ok((await openai.chat.completions.create({ model: "openai/count-1", messages: [{ role: "user", content: "x" }] })).choices[0]);
  });
});

test("200 at once: exactly as many as there is room for", async (t) => {
  const fake = await startFake(t);
  const parley = await startParley(t, { fake, config: oneAttempt });
  const rush = async (person: Person, model: string, stream: boolean) => {
    const answers = await Promise.all(Array.from({ length: 200 }, () => say(parley, person, model, { stream })));
    assert.ok(answers.every((one) => one.status === 200 || one.status === 429), answers.map((one) => one.status).join(" "));
    return answers.filter((one) => one.status === 200).length;
  };
  await t.test("100 streams", async () => {
    const { person } = await someone(parley, "streams"), model = own("count-2+delay-4000");
    await limit(parley, "user", person.id, { streams: 100 });
    assert.equal(await rush(person, `openai/${model}`, true), 100);
    assert.equal((await asked(fake, model)).length, 100);
    assert.equal(await rush(person, "openai/count-1+burst", false) >= 100, true, "every place is free again");
  });
  await t.test("a bucket of 100", async () => {
    const { person } = await someone(parley, "bucket"), model = own("count-1");
    await limit(parley, "key", person.keyId, { requests_per_minute: 1, requests_burst: 100 });
    assert.equal(await rush(person, `openai/${model}`, false), 100);
    assert.equal((await asked(fake, model)).length, 100);
  });
  await t.test("a day of 100", async () => {
    const { person } = await someone(parley, "day"), model = own("count-1");
    await limit(parley, "user", person.id, { requests_per_day: 100 });
    assert.equal(await rush(person, `openai/${model}`, false), 100);
    assert.equal((await asked(fake, model)).length, 100);
  });
});

test("tokens, and whom a limit is for", async (t) => {
  const fake = await startFake(t);
  const parley = await startParley(t, { fake, config: oneAttempt });

  await t.test("tokens per minute", async () => {
    const { person } = await someone(parley, "tokens");
    await limit(parley, "key", person.keyId, { tokens_per_minute: 1200, tokens_burst: 200 });
    const ask = () => say(parley, person, "openai/count-5", { max_tokens: 190 });
    const first = await ask();
    assert.equal(first.status, 200, first.text);
    assert.equal(first.headers["x-ratelimit-limit-tokens"], "200");
    const remaining = Number(first.headers["x-ratelimit-remaining-tokens"]);
    assert.ok(remaining < 10, `what is asked for is held: ${remaining}`);
    const used = first.json.usage.total_tokens;
    assert.equal(used, 18);
    const second = await ask();
    assert.equal(second.status, 429);
    assert.match(second.json.error.message, /tokens per minute/);
    const left = Number(second.headers["x-ratelimit-remaining-tokens"]);
    assert.ok(left >= 200 - used && left < 200, `what was used is charged: ${left} of 200 - ${used}`);
    const wait = Number(second.headers["retry-after"]);
    assert.equal(wait, 1);
    await sleep(wait * 1000);
    assert.equal((await ask()).status, 200);
    const never = await say(parley, person, "openai/count-1", { max_tokens: 300 });
    assert.equal(never.status, 429);
    assert.equal(never.headers["retry-after"], undefined, "no wait helps");
    assert.match(never.json.error.message, /200 tokens in one burst; this request alone is larger/);
  });

  const twice = async (kind: string, id: string, person: Person, model: string, free: () => Promise<Answer>) => {
    await limit(parley, kind, id, { requests_per_day: 1 });
    assert.equal((await say(parley, person, model)).status, 200);
    const refused = await say(parley, person, model);
    assert.equal(refused.status, 429, kind);
    assert.match(refused.json.error.message, new RegExp(`over the limit of this ${kind}: 1 requests per day`));
    const untilTomorrow = 86_400 - (Date.now() / 1000) % 86_400;
    assert.ok(Math.abs(Number(refused.headers["retry-after"]) - untilTomorrow) < 5, `${refused.headers["retry-after"]} of ${untilTomorrow}`);
    const other = await free();
    assert.equal(other.status, 200, other.text);
    await unlimit(parley, kind, id);
    assert.equal((await say(parley, person, model)).status, 200, "at once");
  };
  const { user, other } = parley;
  await t.test("a key", () => twice("key", user.keyId, user, "openai/count-1", () => say(parley, other, "openai/count-1")));
  await t.test("a user, by every key", async () => {
    const made = await parley.ask("POST", "/api/v1/keys", { local: true, body: { name: "second", user: other.email } });
    await twice("user", other.id, other, "openai/count-1", () => say(parley, user, "openai/count-1"));
    await limit(parley, "user", other.id, { requests_per_day: 1 });
    assert.equal((await say(parley, { ...other, key: made.json.secret }, "openai/count-1")).status, 429);
    await unlimit(parley, "user", other.id);
  });
  await t.test("a model", () => twice("model", "openai/count-7", user, "openai/count-7", () => say(parley, user, "openai/count-8")));
  await t.test("an address", () => twice("address", "127.0.0.1", user, "openai/count-1",
    () => parley.ask("GET", "/v1/models", { key: user.key }))); // asks nobody
  await t.test("a group: its members together", async () => {
    const group = (await parley.ask("POST", "/api/v1/groups", { local: true, body: { name: "team" } })).json.group.id;
    for (const one of [user, other])
      assert.ok((await parley.ask("PUT", `/api/v1/groups/${group}/members/${one.id}`, { local: true })).status < 300);
    await twice("group", group, user, "openai/count-1", () => say(parley, parley.admin, "openai/count-1"));
    await limit(parley, "group", group, { requests_per_day: 2 });
    assert.deepEqual([(await say(parley, user, "openai/count-1")).status, (await say(parley, other, "openai/count-1")).status], [200, 429]);
  });
  await t.test("each user by himself", async () => {
    const { person: one } = await someone(parley, "one"), { person: two } = await someone(parley, "two");
    await limit(parley, "user", "*", { requests_per_day: 1 });
    for (const person of [one, two])
      assert.deepEqual([(await say(parley, person, "openai/count-1")).status, (await say(parley, person, "openai/count-1")).status], [200, 429]);
    await limit(parley, "user", two.id, {});
    assert.deepEqual([(await say(parley, one, "openai/count-1")).status, (await say(parley, two, "openai/count-1")).status], [429, 200]);
    await unlimit(parley, "user", "*");
  });
});

// 7 cents an answer: the provider always says it was 7 tokens.
const priced = `${oneAttempt}prices: {"openai/count-9": "in=0.000001 out=10000"}\nroutes: {mixed: {targets: ["openai/count-9", "ollama/count-4"]}}\n`;
const COSTLY = "openai/count-9", costs = 0.07;

// Once 20 answers of a model are known, what the next one holds is what they took.
async function learn(parley: Parley): Promise<void> {
  for (let i = 0; i < 20; i++) assert.equal((await say(parley, parley.admin, COSTLY)).status, 200);
}

test("budgets", async (t) => {
  const fake = await startFake(t);
  const parley = await startParley(t, { fake, config: priced });
  await learn(parley);
  const wanted: Record<Dialect, [kind: string, status: number, type: RegExp]> = {
    openai: ["RateLimitError", 429, /insufficient_quota/], responses: ["RateLimitError", 429, /insufficient_quota/],
    anthropic: ["PaymentRequiredError", 402, /^billing_error$/], gemini: ["ApiError", 402, /^RESOURCE_EXHAUSTED$/], ollama: ["ResponseError", 429, /^$/],
  };
  for (const [i, dialect] of DIALECTS.entries()) await t.test(dialect, async () => {
    const { person, doors } = await someone(parley, `budget-${dialect}`);
    const door = doors[i]!;
    await limit(parley, "key", person.keyId, { budget_per_day: 0.1 });
    assert.equal((await door.whole({ model: COSTLY })).text, counted(9));
    const before = (await asked(fake, "count-9")).length;
    for (const stream of [false, true]) {
      const failure = await failureOf(door, stream ? door.streamed({ model: COSTLY }) : door.whole({ model: COSTLY }), dialect);
      assert.deepEqual([failure.kind, failure.status], wanted[dialect].slice(0, 2));
      assert.match(failure.type, wanted[dialect][2]);
      assert.match(failure.message, /budget per day of this key is used up: 0\.10 USD/);
    }
    assert.equal((await asked(fake, "count-9")).length, before, "nobody was asked");
    assert.equal((await door.whole({ model: "ollama/count-4" })).text, counted(4), "what is free goes on");
    assert.equal((await door.streamed({ model: "mixed" })).text, counted(4), "as another target of a route, too");
    assert.equal((await asked(fake, "count-9")).length, before);
  });

  await t.test("the wait, the ledger, and the sums", async () => {
    const { person } = await someone(parley, "month");
    await limit(parley, "user", person.id, { budget_per_month: 0.1 });
    assert.equal((await say(parley, person, COSTLY)).status, 200);
    const refused = await say(parley, person, COSTLY), now = new Date();
    assert.equal(refused.status, 429);
    const wait = (Date.UTC(now.getUTCFullYear(), now.getUTCMonth() + 1) - Date.now()) / 1000;
    assert.ok(Math.abs(Number(refused.headers["retry-after"]) - wait) < 5, `${refused.headers["retry-after"]}`);
    const rows = await eventually("the rows are in", async () => {
      const { json } = await parley.ask("GET", `/api/v1/ledger?user=${person.id}`, { local: true });
      return json.length === 2 && json;
    });
    assert.deepEqual(rows.map((row: any) => row.outcome).sort(), ["answered", "refused"]);
    const { total } = (await parley.ask("GET", `/api/v1/usage?user=${person.id}`, { local: true })).json;
    assert.equal(total.requests, 1);
    assert.ok(Math.abs(Number(total.cost_usd) - costs) < 0.001, total.cost_usd);
  });

  await t.test("by a tag of the request", async () => {
    await limit(parley, "tag", "team:blue", { budget_per_week: 0.1 });
    const ask = (team: string) => say(parley, parley.user, COSTLY, { metadata: { team } });
    assert.deepEqual([(await ask("blue")).status, (await ask("blue")).status, (await ask("red")).status], [200, 429, 200]);
  });

  await t.test("a soft one is told once, and refuses nothing", async () => {
    const { person } = await someone(parley, "soft");
    await limit(parley, "key", person.keyId, { soft_budget_per_day: 0.1 });
    for (let i = 0; i < 3; i++) assert.equal((await say(parley, person, COSTLY)).status, 200);
    const told = () => parley.stderr.split("\n").filter((line) => line.includes("budget is nearly used up"));
    await eventually("it is in the log", () => told().length > 0);
    await sleep(100);
    assert.equal(told().length, 1, told().join("\n"));
    assert.match(told()[0]!, /budget per day/);
    assert.ok(told()[0]!.includes(person.keyId), told().join("\n"));
  });
});

test("limits and what was used survive a restart and kill -9, and change at once", async (t) => {
  const fake = await startFake(t);
  let parley = await startParley(t, { fake, config: priced });
  const { folder, user, other } = parley;
  await limit(parley, "key", user.keyId, { requests_per_day: 4 });
  await limit(parley, "user", other.id, { budget_per_week: 0.22, tokens_per_month: 100_000 });
  const requests = async () => (await say(parley, user, "openai/count-1")).status;
  const money = async () => (await say(parley, other, COSTLY, { max_tokens: 7 })).status;
  assert.deepEqual([await requests(), await requests(), await money()], [200, 200, 200]);
  await parley.stop();
  parley = await startParley(t, { folder, fake, config: priced });
  assert.deepEqual([await requests(), await money()], [200, 200]);
  await parley.killNow();
  parley = await startParley(t, { folder, fake, config: priced });
  assert.deepEqual([await requests(), await requests()], [200, 429]);
  assert.deepEqual([await money(), await money()], [200, 429]);
  await limit(parley, "key", user.keyId, { requests_per_day: 5 });
  await limit(parley, "user", other.id, { budget_per_week: 100 });
  assert.deepEqual([await requests(), await requests(), await money()], [200, 429, 200]);
  await limit(parley, "key", user.keyId, { requests_per_day: 1 });
  assert.equal(await requests(), 429);
  await unlimit(parley, "key", user.keyId);
  assert.equal(await requests(), 200);
  await limit(parley, "user", other.id, { tokens_per_month: 80 });
  const { json } = await say(parley, other, COSTLY, { max_tokens: 7 });
  assert.match(json.error.message, /80 tokens per month/, "tokens of before count, too");
});

test("people's chats obey their limits", async (t) => {
  const fake = await startFake(t);
  const parley = await startParley(t, { fake, config: priced });
  await learn(parley);
  const socket = await openSocket(t, parley);
  const send = (model: string) => socket.call({ type: "send", conversation_id: null, parent_id: null, content: "x", model });
  const finished = async (model: string) => {
    const answer = await send(model);
    assert.equal(answer.type, "accepted", JSON.stringify(answer));
    return (await socket.saved(answer.run_id)).event.message;
  };
  await limit(parley, "user", parley.user.id, { requests_per_day: 2 });
  assert.equal(textOf(await finished("openai/count-3")), counted(3));
  assert.equal((await say(parley, parley.user, "openai/count-1")).status, 200, "a program's requests count with them");
  const refused = await finished("openai/count-3");
  assert.equal(refused.error.code, "rate_limited");
  assert.match(refused.error.message, /over the limit of this user: 2 requests per day/);
  assert.equal((await asked(fake, "count-3")).length, 1, "nobody was asked");
  await limit(parley, "user", parley.user.id, { budget_per_day: 0.1 });
  assert.equal(textOf(await finished(COSTLY)), counted(9));
  const poor = await finished(COSTLY);
  assert.equal(poor.error.code, "quota_exhausted");
  assert.match(poor.error.message, /budget per day of this user is used up/);
  assert.equal(textOf(await finished("ollama/count-4")), counted(4));
  assert.equal(textOf(await finished("mixed")), counted(4));
});
