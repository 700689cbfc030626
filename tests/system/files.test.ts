// Files through the doors of OpenAI, Anthropic and Gemini, with their own SDKs: one store behind them.
import assert from "node:assert/strict";
import { randomBytes, createHash } from "node:crypto";
import { copyFileSync, existsSync, mkdirSync, readdirSync, renameSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import Anthropic, { toFile } from "@anthropic-ai/sdk";
import { GoogleGenAI } from "@google/genai";
import OpenAI from "openai";
import { command, filesBelow, startParley, temporaryFolder, type Parley, type Person } from "./parley.ts";

const openaiOf = (parley: Parley, person: Person) => new OpenAI({ baseURL: `${parley.url}/v1`, apiKey: person.key, maxRetries: 0 });
const anthropicOf = (parley: Parley, person: Person) => new Anthropic({ baseURL: parley.url, authToken: null, apiKey: person.key, maxRetries: 0 });
const geminiOf = (parley: Parley, person: Person) => new GoogleGenAI({ apiKey: person.key, httpOptions: { baseUrl: parley.url } });
const contents = (parley: Parley) => filesBelow(join(parley.data, "files")).length;

async function collect<T>(pages: AsyncIterable<T>): Promise<T[]> {
  const all: T[] = [];
  for await (const one of pages) all.push(one);
  return all;
}

test("OpenAI's files", async (t) => {
  const parley = await startParley(t);
  const openai = openaiOf(parley, parley.user), other = openaiOf(parley, parley.other);
  const bytes = randomBytes(3_000_000); // beyond what is kept in memory
  const file = await openai.files.create({ file: await OpenAI.toFile(bytes, "../\"a\" ü.bin"), purpose: "user_data", expires_after: { anchor: "created_at", seconds: 3600 } });
  assert.match(file.id, /^file-[0-9a-z]{26}$/);
  assert.deepEqual([file.object, file.bytes, file.filename, file.purpose], ["file", bytes.length, "\"a\" ü.bin", "user_data"]);
  assert.equal(file.expires_at! - file.created_at, 3600);
  const content = Buffer.from(await (await openai.files.content(file.id)).arrayBuffer());
  assert.ok(content.equals(bytes));
  assert.deepEqual(await openai.files.retrieve(file.id), file);

  const more = [];
  for (let i = 0; i < 5; i++) more.push(await openai.files.create({ file: await OpenAI.toFile(Buffer.from(`${i}`), `${i}.jsonl`), purpose: "batch" }));
  assert.deepEqual((await collect(openai.files.list({ limit: 2 }))).map((one) => one.id), [...more.map((one) => one.id).reverse(), file.id]);
  assert.deepEqual((await collect(openai.files.list({ limit: 2, order: "asc", purpose: "batch" }))).map((one) => one.id), more.map((one) => one.id));

  // Another's does not exist.
  assert.equal((await other.files.list()).data.length, 0);
  for (const ask of [() => other.files.retrieve(file.id), () => other.files.content(file.id), () => other.files.delete(file.id)])
    await assert.rejects(async () => ask(), OpenAI.NotFoundError);

  await assert.rejects(openai.files.create({ file: await OpenAI.toFile(Buffer.from("x"), "x"), purpose: "nonsense" as never }), (error: any) => error.status === 400 && error.param === "purpose");
  const broken = await parley.ask("POST", "/v1/files", { key: parley.user.key, headers: { "content-type": "multipart/form-data; boundary=b" }, body: "--b\r\nx" });
  assert.equal(broken.status, 400, broken.text);
  assert.equal((await parley.ask("POST", "/v1/files", { headers: { "content-type": "multipart/form-data; boundary=b" }, body: "--b" })).status, 401);
  assert.deepEqual(await openai.files.delete(file.id), { id: file.id, object: "file", deleted: true });
  await assert.rejects(openai.files.retrieve(file.id), OpenAI.NotFoundError);
  assert.equal(contents(parley), 5);
});

test("Anthropic's files, and what the others see of them", async (t) => {
  const parley = await startParley(t);
  const anthropic = anthropicOf(parley, parley.user);
  const file = await anthropic.files.upload({ file: await toFile(Buffer.from("hello"), "a.txt", { type: "text/plain" }) });
  assert.match(file.id, /^file_[0-9a-z]{26}$/);
  assert.deepEqual([file.type, file.filename, file.mime_type, file.size_bytes, file.downloadable, file.expires_at], ["file", "a.txt", "text/plain", 5, true, null]);
  assert.deepEqual(await anthropic.files.retrieveMetadata(file.id), file);
  assert.equal(await (await anthropic.files.download(file.id)).text(), "hello");
  for (let i = 0; i < 4; i++) await anthropic.files.upload({ file: await toFile(Buffer.from("x"), `${i}.txt`) });
  assert.equal((await collect(anthropic.files.list({ limit: 2 }))).length, 5);
  const seen = await openaiOf(parley, parley.user).files.retrieve(file.id.replace("file_", "file-"));
  assert.deepEqual([seen.bytes, seen.filename], [5, "a.txt"]);
  await assert.rejects(anthropicOf(parley, parley.other).files.retrieveMetadata(file.id), (error: any) => error.status === 404 && error.error.type === "error");
  assert.deepEqual(await anthropic.files.delete(file.id), { id: file.id, type: "file_deleted" });
});

test("Gemini's resumable uploads", async (t) => {
  const parley = await startParley(t);
  const gemini = geminiOf(parley, parley.user);
  const bytes = randomBytes(9_000_000); // more than one piece of the SDK's
  const file = await gemini.files.upload({ file: new Blob([bytes], { type: "application/pdf" }), config: { displayName: "a paper.pdf" } });
  assert.match(file.name!, /^files\/[0-9a-z]{26}$/);
  assert.deepEqual([file.displayName, file.mimeType, file.sizeBytes, file.state], ["a paper.pdf", "application/pdf", `${bytes.length}`, "ACTIVE"]);
  assert.equal(file.sha256Hash, createHash("sha256").update(bytes).digest("base64"));
  assert.ok(file.uri!.startsWith(`${parley.url}/v1beta/files/`), file.uri!);
  const again = await gemini.files.get({ name: file.name! });
  assert.equal(again.sha256Hash, file.sha256Hash);
  const list = await collect(await gemini.files.list());
  assert.deepEqual(list.map((one) => one.name), [file.name]);
  await assert.rejects(geminiOf(parley, parley.other).files.get({ name: file.name! }), /404|not found/i);

  // By hand: start, a piece, a question, a piece that does not fit, the rest; over a crash.
  const headers = { "x-goog-api-key": parley.user.key };
  const started = await parley.ask("POST", "/upload/v1beta/files", { headers: { ...headers, "x-goog-upload-protocol": "resumable", "x-goog-upload-command": "start", "x-goog-upload-header-content-length": "6" }, body: { file: { display_name: "six" } } });
  assert.equal(started.status, 200, started.text);
  const path = new URL(String(started.headers["x-goog-upload-url"])).pathname + new URL(String(started.headers["x-goog-upload-url"])).search;
  const piece = (server: Parley, command: string, offset: number, body: string, key = parley.user.key) => server.ask("POST", path, { headers: { "x-goog-api-key": key, "content-type": "application/octet-stream", "x-goog-upload-command": command, "x-goog-upload-offset": `${offset}` }, body });
  assert.equal((await piece(parley, "upload", 0, "abc")).headers["x-goog-upload-status"], "active");
  await parley.killNow();
  const second = await startParley(t, { folder: parley.folder, people: false });
  assert.equal((await piece(second, "query", 0, "")).headers["x-goog-upload-size-received"], "3");
  assert.equal((await piece(second, "query", 0, "", parley.other.key)).status, 404);
  assert.equal((await piece(second, "upload, finalize", 4, "ef")).status, 409);
  const whole = await piece(second, "upload, finalize", 3, "def");
  assert.equal(whole.headers["x-goog-upload-status"], "final", whole.text);
  assert.deepEqual([whole.json.file.displayName, whole.json.file.sizeBytes], ["six", "6"]);
  await geminiOf(second, parley.user).files.delete({ name: file.name! });
  assert.equal(contents(second), 1);
});

test("what a crash leaves behind of an upload is not there", async (t) => {
  const parley = await startParley(t, { env: { PARLEY_LOOPS: "1" } });
  await openaiOf(parley, parley.user).files.create({ file: await OpenAI.toFile(Buffer.from("kept"), "kept"), purpose: "batch" });
  const orphan = join(parley.data, "files", readdirSync(join(parley.data, "files"))[0]!, "0".repeat(26) + ".part");
  await parley.killNow();
  (await import("node:fs")).writeFileSync(orphan, "half");
  const second = await startParley(t, { folder: parley.folder, people: false });
  assert.ok(!existsSync(orphan));
  const list = await openaiOf(second, parley.user).files.list();
  assert.equal(await (await openaiOf(second, parley.user).files.content(list.data[0]!.id)).text(), "kept");
});

test("a backup has the contents, and a restore puts them back", async (t) => {
  const parley = await startParley(t), openai = openaiOf(parley, parley.user);
  const bytes = randomBytes(3_000_000);
  const kept = await openai.files.create({ file: await OpenAI.toFile(bytes, "kept.bin"), purpose: "user_data" });
  const removed = await openai.files.create({ file: await OpenAI.toFile(Buffer.from("x"), "removed.txt"), purpose: "user_data" });
  await openai.files.delete(removed.id);
  const copied = await command(parley.folder, ["backup", "copy.db"]);
  assert.equal(copied.code, 0, copied.stderr);
  assert.ok(Number(/ (\d+) bytes/.exec(copied.stdout)![1]) > bytes.length, copied.stdout);
  assert.equal(filesBelow(join(parley.folder, "copy.db.files")).length, 1);
  await openai.files.delete(kept.id);
  await parley.stop();

  const folder = temporaryFolder(t), data = join(folder, "data");
  mkdirSync(data);
  renameSync(join(parley.folder, "copy.db"), join(data, "parley.db"));
  renameSync(join(parley.folder, "copy.db.files"), join(data, "files"));
  copyFileSync(join(parley.data, "secret.key"), join(data, "secret.key"));
  const restored = await startParley(t, { folder, people: false }), again = openaiOf(restored, parley.user);
  assert.deepEqual((await collect(again.files.list())).map((one) => one.id), [kept.id]);
  assert.ok(Buffer.from(await (await again.files.content(kept.id)).arrayBuffer()).equals(bytes));
});
