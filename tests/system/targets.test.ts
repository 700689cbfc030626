// GET /api/v1/targets and taking one out: what it says before, during and after, and what a request
// then meets.
import assert from "node:assert/strict";
import { test } from "node:test";
import { startFake, startParley, type Parley } from "./parley.ts";

const targetOf = async (parley: Parley, id: string) => {
  const listed = await parley.ask("GET", "/api/v1/targets", { local: true });
  assert.equal(listed.status, 200, listed.text);
  return listed.json.targets.find((one: { id: string }) => one.id === id);
};

const chat = (parley: Parley, model: string) =>
  parley.ask("POST", "/v1/chat/completions", {
    key: parley.user.key,
    body: { model, messages: [{ role: "user", content: "Hello" }] },
  });

test("targets: listed, measured, taken out and brought back", async (t) => {
  const fake = await startFake(t);
  const parley = await startParley(t, { fake, config: "routes: {pair: {targets: [parley/eliza]}}\n" });
  const id = "parley/eliza";
  assert.deepEqual(await targetOf(parley, id), {
    id, state: "closed", until: null, reason: "", calls: 0, waiting: 0, first_content_ms: null, p95_ms: null,
    connect_ms: null, failed_percent: 0, succeeded: 0, failed: 0, last_error: null,
  });
  assert.equal((await chat(parley, id)).status, 200);
  const used = await targetOf(parley, id);
  assert.equal(used.succeeded, 1);
  assert.ok(used.first_content_ms >= 1);

  const before = Date.now();
  const benched = await parley.ask("POST", "/api/v1/targets/bench", {
    local: true,
    body: { target: id, seconds: 600, reason: "being cleaned" },
  });
  assert.equal(benched.status, 200, benched.text);
  const { state, until, reason } = benched.json.target;
  assert.deepEqual([state, reason], ["benched", "being cleaned"]);
  const after = Date.parse(until) - before;
  assert.ok(after > 595_000 && after < 620_000, until);
  const refused = await chat(parley, id);
  assert.equal(refused.status, 503, refused.text);
  assert.match(refused.text, /being cleaned/);
  assert.match(parley.stderr, /a target was taken out.*parley\/eliza.*being cleaned/);

  const restored = await parley.ask("POST", "/api/v1/targets/restore", { local: true, body: { target: id } });
  assert.deepEqual([restored.json.target.state, restored.json.target.until, restored.json.target.reason], ["closed", null, ""]);
  assert.equal((await chat(parley, id)).status, 200);
  assert.match(parley.stderr, /a target was brought back/);
});

test("targets: what is refused, and the nearest name", async (t) => {
  const parley = await startParley(t);
  const post = (path: string, body: unknown) => parley.ask("POST", `/api/v1/targets/${path}`, { local: true, body });
  for (const path of ["bench", "restore"]) {
    const unknown = await post(path, { target: "parley/elisa", ...(path === "bench" ? { seconds: 1 } : {}) });
    assert.equal(unknown.status, 404);
    assert.equal(unknown.json.error.field, "target");
    assert.match(unknown.json.error.remedy, /parley\/eliza/);
  }
  for (const seconds of [0, -1, 1.5, 31 * 24 * 3600 + 1, "60", null]) {
    const wrong = await post("bench", { target: "parley/eliza", seconds });
    assert.equal(wrong.status, 400, JSON.stringify(seconds));
    assert.equal(wrong.json.error.field, "seconds");
  }
  assert.equal((await post("restore", {})).status, 400);
  assert.equal((await post("bench", { target: "parley/eliza", seconds: 31 * 24 * 3600 })).status, 200);
  assert.equal((await post("bench", { target: "parley/eliza", seconds: 1, reason: null })).json.target.state, "benched");
  assert.equal((await parley.ask("GET", "/api/v1/targets", { key: parley.user.key })).status, 403);
  assert.equal((await parley.ask("GET", "/api/v1/targets", { key: parley.admin.key })).status, 403, "keys administer nothing");
});

test("targets: a refused key takes one out, and says why", async (t) => {
  const fake = await startFake(t);
  const parley = await startParley(t, { fake, config: "routes: {pair: {targets: [openai/401, parley/eliza]}}\n" });
  assert.equal((await chat(parley, "pair")).status, 200);
  const target = await targetOf(parley, "openai/401");
  assert.equal(target.state, "benched");
  assert.equal(target.last_error.class, "provider_authentication");
  assert.equal(target.reason, target.last_error.message);
  assert.ok(Math.abs(Date.parse(target.last_error.when) - Date.now()) < 20_000);
});
