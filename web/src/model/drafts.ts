// What a person typed and the server has not yet confirmed. It outlives reloads and crashes of the
// page: a draft leaves storage only when its `accepted` has come.
//
// key     a conversation's id, "new" for none yet, or "edit:" and the id of a message being edited
// draft   what stands in the composer
// pending what was sent and not confirmed
export interface DraftStorage {
  getItem(key: string): string | null;
  setItem(key: string, value: string): void;
  removeItem(key: string): void;
  readonly length: number;
  key(index: number): string | null;
}

const PREFIX = "parley.draft.";
const PENDING_PREFIX = "parley.pending.";
const OWNER_KEY = "parley.writer";

export class Drafts {
  readonly #storage: DraftStorage;

  constructor(storage: DraftStorage) {
    this.#storage = storage;
  }

  read(key: string): string {
    return this.#get(PREFIX + key);
  }

  write(key: string, text: string): void {
    this.#set(PREFIX + key, text);
  }

  /** The composer empties, but the text stays in storage until `confirm`. */
  moveToPending(key: string, text: string): void {
    this.#set(PENDING_PREFIX + key, joinTexts(this.#get(PENDING_PREFIX + key), text));
    this.write(key, "");
  }

  confirm(key: string): void {
    this.#set(PENDING_PREFIX + key, "");
  }

  /** Gives back what an earlier life of the page sent without hearing of it. */
  takeUnconfirmed(key: string): string {
    const text = this.#get(PENDING_PREFIX + key);
    this.confirm(key);
    return text;
  }

  /** Whose drafts these are from now on. Those of somebody else are thrown away, and true is given:
   *  whoever signs in next in this browser must not read them. */
  claim(owner: string): boolean {
    const before = this.#get(OWNER_KEY);
    this.#set(OWNER_KEY, owner);
    if (before === "" || before === owner) return false;
    for (const key of this.#keys()) this.#set(key, "");
    return true;
  }

  #keys(): string[] {
    const keys = Array.from({ length: this.#storage.length }, (_, index) => this.#storage.key(index) ?? "");
    return keys.filter((key) => key.startsWith(PREFIX) || key.startsWith(PENDING_PREFIX));
  }

  // Storage may be full or forbidden; typing must go on all the same.
  #get(key: string): string {
    try {
      return this.#storage.getItem(key) ?? "";
    } catch {
      return "";
    }
  }

  #set(key: string, text: string): void {
    try {
      if (text === "") this.#storage.removeItem(key);
      else this.#storage.setItem(key, text);
    } catch {
      return;
    }
  }
}

export function joinTexts(first: string, second: string): string {
  return [first, second].filter((text) => text.trim() !== "").join("\n\n");
}
