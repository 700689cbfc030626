// A server for developing the web app without Parley: the whole protocol in memory, answers that
// stream from a script. What one writes chooses the answer: see `pickAnswer`. `npm run mock`.
import { readFile } from "node:fs/promises";
import { createServer } from "node:http";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { pickAnswer } from "./answers.mjs";
import { acceptWebSocket } from "./websocket.mjs";

const dist = join(dirname(fileURLToPath(import.meta.url)), "../dist");
const CSP =
  "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; connect-src 'self'; " +
  "font-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'";
const TYPES = { js: "text/javascript", css: "text/css", svg: "image/svg+xml", html: "text/html; charset=utf-8" };

let lastId = 0;
const newId = () => `01k0${String(Date.now()).padStart(14, "0")}${String(++lastId).padStart(8, "0")}`;
const now = () => new Date().toISOString();
const failure = (status, code, message, remedy = "", field = "") => ({
  status,
  body: { error: { code, message, remedy, field, request_id: "01mock" } },
});

/** A fresh world; `options` let a test begin where it wants. */
export function createMock({ setUp = false, tokenDelayMs = 25 } = {}) {
  const state = {
    user: null,
    users: setUp ? [{ id: newId(), email: "ada@example.org", name: "Ada Lovelace", role: "admin", created_at: now() }] : [],
    models: [
      { id: "openai/gpt-5.5", name: "gpt-5.5", provider: "openai", description: "Large, for hard questions", context_tokens: 400000, built_in: false },
      { id: "openai/gpt-5.5-mini", name: "gpt-5.5-mini", provider: "openai", description: "Small and quick", context_tokens: 400000, built_in: false },
      { id: "ollama/llama3.3", name: "llama3.3", provider: "ollama", description: "", context_tokens: 131072, built_in: false },
      { id: "builtin/eliza", name: "Eliza", provider: "builtin", description: "", context_tokens: 0, built_in: true },
    ],
    providers: [
      { name: "openai", dialect: "openai", base_url: "https://api.openai.com/v1", status: "ok", message: "", model_count: 2, source: "OPENAI_API_KEY" },
      { name: "ollama", dialect: "ollama", base_url: "http://127.0.0.1:11434", status: "ok", message: "", model_count: 1, source: "default" },
      { name: "anthropic", dialect: "anthropic", base_url: "https://api.anthropic.com", status: "error", message: "The provider refused Parley's key.", model_count: 0, source: "parley.yaml:12" },
    ],
    settings: [
      { key: "port", type: "integer", value: 8080, source: "environment", where: "PORT", editable: false, description: "The port Parley listens on.", options: null, minimum: 0, maximum: 65535 },
      { key: "default_model", type: "string", value: "", source: "default", where: "", editable: true, description: "The model of a new conversation.", options: null, minimum: null, maximum: null },
      { key: "log_level", type: "enum", value: "info", source: "stored", where: "", editable: true, description: "How much is logged.", options: ["error", "info", "debug"], minimum: null, maximum: null },
      { key: "message_bytes_max", type: "integer", value: 8388608, source: "default", where: "", editable: true, description: "The largest message, in bytes.", options: null, minimum: 1024, maximum: 67108864 },
      { key: "metrics", type: "boolean", value: true, source: "default", where: "", editable: true, description: "Whether /metrics is served.", options: null, minimum: null, maximum: null },
    ],
    keys: [],
    conversations: new Map(),
    messages: new Map(),
    runs: new Map(),
    sockets: new Set(),
    loseNextAccepted: false, // for tests: the message is kept, but nobody hears of it
  };

  function touch(conversation, except) {
    conversation.updated_at = now();
    for (const socket of state.sockets) if (socket !== except) socket.send({ type: "changed", conversation_id: conversation.id });
  }

  function addConversation({ title = "", model = "" } = {}, time = now()) {
    const conversation = { id: newId(), title, model, leaf_id: null, created_at: time, updated_at: time };
    state.conversations.set(conversation.id, conversation);
    return conversation;
  }

  function addMessage(conversation, role, parentId, content, extra = {}) {
    const parts = typeof content === "string" ? [{ type: "text", text: content }] : content;
    const message = {
      id: newId(), conversation_id: conversation.id, parent_id: parentId, role, status: "complete", content: parts,
      model: "", finish: null, error: null, usage: null, run_id: null, created_at: now(), ...extra,
    };
    state.messages.set(message.id, message);
    conversation.leaf_id = message.id;
    return message;
  }

  function emit(run, event) {
    run.events.push({ type: "event", run_id: run.id, seq: run.events.length + 1, event });
    for (const socket of run.listeners) socket.send(run.events.at(-1));
  }

  function startRun(message, prompt, model) {
    message.status = "streaming";
    message.error = null;
    const base = structuredClone(message);
    const run = { id: newId(), message, base, events: [], listeners: new Set(), script: pickAnswer(prompt), position: 0 };
    message.run_id = base.run_id = run.id;
    message.model = base.model = model || "openai/gpt-5.5";
    state.runs.set(run.id, run);
    run.timer = setTimeout(function step() {
      if (run.position === 0) emit(run, { type: "start", model: message.model });
      const event = run.script[run.position++];
      if (!event) return finishRun(run, { status: "complete", finish: "stop", error: null });
      if (event.type === "finish") return finishRun(run, event);
      emit(run, event);
      absorb(message, event);
      run.timer = setTimeout(step, event.pauseMs ?? tokenDelayMs);
    }, tokenDelayMs * 4);
    return run;
  }

  function absorb(message, event) {
    const last = message.content.at(-1);
    if (event.type === "tool_start") message.content.push({ type: "tool_call", id: event.id, name: event.name, arguments: "" });
    else if (event.type === "tool_arguments") last.arguments += event.text;
    else if (last?.type === event.type) last.text += event.text;
    else message.content.push({ type: event.type, text: event.text });
  }

  function finishRun(run, { status, finish, error }) {
    clearTimeout(run.timer);
    const { message } = run;
    const usage = { input: 1234, input_cached: 512, output: run.position * 2, reasoning: 0, estimated: false };
    Object.assign(message, { status, finish, error, usage });
    emit(run, { type: "usage", usage });
    emit(run, { type: "finish", status, finish, error });
    emit(run, { type: "saved", message });
    const conversation = state.conversations.get(message.conversation_id);
    if (conversation) touch(conversation);
    setTimeout(() => state.runs.delete(run.id), 2000);
  }

  function ask(request, socket) {
    const conversation = state.conversations.get(request.conversation_id) ?? (request.conversation_id === null ? addConversation() : null);
    if (!conversation) throw failure(404, "not_found", "There is no such conversation.");
    const target = state.messages.get(request.message_id);
    let userMessage = null;
    let answer = target;
    if (request.type === "send") {
      userMessage = addMessage(conversation, "user", request.parent_id, request.content);
      answer = addMessage(conversation, "assistant", userMessage.id, []);
    } else if (request.type === "answer") answer = addMessage(conversation, "assistant", target.id, []);
    const asked = userMessage ?? state.messages.get(answer.parent_id);
    const prompt = asked.content.map((part) => part.text ?? "").join(" ");
    if (prompt.startsWith("/refuse")) throw failure(507, "storage", "Parley cannot write to its storage.", "Free some disk space.");
    if (conversation.title === "") conversation.title = prompt.slice(0, 60) || "Picture";
    if (request.model) conversation.model = request.model;
    const run = startRun(answer, prompt, request.model);
    if (socket) run.listeners.add(socket);
    touch(conversation, socket);
    return { conversation, user_message: userMessage, message: run.base, run_id: run.id };
  }

  function onFrame(socket, frame) {
    const run = state.runs.get(frame.run_id);
    if (frame.type === "ping") return socket.send({ type: "pong", id: frame.id });
    if (["send", "answer", "continue"].includes(frame.type)) {
      const accepted = ask(frame, socket);
      if (!state.loseNextAccepted) return socket.send({ type: "accepted", id: frame.id, ...accepted });
      state.loseNextAccepted = false;
      return socket.destroy();
    }
    if (frame.type === "detach") return run?.listeners.delete(socket);
    if (!run) throw failure(404, "not_found", "This run is over.");
    if (frame.type === "stop") {
      socket.send({ type: "stopped", id: frame.id, run_id: run.id });
      return finishRun(run, { status: "stopped", finish: "stopped", error: null });
    }
    socket.send({ type: "attached", id: frame.id, run_id: run.id, conversation_id: run.base.conversation_id, message_id: run.base.id, last_seq: run.events.length });
    for (const event of run.events.slice(frame.after)) socket.send(event);
    run.listeners.add(socket);
  }

  function page(query) {
    const limit = Number(query.get("limit") ?? 30);
    const before = query.get("before") ?? "~";
    const all = [...state.conversations.values()].sort((a, b) => (a.updated_at < b.updated_at ? 1 : -1));
    const rest = all.filter((conversation) => conversation.updated_at < before);
    const conversations = rest.slice(0, limit);
    return { conversations, next: rest.length > limit ? conversations.at(-1).updated_at : null };
  }

  const setupRequired = () => state.users.length === 0;
  const found = (id) => state.conversations.get(id) ?? (() => { throw failure(404, "not_found", "There is nothing here."); })();

  /** "METHOD path" to what it does; ":id" is what stands there. */
  const routes = {
    "GET /session": () => ({ user: state.user, setup_required: setupRequired(), version: "mock" }),
    "POST /session": ({ body }) => {
      const user = state.users.find(({ email }) => email === body.email);
      if (!user || body.password === "wrong") throw failure(401, "unauthenticated", "Email or password is not right.", "");
      return { user: (state.user = user) };
    },
    "DELETE /session": () => void (state.user = null),
    "POST /setup": ({ body }) => {
      if (body.token !== "mock") throw failure(403, "forbidden", "This setup token is not right.", "Use the link Parley printed.", "token");
      state.users.push({ id: newId(), email: body.email, name: body.name ?? "", role: "admin", created_at: now() });
      return { user: (state.user = state.users[0]) };
    },
    "GET /models": () => ({ models: state.models, default_model: "openai/gpt-5.5" }),
    "GET /providers": () => ({ providers: state.providers }),
    "POST /providers/:id/check": ({ id }) => ({ provider: state.providers.find(({ name }) => name === id) }),
    "GET /conversations": ({ query }) => page(query),
    "POST /conversations": ({ body }) => ({ conversation: addConversation(body) }),
    "GET /conversations/:id": ({ id }) => ({ conversation: found(id), messages: [...state.messages.values()].filter((message) => message.conversation_id === id) }),
    "PATCH /conversations/:id": ({ id, body }) => ({ conversation: Object.assign(found(id), body) }),
    "DELETE /conversations/:id": ({ id }) => void state.conversations.delete(id),
    "POST /conversations/:id/messages": ({ id, body }) => ({ accepted: ask({ type: "send", conversation_id: id, ...body }) }),
    "GET /settings": () => ({ settings: state.settings }),
    "PATCH /settings": ({ body }) => {
      for (const [key, value] of Object.entries(body)) {
        Object.assign(state.settings.find((setting) => setting.key === key), { value, source: value === null ? "default" : "stored" });
      }
      return { settings: state.settings };
    },
    "GET /keys": () => ({ keys: state.keys }),
    "POST /keys": ({ body }) => {
      const key = { id: newId(), name: body.name, prefix: "sk-parley-4f9a", created_at: now(), last_used_at: null, revoked: false };
      state.keys.push(key);
      return { key, secret: "sk-parley-4f9aK2mXq7Rt0cVbN8sLwYz3eHgJdUpA" };
    },
    "DELETE /keys/:id": ({ id }) => void (state.keys = state.keys.filter((key) => key.id !== id)),
    "GET /users": () => ({ users: state.users }),
    "POST /users": ({ body }) => {
      state.users.push({ id: newId(), name: "", role: "user", created_at: now(), ...body, password: undefined });
      return { user: state.users.at(-1) };
    },
  };

  async function serveApi(request, url) {
    const segments = url.pathname.slice("/api/v1".length).split("/");
    const id = segments[2] && decodeURIComponent(segments[2]);
    const pattern = [segments[0], segments[1], ...(id ? [":id"] : []), ...segments.slice(3)].join("/");
    const handler = routes[`${request.method} ${pattern}`];
    if (!handler) throw failure(404, "not_found", "There is nothing here.");
    if (!state.user && !["/session", "/setup"].includes(pattern)) throw failure(401, "unauthenticated", "You are not signed in.", "Sign in.");
    let text = "";
    for await (const chunk of request) text += chunk;
    return handler({ id, query: url.searchParams, body: text === "" ? {} : JSON.parse(text) });
  }

  async function serveFile(path, response) {
    const name = /^\/[\w.-]+\.\w+$/.test(path) ? path.slice(1) : "index.html";
    const bytes = await readFile(join(dist, name)).catch(() => null);
    response.writeHead(bytes ? 200 : 404, { "Content-Type": TYPES[name.split(".").pop()] ?? "text/plain", "Content-Security-Policy": CSP });
    response.end(bytes ?? "");
  }

  const server = createServer(async (request, response) => {
    const url = new URL(request.url, "http://mock");
    if (!url.pathname.startsWith("/api/v1/")) return serveFile(url.pathname, response);
    try {
      const body = await serveApi(request, url);
      response.writeHead(body === undefined ? 204 : 200, { "Content-Type": "application/json" });
      response.end(body === undefined ? "" : JSON.stringify(body));
    } catch (thrown) {
      const { status, body } = thrown.body ? thrown : failure(500, "internal", String(thrown.stack));
      response.writeHead(status, { "Content-Type": "application/json" }).end(JSON.stringify(body));
    }
  });
  server.on("upgrade", (request, stream) => {
    const socket = acceptWebSocket(request, stream);
    if (!state.user) return socket.close(1008);
    state.sockets.add(socket);
    socket.onclose = () => {
      state.sockets.delete(socket);
      for (const run of state.runs.values()) run.listeners.delete(socket);
    };
    socket.onmessage = (frame) => {
      try {
        onFrame(socket, frame);
      } catch (thrown) {
        const { body } = thrown.body ? thrown : failure(500, "internal", String(thrown.stack));
        socket.send({ type: "error", id: frame.id ?? null, ...body });
      }
    };
    socket.send({ type: "welcome", protocol: 1, version: "mock", user_id: state.user.id });
  });
  return { server, state, addConversation, addMessage };
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const port = Number(process.env.PORT ?? 5173);
  createMock().server.listen(port, "127.0.0.1", () => console.log(`http://127.0.0.1:${port}/setup?token=mock`));
}
