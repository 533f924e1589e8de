import ipaddr from 'ipaddr.js';
import {
  isInNetwork,
  isInternal,
  isLoopback,
  type Network,
  readAddress,
  readNetwork,
} from '../lib/network.js';

/** What stands before this server, and so may say where a request comes from. */
export type TrustProxy =
  | { readonly mode: 'none' }
  | { readonly mode: 'networks'; readonly networks: readonly string[] }
  | { readonly mode: 'apigateway' | 'cloudfront' | 'alb' };

/** Those of a request, by names in lower case. */
export type RequestHeaders = Readonly<Partial<Record<string, string | string[]>>>;

export interface TrustedProxy {
  /** Whether it was the proxy that opened this connection. */
  isPeer(peer: string, headers: RequestHeaders): boolean;
  /**
   * The address a request comes from, in one spelling: what the proxy itself added to the headers, never what it
   * was sent. `unknown` if that is no address; the peer's own if the peer is not the proxy or adds nothing.
   */
  clientAddress(peer: string, headers: RequestHeaders): string;
}

/** `undefined` when nobody is trusted. */
export function createTrustedProxy(trust: TrustProxy): TrustedProxy | undefined {
  if (trust.mode === 'none') return undefined;
  const { isPeer, readClient } = trust.mode === 'networks' ? networks(trust.networks) : MODES[trust.mode];
  return {
    isPeer,
    clientAddress(peer, headers) {
      const client = isPeer(peer, headers) ? readClient(headers, peer) : undefined;
      return client === undefined
        ? (canonicalAddress(peer) ?? peer)
        : (canonicalAddress(client) ?? 'unknown');
    },
  };
}

interface Mode {
  isPeer: TrustedProxy['isPeer'];
  /** What the proxy says, as it wrote it; `undefined` if it says nothing, as its own health checks do not. */
  readClient(headers: RequestHeaders, peer: string): string | undefined;
}

/** Nobody connects from such an address who is not in the server's own network. */
export const isInternalPeer = remembering((peer) => {
  const address = readAddress(peer);
  return address !== undefined && isInternal(address);
});

const MODES: Record<Exclude<TrustProxy['mode'], 'none' | 'networks'>, Mode> = {
  /**
   * A load balancer appends its client to `X-Forwarded-For` (`xff_header_processing.mode` is `append`, the default;
   * with `preserve` the header is the client's), with the port if `xff_client_port.enabled` says so. It connects
   * from its subnets: where their addresses are public (IPv6 targets, for one) these networks must be named instead.
   */
  alb: { isPeer: isInternalPeer, readClient: (headers) => lastEntry(headers['x-forwarded-for']) },

  /**
   * CloudFront appends the viewer to `X-Forwarded-For`. It connects from public addresses, which only a list kept by
   * AWS tells from others (a prefix list for security groups), or through a VPC origin from an internal one. A
   * request from a public address that does not even bear CloudFront's mark went around it; one that forges the
   * mark is for the security group to stop. `CloudFront-Viewer-Address` is not read: whether CloudFront or the
   * viewer wrote it depends on the origin request policy. On Lambda CloudFront itself is named last, as the peer.
   */
  cloudfront: {
    isPeer: (peer, headers) => headers['x-amz-cf-id'] !== undefined || isInternalPeer(peer),
    readClient(headers, peer) {
      const entries = split(headers['x-forwarded-for']);
      const last = entries.pop();
      return entries.length > 0 && isSame(last, peer) ? entries.pop() : last;
    },
  },

  /**
   * An HTTP API. To a Lambda function it gives its client last in `X-Forwarded-For`; there the peer is that client
   * already, or whatever in the same machine turns events into requests. Through a VPC link it writes the client into
   * `Forwarded` alone (RFC 7239, appended to what came), and `X-Forwarded-For` is by somebody else: the load balancer
   * behind the link, or the client.
   */
  apigateway: {
    isPeer: isInternalPeer,
    readClient(headers, peer) {
      const forwarded = isLoopbackPeer(peer) ? undefined : headers.forwarded;
      return forwarded === undefined
        ? lastEntry(headers['x-forwarded-for'])
        : lastForwardedFor(`${forwarded}`);
    },
  },
};

