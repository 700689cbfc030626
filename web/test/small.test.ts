import assert from "node:assert/strict";
import { test } from "node:test";
import { answerProblem, endNote, formatArguments, formatUsage } from "../src/model/answer-notes.ts";
import { backoffMs } from "../src/model/backoff.ts";
import { imageRefusal, imageSource, makeContent, sameContent } from "../src/model/content.ts";
import { groupByDay } from "../src/model/days.ts";
import { decodeEntities } from "../src/model/entities.ts";
import { safeLink } from "../src/model/links.ts";
import { chooseModel, groupModels, searchModels } from "../src/model/models.ts";
import { describeProblem, describeRemedy } from "../src/model/problems.ts";
import { freeName, settingsOfProvider, settingsWithoutProvider } from "../src/model/providers.ts";
import { parseRoute, routePath } from "../src/model/route.ts";
import { conversation, message, model } from "./helpers.ts";

test("days are calendar days, and the newest conversation comes first", () => {
  const now = new Date(2026, 2, 15, 0, 30);
  const groups = groupByDay(
    [
      conversation("march", new Date(2026, 2, 1, 12)),
      conversation("late last night", new Date(2026, 2, 14, 23, 50)),
      conversation("just now", new Date(2026, 2, 15, 0, 29)),
      conversation("monday", new Date(2026, 2, 9, 12)),
      conversation("january", new Date(2026, 0, 3)),
      conversation("from a clock ahead", new Date(2026, 2, 16)),
    ],
    now,
  );
  assert.deepEqual(
    groups.map((group) => [group.label, group.conversations.map(({ id }) => id)]),
    [
      ["Today", ["from a clock ahead", "just now"]],
      ["Yesterday", ["late last night"]],
      ["Previous 7 days", ["monday"]],
      ["Previous 30 days", ["march"]],
      ["January 2026", ["january"]],
    ],
  );
});

test("waiting grows, stays within bounds, and is jittered", () => {
  assert.equal(backoffMs(0, () => 0), 200);
  assert.equal(backoffMs(0, () => 1), 400);
  assert.equal(backoffMs(3, () => 1), 3200);
  assert.equal(backoffMs(1000, () => 1), 15_000);
});

test("only harmless addresses become links", () => {
  assert.equal(safeLink("https://example.org/a?b#c"), "https://example.org/a?b#c");
  assert.equal(safeLink("mailto:ada@example.org"), "mailto:ada@example.org");
  for (const bad of ["javascript:alert(1)", "JaVaScRiPt:alert(1)", "data:text/html,x", "/settings", "\tjava\nscript:x", "vbscript:x", "file:///etc/passwd", ""]) {
    assert.equal(safeLink(bad), null, bad);
  }
});

test("entities become characters once, and broken ones stay", () => {
  assert.equal(decodeEntities("a &amp; b &lt;c&gt; &#39;d&#x27; &quot;"), "a & b <c> 'd' \"");
  assert.equal(decodeEntities("&amp;lt;"), "&lt;");
  assert.equal(decodeEntities("&#0;&#xD800;&#x110000;"), "\ufffd\ufffd\ufffd");
  assert.equal(decodeEntities("AT&T & co;"), "AT&T & co;");
});

test("routes are read and written the same way", () => {
  for (const path of ["/", "/c/01k0abc", "/settings", "/signin"]) assert.equal(routePath(parseRoute(path, "")), path);
  assert.deepEqual(parseRoute("/setup", "?token=a%2Bb"), { name: "setup", token: "a+b" });
  assert.deepEqual(parseRoute("/c/../settings", ""), { name: "new" });
});

