// The kinds of provider one can add in the browser, and what each needs to be told.
import type { Setting } from "../protocol.ts";

export interface ProviderKind {
  kind: string;
  label: string;
  needsKey: boolean;
  /** Its address when it is not the kind's own; "" when there is none to guess. */
  address: string | null;
}

/** `address` null: one that everybody reaches at the same place. */
export const PROVIDER_KINDS: readonly ProviderKind[] = [
  { kind: "openai", label: "OpenAI", needsKey: true, address: null },
  { kind: "anthropic", label: "Anthropic", needsKey: true, address: null },
  { kind: "gemini", label: "Google Gemini", needsKey: true, address: null },
  { kind: "openrouter", label: "OpenRouter", needsKey: true, address: null },
  { kind: "mistral", label: "Mistral", needsKey: true, address: null },
  { kind: "groq", label: "Groq", needsKey: true, address: null },
  { kind: "deepseek", label: "DeepSeek", needsKey: true, address: null },
  { kind: "xai", label: "xAI", needsKey: true, address: null },
  { kind: "together", label: "Together", needsKey: true, address: null },
  { kind: "azure", label: "Azure OpenAI", needsKey: true, address: "" },
  { kind: "ollama", label: "Ollama", needsKey: false, address: "http://127.0.0.1:11434" },
  { kind: "vllm", label: "vLLM", needsKey: false, address: "http://127.0.0.1:8000/v1" },
  { kind: "openai-compatible", label: "OpenAI-compatible", needsKey: false, address: "" },
];

export interface NewProvider {
  kind: string;
  name: string;
  apiKey: string;
  address: string;
}

type Changes = Record<string, Setting["value"]>;

/** A name for a new one: its kind, with a number when that is taken. */
export function freeName(kind: string, taken: readonly string[]): string {
  const base = kind === "openai-compatible" ? "other" : kind;
  let name = base;
  for (let number = 2; taken.includes(name); number++) name = `${base}-${number}`;
  return name;
}

export function settingsOfProvider({ kind, name, apiKey, address }: NewProvider): Changes {
  const changes: Changes = { [`providers.${name}.kind`]: kind };
  if (apiKey !== "") changes[`providers.${name}.api_key`] = apiKey;
  if (address !== "") changes[`providers.${name}.base_url`] = address;
  return changes;
}

/** What takes a provider away again that was added in the browser. */
export function settingsWithoutProvider(name: string, settings: readonly Setting[]): Changes {
  const stored = settings.filter(({ key, source }) => source === "stored" && key.startsWith(`providers.${name}.`));
  return Object.fromEntries(stored.map(({ key }) => [key, null]));
}
