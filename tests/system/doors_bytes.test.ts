// The doors' own promises: bytes that pass through, what is taken out of them, what is said to be lost, lists of
// models, counts of tokens, and an answer that another provider goes on with.
import assert from "node:assert/strict";
import http from "node:http";
import net from "node:net";
import { test, type TestContext } from "node:test";
import Anthropic from "@anthropic-ai/sdk";
import { anthropicOf, doorsOf, geminiDoor, geminiOf, ollamaOf, type Dialect } from "./doors.ts";
import { afterwards, ask, DIALECTS, oneAttempt, SECRET, startFake, startParley, type Answer, type Fake, type Parley } from "./parley.ts";
import { asked, counted, own, Routes, startRouted } from "./router.ts";

// A request that no serializer would write; `model` goes where the name stands (Gemini's is in the path).
const ODD = `"x_unknown" : {"deep":[1.10,2e5,"\\u00e9"]}`;
const BODIES: Record<Dialect, (model: string, stream: boolean, more: string) => string> = {
  openai: (model, stream, more) => ` {${more} "messages":[{"content":"h\\u00e9","role":"user"}],\n"stream" : ${stream},"model": "${model}",${ODD}}\n`,
  responses: (model, stream, more) => `{${more}"input":"x","model" :"${model}", "stream":${stream} ,\t${ODD}, "truncation":"disabled"}`,
  anthropic: (model, stream, more) => `{ "max_tokens": 1e2,${more}"model":"${model}","stream":${stream}, "messages":[{"role":"user","content":[{"text":"x","type":"text","cache_control":{"type":"ephemeral"}}]}], ${ODD} }`,
  gemini: (_model, _stream, more) => `{${more} "contents" : [{"parts":[{"text":"x"}]}], "safety_settings":[], "generationConfig":{"temperature":1.0} ,${ODD}}`,
  ollama: (model, stream, more) => `{${more}"model":"${model}","messages":[{"role":"user","content":"x"}],"stream":${stream},"keep_alive":"5m", ${ODD} , "options":{"num_ctx":4096}}`,
};
const PATHS: Record<Dialect, (model: string, stream: boolean) => string> = {
  openai: () => "/v1/chat/completions", responses: () => "/v1/responses", anthropic: () => "/v1/messages", ollama: () => "/api/chat",
  gemini: (model, stream) => `/v1beta/models/${model}:${stream ? "streamGenerateContent?alt=sse" : "generateContent"}`,
};

const send = (parley: Parley, dialect: Dialect, model: string, body: string, stream = false, headers: http.OutgoingHttpHeaders = {}): Promise<Answer> =>
  parley.ask("POST", PATHS[dialect](model, stream), { key: parley.user.key, body, headers });
const bodySeen = async (fake: Fake, model: string) => fake.bodyText((await fake.seen(model))!.number);

test("the same dialect in and out", async (t) => {
  const fake = await startFake(t);
  const parley = await startParley(t, { fake, config: oneAttempt });
  for (const dialect of DIALECTS)
    for (const stream of [false, true])
      await t.test(`${dialect}, ${stream ? "streamed" : "whole"}`, async () => {
        for (const what of ["count-5", "tools", "reasoning", ...(stream ? ["unicode-split", "tools-interleaved"] : [])]) {
          const model = own(what), body = BODIES[dialect](`${dialect}/${model}`, stream, "");
          const answer = await send(parley, dialect, `${dialect}/${model}`, body, stream);
          assert.equal(answer.status, 200, answer.text);
          const expected = BODIES[dialect](model, stream, "");
          assert.equal(await bodySeen(fake, model), expected, "the request's bytes");
          const straight = await ask(fake.url, "POST", PATHS[dialect](model, stream), { body: expected, headers: dialect === "anthropic" ? { "anthropic-version": "2023-06-01" } : {} });
          assert.equal(straight.status, 200, straight.text);
          assert.equal(answer.text, straight.text, "the answer's bytes");
          assert.equal(answer.headers["content-type"], straight.headers["content-type"]);
          assert.equal(answer.headers["x-parley-target"], `${dialect}/${model}`);
          assert.equal(answer.headers["x-parley-dropped"], undefined);
        }
      });

  await t.test("what is Parley's own is taken out", async () => {
    for (const dialect of DIALECTS)
      for (const more of ['"models":["parley/eliza"],', '"fallbacks" : [ "parley/eliza" , "openai/echo"] ,', '"models":[],"fallbacks":null, ']) {
        const model = own("count-2");
        const answer = await send(parley, dialect, `${dialect}/${model}`, BODIES[dialect](`${dialect}/${model}`, false, more));
        assert.equal(answer.status, 200, answer.text);
        const got = await bodySeen(fake, model);
        assert.doesNotMatch(got, /"(models|fallbacks)"/);
        assert.deepEqual(JSON.parse(got), JSON.parse(BODIES[dialect](model, false, "")));
        for (const piece of [ODD, BODIES[dialect](model, false, "").slice(40)]) assert.ok(got.includes(piece), `${got}\nhas not\n${piece}`);
      }
  });

  await t.test("a fallback is asked when the first one fails", async () => {
    for (const dialect of DIALECTS)
      for (const other of DIALECTS) {
        const first = own("503"), second = own("count-3");
        const answer = await send(parley, dialect, `${dialect}/${first}`, BODIES[dialect](`${dialect}/${first}`, false, `"fallbacks":["${other}/${second}"],`));
        assert.equal(answer.status, 200, `${dialect} to ${other}: ${answer.text}`);
        assert.equal(answer.headers["x-parley-target"], `${other}/${second}`);
        assert.match(answer.text, /1 2 3 /);
      }
  });
});