test("models are searched by every word, grouped, and built-in ones come last", () => {
  const models = [model("builtin/eliza", { built_in: true }), model("openai/gpt-5.5"), model("ollama/llama"), model("openai/gpt-mini")];
  assert.deepEqual(searchModels(models, "GPT open").map(({ id }) => id), ["openai/gpt-5.5", "openai/gpt-mini"]);
  assert.deepEqual(groupModels(models).map(({ provider }) => provider), ["openai", "ollama", "builtin"]);
  assert.equal(chooseModel(models, "gone/model", undefined, "ollama/llama"), "ollama/llama");
  assert.equal(chooseModel(models, null), "openai/gpt-5.5", "a real model before the demonstration");
  assert.equal(chooseModel([], "x"), "");
});

test("images: what may be attached, what may be shown", () => {
  assert.equal(imageRefusal("a.png", "image/png", 5 * 1024 * 1024), null);
  assert.match(imageRefusal("a.png", "image/png", 5 * 1024 * 1024 + 1) ?? "", /5 MB/);
  assert.match(imageRefusal("a.svg", "image/svg+xml", 10) ?? "", /only PNG/);
  assert.equal(imageSource({ type: "image", mime: "image/svg+xml", data: "x" }), null);
  assert.equal(imageSource({ type: "image", url: "https://evil.example/x.png" }), null);
  assert.equal(imageSource({ type: "image", mime: "image/png", data: "AAAA" }), "data:image/png;base64,AAAA");
});

test("content is a plain string when it can be, and is recognised in either form", () => {
  const image = { type: "image", mime: "image/png", data: "AAAA" } as const;
  assert.equal(makeContent("hello", []), "hello");
  assert.deepEqual(makeContent("", [image]), [image]);
  assert.ok(sameContent("hello", [{ type: "text", text: "hello" }]));
  assert.ok(!sameContent("hello", makeContent("hello", [image])));
});

test("what stands below an answer", () => {
  const usage = { input: 1200, input_cached: 200, output: 34, reasoning: 10, estimated: false };
  assert.deepEqual(formatUsage(usage), { summary: "1,234 tokens", detail: "1,200 in (200 cached), 34 out (10 for reasoning)" });
  assert.equal(formatUsage({ ...usage, estimated: true })?.summary, "about 1,234 tokens");
  assert.equal(endNote(message({ id: "m", status: "complete" })), null);
  assert.match(endNote(message({ id: "m", status: "interrupted" })) ?? "", /interrupted/);
  assert.equal(answerProblem(message({ id: "m", status: "failed" }))?.message, "The answer failed.");
  assert.equal(formatArguments('{"a":1}'), '{\n  "a": 1\n}');
  assert.equal(formatArguments('{"a":'), '{"a":');
});

test("problems are sentences", () => {
  const say = (message: string, field = "") => describeProblem({ code: "invalid_request", message, field, remedy: "" });
  assert.equal(say("must have at least 8 characters", "password"), "Password must have at least 8 characters.");
  assert.equal(say("must be a string", "content[0].text"), "content[0].text must be a string.");
  assert.equal(say("there is no such message", "parent_id"), "There is no such message.");
  assert.equal(say("The provider is overloaded."), "The provider is overloaded.");
  const problem = { code: "overloaded", message: "", remedy: "Try again." };
  assert.equal(describeRemedy(problem, false), "Try again.");
  assert.equal(describeRemedy(problem, true), "");
});

test("a provider becomes settings, and goes away with those that were stored", () => {
  assert.equal(freeName("openai", ["openai", "openai-2"]), "openai-3");
  assert.equal(freeName("openai-compatible", []), "other");
  assert.deepEqual(settingsOfProvider({ kind: "openai", name: "work", apiKey: "sk-1", address: "" }), {
    "providers.work.kind": "openai",
    "providers.work.api_key": "sk-1",
  });
  const row = (key: string, source: "stored" | "flag") => ({
    key, source, type: "string" as const, value: "x", where: "", editable: true, description: "", options: null, minimum: null, maximum: null,
  });
  const list = [row("providers.work.kind", "stored"), row("providers.work.models", "flag"), row("providers.worker.kind", "stored")];
  assert.deepEqual(settingsWithoutProvider("work", list), { "providers.work.kind": null });
});
