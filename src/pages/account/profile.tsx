import { useState } from 'preact/hooks';
import type { User } from '../../client/auth-client.js';
import { useTexts } from '../locale.js';
import { settings } from '../page-settings.js';
import { client } from '../session.js';
import { accountTexts } from '../texts/account.js';
import { authTexts } from '../texts/auth.js';
import { uiTexts } from '../texts/ui.js';
import { userTypeName } from '../texts/user-types.js';
import { Button } from '../ui/button.js';
import { Field, SelectField } from '../ui/field.js';
import { Form } from '../ui/form.js';
import { Notice } from '../ui/notice.js';
import { Section } from '../ui/section.js';

export function Profile({ user }: { user: User }) {
  const texts = { ...useTexts(uiTexts), ...useTexts(authTexts), ...useTexts(accountTexts) };
  const typeName = useTexts(userTypeName);
  const [isSaved, setSaved] = useState(false);
  // None yet, or one that is no longer offered.
  const present = user.user_type ?? '';
  const types = settings.userTypes.includes(present) ? [] : [present];
  return (
    <Section id="profile" title={texts.profile} lead={texts.profileLead}>
      <Form
        onSubmit={async ({ first_name = '', last_name = '', username, user_type }) => {
          setSaved(false);
          await client.updateProfile({
            first_name,
            last_name,
            // A name that was left empty stays as it was.
            ...(username !== undefined && username !== user.username && { username }),
            ...(user_type !== undefined && user_type !== user.user_type && { user_type }),
          });
          setSaved(true);
        }}
      >
        {({ faults, busy }) => (
          <>
            <div class="columns">
              <Field
                name="first_name"
                label={texts.firstName}
                autocomplete="given-name"
                dir="auto"
                initial={user.first_name}
                fault={faults.first_name}
              />
              <Field
                name="last_name"
                label={texts.lastName}
                autocomplete="family-name"
                dir="auto"
                initial={user.last_name}
                fault={faults.last_name}
              />
              <Field
                name="username"
                label={texts.username}
                autocomplete="nickname"
                autocapitalize="none"
                spellcheck={false}
                latin
                initial={user.username ?? ''}
                fault={faults.username}
              />
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
            <div class="row">
              <Button type="submit" kind="primary" busy={busy}>
                {texts.save}
              </Button>
              {isSaved && !busy && <Notice kind="good">{texts.saved}</Notice>}
            </div>
          </>
        )}
      </Form>
    </Section>
  );
}
