// What browser.test.ts stands on: the real program as a process, a provider that says what a test
// wants it to say, and pages that notice everything a good page does not do.
import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { mkdir, mkdtemp, rm } from "node:fs/promises";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import { type AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { chromium, type Browser, type BrowserContext, type BrowserContextOptions, type Page } from "playwright-core";

const BUILD = process.env["PARLEY_BUILD"] ?? join(import.meta.dirname, "../../build/dev");
const BINARY = process.env["PARLEY_BINARY"] ?? join(BUILD, "src/app/parley");
const CHROMIUM = process.env["CHROMIUM"] ?? "/usr/bin/chromium";
const START_MS = 10_000;

/** For a test that needs something to become true outside a page. */
export async function eventually(what: string, check: () => Promise<boolean> | boolean, withinMs = 10_000): Promise<void> {
  const deadline = Date.now() + withinMs;
  while (!(await check())) {
    if (Date.now() > deadline) throw new Error(`never came: ${what}`);
    await sleep(50);
  }
}

// ---- The program

/** One data directory and one port; the program can be killed and started again on both. */
export class Parley {
  readonly directory: string;
  readonly #flags: readonly string[];
  #process: ChildProcess | null = null;
  #port = 0;
  /** What it printed for a person, and what it logged. */
  output = "";
  log = "";

  private constructor(directory: string, flags: readonly string[]) {
    this.directory = directory;
    this.#flags = flags;
  }

  static async start(...flags: string[]): Promise<Parley> {
    const parley = new Parley(await mkdtemp(join(tmpdir(), "parley-browser-")), flags);
    await parley.start();
    return parley;
  }

  get origin(): string {
    return `http://127.0.0.1:${this.#port}`;
  }

  /** The link for making the first account. */
  get setupLink(): string {
    const link = /http:\S+\/setup\?token=\S+/.exec(this.output)?.[0];
    if (link === undefined) throw new Error(`no set-up link in:\n${this.output}`);
    return link;
  }

  async start(): Promise<void> {
    this.output = "";
    // Nothing of the developer's environment: an API key there would be a provider here.
    const sanitizers = Object.fromEntries(Object.entries(process.env).filter(([name]) => /^(A|UB|T)SAN_OPTIONS$/.test(name)));
    const environment = { ...sanitizers, PATH: process.env["PATH"] ?? "", DATA_DIR: this.directory, PORT: String(this.#port) };
    const flags = ["--set", "providers.ollama.enabled=false", ...this.#flags];
    const child = spawn(BINARY, ["serve", ...flags], { env: environment, stdio: ["ignore", "pipe", "pipe"] });
    this.#process = child;
    child.stdout.on("data", (bytes) => (this.output += String(bytes)));
    child.stderr.on("data", (bytes) => (this.log += String(bytes)));
    await eventually("the server says where it is", () => {
      if (child.exitCode !== null) throw new Error(`parley ended:\n${this.log}`);
      return /is running: \S+\n/.test(this.output);
    }, START_MS);
    this.#port = Number(/is running: http:\/\/[^:]+:(\d+)/.exec(this.output)?.[1]);
  }

  /** As a crash or a power cut of the machine would end it. */
  async kill(): Promise<void> {
    await this.#end("SIGKILL");
  }

  /** Ends it as a service manager does. A server that has lost memory or its way says so here. */
  async remove(): Promise<void> {
    const code = await this.#end("SIGTERM");
    await rm(this.directory, { recursive: true, force: true });
    if (code !== 0) throw new Error(`parley ended with ${code}:\n${this.log}`);
  }

  async #end(signal: NodeJS.Signals): Promise<number | null> {
    const child = this.#process;
    this.#process = null;
    if (child === null || child.exitCode !== null) return child?.exitCode ?? null;
    const ended = once(child, "exit");
    child.kill(signal);
    await ended;
    return child.exitCode;
  }
}

// ---- A provider

export type Reply = (response: ServerResponse, question: string) => Promise<void>;

/** A provider that speaks OpenAI's protocol; each of its models answers with its own function. */
export class FakeProvider {
  readonly #replies: Readonly<Record<string, Reply>>;
  readonly #server = createServer((request, response) => void this.#serve(request, response));
  /** The bodies of the requests for answers, newest last. */
  readonly requests: { model: string; messages: { role: string; content: unknown }[] }[] = [];

  private constructor(replies: Readonly<Record<string, Reply>>) {
    this.#replies = replies;
  }

  static async start(replies: Readonly<Record<string, Reply>>): Promise<FakeProvider> {
    const provider = new FakeProvider(replies);
    provider.#server.listen(0, "127.0.0.1");
    await once(provider.#server, "listening");
    return provider;
  }

  get address(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}/v1`;
  }

  /** What makes Parley use it, under the name "fake". */
  get flags(): string[] {
    return ["--set", "providers.fake.kind=openai-compatible", "--set", `providers.fake.base_url=${this.address}`];
  }

  stop(): void {
    this.#server.closeAllConnections();
    this.#server.close();
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    if (request.url === "/v1/models") {
      const data = Object.keys(this.#replies).map((id) => ({ id, object: "model", owned_by: "test" }));
      response.writeHead(200, { "Content-Type": "application/json" });
      response.end(JSON.stringify({ object: "list", data }));
      return;
    }
    let text = "";
    for await (const bytes of request) text += String(bytes);
    const body = JSON.parse(text) as (typeof this.requests)[number];
    this.requests.push(body);
    const question = JSON.stringify(body.messages.at(-1)?.content ?? "");
    await this.#replies[body.model]?.(response, question);
  }
}

/** A reply that streams the text in pieces of `size` characters with a pause after each. */
export function streamed(text: string, size = 40, pauseMs = 0, finish = "stop"): Reply {
  return async (response) => {
    response.writeHead(200, { "Content-Type": "text/event-stream" });
    const say = (delta: object, ending: string | null) => {
      const choice = { index: 0, delta, finish_reason: ending };
      const chunk = { id: "1", object: "chat.completion.chunk", created: 1, model: "m", choices: [choice] };
      response.write(`data: ${JSON.stringify(chunk)}\n\n`);
    };
    const characters = [...text];
    for (let at = 0; at < characters.length && !response.destroyed; at += size) {
      say({ content: characters.slice(at, at + size).join("") }, null);
      if (pauseMs > 0) await sleep(pauseMs);
    }
    say({}, finish);
    response.end("data: [DONE]\n\n");
  };
}

/** A reply of so many pieces that no server keeps them all for a late listener; then a pause, then
 *  the last words. */
export function flood(pieces: number, pauseMs: number, lastWords: string): Reply {
  return async (response) => {
    response.writeHead(200, { "Content-Type": "text/event-stream" });
    const say = (content: string) => {
      const choices = [{ index: 0, delta: { content }, finish_reason: null }];
      response.write(`data: ${JSON.stringify({ id: "1", object: "chat.completion.chunk", created: 1, model: "m", choices })}\n\n`);
    };
    for (let piece = 1; piece <= pieces && !response.destroyed; piece++) {
      say(`${piece} `);
      if (piece % 500 === 0) await sleep(5);
    }
    await sleep(pauseMs);
    say(lastWords);
    response.end("data: [DONE]\n\n");
  };
}

/** A reply that refuses with a status, as providers do. */
export function refused(status: number, message: string): Reply {
  return async (response) => {
    response.writeHead(status, { "Content-Type": "application/json" });
    response.end(JSON.stringify({ error: { message, type: "server_error", code: null } }));
  };
}

// ---- Pages

/** What a page should never have done. */
export interface Misbehaviour {
  console: string[];
  requests: string[];
  dialogs: string[];
  violations: string[];
}

/** The browser of a test file, and all that its pages did wrong against `origin`. */
export class Pages {
  readonly #browser: Browser;
  readonly #origins = new Set<string>();
  readonly wrong: Misbehaviour = { console: [], requests: [], dialogs: [], violations: [] };

  private constructor(browser: Browser) {
    this.#browser = browser;
  }

  static async launch(): Promise<Pages> {
    return new Pages(
      await chromium.launch({
        executablePath: CHROMIUM,
        args: ["--no-sandbox", "--disable-background-networking", "--disable-component-update"],
      }),
    );
  }

  close(): Promise<void> {
    return this.#browser.close();
  }

  /** Forgets what was found so far, and says what it was. */
  takeWrong(): Misbehaviour {
    const found = structuredClone(this.wrong);
    for (const list of Object.values(this.wrong) as string[][]) list.length = 0;
    return found;
  }

  /** Another person or device: cookies and storage of its own. */
  async context(origin: string, options: BrowserContextOptions = {}): Promise<BrowserContext> {
    this.#origins.add(origin);
    const context = await this.#browser.newContext({
      viewport: { width: 1280, height: 800 },
      colorScheme: "light",
      baseURL: origin,
      ...options,
    });
    context.setDefaultTimeout(15_000);
    await context.exposeBinding("noteViolation", (_, text: string) => void this.wrong.violations.push(text));
    await context.addInitScript(() => {
      const note = (window as unknown as { noteViolation: (text: string) => void }).noteViolation;
      document.addEventListener("securitypolicyviolation", (event) => {
        note(`${event.violatedDirective} ${event.blockedURI} ${event.sample}`);
      });
    });
    context.on("page", (page) => this.#watch(page));
    return context;
  }

  #watch(page: Page): void {
    page.on("console", (message) => {
      if (message.type() !== "error" && message.type() !== "warning") return;
      this.wrong.console.push(`${message.text()} (${new URL(message.location().url || "about:blank").pathname})`);
    });
    page.on("pageerror", (error) => this.wrong.console.push(String(error.stack)));
    page.on("request", (request) => {
      const url = new URL(request.url());
      const own = ["data:", "blob:", "about:"].includes(url.protocol) || this.#origins.has(url.origin);
      if (!own) this.wrong.requests.push(request.url());
    });
    page.on("dialog", (dialog) => {
      this.wrong.dialogs.push(dialog.message());
      void dialog.dismiss();
    });
  }
}

/** With PICTURES set, pictures of what the tests see are left in that folder. */
export async function picture(page: Page, name: string): Promise<void> {
  const folder = process.env["PICTURES"];
  if (folder === undefined) return;
  await mkdir(folder, { recursive: true });
  await page.screenshot({ path: join(folder, `${name}.png`) });
}

// ---- What a person does, in the words of web/README.md

export const composer = (page: Page) => page.getByRole("textbox", { name: "Message", exact: true });
export const answers = (page: Page) => page.getByTestId("message-answer");
export const questions = (page: Page) => page.getByTestId("message-user");
export const rows = (page: Page) => page.getByTestId("conversation-row");
export const button = (page: Page, name: string | RegExp) =>
  page.getByRole("button", typeof name === "string" ? { name, exact: true } : { name });

export async function say(page: Page, text: string): Promise<void> {
  await composer(page).fill(text);
  await composer(page).press("Enter");
}

/** Until the answer that is being written has ended. */
export async function answered(page: Page): Promise<void> {
  await button(page, "Send").waitFor();
}

export async function sayAndWait(page: Page, text: string): Promise<void> {
  const before = await answers(page).count();
  await say(page, text);
  await answers(page).nth(before).waitFor();
  await answered(page);
}

export async function signIn(page: Page, email: string, password: string): Promise<void> {
  await page.getByLabel("Email").fill(email);
  await page.getByLabel("Password").fill(password);
  await button(page, "Sign in").click();
  await composer(page).waitFor();
}

export async function chooseModel(page: Page, name: string): Promise<void> {
  await button(page, /^Model:/).click();
  await page.getByRole("option", { name, exact: true }).click();
  await button(page, `Model: ${name}`).waitFor();
}
