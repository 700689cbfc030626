// The models one can talk to, and which one is chosen where.
import { computed, signal } from "@preact/signals";
import { chooseModel } from "../model/models.ts";
import { api } from "../net/api.ts";
import type { Model, Provider } from "../protocol.ts";
import { lastModel } from "./preferences.ts";
import { showProblem } from "./toasts.ts";

export const models = signal<readonly Model[]>([]);
export const defaultModel = signal("");
export const providers = signal<readonly Provider[]>([]);
export const modelsLoaded = signal(false);

export const onlyBuiltIn = computed(() => modelsLoaded.value && models.value.every((model) => model.built_in));
export const troubledProviders = computed(() =>
  providers.value.filter((provider) => provider.status === "error"),
);

export async function loadModels(): Promise<void> {
  try {
    const [modelList, providerList] = await Promise.all([api.models(), api.providers()]);
    models.value = modelList.models;
    defaultModel.value = modelList.default_model;
    providers.value = providerList.providers;
    modelsLoaded.value = true;
  } catch (thrown) {
    showProblem(thrown);
  }
}

export async function checkProvider(name: string): Promise<void> {
  const { provider } = await api.checkProvider(name);
  providers.value = providers.value.map((known) => (known.name === name ? provider : known));
  // What the check found may have added or removed models.
  const modelList = await api.models();
  models.value = modelList.models;
}

/** The conversation's own model, or the one last used, or the server's default. */
export function modelFor(conversationModel: string | undefined): string {
  return chooseModel(models.value, conversationModel, lastModel.value, defaultModel.value);
}

/** "gpt-5.5" rather than "openai/gpt-5.5"; an answer may come from a model that is gone by now. */
export function modelName(id: string): string {
  const known = models.value.find((model) => model.id === id);
  return known?.name ?? id.slice(id.indexOf("/") + 1);
}
