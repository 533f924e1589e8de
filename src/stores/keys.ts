/**
 * Every key of the state store, in one place. The part in braces is the Redis Cluster hash tag: all that one
 * script touches shares it and so lives in one slot.
 *
 * | key                      | what                                        | lives                                  |
 * |--------------------------|---------------------------------------------|----------------------------------------|
 * | `{user}:u`               | epoch, fences, snapshot, the user's counter | as long as the user's longest session  |
 * | `{user}:s:<sid>`         | a session, or why it ended                  | until its newest refresh token expires |
 * | `{user}:i`               | which sessions to list (never to revoke by) | as long as the longest of them         |
 * | `{user}:b:<jti>`         | a blacklisted token                         | as long as the token would have        |
 * | `{slot}:l:<rule>`        | a counter                                   | its window                             |
 * | `{probe}`                | whether the store takes writes              | a second                               |
 */
export interface Keys {
  user(userId: string): string;
  session(userId: string, sessionId: string): string;
  index(userId: string): string;
  blacklisted(userId: string, jti: string): string;
  limit(slot: string, rule: string): string;
  probe(): string;
}

export function createKeys(prefix: string): Keys {
  return {
    user: (userId) => `${prefix}{${userId}}:u`,
    session: (userId, sessionId) => `${prefix}{${userId}}:s:${sessionId}`,
    index: (userId) => `${prefix}{${userId}}:i`,
    blacklisted: (userId, jti) => `${prefix}{${userId}}:b:${jti}`,
    limit: (slot, rule) => `${prefix}{${slot}}:l:${rule}`,
    probe: () => `${prefix}{probe}`,
  };
}
