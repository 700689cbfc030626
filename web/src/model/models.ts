// Searching and grouping the list of models for the picker.
import type { Model } from "../protocol.ts";

export interface ModelGroup {
  provider: string;
  models: Model[];
}

/** Every word must occur in the id, the name or the description. */
export function searchModels(models: readonly Model[], query: string): Model[] {
  const words = query.toLowerCase().split(/\s+/).filter(Boolean);
  return models.filter((model) => {
    const text = `${model.id} ${model.name} ${model.description}`.toLowerCase();
    return words.every((word) => text.includes(word));
  });
}

/** Providers in the order the server lists them, built-in ones last. */
export function groupModels(models: readonly Model[]): ModelGroup[] {
  const groups = new Map<string, Model[]>();
  const ordered = [...models.filter((m) => !m.built_in), ...models.filter((m) => m.built_in)];
  for (const model of ordered) {
    const group = groups.get(model.provider);
    if (group) group.push(model);
    else groups.set(model.provider, [model]);
  }
  return [...groups].map(([provider, members]) => ({ provider, models: members }));
}

/** The first of the candidates that still exists; otherwise the first model that is not a demonstration. */
export function chooseModel(models: readonly Model[], ...candidates: (string | null | undefined)[]): string {
  const known = new Set(models.map((model) => model.id));
  for (const candidate of candidates) if (candidate && known.has(candidate)) return candidate;
  return models.find((model) => !model.built_in)?.id ?? models[0]?.id ?? "";
}
