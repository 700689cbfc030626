// Keys, people, groups: what a key may do, for how long, from where; who may change it; by REST and
// by command line. The expectations are of docs/operating.md.
import assert from "node:assert/strict";
import { test } from "node:test";
import { command, eventually, signIn, sleep, startFake, startParley, type Asking, type Parley } from "./parley.ts";
import { openSocket } from "./socket.ts";

const password = "correct horse battery";
const local = { local: true };
const chat = { model: "openai/count-1", messages: [{ role: "user", content: "x" }] };
const doors: [door: string, method: string, path: string, body?: unknown][] = [
  ["openai", "POST", "/v1/chat/completions", chat],
  ["openai", "POST", "/v1/responses", { model: "openai/count-1", input: "x" }],
  ["openai", "GET", "/v1/models"],
  ["anthropic", "POST", "/v1/messages", { ...chat, max_tokens: 10 }],
  ["gemini", "POST", "/v1beta/models/openai%2Fcount-1:generateContent", { contents: [{ parts: [{ text: "x" }] }] }],
  ["ollama", "POST", "/api/chat", { ...chat, stream: false }],
  ["ollama", "GET", "/api/tags"],
  ["parley", "GET", "/api/v1/models"],
  ["parley", "GET", "/api/v1/conversations"],
];

const inDays = (days: number) => new Date(Date.now() + days * 86_400_000).toISOString();

async function makeKey(parley: Parley, settings: object = {}) {
  const made = await parley.ask("POST", "/api/v1/keys", { ...local, body: { name: "k", user: parley.user.email, ...settings } });
  assert.equal(made.status, 201, made.text);
  return { id: made.json.key.id as string, key: made.json.secret as string, shown: made.json.key };
}

const works = async (parley: Parley, key: string) => (await parley.ask("GET", "/v1/models", { key })).status;

