import assert from "node:assert/strict";
import { test } from "node:test";
import { jointPlaces, storyLine } from "../src/model/story.ts";
import { figures, helpNeeded, isKnown, stateWord } from "../src/model/targets.ts";
import type { MessageStatus, RouteStory, Target } from "../src/protocol.ts";
import { message } from "./helpers.ts";

const GPT = "openai/gpt-5.5";
const CLAUDE = "anthropic/claude-sonnet-5";
const story = (change: Partial<RouteStory>): RouteStory => ({ target: CLAUDE, attempts: 2, failures: [], joints: [], ...change });
const told = (route: RouteStory | null, status: MessageStatus = "complete", model = CLAUDE, text = "Hello") =>
  storyLine(message({ id: "m", status, model, route, content: text === "" ? [] : [{ type: "text", text }] }));

test("an answer without a story has no line", () => {
  assert.equal(told(null), null);
  assert.equal(storyLine({ ...message({ id: "m" }), route: undefined as never }), null);
});

test("who answered in whose place, and why", () => {
  const overloaded = { target: GPT, class: "overloaded" };
  assert.equal(told(story({ failures: [overloaded] })), `Answered by ${CLAUDE}: ${GPT} was overloaded.`);
  assert.equal(
    told(story({ failures: [overloaded, overloaded, { target: "a/b", class: "network" }] })),
    `Answered by ${CLAUDE}: ${GPT} was overloaded, a/b could not be reached.`,
  );
  assert.equal(
    told(story({ target: GPT, failures: [{ target: GPT, class: "rate_limited" }] })),
    `Answered by ${GPT} when asked again: at first it had too many requests.`,
  );
  assert.equal(told(story({ failures: [{ target: GPT, class: "hologram" }] })), `Answered by ${CLAUDE}: ${GPT} failed.`);
});

test("where an answer broke off, its failure is told once", () => {
  const joint = { text_bytes: 7, mode: "splice", from: GPT, to: CLAUDE, class: "network" };
  const cut = { target: GPT, class: "network" };
  const broke = `The answer broke off at ${GPT} (the connection was lost); ${CLAUDE} went on from here.`;
  assert.equal(told(story({ failures: [cut], joints: [joint] })), broke);
  assert.equal(
    told(story({ failures: [cut, { target: "a/b", class: "timeout" }], joints: [joint] })),
    `${broke} a/b did not answer in time.`,
  );
  assert.match(told(story({ failures: [cut], joints: [{ ...joint, to: GPT }] })) ?? "", /; asked again, it went on/);
  const long = "x".repeat(60);
  const whole = message({ id: "m", route: story({ joints: [joint, { ...joint, text_bytes: 0 }, { ...joint, text_bytes: 70 }] }), content: [{ type: "text", text: `Grüß ${long}` }] });
  assert.deepEqual(jointPlaces(whole), ["behind “Grüß”", "at its beginning", `behind “…${"x".repeat(40)}”`]);
});

test("while it is asked: who is away, who is next", () => {
  const failures = [{ target: GPT, class: "overloaded" }];
  assert.equal(told(story({ failures }), "streaming", "", ""), `${GPT} is overloaded, asking ${CLAUDE}…`);
  assert.equal(told(story({ target: GPT, failures }), "streaming", "", ""), `${GPT} is overloaded, asking it again…`);
  assert.equal(told(story({ failures }), "streaming", GPT), `${GPT} broke off (it was overloaded), asking ${CLAUDE}…`);
  assert.equal(told(story({ failures }), "streaming", CLAUDE), `Answered by ${CLAUDE}: ${GPT} was overloaded.`);
});

test("a failed answer names the others that were asked", () => {
  const failures = [{ target: GPT, class: "overloaded" }];
  assert.equal(told(story({ failures }), "failed"), null);
  assert.equal(
    told(story({ failures: [...failures, { target: CLAUDE, class: "quota_exhausted" }] }), "failed"),
    `Asked in vain: ${GPT} was overloaded, ${CLAUDE} had no quota left.`,
  );
});

const target = (change: Partial<Target> = {}): Target => ({
  id: GPT, state: "closed", until: null, reason: "", calls: 0, waiting: 0, first_content_ms: null, p95_ms: null,
  connect_ms: null, failed_percent: 0, succeeded: 0, failed: 0, last_error: null, ...change,
});

test("targets: who needs help, and what is said of each", () => {
  const error = { class: "provider_authentication", message: "no", when: "2026-01-01T00:00:00Z" };
  assert.equal(helpNeeded(target({ state: "benched", last_error: error })), "its provider refused Parley’s key");
  assert.equal(helpNeeded(target({ last_error: error })), null);
  assert.equal(helpNeeded(target({ state: "benched" })), null);
  assert.equal(helpNeeded(target({ state: "benched", last_error: { ...error, class: "network" } })), null);
  assert.equal(stateWord(target()), "Works");
  assert.equal(stateWord(target({ until: error.when })), "Pausing");
  assert.equal(stateWord(target({ state: "open", until: error.when })), "Left alone");
  assert.equal(isKnown(target()), false);
  assert.equal(isKnown(target({ succeeded: 1 })), true);
  assert.equal(figures(target()), "not asked yet");
  assert.equal(figures(target({ last_error: error })), "no answer yet");
  assert.equal(
    figures(target({ first_content_ms: 340, p95_ms: 1234, calls: 1, waiting: 3, succeeded: 14, failed: 1 })),
    "first words after 340 ms (slow: 1.2 s) · 1 call under way · 3 waiting · 14 answered, 1 failed",
  );
});
