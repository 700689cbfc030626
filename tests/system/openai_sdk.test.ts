// The official OpenAI SDK against Parley, with every dialect behind it.
import assert from "node:assert/strict";
import OpenAI from "openai";
import { test } from "node:test";
import { DIALECTS, eventually, SECRET, sleep, oneAttempt, startFake, startParley, type Fake, type Parley } from "./parley.ts";

const counted = (n: number) => Array.from({ length: n }, (_, i) => `${i + 1} `).join("");
const said = (content: string) => [{ role: "user" as const, content }];
const client = (parley: Parley, apiKey = parley.user.key) => new OpenAI({ baseURL: `${parley.url}/v1`, apiKey, maxRetries: 0, timeout: 30_000 });

const tools: OpenAI.ChatCompletionTool[] = [
  { type: "function", function: { name: "get_weather", description: "Weather of a city", parameters: { type: "object", properties: { city: { type: "string" } }, required: ["city"] } } },
  { type: "function", function: { name: "get_time", description: "Time of a zone", parameters: { type: "object", properties: { zone: { type: "string" } }, required: ["zone"] } } },
];

async function failure(promise: Promise<unknown>, what = ""): Promise<any> {
  let error: unknown;
  const good = await promise.catch((reason) => void (error = reason));
  assert.ok(error, `${what} should have failed: ${JSON.stringify(good)?.slice(-600)}`);
  assert.ok(!JSON.stringify(error).includes(SECRET) && !String(error).includes(SECRET), "an error tells a key");
  return error;
}

async function streamed(openai: OpenAI, body: Omit<OpenAI.ChatCompletionCreateParamsStreaming, "stream">) {
  const stream = await openai.chat.completions.create({ ...body, stream: true });
  const chunks: OpenAI.ChatCompletionChunk[] = [];
  for await (const chunk of stream) chunks.push(chunk);
  return chunks;
}

const textOf = (chunks: OpenAI.ChatCompletionChunk[]) => chunks.map((chunk) => chunk.choices[0]?.delta.content ?? "").join("");

// The calls of a stream, put together by index as SDK users do.
function callsOf(chunks: OpenAI.ChatCompletionChunk[]) {
  const calls: { id: string; name: string; arguments: string }[] = [];
  for (const chunk of chunks)
    for (const call of chunk.choices[0]?.delta.tool_calls ?? []) {
      const one = (calls[call.index] ??= { id: "", name: "", arguments: "" });
      one.id += call.id ?? "";
      one.name += call.function?.name ?? "";
      one.arguments += call.function?.arguments ?? "";
    }
  return calls;
}

