// What is no chat: images, audio, moderations and fine-tuning through the official SDK, and anything
// else through /p/. Bytes arrive as they were sent, keys stay where they belong.
import assert from "node:assert/strict";
import http from "node:http";
import net from "node:net";
import { readFileSync } from "node:fs";
import { resolve } from "node:path";
import OpenAI, { toFile } from "openai";
import { test, type TestContext } from "node:test";
import { afterwards, eventually, providersOf, SECRET, sleep, startFake, startParley, type Parley } from "./parley.ts";

const client = (parley: Parley, apiKey = parley.user.key, path = "/v1") =>
  new OpenAI({ baseURL: `${parley.url}${path}`, apiKey, maxRetries: 0, timeout: 30_000 });
const reply = (name: string) => readFileSync(resolve(import.meta.dirname, "../../lab/replies/openai-chat", name));

async function failure(promise: Promise<unknown>): Promise<any> {
  let error: unknown;
  await promise.catch((reason) => void (error = reason));
  assert.ok(error, "it should have failed");
  assert.ok(!JSON.stringify(error).includes(SECRET) && !String(error).includes(SECRET), "an error tells a key");
  return error;
}

test("the official SDK: images, audio, moderations", async (t) => {
  const fake = await startFake(t);
  const dead = net.createServer().listen(0, "127.0.0.1");
  await new Promise((done) => dead.once("listening", done));
  const deadPort = (dead.address() as net.AddressInfo).port;
  await new Promise((done) => dead.close(done));
  const parley = await startParley(t, { fake, config: providersOf(fake, `  dead: {kind: openai-compatible, base_url: "http://127.0.0.1:${deadPort}/v1", models: [gpt-image-1], models_only: true}
routes:
  pictures: {targets: [dead/gpt-image-1, openai/gpt-image-1]}
`) });
  const openai = client(parley);
  const lastBody = async () => Buffer.from(await (await fetch(`${fake.url}/_last_body`)).arrayBuffer());

  await t.test("images", async () => {
    const images = await openai.images.generate({ model: "openai/gpt-image-1", prompt: "a dot", n: 1 });
    assert.equal(images.data![0]!.b64_json, JSON.parse(reply("images").toString()).data[0].b64_json);
    assert.deepEqual(JSON.parse((await lastBody()).toString()), { model: "gpt-image-1", prompt: "a dot", n: 1 });
  });

  await t.test("the next target of a route, when the first one is not there", async () => {
    const answer = await parley.ask("POST", "/v1/images/generations", { key: parley.user.key, body: { model: "pictures", prompt: "x" } });
    assert.equal(answer.status, 200, answer.text);
    assert.equal(answer.headers["x-parley-target"], "openai/gpt-image-1");
    assert.equal(answer.headers["x-parley-attempts"], "2");
  });

  await t.test("without a model: the first provider that has it", async () => {
    const images = await openai.images.generate({ prompt: "a dot" });
    assert.equal(images.data!.length, 1);
    assert.deepEqual(JSON.parse((await lastBody()).toString()), { prompt: "a dot" });
  });

  await t.test("a form: all but the model stays, byte for byte", async () => {
    const png = Buffer.from([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a, 0, 13, 10, 45, 45, 255]);
    await openai.images.edit({ model: "openai/gpt-image-1", image: await toFile(png, "a.png", { type: "image/png" }), prompt: "more" });
    const body = await lastBody();
    assert.ok(body.includes(png));
    assert.ok(!body.includes("openai/gpt-image-1") && body.includes("\r\n\r\ngpt-image-1\r\n"));
    const form = (model: string) => Buffer.from(`--xYz\r\nContent-Disposition: form-data; name="file"; filename="x.wav"\r\nContent-Type: audio/wav\r\n\r\n\0\xff\r\n--xY\r\n--xYz\r\ncontent-disposition: form-data; name=model\r\n\r\n${model}\r\n--xYz--\r\n`, "latin1");
    const answer = await parley.ask("POST", "/v1/audio/transcriptions", { key: parley.user.key, body: form("openai/whisper-1"), headers: { "content-type": "multipart/form-data; boundary=xYz" } });
    assert.equal(answer.status, 200, answer.text);
    assert.equal(answer.text, reply("transcription").toString());
    assert.equal(answer.headers["x-parley-target"], "openai/whisper-1");
    assert.deepEqual(await lastBody(), form("whisper-1"));
    const twice = Buffer.from(form("openai/whisper-1").toString("latin1").replace("--xYz--", "--xYz\r\ncontent-disposition: form-data; name=model\r\n\r\nx\r\n--xYz--"), "latin1");
    assert.equal((await parley.ask("POST", "/v1/audio/transcriptions", { key: parley.user.key, body: twice, headers: { "content-type": "multipart/form-data; boundary=xYz" } })).status, 400);
  });

  await t.test("a request's own chain: the next one is asked, and no provider hears of it", async () => {
    const ask = async (path: string, body: object | Buffer, target: string) => {
      const headers: Record<string, string> = Buffer.isBuffer(body) ? { "content-type": "multipart/form-data; boundary=xYz" } : {};
      const answer = await parley.ask("POST", path, { key: parley.user.key, body, headers });
      assert.deepEqual([answer.status, answer.headers["x-parley-target"]], [200, target], answer.text);
      return (await lastBody()).toString("latin1");
    };
    for (const more of [{ model: "dead/gpt-image-1", models: ["openai/a"] }, { model: "anthropic/x", fallbacks: ["openai/a"] }, { models: ["dead/gpt-image-1", "openai/a"] }, { fallbacks: null, models: ["openai/a"] }])
      assert.deepEqual(JSON.parse(await ask("/v1/images/generations", { prompt: "x", ...more }, "openai/a")), { model: "a", prompt: "x" });
    assert.deepEqual(JSON.parse(await ask("/v1/moderations", { input: "x", model: "dead/m", fallbacks: ["openai/m"] }, "openai/m")), { model: "m", input: "x" });
    const part = (name: string, value: string) => `--xYz\r\nContent-Disposition: form-data; name="${name}"\r\n\r\n${value}\r\n`;
    const form = (...parts: string[]) => Buffer.from(`${parts.join("")}--xYz--\r\n`, "latin1");
    for (const [sent, got] of [
      [form(part("model", "dead/w"), part("fallbacks[]", "openai/w"), part("file", "x")), form(part("model", "w"), part("file", "x"))],
      [form(part("file", "x"), part("fallbacks", "openai/w"), part("models[0]", "dead/w")), form(part("file", "x"), part("model", "w"))],
      [form(part("models", "openai/w")), form(part("model", "w"))],
    ] as const)
      assert.equal(await ask("/v1/audio/transcriptions", sent, "openai/w"), got.toString("latin1"));
    const wrong = await parley.ask("POST", "/v1/moderations", { key: parley.user.key, body: { model: "openai/m", input: "x", models: ["openai/m", 1] } });
    assert.deepEqual([wrong.status, wrong.json.error.param], [400, "models"]);
    const narrow = (await parley.ask("POST", "/api/v1/keys", { local: true, body: { name: "narrow", user: parley.user.email, models: ["openai/m"] } })).json.secret;
    const refused = await parley.ask("POST", "/v1/moderations", { key: narrow, body: { model: "dead/m", input: "x", models: ["openai/other"] } });
    assert.equal(refused.status, 403, refused.text);
  });

  await t.test("audio", async () => {
    const file = await toFile(Buffer.alloc(3_000_000, 7), "long.wav"); // larger than what is kept in memory
    const text = await openai.audio.transcriptions.create({ model: "openai/gpt-4o-transcribe", file });
    assert.match(text.text, /wildest idea/);
    const english = await openai.audio.translations.create({ model: "openai/whisper-1", file });
    assert.match(english.text, /Wolfgang/);
    const speech = await openai.audio.speech.create({ model: "openai/tts-1", voice: "alloy", input: "hi" });
    assert.equal(speech.headers.get("content-type"), "audio/mpeg");
    assert.deepEqual(Buffer.from(await speech.arrayBuffer()), reply("speech"));
  });

  await t.test("moderations", async () => {
    const said = await openai.moderations.create({ model: "openai/omni-moderation-latest", input: "x" });
    assert.equal(said.results[0]!.categories["violence"], true);
  });

  await t.test("who has none of it says who has", async () => {
    const error = await failure(openai.images.generate({ model: "anthropic/claude", prompt: "x" }));
    assert.equal(error.status, 400);
    assert.match(error.message, /anthropic has no images; these providers have: .*openai/);
    assert.equal((await failure(openai.moderations.create({ model: "nobody/x", input: "x" }))).status, 404);
  });

  await t.test("what would send a request elsewhere is refused", async () => {
    for (const name of ["api_base", "base_url", "api_key", "AWS_access_key_id", "extra_headers"]) {
      const answer = await parley.ask("POST", "/v1/moderations", { key: parley.user.key, body: { model: "openai/m", input: "x", [name]: "http://evil.example" } });
      assert.equal(answer.status, 400, name);
      assert.equal(answer.json.error.param, name);
    }
  });

  await t.test("nobody gets in without a key", async () => {
    for (const path of ["/v1/images/generations", "/v1/audio/speech", "/v1/fine_tuning/jobs", "/p/openai/chat/completions"])
      assert.equal((await parley.ask("POST", path, { body: {} })).status, 401, path);
  });

  await t.test("fine-tuning: one's own jobs", async () => {
    const own = client(parley, parley.user.key), others = client(parley, parley.other.key), admin = client(parley, parley.admin.key);
    assert.deepEqual((await own.fineTuning.jobs.list()).data, []);
    const job = await own.fineTuning.jobs.create({ model: "openai/gpt-4o-mini", training_file: "file-abc123" });
    assert.equal(job.id, "ftjob-abc123");
    assert.deepEqual(JSON.parse((await lastBody()).toString()), { model: "gpt-4o-mini", training_file: "file-abc123" });
    assert.equal((await own.fineTuning.jobs.retrieve(job.id)).status, "queued");
    assert.equal((await own.fineTuning.jobs.listEvents(job.id)).data.length, 1);
    assert.equal((await own.fineTuning.jobs.checkpoints.list(job.id)).data[0]!.step_number, 2000);
    assert.deepEqual((await own.fineTuning.jobs.list()).data.map((one) => one.id), [job.id]);
    assert.equal((await own.fineTuning.jobs.cancel(job.id)).status, "cancelled");
    assert.equal((await failure(others.fineTuning.jobs.retrieve(job.id))).status, 404);
    assert.equal((await failure(others.fineTuning.jobs.cancel(job.id))).status, 404);
    assert.deepEqual((await others.fineTuning.jobs.list()).data, []);
    assert.equal((await admin.fineTuning.jobs.retrieve(job.id)).id, job.id);
    assert.deepEqual((await admin.fineTuning.jobs.list()).data.map((one) => one.id), [job.id]);
    assert.equal((await failure(own.fineTuning.jobs.retrieve("../models"))).status, 404);

    const made = await parley.ask("POST", "/api/v1/keys", { local: true, body: { name: "limited", user: parley.user.email, models: ["openai/gpt-5.4-mini"] } });
    const limited = client(parley, made.json.secret);
    const theirs = await limited.fineTuning.jobs.create({ model: "openai/gpt-5.4-mini", training_file: "file-abc123" });
    assert.equal((await limited.fineTuning.jobs.retrieve(theirs.id)).id, theirs.id, "what a limited key has made is its person's");
    assert.equal((await limited.fineTuning.jobs.cancel(theirs.id)).status, "cancelled");
    assert.ok((await limited.fineTuning.jobs.list()).data.some((one) => one.id === theirs.id));
    assert.equal((await failure(limited.fineTuning.jobs.create({ model: "openai/gpt-5.5", training_file: "file-abc123" }))).status, 403);
    assert.equal((await parley.ask("GET", "/p/openai/fine_tuning/jobs", { key: made.json.secret })).status, 403, "not what is the provider's");
  });
});

