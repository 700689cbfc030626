// Short notices at the foot of the page, some with one action (undo).
import { signal } from "@preact/signals";
import { describeProblem } from "../model/problems.ts";
import { problemOf } from "../net/api.ts";

export interface Toast {
  id: number;
  text: string;
  kind: "info" | "error";
  action: { label: string; run: () => void } | null;
}

export const toasts = signal<readonly Toast[]>([]);

const SHOWN_MS = 6000;
let nextId = 1;

export function showToast(text: string, kind: Toast["kind"] = "info", action: Toast["action"] = null): number {
  const id = nextId++;
  toasts.value = [...toasts.value, { id, text, kind, action }];
  setTimeout(() => hideToast(id), SHOWN_MS);
  return id;
}

export function hideToast(id: number): void {
  toasts.value = toasts.value.filter((toast) => toast.id !== id);
}

/** For actions whose failure leaves everything as it was: a notice is enough. */
export function showProblem(thrown: unknown): void {
  const problem = problemOf(thrown);
  showToast([describeProblem(problem), problem.remedy].filter(Boolean).join(" "), "error");
}
