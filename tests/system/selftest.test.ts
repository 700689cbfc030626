// parley selftest: the list of faults through the router, with the policy of the configuration.
import assert from "node:assert/strict";
import { existsSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { command, startParley, temporaryFolder } from "./parley.ts";
import { NATIVE } from "./router.ts";

interface Result {
  fault: string; dialect: string; streamed: boolean; passed: boolean; outcome: string; class: string | null;
  answered: string | null; attempts: number; requests: number; joint: string | null; ms: number; complaint: string | null;
}

const selftest = async (folder: string, ...args: string[]) => {
  const end = await command(folder, ["selftest", ...args]);
  return { ...end, json: args.includes("--json") && end.stdout ? JSON.parse(end.stdout) : null };
};

function find(results: Result[], fault: string, streamed: boolean): Result[] {
  const found = results.filter((one) => one.fault === fault && one.streamed === streamed);
  assert.deepEqual(found.map((one) => one.dialect), NATIVE, fault);
  return found;
}

test("everything is rescued with the default policy; nothing is touched", async (t) => {
  const folder = temporaryFolder(t);
  const end = await selftest(folder);
  assert.match(end.stdout, /\n\d{3} passed, 0 failed\n$/, end.stdout + end.stderr);
  assert.equal(end.code, 0);
  assert.match(end.stdout, /^Policy: router\nWaits are cut short \(--real-time keeps them\): backoff_ms 50 for 2000, /);
  assert.match(end.stdout, /^  503 for ever +streamed +all +whole +secondary +4 +- +\d/m);
  assert.match(end.stdout, /^  context too long +whole +all +context_length +- +1 +- +\d/m);
  assert.match(end.stdout, /^  stall, the other one continues it +streamed +all +whole +secondary +2 +prefill +\d/m);
  assert.doesNotMatch(end.stdout, /^!|TRUNCATED/m);
  assert.ok(!existsSync(join(folder, "data")), "no data directory is made");
});

test("as JSON, beside a running server", async (t) => {
  const parley = await startParley(t, { people: false });
  const { code, json } = await selftest(parley.folder, "--json");
  const results: Result[] = json.faults;
  assert.equal(code, 0);
  assert.deepEqual([json.route, json.real_time, json.failed, json.passed], [null, false, 0, results.length]);
  assert.equal(json.cut_short.first_content_ms, 500);
  for (const one of results) assert.ok(one.passed && one.complaint === null && one.requests >= 1 && one.ms >= 0, JSON.stringify(one));
  for (const one of find(results, "one 500", true)) assert.deepEqual([one.outcome, one.answered, one.attempts, one.joint], ["whole", "primary", 2, null]);
  for (const one of find(results, "cut mid-answer", true)) assert.deepEqual([one.outcome, one.answered, one.joint], ["whole", "secondary", "splice"]);
  for (const one of find(results, "stall, the other one says it otherwise", true)) assert.deepEqual([one.joint, one.attempts], ["continue", 3]);
  for (const one of find(results, "silence", false)) assert.ok(one.ms >= 490 && one.attempts === 2, JSON.stringify(one));
  for (const one of find(results, "an invalid request", false)) assert.deepEqual([one.outcome, one.class, one.answered, one.attempts], ["error", "invalid_request", null, 1]);
  for (const one of find(results, "503 for a while under load, then health", true)) assert.ok(one.requests > 3 && one.answered === "primary", JSON.stringify(one));
});

test("a policy that cannot rescue is told; one that will not, is heeded", async (t) => {
  const folder = temporaryFolder(t);
  writeFileSync(join(folder, "parley.yaml"), `
routes:
  poor: {targets: [parley/eliza], attempts: 2, attempts_total: 2, backoff_ms: 5}
  honest: {targets: [parley/eliza], recovery: error, backoff_ms: 5}
  wrong: {targets: [nobody/nothing]}
`);
  const poor = await selftest(folder, "--route", "poor");
  assert.equal(poor.code, 1, poor.stdout + poor.stderr);
  assert.match(poor.stdout, /^Policy: routes\.poor$/m);
  assert.match(poor.stdout, /^! 503 for ever +streamed +all +overloaded +- +2 +- +\S+ +it was not rescued$/m);
  assert.match(poor.stdout, /^  silence +streamed +all +whole +secondary +2 /m);
  assert.match(poor.stdout, /\n\d+ passed, [1-9]\d* failed\n$/);

  const honest = await selftest(folder, "--route=honest", "--json");
  assert.equal(honest.code, 0, honest.stderr);
  for (const one of find(honest.json.faults, "stall mid-answer", true)) assert.deepEqual([one.outcome, one.passed], ["error", true]);
  for (const one of find(honest.json.faults, "stall mid-answer", false)) assert.equal(one.outcome, "whole");

  for (const [args, complaint] of [
    [["--route", "por"], /no route 'por'[^]*Did you mean 'poor'/], [["--route", "wrong"], /nobody/],
    [["--json=1"], /takes no value/], [["--unheard-of"], /no flag/], [["one"], /^usage: parley selftest \[/],
  ] as const) {
    const end = await selftest(folder, ...args);
    assert.ok(end.code !== 0 && !end.stdout, end.stdout);
    assert.match(end.stderr, complaint);
  }
});
