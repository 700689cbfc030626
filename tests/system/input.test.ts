// What clients send that they should not: each is answered with what is wrong and where, in the
// door's own shape, and nothing of it is kept.
import assert from "node:assert/strict";
import net from "node:net";
import { test } from "node:test";
import { startFake, startParley, type Answer, type Parley } from "./parley.ts";

// Raw bytes over a connection of their own; what comes back until it closes or `ms` are over.
function raw(parley: Parley, bytes: string | Buffer | (string | Buffer)[], ms = 3000): Promise<{ text: string; closed: boolean }> {
  return new Promise((done) => {
    const { hostname, port } = new URL(parley.url);
    const stream = net.connect(Number(port), hostname);
    let text = "";
    const end = (closed: boolean) => { clearTimeout(timer); stream.destroy(); done({ text, closed }); };
    const timer = setTimeout(() => end(false), ms);
    stream.on("data", (data) => (text += data));
    stream.on("error", () => end(true));
    stream.on("close", () => end(true));
    for (const piece of [bytes].flat()) stream.write(piece);
  });
}

const statusOf = (text: string) => Number(/^HTTP\/1\.1 (\d+)/.exec(text)?.[1] ?? 0);

function isParleyError(answer: Answer, status: number, code: string, what: string) {
  assert.equal(answer.status, status, `${what}: ${answer.status} ${answer.text.slice(0, 300)}`);
  assert.deepEqual(Object.keys(answer.json.error).toSorted(), ["code", "field", "message", "remedy", "request_id"], what);
  assert.equal(answer.json.error.code, code, what);
  assert.equal(answer.json.error.request_id, answer.headers["x-request-id"], what);
}

function isOpenAIError(answer: Answer, status: number, what: string) {
  assert.equal(answer.status, status, `${what}: ${answer.status} ${answer.text.slice(0, 300)}`);
  assert.deepEqual(Object.keys(answer.json.error).toSorted(), ["code", "message", "param", "type"], what);
  assert.equal(typeof answer.json.error.message, "string", what);
}

// Texts that are no JSON (RFC 8259), after JSONTestSuite's sorts.
const notJson: (string | Buffer)[] = ["{", "}", "[", "{]", "{\"a\"", "{\"a\":", "{\"a\":1", "{\"a\":1,", "{\"a\":1,}", "{,}", "{a:1}", "{'a':1}", "{\"a\":01}", "{\"a\":1.}",
  "{\"a\":.5}", "{\"a\":+1}", "{\"a\":1e}", "{\"a\":0x1}", "{\"a\":NaN}", "{\"a\":Infinity}", "{\"a\":-}", "{\"a\":tru}", "{\"a\":True}", "{\"a\":nul}", "{\"a\" \"b\"}",
  "{\"a\":\"\\x\"}", "{\"a\":\"\\u12\"}", "{\"a\":\"\n\"}", "{\"a\":\"\t\"}", "{\"a\":\"\\ud800\"}", "{\"a\":\"", "{} {}", "{}x", "{}]", "// x\n{}", "{/**/}", "\u00a0{}",
  "\0", "{\"a\":1}\0", "[1,,2]", "{\"a\":1 \"b\":2}", "\"", "nothing", "<xml/>", Buffer.from([0xff, 0xfe, 0x7b, 0, 0x7d, 0]),
  Buffer.from([0x7b, 0x22, 0x61, 0x22, 0x3a, 0x22, 0xff, 0x22, 0x7d]), Buffer.from([0x7b, 0x22, 0xc0, 0xaf, 0x22, 0x3a, 0x31, 0x7d]),
  Buffer.concat([Buffer.from('{"a":"'), Buffer.from([0xed, 0xa0, 0x80]), Buffer.from('"}')]), "[".repeat(50_000), '{"a":'.repeat(10_000), "[".repeat(3000) + "]".repeat(3000)];
const notObjects = ["null", "true", "1", "\"x\"", "[]", "[{}]"];

