// The WebSocket of docs/protocol.md: runs outlive sockets, events are numbered and never lost.
import assert from "node:assert/strict";
import { test } from "node:test";
import { eventually, sleep, startFake, startParley } from "./parley.ts";
import { connect, openSocket, Refused, textOf, textOfEvents } from "./socket.ts";

const counted = (n: number) => Array.from({ length: n }, (_, i) => `${i + 1} `).join("");

test("runs, listeners and branches", async (t) => {
  const fake = await startFake(t);
  const parley = await startParley(t, { fake });

  await t.test("send: accepted, events from 1, saved; the conversation holds it", async () => {
    const socket = await openSocket(t, parley, { protocol: "parley.v1" });
    assert.match(socket.head, /Sec-WebSocket-Protocol: parley\.v1/i);
    assert.equal(socket.frames[0].protocol, 1);
    assert.equal(socket.frames[0].user_id, parley.user.id);
    const accepted = await socket.accept({ type: "send", conversation_id: null, parent_id: null, content: "Hello there", model: "openai/count-20" });
    assert.equal(accepted.conversation.title, "Hello there");
    assert.equal(textOf(accepted.user_message), "Hello there");
    assert.equal(accepted.message.status, "streaming");
    assert.equal(accepted.message.parent_id, accepted.user_message.id);
    assert.equal(accepted.message.run_id, accepted.run_id);
    const saved = await socket.saved(accepted.run_id);
    const events = socket.events(accepted.run_id);
    assert.deepEqual(events.map((event) => event.seq), events.map((_, i) => i + 1));
    assert.equal(events[0].event.type, "start");
    assert.equal(events[0].event.model, "openai/count-20");
    assert.deepEqual(events.slice(-2).map((event) => event.event.type), ["finish", "saved"]);
    assert.equal(textOfEvents(events), counted(20));
    assert.equal(textOf(saved.event.message), counted(20));
    assert.equal(saved.event.message.status, "complete");
    assert.equal(saved.event.message.finish, "stop");
    assert.equal(saved.event.message.usage.input, 11);
    const got = await parley.ask("GET", `/api/v1/conversations/${accepted.conversation.id}`, { key: parley.user.key });
    assert.deepEqual(got.json.messages.map((message: any) => message.role), ["user", "assistant"]);
    assert.equal(got.json.conversation.leaf_id, accepted.message.id);
    const { run_id: _1, ...stored } = got.json.messages[1], { run_id: _2, ...told } = saved.event.message;
    assert.deepEqual(stored, told);
  });

  await t.test("two sockets see the same, whichever loop they are on", async () => {
    const sockets = await Promise.all(Array.from({ length: 6 }, () => openSocket(t, parley)));
    const accepted = await sockets[0]!.accept({ type: "send", conversation_id: null, parent_id: null, content: "x", model: "anthropic/count-40+slow-5" });
    for (const socket of sockets.slice(1)) {
      const changed = await socket.find("changed", (frame) => frame.type === "changed" && frame.conversation_id === accepted.conversation.id);
      assert.ok(changed);
      const attached = await socket.call({ type: "attach", run_id: accepted.run_id, after: 0 });
      assert.equal(attached.type, "attached");
      assert.equal(attached.message_id, accepted.message.id);
      assert.equal(attached.conversation_id, accepted.conversation.id);
    }
    assert.ok(!sockets[0]!.frames.some((frame) => frame.type === "changed" && frame.conversation_id === accepted.conversation.id),
      "who asked is not told of his own change");
    await Promise.all(sockets.map((socket) => socket.saved(accepted.run_id)));
    const first = sockets[0]!.events(accepted.run_id);
    for (const socket of sockets) assert.deepEqual(socket.events(accepted.run_id), first);
  });

  await t.test("detach, reconnect and attach miss nothing and repeat nothing", async () => {
    const first = await openSocket(t, parley);
    const accepted = await first.accept({ type: "send", conversation_id: null, parent_id: null, content: "x", model: "openai/count-60+slow-10" });
    const seen: any[] = [];
    let socket = first;
    for (let round = 0; round < 5; round++) {
      await eventually("more events", () => socket.events(accepted.run_id).length >= 5);
      if (round === 2) {
        socket.send({ type: "detach", run_id: accepted.run_id });
        await socket.call({ type: "ping" });
        const silent = socket.events(accepted.run_id).length;
        await sleep(100);
        assert.equal(socket.events(accepted.run_id).length, silent, "nothing comes after detach");
      }
      seen.push(...socket.events(accepted.run_id));
      socket.drop();
      socket = await openSocket(t, parley);
      await socket.call({ type: "attach", run_id: accepted.run_id, after: seen.at(-1).seq });
    }
    await socket.saved(accepted.run_id);
    seen.push(...socket.events(accepted.run_id));
    assert.deepEqual(seen.map((event) => event.seq), seen.map((_, i) => i + 1));
    assert.equal(textOfEvents(seen), counted(60));
  });

  await t.test("a late listener gets everything, or a snapshot and the rest", async () => {
    const first = await openSocket(t, parley);
    const accepted = await first.accept({ type: "send", conversation_id: null, parent_id: null, content: "x", model: "openai/burst-9000x20" });
    const saved = await first.saved(accepted.run_id, 30_000);
    const late = await openSocket(t, parley);
    await late.call({ type: "attach", run_id: accepted.run_id, after: 0 });
    await late.saved(accepted.run_id);
    const events = late.events(accepted.run_id);
    assert.ok(events.length < 9000, "the ring is bounded");
    const whole = textOf(saved.event.message);
    assert.equal(whole.length, 9000 * 20);
    assert.equal(textOf(events.at(-1).event.message), whole);
  });

  await t.test("stop from another connection; what had come is kept and can be continued", async () => {
    const asker = await openSocket(t, parley), stopper = await openSocket(t, parley);
    const accepted = await asker.accept({ type: "send", conversation_id: null, parent_id: null, content: "go on", model: "openai/endless+slow-10" });
    await asker.event(accepted.run_id, "text");
    assert.equal((await stopper.call({ type: "stop", run_id: accepted.run_id })).type, "stopped");
    const saved = await asker.saved(accepted.run_id);
    assert.equal(saved.event.message.status, "stopped");
    assert.match(textOf(saved.event.message), /^(and on )+$/);
    const seen = await eventually("the provider was left", async () => {
      const one = await fake.seen("endless+slow-10");
      return one?.client_gone ? one : undefined;
    });
    assert.ok(seen);
    const before = textOf(saved.event.message);
    const continued = await asker.accept({ type: "continue", conversation_id: accepted.conversation.id, message_id: accepted.message.id, model: "openai/count-5" });
    assert.equal(continued.user_message, null);
    assert.equal(continued.message.id, accepted.message.id);
    assert.equal(textOf(continued.message), before);
    const again = await asker.saved(continued.run_id);
    assert.equal(textOf(again.event.message), before + counted(5));
    assert.equal(again.event.message.status, "complete");
    assert.equal(again.event.message.error, null);
    const sent = JSON.parse(await fake.lastBody());
    assert.equal(sent.messages.at(-2).role, "assistant");
    assert.equal(sent.messages.at(-2).content, before);
  });

  await t.test("regenerate and edit make branches; the right path is asked", async () => {
    const socket = await openSocket(t, parley);
    const one = await socket.accept({ type: "send", conversation_id: null, parent_id: null, content: "first", model: "openai/echo" });
    const conversation = one.conversation.id;
    await socket.saved(one.run_id);
    const two = await socket.accept({ type: "answer", conversation_id: conversation, message_id: one.user_message.id, model: "gemini/count-3" });
    assert.equal(two.user_message, null);
    assert.equal(two.message.parent_id, one.user_message.id);
    await socket.saved(two.run_id);
    const follow = await socket.accept({ type: "send", conversation_id: conversation, parent_id: two.message.id, content: "second", model: "openai/echo" });
    await socket.saved(follow.run_id);
    assert.deepEqual(JSON.parse(await fake.lastBody()).messages.map((message: any) => message.content), ["first", counted(3), "second"]);
    const edited = await socket.accept({ type: "send", conversation_id: conversation, parent_id: null, content: "other first", model: "openai/echo" });
    await socket.saved(edited.run_id);
    assert.deepEqual(JSON.parse(await fake.lastBody()).messages.map((message: any) => message.content), ["other first"]);
    const got = await parley.ask("GET", `/api/v1/conversations/${conversation}`, { key: parley.user.key });
    assert.equal(got.json.messages.length, 7);
    assert.equal(got.json.conversation.leaf_id, edited.message.id);
    const ids = new Set<string>();
    for (const message of got.json.messages) {
      assert.ok(message.parent_id === null || ids.has(message.parent_id), "parents come first");
      ids.add(message.id);
    }
    for (const [message, what] of [[{ type: "continue", conversation_id: conversation, message_id: one.message.id }, "conflict"],
      [{ type: "continue", conversation_id: conversation, message_id: one.user_message.id }, "invalid_request"],
      [{ type: "answer", conversation_id: conversation, message_id: one.message.id }, "invalid_request"],
      [{ type: "send", conversation_id: conversation, parent_id: one.user_message.id, content: "x" }, "invalid_request"]] as const) {
      const answer = await socket.call(message);
      assert.equal(answer.type, "error");
      assert.equal(answer.error.code, what);
    }
  });

  await t.test("another user can neither read, stop, attach, send nor continue", async () => {
    const mine = await openSocket(t, parley), foreign = await openSocket(t, parley, { key: parley.other.key });
    const accepted = await mine.accept({ type: "send", conversation_id: null, parent_id: null, content: "private", model: "openai/endless+slow-20" });
    const conversation_id = accepted.conversation.id, message_id = accepted.message.id;
    for (const message of [{ type: "attach", run_id: accepted.run_id, after: 0 }, { type: "stop", run_id: accepted.run_id },
      { type: "send", conversation_id, parent_id: message_id, content: "x" }, { type: "continue", conversation_id, message_id },
      { type: "answer", conversation_id, message_id: accepted.user_message.id }]) {
      const answer = await foreign.call(message);
      assert.equal(answer.error?.code, "not_found", message.type);
    }
    await sleep(50);
    assert.ok(!foreign.frames.some((frame) => frame.type === "event" || frame.type === "changed"));
    assert.equal((await mine.call({ type: "stop", run_id: accepted.run_id })).type, "stopped");
    await mine.saved(accepted.run_id);
  });

  await t.test("a slow reader slows nobody and still ends with everything", async () => {
    const slow = await openSocket(t, parley), quick = await openSocket(t, parley);
    const accepted = await slow.accept({ type: "send", conversation_id: null, parent_id: null, content: "x", model: "openai/burst-4000x2000" });
    slow.pause();
    await quick.call({ type: "attach", run_id: accepted.run_id, after: 0 });
    const saved = await quick.saved(accepted.run_id, 60_000);
    slow.resume();
    const late = await slow.saved(accepted.run_id, 60_000);
    assert.deepEqual(late.event.message, saved.event.message);
    const numbers = slow.events(accepted.run_id).map((event) => event.seq);
    assert.ok(numbers.every((n, i) => i === 0 || n > numbers[i - 1]!), "numbers only grow");
    assert.equal(textOf(saved.event.message).length, 4000 * 2000);
    assert.equal(textOfEvents(slow.events(accepted.run_id)).length <= 4000 * 2000, true);
  });

  await t.test("a conversation deleted under its answer", async () => {
    const socket = await openSocket(t, parley);
    const accepted = await socket.accept({ type: "send", conversation_id: null, parent_id: null, content: "x", model: "openai/count-30+slow-10" });
    await socket.event(accepted.run_id, "text");
    assert.equal((await parley.ask("DELETE", `/api/v1/conversations/${accepted.conversation.id}`, { key: parley.user.key })).status, 204);
    await socket.event(accepted.run_id, "finish");
    assert.equal((await parley.ask("GET", `/api/v1/conversations/${accepted.conversation.id}`, { key: parley.user.key })).status, 404);
    assert.equal((await socket.call({ type: "ping" })).type, "pong");
  });

  await t.test("provider's failure is told and kept", async () => {
    const socket = await openSocket(t, parley);
    const accepted = await socket.accept({ type: "send", conversation_id: null, parent_id: null, content: "x", model: "openai/error-3" });
    const saved = await socket.saved(accepted.run_id);
    assert.equal(saved.event.message.status, "failed");
    assert.equal(textOf(saved.event.message), counted(3));
    assert.ok(saved.event.message.error.code && saved.event.message.error.message);
    const finish = socket.events(accepted.run_id).at(-2);
    assert.equal(finish.event.status, "failed");
    assert.deepEqual(finish.event.error, saved.event.message.error);
  });
});

