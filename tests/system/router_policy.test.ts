// What a route decides over many requests: pauses, the breaker under steady load, benches, queues and
// pace, strategies, hedging, coalescing, chains that a request brings; and clients that leave.
import assert from "node:assert/strict";
import { test } from "node:test";
import { eventually, sleep, type Fake, type Parley } from "./parley.ts";
import { asked, assertFailed, assertWhole, begin, chat, counted, NATIVE, own, pool, Routes, startRouted, targetOf, type Chat } from "./router.ts";

const retryAfter = (answer: Chat) => Number(answer.headers["retry-after"]);

test("a provider that says when to come back is not asked before", async (t) => {
  const routes = new Routes();
  const one = own("429-after-1+then+count-3"), two = own("count-3");
  routes.add("main", [`openai/${one}`, `two/${two}`]);
  const { fake, parley } = await startRouted(t, routes);
  const end = Date.now() + 1800;
  while (Date.now() < end) {
    assertWhole(await chat(parley, "main", true), counted(3));
    await sleep(25);
  }
  const seen = await asked(fake, one);
  assert.deepEqual(seen.slice(0, 2).map((one) => one.status), [429, 200]);
  const pause = seen[1]!.at_ms - seen[0]!.at_ms;
  assert.ok(pause >= 995 && pause < 1300, `it came back after ${pause} ms`);
  const lastOfTwo = (await asked(fake, two)).at(-1)!;
  assert.ok(lastOfTwo.at_ms <= seen[1]!.at_ms, "and then everything goes to the first again");
});

test("a while of 503 under steady load, then health: the breaker", async (t) => {
  const routes = new Routes();
  const outage = 1000, cooldown = 200;
  const one = own(`503+for-${outage}+then+count-3`), two = own("count-3");
  routes.add("main", [`openai/${one}`, `two/${two}`], { attempts: 1, breaker_failures: 3, breaker_cooldown_ms: cooldown });
  const { fake, parley } = await startRouted(t, routes);
  const states = new Set<string>();
  const answers: Promise<Chat>[] = [];
  const from = Date.now();
  while (Date.now() - from < 2600) {
    answers.push(chat(parley, "main", answers.length % 2 === 0));
    if (answers.length % 8 === 0) states.add((await targetOf(parley, `openai/${one}`)).state);
    await sleep(15);
  }
  for (const answer of await Promise.all(answers)) assertWhole(answer, counted(3));
  const seen = await asked(fake, one), failed = seen.filter((one) => one.status !== 200), good = seen.filter((one) => one.status === 200);
  // Three failures open it (a few more were under way); then a probe after 200, 400, 800 ms.
  assert.ok(failed.length >= 4 && failed.length <= 9, `${failed.length} failures of ${answers.length} requests`);
  const probes = failed.slice(-2).concat(good.slice(0, 1));
  for (let i = 1; i < probes.length; i++) {
    assert.ok(probes[i]!.at_ms - probes[i - 1]!.at_ms >= cooldown, "a probe only after the cooldown");
    assert.ok(probes[i]!.at_ms >= probes[i - 1]!.at_ms + probes[i - 1]!.after_ms, "one probe at a time");
  }
  assert.ok(good.length > 0, "it is back");
  const back = good[0]!.at_ms - seen[0]!.at_ms;
  assert.ok(back >= outage && back < outage + 1300, `back after ${back} ms`);
  const late = (await asked(fake, two)).filter((seen) => seen.at_ms > good[0]!.at_ms + good[0]!.after_ms + 50);
  assert.equal(late.length, 0, "and with one good probe everything goes there again");
  assert.ok(states.has("open"), [...states].join(" "));
  assert.equal((await targetOf(parley, `openai/${one}`)).state, "closed");
});

