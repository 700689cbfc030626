import assert from "node:assert/strict";
import { test } from "node:test";
import { applyEvent, startRun, type RunState } from "../src/model/run.ts";
import type { RouteStory, RunEvent } from "../src/protocol.ts";
import { message } from "./helpers.ts";

const text = (value: string): RunEvent => ({ type: "text", text: value });
const play = (state: RunState, events: RunEvent[]) =>
  events.reduce((current, event) => applyEvent(current, current.seq + 1, event), state);
const empty = () => startRun("r1", message({ id: "m1" }));

test("increments of one kind become one part, another kind begins a new one", () => {
  const state = play(empty(), [
    { type: "start", model: "openai/gpt-5.5" },
    { type: "reasoning", text: "Let me " },
    { type: "reasoning", text: "think." },
    text("It "),
    text("is 4."),
  ]);
  assert.equal(state.message.model, "openai/gpt-5.5");
  assert.deepEqual(state.message.content, [
    { type: "reasoning", text: "Let me think." },
    { type: "text", text: "It is 4." },
  ]);
  assert.equal(state.seq, 5);
});

test("events that were had already change nothing, not even the object", () => {
  const state = play(empty(), [text("a"), text("b")]);
  assert.equal(applyEvent(state, 1, text("a")), state);
  assert.equal(applyEvent(state, 2, text("b")), state);
});

test("a gap is noticed, nothing is shown out of order, and what was missing heals it", () => {
  const state = applyEvent(empty(), 1, text("a"));
  const gapped = applyEvent(state, 3, text("c"));
  assert.equal(gapped.gap, true);
  assert.equal(gapped.seq, 1);
  assert.deepEqual(gapped.message.content, [{ type: "text", text: "a" }]);
  assert.equal(applyEvent(gapped, 4, text("d")), gapped, "asks once, not for every event");
  const healed = applyEvent(gapped, 2, text("b"));
  assert.equal(healed.gap, false);
  assert.deepEqual(applyEvent(healed, 3, text("c")).message.content, [{ type: "text", text: "abc" }]);
});

test("a snapshot replaces everything, also over a gap, and what follows goes on from it", () => {
  const whole = message({ id: "m1", content: [{ type: "text", text: "All so far" }] });
  const state = applyEvent(applyEvent(empty(), 1, text("old")), 40, { type: "snapshot", message: whole });
  assert.equal(state.seq, 40);
  assert.equal(state.gap, false);
  const next = applyEvent(state, 41, text(" and more"));
  assert.deepEqual(next.message.content, [{ type: "text", text: "All so far and more" }]);
});

test("tool calls collect their own arguments, also when two are interleaved", () => {
  const state = play(empty(), [
    text("Looking."),
    { type: "tool_start", index: 0, id: "a", name: "weather" },
    { type: "tool_start", index: 1, id: "b", name: "time" },
    { type: "tool_arguments", index: 0, text: '{"city":' },
    { type: "tool_arguments", index: 1, text: "{}" },
    { type: "tool_arguments", index: 0, text: '"Graz"}' },
  ]);
  assert.deepEqual(state.message.content.slice(1), [
    { type: "tool_call", id: "a", name: "weather", arguments: '{"city":"Graz"}' },
    { type: "tool_call", id: "b", name: "time", arguments: "{}" },
  ]);
});

test("arguments go on after a snapshot; those of an unknown call are dropped", () => {
  const whole = message({ id: "m1", content: [{ type: "tool_call", id: "a", name: "weather", arguments: '{"c' }] });
  const state = applyEvent(empty(), 7, { type: "snapshot", message: whole });
  const more = applyEvent(state, 8, { type: "tool_arguments", index: 0, text: 'ity":1}' });
  assert.deepEqual(more.message.content, [{ type: "tool_call", id: "a", name: "weather", arguments: '{"city":1}' }]);
  const unknown = applyEvent(more, 9, { type: "tool_arguments", index: 5, text: "x" });
  assert.equal(unknown.seq, 9);
  assert.deepEqual(unknown.message, more.message);
});

test("a continued answer keeps what it had and goes on in the same part", () => {
  const base = message({ id: "m1", content: [{ type: "text", text: "Once upon" }] });
  const state = applyEvent(startRun("r2", base), 1, text(" a time"));
  assert.deepEqual(state.message.content, [{ type: "text", text: "Once upon a time" }]);
});

