// Who may do what: set-up, sessions, keys, the command line, and every endpoint for every caller.
import assert from "node:assert/strict";
import { readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { command, cookieOf, eventually, Process, environment, parleyProgram, signIn, sleep, startFake, startParley, temporaryFolder, within, type Asking } from "./parley.ts";
import { connect, openSocket, Refused, textOf } from "./socket.ts";

const password = "correct horse battery";

test("set-up, sessions, keys", async (t) => {
  const parley = await startParley(t, { people: false });
  const token = /token=([\w-]{32})$/.exec(parley.setupUrl)?.[1];
  assert.ok(token, parley.stdout);
  let cookie = "";

  await t.test("set-up works once, with the token only", async () => {
    const before = await parley.ask("GET", "/api/v1/session");
    assert.deepEqual([before.json.user, before.json.setup_required], [null, true]);
    const wrong = await parley.ask("POST", "/api/v1/setup", { body: { token: "x".repeat(32), email: "a@b.c", password } });
    assert.ok([401, 403].includes(wrong.status), wrong.text);
    const short = await parley.ask("POST", "/api/v1/setup", { body: { token, email: "a@b.c", password: "short" } });
    assert.deepEqual([short.status, short.json.error.field], [400, "password"]);
    const nowhere = await parley.ask("POST", "/api/v1/setup", { body: { token, email: "nowhere", password } });
    assert.deepEqual([nowhere.status, nowhere.json.error.field], [400, "email"]);
    const both = await Promise.all([1, 2].map((n) => parley.ask("POST", "/api/v1/setup", { body: { token, email: `Boss${n}@Example.org`, password, name: "Boss" } })));
    assert.deepEqual(both.map((answer) => answer.status).sort()[0], 201);
    assert.ok(both.some((answer) => answer.status >= 400), "only one can be the first");
    const made = both.find((answer) => answer.status === 201)!;
    assert.equal(made.json.user.role, "admin");
    cookie = cookieOf(made);
    const late = await parley.ask("POST", "/api/v1/setup", { body: { token, email: "late@example.org", password } });
    assert.ok(late.status >= 400 && late.status < 500, late.text);
    assert.equal((await parley.ask("GET", "/api/v1/session", { cookie })).json.user.email, made.json.user.email);
    assert.ok(!parley.stderr.includes(token!), "the token is not in the log");
  });

  await t.test("the cookie is for browsers only, of this site only", async () => {
    const boss = (await parley.ask("GET", "/api/v1/session", { cookie })).json.user.email;
    const answer = await parley.ask("POST", "/api/v1/session", { body: { email: boss.toUpperCase(), password } });
    const flags = answer.headers["set-cookie"]![0]!.split("; ").slice(1);
    assert.deepEqual(flags.toSorted(), ["HttpOnly", "Max-Age=2592000", "Path=/", "SameSite=Strict"]);
    const mine = cookieOf(answer);
    const body = { title: "x" };
    for (const [origin, status] of [[undefined, 403], ["https://evil.example", 403], ["null", 403],
      [parley.url.replace("127.0.0.1", "localhost"), 403], [parley.url, 201]] as const) {
      const tried = await parley.ask("POST", "/api/v1/conversations", { cookie: mine, body, ...(origin ? { origin } : {}) });
      assert.equal(tried.status, status, `${origin}: ${tried.text}`);
    }
    assert.equal((await parley.ask("GET", "/api/v1/conversations", { cookie: mine })).json.conversations.length, 1);
    const kept = await parley.ask("DELETE", "/api/v1/session", { cookie: mine, origin: "https://evil.example" });
    assert.equal(kept.status, 403);
    assert.equal((await parley.ask("DELETE", "/api/v1/session", { cookie: mine, origin: parley.url })).status, 204);
    assert.equal((await parley.ask("GET", "/api/v1/conversations", { cookie: mine })).status, 401);
    assert.equal((await parley.ask("GET", "/api/v1/conversations", { cookie })).status, 200, "other sessions stay");
    assert.equal((await parley.ask("GET", "/api/v1/session", { cookie: mine })).json.user, null);
  });

  await t.test("a socket ends with its session, an event stream too", async () => {
    const boss = (await parley.ask("GET", "/api/v1/session", { cookie })).json.user.email;
    const mine = await signIn(parley, boss, password);
    const socket = await openSocket(t, parley, { cookie: mine, origin: parley.url });
    const accepted = await socket.accept({ type: "send", conversation_id: null, parent_id: null, content: "x", model: "parley/eliza" });
    await socket.saved(accepted.run_id);
    await assert.rejects(connect(parley.url, { cookie: mine }).then((one) => one.drop()), Refused, "a cookie needs its origin");
    await parley.ask("DELETE", "/api/v1/session", { cookie: mine, origin: parley.url });
    socket.send({ type: "send", conversation_id: null, parent_id: null, content: "still here?", model: "parley/eliza" });
    assert.equal(await socket.closed(), 1008);
    assert.equal((await parley.ask("GET", "/api/v1/conversations", { cookie })).json.conversations.length, 2);
  });

  await t.test("keys are shown once and revoked at once", async () => {
    const made = await parley.ask("POST", "/api/v1/keys", { cookie, origin: parley.url, body: { name: "mine" } });
    assert.equal(made.status, 201);
    const key = made.json.secret;
    assert.match(key, /^sk-parley-/);
    assert.ok(key.startsWith(made.json.key.prefix));
    const listed = await parley.ask("GET", "/api/v1/keys", { cookie });
    assert.ok(!listed.text.includes(key));
    assert.equal(listed.json.keys.length, 1);
    assert.equal((await parley.ask("GET", "/v1/models", { key })).status, 200);
    assert.equal((await parley.ask("GET", "/v1/models", { headers: { "x-api-key": key } })).status, 200);
    assert.equal((await parley.ask("GET", "/v1/models", { key: key.slice(0, -1) + (key.endsWith("A") ? "B" : "A") })).status, 401);
    const socket = await openSocket(t, parley, { key }), idle = await openSocket(t, parley, { key });
    const accepted = await socket.accept({ type: "send", conversation_id: null, parent_id: null, content: "I am sad because it rains all day long", model: "parley/eliza" });
    assert.equal((await parley.ask("DELETE", `/api/v1/keys/${made.json.key.id}`, { cookie, origin: parley.url })).status, 204);
    assert.equal((await parley.ask("GET", "/v1/models", { key })).status, 401);
    assert.equal(await socket.closed(), 1008, "events stop");
    assert.equal(await idle.closed(), 1008, "notices stop");
    assert.ok(!socket.frames.some((frame) => frame.event?.type === "saved"));
    const again = await parley.ask("GET", "/api/v1/keys", { cookie });
    assert.equal(again.json.keys[0].revoked, true);
    const whole = await eventually("the answer is whole all the same", async () => {
      const got = await parley.ask("GET", `/api/v1/conversations/${accepted.conversation.id}`, { cookie });
      return got.json.messages[1].status === "complete" && got.json.messages[1];
    });
    assert.ok(textOf(whole).length > 0);
  });

  await t.test("wrong passwords are slowed down", async () => {
    await parley.ask("POST", "/api/v1/users", { local: true, body: { email: "slow@example.org", password } });
    const statuses: number[] = [];
    for (let i = 0; i < 11; i++)
      statuses.push((await parley.ask("POST", "/api/v1/session", { body: { email: "slow@example.org", password: `wrong ${i}` } })).status);
    assert.deepEqual(statuses, [...Array(10).fill(401), 429]);
    const right = await parley.ask("POST", "/api/v1/session", { body: { email: "slow@example.org", password } });
    assert.equal(right.status, 429);
    assert.equal(right.json.error.code, "rate_limited");
  });

  await t.test("no password is on disk or in the log", async () => {
    await parley.stop();
    assert.ok(!readFileSync(join(parley.data, "parley.db")).includes(password));
    assert.ok(!parley.stderr.includes(password));
  });
});

test("the command line, with and without a server", async (t) => {
  const folder = temporaryFolder(t);
  const withoutServer = await command(folder, ["user", "create", "cli@example.org", "--name", "C. L. I.", "--role", "admin"], { input: `${password}\n` });
  assert.equal(withoutServer.code, 0, withoutServer.stderr);
  assert.match(withoutServer.stdout, /cli@example\.org\s+admin\s+C\. L\. I\./);
  const keyMade = await command(folder, ["key", "create", "first"]);
  assert.equal(keyMade.code, 0, keyMade.stderr);
  assert.match(keyMade.stdout, /^sk-parley-\S+\n$/, "the secret alone goes to standard output");
  const key = keyMade.stdout.trim();

  const parley = await startParley(t, { folder });
  assert.equal(parley.setupUrl, "", "there is an account");
  assert.equal(statSync(parley.localSocket).mode & 0o777, 0o600);
  assert.equal((await parley.ask("GET", "/v1/models", { key })).status, 200);
  const listed = await command(folder, ["user", "list"]);
  assert.match(listed.stdout, /cli@example\.org/);
  assert.equal((await command(folder, ["user", "create", "CLI@example.org"], { input: `${password}\n` })).code, 1, "twice");
  assert.equal((await command(folder, ["user", "create", "two@example.org"], { input: `${password}\n` })).code, 0);
  const ambiguous = await command(folder, ["key", "create", "whose"]);
  assert.deepEqual([ambiguous.code, /several accounts/.test(ambiguous.stderr)], [1, true]);
  const second = await command(folder, ["key", "create", "hers", "--user", "two@example.org"]);
  assert.equal(second.code, 0, second.stderr);
  const keys = await command(folder, ["key", "list"]);
  assert.equal(keys.stdout.trim().split("\n").length, 2);
  assert.ok(!keys.stdout.includes(key));
  const id = keys.stdout.split("\n").find((line) => line.includes("first"))!.split(" ")[0]!;
  assert.equal((await command(folder, ["key", "revoke", id])).code, 0);
  assert.equal((await parley.ask("GET", "/v1/models", { key })).status, 401);
  assert.equal((await command(folder, ["key", "revoke", "0".repeat(26)])).code, 1);

  const checked = await command(folder, ["check"]);
  assert.match(checked.stdout, /Settings of the running server/);
  assert.match(checked.stdout, /server\.port\s+0\s+environment \(PORT\)/);
  assert.match(checked.stdout, /parley\s+ok\s+1 models/);

  const backup = join(folder, "copy.db");
  const copied = await command(folder, ["backup", "copy.db"]);
  assert.equal(copied.code, 0, copied.stderr);
  assert.equal(readFileSync(backup).subarray(0, 15).toString(), "SQLite format 3");
  assert.equal((await command(folder, ["backup", "copy.db"])).code, 1, "never over another file");
  assert.equal((await command(folder, ["backup", "/nowhere/at/all.db"])).code, 1);

  const twin = new Process(parleyProgram, ["serve"], environment(folder, { DATA_DIR: parley.data }), folder);
  assert.equal((await within(20_000, "the second server ends", twin.ended)).code, 1);
  assert.match(twin.stderr, /another|already|in use/i);
  twin.checkSanitizers();
  assert.equal((await parley.ask("GET", "/healthz")).status, 200, "the first one goes on");
  assert.equal((await command(folder, ["user", "list"])).code, 0, "its socket is untouched");
  const taken = await command(folder, ["serve", "--port", new URL(parley.url).port, "--data-dir", join(folder, "elsewhere")]);
  assert.equal(taken.code, 1);
  assert.match(taken.stderr, /in use/i);
  await parley.stop();

  const after = await command(folder, ["user", "list"]);
  assert.match(after.stdout, /two@example\.org/);
  const alone = await command(folder, ["check"]);
  assert.match(alone.stdout, /no server is running/);
  for (const [args, what] of [[["usr"], /did you mean 'user'/], [["serve", "now"], /flags only/], [["user"], /usage: parley user/],
    [["serve", "--prot", "1"], /Did you mean --port/], [["key", "create"], /usage/], [["serve", "--port"], /needs a value/]] as const) {
    const wrong = await command(folder, [...args]);
    assert.equal(wrong.code, 2, args.join(" ") + wrong.stderr);
    assert.match(wrong.stderr, what);
  }
  writeFileSync(join(folder, "restored.txt"), "");
});

test("the first account from the environment; other databases are refused", async (t) => {
  const parley = await startParley(t, { people: false, env: { PARLEY_ADMIN_EMAIL: "env@example.org", PARLEY_ADMIN_PASSWORD: password } });
  assert.equal(parley.setupUrl, "");
  const cookie = await eventually("the account is made", async () => {
    const answer = await parley.ask("POST", "/api/v1/session", { body: { email: "env@example.org", password } });
    return answer.status === 200 && cookieOf(answer);
  });
  assert.equal((await parley.ask("GET", "/api/v1/session", { cookie })).json.user.role, "admin");
  await parley.stop();
  assert.ok(!parley.stderr.includes(password));

  const folder = temporaryFolder(t);
  const url = "postgres://me:geheim@db.example/parley";
  const refused = await command(folder, ["serve"], { env: { DATABASE_URL: url } });
  assert.equal(refused.code, 1);
  assert.match(refused.stderr, /only SQLite is supported/);
  assert.ok(!refused.stderr.includes("geheim"));
});

// ---- Every endpoint, every message, every caller. The expectations are written here by hand, from
// docs/protocol.md, never taken from the program.

type Caller = "anonymous" | "user" | "other" | "admin" | "userKey" | "adminKey" | "revokedKey" | "local";
const callers: Caller[] = ["anonymous", "user", "other", "admin", "userKey", "adminKey", "revokedKey", "local"];

// One letter for each caller, in the order above:
// y: may; s: must sign in (401); f: forbidden (403); n: it is not there for him (404); c: that has
// been done already (409)
//   anonymous, user (whose it is), other user, admin, user's key, admin's key, revoked key, local
const matrix: Record<string, string> = {
  "POST /v1/chat/completions": "s y y y y y s y",
  "POST /v1/responses": "s y y y y y s y",
  "GET /v1/responses/{id}": "s y n n y n s f",
  "DELETE /v1/responses/{id}": "s y n n y n s f",
  "GET /v1/responses/{id}/input_items": "s y n n y n s f",
  "POST /v1/responses/{id}/cancel": "s 400 n n 400 n s f", // what is not running
  "POST /v1/conversations": "s y y y y y s f",
  "GET /v1/conversations/{id}": "s y n n y n s f",
  "POST /v1/conversations/{id}": "s y n n y n s f",
  "DELETE /v1/conversations/{id}": "s y n n y n s f",
  "POST /v1/conversations/{id}/items": "s y n n y n s f",
  "GET /v1/conversations/{id}/items": "s y n n y n s f",
  "GET /v1/conversations/{id}/items/{item_id}": "s y n n y n s f",
  "DELETE /v1/conversations/{id}/items/{item_id}": "s y n n y n s f",
  "POST /v1/messages": "s y y y y y s y",
  "POST /v1/messages/count_tokens": "s y y y y y s y",
  "POST /v1/embeddings": "s y y y y y s y",
  "POST /v1/files": "s y y y y y s f",
  "GET /v1/files": "s y y y y y s f",
  "GET /v1/files/{id}": "s y n n y n s f",
  "GET /v1/files/{id}/content": "s y n n y n s f",
  "DELETE /v1/files/{id}": "s y n n y n s f",
  "POST /upload/v1/files": "s y y y y y s f",
  "POST /upload/v1beta/files": "s y y y y y s f",
  "GET /v1beta/files": "s y y y y y s f",
  "GET /v1beta/files/{id}": "s y n n y n s f",
  "DELETE /v1beta/files/{id}": "s y n n y n s f",
  "GET /download/v1beta/files/{id}": "s y n n y n s f",
  "GET /v1beta/batches": "s y y y y y s f",
  "GET /v1beta/batches/{id}": "s y n n y n s f",
  "POST /v1beta/batches/{id}": "s y n n y n s f",
  "DELETE /v1beta/batches/{id}": "s y n n y n s f",
  "POST /v1/batches": "s y 400 400 y 400 s f",
  "GET /v1/batches": "s y y y y y s f",
  "GET /v1/batches/{id}": "s y n n y n s f",
  "POST /v1/batches/{id}/cancel": "s y n n y n s f",
  "POST /v1/batches/{id}": "s y n n y n s f",
  "DELETE /v1/batches/{id}": "s y n n y n s f",
  "POST /v1/messages/batches": "s y y y y y s f",
  "GET /v1/messages/batches": "s y y y y y s f",
  "GET /v1/messages/batches/{id}": "s y n n y n s f",
  "POST /v1/messages/batches/{id}/cancel": "s y n n y n s f",
  "GET /v1/messages/batches/{id}/results": "s y n n y n s f",
  "DELETE /v1/messages/batches/{id}": "s y n n y n s f",
  "POST /api/embed": "s y y y y y s y",
  "POST /api/embeddings": "s y y y y y s y",
  "POST /api/generate": "s y y y y y s y",
  "POST /v1/images/generations": "s y y y y y s y",
  "POST /v1/images/edits": "s y y y y y s y",
  "POST /v1/images/variations": "s y y y y y s y",
  "POST /v1/audio/speech": "s y y y y y s y",
  "POST /v1/audio/transcriptions": "s y y y y y s y",
  "POST /v1/audio/translations": "s y y y y y s y",
  "POST /v1/moderations": "s y y y y y s y",
  "POST /v1/fine_tuning/jobs": "s y y y y y s y",
  "GET /v1/fine_tuning/jobs": "s y y y y y s y",
  // Everybody has made the fake's only job by then; whose a job is: relay.test.ts.
  "GET /v1/fine_tuning/jobs/{id}": "s y y y y y s y",
  "POST /v1/fine_tuning/jobs/{id}/cancel": "s y y y y y s y",
  "POST /v1/fine_tuning/jobs/{id}/pause": "s y y y y y s y",
  "POST /v1/fine_tuning/jobs/{id}/resume": "s y y y y y s y",
  "GET /v1/fine_tuning/jobs/{id}/events": "s y y y y y s y",
  "GET /v1/fine_tuning/jobs/{id}/checkpoints": "s y y y y y s y",
  "GET /p/{provider}/{rest}": "s y y y y y s y",
  "POST /p/{provider}/{rest}": "s y y y y y s y",
  "PUT /p/{provider}/{rest}": "s y y y y y s y",
  "PATCH /p/{provider}/{rest}": "s y y y y y s y",
  "DELETE /p/{provider}/{rest}": "s y y y y y s y",
  "GET /v1/models": "s y y y y y s y",
  "GET /v1/models/{id}": "s y y y y y s y",
  "POST /v1/models/{id}": "s y y y y y s y",
  "GET /v1beta/models": "s y y y y y s y",
  "GET /v1beta/models/{id}": "s y y y y y s y",
  "POST /v1beta/models/{id}": "s y y y y y s y",
  "POST /v1beta/{provider}/{model}": "s y y y y y s y",
  "POST /api/chat": "s y y y y y s y",
  "GET /api/tags": "s y y y y y s y",
  "POST /api/show": "s y y y y y s y",
  "GET /api/ps": "s y y y y y s y",
  "GET /api/version": "s y y y y y s y",
  "GET /api/v1/session": "y y y y y y s y",
  "POST /api/v1/setup": "c c c c c c s c",
  "POST /api/v1/session": "y y y y y y s y",
  "DELETE /api/v1/session": "y y y y y y s y",
  "GET /api/v1/ws": "s y y y y y s f",
  "GET /api/v1/models": "s y y y y y s y",
  "GET /api/v1/providers": "s y y y y y s y",
  "GET /api/v1/routes": "s y y y y y s y",
  "POST /api/v1/providers/{name}/check": "s f f y f f s y",
  "GET /api/v1/targets": "s f f y f f s y",
  "POST /api/v1/targets/bench": "s f f y f f s y",
  "POST /api/v1/targets/restore": "s f f y f f s y",
  "GET /api/v1/limits": "s f f y f f s y",
  "GET /api/v1/limits/{kind}/{id}": "s y n y y n s y",
  "PUT /api/v1/limits/{kind}/{id}": "s f f y f f s y",
  "DELETE /api/v1/limits/{kind}/{id}": "s f f y f f s y",
  "GET /api/v1/conversations": "s y y y y y s f",
  "POST /api/v1/conversations": "s y y y y y s f",
  "GET /api/v1/conversations/{id}": "s y n n y n s f",
  "PATCH /api/v1/conversations/{id}": "s y n n y n s f",
  "DELETE /api/v1/conversations/{id}": "s y n n y n s f",
  "POST /api/v1/conversations/{id}/messages": "s y n n y n s f",
  "POST /api/v1/conversations/{id}/messages/{message_id}/answer": "s y n n y n s f",
  "POST /api/v1/conversations/{id}/messages/{message_id}/continue": "s y n n y n s f",
  "GET /api/v1/runs/{id}": "s y n n y n s f",
  "GET /api/v1/runs/{id}/events": "s y n n y n s f",
  "POST /api/v1/runs/{id}/stop": "s y n n y n s f",
  "GET /api/v1/keys": "s y y y f f s y",
  "POST /api/v1/keys": "s y y y f f s y",
  "GET /api/v1/keys/{id}": "s y n y f f s y",
  "PATCH /api/v1/keys/{id}": "s y n y f f s y",
  "POST /api/v1/keys/{id}/rotate": "s y n y f f s y",
  "DELETE /api/v1/keys/{id}": "s y n y f f s y",
  "GET /api/v1/keys/{id}/requests": "s y n y f f s y",
  "GET /api/v1/keys/{id}/requests/{request_id}": "s n n n f f s n", // none is kept: request_log.test.ts
  "GET /api/v1/usage": "s y y y y y s y",
  "GET /api/v1/usage/minutes": "s f f y f y s y",
  "GET /api/v1/ledger": "s y y y y y s y",
  "GET /api/v1/users": "s f f y f f s y",
  "POST /api/v1/users": "s f f y f f s y",
  "GET /api/v1/users/{id}": "s f f y f f s y",
  "PATCH /api/v1/users/{id}": "s f f y f f s y",
  "GET /api/v1/groups": "s f f y f f s y",
  "POST /api/v1/groups": "s f f y f f s y",
  "GET /api/v1/groups/{id}": "s f f y f f s y",
  "PATCH /api/v1/groups/{id}": "s f f y f f s y",
  "DELETE /api/v1/groups/{id}": "s f f y f f s y",
  "PUT /api/v1/groups/{id}/members/{user_id}": "s f f y f f s y",
  "DELETE /api/v1/groups/{id}/members/{user_id}": "s f f y f f s y",
  "GET /api/v1/settings": "s f f y f f s y",
  "PATCH /api/v1/settings": "s f f y f f s y",
  "POST /api/v1/backup": "s f f f f f s y",
  "GET /healthz": "y y y y y y s y",
  "GET /readyz": "y y y y y y s y",
  "GET /metrics": "s f f y f y s y",
  "GET /openapi.json": "y y y y y y s y",
};
const socketMatrix: Record<string, string> = { // callers that get a socket at all
  send: "- y n n y n - -", answer: "- y n n y n - -", continue: "- y n n y n - -",
  attach: "- y n n y n - -", stop: "- y n n y n - -", detach: "- y y y y y - -", ping: "- y y y y y - -",
};

test("authorisation: every endpoint and message for every caller", async (t) => {
  const fake = await startFake(t);
  const parley = await startParley(t, { fake });
  const cookies = new Map<Caller, string>();
  for (const [caller, role] of [["user", "user"], ["other", "user"], ["admin", "admin"]] as const) {
    const email = `with-${caller}@example.org`;
    const made = await parley.ask("POST", "/api/v1/users", { local: true, body: { email, role, password } });
    assert.equal(made.status, 201, made.text);
    cookies.set(caller, await signIn(parley, email, password));
  }
  const makeKey = async (user: string) => (await parley.ask("POST", "/api/v1/keys", { local: true, body: { name: "matrix", user } })).json;
  const userKey = await makeKey("with-user@example.org"), adminKey = await makeKey("with-admin@example.org"), revokedKey = await makeKey("with-user@example.org");
  assert.equal((await parley.ask("DELETE", `/api/v1/keys/${revokedKey.key.id}`, { local: true })).status, 204);
  const as = (caller: Caller): Asking => {
    switch (caller) {
      case "anonymous": return {};
      case "userKey": return { key: userKey.secret };
      case "adminKey": return { key: adminKey.secret };
      case "revokedKey": return { key: revokedKey.secret };
      case "local": return { local: true };
      default: return { cookie: cookies.get(caller)!, origin: parley.url };
    }
  };
  const owner = { key: userKey.secret };

  // Something of the user's to be reached for: fresh for every try, because some tries destroy it.
  const makeObject = async () => {
    const conversation = (await parley.ask("POST", "/api/v1/conversations", { ...owner, body: {} })).json.conversation.id;
    const sent = await parley.ask("POST", `/api/v1/conversations/${conversation}/messages`, { ...owner, body: { parent_id: null, content: "x", model: "openai/endless+slow-20" } });
    assert.equal(sent.status, 202, sent.text);
    const { user_message, message, run_id } = sent.json.accepted;
    return { conversation, question: user_message.id, answer: message.id, run: run_id };
  };
  const stopRun = async (object: { run: string; conversation: string }) => {
    await parley.ask("POST", `/api/v1/runs/${object.run}/stop`, owner);
    await eventually("stopped", async () => {
      const got = await parley.ask("GET", `/api/v1/conversations/${object.conversation}`, owner);
      return got.status === 404 || got.json.messages.every((message: any) => message.status !== "streaming");
    });
  };
  const form = '--b\r\nContent-Disposition: form-data; name="model"\r\n\r\nopenai/x\r\n--b--\r\n';
  const upload = '--b\r\nContent-Disposition: form-data; name="purpose"\r\n\r\nbatch\r\n--b\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n{}\r\n--b--\r\n';
  const messages = { requests: [{ custom_id: "a", params: { model: "nobody/x", max_tokens: 1, messages: [{ role: "user", content: "x" }] } }] };
  const batch = (file: string) => ({ input_file_id: file, endpoint: "/v1/chat/completions", completion_window: "24h" });
  let file = ""; // of the user's, for this try
  const makeGemini = async () => {
    const { name } = (await parley.ask("POST", "/v1beta/models/nobody/x:batchGenerateContent", { ...owner, body: { batch: { inputConfig: { requests: { requests: [{ request: { contents: [{ parts: [{ text: "x" }] }] } }] } } } } })).json;
    await eventually("it has ended", async () => (await parley.ask("GET", `/v1beta/${name}`, owner)).json.done);
    return name.replace("batches/", "");
  };
  const makeStored = async (operation: string, pattern: string) => {
    if (/\/v1beta\/batches\/|(POST|DELETE) \/v1\/batches\/{id}$/.test(operation)) return await makeGemini() + (operation.startsWith("POST") ? ":cancel" : "");
    file = (await parley.ask("POST", "/v1/files", { ...owner, body: upload, headers: { "content-type": "multipart/form-data; boundary=b" } })).json.id;
    if (pattern.startsWith("/v1/batches/")) return (await parley.ask("POST", "/v1/batches", { ...owner, body: batch(file) })).json.id;
    if (!pattern.startsWith("/v1/messages/batches/")) return file.replace("file-", "") + (pattern.startsWith("/download/") ? ":download" : "");
    const { id } = (await parley.ask("POST", "/v1/messages/batches", { ...owner, body: messages })).json;
    await eventually("it has results", async () => (await parley.ask("GET", `/v1/messages/batches/${id}`, owner)).json.results_url);
    return id;
  };
  const bodies: Record<string, (object: Awaited<ReturnType<typeof makeObject>>, caller: Caller) => unknown> = {
    "POST /v1/chat/completions": () => ({ model: "openai/count-1", messages: [{ role: "user", content: "x" }] }),
    "POST /v1/responses": () => ({ model: "openai/count-1", input: "x" }),
    "POST /v1/conversations/{id}": () => ({ metadata: { a: "b" } }),
    "POST /v1/conversations/{id}/items": () => ({ items: [{ role: "user", content: "x" }] }),
    "POST /v1/messages": () => ({ model: "openai/count-1", max_tokens: 10, messages: [{ role: "user", content: "x" }] }),
    "POST /v1/messages/count_tokens": () => ({ model: "openai/count-1", messages: [{ role: "user", content: "x" }] }),
    "POST /v1/files": () => upload,
    "POST /upload/v1/files": () => ({ file: {} }),
    "POST /upload/v1beta/files": () => ({ file: {} }),
    "POST /v1/batches": () => batch(file),
    "POST /v1/messages/batches": () => messages,
    "POST /v1/embeddings": () => ({ model: "openai/echo", input: "x" }),
    "POST /api/embed": () => ({ model: "openai/echo", input: "x" }),
    "POST /api/embeddings": () => ({ model: "openai/echo", prompt: "x" }),
    "POST /api/generate": () => ({ model: "openai/count-1", prompt: "x" }),
    "POST /v1/images/generations": () => ({ model: "openai/x", prompt: "x" }),
    "POST /v1/images/edits": () => form,
    "POST /v1/images/variations": () => form,
    "POST /v1/audio/speech": () => ({ model: "openai/x", input: "x", voice: "alloy" }),
    "POST /v1/audio/transcriptions": () => form,
    "POST /v1/audio/translations": () => form,
    "POST /v1/moderations": () => ({ model: "openai/x", input: "x" }),
    "POST /v1/fine_tuning/jobs": () => ({ model: "openai/x", training_file: "file-abc123" }),
    "POST /v1/models/{id}": () => ({ contents: [{ parts: [{ text: "x" }] }] }),
    "POST /v1beta/models/{id}": () => ({ contents: [{ parts: [{ text: "x" }] }] }),
    "POST /v1beta/{provider}/{model}": () => ({ contents: [{ parts: [{ text: "x" }] }] }),
    "POST /api/chat": () => ({ model: "openai/count-1", messages: [{ role: "user", content: "x" }] }),
    "POST /api/show": () => ({ model: "parley/eliza" }),
    "POST /api/v1/setup": () => ({ token: "x".repeat(32), email: "z@example.org", password }),
    "POST /api/v1/session": () => ({ email: "with-user@example.org", password }),
    "POST /api/v1/conversations": () => ({}),
    "PATCH /api/v1/conversations/{id}": () => ({ title: "new" }),
    "POST /api/v1/conversations/{id}/messages": () => ({ parent_id: null, content: "y", model: "openai/count-1" }),
    "POST /api/v1/conversations/{id}/messages/{message_id}/answer": () => ({ model: "openai/count-1" }),
    "POST /api/v1/conversations/{id}/messages/{message_id}/continue": () => ({ model: "openai/count-1" }),
    "POST /api/v1/keys": (_, caller) => caller === "local" ? { name: "n", user: "with-user@example.org" } : { name: "n" },
    "PATCH /api/v1/keys/{id}": () => ({ name: "m" }),
    "POST /api/v1/keys/{id}/rotate": () => ({}),
    "PATCH /api/v1/users/{id}": () => ({ name: "Somebody" }),
    "POST /api/v1/groups": (object) => ({ name: `group ${object.run}` }),
    "PATCH /api/v1/groups/{id}": (object) => ({ name: `renamed ${object.run}` }),
    "POST /api/v1/users": (object, caller) => ({ email: `made-by-${caller}-${object.run}@example.org` }),
    "POST /api/v1/targets/bench": () => ({ target: "parley/eliza", seconds: 1 }),
    "POST /api/v1/targets/restore": () => ({ target: "parley/eliza" }),
    "PUT /api/v1/limits/{kind}/{id}": () => ({ requests_per_day: 1000 }),
    "PATCH /api/v1/settings": () => ({ "eliza.delay_ms": 1 }),
    "POST /api/v1/backup": (object) => ({ path: join(parley.folder, `backup-${object.run}`) }),
  };
  const letterOf = (status: number) => ({ 401: "s", 403: "f", 404: "n", 409: "c" })[status] ?? (status < 400 ? "y" : String(status));
  const expectedOf = (row: string, caller: Caller) => row.split(" ")[callers.indexOf(caller)]!;

  const openapi = (await parley.ask("GET", "/openapi.json")).json;
  const operations = Object.entries<any>(openapi.paths).flatMap(([path, methods]) =>
    Object.keys(methods).map((method) => `${method.toUpperCase()} ${path}`));
  await t.test("the table above is complete", () => {
    assert.deepEqual(operations.toSorted(), Object.keys(matrix).toSorted());
    for (const methods of Object.values<any>(openapi.paths))
      for (const operation of Object.values<any>(methods)) assert.match(operation["x-verb"], /^[a-z._]+$/);
  });

  for (const operation of operations) {
    await t.test(operation, async () => {
      const [method, pattern] = operation.split(" ") as [string, string];
      for (const caller of callers) {
        const object = await makeObject();
        if (pattern.includes("/continue") || pattern.endsWith("/messages")) await stopRun(object);
        let key = "";
        if (pattern.includes("/keys/{id}")) key = (await makeKey("with-user@example.org")).key.id;
        if (pattern.includes("/limits/")) {
          key = userKey.key.id;
          await parley.ask("PUT", `/api/v1/limits/key/${key}`, { local: true, body: { streams: 1000 } });
        }
        if (pattern.startsWith("/v1/responses/{id}")) key = (await parley.ask("POST", "/v1/responses", { ...owner, body: { model: "openai/count-1", input: "x" } })).json.id;
        if (pattern.startsWith("/v1/conversations/{id}")) key = (await parley.ask("POST", "/v1/conversations", { ...owner, body: { items: [{ id: "msg_mine", role: "user", content: "x" }] } })).json.id;
        let group = "";
        if (pattern.includes("/groups/{id}"))
          group = (await parley.ask("POST", "/api/v1/groups", { local: true, body: { name: `of ${object.run}` } })).json.group.id;
        const stored = /\/(files|batches)(\/|$)/.test(pattern) ? await makeStored(operation, pattern) : "";
        const id = stored ? stored : pattern.includes("/fine_tuning/") ? "ftjob-abc123" : pattern.includes("/limits/") ? key : pattern.includes("/runs/") ? object.run : pattern.includes("/keys/") || /^\/v1\/(responses|conversations)\/\{id\}/.test(pattern) ? key
          : pattern.includes("/groups/") ? group : pattern.includes("/users/") ? userKey.key.user_id
          : pattern.includes("/models/{id}") ? (method === "POST" ? "openai/count-1:generateContent" : encodeURIComponent("parley/eliza")) : object.conversation;
        const path = pattern
          .replace("{id}", id).replace("{name}", "openai").replace("{kind}", "key")
          .replace("{provider}/{rest}", "openai/fine_tuning/jobs/ftjob-abc123")
          .replace("{provider}/{model}", "openai/count-1:generateContent").replace("{request_id}", object.run).replace("{item_id}", "msg_mine")
          .replace("{user_id}", userKey.key.user_id)
          .replace("{message_id}", pattern.endsWith("/continue") ? object.answer : object.question);
        const asking: Asking = { ...as(caller), body: bodies[operation]?.(object, caller) };
        if (pattern.startsWith("/upload/")) asking.headers = { "x-goog-upload-protocol": "resumable", "x-goog-upload-command": "start", "x-goog-upload-header-content-length": "1" };
        if (asking.body === form || asking.body === upload) asking.headers = { "content-type": "multipart/form-data; boundary=b" };
        if (method === "DELETE" && pattern === "/api/v1/session" && asking.cookie) // not the session the rest needs
          asking.cookie = await signIn(parley, `with-${caller}@example.org`, password);
        let letter: string;
        if (pattern === "/api/v1/ws") {
          const { local, ...rest } = asking;
          letter = await connect(parley.url, { ...rest as object, ...(local ? { socketPath: parley.localSocket } : {}) })
            .then((socket) => { socket.drop(); return "y"; }, (error) => letterOf((error as Refused).status));
        } else if (pattern.endsWith("/events")) {
          setTimeout(() => void stopRun(object), 50);
          letter = letterOf((await parley.ask(method, path, asking)).status);
        } else {
          const answer = await parley.ask(method, path, asking);
          letter = letterOf(answer.status);
          if (answer.status >= 400 && !["/healthz"].includes(pattern)) {
            assert.equal(typeof (answer.json.error.message ?? answer.json.error), "string", answer.text);
            assert.ok(!answer.text.includes(object.question) || letter === "y");
          }
        }
        assert.equal(letter, expectedOf(matrix[operation]!, caller), `${operation} as ${caller}`);
        if (expectedOf(matrix[operation]!, caller) !== "y" && pattern.includes("{id}") && pattern.includes("conversations")) {
          const intact = await parley.ask("GET", `/api/v1/conversations/${object.conversation}`, owner);
          assert.deepEqual([intact.status, intact.json.messages.length], [200, 2], `${operation} as ${caller} changed it`);
        }
        await stopRun(object);
      }
    });
  }

  await t.test("socket messages", async () => {
    for (const [type, row] of Object.entries(socketMatrix)) {
      for (const caller of callers) {
        const expected = expectedOf(row, caller);
        if (expected === "-") continue;
        const socket = await openSocket(t, parley, as(caller) as object);
        const object = await makeObject();
        if (["send", "continue"].includes(type)) await stopRun(object);
        const message = { send: { conversation_id: object.conversation, parent_id: object.answer, content: "y", model: "openai/count-1" },
          answer: { conversation_id: object.conversation, message_id: object.question, model: "openai/count-1" },
          continue: { conversation_id: object.conversation, message_id: object.answer, model: "openai/count-1" },
          attach: { run_id: object.run, after: 0 }, stop: { run_id: object.run }, detach: { run_id: object.run }, ping: {} }[type]!;
        if (type === "detach") {
          socket.send({ type, ...message });
          assert.equal((await socket.call({ type: "ping" })).type, "pong");
        } else {
          const answer = await socket.call({ type, ...message });
          const letter = answer.type !== "error" ? "y" : answer.error.code === "not_found" ? "n" : answer.error.code;
          assert.equal(letter, expected, `${type} as ${caller}: ${JSON.stringify(answer)}`);
        }
        await stopRun(object);
        if (expected === "n") {
          await sleep(20);
          assert.ok(!socket.frames.some((frame) => frame.type === "event" || frame.type === "changed"), `${type} as ${caller} hears nothing`);
        }
        socket.drop();
      }
    }
  });
});

test("a key in the path: off by default, and for the doors of programs only", async (t) => {
  const off = await startParley(t);
  assert.equal((await off.ask("GET", `/k/${off.user.key}/api/tags`)).status, 404);
  const parley = await startParley(t, { config: "server: {keys_in_path: true}\n" });
  const tags = await parley.ask("GET", `/k/${parley.user.key}/api/tags`);
  assert.deepEqual([tags.status, tags.json.models.some((one: any) => one.name === "parley/eliza")], [200, true]);
  const said = await parley.ask("POST", `/k/${parley.user.key}/api/chat`, { body: { model: "parley/eliza", stream: false, messages: [{ role: "user", content: "Hello" }] } });
  assert.deepEqual([said.status, typeof said.json.message.content], [200, "string"]);
  assert.equal((await parley.ask("GET", `/k/${parley.user.key.slice(0, -1)}/api/tags`)).status, 401);
  assert.equal((await parley.ask("GET", `/k/${parley.user.key}/api/v1/conversations`)).status, 404);
  assert.equal((await parley.ask("GET", `/k/${parley.user.key}`)).status, 404);
});