test("a probe whose client leaves gives its place back", async (t) => {
  const routes = new Routes();
  const one = own("503+times-2+then+stall-0+times-1+then+count-3"), two = own("count-3");
  routes.add("main", [`openai/${one}`, `two/${two}`], { attempts: 1, breaker_failures: 2, breaker_cooldown_ms: 100, first_content_ms: 5000 });
  const { fake, parley } = await startRouted(t, routes);
  for (let i = 0; i < 2; i++) assertWhole(await chat(parley, "main", true), counted(3));
  await sleep(200);
  const probe = begin(parley, "main", true);
  await eventually("the probe is under way", async () => (await asked(fake, one)).length === 3);
  const other = await chat(parley, "main", true);
  assert.equal(other.target, `two/${two}`, "not a second probe");
  probe.leave();
  await eventually("it is heard", async () => (await asked(fake, one))[2]!.client_gone);
  const next = await chat(parley, "main", true);
  assert.deepEqual([next.target, next.text], [`openai/${one}`, counted(3)]);
});

test("a refused key benches, tells, and is restored; an administrator can do both", async (t) => {
  const routes = new Routes();
  const one = own("401"), two = own("count-3"), quota = own("429-quota");
  routes.add("main", [`openai/${one}`, `two/${two}`], { bench_ms: 600_000 });
  routes.add("quota", [`openai/${quota}`, `two/${two}`]);
  const { fake, parley } = await startRouted(t, routes);
  for (let i = 0; i < 3; i++) assertWhole(await chat(parley, "main", i % 2 === 0), counted(3));
  assert.equal((await asked(fake, one)).length, 1, "asked once, then benched");
  const view = await targetOf(parley, `openai/${one}`);
  assert.deepEqual([view.state, view.last_error?.class], ["benched", "provider_authentication"]);
  assert.ok(view.until && view.reason && view.last_error!.message && view.last_error!.when, JSON.stringify(view));
  assert.doesNotMatch(JSON.stringify(view), /sk-lab-5ecre7/);

  const order = (what: string, body: object, who: object = { local: true }) => parley.ask("POST", `/api/v1/targets/${what}`, { ...who, body });
  assert.equal((await order("restore", { target: `openai/${one}` })).status, 200);
  assert.equal((await targetOf(parley, `openai/${one}`)).state, "closed");
  assertWhole(await chat(parley, "main", true), counted(3));
  assert.equal((await asked(fake, one)).length, 2, "asked again");

  for (let i = 0; i < 2; i++) assertWhole(await chat(parley, "quota", true), counted(3));
  assert.equal((await asked(fake, quota)).length, 1, "a used-up quota too");

  assert.equal((await order("bench", { target: `two/${two}`, seconds: 60, reason: "maintenance" })).status, 200);
  const benched = await targetOf(parley, `two/${two}`);
  assert.deepEqual([benched.state, benched.reason], ["benched", "maintenance"]);
  assertFailed(await chat(parley, "main", true), /./);
  assert.equal((await order("restore", { target: `two/${two}` })).status, 200);
  assertWhole(await chat(parley, "main", true), counted(3));
  assert.equal((await parley.ask("GET", "/api/v1/targets", { key: parley.user.key })).status, 403);
  for (const what of ["bench", "restore"]) assert.equal((await order(what, { target: `two/${two}`, seconds: 1, reason: "" }, { key: parley.user.key })).status, 403);
  assert.equal((await order("bench", { target: "nobody/nothing", seconds: 60, reason: "x" })).status, 404);
});

