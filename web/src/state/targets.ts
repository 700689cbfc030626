// The models at their providers as the router sees them, for an administrator.
import { computed, signal } from "@preact/signals";
import { helpNeeded } from "../model/targets.ts";
import { api, problemOf } from "../net/api.ts";
import type { Problem, Target } from "../protocol.ts";

export const targets = signal<readonly Target[] | null>(null);
export const targetsProblem = signal<Problem | null>(null);
/** Taken out for what only an administrator can mend. */
export const helplessTargets = computed(() => (targets.value ?? []).filter((target) => helpNeeded(target) !== null));

export function forgetTargets(): void {
  targets.value = null;
  targetsProblem.value = null;
}

export async function loadTargets(): Promise<void> {
  targetsProblem.value = null;
  try {
    targets.value = (await api.targets()).targets;
  } catch (thrown) {
    targetsProblem.value = problemOf(thrown);
  }
}

const HOUR_SECONDS = 3600;

export async function benchTarget(id: string): Promise<void> {
  replace((await api.benchTarget(id, HOUR_SECONDS)).target);
}

export async function restoreTarget(id: string): Promise<void> {
  replace((await api.restoreTarget(id)).target);
}

function replace(target: Target): void {
  targets.value = (targets.value ?? []).map((known) => (known.id === target.id ? target : known));
}
