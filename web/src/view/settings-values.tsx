// Parley's own settings. What a flag, the environment or a file decides cannot be changed here,
// and says where it is decided.
import { useEffect, useState } from "preact/hooks";
import { problemOf } from "../net/api.ts";
import type { Problem, Setting } from "../protocol.ts";
import { changeSettings, loadSettings, settings, settingsProblem } from "../state/settings.ts";
import { ProblemNote } from "./parts.tsx";
import { LoadNote, Section } from "./settings-parts.tsx";

export function ValuesSection() {
  useEffect(() => void loadSettings(), []);
  const list = settings.value ?? [];
  const fixed = list.filter((setting) => !setting.editable);
  return (
    <Section title="Server" lead="How this Parley behaves. A change counts at once.">
      <LoadNote loaded={{ value: settings.value, problem: settingsProblem.value, reload: () => void loadSettings() }} />
      <ul class="rows">
        {list
          .filter((setting) => setting.editable)
          .map((setting) => (
            // A changed value makes a new row, so that the field starts again from what is stored.
            <SettingRow key={`${setting.key} ${String(setting.value)}`} setting={setting} />
          ))}
      </ul>
      {fixed.length > 0 && (
        <details class="fixed-settings">
          <summary>Decided when Parley starts ({fixed.length})</summary>
          <p class="lead">
            To change these, use a flag, the environment or the configuration file, and start Parley again.
          </p>
          <ul class="rows">
            {fixed.map((setting) => (
              <FixedRow key={setting.key} setting={setting} />
            ))}
          </ul>
        </details>
      )}
    </Section>
  );
}

type Value = Setting["value"];

/** Where a value comes from. */
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

function SettingText({ setting }: { setting: Setting }) {
  return (
    <>
      <div class="row-title">
        <code>{setting.key}</code>
      </div>
      <div class="row-message">{setting.description}</div>
      <div class="row-detail">{describeSource(setting)}</div>
    </>
  );
}

function FixedRow({ setting }: { setting: Setting }) {
  const { key, value, source } = setting;
  return (
    <li class="row" data-testid={`setting-${key}`} data-source={source}>
      <div class="row-main">
        <SettingText setting={setting} />
      </div>
      <output class="fixed-value" aria-label={key}>
        {value === null || value === "" ? <span class="quiet">not set</span> : <code>{String(value)}</code>}
      </output>
    </li>
  );
}

/** A secret is never shown: its field is empty, and what is typed there replaces it. */
function SettingRow({ setting }: { setting: Setting }) {
  const shown = setting.type === "secret" ? "" : setting.value;
  const [value, setValue] = useState<Value>(shown);
  const [problem, setProblem] = useState<Problem | null>(null);
  const [busy, setBusy] = useState(false);
  const save = async (next: Value) => {
    setBusy(true);
    setProblem(null);
    try {
      await changeSettings({ [setting.key]: next });
      if (setting.type === "secret") setValue("");
    } catch (thrown) {
      setProblem(problemOf(thrown));
    } finally {
      setBusy(false);
    }
  };
  return (
    <li class="row" data-testid={`setting-${setting.key}`} data-source={setting.source}>
      <div class="row-main">
        <SettingText setting={setting} />
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
        {value !== shown && (
          <button type="submit" class="button primary" aria-label={`Save ${setting.key}`} disabled={busy}>
            Save
          </button>
        )}
        {setting.source === "stored" && value === shown && (
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
  const common = { "aria-label": setting.key };
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
      return (
        <input
          {...common}
          {...typed}
          type="password"
          autoComplete="new-password"
          placeholder={setting.value === null ? "" : "••••••••"}
        />
      );
    case "string":
      return <input {...common} {...typed} type="text" autoComplete="off" />;
  }
}
