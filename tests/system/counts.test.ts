// Counts of tokens: the official clients, each at its own door, to providers that count and to those that do not; what goes
// to a provider; counts that are kept; what is ours when nobody answers; who may ask.
import assert from "node:assert/strict";
import { test } from "node:test";
import Anthropic from "@anthropic-ai/sdk";
import { ApiError } from "@google/genai";
import { anthropicOf, geminiOf } from "./doors.ts";
import { eventually, oneAttempt, startFake, startParley, type Fake, type Parley } from "./parley.ts";
import { asked, own, Routes, startRouted } from "./router.ts";

const ANTHROPIC = 2095, GEMINI = 31; // as the fake counts, whatever it is asked
const TOLD = { anthropic: ANTHROPIC, gemini: GEMINI } as const;
const COUNTERS = ["anthropic", "gemini"] as const;
const bare = (model: string) => model.replace(/^[^/]*\//, "");
const bodiesSeen = async (fake: Fake, model: string) =>
  Promise.all((await asked(fake, bare(model))).map(async (one) => ({ path: one.path, body: await fake.bodyText(one.number) })));

interface Counter {
  dialect: (typeof COUNTERS)[number];
  count(model: string, text: string): Promise<number>;
  path(model: string): string;
  body(model: string, text?: string): string; // that no serializer would write
  read(json: any): number;
}

const countersOf = (parley: Parley): Record<string, Counter> => {
  const geminiWith = (version?: string): Counter => ({
    dialect: "gemini",
    count: async (model, contents) => (await geminiOf(parley, version).models.countTokens({ model, contents })).totalTokens!,
    path: (model) => `/v1beta/models/${model}:countTokens`,
    body: (_model, text = "a") => ` {"contents" : [{"parts":[{"text":"${text}"}] }]}`,
    read: (json) => json.totalTokens,
  });
  return {
    "anthropic": {
      dialect: "anthropic",
      count: async (model, content) => (await anthropicOf(parley).messages.countTokens({ model, messages: [{ role: "user", content }] })).input_tokens,
      path: () => "/v1/messages/count_tokens",
      body: (model, text = "a") => `{"messages" : [{"role":"user","content":"${text}"}],\n "model": "${model}"}`,
      read: (json) => json.input_tokens,
    },
    "gemini": geminiWith(),
    "gemini, v1beta": geminiWith("v1beta"),
  };
};

const ask = async (parley: Parley, door: Counter, model: string, { headers = {}, key = parley.user.key, body = door.body(model) }: { headers?: Record<string, string>; key?: string; body?: string } = {}) => {
  const answer = await parley.ask("POST", door.path(model), { key, body, headers });
  return { ...answer, tokens: answer.status === 200 ? door.read(answer.json) : undefined, source: answer.headers["x-parley-count"] };
};

test("every client, to providers that count and to those that do not", async (t) => {
  const fake = await startFake(t);
  const parley = await startParley(t, { fake });
  for (const [name, door] of Object.entries(countersOf(parley))) {
    for (const provider of COUNTERS)
      await t.test(`${name} to ${provider}: its own count, once`, async () => {
        const model = `${provider}/${own("echo")}`;
        assert.equal(await door.count(model, "hello"), TOLD[provider]);
        assert.equal(await door.count(model, "hello"), TOLD[provider]);
        assert.equal((await asked(fake, bare(model))).length, 1);
        assert.equal(await door.count(model, "something else"), TOLD[provider]);
        assert.equal((await asked(fake, bare(model))).length, 2);
        const [first, second] = [await ask(parley, door, model), await ask(parley, door, model)];
        assert.deepEqual([first.source, second.source, second.tokens], ["provider", "cached", TOLD[provider]]);
        assert.deepEqual([first.headers["x-parley-target"], second.headers["x-parley-target"]], [model, model]);
        assert.deepEqual([first.headers["x-parley-attempts"], second.headers["x-parley-attempts"]], ["1", "0"]);
        assert.equal(first.headers["x-parley-estimated"], undefined);
      });
    for (const provider of ["openai", "responses", "ollama", "parley"])
      await t.test(`${name} to ${provider}: our estimate`, async () => {
        const model = provider === "parley" ? "parley/eliza" : `${provider}/${own("echo")}`;
        const [few, many] = [await door.count(model, "Hello there"), await door.count(model, "Hello there. ".repeat(1000))];
        assert.ok(few >= 2 && few < 30 && many > 2000, `${few} ${many}`);
        const answer = await ask(parley, door, model);
        assert.deepEqual([answer.source, answer.headers["x-parley-estimated"], answer.headers["x-parley-attempts"], answer.headers["x-parley-target"]], ["estimate", "true", "0", undefined]);
        assert.equal((await asked(fake, bare(model))).length, 0);
      });
    for (const wrong of ["400-invalid", "401", "429", "500", "503", "no-such-behaviour", "garbage", "reset", "cut-0", "malformed-1"])
      await t.test(`${name}, ${wrong}: our estimate`, async () => {
        for (const provider of COUNTERS) {
          const model = `${provider}/${own(wrong)}`;
          for (let i = 1; i <= 2; i++) {
            const answer = await ask(parley, door, model);
            assert.deepEqual([answer.status, answer.source], [200, "estimate"], answer.text);
            assert.ok(answer.tokens! > 0 && answer.tokens! < 20);
            const { length } = await asked(fake, bare(model));
            assert.ok(wrong === "reset" ? length >= i : length === i, `${length}`); // a used connection may be tried again
          }
        }
      });
  }
});

test("a failed count says nothing of how the target answers", async (t) => {
  const fake = await startFake(t);
  const parley = await startParley(t, { fake, config: "router: {attempts: 1, recovery: error, breaker_failures: 1, bench_ms: 60000}\n" });
  const door = countersOf(parley)["anthropic"]!;
  for (const provider of COUNTERS)
    for (const wrong of ["401", "429-quota", "429-after-60", "503"]) {
      const model = `${provider}/${wrong}+times-1+then+${own("echo")}`;
      assert.equal((await ask(parley, door, model)).source, "estimate");
      const chat = await parley.ask("POST", "/v1/messages", { key: parley.user.key, body: { model, max_tokens: 9, messages: [{ role: "user", content: "x" }] } });
      assert.equal(chat.status, 200, `${model}: ${chat.text}`);
    }
});

test("what goes to a provider", async (t) => {
  const fake = await startFake(t);
  const parley = await startParley(t, { fake, config: oneAttempt });
  const doors = countersOf(parley);
  await t.test("the same form: the caller's bytes, signed by us", async () => {
    for (const door of Object.values(doors)) {
      const model = own("echo"), named = `${door.dialect}/${model}`;
      const body = door.body(named).replace("{", `{"fallbacks":["openai/x"], `);
      const answer = await ask(parley, door, named, { body, headers: { "anthropic-beta": "context-1m-2025-08-07", "x-custom": "1" } });
      assert.equal(answer.source, "provider", answer.text);
      const [seen] = await asked(fake, model);
      assert.equal(await fake.bodyText(seen!.number), door.body(model).replace("{", "{ "));
      const names = ["anthropic-beta", "anthropic-version", "authorization", "x-api-key", "x-custom", "x-goog-api-key"].filter((header) => seen!.headers.includes(header));
      assert.deepEqual(names, door.dialect === "anthropic" ? ["anthropic-beta", "anthropic-version", "x-api-key"] : ["x-goog-api-key"]);
    }
  });
  await t.test("Gemini's whole request: its model too", async () => {
    const model = own("echo");
    const inside = (name: string) => `{"generateContentRequest": {"contents":[{"parts":[{"text":"a"}]}],"model":"models/${name}", "systemInstruction":{"parts":[{"text":"s"}]}}}`;
    const answer = await ask(parley, doors["gemini"]!, `gemini/${model}`, { body: inside(`gemini/${model}`) });
    assert.deepEqual([answer.source, answer.tokens], ["provider", GEMINI], answer.text);
    assert.equal((await bodiesSeen(fake, model))[0]!.body, inside(model));
  });
  const rich = {
    system: "be brief", max_tokens: 5, temperature: 0.5, top_p: 0.9, top_k: 3, stop_sequences: ["x"], stream: true, metadata: { user_id: "u" },
    messages: [{ role: "user", content: "hi" }],
    tools: [{ name: "f", description: "d", input_schema: { type: "object", properties: { a: { type: "string" } } } }],
  };
  await t.test("Anthropic's form to Gemini: a whole request, nothing lost", async () => {
    const model = own("echo");
    const answer = await parley.ask("POST", "/v1/messages/count_tokens", { key: parley.user.key, headers: { "x-parley-strict": "true" }, body: { model: `gemini/${model}`, ...rich } });
    assert.deepEqual([answer.json, answer.headers["x-parley-count"], answer.headers["x-parley-dropped"]], [{ input_tokens: GEMINI }, "provider", undefined], answer.text);
    const [seen] = await bodiesSeen(fake, model);
    assert.equal(seen!.path, `/v1beta/models/${encodeURIComponent(model)}:countTokens`);
    const sent = JSON.parse(seen!.body).generateContentRequest;
    assert.equal(sent.model, `models/${model}`);
    assert.equal(sent.systemInstruction.parts[0].text, "be brief");
    assert.equal(sent.tools[0].functionDeclarations[0].name, "f");
    assert.equal(sent.generationConfig, undefined);
  });
  await t.test("Gemini's form to Anthropic: a message without what shapes the answer", async () => {
    const model = own("echo");
    const body = { generateContentRequest: { contents: [{ role: "user", parts: [{ text: "hi" }] }], systemInstruction: { parts: [{ text: "be brief" }] }, generationConfig: { temperature: 1, maxOutputTokens: 7, topK: 2, stopSequences: ["x"], seed: 1, thinkingConfig: { thinkingLevel: "high" } } } };
    const answer = await parley.ask("POST", `/v1beta/models/anthropic/${model}:countTokens`, { key: parley.user.key, headers: { "x-parley-strict": "true" }, body });
    assert.deepEqual([answer.json, answer.headers["x-parley-count"]], [{ totalTokens: ANTHROPIC }, "provider"], answer.text);
    const [seen] = await bodiesSeen(fake, model);
    assert.equal(seen!.path, "/v1/messages/count_tokens");
    const sent = JSON.parse(seen!.body);
    assert.deepEqual(Object.keys(sent).filter((name) => !["model", "messages", "system", "thinking", "output_config"].includes(name)), []);
    assert.ok(sent.thinking || sent.output_config, "the effort is counted");
  });
  await t.test("what is lost is named, again when it is kept, or refused", async () => {
    const model = own("echo"), body = { model: `gemini/${model}`, messages: [{ role: "user", content: "hi" }], odd: 1 };
    const send = (headers: Record<string, string>, name: string) => parley.ask("POST", "/v1/messages/count_tokens", { key: parley.user.key, headers, body: { ...body, model: name } });
    const strict = await send({ "x-parley-strict": "true" }, `gemini/${model}`);
    assert.equal(strict.status, 400, strict.text);
    assert.match(strict.json.error.message, /cannot carry: odd/);
    assert.equal((await asked(fake, model)).length, 0);
    for (const source of ["provider", "cached"]) {
      const lax = await send({}, `gemini/${model}`);
      assert.deepEqual([lax.headers["x-parley-count"], lax.headers["x-parley-dropped"]], [source, "odd"]);
    }
    assert.equal((await send({ "x-parley-strict": "true" }, `gemini/${model}`)).status, 400, "kept or not");
    assert.equal((await send({ "x-parley-strict": "true" }, "openai/echo")).headers["x-parley-count"], "estimate");
  });
  await t.test("bad requests are nobody's", async () => {
    await assert.rejects(anthropicOf(parley).messages.countTokens({ model: "anthropic/echo", messages: "no" as never }), Anthropic.BadRequestError);
    await assert.rejects(anthropicOf(parley).messages.countTokens({ model: "nobody/x", messages: [] }), Anthropic.NotFoundError);
    await assert.rejects(geminiOf(parley).models.countTokens({ model: "nobody/x", contents: "x" }), (error) => error instanceof ApiError && error.status === 404);
    const cache = await ask(parley, doors["anthropic"]!, "anthropic/echo", { headers: { "x-parley-cache": "maybe" } });
    assert.equal(cache.status, 400, cache.text);
  });
  await t.test("whoever leaves is noticed upstream", async () => {
    const model = own("silent"), abort = new AbortController();
    const counting = anthropicOf(parley).messages.countTokens({ model: `gemini/${model}`, messages: [{ role: "user", content: "x" }] }, { signal: abort.signal });
    counting.catch(() => {});
    await eventually("the provider is asked", async () => (await asked(fake, model)).length);
    abort.abort();
    await eventually("the provider was left", async () => (await asked(fake, model))[0]?.client_gone);
  });
});

test("routes and chains: the next target that counts", async (t) => {
  const routes = new Routes();
  const failing = own("503"), refusing = own("400-invalid"), well = own("echo"), silent = own("silent");
  routes.add("mixed", [`openai/${own("echo")}`, `anthropic/${failing}`, `gemini/${refusing}`, `gemini/${well}`], { strategy: "priority" });
  routes.add("slow", [`gemini/${silent}`, `anthropic/${well}`], { strategy: "priority" });
  routes.add("none", ["openai/echo", "ollama/echo"]);
  const { fake, parley } = await startRouted(t, routes);
  const door = countersOf(parley)["anthropic"]!;
  const mixed = await ask(parley, door, "mixed");
  assert.deepEqual([mixed.tokens, mixed.source, mixed.headers["x-parley-target"], mixed.headers["x-parley-attempts"]], [GEMINI, "provider", `gemini/${well}`, "3"]);
  assert.deepEqual([(await asked(fake, failing)).length, (await asked(fake, refusing)).length], [1, 1]);
  const slow = await ask(parley, door, "slow");
  assert.deepEqual([slow.tokens, slow.source, slow.headers["x-parley-target"]], [ANTHROPIC, "provider", `anthropic/${well}`]);
  assert.equal((await ask(parley, door, "none")).source, "estimate");
  const chained = await ask(parley, door, "none", { body: JSON.stringify({ model: "none", models: [`gemini/${well}`], messages: [] }) });
  assert.deepEqual([chained.source, chained.headers["x-parley-target"]], ["provider", `gemini/${well}`], chained.text);
});

test("counts that are kept", async (t) => {
  const fake = await startFake(t);
  const parley = await startParley(t, { fake, config: oneAttempt });
  const door = countersOf(parley)["anthropic"]!;
  const model = `anthropic/${own("echo")}`;
  const sources = async (...asks: Parameters<typeof ask>[3][]) => {
    const all: unknown[] = [];
    for (const one of asks) all.push((await ask(parley, door, model, one)).source);
    return all;
  };
  const beta = { headers: { "anthropic-beta": "x" } }, other = { key: parley.other.key }, longer = { body: door.body(model, "aa") };
  assert.deepEqual(await sources({}, other, beta, longer), ["provider", "provider", "provider", "provider"]);
  assert.deepEqual(await sources({}, other, beta, longer), ["cached", "cached", "cached", "cached"]);
  const off = (value: string) => ({ headers: { "x-parley-cache": value } });
  assert.deepEqual(await sources(off("false"), off("0"), off("60"), off("true")), ["provider", "provider", "cached", "cached"]);

  for (const [setting, header, second] of [["counts_mib_max: 0", "true", "provider"], ["counts_seconds: 0", undefined, "provider"], ["counts_seconds: 0", "60", "cached"]] as const)
    await t.test(`${setting}, ${header}`, async () => {
      const set = await startParley(t, { fake, config: `${oneAttempt}cache: {${setting}}\n` });
      const name = `gemini/${own("echo")}`, headers: Record<string, string> = header ? { "x-parley-cache": header } : {};
      await ask(set, door, name, { headers, key: set.user.key });
      assert.equal((await ask(set, door, name, { headers, key: set.user.key })).source, second);
    });
});

test("scopes and the ledger: what is not one's own is refused, nothing is counted against limits", async (t) => {
  const fake = await startFake(t);
  const parley = await startParley(t, { fake, config: oneAttempt });
  const doors = countersOf(parley);
  const made = await parley.ask("POST", "/api/v1/keys", { local: true, body: { name: "narrow", user: parley.user.email, models: ["anthropic/echo*", "openai/*"] } });
  const key = made.json.secret as string;
  const limit = await parley.ask("PUT", `/api/v1/limits/key/${made.json.key.id}`, { local: true, body: { requests_per_minute: 1 } });
  assert.ok(limit.status < 300, limit.text);
  for (const door of Object.values(doors)) {
    const inside = `anthropic/${own("echo")}`, outside = `gemini/${own("echo")}`;
    for (const [model, source] of [[inside, "provider"], ["openai/echo", "estimate"], [inside, "cached"]] as const)
      assert.equal((await ask(parley, door, model, { key })).source, source);
    const refused = await ask(parley, door, outside, { key });
    assert.equal(refused.status, 403, refused.text);
    assert.equal((await ask(parley, door, "ollama/echo", { key })).status, 403, "nor an estimate");
    assert.equal((await asked(fake, bare(outside))).length, 0);
    assert.equal((await ask(parley, door, inside, { key: "sk-parley-no" })).status, 401);
  }
  const chat = await parley.ask("POST", "/v1/messages", { key, body: { model: "anthropic/echo", max_tokens: 9, messages: [{ role: "user", content: "x" }] } });
  assert.equal(chat.status, 200, chat.text);
  await eventually("rows of the asks and of the kept ones, which cost nothing", async () => {
    const rows = (await parley.ask("GET", "/api/v1/ledger?limit=100", { local: true })).text;
    return rows.includes("cached") && rows.includes("refused");
  });
});
