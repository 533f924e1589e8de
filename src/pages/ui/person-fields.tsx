import type { ComponentChildren } from 'preact';
import type { User } from '../../client/auth-client.js';
import { useTexts } from '../locale.js';
import { authTexts } from '../texts/auth.js';
import { Field } from './field.js';
import type { Values } from './form.js';

interface PersonFieldsProps {
  faults: Values;
  /** Who has them already. */
  user?: User;
  /** They are not the reader's: browsers have nothing to fill in. */
  ofOther?: boolean;
  /** Beside each label. */
  aside?: ComponentChildren;
}

export function NameFields({ faults, user, ofOther, aside }: PersonFieldsProps) {
  const texts = useTexts(authTexts);
  return (
    <>
      <Field
        name="first_name"
        label={texts.firstName}
        autocomplete={ofOther ? 'off' : 'given-name'}
        dir="auto"
        aside={aside}
        initial={user?.first_name}
        fault={faults.first_name}
      />
      <Field
        name="last_name"
        label={texts.lastName}
        autocomplete={ofOther ? 'off' : 'family-name'}
        dir="auto"
        aside={aside}
        initial={user?.last_name}
        fault={faults.last_name}
      />
    </>
  );
}

export function UsernameField({ faults, user, ofOther, aside }: PersonFieldsProps) {
  const texts = useTexts(authTexts);
  return (
    <Field
      name="username"
      label={texts.username}
      autocomplete={ofOther ? 'off' : 'nickname'}
      autocapitalize="none"
      spellcheck={false}
      latin
      aside={aside}
      initial={user?.username ?? ''}
      fault={faults.username}
    />
  );
}

/** What such a form asks for. A username cannot be taken away: one that was left empty stays as it was. */
export const readNames = (user: User, { first_name = '', last_name = '', username }: Values) => ({
  first_name,
  last_name,
  ...(username !== undefined && username !== user.username && { username }),
});
