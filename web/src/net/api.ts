// The REST side of the protocol: one function that speaks it, and one line per call.
import type {
  Accepted,
  ApiKey,
  Conversation,
  Message,
  Model,
  Part,
  Problem,
  Provider,
  SessionInfo,
  Setting,
  Target,
  User,
} from "../protocol.ts";

export class ApiError extends Error {
  readonly problem: Problem;
  readonly status: number;

  constructor(problem: Problem, status: number) {
    super(problem.message);
    this.problem = problem;
    this.status = status;
  }
}

/** What to tell a person about anything that was thrown. */
export function problemOf(thrown: unknown): Problem {
  if (thrown instanceof ApiError) return thrown.problem;
  return { code: "internal", message: "Something went wrong on this page.", remedy: "Load the page again." };
}

const UNREACHABLE: Problem = {
  code: "unreachable",
  message: "Parley cannot be reached.",
  remedy: "Check that it is running and that you are connected, then try again.",
};

let onSignedOut: () => void = () => {};

/** Called whenever the server says that the session is no longer good. */
export function whenSignedOut(callback: () => void): void {
  onSignedOut = callback;
}

interface RequestOptions {
  body?: unknown;
  /** Lets the request finish although the page is being left. */
  keepalive?: boolean;
}

async function request<T>(method: string, path: string, options: RequestOptions = {}): Promise<T> {
  const init: RequestInit = { method, credentials: "same-origin", keepalive: options.keepalive ?? false };
  if (options.body !== undefined) {
    init.body = JSON.stringify(options.body);
    init.headers = { "Content-Type": "application/json" };
  }
  let response: Response;
  try {
    response = await fetch(`/api/v1${path}`, init);
  } catch {
    throw new ApiError(UNREACHABLE, 0);
  }
  if (response.status === 204) return undefined as T;
  const body: unknown = await response.json().catch(() => null);
  if (response.ok && body !== null) return body as T;
  const problem = readProblem(body, response.status);
  if (problem.code === "unauthenticated" && path !== "/session") onSignedOut();
  throw new ApiError(problem, response.status);
}

/** A proxy in between may answer with anything but our JSON. */
function readProblem(body: unknown, status: number): Problem {
  const error = (body as { error?: Partial<Problem> } | null)?.error;
  if (error && typeof error.message === "string" && typeof error.code === "string") {
    return { remedy: "", ...error, code: error.code, message: error.message };
  }
  return { code: "internal", message: `The server answered with status ${status}.`, remedy: "Try again." };
}

const get = <T>(path: string) => request<T>("GET", path);
const post = <T>(path: string, body?: unknown) => request<T>("POST", path, { body });
const patch = <T>(path: string, body: unknown) => request<T>("PATCH", path, { body });
const remove = (path: string, keepalive = false) => request<void>("DELETE", path, { keepalive });

export interface ConversationPage {
  conversations: Conversation[];
  next: string | null;
}

export interface ConversationChange {
  title?: string;
  model?: string;
  leaf_id?: string;
}

export interface NewMessage {
  parent_id: string | null;
  content: string | Part[];
  model?: string;
}

export const api = {
  session: () => get<SessionInfo>("/session"),
  signIn: (email: string, password: string) => post<{ user: User }>("/session", { email, password }),
  signOut: () => remove("/session"),
  setUp: (form: { token: string; email: string; password: string; name?: string }) =>
    post<{ user: User }>("/setup", form),

  models: () => get<{ models: Model[]; default_model: string }>("/models"),
  providers: () => get<{ providers: Provider[] }>("/providers"),
  checkProvider: (name: string) =>
    post<{ provider: Provider }>(`/providers/${encodeURIComponent(name)}/check`),

  targets: () => get<{ targets: Target[] }>("/targets"),
  benchTarget: (target: string, seconds: number) => post<{ target: Target }>("/targets/bench", { target, seconds }),
  restoreTarget: (target: string) => post<{ target: Target }>("/targets/restore", { target }),

  conversations: (before: string | null, limit: number) =>
    get<ConversationPage>(
      `/conversations?limit=${limit}${before === null ? "" : `&before=${encodeURIComponent(before)}`}`,
    ),
  createConversation: (model: string) =>
    post<{ conversation: Conversation }>("/conversations", model === "" ? {} : { model }),
  conversation: (id: string) =>
    get<{ conversation: Conversation; messages: Message[] }>(`/conversations/${id}`),
  changeConversation: (id: string, change: ConversationChange) =>
    patch<{ conversation: Conversation }>(`/conversations/${id}`, change),
  deleteConversation: (id: string, keepalive: boolean) => remove(`/conversations/${id}`, keepalive),
  addMessage: (id: string, message: NewMessage) =>
    post<{ accepted: Accepted }>(`/conversations/${id}/messages`, message),

  settings: () => get<{ settings: Setting[] }>("/settings"),
  changeSettings: (changes: Record<string, Setting["value"]>) =>
    patch<{ settings: Setting[] }>("/settings", changes),

  keys: () => get<{ keys: ApiKey[] }>("/keys"),
  createKey: (name: string) => post<{ key: ApiKey; secret: string }>("/keys", { name }),
  revokeKey: (id: string) => remove(`/keys/${id}`),

  users: () => get<{ users: User[] }>("/users"),
  createUser: (form: { email: string; password: string; name?: string; role?: string }) =>
    post<{ user: User }>("/users", form),
};
