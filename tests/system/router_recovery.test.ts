// An answer that breaks off and goes on: the rungs of recovery, where the joint is and what is said
// of it; every place where a stream can be cut; streams that are hard to read but whole.
import assert from "node:assert/strict";
import { test } from "node:test";
import { ask, eventually, SECRET, type Fake, type Parley } from "./parley.ts";
import { asked, assertFailed, assertWhole, bodyOf, chat, counted, NATIVE, own, pool, Routes, startRouted, type Native } from "./router.ts";

// Six events of 24 bytes ("burst-6x24"): words, unlike "1 2 3 ".
const worded = (n: number) => Array.from({ length: n }, (_, i) => `word-0000${i} the quick bro`).join("");
const UNICODE = "Grüße, 世界! Привет 🌍 שלום e\u0301 👨\u200d👩\u200d👧";
const CALLS = [{ name: "get_weather", arguments: { city: "Paris" } }, { name: "get_time", arguments: { zone: "Europe/Paris" } }];
const callsOf = (calls: { name: string; arguments: string }[]) => calls.map((call) => ({ name: call.name, arguments: JSON.parse(call.arguments) }));

// A route whose first target breaks off behind `shown` events, once; then the second is asked.
interface Break { route: string; one: string; two: string }
function breaks(routes: Routes, dialect: Native, name: string, two: string, recovery = "continue", one = "cut-3"): Break {
  const models = { one: own(one), two: own(two) };
  return { ...models, route: routes.add(`${name}-${dialect}`, [`${dialect}/${models.one}`, `two/${models.two}`], { recovery, attempts: 1 }) };
}

