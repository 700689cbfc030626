// The official clients, unmodified, each at its own door: what they are asked and what they say, in one form, so
// that a table can hold them against every provider.
import assert from "node:assert/strict";
import Anthropic from "@anthropic-ai/sdk";
import { ApiError, GoogleGenAI, type GenerateContentResponse } from "@google/genai";
import { Ollama } from "ollama";
import OpenAI from "openai";
import { SECRET, type DIALECTS, type Parley } from "./parley.ts";

export type Dialect = (typeof DIALECTS)[number];

export interface Call { name: string; arguments: unknown }
export interface Said { text: string; calls: Call[]; input: number; output: number; finish: string; pieces: number }
export interface Failure { kind: string; status: number; type: string; message: string }
export interface Asking {
  model: string;
  text?: string;
  tools?: boolean;
  onPiece?: (count: number, leave: () => void) => void; // with every piece of text of a stream
}

export interface Door {
  dialect: Dialect;
  path: (model: string, stream: boolean) => string; // for whoever asks without a client
  whole(asking: Asking): Promise<Said>;
  streamed(asking: Asking): Promise<Said>;
  failureOf(error: unknown): Failure;
  list(): Promise<string[]>;
  retrieve(model: string): Promise<string>; // the id told
}

// What an error is called at each door: the client's class, the status, the door's own word.
export interface Wanted { kind: string; status: number; type: RegExp }
export type Wrong = "429" | "400-context" | "no-such-behaviour" | "503";

const counting = (asking: Asking, leave: () => void) => {
  let count = 0;
  return { piece: () => { count++; asking.onPiece?.(count, leave); }, get count() { return count; } };
};

const properties = (name: string) => ({ type: "object" as const, properties: { [name]: { type: "string" as const } }, required: [name] });
const TOOLS = [
  { name: "get_weather", description: "Weather of a city", schema: properties("city") },
  { name: "get_time", description: "Time of a zone", schema: properties("zone") },
];
export const CALLS: Call[] = [
  { name: "get_weather", arguments: { city: "Paris" } }, { name: "get_time", arguments: { zone: "Europe/Paris" } },
];

// ---- OpenAI: chat completions and responses

export const openaiOf = (parley: Parley, apiKey = parley.user.key) =>
  new OpenAI({ baseURL: `${parley.url}/v1`, apiKey, maxRetries: 0, timeout: 30_000 });

function openaiFailure(error: unknown): Failure {
  assert.ok(error instanceof OpenAI.APIError, String(error));
  return { kind: error.constructor.name, status: error.status!, type: `${error.type} ${error.code}`, message: error.message };
}

const openaiModels = (openai: OpenAI) => ({
  failureOf: openaiFailure,
  list: async () => (await openai.models.list()).data.map((one) => one.id),
  retrieve: async (model: string) => (await openai.models.retrieve(model)).id,
});

function chatDoor(parley: Parley): Door {
  const openai = openaiOf(parley);
  const tools = TOOLS.map(({ name, description, schema }) => ({ type: "function" as const, function: { name, description, parameters: schema } }));
  const body = (asking: Asking) => ({
    model: asking.model, messages: [{ role: "user" as const, content: asking.text ?? "x" }], ...(asking.tools ? { tools } : {}),
  });
  const saidOf = (answer: OpenAI.ChatCompletion, pieces: number): Said => {
    const choice = answer.choices[0]!;
    const calls = (choice.message.tool_calls ?? []) as OpenAI.ChatCompletionMessageFunctionToolCall[];
    assert.equal(new Set(calls.map((call) => call.id)).size, calls.length);
    return {
      text: choice.message.content ?? "", pieces, finish: choice.finish_reason,
      calls: calls.map((call) => ({ name: call.function.name, arguments: JSON.parse(call.function.arguments) })),
      input: answer.usage?.prompt_tokens ?? -1, output: answer.usage?.completion_tokens ?? -1,
    };
  };
  return {
    dialect: "openai", path: () => "/v1/chat/completions", ...openaiModels(openai),
    whole: async (asking) => saidOf(await openai.chat.completions.create(body(asking)), 0),
    streamed: async (asking) => {
      const stream = openai.chat.completions.stream({ ...body(asking), stream_options: { include_usage: true } });
      const pieces = counting(asking, () => stream.abort());
      let joined = "";
      stream.on("content", (delta) => { joined += delta; pieces.piece(); });
      const said = saidOf(await stream.finalChatCompletion(), pieces.count);
      assert.equal(joined, said.text);
      return said;
    },
  };
}

