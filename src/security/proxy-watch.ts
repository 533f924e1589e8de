import {
  createTrustedProxy,
  isInternalPeer,
  isSame,
  lastEntry,
  type RequestHeaders,
  type TrustedProxy,
  type TrustProxy,
} from './client-address.js';

/** What a request shows to be wrong about TRUST_PROXY. */
export type ProxyFault =
  /** A proxy stands before this server, but none is trusted: all callers seem to share its address. */
  | 'unnamed'
  /** Somebody reached this server around the proxy, or the proxy is not the one that is trusted. */
  | 'bypassed';

/** Looks at the requests until one shows a fault, which is told once; then it looks at none. */
export function createProxyWatch(trust: TrustProxy) {
  const proxy = createTrustedProxy(trust);
  let isOver = false;
  return (peer: string, headers: RequestHeaders): ProxyFault | undefined => {
    if (isOver) return undefined;
    const fault = proxy ? judgeTrusted(proxy, peer, headers) : judgeUntrusted(peer, headers);
    isOver = fault !== undefined;
    return fault;
  };
}

function judgeUntrusted(peer: string, headers: RequestHeaders): ProxyFault | undefined {
  return isForwarded(headers) && isInternalPeer(peer) ? 'unnamed' : undefined;
}

/** Health checks come from within and forward nothing: they are no fault. */
function judgeTrusted(proxy: TrustedProxy, peer: string, headers: RequestHeaders): ProxyFault | undefined {
  if (proxy.isPeer(peer, headers)) return undefined;
  if (isInternalPeer(peer)) return isForwarded(headers) ? 'bypassed' : undefined;
  // On Lambda the peer is the caller, whom API Gateway names last in the header.
  return isSame(lastEntry(headers['x-forwarded-for']), peer) ? undefined : 'bypassed';
}

const isForwarded = (headers: RequestHeaders): boolean =>
  headers['x-forwarded-for'] !== undefined || headers.forwarded !== undefined;
