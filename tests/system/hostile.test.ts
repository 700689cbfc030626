// Requests that mean harm, at every door: each is refused in the caller's dialect with the name of what is
// wrong, and no provider hears of it.
import assert from "node:assert/strict";
import { test } from "node:test";
import { startFake, startParley, type Answer } from "./parley.ts";

const M = [{ role: "user", content: "x" }];
const CONTENTS = [{ role: "user", parts: [{ text: "x" }] }];
const form = (...parts: [string, string][]) =>
  parts.map(([name, value]) => `--b\r\ncontent-disposition: form-data; name="${name}"\r\n\r\n${value}\r\n`).join("") + "--b--\r\n";
const FORM = { "content-type": "multipart/form-data; boundary=b" };
const TEXT = { "content-type": "text/plain" };
const START = { "x-goog-upload-command": "start", "x-goog-upload-protocol": "resumable" };

// Path, body, what the error names, headers. All are 400.
type Row = [path: string, body: unknown, named: string, headers?: Record<string, string>];
const redirections: Row[] = [
  ["/v1/chat/completions", { model: "openai/m", messages: M, api_base: "http://x" }, "api_base"],
  ["/v1/chat/completions", { model: "openai/m", messages: M, Base_URL: "http://x" }, "Base_URL"],
  ["/v1/responses", { model: "openai/m", input: "x", user_config: {} }, "user_config"],
  ["/v1/messages", { model: "anthropic/m", max_tokens: 5, messages: M, api_key: "x" }, "api_key"],
  ["/v1/messages/count_tokens", { model: "anthropic/m", messages: M, api_key: "x" }, "api_key"],
  ["/v1beta/models/gemini/m:generateContent", { contents: CONTENTS, api_base: "x" }, "api_base"],
  ["/v1beta/models/gemini/m:countTokens", { contents: CONTENTS, api_base: "x" }, "api_base"],
  ["/v1beta/models/gemini/m:embedContent", { content: CONTENTS[0], api_base: "x" }, "api_base"],
  ["/api/chat", { model: "ollama/m", messages: M, api_base: "x" }, "api_base"],
  ["/api/generate", { model: "ollama/m", prompt: "x", api_base: "x" }, "api_base"],
  ["/api/embed", { model: "ollama/m", input: "x", api_base: "x" }, "api_base"],
  ["/v1/embeddings", { model: "openai/m", input: "x", aws_role_name: "x" }, "aws_role_name"],
  ["/v1/images/generations", { model: "openai/m", prompt: "x", api_base: "x" }, "api_base"],
  ["/v1/audio/transcriptions", form(["model", "openai/m"], ["api_base", "x"]), "api_base", FORM],
  ["/p/openai/chat/completions", { model: "m", messages: M, api_base: "x" }, "api_base"],
  ["/p/openai/chat/completions", JSON.stringify({ model: "m", messages: M, api_base: "x" }), "api_base", TEXT],
  ["/p/openai/v1/anything", ` {"api_base":"x"}`, "api_base", TEXT],
];
const numbers: Row[] = [
  ["/v1/chat/completions", { model: "openai/m", messages: M, max_tokens: -1 }, "max_tokens"],
  ["/v1/chat/completions", { model: "openai/m", messages: M, max_tokens: 1e30 }, "max_tokens"],
  ["/v1/chat/completions", { model: "openai/m", messages: M, temperature: 1e308 }, "temperature"],
  ["/v1/chat/completions", { model: "openai/m", messages: M, top_p: -3 }, "top_p"],
  ["/v1/chat/completions", { model: "openai/m", messages: M, n: 1_000_000 }, "n"],
  ["/v1/chat/completions", { model: "openai/m", messages: M, models: Array(1000).fill("openai/m") }, "models"],
  ["/v1/responses", { model: "openai/m", input: "x", temperature: -1 }, "temperature"],
  ["/v1/messages", { model: "anthropic/m", max_tokens: -5, messages: M }, "max_tokens"],
  ["/v1/messages", { model: "anthropic/m", max_tokens: 5, messages: M, top_p: 1e9 }, "top_p"],
  ["/v1beta/models/gemini/m:generateContent", { contents: CONTENTS, generationConfig: { maxOutputTokens: -5 } }, "generationConfig.maxOutputTokens"],
  ["/v1beta/models/gemini/m:generateContent", { contents: CONTENTS, generationConfig: { topP: -1 } }, "generationConfig.topP"],
  ["/api/chat", { model: "ollama/m", messages: M, options: { temperature: -1 } }, "options.temperature"],
  ["/v1/embeddings", { model: "openai/m", input: "x", dimensions: -1 }, "dimensions"],
  ["/v1/embeddings", { model: "openai/m", input: [[-1]] }, "input[0][0]"],
  ["/upload/v1beta/files", {}, "X-Goog-Upload-Header-Content-Length", { ...START, "x-goog-upload-header-content-length": "99999999999999999999" }],
];
const types: Row[] = [
  ["/v1/messages", { model: "anthropic/m", max_tokens: 5, messages: [{ role: "user", content: [{ type: "image", source: 5 }] }] }, "messages[0].content[0].source"],
  ["/v1/messages", { model: "anthropic/m", max_tokens: 5, messages: M, tools: [{ name: 5 }] }, "tools[0].name"],
  ["/v1beta/models/gemini/m:generateContent", { contents: [{ parts: [{ text: 5 }] }] }, "contents[0].parts[0].text"],
  ["/api/chat", { model: "ollama/m", messages: [{ role: "user", content: 5 }] }, "messages[0].content"],
  ["/v1/responses", { model: "openai/m", input: 5 }, "input"],
  ["/v1/responses", { model: "openai/m", input: "x", store: "yes" }, "store"],
  ["/v1/messages/batches", { requests: [{ custom_id: 5, params: {} }] }, "requests[0].custom_id"],
  ["/v1/batches", { input_file_id: "../x", endpoint: "/v1/chat/completions", completion_window: "24h" }, "input_file_id"],
  ["/v1/files", "x", "body", { "content-type": "multipart/form-data" }],
];