for (const provider of DIALECTS) test(`with ${provider} behind it`, async (t) => {
  const fake: Fake = await startFake(t);
  const parley = await startParley(t, { fake, config: oneAttempt, env: { PARLEY_LOG_LEVEL: "debug" } });
  const openai = client(parley);
  const model = (name: string) => `${provider}/${name}`;

  await t.test("models", async () => {
    const list = await openai.models.list();
    const ids = list.data.map((one) => one.id);
    assert.ok(ids.includes("parley/eliza"), ids.join(" "));
    const own = ids.filter((id) => id.startsWith(`${provider}/`));
    assert.ok(own.length >= 2, ids.join(" "));
    const one = await openai.models.retrieve(own[0]!);
    assert.deepEqual([one.id, one.object], [own[0], "model"]);
    const missing = await failure(openai.models.retrieve("nobody/nothing"));
    assert.ok(missing instanceof OpenAI.NotFoundError);
  });

  await t.test("completion and usage", async () => {
    const answer = await openai.chat.completions.create({ model: model("echo"), messages: said("Grüße 🌍") });
    assert.equal(answer.choices[0]!.message.content, "You said: Grüße 🌍");
    assert.equal(answer.choices[0]!.finish_reason, "stop");
    assert.equal(answer.choices[0]!.message.role, "assistant");
    assert.equal(answer.object, "chat.completion");
    assert.equal(answer.usage!.prompt_tokens, 11);
    assert.ok(answer.usage!.completion_tokens > 0);
    assert.equal(answer.usage!.total_tokens, answer.usage!.prompt_tokens + answer.usage!.completion_tokens);
    assert.ok((await fake.seen("echo"))!.credentials);
  });

  await t.test("stream and usage", async () => {
    const chunks = await streamed(openai, { model: model("count-20"), messages: said("x"), stream_options: { include_usage: true } });
    assert.equal(textOf(chunks), counted(20));
    assert.ok(chunks.length >= 20, "word by word");
    assert.equal(chunks.findLast((chunk) => chunk.choices[0]?.finish_reason)!.choices[0]!.finish_reason, "stop");
    assert.equal(chunks.at(-1)!.usage!.prompt_tokens, 11);
    assert.equal(new Set(chunks.map((chunk) => chunk.id)).size, 1);
    const plain = await streamed(openai, { model: model("count-3"), messages: said("x") });
    assert.equal(textOf(plain), counted(3));
    assert.ok(plain.every((chunk) => !chunk.usage), "usage only when asked for");
  });

  await t.test("every byte on its own, and CR LF", async () => {
    const split = await streamed(openai, { model: model("unicode-split"), messages: said("x") });
    assert.equal(textOf(split), "Grüße, 世界! Привет 🌍 שלום e\u0301 👨‍👩‍👧");
    assert.equal(textOf(await streamed(openai, { model: model("count-9+crlf"), messages: said("x") })), counted(9));
  });

  await t.test("a conversation with system prompt and settings", async () => {
    const answer = await openai.chat.completions.create({ model: model("echo"), temperature: 0.5, max_completion_tokens: 100, stop: ["END"],
      messages: [{ role: "system", content: "Be brief." }, { role: "user", content: "one" }, { role: "assistant", content: "two" }, { role: "user", content: "three" }] });
    assert.equal(answer.choices[0]!.message.content, "You said: three");
    const body = await fake.lastBody();
    for (const text of ["Be brief.", "one", "two", "three"]) assert.ok(body.includes(text), body);
    assert.match(body, /0\.5/);
    assert.match(body, /\b100\b/);
  });

  await t.test("parallel tools, whole and streamed, and their results back", async () => {
    const answer = await openai.chat.completions.create({ model: model("tools"), messages: said("weather?"), tools, parallel_tool_calls: true });
    const calls = answer.choices[0]!.message.tool_calls! as OpenAI.ChatCompletionMessageFunctionToolCall[];
    assert.equal(answer.choices[0]!.finish_reason, "tool_calls");
    assert.deepEqual(calls.map((call) => [call.function.name, JSON.parse(call.function.arguments)]), [["get_weather", { city: "Paris" }], ["get_time", { zone: "Europe/Paris" }]]);
    assert.equal(new Set(calls.map((call) => call.id)).size, 2);
    assert.ok((await fake.lastBody()).includes("Weather of a city"));
    const chunks = await streamed(openai, { model: model("tools"), messages: said("weather?"), tools });
    const parts = callsOf(chunks);
    assert.deepEqual(parts.map((call) => [call.name, JSON.parse(call.arguments)]), [["get_weather", { city: "Paris" }], ["get_time", { zone: "Europe/Paris" }]]);
    assert.ok(parts.every((call) => call.id));
    assert.equal(chunks.findLast((chunk) => chunk.choices[0]?.finish_reason)!.choices[0]!.finish_reason, "tool_calls");
    const followed = await openai.chat.completions.create({ model: model("echo"), tools, messages: [
      ...said("weather?"), answer.choices[0]!.message,
      { role: "tool", tool_call_id: calls[0]!.id, content: "sunny, 21 degrees" }, { role: "tool", tool_call_id: calls[1]!.id, content: "12:30" }] });
    assert.ok(followed.choices[0]!.message.content);
    const body = await fake.lastBody();
    for (const text of ["sunny, 21 degrees", "12:30", "get_weather"]) assert.ok(body.includes(text), body);
  });

  await t.test("images in", async () => {
    const png = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==";
    const answer = await openai.chat.completions.create({ model: model("echo"), messages: [{ role: "user", content: [
      { type: "text", text: "what is this?" }, { type: "image_url", image_url: { url: `data:image/png;base64,${png}` } }] }] });
    assert.match(answer.choices[0]!.message.content!, /what is this\?/);
    assert.ok((await fake.lastBody()).includes(png));
  });

  await t.test("whoever leaves is noticed upstream within 100 ms", async () => {
    const stream = await openai.chat.completions.create({ model: model("endless+slow-10"), messages: said("x"), stream: true });
    let count = 0;
    let left = 0;
    for await (const _ of stream) if (++count === 5) { left = performance.now(); stream.controller.abort(); break; }
    await eventually("the provider was left", async () => (await fake.seen("endless+slow-10"))?.client_gone, 1000);
    const took = performance.now() - left;
    assert.ok(took < 100 + 50, `${took} ms, some of them for asking`);
    const abort = new AbortController();
    const waiting = openai.chat.completions.create({ model: model("silent"), messages: said("x") }, { signal: abort.signal });
    await eventually("it is asked", () => fake.seen("silent"));
    abort.abort();
    assert.ok(await failure(waiting) instanceof OpenAI.APIUserAbortError);
    await eventually("the provider was left before its first byte", async () => (await fake.seen("silent"))?.client_gone, 1000);
  });

  await t.test("errors keep their class", async () => {
    const rows: [string, new (...args: any[]) => any, number, string | undefined][] = [
      ["401", OpenAI.APIError, 502, undefined],
      ["429", OpenAI.RateLimitError, 429, "rate_limit_exceeded"],
      ["429-after-7", OpenAI.RateLimitError, 429, "rate_limit_exceeded"],
      ["429-quota", OpenAI.RateLimitError, 429, provider === "gemini" || provider === "ollama" || provider === "anthropic" ? undefined : "insufficient_quota"],
      ["500", OpenAI.InternalServerError, 502, undefined],
      ["503", OpenAI.InternalServerError, 503, undefined],
      ["400-context", OpenAI.BadRequestError, 400, "context_length_exceeded"],
      ["no-such-behaviour", OpenAI.NotFoundError, 404, "model_not_found"],
    ];
    for (const [name, kind, status, code] of rows)
      for (const stream of [false, true]) {
        const error: any = await failure(openai.chat.completions.create({ model: model(name), messages: said("x"), stream }));
        const what = `${name}, stream ${stream}: ${error.status} ${error.code} ${error.message}`;
        assert.ok(error instanceof kind, what);
        assert.equal(error.status, status, what);
        if (code) assert.equal(error.code, code, what);
        assert.ok(error.message.length > 8, what);
        if (name === "429-after-7") assert.ok(["7", "8"].includes(error.headers.get("retry-after")), what + error.headers.get("retry-after"));
      }
  });

  await t.test("nothing broken passes for whole", async () => {
    const isSaid = (error: any, what: string) => { // by Parley, not by a connection that broke
      assert.ok(error instanceof OpenAI.APIError && !(error instanceof OpenAI.APIConnectionError), `${what}: ${error}`);
      assert.ok(error.message.length > 8, what);
    };
    for (const name of ["cut-5", "cut-byte-40", "reset-5", "malformed-3", "garbage", "reset"]) {
      const error = await failure(openai.chat.completions.create({ model: model(name), messages: said("x") }), name);
      isSaid(error, name);
      assert.ok(error.status >= 500, `${name}: ${error.status} ${error.message}`);
    }
    for (const name of ["cut-5", "cut-byte-300", "reset-5", "error-5", "garbage", "reset", "no-finish", "huge-line"]) {
      const error = await failure(streamed(openai, { model: model(name), messages: said("x") }), name);
      isSaid(error, `${name}, streamed`);
    }
    // One event that is no JSON is skipped (the many servers that imitate OpenAI send such things).
    const rest = await streamed(openai, { model: model("malformed-3"), messages: said("x") }).then(textOf);
    assert.equal(rest, counted(20).replace("3 ", ""));
    // What marks the end is needed, except where the finish reason has been told before.
    const mayLackIt = ["openai", "anthropic", "gemini"].includes(provider);
    if (!mayLackIt) isSaid(await failure(streamed(openai, { model: model("no-sentinel"), messages: said("x") })), "no-sentinel");
    for (const name of [...(mayLackIt ? ["no-sentinel"] : []), "json-instead-of-stream"])
      assert.equal(textOf(await streamed(openai, { model: model(name), messages: said("x") })), counted(20), `${name} is whole enough`);
  });
});

