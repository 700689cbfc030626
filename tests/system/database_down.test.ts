// The database does not take anything: locked by another program, or on a full disk. Calls with known keys go on,
// limits hold, and what was used is in it once it takes things again; also when the program is killed meanwhile.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { closeSync, mkdirSync, openSync, rmSync, writeSync } from "node:fs";
import { DatabaseSync } from "node:sqlite";
import { join } from "node:path";
import { test, type TestContext } from "node:test";
import { afterwards, eventually, oneAttempt, sleep, startFake, startParley, temporaryFolder, within, type Parley } from "./parley.ts";
import { counted } from "./router.ts";
import { openSocket } from "./socket.ts";

const config = `${oneAttempt}prices: {"openai/count-3": "in=1 out=1"}\n`;
const BUSY_MS = 5000; // so long the store waits for a lock

const say = (parley: Parley, model = "openai/count-3", stream = false) => within(2000, "an answer in spite of it", parley.ask("POST", "/v1/chat/completions",
  { key: parley.user.key, body: { model, stream, messages: [{ role: "user", content: "x" }], metadata: { job: "down" } } }));

// Nobody else writes until it is let go.
function lock(t: TestContext, parley: Parley): () => void {
  const database = new DatabaseSync(join(parley.data, "parley.db"), { timeout: BUSY_MS });
  database.exec("BEGIN EXCLUSIVE");
  let isHeld = true;
  const free = () => {
    if (isHeld) { database.exec("ROLLBACK"); database.close(); }
    isHeld = false;
  };
  afterwards(t, free);
  return free;
}

async function sums(parley: Parley) {
  const { json } = await parley.ask("GET", "/api/v1/usage", { local: true });
  const rows = (await parley.ask("GET", "/api/v1/ledger", { local: true })).json as any[];
  return { requests: json.total.requests as number, attempts: json.total.attempts as number, cost: json.total.cost_usd as string, rows: rows.length,
    outcomes: [...new Set(rows.map((row) => row.outcome))].sort().join(" "), tags: (await parley.ask("GET", "/api/v1/usage?by=tag", { local: true })).json.rows };
}

// A refused request has a row, too, and counts in no sum.
const settled = (parley: Parley, requests: number, rows = requests) => eventually(`${requests} are counted`, async () => {
  const found = await sums(parley);
  assert.ok(found.requests <= requests && found.rows <= rows, `counted twice: ${JSON.stringify(found)}`);
  return found.requests === requests && found.rows === rows && found;
}, 15_000);

test("locked: calls go on, rows come in later, once", async (t) => {
  const fake = await startFake(t);
  const parley = await startParley(t, { fake, config });
  await parley.ask("PUT", `/api/v1/limits/key/${parley.user.keyId}`, { local: true, body: { requests_per_day: 40 } });
  assert.equal((await say(parley)).status, 200);
  const free = lock(t, parley), until = Date.now() + BUSY_MS + 2500; // a block is given up, and tried again
  let asked = 1;
  while (Date.now() < until || asked < 40) {
    if (asked >= 40) { await sleep(50); continue; }
    const answer = await say(parley, asked % 2 ? "openai/count-3" : "anthropic/count-3", asked % 3 === 0);
    assert.equal(answer.status, 200, answer.text);
    assert.ok(answer.text.includes("3 "), answer.text);
    asked++;
    await sleep(150);
  }
  assert.equal((await say(parley)).status, 429, "limits are in memory");
  assert.ok((await sums(parley)).requests < 40, "the lock held");
  free();
  const found = await settled(parley, 40, 41);
  assert.equal(found.attempts, 40);
  assert.equal(found.outcomes, "answered refused");
  assert.deepEqual(found.tags.map((row: any) => [row.tag, row.requests]), [["job:down", 40]]);
});

test("locked, and kill -9: the next start counts everything once", async (t) => {
  const fake = await startFake(t);
  let parley = await startParley(t, { fake, config });
  const { folder, user } = parley;
  await say(parley);
  await settled(parley, 1);
  let free = lock(t, parley);
  for (let i = 0; i < 10; i++) assert.equal((await say(parley)).status, 200);
  const cut = parley.ask("POST", "/v1/chat/completions", { key: user.key, body: { model: "openai/count-3+delay-5000", messages: [{ role: "user", content: "x" }] } }).catch(() => {});
  await eventually("the last one is asked", async () => (await fake.log()).length >= 12);
  await sleep(1200); // a block was given to the store, which waits
  await parley.killNow();
  await cut;
  free();
  parley = await startParley(t, { folder, fake, config });
  parley.user = user;
  const found = await settled(parley, 12);
  assert.deepEqual([found.attempts, found.rows, found.outcomes], [12, 12, "answered interrupted"]);
  assert.equal(found.cost, (11 * 18 / 1e6).toFixed(9));
  free = lock(t, parley); // and again, right behind a start
  await say(parley);
  await parley.killNow();
  free();
  parley = await startParley(t, { folder, fake, config });
  assert.equal((await settled(parley, 13)).rows, 13);
});

// A small disk, where one may be made.
function smallDisk(t: TestContext): string | undefined {
  const folder = join(temporaryFolder(t), "disk");
  mkdirSync(folder);
  try { execFileSync("mount", ["-t", "tmpfs", "-o", "size=24m", "tmpfs", folder], { stdio: "ignore" }); } catch { return undefined; }
  afterwards(t, () => execFileSync("umount", ["-l", folder]));
  return folder;
}

function fill(folder: string): () => void {
  const file = join(folder, "ballast"), fd = openSync(file, "w"), piece = Buffer.alloc(64 * 1024);
  for (let size = piece.length; size >= 1; size >>= 1)
    try { for (;;) writeSync(fd, piece, 0, size); } catch { /* full for pieces of that size */ }
  closeSync(fd);
  return () => rmSync(file);
}

test("a full disk", async (t) => {
  const disk = smallDisk(t);
  if (!disk) return t.skip("no small disk can be made here");
  const fake = await startFake(t);
  const parley = await startParley(t, { fake, config, env: { DATA_DIR: join(disk, "data") } });
  const socket = await openSocket(t, parley);
  assert.equal((await say(parley)).status, 200);
  await settled(parley, 1);
  const free = fill(disk);
  for (let i = 0; i < 30; i++) {
    const answer = await say(parley, "openai/count-3", i % 2 === 0);
    assert.equal(answer.status, 200, answer.text);
    await sleep(50);
  }
  const refused = await socket.call({ type: "send", conversation_id: null, parent_id: null, content: "x".repeat(20_000), model: "openai/count-3" }, 20_000);
  assert.equal(refused.type, "error", "a message that is not on the disk is not accepted");
  assert.match(refused.error.code, /storage|disk|full|internal/);
  free();
  const found = await settled(parley, 31);
  assert.deepEqual([found.rows, found.outcomes], [31, "answered"]);
  const accepted = await socket.accept({ type: "send", conversation_id: null, parent_id: null, content: "x", model: "openai/count-3" });
  const saved = await socket.saved(accepted.run_id);
  assert.equal(saved.event.message.content[0].text, counted(3));
});
