// OpenAI to OpenAI: what the client says goes on byte for byte except for the model, and what the
// provider says comes back byte for byte.
import assert from "node:assert/strict";
import http from "node:http";
import net from "node:net";
import { test, type TestContext } from "node:test";
import { afterwards, SECRET, startParley } from "./parley.ts";

// A provider that keeps what it got, and says what it is told.
async function startRecorder(t: TestContext) {
  const seen: { body: Buffer; headers: http.IncomingHttpHeaders; url: string }[] = [];
  const answer = { status: 200, type: "application/json", pieces: [] as Buffer[] };
  const server = http.createServer((request, response) => {
    const pieces: Buffer[] = [];
    request.on("data", (piece) => pieces.push(piece));
    request.on("end", async () => {
      if (request.url === "/v1/models") return response.end('{"object":"list","data":[{"id":"some-model","object":"model"}]}');
      seen.push({ body: Buffer.concat(pieces), headers: request.headers, url: request.url! });
      response.writeHead(answer.status, { "content-type": answer.type, "x-request-id": "req_upstream", "set-cookie": "upstream=1" });
      for (const piece of answer.pieces) {
        response.write(piece);
        await new Promise((done) => setTimeout(done, 1));
      }
      response.end();
    });
  });
  await new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
  afterwards(t, () => { server.closeAllConnections(); server.close(); });
  return { seen, answer, url: `http://127.0.0.1:${(server.address() as net.AddressInfo).port}` };
}

const whole = Buffer.from('{ "id":"chatcmpl-1",\n\t"object":"chat.completion" , "created":1, "model":"some-model","x_unknown":{"deep":[1.10,2e5,"\\u00e9\\ud83d\\ude00"]},"choices":[{"index":0,"message":{"role":"assistant","content":"h\u00e9llo","reasoning_content":"hm","extra":null},"finish_reason":"stop"}],"usage":{"prompt_tokens":1,"completion_tokens":1,"total_tokens":2,"cost":0.00010}}\n\n');
const stream = Buffer.from(': OPENROUTER PROCESSING\n\nid: 7\ndata:{"id":"c","object":"chat.completion.chunk","created":1,"model":"some-model","service_tier":"x","choices":[{"index":0,"delta":{"role":"assistant","content":"","weird":[]},"finish_reason":null}]}\r\n\r\n'
  + 'data: {"id":"c","choices":[{"index":0,"delta":{"content":"h\u00e9l"},"logprobs":{"content":[]}}]}\n\nevent: odd\ndata: {"choices":[{"index":0,"delta":{"content":"lo"},"finish_reason":"stop"}]}\n\n: ping\n\ndata: {"choices":[],"usage":{"prompt_tokens":1,"completion_tokens":2,"total_tokens":3}}\n\ndata: [DONE]\n\n');

