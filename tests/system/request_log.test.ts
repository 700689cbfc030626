// The request log: off unless a key says so; then what was asked and answered, for its owner, for a while, and never
// a credential.
import assert from "node:assert/strict";
import { DatabaseSync } from "node:sqlite";
import { join } from "node:path";
import { test } from "node:test";
import { command, eventually, filesBelow, oneAttempt, SECRET, signIn, startFake, startParley, type Answer, type Parley, type Person } from "./parley.ts";
import { counted, own } from "./router.ts";

const LIMIT = 256 * 1024;
const local = { local: true };
const keep = async (parley: Parley, id: string, hours: number | null) => {
  const answer = await parley.ask("PATCH", `/api/v1/keys/${id}`, { ...local, body: { keep_bodies_hours: hours } });
  assert.equal(answer.status, 200, answer.text);
  assert.equal(answer.json.key.keep_bodies_hours, hours);
};
// A key may not look into keys: people do, signed in.
async function enter(parley: Parley, person: Person): Promise<string> {
  const password = "correct horse battery";
  assert.equal((await parley.ask("PATCH", `/api/v1/users/${person.id}`, { ...local, body: { password } })).status, 200);
  return signIn(parley, person.email, password);
}
const list = async (parley: Parley, id: string, cookie: string, more = ""): Promise<any[]> => {
  const answer = await parley.ask("GET", `/api/v1/keys/${id}/requests${more}`, { cookie });
  assert.equal(answer.status, 200, answer.text);
  return answer.json.requests;
};
const show = async (parley: Parley, id: string, request: string, cookie: string): Promise<any> => {
  const answer = await parley.ask("GET", `/api/v1/keys/${id}/requests/${request}`, { cookie });
  assert.equal(answer.status, 200, answer.text);
  return answer.json;
};