test("the rungs", { concurrency: 8 }, async (t) => {
  const routes = new Routes();
  const all = NATIVE.map((dialect) => ({
    dialect,
    splice: breaks(routes, dialect, "splice", "count-6", "splice"),
    later: breaks(routes, dialect, "later", "count-6+differs-5", "splice"),
    differs: breaks(routes, dialect, "differs", "count-6+differs-2", "splice"),
    error: breaks(routes, dialect, "error", "count-6", "error"),
    gone: breaks(routes, dialect, "gone", "503"),
    twice: { one: own("cut-3"), two: own("cut-5"), three: own("count-6") },
  }));
  const twice = all.map(({ dialect, twice: { one, two, three } }) =>
    routes.add(`twice-${dialect}`, [`${dialect}/${one}`, `two/${two}`, `three/${three}`], { attempts: 1 }));
  // A second attempt at the same target is what lets it continue after it has said something else.
  const going = NATIVE.flatMap((dialect) => [0, 13, 30, 999].map((repeats) => {
    const one = own("burst-6x24+slow-1+cut-3"), two = own(`burst-6x24+slow-1+differs-2+continues+repeats-${repeats}`);
    return { repeats, one, two, dialect, route: routes.add(`on-${repeats}-${dialect}`, [`${dialect}/${one}`, `two/${two}`], { attempts: 2 }) };
  }));
  const { fake, parley } = await startRouted(t, routes, { three: "" });

  await Promise.all(all.flatMap(({ dialect, splice, later, differs, error, gone }) => [
    t.test(`${dialect}: what is equal is spliced`, async () => {
      const answer = await chat(parley, splice.route, true);
      assertWhole(answer, counted(6));
      const { target, attempts, joints } = answer.parley!;
      assert.deepEqual([target, attempts, joints.length], [`two/${splice.two}`, 2, 1]);
      assert.deepEqual(joints[0], { text_bytes: 6, mode: "splice", from: `${dialect}/${splice.one}`, to: `two/${splice.two}`, class: "network" });
      assert.equal(answer.headers["x-parley-target"], `${dialect}/${splice.one}`, "who had begun when the head was sent");
      assert.equal(answer.headers["x-parley-attempts"], "1");
      assert.deepEqual((await bodyOf(fake, (await asked(fake, splice.two))[0]!)).messages, [{ role: "user", content: "x" }], "asked for the whole again");
    }),
    t.test(`${dialect}: a difference behind the joint is none`, async () => assertWhole(await chat(parley, later.route, true), "1 2 3 4 xxxx")),
    t.test(`${dialect}: a difference ends in an error when the policy says so`, async () => {
      const answer = await chat(parley, differs.route, true);
      assertFailed(answer, /server_error/);
      assert.ok(counted(3).startsWith(answer.text), answer.text);
      const [seen] = await asked(fake, differs.two);
      assert.ok(seen, "it was tried");
    }),
    t.test(`${dialect}: no recovery, an error frame and no sentinel`, async () => {
      const answer = await chat(parley, error.route, true);
      assertFailed(answer, /server_error/);
      assert.deepEqual([answer.text, answer.isDone, answer.finish], [counted(3), false, null]);
      assert.equal((await asked(fake, error.two)).length, 0);
    }),
    t.test(`${dialect}: nobody can go on`, async () => {
      const answer = await chat(parley, gone.route, true);
      assertFailed(answer, /server_error|service_unavailable/);
      assert.equal(answer.text, counted(3), "what was said stays");
    }),
  ]));

  await Promise.all(going.map(({ dialect, repeats, one, two, route }) =>
    t.test(`${dialect}: asked to go on, it repeats ${repeats} bytes`, async () => {
      const answer = await chat(parley, route, true);
      assertWhole(answer, worded(6));
      const joint = answer.parley!.joints.at(-1)!;
      assert.deepEqual([joint.mode, joint.text_bytes, joint.to], ["continue", 72, `two/${two}`]);
      const seen = await asked(fake, two);
      assert.equal(seen.length, 2, "for the whole, then to go on");
      assert.equal(answer.attempts, (await asked(fake, one)).length + 2);
      const { messages } = await bodyOf(fake, seen[1]!);
      assert.deepEqual(messages.map((message: any) => message.role), ["user", "assistant", "user"]);
      assert.ok(JSON.stringify(messages[1].content).includes(worded(3).trimEnd()));
    })));

  await Promise.all(twice.map((route, i) => t.test(`${NATIVE[i]}: the one that took over breaks off too`, async () => {
    const answer = await chat(parley, route, true);
    assertWhole(answer, counted(6));
    assert.deepEqual(answer.parley!.joints.map((joint) => joint.text_bytes), [6, 10]);
    assert.equal(answer.target, `three/${all[i]!.twice.three}`);
    assert.equal(answer.attempts, 3);
  })));
});

