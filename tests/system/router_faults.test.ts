// Every fault of a provider, streamed and not, on every native dialect, as the first target of a
// route whose second one is well: the outcome, who was asked how often, and when.
import assert from "node:assert/strict";
import { test } from "node:test";
import { type Fake, type Parley } from "./parley.ts";
import { asked, assertFailed, assertWhole, chat, counted, gaps, NATIVE, own, Routes, startRouted, type Chat, type Native, type Policy } from "./router.ts";

type Dialect = Native | "responses";
type Range = readonly [number, number];

// What is expected of one request: either whole with a text, or failed with a class.
interface Expected {
  text?: string | RegExp; // whole [what the second target says]
  error?: RegExp; // OpenAI's type and code
  status?: number;
  finish?: string;
  from?: "one" | "two"; // who answered in the end [two]
  one?: Range; // how often the first target was asked [once]
  two?: Range; // [once when it answered, else never]
  took?: Range; // ms
  gap?: Range; // ms between attempts at the first target
  joint?: RegExp; // mode of the one joint [none]
  shown?: string; // of the answer, when the other target took over
}

interface Row {
  name: string;
  one: string;
  policy?: Policy;
  alone?: boolean; // a route of one
  two?: string;
  both?: Expected;
  streamed?: Expected;
  whole?: Expected;
  but?: Partial<Record<Dialect, Expected>>; // in place of `both`, `streamed` and `whole`
  butStreamed?: Partial<Record<Dialect, Expected>>;
}

const TWO = counted(6);
const first = { from: "one", text: TWO } as const;
const soon: Range = [0, 1500]; // on a busy machine
const often: Range = [3, 3]; // all attempts of the policy
const some: Range = [1, 3];
const left: Range = [350, 2000]; // a silent one, after the 400 ms of the policy

// Its 429 tells a limit of requests per minute, which is kept from then on.
const paced: Expected = { one: some, took: [0, 5000] };

// Where the end is the finish too, an answer without one has broken off.
const unfinished: Expected = { one: some, joint: /splice|continue/, took: soon };
const unheard: Expected = { joint: /splice|continue/, took: [1450, 4000] };

// An answer that broke off behind "1 2 3 " and was taken up again.
const joined: Expected = { one: some, joint: /^(prefill|splice|continue)$/, shown: counted(3), took: soon };

const rows: Row[] = [
  { name: "429 with Retry-After once", one: "429-after-1+then+count-6", both: { took: [0, 900] } }, // waiting would take longer
  { name: "429 with Retry-After once, and nobody else", one: "429-after-1+then+count-6", alone: true, policy: { backoff_max_ms: 3000, first_content_ms: 3000 },
    both: { ...first, one: [2, 2], gap: [990, 2500], took: [990, 3000] } },
  { name: "429 with a long Retry-After, and nobody else", one: "429-after-60", alone: true, both: { error: /rate_limit/, status: 429, took: soon } },
  { name: "429 for ever without Retry-After", one: "429", both: { one: often, took: soon }, but: { anthropic: paced } },
  { name: "429 for ever, and nobody else", one: "429", alone: true, both: { error: /rate_limit/, status: 429, one: often, took: soon },
    but: { anthropic: { ...paced, error: /rate_limit/, status: 429 } } },
  { name: "one 500", one: "500+then+count-6", both: { ...first, one: [2, 2], took: soon } },
  { name: "500 for ever", one: "500", both: { one: often, took: soon } },
  { name: "503 for ever", one: "503", both: { one: often, took: soon } },
  { name: "503 for ever, and nobody else", one: "503", alone: true, both: { error: /service_unavailable/, status: 503, one: often, took: soon } },
  { name: "reset before headers", one: "reset", both: { one: often, took: soon } },
  { name: "reset before headers once", one: "reset+then+count-6", both: { ...first, one: [1, 2], took: soon } },
  { name: "silence", one: "silent", both: { took: left } },
  { name: "silence behind the opening", one: "stall-0", both: { took: left } },
  { name: "pings, but no content", one: "pings-20", both: { took: left } },
  { name: "first token late", one: "count-6+late-5000", both: { took: left } },
  { name: "late, but not too late", one: "count-6+late-150", both: { ...first, took: [140, 1500] } },
  { name: "cut mid-answer", one: "cut-3", streamed: joined, whole: { one: often, took: soon } },
  { name: "reset mid-answer", one: "reset-3", streamed: { one: some, took: soon }, whole: { one: often, took: soon } },
  { name: "stall mid-answer", one: "stall-3", streamed: { ...joined, one: [1, 1], took: left }, whole: { took: left } },
  { name: "error mid-answer", one: "error-3", streamed: joined, whole: { one: often, took: soon } },
  { name: "one malformed event", one: "count-6+malformed-2", streamed: { from: "one", text: "1 3 4 5 6 ", took: soon }, whole: { one: often, took: soon } },
  { name: "no final sentinel", one: "count-6+no-sentinel", both: { ...first, took: soon }, butStreamed: { ollama: unfinished, responses: unfinished } },
  { name: "no final sentinel, and the connection stays", one: "count-6+open-end", policy: { content_idle_ms: 1500 }, both: { ...first, took: [0, 1200] },
    butStreamed: { ollama: unheard, responses: unheard } },
  { name: "no finish at all", one: "count-6+no-finish", streamed: { one: some, joint: /splice|continue/, took: soon }, whole: { ...first, took: soon } },
  { name: "context too long", one: "400-context", both: { error: /context_length/, status: 400, from: "one", took: soon } },
  { name: "content filtered", one: "filtered", both: { from: "one", text: "I was going to say", finish: "content_filter", took: soon }, but: { ollama: { from: "one", text: "I was going to say", took: soon } } },
  { name: "a prompt that is filtered", one: "400-filtered", both: { error: /content_filter|invalid_request/, status: 400, from: "one", took: soon } },
  { name: "an invalid request", one: "400-invalid", both: { error: /invalid_request/, status: 400, from: "one", took: soon } },
  { name: "a refused key", one: "401", both: { took: soon } },
  { name: "a refused key, and nobody else", one: "401", alone: true, both: { error: /provider_authentication/, status: 502, took: soon } },
  { name: "a used-up quota", one: "429-quota", both: { one: some, took: soon } },
  { name: "no such model", one: "no-such-model", both: { took: soon } },
  { name: "HTML in place of an answer", one: "garbage", both: { one: some, took: soon } },
  { name: "JSON in place of a stream", one: "count-6+json-instead-of-stream", both: { text: TWO, one: some, two: [0, 1], took: soon } },
  { name: "everybody fails", one: "503", two: "500", both: { error: /server_error|service_unavailable/, one: often, two: often, took: soon } },
];

