// What goes wrong around Parley, and what is told of it: providers of every dialect, time, shutdown,
// certificates, sockets, disks.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import net from "node:net";
import { join } from "node:path";
import tls from "node:tls";
import { test } from "node:test";
import { afterwards, ask, oneAttempt, command, DIALECTS, eventually, SECRET, sleep, startFake, startParley, temporaryFolder, within, type Parley } from "./parley.ts";
import { openSocket, textOf, type Socket } from "./socket.ts";

const counted = (n: number) => Array.from({ length: n }, (_, i) => `${i + 1} `).join("");

async function talk(socket: Socket, model: string, ms = 20_000) {
  const accepted = await socket.accept({ type: "send", conversation_id: null, parent_id: null, content: "x", model });
  const saved = await socket.saved(accepted.run_id, ms);
  return { message: saved.event.message, conversation: accepted.conversation.id, run: accepted.run_id };
}

const complete = (parley: Parley, model: string, stream = false) =>
  parley.ask("POST", "/v1/chat/completions", { key: parley.user.key, body: { model, stream, messages: [{ role: "user", content: "x" }] } });

test("providers' faults in a chat: the message is kept and says why", async (t) => {
  const fake = await startFake(t);
  const parley = await startParley(t, { fake, config: oneAttempt });
  const rows: [string, string | RegExp, string][] = [ // model, class, what is kept
    ["cut-4", /provider_error|network/, counted(4)], ["reset-4", "network", counted(4)], ["error-4", /overloaded|provider_error|rate_limited/, counted(4)],
    ["garbage", "provider_error", ""], ["reset", "network", ""], ["401", "provider_authentication", ""],
    ["429-after-3", "rate_limited", ""], ["429-quota", /quota_exhausted|rate_limited/, ""], ["500", "provider_error", ""], ["503", "overloaded", ""],
    ["400-context", "context_length", ""], ["no-such-behaviour", "model_not_found", ""], ["huge-line", "provider_error", ""],
  ];
  for (const provider of DIALECTS) await t.test(provider, async () => {
    const socket = await openSocket(t, parley);
    for (const [name, code, kept] of rows) {
      const { message, conversation, run } = await talk(socket, `${provider}/${name}`, 30_000);
      const what = `${provider}/${name}: ${JSON.stringify(message).slice(0, 500)}`;
      assert.equal(message.status, "failed", what);
      assert.ok(typeof code === "string" ? message.error.code === code : code.test(message.error.code), what);
      assert.ok(message.error.message.length > 5, what);
      assert.ok(name.startsWith("reset-") ? counted(4).startsWith(textOf(message)) : textOf(message) === kept, what);
      const got = await parley.ask("GET", `/api/v1/conversations/${conversation}`, { key: parley.user.key });
      assert.equal(got.json.messages[0].content[0].text, "x", "the question is kept");
      assert.deepEqual(got.json.messages[1].error, message.error);
      const finish = socket.events(run).find((frame) => frame.event.type === "finish").event;
      assert.deepEqual([finish.status, finish.error], ["failed", message.error]);
      assert.ok(!got.text.includes(SECRET));
    }
    const { message } = await talk(socket, `${provider}/count-3`);
    assert.deepEqual([message.status, textOf(message)], ["complete", counted(3)], "and it goes on");
  });

  await t.test("nobody there", async () => {
    const lonely = await startParley(t, { config: `${oneAttempt}providers: {gone: {kind: openai-compatible, base_url: "http://127.0.0.1:9/v1", models: "m"}, nameless: {kind: openai-compatible, base_url: "http://no-such-host.invalid/v1", models: m}}` });
    const socket = await openSocket(t, lonely);
    for (const model of ["gone/m", "nameless/m"]) {
      const { message } = await talk(socket, model);
      assert.deepEqual([message.status, message.error.code], ["failed", "network"], JSON.stringify(message.error));
      assert.equal((await complete(lonely, model)).status, 502);
    }
    const providers = (await lonely.ask("GET", "/api/v1/providers", { key: lonely.user.key })).json.providers;
    const gone = await eventually("it is listed as broken", async () => {
      const { json } = await lonely.ask("POST", "/api/v1/providers/gone/check", { local: true });
      return json.provider.status === "error" && json.provider;
    });
    assert.ok(gone.message, JSON.stringify(providers));
  });

  await t.test("a hundred checks at once are all answered", async () => {
    const answers = await Promise.all(Array.from({ length: 100 }, () => parley.ask("POST", "/api/v1/providers/openai/check", { local: true })));
    assert.deepEqual(new Set(answers.map((answer) => answer.json.provider.status)), new Set(["ok"]));
  });
});

