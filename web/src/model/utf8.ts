// Places in a text as the server counts them: in bytes of UTF-8.

const encoder = new TextEncoder();
const decoder = new TextDecoder("utf-8", { ignoreBOM: true });

export function byteLength(text: string): number {
  return encoder.encode(text).length;
}

/** The first `bytes` bytes of a text; half a character at the end is left out. */
export function firstBytes(text: string, bytes: number): string {
  const all = encoder.encode(text);
  if (bytes >= all.length) return text;
  let end = Math.max(0, bytes);
  while (end > 0 && ((all[end] ?? 0) & 0xc0) === 0x80) end--;
  return decoder.decode(all.subarray(0, end));
}