test("finish tells how it ended, saved is the last word", () => {
  const error = { code: "overloaded", message: "The provider is overloaded.", remedy: "Try again in a moment." };
  const finished = applyEvent(empty(), 1, { type: "finish", status: "failed", finish: "error", error });
  assert.equal(finished.message.status, "failed");
  assert.deepEqual(finished.message.error, error);
  assert.equal(finished.done, false);
  const saved = applyEvent(finished, 2, { type: "saved", message: message({ id: "m1", status: "failed", error }) });
  assert.equal(saved.done, true);
  assert.equal(applyEvent(saved, 3, text("late")), saved);
});

test("saved holds the whole answer, so it counts even when events before it are missing", () => {
  const whole = message({ id: "m1", status: "complete", content: [{ type: "text", text: "All." }] });
  const state = applyEvent(empty(), 90, { type: "saved", message: whole });
  assert.equal(state.done, true);
  assert.equal(state.message, whole);
});

test("an event of a newer server is counted and otherwise ignored", () => {
  const unknown = { type: "hologram" } as unknown as RunEvent;
  const state = applyEvent(empty(), 1, unknown);
  assert.equal(state.seq, 1);
  assert.deepEqual(applyEvent(state, 2, text("a")).message.content, [{ type: "text", text: "a" }]);
});

test("any cut and replay gives the same message", () => {
  const events: RunEvent[] = [..."a stream of words"].map(text);
  const whole = play(empty(), events).message;
  for (let cut = 0; cut <= events.length; cut++) {
    let state = play(empty(), events.slice(0, cut));
    const from = Math.max(0, cut - 3); // the server repeats a little
    events.slice(from).forEach((event, index) => (state = applyEvent(state, from + index + 1, event)));
    assert.deepEqual(state.message, whole);
  }
});

const story = (change: Partial<RouteStory> = {}): RouteStory => ({
  target: "b/n",
  attempts: 2,
  failures: [{ target: "a/m", class: "network" }],
  joints: [],
  ...change,
});

test("rewind counts bytes of the whole text, and what came behind goes", () => {
  const state = play(empty(), [
    text("Grüß 👋 Gott"),
    { type: "reasoning", text: "hm" },
    text(" und mehr"),
    { type: "tool_start", index: 0, id: "a", name: "f" },
    { type: "rewind", text_bytes: 12 },
    text("dich"),
  ]);
  assert.deepEqual(state.message.content, [{ type: "text", text: "Grüß 👋 dich" }]);
  assert.deepEqual(state.toolPositions, {});
  assert.deepEqual(play(state, [{ type: "rewind", text_bytes: 0 }]).message.content, [{ type: "text", text: "" }]);
  assert.deepEqual(play(state, [{ type: "rewind", text_bytes: 900 }]).message.content, state.message.content);
});

test("rewind goes over several parts, and never leaves half a character", () => {
  const parts: RunEvent[] = [{ type: "reasoning", text: "r" }, text("ab"), { type: "reasoning", text: "s" }, text("\ufeffé👋")];
  const cut = (bytes: number) =>
    play(empty(), [...parts, { type: "rewind", text_bytes: bytes }]).message.content.map((part) => ("text" in part ? part.text : ""));
  assert.deepEqual(cut(1), ["r", "a"]);
  assert.deepEqual(cut(2), ["r", "ab"]);
  assert.deepEqual(cut(5), ["r", "ab", "s", "\ufeff"]);
  assert.deepEqual(cut(6), ["r", "ab", "s", "\ufeff"]);
  assert.deepEqual(cut(10), ["r", "ab", "s", "\ufeffé"]);
  assert.deepEqual(cut(11), ["r", "ab", "s", "\ufeffé👋"]);
});

test("who is asked becomes who answers when it has shown something", () => {
  const joint = { text_bytes: 2, mode: "splice", from: "a/m", to: "b/n", class: "network" };
  const asked = play(empty(), [{ type: "start", model: "a/m" }, text("He"), { type: "route", route: story() }]);
  assert.equal(asked.message.model, "a/m");
  assert.equal(asked.message.route?.target, "b/n");
  const joined = play(asked, [text("llo"), { type: "route", route: story({ joints: [joint] }) }]);
  assert.equal(joined.message.model, "b/n");
});
