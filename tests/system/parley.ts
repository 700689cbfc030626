// The program under test, as a person's machine would run it: its own folder, its own environment,
// a free port. Its end is checked like everything else: it must stop by itself when told to, and no
// sanitizer may have said anything.
import assert from "node:assert/strict";
import { spawn, type ChildProcess } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import http from "node:http";
import https from "node:https";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import type { TestContext } from "node:test";

const root = resolve(import.meta.dirname, "../..");

function program(name: string, ...fromEnvironment: (string | undefined)[]): string {
  const places = [...fromEnvironment.map((place) => place && resolve(place)),
    ...["asan", "debug", "dev"].map((build) => join(root, "build", build, name))];
  const found = places.find((place) => place && existsSync(place));
  if (!found) throw new Error(`${name} is not built: none of ${places.filter(Boolean).join(", ")}`);
  return found;
}

const build = process.env["PARLEY_BUILD"];
export const parleyProgram = program("src/app/parley", process.env["PARLEY_BINARY"],
  process.env["PARLEY_PROGRAM"], build && join(build, "src/app/parley"));
export const fakeProgram = program("lab/fake-provider", process.env["FAKE_PROVIDER_BINARY"],
  build && join(build, "lab/fake-provider"));

// Every key of a provider in these tests holds this: it must turn up nowhere.
export const SECRET = "sk-lab-5ecre7-5ecre7-5ecre7";

const sanitizers = {
  ASAN_OPTIONS: process.env["ASAN_OPTIONS"] ?? "halt_on_error=1:abort_on_error=1:detect_stack_use_after_return=1",
  UBSAN_OPTIONS: process.env["UBSAN_OPTIONS"] ?? "halt_on_error=1:abort_on_error=1:print_stacktrace=1",
  TSAN_OPTIONS: process.env["TSAN_OPTIONS"] ?? "halt_on_error=1",
};

// What was begun last is undone first (the test runner's own order is the other way round).
const undone = new WeakMap<TestContext, (() => unknown)[]>();
export function afterwards(t: TestContext, undo: () => unknown): void {
  const known = undone.get(t);
  if (known) { known.push(undo); return; }
  const all = [undo];
  undone.set(t, all);
  t.after(async () => {
    let wrong: unknown;
    for (const one of all.reverse())
      try { await one(); } catch (error) { wrong ??= error; }
    if (wrong) throw wrong;
  });
}

export function temporaryFolder(t: TestContext): string {
  const folder = mkdtempSync(join(tmpdir(), "parley-system-"));
  afterwards(t, () => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

export const sleep = (ms: number) => new Promise<void>((done) => setTimeout(done, ms));

// Asks again until it holds, for `ms` at most.
export async function eventually<T>(what: string, ask: () => T | undefined | false | Promise<T | undefined | false>,
  ms = 10_000): Promise<T> {
  const end = Date.now() + ms;
  for (;;) {
    const found = await ask();
    if (found) return found;
    if (Date.now() > end) throw new Error(`not within ${ms} ms: ${what}`);
    await sleep(10);
  }
}

export function within<T>(ms: number, what: string, promise: Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`not within ${ms} ms: ${what}`)), ms);
  });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

// ---- Processes

const running = new Set<Process>();
process.on("exit", () => running.forEach((one) => one.child.kill("SIGKILL")));

export interface Ended { code: number | null; signal: NodeJS.Signals | null }

export class Process {
  readonly child: ChildProcess;
  stdout = "";
  stderr = "";
  readonly ended: Promise<Ended>;
  isEnded = false;

  constructor(file: string, args: string[], env: Record<string, string>, cwd: string, input = "") {
    this.child = spawn(file, args, { env, cwd, stdio: ["pipe", "pipe", "pipe"] });
    running.add(this);
    this.child.stdin!.on("error", () => {});
    this.child.stdin!.end(input);
    this.child.stdout!.on("data", (data) => (this.stdout += data));
    this.child.stderr!.on("data", (data) => (this.stderr += data));
    this.ended = new Promise((done) => this.child.on("close", (code, signal) => {
      this.isEnded = true;
      running.delete(this);
      done({ code, signal });
    }));
  }

  kill(signal: NodeJS.Signals): Promise<Ended> {
    this.child.kill(signal);
    return this.ended;
  }

  checkSanitizers(): void {
    const at = this.stderr.search(/^.*(Sanitizer|runtime error:|assertion failed)/m);
    assert.ok(at < 0, this.stderr.slice(Math.max(0, at - 500), at + 4000));
  }
}

// ---- Requests

export interface Answer {
  status: number;
  headers: http.IncomingHttpHeaders;
  text: string;
  // Loosely typed on purpose: tests look into answers of every shape, wrong ones too.
  json: any;
}

export interface Asking {
  key?: string;
  cookie?: string;
  origin?: string;
  headers?: http.OutgoingHttpHeaders;
  body?: unknown; // an object becomes JSON; strings and Buffers go as they are
  local?: boolean; // through the Unix socket of the command line
  socketPath?: string;
  ca?: string;
}