test("what is asked and answered is kept, when a key says so", async (t) => {
  const fake = await startFake(t);
  const parley = await startParley(t, { fake, config: `${oneAttempt}server: {keys_in_path: true}\n` });
  const { user, other, admin } = parley;
  const mine = await enter(parley, user), theirs = await enter(parley, other), administrator = await enter(parley, admin);
  const post = (path: string, body: object, key: string | undefined = user.key, headers: Record<string, string> = {}): Promise<Answer> =>
    parley.ask("POST", path, { ...(key ? { key } : {}), body, headers });
  const chat = (text: string, model = "openai/count-5", more: object = {}, key = user.key) =>
    post("/v1/chat/completions", { model, messages: [{ role: "user", content: text }], ...more }, key);
  const newest = (count: number) => eventually(`${count} are kept`, async () => {
    const all = await list(parley, user.keyId, mine);
    assert.ok(all.length <= count, JSON.stringify(all));
    return all.length === count && all;
  });

  await t.test("off by default, and on at once", async () => {
    assert.equal((await chat("before")).status, 200);
    await keep(parley, user.keyId, 1);
    assert.equal((await chat("kept Grüße", "openai/count-5", {}, other.key)).status, 200, "another's key keeps nothing");
    const answer = await chat("kept Grüße");
    const [row] = await newest(1);
    assert.deepEqual([row.method, row.path, row.status, row.key], ["POST", "/v1/chat/completions", 200, user.keyId]);
    assert.equal(row.request_id, answer.headers["x-request-id"]);
    assert.equal(row.answer_bytes, Buffer.byteLength(answer.text));
    const left = Date.parse(row.expires_at) - Date.now();
    assert.ok(left > 3_500_000 && left <= 3_600_000, row.expires_at);
    assert.equal(row.request, undefined, "a list has no bodies");
    const one = await show(parley, user.keyId, row.id, mine);
    assert.equal(JSON.parse(one.request).messages[0].content, "kept Grüße");
    assert.equal(one.answer, answer.text);
    assert.equal(one.request_bytes, Buffer.byteLength(one.request));
  });

  await t.test("streamed, in every dialect, and what failed", async () => {
    const stream = await chat("streamed", "anthropic/count-20", { stream: true });
    const [first] = await newest(2);
    assert.equal((await show(parley, user.keyId, first.id, mine)).answer, stream.text);
    assert.match(stream.text, /\[DONE\]/);
    const said = { messages: [{ role: "user", content: "x" }] };
    const answers = [
      await post("/v1/messages", { model: "gemini/count-3", max_tokens: 10, stream: true, ...said }),
      await post(`/v1beta/models/openai%2Fcount-3:generateContent?alt=json`, { contents: [{ parts: [{ text: "x" }] }] }, "", { "x-goog-api-key": user.key }),
      await post(`/k/${user.key}/api/chat`, { model: "openai/count-3", ...said }, ""),
      await post("/v1/responses", { model: "openai/count-3", input: "x" }, user.key, { "x-trace": "trace-of-the-caller" }),
      await chat("fails", "openai/400-invalid"),
      await post("/v1/embeddings", { model: "openai/embed", input: "x" }),
      await post("/v1/chat/completions", { model: "openai/count-3", messages: "wrong" }),
    ];
    assert.deepEqual(answers.map((one) => one.status), [200, 200, 200, 200, 400, 404, 400]);
    const all = await newest(2 + answers.length);
    const rows = answers.map((one) => all.find((row) => row.request_id === one.headers["x-request-id"]));
    assert.deepEqual(rows.map((row) => row.status), answers.map((one) => one.status));
    assert.deepEqual(rows.map((row) => row.path), ["/v1/messages", "/v1beta/models/openai%2Fcount-3:generateContent", "/api/chat", "/v1/responses",
      "/v1/chat/completions", "/v1/embeddings", "/v1/chat/completions"]);
    for (const [i, row] of rows.entries())
      assert.equal((await show(parley, user.keyId, row.id, mine)).answer, answers[i]!.text);
    assert.deepEqual(await list(parley, user.keyId, mine, `?limit=2&before=${all[2]!.id}`), all.slice(3, 5));
    assert.deepEqual(all.map((row) => row.id), all.map((row) => row.id).sort().reverse());
    for (const wrong of ["?limit=0", "?limit=201", "?limit=x"])
      assert.equal((await parley.ask("GET", `/api/v1/keys/${user.keyId}/requests${wrong}`, { cookie: mine })).status, 400, wrong);
  });

  await t.test("cut at 256 KiB", async () => {
    const before = (await list(parley, user.keyId, mine)).length;
    const long = "世".repeat(200_000);
    const answers = [await chat(long, "openai/big"), await chat(long, "openai/big", { stream: true })];
    const rows = (await newest(before + 2)).slice(0, 2).toReversed();
    for (const [i, row] of rows.entries()) {
      assert.equal(row.answer_bytes, Buffer.byteLength(answers[i]!.text));
      assert.ok(row.answer_bytes > 4 * LIMIT - 1 && row.request_bytes > 600_000);
      const one = await show(parley, user.keyId, row.id, mine);
      assert.equal(one.answer, answers[i]!.text.slice(0, LIMIT));
      assert.ok(Math.abs(Buffer.byteLength(one.request) - LIMIT) < 4 && one.request.includes("世世世"));
    }
  });

  await t.test("for its owner and administrators", async () => {
    const [row] = await list(parley, user.keyId, administrator);
    assert.equal((await show(parley, user.keyId, row.id, administrator)).id, row.id);
    for (const path of ["", `/${row.id}`]) {
      assert.equal((await parley.ask("GET", `/api/v1/keys/${user.keyId}/requests${path}`, { cookie: theirs })).status, 404);
      assert.equal((await parley.ask("GET", `/api/v1/keys/${user.keyId}/requests${path}`, { key: user.key })).status, 403, "not by a key");
      assert.equal((await parley.ask("GET", `/api/v1/keys/${user.keyId}/requests${path}`)).status, 401);
    }
    assert.equal((await parley.ask("GET", `/api/v1/keys/${other.keyId}/requests/${row.id}`, { cookie: theirs })).status, 404, "not below one's own key");
    assert.equal((await parley.ask("GET", `/api/v1/keys/${user.keyId}/requests/nonsense`, { cookie: mine })).status, 404);
    assert.deepEqual(await list(parley, other.keyId, theirs), []);
  });

  await t.test("off again: nothing more", async () => {
    const before = (await list(parley, user.keyId, mine)).length;
    await keep(parley, user.keyId, null);
    assert.equal((await chat("not kept")).status, 200);
    assert.equal((await list(parley, user.keyId, mine)).length, before, "what is kept stays");
    for (const hours of [-1, 1.5, 366 * 24 + 1, "1"])
      assert.equal((await parley.ask("PATCH", `/api/v1/keys/${user.keyId}`, { ...local, body: { keep_bodies_hours: hours } })).status, 400, `${hours}`);
  });

  await t.test("no credential, no header, nowhere", async () => {
    await parley.stop();
    for (const [name, bytes] of filesBelow(parley.data))
      for (const secret of [user.key, SECRET, "trace-of-the-caller"])
        assert.ok(!bytes.includes(secret), `${name} holds ${secret}`);
    const database = new DatabaseSync(join(parley.data, "parley.db"), { readOnly: true });
    for (const row of database.prepare("SELECT path, request, answer FROM request_log").all() as any[])
      for (const text of [row.path, Buffer.from(row.request).toString(), Buffer.from(row.answer).toString()])
        for (const secret of ["sk-parley-", "sk-lab-", "uthorization", "trace-of", "not kept"])
          assert.ok(!text.includes(secret), `${secret} in ${text.slice(0, 300)}`);
    database.close();
  });
});

