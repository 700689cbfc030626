// Model output is hostile: only addresses that can do no harm when clicked become links.
const SAFE = new Set(["http:", "https:", "mailto:"]);

/** The address to link to, or null when it must stay text. Relative addresses are refused too:
 *  they would point into this app. */
export function safeLink(href: string): string | null {
  try {
    const url = new URL(href);
    return SAFE.has(url.protocol) ? url.href : null;
  } catch {
    return null;
  }
}
