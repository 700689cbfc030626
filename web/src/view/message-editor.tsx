// Edits a message in its place; sending makes a branch beside the original, which stays.
import { composerFor, setText } from "../state/composer.ts";
import { GrowingText } from "./growing-text.tsx";

interface MessageEditorProps {
  draftKey: string;
  onSend: (text: string) => void;
  onCancel: () => void;
}

export function MessageEditor({ draftKey, onSend, onCancel }: MessageEditorProps) {
  const { text } = composerFor(draftKey);
  const submit = () => {
    const edited = text.value.trim();
    if (edited === "") return;
    setText(draftKey, "");
    onSend(edited);
  };
  const cancel = () => {
    setText(draftKey, "");
    onCancel();
  };
  return (
    <div class="message-editor">
      <GrowingText
        label="Edit your message"
        value={text.value}
        focus
        onInput={(value) => setText(draftKey, value)}
        onSubmit={submit}
        onEscape={cancel}
      />
      <div class="editor-actions">
        <button type="button" class="button" onClick={cancel}>
          Cancel
        </button>
        <button type="button" class="button primary" disabled={text.value.trim() === ""} onClick={submit}>
          Send
        </button>
      </div>
    </div>
  );
}
