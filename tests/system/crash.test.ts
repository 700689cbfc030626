// kill -9 at random points under load: what was acknowledged is there afterwards, unfinished answers
// hold what had come, are marked, and can be continued.
import assert from "node:assert/strict";
import { copyFileSync, readdirSync, statSync, truncateSync, appendFileSync, rmSync, existsSync } from "node:fs";
import { join } from "node:path";
import { test, type TestContext } from "node:test";
import { eventually, Parley, sleep, startFake, startParley, type Fake, type Person } from "./parley.ts";
import { connect, textOf, textOfEvents, type Socket } from "./socket.ts";

const ROUNDS = 16;
const LONG = 400;
const longText = Array.from({ length: LONG }, (_, i) => `${i + 1} `).join("");

// xorshift: the same points in every run; CRASH_SEED tries others.
function randomOf(seed: number) {
  let state = seed || 1;
  return (below: number) => {
    state ^= state << 13; state ^= state >>> 17; state ^= state << 5;
    return (state >>> 0) % below;
  };
}

// What the server has acknowledged so far.
interface Acknowledged {
  messages: Map<string, { conversation: string; text: string }>; // by id: `accepted`
  answers: Map<string, { conversation: string; seen: string; base: string; saved?: any }>; // by id
}

// Talks until the connection breaks: several conversations at once, sends always in flight.
async function load(parley: Parley, acknowledged: Acknowledged, random: (below: number) => number): Promise<void> {
  const sockets: Socket[] = [];
  const talk = async (socket: Socket, number: number) => {
    for (let turn = 0; ; turn++) {
      const text = `question ${number}.${turn} ${"x".repeat(random(3000))}`;
      const model = random(3) ? `openai/count-${LONG}+slow-2` : `anthropic/count-${1 + random(20)}`;
      const accepted = await socket.accept({ type: "send", conversation_id: null, parent_id: null, content: text, model });
      acknowledged.messages.set(accepted.user_message.id, { conversation: accepted.conversation.id, text });
      const answer = { conversation: accepted.conversation.id, seen: "", base: "" } as { conversation: string; seen: string; base: string; saved?: any };
      acknowledged.answers.set(accepted.message.id, answer);
      const note = () => {
        const events = socket.events(accepted.run_id);
        answer.seen = textOfEvents(events);
        const saved = events.find((event) => event.event.type === "saved");
        if (saved) answer.saved = saved.event.message;
      };
      try { await socket.saved(accepted.run_id); } finally { note(); }
    }
  };
  const gone = (error: Error) => assert.match(error.message, /closed|ECONN|EPIPE|hang up/, error.message);
  await Promise.all(Array.from({ length: 3 }, async (_, i) => {
    const socket = await connect(parley.url, { key: parley.user.key }).catch((error) => { gone(error); return undefined; });
    if (!socket) return;
    sockets.push(socket);
    await Promise.all([0, 1].map((j) => talk(socket, 10 * i + j).catch(gone)));
  }));
  sockets.forEach((socket) => socket.drop());
}

const at = (parley: Parley, path: string) => parley.ask("GET", path, { key: parley.user.key });

// Throws when something acknowledged is not there. `torn`: the journal's tail was cut off, so that
// of unfinished answers some events may be missing.
async function check(parley: Parley, acknowledged: Acknowledged, torn: boolean) {
  const conversations = new Map<string, any[]>();
  for (const { conversation } of [...acknowledged.messages.values(), ...acknowledged.answers.values()]) {
    if (conversations.has(conversation)) continue;
    const got = await at(parley, `/api/v1/conversations/${conversation}`);
    assert.equal(got.status, 200, `conversation ${conversation}: ${got.text}`);
    conversations.set(conversation, got.json.messages);
  }
  const find = (conversation: string, id: string) => conversations.get(conversation)!.find((message) => message.id === id);
  for (const [id, expected] of acknowledged.messages) {
    const message = find(expected.conversation, id);
    assert.ok(message, `the acknowledged message ${id} is lost`);
    assert.equal(textOf(message), expected.text);
  }
  const interrupted: any[] = [];
  for (const [id, expected] of acknowledged.answers) {
    const message = find(expected.conversation, id);
    assert.ok(message, `the answer ${id} is lost`);
    const text = textOf(message);
    if (expected.saved) {
      assert.deepEqual({ ...message, run_id: null }, { ...expected.saved, run_id: null });
      continue;
    }
    assert.ok(["complete", "interrupted"].includes(message.status), message.status);
    assert.ok((expected.base + longText).startsWith(text), `not what was said: ${text.slice(-100)}`);
    if (!torn) assert.ok(text.startsWith(expected.seen), `seen, but lost: ${expected.seen.length} characters seen, ${text.length} kept`);
    if (message.status === "interrupted") interrupted.push({ ...message, text });
  }
  return interrupted;
}

const journals = (data: string) => readdirSync(data, { recursive: true, encoding: "utf8" }).filter((name) => /journal/.test(name) && statSync(join(data, name)).isFile());

async function restart(t: TestContext, folder: string, fake: Fake, user: Person): Promise<Parley> {
  const parley = await startParley(t, { folder, fake });
  parley.user = user;
  return parley;
}

