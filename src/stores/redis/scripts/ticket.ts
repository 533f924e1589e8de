/**
 * A ticket is one text, JSON of what it is good for and of when that ends (ms): the caller's clock decides, Redis only
 * clears up. A late one opens what nobody was told of.
 */
export const openTicket = /* lua */ `
redis.call('SET', KEYS[1], ARGV[1], 'PX', math.max(tonumber(ARGV[2]), 1000))
return 1
`;

export const findTicket = /* lua */ `
return redis.call('GET', KEYS[1])
`;

/** The reply and the end of the ticket are one step: of several at once the others find nothing. */
export const takeTicket = /* lua */ `
local ticket = redis.call('GET', KEYS[1])
redis.call('DEL', KEYS[1])
return ticket
`;