function expectedOf(row: Row, dialect: Dialect, stream: boolean): Expected {
  const special = (stream && row.butStreamed?.[dialect]) || row.but?.[dialect];
  return special || { ...row.both, ...(stream ? row.streamed : row.whole) };
}

interface Case { row: Row; dialect: Dialect; stream: boolean; route: string; one: string; two: string }

function caseOf(routes: Routes, row: Row, dialect: Dialect, stream: boolean, number: number): Case {
  const one = own(row.one), two = own(row.two ?? "count-6");
  const targets = [`${dialect}/${one}`, ...(row.alone ? [] : [`two/${two}`])];
  return { row, dialect, stream, one, two, route: routes.add(`r${number}-${stream ? "streamed" : "whole"}`, targets, row.policy) };
}

function within(value: number, [low, high]: Range, what: string): void {
  assert.ok(value >= low && value <= high, `${what}: ${value} is not within ${low} and ${high}`);
}

function assertOutcome(answer: Chat, one: Case, expected: Expected): void {
  if (expected.error) {
    assertFailed(answer, expected.error, one.row.name);
    if (expected.status) assert.equal(answer.status, expected.status, answer.raw);
    return;
  }
  assertWhole(answer, expected.text ?? TWO, one.row.name);
  if (expected.finish) assert.equal(answer.finish, expected.finish);
  if (!expected.two || expected.from)
    assert.equal(answer.target, expected.from === "one" ? `${one.dialect}/${one.one}` : `two/${one.two}`);
}

// What the provider saw, and whether the headers say the same.
async function assertAttempts(fake: Fake, answer: Chat, one: Case, expected: Expected): Promise<void> {
  const atOne = await asked(fake, one.one), atTwo = one.row.alone ? [] : await asked(fake, one.two);
  const answersTwo: Range = expected.error || expected.from === "one" ? [0, 0] : [1, 1];
  const what = `${one.row.name}: ${[...atOne, ...atTwo].map((seen) => `${seen.model} ${seen.status} ${seen.outcome} ${seen.at_ms}+${seen.after_ms}`).join("; ")}`;
  within(atOne.length, expected.one ?? [1, 1], `asked of the first: ${what}`);
  within(atTwo.length, expected.two ?? answersTwo, `asked of the second: ${what}`);
  assert.equal(answer.attempts, atOne.length + atTwo.length, `attempts told: ${what}`);
  for (const gap of expected.gap ? gaps(atOne) : []) within(gap, expected.gap!, `pause: ${what}`);
  if (atOne.length && atTwo.length) assert.ok(atTwo[0]!.at_ms >= atOne.at(-1)!.at_ms, `the second is asked after the first: ${what}`);
}

function assertJoint(answer: Chat, one: Case, expected: Expected): void {
  const joints = answer.parley?.joints ?? [];
  if (!expected.joint) return;
  assert.equal(joints.length, 1, answer.raw.slice(-700));
  const joint = joints[0]!;
  assert.match(joint.mode, expected.joint);
  assert.deepEqual([joint.from, joint.to], [`${one.dialect}/${one.one}`, `two/${one.two}`]);
  assert.match(joint.class, /^(network|timeout|provider_error|overloaded)$/);
  if (expected.shown) assert.equal(joint.text_bytes, expected.shown.length);
}

async function play(parley: Parley, fake: Fake, one: Case): Promise<void> {
  const expected = expectedOf(one.row, one.dialect, one.stream);
  const answer = await chat(parley, one.route, one.stream);
  assertOutcome(answer, one, expected);
  await assertAttempts(fake, answer, one, expected);
  assertJoint(answer, one, expected);
  if (expected.took) within(answer.took, expected.took, `${one.row.name} took`);
  const overhead = Number(answer.headers["x-parley-overhead-ms"]);
  assert.ok(overhead >= 0 && overhead < 200, `overhead: ${answer.headers["x-parley-overhead-ms"]}`);
}

for (const dialect of [...NATIVE, "responses"] as const) test(`faults of ${dialect}`, { concurrency: 6 }, async (t) => {
  const routes = new Routes();
  const cases = rows.flatMap((row, i) => [true, false].map((stream) => caseOf(routes, row, dialect, stream, i)));
  const { fake, parley } = await startRouted(t, routes);
  await Promise.all(cases.map((one) => t.test(`${one.row.name}, ${one.stream ? "streamed" : "whole"}`, () => play(parley, fake, one))));
});
