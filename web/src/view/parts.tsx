// Small controls used all over.
import type { ComponentChildren } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";
import { describeProblem, describeRemedy } from "../model/problems.ts";
import type { Problem } from "../protocol.ts";
import { Icon, type IconName } from "./icons.tsx";

interface IconButtonProps {
  icon: IconName;
  label: string;
  onClick: (event: MouseEvent) => void;
  class?: string;
  disabled?: boolean;
  pressed?: boolean;
  expanded?: boolean;
}

export function IconButton({ icon, label, onClick, disabled = false, pressed, expanded, ...rest }: IconButtonProps) {
  return (
    <button
      type="button"
      class={`icon-button ${rest.class ?? ""}`}
      aria-label={label}
      title={label}
      aria-pressed={pressed}
      aria-expanded={expanded}
      disabled={disabled}
      onClick={onClick}
    >
      <Icon name={icon} />
    </button>
  );
}

const COPIED_MS = 1500;

/** Without a secure context there is no clipboard API; selecting and copying still works there. */
async function copyText(text: string): Promise<void> {
  if (navigator.clipboard) return navigator.clipboard.writeText(text);
  const area = document.createElement("textarea");
  area.value = text;
  area.className = "visually-hidden";
  document.body.append(area);
  area.select();
  document.execCommand("copy");
  area.remove();
}

export function CopyButton({ text, label, children }: { text: () => string; label: string; children?: ComponentChildren }) {
  const [copied, setCopied] = useState(false);
  const copy = () => {
    void copyText(text()).then(() => {
      setCopied(true);
      setTimeout(() => setCopied(false), COPIED_MS);
    });
  };
  return (
    <button type="button" class={children ? "text-button" : "icon-button"} aria-label={label} title={label} onClick={copy}>
      <Icon name={copied ? "check" : "copy"} size={children ? 15 : 18} />
      {children && <span>{copied ? "Copied" : children}</span>}
      {copied && (
        <span class="visually-hidden" role="status">
          Copied
        </span>
      )}
    </button>
  );
}

export function ProblemNote({ problem, children }: { problem: Problem; children?: ComponentChildren }) {
  const remedy = describeRemedy(problem, Boolean(children));
  // A request is worth looking up in the log when the fault is Parley's own.
  const requestId = problem.code === "internal" ? problem.request_id : "";
  return (
    <div class="problem" role="alert">
      <Icon name="warning" />
      <div>
        <p class="problem-message">{describeProblem(problem)}</p>
        {remedy !== "" && <p class="problem-remedy">{remedy}</p>}
        {requestId && <p class="problem-request">Request {requestId}</p>}
        {children && <div class="problem-actions">{children}</div>}
      </div>
    </div>
  );
}

interface FieldProps {
  label: string;
  type?: "text" | "email" | "password" | "url";
  value: string;
  onInput: (value: string) => void;
  autoComplete?: string;
  required?: boolean;
  pattern?: string;
  hint?: string;
  focus?: boolean;
}

export function Field({ label, type = "text", value, onInput, hint, focus, ...input }: FieldProps) {
  const reference = useRef<HTMLInputElement>(null);
  useEffect(() => {
    if (focus) reference.current?.focus();
  }, []);
  return (
    <label class="field">
      <span class="field-label">{label}</span>
      <input
        {...input}
        ref={reference}
        type={type as "text"} // the types want one literal; at run time any of them will do
        value={value}
        onInput={(event) => onInput(event.currentTarget.value)}
      />
      {hint && <span class="field-hint">{hint}</span>}
    </label>
  );
}