export function ask(base: string, method: string, path: string, asking: Asking = {}): Promise<Answer> {
  const url = new URL(base);
  const headers: http.OutgoingHttpHeaders = { ...asking.headers };
  let body: string | Buffer | undefined;
  if (asking.body !== undefined) {
    body = typeof asking.body === "string" || Buffer.isBuffer(asking.body) ? asking.body : JSON.stringify(asking.body);
    headers["content-type"] ??= "application/json";
    headers["content-length"] = Buffer.byteLength(body);
  }
  if (asking.key) headers["authorization"] = `Bearer ${asking.key}`;
  if (asking.cookie) headers["cookie"] = asking.cookie;
  if (asking.origin) headers["origin"] = asking.origin;
  const options: https.RequestOptions = asking.socketPath
    ? { socketPath: asking.socketPath, method, path, headers, agent: false }
    : { host: url.hostname, port: url.port, method, path, headers, agent: false };
  if (asking.ca) options.ca = asking.ca;
  return new Promise((done, fail) => {
    const request = (url.protocol === "https:" && !asking.socketPath ? https : http).request(options, (response) => {
      const pieces: Buffer[] = [];
      response.on("data", (piece) => pieces.push(piece));
      response.on("error", fail);
      response.on("end", () => {
        const text = Buffer.concat(pieces).toString();
        let json: unknown;
        try { json = JSON.parse(text); } catch { json = undefined; }
        done({ status: response.statusCode!, headers: response.headers, text, json });
      });
    });
    request.setTimeout(30_000, () => request.destroy(new Error(`no answer to ${method} ${path}`)));
    request.on("error", fail);
    request.end(body);
  });
}

// ---- The server

export interface ParleyOptions {
  fake?: Fake | undefined; // then its five dialects are configured
  config?: string; // parley.yaml, below the fake's providers
  env?: Record<string, string>;
  args?: string[];
  folder?: string; // used again: a restart
  people?: boolean; // an administrator and two users, with keys [true]
}

export interface Person { id: string; email: string; key: string; keyId: string }

export const DIALECTS = ["openai", "responses", "anthropic", "gemini", "ollama"] as const;

export function providersOf(fake: Fake, more = ""): string {
  return `providers:
  openai: {base_url: "${fake.url}/v1", api_key: "${SECRET}-openai"}
  responses: {kind: openai-responses, base_url: "${fake.url}/v1", api_key: "${SECRET}-responses"}
  anthropic: {base_url: "${fake.url}", api_key: "${SECRET}-anthropic"}
  gemini: {base_url: "${fake.url}/v1beta", api_key: "${SECRET}-gemini"}
  ollama: {base_url: "${fake.url}", api_key: "${SECRET}-ollama"}
${more}`;
}

export class Parley extends Process {
  readonly folder: string;
  readonly data: string;
  url = "";
  setupUrl = "";
  admin!: Person;
  user!: Person;
  other!: Person;
  mayDie = false;
  #told = false;

  constructor(t: TestContext, folder: string, options: ParleyOptions) {
    const data = options.env?.["DATA_DIR"] ?? join(folder, "data");
    super(parleyProgram, ["serve", ...(options.args ?? [])], environment(folder, { DATA_DIR: data, ...options.env }), folder);
    this.folder = folder;
    this.data = data;
    afterwards(t, () => this.stop());
  }

  // Ready when it says so, or ended.
  async ready(): Promise<this> {
    await eventually("the server is ready", () => {
      if (this.isEnded) throw new Error(`the server ended at once: ${this.stderr}`);
      return /is running: \S+\n/.test(this.stdout);
    }, 30_000);
    this.url = /is running: (\S+)/.exec(this.stdout)![1]!;
    this.setupUrl = /works once\): (\S+)/.exec(this.stdout)?.[1] ?? "";
    return this;
  }

  get localSocket(): string {
    return join(this.data, "parley.sock");
  }

  ask(method: string, path: string, asking: Asking = {}): Promise<Answer> {
    return ask(this.url, method, path, asking.local ? { ...asking, socketPath: this.localSocket } : asking);
  }

  async makePerson(email: string, role = "user"): Promise<Person> {
    const made = await this.ask("POST", "/api/v1/users", { local: true, body: { email, role } });
    assert.equal(made.status, 201, made.text);
    const key = await this.ask("POST", "/api/v1/keys", { local: true, body: { name: "test", user: email } });
    assert.equal(key.status, 201, key.text);
    return { id: made.json.user.id, email, key: key.json.secret, keyId: key.json.key.id };
  }

  async makePeople(): Promise<void> {
    this.admin = await this.makePerson("admin@example.org", "admin");
    this.user = await this.makePerson("user@example.org");
    this.other = await this.makePerson("other@example.org");
  }

  // SIGTERM, and everything that must be true of the end. Twice is no harm.
  async stop(): Promise<void> {
    if (!this.isEnded && !this.#told) this.child.kill("SIGTERM");
    this.#told = true; // a second one would end it at once
    const end = await within(30_000, "the server stops", this.ended).catch((late) => {
      this.child.kill("SIGKILL");
      throw late;
    });
    this.checkSanitizers();
    if (!this.mayDie) assert.deepEqual(end, { code: 0, signal: null }, this.stderr.slice(-2000));
    assert.ok(!(this.stderr + this.stdout).includes(SECRET), "a provider's key was printed");
    this.mayDie = true;
  }

  async killNow(): Promise<void> {
    this.mayDie = true;
    await this.kill("SIGKILL");
    this.checkSanitizers();
  }
}

