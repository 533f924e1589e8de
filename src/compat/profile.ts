import type { ProfileChange } from '../accounts/profile.js';

/** What the old systems let people say of themselves, under the names that all of them used. */
export interface ProfileFields {
  first_name?: string;
  last_name?: string;
  username?: string;
  user_type?: string;
}

export const readProfile = (fields: ProfileFields): ProfileChange => ({
  firstName: fields.first_name,
  lastName: fields.last_name,
  username: fields.username,
  userType: fields.user_type,
});
