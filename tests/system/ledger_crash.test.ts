// kill -9 under load: the ledger has a row for every attempt that the provider saw; a row for one
// that it did not see says so. Without the ledger's journal rows must be missing: the control that
// shows that this can fail.
import assert from "node:assert/strict";
import http from "node:http";
import { test, type TestContext } from "node:test";
import { Parley, sleep, startFake, startParley, type Fake, type Person } from "./parley.ts";

const ROUNDS = 8;
const AT_ONCE = 16;
const config = "router: {backoff_ms: 5, recovery: error, breaker_failures: 1000, breaker_ratio_percent: 0, bench_ms: 0}\n";

// xorshift: the same points in every run; CRASH_SEED tries others.
function randomOf(seed: number) {
  let state = seed || 1;
  return (below: number) => {
    state ^= state << 13; state ^= state >>> 17; state ^= state << 5;
    return (state >>> 0) % below;
  };
}

// Answers short and long, at once and slowly, refused and then given, cut off; each marked.
function modelOf(random: (below: number) => number, tag: number): string {
  const kinds = ["count-3+burst", "count-3+burst", "count-40+slow-5", "count-5+delay-30", "count-5+fail-1", "count-10+cut-3+slow-2", "503"];
  return `${["openai", "anthropic", "gemini", "ollama"][random(4)]}/${kinds[random(kinds.length)]}+tag-${tag}`;
}

function askOnce(parley: Parley, key: string, agent: http.Agent, model: string, stream: boolean): Promise<boolean> {
  const body = JSON.stringify({ model, stream, messages: [{ role: "user", content: "go" }], metadata: { job: "crash" } });
  return new Promise((done) => {
    const request = http.request(parley.url + "/v1/chat/completions", { method: "POST", agent,
      headers: { authorization: `Bearer ${key}`, "content-type": "application/json", "content-length": body.length } },
    (response) => {
      response.resume();
      response.on("end", () => done(true));
      response.on("error", () => done(false));
    });
    request.on("error", () => done(false));
    request.end(body);
  });
}

// Asks until nobody answers any more.
async function load(parley: Parley, user: Person, random: (below: number) => number, next: () => number): Promise<void> {
  const agent = new http.Agent({ keepAlive: true, maxSockets: AT_ONCE });
  await Promise.all(Array.from({ length: AT_ONCE }, async () => {
    for (let asked = 0; !parley.isEnded && await askOnce(parley, user.key, agent, modelOf(random, next()), random(2) === 0); asked++)
      if (asked > 50) await sleep(20); // on a fast machine: the provider's log has an end
  }));
  agent.destroy();
}

interface Row { target: string; outcome: string; reached: boolean; user: string; request_id: string; number: number; http_status: number | null }

const tagOf = (model: string) => /\+tag-(\d+)$/.exec(model)?.[1];

function countBy<T>(items: T[], name: (item: T) => string | undefined): Map<string, T[]> {
  const found = new Map<string, T[]>();
  for (const item of items) {
    const key = name(item);
    if (key) found.set(key, [...(found.get(key) ?? []), item]);
  }
  return found;
}

interface Comparison { seen: number; rows: number; unseen: number; missing: number; surplus: number; interrupted: number }

// Marker by marker: what the provider saw against what the ledger has.
async function compare(parley: Parley, fake: Fake): Promise<Comparison> {
  const answer = await parley.ask("GET", "/api/v1/ledger", { local: true });
  assert.equal(answer.status, 200, answer.text.slice(0, 500));
  const rows = (answer.json as Row[]).filter((row) => tagOf(row.target));
  const seen = countBy((await fake.log()).filter((one) => one.method === "POST"), (one) => tagOf(one.model));
  const known = countBy(rows, (row) => tagOf(row.target));
  const result = { seen: 0, rows: rows.length, unseen: 0, missing: 0, surplus: 0, interrupted: 0 };
  for (const tag of new Set([...seen.keys(), ...known.keys()])) {
    const attempts = seen.get(tag)?.length ?? 0, mine = known.get(tag) ?? [];
    const unsure = mine.filter((row) => row.outcome === "interrupted" && !row.reached).length;
    result.seen += attempts;
    result.interrupted += mine.filter((row) => row.outcome === "interrupted").length;
    if (mine.length < attempts) result.missing += attempts - mine.length;
    else if (mine.length - attempts > unsure) result.surplus += mine.length - attempts - unsure;
    else result.unseen += mine.length - attempts;
  }
  const sums = await parley.ask("GET", "/api/v1/usage?by=target,user", { local: true });
  assert.equal(sums.status, 200, sums.text);
  const attempts = sums.json.rows.filter((row: any) => tagOf(row.target)).reduce((sum: number, row: any) => sum + row.attempts, 0);
  if (!sums.json.truncated) assert.equal(attempts, rows.length, "the sums are those of the rows");
  assert.equal(sums.json.total.attempts, (answer.json as Row[]).filter((row) => !["cached", "shared", "refused"].includes(row.outcome)).length);
  return result;
}

async function crash(t: TestContext, journaled: boolean): Promise<Comparison> {
  const seed = Number(process.env["CRASH_SEED"] ?? 20261123);
  const random = randomOf(seed);
  t.diagnostic(`CRASH_SEED=${seed}`);
  const fake = await startFake(t);
  const args = journaled ? [] : ["--set", "data.journal_ledger=false"];
  let parley = await startParley(t, { fake, config, args });
  const { folder, user } = parley;
  let tag = 0;
  for (let round = 0; round < ROUNDS; round++) {
    const loading = load(parley, user, random, () => ++tag);
    await sleep(50 + random(1500));
    await parley.killNow();
    await loading;
    if (round % 3 === 2) { // and again while it recovers
      const early = new Parley(t, folder, { args });
      await sleep(random(200));
      await early.killNow();
    }
    parley = await startParley(t, { folder, fake, config, args });
  }
  const result = await compare(parley, fake);
  t.diagnostic(JSON.stringify({ ...result, requests: tag }));
  await parley.stop();
  return result;
}

test(`kill -9, ${ROUNDS} times: a row for every attempt`, async (t) => {
  const found = await crash(t, true);
  assert.ok(found.seen > 200, "there was load");
  assert.ok(found.interrupted > ROUNDS, "the kills hit attempts under way");
  assert.equal(found.missing, 0, "attempts that the provider saw have no row");
  assert.equal(found.surplus, 0, "rows of attempts that the provider did not see do not say so");
  assert.equal(found.rows, found.seen + found.unseen);
});

test("the control: without its journal the ledger loses rows", async (t) => {
  const found = await crash(t, false);
  assert.ok(found.missing > 0, "nothing was lost: the test above proves nothing");
});
