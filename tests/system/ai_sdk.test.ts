// The AI SDK with its providers, unmodified: each through its own door to every provider, each cell asserted.
import assert from "node:assert/strict";
import { test } from "node:test";
import { createAnthropic } from "@ai-sdk/anthropic";
import { createGoogleGenerativeAI } from "@ai-sdk/google";
import { createOpenAI } from "@ai-sdk/openai";
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { APICallError, generateText, jsonSchema, streamText, tool, type LanguageModel } from "ai";
import { createOllama } from "ollama-ai-provider-v2";
import { CALLS, type Wrong } from "./doors.ts";
import { DIALECTS, eventually, oneAttempt, SECRET, startFake, startParley, type Fake, type Parley } from "./parley.ts";
import { counted, own } from "./router.ts";

interface Client { name: string; model: (name: string) => LanguageModel; overloaded?: number }

function clientsOf(parley: Parley): Client[] {
  const apiKey = parley.user.key;
  const openai = createOpenAI({ baseURL: `${parley.url}/v1`, apiKey });
  const compatible = createOpenAICompatible({ name: "parley", baseURL: `${parley.url}/v1`, apiKey, includeUsage: true });
  const anthropic = createAnthropic({ baseURL: `${parley.url}/v1`, apiKey });
  const google = createGoogleGenerativeAI({ baseURL: `${parley.url}/v1beta`, apiKey });
  const ollama = createOllama({ baseURL: `${parley.url}/api`, headers: { Authorization: `Bearer ${apiKey}` } });
  return [
    { name: "@ai-sdk/openai, responses", model: (name) => openai(name) },
    { name: "@ai-sdk/openai, chat", model: (name) => openai.chat(name) },
    { name: "@ai-sdk/openai-compatible", model: (name) => compatible(name) },
    { name: "@ai-sdk/anthropic", model: (name) => anthropic(name), overloaded: 529 },
    { name: "@ai-sdk/google", model: (name) => google(name) },
    { name: "ollama-ai-provider-v2", model: (name) => ollama(name) },
  ];
}

const parameter = (name: string) =>
  jsonSchema<Record<string, string>>({ type: "object", properties: { [name]: { type: "string" } }, required: [name], additionalProperties: false });
const tools = {
  get_weather: tool({ description: "Weather of a city", inputSchema: parameter("city") }),
  get_time: tool({ description: "Time of a zone", inputSchema: parameter("zone") }),
};
const STATUSES: Record<Wrong, number> = { "429": 429, "400-context": 400, "no-such-behaviour": 404, "503": 503 };
const INPUT = 11;
const ask = (model: LanguageModel, prompt = "x") => ({ model, prompt, maxRetries: 0 });

// Reads a stream to its end; what went wrong within it is thrown.
async function readStream(model: LanguageModel, options: { prompt?: string; tools?: typeof tools; onPiece?: (count: number) => void; abortSignal?: AbortSignal }) {
  const pieces: string[] = [];
  let failure: unknown;
  const { onPiece, prompt, ...rest } = options;
  const result = streamText({ ...ask(model, prompt), ...rest, onError: ({ error }) => { failure = error; } });
  for await (const piece of result.textStream) {
    pieces.push(piece);
    onPiece?.(pieces.length);
  }
  if (failure) throw failure;
  options.abortSignal?.throwIfAborted();
  return { text: pieces.join(""), pieces: pieces.length, finish: await result.finishReason, usage: await result.usage, calls: await result.toolCalls };
}

const callsOf = (calls: { toolName: string; input: unknown }[]) => calls.map((call) => ({ name: call.toolName, arguments: call.input }));

type Cell = (client: Client, model: (name: string) => string, fake: Fake) => Promise<void>;
const cells: Record<string, Cell> = {
  "whole content and usage": async (client, model) => {
    const said = await generateText(ask(client.model(model("echo")), "Grüße 🌍"));
    assert.equal(said.text, "You said: Grüße 🌍");
    assert.deepEqual([said.usage.inputTokens, said.usage.outputTokens, said.finishReason], [INPUT, 7, "stop"]);
  },
  "streamed deltas and usage": async (client, model) => {
    const said = await readStream(client.model(model("count-20")), {});
    assert.equal(said.text, counted(20));
    assert.ok(said.pieces >= 20, `word by word, not in ${said.pieces}`);
    assert.deepEqual([said.usage.inputTokens, said.usage.outputTokens, said.finish], [INPUT, 7, "stop"]);
  },
  "parallel tools": async (client, model) => {
    const whole = await generateText({ ...ask(client.model(model("tools"))), tools });
    assert.deepEqual(callsOf(whole.toolCalls), CALLS);
    assert.equal(whole.finishReason, "tool-calls");
    const streamed = await readStream(client.model(model("tools")), { tools });
    assert.deepEqual(callsOf(streamed.calls), CALLS);
    assert.equal(streamed.finish, "tool-calls");
  },
  "errors keep their class": async (client, model) => {
    for (const [name, status] of Object.entries(STATUSES))
      for (const asking of [() => generateText(ask(client.model(model(name)))), () => readStream(client.model(model(name)), {})]) {
        const error: unknown = await asking().then(() => undefined, (reason: unknown) => reason);
        assert.ok(APICallError.isInstance(error), `${name}: ${String(error)}`);
        assert.equal(error.statusCode, name === "503" ? (client.overloaded ?? status) : status, name);
        assert.ok(!JSON.stringify(error).includes(SECRET), "an error tells a key");
      }
  },
  "an answer that is cut is no whole one": async (client, model) => {
    for (const name of ["cut-5", "error-5"]) {
      const said = await readStream(client.model(model(name)), {}).catch((error: unknown) => error);
      const failed = said instanceof Error || !["stop", "length", "tool-calls"].includes((said as { finish: string }).finish);
      assert.ok(failed || typeof said !== "object" || !("finish" in said!), `${name}: ${JSON.stringify(said)}`);
    }
  },
  "whoever leaves is noticed upstream": async (client, model, fake) => {
    const name = model("endless+slow-10");
    const abort = new AbortController();
    await assert.rejects(readStream(client.model(name), { abortSignal: abort.signal, onPiece: (count) => { if (count === 5) abort.abort(); } }));
    await eventually("the provider was left", async () => (await fake.seen(name.replace(/^[^/]*\//, "")))?.client_gone, 2000);
  },
};

test("the AI SDK to every provider", async (t) => {
  const fake = await startFake(t);
  const parley = await startParley(t, { fake, config: oneAttempt });
  for (const client of clientsOf(parley))
    for (const provider of DIALECTS)
      await t.test(`${client.name} to ${provider}`, async (t) => {
        for (const [what, cell] of Object.entries(cells))
          await t.test(what, () => cell(client, (name) => `${provider}/${name === "no-such-behaviour" ? name : own(name)}`, fake));
      });
});
