// Who is signed in.
import { computed, signal } from "@preact/signals";
import { api } from "../net/api.ts";
import type { Problem, SessionInfo, User } from "../protocol.ts";
import { problemOf } from "../net/api.ts";

/** null until the server has answered once. */
export const session = signal<SessionInfo | null>(null);
export const sessionProblem = signal<Problem | null>(null);
export const user = computed<User | null>(() => session.value?.user ?? null);
export const isAdmin = computed(() => user.value?.role === "admin");

export async function loadSession(): Promise<void> {
  try {
    session.value = await api.session();
    sessionProblem.value = null;
  } catch (thrown) {
    sessionProblem.value = problemOf(thrown);
  }
}

/** The tabs of a browser have one cookie: who signs in or out in one does so in all. */
const tabs = typeof BroadcastChannel === "undefined" ? null : new BroadcastChannel("parley.session");

export function watchOtherTabs(): void {
  if (tabs) tabs.onmessage = () => void loadSession();
}

export async function signIn(email: string, password: string): Promise<void> {
  await api.signIn(email, password);
  tabs?.postMessage("changed");
  await loadSession();
}

export async function setUp(form: Parameters<typeof api.setUp>[0]): Promise<void> {
  await api.setUp(form);
  tabs?.postMessage("changed");
  await loadSession();
}

export async function signOut(): Promise<void> {
  await api.signOut();
  tabs?.postMessage("changed");
  forgetUser();
}

export function forgetUser(): void {
  if (session.value?.user) session.value = { ...session.value, user: null };
}