test("at most so many at once; a bounded queue; 429 and Retry-After beyond", async (t) => {
  const routes = new Routes();
  const slow = own("count-2+delay-300"), held = own("stall-0"), full = own("count-2+delay-250");
  routes.add("queued", [`narrow/${slow}`]);
  routes.add("impatient", [`single/${held}`], { queue_wait_ms: 150, first_content_ms: 3000 });
  routes.add("relieved", [`single/${held}`, `two/${own("count-2")}`], { first_content_ms: 3000 });
  routes.add("crowd", [`alone/${full}`], { queue_wait_ms: 5000, headers_ms: 3000, first_content_ms: 3000 });
  const { fake, parley } = await startRouted(t, routes, { narrow: "concurrency: 2", single: "concurrency: 1", alone: "concurrency: 1, waiters: 4" });

  await t.test("two at a time, all answered", async () => {
    const answers = await Promise.all(Array.from({ length: 5 }, (_, i) => chat(parley, "queued", i % 2 === 0)));
    for (const answer of answers) assertWhole(answer, counted(2));
    const seen = await asked(fake, slow);
    for (const one of seen)
      assert.ok(seen.filter((other) => other.at_ms <= one.at_ms && other.at_ms + other.after_ms > one.at_ms + 2).length <= 2, "never three");
    const last = Math.max(...answers.map((answer) => answer.took));
    assert.ok(last >= 880 && last < 3000, `${last} ms for three rounds`);
  });

  await t.test("no place in time, or another one that has", async () => {
    const holder = begin(parley, "impatient", true);
    await eventually("the place is taken", async () => (await asked(fake, held)).length === 1);
    const refused = await chat(parley, "impatient", true);
    assertFailed(refused, /rate_limit/);
    assert.equal(refused.status, 429);
    assert.ok(retryAfter(refused) >= 1, `Retry-After: ${refused.headers["retry-after"]}`);
    assert.ok(refused.took >= 140 && refused.took < 1000, `${refused.took} ms`);
    const relieved = await chat(parley, "relieved", true);
    assertWhole(relieved, counted(2));
    assert.equal(relieved.attempts, 1, "nobody was asked in vain");

    const view = await targetOf(parley, `single/${held}`);
    assert.deepEqual([view.calls, view.waiting], [1, 0]);
    const waiter = begin(parley, "impatient", true);
    await eventually("it waits", async () => (await targetOf(parley, `single/${held}`)).waiting === 1);
    waiter.leave();
    await eventually("it waits no more", async () => (await targetOf(parley, `single/${held}`)).waiting === 0, 140);
    holder.leave();
    await eventually("the place is free", async () => (await targetOf(parley, `single/${held}`)).calls === 0);
    assert.equal((await asked(fake, held)).length, 1, "who left was not asked for");
  });

  await t.test("more than the queue holds are refused at once", async () => {
    const answers = await Promise.all(Array.from({ length: 12 }, (_, i) => chat(parley, "crowd", i % 2 === 0)));
    const good = answers.filter((answer) => answer.status === 200), refused = answers.filter((answer) => answer.status === 429);
    assert.deepEqual([good.length, refused.length], [5, 7], "one is answered, four wait");
    for (const answer of good) assertWhole(answer, counted(2));
    for (const answer of refused) assert.ok(retryAfter(answer) >= 1 && answer.took < 800, `${answer.headers["retry-after"]}, ${answer.took} ms`);
  });
});

test("the pace of a provider: configured, and learned from its headers", { concurrency: 4 }, async (t) => {
  const routes = new Routes();
  const slow = own("count-2"), alone = own("count-2"), two = own("count-2");
  routes.add("paced", [`minute/${slow}`, `two/${two}`]);
  routes.add("paced-alone", [`minute/${alone}`], { queue_wait_ms: 200 });
  const learned = (["openai", "anthropic"] as const).map((dialect) => {
    const one = own("count-2+limits-10-0-60000");
    return { dialect, one, route: routes.add(`learned-${dialect}`, [`${dialect}/${one}`, `two/${own("count-2")}`]) };
  });
  const { fake, parley } = await startRouted(t, routes, { minute: "requests_per_minute: 2" });
  await Promise.all([
    t.test("configured, with another target", async () => {
      for (let i = 0; i < 5; i++) assertWhole(await chat(parley, "paced", true), counted(2));
      assert.deepEqual([(await asked(fake, slow)).length, (await asked(fake, two)).length], [2, 3]);
    }),
    t.test("configured, with none", async () => {
      for (let i = 0; i < 2; i++) assertWhole(await chat(parley, "paced-alone", true), counted(2));
      const refused = await chat(parley, "paced-alone", true);
      assert.equal(refused.status, 429, refused.raw);
      assert.ok(retryAfter(refused) >= 1 && retryAfter(refused) <= 60);
      assert.equal((await asked(fake, alone)).length, 2);
    }),
    ...learned.map(({ dialect, one, route }) => t.test(`learned from ${dialect}`, async () => {
      for (let i = 0; i < 3; i++) assertWhole(await chat(parley, route, false), counted(2));
      assert.equal((await asked(fake, one)).length, 1, "nothing is left of its minute");
    })),
  ]);
});

