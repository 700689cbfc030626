// Server-sent events: the same runs for whoever cannot use a WebSocket, and REST beside them.
import assert from "node:assert/strict";
import http from "node:http";
import { test } from "node:test";
import { eventually, sleep, startFake, startParley, type Parley } from "./parley.ts";
import { openSocket, textOf } from "./socket.ts";

const counted = (n: number) => Array.from({ length: n }, (_, i) => `${i + 1} `).join("");

interface Event { id: number; event: string; data: any }

function parse(text: string): Event[] {
  return text.split("\n\n").slice(0, -1).filter((frame) => !frame.startsWith(":")).map((frame) => {
    const fields = Object.fromEntries(frame.split("\n").map((line) => [line.slice(0, line.indexOf(":")), line.slice(line.indexOf(":") + 1).trimStart()]));
    return { id: Number(fields["id"]), event: fields["event"]!, data: JSON.parse(fields["data"]!) };
  });
}

// Reads until `enough` says so, or the end.
function read(parley: Parley, path: string, key: string, headers: http.OutgoingHttpHeaders = {}, enough?: (events: Event[]) => boolean) {
  return new Promise<{ events: Event[]; ended: boolean; type: string }>((done, fail) => {
    const request = http.get(parley.url + path, { agent: false, headers: { authorization: `Bearer ${key}`, ...headers } }, (response) => {
      let text = "";
      const type = response.headers["content-type"] ?? "";
      response.setEncoding("utf8");
      response.on("error", () => {});
      response.on("data", (piece) => {
        text += piece;
        const events = parse(text);
        if (enough?.(events)) { request.destroy(); done({ events, ended: false, type }); }
      });
      response.on("end", () => done({ events: parse(text), ended: true, type }));
    });
    request.on("error", fail);
  });
}

const say = async (parley: Parley, model: string, content = "x") => {
  const { json, status, text } = await parley.ask("POST", "/api/v1/conversations", { key: parley.user.key, body: { title: " Named " } });
  assert.equal(status, 201, text);
  assert.equal(json.conversation.title, "Named");
  const sent = await parley.ask("POST", `/api/v1/conversations/${json.conversation.id}/messages`, { key: parley.user.key, body: { parent_id: null, content, model } });
  assert.equal(sent.status, 202, sent.text);
  return sent.json.accepted;
};