test("scopes, expiry, rotation", async (t) => {
  const fake = await startFake(t);
  const parley = await startParley(t, { fake });
  const patch = async (id: string, body: object) => parley.ask("PATCH", `/api/v1/keys/${id}`, { ...local, body });

  await t.test("doors: each opens itself alone", async () => {
    for (const allowed of ["openai", "anthropic", "gemini", "ollama", "parley"]) {
      const { key } = await makeKey(parley, { doors: [allowed] });
      for (const [door, method, path, body] of doors) {
        const answer = await parley.ask(method, path, { key, body });
        assert.equal(answer.status, door === allowed ? 200 : 403, `${allowed}, ${path}: ${answer.text}`);
        if (door !== allowed) assert.match(answer.text, new RegExp(`may not use the door '${door}'`));
      }
      assert.equal((await parley.ask("GET", "/healthz", { key })).status, 200);
    }
    const { key } = await makeKey(parley, { doors: ["anthropic"] });
    assert.equal((await parley.ask("GET", "/v1/models", { key, headers: { "anthropic-version": "2023-06-01" } })).status, 200);
  });

  await t.test("addresses: the socket's peer counts, whatever headers say", async () => {
    const { id, key } = await makeKey(parley, { addresses: ["10.0.0.0/8", "192.0.2.7"] });
    for (const headers of [{}, { "x-forwarded-for": "10.1.2.3" }, { forwarded: "for=10.1.2.3" }, { "x-real-ip": "10.1.2.3" }]) {
      const answer = await parley.ask("GET", "/v1/models", { key, headers });
      assert.deepEqual([answer.status, /may not be used from 127\.0\.0\.1/.test(answer.text)], [403, true], answer.text);
    }
    assert.equal((await patch(id, { addresses: ["127.0.0.0/8"] })).status, 200);
    assert.equal(await works(parley, key), 200);
    assert.equal((await patch(id, { addresses: null })).json.key.addresses, null);
    assert.equal(await works(parley, key), 200);
  });

  await t.test("an open WebSocket asks for its key's scope again with every command", async (t) => {
    const { id, key } = await makeKey(parley);
    const socket = await openSocket(t, parley, { key });
    const ping = async () => (socket.send({ type: "ping", id: "p" }), await socket.next("an answer", (frame) => frame.id === "p"));
    assert.equal((await ping()).type, "pong");
    for (const [narrow, reason] of [[{ doors: ["openai"] }, /may not use the door 'parley'/], [{ addresses: ["10.0.0.0/8"] }, /may not be used from 127\.0\.0\.1/]] as [object, RegExp][]) {
      assert.equal((await patch(id, narrow)).status, 200);
      const refused = await ping();
      assert.deepEqual([refused.type, refused.error.code], ["error", "forbidden"], JSON.stringify(refused));
      assert.match(refused.error.message, reason);
      assert.equal((await patch(id, { doors: null, addresses: null })).status, 200);
      assert.equal((await ping()).type, "pong", "as soon as it may again");
    }
    socket.send({ type: "send", id: "s", model: "openai/count-200+slow-20", content: [{ type: "text", text: "x" }] });
    await socket.next("an event", (frame) => frame.type === "event");
    assert.equal((await patch(id, { doors: ["openai"] })).status, 200);
    assert.equal(await socket.closed(), 1008, "nothing is said to it any more");
  });

  await t.test("models: lists show what the scope has", async () => {
    const { id, key } = await makeKey(parley, { models: ["anthropic/*", "eliza"] });
    const ids = async (path: string, of: (json: any) => string[]) => of((await parley.ask("GET", path, { key })).json);
    for (const [path, of] of [["/v1/models", (json: any) => json.data.map((one: any) => one.id)],
      ["/v1beta/models", (json: any) => json.models.map((one: any) => one.name.replace("models/", ""))],
      ["/api/tags", (json: any) => json.models.map((one: any) => one.name)],
      ["/api/v1/models", (json: any) => json.models.map((one: any) => one.id)]] as const) {
      const seen = await ids(path, of);
      assert.ok(seen.includes("parley/eliza") && seen.some((one: string) => one.startsWith("anthropic/")), path);
      assert.deepEqual(seen.filter((one: string) => !one.startsWith("anthropic/") && one !== "parley/eliza"), [], path);
    }
    const all: string[] = (await parley.ask("GET", "/v1/models", { key: parley.user.key })).json.data.map((one: any) => one.id);
    const model = all.find((one) => one.startsWith("openai/"))!;
    const look = async () => [(await parley.ask("GET", `/v1/models/${encodeURIComponent(model)}`, { key })).status,
      (await parley.ask("POST", "/api/show", { key, body: { model } })).status];
    assert.deepEqual(await look(), [404, 404]);
    assert.equal((await parley.ask("POST", "/api/show", { key, body: { model: "parley/eliza" } })).status, 200);
    assert.equal((await patch(id, { models: null })).status, 200);
    assert.deepEqual(await look(), [200, 200]);
  });

  await t.test("an expired key is refused", async () => {
    const { id, key, shown } = await makeKey(parley, { expires_at: inDays(1) });
    assert.ok(Date.parse(shown.expires_at) > Date.now());
    assert.equal(await works(parley, key), 200);
    assert.equal((await patch(id, { expires_at: new Date(Date.now() + 300).toISOString() })).status, 200);
    await eventually("it expires", async () => await works(parley, key) === 401);
    assert.equal((await parley.ask("POST", `/api/v1/keys/${id}/rotate`, { ...local, body: {} })).status, 409);
    assert.equal((await patch(id, { expires_at: null })).json.key.expires_at, null);
    assert.equal(await works(parley, key), 200);
  });

  await t.test("rotation: the same settings, both for a while", async () => {
    const old = await makeKey(parley, { doors: ["openai"], models: ["openai/*"], keep_bodies_hours: 3, expires_at: inDays(30) });
    const rotate = (id: string, body: object) => parley.ask("POST", `/api/v1/keys/${id}/rotate`, { ...local, body });
    const first = await rotate(old.id, {});
    assert.equal(first.status, 201, first.text);
    const { id, prefix, created_at, replaces, ...same } = first.json.key;
    const { id: _, prefix: __, created_at: ___, replaces: none, ...before } = old.shown;
    assert.deepEqual([same, replaces, none], [before, old.id, null]);
    assert.notEqual(first.json.secret, old.key);
    assert.deepEqual([await works(parley, old.key), await works(parley, first.json.secret)], [200, 200]);
    const left = Date.parse((await parley.ask("GET", `/api/v1/keys/${old.id}`, local)).json.key.expires_at) - Date.now();
    assert.ok(left > 23.9 * 3_600_000 && left <= 24 * 3_600_000, String(left));
    const second = await rotate(id, { overlap_seconds: 0 });
    assert.deepEqual([await works(parley, first.json.secret), await works(parley, second.json.secret)], [401, 200]);
    const third = await rotate(second.json.key.id, { overlap_seconds: 1 });
    assert.deepEqual([await works(parley, second.json.secret), await works(parley, third.json.secret)], [200, 200]);
    await sleep(1000);
    assert.deepEqual([await works(parley, second.json.secret), await works(parley, third.json.secret)], [401, 200]);
  });

  await t.test("revoked at once, for ever", async () => {
    const { id, key } = await makeKey(parley);
    assert.equal(await works(parley, key), 200);
    assert.equal((await parley.ask("DELETE", `/api/v1/keys/${id}`, local)).status, 204);
    assert.equal(await works(parley, key), 401);
    assert.equal((await patch(id, { expires_at: null })).status, 409);
    assert.equal((await parley.ask("POST", `/api/v1/keys/${id}/rotate`, { ...local, body: {} })).status, 409);
    assert.equal((await parley.ask("DELETE", `/api/v1/keys/${id}`, local)).status, 204);
    assert.equal((await parley.ask("GET", `/api/v1/keys/${id}`, local)).json.key.revoked, true);
  });

  await t.test("what is wrong is refused, with its name", async () => {
    const { id } = await makeKey(parley);
    const wrong: [string, unknown][] = [["expires_at", inDays(-1)], ["expires_at", inDays(3651)], ["expires_at", "tomorrow"],
      ["expires_at", 7], ["models", []], ["models", ["a", 1]], ["models", "a"], ["models", Array(65).fill("a")], ["models", ["x".repeat(301)]],
      ["models", [""]], ["doors", ["openai", "back"]], ["doors", ["*"]], ["addresses", ["10.0.0.0/33"]], ["addresses", ["localhost"]],
      ["keep_bodies_hours", -1], ["keep_bodies_hours", 8785], ["keep_bodies_hours", 1.5], ["name", ""], ["name", null], ["name", "a\nb"],
      ["owner", parley.admin.id], ["revoked", false]];
    for (const [field, value] of wrong) {
      const answer = await patch(id, { [field]: value });
      assert.deepEqual([answer.status, answer.json.error.field], [400, field], `${field}: ${JSON.stringify(value)} ${answer.text}`);
    }
    for (const overlap of [-1, 2_592_001, "1"])
      assert.equal((await parley.ask("POST", `/api/v1/keys/${id}/rotate`, { ...local, body: { overlap_seconds: overlap } })).status, 400);
    assert.ok(!(await parley.ask("GET", "/api/v1/keys?all=true", local)).text.includes("hash"));
  });

  await t.test("it all is there after a restart", async () => {
    const { id, key, shown } = await makeKey(parley, { doors: ["openai"], addresses: ["127.0.0.1"], models: ["x/*"], expires_at: inDays(5), keep_bodies_hours: 1 });
    await parley.stop();
    const again = await startParley(t, { folder: parley.folder, fake });
    const kept = (await again.ask("GET", `/api/v1/keys/${id}`, local)).json.key;
    assert.deepEqual(kept, shown);
    assert.equal(await works(again, key), 200);
    assert.equal((await again.ask("GET", "/api/tags", { key })).status, 403);
  });
});