// A provider of Anthropic's that keeps the headers it got.
async function startRecorder(t: TestContext) {
  const seen: http.IncomingHttpHeaders[] = [];
  const server = http.createServer((request, response) => {
    request.resume().on("end", () => {
      response.setHeader("content-type", "application/json");
      if (request.method === "GET") return response.end('{"data":[{"type":"model","id":"m","display_name":"m","created_at":"2026-01-01T00:00:00Z"}],"has_more":false}');
      seen.push(request.headers);
      response.end('{"id":"msg_1","type":"message","role":"assistant","model":"m","content":[{"type":"text","text":"hi"}],"stop_reason":"end_turn","stop_sequence":null,"usage":{"input_tokens":1,"output_tokens":1}}');
    });
  });
  await new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
  afterwards(t, () => { server.closeAllConnections(); server.close(); });
  return { seen, url: `http://127.0.0.1:${(server.address() as net.AddressInfo).port}` };
}

test("Anthropic's headers go on, credentials do not", async (t) => {
  const recorder = await startRecorder(t);
  const parley = await startParley(t, { config: `providers: {anthropic: {base_url: "${recorder.url}", api_key: "${SECRET}"}}` });
  const ask = { model: "anthropic/m", max_tokens: 10, messages: [{ role: "user" as const, content: "x" }] };
  const answer = await anthropicOf(parley).messages.create(ask, { headers: { "anthropic-beta": "one-2026-01-01,two-2026-02-02" } });
  assert.equal((answer.content[0] as Anthropic.TextBlock).text, "hi");
  const headers = recorder.seen.at(-1)!;
  assert.equal(headers["anthropic-beta"], "one-2026-01-01,two-2026-02-02");
  assert.equal(headers["anthropic-version"], "2026-10-21", "the client's");
  assert.ok(!JSON.stringify(headers).includes(parley.user.key));
  assert.ok(JSON.stringify(headers).includes(SECRET));
  assert.ok(!Object.keys(headers).some((name) => name.startsWith("x-stainless")), "nothing else of the client's");
  const old = await parley.ask("POST", "/v1/messages", { body: ask, headers: { "x-api-key": parley.user.key, "anthropic-version": "2023-06-01" } });
  assert.equal(old.status, 200, old.text);
  assert.equal(recorder.seen.at(-1)!["anthropic-version"], "2023-06-01");
  assert.equal(recorder.seen.at(-1)!["x-api-key"], SECRET);
});

test("what is lost is named", async (t) => {
  const fake = await startFake(t);
  const parley = await startParley(t, { fake, config: oneAttempt });
  const rows: [Dialect, Dialect, string, RegExp][] = [
    ["openai", "anthropic", '"logit_bias":{"1":2},"seed":3,', /logit_bias|seed/],
    ["responses", "gemini", '"include":["x"],"safety_identifier":"y",', /user.*truncation/],
    ["anthropic", "responses", '"top_k":5,"service_tier":"auto",', /top_k/],
    ["gemini", "openai", '"cachedContent":"c",', /cachedContent/],
    ["ollama", "openai", "", /keep_alive|num_ctx/],
  ];
  for (const [dialect, provider, more, lost] of rows)
    for (const stream of [false, true])
      await t.test(`${dialect} to ${provider}, ${stream ? "streamed" : "whole"}`, async () => {
        const model = `${provider}/${own("count-3")}`;
        const answer = await send(parley, dialect, model, BODIES[dialect](model, stream, more), stream);
        assert.equal(answer.status, 200, answer.text);
        const dropped = String(answer.headers["x-parley-dropped"]);
        assert.match(dropped, lost);
        assert.match(dropped, /x_unknown/);
        assert.doesNotMatch(dropped, /stream_usage/, "it is told");
        assert.equal(answer.headers["x-parley-target"], model);
      });
});

