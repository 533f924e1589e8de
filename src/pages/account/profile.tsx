import { useState } from 'preact/hooks';
import type { User } from '../../client/auth-client.js';
import { useTexts } from '../locale.js';
import { settings } from '../page-settings.js';
import { client } from '../session.js';
import { accountTexts } from '../texts/account.js';
import { authTexts } from '../texts/auth.js';
import { userTypeName } from '../texts/user-types.js';
import { SelectField } from '../ui/field.js';
import { Form } from '../ui/form.js';
import { NameFields, readNames, UsernameField } from '../ui/person-fields.js';
import { SaveRow } from '../ui/save-row.js';
import { Section } from '../ui/section.js';

export function Profile({ user, onChanged }: { user: User; onChanged: () => void }) {
  const texts = { ...useTexts(authTexts), ...useTexts(accountTexts) };
  const typeName = useTexts(userTypeName);
  const [isSaved, setSaved] = useState(false);
  // None yet, or one that is no longer offered.
  const present = user.user_type ?? '';
  const types = settings.userTypes.includes(present) ? [] : [present];
  return (
    <Section id="profile" title={texts.profile} lead={texts.profileLead}>
      <Form
        onSubmit={async ({ user_type, ...names }) => {
          setSaved(false);
          await client.updateProfile({
            ...readNames(user, names),
            ...(user_type !== undefined && user_type !== user.user_type && { user_type }),
          });
          setSaved(true);
          onChanged();
        }}
      >
        {({ faults, busy }) => (
          <>
            <div class="columns">
              <NameFields faults={faults} user={user} />
              <UsernameField faults={faults} user={user} />
              {settings.userTypes.length > 1 && (
                <SelectField
                  name="user_type"
                  label={texts.userType}
                  value={present}
                  options={[...types, ...settings.userTypes].map(
                    (type) => [type, type ? typeName(type) : '–'] as const,
                  )}
                  fault={faults.user_type}
                />
              )}
            </div>
            <SaveRow busy={busy} isSaved={isSaved} />
          </>
        )}
      </Form>
    </Section>
  );
}