test("whose keys, people, groups", async (t) => {
  const parley = await startParley(t);
  const as: Record<string, Asking> = {};
  for (const [name, role] of [["ann", "user"], ["bob", "user"], ["boss", "admin"]] as const) {
    const made = await parley.ask("POST", "/api/v1/users", { ...local, body: { email: `${name}@example.org`, role, password } });
    as[name] = { cookie: await signIn(parley, `${name}@example.org`, password), origin: parley.url, headers: { "x-id": made.json.user.id } };
  }
  const idOf = (name: string) => as[name]!.headers!["x-id"] as string;
  const post = (name: string, body: object) => parley.ask("POST", "/api/v1/keys", { ...as[name], body: { name: "k", ...body } });

  await t.test("people have their own, administrators everybody's", async () => {
    const mine = await post("ann", {});
    assert.deepEqual([mine.status, mine.json.key.user_id], [201, idOf("ann")]);
    assert.equal((await post("ann", { user: "ann@example.org" })).status, 201);
    for (const user of ["bob@example.org", idOf("bob"), "nobody@example.org", "boss@example.org"])
      assert.deepEqual([(await post("ann", { user })).status, (await parley.ask("GET", `/api/v1/keys?user=${user}`, as["ann"])).status], [403, 403]);
    assert.equal((await parley.ask("GET", "/api/v1/keys?all=true", as["ann"])).status, 403);
    const path = `/api/v1/keys/${mine.json.key.id}`;
    for (const [method, rest, body] of [["GET", ""], ["PATCH", "", { name: "x" }], ["POST", "/rotate", {}], ["DELETE", ""]] as const)
      assert.equal((await parley.ask(method, path + rest, { ...as["bob"], body })).status, 404, method);
    for (const user of ["bob@example.org", "BOB@example.org", idOf("bob")])
      assert.equal((await post("boss", { user })).json.key.user_id, idOf("bob"));
    assert.equal((await post("boss", { user: "nobody@example.org" })).status, 404);
    assert.equal((await parley.ask("GET", `/api/v1/keys?user=${idOf("bob")}`, as["boss"])).json.keys.length, 3);
    assert.ok((await parley.ask("GET", "/api/v1/keys?all=true", as["boss"])).json.keys.length > 5);
    assert.equal((await parley.ask("GET", "/api/v1/keys", as["boss"])).json.keys.length, 0);
    assert.equal((await parley.ask("PATCH", path, { ...as["boss"], body: { name: "by boss" } })).json.key.name, "by boss");
  });

  await t.test("a key makes no keys", async () => {
    const { secret, key } = (await post("ann", {})).json;
    assert.equal((await parley.ask("POST", "/api/v1/keys", { key: secret, body: { name: "k" } })).status, 403);
    assert.equal((await parley.ask("PATCH", `/api/v1/keys/${key.id}`, { key: secret, body: { doors: null } })).status, 403);
  });

  await t.test("disabled: signed out, and every key refused; enabled: the keys are back", async () => {
    const { secret } = (await post("bob", {})).json;
    const patch = (body: object) => parley.ask("PATCH", `/api/v1/users/${idOf("bob")}`, { ...as["boss"], body });
    assert.equal((await patch({ disabled: true })).json.user.disabled, true);
    assert.deepEqual([await works(parley, secret), (await parley.ask("GET", "/api/v1/keys", as["bob"])).status], [401, 401]);
    assert.equal((await parley.ask("POST", "/api/v1/session", { body: { email: "bob@example.org", password } })).status, 401);
    await patch({ disabled: false });
    assert.deepEqual([await works(parley, secret), (await parley.ask("GET", "/api/v1/keys", as["bob"])).status], [200, 401]);
    await patch({ password: "another password" });
    assert.equal((await parley.ask("POST", "/api/v1/session", { body: { email: "bob@example.org", password } })).status, 401);
    await signIn(parley, "bob@example.org", "another password");
    for (const [field, value] of [["role", "king"], ["password", "short"], ["name", ""], ["email", "x@y"]] as const)
      assert.deepEqual([(await patch({ [field]: value })).json.error.field], [field]);
  });

  await t.test("somebody is left who administers", async () => {
    const boss = `/api/v1/users/${idOf("boss")}`, other = `/api/v1/users/${parley.admin.id}`;
    assert.equal((await parley.ask("PATCH", other, { ...local, body: { role: "user" } })).status, 200);
    for (const body of [{ role: "user" }, { disabled: true }, { role: "user", disabled: true }]) {
      const answer = await parley.ask("PATCH", boss, { ...local, body });
      assert.deepEqual([answer.status, /last administrator/.test(answer.text)], [409, true], answer.text);
    }
    assert.equal((await parley.ask("PATCH", boss, { ...local, body: { name: "The Boss" } })).status, 200);
    await parley.ask("PATCH", other, { ...local, body: { role: "admin" } });
    const both = await Promise.all([boss, other].map((path) => parley.ask("PATCH", path, { ...local, body: { disabled: true } })));
    assert.deepEqual(both.map((one) => one.status).toSorted(), [200, 409], "not both at once either");
    for (const path of [boss, other]) await parley.ask("PATCH", path, { ...local, body: { disabled: false } });
  });

  await t.test("groups", async () => {
    const ask = (method: string, path: string, body?: unknown) => parley.ask(method, `/api/v1/groups${path}`, { ...local, body });
    const made = await ask("POST", "", { name: " Team " });
    const { id } = made.json.group;
    assert.deepEqual([made.status, made.json.group.name, made.json.group.members], [201, "Team", []]);
    assert.equal((await ask("POST", "", { name: "Team" })).status, 409);
    assert.equal((await ask("POST", "", { name: " " })).status, 400);
    assert.equal((await ask("PATCH", `/${id}`, { name: "Crew" })).json.group.name, "Crew");
    for (let i = 0; i < 2; i++) assert.equal((await ask("PUT", `/${id}/members/${idOf("ann")}`)).status, 204);
    assert.equal((await ask("PUT", `/${id}/members/${id}`)).status, 404);
    assert.deepEqual((await ask("GET", `/${id}`)).json.group.members.map((one: any) => one.email), ["ann@example.org"]);
    for (let i = 0; i < 2; i++) assert.equal((await ask("DELETE", `/${id}/members/${idOf("ann")}`)).status, 204);
    assert.deepEqual((await ask("GET", `/${id}`)).json.group.members, []);
    const many = await Promise.all(Array.from({ length: 17 }, (_, i) => ask("POST", "", { name: `g${i}` })));
    const joined = await Promise.all(many.map((one) => ask("PUT", `/${one.json.group.id}/members/${idOf("ann")}`)));
    assert.deepEqual(joined.map((one) => one.status).toSorted((a, b) => a - b), [...Array(16).fill(204), 400]);
    assert.equal((await ask("DELETE", `/${id}`)).status, 204);
    assert.equal((await ask("DELETE", `/${id}`)).status, 404);
    assert.deepEqual((await ask("GET", "")).json.groups.map((one: any) => one.name), many.map((_, i) => `g${i}`).toSorted());
  });
});

