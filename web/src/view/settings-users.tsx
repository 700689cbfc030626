// The people of this Parley; an administrator adds them.
import { useState } from "preact/hooks";
import { api, problemOf } from "../net/api.ts";
import type { Problem } from "../protocol.ts";
import { Field, ProblemNote } from "./parts.tsx";
import { LoadNote, Section, useLoaded } from "./settings-parts.tsx";

export function UsersSection() {
  const loaded = useLoaded(async () => (await api.users()).users);
  const [adding, setAdding] = useState(false);
  return (
    <Section title="People" lead="Who can sign in here. Everyone sees only their own conversations.">
      <LoadNote loaded={loaded} />
      <ul class="rows">
        {loaded.value?.map((person) => (
          <li key={person.id} class="row" data-testid="user">
            <div class="row-main">
              <div class="row-title">
                {person.name || person.email}
                {person.role === "admin" && <span class="badge">Administrator</span>}
              </div>
              {person.name !== "" && <div class="row-detail">{person.email}</div>}
            </div>
          </li>
        ))}
      </ul>
      {adding ? (
        <NewUser
          onDone={() => {
            setAdding(false);
            loaded.reload();
          }}
          onCancel={() => setAdding(false)}
        />
      ) : (
        <button type="button" class="button" onClick={() => setAdding(true)}>
          Add a person
        </button>
      )}
    </Section>
  );
}

function NewUser({ onDone, onCancel }: { onDone: () => void; onCancel: () => void }) {
  const [name, setName] = useState("");
  const [email, setEmail] = useState("");
  const [password, setPassword] = useState("");
  const [isAdministrator, setAdministrator] = useState(false);
  const [problem, setProblem] = useState<Problem | null>(null);
  const create = async () => {
    setProblem(null);
    try {
      await api.createUser({
        email,
        password,
        role: isAdministrator ? "admin" : "user",
        ...(name.trim() === "" ? {} : { name: name.trim() }),
      });
      onDone();
    } catch (thrown) {
      setProblem(problemOf(thrown));
    }
  };
  return (
    <form
      class="card-form"
      aria-label="New person"
      onSubmit={(event) => {
        event.preventDefault();
        void create();
      }}
    >
      <Field label="Name" value={name} onInput={setName} focus hint="Optional." />
      <Field label="Email" type="email" required autoComplete="off" value={email} onInput={setEmail} />
      <Field
        label="First password"
        type="password"
        required
        autoComplete="new-password"
        value={password}
        onInput={setPassword}
      />
      <label class="check">
        <input
          type="checkbox"
          checked={isAdministrator}
          onChange={(event) => setAdministrator(event.currentTarget.checked)}
        />
        Administrator
      </label>
      {problem && <ProblemNote problem={problem} />}
      <div class="button-pair">
        <button type="button" class="button" onClick={onCancel}>
          Cancel
        </button>
        <button type="submit" class="button primary">
          Add
        </button>
      </div>
    </form>
  );
}