test("strategies", { concurrency: 4 }, async (t) => {
  const routes = new Routes();
  const pair = (one = "count-2", two = one) => ({ one: own(one), two: own(two) });
  const weighted = pair(), busy = pair("count-2+delay-300"), fast = pair("count-2+delay-60", "count-2"), order = pair(), balanced = pair();
  const add = (name: string, { one, two }: { one: string; two: string }, policy: object) => routes.add(name, [`openai/${one}`, `two/${two}`], { ...policy });
  add("weighted", weighted, { strategy: "weighted", weights: "3,1" });
  add("busy", busy, { strategy: "least_busy" });
  add("fast", fast, { strategy: "latency" });
  add("order", order, { strategy: "priority" });
  add("balanced", balanced, { strategy: "balanced" });
  const { fake, parley } = await startRouted(t, routes);
  const shares = async ({ one, two }: { one: string; two: string }) => [(await asked(fake, one)).length, (await asked(fake, two)).length] as const;
  const run = async (route: string, count: number, width: number) => {
    for (const answer of await pool(count, width, (i) => chat(parley, route, i % 2 === 0))) assertWhole(answer, counted(2), route);
  };
  await Promise.all([
    t.test("weighted", async () => {
      await run("weighted", 200, 8);
      const [one] = await shares(weighted); // 150 on average, a standard deviation of 6
      assert.ok(one > 115 && one < 185, `${one} of 200`);
    }),
    t.test("least busy", async () => {
      await run("busy", 10, 10);
      const [one, two] = await shares(busy);
      assert.ok(Math.abs(one - two) <= 2, `${one} and ${two}`); // two loops may choose at once
    }),
    t.test("latency", async () => {
      await run("fast", 30, 1);
      const [slow, quick] = await shares(fast);
      assert.ok(slow <= 4 && quick >= 26, `${slow} to the slow one`);
    }),
    t.test("priority", async () => {
      await run("order", 20, 4);
      assert.deepEqual(await shares(order), [20, 0]);
    }),
    t.test("balanced", async () => {
      await run("balanced", 20, 4);
      const [one, two] = await shares(balanced);
      assert.equal(one + two, 20);
    }),
  ]);
});

test("a hedge goes out when the first is slower than usual, and the loser is cancelled", async (t) => {
  const routes = new Routes();
  const one = own("count-2+times-40+then+count-2+delay-4000"), two = own("count-2");
  const calm = own("count-2+times-40+then+count-2+delay-700"), other = own("count-2");
  routes.add("hedged", [`openai/${one}`, `two/${two}`], { hedge: true, hedge_percent: 100, first_content_ms: 6000, headers_ms: 6000 });
  routes.add("calm", [`openai/${calm}`, `two/${other}`], { hedge: false, first_content_ms: 6000, headers_ms: 6000 });
  const { fake, parley } = await startRouted(t, routes);
  await pool(80, 4, (i) => chat(parley, i % 2 ? "hedged" : "calm", true));
  const [answer, unhedged] = await Promise.all([chat(parley, "hedged", true), chat(parley, "calm", true)]);
  assertWhole(answer, counted(2));
  assert.equal(answer.target, `two/${two}`);
  assert.equal(answer.attempts, 2);
  assert.ok(answer.took < 2500, `${answer.took} ms`);
  await eventually("the loser is gone", async () => (await asked(fake, one)).at(-1)!.client_gone);
  assertWhole(unhedged, counted(2));
  assert.ok(unhedged.took >= 690, "off unless it is ordered");
  assert.equal((await asked(fake, other)).length, 0);
});