test(`kill -9, ${ROUNDS} times`, async (t) => {
  const seed = Number(process.env["CRASH_SEED"] ?? 20261122);
  const random = randomOf(seed);
  t.diagnostic(`CRASH_SEED=${seed}`);
  const fake = await startFake(t);
  let parley = await startParley(t, { fake });
  const { folder, user } = parley;
  let recovered = 0, continued = 0, killedWhileRecovering = 0;

  for (let round = 0; round < ROUNDS; round++) {
    const acknowledged: Acknowledged = { messages: new Map(), answers: new Map() };
    const loading = load(parley, acknowledged, random);
    await sleep(20 + random(500));
    await parley.killNow();
    await loading;
    const torn = round % 4 === 3;
    if (torn) // a write that did not get through, and one that never belonged there
      for (const name of journals(parley.data)) {
        const file = join(parley.data, name);
        const { size } = statSync(file);
        if (random(2)) truncateSync(file, Math.max(0, size - 1 - random(200)));
        else appendFileSync(file, Buffer.from(Array.from({ length: 1 + random(100) }, () => random(256))));
      }
    if (round % 5 === 4) { // and again while it recovers
      const early = new Parley(t, folder, { });
      await sleep(random(300));
      await early.killNow();
      killedWhileRecovering++;
    }
    parley = await restart(t, folder, fake, user);
    const interrupted = await check(parley, acknowledged, torn);
    recovered += interrupted.length;
    assert.ok(acknowledged.messages.size > 0 || round > 0, "nothing was acknowledged: no load");
    const one = interrupted[random(Math.max(1, interrupted.length))];
    if (!one) continue;
    const socket = await connect(parley.url, { key: user.key });
    const accepted = await socket.accept({ type: "continue", conversation_id: one.conversation_id, message_id: one.id, model: "openai/count-3" });
    assert.equal(textOf(accepted.message), one.text);
    const saved = await socket.saved(accepted.run_id);
    assert.equal(textOf(saved.event.message), `${one.text}1 2 3 `);
    assert.equal(saved.event.message.status, "complete");
    continued++;
    socket.drop();
  }
  t.diagnostic(`${recovered} answers recovered, ${continued} continued, ${killedWhileRecovering} times killed while recovering`);
  assert.ok(recovered >= ROUNDS && continued >= ROUNDS / 2, "the kills hit answers in the middle");
  await parley.stop();
  assert.deepEqual(journals(parley.data).filter((name) => statSync(join(parley.data, name)).size > 4096), [], "nothing is left to recover");
});

test("a continued answer survives with what it went on from", async (t) => {
  const fake = await startFake(t);
  let parley = await startParley(t, { fake });
  const { user, folder } = parley;
  const socket = await connect(parley.url, { key: user.key });
  const first = await socket.accept({ type: "send", conversation_id: null, parent_id: null, content: "x", model: "openai/error-5" });
  await socket.saved(first.run_id);
  await socket.accept({ type: "continue", conversation_id: first.conversation.id, message_id: first.message.id, model: `openai/count-${LONG}+slow-5` });
  await eventually("it goes on", () => socket.frames.filter((frame) => frame.type === "event" && frame.event.type === "text").length > 15);
  await parley.killNow();
  socket.drop();
  parley = await restart(t, folder, fake, user);
  const message = (await at(parley, `/api/v1/conversations/${first.conversation.id}`)).json.messages[1];
  assert.equal(message.status, "interrupted");
  assert.match(textOf(message), /^1 2 3 4 5 1 2 3 4 5 6 7 /);
});

// The check itself is checked: data that really is lost must be noticed.
test("positive control: lost data fails the check", async (t) => {
  const fake = await startFake(t);
  let parley = await startParley(t, { fake });
  const { user, folder, data } = parley;
  const random = randomOf(7);
  const acknowledged: Acknowledged = { messages: new Map(), answers: new Map() };
  await parley.stop();
  const database = join(data, "parley.db");
  copyFileSync(database, join(folder, "before.db"));
  parley = await restart(t, folder, fake, user);
  const loading = load(parley, acknowledged, random);
  await eventually("something is acknowledged and something seen", () => acknowledged.messages.size > 3);
  await sleep(300);
  await parley.killNow();
  await loading;
  for (const name of ["parley.db", "parley.db-wal", "parley.db-shm"]) if (existsSync(join(data, name))) copyFileSync(join(data, name), join(folder, `kept-${name}`));

  rmSync(join(data, "parley.db-wal"), { force: true }); // the database as it was before
  rmSync(join(data, "parley.db-shm"), { force: true });
  copyFileSync(join(folder, "before.db"), database);
  const kept = journals(data);
  for (const name of kept) copyFileSync(join(data, name), join(folder, name.replaceAll("/", "_")));
  parley = await restart(t, folder, fake, user);
  await assert.rejects(check(parley, acknowledged, false), "messages that are gone are noticed");
  await parley.stop();

  for (const name of ["parley.db", "parley.db-wal", "parley.db-shm"]) {
    rmSync(join(data, name), { force: true });
    if (existsSync(join(folder, `kept-${name}`))) copyFileSync(join(folder, `kept-${name}`), join(data, name));
  }
  journals(data).forEach((name) => rmSync(join(data, name))); // the journal is gone, the database is there
  parley = await restart(t, folder, fake, user);
  await assert.rejects(check(parley, acknowledged, false), /seen, but lost/, "tokens that are gone are noticed");
  await check(parley, acknowledged, true);
});