// Where each dialect has the name of the field: OpenAI's in `param`, the others' in front of the message.
function fieldOf(answer: Answer): string {
  const error = answer.json.error;
  if (typeof error === "string") return error.split(": ")[0]!;
  return error.param ?? error.message.split(": ")[0];
}

test("hostile requests", async (t) => {
  const fake = await startFake(t);
  const parley = await startParley(t, { fake, config: "server: {body_mib_max: 2}\n" });
  const key = parley.user.key;
  const asked = async () => (await fake.log()).filter((one) => one.method === "POST" || !/models|tags|show/.test(one.path)).length;
  const before = await asked();

  for (const [name, rows] of Object.entries({ redirections, numbers, types })) {
    await t.test(name, async () => {
      for (const [path, body, named, headers] of rows) {
        const answer = await parley.ask("POST", path, { key, body, ...(headers && { headers }) });
        const what = `${path} ${JSON.stringify(body).slice(0, 120)}: ${answer.text}`;
        assert.equal(answer.status, 400, what);
        assert.equal(fieldOf(answer), named, what);
      }
    });
  }

  await t.test("paths that would lead elsewhere", async () => {
    for (const path of ["/p/openai/../../etc/passwd", "/p/openai/%2e%2e/x", "/p/openai/..%5c..%5cx", "/p/openai//evil.example/x", "/p/openai/.;/x", "/p/nobody/x",
      "/v1/files/..%2f..%2fparley.db/content", "/v1/files/file-..%2f..%2fparley.db", "/v1/responses/..%2f..%2fetc", "/v1/fine_tuning/jobs/..%2f..%2ffiles", "/v1/batches/..%2fx"]) {
      const answer = await parley.ask("GET", path, { key });
      assert.equal(answer.status, 404, `${path}: ${answer.text}`);
    }
  });

  await t.test("no provider heard of it", async () => {
    assert.equal(await asked(), before);
  });
});