test("time limits: connect, headers, first content, idle, total; pings are no content", async (t) => {
  const fake = await startFake(t);
  const set = (...pairs: string[]) => pairs.flatMap((pair) => ["--set", pair]);
  const parley = await startParley(t, { fake, config: oneAttempt, args: set("timeouts.first_content_ms=300", "timeouts.content_idle_ms=300", "timeouts.headers_ms=600", "timeouts.total_ms=1500", "timeouts.connect_ms=300") });
  const socket = await openSocket(t, parley);
  for (const provider of DIALECTS) await t.test(provider, async () => {
    for (const [name, kept] of [["silent", ""], ["stall-0", ""], ["pings-20", ""], ["stall-3", counted(3)], ["delay-5000", ""]] as const) {
      const from = performance.now();
      const { message } = await talk(socket, `${provider}/${name}`);
      const took = performance.now() - from;
      assert.deepEqual([message.status, message.error?.code, textOf(message)], ["failed", "timeout", kept], `${name}: ${JSON.stringify(message)}`);
      assert.ok(took > 250 && took < 1400, `${name} took ${took} ms`);
      const through = await complete(parley, `${provider}/${name}`);
      assert.equal(through.status, 504, `${name}: ${through.text}`);
      const streamed = await complete(parley, `${provider}/${name}`, true);
      if (streamed.status === 200) {
        assert.match(streamed.text, /"error"/);
        assert.doesNotMatch(streamed.text, /\[DONE\]/);
      } else assert.equal(streamed.status, 504, streamed.text);
    }
    const slow = await talk(socket, `${provider}/count-8+slow-60`);
    assert.equal(slow.message.status, "complete", "slow, but never silent");
    const long = await talk(socket, `${provider}/endless+slow-50`);
    assert.deepEqual([long.message.status, long.message.error?.code], ["failed", "timeout"], JSON.stringify(long.message).slice(0, 300));
    assert.match(textOf(long.message), /^(and on ){5,}$/);
  });
});

test("shutdown: a run may finish; beyond the limit it is interrupted and saved", async (t) => {
  const fake = await startFake(t);
  const folder = temporaryFolder(t);
  const first = await startParley(t, { fake, env: { PARLEY_SHUTDOWN_SECONDS: "2", DATA_DIR: join(folder, "data") } });
  const { user } = first;
  const socket = await openSocket(t, first), second = await openSocket(t, first);
  const short = await socket.accept({ type: "send", conversation_id: null, parent_id: null, content: "x", model: "openai/count-20+slow-50" });
  const endless = await second.accept({ type: "send", conversation_id: null, parent_id: null, content: "x", model: "openai/endless+slow-20" });
  const door = first.ask("POST", "/v1/chat/completions", { key: user.key, body: { model: "openai/count-20+delay-800", messages: [{ role: "user", content: "x" }] } });
  await second.event(endless.run_id, "text");
  await eventually("the door is asked too", async () => (await fake.log()).filter((one) => one.outcome === "open").length >= 3);
  const from = performance.now();
  const stopped = first.stop();
  await sleep(50);
  await assert.rejects(first.ask("GET", "/healthz"), "no new connections");
  const refused = await socket.call({ type: "send", conversation_id: null, parent_id: null, content: "too late", model: "openai/count-1" });
  assert.equal(refused.error.code, "unavailable");
  assert.equal((await socket.saved(short.run_id)).event.message.status, "complete");
  assert.equal((await door).json.choices[0].message.content, counted(20));
  assert.equal((await second.saved(endless.run_id)).event.message.status, "interrupted");
  assert.deepEqual(await Promise.all([socket.closed(), second.closed()]), [1001, 1001]);
  await stopped;
  const took = performance.now() - from;
  assert.ok(took > 1900 && took < 6000, `${took} ms`);
  const again = await startParley(t, { folder, env: { DATA_DIR: join(folder, "data") } });
  const messages = (await again.ask("GET", `/api/v1/conversations/${endless.conversation.id}`, { key: user.key })).json.messages;
  assert.equal(messages[1].status, "interrupted");
  assert.match(textOf(messages[1]), /^(and on )+$/);
});