test("the command line", async (t) => {
  const parley = await startParley(t);
  const run = async (...args: string[]) => {
    const done = await command(parley.folder, args, { input: `${password}\n` });
    assert.equal(done.code, 0, `${args.join(" ")}: ${done.stderr}`);
    return done.stdout;
  };
  const secret = (await run("key", "create", "laptop", "--user", parley.user.email, "--model", "openai/*", "--model", "fast",
    "--door", "openai", "--address", "127.0.0.1", "--expires", "30d")).trim();
  assert.equal(await works(parley, secret), 200);
  assert.equal((await parley.ask("GET", "/api/tags", { key: secret })).status, 403);
  const id = new RegExp(`^(\\S+)  ${secret.slice(0, 14)}\\.\\.\\.  active +laptop$`, "m").exec(await run("key", "list", "--user", parley.user.email))![1]!;
  const shown = await run("key", "show", id);
  for (const line of [/^models +openai\/\*, fast$/m, /^doors +openai$/m, /^addresses +127\.0\.0\.1$/m, /^last_used_at +20/m]) assert.match(shown, line);
  const days = (Date.parse(/^expires_at +(\S+)$/m.exec(shown)![1]!) - Date.now()) / 86_400_000;
  assert.ok(days > 29.9 && days <= 30, shown);
  const edited = await run("key", "edit", id, "--name", "desk", "--door", "any", "--model", "any", "--expires", "2035-01-31");
  for (const line of [/desk$/m, /^doors +any$/m, /^models +any$/m, /^expires_at +2035-01-31T00:00:00.000Z$/m]) assert.match(edited, line);
  const second = (await run("key", "rotate", id, "--overlap", "0s")).trim();
  assert.deepEqual([await works(parley, secret), await works(parley, second)], [401, 200]);
  const list = await run("key", "list");
  assert.match(list, new RegExp(`^${id}  .*expired +desk$`, "m"));
  const newest = new RegExp(`^(\\S+)  ${second.slice(0, 14)}.*active +desk$`, "m").exec(list)![1]!;
  await run("key", "revoke", newest);
  assert.equal(await works(parley, second), 401);
  for (const args of [["key", "create", "x", "--expires", "soon", "--user", parley.user.email], ["key", "show", "x/../../y"],
    ["key", "rotate", id, "--overlap", "5"], ["key", "edit", id, "--door", "back"], ["key", "frob"], ["user", "disable", "nobody@example.org"],
    ["user", "group", "frob"], ["user", "group", "show", "nothing"]])
    assert.notEqual((await command(parley.folder, args)).code, 0, args.join(" "));

  await run("user", "add", "new@example.org", "--name", "New");
  assert.match(await run("user", "edit", "new@example.org", "--role", "admin", "--name", "Newer"), /new@example\.org +admin +Newer$/m);
  await run("user", "edit", "new@example.org", "--password");
  await signIn(parley, "new@example.org", password);
  assert.match(await run("user", "disable", "new@example.org"), /\(disabled\)/);
  assert.doesNotMatch(await run("user", "enable", "new@example.org"), /\(disabled\)/);
  await run("user", "group", "create", "team");
  await run("user", "group", "add", "team", "new@example.org");
  assert.match(await run("user", "group", "show", "team"), /new@example\.org/);
  await run("user", "group", "rename", "team", "crew");
  await run("user", "group", "remove", "crew", "new@example.org");
  assert.match(await run("user", "group", "list"), /^\S+  crew$/m);
  await run("user", "group", "delete", "crew");
  assert.equal(await run("user", "group", "list"), "");
});

