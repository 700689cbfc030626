// A text area that grows with its text. Enter submits, Shift+Enter breaks the line.
import { useLayoutEffect, useRef } from "preact/hooks";

interface GrowingTextProps {
  label: string;
  value: string;
  placeholder?: string;
  /** Takes the focus when it appears, and again whenever this key changes. */
  focus?: boolean;
  focusKey?: string;
  onInput: (value: string) => void;
  onSubmit: () => void;
  onEscape?: () => void;
  onPaste?: (event: ClipboardEvent) => void;
}

/** What the Enter key of an input method sends while a word is being composed. */
const KEY_CODE_COMPOSING = 229;

export function GrowingText(props: GrowingTextProps) {
  const reference = useRef<HTMLTextAreaElement>(null);
  useLayoutEffect(() => {
    const area = reference.current;
    if (!area) return;
    area.style.height = "auto";
    area.style.height = `${area.scrollHeight}px`;
  }, [props.value]);
  // Before the first paint: later it would move the caret of someone who is typing already.
  useLayoutEffect(() => {
    const area = reference.current;
    if (!props.focus || !area) return;
    area.focus({ preventScroll: true });
    area.setSelectionRange(area.value.length, area.value.length);
  }, [props.focus, props.focusKey]);
  const onKeyDown = (event: KeyboardEvent) => {
    // Enter and Escape belong to the input method until the word is finished.
    if (event.isComposing || event.keyCode === KEY_CODE_COMPOSING) return;
    if (event.key === "Enter" && !event.shiftKey) {
      event.preventDefault();
      props.onSubmit();
    } else if (event.key === "Escape" && props.onEscape) {
      event.preventDefault();
      event.stopPropagation();
      props.onEscape();
    }
  };
  return (
    <textarea
      ref={reference}
      class="growing-text"
      rows={1}
      aria-label={props.label}
      placeholder={props.placeholder}
      value={props.value}
      onInput={(event) => props.onInput(event.currentTarget.value)}
      onKeyDown={onKeyDown}
      onPaste={props.onPaste}
    />
  );
}
