// A provider that has batches of its own, OpenAI's, Anthropic's and Gemini's, in front of lab's fake provider: lines are
// answered by that one when `finish` is called, everything else is handed through. What it answers has the
// members, names and spellings of the originals.
import assert from "node:assert/strict";
import http from "node:http";
import type { AddressInfo } from "node:net";
import type { TestContext } from "node:test";
import { afterwards, ask, type Fake } from "./parley.ts";

export interface Line { custom_id: string; url: string; body: any }
interface Kept { form: "openai" | "anthropic" | "gemini"; id: string; lines: Line[]; status: string; output: string[]; errors: string[]; endpoint: string; metadata: unknown; message?: string }

const NOW = 1763805600;
const HEADERS = { "content-type": "application/json" };

export class BatchProvider {
  url = "";
  readonly asked: { method: string; path: string; headers: http.IncomingHttpHeaders; body: string }[] = [];
  readonly files = new Map<string, string>();
  readonly batches = new Map<string, Kept>();
  refusals: { path: RegExp; status: number; body: object; times: number }[] = []; // answered first; status 0: never

  readonly fake: Fake;

  constructor(fake: Fake) { this.fake = fake; }

  one(): Kept {
    assert.equal(this.batches.size, 1);
    return [...this.batches.values()][0]!;
  }

  private upload(headers: http.IncomingHttpHeaders, body: string): object {
    const boundary = /boundary=(.+)$/.exec(headers["content-type"]!)![1]!;
    const parts = body.split(`--${boundary}`);
    assert.equal(parts.length, 4, "two parts");
    assert.equal(parts[3], "--\r\n");
    assert.match(parts[1]!, /^\r\ncontent-disposition: form-data; name="purpose"\r\n\r\nbatch\r\n$/);
    const at = parts[2]!.indexOf("\r\n\r\n");
    assert.match(parts[2]!.slice(0, at), /name="file"; filename="batch.jsonl"/);
    const id = `file-Abc${this.files.size + 1}`, content = parts[2]!.slice(at + 4, -2);
    this.files.set(id, content);
    return { id, object: "file", bytes: content.length, created_at: NOW, filename: "batch.jsonl", purpose: "batch", status: "processed" };
  }

  // An operation. Its results stand in it twice, once it has ended.
  private showGemini(kept: Kept): object {
    const states: Record<string, string> = { in_progress: "RUNNING", cancelling: "RUNNING", completed: "SUCCEEDED", failed: "FAILED", expired: "EXPIRED", cancelled: "CANCELLED" };
    const isEnded = !["in_progress", "cancelling"].includes(kept.status);
    const results = kept.output.map((line) => JSON.parse(line)), good = results.filter((one) => one.response).length;
    const output = { inlinedResponses: { inlinedResponses: results } };
    const count = (name: string, value: number) => (value ? { [name]: String(value) } : {});
    return { name: `batches/${kept.id}`,
      metadata: { "@type": "type.googleapis.com/google.ai.generativelanguage.v1main.GenerateContentBatch", model: `models/${kept.endpoint}`, displayName: kept.metadata,
        ...(isEnded && results.length ? { output } : {}), createTime: "2035-11-22T09:00:00.407650525Z", updateTime: "2035-11-22T09:01:00.548158754Z", ...(isEnded ? { endTime: "2035-11-22T09:01:00.5Z" } : {}),
        batchStats: { requestCount: String(kept.lines.length), ...count("successfulRequestCount", good), ...count("failedRequestCount", results.length - good), ...count("pendingRequestCount", kept.lines.length - results.length) },
        state: `BATCH_STATE_${states[kept.status]}`, name: `batches/${kept.id}` },
      ...(!isEnded ? {} : kept.message ? { done: true, error: { code: 3, message: kept.message } }
        : { done: true, response: { "@type": "type.googleapis.com/google.ai.generativelanguage.v1main.GenerateContentBatchOutput", ...(results.length ? output : {}) } }) };
  }

