// The pages before one is in: setting up the first account, and signing in.
import type { ComponentChildren } from "preact";
import { useState } from "preact/hooks";
import { problemOf } from "../net/api.ts";
import type { Problem } from "../protocol.ts";
import { loadSession, session, setUp, signIn } from "../state/session.ts";
import { Mark } from "./icons.tsx";
import { Field, ProblemNote } from "./parts.tsx";

interface EntryFormProps {
  title: string;
  lead: string;
  button: string;
  submit: () => Promise<void>;
  problem: Problem | null;
  setProblem: (problem: Problem | null) => void;
  children: ComponentChildren;
}

function EntryForm({ title, lead, button, submit, problem, setProblem, children }: EntryFormProps) {
  const [busy, setBusy] = useState(false);
  const onSubmit = async (event: Event) => {
    event.preventDefault();
    setBusy(true);
    setProblem(null);
    try {
      await submit();
    } catch (thrown) {
      setProblem(problemOf(thrown));
    } finally {
      setBusy(false);
    }
  };
  return (
    <main class="entry">
      <form class="entry-card" aria-label={title} onSubmit={(event) => void onSubmit(event)}>
        <Mark size={40} />
        <h1>{title}</h1>
        <p class="lead">{lead}</p>
        {children}
        {problem && <ProblemNote problem={problem} />}
        <button type="submit" class="button primary wide" disabled={busy}>
          {button}
        </button>
      </form>
      <p class="fine-print">Parley {session.value?.version}</p>
    </main>
  );
}

export function SignInPage() {
  const [email, setEmail] = useState("");
  const [password, setPassword] = useState("");
  const [problem, setProblem] = useState<Problem | null>(null);
  return (
    <EntryForm
      title="Sign in"
      lead="Welcome back."
      button="Sign in"
      submit={() => signIn(email, password)}
      problem={problem}
      setProblem={setProblem}
    >
      <Field label="Email" type="email" autoComplete="username" required focus value={email} onInput={setEmail} />
      <Field
        label="Password"
        type="password"
        autoComplete="current-password"
        required
        value={password}
        onInput={setPassword}
      />
    </EntryForm>
  );
}

export function SetupPage({ token: given }: { token: string }) {
  const [token, setToken] = useState(given);
  const [name, setName] = useState("");
  const [email, setEmail] = useState("");
  const [password, setPassword] = useState("");
  const [problem, setProblem] = useState<Problem | null>(null);
  const submit = () =>
    setUp({ token: token.trim(), email, password, ...(name.trim() === "" ? {} : { name: name.trim() }) });
  return (
    <EntryForm
      title="Welcome to Parley"
      lead="Create the first account. It will be the administrator's."
      button="Create account"
      submit={submit}
      problem={problem}
      setProblem={setProblem}
    >
      {(given === "" || problem?.field === "token") && (
        <Field
          label="Setup token"
          autoComplete="off"
          required
          focus
          value={token}
          onInput={setToken}
          hint="Parley printed it, with a link, when it was started."
        />
      )}
      <Field label="Name" autoComplete="name" value={name} onInput={setName} focus={given !== ""} hint="Optional." />
      <Field label="Email" type="email" autoComplete="username" required value={email} onInput={setEmail} />
      <Field
        label="Password"
        type="password"
        autoComplete="new-password"
        required
        value={password}
        onInput={setPassword}
        hint="A long phrase is better than a short riddle."
      />
    </EntryForm>
  );
}

export function UnreachablePage({ problem }: { problem: Problem }) {
  return (
    <main class="entry">
      <ProblemNote problem={problem}>
        <button type="button" class="button" onClick={() => void loadSession()}>
          Try again
        </button>
      </ProblemNote>
    </main>
  );
}