// A provider that keeps what it got, and says what it is told.
async function startRecorder(t: TestContext) {
  const seen: { method: string; body: Buffer; headers: http.IncomingHttpHeaders; url: string }[] = [];
  const answer = { status: 200, headers: {} as http.OutgoingHttpHeaders, pieces: [] as Buffer[], waits: 0 };
  const gone: number[] = [];
  const server = http.createServer((request, response) => {
    const pieces: Buffer[] = [];
    request.on("data", (piece) => pieces.push(piece));
    request.on("end", async () => {
      if (request.url === "/base/models") return response.end('{"object":"list","data":[{"id":"some-model","object":"model"}]}');
      seen.push({ method: request.method!, body: Buffer.concat(pieces), headers: request.headers, url: request.url! });
      response.on("close", () => { if (!response.writableEnded) gone.push(Date.now()); });
      response.writeHead(answer.status, answer.headers);
      for (const piece of answer.pieces) {
        response.write(piece);
        await sleep(1);
      }
      await sleep(answer.waits);
      response.end();
    });
  });
  await new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
  afterwards(t, () => { server.closeAllConnections(); server.close(); });
  return { seen, answer, gone, url: `http://127.0.0.1:${(server.address() as net.AddressInfo).port}` };
}

// As bytes, since every client tidies paths.
function raw(parley: Parley, path: string, more = ""): Promise<string> {
  const url = new URL(parley.url);
  return new Promise((done, fail) => {
    const socket = net.connect(Number(url.port), url.hostname, () =>
      socket.write(`GET ${path} HTTP/1.1\r\nHost: ${url.host}\r\nAuthorization: Bearer ${parley.user.key}\r\nConnection: close\r\n${more}\r\n`));
    let text = "";
    socket.on("data", (data) => (text += data));
    socket.on("end", () => done(text));
    socket.on("error", fail);
  });
}

