// Small questions about the parts of a message.
import type { ImagePart, Part } from "../protocol.ts";

export const IMAGE_TYPES = ["image/png", "image/jpeg", "image/gif", "image/webp"];
export const IMAGE_BYTES_MAX = 5 * 1024 * 1024;

export function textOf(content: readonly Part[]): string {
  return content.flatMap((part) => (part.type === "text" ? [part.text] : [])).join("\n\n");
}

export function imagesOf(content: readonly Part[]): ImagePart[] {
  return content.filter((part): part is ImagePart => part.type === "image");
}

/** A plain string when there is only text: the form every server and log shows best. */
export function makeContent(text: string, images: readonly ImagePart[]): string | Part[] {
  if (images.length === 0) return text;
  return text === "" ? [...images] : [...images, { type: "text", text }];
}

export function partsOf(content: string | Part[]): Part[] {
  return typeof content === "string" ? [{ type: "text", text: content }] : content;
}

/** Whether two contents say the same, to recognise a message whose confirmation got lost. */
export function sameContent(left: string | Part[], right: string | Part[]): boolean {
  const [a, b] = [partsOf(left), partsOf(right)];
  return textOf(a) === textOf(b) && imagesOf(a).length === imagesOf(b).length;
}

/** null when the file may be attached, otherwise what to tell the person. */
export function imageRefusal(name: string, type: string, bytes: number): string | null {
  if (!IMAGE_TYPES.includes(type)) return `${name}: only PNG, JPEG, GIF and WebP images can be attached.`;
  if (bytes > IMAGE_BYTES_MAX) return `${name}: larger than 5 MB.`;
  return null;
}

/** Only what the server could have meant as a picture becomes a data: address. */
export function imageSource(part: ImagePart): string | null {
  if (part.data === undefined || !IMAGE_TYPES.includes(part.mime ?? "")) return null;
  return `data:${part.mime};base64,${part.data}`;
}
