/**
 * Is it the token that an answer refuses? `verdict` is its header `X-Auth-Status`: a wrong password is 401 too, and
 * some old routes say 403 to a revoked token. Whoever does not send that header means the token by any 401.
 */
export const refusesToken = (status: number, verdict: string | null | undefined): boolean =>
  verdict ? /^(expired|revoked|invalid)$/.test(verdict) : status === 401;
