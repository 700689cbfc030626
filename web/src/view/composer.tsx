// Where one writes: text, pictures, the model to ask, and the button that sends or stops.
import { useEffect, useRef, useState } from "preact/hooks";
import { IMAGE_TYPES, imageSource } from "../model/content.ts";
import {
  activeRunId,
  chooseConversationModel,
  chosenModel,
  conversation,
  path,
  stopAnswer,
} from "../state/chat.ts";
import { attachFiles, clearComposer, composerFor, removeImage, setText } from "../state/composer.ts";
import { pending, send } from "../state/sending.ts";
import { GrowingText } from "./growing-text.tsx";
import { Icon } from "./icons.tsx";
import { ModelPicker } from "./model-picker.tsx";
import { IconButton } from "./parts.tsx";

export function Composer({ composerKey, focus }: { composerKey: string; focus: boolean }) {
  const { text, images } = composerFor(composerKey);
  const [dragging, setDragging] = useState(false);
  const fileInput = useRef<HTMLInputElement>(null);
  const answering = activeRunId.value !== null;
  const isEmpty = () => text.value.trim() === "" && images.value.length === 0;
  // Asked anew at each key: a quick Enter comes before the letter in front of it has been drawn.
  const canSend = () => !isEmpty() && activeRunId.value === null && !pending.value.has(composerKey);
  useStopKey(answering);

  const submit = () => {
    if (!canSend()) return;
    const outgoing = {
      conversationId: conversation.value?.id ?? null,
      parentId: path.value.at(-1)?.id ?? null,
      text: text.value.trim(),
      images: images.value,
      model: chosenModel.value,
      draftKey: composerKey,
    };
    // First into the outbox, then out of the composer: at no time is the text in neither.
    void send(outgoing);
    clearComposer(composerKey);
  };
  const onPaste = (event: ClipboardEvent) => {
    const files = [...(event.clipboardData?.files ?? [])];
    if (files.length === 0) return;
    event.preventDefault();
    void attachFiles(composerKey, files);
  };
  const onDrop = (event: DragEvent) => {
    event.preventDefault();
    setDragging(false);
    void attachFiles(composerKey, event.dataTransfer?.files ?? []);
  };

  return (
    <form
      class={`composer ${dragging ? "is-dragging" : ""}`}
      aria-label="New message"
      onSubmit={(event) => {
        event.preventDefault();
        submit();
      }}
      onDragOver={(event) => {
        event.preventDefault();
        setDragging(true);
      }}
      onDragLeave={() => setDragging(false)}
      onDrop={onDrop}
    >
      <Thumbnails composerKey={composerKey} />
      <GrowingText
        label="Message"
        placeholder="Write a message"
        value={text.value}
        focus={focus}
        focusKey={composerKey}
        onInput={(value) => setText(composerKey, value)}
        onSubmit={submit}
        onPaste={onPaste}
      />
      <div class="composer-row">
        <input
          ref={fileInput}
          type="file"
          class="visually-hidden"
          tabIndex={-1}
          aria-label="Choose images"
          accept={IMAGE_TYPES.join(",")}
          multiple
          onChange={(event) => {
            void attachFiles(composerKey, [...(event.currentTarget.files ?? [])]);
            event.currentTarget.value = "";
          }}
        />
        <IconButton icon="attach" label="Attach images" onClick={() => fileInput.current?.click()} />
        <ModelPicker selected={chosenModel.value} onSelect={(id) => void chooseConversationModel(id)} />
        {answering ? (
          <button type="button" class="send-button" aria-label="Stop" title="Stop (Esc)" onClick={() => void stopAnswer()}>
            <Icon name="stop" />
          </button>
        ) : (
          <button type="submit" class="send-button" aria-label="Send" title="Send (Enter)" disabled={!canSend()}>
            <Icon name="send" />
          </button>
        )}
      </div>
    </form>
  );
}

function Thumbnails({ composerKey }: { composerKey: string }) {
  const images = composerFor(composerKey).images.value;
  if (images.length === 0) return null;
  return (
    <ul class="thumbnails" aria-label="Attached images">
      {images.map((image, index) => (
        <li key={index}>
          <img src={imageSource(image) ?? ""} alt={`Image ${index + 1}`} />
          <IconButton icon="close" label={`Remove image ${index + 1}`} onClick={() => removeImage(composerKey, index)} />
        </li>
      ))}
    </ul>
  );
}

/** Escape stops the answer from anywhere on the page, unless something open wanted it first. */
function useStopKey(answering: boolean): void {
  useEffect(() => {
    if (!answering) return;
    const onKeyDown = (event: KeyboardEvent) => {
      if (event.key === "Escape" && !event.defaultPrevented && !event.isComposing) void stopAnswer();
    };
    addEventListener("keydown", onKeyDown);
    return () => removeEventListener("keydown", onKeyDown);
  }, [answering]);
}