function certificate(folder: string, name: string): { cert: string; key: string } {
  const cert = join(folder, `${name}.crt`), key = join(folder, `${name}.key`);
  execFileSync("openssl", ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
    "-subj", `/CN=${name}`, "-addext", "subjectAltName=IP:127.0.0.1,DNS:localhost", "-keyout", key, "-out", cert], { stdio: "ignore" });
  return { cert, key };
}

test("TLS: served, reloaded on SIGHUP, verified upstream", async (t) => {
  const folder = temporaryFolder(t);
  const one = certificate(folder, "one"), two = certificate(folder, "two");
  const cert = join(folder, "live.crt"), key = join(folder, "live.key");
  const use = (which: typeof one) => { writeFileSync(cert, readFileSync(which.cert)); writeFileSync(key, readFileSync(which.key)); };
  use(one);
  const fake = await startFake(t, ["--tls", two.cert, two.key]);
  const secure = fake.url.replace("http:", "https:");
  const parley = await startParley(t, { env: { PARLEY_TLS_CERT: cert, PARLEY_TLS_KEY: key, PARLEY_CA_FILE: two.cert },
    config: `providers: {secure: {kind: openai-compatible, base_url: "${secure}/v1"}}`, people: false });
  assert.match(parley.url, /^https:/);
  parley.url = parley.url.replace(/\/\/[^:]+/, "//127.0.0.1");
  const ca = readFileSync(one.cert, "utf8");
  await parley.makePeople();
  const session = await ask(parley.url, "GET", "/api/v1/session", { ca });
  assert.equal(session.status, 200);
  await parley.ask("POST", "/api/v1/users", { local: true, body: { email: "tls@example.org", password: "long enough" } });
  const signedIn = await parley.ask("POST", "/api/v1/session", { ca, body: { email: "tls@example.org", password: "long enough" } });
  assert.match(signedIn.headers["set-cookie"]![0]!, /; Secure/);
  const socket = await openSocket(t, parley, { key: parley.user.key, ca });
  const { message } = await talk(socket, "secure/count-5");
  assert.equal(textOf(message), counted(5));

  const fingerprint = () => new Promise<string>((done, fail) => {
    const stream = tls.connect({ host: "127.0.0.1", port: Number(new URL(parley.url).port), rejectUnauthorized: false }, () => {
      done(stream.getPeerCertificate().subject.CN as string);
      stream.end();
    });
    stream.on("error", fail);
  });
  assert.equal(await fingerprint(), "one");
  use(two);
  parley.child.kill("SIGHUP");
  await eventually("the new certificate is served by every loop", async () => (await Promise.all(Array.from({ length: 6 }, fingerprint))).every((name) => name === "two"));
  assert.equal((await socket.call({ type: "ping" })).type, "pong", "old connections stay");
  writeFileSync(cert, "nonsense");
  parley.child.kill("SIGHUP");
  await eventually("it says so", () => /not reloaded/.test(parley.stderr));
  assert.equal(await fingerprint(), "two", "and keeps what it has");

  const old = await new Promise<string>((done) => {
    const stream = tls.connect({ host: "127.0.0.1", port: Number(new URL(parley.url).port), rejectUnauthorized: false, minVersion: "TLSv1", maxVersion: "TLSv1.1" }, () => done("connected"));
    stream.on("error", (error: NodeJS.ErrnoException) => done(error.code ?? "refused"));
  });
  assert.notEqual(old, "connected", "TLS 1.2 and up");
  const plain = await ask(parley.url.replace("https", "http"), "GET", "/healthz").then((answer) => answer.status, () => 0);
  assert.ok(plain === 0 || plain === 400);
  socket.drop();
  await parley.stop();

  const distrusting = await startParley(t, { config: `providers: {secure: {kind: openai-compatible, base_url: "${secure}/v1", models: count-5}, misnamed: {kind: openai-compatible, base_url: "https://127.0.0.2:${new URL(secure).port}/v1", models: count-5}}` });
  const sceptic = await openSocket(t, distrusting);
  assert.equal((await talk(sceptic, "secure/count-5")).message.error.code, "network", "an unknown certificate");

  for (const [env, what] of [[{ PARLEY_TLS_CERT: one.cert }, /needed together/], [{ PARLEY_TLS_CERT: one.cert, PARLEY_TLS_KEY: two.key }, /./], [{ PARLEY_TLS_CERT: "/nowhere", PARLEY_TLS_KEY: two.key }, /nowhere/]] as const) {
    const wrong = await command(folder, ["serve"], { env });
    assert.equal(wrong.code, 1, JSON.stringify(env));
    assert.match(wrong.stderr, what);
  }
});