test("what a socket refuses", async (t) => {
  const parley = await startParley(t);
  const expectClose = async (what: string, code: number, act: (socket: Awaited<ReturnType<typeof openSocket>>) => void) => {
    const socket = await openSocket(t, parley);
    act(socket);
    assert.equal(await socket.closed(), code, what);
  };

  await t.test("close codes", async () => {
    await expectClose("binary", 1003, (socket) => socket.raw(2, Buffer.from("{}")));
    await expectClose("too large", 1009, (socket) => socket.send(" ".repeat(1024 * 1024 + 1)));
    await expectClose("not UTF-8", 1007, (socket) => socket.raw(1, Buffer.from([0x7b, 0xff, 0x7d])));
    await expectClose("reserved opcode", 1002, (socket) => socket.raw(5, Buffer.from("x")));
    await expectClose("done", 1000, (socket) => socket.raw(8, Buffer.from([0x03, 0xe8])));
  });

  await t.test("bad messages are answered, the socket stays", async () => {
    const socket = await openSocket(t, parley);
    const rows: [unknown, RegExp, string?][] = [
      ["{", /./], ["", /./], ["[]", /object/], ["null", /object/], ["\"x\"", /object/], ["{}", /must be/, "type"],
      [{ type: "nothing" }, /must be/, "type"], [{ type: 5 }, /must be/, "type"],
      [{ type: "send" }, /missing/, "content"],
      [{ type: "send", content: "x", extra: 1 }, /no such member/, "extra"],
      [{ type: "send", content: "" }, /./, "content"], [{ type: "send", content: [] }, /./, "content"],
      [{ type: "send", content: 5 }, /./, "content"], [{ type: "send", content: null }, /./, "content"],
      [{ type: "send", content: [{ type: "text", text: 5 }] }, /string/, "content[0].text"],
      [{ type: "send", content: [{ type: "image", mime: "image/png", data: "!!" }] }, /./, "content[0].data"],
      [{ type: "send", content: [{ type: "image", mime: "text/html", data: "eA==" }] }, /./, "content[0].mime"],
      [{ type: "send", content: "x", conversation_id: "nonsense" }, /id of 26/, "conversation_id"],
      [{ type: "send", content: "x", parent_id: 7 }, /id of 26/, "parent_id"],
      [{ type: "send", content: "x", model: "nobody/nothing" }, /./],
      [{ type: "attach" }, /missing/, "run_id"], [{ type: "attach", run_id: "0".repeat(26), after: -1 }, /./, "after"],
      [{ type: "attach", run_id: "0".repeat(26), after: 1.5 }, /./, "after"],
      [{ type: "attach", run_id: "0".repeat(26) }, /not being written/],
      [{ type: "stop", run_id: "0".repeat(26) }, /not being written/],
      [{ type: "ping", id: "x".repeat(65) }, /64/, "id"], [{ type: "ping", id: 5 }, /string/, "id"],
      ["[".repeat(100_000), /./], [`{"type":${'{"a":'.repeat(2000)}1${"}".repeat(2000)}}`, /./],
    ];
    for (const [message, expected, field] of rows) {
      const from = socket.frames.length;
      socket.send(message as any);
      const answer = await socket.find(JSON.stringify(message).slice(0, 100), () => true, 5000, from);
      assert.equal(answer.type, "error", JSON.stringify(answer));
      assert.match(answer.error.message, expected, JSON.stringify([message, answer]).slice(0, 600));
      if (field) assert.equal(answer.error.field, field, JSON.stringify([message, answer]).slice(0, 600));
    }
    assert.equal((await socket.call({ type: "ping" })).type, "pong");
    const kept = await parley.ask("GET", "/api/v1/conversations", { key: parley.user.key });
    assert.deepEqual(kept.json.conversations, [], "nothing was stored half");
  });

  await t.test("pieces of a message, pings between them", async () => {
    const socket = await openSocket(t, parley);
    socket.raw(1, Buffer.from('{"type":"pi'), false);
    socket.raw(9, Buffer.from("hm"));
    socket.raw(0, Buffer.from('ng","id":"in pieces"}'));
    await socket.find("pong", (frame) => frame.type === "pong" && frame.id === "in pieces");
  });

  await t.test("who may connect", async () => {
    const refused = async (status: number, connecting: object) =>
      assert.rejects(connect(parley.url, connecting), (error: unknown) => error instanceof Refused && error.status === status);
    await refused(401, {});
    await refused(401, { key: "sk-parley-nonsense" });
    await refused(403, { key: parley.user.key, origin: "https://evil.example" });
    await refused(403, { key: parley.user.key, origin: "null" });
    await refused(403, { key: parley.user.key, origin: parley.url + ".evil.example" });
    const own = await connect(parley.url, { key: parley.user.key, origin: parley.url });
    own.drop();
    const plain = await parley.ask("GET", "/api/v1/ws", { key: parley.user.key });
    assert.equal(plain.status, 400);
    assert.equal(plain.json.error.field, "upgrade");
  });

  await t.test("many sends at once on one socket: each is answered", async () => {
    const socket = await openSocket(t, parley);
    const answers = await Promise.all(Array.from({ length: 40 }, (_, i) =>
      socket.call({ type: "send", conversation_id: null, parent_id: null, content: `number ${i}`, model: "parley/eliza" })));
    const accepted = answers.filter((answer) => answer.type === "accepted");
    assert.ok(accepted.length >= 8);
    for (const answer of answers) if (answer.type === "error") assert.equal(answer.error.code, "rate_limited");
    await Promise.all(accepted.map((answer) => socket.find("attached run speaks",
      (frame) => frame.run_id === answer.run_id && frame.type === "event")));
  });
});

test("shutting down tells sockets to come back", async (t) => {
  const parley = await startParley(t);
  const socket = await openSocket(t, parley);
  const accepted = await socket.accept({ type: "send", conversation_id: null, parent_id: null, content: "I am sad", model: "parley/eliza" });
  await socket.event(accepted.run_id, "text");
  const stopped = parley.stop();
  const saved = await socket.saved(accepted.run_id);
  assert.equal(saved.event.message.status, "complete", "a run may finish");
  assert.equal(await socket.closed(), 1001);
  await stopped;
});
