// Providers: where models come from, and whether they answer.
import { useEffect, useState } from "preact/hooks";
import type { Provider } from "../protocol.ts";
import { checkProvider, loadModels, modelsLoaded, providers } from "../state/models.ts";
import { showProblem } from "../state/toasts.ts";
import { Section } from "./settings-parts.tsx";

const STATUS = { ok: "Works", error: "Problem", unknown: "Not asked yet" };

export function ProvidersSection() {
  useEffect(() => void loadModels(), []);
  return (
    <Section
      title="Providers"
      lead="Where models come from. They are set up in the environment or in the configuration file."
    >
      {!modelsLoaded.value && <p class="quiet">Loading…</p>}
      <ul class="rows">
        {providers.value.map((provider) => (
          <ProviderRow key={provider.name} provider={provider} />
        ))}
      </ul>
    </Section>
  );
}

function ProviderRow({ provider }: { provider: Provider }) {
  const [checking, setChecking] = useState(false);
  const check = async () => {
    setChecking(true);
    await checkProvider(provider.name).catch(showProblem);
    setChecking(false);
  };
  const models = provider.model_count === 1 ? "1 model" : `${provider.model_count} models`;
  return (
    <li class="row" data-testid={`provider-${provider.name}`} data-status={provider.status}>
      <div class="row-main">
        <div class="row-title">
          {provider.name}
          <span class={`badge is-${provider.status}`}>{STATUS[provider.status]}</span>
        </div>
        {provider.message !== "" && <div class="row-message">{provider.message}</div>}
        <div class="row-detail">{[provider.base_url, models, provider.source].filter(Boolean).join(" · ")}</div>
      </div>
      <button type="button" class="button" aria-label={`Check ${provider.name}`} disabled={checking} onClick={() => void check()}>
        {checking ? "Checking…" : "Check"}
      </button>
    </li>
  );
}
