// Answers that are kept and given again: through the real doors, by the official clients, and what the provider
// saw of it.
import assert from "node:assert/strict";
import http from "node:http";
import { test, type TestContext } from "node:test";
import { CALLS, doorsOf, openaiOf } from "./doors.ts";
import { DIALECTS, eventually, oneAttempt, SECRET, sleep, startFake, startParley, type Answer, type Fake, type Parley, type Person } from "./parley.ts";
import { asked, body, bodyOf, counted, own, Routes, startRouted } from "./router.ts";

const caching = oneAttempt.replace("{", "{cache_seconds: 300, ");
const CACHED = "x-parley-cache";

const counter = (fake: Fake, model: string) => async () => (await asked(fake, model)).length;

async function chat(parley: Parley, model: string, stream: boolean, headers: http.OutgoingHttpHeaders = {}, more: object = {}, person: Person = parley.user): Promise<Answer> {
  return parley.ask("POST", "/v1/chat/completions", { key: person.key, body: body(model, stream, more), headers });
}

async function start(t: TestContext, config = caching) {
  const fake = await startFake(t);
  return { fake, parley: await startParley(t, { fake, config }) };
}

for (const provider of DIALECTS) test(`every door, with ${provider} behind it`, async (t) => {
  const { fake, parley } = await start(t);
  for (const door of doorsOf(parley)) {
    await t.test(`${door.dialect}: streamed, then whole and streamed`, async () => {
      const name = own("count-20"), model = `${provider}/${name}`;
      const first = await door.streamed({ model });
      const whole = await door.whole({ model });
      const again = await door.streamed({ model });
      assert.deepEqual([first.text, whole.text, again.text], [counted(20), counted(20), counted(20)]);
      assert.deepEqual(again, first, "in the same pieces, with the same usage");
      assert.deepEqual([whole.finish, whole.output], [first.finish, first.output]);
      assert.equal((await asked(fake, name)).length, 1);
    });
    await t.test(`${door.dialect}: whole, then streamed and whole`, async () => {
      const name = own("tools"), model = `${provider}/${name}`;
      const first = await door.whole({ model, tools: true });
      const streamed = await door.streamed({ model, tools: true });
      assert.deepEqual([first.calls, streamed.calls, streamed.finish], [CALLS, CALLS, first.finish]);
      assert.deepEqual([streamed.input, streamed.output], [first.input, first.output]);
      assert.deepEqual(await door.whole({ model, tools: true }), first);
      assert.equal((await asked(fake, name)).length, 1);
      await door.whole({ model, tools: true, text: "another question" });
      assert.equal((await asked(fake, name)).length, 2);
    });
    await t.test(`${door.dialect}: what failed or was cut is asked for again`, async () => {
      const cut = own("cut-5"), failed = own("503");
      for (const [name, seen] of [[cut, 1], [cut, 2], [failed, 1], [failed, 2]] as const) {
        await assert.rejects(door.streamed({ model: `${provider}/${name}` }));
        assert.equal((await asked(fake, name)).length, seen);
      }
    });
  }
});

test("the same bytes", async (t) => {
  const { fake, parley } = await start(t);
  for (const stream of [true, false]) {
    const name = own("unicode"), model = `openai/${name}`;
    const first = await chat(parley, model, stream);
    await sleep(1100);
    const again = await chat(parley, model, stream);
    assert.deepEqual([first.status, again.status, again.text], [200, 200, first.text]);
    assert.equal(again.headers["content-type"], first.headers["content-type"]);
    assert.deepEqual([first.headers[CACHED], again.headers[CACHED]], ["miss", "hit"]);
    assert.equal(first.headers["age"], undefined);
    assert.ok(Number(again.headers["age"]) >= 1 && Number(again.headers["age"]) < 30, String(again.headers["age"]));
    assert.equal(again.headers["x-parley-target"], first.headers["x-parley-target"]);
    assert.equal(again.headers["x-parley-attempts"], "0");
    assert.equal((await asked(fake, name)).length, 1);
    // Without the usage the frames would be others: those of Parley's own making.
    if (!stream) continue;
    const bare = await chat(parley, model, true, {}, { stream_options: undefined });
    assert.equal(bare.headers[CACHED], "hit");
    assert.ok(!bare.text.includes('"usage":{'), bare.text);
    assert.equal((await asked(fake, name)).length, 1);
  }
});