test("x-parley-strict: a loss is refused before anything is sent", async (t) => {
  const fake = await startFake(t);
  const parley = await startParley(t, { fake, config: oneAttempt });
  const ask = (model: string, more: object, strict: string) => parley.ask("POST", "/v1/chat/completions", {
    key: parley.user.key, headers: { "x-parley-strict": strict },
    body: { model, messages: [{ role: "user", content: "x" }], max_completion_tokens: 100, ...more },
  });
  const lost = own("count-3"), kept = own("count-3"), same = own("count-3");
  const refused = await ask(`anthropic/${lost}`, { seed: 3, x_unknown: 1 }, "true");
  assert.equal(refused.status, 400, refused.text);
  assert.match(refused.json.error.message, /anthropic cannot carry: .*seed.*x_unknown/);
  assert.equal((await asked(fake, lost)).length, 0);
  assert.equal((await ask(`anthropic/${lost}`, { seed: 3 }, "false")).status, 200);
  // Usage is told whoever answers, so asking for it loses nothing.
  const streamed = await ask(`anthropic/${kept}`, { stream: true, stream_options: { include_usage: true } }, "true");
  assert.equal(streamed.status, 200, streamed.text);
  assert.match(streamed.text, /"usage":\{"prompt_tokens"/);
  assert.equal((await ask(`openai/${same}`, { seed: 3, x_unknown: 1 }, "true")).status, 200, "the same form carries everything");
});

test("lists of models, and other questions", async (t) => {
  const fake = await startFake(t);
  const parley = await startParley(t, { fake, config: `${oneAttempt}routes: {my-route: {targets: [openai/echo]}}\n` });
  for (const door of [...doorsOf(parley), geminiDoor(parley, "v1beta"), geminiDoor(parley, "v1")])
    await t.test(`${door.path("M", true)}`, async () => {
      const ids = await door.list();
      assert.equal(ids[0], "my-route", "routes first");
      assert.ok(ids.includes("parley/eliza"), ids.join(" "));
      assert.equal(new Set(ids).size, ids.length);
      for (const provider of DIALECTS) assert.ok(ids.some((id) => id.startsWith(`${provider}/`)), ids.join(" "));
      for (const id of ids) assert.equal(await door.retrieve(id), id);
      assert.equal((await door.streamed({ model: "my-route", text: "hello" })).text, "You said: hello", "by a route's name");
    });

  await t.test("Anthropic's count_tokens", async () => {
    const anthropic = anthropicOf(parley);
    const count = async (content: string) => {
      const { data, response } = await anthropic.messages.countTokens({ model: "openai/echo", messages: [{ role: "user", content }] }).withResponse();
      assert.equal(response.headers.get("x-parley-estimated"), "true");
      return data.input_tokens;
    };
    const few = await count("Hello there"), many = await count("Hello there. ".repeat(1000));
    assert.ok(few > 0 && few < 20, String(few));
    assert.ok(many > 2000 && many < 5000, String(many));
    await assert.rejects(anthropic.messages.countTokens({ model: "m", messages: "no" as never }), Anthropic.BadRequestError);
    await assert.rejects(anthropic.messages.create({ model: "openai/echo", messages: [{ role: "user", content: "x" }] } as never), /max_tokens: is required/);
  });

  for (const version of [undefined, "v1", "v1beta"])
    await t.test(`Gemini's countTokens, ${version ?? "by default"}`, async () => {
      const { models } = geminiOf(parley, version);
      const few = (await models.countTokens({ model: "openai/echo", contents: "Hello there" })).totalTokens!;
      const many = (await models.countTokens({ model: "openai/echo", contents: "Hello there. ".repeat(1000) })).totalTokens!;
      assert.ok(few > 0 && few < 20 && many > 2000 && many < 5000, `${few} ${many}`);
      const wrong = await parley.ask("POST", `/${version ?? "v1"}/models/openai/echo:countTokens`, { key: parley.user.key, body: { contents: [{ parts: "no" }] } });
      assert.deepEqual([wrong.status, wrong.json.error.status, wrong.json.error.message], [400, "INVALID_ARGUMENT", "contents[0].parts: must be an array"]);
    });

  await t.test("Gemini's streams: both versions, alt=sse and not", async () => {
    for (const provider of DIALECTS)
      for (const version of ["v1", "v1beta"]) {
        const door = geminiDoor(parley, version);
        assert.equal((await door.whole({ model: `${provider}/count-4` })).text, counted(4));
        assert.equal((await door.streamed({ model: `${provider}/count-4` })).text, counted(4));
        const path = `/${version}/models/${provider}/count-4:streamGenerateContent`;
        const body = { contents: [{ role: "user", parts: [{ text: "x" }] }] };
        const array = await parley.ask("POST", path, { headers: { "x-goog-api-key": parley.user.key }, body });
        assert.match(array.headers["content-type"]!, /^application\/json/);
        assert.equal(array.json.map((one: any) => one.candidates[0].content.parts.map((part: any) => part.text).join("")).join(""), counted(4));
        const sse = await parley.ask("POST", `${path}?alt=sse`, { headers: { "x-goog-api-key": parley.user.key }, body });
        assert.match(sse.headers["content-type"]!, /^text\/event-stream/);
      }
    const wrong = await parley.ask("POST", "/v1beta/models/openai/429:streamGenerateContent", { key: parley.user.key, body: { contents: [{ parts: [{ text: "x" }] }] } });
    assert.deepEqual([wrong.status, wrong.json.error.status], [429, "RESOURCE_EXHAUSTED"], wrong.text);
  });

  await t.test("Ollama's other questions", async () => {
    const ollama = ollamaOf(parley);
    assert.match((await ollama.version()).version, /^\d+\.\d+\.\d+$/);
    assert.deepEqual((await ollama.ps()).models, []);
    await assert.rejects(ollama.copy({ source: "openai/echo", destination: "x" }), (error: any) => {
      assert.equal(error.status_code, 404);
      assert.ok(typeof error.error === "string" && error.error.length > 5, JSON.stringify(error));
      return true;
    });
  });

  await t.test("a wrong key, in the form of who asks", async () => {
    const rows: [http.OutgoingHttpHeaders, string, (json: any) => unknown, unknown][] = [
      [{ authorization: "Bearer sk-wrong" }, "/v1/models", (json) => json.error.code, "invalid_api_key"],
      [{ "x-api-key": "sk-wrong", "anthropic-version": "2023-06-01" }, "/v1/models", (json) => json.error.type, "authentication_error"],
      [{ "x-goog-api-key": "sk-wrong" }, "/v1/models", (json) => json.error.status, "UNAUTHENTICATED"],
      [{ "x-goog-api-key": "sk-wrong" }, "/v1beta/models", (json) => json.error.status, "UNAUTHENTICATED"],
      [{ authorization: "Bearer sk-wrong" }, "/api/tags", (json) => typeof json.error, "string"],
    ];
    for (const [headers, path, of, wanted] of rows) {
      const answer = await parley.ask("GET", path, { headers });
      assert.equal(answer.status, 401, answer.text);
      assert.equal(of(answer.json), wanted, answer.text);
    }
  });
});

test("an answer that is cut goes on, and every client takes it for one", { concurrency: 4 }, async (t) => {
  const routes = new Routes();
  const rows = DIALECTS.flatMap((door) => DIALECTS.flatMap((first) => DIALECTS.map((second) =>
    ({ door, first, second, route: routes.add(`${door}-${first}-${second}`, [`${first}/${own("cut-3")}`, `${second}/${own("count-8")}`], { recovery: "splice", attempts: 1 }) }))));
  const going = DIALECTS.flatMap((door) => DIALECTS.map((first) =>
    ({ door, first, route: routes.add(`on-${door}-${first}`, [`${first}/${own("burst-6x24+slow-1+cut-3")}`, `two/${own("burst-6x24+slow-1+differs-2+continues")}`], { recovery: "continue", attempts: 2 }) })));
  const { parley } = await startRouted(t, routes);
  const worded = Array.from({ length: 6 }, (_, i) => `word-0000${i} the quick bro`).join("");
  for (const door of doorsOf(parley)) {
    for (const { first, second, route } of rows.filter((row) => row.door === door.dialect))
      await t.test(`${door.dialect}: ${first}, then ${second}`, async () => {
        const said = await door.streamed({ model: route });
        assert.equal(said.text, counted(8));
        assert.ok(said.output > 0 && said.input > 0, JSON.stringify(said));
        assert.equal((await door.whole({ model: route })).text, counted(8));
      });
    for (const { first, route } of going.filter((row) => row.door === door.dialect))
      await t.test(`${door.dialect}: ${first}, then another goes on`, async () => {
        assert.equal((await door.streamed({ model: route })).text, worded);
      });
  }
});