test("addresses that act as a key: at the doors of programs, for those who present nothing", async (t) => {
  const first = await startParley(t);
  const { id } = await makeKey(first, { doors: ["ollama", "openai"] });
  assert.equal((await first.ask("GET", "/api/tags")).status, 401, "off by default");
  await first.stop();
  const keys = (text: string) => ({ folder: first.folder, config: `server:\n  address_keys: "${text}"\n` });
  const parley = await startParley(t, keys(`10.0.0.0/8=${first.other.keyId}, 127.0.0.0/8=${id}`));
  assert.equal((await parley.ask("GET", "/api/tags")).status, 200);
  assert.equal((await parley.ask("POST", "/api/chat", { body: { model: "parley/eliza", messages: chat.messages, stream: false } })).status, 200);
  assert.equal((await parley.ask("GET", "/v1beta/models")).status, 403, "the key's scope counts");
  assert.ok((await parley.ask("GET", `/api/v1/keys/${id}`, local)).json.key.last_used_at);
  for (const path of ["/api/v1/models", "/api/v1/conversations", "/api/v1/keys", "/metrics"])
    assert.equal((await parley.ask("GET", path)).status, 401, path);
  assert.equal((await parley.ask("GET", "/api/v1/session")).json.user, null);
  for (const headers of [{ "x-forwarded-for": "127.0.0.1" }, { forwarded: "for=127.0.0.1" }, { "x-real-ip": "127.0.0.1" }, { via: "1.1 x" },
    { origin: "https://evil.example" }, { cookie: "a=b" }, { authorization: "Basic eA==" }, { authorization: "Bearer x" }, { "x-api-key": "x" }])
    assert.ok([401, 403].includes((await parley.ask("GET", "/api/tags", { headers })).status), JSON.stringify(headers));
  assert.equal((await parley.ask("DELETE", `/api/v1/keys/${id}`, local)).status, 204);
  assert.equal((await parley.ask("GET", "/api/tags")).status, 401, "revoked");
  await parley.stop();
  for (const wrong of ["127.0.0.0/8", `127.0.0.0/40=${id}`, "127.0.0.1=sk-parley-x"]) {
    const done = await command(first.folder, ["check", "--set", `server.address_keys=10.0.0.1=${id},${wrong}`]);
    assert.notEqual(done.code, 0);
    assert.ok(done.stderr.includes(`'${wrong}'`), done.stderr);
  }
});
