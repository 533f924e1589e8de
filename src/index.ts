// For their types of what the application gets: app.authenticate, app.authorize, app.latchkey, request.auth.
import '../plugins/authenticate.js';
import '../plugins/authorize.js';
import '../plugins/library.js';

export type { Library, Origin, UserOrId } from '../plugins/library.js';
export type { User } from './accounts/user.js';
export { ConfigError } from './config.js';
export type { Code, FieldCode } from './contract/codes.js';
export { AuthError, type FieldFault } from './errors.js';
export type { LatchkeyOptions } from './options.js';
export { latchkey as default, latchkey } from './plugin.js';
export type { TokenClaims } from './tokens/claims.js';
export type { Authenticated, TokenPair } from './tokens/session-service.js';
export type { LimitState } from './tokens/state-store.js';
