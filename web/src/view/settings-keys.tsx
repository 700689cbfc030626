// API keys: made, shown this once, revoked.
import { useEffect, useRef, useState } from "preact/hooks";
import { api, problemOf } from "../net/api.ts";
import type { ApiKey, Problem } from "../protocol.ts";
import { CopyButton, ProblemNote } from "./parts.tsx";
import { formatDay, LoadNote, Section, useLoaded } from "./settings-parts.tsx";

export function KeysSection() {
  const loaded = useLoaded(async () => (await api.keys()).keys);
  const [name, setName] = useState("");
  const [made, setMade] = useState<{ key: ApiKey; secret: string } | null>(null);
  const [problem, setProblem] = useState<Problem | null>(null);
  const attempt = async (action: () => Promise<void>) => {
    setProblem(null);
    try {
      await action();
      loaded.setValue((await api.keys()).keys);
    } catch (thrown) {
      setProblem(problemOf(thrown));
    }
  };
  const create = async () => {
    setMade(await api.createKey(name.trim()));
    setName("");
  };
  const revoke = async (key: ApiKey) => {
    await api.revokeKey(key.id);
    if (made?.key.id === key.id) setMade(null);
  };
  return (
    <Section
      title="API keys"
      lead="For programs that speak OpenAI's API. A key acts in your name; give each program its own."
    >
      {problem && <ProblemNote problem={problem} />}
      <LoadNote loaded={loaded} />
      <ul class="rows">
        {loaded.value
          ?.filter((key) => !key.revoked)
          .map((key) => (
            <KeyRow key={key.id} apiKey={key} onRevoke={() => void attempt(() => revoke(key))} />
          ))}
      </ul>
      {made && <NewSecret key={made.key.id} secret={made.secret} onDone={() => setMade(null)} />}
      <form
        class="inline-form"
        aria-label="New API key"
        onSubmit={(event) => {
          event.preventDefault();
          void attempt(create);
        }}
      >
        <input
          type="text"
          aria-label="Name of the new key"
          placeholder="What is it for?"
          required
          maxLength={100}
          value={name}
          onInput={(event) => setName(event.currentTarget.value)}
        />
        <button type="submit" class="button">
          Create key
        </button>
      </form>
    </Section>
  );
}

function NewSecret({ secret, onDone }: { secret: string; onDone: () => void }) {
  const box = useRef<HTMLDivElement>(null);
  useEffect(() => box.current?.scrollIntoView({ block: "nearest" }), []);
  return (
    <div ref={box} class="new-secret" role="status" data-testid="new-key">
      <p>Copy this key now. It is shown this once and cannot be read again.</p>
      <div class="secret-line">
        <code>{secret}</code>
        <CopyButton text={() => secret} label="Copy key">
          Copy
        </CopyButton>
      </div>
      <button type="button" class="button" onClick={onDone}>
        I have kept it
      </button>
    </div>
  );
}

/** Revoking cannot be undone, so the button asks once more. */
function KeyRow({ apiKey, onRevoke }: { apiKey: ApiKey; onRevoke: () => void }) {
  const [asking, setAsking] = useState(false);
  return (
    <li class="row" data-testid="api-key">
      <div class="row-main">
        <div class="row-title">{apiKey.name}</div>
        <div class="row-detail">
          <code>{apiKey.prefix}…</code> · made {formatDay(apiKey.created_at)} · last used {formatDay(apiKey.last_used_at)}
        </div>
      </div>
      {asking ? (
        <div class="button-pair">
          <button type="button" class="button" onClick={() => setAsking(false)}>
            Keep
          </button>
          <button type="button" class="button danger" aria-label={`Really revoke ${apiKey.name}`} onClick={onRevoke}>
            Revoke now
          </button>
        </div>
      ) : (
        <button type="button" class="button" aria-label={`Revoke ${apiKey.name}`} onClick={() => setAsking(true)}>
          Revoke
        </button>
      )}
    </li>
  );
}
