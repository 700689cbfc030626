// Parley's own settings. What a flag, the environment or a file decides cannot be changed here,
// and says where it is decided.
import { useState } from "preact/hooks";
import { api, problemOf } from "../net/api.ts";
import type { Problem, Setting } from "../protocol.ts";
import { ProblemNote } from "./parts.tsx";
import { LoadNote, Section, useLoaded } from "./settings-parts.tsx";

export function ValuesSection() {
  const loaded = useLoaded(async () => (await api.settings()).settings);
  return (
    <Section title="Server" lead="How this Parley behaves. What is decided elsewhere is shown with its place.">
      <LoadNote loaded={loaded} />
      <ul class="rows">
        {loaded.value?.map((setting) => (
          // A changed value makes a new row, so that the field starts again from what is stored.
          <SettingRow key={`${setting.key} ${String(setting.value)}`} setting={setting} onChanged={loaded.setValue} />
        ))}
      </ul>
    </Section>
  );
}

type Value = Setting["value"];

/** Where a value that cannot be changed here comes from. */
function describeSource(setting: Setting): string {
  switch (setting.source) {
    case "flag":
      return `Set by the flag ${setting.where}`;
    case "environment":
      return `Set by the environment variable ${setting.where}`;
    case "file":
      return `Set in ${setting.where}`;
    case "stored":
      return "Changed here";
    case "default":
      return "Default";
  }
}

function SettingRow({ setting, onChanged }: { setting: Setting; onChanged: (settings: Setting[]) => void }) {
  const [value, setValue] = useState<Value>(setting.value);
  const [problem, setProblem] = useState<Problem | null>(null);
  const [busy, setBusy] = useState(false);
  const save = async (next: Value) => {
    setBusy(true);
    setProblem(null);
    try {
      onChanged((await api.changeSetting(setting.key, next)).settings);
    } catch (thrown) {
      setProblem(problemOf(thrown));
    } finally {
      setBusy(false);
    }
  };
  return (
    <li class="row" data-testid={`setting-${setting.key}`} data-source={setting.source}>
      <div class="row-main">
        <div class="row-title">
          <code>{setting.key}</code>
        </div>
        <div class="row-message">{setting.description}</div>
        <div class="row-detail">{describeSource(setting)}</div>
        {problem && <ProblemNote problem={problem} />}
      </div>
      <form
        class="setting-form"
        onSubmit={(event) => {
          event.preventDefault();
          void save(value);
        }}
      >
        <SettingInput setting={setting} value={value} onInput={setValue} />
        {setting.editable && value !== setting.value && (
          <button type="submit" class="button primary" aria-label={`Save ${setting.key}`} disabled={busy}>
            Save
          </button>
        )}
        {setting.editable && setting.source === "stored" && value === setting.value && (
          <button
            type="button"
            class="button"
            aria-label={`Reset ${setting.key} to its default`}
            disabled={busy}
            onClick={() => void save(null)}
          >
            Reset
          </button>
        )}
      </form>
    </li>
  );
}

interface SettingInputProps {
  setting: Setting;
  value: Value;
  onInput: (value: Value) => void;
}

function SettingInput({ setting, value, onInput }: SettingInputProps) {
  const common = { "aria-label": setting.key, disabled: !setting.editable };
  const typed = {
    value: String(value ?? ""),
    onInput: (event: { currentTarget: HTMLInputElement }) => onInput(event.currentTarget.value),
  };
  switch (setting.type) {
    case "boolean":
      return (
        <input
          {...common}
          type="checkbox"
          checked={value === true}
          onChange={(event) => onInput(event.currentTarget.checked)}
        />
      );
    case "enum":
      return (
        <select {...common} value={String(value)} onChange={(event) => onInput(event.currentTarget.value)}>
          {setting.options?.map((option) => (
            <option key={option} value={option}>
              {option}
            </option>
          ))}
        </select>
      );
    case "integer":
      return (
        <input
          {...common}
          type="number"
          required
          min={setting.minimum ?? undefined}
          max={setting.maximum ?? undefined}
          value={String(value ?? "")}
          onInput={(event) => onInput(event.currentTarget.value === "" ? null : Number(event.currentTarget.value))}
        />
      );
    case "secret":
      return <input {...common} {...typed} type="password" autoComplete="new-password" />;
    case "string":
      return <input {...common} {...typed} type="text" autoComplete="off" />;
  }
}
