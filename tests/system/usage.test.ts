// What was used, from the door to the command line: sums and rows, in every form.
import assert from "node:assert/strict";
import { test } from "node:test";
import { command, eventually, startFake, startParley } from "./parley.ts";

test("usage and the ledger's rows, over HTTP and on the command line", async (t) => {
  const fake = await startFake(t);
  const parley = await startParley(t, { fake, config: 'prices: {"openai/count-3": "in=2 out=10"}\n' });
  const say = async (key: string, model: string) => assert.equal((await parley.ask("POST", "/v1/chat/completions",
    { key, body: { model, messages: [{ role: "user", content: "go" }], metadata: { job: "night" }, user: "ann" } })).status, 200);
  await say(parley.user.key, "openai/count-3");
  await say(parley.user.key, "openai/count-3");
  await say(parley.other.key, "anthropic/count-4");

  const usage = (path: string, key: string) => parley.ask("GET", `/api/v1/usage${path}`, { key });
  const total = await eventually("the rows are in the database", async () => {
    const { json } = await usage("", parley.admin.key);
    return json.total.attempts === 3 && json.total;
  });
  assert.equal(total.requests, 3);
  assert.ok(total.tokens_input > 0 && total.tokens_output > 0);
  assert.match(total.cost_usd, /^\d+\.\d{9}$/);
  assert.equal((await usage("", parley.user.key)).json.total.requests, 2);
  assert.equal((await usage(`?user=${parley.other.id}`, parley.user.key)).status, 404);
  const byKey = (await usage("?by=key,target", parley.admin.key)).json.rows;
  assert.deepEqual(byKey.map((row: any) => [row.key, row.target, row.attempts]).sort(),
    [[parley.user.keyId, "openai/count-3", 2], [parley.other.keyId, "anthropic/count-4", 1]].sort());
  const tags = (await usage("?by=tag", parley.admin.key)).json.rows.map((row: any) => [row.tag, row.requests]);
  assert.deepEqual(tags, [["job:night", 3], ["user:ann", 3]]);
  const minutes = await parley.ask("GET", "/api/v1/usage/minutes", { key: parley.admin.key });
  assert.equal(minutes.json.rows.reduce((sum: number, row: any) => sum + row.duration.count, 0), 3);

  const rows = (await parley.ask("GET", "/api/v1/ledger", { key: parley.admin.key })).json;
  assert.deepEqual(rows.map((row: any) => [row.outcome, row.reached, row.door, row.number]), Array(3).fill(["answered", true, "openai", 1]));

  const check = async () => {
    const table = await command(parley.folder, ["usage", "--by", "user,model", "--user", "user@example.org"]);
    assert.equal(table.code, 0, table.stderr);
    const lines = table.stdout.trimEnd().split("\n");
    assert.equal(lines.length, 3, table.stdout);
    assert.match(lines[1]!, /^user@example\.org  openai\/count-3 +2 +2 +0 /);
    assert.equal(new Set(lines.map((line) => line.length)).size, 1, `the columns are aligned:\n${table.stdout}`);
    const csv = await command(parley.folder, ["usage", "--by", "model", "--csv"]);
    assert.match(csv.stdout, /^model,requests,attempts,errors,[a-z_,]*\r\n"anthropic\/count-4",1,1,0,.*\r\n"openai\/count-3",2,2,0,.*\r\n$/);
    const json = await command(parley.folder, ["usage", "--json"]);
    assert.equal(JSON.parse(json.stdout).total.requests, 3);
    const all = await command(parley.folder, ["usage", "--rows", "--user", "other@example.org"]);
    assert.match(all.stdout, /^time,request_id,.*\r\n"20.*"anthropic\/count-4".*\r\n$/);
    const more = await command(parley.folder, ["usage", "--rows", "--json"]);
    assert.equal(JSON.parse(more.stdout).length, 3);
  };
  await check();
  const wrong = await command(parley.folder, ["usage", "--by", "color"]);
  assert.equal(wrong.code, 1);
  assert.match(wrong.stderr, /by: must be of user, key/);
  assert.equal((await command(parley.folder, ["usage", "--rows", "--by", "day"])).code, 2);
  await parley.stop();
  await check(); // and without a server
});

test("what a key used today counts after kill -9, too", async (t) => {
  const fake = await startFake(t);
  let parley = await startParley(t, { fake });
  const { folder, user } = parley;
  const put = await parley.ask("PUT", `/api/v1/limits/key/${user.keyId}`, { local: true, body: { requests_per_day: 3 } });
  assert.ok(put.status < 300, put.text);
  const say = async () => (await parley.ask("POST", "/v1/chat/completions",
    { key: user.key, body: { model: "openai/count-3", messages: [{ role: "user", content: "go" }] } })).status;
  assert.deepEqual([await say(), await say()], [200, 200]);
  await parley.killNow();
  parley = await startParley(t, { folder, fake });
  assert.deepEqual([await say(), await say()], [200, 429]);
});