  private makeGemini(model: string, batch: any): object {
    const id = `g${this.batches.size + 1}kc7gtzcigdg9m`;
    const lines: Line[] = batch.inputConfig.requests.requests.map((one: any) => ({ custom_id: one.metadata.key, url: `/v1beta/models/${model}:generateContent`, body: one.request }));
    this.batches.set(id, { form: "gemini", id, lines, status: "in_progress", output: [], errors: [], endpoint: model, metadata: batch.displayName });
    return this.showGemini(this.batches.get(id)!);
  }

  private show(kept: Kept): object {
    if (kept.form === "gemini") return this.showGemini(kept);
    const is = (name: string) => (kept.status === name ? NOW + 9 : null);
    const isEnded = !["in_progress", "cancelling"].includes(kept.status);
    if (kept.form === "openai")
      return { id: kept.id, object: "batch", endpoint: kept.endpoint,
        errors: kept.message ? { object: "list", data: [{ code: "invalid_json_line", line: 2, message: kept.message, param: null }] } : null,
        input_file_id: "file-Abc1", completion_window: "24h", status: kept.status,
        output_file_id: kept.output.length ? `${kept.id}-out` : null, error_file_id: kept.errors.length ? `${kept.id}-err` : null,
        created_at: NOW, in_progress_at: NOW + 1, expires_at: NOW + 999999999, finalizing_at: null, completed_at: is("completed"), failed_at: is("failed"),
        expired_at: is("expired"), cancelling_at: is("cancelling"), cancelled_at: is("cancelled"),
        request_counts: { total: kept.lines.length, completed: kept.output.length, failed: kept.errors.length }, metadata: kept.metadata };
    const types = kept.output.map((line) => JSON.parse(line).result.type);
    const count = (type: string) => (isEnded ? types.filter((one) => one === type).length : 0);
    return { id: kept.id, type: "message_batch", processing_status: isEnded ? "ended" : kept.status === "cancelling" ? "canceling" : "in_progress",
      request_counts: { processing: isEnded ? 0 : kept.lines.length, succeeded: count("succeeded"), errored: count("errored"), canceled: count("canceled"), expired: count("expired") },
      ended_at: isEnded ? "2025-11-22T10:00:00Z" : null, created_at: "2025-11-22T09:00:00Z", expires_at: "2035-11-23T09:00:00Z", archived_at: null,
      cancel_initiated_at: null, results_url: isEnded ? `https://api.anthropic.com/v1/messages/batches/${kept.id}/results` : null };
  }

  private make(form: Kept["form"], body: any): object {
    const id = form === "openai" ? `batch_${this.batches.size + 1}Abc` : `msgbatch_${this.batches.size + 1}Abc`;
    const lines: Line[] = form === "openai"
      ? this.files.get(body.input_file_id)!.trim().split("\n").map((line) => JSON.parse(line))
      : body.requests.map((one: any) => ({ custom_id: one.custom_id, url: "/v1/messages", body: one.params }));
    const kept: Kept = { form, id, lines, status: "in_progress", output: [], errors: [], endpoint: body.endpoint, metadata: body.metadata };
    this.batches.set(id, kept);
    return this.show(kept);
  }

  // Answers so many lines, the last first, and ends: the rest expire or are cancelled.
  async finish(kept: Kept, status: "completed" | "expired" | "cancelled" = "completed", count = Infinity): Promise<void> {
    for (const line of [...kept.lines].reverse()) {
      const isDone = count-- > 0;
      const headers: Record<string, Record<string, string>> = { openai: { authorization: "Bearer k" }, anthropic: { "x-api-key": "k", "anthropic-version": "2023-06-01" }, gemini: { "x-goog-api-key": "k" } };
      const answer = isDone ? await ask(this.fake.url, "POST", line.url, { body: line.body, headers: headers[kept.form]! }) : undefined;
      const isGood = answer?.status === 200;
      if (kept.form === "gemini") {
        if (answer) kept.output.push(JSON.stringify({ ...(isGood ? { response: answer.json } : { error: { code: 3, message: answer.json.error.message } }), metadata: { key: line.custom_id } }));
      } else if (kept.form === "anthropic")
        kept.output.push(JSON.stringify({ custom_id: line.custom_id, result: !answer ? { type: status === "expired" ? "expired" : "canceled" } : isGood ? { type: "succeeded", message: answer.json } : { type: "errored", error: answer.json } }));
      else
        (isGood ? kept.output : kept.errors).push(JSON.stringify({ id: `batch_req_${line.custom_id}`, custom_id: line.custom_id,
          response: answer ? { status_code: answer.status, request_id: "req-1", body: answer.json } : null,
          error: answer ? null : { code: `batch_${status}`, message: "not done" } }));
    }
    kept.status = status;
  }