test("server-sent events", async (t) => {
  const fake = await startFake(t);
  const parley = await startParley(t, { fake });
  const key = parley.user.key;

  await t.test("from the beginning to saved, then it ends", async () => {
    const accepted = await say(parley, "anthropic/count-20+slow-5");
    const { events, ended, type } = await read(parley, `/api/v1/runs/${accepted.run_id}/events`, key);
    assert.ok(ended);
    assert.match(type, /^text\/event-stream/);
    assert.deepEqual(events.map((event) => event.id), events.map((_, i) => i + 1));
    assert.ok(events.every((event) => event.event === event.data.type));
    assert.deepEqual([events[0]!.event, events.at(-2)!.event, events.at(-1)!.event], ["start", "finish", "saved"]);
    assert.equal(events.filter((event) => event.event === "text").map((event) => event.data.text).join(""), counted(20));
    const run = await parley.ask("GET", `/api/v1/runs/${accepted.run_id}`, { key });
    assert.equal(run.json.run.status, "ended");
    assert.equal(run.json.run.last_seq, events.length);
    assert.equal(run.json.run.message_id, accepted.message.id);
  });

  await t.test("cut off again and again: Last-Event-ID goes on where it was", async () => {
    const accepted = await say(parley, "openai/count-40+slow-10");
    const seen: Event[] = [];
    for (let ended = false; !ended;) {
      const headers = seen.length ? { "last-event-id": String(seen.at(-1)!.id) } : {};
      const part = await read(parley, `/api/v1/runs/${accepted.run_id}/events`, key, headers, (events) => events.length >= 7);
      seen.push(...part.events);
      ended = part.ended || part.events.at(-1)?.event === "saved";
    }
    assert.deepEqual(seen.map((event) => event.id), seen.map((_, i) => i + 1));
    assert.equal(seen.filter((event) => event.event === "text").map((event) => event.data.text).join(""), counted(40));
    const after = await read(parley, `/api/v1/runs/${accepted.run_id}/events?after=${seen.length - 2}`, key, { "last-event-id": "1" });
    assert.deepEqual(after.events, seen.slice(-2), "the query counts");
  });

  await t.test("the same events as a WebSocket's", async () => {
    const socket = await openSocket(t, parley);
    const accepted = await socket.accept({ type: "send", conversation_id: null, parent_id: null, content: "x", model: "gemini/reasoning" });
    const { events } = await read(parley, `/api/v1/runs/${accepted.run_id}/events`, key);
    await socket.saved(accepted.run_id);
    assert.deepEqual(events.map((event) => event.data), socket.events(accepted.run_id).map((frame) => frame.event));
    assert.ok(events.some((event) => event.event === "reasoning"));
    const saved = events.at(-1)!.data.message;
    assert.ok(saved.content.some((part: any) => part.type === "reasoning" && part.text));
    assert.ok(!JSON.stringify(saved).includes("thoughtSignature") && !JSON.stringify(saved).includes("opaque"));
  });

  await t.test("stop by REST; refused for others and nonsense", async () => {
    const accepted = await say(parley, "ollama/endless+slow-10");
    const reading = read(parley, `/api/v1/runs/${accepted.run_id}/events`, key);
    await eventually("it speaks", async () => (await parley.ask("GET", `/api/v1/runs/${accepted.run_id}`, { key })).json.run.last_seq > 3);
    for (const [method, path] of [["GET", ""], ["GET", "/events"], ["POST", "/stop"]] as const)
      assert.equal((await parley.ask(method, `/api/v1/runs/${accepted.run_id}${path}`, { key: parley.other.key })).status, 404);
    assert.equal((await parley.ask("GET", `/api/v1/runs/${accepted.run_id}/events?after=x`, { key })).status, 400);
    assert.equal((await parley.ask("GET", `/api/v1/runs/${accepted.run_id}/events?after=-1`, { key })).status, 400);
    assert.equal((await parley.ask("GET", `/api/v1/runs/nonsense/events`, { key })).status, 404);
    assert.equal((await parley.ask("GET", `/api/v1/runs/${"0".repeat(26)}/events`, { key })).status, 404);
    assert.equal((await parley.ask("POST", `/api/v1/runs/${accepted.run_id}/stop`, { key })).status, 204);
    const { events, ended } = await reading;
    assert.ok(ended);
    assert.equal(events.at(-1)!.data.message.status, "stopped");
    const continued = await parley.ask("POST", `/api/v1/conversations/${accepted.conversation.id}/messages/${accepted.message.id}/continue`, { key, body: { model: "openai/count-2" } });
    assert.equal(continued.status, 202, continued.text);
    const again = await read(parley, `/api/v1/runs/${continued.json.accepted.run_id}/events`, key);
    assert.match(textOf(again.events.at(-1)!.data.message), /and on 1 2 $/);
  });

  await t.test("a key revoked in the middle ends the stream", async () => {
    const made = (await parley.ask("POST", "/api/v1/keys", { local: true, body: { name: "short", user: parley.user.email } })).json;
    const accepted = await say(parley, "openai/endless+slow-10");
    const reading = read(parley, `/api/v1/runs/${accepted.run_id}/events`, made.secret);
    await eventually("it speaks", async () => (await parley.ask("GET", `/api/v1/runs/${accepted.run_id}`, { key })).json.run.last_seq > 3);
    await parley.ask("DELETE", `/api/v1/keys/${made.key.id}`, { local: true });
    const { events } = await reading;
    assert.ok(!events.some((event) => event.event === "saved"));
    await parley.ask("POST", `/api/v1/runs/${accepted.run_id}/stop`, { key });
  });

  await t.test("lists of conversations, page by page", async () => {
    for (let i = 0; i < 5; i++) {
      await parley.ask("POST", "/api/v1/conversations", { key: parley.other.key, body: { title: `page ${i}` } });
      await sleep(2); // within one millisecond they have no order
    }
    const seen: string[] = [];
    let before = "";
    for (let pages = 0; pages < 5; pages++) {
      const page = (await parley.ask("GET", `/api/v1/conversations?limit=2${before && `&before=${encodeURIComponent(before)}`}`, { key: parley.other.key })).json;
      seen.push(...page.conversations.map((one: any) => one.title));
      before = page.next;
      if (!before) break;
    }
    assert.deepEqual(seen, ["page 4", "page 3", "page 2", "page 1", "page 0"]);
    for (const query of ["limit=0", "limit=201", "limit=x", "limit=-1", "limit=1e1"])
      assert.equal((await parley.ask("GET", `/api/v1/conversations?${query}`, { key })).status, 400, query);
    for (const query of ["before=nonsense", "before=%00", "before='--"]) {
      const answer = await parley.ask("GET", `/api/v1/conversations?${query}`, { key });
      assert.ok([200, 400].includes(answer.status), `${query}: ${answer.text}`);
    }
  });

  await t.test("change and delete", async () => {
    const id = (await parley.ask("POST", "/api/v1/conversations", { key, body: { title: "before", model: "openai/echo" } })).json.conversation.id;
    const renamed = await parley.ask("PATCH", `/api/v1/conversations/${id}`, { key, body: { title: "after" } });
    assert.deepEqual([renamed.json.conversation.title, renamed.json.conversation.model], ["after", "openai/echo"]);
    const leaf = await parley.ask("PATCH", `/api/v1/conversations/${id}`, { key, body: { leaf_id: "0".repeat(26) } });
    assert.equal(leaf.status, 404);
    assert.equal(leaf.json.error.field, "leaf_id");
    assert.equal((await parley.ask("DELETE", `/api/v1/conversations/${id}`, { key })).status, 204);
    for (const method of ["GET", "PATCH", "DELETE"])
      assert.equal((await parley.ask(method, `/api/v1/conversations/${id}`, { key, ...(method === "PATCH" ? { body: {} } : {}) })).status, 404);
  });
});