function responsesDoor(parley: Parley): Door {
  const openai = openaiOf(parley);
  const tools = TOOLS.map(({ name, description, schema }) => ({ type: "function" as const, name, description, parameters: schema, strict: false }));
  const body = (asking: Asking) => ({ model: asking.model, input: asking.text ?? "x", store: false, ...(asking.tools ? { tools } : {}) });
  const saidOf = (answer: OpenAI.Responses.Response, pieces: number): Said => {
    const calls = answer.output.filter((item) => item.type === "function_call");
    assert.equal(new Set(calls.map((call) => call.call_id)).size, calls.length);
    return {
      text: answer.output_text, pieces, finish: answer.status!, calls: calls.map((call) => ({ name: call.name, arguments: JSON.parse(call.arguments) })),
      input: answer.usage!.input_tokens, output: answer.usage!.output_tokens,
    };
  };
  return {
    dialect: "responses", path: () => "/v1/responses", ...openaiModels(openai),
    whole: async (asking) => saidOf(await openai.responses.create(body(asking)), 0),
    streamed: async (asking) => {
      const stream = openai.responses.stream(body(asking));
      const pieces = counting(asking, () => stream.abort());
      const args: string[] = [];
      const numbers: number[] = [];
      let joined = "";
      for await (const event of stream) {
        numbers.push(event.sequence_number);
        if (event.type === "response.output_text.delta") { joined += event.delta; pieces.piece(); }
        if (event.type === "response.function_call_arguments.delta") args[event.output_index] = (args[event.output_index] ?? "") + event.delta;
      }
      const said = saidOf(await stream.finalResponse(), pieces.count);
      assert.equal(joined, said.text);
      assert.deepEqual(numbers, numbers.map((_, i) => i));
      assert.deepEqual(args.filter(Boolean).map((text) => JSON.parse(text)), said.calls.map((call) => call.arguments));
      return said;
    },
  };
}

// ---- Anthropic

export const anthropicOf = (parley: Parley, apiKey = parley.user.key) =>
  new Anthropic({ baseURL: parley.url, apiKey, maxRetries: 0, timeout: 30_000 });

function anthropicDoor(parley: Parley): Door {
  const anthropic = anthropicOf(parley);
  const tools = TOOLS.map(({ name, description, schema }) => ({ name, description, input_schema: schema }));
  const body = (asking: Asking) => ({
    model: asking.model, max_tokens: 1000, messages: [{ role: "user" as const, content: asking.text ?? "x" }], ...(asking.tools ? { tools } : {}),
  });
  const saidOf = (answer: Anthropic.Message, pieces: number): Said => {
    const calls = answer.content.filter((block) => block.type === "tool_use");
    assert.equal(new Set(calls.map((call) => call.id)).size, calls.length);
    const { usage } = answer;
    return {
      text: answer.content.map((block) => block.type === "text" ? block.text : "").join(""), pieces, finish: answer.stop_reason!,
      calls: calls.map((call) => ({ name: call.name, arguments: call.input })),
      input: usage.input_tokens + (usage.cache_read_input_tokens ?? 0) + (usage.cache_creation_input_tokens ?? 0), output: usage.output_tokens,
    };
  };
  return {
    dialect: "anthropic", path: () => "/v1/messages",
    whole: async (asking) => saidOf(await anthropic.messages.create(body(asking)), 0),
    streamed: async (asking) => {
      const stream = anthropic.messages.stream(body(asking));
      const pieces = counting(asking, () => stream.abort());
      let joined = "";
      stream.on("text", (delta) => { joined += delta; pieces.piece(); });
      const said = saidOf(await stream.finalMessage(), pieces.count);
      assert.equal(joined, said.text);
      return said;
    },
    failureOf: (error) => {
      assert.ok(error instanceof Anthropic.APIError, String(error));
      return { kind: error.constructor.name, status: error.status, type: String(error.type), message: error.message };
    },
    list: async () => {
      const ids: string[] = [];
      for await (const one of anthropic.models.list()) ids.push(one.id);
      return ids;
    },
    retrieve: async (model) => (await anthropic.models.retrieve(model)).id,
  };
}