test("nothing crosses people, and a revoked key gets nothing", async (t) => {
  const { fake, parley } = await start(t);
  const name = own("echo"), model = `anthropic/${name}`, count = counter(fake, name);
  assert.equal((await chat(parley, model, false)).headers[CACHED], "miss");
  assert.equal((await chat(parley, model, false)).headers[CACHED], "hit");
  assert.equal((await chat(parley, model, false, {}, {}, parley.other)).headers[CACHED], "miss");
  assert.equal((await chat(parley, model, false, {}, {}, parley.admin)).headers[CACHED], "miss");
  assert.equal(await count(), 3);
  const gone = await parley.ask("DELETE", `/api/v1/keys/${parley.user.keyId}`, { local: true });
  assert.ok(gone.status < 300, gone.text);
  const refused = await chat(parley, model, false);
  assert.equal(refused.status, 401);
  assert.equal(refused.headers[CACHED], undefined);
  assert.equal(await count(), 3);
});

test("scopes: other keys of one person, and one that is narrowed", async (t) => {
  const { fake, parley } = await start(t);
  const name = own("echo"), model = `anthropic/${name}`, count = counter(fake, name);
  const make = async (settings: object) => {
    const made = await parley.ask("POST", "/api/v1/keys", { local: true, body: { name: "k", user: parley.user.email, ...settings } });
    assert.equal(made.status, 201, made.text);
    return { ...parley.user, key: made.json.secret as string, keyId: made.json.key.id as string };
  };
  const wide = await make({}), narrow = await make({ models: ["anthropic/*"] }), door = await make({ doors: ["openai"] });
  const ask = async (person: Person, cached: string | undefined, seen: number, status = 200) => {
    const answer = await chat(parley, model, false, {}, {}, person);
    assert.deepEqual([answer.status, answer.headers[CACHED], await count()], [status, cached, seen], answer.text);
  };
  await ask(parley.user, "miss", 1);
  await ask(wide, "hit", 1); // the same person, the same scope
  await ask(narrow, "miss", 2);
  await ask(door, "miss", 3);
  await ask(narrow, "hit", 3);
  const patch = async (models: string[]) =>
    assert.equal((await parley.ask("PATCH", `/api/v1/keys/${narrow.keyId}`, { local: true, body: { models } })).status, 200);
  await patch(["openai/*"]);
  await ask(narrow, undefined, 3, 403);
  await patch(["anthropic/*"]);
  await ask(narrow, "hit", 3);
  // The ledger has a row for each, and those out of the cache cost nothing.
  const rows = await eventually("the rows are in the database", async () => {
    const { json } = await parley.ask("GET", "/api/v1/ledger", { key: parley.admin.key });
    return json.length >= 7 && json;
  });
  const cached = rows.filter((row: any) => row.outcome === "cached");
  assert.deepEqual(cached.map((row: any) => [row.target, row.reached, row.tokens_input > 0]), Array(3).fill([model, false, false]));
  assert.equal(rows.filter((row: any) => row.outcome === "answered").length, 3);
});

