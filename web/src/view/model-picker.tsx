// Chooses a model: a button, and a list that can be searched, grouped by provider.
import { useEffect, useRef, useState } from "preact/hooks";
import { groupModels, searchModels } from "../model/models.ts";
import type { Model } from "../protocol.ts";
import { loadModels, modelName, models, modelsLoaded, troubledProviders } from "../state/models.ts";
import { Icon } from "./icons.tsx";

interface ModelPickerProps {
  selected: string;
  onSelect: (id: string) => void;
}

export function ModelPicker({ selected, onSelect }: ModelPickerProps) {
  const [open, setOpen] = useState(false);
  const frame = useRef<HTMLDivElement>(null);
  const button = useRef<HTMLButtonElement>(null);
  useEffect(() => {
    if (!open) return;
    const onPointerDown = (event: PointerEvent) => {
      if (!frame.current?.contains(event.target as Node)) setOpen(false);
    };
    addEventListener("pointerdown", onPointerDown);
    return () => removeEventListener("pointerdown", onPointerDown);
  }, [open]);
  const close = () => {
    setOpen(false);
    button.current?.focus();
  };
  const toggle = () => {
    if (!open) void loadModels(); // providers come and go; what is known shows at once
    setOpen(!open);
  };
  const label = selected === "" ? (modelsLoaded.value ? "No model" : "Model") : modelName(selected);
  return (
    <div class="model-picker" ref={frame}>
      <button
        ref={button}
        type="button"
        class="model-button"
        aria-label={`Model: ${label}`}
        aria-haspopup="listbox"
        aria-expanded={open}
        onClick={toggle}
      >
        <span>{label}</span>
        <Icon name="chevron" size={16} />
      </button>
      {open && (
        <ModelList
          selected={selected}
          onSelect={(id) => {
            onSelect(id);
            close();
          }}
          onClose={close}
        />
      )}
    </div>
  );
}

function ModelList({ selected, onSelect, onClose }: ModelPickerProps & { onClose: () => void }) {
  const [query, setQuery] = useState("");
  const groups = groupModels(searchModels(models.value, query));
  const ordered = groups.flatMap((group) => group.models);
  const [active, setActive] = useState(selected);
  const activeIndex = Math.max(0, ordered.findIndex((model) => model.id === active));
  const search = useRef<HTMLInputElement>(null);
  const list = useRef<HTMLDivElement>(null);
  useEffect(() => search.current?.focus(), []);
  useEffect(() => {
    list.current?.querySelector('[data-active="true"]')?.scrollIntoView({ block: "nearest" });
  }, [active, query]);
  const move = (offset: number) => {
    const next = ordered[(activeIndex + offset + ordered.length) % ordered.length];
    if (next) setActive(next.id);
  };
  const onKeyDown = (event: KeyboardEvent) => {
    if (event.isComposing) return;
    const actions: Record<string, () => void> = {
      ArrowDown: () => move(1),
      ArrowUp: () => move(-1),
      Enter: () => ordered[activeIndex] && onSelect(ordered[activeIndex].id),
      Escape: onClose,
      Tab: onClose,
    };
    const action = actions[event.key];
    if (!action) return;
    event.preventDefault();
    event.stopPropagation();
    action();
  };
  return (
    <div class="model-popup" onKeyDown={onKeyDown}>
      <label class="model-search">
        <Icon name="search" size={16} />
        <input
          ref={search}
          type="text"
          role="combobox"
          aria-label="Search models"
          aria-expanded="true"
          aria-controls="model-list"
          aria-activedescendant={ordered[activeIndex] ? `model-${activeIndex}` : undefined}
          placeholder="Search models"
          value={query}
          onInput={(event) => setQuery(event.currentTarget.value)}
        />
      </label>
      <div class="model-list" id="model-list" role="listbox" aria-label="Models" ref={list}>
        {groups.map((group) => (
          <div role="group" aria-label={group.provider} key={group.provider}>
            <div class="model-provider">{group.provider}</div>
            {group.models.map((model) => (
              <ModelOption
                key={model.id}
                model={model}
                index={ordered.indexOf(model)}
                isActive={ordered[activeIndex] === model}
                isSelected={model.id === selected}
                onSelect={() => onSelect(model.id)}
              />
            ))}
          </div>
        ))}
        {ordered.length === 0 && <p class="model-none">No model matches “{query}”.</p>}
      </div>
      <ProviderTrouble />
    </div>
  );
}

interface ModelOptionProps {
  model: Model;
  index: number;
  isActive: boolean;
  isSelected: boolean;
  onSelect: () => void;
}

function ModelOption({ model, index, isActive, isSelected, onSelect }: ModelOptionProps) {
  const detail = model.built_in ? "Built in: simple demonstration, not a language model" : model.description;
  return (
    <div
      id={`model-${index}`}
      role="option"
      class="model-option"
      aria-selected={isSelected}
      aria-label={model.name}
      data-model={model.id}
      data-active={isActive}
      onClick={onSelect}
    >
      <div>
        <div class="model-name">{model.name}</div>
        {detail !== "" && <div class="model-detail">{detail}</div>}
      </div>
      {isSelected && <Icon name="check" size={16} />}
    </div>
  );
}

/** Why a provider one expects has no models in the list. */
function ProviderTrouble() {
  if (troubledProviders.value.length === 0) return null;
  return (
    <ul class="model-trouble" aria-label="Provider problems">
      {troubledProviders.value.map((provider) => (
        <li key={provider.name}>
          <Icon name="warning" size={16} />
          <span>
            <strong>{provider.name}</strong>: {provider.message || "does not answer"}
          </span>
        </li>
      ))}
    </ul>
  );
}