test("OpenAI to OpenAI, byte for byte", async (t) => {
  const recorder = await startRecorder(t);
  const parley = await startParley(t, { config: `providers: {openai: {base_url: "${recorder.url}/v1", api_key: "${SECRET}"}}` });
  const send = (body: string | Buffer) => parley.ask("POST", "/v1/chat/completions", { key: parley.user.key, body });

  await t.test("requests: all but the model stays as it was", async () => {
    recorder.answer.pieces = [whole];
    const bodies = [
      '{"model":"openai/some-model","messages":[{"role":"user","content":"x"}]}',
      ' \n{ "messages" : [ {"content":"x", "role":"user", "odd":{"model":"openai/some-model"}} ],\t"x_unknown": {"a":[1.0,1e2,-0.0,"\\u0041"]}, "model"  :  "openai/some-model" , "seed":1234567890123456789, "temperature":1.0 }\n',
      '{"\\u006dodel":"openai/some-model","messages":[{"role":"user","content":"openai/some-model"}],"metadata":{"model":"openai/some-model"}}',
      `{"messages":[{"role":"user","content":"${"long ".repeat(400_000)}"}],"model":"openai/some-model","provider":{"order":["x"]},"reasoning":{"max_tokens":1}}`,
    ];
    // Two of them: readers differ in which one counts, so both are what Parley chose.
    assert.equal((await send('{"model":"dearest","messages":[{"role":"user","content":"x"}],"mo\\u0064el":"dearer" ,"model":"openai/some-model"}')).status, 200);
    assert.equal(recorder.seen.at(-1)!.body.toString(), '{"model":"some-model","messages":[{"role":"user","content":"x"}],"mo\\u0064el":"some-model" ,"model":"some-model"}');
    for (const body of bodies) {
      const answer = await send(body);
      assert.equal(answer.status, 200, answer.text.slice(0, 300));
      const got = recorder.seen.at(-1)!;
      const at = /("model"|"\\u006dodel")\s*:\s*"/.exec(body.replace(/"odd":\{"model":"/, (text) => "_".repeat(text.length)))!;
      const expected = body.slice(0, at.index + at[0].length) + "some-model" + body.slice(at.index + at[0].length + "openai/some-model".length);
      assert.equal(got.body.toString(), expected);
      assert.equal(got.url, "/v1/chat/completions");
      assert.equal(got.headers["authorization"], `Bearer ${SECRET}`, "the provider's key, never the client's");
      assert.ok(!JSON.stringify(got.headers).includes(parley.user.key));
      assert.equal(got.headers["cookie"], undefined);
    }
  });

  await t.test("whole answers, in pieces", async () => {
    for (const size of [1, 7, 10_000]) {
      recorder.answer.pieces = [];
      for (let at = 0; at < whole.length; at += size) recorder.answer.pieces.push(whole.subarray(at, at + size));
      const answer = await send('{"model":"openai/some-model","messages":[{"role":"user","content":"x"}]}');
      assert.equal(answer.text, whole.toString());
      assert.match(answer.headers["content-type"]!, /^application\/json/);
      assert.equal(answer.headers["set-cookie"], undefined, "a provider sets no cookies here");
      assert.equal(answer.headers["x-parley-target"], "openai/some-model");
    }
  });

  await t.test("streams, in pieces", async () => {
    recorder.answer.type = "text/event-stream; charset=utf-8";
    for (const size of [1, 13, 100_000]) {
      recorder.answer.pieces = [];
      for (let at = 0; at < stream.length; at += size) recorder.answer.pieces.push(stream.subarray(at, at + size));
      const answer = await send('{"model":"openai/some-model","stream":true,"messages":[{"role":"user","content":"x"}],"x":1}');
      assert.equal(answer.text, stream.toString());
      assert.match(answer.headers["content-type"]!, /^text\/event-stream/);
    }
    assert.equal(JSON.parse(recorder.seen.at(-1)!.body.toString()).x, 1);
  });

  await t.test("an error is told in OpenAI's shape, with its class", async () => {
    recorder.answer.status = 400;
    recorder.answer.type = "application/json";
    recorder.answer.pieces = [Buffer.from(`{"error":{"message":"bad thing","type":"invalid_request_error","param":"x","code":"odd"}}`)];
    const answer = await send('{"model":"openai/some-model","messages":[{"role":"user","content":"x"}]}');
    assert.equal(answer.status, 400);
    assert.equal(answer.json.error.message, "bad thing");
    assert.equal(answer.json.error.type, "invalid_request_error");
    recorder.answer.status = 401;
    recorder.answer.pieces = [Buffer.from(`{"error":{"message":"Incorrect API key provided: ${SECRET}.","code":"invalid_api_key"}}`)];
    const wrong = await send('{"model":"openai/some-model","messages":[{"role":"user","content":"x"}]}');
    assert.equal(wrong.status, 502);
    assert.ok(!wrong.text.includes(SECRET), "not even when the provider says it");
  });
});