test("what a request says of it", async (t) => {
  const { fake, parley } = await start(t, oneAttempt);
  const name = own("echo"), model = `gemini/${name}`, count = counter(fake, name);
  const ask = async (headers: http.OutgoingHttpHeaders, wanted: "hit" | "miss" | undefined, seen: number) => {
    const answer = await chat(parley, model, false, headers);
    assert.deepEqual([answer.status, answer.headers[CACHED], await count()], [200, wanted, seen], JSON.stringify(headers));
  };
  const on = { "x-parley-cache": "true" };
  await ask({}, undefined, 1); // off
  await ask({ "x-parley-cache": "false" }, undefined, 2);
  const missing = await chat(parley, model, false, { ...on, "cache-control": "only-if-cached" });
  assert.deepEqual([missing.status, await count()], [504, 2]);
  assert.match(missing.json.error.message, /only-if-cached/);
  await ask({ ...on, "cache-control": "no-store" }, "miss", 3);
  await ask(on, "miss", 4);
  await ask(on, "hit", 4);
  await ask({ "x-parley-cache": "60", "cache-control": "max-age=60, only-if-cached" }, "hit", 4);
  await ask({ ...on, "cache-control": "max-age=0" }, "miss", 5);
  await ask({ ...on, "cache-control": "no-cache" }, "miss", 6);
  await ask({ ...on, "cache-control": "no-store" }, "hit", 6);
  await ask({ ...on, "cache-control": "no-store, no-cache" }, undefined, 7);
  await ask({}, undefined, 8);
  await ask(on, "hit", 8);
  await sleep(1100);
  await ask({ "x-parley-cache": "1" }, "miss", 9); // older than it asks for; and this one lives for a second
  await sleep(1100);
  await ask(on, "miss", 10);
  const wrong = await chat(parley, model, false, { "x-parley-cache": "soon" });
  assert.deepEqual([wrong.status, await count()], [400, 10]);
  assert.match(wrong.json.error.message + wrong.json.error.param, /x-parley-cache/);
});

test("routes order it, and a change of them forgets", async (t) => {
  const routes = new Routes();
  const kept = own("echo"), asks = own("echo");
  routes.add("kept", [`two/${kept}`], { cache_seconds: 60 });
  routes.add("asks", [`two/${asks}`]);
  const { fake, parley } = await startRouted(t, routes);
  const ask = async (route: string, wanted: string | undefined) =>
    assert.equal((await chat(parley, route, true)).headers[CACHED], wanted, route);
  await ask("asks", undefined);
  await ask("kept", "miss");
  await ask("kept", "hit");
  const change = async (values: object) => {
    const changed = await parley.ask("PATCH", "/api/v1/settings", { local: true, body: values });
    assert.ok(changed.status < 300, changed.text);
  };
  await change({ "routes.kept.hedge": true });
  await ask("kept", "miss");
  await ask("kept", "hit");
  assert.equal((await asked(fake, kept)).length, 2);
  await change({ "routes.asks.cache_seconds": 60 });
  await ask("asks", "miss");
  await ask("asks", "hit");
  await change({ "routes.asks.cache_seconds": 0 });
  await ask("asks", undefined);
});

test("the memory is bounded, and metrics tell", async (t) => {
  const { fake, parley } = await start(t, `cache: {mib_max: 1}\n${caching}`);
  const metric = async (name: string) => {
    const { text } = await parley.ask("GET", "/metrics", { key: parley.admin.key });
    const line = text.split("\n").find((one) => one.startsWith(name));
    assert.ok(line, `${name}\n${text.slice(0, 500)}`);
    return Number(line.split(" ").at(-1));
  };
  const names = Array.from({ length: 8 }, () => own("burst-3000x60"));
  for (const name of names) assert.equal((await chat(parley, `openai/${name}`, true)).headers[CACHED], "miss");
  assert.equal((await chat(parley, `openai/${names.at(-1)}`, true)).headers[CACHED], "hit");
  assert.equal((await chat(parley, `openai/${names[0]}`, true)).headers[CACHED], "miss", "it had to go");
  assert.ok(await metric("parley_cache_evictions_total") >= 3);
  const bytes = await metric("parley_cache_bytes");
  assert.ok(bytes > 200_000 && bytes <= 1024 * 1024, `${bytes}`);
  assert.equal(await metric('parley_cache_requests_total{result="hit"}'), 1);
  assert.equal(await metric('parley_cache_requests_total{result="miss"}'), 9);
  const big = own("big-16"); // larger than any that is kept
  for (const seen of [1, 2]) {
    assert.equal((await chat(parley, `openai/${big}`, true)).headers[CACHED], "miss");
    assert.equal((await asked(fake, big)).length, seen);
  }
});