test("/p/: anything, to a provider", async (t) => {
  const recorder = await startRecorder(t);
  const parley = await startParley(t, { config: `providers: {thing: {kind: openai-compatible, base_url: "${recorder.url}/base", api_key: "${SECRET}"}}` });
  const key = parley.user.key;

  await t.test("every method, headers and bytes", async () => {
    const bytes = Buffer.from([0, 255, 13, 10, 1, 2, 3]);
    for (const method of ["GET", "POST", "PUT", "PATCH", "DELETE"]) {
      recorder.answer.status = 201;
      recorder.answer.headers = { "content-type": "application/x-odd", "set-cookie": "a=b", "openai-organization": "owner", "x-request-id": "req_1", "x-ratelimit-limit-requests": "90000" };
      recorder.answer.pieces = [bytes, bytes];
      const answer = await parley.ask(method, "/p/thing/deep/er%20path?b=1&key=sk-parley-x&c=%26&api_key=y", { key, ...(method === "GET" ? {} : { body: bytes }), headers: { "content-type": "application/x-odd", "x-api-key": key, cookie: "mine=1", "user-agent": "mine", "openai-beta": "beta", accept: "x/y" } });
      assert.equal(answer.status, 201);
      assert.equal(answer.text, Buffer.concat([bytes, bytes]).toString());
      assert.equal(answer.headers["content-type"], "application/x-odd");
      assert.equal(answer.headers["x-parley-provider-request-id"], "req_1");
      assert.equal(answer.headers["x-ratelimit-limit-requests"], "90000");
      assert.ok(!answer.headers["set-cookie"] && !answer.headers["openai-organization"]);
      const got = recorder.seen.at(-1)!;
      assert.equal(got.method, method);
      assert.equal(got.url, "/base/deep/er%20path?b=1&c=%26");
      assert.deepEqual(got.body, method === "GET" ? Buffer.alloc(0) : bytes);
      assert.equal(got.headers["authorization"], `Bearer ${SECRET}`);
      assert.equal(got.headers["openai-beta"], "beta");
      assert.ok(!JSON.stringify(got).includes(key) && !JSON.stringify(got.headers).includes("mine"));
    }
    recorder.answer.status = 200;
  });

  await t.test("no path leads elsewhere", async () => {
    const before = recorder.seen.length;
    for (const path of ["/p/thing/../secret", "/p/thing/a/../../secret", "/p/thing/%2e%2e/secret", "/p/thing/a%2f..%2fb", "/p/thing//evil.example/x",
      "/p/thing/..;/x", "/p/thing/a\\..\\b", "/p/thing/%252e%252e/x", "/p/nobody/x", "/p/thing", "/p/parley/x"]) {
      const text = await raw(parley, path);
      assert.match(text, /^HTTP\/1.1 4(00|04)/, path);
    }
    assert.equal(recorder.seen.length, before);
    const unknown = await parley.ask("GET", "/p/nobody/x", { key });
    assert.equal(unknown.status, 404);
    assert.match(unknown.json.error.message, /no provider 'nobody'/);
  });

  await t.test("redirects stay with the provider", async () => {
    recorder.answer.status = 302;
    recorder.answer.pieces = [];
    for (const [location, kept] of [[`${recorder.url}/base/files/a?b=1`, "/p/thing/files/a?b=1"], ["/base/x", "/p/thing/x"], ["https://evil.example/base/x", undefined], ["/other", undefined], ["//evil.example/base/x", undefined]] as [string, string | undefined][]) {
      recorder.answer.headers = { location };
      const answer = await parley.ask("GET", "/p/thing/x", { key });
      assert.equal(answer.status, 302);
      assert.equal(answer.headers["location"], kept, `${location}`);
    }
    recorder.answer.status = 200;
  });

  await t.test("errors are the provider's, without keys", async () => {
    recorder.answer.status = 422;
    recorder.answer.headers = { "content-type": "application/json" };
    recorder.answer.pieces = [Buffer.from(`{"error":{"message":"key ${SECRET} of org-abcdefghijkl0123456789 is odd","n":1}}`)];
    const answer = await parley.ask("GET", "/p/thing/x", { key });
    assert.equal(answer.status, 422);
    assert.match(answer.text, /^\{"error":\{"message":"key [^"]*\*\*\* of org-\*+ is odd","n":1\}\}$/);
    assert.ok(!answer.text.includes(SECRET) && !answer.text.includes("5ecre7-5ecre7"));
    recorder.answer.status = 200;
    recorder.answer.pieces = [];
  });

  await t.test("the SDK, with its base URL there", async () => {
    recorder.answer.headers = { "content-type": "text/event-stream" };
    recorder.answer.pieces = [Buffer.from('data: {"id":"c","object":"chat.completion.chunk","created":1,"model":"m","choices":[{"index":0,"delta":{"role":"assistant","content":"hé"},"finish_reason":null}]}\n\n'),
      Buffer.from('data: {"id":"c","choices":[{"index":0,"delta":{},"finish_reason":"stop"}],"usage":{"prompt_tokens":7,"completion_tokens":2}}\n\ndata: [DONE]\n\n')];
    const openai = client(parley, key, "/p/thing");
    const stream = await openai.chat.completions.create({ model: "some-model", stream: true, messages: [{ role: "user", content: "x" }] });
    let text = "";
    for await (const chunk of stream) text += chunk.choices[0]?.delta.content ?? "";
    assert.equal(text, "hé");
    assert.equal(recorder.seen.at(-1)!.url, "/base/chat/completions");
    const metrics = await parley.ask("GET", "/metrics", { key: parley.admin.key });
    assert.match(metrics.text, /parley_tokens_total\{provider="thing",direction="input"\} 7/);
  });

  await t.test("who leaves ends it there too", async () => {
    recorder.answer.headers = { "content-type": "text/plain" };
    recorder.answer.pieces = [Buffer.from("begun")];
    recorder.answer.waits = 20_000;
    const leaving = new AbortController();
    const answer = await fetch(`${parley.url}/p/thing/slow`, { headers: { authorization: `Bearer ${key}` }, signal: leaving.signal });
    const reader = answer.body!.getReader();
    assert.equal(Buffer.from((await reader.read()).value!).toString(), "begun");
    const before = recorder.gone.length;
    leaving.abort();
    for (let i = 0; i < 500 && recorder.gone.length === before; i++) await sleep(10);
    assert.equal(recorder.gone.length, before + 1);
    recorder.answer.waits = 0;
  });

  await t.test("a large body, there and back", async () => {
    const large = Buffer.alloc(5_000_000, "abcdefghij");
    recorder.answer.headers = { "content-type": "application/octet-stream" };
    recorder.answer.pieces = [large, large];
    const answer = await parley.ask("POST", "/p/thing/files", { key, body: large, headers: { "content-type": "application/octet-stream" } });
    assert.equal(answer.text.length, 10_000_000);
    assert.deepEqual(recorder.seen.at(-1)!.body, large);
  });
});

test("/p/: what it costs counts", async (t) => {
  const recorder = await startRecorder(t);
  const parley = await startParley(t, { config: `providers: {thing: {kind: openai-compatible, base_url: "${recorder.url}/base", api_key: "${SECRET}"}}
prices: {"thing/some-model": "in=1000 out=1000"}
` });
  const key = parley.user.key, said = [{ role: "user", content: "x" }];
  const post = (path: string, body: object) => parley.ask("POST", `/p/thing/${path}`, { key, body });
  const whole = (usage: object) => {
    recorder.answer.headers = { "content-type": "application/json" };
    recorder.answer.pieces = [Buffer.from(JSON.stringify({ id: "x", object: "odd", usage }))];
  };
  const rows = (count: number) => eventually(`${count} rows`, async () => {
    const { json } = await parley.ask("GET", "/api/v1/ledger", { local: true });
    return json.length === count && json as any[];
  });

  await t.test("where the path or the body names a model", async () => {
    whole({ prompt_tokens: 7, completion_tokens: 2 });
    assert.equal((await post("chat/completions", { model: "some-model", messages: said })).status, 200);
    whole({ input_tokens: 10, output_tokens: 5 });
    assert.equal((await post("odd/thing", { model: "some-model", prompt: "x" })).status, 200);
    const [first, second] = await rows(2);
    assert.deepEqual([first.target, Number(first.cost_usd)], ["thing/some-model", 0.009]);
    assert.deepEqual([second.target, Number(second.cost_usd), second.tokens_output], ["thing/*", 0.015, 5]);
  });

  await t.test("a stream that does not count itself", async () => {
    recorder.answer.headers = { "content-type": "text/event-stream" };
    recorder.answer.pieces = [Buffer.from('data: {"id":"c","choices":[{"index":0,"delta":{"content":"one two three four five six"}}]}\n\ndata: {"id":"c","choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n')];
    assert.equal((await post("chat/completions", { model: "some-model", stream: true, messages: said })).status, 200);
    const row = (await rows(3))[2];
    assert.ok(row.tokens_output >= 5 && row.tokens_output < 10 && row.tokens_input > 0 && Number(row.cost_usd) > 0.005, JSON.stringify(row));
  });

  await t.test("else the row has no price", async () => {
    whole({ input_tokens: 10, output_tokens: 5 });
    assert.equal((await post("odd/thing", { prompt: "x" })).status, 200);
    assert.equal((await rows(4))[3].cost_usd, null);
    assert.equal((await parley.ask("GET", "/api/v1/usage", { local: true })).json.total.unpriced, 1);
  });

  await t.test("a budget is asked first, by an estimate", async () => {
    const limits = await parley.ask("PUT", `/api/v1/limits/key/${parley.user.keyId}`, { local: true, body: { budget_per_day: 0.5 } });
    assert.ok(limits.status < 300, limits.text);
    const before = recorder.seen.length;
    for (const [path, more] of [["chat/completions", { messages: said }], ["chat/completions", { messages: [{ role: "user", content: "word ".repeat(2000) }], max_tokens: 1 }], ["odd/thing", {}]] as [string, object][]) {
      const refused = await post(path, { model: "some-model", ...more });
      assert.equal(refused.status, 429, refused.text);
      assert.match(refused.text, /budget per day of this key/);
    }
    assert.equal(recorder.seen.length, before, "nobody was asked");
    whole({ prompt_tokens: 7, completion_tokens: 400 });
    assert.equal((await post("chat/completions", { model: "some-model", messages: said, max_tokens: 400 })).status, 200);
    assert.equal((await post("chat/completions", { model: "some-model", messages: said, max_tokens: 400 })).status, 429, "what it cost is charged");
    assert.equal((await post("odd/thing", {})).status, 200, "what has no price is not refused by a budget");
  });
});