  private answer(method: string, path: string, headers: http.IncomingHttpHeaders, body: string): [number, object | string] | undefined {
    const refusal = this.refusals.find((one) => one.times > 0 && one.path.test(`${method} ${path}`));
    if (refusal) { refusal.times--; return [refusal.status, refusal.body]; }
    if (method === "POST" && path === "/v1/files") return [200, this.upload(headers, body)];
    if (method === "POST" && path === "/v1/batches") return [200, this.make("openai", JSON.parse(body))];
    if (method === "POST" && path === "/v1/messages/batches") return [200, this.make("anthropic", JSON.parse(body))];
    const model = /^POST \/v1beta\/models\/([^/:]+):batchGenerateContent$/.exec(`${method} ${path}`);
    if (model) return [200, this.makeGemini(model[1]!, JSON.parse(body).batch)];
    const named = /^\/v1beta\/batches\/(\w+)(:cancel)?$/.exec(path), gemini = this.batches.get(named?.[1] ?? "");
    if (named && !gemini) return [404, { error: { code: 404, message: "Requested entity was not found.", status: "NOT_FOUND" } }];
    if (gemini && named![2] && gemini.status === "in_progress") gemini.status = "cancelling";
    if (gemini) return [200, named![2] ? {} : this.show(gemini)];
    const found = /^\/v1\/(?:files|batches|messages\/batches)\/([a-zA-Z]+_\w+?)(-out|-err)?(\/content|\/results|\/cancel)?$/.exec(path);
    if (!found) return undefined;
    const kept = this.batches.get(found[1]!);
    if (!kept) return [404, { error: { message: `No batch found with id '${found[1]}'.`, type: "invalid_request_error", param: null, code: null } }];
    if (found[3] === "/cancel" && kept.status === "in_progress") kept.status = "cancelling";
    if (found[3] === "/results") return [200, kept.output.join("\n") + "\n"];
    if (found[3] === "/content") return [200, (found[2] === "-out" ? kept.output : kept.errors).join("\n") + "\n"];
    return [200, this.show(kept)];
  }

  serve(request: http.IncomingMessage, response: http.ServerResponse): void {
    const pieces: Buffer[] = [];
    request.on("data", (piece) => pieces.push(piece));
    request.on("end", () => {
      const body = Buffer.concat(pieces), method = request.method!, path = request.url!;
      const isBatches = /\/(files|batches)|:batchGenerateContent/.test(path);
      if (isBatches) this.asked.push({ method, path, headers: request.headers, body: body.toString() });
      const told = isBatches ? this.answer(method, path, request.headers, body.toString()) : undefined;
      if (told?.[0] === 0) return;
      if (told) {
        response.writeHead(told[0], HEADERS).end(typeof told[1] === "string" ? told[1] : JSON.stringify(told[1]));
        return;
      }
      const further = http.request(this.fake.url + path, { method, headers: request.headers, agent: false }, (answer) => {
        response.writeHead(answer.statusCode!, answer.headers);
        answer.pipe(response);
      });
      further.on("error", () => response.destroy());
      further.end(body);
    });
  }
}

export async function startBatchProvider(t: TestContext, fake: Fake): Promise<BatchProvider> {
  const provider = new BatchProvider(fake);
  const server = http.createServer((request, response) => provider.serve(request, response));
  await new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
  afterwards(t, () => { server.closeAllConnections(); server.close(); });
  provider.url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  return provider;
}
