// Embeddings and Ollama's generate: the official clients, each through its own door to every provider that makes
// vectors; bytes that pass through; what is said to be lost; vectors that are kept.
import assert from "node:assert/strict";
import { test } from "node:test";
import { geminiOf, ollamaOf, openaiOf } from "./doors.ts";
import { ask, DIALECTS, eventually, oneAttempt, startFake, startParley, type Fake, type Parley } from "./parley.ts";
import { asked, counted, own, Routes, startRouted } from "./router.ts";

const TEXTS = ["a", "Grüße, 世界 🌍", ""];
const vectorOf = (text: string) => [0.25, -1, Buffer.byteLength(text)]; // as the fake makes them
const VECTORS = TEXTS.map(vectorOf);
const MAKERS = ["openai", "responses", "gemini", "ollama"] as const; // who makes some
const bare = (model: string) => model.replace(/^[^/]*\//, "");
const bodiesSeen = async (fake: Fake, model: string) =>
  Promise.all((await asked(fake, bare(model))).map(async (one) => ({ path: one.path, body: await fake.bodyText(one.number) })));

interface Embedder {
  dialect: (typeof DIALECTS)[number];
  embed(model: string, texts: string[], dimensions?: number): Promise<{ vectors: number[][]; tokens: number | undefined }>;
  path(model: string): string;
  body(model: string): string; // that no serializer would write; one text, "a"
}

const embeddersOf = (parley: Parley): Record<string, Embedder> => {
  const openai = openaiOf(parley), ollama = ollamaOf(parley);
  const openaiWith = (encoding: { encoding_format?: "float" | "base64" }): Embedder => ({
    dialect: "openai",
    embed: async (model, input, dimensions) => {
      const answer = await openai.embeddings.create({ model, input, ...(dimensions ? { dimensions } : {}), ...encoding });
      assert.deepEqual(answer.data.map((one) => one.index), input.map((_, i) => i));
      assert.equal(answer.model, bare(model));
      return { vectors: answer.data.map((one) => [...one.embedding]), tokens: answer.usage.prompt_tokens };
    },
    path: () => "/v1/embeddings",
    body: (model) => ` {"input" : ["a"],\n"model":"${model}", "encoding_format":"${encoding.encoding_format ?? "base64"}"}`,
  });
  const geminiWith = (version?: string): Embedder => ({
    dialect: "gemini",
    embed: async (model, contents, outputDimensionality) => {
      const gemini = geminiOf(parley, version);
      const answer = await gemini.models.embedContent({ model, contents, config: outputDimensionality ? { outputDimensionality } : {} });
      return { vectors: answer.embeddings!.map((one) => one.values!), tokens: undefined };
    },
    path: (model) => `/v1beta/models/${model}:batchEmbedContents`,
    body: (model) => `{ "requests":[ {"content":{"parts":[{"text":"a"}]} , "model":"models/${model}","task_type":"CLUSTERING"}]}`,
  });
  return {
    "openai, base64 by default": openaiWith({}),
    "openai, floats": openaiWith({ encoding_format: "float" }),
    "gemini": geminiWith(),
    "gemini, v1beta": geminiWith("v1beta"),
    "ollama": {
      dialect: "ollama",
      embed: async (model, input, dimensions) => {
        const answer = await ollama.embed({ model, input, ...(dimensions ? { dimensions } : {}) });
        assert.equal(answer.model, bare(model));
        return { vectors: answer.embeddings, tokens: answer.prompt_eval_count };
      },
      path: () => "/api/embed",
      body: (model) => `{"keep_alive":"5m","model" :"${model}", "input":"a"}`,
    },
  };
};

test("every client to every provider", async (t) => {
  const fake = await startFake(t);
  const parley = await startParley(t, { fake, config: oneAttempt });
  for (const [name, door] of Object.entries(embeddersOf(parley)))
    for (const provider of MAKERS)
      await t.test(`${name} to ${provider}`, async () => {
        const model = () => `${provider}/${own("echo")}`;
        const many = await door.embed(model(), TEXTS);
        assert.deepEqual(many.vectors, VECTORS);
        if (many.tokens !== undefined) assert.ok(many.tokens > 0);
        if (many.tokens !== undefined && provider !== "gemini") assert.equal(many.tokens, TEXTS.length);
        assert.deepEqual((await door.embed(model(), ["a"], 2)).vectors, [[0.25, -1]]);
        const large = await door.embed(model(), ["a"], 3072);
        assert.equal(large.vectors[0]!.length, 3072);
        assert.equal(large.vectors[0]![3071], 0.015625);
        for (const [wrong, status] of [["429", 429], ["no-such-behaviour", 404], ["503", 503]] as const)
          await assert.rejects(door.embed(`${provider}/${wrong}`, ["a"]), (error: any) =>
            assert.equal(error.status ?? error.status_code, status, `${wrong}: ${error}`) === undefined);
        await assert.rejects(door.embed(`${provider}/garbage`, ["a"]), (error: any) => (error.status ?? error.status_code) >= 500);
      });

  await t.test("the same form in and out: its bytes", async () => {
    for (const door of Object.values(embeddersOf(parley))) {
      const model = own("echo"), named = `${door.dialect}/${model}`;
      const answer = await parley.ask("POST", door.path(named), { key: parley.user.key, body: door.body(named) });
      assert.equal(answer.status, 200, answer.text);
      const [seen] = await bodiesSeen(fake, model);
      assert.equal(seen!.body, door.body(model));
      const straight = await ask(fake.url, "POST", door.path(model), { body: door.body(model) });
      assert.equal(answer.text, straight.text);
      assert.equal(answer.headers["x-parley-target"], named);
      assert.equal(answer.headers["x-parley-dropped"], undefined);
    }
  });

  await t.test("Gemini's one and Ollama's older form", async () => {
    const olds: [string, (model: string) => string, (model: string) => string, (json: any) => number[]][] = [
      ["gemini", (model) => `/v1/models/${model}:embedContent`, (model) => `{"content":{"parts":[{"text":"ab"}]},"model":"models/${model}"}`, (json) => json.embedding.values],
      ["ollama", () => "/api/embeddings", (model) => `{"model":"${model}","prompt":"ab"}`, (json) => json.embedding],
    ];
    for (const [own_provider, path, body, read] of olds)
      for (const provider of MAKERS) {
        const model = own("echo"), named = `${provider}/${model}`;
        const answer = await parley.ask("POST", path(named), { key: parley.user.key, body: body(named) });
        assert.equal(answer.status, 200, answer.text);
        assert.deepEqual(read(answer.json), vectorOf("ab"));
        const [seen] = await bodiesSeen(fake, model);
        assert.equal(provider === own_provider, seen!.body === body(model));
      }
    const ollama = ollamaOf(parley);
    assert.deepEqual((await ollama.embeddings({ model: "ollama/echo", prompt: "ab" })).embedding, vectorOf("ab"));
  });

  await t.test("tokens in place of texts", async () => {
    const openai = openaiOf(parley);
    const answer = await openai.embeddings.create({ model: "openai/echo", input: [[1, 2], [40]] });
    assert.deepEqual(answer.data.map((one) => [...one.embedding]), [[0.25, -1, 3], [0.25, -1, 40]]);
    await assert.rejects(openai.embeddings.create({ model: "gemini/echo", input: [[1, 2]] }), (error: any) =>
      error.status === 400 && error.param === "input[0]");
  });

  await t.test("what is lost is named, or refused", async () => {
    const send = (headers: Record<string, string>, body: object) =>
      parley.ask("POST", "/v1/embeddings", { key: parley.user.key, headers, body: { input: "a", user: "u", odd: 1, ...body } });
    const lax = await send({}, { model: "gemini/echo" });
    assert.equal(lax.headers["x-parley-dropped"], "user, odd");
    const model = own("echo");
    const strict = await send({ "x-parley-strict": "true" }, { model: `gemini/${model}` });
    assert.equal(strict.status, 400, strict.text);
    assert.match(strict.json.error.message, /cannot carry: user, odd/);
    assert.equal((await asked(fake, model)).length, 0);
    assert.equal((await send({ "x-parley-strict": "true" }, { model: "openai/echo" })).status, 200);
  });

  await t.test("who makes none", async () => {
    for (const model of ["anthropic/echo", "parley/eliza"])
      for (const path of ["/v1/embeddings", "/api/embed", `/v1beta/models/${model}:batchEmbedContents`]) {
        const body = path.includes("batch") ? { requests: [{ content: { parts: [{ text: "a" }] } }] } : { model, input: "a" };
        const answer = await parley.ask("POST", path, { key: parley.user.key, body });
        assert.equal(answer.status, 400, answer.text);
        assert.match(answer.text, /makes no embeddings; providers here that can: /);
        for (const maker of MAKERS) assert.match(answer.text, new RegExp(maker));
      }
  });

  await t.test("bad requests", async () => {
    for (const [body, field] of [[{ model: "openai/echo" }, "input"], [{ model: "openai/echo", input: [] }, "input"],
      [{ model: "openai/echo", input: ["a", 1] }, "input[1]"], [{ model: "openai/echo", input: "a", dimensions: "3" }, "dimensions"],
      [{ model: "openai/echo", input: "a", models: "openai/echo" }, "models"], [{ input: "a" }, "model"], [{ input: "a", models: [] }, "model"]] as const) {
      const answer = await parley.ask("POST", "/v1/embeddings", { key: parley.user.key, body });
      assert.equal(answer.status, 400, answer.text);
      assert.equal(answer.json.error.param, field);
    }
    const nothing = await parley.ask("POST", "/api/embed", { key: parley.user.key, body: { model: "openai/echo", input: [] } });
    assert.deepEqual(nothing.json, { model: "openai/echo", embeddings: [] });
    assert.equal((await parley.ask("POST", "/api/embed", { key: parley.user.key, body: { model: "nobody/x", input: [] } })).status, 404);
    assert.equal((await parley.ask("POST", "/v1/embeddings", { body: { model: "openai/echo", input: "a" } })).status, 401);
  });

  await t.test("whoever leaves is noticed upstream", async () => {
    const model = own("silent");
    const abort = new AbortController();
    const asking = openaiOf(parley).embeddings.create({ model: `gemini/${model}`, input: "a" }, { signal: abort.signal });
    asking.catch(() => {});
    await eventually("the provider is asked", async () => (await asked(fake, model)).length);
    abort.abort();
    await eventually("the provider was left", async () => (await asked(fake, model))[0]?.client_gone);
  });
});

test("a route's other target is asked when the first one fails", async (t) => {
  const routes = new Routes();
  const first = own("503"), second = own("echo");
  const name = routes.add("vectors", [`openai/${first}`, "anthropic/echo", `ollama/${second}`], { attempts: 1 });
  const { parley } = await startRouted(t, routes);
  const answer = await parley.ask("POST", "/v1/embeddings", { key: parley.user.key, body: { model: name, input: ["a"], encoding_format: "float" } });
  assert.equal(answer.status, 200, answer.text);
  assert.equal(answer.headers["x-parley-target"], `ollama/${second}`);
  assert.equal(answer.headers["x-parley-attempts"], "2");
  assert.deepEqual(answer.json.data[0].embedding, vectorOf("a"));
});

test("a request's own chain: the next one is asked, and no provider hears of it", async (t) => {
  const fake = await startFake(t);
  const parley = await startParley(t, { fake, config: oneAttempt });
  for (const [first, second] of [["openai", "ollama"], ["gemini", "openai"], ["ollama", "gemini"], ["anthropic", "openai"]] as const)
    for (const member of ["models", "fallbacks"]) {
      const failing = own("503"), well = own("echo");
      const openai = openaiOf(parley);
      const answer = await openai.embeddings.create({ model: `${first}/${failing}`, input: ["a"], [member]: [`${second}/${well}`] } as any).withResponse();
      assert.deepEqual([...answer.data.data[0]!.embedding], vectorOf("a"));
      assert.equal(answer.response.headers.get("x-parley-target"), `${second}/${well}`);
      assert.equal(answer.response.headers.get("x-parley-dropped"), null);
      for (const one of [...await bodiesSeen(fake, failing), ...await bodiesSeen(fake, well)]) assert.doesNotMatch(one.body, /models"|fallbacks/);
    }
  const send = (path: string, body: object, key = parley.user.key) => parley.ask("POST", path, { key, body });
  const well = own("echo");
  const batch = await send("/v1beta/models/openai/503:batchEmbedContents", { fallbacks: [`gemini/${well}`], requests: [{ content: { parts: [{ text: "ab" }] } }] });
  assert.deepEqual(batch.json.embeddings[0].values, vectorOf("ab"));
  assert.doesNotMatch((await bodiesSeen(fake, well))[0]!.body, /fallbacks/);
  const first = await send("/api/embed", { models: ["ollama/503", "ollama/echo"], input: "ab" });
  assert.deepEqual(first.json.embeddings, [vectorOf("ab")]);

  const scoped = (await parley.ask("POST", "/api/v1/keys", { local: true, body: { name: "scoped", user: parley.user.email, models: ["openai/echo"] } })).json.secret;
  const inside = await send("/v1/embeddings", { model: "ollama/echo", fallbacks: ["openai/echo"], input: "a" }, scoped);
  assert.deepEqual([inside.status, inside.headers["x-parley-target"]], [200, "openai/echo"], inside.text);
  const outside = await send("/v1/embeddings", { model: "ollama/echo", fallbacks: ["gemini/echo"], input: "a" }, scoped);
  assert.equal(outside.status, 403, outside.text);
  assert.equal((await send("/v1/embeddings", { model: "openai/echo", fallbacks: ["nobody/x"], input: "a" })).status, 404);
});

test("vectors that are kept", async (t) => {
  const fake = await startFake(t);
  const parley = await startParley(t, { fake, config: oneAttempt });
  const send = (model: string, input: string[], cache: string | undefined, more: object = {}, person = parley.user) =>
    parley.ask("POST", "/v1/embeddings", {
      key: person.key, body: { model, input, encoding_format: "float", ...more }, ...(cache ? { headers: { "x-parley-cache": cache } } : {}),
    });
  const inputsAsked = async (model: string) => (await bodiesSeen(fake, model)).map((one) => {
    const body = JSON.parse(one.body);
    return body.input ?? body.requests.map((item: any) => item.content.parts[0].text);
  });
  for (const provider of MAKERS)
    await t.test(provider, async () => {
      const model = `${provider}/${own("echo")}`;
      const vectors = (answer: any) => answer.json.data.map((one: any) => one.embedding);
      const miss = await send(model, ["a", "bb"], "true");
      const part = await send(model, ["ccc", "bb", "dddd", "a"], "60");
      const hit = await send(model, ["dddd", "a"], "true");
      assert.deepEqual([miss, part, hit].map((one) => one.headers["x-parley-cache"]), ["miss", "partial", "hit"]);
      assert.deepEqual(vectors(miss), ["a", "bb"].map(vectorOf));
      assert.deepEqual(vectors(part), ["ccc", "bb", "dddd", "a"].map(vectorOf));
      assert.deepEqual(vectors(hit), ["dddd", "a"].map(vectorOf));
      assert.equal(hit.json.usage.prompt_tokens, 0);
      assert.equal(hit.headers["x-parley-target"], model);
      assert.equal(hit.headers["x-parley-attempts"], "0");
      assert.deepEqual(await inputsAsked(model), [["a", "bb"], ["ccc", "dddd"]]);
    });
  await t.test("only what is the same, and one's own", async () => {
    const model = `openai/${own("echo")}`;
    await send(model, ["a"], "true");
    const others = [
      await send(model, ["a"], "true", {}, parley.other), await send(model, ["a"], "true", { dimensions: 2 }),
      await send(`ollama/${bare(model)}`, ["a"], "true"), await send(model, ["b"], "true"),
    ];
    assert.deepEqual(others.map((one) => one.headers["x-parley-cache"]), ["miss", "miss", "miss", "miss"]);
    for (const cache of [undefined, "false", "0"]) assert.equal((await send(model, ["a"], cache)).headers["x-parley-cache"], undefined);
    assert.equal((await send(model, ["a"], "true", { odd: 1 })).headers["x-parley-cache"], undefined);
    assert.equal((await send(model, ["a"], "maybe")).status, 400);
    assert.equal((await send(model, ["a"], "true")).headers["x-parley-cache"], "hit");
  });
  await t.test("switched off", async () => {
    const off = await startParley(t, { fake, config: `${oneAttempt}cache: {embeddings_mib_max: 0}\n` });
    for (let i = 0; i < 2; i++) {
      const answer = await off.ask("POST", "/v1/embeddings", { key: off.user.key, body: { model: "openai/echo", input: "a" }, headers: { "x-parley-cache": "true" } });
      assert.deepEqual([answer.status, answer.headers["x-parley-cache"]], [200, undefined]);
    }
  });
});

test("Ollama's generate", async (t) => {
  const fake = await startFake(t);
  const parley = await startParley(t, { fake, config: oneAttempt });
  const ollama = ollamaOf(parley);
  for (const provider of DIALECTS)
    await t.test(`to ${provider}`, async () => {
      const whole = await ollama.generate({ model: `${provider}/${own("echo")}`, prompt: "Grüße", system: "s", stream: false });
      assert.deepEqual([whole.response, whole.done, whole.done_reason, whole.prompt_eval_count, whole.eval_count], ["You said: Grüße", true, "stop", 11, 7]);
      const pieces: string[] = [];
      for await (const line of await ollama.generate({ model: `${provider}/${own("count-20")}`, prompt: "x", stream: true })) {
        pieces.push(line.response!);
        assert.equal(line.done, pieces.length === 21);
      }
      assert.equal(pieces.join(""), counted(20));
      const thought = await ollama.generate({ model: `${provider}/${own("reasoning")}`, prompt: "x", think: "low", stream: false });
      assert.equal(thought.response, "It is four.");
      await assert.rejects(ollama.generate({ model: `${provider}/429`, prompt: "x", stream: false }), { name: "ResponseError", status_code: 429 });
      await assert.rejects(async () => {
        for await (const _ of await ollama.generate({ model: `${provider}/${own("cut-3")}`, prompt: "x", stream: true })) continue;
      });
      const endless = own("endless+slow-10");
      const stream = await ollama.generate({ model: `${provider}/${endless}`, prompt: "x", stream: true });
      await assert.rejects(async () => {
        let count = 0;
        for await (const _ of stream) if (++count === 5) stream.abort();
      }, /abort/i);
      await eventually("the provider was left", async () => (await asked(fake, endless))[0]?.client_gone, 2000);
    });

  await t.test("to Ollama: its bytes", async () => {
    const body = (model: string) => `{"model":"${model}" ,"prompt":"a\\u00e9","suffix":"b","raw":true, "context":[1,2],"stream":false}`;
    const model = own("count-2");
    const answer = await parley.ask("POST", "/api/generate", { key: parley.user.key, body: body(`ollama/${model}`) });
    assert.equal(answer.status, 200, answer.text);
    assert.deepEqual(answer.json.context, [151644, 872, 198]);
    assert.equal(answer.headers["x-parley-dropped"], undefined);
    const [seen] = await bodiesSeen(fake, model);
    assert.deepEqual([seen!.path, seen!.body], ["/api/generate", body(model)]);
  });

  await t.test("to others: what is lost is named", async () => {
    const body = { model: "openai/count-2", prompt: "a", suffix: "b", template: "t", context: [1], stream: false };
    const answer = await parley.ask("POST", "/api/generate", { key: parley.user.key, body });
    assert.equal(answer.json.response, "1 2 ");
    assert.equal(answer.headers["x-parley-dropped"], "suffix, template, context");
    const strict = await parley.ask("POST", "/api/generate", { key: parley.user.key, body, headers: { "x-parley-strict": "true" } });
    assert.equal(strict.status, 400, strict.text);
  });

  await t.test("without a prompt the model is loaded", async () => {
    for (const stream of [false, true]) {
      const answer = await parley.ask("POST", "/api/generate", { key: parley.user.key, body: { model: "openai/echo", stream } });
      const { created_at, ...told } = answer.json;
      assert.ok(created_at);
      assert.deepEqual(told, { model: "openai/echo", response: "", done: true, done_reason: "load" });
    }
    assert.equal((await ollama.generate({ model: "openai/echo", prompt: "", stream: false })).done_reason, "load");
    assert.equal((await parley.ask("POST", "/api/generate", { key: parley.user.key, body: { model: "nobody/x" } })).status, 404);
  });
});
