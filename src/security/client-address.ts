import ipaddr from 'ipaddr.js';

/**
 * The address that limits count by: IPv4 as it is (also when IPv6 wraps it), IPv6 by its /64, because a
 * single subscriber owns at least that much.
 */
export function limitAddress(ip: string): string {
  if (!ipaddr.isValid(ip)) return 'unknown';
  const address = ipaddr.process(ip);
  if (address instanceof ipaddr.IPv4) return address.toString();
  const network = address.parts.slice(0, 4).map((part) => part.toString(16));
  return `${network.join(':')}::/64`;
}