// Models of families that are known to go on with an answer that was begun, or were once.
test("a prefill", { concurrency: 8 }, async (t) => {
  const routes = new Routes();
  const known = "claude-3-5-haiku-20241022";
  const add = (name: string, two: string, one = "stall-3") => {
    const models = { one: own(one), two: own(`${known}:${two}`) }; // who is silent is not asked again
    return { ...models, route: routes.add(name, [`openai/${models.one}`, `anthropic/${models.two}`]) };
  };
  const goes = add("goes", "count-6+prefills"), refuses = add("refuses", "count-6+rejects-prefill"),
    differs = add("refuses-and-differs", "burst-6x24+differs-1+rejects-prefill+continues+repeats-30", "burst-6x24+slow-1+stall-3");
  const { fake, parley } = await startRouted(t, routes);

  await t.test("is gone on with", async () => {
    const answer = await chat(parley, goes.route, true);
    assertWhole(answer, counted(6));
    assert.equal(answer.parley!.joints.at(-1)!.mode, "prefill");
    const seen = await asked(fake, goes.two);
    assert.equal(seen.length, 1);
    const { messages } = await bodyOf(fake, seen[0]!);
    assert.equal(messages.at(-1).role, "assistant");
    assert.doesNotMatch(JSON.stringify(messages.at(-1).content), /3 "/, "no white space at its end");
  });

  await t.test("is refused: the next rung, and it is remembered", async () => {
    const answer = await chat(parley, refuses.route, true);
    assertWhole(answer, counted(6));
    assert.equal(answer.parley!.joints.at(-1)!.mode, "splice");
    assert.deepEqual((await asked(fake, refuses.two)).map((seen) => seen.status), [400, 200]);
    assertWhole(await chat(parley, refuses.route, true), counted(6));
    assert.deepEqual((await asked(fake, refuses.two)).map((seen) => seen.status), [400, 200, 200]);
  });

  await t.test("is refused, the whole differs: it is asked to go on", async () => {
    const answer = await chat(parley, differs.route, true);
    assertWhole(answer, worded(6));
    assert.equal(answer.parley!.joints.at(-1)!.mode, "continue");
    assert.equal(answer.attempts, 4);
  });
});

test("tool calls are never joined", { concurrency: 8 }, async (t) => {
  const routes = new Routes();
  const shownAfter = { openai: 2, anthropic: 3, gemini: 1, ollama: 1 } as const; // events
  const cases = NATIVE.map((dialect) => ({
    dialect, cut: breaks(routes, dialect, "cut", "tools", "continue", `tools+cut-${shownAfter[dialect]}`),
    before: breaks(routes, dialect, "before", "tools", "continue", "tools+cut-0"),
  }));
  const { fake, parley } = await startRouted(t, routes);
  await Promise.all(cases.flatMap(({ dialect, cut, before }) => [
    t.test(`${dialect}: begun anew before they were shown`, async () => {
      const answer = await chat(parley, before.route, true);
      assertWhole(answer, "");
      assert.deepEqual(callsOf(answer.calls), CALLS);
    }),
    t.test(`${dialect}: an error when one was shown`, async () => {
      const answer = await chat(parley, cut.route, true);
      assertFailed(answer, /server_error/);
      assert.equal(answer.calls[0]!.name, "get_weather");
      assert.deepEqual([(await asked(fake, cut.one)).length, (await asked(fake, cut.two)).length], [1, 0]);
    }),
  ]));
});

test("whole, but hard to read", { concurrency: 8 }, async (t) => {
  const routes = new Routes();
  const rows = NATIVE.flatMap((dialect) => ([
    ["interleaved", "tools-interleaved", {}], ["split", "unicode-split", {}], ["drip", "count-6+slow-250", {}], ["crlf", "count-6+crlf", {}],
    ["big", "big-16", { first_content_ms: 8000, content_idle_ms: 8000, headers_ms: 8000, total_ms: 15_000 }],
    ["line", "huge-line", { first_content_ms: 3000, attempts: 1 }], ["headers", "endless-headers", { headers_ms: 3000, attempts: 1 }],
    ["drip-headers", "endless-headers+slow-20", { headers_ms: 400 }],
  ] as const).map(([name, model, policy]) => {
    const one = own(model), two = own("count-6");
    return { name, dialect, one, two, route: routes.add(`${name}-${dialect}`, [`${dialect}/${one}`, `two/${two}`], policy) };
  }));
  const { fake, parley } = await startRouted(t, routes);
  const each = (name: string, check: (row: (typeof rows)[number], stream: boolean) => Promise<void>, streams = [true, false]) =>
    rows.filter((row) => row.name === name).flatMap((row) => streams.map((stream) => t.test(`${row.dialect}: ${name}, ${stream ? "streamed" : "whole"}`, () => check(row, stream))));
  const asWell = (text: string) => async (row: (typeof rows)[number], stream: boolean) => {
    const answer = await chat(parley, row.route, stream);
    assertWhole(answer, text, row.name);
    assert.deepEqual([answer.target, answer.attempts], [`${row.dialect}/${row.one}`, 1]);
  };
  // Nobody can read it: another one answers, within a bound of bytes and time.
  const left = async (row: (typeof rows)[number], stream: boolean) => {
    const answer = await chat(parley, row.route, stream);
    assertWhole(answer, counted(6), row.name);
    assert.equal(answer.target, `two/${row.two}`);
    assert.ok(answer.took < 10_000, `${row.name} took ${answer.took} ms`);
    const seen = await eventually("it was left", async () => {
      const all = await asked(fake, row.one);
      return all.every((one) => one.outcome !== "open") && all;
    });
    assert.ok(seen.length >= 1 && seen.length <= 6, `${seen.length} attempts`);
  };

  await Promise.all([
    ...each("interleaved", async (row, stream) => {
      const answer = await chat(parley, row.route, stream);
      assertWhole(answer, "");
      assert.deepEqual(callsOf(answer.calls), CALLS);
      assert.equal(answer.finish, "tool_calls");
      assert.equal(answer.target, `${row.dialect}/${row.one}`);
    }),
    ...each("split", asWell(UNICODE)), ...each("drip", asWell(counted(6)), [true]), ...each("crlf", asWell(counted(6))),
    ...each("line", left), ...each("headers", left), ...each("drip-headers", left),
  ]);
  // Large ones after each other: it is not the memory of eight that is tested.
  for (const row of rows.filter((one) => one.name === "big")) await t.test(`${row.dialect}: an event of 16 MiB`, async () => {
    const answer = await chat(parley, row.route, true);
    const isFirst = answer.target === `${row.dialect}/${row.one}`;
    assertWhole(answer, isFirst ? /^word-00000 / : counted(6));
    assert.ok(!isFirst || answer.text.length === 16 * 1024 * 1024, "all of it");
  });
});

// As many requests as the stream has bytes; who was asked is cut at another byte each time.
async function cutEverywhere(parley: Parley, fake: Fake, route: string, target: string): Promise<number> {
  const one = target.slice(target.indexOf("/") + 1);
  await fake.reset(); // its log holds those of one dialect
  assertWhole(await chat(parley, route, true), UNICODE);
  const [first] = await asked(fake, one);
  const { model, ...body } = await bodyOf(fake, first!);
  const path = first!.path.replace(encodeURIComponent(one), "unicode").replace(one, "unicode");
  const whole = await ask(fake.url, "POST", path, { key: SECRET, body: model ? { ...body, model: "unicode" } : body });
  assert.equal(whole.status, 200, whole.text);
  // The model's name may be in every event: its length counts too.
  const answers = await pool(Buffer.byteLength(whole.text.replaceAll('"unicode"', `"${one}"`)) - 1, 16, async (i) => {
    if (i % 500 === 499) // its breaker would have had enough
      await parley.ask("POST", "/api/v1/targets/restore", { local: true, body: { target } });
    return chat(parley, route, true);
  });
  for (const answer of answers) {
    assertWhole(answer, UNICODE, route);
    assert.ok(answer.attempts >= 1 && answer.attempts <= 2, `${answer.attempts} attempts`);
  }
  const seen = await asked(fake, one), places = new Set(seen.map((one) => one.sent_bytes));
  assert.equal(places.size, seen.length, "each place once");
  assert.equal(Math.max(...places), seen.length - 1, "and none left out");
  return places.size;
}

test("cut at every byte of a stream: always the whole answer", async (t) => {
  const routes = new Routes();
  const cases = NATIVE.map((dialect) => {
    const target = `${dialect}/${own("unicode+cut-byte-each")}`;
    return { dialect, target, route: routes.add(`cut-${dialect}`, [target, "two/unicode"], { attempts: 1, breaker_failures: 1000, breaker_ratio_percent: 0 }) };
  });
  const { fake, parley } = await startRouted(t, routes);
  for (const { dialect, target, route } of cases)
    await t.test(dialect, async (t) => t.diagnostic(`${await cutEverywhere(parley, fake, route, target)} places`));
});