test("eliza, keys and refusals", async (t) => {
  const parley = await startParley(t);
  const openai = client(parley);

  await t.test("eliza answers, whole and streamed", async () => {
    const whole = await openai.chat.completions.create({ model: "parley/eliza", messages: said("I am sad") });
    const answer = textOf(await streamed(openai, { model: "parley/eliza", messages: said("I am sad") }));
    assert.equal(whole.choices[0]!.message.content, answer);
    assert.match(answer, /sad/);
  });

  await t.test("a wrong key, no key, another kind of key", async () => {
    for (const key of ["nonsense", "sk-parley-nonsense", "sk-0123456789abcdef"]) {
      const error = await failure(client(parley, key).models.list());
      assert.ok(error instanceof OpenAI.AuthenticationError, String(error));
      assert.equal(error.code, "invalid_api_key");
      assert.ok(!error.message.includes(key));
    }
  });

  await t.test("unknown models", async () => {
    for (const model of ["nobody/nothing", "nothing", "", "parley/elisa", "a/b/c"]) {
      const error = await failure(openai.chat.completions.create({ model, messages: said("x") }));
      assert.ok(error instanceof OpenAI.NotFoundError || error instanceof OpenAI.BadRequestError, `${model}: ${error}`);
    }
  });

  await t.test("a provider that nobody can reach", async () => {
    const folder = await startParley(t, { config: `${oneAttempt}providers: {gone: {kind: openai-compatible, base_url: "http://127.0.0.1:9/v1", models: m}}` });
    const error = await failure(client(folder).chat.completions.create({ model: "gone/m", messages: said("x") }));
    assert.ok(error instanceof OpenAI.InternalServerError);
    assert.equal(error.status, 502);
    await sleep(0);
  });
});
