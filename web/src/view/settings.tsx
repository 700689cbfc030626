// The settings page: what an administrator decides, and everyone's own API keys.
import { isAdmin } from "../state/session.ts";
import { KeysSection } from "./settings-keys.tsx";
import { ProvidersSection } from "./settings-providers.tsx";
import { TargetsSection } from "./settings-targets.tsx";
import { UsersSection } from "./settings-users.tsx";
import { ValuesSection } from "./settings-values.tsx";
import { PageHeader } from "./page-header.tsx";

export function SettingsPage() {
  return (
    <>
      <PageHeader title="Settings" />
      <div class="settings">
        <div class="settings-content">
          <ProvidersSection />
          {isAdmin.value && <TargetsSection />}
          <KeysSection />
          {isAdmin.value && <UsersSection />}
          {isAdmin.value && <ValuesSection />}
        </div>
      </div>
    </>
  );
}
