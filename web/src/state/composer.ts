// What stands in each composer: the text (kept in storage by `drafts`) and the pictures (kept while
// the page lives; they are too large for local storage).
import { signal, type Signal } from "@preact/signals";
import { imageRefusal } from "../model/content.ts";
import { Drafts, joinTexts } from "../model/drafts.ts";
import type { ImagePart } from "../protocol.ts";
import { showToast } from "./toasts.ts";

export interface ComposerState {
  text: Signal<string>;
  images: Signal<readonly ImagePart[]>;
}

export const drafts = new Drafts(localStorage);

const composers = new Map<string, ComposerState>();

export function composerFor(key: string): ComposerState {
  const known = composers.get(key);
  if (known) return known;
  const made = { text: signal(drafts.read(key)), images: signal<readonly ImagePart[]>([]) };
  composers.set(key, made);
  return made;
}

/** Another person's composers are empty ones. */
export function claimComposers(userId: string): void {
  if (drafts.claim(userId)) composers.clear();
}

export function setText(key: string, text: string): void {
  composerFor(key).text.value = text;
  drafts.write(key, text);
}

/** Adds to what is there already: nothing typed meanwhile may be overwritten. */
export function addText(key: string, text: string): void {
  if (text.trim() !== "") setText(key, joinTexts(text, composerFor(key).text.value));
}

export function clearComposer(key: string): void {
  setText(key, "");
  composerFor(key).images.value = [];
}

/** A new conversation got its id: what was typed meanwhile goes along. */
export function moveComposer(from: string, to: string): void {
  const { text, images } = composerFor(from);
  addText(to, text.value);
  addImages(to, images.value);
  clearComposer(from);
}

export function addImages(key: string, added: readonly ImagePart[]): void {
  const { images } = composerFor(key);
  images.value = [...added, ...images.value];
}

export async function attachFiles(key: string, files: Iterable<File>): Promise<void> {
  for (const file of files) {
    const refusal = imageRefusal(file.name, file.type, file.size);
    if (refusal !== null) {
      showToast(refusal, "error");
      continue;
    }
    const { images } = composerFor(key);
    const data = await readBase64(file);
    images.value = [...images.value, { type: "image", mime: file.type, data }];
  }
}

export function removeImage(key: string, index: number): void {
  const { images } = composerFor(key);
  images.value = images.value.filter((_, position) => position !== index);
}

function readBase64(file: File): Promise<string> {
  return new Promise((resolve, reject) => {
    const reader = new FileReader();
    reader.onerror = () => reject(reader.error);
    reader.onload = () => resolve(String(reader.result).replace(/^[^,]*,/, ""));
    reader.readAsDataURL(file);
  });
}