test("input", async (t) => {
  const fake = await startFake(t);
  const parley = await startParley(t, { fake, config: "server: {body_mib_max: 2, header_timeout_ms: 400}\n" });
  const key = parley.user.key;
  const conversation = (await parley.ask("POST", "/api/v1/conversations", { key, body: {} })).json.conversation.id;
  const door = "/v1/chat/completions";

  await t.test("what is no JSON", async () => {
    for (const body of notJson) {
      const what = JSON.stringify(body.toString("latin1" as never)).slice(0, 60);
      for (const [method, path] of [["POST", "/api/v1/conversations"], ["POST", `/api/v1/conversations/${conversation}/messages`], ["PATCH", `/api/v1/conversations/${conversation}`]] as const)
        isParleyError(await parley.ask(method, path, { key, body }), 400, "invalid_request", `${path} ${what}`);
      isParleyError(await parley.ask("PATCH", "/api/v1/settings", { local: true, body }), 400, "invalid_request", `settings ${what}`);
      isOpenAIError(await parley.ask("POST", door, { key, body }), 400, `${door} ${what}`);
    }
    for (const body of notObjects) {
      isParleyError(await parley.ask("POST", "/api/v1/conversations", { key, body }), 400, "invalid_request", body);
      isParleyError(await parley.ask("PATCH", "/api/v1/settings", { local: true, body }), 400, "invalid_request", body);
      isOpenAIError(await parley.ask("POST", door, { key, body }), 400, body);
    }
    isOpenAIError(await parley.ask("POST", door, { key }), 400, "no body");
  });

  await t.test("what is valid JSON, however odd", async () => {
    for (const body of [" \t\r\n{}\n ", "{\"title\":\"\\u0041\\ud83d\\ude00\"}", "{\"title\":\"\u2028\"}", "{\"title\":null}", "\ufeff{}"]) {
      const answer = await parley.ask("POST", "/api/v1/conversations", { key: parley.other.key, body });
      assert.ok(answer.status === 201 || (body.startsWith("\ufeff") && answer.status === 400), `${JSON.stringify(body)}: ${answer.text}`);
    }
  });

  await t.test("wrong types, missing and unknown members, named", async () => {
    const messages = `/api/v1/conversations/${conversation}/messages`;
    const image = (part: object) => ({ content: [{ type: "text", text: "x" }, { type: "image", ...part }] });
    const rows: [string, string, unknown, string][] = [
      ["POST", "/api/v1/conversations", { title: 5 }, "title"], ["POST", "/api/v1/conversations", { title: "x".repeat(1001) }, "title"],
      ["POST", "/api/v1/conversations", { titel: "x" }, "titel"], ["POST", "/api/v1/conversations", { model: [] }, "model"],
      ["PATCH", `/api/v1/conversations/${conversation}`, { title: null }, "title"], ["PATCH", `/api/v1/conversations/${conversation}`, { leaf_id: "x" }, "leaf_id"],
      ["POST", messages, {}, "content"], ["POST", messages, { content: 5 }, "content"], ["POST", messages, { content: "" }, "content"], ["POST", messages, { content: [] }, "content"],
      ["POST", messages, { content: {} }, "content"], ["POST", messages, { content: [5] }, "content[0]"], ["POST", messages, { content: [{}] }, "content[0].type"],
      ["POST", messages, { content: [{ type: "sound" }] }, "content[0].type"], ["POST", messages, { content: [{ type: "text" }] }, "content[0].text"],
      ["POST", messages, { content: [{ type: "text", text: "x", more: 1 }] }, "content[0].more"], ["POST", messages, { content: [{ type: "tool_call", id: "x", name: "y", arguments: "{}" }] }, "content[0].type"],
      ["POST", messages, image({ mime: "image/png" }), "content[1].data"], ["POST", messages, image({ mime: "image/svg+xml", data: "eA==" }), "content[1].mime"],
      ["POST", messages, image({ mime: "image/png", data: "eA=" }), "content[1].data"], ["POST", messages, image({ url: "file:///etc/passwd" }), "content[1].url"],
      ["POST", messages, image({ url: "javascript:alert(1)" }), "content[1].url"],
      ["POST", messages, { content: "x", parent_id: "nonsense" }, "parent_id"], ["POST", messages, { content: "x", parent_id: 1 }, "parent_id"],
      ["POST", "/api/v1/session", { email: "x" }, "password"], ["POST", "/api/v1/session", { email: 1, password: "x" }, "email"],
    ];
    for (const [method, path, body, field] of rows) {
      const answer = await parley.ask(method, path, { key, body });
      isParleyError(answer, 400, "invalid_request", `${path} ${JSON.stringify(body).slice(0, 100)}`);
      assert.equal(answer.json.error.field, field, `${JSON.stringify(body).slice(0, 100)}: ${answer.text}`);
    }
    const near = await parley.ask("POST", "/api/v1/conversations", { key, body: { titel: "x" } });
    assert.match(near.json.error.remedy, /'title'/);
    isParleyError(await parley.ask("POST", messages, { key, body: { content: "x", model: "nobody/nothing" } }), 404, "model_not_found", "model");
    isParleyError(await parley.ask("POST", messages, { key, body: { content: "x", parent_id: "0".repeat(26) } }), 404, "not_found", "parent");
    const doorRows: [object, string][] = [
      [{ messages: [] , model: "parley/eliza" }, "messages"], [{ model: "parley/eliza" }, "messages"], [{ model: "parley/eliza", messages: "x" }, "messages"],
      [{ model: "parley/eliza", messages: [5] }, "messages[0]"], [{ model: "parley/eliza", messages: [{ role: "king", content: "x" }] }, "messages[0].role"],
      [{ model: "parley/eliza", messages: [{ content: "x" }] }, "messages[0].role"],
      [{ model: "parley/eliza", messages: [{ role: "user", content: 5 }] }, "messages[0].content"], [{ messages: [{ role: "user", content: "x" }], model: 5 }, "model"],
      [{ messages: [{ role: "user", content: "x" }] }, "model"], [{ model: "parley/eliza", stream: "yes", messages: [{ role: "user", content: "x" }] }, "stream"],
      [{ model: "parley/eliza", temperature: "hot", messages: [{ role: "user", content: "x" }] }, "temperature"],
    ];
    for (const [body, param] of doorRows) {
      const answer = await parley.ask("POST", door, { key, body });
      isOpenAIError(answer, 400, JSON.stringify(body));
      assert.ok(String(answer.json.error.param).startsWith(param), `${JSON.stringify(body)}: ${answer.text}`);
    }
  });

  await t.test("too large: refused before it is sent", async () => {
    for (const [path, length, shape] of [[door, 50_000_000, "openai"], ["/api/v1/conversations", 70_000, "parley"], ["/healthz", 1, "parley"],
      [`/api/v1/conversations/${conversation}/messages`, 3_000_000, "parley"], [door, "99999999999999999999", "openai"]] as const) {
      const method = path === "/healthz" ? "GET" : "POST";
      const { text, closed } = await raw(parley, `${method} ${path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${key}\r\nContent-Type: application/json\r\nContent-Length: ${length}\r\n\r\n`);
      const expected = String(length).length > 18 ? [400, 413] : [413];
      assert.ok(expected.includes(statusOf(text)), `${path}: ${text}`);
      assert.ok(closed, "and the connection is closed");
      const error = JSON.parse(text.slice(text.indexOf("\r\n\r\n"))).error;
      if (expected.length === 1) assert.equal(error.code, shape === "openai" ? "request_too_large" : "too_big", text);
    }
    const chunks = await raw(parley, [`POST /api/v1/conversations HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${key}\r\nTransfer-Encoding: chunked\r\n\r\n`, `ffff\r\n${" ".repeat(65535)}\r\n`, `ffff\r\n${" ".repeat(65535)}\r\n`]);
    assert.equal(statusOf(chunks.text), 413);
    const expecting = await raw(parley, `POST ${door} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${key}\r\nExpect: 100-continue\r\nContent-Length: 50000000\r\n\r\n`);
    assert.equal(statusOf(expecting.text), 413, "without 100 Continue");
  });

  await t.test("a large body from nobody is not read either", async () => {
    for (const path of [door, `/api/v1/conversations/${conversation}/messages`]) {
      const { text } = await raw(parley, `POST ${path} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 1000000\r\n\r\n`, 2000);
      assert.equal(statusOf(text), 401, text);
    }
  });

  await t.test("a body where none belongs, and one that is just small enough", async () => {
    isParleyError(await parley.ask("POST", "/api/v1/nothing", { key, body: { x: 1 } }), 404, "not_found", "no such address");
    isOpenAIError(await parley.ask("POST", "/v1/nothing", { key, body: { x: 1 } }), 404, "no such address at the door");
    isParleyError(await parley.ask("PUT", "/api/v1/conversations", { key, body: { x: 1 } }), 405, "unsupported", "no such method");
    isOpenAIError(await parley.ask("GET", door, { key, body: { x: 1 } }), 405, "no such method at the door");
    const big = await parley.ask("POST", `/api/v1/conversations/${conversation}/messages`, { key, body: { content: "x".repeat(900_000), model: "openai/count-1" } });
    assert.equal(big.status, 202, big.text.slice(0, 300));
    const bigDoor = await parley.ask("POST", door, { key, body: { model: "openai/count-1", messages: [{ role: "user", content: "x".repeat(2_000_000) }] } });
    assert.equal(bigDoor.status, 200, bigDoor.text.slice(0, 300));
  });

  await t.test("paths and methods", async () => {
    for (const path of ["/api", "/api/", "/api/v1", "/api/v1/", "/api/v2/models", "/api/v1/models/", "/api/v1//models", "/api/v1/conversations/", "/api/v1/conversations/%00", "/api/v1/conversations/..",
      "/api/v1/conversations/nonsense", `/api/v1/conversations/${"0".repeat(27)}`, "/v1", "/v1/", "/v1/models/nobody/nothing", "/v1/engines"]) {
      const answer = await parley.ask("GET", path, { key });
      assert.ok([404].includes(answer.status) || (["/api", "/v1"].includes(path) && answer.status === 200), `${path}: ${answer.status} ${answer.text.slice(0, 100)}`);
    }
    for (const [method, path] of [["DELETE", "/api/v1/models"], ["PUT", `/api/v1/conversations/${conversation}`], ["POST", "/healthz"], ["PATCH", "/api/v1/keys"], ["OPTIONS", "/api/v1/models"]] as const)
      isParleyError(await parley.ask(method, path, { key }), 405, "unsupported", `${method} ${path}`);
    isOpenAIError(await parley.ask("DELETE", "/v1/models", { key }), 405, "DELETE /v1/models");
    const head = await parley.ask("HEAD", "/api/v1/models", { key });
    assert.deepEqual([head.status, head.text], [200, ""]);
    assert.equal((await parley.ask("GET", "/../../etc/passwd")).text.includes("root:"), false);
    assert.equal((await parley.ask("GET", "/%2e%2e/%2e%2e/etc/passwd")).text.includes("root:"), false);
  });

  await t.test("smuggling and other HTTP that is none", async () => {
    const host = "Host: x\r\n", auth = `Authorization: Bearer ${key}\r\n`;
    const inner = "GET /api/v1/models HTTP/1.1\r\nHost: x\r\n\r\n";
    const rows = [
      `POST ${door} HTTP/1.1\r\n${host}Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n${inner}`,
      `POST ${door} HTTP/1.1\r\n${host}Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n${inner}`,
      `POST ${door} HTTP/1.1\r\n${host}Content-Length: 5\r\nContent-Length: 6\r\n\r\n123456${inner}`,
      `POST ${door} HTTP/1.1\r\n${host}Content-Length: +5\r\n\r\n12345`, `POST ${door} HTTP/1.1\r\n${host}Content-Length: 5, 5\r\n\r\n12345`,
      `POST ${door} HTTP/1.1\r\n${host}Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n`, `POST ${door} HTTP/1.1\r\n${host}Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n`,
      `POST ${door} HTTP/1.1\r\n${host}Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n`, `POST ${door} HTTP/1.1\r\n${host}${auth}Transfer-Encoding: chunked\r\n\r\nzz\r\n\r\n`,
      `GET /healthz HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n`, `GET /healthz HTTP/1.1\r\n\r\n`, `GET /healthz HTTP/1.1\r\n${host}X: a\r\n b\r\n\r\n`, `GET /healthz HTTP/1.1\r\n${host}X : a\r\n\r\n`,
      `GET /heal thz HTTP/1.1\r\n${host}\r\n`, `GET /healthz HTTP/3.0\r\n${host}\r\n`, `GET /healthz\r\n`, "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", `GET /healthz HTTP/1.1\nHost: x\n\n`,
      `GET /healthz HTTP/1.1\r\n${host}X: \0\r\n\r\n`, `GET /\x00 HTTP/1.1\r\n${host}\r\n`, `GET http://evil.example/healthz HTTP/1.1\r\nHost: x y\r\n\r\n`,
      `GET /healthz HTTP/1.1\r\n${host}${"A: b\r\n".repeat(5000)}\r\n`, `GET /healthz HTTP/1.1\r\n${host}X: ${"y".repeat(100_000)}\r\n\r\n`, `GET /${"z".repeat(100_000)} HTTP/1.1\r\n${host}\r\n`,
    ];
    for (const bytes of rows) {
      const { text, closed } = await raw(parley, bytes, 2500);
      const what = JSON.stringify(bytes.slice(0, 110));
      assert.ok([400, 401, 408, 414, 431, 501, 505].includes(statusOf(text)), `${what}: ${text.slice(0, 200)}`);
      assert.equal(text.match(/HTTP\/1\.1 \d/g)!.length, 1, `${what}: one answer, never two: ${text}`);
      assert.ok(closed, `${what}: the connection is closed`);
    }
    const slow = await raw(parley, "GET /healthz HTTP/1.1\r\nHost: x\r\nX-Slow: ", 3000);
    assert.deepEqual([statusOf(slow.text), slow.closed], [408, true], "headers that never end");
    const three = await raw(parley, "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n".repeat(2) + "GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    assert.equal(three.text.match(/HTTP\/1\.1 200/g)!.length, 3, "pipelined requests are answered in order");
  });

  await t.test("nothing half of all that was stored, and it still works", async () => {
    const mine = (await parley.ask("GET", "/api/v1/conversations", { key })).json.conversations;
    assert.deepEqual(mine.map((one: any) => one.id), [conversation]);
    const { messages, conversation: kept } = (await parley.ask("GET", `/api/v1/conversations/${conversation}`, { key })).json;
    assert.equal(messages.length, 2, "only the one that was accepted");
    assert.match(kept.title, /^x+/, "named by that one");
    const people = (await parley.ask("GET", "/api/v1/users", { local: true })).json.users;
    assert.equal(people.length, 3);
    const settings = (await parley.ask("GET", "/api/v1/settings", { local: true })).json.settings;
    assert.ok(settings.every((one: any) => one.source !== "stored"));
    assert.equal((await parley.ask("GET", "/readyz")).status, 200);
  });
});
