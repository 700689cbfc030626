// Every official client through its own door to every provider: one table, each cell asserted.
import assert from "node:assert/strict";
import { test } from "node:test";
import { CALLS, doorsOf, failureOf, FINISHES, WRONGS, type Door, type Wrong } from "./doors.ts";
import { DIALECTS, eventually, oneAttempt, startFake, startParley, type Fake } from "./parley.ts";
import { counted, own } from "./router.ts";

const GREETING = "Grüße, 世界 🌍";
const INPUT = 11; // tokens, of which the fake's Anthropic has 3 in its cache

type Cell = (door: Door, model: (name: string) => string, fake: Fake) => Promise<void>;

const cells: Record<string, Cell> = {
  "whole content and usage": async (door, model) => {
    const said = await door.whole({ model: model("echo"), text: GREETING });
    assert.equal(said.text, `You said: ${GREETING}`);
    assert.deepEqual([said.input, said.output, said.finish, said.calls], [INPUT, 7, FINISHES[door.dialect].text, []]);
  },
  "streamed deltas and usage": async (door, model) => {
    const said = await door.streamed({ model: model("count-20") });
    assert.equal(said.text, counted(20));
    assert.ok(said.pieces >= 20, `word by word, not in ${said.pieces}`);
    assert.deepEqual([said.input, said.output, said.finish, said.calls], [INPUT, 7, FINISHES[door.dialect].text, []]);
  },
  "a stream in single bytes": async (door, model) => {
    assert.equal((await door.streamed({ model: model("unicode-split") })).text, "Grüße, 世界! Привет 🌍 שלום e\u0301 👨\u200d👩\u200d👧");
  },
  "parallel tools, whole": async (door, model, fake) => {
    const name = model("tools");
    const said = await door.whole({ model: name, tools: true });
    assert.deepEqual([said.calls, said.finish, said.text], [CALLS, FINISHES[door.dialect].tools, ""]);
    assert.deepEqual([said.input, said.output], [INPUT, 25]);
    const body = await fake.bodyText((await fake.seen(name.replace(/^[^/]*\//, "")))!.number);
    for (const word of ["get_weather", "Weather of a city", "city", "get_time", "zone"]) assert.ok(body.includes(word), body);
  },
  "parallel tools, streamed": async (door, model) => {
    for (const name of ["tools", "tools-interleaved"]) {
      const said = await door.streamed({ model: model(name), tools: true });
      assert.deepEqual([said.calls, said.finish, said.text], [CALLS, FINISHES[door.dialect].tools, ""]);
    }
  },
  "errors keep their class": async (door, model) => {
    for (const [name, wanted] of Object.entries(WRONGS[door.dialect]) as [Wrong, (typeof WRONGS)[keyof typeof WRONGS][Wrong]][])
      for (const ask of [door.whole, door.streamed]) {
        const failure = await failureOf(door, ask({ model: model(name) }), name);
        const what = `${name}: ${JSON.stringify(failure)}`;
        assert.deepEqual([failure.kind, failure.status], [wanted.kind, wanted.status], what);
        assert.match(failure.type, wanted.type, what);
        assert.ok(failure.message.length > 8, what);
      }
  },
  "an answer that is cut is an error": async (door, model) => {
    for (const name of ["cut-5", "error-5", "no-finish"]) {
      let said: unknown;
      await assert.rejects(door.streamed({ model: model(name) }).then((answer) => (said = answer)), `${name}: ${JSON.stringify(said)}`);
    }
  },
  "whoever leaves is noticed upstream": async (door, model, fake) => {
    const name = model("endless+slow-10");
    let left = 0;
    const asked = door.streamed({ model: name, onPiece: (count, leave) => { if (count === 5) { left = performance.now(); leave(); } } });
    await assert.rejects(asked, /abort/i);
    await eventually("the provider was left", async () => (await fake.seen(name.replace(/^[^/]*\//, "")))?.client_gone, 2000);
    const took = performance.now() - left;
    assert.ok(took < 100 + 150, `${took} ms, some of them for asking`);
  },
};

test("every client to every provider", async (t) => {
  const fake = await startFake(t);
  const parley = await startParley(t, { fake, config: oneAttempt });
  for (const door of doorsOf(parley))
    for (const provider of DIALECTS)
      await t.test(`${door.dialect} to ${provider}`, async (t) => {
        for (const [what, cell] of Object.entries(cells))
          await t.test(what, () => cell(door, (name) => `${provider}/${name === "no-such-behaviour" ? name : own(name)}`, fake));
      });
});

test("names that nobody has", async (t) => {
  const parley = await startParley(t);
  for (const door of doorsOf(parley))
    await t.test(door.dialect, async () => {
      const wanted = WRONGS[door.dialect]["no-such-behaviour"];
      for (const model of ["nobody/nothing", "nothing", "parley/elisa"])
        for (const ask of [door.whole, door.streamed, (asking: { model: string }) => door.retrieve(asking.model)]) {
          const failure = await failureOf(door, ask({ model }), model);
          assert.deepEqual([failure.kind, failure.status], [wanted.kind, wanted.status], JSON.stringify(failure));
          assert.match(failure.type, wanted.type);
        }
    });
});
