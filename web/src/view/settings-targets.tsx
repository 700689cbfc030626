// Targets: every model at its provider, how it answers, and taking one out by hand.
import { useEffect, useState } from "preact/hooks";
import { figures, helpNeeded, isKnown, stateWord } from "../model/targets.ts";
import type { Target } from "../protocol.ts";
import { benchTarget, loadTargets, restoreTarget, targets, targetsProblem } from "../state/targets.ts";
import { showProblem } from "../state/toasts.ts";
import { LoadNote, Section } from "./settings-parts.tsx";

export function TargetsSection() {
  const [all, setAll] = useState(false);
  useEffect(() => void loadTargets(), []);
  const list = targets.value ?? [];
  const shown = all ? list : list.filter(isKnown);
  const hidden = list.length - shown.length;
  return (
    <Section title="Targets" lead="Each model at its provider: whether it answers, and how fast. One that keeps failing is left alone for a while by itself.">
      <LoadNote loaded={{ value: targets.value, problem: targetsProblem.value, reload: () => void loadTargets() }} />
      <ul class="rows">
        {shown.map((target) => (
          <TargetRow key={target.id} target={target} />
        ))}
      </ul>
      <div class="button-pair">
        {targets.value !== null && (
          <button type="button" class="button" onClick={() => void loadTargets()}>
            Look again
          </button>
        )}
        {hidden > 0 && (
          <button type="button" class="button" onClick={() => setAll(true)}>
            {hidden === 1 ? "Show 1 that was not asked yet" : `Show ${hidden} that were not asked yet`}
          </button>
        )}
      </div>
    </Section>
  );
}

const time = (text: string) => new Date(text).toLocaleString(undefined, { dateStyle: "short", timeStyle: "short" });

function TargetRow({ target }: { target: Target }) {
  const [busy, setBusy] = useState(false);
  const { id, state, until, reason, last_error: error } = target;
  const attempt = async (action: (id: string) => Promise<void>) => {
    setBusy(true);
    await action(id).catch(showProblem);
    setBusy(false);
  };
  const works = state === "closed";
  const help = helpNeeded(target);
  const why = help === null ? reason : `${help.charAt(0).toUpperCase()}${help.slice(1)}: ${reason}`;
  return (
    <li class="row" data-testid={`target-${id}`} data-state={state}>
      <div class="row-main">
        <div class="row-title">
          {id}
          <span class={`badge is-${works ? "ok" : "error"}`}>{stateWord(target)}</span>
          {until !== null && <span class="quiet target-until">until {time(until)}</span>}
        </div>
        {why !== "" && <div class="row-message">{why}</div>}
        <div class="row-detail">{figures(target)}</div>
        {error !== null && error.message !== reason && (
          <div class="row-detail">
            Last failure, {time(error.when)}: {error.message}
          </div>
        )}
      </div>
      <div class="button-pair">
        {state !== "benched" && (
          <button type="button" class="button" aria-label={`Take out ${id} for an hour`} disabled={busy} onClick={() => void attempt(benchTarget)}>
            Take out for an hour
          </button>
        )}
        {!works && (
          <button type="button" class="button" aria-label={`Bring back ${id}`} disabled={busy} onClick={() => void attempt(restoreTarget)}>
            Bring back
          </button>
        )}
      </div>
    </li>
  );
}
