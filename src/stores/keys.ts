/**
 * Every key of the state store, in one place. The part in braces is the Redis Cluster hash tag: all that one
 * script touches shares it and so lives in one slot.
 *
 * | key                      | what                                        | lives                                  |
 * |--------------------------|---------------------------------------------|----------------------------------------|
 * | `{user}:u`               | epoch, fences, snapshot, the user's counter | as long as the user's longest session  |
 * | `{user}:s:<sid>`         | a session, or why it ended; an old token    | until its newest refresh token expires |
 * | `{user}:i`               | which sessions to list (never to revoke by) | as long as the longest of them         |
 * | `{user}:b:<jti>`         | a blacklisted token                         | as long as the token would have        |
 * | `{user}:dv`              | the devices the user logged in with         | 90 days after the last login           |
 * | `{account}:w`            | wrong passwords in a row                    | a day after the last                   |
 * | `{slot}:l:<rule>`        | a counter                                   | its window                             |
 * | `{otp:number}:s`         | codes sent to a number                      | a day after the last                   |
 * | `{otp:number}:d`         | those since the last that was proved        | a day after the last                   |
 * | `{otp:number}:w`         | wrong codes                                 | a day after the last                   |
 * | `{otp:number}:c:<use>`   | a challenge, or that it was answered        | as long as its code; answered: ≥ 60 s  |
 * | `{ip:address}:os`        | codes sent for an address                   | an hour after the last                 |
 * | `{ip:address}:od`        | a day's counts of them, sent and proved     | a day after the first                  |
 * | `{otp-country:IR}:d`     | the same of a country                       | a day after the first                  |
 * | `{otp-all}:d`            | and of all                                  | a day after the first                  |
 * | `{ticket:hash}`          | what a link in an e-mail is good for        | 30 minutes, or until it is used        |
 * | `{probe}`                | whether the store takes writes              | a second                               |
 */
export interface Keys {
  user(userId: string): string;
  session(userId: string, sessionId: string): string;
  index(userId: string): string;
  blacklisted(userId: string, jti: string): string;
  devices(userId: string): string;
  /** `account` is a user's id, or a fingerprint of what is nobody's. */
  wrongPasswords(account: string): string;
  limit(slot: string, rule: string): string;
  /** `number` is a fingerprint. */
  numberSends(number: string): string;
  coolDown(number: string): string;
  wrongTries(number: string): string;
  challenge(number: string, purpose: string): string;
  addressSends(address: string): string;
  addressDay(address: string): string;
  countryDay(country: string): string;
  allDay(): string;
  /** `hash` is that of its token. */
  ticket(hash: string): string;
  probe(): string;
}

export function createKeys(prefix: string): Keys {
  return {
    user: (userId) => `${prefix}{${userId}}:u`,
    session: (userId, sessionId) => `${prefix}{${userId}}:s:${sessionId}`,
    index: (userId) => `${prefix}{${userId}}:i`,
    blacklisted: (userId, jti) => `${prefix}{${userId}}:b:${jti}`,
    devices: (userId) => `${prefix}{${userId}}:dv`,
    wrongPasswords: (account) => `${prefix}{${account}}:w`,
    limit: (slot, rule) => `${prefix}{${slot}}:l:${rule}`,
    numberSends: (number) => `${prefix}{otp:${number}}:s`,
    coolDown: (number) => `${prefix}{otp:${number}}:d`,
    wrongTries: (number) => `${prefix}{otp:${number}}:w`,
    challenge: (number, purpose) => `${prefix}{otp:${number}}:c:${purpose}`,
    addressSends: (address) => `${prefix}{ip:${address}}:os`,
    addressDay: (address) => `${prefix}{ip:${address}}:od`,
    countryDay: (country) => `${prefix}{otp-country:${country}}:d`,
    allDay: () => `${prefix}{otp-all}:d`,
    ticket: (hash) => `${prefix}{ticket:${hash}}`,
    probe: () => `${prefix}{probe}`,
  };
}