test("identical requests at once share one answer, when that is ordered", async (t) => {
  const routes = new Routes();
  const one = own("count-6+slow-80"), apart = own("count-6+slow-80");
  routes.add("shared", [`openai/${one}`], { coalesce: true });
  routes.add("apart", [`openai/${apart}`]);
  const { fake, parley } = await startRouted(t, routes);
  const shared = await Promise.all(Array.from({ length: 6 }, () => chat(parley, "shared", true)));
  for (const answer of shared) assertWhole(answer, counted(6));
  assert.equal((await asked(fake, one)).length, 1);
  assert.equal(shared.filter((answer) => answer.headers["x-parley-coalesced"] === "true").length, 5, "all but the first say so");
  assert.ok(shared.every((answer) => answer.target === `openai/${one}` && answer.attempts === 1));
  await Promise.all([chat(parley, "shared", true, { messages: [{ role: "user", content: "y" }] }), chat(parley, "shared", true), chat(parley, "shared", true, {}, parley.other)]);
  assert.equal((await asked(fake, one)).length, 4, "another question and another person are others");
  for (const answer of await Promise.all(Array.from({ length: 3 }, () => chat(parley, "apart", true)))) {
    assertWhole(answer, counted(6));
    assert.equal(answer.headers["x-parley-coalesced"], undefined);
  }
  assert.equal((await asked(fake, apart)).length, 3);
});

test("who leaves a shared answer leaves it to the others; the last one ends it", async (t) => {
  const routes = new Routes();
  const one = own("count-10+slow-80");
  routes.add("shared", [`openai/${one}`], { coalesce: true });
  const { fake, parley } = await startRouted(t, routes);
  const first = begin(parley, "shared", true);
  await first.firstData;
  const second = chat(parley, "shared", true);
  await sleep(100);
  first.leave();
  assertWhole(await second, counted(10));
  const both = [begin(parley, "shared", true), begin(parley, "shared", true)];
  await Promise.all(both.map((leaver) => leaver.firstData));
  const left = both.map((leaver) => leaver.leave()).at(-1)!;
  await eventually("the provider hears of it", async () => (await asked(fake, one)).at(-1)!.client_gone);
  const seen = await asked(fake, one);
  assert.deepEqual(seen.map((one) => one.client_gone), [false, true]);
  const took = seen[1]!.at_ms + seen[1]!.after_ms - left;
  assert.ok(took < 250, `after ${took} ms`);
});

test("chains: of a request, of a route; who answered is who is named and counted", { concurrency: 4 }, async (t) => {
  const routes = new Routes();
  const last = own("count-3");
  routes.add("spare", [`two/${last}`]);
  const refused = own("401");
  routes.add("chained", [`openai/${refused}`], { fallbacks: ["spare"] });
  const direct = own("401"), named = own("count-4");
  routes.add("direct", [`anthropic/${direct}`], { fallbacks: [`two/${named}`] });
  const small = own("400-context");
  routes.add("larger", [`ollama/${small}`, "gemini/count-20"]);
  // Models that neither a route nor a listing knows share their state, so each has a provider.
  const strangers = ["limited", "refused", "key"].flatMap((name) => [`${name}-streamed`, `${name}-whole`]);
  const { fake, parley } = await startRouted(t, routes, Object.fromEntries(strangers.map((name) => [name, ""])));
  await Promise.all([true, false].map((stream) => [stream, stream ? "streamed" : "whole"] as const).flatMap(([stream, how]) => [
    t.test(`"models", ${how}`, async () => {
      const models = [`limited-${how}/${own("429-after-60")}`, `refused-${how}/${own("401")}`, `two/${own("count-5")}`];
      const answer = await chat(parley, "", stream, { model: undefined, models });
      assertWhole(answer, counted(5));
      assert.deepEqual([answer.target, answer.attempts], [models[2], 3]);
      // Accounting: the model and the usage are those of who answered, not of all that were asked.
      assert.ok(answer.model.endsWith(models[2]!.slice("two/".length)), answer.model);
      assert.deepEqual([answer.usage.prompt_tokens, answer.usage.completion_tokens, answer.usage.total_tokens], [11, 7, 18]);
    }),
    t.test(`"fallbacks", ${how}`, async () => {
      const model = `key-${how}/${own("401")}`, fallback = `anthropic/${own("count-5")}`;
      const answer = await chat(parley, model, stream, { fallbacks: [fallback] });
      assertWhole(answer, counted(5));
      assert.deepEqual([answer.target, answer.attempts], [fallback, 2]);
      for (const name of [model, fallback]) {
        const [seen] = await asked(fake, name.slice(name.indexOf("/") + 1));
        assert.doesNotMatch(await fake.bodyText(seen!.number), /fallbacks|models/, "not told to the provider");
      }
    }),
    t.test(`of a route, ${stream ? "streamed" : "whole"}`, async () => {
      assert.equal((await chat(parley, "chained", stream)).target, `two/${last}`);
      assert.equal((await chat(parley, "direct", stream)).target, `two/${named}`);
    }),
    t.test(`too long for one, but not for a larger one, ${stream ? "streamed" : "whole"}`, async () => {
      const answer = await chat(parley, "larger", stream);
      assertWhole(answer, counted(20));
      assert.equal(answer.target, "gemini/count-20");
    }),
  ]));
  await t.test("what nobody has", async () => {
    for (const more of [{ models: ["nobody/nothing"] }, { models: [] }, { models: "two/count-1" }, { models: [17] }]) {
      const answer = await chat(parley, "", false, { model: undefined, ...more });
      assert.ok([400, 404].includes(answer.status), `${JSON.stringify(more)}: ${answer.status} ${answer.raw}`);
    }
    const { json } = await parley.ask("GET", "/v1/models", { key: parley.user.key });
    const ids = json.data.map((model: any) => model.id);
    assert.ok(ids.includes("spare") && ids.includes("chained"), "routes are listed among the models");
  });
});

