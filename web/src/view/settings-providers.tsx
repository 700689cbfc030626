// Providers: where models come from, and whether they answer. An administrator adds some here;
// those of the environment or a file are shown only.
import { useEffect, useState } from "preact/hooks";
import { freeName, PROVIDER_KINDS, settingsOfProvider, settingsWithoutProvider } from "../model/providers.ts";
import { problemOf } from "../net/api.ts";
import type { Problem, Provider } from "../protocol.ts";
import { checkProvider, loadModels, modelsLoaded, providers } from "../state/models.ts";
import { isAdmin } from "../state/session.ts";
import { changeSettings, settings } from "../state/settings.ts";
import { showProblem } from "../state/toasts.ts";
import { Field, ProblemNote } from "./parts.tsx";
import { Section } from "./settings-parts.tsx";

const STATUS = { ok: "Works", error: "Problem", unknown: "Not asked yet" };
const SOURCE: Record<string, string> = {
  stored: "added here",
  environment: "from the environment",
  file: "from the configuration file",
  flag: "from a flag",
  default: "",
};

export function ProvidersSection() {
  const [adding, setAdding] = useState(false);
  useEffect(() => void loadModels(), []);
  return (
    <Section title="Providers" lead="Where models come from.">
      {!modelsLoaded.value && <p class="quiet">Loading…</p>}
      <ul class="rows">
        {providers.value.map((provider) => (
          <ProviderRow key={provider.name} provider={provider} />
        ))}
      </ul>
      {isAdmin.value && adding && <NewProviderForm onDone={() => setAdding(false)} />}
      {isAdmin.value && !adding && (
        <button type="button" class="button" onClick={() => setAdding(true)}>
          Add a provider
        </button>
      )}
    </Section>
  );
}

function ProviderRow({ provider }: { provider: Provider }) {
  const [busy, setBusy] = useState(false);
  const { name, status, message, base_url: address, model_count: count, source } = provider;
  const attempt = async (action: () => Promise<void>) => {
    setBusy(true);
    await action().catch(showProblem);
    setBusy(false);
  };
  const remove = async () => {
    await changeSettings(settingsWithoutProvider(name, settings.value ?? []));
    await loadModels();
  };
  const models = count === 1 ? "1 model" : `${count} models`;
  const origin = address === "" ? "built in" : SOURCE[source] ?? source;
  return (
    <li class="row" data-testid={`provider-${name}`} data-status={status}>
      <div class="row-main">
        <div class="row-title">
          {name}
          <span class={`badge is-${status}`}>{STATUS[status]}</span>
        </div>
        {message !== "" && <div class="row-message">{message}</div>}
        <div class="row-detail">{[address, models, origin].filter(Boolean).join(" · ")}</div>
      </div>
      <div class="button-pair">
        {isAdmin.value && source === "stored" && settings.value !== null && (
          <button type="button" class="button" aria-label={`Remove ${name}`} disabled={busy} onClick={() => void attempt(remove)}>
            Remove
          </button>
        )}
        {address !== "" && (
          <button
            type="button"
            class="button"
            aria-label={`Check ${name}`}
            disabled={busy}
            onClick={() => void attempt(() => checkProvider(name))}
          >
            {busy ? "Checking…" : "Check"}
          </button>
        )}
      </div>
    </li>
  );
}

function NewProviderForm({ onDone }: { onDone: () => void }) {
  const taken = providers.value.map((provider) => provider.name);
  const [index, setIndex] = useState(0);
  const { kind, needsKey, address: usualAddress } = PROVIDER_KINDS[index]!;
  const [name, setName] = useState(() => freeName(kind, taken));
  const [apiKey, setApiKey] = useState("");
  const [address, setAddress] = useState("");
  const [problem, setProblem] = useState<Problem | null>(null);
  const [busy, setBusy] = useState(false);
  const choose = (chosen: number) => {
    const next = PROVIDER_KINDS[chosen]!;
    setIndex(chosen);
    setName(freeName(next.kind, taken));
    setAddress(next.address ?? "");
  };
  const create = async () => {
    setBusy(true);
    setProblem(null);
    try {
      await changeSettings(settingsOfProvider({ kind, name, apiKey: apiKey.trim(), address: address.trim() }));
      await loadModels();
      await checkProvider(name);
      onDone();
    } catch (thrown) {
      setProblem(problemOf(thrown));
    } finally {
      setBusy(false);
    }
  };
  return (
    <form
      class="card-form"
      aria-label="New provider"
      onSubmit={(event) => {
        event.preventDefault();
        void create();
      }}
    >
      <label class="field">
        <span class="field-label">Kind</span>
        <select value={index} onChange={(event) => choose(Number(event.currentTarget.value))}>
          {PROVIDER_KINDS.map(({ label }, position) => (
            <option key={label} value={position}>
              {label}
            </option>
          ))}
        </select>
      </label>
      {usualAddress !== null && (
        <Field label="Address" type="url" required value={address} onInput={setAddress} hint="Up to and with /v1, if it has one." />
      )}
      <Field
        label="API key"
        type="password"
        autoComplete="off"
        required={needsKey}
        value={apiKey}
        onInput={setApiKey}
        hint={needsKey ? "It is kept encrypted, and never shown again." : "Only if it wants one."}
      />
      <Field label="Name here" required pattern="[a-z0-9_\-]+" value={name} onInput={setName} hint="Small letters, digits, dashes. The names of its models begin with it." />
      {problem && <ProblemNote problem={problem} />}
      <div class="button-pair">
        <button type="button" class="button" onClick={onDone}>
          Cancel
        </button>
        <button type="submit" class="button primary" disabled={busy}>
          {busy ? "Asking it…" : "Add"}
        </button>
      </div>
    </form>
  );
}