// ---- Gemini

export const geminiOf = (parley: Parley, apiVersion?: string) =>
  new GoogleGenAI({ apiKey: parley.user.key, httpOptions: { baseUrl: parley.url, ...(apiVersion ? { apiVersion } : {}) } });

export function geminiDoor(parley: Parley, apiVersion?: string): Door {
  const gemini = geminiOf(parley, apiVersion);
  const functionDeclarations = TOOLS.map(({ name, description, schema }) => ({ name, description, parametersJsonSchema: schema }));
  const body = (asking: Asking) => ({
    model: asking.model, contents: asking.text ?? "x", config: { ...(asking.tools ? { tools: [{ functionDeclarations }] } : {}) },
  });
  const saidOf = (answers: GenerateContentResponse[]): Said => {
    const calls = answers.flatMap((answer) => answer.functionCalls ?? []), texts = answers.map(textOf);
    const usage = answers.findLast((answer) => answer.usageMetadata)!.usageMetadata!;
    return {
      text: texts.join(""), pieces: texts.filter(Boolean).length, finish: answers.findLast((answer) => answer.candidates?.[0]?.finishReason)!.candidates![0]!.finishReason!,
      calls: calls.map((call) => ({ name: call.name!, arguments: call.args })), input: usage.promptTokenCount!, output: usage.candidatesTokenCount!,
    };
  };
  const textOf = (answer: GenerateContentResponse) => (answer.candidates?.[0]?.content?.parts ?? []).map((part) => part.text ?? "").join("");
  return {
    dialect: "gemini",
    path: (model, stream) => `/${apiVersion ?? "v1"}/models/${model}:${stream ? "streamGenerateContent?alt=sse" : "generateContent"}`,
    whole: async (asking) => saidOf([await gemini.models.generateContent(body(asking))]),
    streamed: async (asking) => {
      const abort = new AbortController();
      const { config, ...rest } = body(asking);
      const stream = await gemini.models.generateContentStream({ ...rest, config: { ...config, abortSignal: abort.signal } });
      const pieces = counting(asking, () => abort.abort());
      const answers: GenerateContentResponse[] = [];
      for await (const answer of stream) {
        answers.push(answer);
        if (textOf(answer)) pieces.piece();
      }
      return saidOf(answers);
    },
    failureOf: (error) => {
      assert.ok(error instanceof ApiError, String(error));
      const told = JSON.parse(error.message).error;
      assert.equal(told.code, error.status);
      return { kind: "ApiError", status: error.status, type: told.status, message: told.message };
    },
    list: async () => {
      const names: string[] = [];
      for await (const one of await gemini.models.list()) names.push(one.name!.replace(/^models\//, ""));
      return names;
    },
    retrieve: async (model) => (await gemini.models.get({ model })).name!.replace(/^models\//, ""),
  };
}

// ---- Ollama

export const ollamaOf = (parley: Parley) =>
  new Ollama({ host: parley.url, headers: { Authorization: `Bearer ${parley.user.key}` } });

function ollamaDoor(parley: Parley): Door {
  const ollama = ollamaOf(parley);
  const tools = TOOLS.map(({ name, description, schema }) => ({ type: "function", function: { name, description, parameters: schema } }));
  const body = (asking: Asking) => ({
    model: asking.model, messages: [{ role: "user", content: asking.text ?? "x" }], ...(asking.tools ? { tools } : {}),
  });
  type Answer = Awaited<ReturnType<typeof ollama.chat>>;
  const saidOf = (answers: Answer[]): Said => {
    const last = answers.at(-1)!, texts = answers.map((answer) => answer.message.content);
    assert.equal(last.done, true);
    return {
      text: texts.join(""), pieces: texts.filter(Boolean).length, finish: last.done_reason, input: last.prompt_eval_count, output: last.eval_count,
      calls: answers.flatMap((answer) => answer.message.tool_calls ?? []).map((call) => ({ name: call.function.name, arguments: call.function.arguments })),
    };
  };
  return {
    dialect: "ollama", path: () => "/api/chat",
    whole: async (asking) => saidOf([await ollama.chat({ ...body(asking), stream: false })]),
    streamed: async (asking) => {
      const stream = await ollama.chat({ ...body(asking), stream: true });
      const pieces = counting(asking, () => stream.abort());
      const answers: Answer[] = [];
      for await (const answer of stream) {
        answers.push(answer);
        if (answer.message.content) pieces.piece();
      }
      return saidOf(answers);
    },
    failureOf: (error) => {
      assert.equal((error as Error).name, "ResponseError", String(error));
      const { status_code, error: message } = error as unknown as { status_code: number; error: string };
      return { kind: "ResponseError", status: status_code, type: "", message };
    },
    list: async () => (await ollama.list()).models.map((one) => one.model),
    retrieve: async (model) => { assert.ok((await ollama.show({ model })).capabilities.includes("completion")); return model; },
  };
}

export const doorsOf = (parley: Parley): Door[] =>
  [chatDoor(parley), responsesDoor(parley), anthropicDoor(parley), geminiDoor(parley), ollamaDoor(parley)];

const named = (kinds: [string, string, string, string], status: [number, number, number, number], types: [RegExp, RegExp, RegExp, RegExp]): Record<Wrong, Wanted> => {
  const row = (i: number): Wanted => ({ kind: kinds[i]!, status: status[i]!, type: types[i]! });
  return { "429": row(0), "400-context": row(1), "no-such-behaviour": row(2), "503": row(3) };
};
const usual: [number, number, number, number] = [429, 400, 404, 503];
const classes: [string, string, string, string] = ["RateLimitError", "BadRequestError", "NotFoundError", "InternalServerError"];
const openaiWords: [RegExp, RegExp, RegExp, RegExp] = [/rate_limit/, /context_length_exceeded/, /model_not_found/, /server_error|service_unavailable/];

export const WRONGS: Record<Dialect, Record<Wrong, Wanted>> = {
  openai: named(classes, usual, openaiWords),
  responses: named(classes, usual, openaiWords),
  anthropic: named(["RateLimitError", "BadRequestError", "NotFoundError", "OverloadedError"], [429, 400, 404, 529],
    [/^rate_limit_error$/, /^invalid_request_error$/, /^not_found_error$/, /^overloaded_error$/]),
  gemini: named(["ApiError", "ApiError", "ApiError", "ApiError"], usual, [/^RESOURCE_EXHAUSTED$/, /^INVALID_ARGUMENT$/, /^NOT_FOUND$/, /^UNAVAILABLE$/]),
  ollama: named(["ResponseError", "ResponseError", "ResponseError", "ResponseError"], usual, [/^$/, /^$/, /^$/, /^$/]),
};

export const FINISHES: Record<Dialect, { text: string; tools: string }> = {
  openai: { text: "stop", tools: "tool_calls" },
  responses: { text: "completed", tools: "completed" },
  anthropic: { text: "end_turn", tools: "tool_use" },
  gemini: { text: "STOP", tools: "STOP" },
  ollama: { text: "stop", tools: "stop" },
};

export async function failureOf(door: Door, promise: Promise<unknown>, what: string): Promise<Failure> {
  let error: unknown;
  const good = await promise.catch((reason) => void (error = reason));
  assert.ok(error, `${what} should have failed: ${JSON.stringify(good)?.slice(-600)}`);
  assert.ok(!JSON.stringify(error).includes(SECRET) && !String(error).includes(SECRET), "an error tells a key");
  return door.failureOf(error);
}