export function environment(folder: string, more: Record<string, string>): Record<string, string> {
  return {
    PATH: process.env["PATH"]!, HOME: folder, TMPDIR: process.env["TMPDIR"] ?? "/tmp",
    HOST: "127.0.0.1", PORT: "0", PARLEY_LOOPS: "2", PARLEY_SHUTDOWN_SECONDS: "5", NO_PROXY: "*",
    ...sanitizers, ...more,
  };
}

export async function startParley(t: TestContext, options: ParleyOptions = {}): Promise<Parley> {
  const folder = options.folder ?? temporaryFolder(t);
  const config = (options.fake ? providersOf(options.fake) : "") + (options.config ?? "");
  if (config) writeFileSync(join(folder, "parley.yaml"), config);
  const parley = await new Parley(t, folder, options).ready();
  if (options.people !== false && !options.folder) await parley.makePeople();
  if (options.fake) await providersListed(parley);
  return parley;
}

// The first listing of the providers runs while the server serves already.
async function providersListed(parley: Parley): Promise<void> {
  await eventually("the providers are listed", async () => {
    const seen = await parley.ask("POST", "/api/v1/providers/ollama/check", { local: true });
    return seen.json?.provider.status === "ok";
  });
}

// A sub-command, run to its end.
export async function command(folder: string, args: string[], more: { env?: Record<string, string>; input?: string } = {}) {
  const child = new Process(parleyProgram, args,
    environment(folder, { DATA_DIR: join(folder, "data"), ...more.env }), folder, more.input);
  const end = await within(30_000, `parley ${args.join(" ")}`, child.ended).finally(() => child.child.kill("SIGKILL"));
  child.checkSanitizers();
  assert.equal(end.signal, null, child.stderr);
  return { code: end.code, stdout: child.stdout, stderr: child.stderr };
}

export const signIn = async (parley: Parley, email: string, password: string): Promise<string> => {
  const answer = await parley.ask("POST", "/api/v1/session", { body: { email, password } });
  assert.equal(answer.status, 200, answer.text);
  return cookieOf(answer);
};

export function cookieOf(answer: Answer): string {
  return answer.headers["set-cookie"]![0]!.split(";")[0]!;
}

// Every file below a folder, with its bytes.
export function filesBelow(folder: string): [string, Buffer][] {
  return (readdirSync(folder, { recursive: true, withFileTypes: true }))
    .filter((entry) => entry.isFile())
    .map((entry) => [join(entry.parentPath, entry.name), readFileSync(join(entry.parentPath, entry.name))]);
}

// ---- The provider that lies on purpose

export interface Seen {
  number: number; connection: number; at_ms: number; method: string; path: string; model: string; stream: boolean; credentials: boolean;
  request_bytes: number; body_sha256: string; headers: string[];
  outcome: "open" | "done" | "client_gone"; status: number; sent_bytes: number; client_gone: boolean; after_ms: number;
}

export class Fake extends Process {
  url = "";

  async log(): Promise<Seen[]> {
    const { text } = await ask(this.url, "GET", "/_log");
    return text.split("\n").filter(Boolean).map((line) => JSON.parse(line));
  }

  // What it saw of a model, the newest.
  async seen(model: string): Promise<Seen | undefined> {
    return (await this.log()).findLast((one) => one.model === model);
  }

  async bodyText(number: number): Promise<string> {
    return (await ask(this.url, "GET", `/_body/${number}`)).text;
  }

  async lastBody(): Promise<string> {
    return (await ask(this.url, "GET", "/_last_body")).text;
  }

  async reset(): Promise<void> {
    await ask(this.url, "POST", "/_reset");
  }
}

export async function startFake(t: TestContext, args: string[] = []): Promise<Fake> {
  const folder = temporaryFolder(t);
  const fake = new Fake(fakeProgram, args, { PATH: process.env["PATH"]!, ...sanitizers }, folder);
  afterwards(t, async () => {
    fake.child.kill("SIGKILL");
    await fake.ended;
  });
  await eventually("the fake provider listens", () => {
    if (fake.isEnded) throw new Error(`the fake provider ended: ${fake.stderr}`);
    return fake.stdout.includes("\n");
  }, 20_000);
  fake.url = `http://127.0.0.1:${/:(\d+)/.exec(fake.stdout)![1]}`;
  return fake;
}

export { mkdirSync };

// parley.yaml for tests of what one attempt gives: nothing is asked again, nothing is left out.
export const oneAttempt = "router: {attempts: 1, recovery: error, breaker_failures: 1000, breaker_ratio_percent: 0, bench_ms: 0}\n";