test("what has expired is gone, and deleted", async (t) => {
  const fake = await startFake(t);
  let parley = await startParley(t, { fake });
  const { user, folder } = parley, mine = await enter(parley, user), model = `openai/${own("count-2")}`;
  const chat = () => parley.ask("POST", "/v1/chat/completions", { key: user.key, body: { model, messages: [{ role: "user", content: "x" }] } });
  const database = () => new DatabaseSync(join(parley.data, "parley.db"), { timeout: 5000 });
  const rows = () => { const db = database(); const ids = db.prepare("SELECT id FROM request_log").all().map((one) => one["id"]); db.close(); return ids; };
  const age = () => { const db = database(); db.exec("UPDATE request_log SET expires_ms = 1000"); db.close(); };
  await keep(parley, user.keyId, 1);
  assert.equal((await chat()).json.choices[0].message.content, counted(2));
  const [row] = await eventually("it is kept", async () => { const all = await list(parley, user.keyId, mine); return all.length === 1 && all; });
  age();
  assert.deepEqual(await list(parley, user.keyId, mine), [], "an old one is not listed");
  assert.equal((await parley.ask("GET", `/api/v1/keys/${user.keyId}/requests/${row.id}`, { cookie: mine })).status, 404, "nor shown");
  await chat();
  await eventually("the next one throws it out", () => rows().length === 1 && rows()[0] !== row.id);
  age();
  await keep(parley, user.keyId, null);
  await parley.stop();
  parley = await startParley(t, { folder, fake });
  await eventually("or the next start", () => rows().length === 0);
});

test("the command line", async (t) => {
  const parley = await startParley(t);
  const run = (...args: string[]) => command(parley.folder, args);
  const made = await run("key", "create", "debugged", "--user", parley.user.email, "--keep-bodies", "48");
  assert.equal(made.code, 0, made.stderr);
  const listed = await run("key", "list", "--user", parley.user.email);
  const id = /^(\S+) .*debugged$/m.exec(listed.stdout)![1]!;
  const shown = async (...args: string[]) => /^keep_bodies_hours +(.*)$/m.exec((await run("key", ...args)).stdout)?.[1];
  assert.equal(await shown("show", id), "48");
  assert.equal(await shown("edit", id, "--name", "renamed"), "48");
  assert.equal(await shown("edit", id, "--keep-bodies=2"), "2");
  assert.equal(await shown("edit", id, "--keep-bodies", "none"), "none");
  assert.equal(await shown("edit", id, "--keep-bodies", "3"), "3");
  assert.equal(await shown("edit", id, "--keep-bodies", "0"), "none");
  for (const wrong of ["x", "-1", "1.5", "99999999999", "8785"]) {
    const refused = await run("key", "edit", id, `--keep-bodies=${wrong}`);
    assert.notEqual(refused.code, 0, wrong);
    assert.match(refused.stderr, /keep.bodies/);
  }
});