test("a slow reader gets all of it, one that leaves leaves nothing behind", async (t) => {
  const { fake, parley } = await start(t);
  const name = own("burst-5000x200"), model = `openai/${name}`;
  const first = await chat(parley, model, true);
  const read = (leaves: boolean) => new Promise<string>((done, fail) => {
    const url = new URL(parley.url), text = JSON.stringify(body(model, true));
    const request = http.request({
      host: url.hostname, port: url.port, method: "POST", path: "/v1/chat/completions", agent: false,
      headers: { authorization: `Bearer ${parley.user.key}`, "content-type": "application/json", "content-length": Buffer.byteLength(text) },
    }, (response) => {
      assert.equal(response.headers[CACHED], "hit");
      const pieces: Buffer[] = [];
      response.pause();
      response.on("data", (piece) => pieces.push(piece));
      response.on("end", () => done(Buffer.concat(pieces).toString()));
      response.on("error", fail);
      setTimeout(() => { if (leaves) { request.destroy(); done(""); } else response.resume(); }, 300);
    });
    request.on("error", (error) => { if (!leaves) fail(error); });
    request.end(text);
  });
  await read(true);
  assert.equal(await read(false), first.text);
  assert.equal((await asked(fake, name)).length, 1);
});

test("conversations of Parley's own are not kept", async (t) => {
  const { fake, parley } = await start(t);
  const name = own("echo");
  for (const seen of [1, 2]) {
    const made = await parley.ask("POST", "/api/v1/conversations", { key: parley.user.key, body: { model: `openai/${name}` } });
    assert.equal(made.status, 201, made.text);
    const said = await parley.ask("POST", `/api/v1/conversations/${made.json.conversation.id}/messages`, { key: parley.user.key, body: { parent_id: null, content: [{ type: "text", text: "x" }], model: `openai/${name}` } });
    assert.ok(said.status < 300, said.text);
    await eventually("it is asked", async () => (await asked(fake, name)).length === seen);
  }
});

test("prompt marks, where a route orders them", async (t) => {
  const routes = new Routes();
  const [marked, plain, other] = [own("echo"), own("echo"), own("echo")];
  routes.add("marked", [`claude/${marked}`], { prompt_cache: true });
  routes.add("plain", [`claude/${plain}`]);
  routes.add("other", [`two/${other}`], { prompt_cache: true });
  const fake = await startFake(t);
  const { parley } = await startRouted(t, routes, { claude: `kind: anthropic, base_url: "${fake.url}", api_key: "${SECRET}"` }, fake);
  const marks = (text: string) => text.split('"cache_control":{"type":"ephemeral"}').length - 1;
  const last = async (name: string) => fake.bodyText((await fake.seen(name))!.number);
  const openai = openaiOf(parley);
  const said = await openai.chat.completions.create({
    model: "marked", messages: [{ role: "system", content: "Be brief." }, { role: "user", content: "x" }],
    tools: [{ type: "function", function: { name: "f", parameters: { type: "object", properties: {} } } }],
  });
  assert.equal(marks(await last(marked)), 3, await last(marked));
  assert.equal(said.usage!.prompt_tokens_details!.cached_tokens, 3);
  await openai.chat.completions.create({ model: "plain", messages: [{ role: "user", content: "x" }] });
  assert.equal(marks(await last(plain)), 0);
  await openai.chat.completions.create({ model: "other", messages: [{ role: "user", content: "x" }] });
  assert.equal(marks(await last(other)), 0, "a form without marks");
  // In its own form: every other byte as it came; with marks of the caller's, every byte.
  const send = async (text: string) => {
    const answer = await parley.ask("POST", "/v1/messages", { key: parley.user.key, body: text });
    assert.equal(answer.status, 200, answer.text);
    return last(marked);
  };
  const own1 = '{ "max_tokens":9, "x_odd":[1.0], "messages":[{"role":"user","content":[{"type":"text","text":"x"}]}], "model":"marked" }';
  assert.equal(await send(own1), own1.replace('"text":"x"}', '"text":"x","cache_control":{"type":"ephemeral"}}').replace('"marked"', JSON.stringify(marked)));
  const own2 = own1.replace('"text":"x"}', '"text":"x", "cache_control": {"type":"ephemeral","ttl":"1h"}}');
  assert.equal(await send(own2), own2.replace('"marked"', JSON.stringify(marked)));
  assert.deepEqual((await bodyOf(fake, (await fake.seen(marked))!)).messages[0].content[0].cache_control, { type: "ephemeral", ttl: "1h" });
});
