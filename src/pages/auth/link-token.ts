import { getPlace, scrubQuery } from '../router.js';

/**
 * The token of the link that led here. It is taken out of the address bar before anything else happens: whoever sees the
 * screen, the history or a later `Referer` gets nothing by it.
 */
const token = getPlace().query.get('token') ?? undefined;
if (token !== undefined) scrubQuery();

let isSpent = false;

export const linkToken = (): string | undefined => (isSpent ? undefined : token);

export function spendLinkToken(): void {
  isSpent = true;
}