test("a Unix socket for a proxy: not the administrator's", async (t) => {
  const folder = temporaryFolder(t);
  const path = join(folder, "proxy.sock");
  const parley = await startParley(t, { env: { PARLEY_UNIX_SOCKET: path } });
  assert.equal(statSync(path).mode & 0o777, 0o660);
  assert.equal((await parley.ask("GET", "/healthz", { socketPath: path })).status, 200);
  assert.equal((await parley.ask("GET", "/api/v1/users", { socketPath: path })).status, 401);
  assert.equal((await parley.ask("GET", "/api/v1/models", { socketPath: path, key: parley.user.key })).status, 200);
  const socket = await openSocket(t, parley, { key: parley.user.key, socketPath: path });
  assert.equal((await socket.call({ type: "ping" })).type, "pong");
  socket.drop();
  await parley.stop();
  const stale = net.createServer();
  await new Promise<void>((done) => stale.listen(join(folder, "other.sock"), done));
  stale.close();
});

// As root only: a disk of its own, filled up.
const mayMount = (() => {
  try {
    execFileSync("mkdir", ["-p", "/tmp/parley-mount-probe"]);
    execFileSync("mount", ["-t", "tmpfs", "-o", "size=64k", "tmpfs", "/tmp/parley-mount-probe"], { stdio: "ignore" });
    execFileSync("umount", ["/tmp/parley-mount-probe"]);
    return true;
  } catch { return false; }
})();

test("a full disk: writing is refused clearly, reading goes on, nothing is lost", { skip: !mayMount && "mounting a small disk needs root" }, async (t) => {
  const folder = temporaryFolder(t);
  const disk = join(folder, "disk");
  mkdirSync(disk);
  execFileSync("mount", ["-t", "tmpfs", "-o", "size=12m", "tmpfs", disk]);
  afterwards(t, () => execFileSync("umount", ["-l", disk]));
  const fake = await startFake(t);
  const parley = await startParley(t, { fake, env: { DATA_DIR: join(disk, "data"), PARLEY_SHUTDOWN_SECONDS: "1" } });
  const key = parley.user.key;
  const socket = await openSocket(t, parley);
  const before = await talk(socket, "openai/count-5");
  const running = await socket.accept({ type: "send", conversation_id: null, parent_id: null, content: "x", model: "openai/count-60+slow-20" });
  try { writeFileSync(join(disk, "filler"), Buffer.alloc(32 * 1024 * 1024)); } catch { /* that is the point */ }
  let refused: any;
  for (let i = 0; i < 30 && !refused; i++) {
    const answer = await socket.call({ type: "send", conversation_id: null, parent_id: null, content: "y".repeat(200_000), model: "openai/count-1" });
    if (answer.type === "error") refused = answer;
  }
  assert.equal(refused?.error.code, "storage");
  assert.ok(refused.error.remedy);
  const rest = await parley.ask("POST", "/api/v1/conversations", { key, body: { title: "t".repeat(900) } });
  assert.ok([507, 201].includes(rest.status), rest.text);
  assert.equal((await parley.ask("GET", `/api/v1/conversations/${before.conversation}`, { key })).json.messages.length, 2);
  assert.equal((await parley.ask("GET", "/v1/models", { key })).status, 200);
  const door = await complete(parley, "openai/count-5");
  assert.equal(door.json.choices[0].message.content, counted(5), "what needs no disk works");
  const listed = (await parley.ask("GET", "/api/v1/conversations?limit=200", { key })).json.conversations;
  execFileSync("rm", [join(disk, "filler")]);
  const saved = await socket.saved(running.run_id, 15_000);
  assert.deepEqual([saved.event.message.status, textOf(saved.event.message)], ["complete", counted(60)], "saved once there is room");
  assert.equal((await talk(socket, "openai/count-2")).message.status, "complete");
  assert.ok(listed.length >= 2);

  const last = await socket.accept({ type: "send", conversation_id: null, parent_id: null, content: "x", model: "openai/endless+slow-20" });
  await socket.event(last.run_id, "text");
  try { writeFileSync(join(disk, "filler"), Buffer.alloc(32 * 1024 * 1024)); } catch { /* again */ }
  await within(15_000, "it stops all the same", parley.stop());
});