// ---- A client that leaves: the provider hears of it within 100 ms.

async function leaveDuring(parley: Parley, fake: Fake, route: string, model: string, stream: boolean, ready: "asked" | "answering"): Promise<number> {
  const before = (await asked(fake, model)).length;
  const leaver = begin(parley, route, stream);
  if (ready === "answering") await leaver.firstData;
  const number = await eventually("it is asked", async () => { const all = await asked(fake, model); return all.length > before && all.at(-1)!.number; });
  const at = leaver.leave();
  const seen = await eventually("the provider hears", async () => (await asked(fake, model)).find((one) => one.number === number && one.outcome !== "open"), 2000);
  assert.equal(seen.outcome, "client_gone");
  return seen.at_ms + seen.after_ms - at;
}

test("a client that leaves", { concurrency: 8 }, async (t) => {
  const routes = new Routes();
  const cases = NATIVE.flatMap((dialect) => ([
    ["while nothing has come", "silent", true, "asked"], ["during a whole answer", "count-6+delay-5000", false, "asked"], ["during the body of a whole answer", "stall-3", false, "asked"],
    ["mid-stream", "endless+slow-20", true, "answering"], ["of a stalled stream", "stall-3", true, "answering"],
  ] as const).map(([name, model, stream, ready], i) => {
    const one = own(model);
    return { name, dialect, stream, ready, one, route: routes.add(`leave-${i}-${dialect}`, [`${dialect}/${one}`, `two/${own("count-2")}`],
      { first_content_ms: 8000, content_idle_ms: 8000, headers_ms: 8000 }) };
  }));
  const waits = [true, false].map((stream) => {
    const one = own("429-after-1+then+count-2");
    return { stream, one, route: routes.add(`backoff-${stream}`, [`openai/${one}`], { backoff_max_ms: 5000 }) };
  });
  const { fake, parley } = await startRouted(t, routes);
  await Promise.all([
    ...cases.map(({ name, dialect, stream, ready, one, route }) => t.test(`${dialect}: ${name}`, async () => {
      const took: number[] = []; // the machine may be busy once
      while (took.length < 3 && !took.some((ms) => ms <= 100)) took.push(await leaveDuring(parley, fake, route, one, stream, ready));
      assert.ok(Math.min(...took) <= 100, `heard after ${took.join(", ")} ms`);
    })),
    ...waits.map(({ stream, one, route }) => t.test(`during a backoff, ${stream ? "streamed" : "whole"}`, async () => {
      const leaver = begin(parley, route, stream);
      await eventually("the first attempt has failed", async () => (await asked(fake, one))[0]?.outcome === "done");
      leaver.leave();
      await sleep(1400);
      assert.equal((await asked(fake, one)).length, 1, "nothing is asked for nobody");
      assert.equal((await targetOf(parley, `openai/${one}`)).calls, 0);
    })),
  ]);
});