function isLoopbackPeer(peer: string): boolean {
  const address = readAddress(peer);
  return address !== undefined && isLoopback(address);
}

/** Any number of proxies in these networks, each of which appends the one it was asked by. */
function networks(trusted: readonly string[]): Mode {
  const known = trusted.map(readNetwork).filter((network): network is Network => network !== undefined);
  const isTrusted = (text: string): boolean => {
    const address = readWritten(text);
    return address !== undefined && known.some((network) => isInNetwork(address, network));
  };
  return {
    isPeer: remembering(isTrusted),
    readClient(headers) {
      const entries = split(headers['x-forwarded-for']).reverse();
      return entries.find((entry) => !isTrusted(entry)) ?? entries.at(-1);
    },
  };
}

const split = (header: string | string[] | undefined): string[] =>
  header === undefined ? [] : `${header}`.split(',');

/** What stands before it came with the request, from whoever sent it. */
export const lastEntry = (header: string | string[] | undefined): string | undefined => split(header).at(-1);

export const isSame = (written: string | undefined, peer: string): boolean =>
  written !== undefined && canonicalAddress(written) === canonicalAddress(peer);

/**
 * `for` of the last element. Quotes are not matched up over the whole header: one left open by the client would
 * swallow what the gateway appended, in which no comma stands.
 */
function lastForwardedFor(header: string): string {
  const parameters = lastEntry(header)!.split(';');
  const [named, ...more] = parameters.flatMap((each) => /^\s*for=(.*)$/is.exec(each)?.[1] ?? []);
  return more.length === 0 ? (named ?? '') : '';
}

/** The same addresses come again and again: a proxy has few of them, a caller one. */
function remembering<T extends NonNullable<unknown>>(judge: (address: string) => T): (address: string) => T {
  const verdicts = new Map<string, T>();
  return (address) => {
    const known = verdicts.get(address);
    if (known !== undefined) return known;
    const verdict = judge(address);
    if (verdicts.size >= MAX_REMEMBERED) verdicts.clear();
    if (address.length <= MAX_ADDRESS) verdicts.set(address, verdict);
    return verdict;
  };
}

/** Some hundred bytes each. */
const MAX_REMEMBERED = 4096;
/** IPv6 with brackets, a zone and a port; anything longer is somebody's attempt at filling our memory. */
const MAX_ADDRESS = 80;

/** As proxies write addresses: `192.0.2.7:4711`, `[2001:db8::1]:443`, and both in quotes (RFC 7239 §6). */
function readWritten(text: string): ReturnType<typeof readAddress> {
  const bare = text.trim().replace(/^"(.*)"$/, '$1');
  const [, host = bare] = /^\[([^\]]*)\](?::\d+)?$/.exec(bare) ?? /^([\d.]+):\d+$/.exec(bare) ?? [];
  return readAddress(host);
}

/** An address without port, zone, quotes and brackets, in its shortest form (RFC 5952); `undefined` if it is none. */
export const canonicalAddress = (text: string): string | undefined => canonical(text) || undefined;

const canonical = remembering((text) => readWritten(text)?.toString() ?? '');

/**
 * The address that limits count by: IPv4 as it is (also when IPv6 wraps it), IPv6 by its /64, because a
 * single subscriber owns at least that much.
 */
export const limitAddress = remembering((ip) => {
  const address = readWritten(ip);
  if (!address) return 'unknown';
  if (address instanceof ipaddr.IPv4) return address.toString();
  const network = address.parts.slice(0, 4).map((part) => part.toString(16));
  return `${network.join(':')}::/64`;
});
