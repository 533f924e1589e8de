/** Something that Latchkey answers otherwise than SimpleJWT 5.2.2, on purpose. */
interface Difference {
  /** As docs/migrating-from-django.md has it; the test compares. */
  what: string;
  why: string;
  /** Names of the requests that show it. */
  cases: readonly string[];
}

const onBoth = (...names: string[]): string[] =>
  names.flatMap((name) => [`refresh: ${name}`, `verify: ${name}`]);

export const DIFFERENCES: readonly Difference[] = [
  {
    what: 'Tokens of disabled and of deleted accounts are refused, with 401, when they are refreshed or verified.',
    why: 'SimpleJWT 5.2.2 takes them until they expire (CVE-2024-22513); later versions refuse them as well.',
    cases: [
      ...onBoth('a refresh token of an inactive user', 'a refresh token of nobody'),
      'verify: an access token of an inactive user',
      'verify: an access token of nobody',
    ],
  },
  {
    what: 'A refresh token that was just used gives the same successor again; it is not “blacklisted” at once.',
    why: 'An answer that was lost would sign its owner out. Once the successor has been used, the old token is theft.',
    cases: onBoth('of ben, spent'),
  },
  {
    what: 'A blacklisted token is 401 at verify, as at refresh; SimpleJWT says 400 there.',
    why: 'A client must not take it for a mistake in its request.',
    cases: ['verify: blacklisted'],
  },
  {
    what: 'A signed token without `exp`, `jti`, `token_type`, `user_id` or the header `typ`, or of another type, is “invalid or expired”.',
    why: 'SimpleJWT takes most of them at verify and fails with 500 for one; it never makes any.',
    cases: [
      ...onBoth('without exp', 'without jti', 'without token_type', 'of another token_type'),
      ...onBoth('without user_id', 'a user_id that is a list', 'a header of no typ'),
    ],
  },
  {
    what: 'A token is taken in its own spelling only: not with padding or stray bits at the end of its signature.',
    why: 'Whoever keeps a list of tokens would take the same one for two (RFC 7515 §2: no padding).',
    cases: onBoth('a signature with padding'),
  },
  {
    what: 'JSON with a key `__proto__`, or with a `prototype` in a `constructor`, is malformed.',
    why: 'It is an attack on JavaScript programs; Python does not know it.',
    cases: ['obtain: __proto__'],
  },
  {
    what: 'Usernames are found in capital and small letters alike, and in every Unicode spelling.',
    why: 'Two accounts whose names look the same are an invitation to fraud; the import reports those that would clash.',
    cases: ['obtain: in other letters', 'obtain: a username in another form'],
  },
  {
    what: '`/api/token/` takes `email` instead of `username`, and as `username` an e-mail address or a phone number in any spelling.',
    why: 'No username is either here, so nothing else can be meant.',
    cases: [
      'obtain: by e-mail',
      'obtain: an address as username',
      'obtain: a phone number in another spelling',
    ],
  },
  {
    what: 'The scheme of `Authorization` may be written `bearer`.',
    why: 'RFC 9110 §11.1: it is case-insensitive.',
    cases: ['bearer: in small letters'],
  },
  {
    what: 'A path without its last slash is the same route, not a redirect.',
    why: 'A redirected POST loses its body in many clients.',
    cases: [
      'POST /api/token/ without its slash',
      'POST /api/token/refresh/ without its slash',
      'POST /api/token/verify/ without its slash',
    ],
  },
  {
    what: 'Answers are JSON, whatever `Accept` asks for, also those to paths that do not exist.',
    why: 'There is nothing else to choose from, and no HTML page tells a client anything.',
    cases: ['obtain: an answer as XML asked for', 'no such path'],
  },
  {
    what: '`OPTIONS` is for CORS alone and describes no route; `Allow` comes with 405 only.',
    why: 'The description is at `/openapi.json`.',
    cases: ['OPTIONS /api/token/', 'OPTIONS /api/token/refresh/', 'OPTIONS /api/token/verify/'],
  },
];
